"""What an event is: its types, its fields, and the bytes that are hashed for it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from atlas_lib.core.errors import LedgerError
from atlas_lib.ledger.privacy import mask_details

EVENT_TYPES = (
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
_TEXTS = ("transaction_id", "batch_id", "event_type", "currency", "actor", "details")
_NULL = b"\xff\xff\xff\xff"
_SHORT_LENGTHS = [n.to_bytes(4, "big") for n in range(1024)]

Texts = Sequence[str | None]


def shape_events(events: pd.DataFrame, writer: str) -> pd.DataFrame:
    """The event columns in order and type; empty ids become NULL, actor defaults to the writer.

    Returns EVENT_COLUMNS with `timestamp` as int64 microseconds in `ts_us`.
    Raises LedgerError for a missing column or an unknown event type.
    """
    missing = [c for c in EVENT_COLUMNS if c not in events.columns and c not in ("actor", "details", "batch_id")]
    if missing:
        raise LedgerError(
            "Events lack columns", expected=", ".join(EVENT_COLUMNS), found="without " + ", ".join(missing)
        )
    unknown = sorted(set(events["event_type"].unique()) - set(EVENT_TYPES))
    if unknown:
        raise LedgerError("Unknown event type", expected=", ".join(EVENT_TYPES), found=", ".join(map(str, unknown)))
    defaults = {"batch_id": "", "actor": writer, "details": "{}"}
    full = events.assign(**{c: v for c, v in defaults.items() if c not in events.columns})
    texts = {c: nullable_text(full[c]) for c in _TEXTS}
    shaped = pd.DataFrame(texts | {"details": mask_details(texts["details"])}, dtype=object)
    return shaped.assign(amount_minor=full["amount_minor"].to_numpy("int64"), ts_us=microseconds(full["timestamp"]))


def nullable_text(values: pd.Series) -> list[str | None]:
    """Python texts with None for empty and missing ones."""
    texts = values.astype(object).to_numpy(copy=True)
    texts[(values.isna() | (values == "")).to_numpy(dtype=bool)] = None
    if not pd.api.types.is_string_dtype(values):
        return [None if v is None else str(v) for v in texts.tolist()]
    found: list[str | None] = texts.tolist()
    return found


def microseconds(timestamps: pd.Series) -> np.ndarray:
    """UTC instants as microseconds since 1970."""
    stamped = pd.to_datetime(timestamps, utc=True).astype("datetime64[us, UTC]")
    if stamped.hasnans:
        raise LedgerError("An event has no timestamp", remedy="give every event its time; the clock is never read")
    return stamped.astype("int64").to_numpy()


def frame_texts(values: Texts) -> list[bytes]:
    """Each text as a 4-byte length and its UTF-8 bytes, so that no two rows of fields run together."""
    distinct = dict.fromkeys(values)
    if len(distinct) * 2 > len(values):
        return [_framed(v) for v in values]
    framed = {text: _framed(text) for text in distinct}
    return [framed[v] for v in values]


def _framed(text: str | None) -> bytes:
    if text is None:
        return _NULL
    raw = text.encode()
    size = len(raw)
    return (_SHORT_LENGTHS[size] if size < 1024 else size.to_bytes(4, "big")) + raw


def frame_integers(*columns: Iterable[int]) -> list[bytes]:
    """Each row of whole numbers as 8 bytes per number, big-endian."""
    packed = np.column_stack([np.asarray(c, dtype=">i8") for c in columns]).astype(">i8")
    raw, width = packed.tobytes(), 8 * len(columns)
    return [raw[i : i + width] for i in range(0, len(raw), width)]


def event_leaves(positions: Iterable[int], events: pd.DataFrame | Mapping[str, Sequence[Any]]) -> list[bytes]:
    """RFC 6962 leaf of every event: SHA-256(00, position, amount, time, then every text framed).

    The ids are hashed as text, not by their internal number, so that the leaf also covers the lookup tables.
    """
    integers = frame_integers(positions, events["amount_minor"], events["ts_us"])
    texts = [frame_texts(as_list(events[c])) for c in _TEXTS]
    return hash_leaves([integers, *texts])


def as_list(values: pd.Series | Sequence[Any]) -> Sequence[Any]:
    return values.tolist() if isinstance(values, pd.Series) else values


def hash_leaves(fields: Sequence[Sequence[bytes]]) -> list[bytes]:
    sha256 = hashlib.sha256
    return [sha256(b"\x00" + b"".join(row)).digest() for row in zip(*fields, strict=True)]


def fingerprint_columns(*columns: pd.Series | Texts) -> str:
    """SHA-256 over columns of texts or whole numbers; the timestamps are left out by the caller."""
    digest = hashlib.sha256()
    for column in columns:
        values = column.tolist() if isinstance(column, pd.Series) else list(column)
        has_gaps = None in values
        texts = ["" if v is None else str(v) for v in values] if has_gaps else list(map(str, values))
        lengths = np.fromiter(map(len, texts), dtype=">i8", count=len(texts))
        if has_gaps:
            lengths[[v is None for v in values]] = -1
        digest.update(len(texts).to_bytes(8, "big") + lengths.tobytes())
        digest.update("".join(texts).encode())
    return digest.hexdigest()
