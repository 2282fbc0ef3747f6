"""Controls, checks and the verdict."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from atlas_lib.core.settings import PortfolioSettings
from atlas_lib.core.tables import declared
from atlas_lib.portfolio.controls import (
    check_contracts,
    check_portfolio,
    control_portfolio,
)
from atlas_lib.portfolio.impairment import expect_losses
from atlas_lib.portfolio.payments import place_payments
from atlas_lib.portfolio.projection import ladder_maturities, project_months
from atlas_lib.portfolio.scenarios import project_scenarios
from atlas_lib.portfolio.schedules import balance_contracts, plan_schedule
from atlas_lib.portfolio.summary import main_currency, summarise_stage
from atlas_lib.portfolio.yields import solve_yields
from tests.portfolio.portfolio_frames import CONTRACT_001, contracts_of, small_contract

SETTINGS = PortfolioSettings(as_of="2023-11-30")


NO_PAYMENTS = declared("customer_payments").empty()


def stage_of(contracts, settings=SETTINGS, payments=NO_PAYMENTS):
    schedule = plan_schedule(contracts, settings)["schedule"]
    yields, merchants = solve_yields(contracts, settings)["yields"], declared("merchants").empty()
    arrears = declared("arrears").empty()
    return (
        {"contracts": contracts, "schedule": schedule}
        | project_months(contracts, schedule)
        | balance_contracts(contracts, schedule, settings)
        | ladder_maturities(schedule, settings)
        | place_payments(contracts, payments, settings)
        | expect_losses(contracts, merchants, schedule, arrears, yields, settings)
        | {"scenario_totals": project_scenarios(contracts, schedule, settings)["scenario_totals"]}
    )


def controls_of(tables, settings=SETTINGS):
    return control_portfolio(**tables, settings=settings)["portfolio_controls"]


def outlook_of(currency="EUR", status="ok", crossing=None):
    row = {
        "currency": currency,
        "opening_minor": 10_000,
        "level_rate": 0.95,
        "lowest_minor": 5_000,
        "status": status,
        "crossing_date": pd.Timestamp(crossing or 0),
    }
    return pd.DataFrame([row])


def summary_of(contracts, settings=SETTINGS, outlook=None):
    tables = stage_of(contracts, settings)
    return summarise_stage(
        contracts, tables["book_monthly"], tables["contract_balances"], solve_yields(contracts, settings)["yields"],
        tables["expected_losses"], outlook_of() if outlook is None else outlook, controls_of(tables, settings), checks_of(tables, settings), settings,
    )  # fmt: skip


def checks_of(tables, settings=SETTINGS):
    parts = (tables["contracts"], tables["schedule"], tables["payment_results"], controls_of(tables, settings))
    return check_portfolio(*parts, settings)


def test_a_sound_book_ties_out_to_the_cent():
    tables = stage_of(contracts_of(CONTRACT_001, small_contract(99_999, 7, customer_payment_minor=5)))
    controls = declared("portfolio_controls").checked(controls_of(tables))
    assert controls["passed"].all()
    assert controls.loc[controls["tolerance_minor"] == 0, "difference_minor"].tolist() == [0] * 11


def test_interest_rounded_by_line_is_set_beside_the_book_as_one_loan():
    # 100.00 over 3 months at 7 %: .58 + .39 + .19 = 1.16 by line; P r (n + 1) / 2 = 1.1667, so 2.33 for two of them.
    controls = controls_of(stage_of(contracts_of(small_contract(10_000, 3), small_contract(10_000, 3))))
    one_loan = controls[controls["control"].str.contains("one loan")].iloc[0]
    assert one_loan["expected_minor"] == 233
    assert one_loan["found_minor"] == 232
    assert one_loan["passed"]


@pytest.mark.parametrize("day_count", ["months", "30/360", "ACT/360", "ACT/ACT ISDA"])
def test_interest_ties_out_under_every_day_count(day_count):
    settings = PortfolioSettings(as_of="2023-11-30", day_count=day_count, first_due_day=1, schedule_type="annuity")
    controls = controls_of(stage_of(contracts_of(CONTRACT_001, small_contract(99_999, 7)), settings), settings)
    assert controls["passed"].all()
    assert len(controls) == 15  # odd periods are no single loan


def test_a_lost_cent_fails_its_control_and_blocks():
    tables = stage_of(contracts_of(CONTRACT_001))
    schedule = tables["schedule"].copy()
    schedule.loc[0, "principal_minor"] -= 1
    contracts = tables["contracts"]
    controls = controls_of(tables | {"schedule": schedule})
    checks = check_portfolio(contracts, schedule, tables["payment_results"], controls, SETTINGS)
    failed = checks[checks["passed"].eq(False)]
    assert "Face value bought = principal scheduled" in failed["check"].tolist()
    assert failed["is_blocking"].all()
    assert failed["detail"].iloc[0] == "difference -0.01 EUR"


def test_every_currency_has_its_own_controls():
    contracts = contracts_of(CONTRACT_001, small_contract(50_000, 6, currency="JPY"))
    controls = controls_of(stage_of(contracts))
    assert controls.groupby("currency")["expected_minor"].first().to_dict() == {"EUR": 336_000, "JPY": 50_000}


def test_contract_checks_name_what_is_wrong():
    contracts = contracts_of(CONTRACT_001, small_contract(10_001, 3), {"premium_minor": -1})
    checks = check_contracts(contracts).set_index("check")
    assert checks.loc["No receivable, price or payment is negative", "detail"] == "1 contract: C003"
    assert checks.loc["Premium x term = receivable", "detail"] == "2 contracts: C002, C003"
    assert not checks.loc["Premium x term = receivable", "is_blocking"]


def test_the_verdict_gives_the_figures():
    summary = summary_of(contracts_of(CONTRACT_001))
    assert summary.status == "passed"
    assert summary.verdict == (
        "3,360.00 EUR outstanding, repaid by 2028-11-15, yields 15.63 % effective a year; "
        "principal ties out to the cent."
    )
    figures = summary.figures.set_index("label")["value"]
    assert figures["Yield, nominal / effective"] == "14.61 % / 15.63 %"
    assert figures["Lowest cash in 10 open days"] == "50.00 EUR"
    assert figures["Interest at 7 %, linear"] == "597.80 EUR"  # 3,360.00 x 7 % / 12 x 61 / 2


def test_cash_that_may_fall_below_its_minimum_stands_in_the_verdict():
    summary = summary_of(contracts_of(CONTRACT_001), outlook=outlook_of("JPY", "alert", "2023-12-04"))
    assert summary.status == "attention"
    assert summary.verdict.endswith("; cash may fall below its minimum: JPY on 2023-12-04.")


def test_interest_above_the_level_instalment_and_stray_payments_are_shown_and_do_not_block():
    # Five months before the first instalment: its interest is more than a level instalment of 300 small ones.
    settings = PortfolioSettings(
        as_of="2023-11-30", schedule_type="annuity", annual_rate=0.5, first_due_day=1, first_period="long"
    )
    contracts = contracts_of(small_contract(100_000_000, 300, start_date="2023-11-02"))
    tables = stage_of(contracts, settings)
    stray = tables["payment_results"].assign().reindex(range(1)).assign(contract_id="C009", open_minor=5)
    checks = check_portfolio(contracts, tables["schedule"], stray, controls_of(tables, settings), settings).set_index(
        "check"
    )
    eaten = checks.loc["No interest above the level instalment (negative amortisation)"]
    assert (eaten["passed"], eaten["detail"], eaten["is_blocking"]) == (False, "1 contract: C001", False)
    assert checks.loc["Every dated payment fits a contract", "detail"] == "1 contract: C009"
    sound = stage_of(
        contracts_of(CONTRACT_001),
        settings.model_copy(update={"schedule_type": "interest_only", "day_count": "ACT/365F"}),
    )
    checks = check_portfolio(
        contracts_of(CONTRACT_001), sound["schedule"], sound["payment_results"], controls_of(sound, settings), settings
    )
    assert checks.set_index("check").loc["No interest above the level instalment (negative amortisation)", "passed"]


def test_a_warning_that_failed_stands_in_the_verdict():
    # Due on 15 December; seen a month later, unpaid.
    summary = summary_of(
        contracts_of(small_contract(10_000, 3)), SETTINGS.model_copy(update={"as_of": date(2023, 12, 16)})
    )
    assert summary.status == "attention"
    assert summary.verdict.endswith("; check failed: What was due is received (1 contract: C001).")


def test_a_check_without_anything_to_evaluate_neither_passes_nor_fails():
    found = checks_of(stage_of(contracts_of(CONTRACT_001))).set_index("check")
    fit = found.loc["Every dated payment fits a contract"]
    assert (fit["passed"], fit["is_blocking"], fit["detail"]) == (None, False, "no dated payments in this input")
    assert summary_of(contracts_of(CONTRACT_001)).status == "passed"


def test_a_yield_that_does_not_exist_asks_for_a_look():
    summary = summary_of(contracts_of(CONTRACT_001, small_contract(10_000, 2, purchase_price_minor=0)))
    assert summary.status == "attention"
    assert "1 yield to look at" in summary.verdict


def test_without_contracts_the_stage_is_skipped():
    empty = declared("contracts").empty()
    assert summary_of(empty).status == "skipped"
    tables = stage_of(empty)
    assert check_portfolio(empty, tables["schedule"], tables["payment_results"], controls_of(tables), SETTINGS)[
        "passed"
    ].all()
    assert main_currency(empty) == ""


def test_the_main_currency_is_the_one_of_most_contracts():
    rows = [{"currency": code} for code in ("USD", "EUR", "USD")]
    assert main_currency(contracts_of(*rows)) == "USD"
    assert main_currency(pd.DataFrame({"currency": ["USD", "EUR"]})) == "EUR"
