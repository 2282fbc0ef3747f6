"""The book month by month, and when what is outstanding falls due."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from atlas_lib.core.settings import PortfolioSettings
from atlas_lib.core.tables import declared

_WORKBOOK_ROWS = 200_000
_FLOWS = ["purchased_minor", "principal_minor", "interest_minor", "instalment_minor", "instalment_count"]
_BUCKET_DAYS = [0, 30, 90, 180, 365, 730, 1095, 1460, 1825]
_BUCKETS = [
    "due to date",
    "1-30 days",
    "31-90 days",
    "91-180 days",
    "181-365 days",
    "1-2 years",
    "2-3 years",
    "3-4 years",
    "4-5 years",
    "over 5 years",
]


def project_months(contracts: pd.DataFrame, schedule: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The book by month, merchant and currency, and its total by month and currency.

    outstanding = purchased to date - principal due to date; instalment = principal + interest. Every merchant
    has a row in every month from the first purchase to the last instalment of the whole book, so that
    merchants add up to the book in each month.

    Parameters: contracts (key contract_id), schedule (key contract_id, period). Returns: portfolio_monthly
    (key month_end_date, merchant_id, currency), book_monthly (key month_end_date, currency), minor units.
    """
    if contracts.empty:
        return {name: declared(name).empty() for name in ("portfolio_monthly", "book_monthly")}
    key = ["merchant_id", "currency", "month"]
    bought = contracts.assign(month=_month(contracts["start_date"]), purchased_minor=contracts["receivable_minor"])
    due = schedule.assign(
        month=_month(schedule["due_date"]),
        instalment_minor=schedule["principal_minor"] + schedule["interest_minor"],
        instalment_count=1,
    )
    flows = pd.concat(
        [
            bought.groupby(key, sort=False)[["purchased_minor"]].sum(),
            due.groupby(key, sort=False)[_FLOWS[1:]].sum(),
        ],
        axis=1,
    )
    merchants = contracts.groupby(["merchant_id", "currency"], sort=True)["merchant_name"].first().reset_index()
    months = pd.DataFrame({"month": np.arange(bought["month"].min(), due["month"].max() + 1)})
    grid = merchants.merge(months, how="cross").merge(flows.reset_index(), on=key, how="left", validate="one_to_one")
    grid = grid.assign(**grid[_FLOWS].fillna(0).astype("int64"))
    monthly = grid.assign(
        month_end_date=_month_end(grid["month"]), outstanding_minor=_running_balance(grid, ["merchant_id", "currency"])
    )
    book = monthly.groupby(["currency", "month_end_date"], sort=True)[_FLOWS].sum().reset_index()
    book = book.assign(
        outstanding_minor=_running_balance(book, ["currency"]),
        interest_to_date_minor=book.groupby("currency")["interest_minor"].cumsum(),
    )
    return {
        "portfolio_monthly": declared("portfolio_monthly").shaped(monthly),
        "book_monthly": declared("book_monthly").shaped(book),
    }


def active_months(portfolio_monthly: pd.DataFrame) -> pd.DataFrame:
    """Only the months in which a merchant has a purchase, an instalment or a balance; sums stay the same."""
    has_any = (portfolio_monthly[[*_FLOWS, "outstanding_minor"]] != 0).any(axis=1)
    return portfolio_monthly[has_any].reset_index(drop=True)


def fit_workbook(tables: Mapping[str, pd.DataFrame]) -> tuple[dict[str, pd.DataFrame], str]:
    """The tables, those beyond 200,000 rows emptied, and a line that names them (empty when all fit)."""
    long = [name for name, frame in tables.items() if len(frame) > _WORKBOOK_ROWS]
    fitted = {name: frame.head(0) if name in long else frame for name, frame in tables.items()}
    named = ", ".join(f"{name} ({len(tables[name]):,} rows)" for name in long)
    return fitted, f"Too long for Excel, see the run's Parquet tables: {named}" if long else ""


def ladder_maturities(schedule: pd.DataFrame, settings: PortfolioSettings) -> dict[str, pd.DataFrame]:
    """When the principal not yet received falls due, in buckets from the as-of day.

    days = due_date - as_of; the first bucket holds what is due on the as-of day or earlier. An instalment is
    open when it is due later or part of its principal is not received; interest and counts are those of open
    instalments. Sum of principal = outstanding of all contracts.

    Parameters: schedule (key contract_id, period). Returns: maturity_ladder (key currency, step), minor units.
    """
    if schedule.empty:
        return {"maturity_ladder": declared("maturity_ladder").empty()}
    days = (schedule["due_date"] - pd.Timestamp(settings.as_of)).dt.days.to_numpy()
    open_minor = schedule["principal_minor"] - schedule["received_minor"]
    is_open = (open_minor > 0) | (days > 0)
    step = np.searchsorted(_BUCKET_DAYS, days, side="left")
    sums = (
        schedule.assign(
            step=step,
            principal_minor=open_minor,
            interest_minor=schedule["interest_minor"].where(is_open, 0),
            instalment_count=is_open.astype("int64"),
        )
        .groupby(["currency", "step"], sort=True)[["principal_minor", "interest_minor", "instalment_count"]]
        .sum()
    )
    steps = pd.DataFrame({"step": range(len(_BUCKETS)), "bucket": _BUCKETS})
    grid = pd.DataFrame({"currency": sorted(schedule["currency"].unique())}).merge(steps, how="cross")
    ladder = grid.merge(sums.reset_index(), on=["currency", "step"], how="left", validate="one_to_one")
    ladder = ladder.fillna({name: 0 for name in sums.columns})
    whole = ladder.groupby("currency")["principal_minor"].transform("sum")
    ladder = ladder.assign(
        share_rate=(ladder["principal_minor"] / whole.where(whole > 0, 1)).astype("float64"),
    )
    return {"maturity_ladder": declared("maturity_ladder").shaped(ladder)}


def _running_balance(frame: pd.DataFrame, by: list[str]) -> pd.Series:
    """Purchased less principal to date; `frame` is in month order within each group."""
    change = frame["purchased_minor"] - frame["principal_minor"]
    balance: pd.Series = change.groupby([frame[name] for name in by], sort=False).cumsum()
    return balance


def _month(dates: pd.Series) -> pd.Series:
    """Months since January 1970, so that months can be counted and compared as whole numbers."""
    months = dates.to_numpy().astype("datetime64[M]").astype(np.int64)
    return pd.Series(months, index=dates.index)


def _month_end(month: pd.Series) -> pd.Series:
    following = (month.to_numpy(dtype=np.int64) + 1).astype("datetime64[M]").astype("datetime64[D]")
    return pd.Series(following - np.timedelta64(1, "D"), index=month.index)
