"""The ledger store: bulk appends that happen once, and what can be read back.

Every append is one database transaction: its events, transfers, blocks of the chain and balances, or
nothing. An `append_id` says which piece of work it is; the same id with the same content is replayed and
writes nothing, with other content it is refused. Timestamps are no part of that comparison.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from types import TracebackType

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from atlas_lib.core.errors import LedgerError
from atlas_lib.ledger import audit, books, reading
from atlas_lib.ledger.books import AsOf
from atlas_lib.ledger.canonical import fingerprint_columns
from atlas_lib.ledger.chain import Head, Receipt
from atlas_lib.ledger.database import Database, as_json
from atlas_lib.ledger.events import EVENT_TEXTS, shape_events
from atlas_lib.ledger.intake import SUBMISSION_COLUMNS, decide, intake_events, shape_submissions
from atlas_lib.ledger.journal import Body, Journal
from atlas_lib.ledger.postings import POSTED_KINDS, shape_transfers, to_postings
from atlas_lib.ledger.sqlite import SqliteDatabase
from atlas_lib.ledger.trail import About, read_trail

_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")
# + 0, or the smallest position is looked for from the first entry of the ledger on.
_FIRST_ENTRY = "SELECT min(e.position + 0) FROM event e WHERE e.txn_no = txn.txn_no"
_BEFORE = " AND EXISTS (SELECT 1 FROM event e WHERE e.txn_no = txn.txn_no AND e.position < ?)"


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
        self._db, self._writer, self._clock_ns = database, writer, clock_ns
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
        content = (*SUBMISSION_COLUMNS, "amount_minor", "currency")
        body = cache(lambda: fingerprint_columns(*(rows[c] for c in content)))
        return self._db.patiently(lambda: self._take_in(append_id, body, rows, ttl_hours))

    def _take_in(self, append_id: str, body: Body, rows: pd.DataFrame, ttl_hours: int | None) -> pd.DataFrame:
        with self._db.writing():
            replay = self._journal.replay(append_id, body)
            decided = decide(rows, self._held(rows, append_id, replay), ttl_hours)
            if replay is None:
                place = self._journal.place()
                self._journal.register(append_id, rows[decided["is_new"].to_numpy()])
                events = self._unrecorded(intake_events(rows, decided, self._writer))
                self._journal.write(append_id, body, events, shape_transfers(None, 0), place)
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
        content = (*EVENT_TEXTS, "amount_minor")
        body = cache(lambda: fingerprint_columns(*(shaped[c] for c in content), *(moved[c] for c in moved)))

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

        return self._db.patiently(write)

    def receipt(self, append_id: str) -> Receipt | None:
        """What an append of this id wrote; None when there is none: a client that lost its answer asks here."""
        return self._journal.replay(append_id, None)

    def events(
        self,
        transaction_ids: Iterable[str] | None = None,
        batch_ids: Iterable[str] | None = None,
        event_types: Iterable[str] | None = None,
        id_prefix: str = "",
        batch_prefix: str = "",
    ) -> pd.DataFrame:
        """Entries in order: all, or those of some transactions or batches, or of some types; columns ENTRY_COLUMNS.

        `id_prefix`: those of transactions whose id begins with it, by index (`alert:`, `payout:`); types alone read all.
        `batch_prefix`: the same for batches (`PAY-20261102-`).
        """
        return reading.read_events(self._db, transaction_ids, batch_ids, event_types, id_prefix, batch_prefix)

    def batch_names(self, prefix: str) -> list[str]:
        """The ids of all batches that begin so, in order; no event is read."""
        return reading.read_batch_names(self._db, prefix)

    def newest(self, event_type: str, transaction_ids: Iterable[str]) -> pd.DataFrame:
        """The last entry of this type of each of these transactions; columns ENTRY_COLUMNS."""
        return reading.read_newest(self._db, event_type, transaction_ids)

    def event_counts(self) -> pd.Series:
        """How many entries there are of each event type."""
        found = self._db.frame("SELECT event_type, count(*) AS n FROM event GROUP BY event_type ORDER BY 1", ())
        return found.set_index("event_type")["n"].astype("int64")

    def event_times(self) -> pd.Series:
        """When the newest entry of each event type was made."""
        found = self._db.frame("SELECT event_type, max(ts_us) AS t FROM event GROUP BY event_type ORDER BY 1", ())
        return pd.to_datetime(found.set_index("event_type")["t"].astype("int64"), unit="us", utc=True)

    def transfers(self, transaction_ids: Iterable[str] | None = None, open_only: bool = False) -> pd.DataFrame:
        """Transfers of every kind with their accounts; `open_only`: pending ones neither posted nor voided."""
        return reading.read_transfers(self._db, transaction_ids, open_only)

    def overdue(self, as_of: AsOf, timeout_hours: float) -> pd.DataFrame:
        """Pending transfers that nobody closed in time: columns of `transfers`."""
        latest = pd.Timestamp(as_of) - pd.Timedelta(hours=timeout_hours)
        waiting = self.transfers(open_only=True)
        return waiting[waiting["timestamp"] < latest].reset_index(drop=True)

    def expire(self, append_id: str, overdue: pd.DataFrame, timestamp: pd.Timestamp) -> Receipt:
        """Void overdue transfers: one TRANSFER_EXPIRED each; what it was about may then start again.

        Ask the rail first: what was paid after all must be posted, not expired.
        """
        facts = [f'{{"pending_no": {n}}}' for n in overdue["transfer_no"]]
        events = overdue.assign(event_type="TRANSFER_EXPIRED", timestamp=timestamp, details=facts)
        voided = overdue.assign(event=range(len(overdue)), kind="void", pending_no=overdue["transfer_no"])
        return self.append(append_id, events, voided)

    def trail(self, about: About, name: str, limit: int = 10_000) -> pd.DataFrame:
        """Everything about a transaction, batch, merchant or actor, in order; columns ENTRY_COLUMNS. See trail.py."""
        return reading.as_entries(read_trail(self._db, about, name, limit))

    def posted_pages(self, size: int) -> Iterator[pd.DataFrame]:
        """Posted transfers with their accounts and event type, oldest first, `size` at a time; an export reads these."""
        return reading.posted_pages(self._db, size)

    def posted_days(self) -> tuple[pd.Timestamp, pd.Timestamp]:
        """The first and the last day (UTC) with a posting; the epoch for a ledger without."""
        return reading.posted_days(self._db)

    def claims(self, transaction_ids: Iterable[str]) -> pd.DataFrame:
        """Every pending transfer of these transactions and how it ended: in_flight, settled, voided or reversed.

        Columns transaction_id, batch_id, status, oldest first; a transaction has at most one in flight or settled.
        """
        return reading.read_claims(self._db, transaction_ids)

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

    def today(self) -> date:
        """The day by the clock that the ledger was opened with (UTC): what is dated after it was mistyped."""
        return datetime.fromtimestamp(self._clock_ns() / 1e9, UTC).date()

    def verify(self, trusted: Sequence[Head] = ()) -> pd.DataFrame:
        """Recompute everything; findings (entry_id, finding, detail), empty when intact. See audit.py.

        `trusted`: heads kept outside the store; without one, a cut tail or a rewritten chain cannot be seen.
        """
        return audit.verify(self._db, self._ledger_id, trusted)

    def commit_once(self, key: str, value: str) -> tuple[bool, str]:
        """Compare-and-set: (True, value) when stored now, (False, the value that stands) otherwise."""

        def decide_once() -> tuple[bool, str]:
            with self._db.writing():
                stored = self._db.value("SELECT value FROM commitment WHERE commit_key = ?", (key,))
                if stored is None:
                    self._db.insert("commitment", [[key], [value]])
                    return True, value
            return False, str(stored)

        return self._db.patiently(decide_once)

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

    def _held(self, rows: pd.DataFrame, append_id: str, replay: Receipt | None) -> pd.DataFrame:
        """What earlier appends hold under these ids and keys, oldest first; later ones do not change a replay."""
        found = " UNION ".join(
            f"SELECT txn_no FROM txn WHERE {c} IN listed(?)"  # noqa: S608
            for c in ("transaction_id", "idempotency_key")
        )
        sql = (
            "SELECT txn_no, transaction_id, idempotency_key, fingerprint, origin, submitted_us "  # noqa: S608
            f"FROM ({found}) AS held JOIN txn USING (txn_no) WHERE first_append <> ?{'' if replay is None else _BEFORE} "
            f"ORDER BY ({_FIRST_ENTRY})"
        )
        ids, keys = (as_json(rows[c]) for c in ("transaction_id", "idempotency_key"))
        since = () if replay is None else (replay.first_entry,)
        return self._db.frame(sql, (ids, keys, append_id, *since)).astype(object)

    def _unrecorded(self, events: pa.RecordBatch) -> pa.RecordBatch:
        """Without the duplicates that an earlier run recorded already."""
        repeats = pc.equal(events["event_type"], "TRANSACTION_DEDUPED").to_numpy(zero_copy_only=False)
        if not repeats.any():
            return events
        named = events.select(["transaction_id", "details"]).to_pandas()
        known = self.events(named.loc[repeats, "transaction_id"].unique())
        known = known[known["event_type"] == "TRANSACTION_DEDUPED"]
        seen = pd.MultiIndex.from_frame(known[["transaction_id", "details"]])
        is_known = pd.MultiIndex.from_frame(named).isin(seen)
        return events.filter(pa.array(~(repeats & is_known)))
