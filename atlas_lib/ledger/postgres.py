"""PostgreSQL under the ledger: one store for a team, on a server.

The writer's first statement is an advisory lock, under READ COMMITTED: a later isolation level would read the
head before the lock is held. Numbers are given under that lock and no identity column is used, so a reader that
follows the numbers misses nothing. Rows go in by COPY, sent by a second thread: while the server takes the rows of one
table, those of the next are made. What it refuses is said by the next question, at the latest by the COMMIT.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import lru_cache
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pyarrow as pa

from atlas_lib.core.errors import LedgerError, StoreUnreachable
from atlas_lib.ledger.chain import VERSION
from atlas_lib.ledger.copying import Piece, binary_copy
from atlas_lib.ledger.database import BUSY_SECONDS, PATIENCE_SECONDS, WHOLE, Column, Database
from atlas_lib.ledger.digests import IN_BULK
from atlas_lib.ledger.schema import RUNS, postgres_schema
from atlas_lib.ledger.upgrade import postgres_upgrade

_NEWEST = RUNS[-1]  # a store without this table is of an earlier version
_OLDEST = 150_000  # PostgreSQL 15
_SESSION = (
    f"SET lock_timeout = '{BUSY_SECONDS}s'",
    "SET synchronous_commit = on",
    "SET default_transaction_isolation = 'read committed'",
    "SET client_min_messages = warning",
    # Compiling a query that asks for ten thousand ids takes ten times as long as answering it.
    "SET jit = off",
    "SET work_mem = '64MB'",  # for a hundred thousand ids at once
)
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('atlas ledger ' || current_schema(), 0))"


class PostgresDatabase(Database):
    """One connection to a ledger on a server; made again when it was lost, outside of a transaction."""

    def __init__(self, url: str) -> None:
        super().__init__()
        _check_url(url)
        try:
            import psycopg
        except ImportError as error:
            raise LedgerError(
                "The driver for PostgreSQL is not installed", remedy="pip install 'atlas-settlement[postgres]'"
            ) from error
        self._driver, self._url, self._where = psycopg, url, _without_secrets(url)
        self.connection: Any = None
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="ledger rows")
        self._sent: list[Future[None]] = []
        self.connection = self._connect()
        self._prepare()

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        with self._told():
            self.arrived()
            return self._live().execute(_dialect(sql), parameters or None)

    def columns(self, sql: str, parameters: Sequence[int]) -> pa.RecordBatch:
        query = f"COPY ({_dialect(sql)}) TO STDOUT (FORMAT csv, HEADER)"
        with self._told():
            self.arrived()
            with self._live().cursor() as cursor, cursor.copy(query, parameters) as copy:
                return _from_csv(b"".join(copy))

    def insert(self, table: str, columns: Sequence[Column]) -> None:
        count = len(columns[0])
        pieces: SimpleQueue[Piece | BaseException | None] = SimpleQueue()
        if not count:
            return
        with self._told():
            if count < IN_BULK and not self._sent:
                _send(self._live(), table, binary_copy(columns))
                return
            try:
                self._sent.append(self._sender.submit(_send, self._live(), table, _taken(pieces)))
                for piece in binary_copy(columns):
                    pieces.put(piece)
                pieces.put(None)
            except BaseException as error:
                pieces.put(error)
                raise

    def arrived(self) -> None:
        wait(self._sent)
        sent, self._sent = self._sent, []
        with self._told():
            for one in sent:  # what follows a refused one fails for that alone
                one.result()

    def book(self, made: Callable[[], pd.DataFrame]) -> None:
        """Nothing to do: a trigger books the transfers, so that no writer needs a right on the balances."""

    def reconnect(self, patience_seconds: float) -> None:
        """Wait for a server that is coming back."""
        deadline = time.monotonic() + patience_seconds
        while True:
            try:
                self.connection = self._connect()
                return
            except StoreUnreachable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def close(self) -> None:
        self._aside.shutdown()
        self._sender.shutdown()
        self.connection.close()

    def _connect(self) -> Any:
        self.remembered.forget()
        with self._told():
            connection = self._driver.connect(
                self._url, autocommit=True, connect_timeout=10, tcp_user_timeout=30_000, application_name="atlas ledger"
            )
            for statement in _SESSION:
                connection.execute(statement)
        if connection.info.server_version < _OLDEST:
            raise LedgerError("The PostgreSQL server is too old", where=self._where, expected="15 or newer")
        return connection

    def _live(self) -> Any:
        if self.connection.closed and not self._is_inside:
            self.connection = self._connect()
        return self.connection

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except self._driver.Error as error:
            found = self._refused(error.diag.message_primary or str(error))
            if self.connection is not None and not self.connection.closed:
                raise found from error
            raise StoreUnreachable(
                "The ledger store cannot be reached", where=self._where, found=str(error).strip(),
                remedy="start the server or correct ATLAS_LEDGER_URL and PGPASSWORD; then do the same again: what was "
                "written is found under its append id and not written twice",
            ) from error  # fmt: skip

    def _begin(self, is_writer: bool) -> None:
        if not is_writer:
            self._start("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return
        self._start("BEGIN")
        self.execute(_LOCK)

    def _start(self, statement: str) -> None:
        """Begin; a connection that was lost before is made again, for nothing is open on it yet."""
        try:
            self.execute(statement)
        except StoreUnreachable:
            self.reconnect(PATIENCE_SECONDS)
            self.execute(statement)

    def _roll_back(self) -> None:
        wait(self._sent)
        self._sent = []
        with suppress(self._driver.Error):
            if not self.connection.closed:
                self.connection.execute("ROLLBACK")

    def _prepare(self) -> None:
        if self._has(_NEWEST):
            return
        with self.writing():
            if self._has(_NEWEST):
                return
            # What the triggers name is found in this schema first, never in a table of the session.
            self.execute("SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true)")
            if self._has("ledger"):
                self._upgrade()
                return
            for statement in postgres_schema():
                self.execute(statement)
            self.insert("ledger", [[uuid.uuid4().hex], [VERSION]])

    def _upgrade(self) -> None:
        try:
            for statement in postgres_upgrade():
                self.execute(statement)
        except LedgerError as error:
            raise LedgerError(
                "The ledger is of an earlier version and only its owner can bring it to this one", where=self._where,
                found=error.found, remedy="let its owner run: atlas ledger init",
            ) from error  # fmt: skip

    def _has(self, table: str) -> bool:
        # Not to_regclass: it may answer from a cache that the wait for the lock did not refresh.
        known = "SELECT count(*) FROM pg_class WHERE relname = ? AND relnamespace = current_schema()::regnamespace"
        return bool(self.value(known, (table,)))


def _send(connection: Any, table: str, pieces: Iterator[Piece]) -> None:
    with connection.cursor().copy(f"COPY {table} FROM STDIN (FORMAT binary)") as copy:
        for piece in pieces:
            copy.write(piece)


def _taken(pieces: SimpleQueue[Piece | BaseException | None]) -> Iterator[Piece]:
    """The pieces as they come, up to None; what went wrong while they were made ends the COPY as well."""
    while (piece := pieces.get()) is not None:
        if isinstance(piece, BaseException):
            raise piece
        yield piece


def _from_csv(text: bytes) -> pa.RecordBatch:
    """What COPY wrote, quoted or not: only an empty field without quotes is an absent value."""
    from pyarrow import csv

    names = text[: text.index(b"\n")].decode().split(",")
    types = {n: pa.int64() if n in WHOLE else pa.large_string() for n in names}
    table = csv.read_csv(
        pa.py_buffer(text),
        read_options=csv.ReadOptions(block_size=len(text)),  # one block, however long a row is
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=types, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    ).combine_chunks()
    batches = table.to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pydict({n: pa.array([], t) for n, t in types.items()})


@lru_cache(maxsize=256)
def _dialect(sql: str) -> str:
    indexed = sql.replace("IN listed(?)", "= ANY (ARRAY(SELECT value FROM texts(?)))")
    return indexed.replace("%", "%%").replace("?", "%s") if "?" in sql else sql


def _check_url(url: str) -> None:
    if urlsplit(url).password is not None or "password=" in url:
        raise LedgerError(
            "The ledger address holds a password", where=_without_secrets(url),
            remedy="give it in PGPASSWORD, or in a password file named by PGPASSFILE",
        )  # fmt: skip


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
