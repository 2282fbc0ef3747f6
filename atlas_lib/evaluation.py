"""`atlas evaluate`: what the library makes of outside data whose right answer is known, as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Try the library on outside data and print what it makes of it.")


@app.callback()
def evaluate() -> None:
    """Try the library on outside data and print what it makes of it."""


@app.command()
def readers(
    data: Annotated[Path, typer.Option(help="folder with the outside files, one folder per collection")],
    layouts: Annotated[Path | None, typer.Option(help="layouts of trial files that are no bank's own export")] = None,
) -> None:
    """Read every bank statement and processor report; compare with the expected parse beside it."""
    from atlas_lib.core.provenance import find_root
    from atlas_lib.reader_trials import try_readers

    own = layouts or find_root() / "benchmarks" / "outside_layouts.yaml"
    results = try_readers(data, own if own.is_file() else None)
    if results.empty:
        typer.echo(f"No collection of statements in {data}.")
        raise typer.Exit(2)
    for folder, part in results.groupby("folder", sort=False):
        typer.echo(f"\n{folder}")
        for row in part.to_dict("records"):
            typer.echo(f"  {row['result']:<9} {row['lines']:>4} lines  {row['file']}: {row['detail']}")
    counts = results["result"].value_counts()
    typer.echo("\n" + ", ".join(f"{count} {result}" for result, count in counts.items()))
