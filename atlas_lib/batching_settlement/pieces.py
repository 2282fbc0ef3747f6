"""Items aggregated to the pieces that the model decides on: the fewer, the faster, and nothing is lost by it.

Items with the same payer, payee, counterparty and window range are one piece. Splitting such a piece
between pool and wire never pays: with both open, moving all of it into the pool saves the wire, and net
conversion is never dearer than conversion on its own. Splitting it over windows may pay (it balances
currencies, it fits under a limit), so items that a limit could bind, and in small books items with a choice
of window, are pieces of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from atlas_lib.batching_settlement.book import Book
from atlas_lib.batching_settlement.items import SLOTS
from atlas_lib.batching_settlement.limits import Limits, tight_items
from atlas_lib.core.money import Int64

MOST_FLEXIBLE = 300  # items with a choice of window decided one by one; beyond, whole pieces
_SLOT_NUMBERS = np.arange(len(SLOTS))
_OF_BOOK = ("payer", "payee", "source", "target", "bundle", "cash_currency", "route", "kind")


@dataclass(frozen=True)
class Pieces:
    """`of_item` says in which piece an item is; `can_take` (piece, slot) which windows it may take."""

    of_item: Int64
    first_item: Int64
    count: Int64
    value_minor: Int64
    cash_out_minor: Int64
    debits: list[tuple[Int64, Int64]]  # per kind of limit on net debit: which one, and what the piece takes of it
    is_tight: NDArray[np.bool_]
    is_gross: NDArray[np.bool_]
    can_take: NDArray[np.bool_]
    payer: Int64
    payee: Int64
    source: Int64
    target: Int64
    bundle: Int64
    cash_currency: Int64
    route: Int64
    kind: Int64

    def __len__(self) -> int:
        return len(self.count)

    def only(self, rows: Int64) -> Pieces:
        """These pieces alone; `of_item` and `first_item` stay those of the whole."""
        kept = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name not in ("of_item", "debits")}
        return Pieces(of_item=self.of_item, debits=[(limit[rows], owed[rows]) for limit, owed in self.debits], **kept)

    @property
    def converts(self) -> NDArray[np.bool_]:
        return np.asarray(self.source != self.target)

    @property
    def first_slot(self) -> Int64:
        return np.asarray(self.can_take.argmax(axis=1), dtype=np.int64)

    @property
    def is_rigid(self) -> NDArray[np.bool_]:
        return np.asarray(self.can_take.sum(axis=1) == 1)


def cut_pieces(book: Book, limits: Limits) -> Pieces:
    tight = tight_items(book, limits)
    first, last, gross = book.column("earliest_slot"), book.column("latest_slot"), book.is_gross
    kept = set(range(len(SLOTS))) if tight.any() else useful_slots(first, last, gross)
    part = _parts(tight, (last > first) & ~tight)
    manner = (first * len(SLOTS) + last) * 4 + gross * 2
    if (limits.in_currency >= 0).any():
        manner += book.cash_currency == book.target  # one limit for all of a piece
    met = np.flatnonzero(np.bincount(manner, minlength=1))
    dense = np.zeros(len(SLOTS) ** 2 * 4, dtype=np.int64)
    dense[met] = np.arange(len(met))
    kind = book.bundle * max(len(met), 1) + dense[manner]
    of_item, first_item, count = _numbered(kind, part)
    size = len(first_item)
    first, last = first[first_item], last[first_item]
    useful = np.isin(_SLOT_NUMBERS, list(kept))
    can = (first[:, None] <= _SLOT_NUMBERS) & (last[:, None] >= _SLOT_NUMBERS)
    can &= useful | (first == last)[:, None]
    total = {c: _summed(of_item, book.column(c), size) for c in ("value_minor", "cash_out_minor")}
    return Pieces(
        of_item=of_item,
        first_item=first_item,
        count=count,
        **total,
        debits=[(limit[first_item], _summed(of_item, owed, size)) for limit, owed in limits.debits(book)],
        is_tight=tight[first_item],
        is_gross=gross[first_item],
        can_take=can,
        **{name: getattr(book, name)[first_item] for name in _OF_BOOK},
    )


def useful_slots(first: Int64, last: Int64, is_gross: NDArray[np.bool_]) -> set[int]:
    """Windows that a best plan without binding limits needs.

    A window is left out when every item that may take it may also take one certain other window: moving all
    its content there opens no wire that is not paid for already, and nets at least as well.
    """
    distinct = np.flatnonzero(np.bincount((first * len(SLOTS) + last)[~is_gross], minlength=1)).tolist()
    ranges = [divmod(r, len(SLOTS)) for r in distinct]
    kept = {w for a, b in ranges for w in range(a, b + 1)}
    for slot in sorted(kept, reverse=True):
        users = [r for r in ranges if r[0] <= slot <= r[1]]
        if any(all(a <= other <= b for a, b in users) for other in kept - {slot}):
            kept.discard(slot)
    return kept


def _parts(tight: NDArray[np.bool_], flexible: NDArray[np.bool_]) -> Int64:
    """0 for aggregated items; those to be decided singly are numbered."""
    alone = tight | flexible if flexible.sum() <= MOST_FLEXIBLE else tight
    return np.asarray(np.where(alone, np.cumsum(alone), 0), dtype=np.int64)


def _numbered(kind: Int64, part: Int64) -> tuple[Int64, Int64, Int64]:
    """Piece of each item, first item and size of each piece; pieces in order of kind, then part."""
    if part.any():
        kind = np.unique(kind, return_inverse=True)[1] * (int(part.max()) + 1) + part
        _, kind = np.unique(kind, return_inverse=True)
    # The numbers are hardly more than the items, so that counting them is quicker than sorting.
    size = np.bincount(kind, minlength=1)
    of_item = (np.cumsum(size > 0) - 1)[kind]
    count = size[size > 0]
    first_item = np.empty(len(count), dtype=np.int64)
    first_item[of_item[::-1]] = np.arange(len(kind))[::-1]
    return of_item, first_item, count


def _summed(of_item: Int64, amount: Int64, count: int) -> Int64:
    total = np.zeros(count, dtype=np.int64)
    np.add.at(total, of_item, amount)
    return total
