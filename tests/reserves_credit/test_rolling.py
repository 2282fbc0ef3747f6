from __future__ import annotations

from collections import deque

import pandas as pd
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from atlas_lib.core import calendars
from atlas_lib.core.tables import declared
from atlas_lib.reserves_credit.reserves import hold_reserves
from tests.reserves_credit.reserves_credit_frames import merchants, settings, transactions

_NO_CONTRACTS = declared("contracts").empty()
_START = pd.Timestamp("2030-01-01")


def _open_day(day: int) -> int:
    free = (_START + pd.Timedelta(days=day)).to_datetime64()
    return int((calendars.roll_to_business_day(free) - _START.to_datetime64()) / pd.Timedelta(days=1))


def _day_by_day(rows: list[tuple[str, int, str, int]], hold_days: int, as_of: int) -> dict[str, list[int]]:
    """The rule as a person would do it: a queue per merchant, one day after the other."""
    out = {}
    for merchant in sorted({r[0] for r in rows}):
        queue: deque[list[int]] = deque()
        released = drawn = held = 0
        for day in range(as_of + 1):
            while queue and queue[0][0] <= day:
                released += queue.popleft()[1]
            today = [r for r in rows if r[0] == merchant and r[1] == day]
            hold = round(sum(r[3] for r in today if r[2] == "SALE") / 10)
            if hold:
                queue.append([_open_day(day + hold_days), hold])
                held += hold
            claim = sum(r[3] for r in today if r[2] == "REFUND")
            while queue and claim:
                taken = min(claim, queue[0][1])
                queue[0][1] -= taken
                claim, drawn = claim - taken, drawn + taken
                if not queue[0][1]:
                    queue.popleft()
        out[merchant] = [held, released, drawn, sum(q[1] for q in queue)]
    return out


_ROWS = st.lists(
    st.tuples(st.sampled_from(["M1", "M2", "M3"]), st.integers(0, 40), st.sampled_from(["SALE", "SALE", "REFUND"]), st.integers(1, 900)),
    min_size=1, max_size=40,
)  # fmt: skip


@given(rows=_ROWS, hold_days=st.integers(3, 30), as_of=st.integers(0, 60))
@hypothesis_settings(max_examples=30)
def test_the_scan_equals_a_day_by_day_queue_and_balance_is_holds_minus_releases_minus_draws(
    rows: list[tuple[str, int, str, int]], hold_days: int, as_of: int
) -> None:
    rows = [(m, d, t, a * 10 if t == "SALE" else a) for m, d, t, a in rows]
    frame = [
        {"merchant_id": m, "created_at": _START + pd.Timedelta(days=d), "type": t, "amount_minor": a}
        for m, d, t, a in rows
    ]  # fmt: skip
    tables = hold_reserves(
        _NO_CONTRACTS,
        merchants(*({"merchant_id": m} for m in ("M1", "M2", "M3"))),
        transactions(*frame),
        settings((_START + pd.Timedelta(days=as_of)).date().isoformat(), hold_days=hold_days),
    )
    tranches, movements = tables["reserve_tranches"], tables["reserve_movements"]
    amounts = ["held_minor", "released_minor", "drawn_minor", "balance_minor"]
    found = {m: part.tolist() for m, part in tranches.groupby("merchant_id")[amounts].sum().iterrows()}
    expected = _day_by_day(rows, hold_days, as_of)
    assert found == {m: v for m, v in expected.items() if v[0]}
    assert (tranches["balance_minor"] >= 0).all()
    by_kind = movements.pivot_table(index="tranche_id", columns="movement", values="amount_minor", aggfunc="sum")
    by_kind = by_kind.reindex(index=tranches["tranche_id"], columns=["hold", "release", "draw"]).fillna(0)
    balance = by_kind["hold"] - by_kind["release"] - by_kind["draw"]
    assert balance.tolist() == tranches["balance_minor"].tolist()
