"""Rows of a run's table as a page asks for them: filtered, sorted, a page at a time, read from the Parquet file."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from atlas_lib.core.accounts import accounts_in
from atlas_lib.core.errors import SettingsError
from atlas_lib.core.run import Run
from atlas_lib.core.tables import arrow_to_frame, declared
from atlas_lib.dashboard.access import columns_for, conditions_for, shown_as
from atlas_lib.dashboard.exports import csv_head, csv_line
from atlas_lib.dashboard.listings import Listing
from atlas_lib.reconciliation.final_index import NEWEST_ROWS
from atlas_lib.reserves_credit.roles import Actor

SIZES = (10, 25, 100)
_OF_THREAD = threading.local()
_FILE = "read_parquet(?, hive_partitioning=false, file_row_number=true)"


@dataclass(frozen=True)
class Query:
    """What a person asked of one table; empty text asks for nothing. `size` 0 is all rows."""

    merchant: str = ""
    currency: str = ""
    search: str = ""
    chosen: Mapping[str, str] = field(default_factory=dict)
    order: str = ""
    page: int = 1
    size: int = SIZES[0]


@dataclass(frozen=True)
class Rows:
    """One page of rows with the columns the person may see, and how many rows fit in all."""

    frame: pd.DataFrame
    total: int


def read_rows(run: Run, actor: Actor, listing: Listing, query: Query) -> Rows:
    """The rows that fit, in the order asked for, ties as in the file (by the table's key).

    Raises Refused when the person may not see the table, SettingsError for a column it does not have.
    """
    text, parameters = _selected(run, actor, listing, query) if not query.size else _page(run, actor, listing, query)
    table = _connection().sql(text, params=parameters).to_arrow_table()
    return Rows(arrow_to_frame(table), count_rows(run, actor, listing, query))


def count_rows(run: Run, actor: Actor, listing: Listing, query: Query) -> int:
    """How many rows fit, on all pages."""
    where, values = _conditions(actor, listing, query, columns_for(actor, listing))
    text = f"SELECT count(*) FROM {_source(run, actor, listing)}{where}"  # noqa: S608
    counted = _connection().execute(text, [str(run.path(listing.table)), *values]).fetchall()
    return int(counted[0][0])


def read_sums(
    run: Run, actor: Actor, listing: Listing, query: Query, by: str, sums: Sequence[str]
) -> tuple[pd.DataFrame, int]:
    """One page of the rows that fit, added up by a column and the currency, in the order asked for; and how many pages'
    rows there are. Of another text column that goes with `by` (a name) the last is shown.
    """
    names = columns_for(actor, listing)
    where, values = _conditions(actor, listing, query, names)
    group = f'"{_known(by, names, listing)}", "currency"'
    added = ", ".join(f'CAST(sum("{_known(n, names, listing)}") AS BIGINT) AS "{n}"' for n in sums)
    name = f', max("{by.removesuffix("_id")}_name") AS "{by.removesuffix("_id")}_name"' if by.endswith("_id") else ""
    text = f"SELECT {group}, {added}{name} FROM {_source(run, actor, listing)}{where} GROUP BY {group}"  # noqa: S608
    parameters = [str(run.path(listing.table)), *values]
    total = _connection().execute(f"SELECT count(*) FROM ({text})", parameters).fetchall()[0][0]  # noqa: S608
    page = f' ORDER BY {_order(query.order, names, listing)}, "currency" LIMIT {int(query.size)} OFFSET {max(0, query.page - 1) * int(query.size)}'
    return arrow_to_frame(_connection().sql(text + page, params=parameters).to_arrow_table()), int(total)


def read_lines(run: Run, actor: Actor, listing: Listing, query: Query, size: int) -> Iterator[bytes]:
    """All rows that fit as CSV, the head line first, then `size` rows at a time; written by the database, in order."""
    import numpy as np

    names = columns_for(actor, listing)
    types = {column.name: column.type for column in declared(listing.table).columns}
    where, values = _conditions(actor, listing, query, names)
    text = f"SELECT {csv_line(names, types)} AS line FROM {_source(run, actor, listing)}{where} ORDER BY {_ordered(actor, listing, query)}"  # noqa: S608
    yield csv_head(names)
    with _connect() as connection:  # one of its own: the next part may be asked for by another thread
        for batch in connection.sql(text, params=[str(run.path(listing.table)), *values]).to_arrow_reader(size):
            lines = batch.column(0)
            ends = np.frombuffer(lines.buffers()[1], dtype="int32")[lines.offset : lines.offset + len(lines) + 1]
            yield lines.buffers()[2][int(ends[0]) : int(ends[-1])].to_pybytes() if len(lines) else b""


def _selected(run: Run, actor: Actor, listing: Listing, query: Query) -> tuple[str, list[Any]]:
    """The statement for all rows that fit, in order."""
    where, values = _conditions(actor, listing, query, columns_for(actor, listing))
    columns, order = _columns(actor, listing), _ordered(actor, listing, query)
    text = f"SELECT {columns} FROM {_source(run, actor, listing)}{where} ORDER BY {order}"  # noqa: S608
    return text, [str(run.path(listing.table)), *values]


def _page(run: Run, actor: Actor, listing: Listing, query: Query) -> tuple[str, list[Any]]:
    """The statement for one page: first which rows of the file it has, by the columns that decide, then those alone.

    Of ten million rows only a few row groups are then read whole.
    """
    where, values = _conditions(actor, listing, query, columns_for(actor, listing))
    size, offset = int(query.size), max(0, query.page - 1) * int(query.size)
    source = _source(run, actor, listing)
    found = f"SELECT file_row_number FROM {source}{where} ORDER BY {_ordered(actor, listing, query)} LIMIT {size} OFFSET {offset}"  # noqa: S608
    path = str(run.path(listing.table))
    return _at(source, _columns(actor, listing), found, [path, *values]), [path]


def _at(source: str, columns: str, found: str, values: list[Any]) -> str:
    """The statement for the rows of a file whose numbers another statement finds, in that one's order."""
    numbers = [int(row[0]) for row in _connection().execute(found, values).fetchall()]
    here = ", ".join(map(str, numbers)) or "-1"
    return f"SELECT {columns} FROM {source} WHERE file_row_number IN ({here}) ORDER BY list_position([{here}], file_row_number)"  # noqa: S608


def read_newest(run: Run, who: str, subject: str | None, names: Sequence[str]) -> pd.DataFrame:
    """The newest rows of the Final Index about one "user" or "merchant", newest first: for functions of the library, not
    for a page. Of a customer the run knows where they stand.
    """
    if subject is None or not run.has("final_index"):
        return declared("final_index").empty()[list(names)]
    path = run.path("final_index")
    if who == "user" and run.has("user_rows"):
        text, values = (
            "SELECT index_row FROM read_parquet(?) WHERE user_id = ? ORDER BY place",
            [str(run.path("user_rows")), subject],
        )
    else:
        text = f'SELECT file_row_number FROM {_FILE} WHERE "{who}_id" = ? ORDER BY created_at DESC, file_row_number LIMIT {NEWEST_ROWS}'  # noqa: S608
        values = [str(path), subject]
    columns = ", ".join(f'"{n}"' for n in names)
    table = _connection().sql(_at(_FILE, columns, text, values), params=[str(path)]).to_arrow_table()
    return arrow_to_frame(table)


def _columns(actor: Actor, listing: Listing) -> str:
    names = columns_for(actor, listing)
    return ", ".join(f'"{n}"' for n in dict.fromkeys([*names, *_helpers(declared(listing.table).column_names, names)]))


def _ordered(actor: Actor, listing: Listing, query: Query) -> str:
    """As asked for, then as in the file, which is by the table's key."""
    return _order(query.order or listing.order, columns_for(actor, listing), listing) + ", file_row_number"


def choices_of(run: Run, actor: Actor, listing: Listing) -> dict[str, list[str]]:
    """The values of each drop-down, among the rows the person may see."""
    names = tuple(n for n in listing.choices.split() if n in columns_for(actor, listing))
    where, values = _conditions(actor, listing, Query(), list(names))
    own = tuple(tuple(v) if isinstance(v, list) else v for v in values)
    source, sha256 = _source(run, actor, listing), run.manifest["tables"][listing.table]["sha256"]
    return _choices(str(run.path(listing.table)), sha256, source, names, where, own)


def values_of(run: Run, table: str, column: str) -> list[str]:
    """Every value of a text column of the whole table."""
    text = f'SELECT DISTINCT "{column}" FROM read_parquet(?, hive_partitioning=false) ORDER BY 1'  # noqa: S608
    return [str(row[0]) for row in _connection().execute(text, [str(run.path(table))]).fetchall() if row[0]]


def _source(run: Run, actor: Actor, listing: Listing) -> str:
    """The table as the person may know it; what a run of an earlier version did not write is empty."""
    path = run.path(listing.table)
    held = _columns_in(str(path), run.manifest["tables"][listing.table]["sha256"])
    lacking = [f'NULL AS "{n}"' for n in declared(listing.table).column_names if n not in held]
    file = f"(SELECT *, {', '.join(lacking)} FROM {_FILE})" if lacking else _FILE  # noqa: S608
    changed = ", ".join(f'{expression} AS "{name}"' for name, expression in shown_as(actor, listing).items())
    return f"(SELECT * REPLACE ({changed}) FROM {file})" if changed else file  # noqa: S608


@lru_cache(maxsize=512)
def _columns_in(path: str, sha256: str) -> frozenset[str]:  # noqa: ARG001  # a table made anew is read anew
    return frozenset(pq.read_schema(path).names)


@lru_cache(maxsize=256)
def _choices(
    path: str,
    sha256: str,  # noqa: ARG001  # a table made anew is read anew
    source: str,
    names: tuple[str, ...],
    where: str,
    own: tuple[Any, ...],
) -> dict[str, list[str]]:
    values = [list(v) if isinstance(v, tuple) else v for v in own]
    connection, out = _connection(), {}
    for name in names:
        text = f'SELECT DISTINCT CAST("{name}" AS VARCHAR) AS v FROM {source}{where} ORDER BY v'  # noqa: S608
        out[name] = [str(row[0]) for row in connection.execute(text, [path, *values]).fetchall() if row[0]]
    return out


def _connection() -> Any:
    """One small connection per thread: pages are read side by side, and none may take the machine."""
    if not hasattr(_OF_THREAD, "connection"):
        _OF_THREAD.connection = _connect()
    return _OF_THREAD.connection


def _connect() -> Any:
    import duckdb

    return duckdb.connect(config={"threads": 1, "memory_limit": "256MB", "temp_directory": _spill_folder()})


@lru_cache(maxsize=1)
def _spill_folder() -> str:
    """What does not fit into memory goes where only this user reads, and is gone with the process."""
    folder = tempfile.mkdtemp(prefix="atlas-dashboard-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _helpers(present: list[str], names: list[str]) -> list[str]:
    """The currency goes along, so that amounts can be written in its units."""
    return ["currency"] if "currency" in present and any(n.endswith("_minor") for n in names) else []


def _conditions(actor: Actor, listing: Listing, query: Query, names: list[str]) -> tuple[str, list[Any]]:
    parts = list(conditions_for(actor, listing))
    present = declared(listing.table).column_names
    if query.merchant and listing.merchant:
        parts.append((f'"{listing.merchant}" = ?', [query.merchant]))
    if query.currency and "currency" in present:
        parts.append(('"currency" = ?', [query.currency]))
    for name, value in query.chosen.items():
        parts.append((f'CAST("{_known(name, [*names, *_keys(listing)], listing)}" AS VARCHAR) = ?', [value]))
    if query.search:
        texts = ", ".join(f'CAST("{n}" AS VARCHAR)' for n in names)
        parts.append((f"contains(lower(concat_ws(' ', {texts})), lower(?))", [query.search]))
    where = " WHERE " + " AND ".join(text for text, _ in parts) if parts else ""
    return where, [value for _, values in parts for value in values]


def _keys(listing: Listing) -> list[str]:
    return [*declared(listing.table).key]


def _order(order: str, names: list[str], listing: Listing) -> str:
    is_falling, name = order.startswith("-"), order.removeprefix("-")
    if name not in names and name == listing.order.removeprefix("-"):
        name = names[0]
    column = _known(name, names, listing)
    if column == "severity":  # the gravest first, not the alphabet
        return f"CASE \"severity\" WHEN 'high' THEN 0 WHEN 'medium' THEN 1 WHEN 'warning' THEN 1 ELSE 2 END {'DESC' if is_falling else 'ASC'}"
    return f'"{column}" {"DESC" if is_falling else "ASC"} NULLS LAST'


def _known(name: str, names: list[str], listing: Listing) -> str:
    if name not in names:
        raise SettingsError(
            f"{listing.title} has no such column", found=name, expected=", ".join(names), remedy="choose it on the page"
        )
    return name


def wrong_accounts_of(run: Run) -> set[str]:
    """Account numbers that the run refused: no check digit tells them from other text."""
    if not run.has("rejects"):
        return set()
    return accounts_in("\n".join(run.read("rejects")["value"].astype("str")))
