"""The settlement plan against gross, simple grouping, hub netting and one binary per transaction and batch.

Corporate mix: participants pay each other in four currencies, a third of the payments converts, windows T0 to T2.
The peer gives every transaction three interchangeable batches of equal cost (what this replaces did): it decides
nothing, so its cost is gross less at most the discount on every wire.

CPU time of one process, all figures of one line from the same payments. `plan`: from arrays to the priced plan with its
bound, through PuLP and HiGHS; packages are imported and one small book is planned before, so their import (about a
second, once a process) is not in it. `arrays`: from the table to arrays, `batches`: the plan packed into batches; both
outside `plan`. Batches per second: made by plan and packing together.

`python -m benchmarks.batching [TRANSACTIONS ...]` runs the sizes given.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date

import numpy as np
import pandas as pd
import pulp

from atlas_lib.batching_settlement.book import (
    Book,
    earliest_slots,
    grouped_plan,
    pooled_plan,
    read_book,
    requested_slots,
    single_plan,
)
from atlas_lib.batching_settlement.costs import Prices, price_plan, read_prices
from atlas_lib.batching_settlement.items import settlement_dates
from atlas_lib.batching_settlement.limits import cash_by_window, place, read_limits
from atlas_lib.batching_settlement.packing import pack_lines
from atlas_lib.batching_settlement.solving import solve_book
from atlas_lib.core.settings import BatchingSettlementSettings
from atlas_lib.core.tables import declared

CURRENCIES = np.array(["EUR", "USD", "GBP", "JPY"], dtype=object)
CASES: list[tuple[int, int, float | None, float | None]] = [
    (1_000, 20, None, None),
    (10_000, 5, None, None),
    (100_000, 2, None, None),
    (1_000_000, 1, None, None),
    (1_000, 10, 0.8, None),
    (10_000, 3, 0.8, None),
    (100_000, 1, 0.8, None),
    (1_000, 10, None, 0.6),
]
MOST_FOR_PEER = 10_000
RATES = pd.DataFrame(
    {"rate": [1.0, 1.14, 0.86, 170.0], "date": pd.Timestamp("2026-10-30")}, index=["EUR", "USD", "GBP", "JPY"]
)


def corporate_mix(count: int, seed: int) -> pd.DataFrame:
    """settlement_items of `count` due payments among count^0.6 participants, values around 8,000 EUR."""
    rng = np.random.default_rng(seed)
    participants = max(int(count**0.6), 4)
    payer = rng.zipf(1.4, count) % participants
    payee = (payer + 1 + rng.integers(0, participants - 1, count)) % participants
    source = rng.choice(4, count, p=[0.5, 0.3, 0.15, 0.05])
    target = np.where(rng.random(count) < 0.33, rng.choice(4, count), source)
    value = np.maximum(np.exp(rng.normal(13.6, 1.4, count)), 100).astype(np.int64)
    is_sale = rng.random(count) < 0.5
    latest = rng.integers(1, 4, count)
    earliest = np.minimum(np.where(rng.random(count) < 0.1, 2, 1), latest)
    frame = pd.DataFrame(
        {
            "transaction_id": pd.Series(np.arange(count)).map("T{:08d}".format),
            "merchant_id": "M", "type": np.where(is_sale, "SALE", "PAYOUT"), "standing": "due", "reason": "",
            "batch_id": "", "payer_account": pd.Series(payer).map("P{}".format),
            "payee_account": pd.Series(payee).map("P{}".format),
            "amount_minor": value, "currency": CURRENCIES[source], "destination_minor": value,
            "destination_currency": CURRENCIES[target], "value_minor": value, "cash_currency": CURRENCIES[source],
            "cash_out_minor": np.where(is_sale, -value, value), "net_debit_minor": np.where(is_sale, value, 0),
            "counterparty_id": "CP", "asked_counterparty_id": "CP", "is_gross": False, "earliest_slot": earliest,
            "latest_slot": latest, "created_at": pd.Timestamp("2026-10-30T09:00:00Z"),
        }
    )  # fmt: skip
    return declared("settlement_items").shaped(frame)


def cash_of(items: pd.DataFrame, share: float) -> pd.DataFrame:
    """Cash that covers `share` of what goes out on balance per currency."""
    out = items.groupby("cash_currency")["cash_out_minor"].sum().clip(lower=0)
    cash = (out * share).astype("int64")
    frame = pd.DataFrame({"currency": cash.index, "opening_balance_minor": cash.to_numpy(), "minimum_balance_minor": 0})
    return declared("liquidity").shaped(frame.assign(source_file="", source_sheet="", source_row=1))


def caps_of(items: pd.DataFrame, share: float) -> pd.DataFrame:
    """Limits on net debit in each window: `share` of what each counterparty owes over all of them."""
    owed = items.groupby("counterparty_id")["net_debit_minor"].sum()
    caps = (owed * share).astype("int64").to_numpy()
    return pd.DataFrame({"counterparty_id": owed.index, "limit_minor": caps, "currency": "EUR"})


def one_binary_per_transaction_and_batch(book: Book, prices: Prices) -> float:
    """Solve the peer's model; returns its objective in minor units."""
    problem = pulp.LpProblem("peer", pulp.LpMinimize)
    fx = book.column("value_minor") * prices.quoted[book.source, book.target] / 1e6
    terms, batches = [], [[] for _ in range(3)]
    for i in range(len(book)):
        choice = [problem.add_variable(f"x_{i}_{b}", 0, 1, "Integer") for b in range(3)]
        terms += [(x, prices.shared_minor + fx[i]) for x in choice]
        problem += pulp.LpConstraint(pulp.LpAffineExpression([(x, 1) for x in choice]), rhs=1)
        for batch, x in zip(batches, choice, strict=True):
            batch.append((x, 1))
    for batch in batches:
        problem += pulp.LpConstraint(pulp.LpAffineExpression(batch), sense=pulp.LpConstraintLE, rhs=len(book))
    problem.setObjective(pulp.LpAffineExpression(terms))
    problem.solve(pulp.HiGHS(msg=False, threads=1, timeLimit=120))
    return float(pulp.value(problem.objective))


def cpu_seconds(work: Callable[[], object]) -> tuple[float, object]:
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def measure(count: int, seed: int, cash_share: float | None, limit_share: float | None) -> dict[str, float]:
    items = corporate_mix(count, seed)
    if limit_share is not None:
        parties = np.random.default_rng(1_000 + seed).choice(["CP1", "CP2", "CP3"], count, p=[0.5, 0.3, 0.2])
        items = items.assign(counterparty_id=pd.Series(parties, dtype="str"))
    capped = declared("counterparties").empty() if limit_share is None else caps_of(items, limit_share)
    settings = BatchingSettlementSettings(as_of=date(2026, 10, 30), deferral_cost=25.0)
    reading, book = cpu_seconds(lambda: read_book(items))
    prices = read_prices(settings, book.currencies)
    cash = declared("liquidity").empty() if cash_share is None else cash_of(items, cash_share)
    at_hand = cash_by_window(cash, None, [])
    limits = read_limits(book, at_hand, capped, RATES)
    gc.collect()  # what the peer of the case before has left is not the planner's
    spent, solution = cpu_seconds(lambda: solve_book(book, limits, prices, gap_rate=settings.solver_gap_rate))
    dates = settlement_dates(settings.as_of)
    packing, lines = cpu_seconds(lambda: pack_lines(book, solution.plan, dates, settings.max_batch_count))
    batches = lines["batch_id"].nunique()
    asked = place(book, requested_slots(book), limits)
    gross, simple = (
        price_plan(book, plan(book, asked), prices, spread=prices.quoted).total_micro
        for plan in (single_plan, grouped_plan)
    )
    hub = price_plan(book, pooled_plan(book, place(book, earliest_slots(book), limits)), prices).total_micro
    cost = solution.cost.total_micro
    found = {"ms": spent * 1000, "gross": 1 - cost / gross, "simple": 1 - cost / simple, "hub": 1 - cost / hub}
    found |= {"gap": solution.gap_rate, "deferred": solution.cost.deferred, "reading": reading * 1000}
    found |= {"packing": packing * 1000, "rate": batches / (spent + packing), "size": len(lines) / batches}
    found["searched"] = float("whole-number" in solution.solver)  # the plan taken is that of a search
    if cash_share is None and limit_share is None and count <= MOST_FOR_PEER:
        peer_spent, peer = cpu_seconds(lambda: one_binary_per_transaction_and_batch(book, prices))
        found |= {"peer_ms": peer_spent * 1000, "peer_saved": 1 - peer * 1e6 / gross}
    return found


def p90(values: list[float]) -> float:
    """The value that nine in ten do not exceed."""
    return sorted(values)[max(-(-len(values) * 9 // 10) - 1, 0)]


def told(count: int, cash: float | None, limit: float | None, rows: list[dict[str, float]]) -> str:
    mean = {k: statistics.mean(r[k] for r in rows) for k in rows[0]}
    peer = f"{mean['peer_ms']:,.0f} ms, {mean['peer_saved']:.1%}" if "peer_ms" in mean else "-"
    return (
        f"{count:>12,}  {'ample' if cash is None else f'{cash:.0%}':<5} {'none' if limit is None else f'{limit:.0%}':<6}{len(rows):>5}"
        f"{statistics.median(r['ms'] for r in rows):>9,.0f}{mean['ms']:>8,.0f}{p90([r['ms'] for r in rows]):>8,.0f}{mean['ms'] / count * 1000:>9.2f}"
        f"{mean['gross']:>8.1%}{mean['simple']:>8.1%}{mean['hub']:>7.1%}"
        f"{mean['gap']:>9.3%}{p90([r['gap'] for r in rows]):>8.3%}{int(sum(r['searched'] for r in rows)):>9}"
        f"{mean['deferred']:>9.1f}{mean['reading']:>9,.0f}{mean['packing']:>9,.0f}{mean['rate']:>9,.0f} x {mean['size']:<5,.0f}  {peer}\n"
    )


def main(sizes: list[int]) -> None:
    warm = corporate_mix(300, 0)
    measure_warm = read_book(warm)
    settings = BatchingSettlementSettings(as_of=date(2026, 10, 30))
    prices = read_prices(settings, measure_warm.currencies)
    cash = cash_by_window(declared("liquidity").empty(), None, [])
    solve_book(measure_warm, read_limits(measure_warm, cash, declared("counterparties").empty(), RATES), prices)
    sys.stdout.write(
        "                                      plan, CPU ms                saved against              gap                              outside of plan, ms   batches/s\n"
        "transactions  cash  limits runs   median    mean     p90 ms/1,000   gross  simple    hub     mean     p90 searched deferred   arrays  batches   x size    peer: CPU, saved\n"
    )
    for count, runs, *scarce in CASES:
        if not sizes or count in sizes:
            sys.stdout.write(told(count, *scarce, [measure(count, seed, *scarce) for seed in range(runs)]))
            sys.stdout.flush()


if __name__ == "__main__":
    main([int(a) for a in sys.argv[1:] if a.isdigit()])
