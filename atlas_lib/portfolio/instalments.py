"""Instalments of many loans at once, exact to the minor unit.

One flat array holds every loan and period, loan by loan: loan i fills the cells
`sum(term[:i]) ... sum(term[:i + 1]) - 1`. All amounts are int64 minor units. A period rate is kept as a whole
number over one common denominator (7 % over twelve months is 7 / 1,200), so that interest is rounded exactly;
a product of two floats is not exact where it matters, at half a cent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import gcd
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from atlas_lib.core.errors import AtlasError
from atlas_lib.core.money import Rounding

ScheduleType = Literal["linear", "annuity", "interest_only", "bullet", "balloon"]
# int64, or Python integers in an object array where a product would not fit.
Whole = NDArray[Any]

_BLOCK_CELLS = 1 << 16
_LARGEST = 1 << 61


@dataclass(frozen=True)
class YearFractions:
    """Length of the periods in years as `numerator / denominator`; one numerator, or one for each cell.

    30/360 by month is 1 / 12; ACT/365F is days / 365.
    """

    numerator: int | Whole
    denominator: int


MONTHLY = YearFractions(1, 12)


@dataclass(frozen=True)
class Instalments:
    """What every loan pays in every period, flat; `principal + interest` is the instalment."""

    principal_minor: Whole
    interest_minor: Whole
    outstanding_minor: Whole


@dataclass(frozen=True)
class _Loans:
    """A block of loans: `rate` is the period rate's numerator, by loan or by cell, over `scale`."""

    principal: Whole
    term: Whole
    rate: Whole
    scale: int
    balloon: Whole
    rounding: Rounding

    def rates(self, loan: Whole | slice, cell: Whole | slice) -> Whole:
        return self.rate[loan] if len(self.rate) == len(self.term) else self.rate[cell]


def plan_instalments(
    principal_minor: ArrayLike,
    term_count: ArrayLike,
    annual_rate: ArrayLike,
    schedule_type: ScheduleType = "linear",
    *,
    balloon_rate: float = 0.0,
    fractions: YearFractions = MONTHLY,
    rounding: Rounding = "half_even",
) -> Instalments:
    """The instalments of every loan; interest is always taken on the opening balance of its period.

    - linear: principal round(P / n) each, the last takes the residue; unrounded interest P r (n + 1) / 2
    - annuity: level instalment P x prod(1 + rho) / f_n with f_1 = 1, f_k = 1 + f_{k-1} (1 + rho_k); the last
      takes the residue, and where it is off by more than floor(n / 2) minor units the level is moved by
      difference / n and the better of the two kept
    - balloon: an annuity that leaves round(P x balloon_rate) to the last instalment
    - interest_only: interest each period, principal at the end
    - bullet: principal and simple interest of the whole term, both at the end

    Principal always sums to P, outstanding never falls below zero and ends at zero. An instalment is at least
    the interest of its period.

    Source: the residue and retry rule is that of Apache Fineract's ProgressiveEMICalculator.
    """
    loans = _loans(principal_minor, term_count, annual_rate, balloon_rate, schedule_type, fractions, rounding)
    ends = np.cumsum(loans.term)
    total = int(ends[-1]) if len(ends) else 0
    principal, interest, outstanding = (np.empty(total, dtype=np.int64) for _ in range(3))
    for part, cells in _blocks(loans, ends):
        principal[cells], interest[cells], outstanding[cells] = _PLANS[schedule_type](part)
    return Instalments(principal, interest, outstanding)


def level_instalment(principal: float, term_count: int, period_rate: float, balloon: float = 0.0) -> float:
    """The unrounded level payment of an annuity, in the unit of `principal` (for comparison, not for booking)."""
    growth, factor = 1.0, 0.0
    for _ in range(term_count):
        growth, factor = growth * (1 + period_rate), 1 + factor * (1 + period_rate)
    return (principal * growth - balloon) / factor


def unrounded_interest(
    principal_minor: int,
    term_count: int,
    annual_rate: float,
    schedule_type: ScheduleType = "linear",
    balloon_rate: float = 0.0,
) -> Fraction:
    """Total interest in minor units as if no line were rounded, months of one twelfth of a year; exact.

    linear P r (n + 1) / 2, interest_only and bullet P r n, annuity n x level - P, balloon n x level + B - P,
    with r = annual_rate / 12.
    """
    principal, rate, n = Fraction(principal_minor), Fraction(Decimal(str(annual_rate))) / 12, term_count
    if schedule_type == "linear":
        return principal * rate * (n + 1) / 2
    if schedule_type in ("interest_only", "bullet"):
        return principal * rate * n
    balloon = principal * Fraction(Decimal(str(balloon_rate))) if schedule_type == "balloon" else Fraction(0)
    growth = (1 + rate) ** n
    factor = (growth - 1) / rate if rate else Fraction(n)
    return n * (principal * growth - balloon) / factor + balloon - principal


def round_ratio(
    value: Whole, numerator: Whole | int, denominator: Whole | int, rounding: Rounding = "half_even"
) -> Whole:
    """round(value x numerator / denominator) in whole numbers: exact, ties included; half_up for `value` >= 0."""
    doubled = 2 * denominator
    product: Whole = value * numerator * 2 + denominator
    quotient: Whole = product // doubled
    if rounding == "half_even":
        tie = product == quotient * doubled
        if tie.any():
            quotient[tie] &= ~1
    return quotient


def _loans(
    principal_minor: ArrayLike,
    term_count: ArrayLike,
    annual_rate: ArrayLike,
    balloon_rate: float,
    schedule_type: ScheduleType,
    fractions: YearFractions,
    rounding: Rounding,
) -> _Loans:
    principal, term = np.asarray(principal_minor, dtype=np.int64), np.asarray(term_count, dtype=np.int64)
    yearly, scale = _whole_rates(np.broadcast_to(np.asarray(annual_rate, dtype=np.float64), principal.shape))
    if (principal < 0).any() or (term < 1).any() or (yearly < 0).any():
        raise AtlasError(
            "A loan cannot be planned", expected="principal >= 0, at least one period, rate >= 0",
            found=f"principal from {principal.min()}, periods from {term.min()}, rate from {np.min(annual_rate)}",
            remedy="correct the contract's receivable, term or rate",
        )  # fmt: skip
    length = np.asarray(fractions.numerator)
    rate = yearly * length if length.ndim == 0 else np.repeat(yearly, term) * length
    if schedule_type == "balloon":
        share, whole = _whole_rates(np.array([balloon_rate]))
        balloon = round_ratio(principal.astype(object), int(share[0]), whole, rounding).astype(np.int64)
    else:
        balloon = np.zeros_like(principal)
    return _Loans(principal, term, rate, scale * fractions.denominator, balloon, rounding)


def _whole_rates(rates: NDArray[np.float64]) -> tuple[Whole, int]:
    """Rates as whole numbers over one power of ten: [0.07, 0.125] -> [70, 125], 1000."""
    distinct, position = np.unique(rates, return_inverse=True)
    exact = [Fraction(Decimal(str(r))) for r in distinct.tolist()]
    scale = 1
    for value in exact:
        scale = scale * value.denominator // gcd(scale, value.denominator)
    numerators = [int(value * scale) for value in exact]
    kind = np.int64 if max(numerators, default=0) < _LARGEST and scale < _LARGEST else object
    return np.array(numerators, dtype=kind)[position.reshape(-1)], scale


def _blocks(loans: _Loans, ends: Whole) -> Iterator[tuple[_Loans, slice]]:
    """Loans in pieces small enough for the processor's cache, each with the cells it fills."""
    by_cell = len(loans.rate) != len(loans.term)
    cuts = np.searchsorted(ends, np.arange(_BLOCK_CELLS, (ends[-1] if len(ends) else 0) + _BLOCK_CELLS, _BLOCK_CELLS))
    edges = np.unique(np.minimum(np.concatenate([[0], cuts + 1]), len(ends)))
    for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        cells = slice(int(ends[low - 1]) if low else 0, int(ends[high - 1]))
        rows = slice(low, high)
        part = replace(
            loans,
            principal=loans.principal[rows],
            term=loans.term[rows],
            rate=loans.rate[cells if by_cell else rows],
            balloon=loans.balloon[rows],
        )
        yield _wide_enough(part), cells


def _wide_enough(loans: _Loans) -> _Loans:
    """Python integers where a product of amount, rate and term would not fit 64 bits."""
    largest = 2 * max(int(loans.principal.max()), 1) * max(int(loans.rate.max()), 1) * int(loans.term.max())
    if max(largest, 2 * loans.scale) < _LARGEST:
        return loans
    return replace(loans, principal=loans.principal.astype(object), rate=loans.rate.astype(object))


def _cells(term: Whole) -> tuple[Whole, Whole, Whole]:
    """For every cell its loan, its period counted from 0, and whether it is the loan's last."""
    loan = np.repeat(np.arange(len(term)), term)
    period = np.arange(len(loan)) - np.repeat(np.cumsum(term) - term, term)
    return loan, period, period == np.repeat(term - 1, term)


def _linear(loans: _Loans) -> tuple[Whole, Whole, Whole]:
    loan, period, last = _cells(loans.term)
    share = round_ratio(loans.principal, 1, loans.term, loans.rounding)[loan]
    opening = np.maximum(loans.principal[loan] - period * share, 0)
    paid = np.where(last, opening, np.minimum(share, opening))
    return paid, _interest(loans, opening, loan), opening - paid


def _interest_only(loans: _Loans) -> tuple[Whole, Whole, Whole]:
    loan, _, last = _cells(loans.term)
    opening = loans.principal[loan]
    paid = np.where(last, opening, 0)
    return paid, _interest(loans, opening, loan), opening - paid


def _bullet(loans: _Loans) -> tuple[Whole, Whole, Whole]:
    loan, _, last = _cells(loans.term)
    opening = loans.principal[loan]
    paid = np.where(last, opening, 0)
    whole_term = np.add.reduceat(loans.rates(loan, slice(None)), np.cumsum(loans.term) - loans.term)
    interest = round_ratio(loans.principal, whole_term, loans.scale, loans.rounding)
    return paid, np.where(last, interest[loan], 0), opening - paid


def _interest(loans: _Loans, opening: Whole, loan: Whole) -> Whole:
    return round_ratio(opening, loans.rates(loan, slice(None)), loans.scale, loans.rounding)


def _annuity(loans: _Loans) -> tuple[Whole, Whole, Whole]:
    level = _level(loans)
    first = _repay(loans, level)
    off = _last_difference(loans, level, first)
    retried = np.flatnonzero(np.abs(off) > loans.term // 2)
    if not len(retried):
        return first
    part = _only(loans, retried)
    moved = level[retried] + round_ratio(off[retried], 1, part.term)
    second = _repay(part, moved)
    better = np.abs(_last_difference(part, moved, second)) < np.abs(off[retried])
    replaced = np.zeros(len(level), dtype=bool)
    replaced[retried[better]] = True
    target, source = np.repeat(replaced, loans.term), np.repeat(better, part.term)
    for old, new in zip(first, second, strict=True):
        old[target] = new[source]
    return first


def _repay(loans: _Loans, level: Whole) -> tuple[Whole, Whole, Whole]:
    """Period by period, because each rounded interest depends on the balance before it.

    Loans are taken longest first, so that those still running are always the first of them. Where all run
    equally long, cells are a plain stride, which is faster than an index.
    """
    longest = int(loans.term.max())
    is_even = bool((loans.term == longest).all())
    order = np.argsort(-loans.term, kind="stable")
    start = (np.cumsum(loans.term) - loans.term)[order]
    balance, level, term = loans.principal[order], level[order], loans.term[order]
    paid, interest, outstanding = (np.empty(int(term.sum()), dtype=balance.dtype) for _ in range(3))
    running = np.searchsorted(-term, -np.arange(longest + 1), side="left").tolist()
    for period, (count, staying) in enumerate(pairwise(running)):
        cell = slice(period, None, longest) if is_even else start[:count] + period
        opening = balance[:count]
        rate = loans.rates(slice(None) if is_even else order[:count], cell)
        due = round_ratio(opening, rate, loans.scale, loans.rounding)
        payment = np.minimum(np.maximum(level[:count] - due, 0), opening)
        payment[staying:] = opening[staying:]
        opening -= payment
        paid[cell], interest[cell], outstanding[cell] = payment, due, opening
    return paid, interest, outstanding


def _last_difference(loans: _Loans, level: Whole, plan: tuple[Whole, Whole, Whole]) -> Whole:
    """By how much the last instalment, its balloon left out, exceeds the level one."""
    last = np.cumsum(loans.term) - 1
    return np.asarray(plan[0][last] + plan[1][last] - loans.balloon - level)


def _only(loans: _Loans, rows: Whole) -> _Loans:
    chosen = np.zeros(len(loans.term), dtype=bool)
    chosen[rows] = True
    by_cell = len(loans.rate) != len(loans.term)
    return replace(
        loans,
        principal=loans.principal[rows],
        term=loans.term[rows],
        rate=loans.rate[np.repeat(chosen, loans.term)] if by_cell else loans.rate[rows],
        balloon=loans.balloon[rows],
    )


def _level(loans: _Loans) -> Whole:
    """round(level instalment); where floating point cannot decide a tie, fractions do."""
    growth, factor = _growth_by_cell(loans) if len(loans.rate) != len(loans.term) else _growth_by_loan(loans)
    exact = (loans.principal.astype(np.float64) * growth - loans.balloon) / factor
    level = np.rint(exact).astype(loans.principal.dtype)
    doubtful = np.abs(exact - np.floor(exact) - 0.5) <= 1e-6 + np.abs(exact) * 1e-12
    start = np.cumsum(loans.term) - loans.term
    for row in np.flatnonzero(doubtful).tolist():
        level[row] = _exact_level(loans, row, int(start[row]))
    return level


def _growth_by_loan(loans: _Loans) -> tuple[Whole, Whole]:
    """prod(1 + rho) and f_n for one rate per loan: f_n = ((1 + rho)^n - 1) / rho, or n without interest."""
    rate = (loans.rate / loans.scale).astype(np.float64)
    gained = np.expm1(loans.term * np.log1p(rate))
    factor = np.divide(gained, rate, out=loans.term.astype(np.float64), where=rate > 0)
    return 1 + gained, factor


def _growth_by_cell(loans: _Loans) -> tuple[Whole, Whole]:
    growth, factor = np.ones(len(loans.term)), np.zeros(len(loans.term))
    start = np.cumsum(loans.term) - loans.term
    for period in range(int(loans.term.max())):
        running = np.flatnonzero(loans.term > period)
        step = 1 + (loans.rate[start[running] + period] / loans.scale).astype(np.float64)
        growth[running] *= step
        factor[running] = 1 + factor[running] * step
    return growth, factor


def _exact_level(loans: _Loans, row: int, start: int) -> int:
    growth, factor = Fraction(1), Fraction(0)
    for period in range(int(loans.term[row])):
        step = 1 + Fraction(int(loans.rates(np.array([row]), np.array([start + period]))[0]), loans.scale)
        growth, factor = growth * step, 1 + factor * step
    exact = (int(loans.principal[row]) * growth - int(loans.balloon[row])) / factor
    return int(round_ratio(np.array([exact.numerator], dtype=object), 1, exact.denominator, loans.rounding)[0])


_PLANS = {
    "linear": _linear,
    "annuity": _annuity,
    "balloon": _annuity,
    "interest_only": _interest_only,
    "bullet": _bullet,
}
