"""`atlas evaluate`: the software on outside data whose answer is known; each command takes the data's path."""

from __future__ import annotations

import time
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
def clearing(
    data: Annotated[Path, typer.Option(help="CSV file of obligations, or a folder of them: debtor, creditor, amount")],
) -> None:
    """Obligation clearing: the largest set-off of each network, and the CPU seconds it takes."""
    from atlas_lib.batching_settlement.clearing import clear_obligations

    for path in sorted(data.glob("*.csv")) if data.is_dir() else [data]:
        owed = _read_obligations(path)
        started = time.process_time()
        cleared = clear_obligations(owed)
        spent = time.process_time() - started
        left = cleared["amount_minor"] - cleared["set_off_minor"]
        typer.echo(
            f"{path.name}: {len(owed):,} obligations of {owed['amount_minor'].sum():,}; "
            f"set off {cleared['set_off_minor'].sum():,}, remaining {left.sum():,}; {spent:.2f} s CPU"
        )


def _read_obligations(path: Path) -> pd.DataFrame:
    columns = {"debtor": "payer", "creditor": "payee", "amount": "amount_minor"}
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise InputError("The file of obligations cannot be read", where=str(path), found=str(error)) from error
    names = list(frame.columns)
    if not set(columns) <= set(names) or frame["amount"].dtype != "int64":
        raise InputError(
            "Not a file of obligations", where=str(path), expected="debtor, creditor, amount in whole minor units",
            found=", ".join(f"{n} {t}" for n, t in frame.dtypes.items()),
        )  # fmt: skip
    return frame.rename(columns=columns)[list(columns.values())].assign(currency="")
