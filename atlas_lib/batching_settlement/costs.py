"""What a plan costs, exactly: wires in whole minor units, conversions in millionths of one.

All costs are in EUR. A wire costs `wire_cost`; one that carries more than one transaction
`wire_cost x (1 - consolidation_discount_rate)`. A conversion costs value x spread; spreads are whole
hundredths of a basis point, so value_minor x spread is a whole number of millionths of a minor unit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from atlas_lib.batching_settlement.book import DEFERRED, DIRECT, GROSS, NETTED, TYPES, Book, Plan
from atlas_lib.batching_settlement.items import COST_CURRENCY, SLOTS
from atlas_lib.core.errors import SettingsError
from atlas_lib.core.money import Int64, round_product, to_minor
from atlas_lib.core.settings import BatchingSettlementSettings

MICRO = 1_000_000
_PRIORITY = re.compile(r"(?P<type>[A-Z]+) +(?P<times>[1-9]\d?)")
_PAIR = re.compile(r"(?P<pair>[A-Z]{3}-[A-Z]{3}|other) +(?P<bps>\d+(?:\.\d{1,2})?)")


@dataclass(frozen=True)
class Prices:
    """Prices in minor units of EUR; spreads as matrices over the book's currencies, in 0.01 bps."""

    single_minor: int
    shared_minor: int
    deferral_minor: Int64  # per type of transaction (book.TYPES)
    batch_limit: int
    quoted: Int64
    cheapest: Int64
    via: Int64  # next currency on the cheapest way

    @property
    def surcharge_minor(self) -> int:
        return self.single_minor - self.shared_minor


@dataclass(frozen=True)
class PlanCost:
    """Cost of one plan; `*_micro` in millionths of a minor unit of EUR."""

    wires: int
    wire_minor: int
    fx_micro: int
    deferral_micro: int
    deferred: int

    @property
    def total_micro(self) -> int:
        return self.wire_minor * MICRO + self.fx_micro + self.deferral_micro


def read_prices(settings: BatchingSettlementSettings, currencies: tuple[str, ...]) -> Prices:
    kept = 1 - settings.consolidation_discount_rate
    single, shared, deferral = (
        int(to_minor([units], COST_CURRENCY, settings.rounding)[0])
        for units in (settings.wire_cost, round(settings.wire_cost * kept, 9), settings.deferral_cost)
    )
    times = read_priorities(settings.priorities)
    deferrals = np.array([max(deferral, single) * times.get(kind, 1) for kind in TYPES], dtype=np.int64)
    quoted = spread_matrix(read_spreads(settings.fx_spreads), currencies)
    cheapest, via = cheapest_ways(quoted)
    return Prices(single, shared, deferrals, settings.max_batch_count, quoted, cheapest, via)


def read_priorities(text: str) -> dict[str, int]:
    """`"PAYOUT 3; REFUND 2"` -> how many times the deferral cost leaving one of the type unsettled counts."""
    found = [_PRIORITY.fullmatch(part.strip()) for part in filter(None, text.split(";"))]
    if None in found or not {m["type"] for m in found if m} <= set(TYPES):
        raise SettingsError(
            "Not a list of priorities", where="priorities", expected=f"TYPE times; with TYPE one of {', '.join(TYPES)}",
            found=text, remedy="write for instance PAYOUT 3; REFUND 2",
        )  # fmt: skip
    return {m["type"]: int(m["times"]) for m in found if m}


def read_spreads(text: str) -> dict[frozenset[str], int]:
    """`"USD-EUR 2.5; other 5.0"` -> spread in 0.01 bps per pair, in either direction; `other` under no pair."""
    spreads: dict[frozenset[str], int] = {}
    for part in filter(None, (p.strip() for p in text.split(";"))):
        found = _PAIR.fullmatch(part)
        if not found:
            raise SettingsError(
                "A spread cannot be read", where="fx_spreads", expected="USD-EUR 2.5 or other 5.0", found=part
            )
        pair = frozenset() if found["pair"] == "other" else frozenset(found["pair"].split("-"))
        spreads[pair] = int(round_product([float(found["bps"])], [100])[0])
    if frozenset() not in spreads:
        raise SettingsError("Spreads lack a default", where="fx_spreads", expected="other ... for any other pair")
    return spreads


def spread_matrix(spreads: Mapping[frozenset[str], int], currencies: tuple[str, ...]) -> Int64:
    other = spreads[frozenset()]
    rows = [[0 if a == b else spreads.get(frozenset((a, b)), other) for b in currencies] for a in currencies]
    return np.array(rows, dtype=np.int64).reshape(len(currencies), len(currencies))


def cheapest_ways(quoted: Int64) -> tuple[Int64, Int64]:
    """Cheapest spread over any chain of conversions and the first step of it (Floyd-Warshall)."""
    cost, via = quoted.copy(), np.tile(np.arange(len(quoted)), (len(quoted), 1))
    for middle in range(len(quoted)):
        through = cost[:, [middle]] + cost[[middle], :]
        better = through < cost
        cost, via = np.where(better, through, cost), np.where(better, via[:, [middle]], via)
    return cost, via


def price_plan(book: Book, plan: Plan, prices: Prices, *, spread: Int64 | None = None) -> PlanCost:
    """Exact cost of a plan; direct and gross conversions at `spread` (default: the cheapest way)."""
    each = prices.cheapest if spread is None else spread
    alone = np.flatnonzero((plan.slot != DEFERRED) & (plan.mode != NETTED))
    own_fx = book.column("value_minor")[alone] * each[book.source[alone], book.target[alone]]
    wires, wire_minor = _wires(book, plan, prices)
    deals = [net_conversions(net, prices) for net in pool_imbalances(book, plan).values()]
    fx = _total(own_fx) + sum(conversion_cost(flows, prices) for flows in deals)
    left = np.flatnonzero(plan.slot == DEFERRED)
    late_fx = book.column("value_minor")[left] * prices.quoted[book.source[left], book.target[left]]
    deferral = int(prices.deferral_minor[book.kind[left]].sum()) * MICRO + _total(late_fx)
    return PlanCost(wires, wire_minor, fx, deferral, len(left))


def kept_gross_fx(book: Book, plan: Plan, prices: Prices) -> int:
    """Conversion cost in millionths if every settled transaction were converted on its own, the cheapest way."""
    settled = plan.slot != DEFERRED
    value = book.column("value_minor")[settled]
    return _total(value * prices.cheapest[book.source[settled], book.target[settled]])


def pool_imbalances(book: Book, plan: Plan) -> dict[int, list[int]]:
    """Per slot what the pool holds too much (+) or lacks (-) of each currency, in EUR value; sums to 0."""
    pooled = (plan.slot != DEFERRED) & (plan.mode == NETTED)
    crossing = np.flatnonzero(pooled & (book.source != book.target))
    value, slot = book.column("value_minor")[crossing], plan.slot[crossing]
    net = np.zeros((len(SLOTS), len(book.currencies)), dtype=np.int64)
    np.add.at(net, (slot, book.source[crossing]), value)
    np.subtract.at(net, (slot, book.target[crossing]), value)
    used = np.bincount(plan.slot[pooled], minlength=len(SLOTS)) > 0
    return {w: row for w, row in enumerate(net.tolist()) if used[w]}


def conversion_cost(conversions: Mapping[tuple[int, int], int], prices: Prices) -> int:
    ways = prices.cheapest.tolist()
    return sum(flow * ways[a][b] for (a, b), flow in conversions.items())


def net_conversions(net: list[int], prices: Prices) -> dict[tuple[int, int], int]:
    """Cheapest conversions that bring every currency of the pool to zero: a transport problem, in integers.

    Successive cheapest augmenting chains (Ford and Fulkerson's method with costs), exact for whole amounts.
    """
    sellers = [c for c, v in enumerate(net) if v > 0]
    buyers = [c for c, v in enumerate(net) if v < 0]
    if len(sellers) == 1 or len(buyers) == 1:
        return {(a, b): net[a] if len(buyers) == 1 else -net[b] for a in sellers for b in buyers}
    left, flow, ways = list(net), dict[tuple[int, int], int](), prices.cheapest.tolist()
    while any(left[c] for c in sellers):
        chain = _cheapest_chain(left, sellers, buyers, flow, ways)
        start, end = chain[0][0], chain[-1][1]
        room = [flow[b, a] for a, b in chain if net[a] < 0]
        step = min([left[start], -left[end], *room])
        for a, b in chain:
            sign, arc = (1, (a, b)) if net[a] > 0 else (-1, (b, a))
            flow[arc] = flow.get(arc, 0) + sign * step
        left[start] -= step
        left[end] += step
    return {arc: value for arc, value in sorted(flow.items()) if value}


def currency_prices(conversions: Mapping[tuple[int, int], int], prices: Prices) -> Int64:
    """What one more unit of each currency costs the pool, from its cheapest conversions: a = b + spread on each of them.

    Adding `d` to the balance costs at least sum(d x price): the cost is convex.
    """
    ways, here = prices.cheapest.tolist(), range(len(prices.cheapest))
    arcs = [(a, b, ways[a][b]) for a in here for b in here if a != b]
    arcs += [(b, a, -ways[a][b]) for a, b in conversions]
    price = [0] * len(here)
    for _ in here:
        before = list(price)
        for a, b, spread in arcs:
            if price[b] + spread < price[a]:
                price[a] = price[b] + spread
        if price == before:
            break
    return np.array(price, dtype=np.int64)


def quoted_steps(conversions: Mapping[tuple[int, int], int], prices: Prices) -> dict[tuple[int, int], int]:
    """Conversions split into the quoted pairs they go through."""
    steps: dict[tuple[int, int], int] = {}
    for (here, goal), value in conversions.items():
        while here != goal:
            following = int(prices.via[here, goal])
            steps[here, following] = steps.get((here, following), 0) + value
            here = following
    return dict(sorted(steps.items()))


def _cheapest_chain(
    left: list[int], sellers: list[int], buyers: list[int], flow: Mapping[tuple[int, int], int], cost: list[list[int]]
) -> list[tuple[int, int]]:
    """Cheapest chain (Bellman-Ford) from a currency still to be sold to one still lacking."""
    arcs = [(a, b, cost[a][b]) for a in sellers for b in buyers]
    arcs += [(b, a, -cost[a][b]) for (a, b), v in sorted(flow.items()) if v]
    best = {c: 0 for c in sellers if left[c] > 0}
    before: dict[int, int] = {}
    for _ in range(len(left)):
        for a, b, price in arcs:
            if a in best and (b not in best or best[a] + price < best[b]):
                best[b], before[b] = best[a] + price, a
    end = min((c for c in buyers if left[c] < 0), key=lambda c: (best[c], c))
    chain = []
    while end in before:
        chain.append((before[end], end))
        end = before[end]
    return chain[::-1]


def _wires(book: Book, plan: Plan, prices: Prices) -> tuple[int, int]:
    """Number and price of wires: pool legs per account and slot, direct wires per bundle and slot, gross ones."""
    pooled = np.flatnonzero((plan.slot != DEFERRED) & (plan.mode == NETTED))
    slot, most = plan.slot[pooled], 4 * len(book.accounts)
    paid, received = (np.bincount(side[pooled] * 4 + slot, minlength=most) for side in (book.payer, book.payee))
    legs = paid + received
    direct = np.flatnonzero((plan.slot != DEFERRED) & (plan.mode == DIRECT))
    sizes = np.bincount(book.bundle[direct] * 4 + plan.slot[direct])
    sizes = sizes[sizes > 0]
    full, rest = sizes // prices.batch_limit, sizes % prices.batch_limit
    gross = int(((plan.slot != DEFERRED) & (plan.mode == GROSS)).sum())
    singles = gross + int((legs == 1).sum() + (rest == 1).sum())
    shared = int((legs > 1).sum() + (rest > 1).sum())
    if prices.batch_limit == 1:
        singles += int(full.sum())
    else:
        shared += int(full.sum())
    return singles + shared, singles * prices.single_minor + shared * prices.shared_minor


def _total(micro: Int64) -> int:
    """Exact sum as a Python int: halves of 31 bits, so that no sum can overflow."""
    high, low = micro >> 31, micro & 0x7FFFFFFF
    return (int(high.sum()) << 31) + int(low.sum())
