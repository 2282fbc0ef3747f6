"""`atlas evaluate`: what the library makes of outside data whose right answer is known, as a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from atlas_lib.core.errors import InputError, SettingsError

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
    from atlas_lib.evaluation.reader_trials import try_readers

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

    from atlas_lib.core.engine import open_engine
    from atlas_lib.core.settings import IngestSettings
    from atlas_lib.evaluation import screening_quality as quality

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
def portal(data: Annotated[Path, typer.Option(help="folder with the collections, one folder each")]) -> None:
    """The portal's views on shops, marketplaces, cards and accounts: what matches, refunds, who stands out, anomalies."""
    from atlas_lib.evaluation.portal_trials import try_portal

    for name, figures in try_portal(data):
        typer.echo(f"\n{name}")
        for label, value in figures:
            typer.echo(f"  {label:<56} {value}")


@app.command()
def payments(data: Annotated[Path, typer.Option(help="folder with the payment files")]) -> None:
    """Read every pain.001 file below the folder; compare count and sum stated with those found in the payments."""
    from atlas_lib.evaluation.payment_files import read_back

    for line in read_back(data):
        typer.echo(line)


@app.command()
def clearing(
    data: Annotated[Path, typer.Option(help="CSV file of obligations, or a folder of them: debtor, creditor, amount")],
) -> None:
    """Obligation clearing: the largest set-off of each network, and the CPU seconds it takes."""
    from atlas_lib.evaluation.obligations import describe_network

    for path in sorted(data.glob("*.csv")) if data.is_dir() else [data]:
        typer.echo(describe_network(path))


@app.command()
def schedules(
    data: Annotated[Path, typer.Option(help="file of loans, or a folder of them: Lending Club (.csv), Berka (.asc)")],
) -> None:
    """Loan schedules: our instalments beside the ones the lender really asked for."""
    from atlas_lib.evaluation.loans import compare_instalments, read_loans

    files = sorted(p for e in ("*.csv", "*.asc") for p in data.glob(e)) if data.is_dir() else [data]
    known = [loans for path in files if (loans := read_loans(path)) is not None]
    if not known:
        raise InputError(
            "No file of loans", where=str(data), found=", ".join(p.name for p in files) or "no .csv or .asc file",
            expected="columns loan_amount, term, interest_rate, installment or amount, duration, payments",
        )  # fmt: skip
    for loans in known:
        typer.echo(compare_instalments(loans))


@app.command()
def reconciliation(
    left: Annotated[Path, typer.Option(help="CSV, Parquet or JSON: id, date, amount, free text")],
    right: Annotated[Path, typer.Option(help="the other side")],
    truth: Annotated[Path, typer.Option(help="file of the id pairs that belong together")],
    left_id: Annotated[str, typer.Option(help="columns not named are recognised")] = "",
    left_date: Annotated[str, typer.Option()] = "",
    left_amount: Annotated[str, typer.Option()] = "",
    left_currency: Annotated[str, typer.Option()] = "",
    left_text: Annotated[list[str] | None, typer.Option(help="may be given several times")] = None,
    right_id: Annotated[str, typer.Option()] = "",
    right_date: Annotated[str, typer.Option()] = "",
    right_amount: Annotated[str, typer.Option()] = "",
    right_currency: Annotated[str, typer.Option()] = "",
    right_text: Annotated[list[str] | None, typer.Option(help="may be given several times")] = None,
    truth_left: Annotated[str, typer.Option(help="column of the truth with ids of the left file")] = "",
    truth_right: Annotated[str, typer.Option(help="column of the truth with ids of the right file")] = "",
    day_first: Annotated[
        bool | None, typer.Option("--day-first/--month-first", help="order of dates such as 03/04/2026")
    ] = None,
    days_before: Annotated[int | None, typer.Option(help="date window; default: what the data show")] = None,
    days_after: Annotated[int | None, typer.Option(help="date window; default: what the data show")] = None,
    amount_rate: Annotated[float, typer.Option(help="share by which amounts may differ")] = 0.15,
    auto_precision: Annotated[float, typer.Option(help="wanted precision of automatic matches")] = 0.995,
    suggest_precision: Annotated[float, typer.Option(help="wanted precision with the suggested ones")] = 0.97,
    labels: Annotated[
        Path | None, typer.Option(help="decisions kept so far: left id, right id, true or false; corrects the weights")
    ] = None,
    chart: Annotated[Path | None, typer.Option(help="HTML file of the calibration chart to write")] = None,
    show: Annotated[int, typer.Option(min=0, help="errors listed of each kind")] = 5,
    engine: Annotated[str, typer.Option(help="duckdb or spark")] = "duckdb",
    as_json: Annotated[bool, typer.Option("--json", help="end with one line of JSON")] = False,
) -> None:
    """Scored matching of two lists whose pairs are known: precision, recall, F1, calibration, errors worth reading."""
    from atlas_lib.evaluation import matching_quality as quality
    from atlas_lib.evaluation.labelled_pairs import read_labelled, read_labels
    from atlas_lib.evaluation.recognised_columns import Columns

    columns = (
        Columns(left_id, left_date, left_amount, left_currency, left_text or ()),
        Columns(right_id, right_date, right_amount, right_currency, right_text or ()),
    )
    if chart:
        quality.check_chart_path(chart)
    data = read_labelled(left, right, truth, columns, (truth_left, truth_right), day_first)
    settings = quality.chosen_settings(
        data, (days_before, days_after),
        {"amount_rate": amount_rate, "auto_precision": auto_precision, "suggest_precision": suggest_precision, "engine": engine},
    )  # fmt: skip
    measured = quality.Quality(data, settings, read_labels(labels) if labels else None)
    for line in quality.told(measured, show):
        typer.echo(line)
    if chart:
        quality.write_chart(quality.calibration_chart(measured.calibration(), f"{left.name} and {right.name}"), chart)
        typer.echo(f"calibration chart: {chart}")
    if as_json:
        rates = measured.tiers()
        typer.echo(json.dumps({tier: {k: rates[tier][k] for k in ("precision", "recall")} for tier in rates}))


@app.command()
def forecast(
    data: Annotated[Path, typer.Option(help="CSV file of daily series: a date column, then one column per series")],
    horizon: Annotated[int, typer.Option(min=1, help="days ahead")] = 14,
    training: Annotated[int, typer.Option(min=30, help="days learned from before the first forecast")] = 365,
    currency: Annotated[str, typer.Option(help="whose holidays the series know")] = "GBP",
    limit: Annotated[int, typer.Option(min=0, help="series taken, in the file's order; 0 is all")] = 20,
) -> None:
    """Daily forecasts: accuracy of every model, and how often the intervals held, over all series of a file."""
    import pandas as pd

    from atlas_lib.evaluation.forecasts import backtested, held, read_series

    accuracy, intervals = [], []
    for series in read_series(data, currency, horizon)[: limit or None]:
        models, scores = backtested(series, training)
        accuracy.append(models)
        intervals.append(scores)
    mean = pd.concat(accuracy).groupby("model", sort=False)["mase"].agg(["mean", "count"])
    typer.echo(f"{data.name}: {len(accuracy)} series, {horizon} days ahead")
    for model, row in mean.iterrows():
        typer.echo(f"  MASE {row['mean']:.3f}  {model} ({row['count']:.0f} series)")
    for text in held(pd.concat(intervals)):
        typer.echo(text)
