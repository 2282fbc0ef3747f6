"""Loan schedules: our instalments beside the ones that lenders really asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from atlas_lib.core.errors import InputError
from atlas_lib.core.money import to_minor
from atlas_lib.portfolio.instalments import plan_instalments


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


def compare_instalments(loans: pd.DataFrame) -> str:
    """Our first instalment of each loan, at the same amount, term and rate, beside the one that was agreed."""
    kind, term = loans["kind"].iloc[0], loans["term"].to_numpy(np.int64)
    plan = plan_instalments(to_minor(loans["principal"], "EUR"), term, loans["rate"].round(6), kind)
    ours = (plan.principal_minor + plan.interest_minor)[np.cumsum(term) - term]
    off = np.abs(ours - to_minor(loans["instalment"], "EUR"))
    worst = loans.assign(ours=ours / 100, off=off).sort_values("off", ascending=False).iloc[0]
    return (
        f"{loans['file'].iloc[0]}: {len(loans):,} loans, {kind}; instalment the same to the cent for "
        f"{(off == 0).sum():,}, within 1 cent for {(off <= 1).sum():,} ({(off <= 1).mean():.2%}); "
        f"furthest off: {worst['ours']:,.2f} against {worst['instalment']:,.2f}"
    )
