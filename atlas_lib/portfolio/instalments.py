"""The instalments of many loans at once, exact to the minor unit, for every kind of schedule."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from atlas_lib.core.money import Rounding
from atlas_lib.portfolio.annuities import repay_annuity, repay_linear
from atlas_lib.portfolio.loans import (
    MONTHLY,
    Cells,
    Loans,
    Whole,
    YearFractions,
    blocks_of,
    loans_of,
    piece_of,
    round_ratio,
)

ScheduleType = Literal["linear", "annuity", "interest_only", "bullet", "balloon"]


@dataclass(frozen=True)
class Instalments:
    """What every loan pays in every period, flat; `principal + interest` is the instalment."""

    principal_minor: Whole
    interest_minor: Whole
    outstanding_minor: Whole


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
    share = balloon_rate if schedule_type == "balloon" else 0.0
    loans = loans_of(principal_minor, term_count, annual_rate, share, fractions, rounding)
    principal, interest, outstanding = (np.empty(loans.term.sum(), dtype=np.int64) for _ in range(3))
    _PLANS[schedule_type](loans, (principal, interest, outstanding))
    return Instalments(principal, interest, outstanding)


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


def _cells(term: Whole) -> tuple[Whole, Whole, Whole]:
    """For every cell its loan, its period counted from 0, and whether it is the loan's last."""
    loan = np.repeat(np.arange(len(term)), term)
    period = np.arange(len(loan)) - np.repeat(np.cumsum(term) - term, term)
    return loan, period, period == np.repeat(term - 1, term)


def _interest_only(loans: Loans, plan: Cells) -> None:
    for part, _, cells in blocks_of(loans):
        loan, _, last = _cells(part.term)
        opening = part.principal[loan]
        interest = round_ratio(opening, part.rates(loan, slice(None)), part.scale, part.rounding)
        _pay_at_end(opening, last, interest, piece_of(plan, cells))


def _bullet(loans: Loans, plan: Cells) -> None:
    for part, _, cells in blocks_of(loans):
        loan, _, last = _cells(part.term)
        whole_term = np.add.reduceat(part.rates(loan, slice(None)), part.first_cell)
        interest = round_ratio(part.principal, whole_term, part.scale, part.rounding)
        _pay_at_end(part.principal[loan], last, np.where(last, interest[loan], 0), piece_of(plan, cells))


def _pay_at_end(opening: Whole, last: Whole, interest: Whole, plan: Cells) -> None:
    paid = np.where(last, opening, 0)
    plan[0][:], plan[1][:], plan[2][:] = paid, interest, opening - paid


_PLANS = {
    "linear": repay_linear,
    "annuity": repay_annuity,
    "balloon": repay_annuity,
    "interest_only": _interest_only,
    "bullet": _bullet,
}
