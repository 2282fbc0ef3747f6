"""How a block of loans is repaid, period by period: each rounded interest depends on the balance before it.

All loans move one period at a time, longest first, so that those still running are always the first of them. A period
is written in one piece; only at the end is the plan turned to loan by loan, which costs less than scattering it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from atlas_lib.portfolio.loans import Cells, Loans, Whole, round_ratio

# balance x numerator + denominator below this: the product is exact as a float, and so is the rounding of its quotient.
# A half is representable, so a tie stays a tie; anything else is at least 1 / (2 x denominator) away from one, which is
# more than the last digit of the quotient.
_LARGEST_PRODUCT = 1 << 51


def repay(loans: Loans, level: Whole, plan: Cells, *, holds_interest: bool = True) -> None:
    """Fill principal, interest and outstanding of every cell; `level` holds the interest, or is principal alone.

    What is repaid in a period is never below zero nor above the balance, and the last period repays what is left.
    """
    steps = _steps_of(loans)
    balance, rate = _numbers(loans, steps)
    level = level[steps.order].astype(balance.dtype)
    paid, interest, outstanding = written = [np.empty(steps.running.sum(), balance.dtype) for _ in plan]
    first = 0
    for count, staying in pairwise(steps.running.tolist()):
        cells = slice(first, first + count)
        opening, payment, due = balance[:count], paid[cells], interest[cells]
        _round_interest(opening, rate[cells] if loans.is_rated_by_cell else rate[:count], loans, due)
        np.subtract(level[:count], due if holds_interest else 0, out=payment)
        np.maximum(payment, 0, out=payment)
        np.minimum(payment, opening, out=payment)
        payment[staying:] = opening[staying:]
        balance = np.subtract(opening, payment, out=outstanding[cells])
        first += count
    for by_loan, by_period in zip(plan, written, strict=True):
        steps.turn_back(by_period, by_loan)


@dataclass(frozen=True)
class _Steps:
    """The order of the loans, how many run in each period, and where each cell lies when periods come first.

    No positions where all loans run equally long: there, turning is a transposition.
    """

    order: Whole | slice
    running: Whole
    position: Whole | None

    def turn(self, by_loan: Whole) -> Whole:
        if self.position is None:
            return by_loan.reshape(self.running[0], -1).T.ravel()
        by_period = np.empty_like(by_loan)
        by_period[self.position] = by_loan
        return by_period

    def turn_back(self, by_period: Whole, by_loan: Whole) -> None:
        if self.position is None:
            by_loan.reshape(self.running[0], -1)[:] = by_period.reshape(-1, self.running[0]).T
        else:
            by_loan[:] = by_period[self.position]


def _steps_of(loans: Loans) -> _Steps:
    longest, count = int(loans.term.max()), len(loans.term)
    if (loans.term == longest).all():
        return _Steps(slice(None), np.append(np.full(longest, count), 0), None)
    order = np.argsort(-loans.term, kind="stable")
    running = np.searchsorted(-loans.term[order], -np.arange(longest + 1), side="left")
    rank = np.empty_like(order)
    rank[order] = np.arange(count)
    period = np.arange(int(loans.term.sum())) - np.repeat(loans.first_cell, loans.term)
    return _Steps(order, running, (np.cumsum(running) - running)[period] + np.repeat(rank, loans.term))


def _numbers(loans: Loans, steps: _Steps) -> tuple[Whole, Whole]:
    """Balances and numerators of the period rates in the order of the steps; as floats where those are exact."""
    balance = loans.principal[steps.order]
    rate = steps.turn(loans.rate) if loans.is_rated_by_cell else loans.rate[steps.order]
    if int(balance.max()) * int(rate.max()) + loans.scale < _LARGEST_PRODUCT:
        return balance.astype(np.float64), rate.astype(np.float64)
    return balance, rate


def _round_interest(opening: Whole, rate: Whole, loans: Loans, due: Whole) -> None:
    """`due` = round(opening balance x period rate), exact, ties included."""
    if opening.dtype != np.float64:
        due[:] = round_ratio(opening, rate, loans.scale, loans.rounding)
        return
    np.multiply(opening, rate, out=due)
    due /= loans.scale
    if loans.rounding == "half_even":
        np.rint(due, out=due)
    else:
        due += 0.5
        np.floor(due, out=due)
