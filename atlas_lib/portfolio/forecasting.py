"""Forecasts of a daily flow from every past day at once: structural model, exponential smoothing, seasonal naive.

`y[:o]` is known at origin o; step h = 1 is day o. Parameters are estimated on days before the origins that use
them, and only the state is carried on from day to day, so that no forecast knows what came after its origin.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas_lib.core.calendars import Dates

Numbers = NDArray[np.float64]
Origins = NDArray[np.int64]

_FIT_COUNT = 3


@dataclass(frozen=True)
class Series:
    """A daily flow and its calendar; `dates` go on beyond `flow` by the days to forecast."""

    dates: Dates
    flow: Numbers
    calendar: np.busdaycalendar
    season: int
    horizon: int

    @property
    def terms(self) -> Numbers:
        return calendar_terms(self.dates, self.calendar)


@dataclass(frozen=True)
class Paths:
    """Forecasts of one model; `forecast[i, h]` is made at `origins[i]` for day origins[i] + h."""

    model: str
    forecast: Numbers
    is_converged: bool

    def only(self, days: slice) -> Paths:
        return Paths(self.model, self.forecast[:, days], self.is_converged)


def calendar_terms(dates: Dates, calendar: np.busdaycalendar) -> Numbers:
    """Indicator columns: weekdays, first and last two open days of the month, around holidays, year end.

    A day is around a holiday when the weekday before or after it is closed, or when it is closed itself.
    """
    day, month = dates.astype("datetime64[D]"), dates.astype("datetime64[M]")
    weekday = (day.astype(np.int64) + 3) % 7
    present = np.unique(weekday)[1:]
    columns = [weekday == d for d in present]
    first = np.busday_offset(month.astype("datetime64[D]"), 0, roll="forward", busdaycal=calendar)
    last = np.busday_offset((month + 1).astype("datetime64[D]"), -1, roll="forward", busdaycal=calendar)
    columns += [day == np.busday_offset(first, k, busdaycal=calendar) for k in (0, 1)]
    columns += [day == np.busday_offset(last, -k, busdaycal=calendar) for k in (0, 1)]
    columns += list(holiday_terms(day, calendar))
    of_year = (day - day.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64)
    columns.append((of_year < 3) | ((month.astype(np.int64) % 12 == 11) & (_day_of_month(day) >= 27)))
    return np.column_stack(columns).astype(np.float64)


def holiday_terms(day: Dates, calendar: np.busdaycalendar) -> tuple[NDArray[np.bool_], ...]:
    """The weekday before is closed; the weekday after is closed; the day is itself a closed weekday."""
    week = np.busdaycalendar()
    before = np.busday_offset(day, -1, roll="forward", busdaycal=week)
    after = np.busday_offset(day, 1, roll="backward", busdaycal=week)
    is_closed = np.is_busday(day, busdaycal=week) & ~np.is_busday(day, busdaycal=calendar)
    return ~np.is_busday(before, busdaycal=calendar), ~np.is_busday(after, busdaycal=calendar), is_closed


def month_edges(dates: Dates, calendar: np.busdaycalendar) -> NDArray[np.bool_]:
    """First two and last two open days of a month."""
    count = len(np.unique((dates.astype("datetime64[D]").astype(np.int64) + 3) % 7)) - 1
    return np.asarray(calendar_terms(dates, calendar)[:, count : count + 4].any(axis=1))


def forecast_paths(series: Series, origins: Origins) -> list[Paths]:
    """Every model's forecasts at the given origins, ascending; those that did not converge are marked."""
    return [
        _refitted("structural", series, origins, _structural),
        _refitted("exponential smoothing", series, origins, _smoothing),
        Paths("seasonal naive", _seasonal_naive(series, origins), True),
    ]


def naive_error(series: Series, known: int) -> float:
    """Mean absolute error of the seasonal naive forecast one season ahead, within the first `known` days (MASE's unit)."""
    past = series.flow[:known]
    return float(np.abs(past[series.season :] - past[: -series.season]).mean())


Forecaster = Callable[[Series, int, Origins], Numbers | None]


def _refitted(model: str, series: Series, origins: Origins, forecaster: Forecaster) -> Paths:
    """Origins in a few blocks, each forecast with parameters estimated on what its first origin knows."""
    edges = np.unique(np.linspace(0, len(origins), min(_FIT_COUNT, len(origins)) + 1).astype(int))
    parts = [forecaster(series, int(origins[low]), origins[low:high]) for low, high in pairwise(edges.tolist())]
    whole = [p for p in parts if p is not None]
    if len(whole) < len(parts):
        return Paths(model, np.full((len(origins), series.horizon), np.nan), False)
    return Paths(model, np.concatenate(whole), True)


def _structural(series: Series, known: int, origins: Origins) -> Numbers | None:
    """Local level + AR(1) + calendar terms whose size is a state; without the AR(1) where that does not converge."""
    terms = series.terms
    usable = terms[:, (terms[:known] != 0).sum(axis=0) >= 2]
    scale = float(np.std(series.flow[:known])) or 1.0
    padded = np.concatenate([series.flow / scale, np.full(len(series.dates) - len(series.flow), np.nan)])
    for extra in ({"autoregressive": 1}, {}):
        found = _state_space(padded, usable, known, extra)
        if found is not None:
            return _walked(*found, origins, series.horizon) * scale
    return None


def _state_space(y: Numbers, terms: Numbers, known: int, extra: dict[str, int]) -> tuple[Any, Numbers] | None:
    from statsmodels.tools.sm_exceptions import ConvergenceWarning
    from statsmodels.tsa.statespace.structural import UnobservedComponents

    def model(count: int) -> Any:
        return UnobservedComponents(y[:count], level="llevel", exog=terms[:count], mle_regression=False, **extra)

    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            fitted = model(known).fit(disp=0, maxiter=100)
        except (ConvergenceWarning, ValueError, np.linalg.LinAlgError):
            return None
    if not fitted.mle_retvals["converged"]:
        return None
    whole = model(len(y))
    return whole.ssm, whole.filter(fitted.params).filtered_state


def _walked(space: Any, states: Numbers, origins: Origins, horizon: int) -> Numbers:
    """State at each origin carried forward: y(o + h) = Z(o + h) T^h state(o)."""
    design, step = space["design"][0], space["transition"]
    state, out = states[:, origins - 1], np.empty((len(origins), horizon))
    for h in range(horizon):
        state = step @ state
        out[:, h] = (design[:, origins + h] * state).sum(axis=0)
    return out


def _smoothing(series: Series, known: int, origins: Origins) -> Numbers | None:
    """ETS(A, N, A): level and season by exponential smoothing."""
    from statsmodels.tools.sm_exceptions import ConvergenceWarning
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    form = {"error": "add", "seasonal": "add", "seasonal_periods": series.season}
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            first = ETSModel(series.flow[:known], initialization_method="heuristic", **form)
            fitted = first.fit(disp=0)
        except (ConvergenceWarning, ValueError, np.linalg.LinAlgError):
            return None
    if not fitted.mle_retvals.get("converged", False):
        return None
    start = {"initial_level": first.initial_level, "initial_seasonal": first.initial_seasonal}
    states = np.asarray(
        ETSModel(series.flow, initialization_method="known", **start, **form).smooth(fitted.params).states
    )
    steps = np.arange(1, series.horizon + 1)
    back = steps - series.season * np.ceil(steps / series.season).astype(int)
    return np.asarray(states[origins - 1, 0][:, None] + states[origins[:, None] - 1 + back, 1])


def _seasonal_naive(series: Series, origins: Origins) -> Numbers:
    steps = np.arange(series.horizon)
    return np.asarray(series.flow[origins[:, None] + steps - series.season * (1 + steps // series.season)])


def _day_of_month(day: Dates) -> NDArray[np.int64]:
    return np.asarray((day - day.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64) + 1)
