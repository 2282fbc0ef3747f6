"""Random loans against QuantLib: dates, interest and balances."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import numpy as np
import pytest
import QuantLib as ql
from hypothesis import given
from hypothesis import strategies as st

from atlas_lib.core.settings import PortfolioSettings
from atlas_lib.portfolio.instalments import plan_instalments
from atlas_lib.portfolio.schedules import due_dates, plan_schedule
from tests.portfolio.portfolio_frames import contracts_of, small_contract
from tests.portfolio.test_daycounts import QUANTLIB

ROLLS = {
    "modifiedfollowing": ql.ModifiedFollowing,
    "following": ql.Following,
    "preceding": ql.Preceding,
    "unadjusted": ql.Unadjusted,
}
starts = st.dates(date(2005, 1, 1), date(2035, 12, 31))


def quantlib_dates(start, term, rule, calendar=None):
    first = ql.Date(start.day, start.month, start.year)
    return list(
        ql.Schedule(
            first, ql.NullCalendar().advance(first, term, ql.Months), ql.Period(1, ql.Months), calendar or ql.NullCalendar(),
            ql.Unadjusted, ql.Unadjusted, ql.DateGeneration.Forward, False,
        )
    ) if rule == "unadjusted" else [(calendar).adjust(d, ROLLS[rule]) for d in quantlib_dates(start, term, "unadjusted")]  # fmt: skip


@given(starts, st.integers(1, 90), st.sampled_from(sorted(ROLLS)))
def test_payment_dates_are_those_of_quantlib_s_target_calendar(start, term, rule):
    settings = PortfolioSettings(business_day_rule=rule)
    ours = due_dates(contracts_of(small_contract(100 * term, term, start_date=str(start))), settings)
    theirs = [d.ISO() for d in quantlib_dates(start, term, rule, ql.TARGET())][1:]
    assert [str(d) for d in ours] == theirs


@given(
    starts, st.integers(100, 50_000_000), st.integers(1, 90), st.integers(0, 250_000),
    st.sampled_from(sorted(QUANTLIB)), st.sampled_from(["linear", "annuity", "balloon", "interest_only"]),
)  # fmt: skip
def test_interest_is_opening_times_rate_times_quantlib_s_year_fraction(start, face, term, millionths, day_count, kind):
    settings = PortfolioSettings(
        annual_rate=millionths / 1e6, day_count=day_count, schedule_type=kind, business_day_rule="unadjusted"
    )
    schedule = plan_schedule(contracts_of(small_contract(face, term, start_date=str(start))), settings)["schedule"]
    dates = quantlib_dates(start, term, "unadjusted")
    years = [QUANTLIB[day_count].yearFraction(a, b) for a, b in pairwise(dates)]
    exact = schedule["opening_minor"].to_numpy() * millionths / 1e6 * np.array(years)
    assert np.abs(schedule["interest_minor"].to_numpy() - exact).max() <= 0.5 + 1e-6


@given(st.integers(10_000, 50_000_000), st.integers(2, 120), st.integers(100, 200_000))
def test_annuity_balances_are_quantlib_s_sinking_notionals_but_for_rounding(face, term, millionths):
    rate = millionths / 1e6
    theirs = np.array(ql.sinkingNotionals(ql.Period(term, ql.Months), ql.Monthly, rate, float(face)))
    ours = plan_instalments([face], [term], rate, "annuity").outstanding_minor
    allowed = term * (1 + rate / 12) ** term + 1
    assert np.abs(ours - theirs[1 : term + 1]).max() <= allowed


def test_quantlib_s_notionals_are_those_of_a_level_payment():
    theirs = np.array(ql.sinkingNotionals(ql.Period(12, ql.Months), ql.Monthly, 0.12, 1_000_000.0))
    assert theirs[1] == pytest.approx(1_000_000 - (88_848.79 - 10_000), abs=0.01)
