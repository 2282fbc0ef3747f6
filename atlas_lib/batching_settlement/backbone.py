"""The part of the pool that a best plan contains whatever else is decided: found without a solver.

Take the pieces bound to one window; their bundles connect accounts. Where a connected part has at least as
many bundles as accounts, pooling all of it is best. Suppose some of its accounts U are
not in the pool: then all bundles touching U go direct. Following a spanning tree towards the pool (or round
the cycle) gives every account of U a bundle of its own, whose wire costs at least the leg that replaces it
(a leg with one transaction replaces a wire with one). Pooling them adds no wire cost, converting in the pool
is never dearer than converting alone, and limits do not ask how a payment is made.
So the legs of such a part are open; a piece between two open legs goes through the pool; and where the legs
carry two transactions for certain, only its currencies and windows matter, not its parties.

The argument needs that the pieces are settled. A piece that a limit could leave unsettled is taken in where the
caller says so (`is_sure`); then leaving it unsettled may save a leg, which the bound takes into account.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlas_lib.batching_settlement.items import SLOTS
from atlas_lib.batching_settlement.pieces import Pieces
from atlas_lib.core.money import Int64


@dataclass(frozen=True)
class Backbone:
    """`is_open`, `sure_count` by account and slot: leg open, transactions it carries in any case.

    `is_free` by piece and slot: both legs open, so that going through the pool costs no wire.
    """

    is_open: NDArray[np.bool_]
    sure_count: Int64
    is_free: NDArray[np.bool_]
    is_counted: NDArray[np.bool_]

    @property
    def is_settled(self) -> NDArray[np.bool_]:
        """Pieces whose window and mode follow."""
        return np.asarray(self.is_counted & self.is_free.any(axis=1))


def find_backbone(pieces: Pieces, accounts: int, is_sure: NDArray[np.bool_]) -> Backbone:
    """The backbone that the rigid pieces among the sure ones make."""
    counted = is_sure & pieces.is_rigid & ~pieces.is_gross
    is_open = np.zeros((accounts, len(SLOTS)), dtype=bool)
    for slot in range(len(SLOTS)):
        here = np.flatnonzero(counted & pieces.can_take[:, slot])
        bundles = here[np.diff(pieces.bundle[here], prepend=-1) != 0]  # pieces come in order of their bundle
        is_open[:, slot] = _dense_parts(pieces.payer[bundles], pieces.payee[bundles], accounts)
    is_free = pieces.can_take & is_open[pieces.payer] & is_open[pieces.payee] & ~pieces.is_gross[:, None]
    sure = np.zeros(is_open.shape, dtype=np.int64)
    settled = np.flatnonzero(counted & is_free.any(axis=1))
    for side in (pieces.payer, pieces.payee):
        np.add.at(sure, (side[settled], pieces.first_slot[settled]), pieces.count[settled])
    return Backbone(is_open, sure, is_free, counted)


def _dense_parts(left: Int64, right: Int64, count: int) -> NDArray[np.bool_]:
    """Nodes of connected parts with at least as many edges as nodes."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(left):
        return np.zeros(count, dtype=bool)
    graph = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(count, count))
    label = connected_components(graph, directed=False)[1]
    nodes, edges = np.bincount(label), np.bincount(label[left], minlength=label.max() + 1)
    return np.asarray((edges >= nodes)[label])
