"""Steps on DuckDB, embedded in the process."""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from atlas_lib.core.engine import (
    FOLD,
    PARAMETER,
    Computed,
    EngineName,
    Input,
    Scratch,
    Steps,
    identifier,
    narrow,
    to_arrow,
)
from atlas_lib.core.errors import AtlasError
from atlas_lib.core.parquet import ROWS_PER_GROUP, write_parquet
from atlas_lib.core.tables import arrow_to_frame

if TYPE_CHECKING:
    import duckdb

# Most ids and references are plain: the same fold without regexp_replace takes an eighth to a fourth of the time.
_DUCKDB_FOLD = (
    "CASE WHEN regexp_full_match(s, '[A-Z0-9-]*') THEN replace(s, '-', '') "
    "WHEN regexp_full_match(s, '[A-Za-z0-9 -]*') THEN replace(replace(upper(s), '-', ''), ' ', '') ELSE "
    + FOLD % ", 'g'"
    + " END"
)
_DUCKDB_MACROS = (
    "CREATE MACRO days_between(a, b) AS date_diff('day', CAST(a AS DATE), CAST(b AS DATE))",
    "CREATE MACRO fold_text(s) AS " + _DUCKDB_FOLD,
    "CREATE MACRO text_distance(a, b) AS levenshtein(a, b)",
    "CREATE MACRO epoch_micros(t) AS epoch_us(t)",
    "CREATE MACRO utc_day(t) AS CAST(make_timestamp(epoch_us(t)) AS DATE)",
    "CREATE MACRO utc_hour(t) AS hour(make_timestamp(epoch_us(t)))",
    "CREATE MACRO key_number(a, b) AS hash(a, b)",
)
_MEMORY_LIMIT = "ATLAS_MEMORY_LIMIT"
_OPENING = threading.Lock()
_WORD = re.compile(r"(?<![\w.])[a-z_][a-z0-9_]*(?!\w)")


class DuckDBEngine(Scratch):
    """The default: embedded, spills to disk past its memory limit; what is not given comes from the environment."""

    name: EngineName = "duckdb"

    def __init__(self, memory_limit: str = "") -> None:
        self._memory_limit = memory_limit or os.environ.get(_MEMORY_LIMIT, "")

    def run(
        self,
        steps: Steps,
        inputs: Mapping[str, Input],
        outputs: Sequence[str],
        parameters: Mapping[str, Any] | None = None,
    ) -> dict[str, pd.DataFrame]:
        with self._made(steps, inputs, parameters or {}, outputs) as connection:
            return {name: _duckdb_frame(connection, name) for name in outputs}

    def write(
        self,
        steps: Steps,
        inputs: Mapping[str, Input],
        files: Mapping[str, pa.Schema],
        parameters: Mapping[str, Any] | None = None,
    ) -> dict[str, Path]:
        made, before = {}, [step for step in steps if step[0] not in files]
        written = [step for step in steps if step[0] in files]
        read = set().union(*(_names_in(sql) for _, sql in written))
        needed = [name for name, _ in before if name in read]
        with self._made(before, inputs, parameters or {}, needed) as connection:
            for name, schema in files.items():
                with _named(name):
                    found = self._made_step(connection, dict(steps)[name], parameters or {})
                    made[name] = write_parquet(self.new_file(name), schema, found.to_arrow_reader(ROWS_PER_GROUP))
                self._register(connection, name, made[name])
        return made

    @contextmanager
    def _made(
        self, steps: Steps, inputs: Mapping[str, Input], parameters: Mapping[str, Any], kept: Sequence[str]
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection with the inputs, and of the steps the tables to be kept; the others go with their last reader.

        All it makes is temporary: no other connection to the same database sees it.
        """
        connection = _connection(self._memory_limit)
        try:
            for name, source in inputs.items():
                self._register(connection, name, source)
            passing = _last_readers(steps, kept)
            for name, sql in steps:
                with _named(name):
                    self._create(connection, name, sql, parameters)
                for read in passing.get(name, ()):
                    connection.execute(f"DROP TABLE {identifier(read)}")
            yield connection
        finally:
            connection.close()

    @staticmethod
    def _register(connection: duckdb.DuckDBPyConnection, name: str, source: Input) -> None:
        if isinstance(source, Path):
            files = source / "**" / "*.parquet" if source.is_dir() else source
            connection.register(identifier(name), connection.read_parquet(str(files)))
        else:
            connection.register(identifier(name), to_arrow(source))

    def _create(
        self, connection: duckdb.DuckDBPyConnection, name: str, step: str | Computed, parameters: Mapping[str, Any]
    ) -> None:
        """The step's table. One statement is planned once, where a relation is planned again when it is created."""
        if isinstance(step, str):
            sql, used = self._bound(step, parameters)
            connection.execute(f"CREATE TEMP TABLE {identifier(name)} AS {sql}", used)
        else:
            rows = f"{identifier(name)}__rows"
            connection.register(rows, to_arrow(step.make(*(_duckdb_frame(connection, read) for read in step.reads))))
            connection.execute(f"CREATE TEMP TABLE {identifier(name)} AS SELECT * FROM {rows}")  # noqa: S608
            connection.unregister(rows)

    def _made_step(
        self, connection: duckdb.DuckDBPyConnection, step: str | Computed, parameters: Mapping[str, Any]
    ) -> Any:
        if isinstance(step, str):
            return self._select(connection, step, parameters)
        return connection.from_arrow(to_arrow(step.make(*(_duckdb_frame(connection, name) for name in step.reads))))

    def _select(self, connection: duckdb.DuckDBPyConnection, step: str, parameters: Mapping[str, Any]) -> Any:
        sql, used = self._bound(step, parameters)
        return connection.sql(sql, params=used)

    @staticmethod
    def _bound(sql: str, parameters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        return PARAMETER.sub(r"$\1", sql), {p: parameters[p] for p in set(PARAMETER.findall(sql))}


def _last_readers(steps: Steps, kept: Sequence[str]) -> dict[str, list[str]]:
    """Which tables no step reads any more, by the step that read them last."""
    last: dict[str, str] = {}
    for name, sql in steps:
        last.update(dict.fromkeys(_names_in(sql) & last.keys(), name))
        if name not in kept:
            last[name] = name
    passing: dict[str, list[str]] = {}
    for name, reader in last.items():
        passing.setdefault(reader, []).append(name)
    return passing


def _names_in(sql: str | Computed) -> set[str]:
    """Every word of a step that may be a table's name."""
    return set(sql.reads) if isinstance(sql, Computed) else set(_WORD.findall(sql))


@contextmanager
def _named(step: str) -> Iterator[None]:
    """An error of the database says which step it came from."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise AtlasError(f"Step {step} failed on DuckDB", found=str(error)) from error


def _duckdb_frame(connection: duckdb.DuckDBPyConnection, name: str) -> pd.DataFrame:
    return arrow_to_frame(narrow(connection.table(name).to_arrow_table()))


def _connection(memory_limit: str) -> duckdb.DuckDBPyConnection:
    with _OPENING:
        return _database(memory_limit).cursor()


@cache
def _database(memory_limit: str) -> duckdb.DuckDBPyConnection:
    """One for the process and a memory limit, in memory: opening it takes as long as a dozen small statements, and every table is a
    connection's own. What outgrows the memory limit lies in a folder that goes with the process."""
    import duckdb

    config = {"temp_directory": str(Path(_spill().name) / (memory_limit or "unlimited"))} | (
        {"memory_limit": memory_limit} if memory_limit else {}
    )
    connection = duckdb.connect(":memory:", config=dict(config))
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    for macro in _DUCKDB_MACROS:
        connection.execute(macro)
    return connection


@cache
def _spill() -> tempfile.TemporaryDirectory[str]:
    """Each database has a folder in it: two of them would give their files the same names."""
    return tempfile.TemporaryDirectory(prefix="atlas-", ignore_cleanup_errors=True)
