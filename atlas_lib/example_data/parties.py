"""Merchants, counterparties and users, and the account numbers that belong to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from atlas_lib.example_data.names import COUNTERPARTIES, TOWNS, merchant_categories, merchant_names, numbered

CURRENCIES = ("EUR", "USD", "GBP", "JPY")
OPERATOR_ACCOUNT = "ACC-ATLAS"
OPERATOR_USER = "OPERATOR"

# The part each of the first merchants plays; the others are unremarkable.
ROLES = {
    4: "near_limit_warn",
    5: "limit_breach",
    6: "near_limit_watch",
    7: "kyc_pending",
    8: "blocked",
    9: "invalid_iban",
    10: "sanctioned_name",
}
# What is made to order or sent arrives days after it is paid; elsewhere the buyer takes it along.
DELIVERY_DAYS = {"kitchens": 42, "furniture": 28, "mail order": 4, "outdoor": 3, "arts": 14, "shipping": 21}
UNAVAILABLE = 5
BBAN_OF_COUNTRY = {"DE": ("99", 18), "AT": ("99", 16), "SE": ("999", 20), "FR": ("99999", 23), "NL": ("ATLS", 14)}


@dataclass(frozen=True)
class Parties:
    """Who takes part; arrays are indexed by the row number of the merchant or user."""

    merchants: pd.DataFrame  # canonical columns of DOMAIN section 3 without credit_limit, plus role
    counterparties: pd.DataFrame  # counterparty_id, name, currency, available, alternate_counterparty_id
    user_ids: np.ndarray
    user_typical: np.ndarray  # log of the user's typical purchase in EUR
    user_spread: np.ndarray  # spread of that log
    user_activity: np.ndarray  # probability of being the buyer
    user_favourites: np.ndarray  # three merchants per user
    merchant_currency: np.ndarray  # index into CURRENCIES
    merchant_counterparty: np.ndarray


def draw_parties(rows: int, rng: np.random.Generator) -> Parties:
    """About 12 merchants, 150 users and 6 counterparties at the small size, more with the rows."""
    merchant_count, user_count = 12 + rows // 5000, max(150, min(rows // 8, 60_000))
    currency = rng.choice(4, merchant_count, p=[0.6, 0.2, 0.12, 0.08])
    currency[:12] = [0, 1, 0, 1, 0, 0, 2, 0, 3, 0, 2, 0]
    counterparty = rng.integers(0, len(COUNTERPARTIES), merchant_count)
    activity = rng.pareto(1.6, user_count) + 0.4
    weights = 1 / (np.arange(merchant_count) + 3.0)
    return Parties(
        merchants=_merchants(merchant_count, counterparty, rng),
        counterparties=_counterparties(),
        user_ids=numbered("U-", np.arange(user_count) + 1, 5).to_numpy(dtype=object),
        user_typical=rng.normal(np.log(48), 0.55, user_count),
        user_spread=rng.uniform(0.25, 0.65, user_count),
        user_activity=activity / activity.sum(),
        user_favourites=rng.choice(merchant_count, (user_count, 3), p=weights / weights.sum()),
        merchant_currency=currency,
        merchant_counterparty=counterparty,
    )


def merchant_accounts(merchants: pd.DataFrame) -> np.ndarray:
    return ("ACC-" + merchants["merchant_id"]).to_numpy(dtype=object)


def counterparty_accounts(counterparties: pd.DataFrame) -> np.ndarray:
    return ("ACC-" + counterparties["counterparty_id"]).to_numpy(dtype=object)


def make_iban(country: str, number: int) -> str:
    """A formally valid IBAN of a bank code nobody holds (ISO 13616: 98 - remainder by 97)."""
    prefix, length = BBAN_OF_COUNTRY[country]
    bban = prefix + str(number).zfill(length - len(prefix))
    digits = "".join(str(int(c, 36)) for c in f"{bban}{country}00")
    return f"{country}{98 - int(digits) % 97:02d}{bban}"


def own_iban(currency: str) -> str:
    """Our own account in a currency."""
    return make_iban("DE", 500_001 + CURRENCIES.index(currency))


def _merchants(count: int, counterparty: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    number = np.arange(count)
    country, town = (np.array(part, dtype=object)[number % len(TOWNS)] for part in zip(*TOWNS, strict=True))
    iban = [make_iban(str(c), 7_310_000 + 37 * int(i)) for i, c in zip(number, country, strict=True)]
    categories = merchant_categories(count)
    role = np.array([ROLES.get(i, "") for i in range(count)], dtype=object)
    frame = pd.DataFrame(
        {
            "merchant_id": (310_000 + 37 * number + 110).astype(str),
            "merchant_name": merchant_names(count),
            "currency": "EUR",
            "iban": iban,
            "bic": [f"ATLS{c}2{'ABCDEFGH'[i % 8]}" for i, c in zip(number, country, strict=True)],
            "country": country,
            "town": town,
            "category": categories,
            "risk_level": rng.choice(["LOW", "MEDIUM", "HIGH"], count, p=[0.55, 0.33, 0.12]),
            "kyc_status": np.where(role == "kyc_pending", "PENDING", "COMPLETE"),
            "onboarding_date": np.datetime64("2024-01-08") + 7 * rng.integers(0, 104, count),
            "reserve_rate": rng.choice([0.05, 0.08, 0.10], count, p=[0.3, 0.2, 0.5]),
            "hold_days": rng.choice([60, 90, 120], count, p=[0.2, 0.6, 0.2]),
            "blocked": role == "blocked",
            "counterparty_id": [f"CP-{c + 1:02d}" for c in counterparty],
            "delivery_days": pd.Series(categories).map(DELIVERY_DAYS).astype("Int64"),
            "role": role,
        }
    )
    frame.loc[role == "sanctioned_name", "risk_level"] = "HIGH"
    broken = role == "invalid_iban"
    frame.loc[broken, "iban"] = [f"{x[:-2]}{(int(x[-2:]) + 1) % 100:02d}" for x in frame.loc[broken, "iban"]]
    return frame


def _counterparties() -> pd.DataFrame:
    """Six processors and banks; the last is unavailable and names its alternate."""
    number = range(len(COUNTERPARTIES))
    return pd.DataFrame(
        {
            "counterparty_id": [f"CP-{i + 1:02d}" for i in number],
            "name": COUNTERPARTIES,
            "currency": "EUR",
            "available": [i != UNAVAILABLE for i in number],
            "alternate_counterparty_id": ["CP-02", "CP-01", "CP-04", "CP-03", "CP-03", "CP-02"],
        }
    )
