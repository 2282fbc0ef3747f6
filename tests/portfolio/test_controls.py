"""Controls, checks and the verdict."""

from __future__ import annotations

import pandas as pd
import pytest

from atlas_lib.core.settings import PortfolioSettings
from atlas_lib.core.tables import declared
from atlas_lib.portfolio.controls import (
    check_contracts,
    check_portfolio,
    control_portfolio,
    main_currency,
    summarise_stage,
)
from atlas_lib.portfolio.projection import ladder_maturities, project_months
from atlas_lib.portfolio.schedules import balance_contracts, plan_schedule
from atlas_lib.portfolio.yields import solve_yields
from tests.portfolio.portfolio_frames import CONTRACT_001, contracts_of, small_contract

SETTINGS = PortfolioSettings(as_of="2023-11-30")


def stage_of(contracts, settings=SETTINGS):
    schedule = plan_schedule(contracts, settings)["schedule"]
    months = project_months(contracts, schedule)
    return (
        {"contracts": contracts, "schedule": schedule}
        | months
        | balance_contracts(contracts, schedule, settings)
        | ladder_maturities(schedule, settings)
    )


def controls_of(tables, settings=SETTINGS):
    return control_portfolio(**tables, settings=settings)["portfolio_controls"]


def summary_of(contracts, settings=SETTINGS):
    tables = stage_of(contracts, settings)
    return summarise_stage(
        contracts, tables["book_monthly"], tables["contract_balances"], solve_yields(contracts, settings)["yields"],
        controls_of(tables, settings), settings,
    )  # fmt: skip


def test_a_sound_book_ties_out_to_the_cent():
    tables = stage_of(contracts_of(CONTRACT_001, small_contract(99_999, 7, customer_payment_minor=5)))
    controls = declared("portfolio_controls").checked(controls_of(tables))
    assert controls["passed"].all()
    assert controls.loc[controls["tolerance_minor"] == 0, "difference_minor"].tolist() == [0] * 9


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
    assert len(controls) == 10  # odd periods are no single loan


def test_a_lost_cent_fails_its_control_and_blocks():
    tables = stage_of(contracts_of(CONTRACT_001))
    schedule = tables["schedule"].copy()
    schedule.loc[0, "principal_minor"] -= 1
    contracts = tables["contracts"]
    controls = controls_of(tables | {"schedule": schedule})
    checks = check_portfolio(contracts, controls)
    failed = checks[~checks["passed"]]
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
    assert figures["Yield, nominal"] == "14.61 %"
    assert figures["Interest at 7 %, linear"] == "597.80 EUR"  # 3,360.00 x 7 % / 12 x 61 / 2


def test_a_yield_that_does_not_exist_asks_for_a_look():
    summary = summary_of(contracts_of(CONTRACT_001, small_contract(10_000, 2, purchase_price_minor=0)))
    assert summary.status == "attention"
    assert "1 yield to look at" in summary.verdict


def test_without_contracts_the_stage_is_skipped():
    empty = declared("contracts").empty()
    assert summary_of(empty).status == "skipped"
    assert check_portfolio(empty, controls_of(stage_of(empty)))["passed"].all()
    assert main_currency(empty) == ""


def test_the_main_currency_is_the_one_of_most_contracts():
    rows = [{"currency": code} for code in ("USD", "EUR", "USD")]
    assert main_currency(contracts_of(*rows)) == "USD"
    assert main_currency(pd.DataFrame({"currency": ["USD", "EUR"]})) == "EUR"
