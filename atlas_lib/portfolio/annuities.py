"""Level repayment: of the instalment (annuity, balloon) or of the principal (linear); the residue in the last one."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from atlas_lib.portfolio.loans import Cells, Loans, Whole, blocks_of, piece_of, round_ratio
from atlas_lib.portfolio.repayment import repay


def repay_annuity(loans: Loans, plan: Cells) -> None:
    """Fill principal, interest and outstanding of every cell, at a level instalment.

    Where the last instalment is off by more than floor(n / 2) minor units, the level moves by difference / n
    and the better of the two plans is kept.
    """
    level = np.empty(len(loans.term), np.int64)
    for part, rows, cells in blocks_of(loans):
        level[rows] = _level(part)
        repay(part, level[rows], piece_of(plan, cells))
    off = _last_difference(loans, level, plan)
    retried = np.flatnonzero(np.abs(off) > loans.term // 2)
    level, off, first_cell = level[retried], off[retried], loans.first_cell[retried]
    for part, rows, _ in blocks_of(loans.only(retried)):
        _retry(part, level[rows], off[rows], first_cell[rows], plan)


def _retry(loans: Loans, level: Whole, off: Whole, first_cell: Whole, plan: Cells) -> None:
    """Plan these loans again at the level moved by their difference; write what came out better from `first_cell` on."""
    moved = level + round_ratio(off, 1, loans.term)
    count = int(loans.term.sum())
    second = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.int64)
    repay(loans, moved, second)
    better = np.abs(_last_difference(loans, moved, second)) < np.abs(off)
    source = np.flatnonzero(np.repeat(better, loans.term))
    target = source + np.repeat(first_cell - loans.first_cell, loans.term)[source]
    for old, new in zip(plan, second, strict=True):
        old[target] = new[source]


def repay_linear(loans: Loans, plan: Cells) -> None:
    """Fill principal, interest and outstanding of every cell, at a level principal."""
    for part, _, cells in blocks_of(loans):
        level = round_ratio(part.principal, 1, part.term, part.rounding)
        repay(part, level, piece_of(plan, cells), holds_interest=False)


def _last_difference(loans: Loans, level: Whole, plan: Cells) -> Whole:
    """By how much the last instalment, its balloon left out, exceeds the level one."""
    last = np.cumsum(loans.term) - 1
    return np.asarray(plan[0][last] + plan[1][last] - loans.balloon - level)


def _level(loans: Loans) -> Whole:
    """round(level instalment); where floating point cannot decide a tie, fractions do."""
    growth, factor = _growth_by_cell(loans) if loans.is_rated_by_cell else _growth_by_loan(loans)
    exact = (loans.principal.astype(np.float64) * growth - loans.balloon) / factor
    level = np.rint(exact).astype(loans.principal.dtype)
    doubtful = np.abs(exact - np.floor(exact) - 0.5) <= 1e-6 + np.abs(exact) * 1e-12
    start = loans.first_cell
    for row in np.flatnonzero(doubtful).tolist():
        level[row] = _exact_level(loans, row, int(start[row]))
    return level


def _growth_by_loan(loans: Loans) -> tuple[Whole, Whole]:
    """prod(1 + rho) and f_n for one rate per loan: f_n = ((1 + rho)^n - 1) / rho, or n without interest."""
    rate = (loans.rate / loans.scale).astype(np.float64)
    gained = np.expm1(loans.term * np.log1p(rate))
    factor = np.divide(gained, rate, out=loans.term.astype(np.float64), where=rate > 0)
    return 1 + gained, factor


def _growth_by_cell(loans: Loans) -> tuple[Whole, Whole]:
    growth, factor = np.ones(len(loans.term)), np.zeros(len(loans.term))
    start = loans.first_cell
    for period in range(int(loans.term.max())):
        running = np.flatnonzero(loans.term > period)
        step = 1 + (loans.rate[start[running] + period] / loans.scale).astype(np.float64)
        growth[running] *= step
        factor[running] = 1 + factor[running] * step
    return growth, factor


def _exact_level(loans: Loans, row: int, start: int) -> int:
    growth, factor = Fraction(1), Fraction(0)
    for period in range(int(loans.term[row])):
        step = 1 + Fraction(int(loans.rates(np.array([row]), np.array([start + period]))[0]), loans.scale)
        growth, factor = growth * step, 1 + factor * step
    exact = (int(loans.principal[row]) * growth - int(loans.balloon[row])) / factor
    return int(round_ratio(np.array([exact.numerator], dtype=object), 1, exact.denominator, loans.rounding)[0])
