"""Check the published instances: plan, cost and lower bound of each, with nothing but the standard library.

`python -m benchmarks.check_instances [FILE ...]`. The format is described in `benchmarks/instances/README.md`. The
cost of the plan is counted again in whole numbers; the bound is summed again from the certificate's prices by weak
duality, so that neither the planner nor a solver has to be trusted. Exit code 1 when anything does not hold.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "instances"
MICRO = 1_000_000
SLOTS = range(4)
RTGS, DEFERRED = 0, -1


def faults_of(case: dict[str, Any]) -> list[str]:
    """What does not hold; empty when the plan is feasible, its cost right and the bound proven."""
    payments = [dict(zip(case["columns"], row, strict=True)) for row in case["payments"]]
    plan = case["plan"]
    faults = (
        _window_faults(payments, plan) + _limit_faults(case, payments, plan) + _conversion_faults(case, payments, plan)
    )
    cost, bound = plan_cost(case, payments), proven_bound(case, payments)
    if cost != case["cost_micro"]:
        faults.append(f"the plan costs {cost}, stated {case['cost_micro']}")
    if bound < case["bound_micro"]:
        faults.append(f"the certificate proves {bound}, stated {case['bound_micro']}")
    if case["bound_micro"] > case["cost_micro"]:
        faults.append("the bound is above the cost")
    return faults


def plan_cost(case: dict[str, Any], payments: list[dict[str, Any]]) -> int:
    """Wires + conversions + deferrals, in millionths of a minor unit of EUR."""
    single, shared = case["single_minor"], case["shared_minor"]
    legs, wires, total = Counter(), Counter(), 0
    for p, (slot, mode) in zip(payments, case["plan"], strict=True):
        if slot == DEFERRED:
            total += case["deferral_minor"] * MICRO + p["value_minor"] * _spread(case, p["currency"], p["target"])
        elif mode == "netted":
            legs.update([(p["payer"], p["currency"], slot), (p["payee"], p["target"], slot)])
        elif mode == "direct":
            wires[_bundle(p), slot] += 1
        else:
            total += single * MICRO
    sizes = list(legs.values())
    for size in wires.values():
        full, rest = divmod(size, case["batch_limit"])
        sizes += [case["batch_limit"]] * full + ([rest] if rest else [])
    total += sum(single if size == 1 else shared for size in sizes) * MICRO
    return total + sum(value * _spread(case, a, b) for _, _, a, b, value in case["conversions"])


def proven_bound(case: dict[str, Any], payments: list[dict[str, Any]]) -> int:
    """Every payment takes its cheapest way at the certificate's prices; overpaid legs and wires are given back."""
    prices, ways = case["certificate"], _cheapest_ways(case)
    names = case["currencies"]
    money = {n: i for i, n in enumerate(names)}
    price = [
        [min(row[b] + ways[a][b] / MICRO for b in range(len(names))) for a in range(len(names))]
        for row in prices["currency"]
    ]
    users, mates = Counter(), Counter()
    for p in payments:
        mates[_bundle(p)] += 1
        for slot in _windows(p):
            users.update([(p["payer"], p["currency"], slot), (p["payee"], p["target"], slot)])
    leg_paid, wire_paid, terms = defaultdict(float), defaultdict(float), []
    for p, leg, wire in zip(payments, prices["leg"], prices["wire"], strict=True):
        source, target, value = money[p["currency"]], money[p["target"]], p["value_minor"]
        own = value * ways[source][target] / MICRO
        paid = {int(slot): both for slot, both in leg.items()}
        choices = [
            case["deferral_minor"] + value * _spread(case, p["currency"], p["target"]) / MICRO - _covered(case, p)
        ]
        for slot in _windows(p):
            room = _room_price(case, p, slot)
            if p["is_gross"]:
                choices.append(case["single_minor"] + own + room)
                continue
            first, second = paid.get(slot, (0.0, 0.0))
            choices.append(value * (price[slot][source] - price[slot][target]) + first + second + room)
            choices.append(own + wire + room)
            leg_paid[p["payer"], p["currency"], slot] += first
            leg_paid[p["payee"], p["target"], slot] += second
            wire_paid[_bundle(p), slot] += wire
        terms.append(min(choices))
    lone, usual = case["single_minor"], case["shared_minor"]
    terms += [min(0.0, (lone if users[key] == 1 else usual) - paid) for key, paid in leg_paid.items()]
    terms += [
        min(0.0, (lone if mates[key[0]] == 1 or case["batch_limit"] == 1 else usual) - paid)
        for key, paid in wire_paid.items()
    ]
    terms += _limits_worth(case)
    return max(math.floor((math.fsum(terms) - 1e-10 * math.fsum(map(abs, terms))) * MICRO), 0)


def _room_price(case: dict[str, Any], p: dict[str, Any], slot: int) -> float:
    """Cash is cumulative: a payment uses the room of its window and of all later ones."""
    cash = case["certificate"]["cash"].get(p["cash_currency"], [0.0] * 4)
    debit = case["certificate"]["debit"].get(p["counterparty"], [0.0] * 4)
    return p["cash_out_minor"] * math.fsum(cash[slot:]) + p["net_debit_minor"] * debit[slot]


def _limits_worth(case: dict[str, Any]) -> list[float]:
    prices = case["certificate"]
    terms = [-price * case["cash"][c] for c, row in prices["cash"].items() for price in row]
    terms += [-price * case["limits"][c] for c, row in prices["debit"].items() for price in row]
    return terms + [prices["cover"][c] * _shortfall(case, c)[0] for c in prices["cover"]]


def _covered(case: dict[str, Any], p: dict[str, Any]) -> float:
    """Share of the cover row that a payment left unsettled makes up, at the row's price."""
    price = case["certificate"]["cover"].get(p["cash_currency"], 0.0)
    if not price:
        return 0.0
    _, part, largest = _shortfall(case, p["cash_currency"])
    return price * min(1.0, max(p["cash_out_minor"], 0) / largest / part)


def _shortfall(case: dict[str, Any], currency: str) -> tuple[int, float, int]:
    """Payments that stay unsettled at least, the fraction that the last of them has to cover, the largest payment."""
    column = {n: i for i, n in enumerate(case["columns"])}
    moves = [row[column["cash_out_minor"]] for row in case["payments"] if row[column["cash_currency"]] == currency]
    largest = max(max(moves), 1)
    units = (sum(moves) - case["cash"][currency]) / largest
    least = math.ceil(units - 1e-9)
    return max(least, 0), max(units - least + 1, 1e-9), largest


def _window_faults(payments: list[dict[str, Any]], plan: list[list[Any]]) -> list[str]:
    wrong = [
        i
        for i, (p, (slot, mode)) in enumerate(zip(payments, plan, strict=True))
        if slot != DEFERRED and (slot not in _windows(p) or (mode == "gross") != p["is_gross"])
    ]
    return [f"payment {i} is in a window or mode it may not take" for i in wrong]


def _limit_faults(case: dict[str, Any], payments: list[dict[str, Any]], plan: list[list[Any]]) -> list[str]:
    out, owed = defaultdict(int), defaultdict(int)
    for p, (slot, _) in zip(payments, plan, strict=True):
        if slot != DEFERRED:
            out[p["cash_currency"], slot] += p["cash_out_minor"]
            owed[p["counterparty"], slot] += p["net_debit_minor"]
    faults = [
        f"{c} overdrawn in {w}"
        for c, cash in case["cash"].items()
        for w in SLOTS
        if sum(out[c, v] for v in range(w + 1)) > cash
    ]
    return faults + [
        f"{c} above its limit in {w}" for c, cap in case["limits"].items() for w in SLOTS if owed[c, w] > cap
    ]


def _conversion_faults(case: dict[str, Any], payments: list[dict[str, Any]], plan: list[list[Any]]) -> list[str]:
    left = defaultdict(int)
    for p, (slot, mode) in zip(payments, plan, strict=True):
        if slot != DEFERRED:
            left[slot, mode, p["currency"]] += p["value_minor"]
            left[slot, mode, p["target"]] -= p["value_minor"]
    for slot, mode, sold, bought, value in case["conversions"]:
        left[slot, mode, sold] -= value
        left[slot, mode, bought] += value
    return [f"{key}: {value} not converted" for key, value in left.items() if value]


def _spread(case: dict[str, Any], a: str, b: str) -> int:
    """Quoted spread in 0.01 bps: value_minor x spread is in millionths of a minor unit."""
    return 0 if a == b else int(case["spreads"].get("-".join(sorted((a, b))), case["spreads"]["other"]))


def _cheapest_ways(case: dict[str, Any]) -> list[list[int]]:
    names = case["currencies"]
    ways = [[_spread(case, a, b) for b in names] for a in names]
    for via in range(len(names)):
        ways = [[min(ways[a][b], ways[a][via] + ways[via][b]) for b in range(len(names))] for a in range(len(names))]
    return ways


def _bundle(p: dict[str, Any]) -> tuple[str, ...]:
    return p["payer"], p["currency"], p["payee"], p["target"], p["counterparty"]


def _windows(p: dict[str, Any]) -> range:
    return range(p["earliest"], p["latest"] + 1)


def main(paths: list[str]) -> int:
    files = [Path(p) for p in paths] or sorted(FOLDER.glob("*.json"))
    failed = 0
    for path in files:
        case = json.loads(path.read_text(encoding="utf-8"))
        faults = faults_of(case)
        failed += bool(faults)
        gap = 1 - case["bound_micro"] / case["cost_micro"]
        said = f"FAULT: {faults[0]}" if faults else "holds"
        sys.stdout.write(
            f"{path.stem:<22}{len(case['payments']):>7,} payments  cost {case['cost_micro'] / 1e8:>10,.2f} EUR  "
            f"bound {case['bound_micro'] / 1e8:>10,.2f}  gap {gap:>7.3%}  {said}\n"
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
