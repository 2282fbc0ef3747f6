"""The level instalment against published values and numpy-financial."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import numpy_financial as npf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas_lib.portfolio.instalments import plan_instalments, unrounded_interest
from atlas_lib.portfolio.loans import YearFractions
from atlas_lib.portfolio.roots import solve_irr


def level_instalment(principal, term_count, period_rate, balloon=0.0):
    """The unrounded level payment; `period_rate` is one rate, or one for each period where they differ."""
    growth, factor = 1.0, 0.0
    for rate in np.broadcast_to(np.asarray(period_rate, dtype=np.float64), term_count).tolist():
        growth, factor = growth * (1 + rate), 1 + factor * (1 + rate)
    return (principal * growth - balloon) / factor


def test_level_payment_is_that_of_numpy_financial():
    # numpy-financial, tests/test_financial.py, TestPmt: pmt(0.08 / 12, 60, 15000), and 250 at rate 0.
    assert level_instalment(15_000, 60, 0.08 / 12) == pytest.approx(304.145914, abs=5e-7)
    assert level_instalment(15_000, 60, 0.0) == 250


def test_level_payment_has_the_decimal_digits_of_numpy_financial():
    # numpy-financial, tests/test_financial.py, TestPmt.test_decimal, which works with 28 digits throughout: its sum
    # of sixty roundings leaves the last five open. Ours is a fraction, without any.
    published = Decimal("304.1459143262052370338701494")
    assert -npf.pmt(Decimal("0.08") / Decimal(12), Decimal(60), Decimal(15_000)) == published
    exact = (unrounded_interest(15_000, 60, 0.08, "annuity") + 15_000) / 60
    assert abs(exact - Fraction(published)) < Fraction(2, 10**23)
    # The same in cents, as booked.
    plan = plan_instalments([1_500_000], [60], 0.08, "annuity")
    assert (plan.principal_minor + plan.interest_minor)[0] == 30_415


@pytest.mark.parametrize(("rate", "level"), [(0.0, 0.277777778), (0.06, 0.599550525), (0.12, 1.028612597)])
def test_level_payment_is_that_of_quantlib(rate, level):
    # QuantLib, test-suite/amortizingbond.cpp: principal 100 over 360 months.
    assert level_instalment(100, 360, rate / 12) == pytest.approx(level, abs=5e-10)


def test_an_odd_first_period_as_mathworks_pays_it():
    # MathWorks, Financial Toolbox, payodd(0.11, 24, 4000, 0, 36): one month and 6 of 30 days before the first payment.
    monthly = 0.11 / 12
    first = (1 + monthly) * (1 + monthly * 6 / 30) - 1
    assert level_instalment(4_000, 24, [first] + [monthly] * 23) == pytest.approx(186.7731, abs=5e-5)


@pytest.mark.parametrize(
    ("amount", "payment", "count", "per_year", "whole", "part", "apr"),
    [
        (5_000, 230.00, 24, 12, 1, 0, 9.69),
        (6_000, 200.00, 36, 12, 1, 19 / 30, 11.82),
        (5_000, 219.17, 24, 24, 0, 6 / 15, 10.34),
        (10_000, 385.00, 40, 4, 1, 39 / 90, 8.97),
        (500, 17.60, 30, 52, 4, 4 / 7, 14.96),
    ],
)
def test_a_level_payment_bears_the_annual_percentage_rate_of_regulation_z(
    amount, payment, count, per_year, whole, part, apr
):
    # US Regulation Z (12 CFR 1026), Appendix J (c)(1): the first payment after `whole` unit periods and a part of one.
    def at(percent):
        rate = percent / 100 / per_year
        first = (1 + rate * part) * (1 + rate) ** whole - 1
        return level_instalment(amount, count, [first] + [rate] * (count - 1))

    assert at(apr - 0.005) < payment <= at(apr + 0.005)


def test_instalments_in_advance_have_a_first_period_of_no_length():
    # curo-calculator, README: 10,000.00 in six instalments in advance at 12 %: 1,708.40; EU APR 12.68260859 %.
    assert level_instalment(10_000, 6, [0] + [0.01] * 5) == pytest.approx(1_708.40, abs=5e-3)
    plan = plan_instalments(
        [1_000_000], [6], 0.12, "annuity", fractions=YearFractions(np.array([0, 1, 1, 1, 1, 1]), 12)
    )
    paid = (plan.principal_minor + plan.interest_minor).tolist()
    assert paid == [170_840] * 5 + [170_839]
    yearly = (1 + solve_irr([1_000_000 - 170_840] + [-170_840] * 5).rate) ** 12 - 1
    assert yearly == pytest.approx(0.1268260859, abs=1e-9)


@given(st.integers(1_000, 100_000_000), st.integers(1, 480), st.integers(1, 300_000))
def test_unrounded_annuity_equals_numpy_financial(principal, term, millionths):
    rate = millionths / 1e6
    expected = -npf.pmt(rate / 12, term, principal)
    assert level_instalment(principal, term, rate / 12) == pytest.approx(expected, rel=1e-9)
    total = float(unrounded_interest(principal, term, rate, "annuity"))
    assert total == pytest.approx(expected * term - principal, rel=1e-6, abs=1e-6 * principal)


@given(st.integers(1_000, 100_000_000), st.integers(1, 120), st.integers(0, 300_000))
def test_the_last_instalment_is_as_near_to_the_level_one_as_a_cent_each_allows(principal, term, millionths):
    plan = plan_instalments([principal], [term], millionths / 1e6, "annuity")
    paid = plan.principal_minor + plan.interest_minor
    level = level_instalment(principal, term, millionths / 12e6)
    growth = (1 + millionths / 12e6) ** term
    assert abs(paid[0] - level) <= 1.51 or term == 1
    assert abs(paid[-1] - paid[0]) <= 2.5 * term * growth
