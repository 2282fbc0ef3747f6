"""What an event is: its types, its fields, and which of them are hashed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from atlas_lib.core.errors import LedgerError
from atlas_lib.ledger.canonical import hash_rows, nullable_texts, repeated
from atlas_lib.ledger.privacy import mask_details

EVENT_TYPES = (
    "RUN_OPENED",
    "TRANSACTION_SUBMITTED",
    "TRANSACTION_DEDUPED",
    "BATCH_CREATED",
    "BATCH_OPTIMIZED",
    "CONSENSUS_SUBMITTED",
    "CONSENSUS_ACHIEVED",
    "SETTLEMENT_INITIATED",
    "SETTLEMENT_CONFIRMED",
    "SETTLEMENT_FAILED",
    "SETTLEMENT_REVERSED",
    "CONTRACT_PURCHASED",
    "CONTRACT_MOVE_ACCEPTED",
    "CONTRACT_MOVE_REJECTED",
    "PAYOUT_JUDGED",
    "PAYOUT_PREPARED",
    "PAYOUT_APPROVED",
    "PAYOUT_REFUSED",
    "PAYOUT_WITHDRAWN",
    "PAYOUT_REQUESTED",
    "PAYOUT_EXECUTED",
    "PAYOUT_FAILED",
    "PAYOUT_RETURNED",
    "MERCHANT_BLOCKED",
    "MERCHANT_UNBLOCKED",
    "RESERVE_HELD",
    "RESERVE_RELEASED",
    "RESERVE_DRAWN",
    "RESERVE_POLICY_SET",
    "ALERT_RAISED",
    "ALERT_CLEARED",
    "TRANSFER_EXPIRED",
    "MATCH_FORCED",
    "MATCH_UNDONE",
    "BREAK_DISPUTED",
    "BREAK_RECHECK_ASKED",
    "BREAK_WRITTEN_OFF",
    "FRAUD_JUDGED",
)
# At most one of each per transaction, whoever writes it.
ONCE_PER_TRANSACTION = (
    "TRANSACTION_SUBMITTED",
    "SETTLEMENT_CONFIRMED",
    "SETTLEMENT_REVERSED",
    "CONTRACT_PURCHASED",
)
EVENT_COLUMNS = (
    "transaction_id",
    "batch_id",
    "event_type",
    "amount_minor",
    "currency",
    "timestamp",
    "actor",
    "details",
)
ENTRY_COLUMNS = ("entry_id", *EVENT_COLUMNS)
EVENT_TEXTS = ("transaction_id", "batch_id", "event_type", "currency", "actor", "details")


def shape_events(events: pd.DataFrame, writer: str) -> pa.RecordBatch:
    """The event columns by name and type; empty ids become absent, actor defaults to the writer.

    Returns EVENT_COLUMNS with `timestamp` as whole microseconds in `ts_us`.
    Raises LedgerError for a missing column or an unknown event type.
    """
    missing = [c for c in EVENT_COLUMNS if c not in events.columns and c not in ("actor", "details", "batch_id")]
    if missing:
        raise LedgerError(
            "Events lack columns", expected=", ".join(EVENT_COLUMNS), found="without " + ", ".join(missing)
        )
    defaults = {"batch_id": None, "actor": writer, "details": "{}"}
    texts = {
        c: nullable_texts(events[c]) if c in events.columns else repeated(defaults[c], len(events)) for c in EVENT_TEXTS
    }
    unknown = sorted(set(map(str, texts["event_type"].unique().to_pylist())) - set(EVENT_TYPES))
    if unknown:
        raise LedgerError("Unknown event type", expected=", ".join(EVENT_TYPES), found=", ".join(unknown))
    texts["details"] = mask_details(texts["details"])
    numbers = {"amount_minor": events["amount_minor"].to_numpy("int64"), "ts_us": microseconds(events["timestamp"])}
    return pa.RecordBatch.from_pydict(texts | {name: pa.array(column) for name, column in numbers.items()})


def microseconds(timestamps: pd.Series) -> np.ndarray:
    """UTC instants as microseconds since 1970."""
    stamped = pd.to_datetime(timestamps, utc=True).astype("datetime64[us, UTC]")
    if stamped.hasnans:
        raise LedgerError("An event has no timestamp", remedy="give every event its time; the clock is never read")
    return stamped.astype("int64").to_numpy()


def event_leaves(positions: Iterable[int], events: pa.RecordBatch | Mapping[str, Sequence[Any]]) -> bytes:
    """RFC 6962 leaf of every event, one after the other: SHA-256(00, position, amount, time, then every text framed).

    The ids are hashed as text, not by their internal number, so that the leaf also covers the lookup tables.
    """
    return hash_rows([positions, events["amount_minor"], events["ts_us"]], [events[c] for c in EVENT_TEXTS])
