"""The rolling reserve as a queue: holds enter at the back, releases and draws consume the front.

Rule of order within a day: release what is due, hold the day's sales, then draw. Draws take the
oldest tranche first and never more than is held; the rest is a shortfall.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from atlas_lib.core.tables import declared

Int64 = NDArray[np.int64]
_ACCOUNT = ["merchant_id", "currency"]


def roll_reserve(holds: pd.DataFrame, flows: pd.DataFrame, as_of: date) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tranches of the rolling reserve with what was released and drawn, and those movements.

    Every reserve account is a queue of held units, oldest first. Releases and draws both consume its
    front, so one number per account and day, the units consumed so far, says all. On each day

        consumed = min(max(consumed, units due) + claims, units held)

    which is a shift between two bounds; such steps compose into one of the same form, so all days of
    all accounts are solved by a doubling scan instead of a loop. Cutting the consumed units at the
    ends of the tranches gives each movement its tranche.
    """
    held = holds[holds["held_minor"] > 0].sort_values([*_ACCOUNT, "day"], ignore_index=True)
    tranches = _sales_tranches(held)
    days = _reserve_days(held, flows, as_of)
    if held.empty:
        return tranches, declared("reserve_movements").empty()
    start = days["account_start"].to_numpy()
    after = start + _scan(days)
    before = np.where(days["is_first"], start, np.r_[0, after[:-1]])
    freed = np.maximum(before, start + days["due_minor"].to_numpy())
    movements = _cut_at_tranches(tranches, days, before, freed, after)
    used = movements.pivot_table(index="tranche_id", columns="movement", values="amount_minor", aggfunc="sum")
    used = used.reindex(index=tranches["tranche_id"], columns=["release", "draw"]).fillna(0).astype("int64")
    return _settled(tranches, used["release"].to_numpy(), used["draw"].to_numpy()), movements


def _sales_tranches(held: pd.DataFrame) -> pd.DataFrame:
    day = held["day"].dt.strftime("%Y-%m-%d") if len(held) else pd.Series([], dtype="str")
    tranches = pd.DataFrame(
        {
            "tranche_id": "sales:" + held["merchant_id"] + ":" + held["currency"] + ":" + day,
            "source": "sales",
            "contract_id": None,
            "held_on": held["day"],
            **{c: held[c] for c in [*_ACCOUNT, "base_minor", "held_minor", "release_date"]},
        }
    )
    zero = np.zeros(len(held), dtype=np.int64)
    return _settled(tranches, zero, zero)


def _settled(tranches: pd.DataFrame, released: Int64, drawn: Int64) -> pd.DataFrame:
    balance = tranches["held_minor"].to_numpy() - released - drawn
    status = np.select([balance > 0, released > 0], ["held", "released"], "drawn")
    return tranches.assign(released_minor=released, drawn_minor=drawn, balance_minor=balance, status=status)


def _reserve_days(held: pd.DataFrame, flows: pd.DataFrame, as_of: date) -> pd.DataFrame:
    """One row per account and day on which something happens: units held and due so far, claims of the day."""
    parts = [
        held[[*_ACCOUNT, "day", "held_minor"]],
        held[[*_ACCOUNT, "release_date", "held_minor"]].rename(
            columns={"release_date": "day", "held_minor": "due_minor"}
        ),
        flows[flows["claims_minor"] > 0][[*_ACCOUNT, "day", "claims_minor"]],
    ]
    amounts = ["held_minor", "due_minor", "claims_minor"]
    stacked = pd.concat(parts, ignore_index=True).reindex(columns=[*_ACCOUNT, "day", *amounts])
    stacked[amounts] = stacked[amounts].fillna(0).astype("int64")
    totals = held.groupby(_ACCOUNT, sort=True)["held_minor"].sum()
    starts = (totals.cumsum() - totals).rename("account_start")
    days = stacked[stacked["day"] <= pd.Timestamp(as_of)].groupby([*_ACCOUNT, "day"], sort=True)[amounts].sum()
    days = days.reset_index().join(starts, on=_ACCOUNT, how="inner", validate="many_to_one")
    days = days.reset_index(drop=True)
    account = days.groupby(_ACCOUNT, sort=False)
    return days.assign(
        is_first=account.cumcount() == 0,
        held_minor=account["held_minor"].cumsum(),
        due_minor=account["due_minor"].cumsum(),
    )


def _scan(days: pd.DataFrame) -> Int64:
    """Units consumed after each day, from 0 at the start of each account (doubling scan, log2 n passes)."""
    shift = days["claims_minor"].to_numpy().copy()
    high = days["held_minor"].to_numpy().copy()
    low = np.minimum(days["due_minor"].to_numpy() + shift, high)
    first = np.flatnonzero(days["is_first"].to_numpy())
    begins = np.repeat(first, np.diff(np.r_[first, len(days)]))
    step = 1
    while step < len(days):
        late = np.flatnonzero(np.arange(len(days)) - step >= begins)
        early = late - step
        if not late.size:
            break
        joined = shift[early] + shift[late]
        low_joined = np.clip(low[early] + shift[late], low[late], high[late])
        high_joined = np.clip(high[early] + shift[late], low[late], high[late])
        shift[late], low[late], high[late] = joined, low_joined, high_joined
        step *= 2
    return np.asarray(np.clip(shift, low, high), dtype=np.int64)


def _cut_at_tranches(
    tranches: pd.DataFrame, days: pd.DataFrame, before: Int64, freed: Int64, after: Int64
) -> pd.DataFrame:
    """Releases (before..freed) and draws (freed..after) of each day, cut where one tranche ends and the next begins."""
    ends = tranches["held_minor"].cumsum().to_numpy()
    pieces_from = np.r_[before, freed]
    pieces_to = np.r_[freed, after]
    row = np.tile(np.arange(len(days)), 2)
    kind = np.repeat(["release", "draw"], len(days))
    real = np.flatnonzero(pieces_to > pieces_from)
    first = np.searchsorted(ends, pieces_from[real], side="right")
    last = np.searchsorted(ends, pieces_to[real], side="left")
    count = last - first + 1
    piece = np.repeat(real, count)
    tranche = np.repeat(first - np.r_[0, np.cumsum(count)[:-1]], count) + np.arange(count.sum())
    begin = np.maximum(pieces_from[piece], (ends - tranches["held_minor"].to_numpy())[tranche])
    end = np.minimum(pieces_to[piece], ends[tranche])
    return pd.DataFrame(
        {
            "tranche_id": tranches["tranche_id"].to_numpy()[tranche],
            "merchant_id": tranches["merchant_id"].to_numpy()[tranche],
            "currency": tranches["currency"].to_numpy()[tranche],
            "source": "sales",
            "movement_date": days["day"].to_numpy()[row[piece]],
            "movement": kind[piece],
            "amount_minor": end - begin,
        }
    )
