"""Transactions: what the users buy, what comes back, what the operator charges and pays out."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

from atlas_lib.core.money import scale_of
from atlas_lib.example_data.names import numbered
from atlas_lib.example_data.parties import (
    CURRENCIES,
    OPERATOR_ACCOUNT,
    OPERATOR_USER,
    Parties,
    counterparty_accounts,
    merchant_accounts,
)

DAYS = 90
# Price level: units per EUR of each currency, times minor units per unit.
MINOR_PER_EURO = np.array([1.0, 1.1, 0.85, 160.0]) * np.array([int(scale_of(c)) for c in CURRENCIES])
_WEEKDAY = np.array([0.9, 0.9, 1.0, 1.1, 1.5, 1.6, 0.7])
_HOUR = np.array([2, 1, 0, 0, 0, 1, 3, 8, 14, 20, 24, 26, 28, 26, 22, 22, 24, 28, 30, 26, 20, 14, 8, 4], dtype=float)
_WINDOWS = np.array(["RTGS", "T0", "T1", "T2"], dtype=object)


def draw_payments(count: int, parties: Parties, as_of: date, rng: np.random.Generator) -> pd.DataFrame:
    """`count` transactions, not yet numbered; `parent` is the row of the sale a refund or chargeback is about.

    Columns: type, merchant, user (-1 the operator), counterparty, currency and destination (numbers into
    CURRENCIES), amount_minor, window, status, created_at (UTC, whole seconds), parent, case.
    """
    share = {"REFUND": 0.06, "CHARGEBACK": 0.015, "FEE": 0.045, "PAYOUT": 0.055}
    part = {kind: int(count * rate) for kind, rate in share.items()}
    sales = draw_sales(count - sum(part.values()), parties, as_of, rng)
    pieces = [
        sales,
        *_returns(sales, part["REFUND"], part["CHARGEBACK"], as_of, rng),
        _operator_moves("FEE", part["FEE"], parties, as_of, rng),
        _operator_moves("PAYOUT", part["PAYOUT"], parties, as_of, rng),
    ]
    return pd.concat(pieces, ignore_index=True)


def draw_sales(count: int, parties: Parties, as_of: date, rng: np.random.Generator) -> pd.DataFrame:
    """Purchases: each user with own typical amount, favourites, weekly pattern and hours."""
    user = rng.choice(len(parties.user_ids), count, p=parties.user_activity)
    choice = rng.choice(4, count, p=[0.6, 0.2, 0.1, 0.1])
    stranger = rng.integers(0, len(parties.merchants), count)
    merchant = np.where(choice == 3, stranger, parties.user_favourites[user, np.minimum(choice, 2)])
    home = parties.merchant_currency[merchant]
    currency = np.where(rng.random(count) < 0.85, home, rng.choice(4, count, p=[0.7, 0.14, 0.1, 0.06]))
    euros = np.exp(parties.user_typical[user] + parties.user_spread[user] * rng.standard_normal(count))
    elsewhere = rng.random(count) < 0.06
    acquirer = parties.merchant_counterparty[merchant]
    status = rng.choice(["APPROVED", "PENDING", "DECLINED"], count, p=[0.94, 0.025, 0.035])
    return pd.DataFrame(
        {
            "type": "SALE",
            "merchant": merchant,
            "user": user,
            "counterparty": np.where(rng.random(count) < 0.85, acquirer, rng.integers(0, 6, count)),
            "currency": currency,
            "destination": np.where(elsewhere, np.where(currency == 0, 1 + merchant % 3, 0), currency),
            "amount_minor": in_minor(np.clip(euros, 5, 900), currency),
            "window": _WINDOWS[rng.choice(4, count, p=[0.03, 0.22, 0.5, 0.25])],
            "status": status,
            "created_at": draw_instants(count, as_of, rng),
            "parent": -1,
            "case": "",
        }
    ).astype({"status": object, "case": object, "type": object})


def number_payments(payments: pd.DataFrame, parties: Parties) -> pd.DataFrame:
    """In order of time, with ids, references and participants' accounts.

    A refund or chargeback carries its sale's reference with -R or -C behind it; at most 35 characters.
    """
    order = np.argsort(payments["created_at"].to_numpy(), kind="stable")
    position = np.empty(len(order), dtype=np.int64)
    position[order] = np.arange(len(order))
    frame = payments.iloc[order].reset_index(drop=True)
    parent = frame["parent"].to_numpy()
    parent = np.where(parent >= 0, position[parent], -1)
    number = np.arange(1, len(frame) + 1)
    stem = _day_digits(frame["created_at"].to_numpy()) + numbered("-", number, 7)
    ending = frame["type"].map({"REFUND": "-R", "CHARGEBACK": "-C"}).where(parent >= 0, "").fillna("").astype("str")
    source, destination = _accounts(frame, parties)
    user = frame["user"].to_numpy()
    return frame.assign(
        parent=parent,
        transaction_id=numbered("T", number, 7),
        idempotency_key=numbered("ik-", number * 700_001 % 10**9, 9),
        reference=stem.take(np.where(parent >= 0, parent, np.arange(len(frame)))).reset_index(drop=True) + ending,
        merchant_id=parties.merchants["merchant_id"].to_numpy()[frame["merchant"]],
        user_id=np.where(user >= 0, parties.user_ids[user], OPERATOR_USER),
        counterparty_id=parties.counterparties["counterparty_id"].to_numpy()[frame["counterparty"]],
        source_currency=np.array(CURRENCIES, dtype=object)[frame["currency"]],
        destination_currency=np.array(CURRENCIES, dtype=object)[frame["destination"]],
        source_account=source,
        destination_account=destination,
    )


def in_minor(euros: np.ndarray, currency: np.ndarray) -> np.ndarray:
    """EUR of price level to minor units of the currency (invented prices, so plain rounding is enough)."""
    minor = np.rint(euros * MINOR_PER_EURO[currency]).astype(np.int64)
    return np.asarray(np.where(currency == 3, np.maximum(minor // 10 * 10, 10), minor))


def draw_instants(count: int, as_of: date, rng: np.random.Generator) -> np.ndarray:
    """Whole seconds in the last 90 days, by weekday and hour, the volume growing by a fifth."""
    last = np.datetime64(as_of, "D")
    days = last - np.arange(DAYS)[::-1]
    weight = _WEEKDAY[(days.astype(np.int64) + 3) % 7] * np.linspace(1, 1.2, DAYS)
    day = rng.choice(DAYS, count, p=weight / weight.sum())
    hour = rng.choice(24, count, p=_HOUR / _HOUR.sum())
    seconds = hour * 3600 + rng.integers(0, 3600, count)
    return np.asarray(days[day].astype("datetime64[s]") + seconds)


def utc_text(instants: np.ndarray) -> pd.Series:
    """ISO 8601 to the second, in UTC."""
    return pd.Series(np.datetime_as_string(instants.astype("datetime64[s]")), dtype="str") + "Z"


def _day_digits(instants: np.ndarray) -> pd.Series:
    """AS and the day as yymmdd."""
    day = instants.astype("datetime64[D]")
    year, month = day.astype("datetime64[Y]"), day.astype("datetime64[M]")
    number = (year.astype(np.int64) + 1970) % 100 * 10_000 + (month.astype(np.int64) % 12 + 1) * 100
    return numbered("AS", number + (day - month.astype("datetime64[D]")).astype(np.int64) + 1, 6)


def _returns(
    sales: pd.DataFrame, refunds: int, chargebacks: int, as_of: date, rng: np.random.Generator
) -> list[pd.DataFrame]:
    """Refunds (half of them in full, which marks the sale REFUNDED) and chargebacks (in full, later)."""
    end = np.datetime64(as_of, "s") + 18 * 3600
    created = sales["created_at"].to_numpy().astype("datetime64[s]")
    old = np.flatnonzero((sales["status"] == "APPROVED").to_numpy() & (created < end - 14 * 86_400))
    chosen = rng.permutation(old)[: refunds + chargebacks]
    late, soon = chosen[:chargebacks], chosen[chargebacks:]
    full = rng.random(len(soon)) < 0.5
    sales.loc[soon[full], "status"] = "REFUNDED"
    part = np.where(full, 1.0, rng.uniform(0.15, 0.9, len(soon)))
    back = [_of_sale(sales, "CHARGEBACK", late, 1.0, rng.uniform(10, 45, len(late)), end)]
    back.insert(0, _of_sale(sales, "REFUND", soon, part, rng.uniform(0.3, 14, len(soon)), end))
    return back


def _of_sale(
    sales: pd.DataFrame, kind: str, rows: np.ndarray, part: np.ndarray | float, days: np.ndarray, end: np.datetime64
) -> pd.DataFrame:
    frame = sales.iloc[rows].reset_index(drop=True)
    amount = np.maximum(np.floor(frame["amount_minor"].to_numpy() * part).astype(np.int64), 1)
    created = frame["created_at"].to_numpy().astype("datetime64[s]") + (days * 86_400).astype(np.int64)
    return frame.assign(
        type=kind, amount_minor=amount, created_at=np.minimum(created, end), parent=rows, status="APPROVED"
    )


def _operator_moves(kind: str, count: int, parties: Parties, as_of: date, rng: np.random.Generator) -> pd.DataFrame:
    """FEE (tens of EUR) and PAYOUT (thousands of EUR), on weekdays, without a user."""
    weights = 1 / (np.arange(len(parties.merchants)) + 4.0)
    merchant = rng.choice(len(parties.merchants), count, p=weights / weights.sum())
    currency = parties.merchant_currency[merchant]
    middle, low, high = (60, 8, 400) if kind == "FEE" else (4500, 1200, 16_000)
    euros = np.clip(np.exp(rng.normal(np.log(middle), 0.5, count)), low, high)
    created = draw_instants(count, as_of, rng)
    weekday = (created.astype("datetime64[D]").astype(np.int64) + 3) % 7
    window = rng.choice(4, count, p=[0.0, 0.3, 0.7, 0.0] if kind == "FEE" else [0.25, 0.45, 0.3, 0.0])
    return pd.DataFrame(
        {
            "type": kind,
            "merchant": merchant,
            "user": -1,
            "counterparty": parties.merchant_counterparty[merchant],
            "currency": currency,
            "destination": currency,
            "amount_minor": in_minor(euros, currency),
            "window": _WINDOWS[window],
            "status": "APPROVED",
            "created_at": created + np.where(weekday > 4, 7 - weekday, 0) * 86_400,
            "parent": -1,
            "case": "",
        }
    ).astype({"status": object, "case": object, "type": object})


def _accounts(frame: pd.DataFrame, parties: Parties) -> tuple[np.ndarray, np.ndarray]:
    """SALE: processor -> merchant; REFUND, CHARGEBACK: back; FEE: merchant -> operator; PAYOUT: operator -> merchant."""
    merchant = merchant_accounts(parties.merchants)[frame["merchant"]]
    processor = counterparty_accounts(parties.counterparties)[frame["counterparty"]]
    kind = frame["type"].to_numpy()
    sale, back, payout = kind == "SALE", np.isin(kind, ["REFUND", "CHARGEBACK"]), kind == "PAYOUT"
    source = np.where(sale, processor, np.where(payout, OPERATOR_ACCOUNT, merchant))
    destination = np.where(back, processor, np.where(sale | payout, merchant, OPERATOR_ACCOUNT))
    return source, destination
