"""The settlement plan as a linear programme over pieces.

Variables: x, z share of a piece through the pool / direct in a window; y, g leg of an account / wire of a
bundle open; s, h what a wire with one transaction does not get off; m further wires of a bundle above the
batch size; f EUR value converted between two currencies of the pool; u left unsettled.

Minimise  shared (sum y + g + m) + (single - shared) (sum s + h) + sum spread f + own conversions of z
          + deferral price of u
subject to  sum (x + z) + u = 1;  x <= y of both accounts;  z <= g;  s >= 2 y - sum n x;  h >= 2 g - sum n z;
m >= sum n z / batch size - g;  per window and currency, sold - bought in the pool = sum f out - sum f in;
cash per tight currency, cumulative over the windows;  net debit per tight limit (a counterparty's in total, or in one
currency) and window.

The backbone of the pool enters as constants, its flexible pieces as one share per currencies and windows. A piece of
the backbone that a limit could leave unsettled is x or u; without it the backbone may lack one leg, and one only
(`backbone`), so its deferral costs a wire less here: what no plan undercuts stays so, and plans are priced anew anyway.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas_lib.batching_settlement.backbone import Backbone
from atlas_lib.batching_settlement.book import DEFERRED, DIRECT, GROSS, NETTED, Book, Plan
from atlas_lib.batching_settlement.costs import MICRO, Prices
from atlas_lib.batching_settlement.dealing import dealt
from atlas_lib.batching_settlement.items import SLOTS
from atlas_lib.batching_settlement.limits import Limits, place, smallest_first
from atlas_lib.batching_settlement.pieces import Pieces
from atlas_lib.batching_settlement.programme import GAP_WANTED, MOST_NODES, Programme
from atlas_lib.core.money import Int64

_THOUSAND_EURO = 100_000  # minor units: keeps the programme's coefficients of like size
_EARLIER = 0.5  # minor units of EUR, in all: among equal plans the earlier one, without touching the cost


class Formulation:
    """The programme of this module's heading over the pieces of a book; amounts in minor units of EUR."""

    def __init__(self, book: Book, pieces: Pieces, backbone: Backbone, limits: Limits, prices: Prices) -> None:
        self.book, self.pieces, self.backbone, self.limits, self.prices = book, pieces, backbone, limits, prices
        self.slots = [np.flatnonzero(row).tolist() for row in pieces.can_take]
        saturated = backbone.is_open & (backbone.sure_count > 1)
        between = (saturated[pieces.payer] & saturated[pieces.payee]) | ~pieces.can_take
        self.is_classed = between.all(axis=1) & ~pieces.is_rigid & ~pieces.is_gross & ~pieces.is_tight
        self.programme = Programme()
        self.constant, self.preference = 0.0, 0.0
        self.options: dict[int, list[tuple[int, int, Any]]] = {}  # piece decided here: slot, mode, variable
        self.classes: list[tuple[list[int], list[tuple[int, Any]]]] = []  # pieces, and slot and share of their value
        self.legs: dict[tuple[int, int], list[tuple[int, Any]]] = defaultdict(list)
        self.wires: dict[tuple[int, int], list[tuple[int, Any]]] = defaultdict(list)
        self.over: dict[tuple[int, int], list[tuple[Any, float]]] = defaultdict(list)  # slot, currency: value left
        self.sure_over: dict[tuple[int, int], float] = defaultdict(float)
        self._add_settled()
        self._add_classes()
        self._add_pieces()
        self._add_legs()
        self._add_wires()
        self._add_conversions()
        self._add_limits()

    @property
    def is_exact(self) -> bool:
        """No piece decided here could gain by being split: a bound over pieces is a bound over transactions."""
        return all(
            self.pieces.count[k] == 1 or not (self.pieces.is_tight[k] or len(self.slots[k]) > 1) for k in self.options
        )

    def solve(
        self, solver: str, seconds: int, *, whole: bool, nodes: int = MOST_NODES, gap_rate: float = GAP_WANTED
    ) -> int:
        """Solve; returns a cost proven to be a lower bound, in millionths of a minor unit (0: none proven)."""
        reached = self.programme.solve(solver, seconds, whole=whole, nodes=nodes, gap_rate=gap_rate)
        if reached is None:
            return 0
        # The solver's tolerances and the preference for earlier windows come off, so that the bound stays proven.
        safe = reached - 1e-6 * abs(reached) - 1e-3 - self.preference
        return max(int((self.constant + safe) * MICRO), 0)

    def plan(self) -> Plan:
        """Every piece where most of it lies; limits are then restored item by item where rounding broke them."""
        slot = self.pieces.first_slot
        mode = np.where(self.book.is_gross[self.pieces.first_item], GROSS, NETTED)
        for k, options in self.options.items():
            best = max(options, key=lambda o: (round(o[2].varValue or 0.0, 6), -o[0]))
            slot[k], mode[k] = best[0], best[1]
        for members, shares in self.classes:
            slot[members] = dealt(self.pieces.value_minor[members].astype(float), shares)
        wished, modes = slot[self.pieces.of_item], mode[self.pieces.of_item]
        placed = place(self.book, wished, self.limits, smallest_first)
        moved = placed != wished
        return Plan(placed, np.where(self.book.is_gross, GROSS, np.where(moved, NETTED, modes)))

    def _add_settled(self) -> None:
        """Open legs of the backbone, the balance its pieces leave, and gross payments that cannot wait."""
        pieces, settled = self.pieces, np.flatnonzero(self.backbone.is_settled & ~self.pieces.is_tight)
        self.constant += int(self.backbone.is_open.sum()) * self.prices.shared_minor
        for k in settled[self._converts(settled)]:
            self._balance(self.sure_over, int(k), self.slots[k][0])
        gross = np.flatnonzero(self._sure_gross())
        own = pieces.value_minor[gross] * self.prices.cheapest[self._source(gross), self._target(gross)] / MICRO
        self.constant += float(own.sum()) + int(pieces.count[gross].sum()) * self.prices.single_minor

    def _add_classes(self) -> None:
        """Flexible pieces between open legs: by currencies and windows, each window a share of their value."""
        groups: dict[tuple[int, int, tuple[int, ...]], list[int]] = defaultdict(list)
        classed = np.flatnonzero(self.is_classed)
        classed = classed[self._converts(classed)]
        for k, source, target in zip(
            classed.tolist(), self._source(classed).tolist(), self._target(classed).tolist(), strict=True
        ):
            groups[source, target, tuple(self.slots[k])].append(k)
        for (source, target, slots), members in sorted(groups.items()):
            value = float(self.pieces.value_minor[members].sum()) / _THOUSAND_EURO
            wait = self._earlier * int(self.pieces.count[members].sum())
            self.preference += wait * (slots[-1] - slots[0])
            names = [f"k_{source}_{target}_{'_'.join(map(str, slots))}_{w}" for w in slots]
            shares = [
                (w, self.programme.variable(n, cost=wait * (w - slots[0]))) for w, n in zip(slots, names, strict=True)
            ]
            self.programme.row([(x, 1) for _, x in shares], "==", 1)
            for slot, share in shares:
                self.over[slot, source].append((share, value))
                self.over[slot, target].append((share, -value))
            self.classes.append((members, shares))

    def _add_pieces(self) -> None:
        pieces, prices, every = self.pieces, self.prices, np.arange(len(self.pieces.count))
        own_fx = pieces.value_minor * prices.cheapest[self._source(every), self._target(every)] / MICRO
        late_fx = pieces.value_minor * prices.quoted[self._source(every), self._target(every)] / MICRO
        gross = self.book.is_gross[pieces.first_item]
        converts = self._converts(every)
        done = (self.backbone.is_settled & ~pieces.is_tight) | self.is_classed | self._sure_gross()
        counted = self.backbone.is_settled
        for k in np.flatnonzero(~done).tolist():
            slots, count = self.slots[k], int(pieces.count[k])
            options = []
            saved = prices.single_minor if counted[k] else 0
            self.preference += self._earlier * count * (slots[-1] - slots[0])
            for slot in slots:
                wait = self._earlier * count * (slot - slots[0])
                if gross[k]:
                    options.append(self._option(k, slot, GROSS, count * prices.single_minor + own_fx[k]))
                    continue
                options.append(self._option(k, slot, NETTED, wait))
                if converts[k]:
                    self._balance(self.over, k, slot, options[-1][2])
                if not counted[k] and not self._is_between_open_legs(k, slot):
                    options.append(self._option(k, slot, DIRECT, own_fx[k] + wait))
            if pieces.is_tight[k]:
                options.append(
                    self._option(k, DEFERRED, DIRECT, float(prices.deferral_minor[pieces.kind[k]]) + late_fx[k] - saved)
                )
            self.options[k] = options
            self.programme.row([(o[2], 1) for o in options], "==", 1)

    def _sure_gross(self) -> NDArray[np.bool_]:
        gross = self.book.is_gross[self.pieces.first_item]
        return np.asarray(gross & ~self.pieces.is_tight)

    def _is_between_open_legs(self, piece: int, slot: int) -> bool:
        item, is_open = self.pieces.first_item[piece], self.backbone.is_open
        return bool(is_open[self.book.payer[item], slot] and is_open[self.book.payee[item], slot])

    def _balance(self, over: dict[tuple[int, int], Any], piece: int, slot: int, share: Any = None) -> None:
        """What a converting piece leaves in the pool of its source currency and takes of its target, in 1,000 EUR."""
        item, value = self.pieces.first_item[piece], float(self.pieces.value_minor[piece]) / _THOUSAND_EURO
        for currency, signed in ((int(self.book.source[item]), value), (int(self.book.target[item]), -value)):
            over[slot, currency] += signed if share is None else [(share, signed)]

    def _source(self, pieces: Int64) -> Int64:
        return self.book.source[self.pieces.first_item[pieces]]

    def _target(self, pieces: Int64) -> Int64:
        return self.book.target[self.pieces.first_item[pieces]]

    def _converts(self, pieces: Int64) -> NDArray[np.bool_]:
        return np.asarray(self._source(pieces) != self._target(pieces))

    @property
    def _earlier(self) -> float:
        return _EARLIER / (2 * max(len(self.book), 1))

    def _option(self, piece: int, slot: int, mode: int, cost: float) -> tuple[int, int, Any]:
        name = f"{'xzgu'[3 if slot == DEFERRED else mode]}_{piece}_{max(slot, 0)}"
        share = self.programme.variable(name, is_whole=True, cost=cost)
        item = self.pieces.first_item[piece]
        if slot != DEFERRED and mode == NETTED and not self.backbone.is_settled[piece]:
            self.legs[int(self.book.payer[item]), slot].append((piece, share))
            self.legs[int(self.book.payee[item]), slot].append((piece, share))
        elif slot != DEFERRED and mode == DIRECT:
            self.wires[int(self.book.bundle[item]), slot].append((piece, share))
        return slot, mode, share

    def _add_legs(self) -> None:
        for (account, slot), shares in self.legs.items():
            if not self.backbone.is_open[account, slot]:
                self._opened(f"{account}_{slot}", "y", "s", shares)
            elif self.backbone.sure_count[account, slot] == 1:
                self._surcharge(f"s_{account}_{slot}", shares, [], 1)
        # A leg of the backbone that carries one transaction for certain and can carry no other.
        lone = np.argwhere(self.backbone.is_open & (self.backbone.sure_count == 1))
        alone = sum((a, w) not in self.legs for a, w in lone.tolist())
        self.constant += alone * self.prices.surcharge_minor

    def _add_wires(self) -> None:
        limit = self.prices.batch_limit
        for (bundle, slot), shares in self.wires.items():
            count = sum(int(self.pieces.count[k]) for k, _ in shares)
            is_open = self._opened(f"{bundle}_{slot}", "g", "h", shares)
            if count > limit:
                more = self.programme.variable(f"m_{bundle}_{slot}", cost=self._wire_price(), is_whole=True, top=None)
                carried = [(x, -int(self.pieces.count[k]) / limit) for k, x in shares]
                self.programme.row([(more, 1), (is_open, 1), *carried], ">=", 0)

    def _opened(self, name: str, letter: str, single: str, shares: list[tuple[int, Any]]) -> Any:
        """A leg or wire that any share opens, and its surcharge while it carries one transaction only."""
        if len(shares) == 1:
            piece, share = shares[0]
            is_single = self.pieces.count[piece] == 1
            self.programme.cost[share] += self._wire_price() + (self.prices.surcharge_minor if is_single else 0)
            return share
        is_open = self.programme.variable(f"{letter}_{name}", is_whole=True, cost=self._wire_price())
        for _, share in shares:
            self.programme.row([(share, 1), (is_open, -1)], "<=", 0)
        self._surcharge(f"{single}_{name}", shares, [(is_open, -2)], 0)
        return is_open

    def _surcharge(self, name: str, shares: list[tuple[int, Any]], opened: list[tuple[Any, float]], least: int) -> None:
        """surcharge >= transactions lacking to two."""
        if self.prices.surcharge_minor > 0:
            surcharge = self.programme.variable(name, cost=self.prices.surcharge_minor)
            carried = [(share, int(self.pieces.count[k])) for k, share in shares]
            self.programme.row([(surcharge, 1), *opened, *carried], ">=", least)

    def _add_conversions(self) -> None:
        """What the pool sells of a currency minus what it buys equals what its payments leave over, in 1,000 EUR."""
        quoted = self.prices.quoted
        for slot in sorted({w for w, _ in [*self.over, *self.sure_over]}):
            here = range(len(self.book.currencies))
            arcs = {
                (a, b): self.programme.variable(f"f_{a}_{b}_{slot}", cost=float(quoted[a, b]) / 10, top=None)
                for a in here for b in here if a != b
            }  # fmt: skip
            for c in here:
                flows = [(f, -1 if a == c else 1) for (a, b), f in arcs.items() if c in (a, b)]
                self.programme.row([*self.over.get((slot, c), []), *flows], "==", -self.sure_over.get((slot, c), 0.0))

    def _add_limits(self) -> None:
        """Rows of the limits that could bind; scaled to 1, a hair inside, so that whole amounts keep them."""
        tight = [k for k in self.options if self.pieces.is_tight[k]]
        cash: dict[int, list[tuple[int, Any, int]]] = defaultdict(list)
        debit: dict[tuple[int, int], list[tuple[Any, int]]] = defaultdict(list)
        for k in tight:
            item = self.pieces.first_item[k]
            for slot, _, share in self.options[k]:
                if slot != DEFERRED:
                    cash[int(self.book.cash_currency[item])].append((slot, share, int(self.pieces.cash_out_minor[k])))
                    for limit_of, owed in self.pieces.debits:
                        debit[int(limit_of[k]), slot].append((share, int(owed[k])))
        for currency, moves in cash.items():
            for slot in range(min(w for w, _, _ in moves), len(SLOTS)):
                self._limit_row([(x, v) for w, x, v in moves if w <= slot and v], int(self.limits.cash[currency, slot]))
        for (limit, _), moves_of_slot in debit.items():
            self._limit_row([(x, v) for x, v in moves_of_slot if v], int(self.limits.debit[limit]))

    def _limit_row(self, terms: list[tuple[Any, int]], limit: int) -> None:
        if sum(v for _, v in terms if v > 0) > limit:
            scale = max(limit, 1)
            self.programme.row([(x, v / scale) for x, v in terms], "<=", limit / scale)

    def _wire_price(self) -> float:
        return float(self.prices.shared_minor)
