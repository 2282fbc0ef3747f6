"""The SQLite file under the ledger: schema, connection, one writer at a time.

synchronous=FULL, because NORMAL loses the last commits when the machine stops. WAL, so that readers
never wait for the writer. BEGIN IMMEDIATE, so that two writers queue up instead of failing half-way.
"""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from atlas_lib.core.errors import LedgerError
from atlas_lib.ledger.chain import VERSION
from atlas_lib.ledger.events import ONCE_PER_TRANSACTION

_BUSY_SECONDS = 60
_SCHEMA = """
CREATE TABLE ledger (ledger_id TEXT NOT NULL, version INTEGER NOT NULL) STRICT;
CREATE TABLE txn (
  txn_no INTEGER PRIMARY KEY, transaction_id TEXT NOT NULL UNIQUE, idempotency_key TEXT, fingerprint TEXT,
  origin TEXT, submitted_us INTEGER, first_append TEXT NOT NULL) STRICT;
CREATE INDEX txn_key ON txn (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE TABLE batch (batch_no INTEGER PRIMARY KEY, batch_id TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE account (
  account_no INTEGER PRIMARY KEY, code TEXT NOT NULL, currency TEXT NOT NULL,
  no_overdraft INTEGER NOT NULL DEFAULT 0, UNIQUE (code, currency)) STRICT;
CREATE TABLE event (
  position INTEGER PRIMARY KEY, txn_no INTEGER, batch_no INTEGER, event_type TEXT NOT NULL,
  amount_minor INTEGER NOT NULL, currency TEXT, ts_us INTEGER NOT NULL, actor TEXT, details TEXT) STRICT;
CREATE INDEX event_txn ON event (txn_no) WHERE txn_no IS NOT NULL;
CREATE INDEX event_batch ON event (batch_no) WHERE batch_no IS NOT NULL;
CREATE UNIQUE INDEX event_once ON event (txn_no, event_type) WHERE event_type IN ({once});
CREATE TABLE transfer (
  transfer_no INTEGER PRIMARY KEY, position INTEGER NOT NULL, txn_no INTEGER,
  kind TEXT NOT NULL CHECK (kind IN ('single', 'pending', 'post', 'void', 'reversal')), pending_no INTEGER UNIQUE,
  debit_account INTEGER NOT NULL, credit_account INTEGER NOT NULL CHECK (credit_account <> debit_account),
  amount_minor INTEGER NOT NULL CHECK (amount_minor > 0), currency TEXT NOT NULL,
  CHECK ((pending_no IS NULL) = (kind IN ('single', 'pending')))) STRICT;
CREATE INDEX transfer_txn ON transfer (txn_no) WHERE txn_no IS NOT NULL;
CREATE INDEX transfer_position ON transfer (position);
CREATE TABLE block (
  block_no INTEGER PRIMARY KEY, append_id TEXT NOT NULL, part INTEGER NOT NULL, body_fingerprint TEXT NOT NULL,
  first_position INTEGER NOT NULL, n INTEGER NOT NULL, first_transfer INTEGER NOT NULL, n_transfer INTEGER NOT NULL,
  event_root BLOB NOT NULL, transfer_root BLOB NOT NULL, prev_hash BLOB NOT NULL UNIQUE, writer TEXT NOT NULL,
  created_us INTEGER NOT NULL, block_hash BLOB NOT NULL UNIQUE, event_leaves BLOB NOT NULL,
  transfer_leaves BLOB NOT NULL, UNIQUE (append_id, part)) STRICT;
CREATE TABLE commitment (commit_key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE balance (
  account_no INTEGER PRIMARY KEY, debits_posted INTEGER NOT NULL, credits_posted INTEGER NOT NULL,
  debits_pending INTEGER NOT NULL, credits_pending INTEGER NOT NULL) STRICT;
CREATE VIEW ledger_entry AS
  SELECT e.position AS entry_id, coalesce(t.transaction_id, '') AS transaction_id, coalesce(b.batch_id, '') AS batch_id,
         e.event_type, e.amount_minor, coalesce(e.currency, '') AS currency, e.ts_us AS timestamp,
         coalesce(e.actor, '') AS actor, coalesce(e.details, '') AS details
  FROM event e LEFT JOIN txn t ON t.txn_no = e.txn_no LEFT JOIN batch b ON b.batch_no = e.batch_no;
CREATE TRIGGER transfer_closes BEFORE INSERT ON transfer WHEN NEW.kind IN ('post', 'void', 'reversal') AND NOT EXISTS (
  SELECT 1 FROM transfer p WHERE p.transfer_no = NEW.pending_no AND p.amount_minor = NEW.amount_minor
    AND p.currency = NEW.currency AND p.txn_no IS NEW.txn_no
    AND ((NEW.kind IN ('post', 'void') AND p.kind = 'pending'
          AND p.debit_account = NEW.debit_account AND p.credit_account = NEW.credit_account)
      OR (NEW.kind = 'reversal' AND p.kind IN ('single', 'post')
          AND p.debit_account = NEW.credit_account AND p.credit_account = NEW.debit_account)))
  BEGIN SELECT RAISE(ABORT, 'a post, void or reversal must mirror the transfer that it closes'); END;
CREATE TRIGGER transfer_in_flight BEFORE INSERT ON transfer WHEN NEW.kind = 'pending' AND NEW.txn_no IS NOT NULL
  AND EXISTS (
    SELECT 1 FROM transfer p LEFT JOIN transfer c ON c.pending_no = p.transfer_no
    WHERE p.txn_no = NEW.txn_no AND p.kind = 'pending' AND p.position <> NEW.position
      AND (c.kind IS NULL OR (c.kind = 'post' AND NOT EXISTS (
        SELECT 1 FROM transfer r WHERE r.pending_no = c.transfer_no))))
  BEGIN SELECT RAISE(ABORT, 'the transaction is in flight or settled already'); END;
CREATE TRIGGER balance_floor BEFORE UPDATE ON balance
  WHEN NEW.credits_posted + NEW.credits_pending > NEW.debits_posted
   AND (SELECT no_overdraft FROM account WHERE account_no = NEW.account_no) = 1
  BEGIN SELECT RAISE(ABORT, 'an account that may not be overdrawn would be'); END;
"""
_KEPT = ("ledger", "txn", "batch", "account", "event", "transfer", "block", "commitment")
_NUMBERED = {"event": "position", "transfer": "transfer_no", "block": "block_no"}


def _schema() -> Iterator[str]:
    once = ", ".join(f"'{t}'" for t in ONCE_PER_TRANSACTION)
    yield _SCHEMA.replace("{once}", once)
    for table in _KEPT:
        for verb in ("UPDATE", "DELETE"):
            yield (
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only: {verb} refused'); END;"
            )
    for table, number in _NUMBERED.items():
        # Without this, INSERT OR REPLACE would overwrite a row and no trigger would see it.
        yield (
            f"CREATE TRIGGER {table}_in_sequence BEFORE INSERT ON {table} "  # noqa: S608
            f"WHEN NEW.{number} IS NOT (SELECT coalesce(max({number}), 0) + 1 FROM {table}) "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only: out of sequence'); END;"
        )


class Database:
    """One connection to a ledger file, made with its schema when it is new."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
            self._prepare()
        except sqlite3.Error as error:
            raise LedgerError("The ledger store cannot be opened", where=str(path), found=str(error)) from error

    def _prepare(self) -> None:
        for pragma in ("synchronous = FULL", "recursive_triggers = ON", "cache_size = -262144"):
            self.connection.execute(f"PRAGMA {pragma}")
        self._switch_to_wal()
        with self.writing():
            if self.value("SELECT count(*) FROM sqlite_master WHERE name = 'ledger'") == 0:
                for statement in _statements("\n".join(_schema())):
                    self.connection.execute(statement)
                self.connection.execute("INSERT INTO ledger VALUES (?, ?)", (uuid.uuid4().hex, VERSION))

    def _switch_to_wal(self) -> None:
        # Changing the journal mode does not wait for other connections, so this waits itself.
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                self.connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One database transaction as the only writer: all of it or nothing; inside another one, a part of that."""
        if self._is_writing():
            yield
            return
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            yield
            self.connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise LedgerError("The ledger store refused the write", found=str(error)) from error
        finally:
            if self._is_writing():
                self.connection.execute("ROLLBACK")

    def _is_writing(self) -> bool:
        return self.connection.in_transaction

    def value(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        row = self.connection.execute(sql, parameters).fetchone()
        return None if row is None else row[0]

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        found: tuple[Any, ...] | None = self.connection.execute(sql, parameters).fetchone()
        return found

    def frame(self, sql: str, parameters: Sequence[Any] = ()) -> pd.DataFrame:
        cursor = self.connection.execute(sql, parameters)
        names = [d[0] for d in cursor.description]
        return pd.DataFrame(cursor.fetchall(), columns=pd.Index(names))

    def insert(self, table: str, rows: Iterable[Sequence[Any]], width: int) -> None:
        self.connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * width)})", rows)  # noqa: S608

    def numbers(self, sql: str, values: Iterable[Any]) -> dict[Any, int]:
        """Key to number, by a query over `json_each(?)` of all keys at once."""
        return {key: int(n) for key, n in self.connection.execute(sql, (as_json(values),))}


def as_json(values: Iterable[Any]) -> str:
    """Many values as one parameter, read back in SQL by json_each."""
    return json.dumps(list(values), ensure_ascii=False)


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
