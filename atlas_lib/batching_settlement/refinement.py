"""Small changes to a finished plan that make it cheaper, priced exactly afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from atlas_lib.batching_settlement.book import DEFERRED, DIRECT, GROSS, NETTED, Book, Plan
from atlas_lib.batching_settlement.costs import MICRO, Prices, conversion_cost, currency_prices, pool_imbalances
from atlas_lib.batching_settlement.items import SLOTS
from atlas_lib.batching_settlement.limits import Limits, cash_left, debit_left
from atlas_lib.core.money import Int64

_MOST_OPENED = 20  # legs opened one after the other
_WORTH_WHILE = 1e-6  # of the conversions' cost
_MOST_BALANCED, _MOST_TRIED = 12, 5  # payments moved to balance currencies; those tried for each


def refine(book: Book, plan: Plan, limits: Limits, prices: Prices) -> Plan:
    """Conversions are balanced over the windows, single legs get company, and legs are opened where that saves more."""
    moves = _Moves.of(book, plan, limits, prices)
    moves.balance()
    moves.accompany()
    if moves.pool_lone_wires():
        moves.accompany()
    for _ in range(_MOST_OPENED):
        if not moves.open_best_leg():
            break
        moves.accompany()
    return Plan(moves.slot, moves.mode)


@dataclass
class _Moves:
    """A plan while it changes, with what each leg carries and what room the limits leave."""

    book: Book
    prices: Prices
    slot: Int64
    mode: Int64
    legs: Int64  # account, slot: transactions
    cash: Int64  # currency, slot: cash left
    debit: Int64  # limit on net debit, slot: room under it
    first: Int64
    last: Int64
    out: Int64
    debits: list[tuple[Int64, Int64]]  # per kind of limit on net debit: which one, what each payment takes of it

    @classmethod
    def of(cls, book: Book, plan: Plan, limits: Limits, prices: Prices) -> _Moves:
        legs = np.zeros((len(book.accounts), len(SLOTS)), dtype=np.int64)
        pooled = (plan.slot != DEFERRED) & (plan.mode == NETTED)
        for side in (book.payer, book.payee):
            np.add.at(legs, (side[pooled], plan.slot[pooled]), 1)
        room = cash_left(book, plan.slot, limits), debit_left(book, plan.slot, limits)
        first, last, out = (book.column(c) for c in ("earliest_slot", "latest_slot", "cash_out_minor"))
        slot, mode = plan.slot.copy(), plan.mode.copy()
        return cls(book, prices, slot, mode, legs, *room, first, last, out, limits.debits(book))

    def balance(self) -> None:
        """Converting payments change the window where conversions and legs of both windows cost less by it."""
        nets = pool_imbalances(self.book, Plan(self.slot, self.mode))
        worth = {w: currency_prices(net, self.prices) for w, net in nets.items()}
        costs = {w: conversion_cost(net, self.prices) for w, net in nets.items()}
        for _ in range(_MOST_BALANCED):
            found = self._better_balance(nets, worth, costs)
            if found is None:
                return
            item, goal = found
            home = int(self.slot[item])
            self._join(item, goal)
            for slot, sign in ((home, -1), (goal, 1)):
                nets[slot] = self._balance_with(nets[slot], item, sign)
                worth[slot] = currency_prices(nets[slot], self.prices)
                costs[slot] = conversion_cost(nets[slot], self.prices)

    def _better_balance(
        self, nets: dict[int, list[int]], worth: dict[int, Int64], costs: dict[int, int]
    ) -> tuple[int, int] | None:
        """The move that promises most by the currencies' prices, among the first few that keep their promise."""
        book, value = self.book, self.book.column("value_minor")
        promises, least = [], _WORTH_WHILE * sum(costs.values())
        for home, goal in permutations(sorted(nets), 2):
            rows = np.flatnonzero(self._may_go(goal) & (self.slot == home) & (book.source != book.target))
            change = worth[goal] - worth[home]
            gain = value[rows] * (change[book.target[rows]] - change[book.source[rows]])
            gain = gain - self._leg_change(rows, goal) * MICRO
            best = np.argsort(-gain, kind="stable")[:_MOST_TRIED]
            promises += [
                (-g, i, goal) for g, i in zip(gain[best].tolist(), rows[best].tolist(), strict=True) if g > least
            ]
        for _, item, goal in sorted(promises)[:_MOST_TRIED]:
            home = int(self.slot[item])
            both = self._balance_with(nets[home], item, -1), self._balance_with(nets[goal], item, 1)
            dearer = sum(conversion_cost(n, self.prices) for n in both) - costs[home] - costs[goal]
            if dearer + int(self._leg_change(np.array([item]), goal)[0]) * MICRO < 0 and self._has_room(item, goal):
                return item, goal
        return None

    def _balance_with(self, net: list[int], item: int, sign: int) -> list[int]:
        value = sign * int(self.book.column("value_minor")[item])
        changed = list(net)
        changed[int(self.book.source[item])] += value
        changed[int(self.book.target[item])] -= value
        return changed

    def accompany(self) -> None:
        """A leg with a single transaction loses the discount: a payment without a conversion joins it, or leaves it."""
        for goal in range(len(SLOTS)):
            rows = np.flatnonzero(self._idle(goal))
            change = self._leg_change(rows, goal)
            for item in rows[np.argsort(change, kind="stable")[: int((change < 0).sum())]].tolist():
                # Each move changes what the next is worth: one after the other by nature.
                if self._leg_change(np.array([item]), goal)[0] < 0 and self._has_room(item, goal):
                    self._join(item, goal)

    def pool_lone_wires(self) -> bool:
        """Lone direct wires go through the pool where one leg is open and a companion makes the other worth opening.

        The wire saved pays for the leg in any case; the companion, which leaves its own window at no cost, saves the
        surcharge of a single transaction.
        """
        has_changed = False
        for goal in range(len(SLOTS)):
            is_open = self.legs[:, goal] > 0
            payer, payee, home = self.book.payer, self.book.payee, np.maximum(self.slot, 0)
            one_closed = is_open[payer] != is_open[payee]
            closed = np.where(is_open[payer], payee, payer)
            spare = (self.legs[payer, home] > 2) & (self.legs[payee, home] > 2)
            has_mate = np.zeros(len(self.book.accounts), dtype=bool)
            has_mate[closed[one_closed & spare & self._idle(goal)]] = True
            could = self._lone_wires() & (self.first <= goal) & (goal <= self.last) & one_closed & has_mate[closed]
            for item in np.flatnonzero(could & (self.book.source == self.book.target)).tolist():
                if self._has_room(item, goal):
                    self._join(item, goal)
                    has_changed = True
        return has_changed

    def open_best_leg(self) -> bool:
        """Open the leg that saves most: lone direct wires that then go through the pool, single legs accompanied."""
        best, saved = None, 0.0
        for goal in range(len(SLOTS)):
            account, items, gain = self._best_of(goal)
            if gain > saved:
                best, saved = (goal, account, items), gain
        if best is None:
            return False
        for item in best[2].tolist():
            stays = (
                self.mode[item] == NETTED and self._leg_change(np.array([item]), best[0])[0] > self.prices.shared_minor
            )
            if not stays and self._has_room(item, best[0]):
                self._join(item, best[0])
        return True

    def _best_of(self, goal: int) -> tuple[int, Int64, float]:
        payer, payee = self.book.payer, self.book.payee
        is_open, single = self.legs[:, goal] > 0, self.legs[:, goal] == 1
        lone = self._lone_wires() & (self.first <= goal) & (goal <= self.last)
        one_closed = is_open[payer] != is_open[payee]
        rows = np.flatnonzero(one_closed & (lone | (self._idle(goal) & (single[payer] | single[payee]))))
        closed = np.where(is_open[payer[rows]], payee[rows], payer[rows])
        end = np.where(is_open[payer[rows]], payer[rows], payee[rows])
        # One company per single leg; a lone wire first, as it saves the wire too.
        order = np.lexsort((rows, ~lone[rows], end, closed))
        rows, closed, end = rows[order], closed[order], end[order]
        is_first = (np.diff(closed, prepend=-1) != 0) | (np.diff(end, prepend=-1) != 0)
        worth = lone[rows] * float(self.prices.single_minor) + (is_first & single[end]) * float(
            self.prices.surcharge_minor
        )
        gain = np.bincount(closed, weights=worth, minlength=1)
        used = np.bincount(closed, weights=worth > 0, minlength=1)
        gain = gain - np.where(used > 1, self.prices.shared_minor, self.prices.single_minor)
        account = int(gain.argmax())
        return account, rows[(closed == account) & (worth > 0)], float(gain[account])

    def _lone_wires(self) -> NDArray[np.bool_]:
        direct = (self.slot != DEFERRED) & (self.mode == DIRECT)
        wire = self.book.bundle * len(SLOTS) + self.slot
        carried = np.bincount(wire[direct], minlength=int(wire.max(initial=0)) + 1)
        return np.asarray(direct & (carried[wire] == 1))

    def _idle(self, goal: int) -> NDArray[np.bool_]:
        """Payments of the pool that could go to this window without changing conversions or limits."""
        return np.asarray(self._may_go(goal) & (self.book.source == self.book.target))

    def _may_go(self, goal: int) -> NDArray[np.bool_]:
        here = (self.slot != DEFERRED) & (self.mode == NETTED) & (self.slot != goal)
        return np.asarray(here & (self.first <= goal) & (goal <= self.last))

    def _leg_change(self, rows: Int64, goal: int) -> Int64:
        """What the four legs concerned cost more when a pooled payment moves there."""
        fare = np.array([0, self.prices.single_minor, self.prices.shared_minor], dtype=np.int64)
        change = np.zeros(len(rows), dtype=np.int64)
        for side in (self.book.payer[rows], self.book.payee[rows]):
            here, there = np.minimum(self.legs[side, self.slot[rows]], 3), np.minimum(self.legs[side, goal], 2)
            change += fare[np.minimum(here - 1, 2)] - fare[np.minimum(here, 2)]
            change += fare[np.minimum(there + 1, 2)] - fare[there]
        return change

    def _has_room(self, item: int, goal: int) -> bool:
        """Whether every limit still holds."""
        home, currency, out = int(self.slot[item]), self.book.cash_currency[item], self.out[item]
        early, late = sorted((home, goal))
        less = out if goal < home else -out
        is_funded = less <= 0 or bool((self.cash[currency, early:late] >= less).all())
        return is_funded and (home == goal or all(self._may_owe(item, home, goal, *limit) for limit in self.debits))

    def _may_owe(self, item: int, home: int, goal: int, limit: Int64, owed: Int64) -> bool:
        room, takes = self.debit[limit[item]], owed[item]
        return bool(room[goal] >= takes and room[home] >= -takes)

    def _join(self, item: int, goal: int) -> None:
        home, book = int(self.slot[item]), self.book
        for account in (book.payer[item], book.payee[item]):
            if self.mode[item] == NETTED:
                self.legs[account, home] -= 1
            self.legs[account, goal] += 1
        early, late = sorted((home, goal))
        self.cash[book.cash_currency[item], early:late] += self.out[item] if goal > home else -self.out[item]
        for limit, owed in self.debits:
            self.debit[limit[item], home] += owed[item]
            self.debit[limit[item], goal] -= owed[item]
        self.slot[item], self.mode[item] = goal, NETTED


def seat(book: Book, slot: Int64, mode: Int64, moved: Int64) -> Plan:
    """The plan with its moved payments in the pool where both legs are open there, else on a direct wire."""
    stays = (slot != DEFERRED) & (mode == NETTED)
    stays[moved] = False
    is_open = np.zeros((len(book.accounts), len(SLOTS)), dtype=bool)
    for side in (book.payer, book.payee):
        is_open[side[stays], slot[stays]] = True
    now = slot[moved]
    joins = is_open[book.payer[moved], now] & is_open[book.payee[moved], now]
    modes = mode.copy()
    modes[moved] = np.where(book.is_gross[moved], GROSS, np.where(joins, NETTED, DIRECT))
    return Plan(slot, modes)
