"""What surrounds the payments: rates, cash at hand, limits, policies and outside fraud scores."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

from atlas_lib.core.money import to_units
from atlas_lib.example_data.incidents import SCARCE_CURRENCY
from atlas_lib.example_data.names import numbered
from atlas_lib.example_data.parties import CURRENCIES, Parties, own_iban
from atlas_lib.example_data.payments import MINOR_PER_EURO, utc_text

_RATES = {"USD": (1.1420, 4), "GBP": (0.8630, 5), "JPY": (171.80, 2), "CHF": (0.9380, 4)}


def write_settings(as_of: date) -> str:
    """The settings of the example, so that its payouts can be prepared: paid from our own euro account.

    Its IBAN has valid check digits and a bank code that no bank holds, as all of this folder's.
    """
    return (
        f"as_of: {as_of}\n"
        "debtor_name: Example Factoring GmbH\n"
        f"debtor_iban: {own_iban('EUR')}\n"
        "debtor_bic: ATLSDE2A\n"
        "debtor_town: Frankfurt am Main\n"
        "debtor_country: DE\n"
        'other_limits: "obligor * EUR 70000; counterparty * EUR 90000; currency EUR EUR 400000"\n'
    )


def draw_fx_rates(as_of: date, rng: np.random.Generator) -> pd.DataFrame:
    """Units per EUR on every weekday of the last 100 days: an invented, smooth random walk."""
    days = np.datetime64(as_of, "D") - np.arange(100)[::-1]
    days = days[np.is_busday(days)]
    frames = []
    for currency, (start, digits) in _RATES.items():
        steps = np.convolve(rng.normal(0, 0.003, len(days) + 4), np.ones(5) / 5, mode="valid")
        rate = np.round(start * np.exp(np.cumsum(steps)), digits)
        frames.append(pd.DataFrame({"date": days, "currency": currency, "rate": rate}))
    return pd.concat(frames).sort_values(["date", "currency"], kind="stable").reset_index(drop=True)


def set_liquidity(payments: pd.DataFrame, as_of: date) -> pd.DataFrame:
    """Cash per currency: ample, but in the scarce one less than half of what the last two days take out."""
    going = payments[payments["status"].isin(["APPROVED", "REFUNDED"])]
    total = _per_currency(going, going["amount_minor"])
    recent = going[going["created_at"] >= pd.Timestamp(as_of) - pd.Timedelta(days=1)]
    sign = np.where(recent["type"] == "SALE", -1, 1)
    taken = np.maximum(_per_currency(recent, recent["amount_minor"] * sign), 0)
    scarce = np.array([c == SCARCE_CURRENCY for c in CURRENCIES])
    units = to_units(np.where(scarce, taken * 0.4, total * 1.25), pd.Series(CURRENCIES))
    opening = np.ceil(units / 1000) * 1000
    minimum = np.where(scarce, 0, np.ceil(opening * 0.05 / 1000) * 1000)
    return pd.DataFrame({"currency": CURRENCIES, "opening_balance": opening, "minimum_balance": minimum})


def set_counterparty_limits(counterparties: pd.DataFrame, payments: pd.DataFrame) -> pd.DataFrame:
    """Limits in EUR: twice what the counterparty moves, with what it takes over from one that is not available.

    The third one's just covers what it moves, one has none.
    """
    moved = pd.Series(_moved_euros(payments, len(counterparties)), index=counterparties["counterparty_id"])
    away = counterparties[~counterparties["available"]].set_index("counterparty_id")["alternate_counterparty_id"]
    taken_over = moved[away.index].groupby(away).sum().reindex(moved.index, fill_value=0)
    limit = pd.Series(np.ceil((moved + taken_over).to_numpy() * 2 / 10_000) * 10_000)
    limit[2], limit[3] = np.ceil(moved.iloc[2] / 100) * 100, np.nan
    return counterparties.assign(limit=limit)[
        ["counterparty_id", "name", "limit", "currency", "available", "alternate_counterparty_id"]
    ]


def _per_currency(payments: pd.DataFrame, amount: pd.Series) -> np.ndarray:
    return np.bincount(payments["currency"], amount, len(CURRENCIES))


def _moved_euros(payments: pd.DataFrame, count: int) -> np.ndarray:
    euros = payments["amount_minor"] / MINOR_PER_EURO[payments["currency"]]
    return np.bincount(payments["counterparty"], euros, count)


def list_policies(blacklisted_user: str) -> pd.DataFrame:
    rows = [
        ("POL-01", "KYC", "Merchants need a complete identification", "required_status=COMPLETE", True),
        (
            "POL-02",
            "AML",
            "Purchases of one user just under the reporting threshold",
            "threshold=10000; currency=EUR; window_days=7; min_count=3; margin_rate=0.1",
            True,
        ),
        (
            "POL-03",
            "REGIONAL_LIMIT",
            "Single payment of merchants in Austria",
            "country=AT; limit=4000; currency=EUR",
            True,
        ),
        ("POL-04", "BLACKLIST", "User reported for card fraud", f"user_id={blacklisted_user}", True),
        (
            "POL-05",
            "BLACKLIST",
            "Sanctioned shipping company",
            "name=Orlow Maritime; alias=Orlov Maritime Handels GmbH; alias=Orlow Shipping",
            True,
        ),
        ("POL-06", "BLACKLIST", "Account of a closed investigation", "account=ACC-310110", False),
    ]
    return pd.DataFrame(rows, columns=["policy_id", "policy_type", "rule_description", "parameters", "active"])


def choose_blacklisted_user(payments: pd.DataFrame, parties: Parties) -> str:
    """A user with a few ordinary purchases and no other case: the one nearest to six."""
    clean = payments["user"][(payments["user"] >= 0) & (payments["case"] == "")]
    count = np.bincount(clean, minlength=len(parties.user_ids))
    count[payments["user"][payments["case"] != ""].clip(lower=0)] = 0
    return str(parties.user_ids[int(np.argmin(np.abs(count - 6)))])


def draw_fraud_signals(payments: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Outside scores: low ones for a fifth of the sales, high ones for about two thirds of each fraud burst."""
    case = payments["case"].to_numpy(dtype=object).astype("str")
    burst = np.char.startswith(case, "fraud_burst")
    sale = (payments["type"] == "SALE").to_numpy()
    draw = rng.random(len(payments))
    rows = np.flatnonzero((burst & (draw < 0.65)) | (sale & ~burst & (draw < 0.2)))
    score = np.where(burst[rows], rng.uniform(0.86, 0.99, len(rows)), rng.beta(1.3, 12, len(rows)))
    inferred = payments["created_at"].to_numpy()[rows] + rng.integers(2, 40, len(rows)).astype("timedelta64[s]")
    return pd.DataFrame(
        {
            "fraud_signal_id": numbered("FS", np.arange(1, len(rows) + 1), 6),
            "transaction_id": payments["transaction_id"].to_numpy(dtype=object)[rows],
            "fraud_score": np.round(score, 4),
            "model_version": np.where(rows < len(payments) // 2, "kestrel-1.3", "kestrel-1.4"),
            "inferred_at": utc_text(inferred),
        }
    )
