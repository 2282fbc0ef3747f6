"""Reserve policies: who decided what from when, and what another one would mean."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest
from pydantic import ValidationError

from atlas_lib.core.errors import Refused
from atlas_lib.core.tables import declared
from atlas_lib.reserves_credit.policies import ReservePolicy
from atlas_lib.reserves_credit.reserves import hold_reserves
from atlas_lib.reserves_credit.what_if import compare_policies, of_merchant
from tests.reserves_credit.reserves_credit_frames import Office, merchants, settings, transactions

NONE = declared("contracts").empty()
SALES = transactions(
    {"amount_minor": 1_000_00, "created_at": "2026-10-29T10:00"},
    {"amount_minor": 1_000_00, "created_at": "2026-11-02T10:00"},
    {"amount_minor": 1_000_00, "created_at": "2026-11-09T10:00"},
    {"amount_minor": 120_00, "created_at": "2026-11-10T10:00", "type": "REFUND"},
)


@pytest.fixture
def office(tmp_path) -> Office:
    return Office(tmp_path)


def held(office: Office, as_of: str) -> list[int]:
    known = merchants({"merchant_id": "M1", "reserve_rate": 0.05})
    return hold_reserves(NONE, known, SALES, settings(as_of), office.ledger)["reserve_tranches"]["held_minor"].tolist()


def test_a_decided_policy_holds_from_its_day_on_and_the_input_before(office):
    carl = office.desk("carl", "credit_manager")
    carl.set_policy("M1", "EUR", ReservePolicy(reserve_percent=20, hold_days=30), date(2026, 11, 2), "returns rise")
    carl.set_policy(
        "M1", "EUR", ReservePolicy(reserve_percent=30, hold_days=30, cap_minor=400_00), date(2026, 11, 5), "more"
    )
    assert held(office, "2026-11-10") == [50_00, 200_00, 150_00]
    assert held(office, "2026-10-30") == [50_00]


def test_the_later_decision_for_one_day_stands_and_both_are_kept_with_their_persons(office):
    for person, percent in (("carl", 20), ("cleo", 25)):
        desk = office.desk(person, "credit_manager")
        desk.set_policy("M1", "EUR", ReservePolicy(reserve_percent=percent, hold_days=30), date(2026, 11, 2), "why")
    assert held(office, "2026-11-02") == [50_00, 250_00]
    known = hold_reserves(NONE, merchants({"merchant_id": "M1"}), SALES, settings("2026-11-02"), office.ledger)
    policies = known["reserve_policies"]
    assert policies[["source", "decided_by"]].to_numpy().tolist() == [["settings", ""], ["decided", "cleo"]]
    assert office.ledger.events()["actor"].tolist() == ["carl", "cleo"]


def test_a_policy_for_a_day_already_computed_is_refused(office):
    with pytest.raises(Refused, match="held already"):
        office.desk("carl", "credit_manager").set_policy(
            "M1", "EUR", ReservePolicy(reserve_percent=20, hold_days=30), date(2026, 10, 30), "why"
        )
    with pytest.raises(Refused, match="You may not"):
        office.desk("rita", "risk_analyst").set_policy(
            "M1", "EUR", ReservePolicy(reserve_percent=20, hold_days=30), date(2026, 11, 2), "why"
        )
    assert office.ledger.events().empty


@pytest.mark.parametrize(
    "wrong", [{"reserve_percent": 101}, {"hold_days": 2}, {"hold_days": 181}, {"cap_minor": -1}, {"percent": 1}]
)
def test_a_policy_outside_its_bounds_is_no_policy(wrong):
    with pytest.raises(ValidationError):
        ReservePolicy.model_validate({"reserve_percent": 10, "hold_days": 30} | wrong)


def test_a_trial_shows_payout_reserve_and_coverage_beside_the_present_and_changes_nothing(office):
    chosen = settings("2026-11-10")
    tables = hold_reserves(NONE, merchants({"merchant_id": "M1"}), SALES, chosen, office.ledger)
    known = [
        of_merchant(tables[n], "M1")
        for n in ("reserve_flows", "reserve_claims", "reserve_policies", "reserve_coverage")
    ]
    trials = {
        "20 % for 90 days": ReservePolicy(reserve_percent=20, hold_days=90),
        "5 % for 3 days": ReservePolicy(reserve_percent=5, hold_days=3),
    }
    table = compare_policies(*known, trials, chosen).set_index("case")
    assert table["balance_minor"].tolist() == [180_00, 480_00, 0]
    assert table["payout_minor"].tolist() == [2_700_00, 2_400_00, 2_880_00]
    assert table["coverage_rate"].tolist() == [1.5, 4.0, 0.0]
    assert table["shortfall_minor"].tolist() == [0, 0, 70_00]
    assert office.ledger.events().empty


def test_what_would_be_paid_and_what_is_held_are_always_what_was_earned():
    chosen = settings("2026-11-10")
    tables = hold_reserves(NONE, merchants({"merchant_id": "M1"}), SALES, chosen)
    known = [tables[n] for n in ("reserve_flows", "reserve_claims", "reserve_policies", "reserve_coverage")]
    trials = {str(p): ReservePolicy(reserve_percent=p, hold_days=30) for p in (0, 1, 50, 100)}
    table = compare_policies(*known, trials, chosen)
    assert (table["payout_minor"] + table["balance_minor"]).tolist() == [2_880_00] * 5


def test_the_steady_state_is_rate_times_daily_volume_times_days():
    days = pd.date_range("2026-08-01", "2026-10-30").strftime("%Y-%m-%dT10:00")
    sales = transactions(*({"amount_minor": 200_00, "created_at": d} for d in days))
    coverage = hold_reserves(NONE, merchants({"merchant_id": "M1"}), sales, settings("2026-10-30", hold_days=30))[
        "reserve_coverage"
    ]
    assert coverage["steady_minor"].tolist() == [30 * 20_00]
    assert abs(coverage["undrawn_balance_minor"].iloc[0] - 30 * 20_00) <= 3 * 20_00
