"""Rows of a run's table as a page asks for them: filtered, sorted, a page at a time, read from the Parquet file."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import pandas as pd

from atlas_lib.core.errors import SettingsError
from atlas_lib.core.run import Run
from atlas_lib.core.tables import arrow_to_frame, declared
from atlas_lib.dashboard.access import columns_for, conditions_for
from atlas_lib.dashboard.listings import Listing
from atlas_lib.reserves_credit.roles import Actor

SIZES = (10, 25, 100)
_OF_THREAD = threading.local()


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
    """The rows that fit, in the order asked for, ties by the table's key.

    Raises Refused when the person may not see the table, SettingsError for a column it does not have.
    """
    table = declared(listing.table)
    names = columns_for(actor, listing)
    where, values = _conditions(actor, listing, query, names)
    source = "read_parquet(?, hive_partitioning=false)"
    key = [*table.key, *names]
    order = ", ".join([_order(query.order or listing.order, names, listing), *(f'"{n}"' for n in dict.fromkeys(key))])
    limit = "" if not query.size else f" LIMIT {int(query.size)} OFFSET {max(0, query.page - 1) * int(query.size)}"
    path, connection = str(run.path(listing.table)), _connection()
    counted = connection.execute(f"SELECT count(*) FROM {source}{where}", [path, *values]).fetchall()  # noqa: S608
    columns = ", ".join(f'"{n}"' for n in dict.fromkeys([*names, *_helpers(table.column_names, names)]))
    text = f"SELECT {columns} FROM {source}{where} ORDER BY {order}{limit}"  # noqa: S608
    return Rows(arrow_to_frame(connection.sql(text, params=[path, *values]).to_arrow_table()), int(counted[0][0]))


def choices_of(run: Run, actor: Actor, listing: Listing) -> dict[str, list[str]]:
    """The values of each drop-down, among the rows the person may see."""
    names = tuple(n for n in listing.choices.split() if n in columns_for(actor, listing))
    where, values = _conditions(actor, listing, Query(), list(names))
    own = tuple(tuple(v) if isinstance(v, list) else v for v in values)
    return _choices(str(run.path(listing.table)), run.manifest["tables"][listing.table]["sha256"], names, where, own)


@lru_cache(maxsize=256)
def _choices(path: str, sha256: str, names: tuple[str, ...], where: str, own: tuple[Any, ...]) -> dict[str, list[str]]:  # noqa: ARG001  # a table made anew is read anew
    values = [list(v) if isinstance(v, tuple) else v for v in own]
    source, connection, out = "read_parquet(?, hive_partitioning=false)", _connection(), {}
    for name in names:
        text = f'SELECT DISTINCT CAST("{name}" AS VARCHAR) AS v FROM {source}{where} ORDER BY v'  # noqa: S608
        out[name] = [str(row[0]) for row in connection.execute(text, [path, *values]).fetchall() if row[0] is not None]
    return out


def _connection() -> Any:
    """One small connection per thread: pages are read side by side, and none may take the machine."""
    import duckdb

    if not hasattr(_OF_THREAD, "connection"):
        _OF_THREAD.connection = duckdb.connect(config={"threads": 1, "memory_limit": "256MB"})
    return _OF_THREAD.connection


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
