"""Year fractions against QuantLib and published values."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
import QuantLib as ql
from hypothesis import example, given
from hypothesis import strategies as st

from atlas_lib.portfolio.daycounts import year_fractions

QUANTLIB = {
    "30/360": ql.Thirty360(ql.Thirty360.BondBasis),
    "30E/360": ql.Thirty360(ql.Thirty360.European),
    "ACT/360": ql.Actual360(),
    "ACT/365F": ql.Actual365Fixed(),
    "ACT/ACT ISDA": ql.ActualActual(ql.ActualActual.ISDA),
}
days = st.dates(date(1995, 1, 1), date(2060, 12, 31))


def fraction(start, end, day_count):
    length = year_fractions([start], [end], day_count)
    return length.numerator[0] / length.denominator


def test_actual_actual_over_a_leap_year_end():
    # QuantLib, test-suite/daycounters.cpp, testActualActual: ISDA, 1 November 2003 to 1 May 2004.
    assert fraction("2003-11-01", "2004-05-01", "ACT/ACT ISDA") == pytest.approx(0.497724380567, abs=5e-13)


@given(days, days, st.sampled_from(sorted(QUANTLIB)))
@example(date(2024, 1, 30), date(2024, 3, 31), "30/360")
@example(date(2024, 2, 29), date(2024, 3, 31), "30/360")
def test_every_day_count_is_that_of_quantlib(one, other, day_count):
    start, end = min(one, other), max(one, other)
    theirs = QUANTLIB[day_count].yearFraction(*(ql.Date(d.day, d.month, d.year) for d in (start, end)))
    assert fraction(start, end, day_count) == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize(
    ("start", "end", "months"),
    [
        ("2024-01-31", "2024-02-29", 1),  # the end of a shorter month
        ("2024-02-29", "2024-03-31", 1),
        ("2024-01-15", "2024-02-01", 17 / 31),  # 17 days of January
        ("2024-01-10", "2024-02-15", 1 + 5 / 31),
        ("2023-11-15", "2025-11-15", 24),
    ],
)
def test_whole_months_count_a_twelfth_and_odd_days_their_share(start, end, months):
    assert 12 * fraction(start, end, "months") == pytest.approx(months)


@given(days, st.integers(1, 60))
def test_anchored_periods_are_always_whole_months(start, count):
    from atlas_lib.core.calendars import add_months

    ends = add_months(np.datetime64(start), np.arange(count + 1))
    length = year_fractions(ends[:-1], ends[1:], "months")
    assert (12 * length.numerator == length.denominator).all()
