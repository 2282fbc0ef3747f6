"""Scenarios against the standard formulas of the mortgage market and by identities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_lib.core.errors import SettingsError
from atlas_lib.core.settings import PortfolioSettings
from atlas_lib.core.tables import declared
from atlas_lib.portfolio.pools import monthly_rate, project_pool, read_scenarios, standard_default
from atlas_lib.portfolio.scenarios import project_scenarios, side_by_side
from atlas_lib.portfolio.schedules import plan_schedule
from tests.portfolio.portfolio_frames import CONTRACT_001, contracts_of, small_contract

NOTHING = "calm: 0 CPR, 0 CDR, severity 0, lag 0, shift 0"


def pool_balance(yearly, months, first=0):
    """Scheduled balance of a level-payment loan of 1, month by month."""
    i = yearly / 12
    left = np.arange(months, -1, -1)
    return ((1 - (1 + i) ** -left) / (1 - (1 + i) ** -months))[first:]


def scenario(text):
    return read_scenarios(text)[0]


def projected(contracts, text, as_of="2023-11-30", **values):
    plan = PortfolioSettings(as_of=as_of, scenarios=text, **values)
    tables = project_scenarios(contracts, plan_schedule(contracts, plan)["schedule"], plan)
    return tuple(declared(n).checked(tables[n]) for n in ("scenarios", "scenario_totals"))


def test_a_month_of_prepayment_in_all_three_measures():
    # BMA Standard Formulas, SF-6 and SF-7: GNMA 9.0 % pool of 9.5 % mortgages, 17 months old, factor .85150625 to .84732282.
    scheduled = 0.85150625 * np.divide(*pool_balance(0.095, 360)[[17, 16]])
    smm = 1 - 0.84732282 / scheduled
    assert smm == pytest.approx(0.00435270, abs=5e-9)
    assert 1 - (1 - smm) ** 12 == pytest.approx(0.051000, abs=5e-7)
    age, month = np.array([[17.0]]), np.array([1.0])
    for text in ("x: 150 PSA", "x: 5.1 CPR", "x: 0.435270 SMM"):
        found = scenario(text + ", 0 CDR, severity 0, lag 0, shift 0")
        assert found.smm(age)[0, 0] == pytest.approx(0.0043527, abs=1e-7)
        assert found.mdr(age, month)[0, 0] == 0


def test_the_standard_cash_flow_with_defaults():
    # BMA Standard Formulas, SF-24, Cash Flow A: 100,000,000 of 8 % 30-year loans, 1 % SMM, 1 % MDR, 12 months, 20 %.
    speed = np.full((1, 360), 0.01)
    flows = project_pool(100e6 * pool_balance(0.08, 360)[None], speed, speed, 0.2, 12, is_advanced=True)
    assert round(flows["performing"][0, 1]) == 97_934_244
    totals = {name: round(values.sum()) for name, values in flows.items()}
    assert totals["defaulted"] == 47_576_640
    assert totals["prepaid"] == pytest.approx(47_527_662, abs=1)
    assert totals["loss"] == pytest.approx(9_515_314, abs=1)
    assert totals["recovered"] == 37_446_547


def test_the_standard_default_assumption_has_its_corners():
    # BMA Standard Formulas, SF-20: 100 SDA.
    months = np.array([1, 30, 60, 61, 120, 300])
    assert standard_default(months) == pytest.approx([0.0002, 0.006, 0.006, 0.005905, 0.0003, 0.0003])
    double = scenario("x: 0 CPR, 200 SDA, severity 0, lag 0, shift 0")
    assert double.mdr(np.array([[30.0]]), np.array([1.0]))[0, 0] == pytest.approx(1 - (1 - 0.012) ** (1 / 12))


def test_default_speeds_can_be_given_month_by_month():
    found = scenario("x: 0 CPR, 1/2/3 MDR, severity 0, lag 0, shift 0")
    assert found.mdr(np.ones((1, 5)), np.arange(1.0, 6)).tolist() == [[0.01, 0.02, 0.03, 0.03, 0.03]]


def test_without_prepayment_and_default_the_book_pays_as_planned():
    contracts = contracts_of(CONTRACT_001, small_contract(99_999, 7, start_date="2023-11-10"))
    months, totals = projected(contracts, NOTHING)
    plan = PortfolioSettings(as_of="2023-11-30")
    schedule = plan_schedule(contracts, plan)["schedule"]
    by_month = schedule.groupby(schedule["due_date"].dt.to_period("M"))[["principal_minor", "interest_minor"]].sum()
    paid = months[months["cash_minor"] > 0]
    assert paid["scheduled_minor"].tolist() == by_month["principal_minor"].tolist()
    assert paid["interest_minor"].tolist() == by_month["interest_minor"].tolist()
    assert totals.loc[0, "loss_minor"] == 0
    # CONTRACT-001 bought on 15 November; seen from the end of the month, the money out earns about its yield.
    only = projected(contracts_of(CONTRACT_001), NOTHING)[1].loc[0]
    assert only["effective_rate"] == pytest.approx(0.1563, abs=0.001)


def test_a_rate_shift_reprices_interest_and_present_value():
    contracts = contracts_of(CONTRACT_001)
    text = f"{NOTHING}; up: 0 CPR, 0 CDR, severity 0, lag 0, shift +7"
    _, totals = projected(contracts, text)
    assert totals["interest_minor"].tolist() == [59_780, 119_560]
    assert totals["present_value_minor"].iloc[1] < totals["present_value_minor"].iloc[0] < 336_000
    assert totals["effective_rate"].iloc[0] == totals["effective_rate"].iloc[1]
    without_interest = projected(contracts, "up: 0 CPR, 0 CDR, severity 0, lag 0, shift +7", annual_rate=0.0)[1]
    assert without_interest["interest_minor"].tolist() == [59_780 + 1_960]  # the as-of month counts as one more


def test_worse_scenarios_lose_more_and_earn_less():
    months, totals = projected(contracts_of(CONTRACT_001), PortfolioSettings().scenarios)
    assert totals["scenario"].tolist() == ["base", "stress", "severe"]
    assert totals["loss_minor"].is_monotonic_increasing
    assert totals["effective_rate"].is_monotonic_decreasing
    wide = side_by_side(months, "EUR", "cash_to_date_minor")
    assert wide.columns.tolist() == ["month_end_date", "base_minor", "stress_minor", "severe_minor"]
    assert len(wide) == 61 + 24
    assert wide.iloc[-1, 1:].tolist() == totals["cash_minor"].tolist()


def test_what_is_overdue_counts_in_the_as_of_month():
    late = contracts_of(small_contract(30_000, 3, start_date="2023-08-10"))
    months, totals = projected(late, NOTHING)
    assert months["scheduled_minor"].iloc[0] == 30_000
    assert totals["effective_rate"].isna().all()  # when it comes, nobody can say


@pytest.mark.parametrize(
    "text",
    ["", "base: 2 CPR", "a: 1 CPR, 1 CDR, severity 1, lag 1, shift 0; a: 1 CPR, 1 CDR, severity 1, lag 1, shift 0"],
)
def test_a_scenario_that_cannot_be_read_says_what_is_expected(text):
    with pytest.raises(SettingsError):
        read_scenarios(text)


def test_no_contracts_give_no_scenarios():
    empty = project_scenarios(declared("contracts").empty(), declared("schedule").empty(), PortfolioSettings())
    assert all(frame.empty for frame in empty.values())


speeds = st.floats(0, 60)


@settings(max_examples=20)
@given(speeds, st.sampled_from(["CPR", "SMM", "PSA"]), speeds, st.sampled_from(["CDR", "MDR", "SDA"]),
       st.floats(0, 100), st.integers(0, 24), st.integers(0, 336_000))  # fmt: skip
def test_every_cent_outstanding_is_paid_recovered_or_lost(cpr, kind, cdr, default, severity, lag, received):
    text = f"x: {cpr:.4f} {kind}, {cdr:.4f} {default}, severity {severity:.2f}, lag {lag}, shift 0"
    contracts = contracts_of(CONTRACT_001 | {"customer_payment_minor": received}, small_contract(99_999, 7))
    _, totals = projected(contracts, text, as_of="2024-06-30")
    row = totals.iloc[0]
    ends = row[["scheduled_minor", "prepaid_minor", "recovered_minor", "loss_minor"]]
    assert (ends >= 0).all()
    assert abs(ends.sum() - row["outstanding_minor"]) <= 4
    assert abs(row["defaulted_minor"] - row["recovered_minor"] - row["loss_minor"]) <= 3


@given(st.floats(0, 1))
def test_twelve_months_of_smm_are_a_year_of_cpr(cpr):
    assert 1 - (1 - monthly_rate(np.array([cpr]))[0]) ** 12 == pytest.approx(cpr, abs=1e-12)
