"""Forecasts from many origins at once, held against forecasting from each origin by itself."""

from __future__ import annotations

import numpy as np
import pytest

from atlas_lib.core.calendars import business_calendar
from atlas_lib.portfolio import forecasting
from atlas_lib.portfolio.forecasting import (
    Series,
    calendar_terms,
    forecast_paths,
    holiday_terms,
    month_edges,
    naive_error,
)

CALENDAR = business_calendar("EUR")
HORIZON = 5


def open_days(count, first="2025-01-02"):
    days = np.arange(np.datetime64(first), np.datetime64(first) + 2 * count + 30)
    return days[np.is_busday(days, busdaycal=CALENDAR)][:count]


def series_of(count=160, seed=1, noise=30.0):
    dates = open_days(count + HORIZON)
    random = np.random.default_rng(seed)
    weekly = np.array([100.0, -50, 20, 60, -120])[(dates.astype(int) + 3) % 7]
    flow = (weekly + 500 * month_edges(dates, CALENDAR) + noise * random.standard_normal(len(dates)))[:count]
    return Series(dates, flow, CALENDAR, 5, HORIZON)


def test_the_calendar_knows_weekdays_month_ends_holidays_and_year_ends():
    days = np.array(["2026-04-02", "2026-04-07", "2026-04-30", "2026-05-04", "2026-12-29"], dtype="datetime64[D]")
    before, after, closed = holiday_terms(days, CALENDAR)
    assert before.tolist() == [False, True, False, True, False]  # Easter Monday; 1 May, a Friday
    assert after.tolist() == [True, False, True, False, False]
    assert not closed.any()
    assert month_edges(days, CALENDAR).tolist() == [True, False, True, True, False]
    terms = calendar_terms(days, CALENDAR)
    assert terms[:, -1].tolist() == [0, 0, 0, 0, 1]
    assert holiday_terms(np.array(["2026-05-01"], dtype="datetime64[D]"), CALENDAR)[2].all()


def test_calendar_effects_are_learned_and_foreseen():
    series = series_of(noise=1.0)
    origins = np.arange(120, 156)
    actual = series.flow[origins[:, None] + np.arange(HORIZON)]
    structural, smoothing, naive = forecast_paths(series, origins)
    error = {p.model: np.abs(p.forecast - actual).mean() for p in (structural, smoothing, naive)}
    assert error["structural"] < 10
    assert error["exponential smoothing"] > 50
    assert naive_error(series, 120) > 100


def test_the_state_carried_on_gives_statsmodels_own_forecast():
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel
    from statsmodels.tsa.statespace.structural import UnobservedComponents

    series, origin = series_of(), 100
    structural, smoothing, naive = forecast_paths(series, np.array([origin]))
    terms = series.terms[:, (series.terms[:origin] != 0).sum(axis=0) >= 2]
    scale = np.std(series.flow[:origin])
    model = UnobservedComponents(
        series.flow[:origin] / scale, level="llevel", autoregressive=1, exog=terms[:origin], mle_regression=False
    )
    theirs = model.fit(disp=0, maxiter=100).forecast(HORIZON, exog=terms[origin : origin + HORIZON]) * scale
    assert structural.forecast[0] == pytest.approx(theirs, rel=1e-6)
    ets = ETSModel(
        series.flow[:origin], error="add", seasonal="add", seasonal_periods=5, initialization_method="heuristic"
    )
    assert smoothing.forecast[0] == pytest.approx(ets.fit(disp=0).forecast(HORIZON), rel=1e-6)
    assert naive.forecast[0].tolist() == series.flow[origin - 5 : origin].tolist()


def test_no_forecast_knows_what_comes_after_its_origin():
    series, origins = series_of(), np.arange(100, 140)
    changed = series.flow.copy()
    changed[120:] = 1e6
    other = Series(series.dates, changed, CALENDAR, 5, HORIZON)
    for before, after in zip(forecast_paths(series, origins), forecast_paths(other, origins), strict=True):
        np.testing.assert_allclose(before.forecast[:21], after.forecast[:21], rtol=1e-9, err_msg=before.model)
        assert not np.allclose(before.forecast[21:], after.forecast[21:])


def test_a_fit_that_does_not_converge_is_marked_and_gives_nothing(monkeypatch):
    monkeypatch.setattr(forecasting, "_state_space", lambda *_: None)
    structural = forecast_paths(series_of(), np.arange(100, 110))[0]
    assert not structural.is_converged
    assert np.isnan(structural.forecast).all()


def test_the_seasonal_naive_goes_back_whole_seasons():
    series = series_of()
    longer = Series(series.dates, series.flow, CALENDAR, 5, 8)
    path = forecasting._seasonal_naive(longer, np.array([50]))[0]
    assert path.tolist() == [*series.flow[45:50], *series.flow[45:48]]
