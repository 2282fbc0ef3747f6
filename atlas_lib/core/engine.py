"""Set-based work: one SQL text, two engines.

A step is one SELECT in the dialect that DuckDB and Spark SQL share; its result is a table that
later steps can name. What is no SELECT (an assignment, an estimate) is a `Computed` step: a function of the frames of
earlier tables, which the step before has made few. Values travel as named parameters (`:as_of`), never as text in the statement.
What the two engines call differently is a macro with the same name on both: `days_between(a, b)`
(b - a in days), `fold_text(s)` (upper-case ASCII letters and digits only), `text_distance(a, b)`, `epoch_micros(t)`
(microseconds since 1970 of an instant), `utc_day(t)` and `utc_hour(t)` (of an instant; a plain cast asks the time zone
database of every row), `key_number(a, b)` (64 bits that stand for two texts, to partition by: a window
over numbers takes half the time; the number itself differs between the engines).
A quote inside a text is doubled on DuckDB and lost on Spark: write texts without one.
Division of whole numbers and NULL order differ: cast to DOUBLE, and end every ORDER BY with a key.

A table may come in as a frame, as Arrow or as a Parquet file, and go out as a frame (`run`) or as a Parquet file in
the engine's own folder, which goes with it (`write`): what is larger than memory never becomes a frame (on Spark the
rows that are written pass through the driver). The memory limit
(ATLAS_MEMORY_LIMIT, as `2GB`) and the Spark address (ATLAS_SPARK_MASTER) belong to the machine and not to the run, so
they come from the environment.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from atlas_lib.core.errors import AtlasError, SettingsError
from atlas_lib.core.tables import arrow_to_frame

if TYPE_CHECKING:
    import duckdb
    from pyspark.sql import SparkSession

EngineName = Literal["duckdb", "spark"]
Input: TypeAlias = pd.DataFrame | pa.Table | Path
Output: TypeAlias = pd.DataFrame | Path


@dataclass(frozen=True)
class Computed:
    """A step in Python: `make` gets the frames of the tables in `reads` and returns the step's rows."""

    reads: tuple[str, ...]
    make: Callable[..., pd.DataFrame]


Steps: TypeAlias = Sequence[tuple[str, str | Computed]]

_FOLD_FROM, _FOLD_TO = "ÄÖÜÁÀÂÃÅÉÈÊËÍÌÎÏÓÒÔÕÚÙÛÇÑŠŽŁØ", "AOUAAAAAEEEEIIIIOOOOUUUCNSZLO"
_FOLD = f"regexp_replace(translate(upper(replace(s, 'ß', 'ss')), '{_FOLD_FROM}', '{_FOLD_TO}'), '[^A-Z0-9]', ''%s)"
# Most ids and references are plain: the same fold without regexp_replace takes an eighth to a fourth of the time.
_DUCKDB_FOLD = (
    "CASE WHEN regexp_full_match(s, '[A-Z0-9-]*') THEN replace(s, '-', '') "
    "WHEN regexp_full_match(s, '[A-Za-z0-9 -]*') THEN replace(replace(upper(s), '-', ''), ' ', '') ELSE "
    + _FOLD % ", 'g'"
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
_SPARK_MACROS = (
    "CREATE TEMPORARY FUNCTION days_between(a DATE, b DATE) RETURNS BIGINT RETURN CAST(datediff(b, a) AS BIGINT)",
    "CREATE TEMPORARY FUNCTION fold_text(s STRING) RETURNS STRING RETURN " + _FOLD % "",
    "CREATE TEMPORARY FUNCTION text_distance(a STRING, b STRING) RETURNS BIGINT RETURN CAST(levenshtein(a, b) AS BIGINT)",
    "CREATE TEMPORARY FUNCTION epoch_micros(t TIMESTAMP) RETURNS BIGINT RETURN unix_micros(t)",
    "CREATE TEMPORARY FUNCTION utc_day(t TIMESTAMP) RETURNS DATE RETURN CAST(t AS DATE)",
    "CREATE TEMPORARY FUNCTION utc_hour(t TIMESTAMP) RETURNS INT RETURN hour(t)",
    "CREATE TEMPORARY FUNCTION key_number(a STRING, b STRING) RETURNS BIGINT RETURN xxhash64(a, b)",
)
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]\w*)")
_WORD = re.compile(r"(?<![\w.])[a-z_][a-z0-9_]*(?!\w)")
_MEMORY_LIMIT, _SPARK_MASTER = "ATLAS_MEMORY_LIMIT", "ATLAS_SPARK_MASTER"
_ALLOCATOR = "ARROW_DEFAULT_MEMORY_POOL"
_ROWS_PER_GROUP = 122_880  # of the Parquet files written; fixed, so that the same table has the same bytes
_SAMPLE_ROWS = 10_000  # by which it is told whether a column repeats itself
_WHOLE, _LENGTHS = "DELTA_BINARY_PACKED", "DELTA_LENGTH_BYTE_ARRAY"
_DELTAS = {pa.int64(): _WHOLE, pa.timestamp("us", tz="UTC"): _WHOLE, pa.string(): _LENGTHS}


class Engine(Protocol):
    """Runs steps over named tables."""

    name: EngineName

    def new_file(self, name: str) -> Path:
        """A path in the engine's own folder for the table's file."""
        ...

    def run(
        self,
        steps: Steps,
        inputs: Mapping[str, Input],
        outputs: Sequence[str],
        parameters: Mapping[str, Any] | None = None,
    ) -> dict[str, pd.DataFrame]:
        """The asked-for tables as frames."""
        ...

    def write(
        self,
        steps: Steps,
        inputs: Mapping[str, Input],
        files: Mapping[str, pa.Schema],
        parameters: Mapping[str, Any] | None = None,
    ) -> dict[str, Path]:
        """The asked-for tables as Parquet files of the given Arrow schema; no later step may name them."""
        ...


class _Scratch:
    """A folder of the engine's own, made when first used and gone with the engine."""

    @cached_property
    def _folder(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="atlas-", ignore_cleanup_errors=True)

    def new_file(self, name: str) -> Path:
        """A path for the table's file; an earlier one of the same name stays as it is."""
        return Path(tempfile.mkdtemp(dir=self._folder.name)) / f"{_identifier(name)}.parquet"


class DuckDBEngine(_Scratch):
    """The default: embedded, spills to disk past its memory limit."""

    name: EngineName = "duckdb"

    def __init__(self, memory_limit: str = "") -> None:
        self._memory_limit = memory_limit

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
                    made[name] = write_parquet(self.new_file(name), schema, found.to_arrow_reader(_ROWS_PER_GROUP))
        return made

    @contextmanager
    def _made(
        self, steps: Steps, inputs: Mapping[str, Input], parameters: Mapping[str, Any], kept: Sequence[str]
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection with the inputs, and of the steps the tables to be kept; the others go with their last reader.

        All it makes is temporary: no other connection to the same database sees it.
        """
        connection = self._database.cursor()
        try:
            for name, source in inputs.items():
                self._register(connection, name, source)
            passing = _last_readers(steps, kept)
            for name, sql in steps:
                with _named(name):
                    self._create(connection, name, sql, parameters)
                for read in passing.get(name, ()):
                    connection.execute(f"DROP TABLE {_identifier(read)}")
            yield connection
        finally:
            connection.close()

    @cached_property
    def _database(self) -> duckdb.DuckDBPyConnection:
        """Opened once: that takes as long as a dozen small statements."""
        import duckdb

        config = {"temp_directory": str(Path(self._folder.name) / "spill")} if self._memory_limit else {}
        if self._memory_limit:
            config["memory_limit"] = self._memory_limit
        connection = duckdb.connect(":memory:", config=dict(config))
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
        for macro in _DUCKDB_MACROS:
            connection.execute(macro)
        return connection

    @staticmethod
    def _register(connection: duckdb.DuckDBPyConnection, name: str, source: Input) -> None:
        if isinstance(source, Path):
            files = source / "**" / "*.parquet" if source.is_dir() else source
            connection.register(_identifier(name), connection.read_parquet(str(files)))
        else:
            connection.register(_identifier(name), _arrow(source))

    def _create(
        self, connection: duckdb.DuckDBPyConnection, name: str, step: str | Computed, parameters: Mapping[str, Any]
    ) -> None:
        """The step's table. One statement is planned once, where a relation is planned again when it is created."""
        if isinstance(step, str):
            sql, used = self._bound(step, parameters)
            connection.execute(f"CREATE TEMP TABLE {_identifier(name)} AS {sql}", used)
        else:
            rows = f"{_identifier(name)}__rows"
            connection.register(rows, _arrow(step.make(*(_duckdb_frame(connection, read) for read in step.reads))))
            connection.execute(f"CREATE TEMP TABLE {_identifier(name)} AS SELECT * FROM {rows}")  # noqa: S608
            connection.unregister(rows)

    def _made_step(
        self, connection: duckdb.DuckDBPyConnection, step: str | Computed, parameters: Mapping[str, Any]
    ) -> Any:
        if isinstance(step, str):
            return self._select(connection, step, parameters)
        return connection.from_arrow(_arrow(step.make(*(_duckdb_frame(connection, name) for name in step.reads))))

    def _select(self, connection: duckdb.DuckDBPyConnection, step: str, parameters: Mapping[str, Any]) -> Any:
        sql, used = self._bound(step, parameters)
        return connection.sql(sql, params=used)

    @staticmethod
    def _bound(sql: str, parameters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        return _PARAMETER.sub(r"$\1", sql), {p: parameters[p] for p in set(_PARAMETER.findall(sql))}


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


class SparkEngine(_Scratch):
    """The same statements where one machine is outgrown; `master` is a cluster URL in production."""

    name: EngineName = "spark"

    def __init__(self, master: str = "local[2]") -> None:
        try:
            from pyspark.sql import SparkSession
        except ImportError as error:
            raise SettingsError(
                "The Spark engine is not installed",
                expected="pyspark and a Java 17 runtime",
                remedy="pip install 'atlas-settlement[spark]'",
            ) from error
        aside = tempfile.gettempdir()  # else the system's own folder and, for the warehouse, the current one
        options = {
            "spark.sql.shuffle.partitions": "2",
            "spark.sql.adaptive.enabled": "false",
            # With it, a UNION over checkpointed steps fails in the optimizer (key not found).
            "spark.sql.constraintPropagation.enabled": "false",
            "spark.sql.session.timeZone": "UTC",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.extraJavaOptions": f"-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Djava.io.tmpdir={aside}",
            "spark.local.dir": aside,
            "spark.sql.warehouse.dir": f"{aside}/spark-warehouse",
            "spark.sql.execution.arrow.pyspark.enabled": "true",
        }
        builder = SparkSession.builder.master(master).appName("atlas-settlement")
        for key, value in options.items():
            builder = builder.config(key, value)
        self._spark: SparkSession = builder.getOrCreate()
        self._spark.sparkContext.setLogLevel("ERROR")
        for macro in _SPARK_MACROS:
            self._spark.sql(macro.replace("CREATE TEMPORARY", "CREATE OR REPLACE TEMPORARY", 1))

    def run(
        self,
        steps: Steps,
        inputs: Mapping[str, Input],
        outputs: Sequence[str],
        parameters: Mapping[str, Any] | None = None,
    ) -> dict[str, pd.DataFrame]:
        with self._made(steps, inputs, parameters or {}):
            return {name: self._frame_of(name) for name in outputs}

    def write(
        self,
        steps: Steps,
        inputs: Mapping[str, Input],
        files: Mapping[str, pa.Schema],
        parameters: Mapping[str, Any] | None = None,
    ) -> dict[str, Path]:
        with self._made(steps, inputs, parameters or {}):
            tables = {name: self._spark.table(name).toArrow().to_batches() for name in files}
        return {name: write_parquet(self.new_file(name), files[name], tables[name]) for name in files}

    @contextmanager
    def _made(self, steps: Steps, inputs: Mapping[str, Input], parameters: Mapping[str, Any]) -> Iterator[None]:
        """Views of the inputs and of each step's rows, as long as they are needed."""
        try:
            for name, source in inputs.items():
                self._frame(source).createOrReplaceTempView(_identifier(name))
            for name, sql in steps:
                # A view holds its whole plan: without a checkpoint the plan of forty steps outgrows the driver.
                self._made_step(sql, parameters).localCheckpoint().createOrReplaceTempView(_identifier(name))
            yield
        finally:
            self._spark.catalog.clearCache()
            for name in [*inputs, *(name for name, _ in steps)]:
                self._spark.catalog.dropTempView(name)

    def _made_step(self, step: str | Computed, parameters: Mapping[str, Any]) -> Any:
        if isinstance(step, Computed):
            return self._frame(step.make(*(self._frame_of(name) for name in step.reads)))
        used = {p: parameters[p] for p in set(_PARAMETER.findall(step))}
        return self._spark.sql(step, args=used)

    def _frame_of(self, name: str) -> pd.DataFrame:
        return arrow_to_frame(_narrow(self._spark.table(name).toArrow()))

    def _frame(self, source: Input) -> Any:
        if isinstance(source, Path):
            return self._spark.read.parquet(str(source))
        return self._spark.createDataFrame(_arrow(source))


def open_engine(name: str, memory_limit: str = "", spark_master: str = "") -> Engine:
    """The engine a run asked for by name; what is not given here comes from the environment."""
    _choose_allocator()
    if name == "duckdb":
        return DuckDBEngine(memory_limit or os.environ.get(_MEMORY_LIMIT, ""))
    if name == "spark":
        return SparkEngine(spark_master or os.environ.get(_SPARK_MASTER, "local[2]"))
    raise SettingsError("Unknown engine", where="engine", expected="duckdb or spark", found=name)


def _choose_allocator() -> None:
    """Arrow's memory from jemalloc where there is one and nobody chose: the default returns it to the system at once,
    and asking for it again was a fourth of the processor time of an intake."""
    if _ALLOCATOR not in os.environ and "jemalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())


def as_input(source: Input) -> Input:
    """A frame made ready once for several runs of an engine; a file or Arrow table as it is."""
    return _arrow(source) if isinstance(source, pd.DataFrame) else source


def _arrow(source: pd.DataFrame | pa.Table) -> pa.Table:
    """Frames cross as Arrow: nulls stay nulls, midnight columns become dates, instants UTC microseconds."""
    if isinstance(source, pa.Table):
        return source
    table = pa.Table.from_pandas(source, preserve_index=False).replace_schema_metadata(None)
    for i, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type) and field.type.tz is None:
            table = table.set_column(i, field.name, table.column(i).cast(pa.date32()))
        elif pa.types.is_large_string(field.type) or pa.types.is_null(field.type):
            table = table.set_column(i, field.name, table.column(i).cast(pa.string()))
    return table


def _duckdb_frame(connection: duckdb.DuckDBPyConnection, name: str) -> pd.DataFrame:
    return arrow_to_frame(_narrow(connection.table(name).to_arrow_table()))


def _narrow(table: pa.Table) -> pa.Table:
    """sum() of BIGINT is a 128-bit decimal: whole numbers come back as int64 or not at all (checked cast)."""
    for i, field in enumerate(table.schema):
        if (pa.types.is_decimal(field.type) and field.type.scale == 0) or pa.types.is_integer(field.type):
            table = table.set_column(i, field.name, table.column(i).cast(pa.int64()))
        elif pa.types.is_timestamp(field.type) and field.type.tz:
            table = table.set_column(i, field.name, table.column(i).cast(pa.timestamp("us", tz="UTC")))
    return table


def write_parquet(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Path:
    """Batches of any size into groups of a fixed number of rows: the same table has the same bytes.

    One group is written while the next is being made. The schema may have dictionaries for texts: the file is the same
    table, and read as texts.
    """
    has_codes = any(pa.types.is_dictionary(field.type) for field in schema)
    with ThreadPoolExecutor(1) as pool:
        groups = _groups(schema, batches)
        first = next(groups, schema.empty_table())
        options = {"store_schema": not has_codes, "write_batch_size": _ROWS_PER_GROUP} | _encodings(first)
        with pq.ParquetWriter(path, schema, **options) as writer:
            written: Future[None] | None = pool.submit(_write_groups, writer, first) if first.num_rows else None
            for table in groups:
                if written:
                    written.result()
                written = pool.submit(_write_groups, writer, table)
            if written:
                written.result()
    return path


def _groups(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Whole groups as they fill, and what is left."""
    held, count = [schema.empty_table()], 0
    for batch in batches:
        held.append(pa.Table.from_batches([batch]).select(schema.names).cast(schema))
        count += batch.num_rows
        if count >= _ROWS_PER_GROUP:
            table, full = pa.concat_tables(held), count // _ROWS_PER_GROUP * _ROWS_PER_GROUP
            yield table.slice(0, full)
            held, count = [table.slice(full)], count - full
    if count:
        yield pa.concat_tables(held)


def _encodings(table: pa.Table) -> dict[str, Any]:
    """By the first values of each column: a dictionary, compressed, where they repeat; what hardly repeats compresses
    hardly either, and lies there as differences of whole numbers or as lengths and texts."""
    sample = table.slice(0, _SAMPLE_ROWS)
    repeating = [name for name in table.column_names if 2 * len(sample[name].unique()) <= len(sample)]
    others = [field for field in table.schema if field.name not in repeating]
    return {
        "use_dictionary": repeating,
        "column_encoding": {field.name: _DELTAS[field.type] for field in others if field.type in _DELTAS} or None,
        "compression": dict.fromkeys(repeating, "snappy") | {field.name: "none" for field in others},
    }


def _write_groups(writer: pq.ParquetWriter, table: pa.Table) -> None:
    """Each group in one chunk: the pages of a file follow the chunks they are written from."""
    for start in range(0, table.num_rows, _ROWS_PER_GROUP):
        writer.write_table(table.slice(start, _ROWS_PER_GROUP).combine_chunks(), row_group_size=_ROWS_PER_GROUP)


def _identifier(name: str) -> str:
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", name):
        raise AtlasError("Not a table name", expected="lower-case letters, digits and _", found=name)
    return name
