"""Payments that only exist as a planted case: fraud bursts, structuring, payouts of one day, a cash squeeze."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

from atlas_lib.example_data.parties import CURRENCIES, Parties
from atlas_lib.example_data.payments import draw_sales, in_minor

SCARCE_CURRENCY = "JPY"
_DAY = 86_400
_BUSIEST = 4  # merchants; the others have too little due for three payouts at once
_LEAST_GROUPS = {"fraud_burst": 2, "structuring": 1, "merged_payout": 3}
_ROWS_PER_GROUP = 2_000


def draw_incidents(rows: int, parties: Parties, as_of: date, rng: np.random.Generator) -> pd.DataFrame:
    """Columns of `draw_payments`; `case` is the kind and the number of the group, as in `fraud_burst:0`."""
    groups = {case: max(least, rows // _ROWS_PER_GROUP) for case, least in _LEAST_GROUPS.items()}
    pieces = [
        _fraud_bursts(groups["fraud_burst"], parties, as_of, rng),
        _structuring(groups["structuring"], parties, as_of, rng),
        _same_day_payouts(groups["merged_payout"], parties, as_of, rng),
        _cash_squeeze(parties, as_of, rng),
    ]
    return pd.concat(pieces, ignore_index=True)


def _fraud_bursts(groups: int, parties: Parties, as_of: date, rng: np.random.Generator) -> pd.DataFrame:
    """One user, 8 to 12 high sales at one merchant within half an hour at three in the morning."""
    group = np.repeat(np.arange(groups), rng.integers(8, 13, groups))
    merchant = rng.integers(0, 4, groups)[group]
    night = _days_ago(as_of, rng.integers(8, 80, groups), hour=3)[group]
    frame = _of_merchant(draw_sales(len(group), parties, as_of, rng), merchant, parties)
    return frame.assign(
        user=rng.integers(0, len(parties.user_ids), groups)[group],
        amount_minor=in_minor(rng.uniform(480, 890, len(group)), frame["currency"].to_numpy()),
        created_at=night + rng.integers(0, 1800, len(group)),
        case=_cases("fraud_burst", group),
    )


def _structuring(groups: int, parties: Parties, as_of: date, rng: np.random.Generator) -> pd.DataFrame:
    """One user, five purchases just under 10,000 EUR on five days in a row."""
    group = np.repeat(np.arange(groups), 5)
    first = _days_ago(as_of, rng.integers(12, 70, groups), hour=9)[group]
    frame = _of_merchant(draw_sales(len(group), parties, as_of, rng), np.zeros_like(group), parties)
    return frame.assign(
        user=rng.integers(0, len(parties.user_ids), groups)[group],
        currency=0,
        destination=0,
        window="T1",
        amount_minor=100 * rng.integers(9_350, 9_990, len(group)),
        created_at=first + np.tile(np.arange(5), groups) * _DAY + rng.integers(0, 8 * 3600, len(group)),
        case=_cases("structuring", group),
    )


def _same_day_payouts(groups: int, parties: Parties, as_of: date, rng: np.random.Generator) -> pd.DataFrame:
    """Three payouts to one merchant on one morning, which the bank books as one line."""
    group = np.repeat(np.arange(groups), 3)
    paid_in = np.flatnonzero(parties.merchant_currency < 2)[:_BUSIEST]
    turn = np.cumsum(rng.integers(1, len(paid_in), groups))  # never the merchant of the group before
    merchant = paid_in[turn % len(paid_in)][group]
    ago = rng.integers(9, 50, groups)
    day = np.busday_offset(np.datetime64(as_of, "D"), -ago, roll="backward").astype("datetime64[s]")[group]
    frame = _of_merchant(draw_sales(len(group), parties, as_of, rng), merchant, parties)
    return frame.assign(
        type="PAYOUT",
        user=-1,
        window="T0",
        amount_minor=in_minor(rng.uniform(1500, 6500, len(group)), frame["currency"].to_numpy()),
        created_at=day + 9 * 3600 + np.tile([0, 95, 240], groups) + group % 3600,
        case=_cases("merged_payout", group),
    )


def _cash_squeeze(parties: Parties, as_of: date, rng: np.random.Generator) -> pd.DataFrame:
    """Four urgent payouts in the scarce currency on the as-of day, more than there is cash for before the day's sales."""
    count, currency = 4, CURRENCIES.index(SCARCE_CURRENCY)
    frame = draw_sales(count, parties, as_of, rng)
    frame = _of_merchant(frame, np.flatnonzero(parties.merchant_currency == currency)[[0] * count], parties)
    return frame.assign(
        type="PAYOUT",
        user=-1,
        window="RTGS",
        amount_minor=in_minor(rng.uniform(3500, 6000, count), frame["currency"].to_numpy()),
        created_at=_days_ago(as_of, np.zeros(count, dtype=np.int64), hour=8) + 600 * np.arange(count),
        case="scarce_liquidity:0",
    )


def _of_merchant(frame: pd.DataFrame, merchant: np.ndarray, parties: Parties) -> pd.DataFrame:
    """Approved, in the merchant's own currency, through its own counterparty."""
    currency = parties.merchant_currency[merchant]
    return frame.assign(
        merchant=merchant,
        counterparty=parties.merchant_counterparty[merchant],
        currency=currency,
        destination=currency,
        status="APPROVED",
    )


def _days_ago(as_of: date, days: np.ndarray, hour: int) -> np.ndarray:
    return np.asarray(np.datetime64(as_of, "s") - days * _DAY + hour * 3600)


def _cases(case: str, group: np.ndarray) -> pd.Series:
    return case + ":" + pd.Series(group).astype(str)
