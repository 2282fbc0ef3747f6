"""What a purchase earns: purchase price out on the start date, premiums in month by month."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from atlas_lib.core.tables import declared
from atlas_lib.portfolio.schedules import contract_periods, due_dates

Amounts = NDArray[np.float64]

_LOWEST, _HIGHEST = -0.99, 10.0
_DAYS_IN_YEAR = 365.0


@dataclass(frozen=True)
class Root:
    """The rate of one cash flow per unit of time, with what is needed to trust it."""

    rate: float | None
    sign_change_count: int
    roots: tuple[float, ...]


def solve_yields(contracts: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Yield of every contract, of every merchant and of the whole book.

    Cash flow: -purchase_price on `start_date`, +premium on each due date (first one month later).
    nominal = 12 x i, effective = (1 + i)^12 - 1, with i the internal rate of return by whole months (of
    calendar months where purchases of several days are taken together); xirr = yearly rate on the actual due
    dates over 365 days. Interest at the configured rate is no part of it: the margin bought is the yield.

    A flow that changes sign more than once may fit several rates: it is flagged, and where it does the rates
    are named and none is given. Contracts of the same start, term and premium / price ratio are solved once.

    Parameters: contracts (key contract_id). Returns: yields (key level, key, currency), e.g. `contract,
    CONTRACT-001, nominal 0.1461, effective 0.1563`.
    """
    if contracts.empty:
        return {"yields": declared("yields").empty()}
    book = contracts.assign(book="book", book_name="Whole book")
    levels = [
        _level_totals(book, "contract", "contract_id", "contract_id").merge(
            _contract_rates(contracts), on=["key", "currency"], validate="one_to_one"
        )
    ]
    for level, key, name in (("merchant", "merchant_id", "merchant_name"), ("book", "book", "book_name")):
        totals = _level_totals(book, level, key, name)
        levels.append(totals.merge(_group_rates(book, key), on=["key", "currency"], validate="one_to_one"))
    return {"yields": declared("yields").shaped(pd.concat(levels, ignore_index=True))}


def solve_irr(amounts: ArrayLike) -> Root:
    """The rate per period of one flow; amounts in equal steps, the first one now."""
    import pyxirr

    flow = np.asarray(amounts, dtype=np.float64)
    return _solved(flow, np.arange(len(flow), dtype=np.float64), lambda: pyxirr.irr(flow, silent=True))


def solve_xirr(dates: ArrayLike, amounts: ArrayLike) -> Root:
    """The yearly rate of one dated flow, in any order: sum(amount / (1 + r)^(days / 365)) = 0."""
    import pyxirr

    days, flow = np.asarray(dates).astype("datetime64[D]"), np.asarray(amounts, dtype=np.float64)
    order = np.argsort(days, kind="stable")
    days, flow = days[order], flow[order]
    years = (days - days[0]).astype(np.float64) / _DAYS_IN_YEAR
    return _solved(flow, years, lambda: pyxirr.xirr(days, flow, silent=True))


def _solved(amounts: Amounts, times: Amounts, candidate: Callable[[], float | None]) -> Root:
    """One change of sign has exactly one root above -100 % (Descartes): pyxirr's, if its present value is nil.

    Otherwise the range -99 % to 1,000 % is searched for every root; several roots give no rate.
    """
    changes = sign_changes(amounts)
    if changes == 1:
        rate = candidate()
        if rate is not None and _is_root(rate, amounts, times):
            return Root(rate, 1, (rate,))
    roots = find_roots(amounts, times) if changes else ()
    return Root(roots[0] if len(roots) == 1 else None, changes, roots)


def sign_changes(amounts: Amounts) -> int:
    """How often the flow turns from out to in or back; zeros are passed over."""
    signs = np.sign(amounts[amounts != 0])
    return int((signs[1:] != signs[:-1]).sum())


def find_roots(amounts: Amounts, times: Amounts) -> tuple[float, ...]:
    """Every rate from -99 % to 1,000 % at which the present value changes sign, ascending.

    The present value is taken on 700 steps of 1 % in 1 + r and each bracket is halved to machine precision; two
    rates within one step of each other would be missed.
    """
    grid = np.linspace(np.log1p(_LOWEST), np.log1p(_HIGHEST), 701)
    values = _present_value(amounts, times, grid)
    found = [grid[i] for i in np.flatnonzero(values == 0)]
    for i in np.flatnonzero(values[:-1] * values[1:] < 0):
        low, high, sign = grid[i], grid[i + 1], np.sign(values[i])
        for _ in range(50):
            middle = (low + high) / 2
            if np.sign(_present_value(amounts, times, np.array([middle]))[0]) == sign:
                low = middle
            else:
                high = middle
        found.append((low + high) / 2)
    return tuple(float(np.expm1(x)) for x in sorted(found))


def _present_value(amounts: Amounts, times: Amounts, log_rates: Amounts) -> Amounts:
    """Scaled by the largest discount factor, that of the first or the last flow, so that nothing overflows."""
    factors = np.multiply.outer(-log_rates, times)
    factors -= np.maximum(factors[:, -1:], 0)
    np.exp(factors, out=factors)
    factors *= amounts
    return np.asarray(factors.sum(axis=1))


def _is_root(rate: float, amounts: Amounts, times: Amounts) -> bool:
    if not np.isfinite(rate) or rate <= -1:
        return False
    value = _present_value(amounts, times, np.array([np.log1p(rate)]))[0]
    return bool(abs(value) <= 1e-7 * np.abs(amounts).sum())


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


def _contract_rates(contracts: pd.DataFrame) -> pd.DataFrame:
    """Rates by contract; contracts whose flows differ only by a factor share one solution."""
    divisor = np.gcd(contracts["purchase_price_minor"].to_numpy(), contracts["premium_minor"].to_numpy()).clip(min=1)
    shaped = contracts.assign(
        price_part=contracts["purchase_price_minor"] // divisor, premium_part=contracts["premium_minor"] // divisor
    )
    shape = ["price_part", "premium_part", "start_date", "term_months", "currency"]
    number = shaped.groupby(shape, sort=False).ngroup().to_numpy()
    distinct = shaped.drop_duplicates(shape, ignore_index=True)
    flows = _flows(distinct, distinct.index.to_numpy())
    rates = _rates_of(flows).take(number)
    return rates.assign(key=contracts["contract_id"].to_numpy(), currency=contracts["currency"].to_numpy())


def _group_rates(contracts: pd.DataFrame, key: str) -> pd.DataFrame:
    """Rates by key and currency, purchases and premiums of the same day taken together."""
    groups = contracts.groupby([key, "currency"], sort=True)
    flows = _flows(contracts, groups.ngroup().to_numpy())
    flows = flows.groupby(["group", "month", "date"], sort=True)["amount_minor"].sum().reset_index()
    names = groups.size().reset_index()
    return _rates_of(flows).assign(key=names[key].to_numpy(), currency=names["currency"].to_numpy())


def _flows(contracts: pd.DataFrame, group: NDArray[np.integer[Any]]) -> pd.DataFrame:
    """Every dated amount: columns group, month (calendar month counted), date, amount_minor; by group and date."""
    row, period = contract_periods(contracts["term_months"].to_numpy(dtype=np.int64))
    start = contracts["start_date"].to_numpy().astype("datetime64[D]")
    month = start.astype("datetime64[M]").astype(np.int64)
    premium, price = (contracts[c].to_numpy(dtype=np.int64) for c in ("premium_minor", "purchase_price_minor"))
    flows = pd.DataFrame(
        {
            "group": np.concatenate([group, group[row]]),
            "month": np.concatenate([month, month[row] + period]),
            "date": np.concatenate([start, due_dates(contracts)]),
            "amount_minor": np.concatenate([-price, premium[row]]),
        }
    )
    return flows.sort_values(["group", "month", "date"], kind="stable", ignore_index=True)


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
