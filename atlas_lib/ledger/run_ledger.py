"""The ledger of a run; that of a trial is a copy, so that what a person only tries is booked nowhere else.

The copy is made when the trial opens its ledger first, of the store as it stands then: entries, transfers, chain and
balances, under the same ledger id, so that heads kept in manifests hold for it too. It is a SQLite file, whatever
the store is.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from atlas_lib.core.errors import LedgerError
from atlas_lib.core.run import Run, ledger_url
from atlas_lib.ledger.database import Database
from atlas_lib.ledger.schema import KEPT, RUNS
from atlas_lib.ledger.sqlite import SqliteDatabase
from atlas_lib.ledger.store import Ledger, open_database, open_ledger

_ROWS_AT_ONCE = 100_000
# Tables that grow with the work are read by ranges of their number, the others at once.
_NUMBERED = {"txn": "txn_no", "event": "position", "transfer": "transfer_no", "block": "block_no"}
_IN_THE_SCHEMA = "ledger"  # its one row is written with the tables


def open_run_ledger(run: Run, writer: str, clock_ns: Callable[[], int] = time.time_ns) -> Ledger:
    """The ledger of a run: the store of its runs directory, or the trial's own copy of it. `writer` signs what is appended."""
    return open_ledger(_own_url(run), writer, clock_ns)


def copy_ledger(source: Database, path: Path) -> None:
    """The store as it stands, as a new SQLite file; half a copy never stands under the final name."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        partial = Path(folder) / path.name
        if isinstance(source, SqliteDatabase):
            source.execute("VACUUM INTO ?", (str(partial),))
        else:
            _copy_rows(source, partial)
        partial.replace(path)


def _copy_rows(source: Database, path: Path) -> None:
    with source.reading():
        copy = SqliteDatabase(path, ledger_id=str(source.value("SELECT ledger_id FROM ledger")))
        with copy.writing():
            for table in (*KEPT, *RUNS, "balance"):
                for rows in _pieces(source, table) if table != _IN_THE_SCHEMA else ():
                    copy.insert(table, list(zip(*rows, strict=True)))
        copy.close()  # the last connection brings the log back into the file


def _own_url(run: Run) -> str:
    if run.is_trial and not run.ledger_copy.exists():
        import filelock

        with filelock.FileLock(run.ledger_copy.with_suffix(".lock")):  # two notebooks of one trial make one copy
            if not run.ledger_copy.exists():
                _copy_from(_origin_url(run), run.ledger_copy)
    return run.ledger_url


def _origin_url(run: Run) -> str:
    if run.forked_from == run.opened_as:
        return ledger_url(run.directory.parent)
    origin = run.directory.parent / run.forked_from
    if not origin.exists():
        raise LedgerError(
            "The trial that this one was made from is gone, and what it booked", where=run.run_id, found=f"no {origin.name}",
            remedy="open the earlier notebook again, then this one",
        )  # fmt: skip
    return _own_url(Run(origin))


def _copy_from(url: str, path: Path) -> None:
    source = open_database(url)
    try:
        copy_ledger(source, path)
    finally:
        source.close()


def _pieces(source: Database, table: str) -> Iterator[list[tuple[object, ...]]]:
    number = _NUMBERED.get(table)
    if number is None:
        found = source.rows(f"SELECT * FROM {table}")  # noqa: S608
        yield from [found] if found else []
        return
    last = source.next_number(table, number) - 1
    for first in range(1, last + 1, _ROWS_AT_ONCE):
        sql = f"SELECT * FROM {table} WHERE {number} BETWEEN ? AND ? ORDER BY {number}"  # noqa: S608
        yield source.rows(sql, (first, first + _ROWS_AT_ONCE - 1))
