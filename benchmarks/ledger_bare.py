"""The floor under the ledger's figures: its own rows written once more, with nothing around them.

The entries, transfers and registrations of every append are read out of a measured ledger and written into the same
tables with the same indexes, one database transaction per append: by one `executemany` per table in SQLite (WAL,
synchronous=FULL), by one COPY of text made beforehand in PostgreSQL. Nothing is shaped, numbered, looked up, hashed, booked
or refused, and no trigger is there. The reading and, for PostgreSQL, the making of the text are not counted.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from atlas_lib.ledger.schema import postgres_schema, sqlite_schema
from atlas_lib.ledger.store import Ledger

_TABLES = ("txn", "event", "transfer")
_SETTINGS = ("journal_mode = WAL", "synchronous = FULL", "cache_size = -262144", "wal_autocheckpoint = 16384")
_RANGES = """
  SELECT min(first_position), sum(n), min(first_transfer), sum(n_transfer) FROM block WHERE append_id = ?"""


def bare_seconds(ledger: Ledger, append_ids: list[str], folder: Path) -> float:
    """Seconds of the clock that the rows of these appends take, bare."""
    write = (
        _sqlite_writer(folder) if isinstance(ledger._db.connection, sqlite3.Connection) else _postgres_writer(ledger)
    )
    return sum(write(ledger, _conditions(ledger, append_id)) for append_id in append_ids)


def _conditions(ledger: Ledger, append_id: str) -> list[str]:
    """Which rows of each table an append wrote."""
    position, events, transfer, transfers = map(int, ledger._db.row(_RANGES, (append_id,)) or ())
    return [
        f"first_append = '{append_id}'", f"position BETWEEN {position} AND {position + events - 1}",
        f"transfer_no BETWEEN {transfer} AND {transfer + transfers - 1}",
    ]  # fmt: skip


def _sqlite_writer(folder: Path) -> Callable[[Ledger, list[str]], float]:
    path = folder / "bare.sqlite"
    for held in folder.glob("bare.sqlite*"):
        held.unlink()
    connection = sqlite3.connect(path, isolation_level=None)
    for setting in _SETTINGS:
        connection.execute(f"PRAGMA {setting}")
    _make(connection, (s for s in sqlite_schema() if not s.startswith("CREATE TRIGGER")))

    def write(ledger: Ledger, conditions: list[str]) -> float:
        asked = [f"SELECT * FROM {t} WHERE {c}" for t, c in zip(_TABLES, conditions, strict=True)]  # noqa: S608
        parts = [ledger._db.rows(sql) for sql in asked]
        started = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        for table, rows in zip(_TABLES, parts, strict=True):
            if rows:
                marks = ", ".join("?" * len(rows[0]))
                connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608
        connection.execute("COMMIT")
        return time.perf_counter() - started

    return write


def _postgres_writer(ledger: Ledger) -> Callable[[Ledger, list[str]], float]:
    connection = ledger._db._connect()  # type: ignore[attr-defined]
    for statement in ("DROP SCHEMA IF EXISTS bare CASCADE", "CREATE SCHEMA bare", "SET search_path = bare"):
        connection.execute(statement)
    _make(connection, (s for s in postgres_schema() if s.startswith(("CREATE TABLE", "CREATE INDEX", "CREATE UNIQUE"))))

    def write(ledger: Ledger, conditions: list[str]) -> float:
        parts = [_text(ledger._db.connection, t, c) for t, c in zip(_TABLES, conditions, strict=True)]
        started = time.perf_counter()
        connection.execute("BEGIN")
        for table, text in zip(_TABLES, parts, strict=True):
            if text:
                with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                    copy.write(text)
        connection.execute("COMMIT")
        return time.perf_counter() - started

    return write


def _text(connection: Any, table: str, condition: str) -> bytes:
    sql = f"COPY (SELECT * FROM {table} WHERE {condition}) TO STDOUT"  # noqa: S608
    with connection.cursor().copy(sql) as copy:
        return b"".join(copy)


def _make(connection: Any, statements: Any) -> None:
    for statement in statements:
        connection.execute(statement)
