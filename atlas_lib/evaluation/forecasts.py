"""Daily forecasts on outside series: accuracy of every model, and how often the intervals held."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from atlas_lib.core.calendars import business_calendar
from atlas_lib.core.errors import InputError
from atlas_lib.portfolio.forecast_scores import run_backtest, score_intervals, score_models
from atlas_lib.portfolio.forecasting import Series


def read_series(path: Path, currency: str, horizon: int) -> list[Series]:
    """One series per column, every calendar day, missing days filled with the same weekday's last value."""
    try:
        frame = pd.read_csv(path, index_col=0, parse_dates=True).asfreq("D")
    except (OSError, ValueError, TypeError) as error:
        raise InputError("The file of daily series cannot be read", where=str(path), found=str(error)) from error
    filled = frame.where(frame.notna(), frame.shift(7)).ffill().bfill()
    dates = np.arange(np.datetime64(frame.index[0], "D"), np.datetime64(frame.index[-1], "D") + horizon + 1)
    calendar = business_calendar(currency)
    return [Series(dates, filled[name].to_numpy(np.float64) * 100, calendar, 7, horizon) for name in filled]


def backtested(series: Series, training: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    found = run_backtest(series, training)
    models = score_models(found)
    return models[models["segment"] == "all"], score_intervals(found)


def held(scores: pd.DataFrame) -> list[str]:
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
