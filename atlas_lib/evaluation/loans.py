"""Loan schedules: our instalments beside the ones that lenders really asked for."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from atlas_lib.core.errors import InputError
from atlas_lib.core.money import to_minor
from atlas_lib.portfolio.instalments import plan_instalments
from atlas_lib.portfolio.loans import Whole

Floats = NDArray[np.float64]


def read_loans(path: Path) -> pd.DataFrame | None:
    """Loans as name, principal, term, rate, instalment, kind; none when the file is of something else."""
    try:
        frame = pd.read_csv(path, sep=";" if path.suffix == ".asc" else ",", low_memory=False)
    except (OSError, ValueError) as error:
        raise InputError("The file of loans cannot be read", where=str(path), found=str(error)) from error
    if {"loan_amount", "term", "interest_rate", "installment"} <= set(frame):
        names = {"loan_amount": "principal", "installment": "instalment"}
        return frame.rename(columns=names).assign(rate=frame["interest_rate"] / 100, kind="annuity", file=path.name)
    if {"amount", "duration", "payments"} <= set(frame):
        names = {"amount": "principal", "duration": "term", "payments": "instalment"}
        return frame.rename(columns=names).assign(rate=0.0, kind="linear", file=path.name)
    return None


_TOLERANCE_CENTS = 1.1
_NOISE_CENTS = 1e-6


def compare_instalments(loans: pd.DataFrame) -> str:
    """Our instalment of each loan, at the same amount, term and rate, beside the one that was agreed.

    Lenders round differently, so the agreed instalment is compared with the unrounded one, within 1.1 cent, and to the
    cent under either rounding. Loans further off are listed; where the agreed instalment is that of the balance over
    fewer periods, the loan was planned anew after its rate had changed, and the line says so.
    """
    kind, term = loans["kind"].iloc[0], loans["term"].to_numpy(np.int64)
    plan = plan_instalments(to_minor(loans["principal"], "EUR"), term, loans["rate"].round(6), kind)
    ours = (plan.principal_minor + plan.interest_minor)[np.cumsum(term) - term]
    agreed = to_minor(loans["instalment"], "EUR")
    exact = 100 * level_payments(loans["principal"].to_numpy(np.float64), term, loans["rate"].to_numpy())
    near = np.abs(agreed - exact) <= _TOLERANCE_CENTS
    head = (
        f"{loans['file'].iloc[0]}: {len(loans):,} loans, {kind}; agreed instalment within {_TOLERANCE_CENTS} cent of "
        f"the unrounded one for {near.sum():,} ({near.mean():.2%}); to the cent for {(ours == agreed).sum():,} rounded "
        f"to the nearest cent, for {(_rounded_up(exact) == agreed).sum():,} rounded up"
    )
    return "\n".join([head, *_describe(loans.assign(ours=ours / 100)[~near])])


def level_payments(principal: Floats, term: Whole, rate: Floats) -> Floats:
    """Unrounded level instalment P rho / (1 - (1 + rho)^-n) with rho = rate / 12; P / n without interest."""
    monthly = rate / 12
    shrinking = -np.expm1(-term * np.log1p(monthly))
    return np.asarray(principal * np.divide(monthly, shrinking, out=1 / term, where=monthly > 0))


def _rounded_up(cents: Floats) -> Floats:
    return np.ceil(cents - _NOISE_CENTS)


def _describe(loans: pd.DataFrame) -> list[str]:
    return [
        f"  {row['principal']:,.2f} over {row['term']} months at {row['rate']:.2%}: ours {row['ours']:,.2f}, agreed "
        f"{row['instalment']:,.2f}; {_reason(row)}"
        for row in loans.to_dict("records")
    ]


def _reason(loan: dict[Hashable, Any]) -> str:
    """Whether the agreed instalment repays the loan's balance, at its rate, over a part of its term."""
    left = np.arange(1, loan["term"] + 1)
    balance = loan.get("balance", 0.0)
    again = 100 * level_payments(np.full(len(left), balance), left, np.full(len(left), loan["rate"]))
    agreed = round(loan["instalment"] * 100)
    found = left[(np.rint(again) == agreed) | (_rounded_up(again) == agreed)]
    if balance > 0 and len(found):
        return f"that repays its balance of {balance:,.2f} over {found[0]} months: planned anew at a changed rate"
    return "not explained"
