"""What can be read back from the ledger: entries, transfers, and how far each pending one got."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from atlas_lib.ledger.database import Database, as_json
from atlas_lib.ledger.events import ENTRY_COLUMNS
from atlas_lib.ledger.postings import POSTED_KINDS
from atlas_lib.ledger.runs import positions_of

_TRANSFERS = """
  SELECT f.transfer_no, f.position AS entry_id, coalesce(t.transaction_id, '') AS transaction_id,
         coalesce(b.batch_id, '') AS batch_id, f.kind, f.pending_no, d.code AS debit_account, c.code AS credit_account,
         f.amount_minor, f.currency, e.ts_us AS timestamp, e.event_type, e.details,
         e.amount_minor AS entry_minor, e.currency AS entry_currency
  FROM transfer f JOIN event e ON e.position = f.position
  JOIN account d ON d.account_no = f.debit_account JOIN account c ON c.account_no = f.credit_account
  LEFT JOIN txn t ON t.txn_no = f.txn_no LEFT JOIN batch b ON b.batch_no = e.batch_no """
_OF_TRANSACTIONS = """
  SELECT position FROM event WHERE txn_no IN (
    SELECT txn_no FROM txn WHERE transaction_id IN (SELECT value FROM texts(?)))"""
_OF_BATCHES = positions_of(
    "batch_run", "batch_no IN (SELECT batch_no FROM batch WHERE batch_id IN (SELECT value FROM texts(?)))"
)
_OF_BATCH_NAMES = positions_of(
    "batch_run", "batch_no IN (SELECT batch_no FROM batch WHERE batch_id >= ? AND batch_id < ?)"
)
_WHOLE = dict.fromkeys(("transfer_no", "entry_id", "pending_no", "amount_minor", "entry_minor"), "int64")


def read_events(
    database: Database,
    transaction_ids: Iterable[str] | None,
    batch_ids: Iterable[str] | None,
    event_types: Iterable[str] | None,
    id_prefix: str,
    batch_prefix: str,
) -> pd.DataFrame:
    """See `Ledger.events`."""
    about: list[str] = []
    parameters: list[Any] = []
    if id_prefix:
        numbers = "SELECT txn_no FROM txn WHERE transaction_id >= ? AND transaction_id < ?"
        about.append(f"entry_id IN (SELECT position FROM event WHERE txn_no IN ({numbers}))")  # noqa: S608
        parameters += [id_prefix, id_prefix + "\U0010ffff"]
    if batch_prefix:
        about.append(f"entry_id IN ({_OF_BATCH_NAMES})")
        parameters += [batch_prefix, batch_prefix + "\U0010ffff"]
    for ids, positions in ((transaction_ids, _OF_TRANSACTIONS), (batch_ids, _OF_BATCHES)):
        if ids is not None:
            about.append(f"entry_id IN ({positions})")
            parameters.append(as_json(ids))
    conditions = [f"({' OR '.join(about)})"] if about else []
    if event_types is not None:
        conditions.append("event_type IN (SELECT value FROM texts(?))")
        parameters.append(as_json(event_types))
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    return as_entries(database.rows(f"SELECT * FROM ledger_entry {where} ORDER BY entry_id", parameters))  # noqa: S608


def read_batch_names(database: Database, prefix: str) -> list[str]:
    """See `Ledger.batch_names`."""
    sql = "SELECT batch_id FROM batch WHERE batch_id >= ? AND batch_id < ? ORDER BY batch_id"
    return [str(row[0]) for row in database.rows(sql, (prefix, prefix + "\U0010ffff"))]


def read_newest(database: Database, event_type: str, transaction_ids: Iterable[str]) -> pd.DataFrame:
    """See `Ledger.newest`."""
    sql = """
      SELECT * FROM ledger_entry WHERE entry_id IN (
        SELECT max(e.position) FROM event e JOIN txn t ON t.txn_no = e.txn_no
        WHERE e.event_type = ? AND t.transaction_id IN (SELECT value FROM texts(?)) GROUP BY e.txn_no)
      ORDER BY entry_id"""
    return as_entries(database.rows(sql, (event_type, as_json(transaction_ids))))


def read_transfers(database: Database, transaction_ids: Iterable[str] | None, open_only: bool) -> pd.DataFrame:
    """See `Ledger.transfers`."""
    conditions, parameters = ["1 = 1"], []
    if transaction_ids is not None:
        conditions.append("f.txn_no IN (SELECT txn_no FROM txn WHERE transaction_id IN (SELECT value FROM texts(?)))")
        parameters.append(as_json(transaction_ids))
    if open_only:
        closed = "SELECT 1 FROM transfer x WHERE x.pending_no = f.transfer_no"
        conditions.append(f"f.kind = 'pending' AND NOT EXISTS ({closed})")
    sql = f"{_TRANSFERS} WHERE {' AND '.join(conditions)} ORDER BY f.transfer_no"
    found = database.frame(sql, parameters)
    found["pending_no"] = found["pending_no"].fillna(0)
    return _with_instants(found, _WHOLE)


def read_claims(database: Database, transaction_ids: Iterable[str]) -> pd.DataFrame:
    """See `Ledger.claims`."""
    sql = """
      SELECT t.transaction_id, coalesce(b.batch_id, '') AS batch_id,
             CASE WHEN c.kind IS NULL THEN 'in_flight' WHEN c.kind = 'void' THEN 'voided'
                  WHEN r.transfer_no IS NULL THEN 'settled' ELSE 'reversed' END AS status
      FROM txn t JOIN transfer f ON f.txn_no = t.txn_no AND f.kind = 'pending'
      JOIN event e ON e.position = f.position
      LEFT JOIN batch b ON b.batch_no = e.batch_no LEFT JOIN transfer c ON c.pending_no = f.transfer_no
      LEFT JOIN transfer r ON r.pending_no = c.transfer_no
      WHERE t.transaction_id IN (SELECT value FROM texts(?)) ORDER BY f.transfer_no"""
    return database.frame(sql, (as_json(transaction_ids),)).astype("str")


def posted_pages(database: Database, size: int) -> Iterator[pd.DataFrame]:
    """Posted transfers with their accounts and event type, oldest first, `size` at a time; an export reads these."""
    start, sql = (
        0,
        f"{_TRANSFERS} WHERE f.transfer_no > ? AND f.kind IN {POSTED_KINDS} ORDER BY f.transfer_no LIMIT ?",
    )
    while len(page := database.frame(sql, (start, size))):
        start = int(page["transfer_no"].iloc[-1])
        page["pending_no"] = page["pending_no"].fillna(0)
        yield _with_instants(page, _WHOLE)


def posted_days(database: Database) -> tuple[pd.Timestamp, pd.Timestamp]:
    """The first and the last day (UTC) with a posting; the epoch for a ledger without."""
    sql = (
        "SELECT coalesce(min(e.ts_us), 0), coalesce(max(e.ts_us), 0) FROM transfer f "  # noqa: S608
        f"JOIN event e ON e.position = f.position WHERE f.kind IN {POSTED_KINDS}"
    )
    first, last = database.row(sql) or (0, 0)
    return pd.Timestamp(first, unit="us", tz="UTC").normalize(), pd.Timestamp(last, unit="us", tz="UTC").normalize()


def as_entries(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    """Rows of the view `ledger_entry` as ENTRY_COLUMNS, typed as they are made: a trail has few rows and many readers."""
    values = list(zip(*rows, strict=True)) or [()] * len(ENTRY_COLUMNS)
    columns: dict[str, Any] = {}
    for name, column in zip(ENTRY_COLUMNS, values, strict=True):
        if name == "timestamp":
            columns[name] = pd.DatetimeIndex(np.array(column, "int64").view("datetime64[us]")).tz_localize("UTC")
        else:
            columns[name] = np.array(column, "int64") if name in _WHOLE else pd.array(column, dtype="str")
    return pd.DataFrame(columns)


def _with_instants(frame: pd.DataFrame, whole: dict[str, str]) -> pd.DataFrame:
    """Microseconds as UTC instants, and whole numbers as int64 also where there are no rows.

    Built in one go: a trail of a few rows would spend most of its time in changing a frame column by column.
    """
    columns: dict[str, Any] = {str(c): frame[c] for c in frame.columns}
    columns |= {c: frame[c].to_numpy("int64") for c in whole}
    stamps = frame["timestamp"].to_numpy("int64").view("datetime64[us]")
    columns["timestamp"] = pd.DatetimeIndex(stamps).tz_localize("UTC")
    return pd.DataFrame(columns, index=frame.index)
