"""`atlas evaluate`: the software on outside data whose answer is known; each command takes the data's path."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pandas as pd
import typer

from atlas_lib.core.errors import InputError

if TYPE_CHECKING:
    from atlas_lib.portfolio.forecasting import Series

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


@evaluate.command()
def forecast(
    data: Annotated[Path, typer.Option(help="CSV file of daily series: a date column, then one column per series")],
    horizon: Annotated[int, typer.Option(min=1, help="days ahead")] = 14,
    training: Annotated[int, typer.Option(min=30, help="days learned from before the first forecast")] = 365,
    currency: Annotated[str, typer.Option(help="whose holidays the series know")] = "GBP",
    limit: Annotated[int, typer.Option(min=0, help="series taken, in the file's order; 0 is all")] = 20,
) -> None:
    """Daily forecasts: accuracy of every model, and how often the intervals held, over all series of a file."""
    accuracy, intervals = [], []
    for series in _read_series(data, currency, horizon)[: limit or None]:
        models, scores = _backtested(series, training)
        accuracy.append(models)
        intervals.append(scores)
    mean = pd.concat(accuracy).groupby("model", sort=False)["mase"].agg(["mean", "count"])
    typer.echo(f"{data.name}: {len(accuracy)} series, {horizon} days ahead")
    for model, row in mean.iterrows():
        typer.echo(f"  MASE {row['mean']:.3f}  {model} ({row['count']:.0f} series)")
    for text in _held(pd.concat(intervals)):
        typer.echo(text)


def _read_series(path: Path, currency: str, horizon: int) -> list[Series]:
    """One series per column, every calendar day, missing days filled with the same weekday's last value."""
    import numpy as np

    from atlas_lib.core.calendars import business_calendar
    from atlas_lib.portfolio.forecasting import Series

    try:
        frame = pd.read_csv(path, index_col=0, parse_dates=True).asfreq("D")
    except (OSError, ValueError, TypeError) as error:
        raise InputError("The file of daily series cannot be read", where=str(path), found=str(error)) from error
    filled = frame.where(frame.notna(), frame.shift(7)).ffill().bfill()
    dates = np.arange(np.datetime64(frame.index[0], "D"), np.datetime64(frame.index[-1], "D") + horizon + 1)
    calendar = business_calendar(currency)
    return [Series(dates, filled[name].to_numpy(np.float64) * 100, calendar, 7, horizon) for name in filled]


def _backtested(series: Series, training: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    from atlas_lib.portfolio.forecast_scores import run_backtest, score_intervals, score_models

    found = run_backtest(series, training)
    models = score_models(found)
    return models[models["segment"] == "all"], score_intervals(found)


def _held(scores: pd.DataFrame) -> list[str]:
    """Share of intervals that held by target, level and segment; its confidence interval treats series as the units."""
    lines = []
    shown = scores[scores["segment"].isin(["all", "around holidays", "month ends"])]
    for (target, segment, level), part in shown.groupby(["target", "segment", "level_rate"], sort=False):
        rates = part["coverage_rate"]
        error = 1.96 * float(rates.std()) / len(rates) ** 0.5 if len(rates) > 1 else float("nan")
        lines.append(
            f"  {target:<10} {segment:<16} nominal {level:.0%}: held {rates.mean():.1%} "
            f"({rates.mean() - error:.1%} to {rates.mean() + error:.1%} over series)"
        )
    return lines
