"""Many loans at once: period rates in whole numbers, exact rounding, and blocks that fit the cache.

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
from math import lcm
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from atlas_lib.core.errors import AtlasError
from atlas_lib.core.money import Rounding

# int64, or Python integers in an object array where a product would not fit.
Whole = NDArray[Any]
# Principal, interest and outstanding of every loan and period, flat.
Cells = tuple[Whole, Whole, Whole]

_BLOCK_CELLS = 1 << 17
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
class Loans:
    """A block of loans: `rate` is the period rate's numerator, by loan or by cell, over `scale`."""

    principal: Whole
    term: Whole
    rate: Whole
    scale: int
    balloon: Whole
    rounding: Rounding

    def rates(self, loan: Whole | slice, cell: Whole | slice) -> Whole:
        return self.rate[cell] if self.is_rated_by_cell else self.rate[loan]

    def only(self, rows: Whole) -> Loans:
        """The loans of the given rows, in their order."""
        chosen = np.zeros(len(self.term), dtype=bool)
        chosen[rows] = True
        rate = self.rate[np.repeat(chosen, self.term)] if self.is_rated_by_cell else self.rate[rows]
        return replace(
            self, principal=self.principal[rows], term=self.term[rows], rate=rate, balloon=self.balloon[rows]
        )

    @property
    def is_rated_by_cell(self) -> bool:
        return len(self.rate) != len(self.term)

    @property
    def first_cell(self) -> Whole:
        return np.asarray(np.cumsum(self.term) - self.term)


def round_ratio(
    value: Whole, numerator: Whole | int, denominator: Whole | int, rounding: Rounding = "half_even"
) -> Whole:
    """round(value x numerator / denominator) in whole numbers: exact, ties included; half_up for `value` >= 0."""
    doubled = 2 * denominator
    product: Whole = value * (2 * numerator)
    product += denominator
    quotient: Whole = product // doubled
    if rounding == "half_even":
        product -= quotient * doubled
        if not product.all():
            quotient[product == 0] &= ~1
    return quotient


def loans_of(
    principal_minor: ArrayLike,
    term_count: ArrayLike,
    annual_rate: ArrayLike,
    balloon_rate: float,
    fractions: YearFractions,
    rounding: Rounding,
) -> Loans:
    principal, term = np.asarray(principal_minor, dtype=np.int64), np.asarray(term_count, dtype=np.int64)
    yearly, scale = whole_rates(np.broadcast_to(np.asarray(annual_rate, dtype=np.float64), principal.shape))
    if (principal < 0).any() or (term < 1).any() or (yearly < 0).any():
        raise AtlasError(
            "A loan cannot be planned", expected="principal >= 0, at least one period, rate >= 0",
            found=f"principal from {principal.min()}, periods from {term.min()}, rate from {np.min(annual_rate)}",
            remedy="correct the contract's receivable, term or rate",
        )  # fmt: skip
    length = np.asarray(fractions.numerator)
    rate = yearly * length if length.ndim == 0 else np.repeat(yearly, term) * length
    balloon = _share_of(principal, balloon_rate, rounding) if balloon_rate else np.zeros_like(principal)
    return Loans(principal, term, rate, scale * fractions.denominator, balloon, rounding)


def _share_of(principal: Whole, share_rate: float, rounding: Rounding) -> Whole:
    share, scale = whole_rates(np.array([share_rate]))
    return round_ratio(principal.astype(object), int(share[0]), scale, rounding).astype(np.int64)


def whole_rates(rates: NDArray[np.float64]) -> tuple[Whole, int]:
    """Rates as whole numbers over one common denominator: [0.07, 0.125] -> [14, 25], 200.

    A float stands for its shortest decimal text: n / 10^digits, where that quotient is the float itself.
    """
    for digits in range(10):
        whole = np.rint(rates * 10**digits)
        if (whole / 10**digits == rates).all():
            numerators = whole.astype(np.int64)
            common = int(np.gcd.reduce(numerators, initial=10**digits))
            return numerators // common, 10**digits // common
    return _fractional_rates(rates)


def _fractional_rates(rates: NDArray[np.float64]) -> tuple[Whole, int]:
    """The same for rates of more than nine decimals."""
    distinct, position = np.unique(rates, return_inverse=True)
    exact = [Fraction(Decimal(str(r))) for r in distinct.tolist()]
    scale = lcm(*(value.denominator for value in exact))
    numerators = [int(value * scale) for value in exact]
    kind = np.int64 if max(numerators, default=0) < _LARGEST and scale < _LARGEST else object
    return np.array(numerators, dtype=kind)[position.reshape(-1)], scale


def blocks_of(loans: Loans) -> Iterator[tuple[Loans, slice, slice]]:
    """Loans in pieces small enough for the processor's cache, each with its rows and the cells it fills."""
    ends = np.cumsum(loans.term)
    cuts = np.searchsorted(ends, np.arange(_BLOCK_CELLS, (ends[-1] if len(ends) else 0) + _BLOCK_CELLS, _BLOCK_CELLS))
    edges = np.unique(np.minimum(np.concatenate([[0], cuts + 1]), len(ends)))
    for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        cells = slice(int(ends[low - 1]) if low else 0, int(ends[high - 1]))
        rows = slice(low, high)
        part = replace(
            loans,
            principal=loans.principal[rows],
            term=loans.term[rows],
            rate=loans.rate[cells if loans.is_rated_by_cell else rows],
            balloon=loans.balloon[rows],
        )
        yield _wide_enough(part), rows, cells


def piece_of(plan: Cells, cells: slice) -> Cells:
    return plan[0][cells], plan[1][cells], plan[2][cells]


def _wide_enough(loans: Loans) -> Loans:
    """Python integers where a product of amount, rate and term would not fit 64 bits."""
    largest = 2 * max(int(loans.principal.max()), 1) * max(int(loans.rate.max()), 1) * int(loans.term.max())
    if max(largest, 2 * loans.scale) < _LARGEST:
        return loans
    return replace(loans, principal=loans.principal.astype(object), rate=loans.rate.astype(object))
