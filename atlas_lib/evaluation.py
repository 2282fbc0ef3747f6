"""`atlas evaluate`: the software on data that no one here wrote, whose path is given; nothing is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

evaluate = typer.Typer(no_args_is_help=True, help="Measure the software on outside data.")

DataPath = Annotated[Path, typer.Option("--data", help="folder with the data")]


@evaluate.callback()
def _evaluate() -> None:
    """Measure the software on outside data."""


@evaluate.command()
def payments(data: DataPath) -> None:
    """Read every pain.001 file below the folder; compare count and sum stated with those found in the payments."""
    from decimal import Decimal

    from atlas_lib.core.errors import AtlasError, InputError
    from atlas_lib.reserves_credit.bank_files import read_pain001

    paths = sorted(p for p in data.rglob("*.xml") if "pain.001" in p.name)
    if not paths:
        raise InputError("No payment files", where=str(data), expected="*pain.001*.xml")
    read, wrong, payments_count = 0, 0, 0
    for path in paths:
        try:
            header, found = read_pain001(path)
        except AtlasError as error:
            typer.echo(f"unreadable  {path.name}: {error}")
            continue
        read, payments_count = read + 1, payments_count + len(found)
        is_count = header["stated_count"] in (None, str(header["found_count"]))
        is_sum = header["stated_sum"] is None or Decimal(header["stated_sum"]) == Decimal(header["found_sum"])
        if not (is_count and is_sum):
            wrong += 1
            typer.echo(f"differs     {path.name}: {header}")
    typer.echo(f"{read} of {len(paths)} files read, {payments_count} payments; count or sum differs in {wrong}.")
