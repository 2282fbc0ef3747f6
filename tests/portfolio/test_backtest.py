"""Calibration that knows only closed horizons, and what the scores measure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas_lib.core.calendars import business_calendar
from atlas_lib.portfolio.backtest import (
    LEVELS,
    choose_model,
    conformal_width,
    cover,
    interval_score,
    kind_widths,
    pinball_loss,
    rolling_widths,
    scores_needed,
    targets_of,
    wilson_interval,
)
from atlas_lib.portfolio.forecast_scores import Backtest, score_intervals
from atlas_lib.portfolio.forecasting import Paths, Series, month_edges


def test_nineteen_scores_are_needed_for_95_percent():
    assert [scores_needed(level) for level in LEVELS] == [4, 9, 19]
    assert np.isnan(rolling_widths(np.ones((18, 2)), 1, 0.95)).all()
    assert conformal_width(np.arange(1.0, 20.0)[:, None], 0.95).tolist() == [19.0]


def test_the_width_is_the_score_of_its_rank():
    # ceil(100 x 0.9) of 99 scores is the 90th.
    assert conformal_width(np.arange(1.0, 100.0)[::-1, None], 0.9).tolist() == [90.0]


@given(st.integers(4, 120), st.integers(0, 2**31), st.sampled_from(LEVELS))
def test_a_new_score_from_the_same_source_is_held_at_least_as_often_as_promised(count, seed, level):
    # Exchangeable scores: the rank of a new one is uniform, so P(score <= width) = ceil((n + 1) level) / (n + 1) >= level.
    if count < scores_needed(level):
        return
    scores = np.random.default_rng(seed).permutation(count + 1).astype(float)
    held = [scores[i] <= conformal_width(np.delete(scores, i)[:, None], level)[0] for i in range(count + 1)]
    assert np.mean(held) >= level - 1e-12
    assert np.mean(held) <= level + 1 / (count + 1)


def test_an_interval_knows_only_origins_whose_horizon_has_closed():
    # Horizon 5: at origin 30 the scores of origins 0 to 25 are known, that of 26 still needs the day 30 itself.
    scores = np.zeros((60, 1))
    for changed in (26, 30, 59):
        other = scores.copy()
        other[changed:] = 1e9
        assert rolling_widths(other, 5, 0.8)[30] == 0
    early = scores.copy()
    early[:26] = 7.0
    assert rolling_widths(early, 5, 0.8)[30] == 7.0


def test_a_kind_of_day_is_calibrated_on_its_own_closed_days():
    # One day ahead, every fifth day hard: day 94 is the nineteenth, of which 80 % are ceil(20 x .8) = 16.
    kind = (np.arange(121) % 5 == 4)[:, None]
    scores = np.where(kind[:120], np.arange(120)[:, None], 0.0)
    widths = kind_widths(scores, kind, 1, 0.8)
    assert np.isnan(widths[:20]).all()  # days 4, 9, 14 are too few, day 19 is the fourth
    assert np.isfinite(widths[20:]).all()
    assert widths[95:99].tolist() == [79.0] * 4
    assert kind_widths(scores, kind, 1, 0.95)[95] == 94.0
    assert widths[-1] == 99.0  # now: 24 days, ceil(25 x .8) = 20
    later = np.where(np.arange(120)[:, None] > 97, 1e9, scores)
    assert kind_widths(later, kind, 1, 0.8)[98] == 79.0


def test_month_ends_three_times_as_hard_are_held_as_often_as_promised():
    calendar, horizon = business_calendar("EUR"), 5
    dates = np.arange(np.datetime64("2017-01-01"), np.datetime64("2025-12-31"))
    dates = dates[np.is_busday(dates, busdaycal=calendar)]
    hard = month_edges(dates, calendar)
    flow = (np.where(hard, 3.0, 1.0) * np.random.default_rng(4).standard_normal(len(dates)))[:-horizon]
    origins = np.arange(50, len(flow) - horizon + 1)
    actual = flow[origins[:, None] + np.arange(horizon)]
    none = [Paths("none", np.zeros_like(actual), True)]
    found = Backtest(Series(dates, flow, calendar, 5, horizon), origins, none, actual, np.zeros(len(flow), np.int64))
    scores = score_intervals(found).set_index(["target", "segment", "level_rate"])
    for level in LEVELS:
        row = scores.loc[("daily", "month ends", level)]
        assert row["coverage_low_rate"] <= level <= row["coverage_high_rate"]
        wide, usual = row["mean_width_minor"], scores.loc[("daily", "all", level), "mean_width_minor"]
        assert wide > 1.2 * usual
    now = found.widths()[("daily", 0.8)]
    kind = hard[len(flow) :]
    assert kind.any() and not kind.all()
    assert now[kind].min() > 1.3 * now[~kind].max()


def test_the_first_interval_comes_when_enough_horizons_have_closed():
    widths = rolling_widths(np.ones((60, 1)), 10, 0.95)
    assert len(widths) == 60 + 1
    assert np.isnan(widths[:28]).all()
    assert np.isfinite(widths[28:]).all()  # origins 0 to 18 have closed by origin 28
    assert rolling_widths(np.ones((19, 1)), 10, 0.95)[-1].tolist() == [1.0]  # now, all nineteen have


def test_a_source_that_grows_wilder_is_followed():
    random = np.random.default_rng(4)
    scores = np.abs(random.standard_normal((900, 1))) * np.linspace(1, 4, 900)[:, None]
    held = scores <= rolling_widths(scores, 1, 0.9)[:-1]
    assert held[100:].mean() == pytest.approx(0.9, abs=0.015)


def test_the_model_of_a_day_is_the_one_that_was_best_by_then():
    actual = np.zeros((40, 3))
    late, early = np.full((40, 3), 5.0), np.ones((40, 3))
    late[:20] = 0.0  # the first model is right at first, and wrong later
    paths = [Paths("late", late, True), Paths("early", early, True), Paths("failed", np.full((40, 3), np.nan), False)]
    chosen = choose_model(paths, actual, 3)
    assert len(chosen) == 40 + 3
    assert (chosen[:24] == 0).all()
    assert chosen[-1] == 1
    assert 2 not in chosen


def test_a_position_is_the_running_sum_and_its_lowest_point_one_figure():
    found = targets_of(np.array([[1.0, -3.0, 5.0]]))
    assert found["cumulative"].tolist() == [[1, -2, 3]]
    assert found["minimum"].tolist() == [[-2]]


def test_scores_of_a_known_case():
    # Gneiting and Raftery (2007), equation 43: width 2, and 2 / 0.1 for each unit outside at 90 %.
    actual, low, high = np.array([0.0, 3.0]), np.array([-1.0, 0.0]), np.array([1.0, 2.0])
    assert interval_score(actual, low, high, 0.9) == pytest.approx([2.0, 22.0])
    assert 4 * pinball_loss(actual, low, high, 0.9) / 0.1 == pytest.approx([2.0, 22.0])


def test_wilson_s_interval():
    # Wilson (1927), as in Newcombe (1998), table I: 81 of 263: .2553 to .3662; 0 of 20: 0 to .1611.
    assert wilson_interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0.0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_overlapping_origins_count_as_fewer_cases():
    random = np.random.default_rng(5)
    single = random.random((600, 1)) < 0.8
    repeated = np.repeat(single[::10], 10, axis=0)  # the same answer ten times over
    apart, together = (cover(hits, np.ones_like(hits), 10) for hits in (single, repeated))
    assert together.case_count == apart.case_count == 600
    assert together.high - together.low > 2 * (apart.high - apart.low)
    assert cover(single, np.zeros_like(single), 10).case_count == 0
