"""Steps on Spark, by the same statements."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from atlas_lib.core.errors import SettingsError
from atlas_lib.core.parquet import write_parquet
from atlas_lib.core.tables import arrow_to_frame

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_SPARK_MACROS = (
    "CREATE TEMPORARY FUNCTION days_between(a DATE, b DATE) RETURNS BIGINT RETURN CAST(datediff(b, a) AS BIGINT)",
    "CREATE TEMPORARY FUNCTION fold_text(s STRING) RETURNS STRING RETURN " + FOLD % "",
    "CREATE TEMPORARY FUNCTION text_distance(a STRING, b STRING) RETURNS BIGINT RETURN CAST(levenshtein(a, b) AS BIGINT)",
    "CREATE TEMPORARY FUNCTION epoch_micros(t TIMESTAMP) RETURNS BIGINT RETURN unix_micros(t)",
    "CREATE TEMPORARY FUNCTION utc_day(t TIMESTAMP) RETURNS DATE RETURN CAST(t AS DATE)",
    "CREATE TEMPORARY FUNCTION utc_hour(t TIMESTAMP) RETURNS INT RETURN hour(t)",
    "CREATE TEMPORARY FUNCTION key_number(a STRING, b STRING) RETURNS BIGINT RETURN xxhash64(a, b)",
)


class SparkEngine(Scratch):
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
                self._frame(source).createOrReplaceTempView(identifier(name))
            for name, sql in steps:
                # A view holds its whole plan: without a checkpoint the plan of forty steps outgrows the driver.
                self._made_step(sql, parameters).localCheckpoint().createOrReplaceTempView(identifier(name))
            yield
        finally:
            self._spark.catalog.clearCache()
            for name in [*inputs, *(name for name, _ in steps)]:
                self._spark.catalog.dropTempView(name)

    def _made_step(self, step: str | Computed, parameters: Mapping[str, Any]) -> Any:
        if isinstance(step, Computed):
            return self._frame(step.make(*(self._frame_of(name) for name in step.reads)))
        used = {p: parameters[p] for p in set(PARAMETER.findall(step))}
        return self._spark.sql(step, args=used)

    def _frame_of(self, name: str) -> pd.DataFrame:
        return arrow_to_frame(narrow(self._spark.table(name).toArrow()))

    def _frame(self, source: Input) -> Any:
        if isinstance(source, Path):
            return self._spark.read.parquet(str(source))
        return self._spark.createDataFrame(to_arrow(source))
