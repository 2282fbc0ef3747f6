"""Small changes to a finished plan that make it cheaper, priced exactly afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from atlas_lib.batching_settlement.book import DEFERRED, DIRECT, GROSS, NETTED, Book, Plan
from atlas_lib.batching_settlement.costs import (
    MICRO,
    Prices,
    conversion_cost,
    currency_prices,
    net_conversions,
    pool_imbalances,
)
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
    converting: Int64  # payments with a choice of window that convert, and those that do not
    plain: Int64
    joining: Int64  # what a leg costs more with one more transaction, and less with one fewer, by those it carries
    leaving: Int64

    @classmethod
    def of(cls, book: Book, plan: Plan, limits: Limits, prices: Prices) -> _Moves:
        legs = np.zeros((len(book.accounts), len(SLOTS)), dtype=np.int64)
        pooled = (plan.slot != DEFERRED) & (plan.mode == NETTED)
        for side in (book.payer, book.payee):
            np.add.at(legs, (side[pooled], plan.slot[pooled]), 1)
        room = cash_left(book, plan.slot, limits), debit_left(book, plan.slot, limits)
        first, last, out = (book.column(c) for c in ("earliest_slot", "latest_slot", "cash_out_minor"))
        slot, mode = plan.slot.copy(), plan.mode.copy()
        converts, has_choice = book.source != book.target, (first < last) & ~book.is_gross
        rows = np.flatnonzero(has_choice & converts), np.flatnonzero(has_choice & ~converts)
        fare = np.array([0, prices.single_minor, prices.shared_minor, prices.shared_minor], dtype=np.int64)
        steps = np.diff(fare), np.diff(fare, prepend=0)
        return cls(book, prices, slot, mode, legs, *room, first, last, out, limits.debits(book), *rows, *steps)

    def balance(self) -> None:
        """Converting payments change the window where conversions and legs of both windows cost less by it."""
        nets = pool_imbalances(self.book, Plan(self.slot, self.mode))
        worth, costs = dict[int, Int64](), dict[int, int]()
        for slot, net in nets.items():
            worth[slot], costs[slot] = self._worth_and_cost(net)
        for _ in range(_MOST_BALANCED):
            found = self._better_balance(nets, worth, costs)
            if found is None:
                return
            item, goal = found
            home = int(self.slot[item])
            self._join(item, goal)
            for slot, sign in ((home, -1), (goal, 1)):
                nets[slot] = self._balance_with(nets[slot], item, sign)
                worth[slot], costs[slot] = self._worth_and_cost(nets[slot])

    def _worth_and_cost(self, net: list[int]) -> tuple[Int64, int]:
        flows = net_conversions(net, self.prices)
        return currency_prices(flows, self.prices), conversion_cost(flows, self.prices)

    def _better_balance(
        self, nets: dict[int, list[int]], worth: dict[int, Int64], costs: dict[int, int]
    ) -> tuple[int, int] | None:
        """The move that promises most by the currencies' prices, among the first few that keep their promise."""
        book, value = self.book, self.book.column("value_minor")
        promises, least = [], _WORTH_WHILE * sum(costs.values())
        for home, goal in permutations(sorted(nets), 2):
            rows = self._may_go(self.converting[self.slot[self.converting] == home], goal)
            change = worth[goal] - worth[home]
            gain = value[rows] * (change[book.target[rows]] - change[book.source[rows]])
            could = (gain > least) | self._is_lonely(rows)
            rows = rows[could]
            gain = gain[could] - self._leg_change(rows, goal) * MICRO
            best = np.argsort(-gain, kind="stable")[:_MOST_TRIED]
            promises += [
                (-g, i, goal) for g, i in zip(gain[best].tolist(), rows[best].tolist(), strict=True) if g > least
            ]
        for _, item, goal in sorted(promises)[:_MOST_TRIED]:
            home = int(self.slot[item])
            both = self._balance_with(nets[home], item, -1), self._balance_with(nets[goal], item, 1)
            after = sum(conversion_cost(net_conversions(n, self.prices), self.prices) for n in both)
            dearer = after - costs[home] - costs[goal] + self._leg_change_of(item, goal) * MICRO
            if dearer < 0 and self._has_room(item, goal):
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
            rows = self._may_go(self.plain[self._is_lonely(self.plain)], goal)
            change = self._leg_change(rows, goal)
            for item in rows[np.argsort(change, kind="stable")[: int((change < 0).sum())]].tolist():
                # Each move changes what the next is worth: one after the other by nature.
                if self._leg_change_of(item, goal) < 0 and self._has_room(item, goal):
                    self._join(item, goal)

    def pool_lone_wires(self) -> bool:
        """Lone direct wires go through the pool where one leg is open and a companion makes the other worth opening.

        The wire saved pays for the leg in any case; the companion, which leaves its own window at no cost, saves the
        surcharge of a single transaction.
        """
        has_changed = False
        for goal in range(len(SLOTS)):
            lone, closed = self._to_closed(self._lone_wires(goal), goal)
            if not len(lone):
                continue
            mates, missing = self._to_closed(self._may_go(self.plain, goal), goal)
            home = self.slot[mates]
            spare = (self.legs[self.book.payer[mates], home] > 2) & (self.legs[self.book.payee[mates], home] > 2)
            could = np.isin(closed, missing[spare]) & (self.book.source[lone] == self.book.target[lone])
            for item in lone[could].tolist():
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
            stays = self.mode[item] == NETTED and self._leg_change_of(item, best[0]) > self.prices.shared_minor
            if not stays and self._has_room(item, best[0]):
                self._join(item, best[0])
        return True

    def _best_of(self, goal: int) -> tuple[int, Int64, float]:
        is_single = self.legs[:, goal] == 1
        lone, closed = self._to_closed(self._lone_wires(goal), goal)
        idle, also_closed = self._to_closed(self._may_go(self.plain, goal), goal)
        rows, closed = np.concatenate([lone, idle]), np.concatenate([closed, also_closed])
        end = self.book.payer[rows] + self.book.payee[rows] - closed
        is_lone = np.arange(len(rows)) < len(lone)
        # One company per single leg; a lone wire first, as it saves the wire too.
        order = np.lexsort((rows, ~is_lone, end, closed))
        order = order[(is_lone | is_single[end])[order]]
        rows, closed, end, is_lone = rows[order], closed[order], end[order], is_lone[order]
        is_first = (np.diff(closed, prepend=-1) != 0) | (np.diff(end, prepend=-1) != 0)
        worth = is_lone * float(self.prices.single_minor) + (is_first & is_single[end]) * float(
            self.prices.surcharge_minor
        )
        gain = np.bincount(closed, weights=worth, minlength=1)
        used = np.bincount(closed, weights=worth > 0, minlength=1)
        gain = gain - np.where(used > 1, self.prices.shared_minor, self.prices.single_minor)
        account = int(gain.argmax())
        return account, rows[(closed == account) & (worth > 0)], float(gain[account])

    def _to_closed(self, rows: Int64, goal: int) -> tuple[Int64, Int64]:
        """Payments that have one leg open in this window and the other closed, and the account of the closed one."""
        is_open = self.legs[:, goal] > 0
        payer, payee = self.book.payer[rows], self.book.payee[rows]
        one_closed = is_open[payer] != is_open[payee]
        rows, payer, payee = rows[one_closed], payer[one_closed], payee[one_closed]
        return rows, np.where(is_open[payer], payee, payer)

    def _lone_wires(self, goal: int) -> Int64:
        """Payments alone on a direct wire that could go in this window."""
        direct = np.flatnonzero((self.slot != DEFERRED) & (self.mode == DIRECT))
        _, place, carried = np.unique(
            self.book.bundle[direct] * len(SLOTS) + self.slot[direct], return_inverse=True, return_counts=True
        )
        could = (carried[place] == 1) & (self.first[direct] <= goal) & (goal <= self.last[direct])
        return np.asarray(direct[could])

    def _may_go(self, rows: Int64, goal: int) -> Int64:
        """Those of the payments that are in the pool and could be so in this window instead."""
        here = self.slot[rows]
        pooled = (here != DEFERRED) & (self.mode[rows] == NETTED) & (here != goal)
        return np.asarray(rows[pooled & (self.first[rows] <= goal) & (goal <= self.last[rows])])

    def _is_lonely(self, rows: Int64) -> NDArray[np.bool_]:
        """Whether an account has a leg with a single transaction: only there a change of legs can save anything."""
        has_single = (self.legs == 1).any(axis=1)
        return np.asarray(has_single[self.book.payer[rows]] | has_single[self.book.payee[rows]])

    def _leg_change(self, rows: Int64, goal: int) -> Int64:
        """What the four legs concerned cost more when pooled payments move there."""
        change = np.zeros(len(rows), dtype=np.int64)
        for side in (self.book.payer[rows], self.book.payee[rows]):
            change += self.joining[np.minimum(self.legs[side, goal], 2)]
            change -= self.leaving[np.minimum(self.legs[side, self.slot[rows]], 3)]
        return change

    def _leg_change_of(self, item: int, goal: int) -> int:
        return int(self._leg_change(np.array([item]), goal)[0])

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
