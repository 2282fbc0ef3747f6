"""`atlas evaluate`: the software on outside data whose answer is known; each command takes the data's path."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from atlas_lib.core.errors import InputError

evaluate = typer.Typer(no_args_is_help=True, help="Try the software on outside data; prints what it finds.")


@evaluate.callback()
def _sub_commands() -> None:
    """Try the software on outside data; prints what it finds."""


@evaluate.command()
def schedules(
    data: Annotated[Path, typer.Option(help="file of loans, or a folder of them: Lending Club (.csv), Berka (.asc)")],
) -> None:
    """Loan schedules: our instalments beside the ones the lender really asked for."""
    files = sorted(p for e in ("*.csv", "*.asc") for p in data.glob(e)) if data.is_dir() else [data]
    known = [loans for path in files if (loans := _read_loans(path)) is not None]
    if not known:
        raise InputError(
            "No file of loans", where=str(data), found=", ".join(p.name for p in files) or "no .csv or .asc file",
            expected="columns loan_amount, term, interest_rate, installment or amount, duration, payments",
        )  # fmt: skip
    for loans in known:
        typer.echo(_compare_instalments(loans))


def _read_loans(path: Path) -> pd.DataFrame | None:
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


def _compare_instalments(loans: pd.DataFrame) -> str:
    """Our first instalment of each loan, at the same amount, term and rate, beside the one that was agreed."""
    import numpy as np

    from atlas_lib.core.money import to_minor
    from atlas_lib.portfolio.instalments import plan_instalments

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
