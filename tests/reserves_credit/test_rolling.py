"""The rolling reserve against the rule as a person would carry it out, one tranche after the other."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas_lib.core import calendars
from atlas_lib.core.tables import declared
from atlas_lib.reserves_credit.reserves import hold_reserves
from atlas_lib.reserves_credit.rolling import roll_reserve
from tests.reserves_credit.reserves_credit_frames import merchants, settings, transactions

START = pd.Timestamp("2030-01-01")
_TERMS = {"hold_days": 5, "cap_minor": None, "floor_minor": 0, "release_rule": "scheduled"}


def day(number: int) -> pd.Timestamp:
    return START + pd.Timedelta(days=number)


def open_day(number: int) -> int:
    rolled = calendars.roll_to_business_day(day(number).to_datetime64())
    return int((rolled - START.to_datetime64()) / pd.Timedelta(days=1))


def rolled(
    holds: list[tuple[str, int, int]], claims: list[tuple[str, int, int | None, int]], as_of: int, **terms: Any
) -> Any:
    """Holds (merchant, day, wanted) and claims (merchant, day, day of the sale, amount) under one policy."""
    policy = _TERMS | terms
    held = pd.DataFrame([h for h in holds if h[1] <= as_of], columns=["merchant_id", "number", "wanted_minor"])
    held = held.groupby(["merchant_id", "number"], as_index=False)["wanted_minor"].sum()
    frame = held.assign(
        currency="EUR", day=[day(n) for n in held["number"]], base_minor=held["wanted_minor"] * 10,
        release_date=[day(open_day(n + policy["hold_days"])) for n in held["number"]],
        cap_minor=pd.Series([policy["cap_minor"]] * len(held), dtype="Int64"), floor_minor=policy["floor_minor"],
        release_rule=policy["release_rule"],
    )  # fmt: skip
    asked = pd.DataFrame([c for c in claims if c[1] <= as_of], columns=["merchant_id", "number", "own", "claims_minor"])
    asked = asked.groupby(["merchant_id", "number", "own"], as_index=False, dropna=False)["claims_minor"].sum()
    own = pd.to_datetime(pd.Series([None if pd.isna(o) else day(int(o)) for o in asked["own"]], dtype="datetime64[us]"))
    claimed = asked.assign(currency="EUR", day=pd.to_datetime([day(n) for n in asked["number"]]), own_day=own)
    dates = {"day": "datetime64[us]", "release_date": "datetime64[us]"}
    return roll_reserve(frame.astype(dates), claimed.astype({"day": "datetime64[us]"}), day(as_of).date())


def by_hand(holds: list, claims: list, as_of: int, **terms: Any) -> dict[tuple[str, int], list[int]]:
    """held, released, drawn, left of every tranche."""
    policy = _TERMS | terms
    books: dict[tuple[str, int], list[int]] = {}
    for merchant in sorted({h[0] for h in holds}):
        tranches: dict[int, list[int]] = {}
        floor = 0
        for now in range(as_of + 1):
            ripe = [t for n, t in sorted(tranches.items()) if open_day(n + policy["hold_days"]) <= now]
            if policy["release_rule"] == "scheduled" and open_day(now) == now:
                free = max(sum(t[3] for t in tranches.values()) - floor, 0)
                for tranche in ripe:
                    part = min(tranche[3], free)
                    tranche[1], tranche[3], free = tranche[1] + part, tranche[3] - part, free - part
            wanted = sum(h[2] for h in holds if h[:2] == (merchant, now))
            if wanted:
                cap = 10**12 if policy["cap_minor"] is None else policy["cap_minor"]
                room = max(cap - sum(t[3] for t in tranches.values()), 0)
                tranches[now] = [min(wanted, room), 0, 0, min(wanted, room)]
                floor = policy["floor_minor"]
            draw_by_hand(tranches, [c for c in claims if c[:2] == (merchant, now)])
        books |= {(merchant, n): t for n, t in tranches.items() if t[0]}
    return books


def draw_by_hand(tranches: dict[int, list[int]], today: list) -> None:
    """Each claim from the tranche of its own sale, what is left of all from the oldest on."""
    rest = 0
    for own in sorted({c[2] for c in today}, key=lambda o: -1 if o is None else o):
        amount = sum(c[3] for c in today if c[2] == own)
        part = min(amount, tranches[own][3]) if own in tranches else 0
        if part:
            tranches[own][2], tranches[own][3] = tranches[own][2] + part, tranches[own][3] - part
        rest += amount - part
    for _, tranche in sorted(tranches.items()):
        part = min(rest, tranche[3])
        tranche[2], tranche[3], rest = tranche[2] + part, tranche[3] - part, rest - part


_MERCHANT, _DAY = st.sampled_from(["M1", "M2", "M3"]), st.integers(0, 30)
_HOLDS = st.lists(st.tuples(_MERCHANT, _DAY, st.integers(1, 90)), min_size=1, max_size=25)
_CLAIMS = st.lists(st.tuples(_MERCHANT, _DAY, st.one_of(st.none(), _DAY), st.integers(1, 120)), max_size=20)


@given(
    holds=_HOLDS, claims=_CLAIMS, as_of=st.integers(0, 45), hold_days=st.integers(3, 20),
    cap=st.one_of(st.none(), st.integers(0, 150)), floor=st.sampled_from([0, 0, 40, 100]), rule=st.sampled_from(["scheduled", "manual"]),
)  # fmt: skip
def test_all_tranches_are_as_a_person_would_have_kept_them(holds, claims, as_of, hold_days, cap, floor, rule):
    terms = {"hold_days": hold_days, "cap_minor": cap, "floor_minor": floor, "release_rule": rule}
    claims = [(m, d, None if o is not None and o > d else o, a) for m, d, o, a in claims]
    tranches, movements = rolled(holds, claims, as_of, **terms)
    amounts = ["held_minor", "released_minor", "drawn_minor", "balance_minor"]
    found = {
        (m, int((d - START).days)): row
        for m, d, row in zip(
            tranches["merchant_id"], tranches["held_on"], tranches[amounts].to_numpy().tolist(), strict=True
        )
    }
    assert found == by_hand(holds, claims, as_of, **terms)
    assert (
        tranches["balance_minor"] == tranches["held_minor"] - tranches["released_minor"] - tranches["drawn_minor"]
    ).all()
    assert not movements.duplicated(["tranche_id", "movement_date", "movement"]).any()
    moved = movements.groupby(["tranche_id", "movement"])["amount_minor"].sum()
    for kind, column in (("hold", "held_minor"), ("release", "released_minor"), ("draw", "drawn_minor")):
        sums = tranches.set_index("tranche_id")[column]
        of_kind = moved[moved.index.get_level_values("movement") == kind].droplevel("movement")
        assert of_kind.to_dict() == sums[sums > 0].to_dict()


def test_a_claim_takes_the_tranche_of_its_own_sale_before_an_older_one():
    tranches, _ = rolled([("M1", 0, 50), ("M1", 1, 50)], [("M1", 2, 1, 60)], 3)
    assert tranches["drawn_minor"].tolist() == [10, 50]


def test_a_cap_limits_what_is_held_and_leaves_room_again_after_a_draw():
    tranches, _ = rolled([("M1", 0, 80), ("M1", 1, 80), ("M1", 3, 80)], [("M1", 2, None, 30)], 3, cap_minor=100)
    assert tranches["held_minor"].tolist() == [80, 20, 30]


def test_a_floor_keeps_back_what_is_due_until_newer_holds_stand_in_for_it():
    early, _ = rolled([("M1", 0, 80), ("M1", 9, 80)], [], 8, floor_minor=50)
    assert early[["released_minor", "status"]].to_numpy().tolist() == [[30, "due"]]
    later, _ = rolled([("M1", 0, 80), ("M1", 9, 80)], [], 13, floor_minor=50)
    assert later["released_minor"].tolist() == [80, 0]


def test_what_is_released_by_hand_is_due_and_waits():
    tranches, movements = rolled([("M1", 0, 80)], [], 30, release_rule="manual")
    assert tranches["status"].tolist() == ["due"]
    assert movements["movement"].tolist() == ["hold"]


@pytest.mark.parametrize("reference", ["S1", "S1-R", "T1"])
def test_a_refund_finds_its_sale_by_reference_or_transaction_id(reference):
    sales = transactions(
        {"amount_minor": 100_00, "created_at": "2026-06-02T10:00", "reference": "S1"},
        {"amount_minor": 100_00, "created_at": "2026-06-01T10:00", "reference": "S0"},
        {"amount_minor": 5_00, "created_at": "2026-06-03T10:00", "type": "REFUND", "reference": reference},
    )
    none = declared("contracts").empty()
    tables = hold_reserves(none, merchants({"merchant_id": "M1"}), sales, settings("2026-06-03"))
    drawn = tables["reserve_tranches"].set_index("held_on")["drawn_minor"]
    assert drawn.to_dict() == {pd.Timestamp("2026-06-01"): 0, pd.Timestamp("2026-06-02"): 5_00}
