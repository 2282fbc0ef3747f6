"""The level instalment against published values and numpy-financial."""

from __future__ import annotations

import numpy_financial as npf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas_lib.portfolio.annuities import level_instalment
from atlas_lib.portfolio.instalments import plan_instalments, unrounded_interest


def test_level_payment_is_that_of_numpy_financial():
    # numpy-financial, tests/test_financial.py, TestPmt: pmt(0.08 / 12, 60, 15000), and 250 at rate 0.
    assert level_instalment(15_000, 60, 0.08 / 12) == pytest.approx(304.145914, abs=5e-7)
    assert level_instalment(15_000, 60, 0.0) == 250


@pytest.mark.parametrize(("rate", "level"), [(0.0, 0.277777778), (0.06, 0.599550525), (0.12, 1.028612597)])
def test_level_payment_is_that_of_quantlib(rate, level):
    # QuantLib, test-suite/amortizingbond.cpp: principal 100 over 360 months.
    assert level_instalment(100, 360, rate / 12) == pytest.approx(level, abs=5e-10)


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
