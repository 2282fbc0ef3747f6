"""Yields against published rates and the figures of the user's workbook."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_lib.core.settings import PortfolioSettings
from atlas_lib.core.tables import declared
from atlas_lib.portfolio.roots import find_roots, sign_changes, solve_irr, solve_xirr
from atlas_lib.portfolio.schedules import due_dates
from atlas_lib.portfolio.yields import solve_yields
from tests.portfolio.portfolio_frames import CONTRACT_001, contracts_of, small_contract

# MathWorks, Financial Toolbox, xirr example; the digits are those of pyxirr's own test of it (365 days).
MATHWORKS_DATES = ["2007-01-12", "2008-02-14", "2008-03-03", "2008-06-14", "2008-12-01"]
MATHWORKS_AMOUNTS = [-10_000, 2_500, 2_000, 3_000, 4_000]
PLAN = PortfolioSettings()


def yields_of(*rows):
    return declared("yields").checked(solve_yields(contracts_of(*rows), PLAN)["yields"]).set_index(["level", "key"])


def test_contract_001_yields_what_its_workbook_implies():
    found = yields_of(CONTRACT_001).loc[("contract", "CONTRACT-001")]
    assert round(found["nominal_rate"], 4) == 0.1461
    assert round(found["effective_rate"], 4) == 0.1563
    assert found["gain_minor"] == 98_560
    assert found["status"] == "ok"


def test_xirr_is_that_of_mathworks_in_any_order():
    assert solve_xirr(MATHWORKS_DATES, MATHWORKS_AMOUNTS).rate == pytest.approx(0.10064378342638, abs=1e-12)
    order = [3, 0, 4, 2, 1]
    shuffled = solve_xirr([MATHWORKS_DATES[i] for i in order], [MATHWORKS_AMOUNTS[i] for i in order])
    assert shuffled.rate == pytest.approx(0.10064378342638, abs=1e-12)


@pytest.mark.parametrize(
    ("day_count", "rate"),
    [
        ("ACT/360", 0.0991988898057063),
        ("ACT/365F", 0.10064378342638),
        ("30/360", 0.100675477282743),
        ("30E/360", 0.100675477282743),
        ("ACT/ACT ISDA", 0.100739648987346),
    ],
)
def test_xirr_by_day_count_is_that_of_pyxirr_s_tests(day_count, rate):
    # MathWorks' flow under each day count: pyxirr, tests/test_scheduled.rs, test_xirr_day_count.
    assert solve_xirr(MATHWORKS_DATES, MATHWORKS_AMOUNTS, day_count).rate == pytest.approx(rate, abs=1e-12)


def test_an_unordered_flow_with_a_later_purchase():
    # pyxirr, tests/samples/unordered.csv.
    dates = ["2015-06-11", "2015-07-21", "2018-06-10", "2015-10-17"]
    assert solve_xirr(dates, [-1_000, -9_000, 20_000, -3_000]).rate == pytest.approx(0.16353715844, abs=1e-11)


def test_the_rate_of_a_single_payment():
    # COM(96) 79 final, Annex: 1,000 lent, 1,200 paid back after 546 days: 12.96 %.
    found = solve_xirr(["2000-01-01", "2001-06-30"], [-1_000, 1_200])
    assert round(found.rate, 4) == 0.1296


def test_two_rates_that_both_fit_are_flagged_and_none_is_given():
    # -100 + 230 v - 132 v^2 = 0 at v = 1 / 1.1 and 1 / 1.2.
    found = solve_irr([-100, 230, -132])
    assert found.sign_change_count == 2
    assert found.roots == pytest.approx((0.10, 0.20))
    assert found.rate is None


def test_a_late_outflow_does_not_hide_the_rate():
    # numpy-financial issue 44, where its irr answers -0.9998.
    found = solve_irr([-1678.87, 771.96, 1814.05, 3520.30, 3552.95, 3584.99, 4789.91, -1])
    assert found.rate == pytest.approx(1.004269848720547)
    assert found.sign_change_count == 2


@pytest.mark.parametrize("amounts", [[100, 50], [-100, -50], [-100, 100, -100], [0, 0]])
def test_a_rate_that_does_not_exist_is_not_invented(amounts):
    assert solve_irr(amounts).rate is None


def test_losing_nearly_everything_has_a_rate_near_minus_one():
    assert solve_irr([-1_000_000, 1]).rate == pytest.approx(-0.999999)


def test_long_level_flows_are_solved():
    # pyxirr issue 24: 480 monthly payments, where an earlier version answered -23.8.
    found = solve_irr([-172545.848122807] + [787.735232517999] * 480)
    assert find_roots(np.array([-172545.848122807] + [787.735232517999] * 480), np.arange(481.0)) == pytest.approx(
        (found.rate,)
    )


def test_zeros_do_not_count_as_a_change_of_sign():
    assert sign_changes(np.array([0.0, -5, 0, -1, 0, 2, 3])) == 1


def test_the_book_takes_its_contracts_together():
    later = CONTRACT_001 | {"contract_id": "CONTRACT-002", "start_date": "2024-02-15", "merchant_id": "2"}
    found = yields_of(CONTRACT_001, later)
    # The same deal twice, three months apart, earns what it earns once.
    assert found.loc[("book", "book"), "effective_rate"] == pytest.approx(
        found.loc[("contract", "CONTRACT-001"), "effective_rate"]
    )
    assert found.loc[("book", "book"), "purchase_price_minor"] == 2 * 237_440
    assert sorted(found.loc["merchant"].index) == ["2", "310100"]


def test_a_later_purchase_turns_the_flow_again_and_is_searched_for_other_rates():
    # The second purchase, in the middle, turns the book's flow negative again.
    found = yields_of(CONTRACT_001, CONTRACT_001 | {"contract_id": "CONTRACT-002", "start_date": "2025-11-15"})
    book = found.loc[("book", "book")]
    assert (book["sign_change_count"], book["root_count"], book["status"]) == (3, 1, "checked")
    assert book["remark"] == "the flow changes sign 3 times; only one rate fits"


def test_a_vintage_is_what_was_bought_in_a_quarter():
    rows = [CONTRACT_001 | {"contract_id": c, "start_date": d} for c, d in [("A", "2023-11-15"), ("B", "2024-01-02")]]
    found = yields_of(*rows).loc["vintage"]
    assert found["contract_count"].to_dict() == {"2023-Q4": 1, "2024-Q1": 1}
    assert found["name"].tolist() == ["Bought in 2023-Q4", "Bought in 2024-Q1"]
    assert found["effective_rate"].tolist() == pytest.approx([0.1563] * 2, abs=5e-5)


def test_nothing_paid_has_no_yield():
    found = yields_of(small_contract(10_000, 5, purchase_price_minor=0)).loc[("contract", "C001")]
    assert found["status"] == "no_yield"
    assert pd.isna(found["xirr_rate"])


def test_currencies_are_never_added_together():
    found = solve_yields(contracts_of(CONTRACT_001, CONTRACT_001 | {"contract_id": "X", "currency": "USD"}), PLAN)[
        "yields"
    ]
    assert found[found["level"] == "book"]["currency"].tolist() == ["EUR", "USD"]


def test_no_contracts_give_no_yields():
    assert solve_yields(declared("contracts").empty(), PLAN)["yields"].empty


@settings(max_examples=25)
@given(st.floats(-0.03, 0.06), st.integers(2, 90), st.integers(10_000, 1_000_000))
def test_the_rate_a_flow_was_built_with_is_found_again(monthly, term, premium):
    price = sum(premium / (1 + monthly) ** k for k in range(1, term + 1))
    assert solve_irr([-price] + [premium] * term).rate == pytest.approx(monthly, abs=1e-9)


@settings(max_examples=12)
@given(st.lists(st.tuples(st.floats(0.5, 1.3), st.integers(1, 72), st.integers(1, 1_000)), min_size=1, max_size=6))
def test_many_contracts_at_once_have_the_rates_they_have_one_by_one(deals):
    rows = [
        {"premium_minor": 100 * p, "term_months": n, "purchase_price_minor": round(100 * p * n * share)}
        for share, n, p in deals
    ]
    contracts = contracts_of(*rows)
    found = solve_yields(contracts, PLAN)["yields"].query("level == 'contract'").set_index("key")
    for row in contracts.itertuples():
        one = solve_irr([-row.purchase_price_minor] + [row.premium_minor] * row.term_months)
        assert found.loc[row.contract_id, "nominal_rate"] == pytest.approx(12 * one.rate, abs=1e-7)
        day = due_dates(contracts[contracts["contract_id"] == row.contract_id], PLAN)
        flow = [-row.purchase_price_minor] + [row.premium_minor] * row.term_months
        dated = solve_xirr([np.datetime64(row.start_date, "D"), *day], flow)
        assert found.loc[row.contract_id, "xirr_rate"] == pytest.approx(dated.rate, rel=1e-6, abs=1e-7)


@settings(max_examples=25)
@given(st.integers(1_000, 500_000), st.integers(100, 20_000), st.integers(1, 72), st.integers(2, 9))
def test_a_contract_of_the_same_shape_has_the_same_yield(price, premium, term, times):
    row = {"purchase_price_minor": price, "premium_minor": premium, "term_months": term}
    larger = row | {"purchase_price_minor": price * times, "premium_minor": premium * times}
    found = yields_of(row, larger).loc["contract"]
    assert found["effective_rate"].iloc[0] == pytest.approx(found["effective_rate"].iloc[1], rel=1e-12, nan_ok=True)
