"""The published instances of the combined problem (wires, windows, conversions, cash, limits), made from seeds.

`python -m benchmarks.instance_set --write` writes `benchmarks/instances/*.json`; without it the set is made again and
compared with the files. A plan from the planner, searched to the end on the small ones; the bound from a linear
programme over every single payment, with its prices as certificate. `benchmarks.check_instances` checks them.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from atlas_lib.batching_settlement.backbone import find_backbone
from atlas_lib.batching_settlement.book import DEFERRED, MODES, NETTED, Book, read_book
from atlas_lib.batching_settlement.bound import Multipliers, cover_shortfalls, least_fares
from atlas_lib.batching_settlement.costs import Prices, net_conversions, pool_imbalances, quoted_steps, read_prices
from atlas_lib.batching_settlement.items import SLOTS
from atlas_lib.batching_settlement.limits import Limits, cash_by_window, read_limits
from atlas_lib.batching_settlement.pieces import Pieces, cut_pieces
from atlas_lib.batching_settlement.relaxation import Relaxation
from atlas_lib.batching_settlement.solving import Solution, solve_book
from atlas_lib.core.settings import BatchingSettlementSettings
from atlas_lib.core.tables import declared
from benchmarks.batching import RATES, caps_of, cash_of, corporate_mix
from benchmarks.check_instances import FOLDER, proven_bound

AS_OF = date(2026, 10, 30)
CASES = [
    (count, seed, cash, limit)
    for count, seeds in ((100, 3), (300, 2), (1_000, 1))
    for seed in range(seeds)
    for cash, limit in ((None, None), (0.8, None), (0.8, 0.6))
]
MOST_SEARCHED = 300  # payments up to which the whole-number search runs to its end; beyond, to the gap of the settings
COLUMNS = "payer payee currency target value_minor counterparty earliest latest is_gross cash_currency cash_out_minor net_debit_minor"


def instance_items(count: int, seed: int) -> pd.DataFrame:
    """The corporate mix over three counterparties, one payment in twenty by RTGS."""
    items, rng = corporate_mix(count, seed), np.random.default_rng(1_000 + seed)
    parties = pd.Series(rng.choice(["CP1", "CP2", "CP3"], count, p=[0.5, 0.3, 0.2]), dtype="str")
    gross = (rng.random(count) < 0.05) & (items["earliest_slot"] == 1).to_numpy()
    slots = {c: items[c].where(~gross, 0) for c in ("earliest_slot", "latest_slot")}
    return items.assign(counterparty_id=parties, asked_counterparty_id=parties, is_gross=gross, **slots)


def make_case(count: int, seed: int, cash_share: float | None, limit_share: float | None) -> dict[str, Any]:
    items = instance_items(count, seed)
    settings = BatchingSettlementSettings(as_of=AS_OF, deferral_cost=25.0)
    book = read_book(items)
    prices = read_prices(settings, book.currencies)
    cash = declared("liquidity").empty() if cash_share is None else cash_of(items, cash_share)
    parties = declared("counterparties").empty() if limit_share is None else caps_of(items, limit_share)
    caps = dict(zip(parties["counterparty_id"], parties["limit_minor"].tolist(), strict=True))
    limits = read_limits(book, cash_by_window(cash, None, []), parties, RATES)
    solution = solve_book(
        book, limits, prices, seconds=600, gap_rate=0.0 if count <= MOST_SEARCHED else settings.solver_gap_rate
    )
    pieces = cut_pieces(book, limits)
    slots = np.arange(len(SLOTS))
    first, last = (book.column(c)[pieces.first_item] for c in ("earliest_slot", "latest_slot"))
    every_window = (first[:, None] <= slots) & (slots <= last[:, None])
    pieces = replace(pieces, can_take=every_window)  # also those that a best plan does not need
    case = {
        "name": f"{count}-{seed}-{'ample' if cash_share is None else 'scarce'}{'-limits' if caps else ''}",
        "single_minor": prices.single_minor, "shared_minor": prices.shared_minor,
        "deferral_minor": int(prices.deferral_minor[0]), "batch_limit": prices.batch_limit,
        "currencies": list(book.currencies), "spreads": _spreads(prices, book),
        "cash": dict(zip(cash["currency"], cash["opening_balance_minor"].tolist(), strict=True)), "limits": caps,
        "columns": COLUMNS.split(), "payments": _payments(book),
        "plan": [[int(s), MODES[m] if s != DEFERRED else ""] for s, m in zip(solution.plan.slot, solution.plan.mode, strict=True)],
        "conversions": _conversions(book, solution, prices), "certificate": _certificate(book, pieces, limits, prices),
        "cost_micro": solution.cost.total_micro,
    }  # fmt: skip
    payments = [dict(zip(case["columns"], row, strict=True)) for row in case["payments"]]
    bound = min(proven_bound(case, payments), solution.cost.total_micro)
    return case | {"bound_micro": bound, "solver_bound_micro": max(bound, solution.bound_micro)}


def _certificate(book: Book, pieces: Pieces, limits: Limits, prices: Prices) -> dict[str, Any]:
    """Prices of a linear programme that leaves out nothing, told per payment in proportion to its value."""
    nothing = find_backbone(pieces, len(book.accounts), np.zeros(len(pieces), dtype=bool))
    fares, cover = least_fares(pieces, len(book.accounts), prices), cover_shortfalls(pieces, limits)
    core = ~pieces.is_gross | pieces.is_tight
    found = Relaxation(pieces, nothing, fares, cover, limits, prices, core).solve("HiGHS", 120)
    place = np.full(len(pieces), -1)
    place[found.core] = np.arange(len(found.core))
    share = book.column("value_minor") / pieces.value_minor[pieces.of_item]
    own = found.cash - np.concatenate([found.cash[:, 1:], np.zeros((len(found.cash), 1))], axis=1)
    return {
        "currency": [[float(f"{v:.9g}") for v in row] for row in found.currency],
        "leg": [_legs(found, int(place[k]), float(s)) for k, s in zip(pieces.of_item, share, strict=True)],
        "wire": [_short(found.wire[place[k]] * s) if place[k] >= 0 else 0.0 for k, s in zip(pieces.of_item, share, strict=True)],
        "cash": {c: [float(v) for v in row] for c, row, has in zip(book.currencies, own, limits.is_cash_limited, strict=True) if has},
        "debit": {c: [float(v) for v in row] for c, row, has in zip(book.counterparties, found.debit, limits.is_debit_limited, strict=True) if has},
        "cover": {c: float(v) for c, v in zip(book.currencies, found.cover, strict=True) if v},
    }  # fmt: skip


def _legs(found: Multipliers, place: int, share: float) -> dict[str, list[float]]:
    rows = found.leg[place] * share if place >= 0 else np.zeros((0, 2))
    return {str(slot): [_short(v) for v in both] for slot, both in enumerate(rows) if both.any()}


def _short(value: float) -> float:
    """Rounded down, so that no leg or wire is overpaid."""
    return float(np.floor(value * 1e4) / 1e4)


def _payments(book: Book) -> list[list[Any]]:
    items = book.items.assign(
        payer=book.items["payer_account"], payee=book.items["payee_account"], target=book.items["destination_currency"],
        counterparty=book.items["counterparty_id"], earliest=book.items["earliest_slot"], latest=book.items["latest_slot"],
    )  # fmt: skip
    return [list(row) for row in items[COLUMNS.split()].astype(object).itertuples(index=False)]


def _spreads(prices: Prices, book: Book) -> dict[str, int]:
    names, pairs = book.currencies, range(len(book.currencies))
    quoted = {"-".join(sorted((names[a], names[b]))): int(prices.quoted[a, b]) for a in pairs for b in pairs if a < b}
    return quoted | {"other": 500}


def _conversions(book: Book, solution: Solution, prices: Prices) -> list[list[Any]]:
    """slot, mode, sold, bought, value: the pool's on balance, the others the cheapest way each."""
    plan, found = solution.plan, dict[tuple[int, int, int, int], int]()
    for slot, net in pool_imbalances(book, plan).items():
        for (a, b), value in quoted_steps(net_conversions(net, prices), prices).items():
            found[slot, NETTED, a, b] = value
    alone = np.flatnonzero((plan.slot != DEFERRED) & (plan.mode != NETTED) & (book.source != book.target))
    for i in alone.tolist():
        pair = {(int(book.source[i]), int(book.target[i])): int(book.column("value_minor")[i])}
        for (a, b), value in quoted_steps(pair, prices).items():
            key = int(plan.slot[i]), int(plan.mode[i]), a, b
            found[key] = found.get(key, 0) + value
    return [[s, MODES[m], book.currencies[a], book.currencies[b], v] for (s, m, a, b), v in sorted(found.items())]


def _text(case: dict[str, Any]) -> str:
    """One payment, plan and price a line, so that a difference between versions can be read."""
    listed = ("payments", "plan", "conversions")
    parts = []
    for name, value in case.items():
        if name in listed:
            body = ",\n".join(json.dumps(row, separators=(",", ":")) for row in value)
            parts.append(f'"{name}":[\n{body}]')
        else:
            parts.append(f'"{name}":{json.dumps(value, separators=(",", ":"))}')
    return "{" + ",\n".join(parts) + "}\n"


def main(arguments: list[str]) -> int:
    different = 0
    for chosen in CASES:
        started = time.process_time()
        case = make_case(*chosen)
        path, text = Path(FOLDER) / f"{case['name']}.json", _text(case)
        if "--write" in arguments:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        same = path.exists() and path.read_text(encoding="utf-8") == text
        different += not same
        gap = 1 - case["bound_micro"] / case["cost_micro"]
        sys.stdout.write(
            f"{case['name']:<22} gap {gap:>7.3%}  {time.process_time() - started:>6.2f} s CPU  {'same' if same else 'DIFFERS'}\n"
        )
        sys.stdout.flush()
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
