"""An honest backtest: each past day's forecast, the model and the interval it could have had on that day, and the score.

Rows are origins one open day apart, columns days ahead. At an origin only those earlier origins count whose whole
horizon had closed by then: they choose the model and calibrate the intervals.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from atlas_lib.portfolio.forecasting import Paths

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]

LEVELS = (0.8, 0.9, 0.95)
TARGETS = ("daily", "cumulative", "minimum")
_MOST_SCORES = 120
_ADAPTATION = 0.005


@dataclass(frozen=True)
class Coverage:
    """How often an interval held what came, with the 95 % confidence interval of that share."""

    case_count: int
    origin_count: int
    rate: float
    low: float
    high: float


def scores_needed(level: float) -> int:
    """Fewest calibration scores for an interval at this level: 4, 9 and 19 for 80, 90 and 95 %."""
    return ceil(level / (1 - level) - 1e-9)


def conformal_width(scores: Numbers, level: float) -> Numbers:
    """Half width by column: the ceil((n + 1) x level)-th smallest score of n, at most the largest; NaN without scores.

    Source: Vovk, Gammerman and Shafer (2005), split conformal prediction.
    """
    if not len(scores):
        return np.full(scores.shape[1:], np.nan)
    rank = int(np.clip(ceil((len(scores) + 1) * level - 1e-9), 1, len(scores)))
    return np.asarray(np.partition(scores, rank - 1, axis=0)[rank - 1])


def choose_model(paths: list[Paths], actual: Numbers, horizon: int) -> NDArray[np.int64]:
    """Index of the model each origin uses, and of the one a next origin would use (last entry).

    It is the one with the smallest mean absolute error over the closed origins; before any has closed, the first
    that converged.
    """
    errors = np.array(
        [np.abs(p.forecast - actual).mean(axis=1) if p.is_converged else np.full(len(actual), np.inf) for p in paths]
    )
    count = len(actual)
    closed = np.clip(np.arange(count + horizon) - horizon + 1, 0, count)
    running = np.concatenate([np.zeros((len(paths), 1)), errors.cumsum(axis=1)], axis=1)
    running[~np.isfinite(errors[:, :1]).ravel()] = np.inf
    return np.asarray(np.argmin(running[:, closed], axis=0))


def targets_of(daily: Numbers) -> dict[str, Numbers]:
    """Daily flow, its running sum, and the lowest point of that sum (one column), from rows of daily flows."""
    position = daily.cumsum(axis=1)
    return {"daily": daily, "cumulative": position, "minimum": position.min(axis=1, keepdims=True)}


def rolling_widths(scores: Numbers, horizon: int, level: float, counted: Flags | None = None) -> Numbers:
    """Half width of every origin's interval, and last of the one for a forecast made now, when all have closed.

    It is calibrated on the newest (at most 120) closed origins, from `scores_needed` on. After each origin that
    closes, the level aimed at moves by 0.005 x (nominal level - share of its days that were held), so that a
    source that grows wilder does not stay under-covered. Where cells are `counted`, only their scores are, and a
    column without enough of them has no width.

    Source: Gibbs and Candes (2021), adaptive conformal inference.
    """
    out, aim = np.full((len(scores) + horizon, *scores.shape[1:]), np.nan), level
    for origin in range(horizon + scores_needed(level) - 1, len(out)):
        closed = origin - horizon + 1
        told = np.isfinite(out[closed - 1]) & (True if counted is None else counted[closed - 1])
        if told.any() and (counted is not None or told.all()):
            aim += _ADAPTATION * (level - float((scores[closed - 1] <= out[closed - 1])[told].mean()))
        newest = slice(max(0, closed - _MOST_SCORES), closed)
        if counted is None:
            out[origin] = conformal_width(scores[newest], aim)
        else:
            out[origin] = _width_of_counted(scores[newest], counted[newest], aim, scores_needed(level))
    return np.concatenate([out[: len(scores)], out[-1:]])


def _width_of_counted(scores: Numbers, counted: Flags, level: float, needed: int) -> Numbers:
    """`conformal_width` of each column's counted scores; NaN in a column with fewer than `needed` of them."""
    ordered, number = np.sort(np.where(counted, scores, np.inf), axis=0), counted.sum(axis=0)
    rank = np.clip(np.ceil((number + 1) * level - 1e-9).astype(np.int64), 1, np.maximum(number, 1))
    width = np.take_along_axis(ordered, rank[None] - 1, axis=0)[0]
    return np.where(number >= needed, width, np.nan)


def kind_widths(scores: Numbers, kind: Flags, horizon: int, level: float) -> Numbers:
    """Half width, by origin, from the errors on one kind of day alone, all closed origins and steps ahead together.

    NaN until `scores_needed` days of the kind have closed. A day has an error for each step it was forecast from, so
    days are errors over steps. The last row is for a forecast made now, as in `rolling_widths`.

    Source: Vovk, Gammerman and Shafer (2005), 4.5, conformal prediction within a category (Mondrian).
    """
    out = np.full(len(scores) + 1, np.nan)
    for row in range(len(out)):
        closed = len(scores) if row == len(scores) else max(row - horizon + 1, 0)
        known = scores[:closed][kind[:closed]]
        days = len(known) // scores.shape[1]
        if days >= scores_needed(level):
            share = min(ceil((days + 1) * level - 1e-9) / days, 1.0)
            rank = ceil(share * len(known) - 1e-9)
            out[row] = np.partition(known, rank - 1)[rank - 1]
    return out


def cover(hits: Flags, counted: Flags, horizon: int) -> Coverage:
    """Share of counted cases that were hit; origins overlap, so the interval is that of fewer, independent cases.

    Variance of the mean over origins by Newey and West (1987) with lag `horizon`; from it the number of
    independent cases, for which the interval is Wilson's (1927).
    """
    cases = counted.sum(axis=1)
    total = int(cases.sum())
    if total == 0:
        return Coverage(0, 0, float("nan"), float("nan"), float("nan"))
    rate = float((hits & counted).sum() / total)
    deviation = ((hits & counted).sum(axis=1) - rate * cases).astype(np.float64)
    variance = float(deviation @ deviation)
    for lag in range(1, min(horizon, len(deviation) - 1) + 1):
        variance += 2 * (1 - lag / (horizon + 1)) * float(deviation[lag:] @ deviation[:-lag])
    origins = int((cases > 0).sum())
    fewest = min(max(origins / horizon, 1.0), total)
    independent = rate * (1 - rate) * total**2 / variance if variance > 0 and 0 < rate < 1 else fewest
    low, high = wilson_interval(rate, float(np.clip(independent, fewest, total)))
    return Coverage(total, origins, rate, low, high)


def wilson_interval(rate: float, count: float, level: float = 0.95) -> tuple[float, float]:
    """Confidence interval of a share seen in `count` cases. Source: Wilson (1927)."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    centre = (rate + z * z / (2 * count)) / (1 + z * z / count)
    reach = z * sqrt(rate * (1 - rate) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return max(centre - reach, 0.0), min(centre + reach, 1.0)


def interval_score(actual: Numbers, low: Numbers, high: Numbers, level: float) -> Numbers:
    """Width + 2 / (1 - level) x how far the value lies outside. Source: Gneiting and Raftery (2007), 43."""
    outside = np.maximum(low - actual, 0) + np.maximum(actual - high, 0)
    return np.asarray(high - low + 2 / (1 - level) * outside)


def pinball_loss(actual: Numbers, low: Numbers, high: Numbers, level: float) -> Numbers:
    """Mean quantile loss of the two bounds, at (1 - level) / 2 and (1 + level) / 2."""
    return np.asarray(
        sum(_quantile_loss(actual, bound, q) for bound, q in ((low, (1 - level) / 2), (high, (1 + level) / 2))) / 2
    )


def _quantile_loss(actual: Numbers, bound: Numbers, quantile: float) -> Numbers:
    return np.asarray(np.maximum(quantile * (actual - bound), (quantile - 1) * (actual - bound)))
