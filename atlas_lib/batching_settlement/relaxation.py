"""The settlement plan as a small linear programme: only what the backbone leaves open, and only as a guide.

Its plan is a suggestion, rounded afterwards; its prices (of currencies, legs, wires and limits) go to `bound`,
which proves from them what no plan can undercut, whatever was left out here.

Variables: x share of a piece through the pool in a window; y leg of an account open; g wire of a bundle; z share
sent direct in a window (only under limits; else it is what x leaves); k share of a class (flexible pieces between
open legs); f EUR value converted between two currencies of the pool; u left unsettled; e a limit exceeded, at a
price above any deferral.

Minimise  sum price (y + g) + sum spread f + own conversions of z + deferral price of u
subject to  sum (x + z) + u = 1;  x <= y of both accounts;  g + sum x + u >= 1;  per window and currency, sold -
bought in the pool = sum f out - sum f in;  cash per currency, cumulative over the windows;  net debit per
counterparty, in total and in one currency, and window.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas_lib.batching_settlement.backbone import Backbone
from atlas_lib.batching_settlement.book import DEFERRED, DIRECT, GROSS, NETTED
from atlas_lib.batching_settlement.bound import Cover, Fares, Floats, Multipliers
from atlas_lib.batching_settlement.costs import MICRO, Prices
from atlas_lib.batching_settlement.items import SLOTS
from atlas_lib.batching_settlement.limits import Limits
from atlas_lib.batching_settlement.pieces import Pieces
from atlas_lib.batching_settlement.programme import Programme
from atlas_lib.core.money import Int64

_THOUSAND_EURO = 100_000  # minor units: keeps the programme's coefficients of like size
_EXCESS = 3.0  # price of exceeding a limit, in deferrals of the smallest payment that could make room


class Relaxation:
    """The programme of this module's heading; `core` says which pieces get variables of their own."""

    def __init__(
        self,
        pieces: Pieces,
        backbone: Backbone,
        fares: Fares,
        cover: Cover,
        limits: Limits,
        prices: Prices,
        core: NDArray[np.bool_],
    ) -> None:
        self.pieces, self.backbone, self.fares, self.cover = pieces, backbone, fares, cover
        self.limits, self.prices = limits, prices
        self.core = np.flatnonzero(core)
        self.programme = Programme()
        free = backbone.is_free
        self.is_classed = ~core & (free.sum(axis=1) > 1) & (pieces.converts | pieces.is_tight)
        self.is_fixed = ~core & ~self.is_classed
        self.fixed_slot = np.where(free.any(axis=1), free.argmax(axis=1), pieces.first_slot)
        self.options: dict[int, list[tuple[int, int, Any]]] = {}  # piece of the core: slot, mode, variable
        self.classes: list[tuple[Int64, list[tuple[int, Any]]]] = []
        self.legs: dict[tuple[int, int], list[tuple[int, int, Any]]] = defaultdict(list)  # place in core, side, x
        self.leg_rows: list[tuple[int, int, int, Any]] = []
        self.wire_rows: dict[int, Any] = {}
        self.balance: dict[tuple[int, int], list[tuple[Any, float]]] = defaultdict(list)
        self.cash: dict[int, list[tuple[int, Any, float]]] = defaultdict(list)
        self.debit: dict[tuple[int, int], list[tuple[Any, float]]] = defaultdict(list)
        self._add_core()
        self._add_legs()
        self._add_classes()
        self.balance_rows = self._add_conversions()
        self.cash_rows, self.debit_rows = self._add_limits()
        self.cover_rows = self._add_cover()

    def solve(self, solver: str, seconds: int) -> Multipliers:
        """Solve; raises PulpSolverError unless the optimum is proven."""
        self.programme.solve(solver, seconds, whole=False)
        size = len(self.core)
        leg, wire = np.zeros((size, len(SLOTS), 2)), self._alone_wire.copy()
        for place, slot, side, row in self.leg_rows:
            leg[place, slot, side] = max(-_price(row), 0.0)
        for (account, slot), shares in self.legs.items():
            if len(shares) == 1:
                leg[shares[0][0], slot, shares[0][1]] = self.fares.leg[account, slot]
        for place, row in self.wire_rows.items():
            wire[place] = max(_price(row), 0.0)
        cover = np.zeros(len(self.limits.cash))
        for currency, row in self.cover_rows.items():
            cover[currency] = max(_price(row), 0.0)
        return Multipliers(self.core, self._currency_prices(), leg, wire, *self._limit_prices(), cover)

    def search(self, solver: str, seconds: int, nodes: int, worth: float, gap_rate: float) -> None:
        """The same in whole pieces, for its plan only; a search that meets its limits keeps its best.

        What `solve` has decided and would cost more than `worth` to change is not searched again.
        """
        self.programme.keep_decided(worth)
        self.programme.solve(solver, seconds, whole=True, gap_rate=gap_rate, nodes=nodes)

    def _add_core(self) -> None:
        pieces, prices, core = self.pieces, self.prices, self.core
        own = (pieces.value_minor * prices.cheapest[pieces.source, pieces.target] / MICRO)[core].tolist()
        later = (pieces.value_minor * prices.quoted[pieces.source, pieces.target] / MICRO)[core].tolist()
        bundle, tight, gross = (c[core].tolist() for c in (pieces.bundle, pieces.is_tight, pieces.is_gross))
        count, windows = pieces.count[core].tolist(), [np.flatnonzero(row).tolist() for row in pieces.can_take[core]]
        mates: dict[int, list[int]] = defaultdict(list)
        for place, b in enumerate(bundle):
            if not gross[place]:
                mates[b].append(place)
        self._alone_wire = np.zeros(len(core))
        shares: dict[int, list[tuple[Any, float]]] = {}
        for place, k in enumerate(core.tolist()):
            alone = len(mates[bundle[place]]) < 2
            if alone:
                self._alone_wire[place] = self.fares.wire[bundle[place]]
            apart = count[place] * prices.single_minor if gross[place] else float(self._alone_wire[place])
            unsettled = float(prices.deferral_minor[pieces.kind[k]]) + later[place]
            self._add_piece(k, place, windows[place], own[place] + apart, unsettled if tight[place] else None)
            shares[place] = [(x, 1.0) for _, m, x in self.options[k] if x is not None and m == NETTED]
            shares[place] += [(x, 1.0) for s, _, x in self.options[k] if x is not None and s == DEFERRED]
        for b, places in mates.items():
            if len(places) > 1:
                wire = self.programme.variable(f"g_{b}", cost=float(self.fares.wire[b]))
                for place in places:
                    self.wire_rows[place] = self.programme.row([(wire, 1.0), *shares[place]], ">=", 1.0)

    def _add_piece(self, k: int, place: int, windows: list[int], apart: float, unsettled: float | None) -> None:
        """Options of one piece; without a limit its direct share is what the pool leaves (no variable)."""
        pieces, tight, gross = self.pieces, unsettled is not None, bool(self.pieces.is_gross[k])
        base = 0.0 if tight else apart
        options: list[tuple[int, int, Any]] = []
        for slot in windows if not gross else []:
            share = self.programme.variable(f"x_{k}_{slot}", cost=-base, is_whole=True)
            options.append((slot, NETTED, share))
            self._join_pool(k, place, slot, share)
        if unsettled is None:
            rows = [(x, 1.0) for _, _, x in options]
            if len(rows) > 1:
                self.programme.row(rows, "<=", 1.0)
            self.options[k] = [*options, (windows[0], GROSS if gross else DIRECT, None)]
            return
        mode = GROSS if gross else DIRECT
        for slot in windows:
            if not self.backbone.is_free[k, slot]:
                options.append((slot, mode, self.programme.variable(f"z_{k}_{slot}", cost=apart, is_whole=True)))
        options.append((DEFERRED, DIRECT, self.programme.variable(f"u_{k}", cost=unsettled, is_whole=True)))
        self.programme.row([(x, 1.0) for _, _, x in options], "==", 1.0)
        self.options[k] = options
        cash, debits = int(pieces.cash_out_minor[k]), [(int(limit[k]), int(owed[k])) for limit, owed in pieces.debits]
        for slot, _, share in options[:-1]:
            self._use_limits(int(pieces.cash_currency[k]), slot, share, cash, debits)

    def _use_limits(self, currency: int, slot: int, share: Any, cash: float, debits: list[tuple[int, int]]) -> None:
        if cash:
            self.cash[currency].append((slot, share, cash))
        for limit, owed in debits:
            if owed:
                self.debit[limit, slot].append((share, owed))

    def _join_pool(self, k: int, place: int, slot: int, share: Any) -> None:
        pieces = self.pieces
        for side, account in enumerate((int(pieces.payer[k]), int(pieces.payee[k]))):
            if not self.backbone.is_open[account, slot]:
                self.legs[account, slot].append((place, side, share))
        source, target = int(pieces.source[k]), int(pieces.target[k])
        if source != target:
            value = float(pieces.value_minor[k]) / _THOUSAND_EURO
            self.balance[slot, source].append((share, value))
            self.balance[slot, target].append((share, -value))

    def _add_legs(self) -> None:
        """A leg that one piece alone can use costs with that piece; others are variables."""
        for (account, slot), shares in self.legs.items():
            fare = float(self.fares.leg[account, slot])
            if len(shares) == 1:
                self.programme.cost[shares[0][2]] += fare
                continue
            is_open = self.programme.variable(f"y_{account}_{slot}", cost=fare)
            for place, side, share in shares:
                row = self.programme.row([(share, 1.0), (is_open, -1.0)], "<=", 0.0)
                self.leg_rows.append((place, slot, side, row))

    def _add_classes(self) -> None:
        """Flexible pieces between open legs: each window a share of those with like currencies, windows and limits."""
        pieces = self.pieces
        rows = np.flatnonzero(self.is_classed)
        if not len(rows):
            return
        tight = pieces.is_tight[rows]
        keys = [
            pieces.source[rows], pieces.target[rows], self.backbone.is_free[rows] @ (1 << np.arange(len(SLOTS))),
            np.where(tight, pieces.cash_currency[rows] * 2 + (pieces.cash_out_minor[rows] > 0), -1),
            *(np.where(tight & self.limits.is_debit_limited[limit[rows]], limit[rows], -1) for limit, _ in pieces.debits),
        ]  # fmt: skip
        code = np.zeros(len(rows), dtype=np.int64)
        for key in keys:  # one whole number per kind: far quicker to sort than rows
            code = code * (int(key.max()) + 2) + key + 1
        _, first, of_piece = np.unique(code, return_index=True, return_inverse=True)
        order = np.argsort(of_piece, kind="stable")
        groups = np.split(rows[order], np.cumsum(np.bincount(of_piece))[:-1])
        kinds = np.stack(keys, axis=1)[first].tolist()
        for number, (kind, members) in enumerate(zip(kinds, groups, strict=True)):
            slots = [w for w in range(len(SLOTS)) if kind[2] >> w & 1]
            shares = [(w, self.programme.variable(f"k_{number}_{w}", cost=0.0)) for w in slots]
            self.programme.row([(x, 1.0) for _, x in shares], "==", 1.0)
            value = float(pieces.value_minor[members].sum()) / _THOUSAND_EURO if kind[0] != kind[1] else 0.0
            for slot, share in shares:
                if value:
                    self.balance[slot, kind[0]].append((share, value))
                    self.balance[slot, kind[1]].append((share, -value))
                if kind[3] >= 0:
                    debits = [
                        (limit, int(owed[members].sum()))
                        for limit, (_, owed) in zip(kind[4:], pieces.debits, strict=True) if limit >= 0
                    ]  # fmt: skip
                    self._use_limits(kind[3] // 2, slot, share, int(pieces.cash_out_minor[members].sum()), debits)
            self.classes.append((members, shares))

    def _add_conversions(self) -> dict[tuple[int, int], Any]:
        """What the pool sells of a currency minus what it buys equals what its payments leave over, in 1,000 EUR."""
        quoted = self.prices.quoted
        here = range(len(quoted))
        fixed = np.flatnonzero(self.is_fixed & self.pieces.converts & ~self.pieces.is_gross)
        sure = np.zeros((len(SLOTS), len(quoted)), dtype=np.int64)
        slot, value = self.fixed_slot[fixed], self.pieces.value_minor[fixed]
        np.add.at(sure, (slot, self.pieces.source[fixed]), value)
        np.subtract.at(sure, (slot, self.pieces.target[fixed]), value)
        rows = {}
        for w in sorted({w for w, _ in self.balance} | set(np.flatnonzero(sure.any(axis=1)).tolist())):
            arcs = {
                (a, b): self.programme.variable(f"f_{a}_{b}_{w}", cost=float(quoted[a, b]) / 10, top=None)
                for a in here for b in here if a != b
            }  # fmt: skip
            for c in here:
                flows = [(f, -1.0 if a == c else 1.0) for (a, b), f in arcs.items() if c in (a, b)]
                left = -float(sure[w, c]) / _THOUSAND_EURO
                rows[w, c] = self.programme.row([*self.balance.get((w, c), []), *flows], "==", left)
        return rows

    def _add_limits(self) -> tuple[dict[tuple[int, int], tuple[Any, float]], dict[tuple[int, int], tuple[Any, float]]]:
        """Rows of the limits that could bind, less what the fixed pieces take; in units of the limit's largest term."""
        cash_rows, debit_rows = {}, {}
        pieces, fixed = self.pieces, np.flatnonzero(self.is_fixed)
        used = np.zeros((len(self.limits.cash), len(SLOTS)), dtype=np.int64)
        np.add.at(used, (pieces.cash_currency[fixed], self.fixed_slot[fixed]), pieces.cash_out_minor[fixed])
        owed = np.zeros((len(self.limits.debit), len(SLOTS)), dtype=np.int64)
        for limit_of, takes in pieces.debits:
            np.add.at(owed, (limit_of[fixed], self.fixed_slot[fixed]), takes[fixed])
        for currency, moves in self.cash.items():
            if self.limits.is_cash_limited[currency]:
                for slot in range(min(w for w, _, _ in moves), len(SLOTS)):
                    room = int(self.limits.cash[currency, slot]) - int(used[currency, : slot + 1].sum())
                    cash_rows[currency, slot] = self._limit_row([(x, v) for w, x, v in moves if w <= slot], room)
        for (limit, slot), terms in self.debit.items():
            if self.limits.is_debit_limited[limit]:
                room = int(self.limits.debit[limit]) - int(owed[limit, slot])
                debit_rows[limit, slot] = self._limit_row(terms, room)
        return cash_rows, debit_rows

    def _add_cover(self) -> dict[int, Any]:
        """So many payments stay unsettled at least, per currency that is short over all windows."""
        rows = {}
        weight, currency = self.cover.weight, self.pieces.cash_currency
        for short in np.flatnonzero(self.cover.least).tolist():
            mine = self.core[(weight[self.core] > 0) & (currency[self.core] == short)].tolist()
            terms = [(self.options[k][-1][2], float(weight[k])) for k in mine]
            least = min(float(self.cover.least[short]), sum(w for _, w in terms))
            rows[short] = self.programme.row(terms, ">=", least)
        return rows

    def _limit_row(self, terms: list[tuple[Any, float]], room: int) -> tuple[Any, float]:
        scale = max(abs(v) for _, v in terms)
        smallest = min((v for _, v in terms if v > 0), default=scale)
        price = _EXCESS * float(self.prices.deferral_minor.max()) * scale / smallest
        excess = self.programme.variable(f"e_{self.programme.size}", cost=price, top=None)
        row = self.programme.row([*((x, v / scale) for x, v in terms), (excess, -1.0)], "<=", room / scale)
        return row, scale

    def _currency_prices(self) -> Floats:
        found = np.zeros((len(SLOTS), len(self.prices.quoted)))
        known = sorted({w for w, _ in self.balance_rows})
        for (slot, currency), row in self.balance_rows.items():
            found[slot, currency] = -_price(row) / _THOUSAND_EURO
        for slot in set(range(len(SLOTS))) - set(known):
            found[slot] = found[known[0]] if known else 0.0
        return found

    def _limit_prices(self) -> tuple[Floats, Floats]:
        cash, debit = np.zeros((len(self.limits.cash), len(SLOTS))), np.zeros((len(self.limits.debit), len(SLOTS)))
        for (currency, slot), (row, scale) in self.cash_rows.items():
            cash[currency, : slot + 1] += max(-_price(row), 0.0) / scale
        for (limit, slot), (row, scale) in self.debit_rows.items():
            debit[limit, slot] = max(-_price(row), 0.0) / scale
        return cash, debit


def _price(row: Any) -> float:
    """A row's price; a solver that tells none leaves the bound lower, never wrong."""
    return float(row.pi or 0.0)
