"""Set-based work: one SQL text, two engines.

A step is one SELECT in the dialect that DuckDB and Spark SQL share; its result is a table that
later steps can name. Values travel as named parameters (`:as_of`), never as text in the statement.
What the two engines call differently is a macro with the same name on both: `days_between(a, b)`
(b - a in days), `fold_text(s)` (upper-case ASCII letters and digits only), `text_distance(a, b)`.
A quote inside a text is doubled on DuckDB and lost on Spark: write texts without one.
Division of whole numbers and NULL order differ: cast to DOUBLE, and end every ORDER BY with a key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import pandas as pd
import pyarrow as pa

from atlas_lib.core.errors import AtlasError, SettingsError
from atlas_lib.core.tables import arrow_to_frame

if TYPE_CHECKING:
    import duckdb
    from pyspark.sql import SparkSession

EngineName = Literal["duckdb", "spark"]
Input: TypeAlias = pd.DataFrame | pa.Table | Path
Steps: TypeAlias = Sequence[tuple[str, str]]

_FOLD_FROM, _FOLD_TO = "ÄÖÜÁÀÂÃÅÉÈÊËÍÌÎÏÓÒÔÕÚÙÛÇÑŠŽŁØ", "AOUAAAAAEEEEIIIIOOOOUUUCNSZLO"
_FOLD = f"regexp_replace(translate(upper(replace(s, 'ß', 'ss')), '{_FOLD_FROM}', '{_FOLD_TO}'), '[^A-Z0-9]', ''%s)"
_DUCKDB_MACROS = (
    "CREATE MACRO days_between(a, b) AS date_diff('day', CAST(a AS DATE), CAST(b AS DATE))",
    "CREATE MACRO fold_text(s) AS " + _FOLD % ", 'g'",
    "CREATE MACRO text_distance(a, b) AS levenshtein(a, b)",
)
_SPARK_MACROS = (
    "CREATE TEMPORARY FUNCTION days_between(a DATE, b DATE) RETURNS BIGINT RETURN CAST(datediff(b, a) AS BIGINT)",
    "CREATE TEMPORARY FUNCTION fold_text(s STRING) RETURNS STRING RETURN " + _FOLD % "",
    "CREATE TEMPORARY FUNCTION text_distance(a STRING, b STRING) RETURNS BIGINT RETURN CAST(levenshtein(a, b) AS BIGINT)",
)
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]\w*)")


class Engine(Protocol):
    """Runs steps over named tables and returns the asked-for ones as frames."""

    name: EngineName

    def run(
        self,
        steps: Steps,
        inputs: Mapping[str, Input],
        outputs: Sequence[str],
        parameters: Mapping[str, Any] | None = None,
    ) -> dict[str, pd.DataFrame]: ...


class DuckDBEngine:
    """The default: embedded, spills to disk past its memory limit."""

    name: EngineName = "duckdb"

    def __init__(self, memory_limit: str = "", spill_dir: Path | None = None) -> None:
        self._config: dict[str, str] = {"memory_limit": memory_limit} if memory_limit else {}
        if spill_dir:
            self._config["temp_directory"] = str(spill_dir)

    def run(
        self,
        steps: Steps,
        inputs: Mapping[str, Input],
        outputs: Sequence[str],
        parameters: Mapping[str, Any] | None = None,
    ) -> dict[str, pd.DataFrame]:
        import duckdb

        connection = duckdb.connect(":memory:", config=dict(self._config))
        try:
            connection.execute("SET TimeZone = 'UTC'")
            for macro in _DUCKDB_MACROS:
                connection.execute(macro)
            for name, source in inputs.items():
                self._register(connection, name, source)
            for name, sql in steps:
                self._step(connection, name, sql, parameters or {})
            return {name: arrow_to_frame(_narrow(_duckdb_arrow(connection, name))) for name in outputs}
        finally:
            connection.close()

    @staticmethod
    def _register(connection: duckdb.DuckDBPyConnection, name: str, source: Input) -> None:
        if isinstance(source, Path):
            files = source / "**" / "*.parquet" if source.is_dir() else source
            connection.read_parquet(str(files)).create_view(_identifier(name))
        else:
            connection.register(_identifier(name), _arrow(source))

    @staticmethod
    def _step(connection: duckdb.DuckDBPyConnection, name: str, sql: str, parameters: Mapping[str, Any]) -> None:
        used = {p: parameters[p] for p in set(_PARAMETER.findall(sql))}
        statement = _PARAMETER.sub(r"$\1", sql)
        try:
            connection.execute(f"CREATE TEMP TABLE {_identifier(name)} AS {statement}", used)
        except Exception as error:
            raise AtlasError(f"Step {name} failed on DuckDB", found=str(error)) from error


class SparkEngine:
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
            "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
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
        created = [*inputs, *(name for name, _ in steps)]
        try:
            for name, source in inputs.items():
                self._frame(source).createOrReplaceTempView(_identifier(name))
            for name, sql in steps:
                used = {p: (parameters or {})[p] for p in set(_PARAMETER.findall(sql))}
                # A view holds its whole plan: without a checkpoint the plan of forty steps outgrows the driver.
                self._spark.sql(sql, args=used).localCheckpoint().createOrReplaceTempView(_identifier(name))
            return {name: arrow_to_frame(_narrow(self._spark.table(name).toArrow())) for name in outputs}
        finally:
            self._spark.catalog.clearCache()
            for name in created:
                self._spark.catalog.dropTempView(name)

    def _frame(self, source: Input) -> Any:
        if isinstance(source, Path):
            return self._spark.read.parquet(str(source))
        return self._spark.createDataFrame(_arrow(source))


def open_engine(name: str, memory_limit: str = "", spark_master: str = "local[2]") -> Engine:
    """The engine a run asked for by name."""
    if name == "duckdb":
        return DuckDBEngine(memory_limit)
    if name == "spark":
        return SparkEngine(spark_master)
    raise SettingsError("Unknown engine", where="engine", expected="duckdb or spark", found=name)


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


def _duckdb_arrow(connection: duckdb.DuckDBPyConnection, name: str) -> pa.Table:
    return connection.table(name).to_arrow_table()


def _narrow(table: pa.Table) -> pa.Table:
    """sum() of BIGINT is a 128-bit decimal: whole numbers come back as int64 or not at all (checked cast)."""
    for i, field in enumerate(table.schema):
        if (pa.types.is_decimal(field.type) and field.type.scale == 0) or pa.types.is_integer(field.type):
            table = table.set_column(i, field.name, table.column(i).cast(pa.int64()))
        elif pa.types.is_timestamp(field.type) and field.type.tz:
            table = table.set_column(i, field.name, table.column(i).cast(pa.timestamp("us", tz="UTC")))
    return table


def _identifier(name: str) -> str:
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", name):
        raise AtlasError("Not a table name", expected="lower-case letters, digits and _", found=name)
    return name
