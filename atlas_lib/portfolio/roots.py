"""The rates at which a cash flow is worth nothing: one flow with all its roots, or very many level ones at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from atlas_lib.portfolio.daycounts import DayCount, year_fractions

Amounts = NDArray[np.float64]

_LOWEST, _HIGHEST = -0.99, 10.0
_STEPS = 7
# Where the name differs; a candidate that is no root by our own count is searched for anyway.
_PYXIRR_NAME = {"30/360": "30/360 ISDA", "months": "30/360 ISDA"}


@dataclass(frozen=True)
class Root:
    """The rate of one cash flow per unit of time, with what is needed to trust it."""

    rate: float | None
    sign_change_count: int
    roots: tuple[float, ...]


def solve_irr(amounts: ArrayLike) -> Root:
    """The rate per period of one flow; amounts in equal steps, the first one now."""
    import pyxirr

    flow = np.asarray(amounts, dtype=np.float64)
    return _solved(flow, np.arange(len(flow), dtype=np.float64), lambda: pyxirr.irr(flow, silent=True))


def solve_xirr(dates: ArrayLike, amounts: ArrayLike, day_count: DayCount = "ACT/365F") -> Root:
    """The yearly rate of one dated flow, in any order: sum(amount / (1 + r)^years) = 0, years by the day count."""
    import pyxirr

    days, flow = np.asarray(dates).astype("datetime64[D]"), np.asarray(amounts, dtype=np.float64)
    order = np.argsort(days, kind="stable")
    days, flow = days[order], flow[order]
    length = year_fractions(np.broadcast_to(days[:1], days.shape), days, day_count)
    years = np.asarray(length.numerator) / length.denominator
    return _solved(
        flow, years, lambda: pyxirr.xirr(days, flow, silent=True, day_count=_PYXIRR_NAME.get(day_count, day_count))
    )


def _solved(amounts: Amounts, times: Amounts, candidate: Callable[[], float | None]) -> Root:
    """One change of sign has exactly one root above -100 % (Descartes): pyxirr's, if its present value is nil.

    Otherwise the range -99 % to 1,000 % is searched for every root; several roots give no rate.
    """
    changes = sign_changes(amounts)
    if changes == 1:
        rate = candidate()
        if rate is not None and _is_root(rate, amounts, times):
            return Root(rate, 1, (rate,))
    roots = find_roots(amounts, times) if changes else ()
    return Root(roots[0] if len(roots) == 1 else None, changes, roots)


def sign_changes(amounts: Amounts) -> int:
    """How often the flow turns from out to in or back; zeros are passed over."""
    signs = np.sign(amounts[amounts != 0])
    return int((signs[1:] != signs[:-1]).sum())


def find_roots(amounts: Amounts, times: Amounts) -> tuple[float, ...]:
    """Every rate from -99 % to 1,000 % at which the present value changes sign, ascending.

    The present value is taken on 700 steps of 1 % in 1 + r and each bracket is halved to machine precision; two
    rates within one step of each other would be missed.
    """
    grid = np.linspace(np.log1p(_LOWEST), np.log1p(_HIGHEST), 701)
    values = _present_value(amounts, times, grid)
    found = [grid[i] for i in np.flatnonzero(values == 0)]
    for i in np.flatnonzero(values[:-1] * values[1:] < 0):
        low, high, sign = grid[i], grid[i + 1], np.sign(values[i])
        for _ in range(50):
            middle = (low + high) / 2
            if np.sign(_present_value(amounts, times, np.array([middle]))[0]) == sign:
                low = middle
            else:
                high = middle
        found.append((low + high) / 2)
    return tuple(float(np.expm1(x)) for x in sorted(found))


def _present_value(amounts: Amounts, times: Amounts, log_rates: Amounts) -> Amounts:
    """Scaled by the largest discount factor, that of the first or the last flow, so that nothing overflows."""
    factors = np.multiply.outer(-log_rates, times)
    factors -= np.maximum(factors[:, -1:], 0)
    np.exp(factors, out=factors)
    factors *= amounts
    return np.asarray(factors.sum(axis=1))


def _is_root(rate: float, amounts: Amounts, times: Amounts) -> bool:
    if not np.isfinite(rate) or rate <= -1:
        return False
    value = _present_value(amounts, times, np.array([np.log1p(rate)]))[0]
    return bool(abs(value) <= 1e-7 * np.abs(amounts).sum())


def solve_many(amounts: Amounts, times: Amounts, first: NDArray[np.int64]) -> Amounts:
    """The rate per unit of time of many flows, flat, each turning once from out to in; NaN where none was found.

    Newton's method on log(value of what comes in) - log(value of what goes out) as a function of log(1 + rate),
    which is nearly a straight line; a rate counts only where the present value is nil. `first` holds the cell at
    which each flow begins.
    """
    size = np.diff(first, append=len(amounts))
    came, went = np.maximum(amounts, 0), np.maximum(-amounts, 0)
    log_rate, total = np.zeros(len(first)), np.add.reduceat(np.abs(amounts), first)
    with np.errstate(all="ignore"):
        for _ in range(_STEPS):
            factor = np.exp(-np.repeat(log_rate, size) * times)
            inward, outward = np.add.reduceat(came * factor, first), np.add.reduceat(went * factor, first)
            factor *= times
            slope = np.add.reduceat(went * factor, first) / outward - np.add.reduceat(came * factor, first) / inward
            log_rate = log_rate - (np.log(inward) - np.log(outward)) / slope
        factor = np.exp(-np.repeat(log_rate, size) * times)
        value = np.abs(np.add.reduceat(amounts * factor, first))
        return np.asarray(np.where(value <= 1e-9 * total, np.expm1(log_rate), np.nan))
