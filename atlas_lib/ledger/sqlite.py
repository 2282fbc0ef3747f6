"""The SQLite file under the ledger: the default store, on one machine.

synchronous=FULL, because NORMAL loses the last commits when the machine stops. WAL, so that readers
never wait for the writer. BEGIN IMMEDIATE, so that two writers queue up instead of failing half-way.
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from atlas_lib.core.errors import LedgerError
from atlas_lib.ledger.canonical import as_objects
from atlas_lib.ledger.chain import VERSION
from atlas_lib.ledger.database import BUSY_SECONDS, WHOLE, Column, Database
from atlas_lib.ledger.schema import RUNS, sqlite_schema
from atlas_lib.ledger.upgrade import sqlite_upgrade

_CACHE_KIB = 262_144
_WAL_PAGES = 16_384  # 64 MiB: pages of an index that many appends touch are put in their place once
_ROWS_AT_ONCE = 40  # 16 columns at most: SQLite before 3.32 takes 999 parameters
_NEWEST = RUNS[-1]  # a store without this table is of an earlier version
# A damaged file may damage the text of its own error.
_ERRORS = (sqlite3.Error, UnicodeDecodeError)
_BALANCE = ("debits_posted", "credits_posted", "debits_pending", "credits_pending")


class SqliteDatabase(Database):
    """One connection to a ledger file; a new one gets an id of its own unless it is to be a copy of `ledger_id`."""

    def __init__(self, path: Path, ledger_id: str = "") -> None:
        super().__init__()
        self._new_id = ledger_id or uuid.uuid4().hex
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            self._prepare()
        except (*_ERRORS, LedgerError) as error:
            found = error.found if isinstance(error, LedgerError) else str(error)
            raise LedgerError("The ledger store cannot be opened", where=str(path), found=found) from error

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        with self._told():
            return self.connection.execute(_dialect(sql), parameters)

    def columns(self, sql: str, parameters: Sequence[int]) -> pa.RecordBatch:
        with self._told():
            cursor = self.execute(sql, parameters)
            names = [d[0] for d in cursor.description]
            columns = list(zip(*cursor.fetchall(), strict=True)) or [()] * len(names)
        whole = pa.int64(), pa.large_string()
        arrays = [pa.array(c, whole[n not in WHOLE]) for n, c in zip(names, columns, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, names)

    def insert(self, table: str, columns: Sequence[Column]) -> None:
        """Many rows to a statement: half of what a row costs is the call.

        OR FAIL: what a refused statement did so far stays until the whole transaction is taken back, which it always is.
        Without it SQLite keeps a copy of every page that a statement is about to change, of a random id's index one per row.
        """
        flat = list(chain.from_iterable(zip(*map(as_objects, columns), strict=True)))
        row = f"({', '.join('?' * len(columns))})"
        width = len(columns) * _ROWS_AT_ONCE
        end = len(flat) // width * width
        bulk, rest = range(0, end, width), range(end, len(flat), len(columns))
        with self._told():
            for numbers, size, count in ((bulk, width, _ROWS_AT_ONCE), (rest, len(columns), 1)):
                sql = f"INSERT OR FAIL INTO {table} VALUES {', '.join([row] * count)}"  # noqa: S608
                self.connection.executemany(sql, (flat[n : n + size] for n in numbers))

    def arrived(self) -> None:
        """Nothing to do: rows are written before `insert` returns."""

    def book(self, made: Callable[[], pd.DataFrame]) -> None:
        changes = made()
        numbers = changes["account_no"].tolist()
        new = ", ".join("0" * len(_BALANCE))
        added = ", ".join(f"{c} = {c} + ?" for c in _BALANCE)
        with self._told():
            self.connection.executemany(
                f"INSERT INTO balance VALUES (?, {new}) ON CONFLICT DO NOTHING",  # noqa: S608
                ((n,) for n in numbers),
            )
            self.connection.executemany(
                f"UPDATE balance SET {added} WHERE account_no = ?",  # noqa: S608
                ([*change, n] for change, n in zip(changes[list(_BALANCE)].to_numpy().tolist(), numbers, strict=True)),
            )

    def reconnect(self, patience_seconds: float) -> None:
        """Nothing to do: a file does not go away."""

    def close(self) -> None:
        self._aside.shutdown()
        self.connection.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except _ERRORS as error:
            raise self._refused(str(error)) from error

    def _begin(self, is_writer: bool) -> None:
        self.execute("BEGIN IMMEDIATE" if is_writer else "BEGIN")

    def _roll_back(self) -> None:
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def _prepare(self) -> None:
        for pragma in (
            "synchronous = FULL",
            "recursive_triggers = ON",
            f"cache_size = -{_CACHE_KIB}",
            f"wal_autocheckpoint = {_WAL_PAGES}",
        ):
            self.connection.execute(f"PRAGMA {pragma}")
        self._switch_to_wal()
        if self._has("table", _NEWEST):
            return
        with self.writing():
            if self._has("table", _NEWEST):
                return
            is_new = not self._has("table", "ledger")
            for statement in sqlite_schema() if is_new else sqlite_upgrade():
                self.execute(statement)
            if is_new:
                self.insert("ledger", [[self._new_id], [VERSION]])

    def _has(self, kind: str, name: str) -> bool:
        return bool(self.value("SELECT count(*) FROM sqlite_master WHERE type = ? AND name = ?", (kind, name)))

    def _switch_to_wal(self) -> None:
        # Changing the journal mode does not wait for other connections, so this waits itself.
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self.connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)


@lru_cache(maxsize=256)
def _dialect(sql: str) -> str:
    return sql.replace("listed(?)", "(SELECT value FROM json_each(?))").replace("texts(?)", "json_each(?)")
