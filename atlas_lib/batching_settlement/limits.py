"""Cash and counterparty limits: what is left in each window, what breaks one, and first in, first out.

Cash of a currency: cumulative over the windows, out - in <= opening balance - minimum balance + what is known to
flow until the day of the window (at least 0).
Net debit of a counterparty, in each window: what it owes - what it is owed <= its limit. In total, over all
currencies: in EUR at the day's rates, each payment rounded up and the limit down (`day_rates`). In one currency: what
it brings of that currency - what goes back to it, in minor units, nothing converted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from atlas_lib.batching_settlement.book import DEFERRED, OWING, Book
from atlas_lib.batching_settlement.day_rates import converted_up
from atlas_lib.batching_settlement.items import COST_CURRENCY, SLOTS
from atlas_lib.core.money import Int64

Floats = NDArray[np.float64]
_NO_LIMIT = 2**62
_SLOT_NUMBERS = np.arange(len(SLOTS))


@dataclass(frozen=True)
class Limits:
    """Cash in minor units per currency of the book and slot, and highest net debits.

    `debit`: first the limit in total of each counterparty of the book, in minor units of EUR, then those in one
    currency, in its own; `in_currency` (counterparty, currency) is where in `debit` the latter stand, -1 without one.
    """

    cash: Int64
    debit: Int64
    in_currency: Int64

    @property
    def is_cash_limited(self) -> NDArray[np.bool_]:
        return np.asarray(self.cash[:, 0] < _NO_LIMIT)

    @property
    def is_debit_limited(self) -> NDArray[np.bool_]:
        return np.asarray(self.debit < _NO_LIMIT)

    def debits(self, book: Book) -> list[tuple[Int64, Int64]]:
        """For each kind of limit given, in total and in one currency: the limit of every item and what it takes of it.

        An item without one takes 0 of the first.
        """
        found = []
        if self.is_debit_limited[: len(book.counterparties)].any():
            found.append((book.route, book.column("net_debit_minor")))
        if (self.in_currency >= 0).any():
            place = self.in_currency[book.route, book.cash_currency]
            owed = np.where((place >= 0) & np.isin(book.kind, OWING), -book.column("cash_out_minor"), 0)
            found.append((np.maximum(place, 0), owed))
        return found

    def unit_of(self, limit: int, book: Book) -> tuple[str, str]:
        """How a limit on net debit is called, and its currency."""
        if limit < len(book.counterparties):
            return "total", COST_CURRENCY
        currency = book.currencies[int(np.argwhere(self.in_currency == limit)[0][1])]
        return currency, currency


def read_limits(
    book: Book,
    cash: pd.DataFrame,
    counterparties: pd.DataFrame,
    rates: pd.DataFrame,
    counterparty_limits: pd.DataFrame | None = None,
) -> Limits:
    """Limits of the book's currencies and counterparties; one without a row (or an empty limit) is unlimited.

    `cash`: cash_by_window. `counterparties`: the limit in total, in any currency with a rate of the day, becomes
    floor(limit in EUR). `counterparty_limits` (counterparty_id, currency): limits in one currency, taken as they are.
    """
    at_hand = {str(c): row for c, row in zip(cash.index, cash.to_numpy(dtype=np.int64), strict=True)}
    capped = counterparties[counterparties["limit_minor"].notna() & counterparties["currency"].isin(rates.index)]
    into = pd.Series(COST_CURRENCY, index=capped.index)
    in_euro = -converted_up(-capped["limit_minor"].to_numpy(dtype=np.int64), capped["currency"], into, rates)
    total = dict(zip(capped["counterparty_id"], in_euro.tolist(), strict=True))
    unlimited = np.full(len(SLOTS), _NO_LIMIT, dtype=np.int64)
    in_currency, caps = _by_currency(book, counterparty_limits)
    return Limits(
        np.array([at_hand.get(c, unlimited) for c in book.currencies], dtype=np.int64).reshape(-1, len(SLOTS)),
        np.array([*(total.get(c, _NO_LIMIT) for c in book.counterparties), *caps], dtype=np.int64),
        in_currency,
    )


def _by_currency(book: Book, given: pd.DataFrame | None) -> tuple[Int64, list[int]]:
    """Where each limit in one currency stands among all, and the limits."""
    place = np.full((len(book.counterparties), len(book.currencies)), -1, dtype=np.int64)
    if given is None or given.empty:
        return place, []
    known = given[given["counterparty_id"].isin(book.counterparties) & given["currency"].isin(book.currencies)]
    known = known.sort_values(["counterparty_id", "currency"], kind="stable")
    route = pd.Index(book.counterparties).get_indexer(pd.Index(known["counterparty_id"]))
    currency = pd.Index(book.currencies).get_indexer(pd.Index(known["currency"]))
    place[route, currency] = len(book.counterparties) + np.arange(len(known))
    return place, known["currency_limit_minor"].astype("int64").tolist()


def cash_by_window(
    liquidity: pd.DataFrame, liquidity_forecast: pd.DataFrame | None, dates: Sequence[pd.Timestamp]
) -> pd.DataFrame:
    """Cash that payments may use until each slot: index currency, one column per slot, minor units, at least 0.

    opening - minimum balance + known flows (instalments, payouts, reserve releases) dated up to the slot's day. The
    forecast's residual is left out: it stands for the very payments that are planned here. RTGS is paid before the
    day's inflow is there, so it may use no more than there is without it. Inputs: liquidity (currency),
    liquidity_forecast (currency, flow_date) or None, the day of each slot.
    """
    opening = (liquidity["opening_balance_minor"] - liquidity["minimum_balance_minor"]).to_numpy(dtype=np.int64)
    cash = pd.DataFrame({slot: opening for slot in range(len(SLOTS))}, index=pd.Index(liquidity["currency"], name=None))
    if liquidity_forecast is not None and len(liquidity_forecast):
        for slot, day in enumerate(dates):
            until = liquidity_forecast[liquidity_forecast["flow_date"] <= day]
            known = until.groupby("currency")["known_minor"].sum().reindex(cash.index).fillna(0).astype("int64")
            cash[slot] += known.clip(upper=0) if slot == 0 else known
    return cash.clip(lower=0)


def cash_left(book: Book, slot: Int64, limits: Limits) -> Int64:
    """Cash left per currency and slot, later outflows not yet counted."""
    out = _summed(book.cash_currency, slot, book.column("cash_out_minor"), len(limits.cash))
    return np.asarray(limits.cash - np.cumsum(out, axis=1))


def debit_left(book: Book, slot: Int64, limits: Limits) -> Int64:
    """Room under each limit on net debit, per slot."""
    left = np.repeat(limits.debit[:, None], len(SLOTS), axis=1)
    for limit, owed in limits.debits(book):
        left -= _summed(limit, slot, owed, len(left))
    return left


def is_within(book: Book, slot: Int64, limits: Limits) -> bool:
    return bool((cash_left(book, slot, limits) >= 0).all() and (debit_left(book, slot, limits) >= 0).all())


def tight_items(book: Book, limits: Limits) -> NDArray[np.bool_]:
    """Items of a currency or counterparty whose limit could bind; all others never can, whatever the plan.

    The worst case of a limit: all that may go out by a window goes out, and only that comes in which must
    come in by then and touches no tight limit itself (repeated until nothing changes).
    """
    tight = np.zeros(len(book), dtype=bool)
    cash, debit, debits = limits.is_cash_limited & False, limits.is_debit_limited & False, limits.debits(book)
    while True:
        cash = cash | (limits.is_cash_limited & (_worst_cash(book, tight, len(cash)) > limits.cash).any(axis=1))
        found = cash[book.cash_currency] & (book.column("cash_out_minor") != 0)
        for limit, owed in debits:
            debit = debit | (_worst_debit(book, tight, limit, owed, len(debit)) > limits.debit)
            found = found | (debit[limit] & (owed != 0))
        if (found == tight).all():
            return tight
        tight = found


def place(book: Book, preferred: Int64, limits: Limits, order: Callable[[Book], Int64] | None = None) -> Int64:
    """Slots as near to the preferred ones as the limits allow; what fits nowhere is deferred (-1).

    A preferred plan within the limits is kept. Otherwise the items a limit could bind are placed anew in the
    given order (default: first in, first out); passes repeat while something more fits, because what came in
    makes room.
    """
    slot, waits = preferred, preferred == DEFERRED
    if not is_within(book, preferred, limits):
        waits = waits | tight_items(book, limits)
        slot = np.where(waits, DEFERRED, preferred)
    if not waits.any():
        return preferred
    ranked = (order or first_in_first_out)(book)
    return _filled(book, slot, preferred, ranked[waits[ranked]], limits)


def first_in_first_out(book: Book) -> Int64:
    """Items in the order they are served: money coming in before money going out, then by time made."""
    made = book.items["created_at"].astype("int64").to_numpy()
    return np.lexsort((np.arange(len(book)), made, book.column("cash_out_minor") > 0)).astype(np.int64)


def smallest_first(book: Book) -> Int64:
    """Items by value: the order that settles the most of them under one limit."""
    return np.lexsort((np.arange(len(book)), book.column("value_minor"))).astype(np.int64)


def taken_room(debits: list[tuple[Int64, Int64]], rows: Int64) -> list[list[tuple[int, int]]]:
    """Per item the limits it takes room of (or makes room under), and how much."""
    pairs = [list(zip(limit[rows].tolist(), owed[rows].tolist(), strict=True)) for limit, owed in debits]
    return [[pair for pair in of_item if pair[1]] for of_item in zip(*pairs, strict=True)] or [[] for _ in rows]


def _filled(book: Book, slot: Int64, preferred: Int64, queue: Int64, limits: Limits) -> Int64:
    # Each placement changes what is left for the next: a greedy rule is a loop by nature, so on plain numbers.
    slot, cash, debit = slot.copy(), cash_left(book, slot, limits).tolist(), debit_left(book, slot, limits).tolist()
    names = ("cash_out_minor", "earliest_slot", "latest_slot")
    columns = [queue, book.cash_currency[queue], *(book.column(c)[queue] for c in names), preferred[queue]]
    waiting = list(zip(*(c.tolist() for c in columns), taken_room(limits.debits(book), queue), strict=True))
    while True:
        stays = []
        for item in waiting:
            i, currency, out, first, last, wish, taken = item
            rooms = [(debit[limit], owed) for limit, owed in taken]
            fits = _first_fit(out, first, last, wish, cash[currency], rooms)
            if fits == DEFERRED:
                stays.append(item)
                continue
            slot[i] = fits
            for room, owed in rooms:
                room[fits] -= owed
            for w in range(fits, len(SLOTS)):
                cash[currency][w] -= out
        if len(stays) in (0, len(waiting)):
            return slot
        waiting = stays


def _first_fit(out: int, first: int, last: int, wish: int, cash: list[int], rooms: list[tuple[list[int], int]]) -> int:
    """The preferred window, then the earliest, with room under all limits."""
    choices = [wish, *range(first, last + 1)] if first <= wish <= last else range(first, last + 1)
    for slot in choices:
        if (out <= 0 or min(cash[slot:]) >= out) and all(owed <= 0 or room[slot] >= owed for room, owed in rooms):
            return slot
    return DEFERRED


def restore(book: Book, slot: Int64, limits: Limits, wait_cost: Floats, defer_cost: Floats) -> Int64:
    """A plan brought within the limits with few changes, the cheapest first; costs per item.

    For the first limit that is broken, one payment that helps is moved to the next window (once), or deferred: the
    cheapest of those that suffice alone, else the cheapest for the room it makes; then again. Afterwards whatever
    fits comes back, small first.
    """
    slot, cost, moved = slot.copy(), np.minimum(wait_cost, defer_cost), np.zeros(len(book), dtype=bool)
    while (broken := _first_broken(book, slot, limits)) is not None:
        rows, relief, need, window = broken
        can_wait = (book.column("latest_slot")[rows] > window) & ~moved[rows]
        price = np.where(can_wait, cost[rows], defer_cost[rows])
        enough = relief >= need
        score = np.where(enough, price, np.inf) if enough.any() else price / relief
        best = np.lexsort((relief, score))[0]
        waits = can_wait[best] and wait_cost[rows[best]] <= defer_cost[rows[best]]
        slot[rows[best]] = window + 1 if waits else DEFERRED
        moved[rows[best]] = True
    return place(book, slot, limits, smallest_first)


def _first_broken(book: Book, slot: Int64, limits: Limits) -> tuple[Int64, Int64, int, int] | None:
    """Settled payments that take room under the first limit broken, the room of each, what is missing, the window."""
    cash, debit, out = cash_left(book, slot, limits), debit_left(book, slot, limits), book.column("cash_out_minor")
    if (cash < 0).any():
        window = int((cash < 0).any(axis=0).argmax())
        currency = int((cash[:, window] < 0).argmax())
        takes = np.flatnonzero((slot != DEFERRED) & (book.cash_currency == currency) & (out > 0) & (slot <= window))
        return takes, out[takes], -int(cash[currency, window]), window
    if (debit < 0).any():
        window = int((debit < 0).any(axis=0).argmax())
        broken = int((debit[:, window] < 0).argmax())
        for limit, owed in limits.debits(book):
            takes = np.flatnonzero((limit == broken) & (owed > 0) & (slot == window))
            if len(takes):
                return takes, owed[takes], -int(debit[broken, window]), window
    return None


def _worst_cash(book: Book, tight: NDArray[np.bool_], count: int) -> Int64:
    out = book.column("cash_out_minor")
    first, last = book.column("earliest_slot"), book.column("latest_slot")
    leaving = _summed(book.cash_currency, first, np.maximum(out, 0), count)
    coming = _summed(book.cash_currency, last, np.where(tight, 0, np.minimum(out, 0)), count)
    return np.asarray(np.cumsum(leaving + coming, axis=1))


def _worst_debit(book: Book, tight: NDArray[np.bool_], limit: Int64, owed: Int64, count: int) -> Int64:
    first, last = book.column("earliest_slot"), book.column("latest_slot")
    worst = np.zeros((count, len(SLOTS)), dtype=np.int64)
    for slot in _SLOT_NUMBERS:
        could = (first <= slot) & (slot <= last) & (owed > 0)
        surely = (first == slot) & (slot == last) & (owed < 0) & ~tight
        np.add.at(worst[:, slot], limit[could | surely], owed[could | surely])
    return np.asarray(worst.max(axis=1, initial=0))


def _summed(group: Int64, slot: Int64, amount: Int64, count: int) -> Int64:
    table = np.zeros(count * len(SLOTS), dtype=np.int64)
    if (slot == DEFERRED).any():
        group, slot, amount = (column[slot != DEFERRED] for column in (group, slot, amount))
    np.add.at(table, group * len(SLOTS) + slot, amount)
    return table.reshape(count, len(SLOTS))
