"""The settlement plan against gross, simple grouping, hub netting and one binary per transaction and batch.

Corporate mix: participants pay each other in four currencies, a third of the payments converts, windows T0 to T2.
The peer gives every transaction three interchangeable batches of equal cost (what this replaces did): it decides
nothing, so its cost is gross less at most the discount on every wire. CPU time of one process, from arrays to the
plan; all figures of one line come from the same payments.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from datetime import date

import numpy as np
import pandas as pd
import pulp

from atlas_lib.batching_settlement.book import Book, grouped_plan, pooled_plan, read_book, requested_slots, single_plan
from atlas_lib.batching_settlement.costs import Prices, price_plan, read_prices
from atlas_lib.batching_settlement.limits import Limits, cash_by_window, read_limits
from atlas_lib.batching_settlement.solving import solve_book
from atlas_lib.core.settings import BatchingSettlementSettings
from atlas_lib.core.tables import declared

CURRENCIES = np.array(["EUR", "USD", "GBP", "JPY"], dtype=object)
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


def measure(count: int, seed: int, cash_share: float | None) -> dict[str, float]:
    items = corporate_mix(count, seed)
    settings = BatchingSettlementSettings(as_of=date(2026, 10, 30), deferral_cost=25.0)
    book = read_book(items)
    prices = read_prices(settings, book.currencies)
    liquidity = declared("liquidity").empty() if cash_share is None else cash_of(items, cash_share)
    limits: Limits = read_limits(
        book, cash_by_window(liquidity, None, []), declared("counterparties").empty(), RATES, "half_even"
    )
    spent, solution = cpu_seconds(lambda: solve_book(book, limits, prices))
    asked = requested_slots(book)
    gross, simple = (
        price_plan(book, plan(book, asked), prices, spread=prices.quoted).total_micro
        for plan in (single_plan, grouped_plan)
    )
    hub = price_plan(book, pooled_plan(book, book.column("earliest_slot")), prices).total_micro
    cost = solution.cost.total_micro
    found = {"ms": spent * 1000, "gross": 1 - cost / gross, "simple": 1 - cost / simple, "hub": 1 - cost / hub}
    found |= {"gap": (cost - solution.bound_micro) / cost, "deferred": solution.cost.deferred}
    if cash_share is None and count <= 10_000:
        peer_spent, peer = cpu_seconds(lambda: one_binary_per_transaction_and_batch(book, prices))
        found |= {"peer_times": peer_spent / spent, "peer_saved": 1 - peer * 1e6 / gross}
    return found


def main() -> None:
    write = sys.stdout.write
    write(
        "transactions  cash      CPU ms  ms/1,000  saved: gross  simple    hub   gap mean    max  deferred  peer CPU x, saved\n"
    )
    for count, runs, cash in [
        (1_000, 10, None),
        (10_000, 3, None),
        (100_000, 1, None),
        (1_000, 5, 0.8),
        (10_000, 1, 0.8),
    ]:
        rows = [measure(count, seed, cash) for seed in range(runs)]
        mean = {k: statistics.mean(r[k] for r in rows) for k in rows[0]}
        peer = f"{mean['peer_times']:.1f} x, {mean['peer_saved']:.1%}" if "peer_times" in mean else "-"
        write(
            f"{count:>12,}  {'ample' if cash is None else f'{cash:.0%}':<6}{mean['ms']:>10,.0f}{mean['ms'] / count * 1000:>10.1f}"
            f"{mean['gross']:>14.1%}{mean['simple']:>8.1%}{mean['hub']:>7.1%}{mean['gap']:>11.3%}"
            f"{max(r['gap'] for r in rows):>7.3%}{mean['deferred']:>10,.0f}  {peer}\n"
        )


if __name__ == "__main__":
    main()
