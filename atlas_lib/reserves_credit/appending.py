"""Deciding on what the ledger holds, and appending only if nobody wrote in between."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pandas as pd

from atlas_lib.core.errors import LedgerError
from atlas_lib.ledger.store import Ledger

_TRIES = 50
Booking = tuple[pd.DataFrame, pd.DataFrame]


def append_decided(ledger: Ledger, what: str, plan: Callable[[], Booking]) -> None:
    """Append the events and transfers that `plan` decides on what the ledger holds now; no events are no work.

    When somebody wrote in between, `plan` is asked again. Raises LedgerError when that never ends, or when the store
    refuses for another reason; whatever `plan` raises goes through, and nothing is appended.
    """
    for _ in range(_TRIES):
        head = ledger.head()
        events, transfers = plan()
        if events.empty:
            return
        digest = hashlib.sha256(f"{head.entries}|{head.block_hash}".encode()).hexdigest()[:32]
        try:
            ledger.append(f"{what}:{digest}", events, transfers, expected_head=head)
            return
        except LedgerError:
            if ledger.head() == head:
                raise
    raise LedgerError(
        "The ledger is too busy for this decision", where=what, remedy="try again when less is written to it"
    )
