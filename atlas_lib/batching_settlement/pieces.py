"""Items aggregated to the pieces that the model decides on: the fewer, the faster, and nothing is lost by it.

Items with the same payer, payee, counterparty and window range are one piece. Splitting such a piece
between pool and wire never pays: with both open, moving all of it into the pool saves the wire, and net
conversion is never dearer than conversion on its own. Splitting it over windows may pay (it balances
currencies, it fits under a limit), so items that a limit could bind, and in small books items with a choice
of window, are pieces of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from atlas_lib.batching_settlement.book import Book
from atlas_lib.batching_settlement.items import SLOTS
from atlas_lib.batching_settlement.limits import Limits, tight_items
from atlas_lib.core.money import Int64

MOST_TIGHT = 4000  # items under a limit decided one by one; beyond, several of like size together
MOST_FLEXIBLE = 300  # items with a choice of window decided one by one; beyond, whole pieces


@dataclass(frozen=True)
class Pieces:
    """`of_item` says in which piece an item is; `slots` which windows a piece may take."""

    of_item: Int64
    first_item: Int64
    count: Int64
    value_minor: Int64
    cash_out_minor: Int64
    net_debit_minor: Int64
    is_tight: NDArray[np.bool_]
    slots: list[list[int]]


def cut_pieces(book: Book, limits: Limits) -> Pieces:
    tight = tight_items(book, limits)
    first, last = book.column("earliest_slot"), book.column("latest_slot")
    kept = set(range(len(SLOTS))) if tight.any() else useful_slots(first, last, book.is_gross)
    ranges = list(zip(first.tolist(), last.tolist(), strict=True))
    choices = {(a, b): [w for w in range(a, b + 1) if w in kept or a == b] for a, b in set(ranges)}
    has_choice = np.array([len(choices[r]) > 1 for r in ranges], dtype=bool)
    part = _parts(book, tight, has_choice & ~tight)
    keys = pd.DataFrame({"bundle": book.bundle, "first": first, "last": last, "gross": book.is_gross, "part": part})
    of_item = np.asarray(keys.groupby(list(keys.columns), sort=True).ngroup(), dtype=np.int64)
    first_item = np.unique(of_item, return_index=True)[1].astype(np.int64)
    count = np.bincount(of_item, minlength=len(first_item)).astype(np.int64)
    total = {
        c: _summed(of_item, book.column(c), len(first_item))
        for c in ("value_minor", "cash_out_minor", "net_debit_minor")
    }
    return Pieces(
        of_item=of_item,
        first_item=first_item,
        count=count,
        value_minor=total["value_minor"],
        cash_out_minor=total["cash_out_minor"],
        net_debit_minor=total["net_debit_minor"],
        is_tight=tight[first_item],
        slots=[choices[ranges[i]] for i in first_item],
    )


def useful_slots(first: Int64, last: Int64, is_gross: NDArray[np.bool_]) -> set[int]:
    """Windows that a best plan without binding limits needs.

    A window is left out when every item that may take it may also take one certain other window: moving all
    its content there opens no wire that is not paid for already, and nets at least as well.
    """
    ranges = set(zip(first[~is_gross].tolist(), last[~is_gross].tolist(), strict=True))
    kept = {w for a, b in ranges for w in range(a, b + 1)}
    for slot in sorted(kept, reverse=True):
        users = [r for r in ranges if r[0] <= slot <= r[1]]
        if any(all(a <= other <= b for a, b in users) for other in kept - {slot}):
            kept.discard(slot)
    return kept


def _parts(book: Book, tight: NDArray[np.bool_], flexible: NDArray[np.bool_]) -> Int64:
    """0 for aggregated items; those to be decided singly are numbered, a few of like size together if many."""
    part = np.zeros(len(book), dtype=np.int64)
    rows = np.flatnonzero(tight)
    order = np.lexsort((rows, book.column("value_minor")[rows]))
    part[rows[order]] = 1 + np.arange(len(rows)) * min(MOST_TIGHT, len(rows)) // max(len(rows), 1)
    loose = np.flatnonzero(flexible)
    if len(loose) <= MOST_FLEXIBLE:
        part[loose] = 1 + MOST_TIGHT + np.arange(len(loose))
    return part


def _summed(of_item: Int64, amount: Int64, count: int) -> Int64:
    total = np.zeros(count, dtype=np.int64)
    np.add.at(total, of_item, amount)
    return total
