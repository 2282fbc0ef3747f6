"""What a purchase earns: purchase price out on the start date, premiums in month by month."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from atlas_lib.core.settings import PortfolioSettings
from atlas_lib.core.tables import declared
from atlas_lib.portfolio.roots import Root, solve_irr, solve_many, solve_xirr
from atlas_lib.portfolio.schedules import contract_periods, due_dates

_BLOCK_CONTRACTS = 5_000
_GROUPS = (
    ("merchant", "merchant_id", "merchant_name"),
    ("vintage", "vintage", "vintage_name"),
    ("book", "book", "book_name"),
)


def solve_yields(contracts: pd.DataFrame, settings: PortfolioSettings) -> dict[str, pd.DataFrame]:
    """Yield of every contract, merchant, vintage and of the whole book.

    Cash flow: -purchase_price on `start_date`, +premium on each due date (first one month later).
    nominal = 12 x i, effective = (1 + i)^12 - 1, with i the internal rate of return by whole months (of
    calendar months where purchases of several days are taken together); xirr = yearly rate on the actual due
    dates over 365 days. Interest at the configured rate is no part of it: the margin bought is the yield.

    A flow that changes sign more than once may fit several rates: it is flagged, and where it does the rates
    are named and none is given. A vintage is what was bought in one calendar quarter.

    Parameters: contracts (key contract_id). Returns: yields (key level, key, currency), e.g. `contract,
    CONTRACT-001, nominal 0.1461, effective 0.1563`.
    """
    if contracts.empty:
        return {"yields": declared("yields").empty()}
    quarter = contracts["start_date"].dt.year.astype("str") + "-Q" + contracts["start_date"].dt.quarter.astype("str")
    book = contracts.assign(vintage=quarter, vintage_name="Bought in " + quarter, book="book", book_name="Whole book")
    levels = [
        _level_totals(book, "contract", "contract_id", "contract_id").merge(
            _contract_rates(contracts, settings), on=["key", "currency"], validate="one_to_one"
        )
    ]
    for level, key, name in _GROUPS:
        totals = _level_totals(book, level, key, name)
        levels.append(totals.merge(_group_rates(book, key, settings), on=["key", "currency"], validate="one_to_one"))
    return {"yields": declared("yields").shaped(pd.concat(levels, ignore_index=True))}


def _level_totals(book: pd.DataFrame, level: str, key: str, name: str) -> pd.DataFrame:
    """Amounts per key and currency; the gain is what the premiums bring beyond the price."""
    premiums = book["premium_minor"] * book["term_months"]
    totals = (
        book.assign(key=book[key], name=book[name], premiums_minor=premiums, contract_count=1)
        .groupby(["key", "currency"], sort=True)
        .agg(
            name=("name", "first"),
            contract_count=("contract_count", "sum"),
            purchase_price_minor=("purchase_price_minor", "sum"),
            premiums_minor=("premiums_minor", "sum"),
        )
        .reset_index()
    )
    return totals.assign(level=level, gain_minor=totals["premiums_minor"] - totals["purchase_price_minor"])


def _contract_rates(contracts: pd.DataFrame, settings: PortfolioSettings) -> pd.DataFrame:
    """Rates by contract, a block of contracts at a time; what the fast way does not solve is solved one by one."""
    parts = [_block_rates(part, settings) for part in _blocks(contracts)]
    return pd.concat(parts, ignore_index=True)


def _blocks(contracts: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for low in range(0, len(contracts), _BLOCK_CONTRACTS):
        yield contracts.iloc[low : low + _BLOCK_CONTRACTS].reset_index(drop=True)


def _block_rates(contracts: pd.DataFrame, settings: PortfolioSettings) -> pd.DataFrame:
    flows = _flows(contracts, np.arange(len(contracts)), settings)
    amount, date = flows["amount_minor"].to_numpy(np.float64), flows["date"].to_numpy().astype("datetime64[D]")
    first = np.flatnonzero(np.diff(flows["group"].to_numpy(), prepend=-1))
    size, month = np.diff(first, append=len(flows)), flows["month"].to_numpy()
    i = solve_many(amount, (month - np.repeat(month[first], size)).astype(np.float64), first)
    yearly = solve_many(amount, (date - np.repeat(date[first], size)).astype(np.float64) / 365, first)
    rates = pd.DataFrame({"nominal_rate": 12 * i, "effective_rate": (1 + i) ** 12 - 1, "xirr_rate": yearly})
    rates = rates.assign(sign_change_count=1, root_count=1, status="ok", remark="")
    doubtful = np.flatnonzero(~(np.isfinite(i) & np.isfinite(yearly)))
    if len(doubtful):
        single = _rates_of(flows[np.isin(flows["group"].to_numpy(), doubtful)]).set_index(doubtful)
        rates.loc[doubtful, single.columns] = single.astype(rates.dtypes.to_dict())
    return rates.assign(key=contracts["contract_id"].to_numpy(), currency=contracts["currency"].to_numpy())


def _group_rates(contracts: pd.DataFrame, key: str, settings: PortfolioSettings) -> pd.DataFrame:
    """Rates by key and currency, purchases and premiums of the same day taken together."""
    groups = contracts.groupby([key, "currency"], sort=True)
    flows = _flows(contracts, groups.ngroup().to_numpy(), settings)
    flows = flows.groupby(["group", "month", "date"], sort=True)["amount_minor"].sum().reset_index()
    names = groups.size().reset_index()
    return _rates_of(flows).assign(key=names[key].to_numpy(), currency=names["currency"].to_numpy())


def _flows(contracts: pd.DataFrame, group: NDArray[np.integer[Any]], settings: PortfolioSettings) -> pd.DataFrame:
    """Every dated amount: columns group, month (calendar month counted), date, amount_minor; contract by contract."""
    term = contracts["term_months"].to_numpy(dtype=np.int64)
    row, period = contract_periods(term + 1)
    starts = period == 1
    start = contracts["start_date"].to_numpy().astype("datetime64[D]")
    date, amount = np.repeat(start, term + 1), np.repeat(contracts["premium_minor"].to_numpy(dtype=np.int64), term + 1)
    date[~starts], amount[starts] = due_dates(contracts, settings), -contracts["purchase_price_minor"].to_numpy()
    month = start.astype("datetime64[M]").astype(np.int64)[row] + period - 1
    return pd.DataFrame({"group": group[row], "month": month, "date": date, "amount_minor": amount})


def _rates_of(flows: pd.DataFrame) -> pd.DataFrame:
    """One row per group, in group order: rates, sign changes, roots, status and remark."""
    edges = np.flatnonzero(np.diff(flows["group"].to_numpy(), prepend=-1, append=-1))
    month, date = flows["month"].to_numpy(), flows["date"].to_numpy().astype("datetime64[D]")
    amount = flows["amount_minor"].to_numpy(dtype=np.float64)
    rows = []
    for low, high in pairwise(edges.tolist()):
        by_month = np.bincount(month[low:high] - month[low], weights=amount[low:high])
        rows.append(_rates_row(solve_irr(by_month), solve_xirr(date[low:high], amount[low:high])))
    return pd.DataFrame(rows)


def _rates_row(monthly: Root, dated: Root) -> dict[str, Any]:
    status, remark = _judged(dated)
    i = monthly.rate if status != "several_roots" else None
    return {
        "nominal_rate": None if i is None else 12 * i,
        "effective_rate": None if i is None else (1 + i) ** 12 - 1,
        "xirr_rate": dated.rate,
        "sign_change_count": dated.sign_change_count,
        "root_count": len(dated.roots),
        "status": status,
        "remark": remark,
    }


def _judged(dated: Root) -> tuple[str, str]:
    if dated.sign_change_count == 0:
        return "no_yield", "nothing paid or nothing received, so no rate fits"
    if not dated.roots:
        return "no_yield", "no rate between -99 % and 1,000 % fits"
    if len(dated.roots) > 1:
        return "several_roots", "these rates all fit: " + ", ".join(f"{r:.2%}" for r in dated.roots)
    if dated.sign_change_count > 1:
        return "checked", f"the flow changes sign {dated.sign_change_count} times; only one rate fits"
    return "ok", ""
