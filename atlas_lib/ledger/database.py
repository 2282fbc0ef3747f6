"""What the ledger asks of a database: one writer at a time, bulk rows, the same SQL on every store.

Statements are written once, in words that SQLite and PostgreSQL share: `?` is a parameter, and
`texts(?)` a list of texts given as one parameter (see `as_json`), read as rows with a column `value`. A column of an index
is compared with such a list by `IN listed(?)`: the index is asked for each, however few or many a planner expects.
"""

from __future__ import annotations

import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pandas.api.extensions import ExtensionArray

from atlas_lib.core.errors import LedgerError, StoreUnreachable
from atlas_lib.ledger.canonical import text_array

Column = Sequence[Any] | np.ndarray  # or an array of pyarrow
Outcome = TypeVar("Outcome")
BUSY_SECONDS = PATIENCE_SECONDS = 60
_REMEMBERED_IDS = 200_000  # about 40 MB
# The columns of whole numbers, by name; the others are texts.
WHOLE = frozenset(("position", "transfer_no", "pending_no", "amount_minor", "ts_us"))


class Remembered:
    """Numbers of ids that this connection wrote or read a while ago, so that it need not ask for them again.

    An id keeps its number for ever, so what is remembered cannot go stale. All is forgotten when the store refuses
    something or is connected anew: numbers may have been given in vain then.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, dict[Any, int]] = {}
        self._newest: dict[str, tuple[pa.LargeStringArray, pa.Int64Array]] = {}

    def of(self, table: str) -> Mapping[Any, int]:
        return self._numbers.get(table, {})

    def same(self, table: str, ids: pa.LargeStringArray) -> pa.Int64Array | None:
        """The numbers of the very ids, in their order, of the append before: what happens to a batch happens to all of it."""
        newest = self._newest.get(table)
        return newest[1] if newest is not None and newest[0].equals(ids) else None

    def add(self, table: str, numbers: Mapping[Any, int]) -> None:
        """Bounded: all of before are dropped for those of an append that would be too many with them."""
        if len(numbers) > _REMEMBERED_IDS:
            return
        held = self._numbers.setdefault(table, {})
        if len(held) + len(numbers) > _REMEMBERED_IDS:
            held.clear()
        held.update(numbers)

    def add_column(self, table: str, ids: pa.LargeStringArray, numbers: pa.Int64Array) -> None:
        """Ids that are all different, with their numbers."""
        if 0 < len(ids) <= _REMEMBERED_IDS:
            self._newest[table] = ids, numbers
            self.add(table, dict(zip(ids.to_pylist(), numbers.to_numpy().tolist(), strict=True)))

    def forget(self) -> None:
        self._numbers.clear()
        self._newest.clear()


class Database(ABC):
    """One connection to a ledger store, made with its schema when it is new.

    Any thread may ask it, one at a time: JupyterLab runs a click on a widget in another thread than the cell that made it.
    """

    def __init__(self) -> None:
        self._is_inside = self._is_broken = False
        self._in_use = threading.RLock()
        self.remembered = Remembered()
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="ledger hashes")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One database transaction as the only writer: all of it or nothing; inside another one, a part of that."""
        with self._transaction(is_writer=True):
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Everything read inside is the state of one moment, whoever writes meanwhile."""
        with self._transaction(is_writer=False):
            yield

    @contextmanager
    def _transaction(self, is_writer: bool) -> Iterator[None]:
        with self._in_use:
            if self._is_inside:
                with self._part():
                    yield
                    self.arrived()
                return
            self._is_inside = True
            try:
                self._begin(is_writer)
                self._is_broken = False
                yield
                if self._is_broken:  # half of a part would be kept, or the server drops all of it and says nothing
                    raise LedgerError(
                        "A part of this was refused", found="all of it is taken back", remedy="do it anew"
                    )
                self.execute("COMMIT")
            except BaseException:
                self.remembered.forget()
                self._roll_back()
                raise
            finally:
                self._is_inside = False

    @contextmanager
    def _part(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._is_broken = True
            raise

    def value(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        row = self.row(sql, parameters)
        return None if row is None else row[0]

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        def ask() -> tuple[Any, ...] | None:
            with self._told():
                found: tuple[Any, ...] | None = self.execute(sql, parameters).fetchone()
            return found

        return self.patiently(ask)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        def ask() -> list[tuple[Any, ...]]:
            with self._told():
                return list(self.execute(sql, parameters).fetchall())

        return self.patiently(ask)

    def frame(self, sql: str, parameters: Sequence[Any] = ()) -> pd.DataFrame:
        """What a query finds."""

        def ask() -> pd.DataFrame:
            with self._told():
                cursor = self.execute(sql, parameters)
                names = pd.Index([d[0] for d in cursor.description])
                return pd.DataFrame(cursor.fetchall(), columns=names)

        return self.patiently(ask)

    def patiently(self, ask: Callable[[], Outcome]) -> Outcome:
        """What asks before it writes, or only asks: once more when the store went away and came back, and nothing is open."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        with self._in_use:
            while True:
                try:
                    return ask()
                except StoreUnreachable:
                    if self._is_inside or time.monotonic() > deadline:
                        raise
                    self.reconnect(deadline - time.monotonic())

    @abstractmethod
    def columns(self, sql: str, parameters: Sequence[int]) -> pa.RecordBatch:
        """What a query of many rows finds: whole numbers and texts, column by column."""

    def numbers(self, sql: str, values: Iterable[Any]) -> dict[Any, int]:
        """Key to number, by a query over `texts(?)` of all keys at once."""
        return {key: int(n) for key, n in self.rows(sql, (as_json(values),))}

    def meanwhile(self, work: Callable[[], Outcome], is_long: bool) -> Callable[[], Outcome]:
        """Work that needs no database, and where to get what came of it; long work is done beside the database's own."""
        if is_long:
            return self._aside.submit(work).result
        done = work()
        return lambda: done

    def next_number(self, table: str, number: str) -> int:
        """The number that follows the last one: numbers are dense, the only writer gives them."""
        return int(self.value(f"SELECT coalesce(max({number}), 0) + 1 FROM {table}"))  # noqa: S608

    @abstractmethod
    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """A cursor after one statement; LedgerError when the store refuses it, StoreUnreachable when it is gone."""

    @abstractmethod
    def insert(self, table: str, columns: Sequence[Column]) -> None:
        """Rows in bulk, given as columns in the order of the table; what is asked afterwards finds them, or is told."""

    @abstractmethod
    def arrived(self) -> None:
        """Wait for rows that are still on their way to the store; LedgerError when it refused any."""

    @abstractmethod
    def book(self, made: Callable[[], pd.DataFrame]) -> None:
        """Bring the balances up to date with the transfers just written.

        `made` gives the changes: account_no, debits_posted, credits_posted, debits_pending, credits_pending.
        """

    @abstractmethod
    def reconnect(self, patience_seconds: float) -> None:
        """Wait for a store that is coming back; StoreUnreachable when it does not in time."""

    @abstractmethod
    def close(self) -> None: ...

    def _refused(self, found: str) -> LedgerError:
        """The store's own word on why it did not do what it was asked; what was begun can only be taken back."""
        self.remembered.forget()
        self._is_broken = True
        return LedgerError("The ledger store refused", found=found.strip())

    @abstractmethod
    def _told(self) -> AbstractContextManager[None]:
        """Inside, the driver's errors become ours."""

    @abstractmethod
    def _begin(self, is_writer: bool) -> None: ...

    @abstractmethod
    def _roll_back(self) -> None: ...


def as_json(values: Iterable[Any]) -> str:
    """Many texts as one parameter, read back in SQL by `texts(?)`; in order, because an index is asked in its own order
    at a third of the cost."""
    texts = text_array(values if isinstance(values, (pd.Series, ExtensionArray, pa.Array)) else list(values))
    return json.dumps(texts.take(pc.sort_indices(texts)).to_pylist(), ensure_ascii=False)
