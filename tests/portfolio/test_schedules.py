"""Schedules of contracts: dates, totals and what customers have already paid."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas_lib.core.errors import AtlasError
from atlas_lib.core.settings import PortfolioSettings
from atlas_lib.core.tables import declared
from atlas_lib.portfolio.schedules import balance_contracts, due_dates, plan_schedule
from tests.portfolio.portfolio_frames import CONTRACT_001, contracts_of, small_contract


def settings_of(**values):
    return PortfolioSettings(**({"as_of": "2023-11-30"} | values))


def schedule_of(contracts, **values):
    return plan_schedule(contracts, settings_of(**values))["schedule"]


def test_a_purchased_contract_repays_its_premiums_and_projects_interest_beside_them():
    schedule = schedule_of(contracts_of(CONTRACT_001))
    assert schedule["principal_minor"].tolist() == [5_600] * 60
    assert schedule["interest_minor"].iloc[0] == 1_960  # 3,360.00 x 7 % / 12
    assert schedule["opening_minor"].tolist() == list(range(336_000, 0, -5_600))


def test_month_steps_are_anchored_and_stay_on_open_days_of_their_month():
    # 31 March 2024 is Easter Sunday: ModifiedFollowing goes back to 28 March (29 is Good Friday).
    contracts = contracts_of(small_contract(30_000, 4, start_date="2023-12-31"))
    due = [str(day) for day in due_dates(contracts, settings_of())]
    assert due == ["2024-01-31", "2024-02-29", "2024-03-28", "2024-04-30"]


def test_instalments_can_fall_due_on_one_day_of_the_month():
    contracts = contracts_of(
        small_contract(30_000, 3, start_date="2024-01-15"), small_contract(20_000, 2, start_date="2024-01-31")
    )
    rule = {"first_due_day": 31, "business_day_rule": "unadjusted"}
    short = [str(day) for day in due_dates(contracts, settings_of(**rule))]
    assert short == ["2024-01-31", "2024-02-29", "2024-03-31", "2024-02-29", "2024-03-31"]
    long = [str(day) for day in due_dates(contracts, settings_of(**rule, first_period="long"))]
    assert long == ["2024-02-29", "2024-03-31", "2024-04-30", "2024-02-29", "2024-03-31"]


def test_an_irregular_first_period_bears_interest_for_its_days():
    # Apache Fineract: 192.22 at 9.99 %, paid out on 15 January, due on the first of each month: .88 for 17 of 31 days.
    contracts = contracts_of(small_contract(19_222, 6, start_date="2024-01-15"))
    plan = schedule_of(contracts, annual_rate=0.0999, schedule_type="annuity", first_due_day=1)
    assert plan["interest_minor"].iloc[0] == 88
    assert (plan["principal_minor"] + plan["interest_minor"]).tolist() == [3285] * 5 + [3287]


def test_interest_runs_between_contractual_dates_whatever_the_business_day():
    contracts = contracts_of(small_contract(1_000_000, 4, start_date="2023-12-31"))
    moved = schedule_of(contracts, day_count="ACT/365F")
    unmoved = schedule_of(contracts, day_count="ACT/365F", business_day_rule="unadjusted")
    assert moved["interest_minor"].tolist() == unmoved["interest_minor"].tolist()
    assert moved["interest_minor"].iloc[0] == 5_945  # 10,000.00 x 7 % x 31 / 365
    assert str(unmoved["due_date"].iloc[2].date()) == "2024-03-31"
    assert str(moved["due_date"].iloc[2].date()) == "2024-03-28"


def test_each_currency_keeps_its_own_holidays():
    # 4 July is closed in the United States, open in TARGET.
    rows = [small_contract(10_000, 1, start_date="2024-06-04", currency=code) for code in ("EUR", "USD")]
    assert [str(day) for day in due_dates(contracts_of(*rows), settings_of())] == ["2024-07-04", "2024-07-05"]


def test_customer_payments_cover_the_first_instalments():
    schedule = schedule_of(contracts_of(small_contract(40_000, 4, customer_payment_minor=12_500)))
    assert schedule["received_minor"].tolist() == [10_000, 2_500, 0, 0]


def test_outstanding_today_is_receivable_less_received():
    contracts = contracts_of(
        small_contract(40_000, 4, customer_payment_minor=12_500, start_date="2023-09-15"),
        small_contract(1_000, 2, customer_payment_minor=1_200),
    )
    balances = balance_contracts(contracts, schedule_of(contracts), settings_of())["contract_balances"]
    assert balances["outstanding_minor"].tolist() == [27_500, 0]
    assert balances["overpaid_minor"].tolist() == [0, 200]
    assert balances["due_to_date_minor"].tolist() == [20_000, 0]
    assert balances["paid_ahead_minor"].tolist() == [0, 1_000]
    assert balances["uncovered_minor"].tolist() == [7_500, 0]
    assert balances["remaining_count"].tolist() == [2, 2]
    assert balances["final_due_date"].tolist() == [pd.Timestamp("2024-01-15"), pd.Timestamp("2024-01-15")]


@pytest.mark.parametrize("kind", ["annuity", "interest_only", "bullet", "balloon"])
def test_the_settings_choose_the_schedule(kind):
    contracts = contracts_of(small_contract(120_000, 12))
    linear, other = schedule_of(contracts), schedule_of(contracts, schedule_type=kind)
    assert other["interest_minor"].sum() > linear["interest_minor"].sum()
    assert other["principal_minor"].sum() == 120_000


def test_no_contracts_give_an_empty_schedule():
    empty = declared("contracts").empty()
    assert schedule_of(empty).empty
    assert balance_contracts(empty, schedule_of(empty), settings_of())["contract_balances"].empty


def test_a_term_of_no_months_is_refused():
    with pytest.raises(AtlasError, match="at least one period"):
        schedule_of(contracts_of(CONTRACT_001 | {"term_months": 0}))


rows = st.builds(
    small_contract,
    st.integers(0, 10_000_000),
    st.integers(1, 40),
    customer_payment_minor=st.integers(0, 12_000_000),
    start_date=st.dates(pd.Timestamp("2015-01-01").date(), pd.Timestamp("2030-12-31").date()).map(str),
    currency=st.sampled_from(["EUR", "USD", "JPY"]),
)


@given(st.lists(rows, min_size=1, max_size=6), st.sampled_from(["linear", "annuity", "balloon"]))
def test_schedule_and_balances_lose_nothing(book, kind):
    contracts = contracts_of(*book)
    schedule = declared("schedule").checked(schedule_of(contracts, schedule_type=kind))
    balances = balance_contracts(contracts, schedule, settings_of())["contract_balances"]
    by_contract = schedule.groupby("contract_id")[["principal_minor", "received_minor"]].sum()
    assert by_contract["principal_minor"].tolist() == contracts["receivable_minor"].tolist()
    left = by_contract["principal_minor"] - by_contract["received_minor"]
    assert left.tolist() == balances["outstanding_minor"].tolist()
    one_side = balances["receivable_minor"] + balances["overpaid_minor"]
    assert (one_side == balances["received_minor"] + balances["outstanding_minor"]).all()
    assert (schedule.groupby("contract_id")["due_date"].diff().dropna() > pd.Timedelta(0)).all()
