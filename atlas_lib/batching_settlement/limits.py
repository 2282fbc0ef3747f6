"""Cash and counterparty limits: what is left in each window, what breaks one, and first in, first out.

Cash of a currency: cumulative over the windows, out - in <= opening balance - minimum balance + what is known to
flow until the day of the window (at least 0).
Net debit of a counterparty, in each window: what it owes - what it is owed <= its limit, in EUR at mid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from atlas_lib.batching_settlement.book import DEFERRED, Book
from atlas_lib.batching_settlement.items import COST_CURRENCY, SLOTS
from atlas_lib.core.money import Int64, Rounding, format_minor, round_product, scale_of

Floats = NDArray[np.float64]
_NO_LIMIT = 2**62
_SLOT_NUMBERS = np.arange(len(SLOTS))


@dataclass(frozen=True)
class Limits:
    """Cash in minor units per currency of the book and slot; net debit in EUR minor units per counterparty of it."""

    cash: Int64
    debit: Int64

    @property
    def is_cash_limited(self) -> NDArray[np.bool_]:
        return np.asarray(self.cash[:, 0] < _NO_LIMIT)

    @property
    def is_debit_limited(self) -> NDArray[np.bool_]:
        return np.asarray(self.debit < _NO_LIMIT)


def read_limits(
    book: Book, cash: pd.DataFrame, counterparties: pd.DataFrame, rates: pd.DataFrame, rounding: Rounding
) -> Limits:
    """Limits of the book's currencies and counterparties; one without a row (or an empty limit) is unlimited.

    `cash`: cash_by_window. Limits of counterparties are converted to EUR at the rates of the day.
    """
    at_hand = {str(c): row for c, row in zip(cash.index, cash.to_numpy(dtype=np.int64), strict=True)}
    capped = counterparties[counterparties["limit_minor"].notna() & counterparties["currency"].isin(rates.index)]
    rate = capped["currency"].map(rates["rate"]).to_numpy(dtype=float)
    factor = int(scale_of(COST_CURRENCY)) / rate / scale_of(capped["currency"])
    in_euro = round_product(capped["limit_minor"].astype("int64"), factor, rounding)
    debit = dict(zip(capped["counterparty_id"], in_euro, strict=True))
    unlimited = np.full(len(SLOTS), _NO_LIMIT, dtype=np.int64)
    return Limits(
        np.array([at_hand.get(c, unlimited) for c in book.currencies], dtype=np.int64).reshape(-1, len(SLOTS)),
        np.array([debit.get(c, _NO_LIMIT) for c in book.counterparties], dtype=np.int64),
    )


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
    """Room under the net debit limit per counterparty and slot."""
    return np.asarray(
        limits.debit[:, None] - _summed(book.route, slot, book.column("net_debit_minor"), len(limits.debit))
    )


def is_within(book: Book, slot: Int64, limits: Limits) -> bool:
    return bool((cash_left(book, slot, limits) >= 0).all() and (debit_left(book, slot, limits) >= 0).all())


def tight_items(book: Book, limits: Limits) -> NDArray[np.bool_]:
    """Items of a currency or counterparty whose limit could bind; all others never can, whatever the plan.

    The worst case of a limit: all that may go out by a window goes out, and only that comes in which must
    come in by then and touches no tight limit itself (repeated until nothing changes).
    """
    tight = np.zeros(len(book), dtype=bool)
    cash, debit = limits.is_cash_limited & False, limits.is_debit_limited & False
    while True:
        cash = cash | (limits.is_cash_limited & (_worst_cash(book, tight, len(cash)) > limits.cash).any(axis=1))
        debit = debit | (limits.is_debit_limited & (_worst_debit(book, tight, len(debit)) > limits.debit))
        found = (cash[book.cash_currency] & (book.column("cash_out_minor") != 0)) | (
            debit[book.route] & (book.column("net_debit_minor") != 0)
        )
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


def why_deferred(book: Book, slot: Int64, limits: Limits) -> pd.DataFrame:
    """Reason and detail of every deferred item: the limit that its latest window has no room under."""
    left = np.flatnonzero(slot == DEFERRED)
    cash, debit = cash_left(book, slot, limits), debit_left(book, slot, limits)
    columns = (book.column(c)[left].tolist() for c in ("latest_slot", "cash_out_minor", "net_debit_minor"))
    reasons = []
    for i, latest, needed, owed in zip(left.tolist(), *columns, strict=True):
        currency, route = book.currencies[book.cash_currency[i]], book.counterparties[book.route[i]]
        room, cap = int(cash[book.cash_currency[i], latest:].min()), int(debit[book.route[i], latest])
        if needed > max(room, 0):
            needs, has = format_minor(needed, currency), format_minor(room, currency)
            reasons.append(("LIQUIDITY_SHORTFALL", f"{needs} {currency} needed, {has} left in {SLOTS[latest]}"))
        else:
            owes, has = format_minor(owed, COST_CURRENCY), format_minor(cap, COST_CURRENCY)
            detail = f"{route} would owe {owes} EUR more, {has} left under its limit in {SLOTS[latest]}"
            reasons.append(("COUNTERPARTY_LIMIT", detail))
    return pd.DataFrame(reasons, columns=["reason", "detail"], index=left)


def _filled(book: Book, slot: Int64, preferred: Int64, queue: Int64, limits: Limits) -> Int64:
    # Each placement changes what is left for the next: a greedy rule is a loop by nature, so on plain numbers.
    slot, cash, debit = slot.copy(), cash_left(book, slot, limits).tolist(), debit_left(book, slot, limits).tolist()
    names = ("cash_out_minor", "net_debit_minor", "earliest_slot", "latest_slot")
    columns = [queue, book.cash_currency[queue], book.route[queue], *(book.column(c)[queue] for c in names)]
    waiting = list(zip(*(c.tolist() for c in [*columns, preferred[queue]]), strict=True))
    while True:
        stays = []
        for item in waiting:
            i, currency, route, out, owed, first, last, wish = item
            fits = _first_fit(out, owed, first, last, wish, cash[currency], debit[route])
            if fits == DEFERRED:
                stays.append(item)
                continue
            slot[i] = fits
            debit[route][fits] -= owed
            for w in range(fits, len(SLOTS)):
                cash[currency][w] -= out
        if len(stays) in (0, len(waiting)):
            return slot
        waiting = stays


def _first_fit(out: int, owed: int, first: int, last: int, wish: int, cash: list[int], debit: list[int]) -> int:
    """The preferred window, then the earliest, with room under both limits."""
    choices = [wish, *range(first, last + 1)] if first <= wish <= last else range(first, last + 1)
    for slot in choices:
        if (out <= 0 or min(cash[slot:]) >= out) and (owed <= 0 or debit[slot] >= owed):
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
    cash, debit = cash_left(book, slot, limits), debit_left(book, slot, limits)
    out, owed = book.column("cash_out_minor"), book.column("net_debit_minor")
    settled = slot != DEFERRED
    if (cash < 0).any():
        window = int((cash < 0).any(axis=0).argmax())
        currency = int((cash[:, window] < 0).argmax())
        takes = np.flatnonzero(settled & (book.cash_currency == currency) & (out > 0) & (slot <= window))
        return takes, out[takes], -int(cash[currency, window]), window
    if (debit < 0).any():
        window = int((debit < 0).any(axis=0).argmax())
        route = int((debit[:, window] < 0).argmax())
        takes = np.flatnonzero(settled & (book.route == route) & (owed > 0) & (slot == window))
        return takes, owed[takes], -int(debit[route, window]), window
    return None


def _worst_cash(book: Book, tight: NDArray[np.bool_], count: int) -> Int64:
    out = book.column("cash_out_minor")
    first, last = book.column("earliest_slot"), book.column("latest_slot")
    leaving = _summed(book.cash_currency, first, np.maximum(out, 0), count)
    coming = _summed(book.cash_currency, last, np.where(tight, 0, np.minimum(out, 0)), count)
    return np.asarray(np.cumsum(leaving + coming, axis=1))


def _worst_debit(book: Book, tight: NDArray[np.bool_], count: int) -> Int64:
    owed = book.column("net_debit_minor")
    first, last = book.column("earliest_slot"), book.column("latest_slot")
    worst = np.zeros((count, len(SLOTS)), dtype=np.int64)
    for slot in _SLOT_NUMBERS:
        could = (first <= slot) & (slot <= last) & (owed > 0)
        surely = (first == slot) & (slot == last) & (owed < 0) & ~tight
        np.add.at(worst[:, slot], book.route[could | surely], owed[could | surely])
    return np.asarray(worst.max(axis=1, initial=0))


def _summed(group: Int64, slot: Int64, amount: Int64, count: int) -> Int64:
    table = np.zeros(count * len(SLOTS), dtype=np.int64)
    if (slot == DEFERRED).any():
        group, slot, amount = (column[slot != DEFERRED] for column in (group, slot, amount))
    np.add.at(table, group * len(SLOTS) + slot, amount)
    return table.reshape(count, len(SLOTS))
