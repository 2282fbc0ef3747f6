"""Coverage = balance / (refunds + chargebacks + what is not delivered yet)."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as tries
from hypothesis import strategies as st

from atlas_lib.core.tables import declared
from atlas_lib.ledger.store import open_ledger
from atlas_lib.reserves_credit.counted_days import count_events, read_days
from atlas_lib.reserves_credit.coverage import measure_undelivered
from atlas_lib.reserves_credit.policies import ReservePolicy
from atlas_lib.reserves_credit.reserves import hold_reserves
from atlas_lib.reserves_credit.what_if import compare_policies
from tests.reserves_credit.reserves_credit_frames import merchants, settings, transactions

_NO_CONTRACTS = declared("contracts").empty()
_DAY = pd.Timestamp("2026-06-01")
_ROWS = (
    {"amount_minor": 1_000_00, "created_at": "2026-06-01T10:00"},
    {"amount_minor": 500_00, "created_at": "2026-06-18T10:00", "reference": "ORDER-1"},
    {"amount_minor": 400_00, "created_at": "2026-06-19T10:00"},
    {"amount_minor": 30_00, "created_at": "2026-06-20T09:00", "type": "FEE"},
    {"amount_minor": 200_00, "created_at": "2026-06-20T10:00"},
    {"amount_minor": 120_00, "created_at": "2026-06-20T11:00", "type": "REFUND", "reference": "ORDER-1"},
    {"amount_minor": 80_00, "created_at": "2026-06-20T11:00", "type": "CHARGEBACK"},
)


def _coverage(delivery_days: int | None, as_of: str = "2026-06-20", **policy: Any) -> dict[str, Any]:
    known = merchants({"merchant_id": "M1", "delivery_days": delivery_days})
    tables = hold_reserves(_NO_CONTRACTS, known, transactions(*_ROWS), settings(as_of, **policy))
    return tables["reserve_coverage"].iloc[0].to_dict()


def test_what_is_sold_and_not_delivered_counts_gross_and_without_what_went_back():
    """Delivered in three days: the sales of 18, 19 and 20 June are open, less the refund of the first of them."""
    found = _coverage(3)
    assert found["undelivered_minor"] == (500 - 120 + 400 + 200) * 100
    assert (found["recent_refunds_minor"], found["recent_chargebacks_minor"]) == (120_00, 80_00)
    assert found["exposure_minor"] == (980 + 120 + 80) * 100
    assert found["coverage_rate"] == found["balance_minor"] / 1_180_00


@pytest.mark.parametrize("at_once", [None, 0])
def test_without_delivery_days_everything_counts_as_delivered(at_once):
    found = _coverage(at_once)
    assert found["undelivered_minor"] == 0
    assert found["exposure_minor"] == 200_00


@pytest.mark.parametrize(
    ("as_of", "open_minor"), [("2026-06-01", 1_000_00), ("2026-06-02", 1_000_00), ("2026-06-03", 0)]
)
def test_a_sale_is_open_until_the_day_on_which_it_is_delivered(as_of, open_minor):
    assert _coverage(2, as_of)["undelivered_minor"] == open_minor


def test_of_a_merchant_that_the_input_does_not_list_nothing_is_known_to_be_open():
    tables = hold_reserves(_NO_CONTRACTS, declared("merchants").empty(), transactions(*_ROWS), settings("2026-06-20"))
    (found,) = tables["reserve_coverage"].to_dict("records")
    assert (found["undelivered_minor"], found["exposure_minor"]) == (0, 200_00)


_SALES = st.lists(
    st.tuples(st.sampled_from(["M1", "M2"]), st.integers(0, 20), st.integers(1, 900), st.integers(0, 900)), max_size=12
)


def _frames(sales: list[tuple[str, int, int, int]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Days of sales, and of each sale what went back of it, at most all."""
    made = pd.DataFrame(sales, columns=["merchant_id", "number", "sold", "back"]).astype({"merchant_id": "str"})
    made = made.assign(day=_DAY + pd.to_timedelta(made["number"], unit="D"), back=made[["sold", "back"]].min(axis=1))
    days = made.groupby(["merchant_id", "day"])["sold"].sum().reset_index(name="sales_minor").assign(currency="EUR")
    claims = made.rename(columns={"day": "own_day", "back": "claims_minor"}).assign(currency="EUR")
    return days.astype({"currency": "str"}), claims.astype({"currency": "str"})


def _open(days: pd.DataFrame, claims: pd.DataFrame, delivery: dict[str, int | None], today: int) -> dict[str, int]:
    terms = pd.DataFrame({"merchant_id": list(delivery), "currency": "EUR"}, dtype="str")
    terms = terms.assign(delivery_days=pd.array(list(delivery.values()), dtype="Int64"))
    found = measure_undelivered(days, claims, terms, _DAY + pd.Timedelta(days=today))
    return {str(key[0]): int(value) for key, value in found.items()}


@given(sales=_SALES, today=st.integers(0, 25), first=st.none() | st.integers(0, 30), longer=st.integers(0, 30))
@tries(max_examples=80, deadline=None)
def test_open_sales_are_as_a_person_would_count_them_and_never_fall_with_longer_delivery(sales, today, first, longer):
    days, claims = _frames(sales)
    for delivery in (first, (first or 0) + longer):
        found = _open(days, claims, {"M1": delivery, "M2": None}, today)
        counted = sum(
            sold - min(sold, back)
            for merchant, number, sold, back in sales
            if merchant == "M1" and number <= today < number + (delivery or 0)
        )
        assert found.get("M1", 0) == counted
        assert found.get("M2", 0) == 0
    assert _open(days, claims, {"M1": (first or 0) + longer}, today).get("M1", 0) >= _open(
        days, claims, {"M1": first}, today
    ).get("M1", 0)


@given(
    delivery=st.none() | st.integers(0, 60), hold=st.integers(3, 60),
    rows=st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["SALE", "REFUND", "CHARGEBACK"]), st.integers(1, 10_000)), min_size=1, max_size=10),
)  # fmt: skip
@tries(max_examples=25, deadline=None)
def test_exposure_is_its_three_parts_and_coverage_the_balance_over_it(delivery, hold, rows):
    sales = transactions(
        *(
            {"amount_minor": a, "type": t, "created_at": f"{_DAY + pd.Timedelta(days=n):%Y-%m-%d}T10:00"}
            for n, t, a in rows
        )
    )
    known = merchants({"merchant_id": "M1", "delivery_days": delivery})
    tables = hold_reserves(_NO_CONTRACTS, known, sales, settings("2026-07-11", hold_days=hold))
    (found,) = tables["reserve_coverage"].to_dict("records")
    parts = [found[c] for c in ("recent_refunds_minor", "recent_chargebacks_minor", "undelivered_minor")]
    assert min(parts) >= 0
    assert found["exposure_minor"] == sum(parts)
    lately = [(t, a) for n, t, a in rows if n > 40 - hold]
    assert parts[:2] == [sum(a for t, a in lately if t == kind) for kind in ("REFUND", "CHARGEBACK")]
    if found["exposure_minor"]:
        assert found["coverage_rate"] == found["balance_minor"] / found["exposure_minor"]
    else:
        assert pd.isna(found["coverage_rate"])


def test_trials_of_other_hold_days_are_held_against_the_same_exposure():
    """A refund of 40 days ago lies outside a hold of 30 days; a trial of 30 days must not look better by not seeing it."""
    sales = transactions(
        {"amount_minor": 1_000_00, "created_at": "2026-06-01T10:00"},
        {"amount_minor": 100_00, "created_at": "2026-06-02T10:00", "type": "REFUND"},
        {"amount_minor": 1_000_00, "created_at": "2026-07-10T10:00"},
    )
    known, chosen = merchants({"merchant_id": "M1", "delivery_days": 2}), settings("2026-07-11", hold_days=90)
    tables = hold_reserves(_NO_CONTRACTS, known, sales, chosen)
    held = [tables[f"reserve_{n}"] for n in ("flows", "claims", "policies", "coverage")]
    trials = {str(days): ReservePolicy(reserve_percent=10, hold_days=days) for days in (3, 30, 90, 180)}
    found = compare_policies(*held, trials, chosen).set_index("case")
    assert set(found["exposure_minor"]) == {100_00 + 1_000_00}
    assert found["coverage_rate"].tolist() == (found["balance_minor"] / 1_100_00).tolist()
    assert found.loc["present", "balance_minor"] == found.loc["90", "balance_minor"]
    assert found["coverage_rate"].loc[["3", "30", "90", "180"]].is_monotonic_increasing
    assert found.loc["present", "coverage_rate"] == tables["reserve_coverage"]["coverage_rate"].iloc[0]


def test_what_a_version_before_has_counted_keeps_its_sum_and_tells_no_chargebacks(tmp_path):
    """A ledger of before refunds and chargebacks were counted apart: its claims have no chargebacks_minor."""
    account = pd.DataFrame({"merchant_id": ["M1"], "currency": ["EUR"]}, dtype="str")
    day = account.assign(day=_DAY, sales_minor=100, fees_minor=0, row_count=2, row_mark=7, reserve_rate=0.1)
    day = day.assign(reserve_base="gross", hold_days=30)
    claim = account.assign(day=_DAY, own_day=_DAY, claims_minor=20, chargebacks_minor=5)
    names = account.assign(day=_DAY, name="s" + "0" * 12)
    end = pd.Timestamp("2026-06-01 23:59:59.999999", tz="UTC")
    events = count_events(day, claim, names, end)
    old = events.assign(details=events["details"].str.replace(', "chargebacks_minor": [5]', "", regex=False))
    assert old["details"].iloc[0] != events["details"].iloc[0]
    with open_ledger(f"sqlite:///{tmp_path / 'new.sqlite'}", "test") as ledger:
        ledger.append("new", events)
        assert read_days(account, ledger, end)[1][["claims_minor", "chargebacks_minor"]].to_numpy().tolist() == [
            [20, 5]
        ]
    with open_ledger(f"sqlite:///{tmp_path / 'old.sqlite'}", "test") as ledger:
        ledger.append("old", old)
        assert read_days(account, ledger, end)[1][["claims_minor", "chargebacks_minor"]].to_numpy().tolist() == [
            [20, 0]
        ]


def test_claims_of_an_account_without_any_policy_day_do_not_break_the_measure():
    tables = hold_reserves(
        _NO_CONTRACTS, merchants({"merchant_id": "M1", "delivery_days": 5}),
        transactions({"amount_minor": 10_00, "type": "CHARGEBACK", "created_at": "2026-06-01T10:00"}), settings("2026-06-02"),
    )  # fmt: skip
    (found,) = tables["reserve_coverage"].to_dict("records")
    assert (found["recent_chargebacks_minor"], found["undelivered_minor"], found["coverage_rate"]) == (10_00, 0, 0.0)
