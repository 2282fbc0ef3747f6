"""The part of the pool that a best plan contains whatever else is decided: found without a solver.

Take the pieces bound to one window and under no limit; their bundles connect accounts. Where a connected
part has at least as many bundles as accounts, pooling all of it is best. Suppose some of its accounts U are
not in the pool: then all bundles touching U go direct. Following a spanning tree towards the pool (or round
the cycle) gives every account of U a bundle of its own, whose wire costs at least the leg that replaces it
(a leg with one transaction replaces a wire with one). Pooling them adds no wire cost, converting in the pool
is never dearer than converting alone, and limits do not ask how a payment is made.
So the legs of such a part are open; a piece between two open legs goes through the pool; and where the legs
carry two transactions for certain, only its currencies and windows matter, not its parties.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlas_lib.batching_settlement.book import Book
from atlas_lib.batching_settlement.items import SLOTS
from atlas_lib.batching_settlement.pieces import Pieces
from atlas_lib.core.money import Int64


@dataclass(frozen=True)
class Backbone:
    """`is_open`, `sure_count` by account and slot: leg open, transactions it carries in any case.

    `is_settled`: pieces whose window and mode follow; `is_classed`: flexible pieces of which only currencies and
    windows matter.
    """

    is_open: NDArray[np.bool_]
    sure_count: Int64
    is_settled: NDArray[np.bool_]
    is_classed: NDArray[np.bool_]


def find_backbone(book: Book, pieces: Pieces) -> Backbone:
    first_slot = np.array([s[0] for s in pieces.slots], dtype=np.int64)
    choices = np.array([len(s) for s in pieces.slots], dtype=np.int64)
    payer, payee = book.payer[pieces.first_item], book.payee[pieces.first_item]
    free = ~pieces.is_tight & ~book.is_gross[pieces.first_item]
    rigid = free & (choices == 1)
    is_open = np.zeros((len(book.accounts), len(SLOTS)), dtype=bool)
    for slot in range(len(SLOTS)):
        here = rigid & (first_slot == slot)
        bundles = np.unique(book.bundle[pieces.first_item[here]], return_index=True)[1]
        is_open[:, slot] = _dense_parts(payer[here][bundles], payee[here][bundles], len(book.accounts))
    is_settled = rigid & is_open[payer, first_slot] & is_open[payee, first_slot]
    sure = np.zeros(is_open.shape, dtype=np.int64)
    for side in (payer, payee):
        np.add.at(sure, (side[is_settled], first_slot[is_settled]), pieces.count[is_settled])
    saturated = is_open & (sure > 1)
    between = saturated[payer] & saturated[payee]
    flexible = np.flatnonzero(free & (choices > 1))
    is_classed = np.zeros(len(choices), dtype=bool)
    is_classed[flexible] = [bool(between[k, pieces.slots[k]].all()) for k in flexible]
    return Backbone(is_open, sure, is_settled, is_classed)


def _dense_parts(left: Int64, right: Int64, count: int) -> NDArray[np.bool_]:
    """Nodes of connected parts with at least as many edges as nodes."""
    label = np.arange(count)
    while len(left):
        lowest = np.minimum(label[left], label[right])
        before = label.copy()
        np.minimum.at(label, left, lowest)
        np.minimum.at(label, right, lowest)
        label = label[label]
        if (label == before).all():
            break
    touched = np.unique(np.concatenate([left, right]))
    nodes = np.bincount(label[touched], minlength=count)
    edges = np.bincount(label[left], minlength=count)
    dense = np.zeros(count, dtype=bool)
    dense[touched] = (edges >= nodes)[label[touched]]
    return dense
