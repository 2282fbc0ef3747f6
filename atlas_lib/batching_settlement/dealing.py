"""From shares to whole payments: what a solved programme suggests for every piece."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from atlas_lib.batching_settlement.book import DEFERRED, GROSS, NETTED
from atlas_lib.batching_settlement.bound import Floats
from atlas_lib.core.money import Int64

if TYPE_CHECKING:
    from atlas_lib.batching_settlement.relaxation import Relaxation

_IN_PART = 1e-3


def suggestions(found: Relaxation) -> list[tuple[Int64, Int64]]:
    """Slot and mode of every piece: where most of it lies; and again with everything waiting that waits in part."""
    pieces = found.pieces
    slot, mode = found.fixed_slot.copy(), np.where(pieces.is_gross, GROSS, NETTED)
    in_part = []
    for k, options in found.options.items():
        held = [(x.varValue or 0.0) if x is not None else 0.0 for _, _, x in options]
        if options[-1][2] is None:
            held[-1] = 1.0 - sum(held)
        best = int(np.argmax(np.round(held, 6)))
        slot[k], mode[k] = options[best][0], options[best][1]
        if options[-1][0] == DEFERRED != slot[k] and held[-1] > _IN_PART:
            in_part.append(k)
    for members, shares in found.classes:
        slot[members] = dealt(pieces.value_minor[members].astype(float), shares)
    if not in_part:
        return [(slot, mode)]
    more = slot.copy()
    more[in_part] = DEFERRED
    return [(slot, mode), (more, mode)]


def dealt(value: Floats, shares: list[tuple[int, Any]]) -> Int64:
    """Slots for the pieces of a class so that each slot gets its share of the value, as near as pieces allow."""
    slot = np.full(len(value), max(shares, key=lambda s: (s[1].varValue or 0.0, -s[0]))[0], dtype=np.int64)
    left = np.argsort(-value, kind="stable")
    for window, share in sorted(shares, key=lambda s: s[1].varValue or 0.0)[:-1]:
        taken = _filled_up(value[left], (share.varValue or 0.0) * float(value.sum()))
        slot[left[taken]] = window
        left = left[~taken]
    return slot


def _filled_up(value: Floats, goal: float) -> NDArray[np.bool_]:
    """Values, given in falling order, taken as long as they fit; the small ones at the end fill the rest."""
    taken, start = np.zeros(len(value), dtype=bool), 0
    while (start := start + int(np.searchsorted(-value[start:], -goal))) < len(value):
        count = int(np.searchsorted(np.cumsum(value[start:]), goal, side="right"))
        taken[start : start + count] = True
        goal -= float(value[start : start + count].sum())
        start += max(count, 1)
    return taken
