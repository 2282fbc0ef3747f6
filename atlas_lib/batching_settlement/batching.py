"""From due transactions to committed-ready batches: the plan, packed, with its payment instructions."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from atlas_lib.batching_settlement.attempts import alternate_routes
from atlas_lib.batching_settlement.book import DEFERRED, MODES, NETTED, Book, Plan, read_book, slot_names
from atlas_lib.batching_settlement.comparison import compare_costs
from atlas_lib.batching_settlement.costs import (
    MICRO,
    Prices,
    net_conversions,
    pool_imbalances,
    quoted_steps,
    read_prices,
)
from atlas_lib.batching_settlement.instructions import make_instructions
from atlas_lib.batching_settlement.items import COST_CURRENCY, rates_on, settlement_dates
from atlas_lib.batching_settlement.limits import cash_by_window, read_limits
from atlas_lib.batching_settlement.packing import pack_lines, summarise_batches
from atlas_lib.batching_settlement.plan_check import check_plan
from atlas_lib.batching_settlement.reasons import tell_alternates, why_deferred
from atlas_lib.batching_settlement.solving import SOLVERS, solve_book
from atlas_lib.core.settings import BatchingSettlementSettings
from atlas_lib.core.tables import declared

_NEXT_WINDOW = {"RTGS": "T0", "T0": "T1", "T1": "T2", "T2": "next run"}
_UNROUTED = {
    "held": "on a blacklist or sanctions list: released by compliance only",
    "no route": "the counterparty and its alternates are unavailable",
    "no rate": "no exchange rate up to the as-of day",
}


def plan_settlement(
    settlement_items: pd.DataFrame,
    counterparties: pd.DataFrame,
    liquidity: pd.DataFrame,
    fx_rates: pd.DataFrame,
    settings: BatchingSettlementSettings,
    liquidity_forecast: pd.DataFrame | None = None,
    counterparty_limits: pd.DataFrame | None = None,
) -> dict[str, pd.DataFrame]:
    """The least-cost plan for the due transactions, packed into batches with their payment instructions.

    Every due transaction is in exactly one of batch_lines and deferrals; the plan is recomputed from the
    finished tables and refused if anything does not hold (CheckFailed). Inputs: settlement_items
    (transaction_id), counterparties, liquidity, fx_rates, and the forecast's known flows where there is one
    (currency, flow_date), and the limits in one currency where there are any (counterparty_id, currency). Outputs: batches, batch_lines, instructions,
    deferrals, fx_conversions, cost_comparison, plan_checks; all empty when nothing is due, but for deferrals.
    """
    book = read_book(settlement_items)
    rates = rates_on(fx_rates, settings.as_of)
    prices = read_prices(settings, book.currencies)
    dates = settlement_dates(settings.as_of)
    cash = cash_by_window(liquidity, liquidity_forecast, dates)
    limits_of = partial(
        read_limits,
        cash=cash,
        counterparties=counterparties,
        rates=rates,
        counterparty_limits=counterparty_limits,
    )
    limits = limits_of(book)
    deferrals = _unrouted(settlement_items)
    if len(book) == 0:
        names = ("batches", "batch_lines", "instructions", "fx_conversions", "cost_comparison", "plan_checks")
        return {name: declared(name).empty() for name in names} | {"deferrals": declared("deferrals").shaped(deferrals)}
    effort = {"seconds": settings.solver_seconds, "nodes": settings.solver_nodes}
    solution = solve_book(book, limits, prices, **effort, gap_rate=settings.solver_gap_rate, solvers=SOLVERS)
    lines = pack_lines(book, solution.plan, dates, settings.max_batch_count)
    instructions, lines = make_instructions(lines, book.accounts)
    rate_date = rates.loc[[c for c in book.currencies if c in rates.index], "date"].min()
    why = why_deferred(book, solution.plan.slot, limits)
    left = _left_over(book, tell_alternates(why, book, solution.plan.slot, alternate_routes(counterparties), limits_of))
    made = {
        "batches": summarise_batches(lines, instructions),
        "batch_lines": lines,
        "instructions": instructions,
        "deferrals": pd.concat([f for f in (deferrals, left) if len(f)], ignore_index=True) if len(left) else deferrals,
        "fx_conversions": _conversions(book, solution.plan, prices, dates),
        "cost_comparison": compare_costs(book, solution, limits, prices, rate_date),
    }
    tables = {name: declared(name).shaped(frame) for name, frame in made.items()}
    given = (counterparties, liquidity, rates, settings, liquidity_forecast, counterparty_limits)
    checks = check_plan(settlement_items, tables, *given)
    return tables | {"plan_checks": declared("plan_checks").shaped(checks)}


def _unrouted(items: pd.DataFrame) -> pd.DataFrame:
    """Held and unroutable items as deferrals."""
    kept = items[items["standing"].isin(list(_UNROUTED))]
    return pd.DataFrame(
        {
            "transaction_id": kept["transaction_id"],
            "reason": kept["reason"],
            "detail": kept["standing"].map(_UNROUTED),
            "next_window": "next run",
            "amount_minor": kept["amount_minor"],
            "currency": kept["currency"],
        }
    )


def _left_over(book: Book, why: pd.DataFrame) -> pd.DataFrame:
    """Items that no window has room for, with the limit in the way."""
    kept = book.items.loc[why.index]
    latest = slot_names(kept["latest_slot"].to_numpy(dtype=np.int64), kept["is_gross"].to_numpy(dtype=bool))
    return pd.DataFrame(
        {
            "transaction_id": kept["transaction_id"],
            "reason": why["reason"],
            "detail": why["detail"],
            "next_window": [_NEXT_WINDOW[w] for w in latest],
            "amount_minor": kept["amount_minor"],
            "currency": kept["currency"],
        }
    )


def _conversions(book: Book, plan: Plan, prices: Prices, dates: list[pd.Timestamp]) -> pd.DataFrame:
    """Quoted conversions per day and mode: the pool's net ones, and those of single payments, the cheapest way."""
    found: dict[tuple[int, int, int, int], int] = {}
    for slot, net in pool_imbalances(book, plan).items():
        for (a, b), value in quoted_steps(net_conversions(net, prices), prices).items():
            found[slot, NETTED, a, b] = value
    alone = (plan.slot != DEFERRED) & (plan.mode != NETTED) & (book.source != book.target)
    own = pd.DataFrame(
        {"slot": plan.slot, "mode": plan.mode, "a": book.source, "b": book.target, "value": book.column("value_minor")}
    )[alone]
    for (slot, mode), part in own.groupby(["slot", "mode"], sort=True):
        summed = {(int(a), int(b)): int(v) for (a, b), v in part.groupby(["a", "b"], sort=True)["value"].sum().items()}
        for (a, b), value in quoted_steps(summed, prices).items():
            found[int(slot), int(mode), a, b] = value
    rows = [
        (dates[slot], MODES[mode], book.currencies[a], book.currencies[b], value, int(prices.quoted[a, b]))
        for (slot, mode, a, b), value in found.items()
    ]
    keys = ["settlement_date", "mode", "sold_currency", "bought_currency"]
    deals = pd.DataFrame(rows, columns=[*keys, "value_minor", "spread"])
    # RTGS and T0 share a day, so their conversions share a row.
    frame = deals.groupby([*keys, "spread"], sort=True)["value_minor"].sum().reset_index()
    cost = [round(v * s / MICRO) for v, s in zip(frame["value_minor"].tolist(), frame["spread"].tolist(), strict=True)]
    return frame.assign(spread_bps=frame["spread"] / 100, cost_minor=cost, currency=COST_CURRENCY)
