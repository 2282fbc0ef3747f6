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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import pandas as pd
import pyarrow as pa

from atlas_lib.core.errors import AtlasError, SettingsError

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
FOLD = f"regexp_replace(translate(upper(replace(s, 'ß', 'ss')), '{_FOLD_FROM}', '{_FOLD_TO}'), '[^A-Z0-9]', ''%s)"
PARAMETER = re.compile(r"(?<![:\w]):([a-z_]\w*)")
_SPARK_MASTER = "ATLAS_SPARK_MASTER"
_ALLOCATOR = "ARROW_DEFAULT_MEMORY_POOL"
_KEPT_MS = 10_000  # what is freed stays with the process for as long: the next piece or stage needs as much


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
        """The asked-for tables as Parquet files of the given Arrow schema, in their order: only a later one of them may name one."""
        ...


class Scratch:
    """A folder of the engine's own, made when first used and gone with the engine."""

    @cached_property
    def _folder(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="atlas-", ignore_cleanup_errors=True)

    def new_file(self, name: str) -> Path:
        """A path for the table's file; an earlier one of the same name stays as it is."""
        return Path(tempfile.mkdtemp(dir=self._folder.name)) / f"{identifier(name)}.parquet"


def open_engine(name: str, memory_limit: str = "", spark_master: str = "") -> Engine:
    """The engine a run asked for by name; what is not given here comes from the environment."""
    _choose_allocator()
    if name == "duckdb":
        from atlas_lib.core.duckdb_engine import DuckDBEngine

        return DuckDBEngine(memory_limit)
    if name == "spark":
        from atlas_lib.core.spark_engine import SparkEngine

        return SparkEngine(spark_master or os.environ.get(_SPARK_MASTER, "local[2]"))
    raise SettingsError("Unknown engine", where="engine", expected="duckdb or spark", found=name)


def _choose_allocator() -> None:
    """Arrow's memory from jemalloc where there is one and nobody chose: the default returns it to the system at once,
    and asking for it again was a fourth of the processor time of an intake."""
    if _ALLOCATOR not in os.environ and "jemalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())
        pa.jemalloc_set_decay_ms(_KEPT_MS)


def as_input(source: Input) -> Input:
    """A frame made ready once for several runs of an engine; a file or Arrow table as it is."""
    return to_arrow(source) if isinstance(source, pd.DataFrame) else source


def to_arrow(source: pd.DataFrame | pa.Table) -> pa.Table:
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


def narrow(table: pa.Table) -> pa.Table:
    """sum() of BIGINT is a 128-bit decimal: whole numbers come back as int64 or not at all (checked cast)."""
    for i, field in enumerate(table.schema):
        if (pa.types.is_decimal(field.type) and field.type.scale == 0) or pa.types.is_integer(field.type):
            table = table.set_column(i, field.name, table.column(i).cast(pa.int64()))
        elif pa.types.is_timestamp(field.type) and field.type.tz:
            table = table.set_column(i, field.name, table.column(i).cast(pa.timestamp("us", tz="UTC")))
    return table


def identifier(name: str) -> str:
    """The name, which stands in a statement as it is."""
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", name):
        raise AtlasError("Not a table name", expected="lower-case letters, digits and _", found=name)
    return name
