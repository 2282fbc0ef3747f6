"""The liquidity forecast on a process whose truth is known: coverage at every level, CPU time per currency.

The process has weekdays, month ends, holidays and year ends of its own, an AR(1) and normal noise; 2,700 open days.
Its future is one more draw of the same process, so that every nominal level should lie in its confidence interval.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import pandas as pd
import statsmodels.tsa.exponential_smoothing.ets
import statsmodels.tsa.statespace.structural  # noqa: F401 - imported before the clock starts

from atlas_lib.core.calendars import business_calendar
from atlas_lib.core.settings import PortfolioSettings
from atlas_lib.core.tables import declared
from atlas_lib.portfolio.forecast_scores import run_backtest, score_intervals, score_models
from atlas_lib.portfolio.forecasting import Series, calendar_terms
from atlas_lib.portfolio.liquidity import forecast_liquidity

DAYS, HORIZON, SEEDS = 2_700, 10, 3


def process(seed: int) -> Series:
    calendar, random = business_calendar("EUR"), np.random.default_rng(seed)
    dates = np.arange(np.datetime64("2015-01-01"), np.datetime64("2026-12-31"))
    dates = dates[np.is_busday(dates, busdaycal=calendar)][: DAYS + HORIZON]
    terms = calendar_terms(dates, calendar)
    wave = np.zeros(DAYS)
    for day in range(1, DAYS):
        wave[day] = 0.5 * wave[day - 1] + 10_000 * random.standard_normal()
    flow = terms[:DAYS] @ (20_000 * random.standard_normal(terms.shape[1])) + wave
    return Series(dates, np.rint(flow), calendar, 5, HORIZON)


def line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def coverage(seed: int) -> int:
    """Prints one line per target and level; returns how many levels lie outside their confidence interval."""
    started = time.process_time()
    found = run_backtest(process(seed), 200, origin_count=DAYS)
    scores, models = score_intervals(found), score_models(found)
    spent, missed = time.process_time() - started, 0
    best = models[models["segment"] == "all"].set_index("model")["mase"].round(3).to_dict()
    line(f"seed {seed}: {len(found.origins):,} origins, {spent:.1f} s CPU; MASE {best}")
    for row in scores[scores["segment"] == "all"].itertuples():
        inside = row.coverage_low_rate <= row.level_rate <= row.coverage_high_rate
        missed += not inside
        line(
            f"  {row.target:<10} nominal {row.level_rate:.0%}: held {row.coverage_rate:.1%} "
            f"({row.coverage_low_rate:.1%} to {row.coverage_high_rate:.1%}){'' if inside else '  OUTSIDE'}"
        )
    return missed


def statement(series: Series) -> pd.DataFrame:
    flow = series.flow.astype(np.int64)
    return pd.DataFrame(
        {
            "status": "BOOK",
            "currency": "EUR",
            "booking_date": series.dates[: len(flow)].astype("datetime64[us]"),
            "amount_posted_minor": np.abs(flow),
            "credit_debit_indicator": np.where(flow >= 0, "CRDT", "DBIT"),
        }
    )


def main() -> None:
    outside = sum(coverage(seed) for seed in range(SEEDS))
    line(f"{outside} of {SEEDS * 9} levels outside their 95 % confidence interval")
    for days in (250, 750, DAYS):
        series = process(0)
        lines = statement(series).tail(days)
        plan = PortfolioSettings(as_of=lines["booking_date"].max().date())
        none = pd.DataFrame({"balance_type": [], "currency": [], "balance_date": []})
        cash = pd.DataFrame({"currency": ["EUR"], "opening_balance_minor": [0], "minimum_balance_minor": [0]})
        started = time.process_time()
        forecast_liquidity(lines, none, cash, declared("known_flows").empty(), plan)
        line(f"one currency with {days:,} open days of statements: {time.process_time() - started:.1f} s CPU")


if __name__ == "__main__":
    main()
