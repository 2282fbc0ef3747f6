"""`atlas evaluate`: what the library makes of outside data whose right answer is known, as a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from atlas_lib.core.errors import AtlasError, InputError, SettingsError

app = typer.Typer(no_args_is_help=True, help="Try the library on outside data and print what it makes of it.")
_NAME_RATES = [0.85, 0.88, 0.9, 0.95]


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


@app.command()
def screening(
    data: Annotated[Path | None, typer.Option(help="CSV or Parquet of labelled payments")] = None,
    transfers: Annotated[Path | None, typer.Option(help="folder with transactions.csv and nodes.csv (AMLSim)")] = None,
    sanctions: Annotated[Path | None, typer.Option(help="folder of the files OFAC publishes")] = None,
    innocent: Annotated[Path | None, typer.Option(help="CSV of names that are on no list; needs --sanctions")] = None,
    innocent_column: Annotated[str, typer.Option(help="its column of names")] = "name",
    precision: Annotated[float, typer.Option(help="precision at which alerts a day are counted")] = 0.5,
    label_delay_days: Annotated[float, typer.Option(help="days until a fraud is known, where no column says")] = 7.0,
    aml_parameters: Annotated[str, typer.Option(help="parameters of the AML policy")] = "threshold=10000",
    seed: Annotated[int, typer.Option(help="of the names drawn and changed")] = 7,
    engine: Annotated[str, typer.Option(help="duckdb or spark")] = "duckdb",
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object instead of tables")] = False,
) -> None:
    """Fraud scores, account patterns and listed names, each where its data is given."""
    import pandas as pd

    from atlas_lib import screening_quality as quality
    from atlas_lib.core.engine import open_engine
    from atlas_lib.core.settings import IngestSettings

    if not (data or transfers or sanctions):
        raise SettingsError("Nothing to measure", expected="--data, --transfers or --sanctions", found="none of them")
    work = open_engine(engine)
    found: dict[str, Any] = {}
    if data:
        found["payments"] = quality.measure_payments(
            data, label_delay_days, work, IngestSettings.model_validate({"fraud_precision_rate": precision})
        )
    if transfers:
        found["accounts"] = quality.measure_transfers(transfers, aml_parameters, work)
    if sanctions:
        names = (
            pd.read_csv(innocent, dtype="str", encoding_errors="replace")[innocent_column]
            if innocent
            else pd.Series([], dtype="str")
        )
        found["names"] = quality.measure_names(sanctions, names.dropna().drop_duplicates(), _NAME_RATES, seed)
    if as_json:
        typer.echo(
            json.dumps(
                {name: json.loads(t.to_json(orient="records", date_format="iso")) for name, t in found.items()},
                indent=1,
            )
        )
        return
    for name, table in found.items():
        shown = table.T if name == "payments" else table
        typer.echo(f"{name}\n{shown.to_string(index=name == 'payments', float_format='{:.4f}'.format)}\n")


@app.command()
def payments(data: Annotated[Path, typer.Option(help="folder with the payment files")]) -> None:
    """Read every pain.001 file below the folder; compare count and sum stated with those found in the payments."""
    from decimal import Decimal

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
