"""Exact rounding of period interest."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, localcontext

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from atlas_lib.portfolio.instalments import plan_instalments
from atlas_lib.portfolio.loans import round_ratio, whole_rates

ROUNDINGS = {"half_even": ROUND_HALF_EVEN, "half_up": ROUND_HALF_UP}
CENT = Decimal(1)


def test_interest_at_exactly_half_a_cent_is_rounded_as_decimal_rounds_it():
    # 18.00 at 7 %: 10.5 cents. The float 0.07 / 12 lies above 7 / 1,200, so a float product would give 11.
    assert plan_instalments([1_800], [1], 0.07).interest_minor.tolist() == [10]
    assert plan_instalments([1_800], [1], 0.07, rounding="half_up").interest_minor.tolist() == [11]


def test_rates_share_one_denominator():
    numerators, scale = whole_rates(np.array([0.07, 0.125, 0.07]))
    assert (numerators.tolist(), scale) == ([14, 25, 14], 200)


ratios = (st.integers(0, 10**5), st.integers(1, 10**6))


@given(st.integers(0, 10**12), *ratios, st.sampled_from(sorted(ROUNDINGS)))
def test_round_ratio_equals_decimal(value, numerator, denominator, rounding):
    assert round_ratio(np.array([value]), numerator, denominator, rounding).tolist() == [
        decimal_ratio(value, numerator, denominator, rounding)
    ]


@given(st.integers(-(10**12), 0), *ratios)
def test_a_negative_difference_is_rounded_half_to_even(value, numerator, denominator):
    expected = decimal_ratio(value, numerator, denominator, "half_even")
    assert round_ratio(np.array([value]), numerator, denominator).tolist() == [expected]


def decimal_ratio(value, numerator, denominator, rounding):
    with localcontext(prec=60):
        return int((Decimal(value) * numerator / denominator).quantize(CENT, ROUNDINGS[rounding]))
