"""The ledger store: bulk appends that happen once, and what can be read back.

Every append is one database transaction: its events, transfers, blocks of the chain and balances, or
nothing. An `append_id` says which piece of work it is; the same id with the same content is replayed and
writes nothing, with other content it is refused. Timestamps are no part of that comparison.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import pandas as pd

from atlas_lib.core.errors import LedgerError, StoreUnreachable
from atlas_lib.ledger import audit, books
from atlas_lib.ledger.books import AsOf
from atlas_lib.ledger.chain import Head, Receipt
from atlas_lib.ledger.database import Database, as_json
from atlas_lib.ledger.events import ENTRY_COLUMNS, fingerprint_columns, shape_events
from atlas_lib.ledger.intake import SUBMISSION_COLUMNS, decide, intake_events, shape_submissions
from atlas_lib.ledger.journal import Journal
from atlas_lib.ledger.postings import POSTED_KINDS, shape_transfers, to_postings
from atlas_lib.ledger.sqlite import SqliteDatabase

Outcome = TypeVar("Outcome")
_PATIENCE_SECONDS = 30
_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")
_BEFORE = " AND EXISTS (SELECT 1 FROM event e WHERE e.txn_no = txn.txn_no AND e.position < ?)"
_TRANSFERS = """
  SELECT f.transfer_no, f.position AS entry_id, coalesce(t.transaction_id, '') AS transaction_id,
         coalesce(b.batch_id, '') AS batch_id, f.kind, f.pending_no, d.code AS debit_account, c.code AS credit_account,
         f.amount_minor, f.currency, e.ts_us AS timestamp, e.details,
         e.amount_minor AS entry_minor, e.currency AS entry_currency
  FROM transfer f JOIN event e ON e.position = f.position
  JOIN account d ON d.account_no = f.debit_account JOIN account c ON c.account_no = f.credit_account
  LEFT JOIN txn t ON t.txn_no = f.txn_no LEFT JOIN batch b ON b.batch_no = e.batch_no """


def open_ledger(url: str, writer: str, clock_ns: Callable[[], int] = time.time_ns) -> Ledger:
    """The ledger at `sqlite:///path` or `postgresql://user@host/database`, made when it is new.

    `writer` signs what is appended.
    """
    return Ledger(open_database(url), writer, clock_ns)


def open_database(url: str) -> Database:
    """The database at an address; a password is never part of it (PGPASSWORD, or a file named by PGPASSFILE)."""
    if url.startswith(_SQLITE):
        return SqliteDatabase(Path(url[len(_SQLITE) :]))
    if url.startswith(_POSTGRES):
        from atlas_lib.ledger.postgres import PostgresDatabase

        return PostgresDatabase(url)
    raise LedgerError(
        "The ledger address is not understood", expected="sqlite:///path or postgresql://user@host/database",
        found=url.split("@")[-1],
    )  # fmt: skip


class Ledger:
    """An open ledger store; also the local commit service."""

    def __init__(self, database: Database, writer: str, clock_ns: Callable[[], int]) -> None:
        self._db, self._writer = database, writer
        self._ledger_id = str(database.value("SELECT ledger_id FROM ledger"))
        self._journal = Journal(database, self._ledger_id, writer, clock_ns)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    def intake(self, append_id: str, frame: pd.DataFrame, ttl_hours: int | None = None) -> pd.DataFrame:
        """Register submitted transactions once; says of every row whether it is new, and who came first.

        Columns in: transaction_id, idempotency_key (empty: the transaction id), fingerprint, origin (input file name),
        amount_minor, currency, timestamp. Columns out, same order: transaction_id, is_new, outcome (new, again,
        duplicate, conflict: see intake.py; new and again are accepted), first_transaction_id, first_origin,
        first_fingerprint. A key stops holding `ttl_hours` after its first use; a transaction id never does. The same
        rows under another `ttl_hours` are decided anew: what was accepted stays accepted.
        """
        if ttl_hours is not None:
            append_id = f"{append_id}, keys for {ttl_hours} h"
        rows = shape_submissions(frame)
        body = fingerprint_columns(*(rows[c] for c in (*SUBMISSION_COLUMNS, "amount_minor", "currency")))
        return self._asking(lambda: self._take_in(append_id, body, rows, ttl_hours))

    def _take_in(self, append_id: str, body: str, rows: pd.DataFrame, ttl_hours: int | None) -> pd.DataFrame:
        with self._db.writing():
            replay = self._journal.replay(append_id, body)
            decided = decide(rows, self._held(rows, append_id, replay), ttl_hours)
            if replay is None:
                numbers = self._journal.register(append_id, rows[decided["is_new"].to_numpy()])
                events = self._unrecorded(intake_events(rows, decided, self._writer))
                self._journal.write(append_id, body, events, shape_transfers(None, 0), numbers)
        return decided

    def append(
        self,
        append_id: str,
        events: pd.DataFrame,
        transfers: pd.DataFrame | None = None,
        expected_head: Head | None = None,
    ) -> Receipt:
        """Write events, and the transfers that belong to them, once.

        events: transaction_id, batch_id, event_type, amount_minor, currency, timestamp, actor, details.
        transfers: event (row number in events), debit_account, credit_account, amount_minor > 0, currency; optional
        kind (single, pending, post, void, reversal) and pending_no (the transfer that a post, void or reversal closes).
        Raises LedgerError: other content under this id, a once-only event written twice, another head than expected.
        """
        shaped = shape_events(events, self._writer)
        moved = shape_transfers(transfers, len(shaped))
        body = fingerprint_columns(*(shaped[c] for c in shaped.columns if c != "ts_us"), *(moved[c] for c in moved))

        def write() -> Receipt:
            with self._db.writing():
                replay = self._journal.replay(append_id, body)
                if replay is not None:
                    return replay
                if expected_head is not None and expected_head != self.head():
                    raise LedgerError(
                        "Another writer was faster", where=append_id, remedy="read again and decide again"
                    )
                return self._journal.write(append_id, body, shaped, moved)

        return self._asking(write)

    def receipt(self, append_id: str) -> Receipt | None:
        """What an append of this id wrote; None when there is none: a client that lost its answer asks here."""
        return self._journal.replay(append_id, None)

    def events(
        self,
        transaction_ids: Iterable[str] | None = None,
        batch_ids: Iterable[str] | None = None,
        event_types: Iterable[str] | None = None,
    ) -> pd.DataFrame:
        """Entries in order: all, or those of some transactions or batches, or of some types; columns ENTRY_COLUMNS."""
        about, parameters = [], []
        for table, key, ids in (("txn", "transaction_id", transaction_ids), ("batch", "batch_id", batch_ids)):
            if ids is not None:
                numbers = f"SELECT {table}_no FROM {table} WHERE {key} IN (SELECT value FROM texts(?))"  # noqa: S608
                about.append(f"entry_id IN (SELECT position FROM event WHERE {table}_no IN ({numbers}))")  # noqa: S608
                parameters.append(as_json(ids))
        conditions = [f"({' OR '.join(about)})"] if about else []
        if event_types is not None:
            conditions.append("event_type IN (SELECT value FROM texts(?))")
            parameters.append(as_json(event_types))
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        found = self._db.frame(f"SELECT * FROM ledger_entry {where} ORDER BY entry_id", parameters)  # noqa: S608
        return _with_instants(found, {"entry_id": "int64", "amount_minor": "int64"})[list(ENTRY_COLUMNS)]

    def event_counts(self) -> pd.Series:
        """How many entries there are of each event type."""
        found = self._db.frame("SELECT event_type, count(*) AS n FROM event GROUP BY event_type ORDER BY 1", ())
        return found.set_index("event_type")["n"].astype("int64")

    def transfers(self, transaction_ids: Iterable[str] | None = None, open_only: bool = False) -> pd.DataFrame:
        """Transfers of every kind with their accounts; `open_only`: pending ones neither posted nor voided."""
        conditions, parameters = ["1 = 1"], []
        if transaction_ids is not None:
            conditions.append(
                "f.txn_no IN (SELECT txn_no FROM txn WHERE transaction_id IN (SELECT value FROM texts(?)))"
            )
            parameters.append(as_json(transaction_ids))
        if open_only:
            closed = "SELECT 1 FROM transfer x WHERE x.pending_no = f.transfer_no"
            conditions.append(f"f.kind = 'pending' AND NOT EXISTS ({closed})")
        sql = f"{_TRANSFERS} WHERE {' AND '.join(conditions)} ORDER BY f.transfer_no"
        found = self._db.frame(sql, parameters)
        found["pending_no"] = found["pending_no"].fillna(0)
        whole = dict.fromkeys(("transfer_no", "entry_id", "pending_no", "amount_minor", "entry_minor"), "int64")
        return _with_instants(found, whole)

    def claims(self, transaction_ids: Iterable[str]) -> pd.DataFrame:
        """Every pending transfer of these transactions and how it ended: in_flight, settled, voided or reversed.

        Columns transaction_id, batch_id, status, oldest first; a transaction has at most one in flight or settled.
        """
        sql = """
          SELECT t.transaction_id, coalesce(b.batch_id, '') AS batch_id,
                 CASE WHEN c.kind IS NULL THEN 'in_flight' WHEN c.kind = 'void' THEN 'voided'
                      WHEN r.transfer_no IS NULL THEN 'settled' ELSE 'reversed' END AS status
          FROM txn t JOIN transfer f ON f.txn_no = t.txn_no AND f.kind = 'pending'
          JOIN event e ON e.position = f.position
          LEFT JOIN batch b ON b.batch_no = e.batch_no LEFT JOIN transfer c ON c.pending_no = f.transfer_no
          LEFT JOIN transfer r ON r.pending_no = c.transfer_no
          WHERE t.transaction_id IN (SELECT value FROM texts(?)) ORDER BY f.transfer_no"""
        return self._db.frame(sql, (as_json(transaction_ids),)).astype("str")

    def postings(self, transaction_ids: Iterable[str] | None = None) -> pd.DataFrame:
        """Debits and credits of the posted transfers: two rows each, zero-sum per entry and currency."""
        found = self.transfers(transaction_ids)
        return to_postings(found[found["kind"].isin(POSTED_KINDS)])

    def balances(self, as_of: AsOf | None = None) -> pd.DataFrame:
        """account, currency, debit_minor, credit_minor, balance_minor = debit - credit; now, or as of a time.

        `as_of`: a day counts to its end (UTC), an instant up to and with itself; it is the events' own time that counts.
        """
        return books.read_balances(self._db, as_of)

    def trial_balance(self, as_of: AsOf | None = None) -> pd.DataFrame:
        """Every account that was posted to until then; per currency the debits equal the credits."""
        found = self.balances(as_of)
        return found[(found["debit_minor"] != 0) | (found["credit_minor"] != 0)].reset_index(drop=True)

    def head(self) -> Head:
        """The end of the chain; keep it outside the store to make a cut tail visible."""
        return self._journal.head()

    def verify(self, trusted: Sequence[Head] = ()) -> pd.DataFrame:
        """Recompute everything; findings (entry_id, finding, detail), empty when intact. See audit.py.

        `trusted`: heads kept outside the store; without one, a cut tail or a rewritten chain cannot be seen.
        """
        return audit.verify(self._db, self._ledger_id, trusted)

    def commit_once(self, key: str, value: str) -> tuple[bool, str]:
        """Compare-and-set: (True, value) when stored now, (False, the value that stands) otherwise."""
        with self._db.writing():
            stored = self._db.value("SELECT value FROM commitment WHERE commit_key = ?", (key,))
            if stored is None:
                self._db.insert("commitment", [[key], [value]])
                return True, value
        return False, str(stored)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is written inside, intakes, appends and commitments, becomes one database transaction: all or nothing."""
        with self._db.writing():
            yield

    def last_committed(self, prefix: str) -> str | None:
        """The value under the highest key, in the order of its bytes, that starts with `prefix`."""
        sql = "SELECT value FROM commitment WHERE commit_key >= ? AND commit_key < ? ORDER BY commit_key DESC LIMIT 1"
        found = self._db.value(sql, (prefix, prefix + "\U0010ffff"))
        return None if found is None else str(found)

    def committed(self, keys: Iterable[str]) -> dict[str, str]:
        """The values that stand under these keys."""
        sql = "SELECT commit_key, value FROM commitment WHERE commit_key IN (SELECT value FROM texts(?))"
        return dict(self._db.rows(sql, (as_json(keys),)))

    def _asking(self, work: Callable[[], Outcome]) -> Outcome:
        """Work that asks under its append id before it writes, so it can be done again when its answer was lost."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return work()
            except StoreUnreachable:
                if self._db.is_inside or time.monotonic() > deadline:
                    raise
                self._db.reconnect(deadline - time.monotonic())

    def _held(self, rows: pd.DataFrame, append_id: str, replay: Receipt | None) -> pd.DataFrame:
        """What earlier appends hold under these ids and keys, oldest first; later ones do not change a replay."""
        found = " UNION ".join(
            f"SELECT txn_no FROM txn WHERE {c} IN (SELECT value FROM texts(?))"  # noqa: S608
            for c in ("transaction_id", "idempotency_key")
        )
        sql = (
            "SELECT txn_no, transaction_id, idempotency_key, fingerprint, origin, submitted_us "  # noqa: S608
            f"FROM ({found}) AS held JOIN txn USING (txn_no) WHERE first_append <> ?{'' if replay is None else _BEFORE} ORDER BY 1"
        )
        ids, keys = (as_json(rows[c].dropna().unique()) for c in ("transaction_id", "idempotency_key"))
        since = () if replay is None else (replay.first_entry,)
        return self._db.frame(sql, (ids, keys, append_id, *since)).astype(object)

    def _unrecorded(self, events: pd.DataFrame) -> pd.DataFrame:
        """Without the duplicates that an earlier run recorded already."""
        repeats = events["event_type"] == "TRANSACTION_DEDUPED"
        if not repeats.any():
            return events
        known = self.events(events.loc[repeats, "transaction_id"].unique())
        known = known[known["event_type"] == "TRANSACTION_DEDUPED"]
        seen = pd.MultiIndex.from_frame(known[["transaction_id", "details"]])
        is_known = pd.MultiIndex.from_frame(events[["transaction_id", "details"]]).isin(seen)
        return events[~(repeats & is_known)].reset_index(drop=True)


def _with_instants(frame: pd.DataFrame, whole: dict[str, str]) -> pd.DataFrame:
    """Microseconds as UTC instants, and whole numbers as int64 also where there are no rows."""
    instants = pd.to_datetime(frame["timestamp"].astype("int64"), unit="us", utc=True).astype("datetime64[us, UTC]")
    return frame.assign(timestamp=instants).astype(whole)
