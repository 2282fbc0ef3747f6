"""The backtest of one daily series as tables: accuracy by model, coverage and scores of the intervals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from atlas_lib.portfolio import backtest
from atlas_lib.portfolio.backtest import Flags, Numbers
from atlas_lib.portfolio.forecasting import Paths, Series, forecast_paths, holiday_terms, month_edges, naive_error


@dataclass(frozen=True)
class Backtest:
    """Every origin's actual path and forecasts, the model it could choose, and what a next origin would use."""

    series: Series
    origins: NDArray[np.int64]
    paths: list[Paths]
    actual: Numbers
    chosen: NDArray[np.int64]

    @property
    def used(self) -> Numbers:
        """The forecasts that would have been used, each origin with the model it could choose by then."""
        stacked = np.array([p.forecast for p in self.paths])
        return np.asarray(stacked[self.chosen[: len(self.origins)], np.arange(len(self.origins))])

    @property
    def next_model(self) -> str:
        return self.paths[int(self.chosen[-1])].model

    def widths(self, known: Numbers | None = None) -> dict[tuple[str, float], Numbers]:
        """Half widths for a forecast made now, by target and level."""
        scores = self.scores(known)
        return {(t, level): w[-1] for t in scores for level, w in self.calibrated(t, scores[t]).items()}

    def calibrated(self, target: str, scores: Numbers) -> dict[float, Numbers]:
        """By level, half width of every origin's interval, and last of the one for a forecast made now.

        Days at a month's ends and around holidays are harder to forecast than others: where enough of them have
        closed, their width comes from their own errors, and that of the other days from those of other days. Errors
        of a position are put on one scale by the square root of the days ahead. An interval is never narrower than
        one of a lower level.
        """
        steps, found, narrower = scores.shape[1], {}, np.zeros(1)
        scale = np.sqrt(np.arange(1, steps + 1)) if target == "cumulative" else np.ones(steps)
        kinds = {} if target == "minimum" else self.day_kinds(steps)
        for level in backtest.LEVELS:
            widths = backtest.rolling_widths(scores, self.series.horizon, level)
            if kinds:
                other = ~np.any(list(kinds.values()), axis=0)
                own = backtest.rolling_widths(scores, self.series.horizon, level, other[:-1])
                widths = np.where(other & np.isfinite(own) & np.isfinite(widths), own, widths)
            for kind in kinds.values():
                own = backtest.kind_widths(scores / scale, kind, self.series.horizon, level)[:, None]
                widths = np.where(kind & np.isfinite(own) & np.isfinite(widths), own * scale, widths)
            found[level] = np.where(np.isfinite(widths), np.fmax(widths, narrower), np.nan)
            narrower = found[level]
        return found

    def day_kinds(self, steps: int) -> dict[str, Flags]:
        """Whether each origin's last `steps` days are of a kind, and last those of a forecast made now."""
        series = self.series
        is_kind = {
            "month ends": month_edges(series.dates, series.calendar),
            "around holidays": np.any(holiday_terms(series.dates, series.calendar), axis=0),
        }
        origins = np.append(self.origins, len(series.flow))
        day = origins[:, None] + np.arange(series.horizon - steps, series.horizon)
        return {name: flags[day] for name, flags in is_kind.items()}

    def scores(self, known: Numbers | None = None) -> dict[str, Numbers]:
        """Absolute errors by target; `known` flows of each origin's path move its lowest point."""
        more = 0.0 if known is None else known
        actual, used = backtest.targets_of(self.actual + more), backtest.targets_of(self.used + more)
        return {name: np.abs(actual[name] - used[name]) for name in actual}


def run_backtest(series: Series, training_count: int, origin_count: int = 500) -> Backtest:
    """Forecasts from every day after the training days whose horizon has closed, the newest `origin_count` of them."""
    count, horizon = len(series.flow), series.horizon
    origins = np.arange(max(training_count, count - horizon - origin_count + 1), count - horizon + 1)
    paths = forecast_paths(series, origins)
    actual = series.flow[origins[:, None] + np.arange(horizon)]
    return Backtest(series, origins, paths, actual, backtest.choose_model(paths, actual, horizon))


def score_models(found: Backtest) -> pd.DataFrame:
    """Accuracy by model and segment: MASE (against the seasonal naive in training), mean absolute error, bias."""
    unit = naive_error(found.series, int(found.origins[0])) or float("nan")
    used = Paths("used", found.used, True)
    rows = []
    for path in [*found.paths, used]:
        for segment, counted in _segments(found):
            error = np.where(counted, path.forecast - found.actual, np.nan)
            absolute = float(np.nanmean(np.abs(error))) if path.is_converged and counted.any() else float("nan")
            rows.append(
                {
                    "model": path.model, "segment": segment, "case_count": int(counted.sum()), "is_converged": path.is_converged,
                    "mase": absolute / unit, "mean_error_minor": absolute,
                    "bias_minor": float(np.nanmean(error)) if path.is_converged and counted.any() else float("nan"),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def score_intervals(found: Backtest, known: Numbers | None = None) -> pd.DataFrame:
    """Coverage with its confidence interval, width, interval score and pinball loss by target, segment and level."""
    more = 0.0 if known is None else known
    actual, used = backtest.targets_of(found.actual + more), backtest.targets_of(found.used + more)
    rows = []
    for target in backtest.TARGETS:
        widths = found.calibrated(target, np.abs(actual[target] - used[target]))
        for level in backtest.LEVELS:
            width = widths[level][:-1]
            for segment, counted in _segments_of(found, target):
                rows.append(
                    {"target": target, "segment": segment, "level_rate": level}
                    | _scored(
                        actual[target], used[target], width, counted & np.isfinite(width), level, found.series.horizon
                    )
                )
    frame = pd.DataFrame(rows)
    return frame[frame["case_count"] > 0].reset_index(drop=True)


def _scored(
    actual: Numbers, centre: Numbers, width: Numbers, counted: Flags, level: float, horizon: int
) -> dict[str, float]:
    cover = backtest.cover(np.abs(actual - centre) <= width, counted, horizon)
    low, high = centre - width, centre + width
    return {
        "case_count": cover.case_count, "origin_count": cover.origin_count, "coverage_rate": cover.rate,
        "coverage_low_rate": cover.low, "coverage_high_rate": cover.high, "mean_width_minor": _mean(2 * width, counted),
        "interval_score_minor": _mean(backtest.interval_score(actual, low, high, level), counted),
        "pinball_minor": _mean(backtest.pinball_loss(actual, low, high, level), counted),
    }  # fmt: skip


def _mean(values: Numbers, counted: Flags) -> float:
    return float(values[counted].mean()) if counted.any() else float("nan")


def _segments_of(found: Backtest, target: str) -> Iterator[tuple[str, Flags]]:
    if target == "minimum":
        yield "all", np.ones((len(found.origins), 1), dtype=bool)
    else:
        yield from _segments(found)


def _segments(found: Backtest) -> Iterator[tuple[str, Flags]]:
    """All days; each day of the horizon; days around holidays; first and last two open days of a month."""
    shape = found.actual.shape
    yield "all", np.ones(shape, dtype=bool)
    for h in range(found.series.horizon):
        yield f"day {h + 1}", np.broadcast_to(np.arange(found.series.horizon) == h, shape)
    for name, kind in found.day_kinds(shape[1]).items():
        yield name, kind[:-1]
