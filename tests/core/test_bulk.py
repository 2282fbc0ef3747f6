"""A table that stays a file is held to the same declaration as a frame."""

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from atlas_lib.core import duckdb_engine
from atlas_lib.core.bulk import check_file
from atlas_lib.core.engine import open_engine
from atlas_lib.core.errors import TableError
from atlas_lib.core.given_settings import run_settings
from atlas_lib.core.opening import create_run
from atlas_lib.core.parquet import write_parquet
from atlas_lib.core.run import Run
from atlas_lib.core.tables import declared

LIQUIDITY = declared("liquidity").shaped(
    pd.DataFrame({
        "currency": ["EUR", "USD"], "opening_balance_minor": [100, 5], "minimum_balance_minor": [2, 1],
        "source_file": "a.csv", "source_sheet": "", "source_row": [2, 3],
    })
)  # fmt: skip
SCHEMA = declared("liquidity").arrow_schema


def as_file(path, frame, schema=SCHEMA):
    return write_parquet(path / "made.parquet", schema, pa.Table.from_pandas(frame, schema=schema).to_batches())


@pytest.fixture
def run(tmp_path):
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "a.csv").write_text("currency\nEUR\n")
    made = create_run(tmp_path / "input", run_settings({"as_of": "2026-10-30"}), tmp_path / "runs")
    return Run(made.directory, "01_ingest")


def make_liquidity(content):
    return {"liquidity": content}


def test_a_file_and_a_frame_of_the_same_rows_are_the_same_table(run, tmp_path):
    run.write("liquidity", LIQUIDITY)
    of_frame = run.manifest["tables"]["liquidity"]
    run.write("liquidity", as_file(tmp_path, LIQUIDITY))
    assert run.manifest["tables"]["liquidity"] == of_frame
    assert of_frame["control_totals"]["opening_balance_minor"] == {"EUR": 100, "USD": 5}


def test_a_step_gives_its_tables_as_files_and_loads_one_when_it_is_looked_at(run, tmp_path):
    made = run.step(make_liquidity, as_file(tmp_path, LIQUIDITY))
    assert "liquidity" not in vars(made)
    assert made.files.liquidity == run.path("liquidity")
    pd.testing.assert_frame_equal(made.liquidity, LIQUIDITY)
    with pytest.raises(AttributeError, match="made liquidity"):
        _ = made.payouts


def test_a_repeated_key_in_a_file_is_refused(run, tmp_path):
    twice = pd.concat([LIQUIDITY, LIQUIDITY.head(1)])
    with pytest.raises(TableError, match="unique key currency"):
        run.write("liquidity", as_file(tmp_path, twice))
    assert not run.has("liquidity")


def test_a_file_with_other_columns_or_types_is_refused(tmp_path):
    path = as_file(tmp_path, LIQUIDITY, SCHEMA.set(1, pa.field("opening_balance_minor", pa.float64())))
    with pytest.raises(TableError, match="breaks its declaration"):
        check_file(declared("liquidity"), path)


def test_an_empty_required_cell_cannot_be_written(tmp_path):
    hollow = LIQUIDITY.assign(source_file=pd.Series([None, "a.csv"], dtype="str"))
    loose = pa.Table.from_pandas(hollow, preserve_index=False).replace_schema_metadata(None)
    with pytest.raises(ValueError, match="null"):
        write_parquet(tmp_path / "made.parquet", SCHEMA, loose.to_batches())


def test_the_engine_writes_groups_of_one_size_whatever_it_was_given(tmp_path):
    schema = pa.schema([pa.field("n", pa.int64(), nullable=False)])
    numbers = pd.DataFrame({"n": range(300_000)})
    engine = open_engine("duckdb")
    made = engine.write([("sorted", "SELECT n FROM numbers ORDER BY n")], {"numbers": numbers}, {"sorted": schema})
    whole = pa.Table.from_pandas(numbers, schema=schema, preserve_index=False)
    for size in (777, 7_001, 131_072):
        again = write_parquet(tmp_path / f"{size}.parquet", schema, whole.to_batches(max_chunksize=size))
        assert made["sorted"].read_bytes() == again.read_bytes()
    assert pq.read_metadata(again).num_row_groups == 3


def test_a_memory_limit_of_the_machine_makes_large_steps_spill(monkeypatch):
    monkeypatch.setenv("ATLAS_MEMORY_LIMIT", "60MB")
    schema = pa.schema([pa.field("n", pa.int64()), pa.field("text", pa.string())])
    large = "SELECT range AS n, repeat(md5(CAST(range AS VARCHAR)), 4) AS text FROM range(600000)"
    steps = [("large", large), ("sorted", "SELECT n, text FROM large ORDER BY text")]
    engine = open_engine("duckdb")
    made = engine.write(steps, {}, {"sorted": schema})
    assert pq.read_metadata(made["sorted"]).num_rows == 600_000


def test_every_engine_of_a_run_has_the_memory_limit_of_the_machine(tmp_path, monkeypatch):
    """Also the one that checks a table that is a file: all of them share one database."""
    monkeypatch.setenv("ATLAS_MEMORY_LIMIT", "123MB")
    asked = [("told", "SELECT current_setting('memory_limit') AS memory_limit")]
    before = duckdb_engine._database.cache_info().currsize
    check_file(declared("liquidity"), as_file(tmp_path, LIQUIDITY))
    for engine in (open_engine("duckdb"), duckdb_engine.DuckDBEngine()):
        assert engine.run(asked, {}, ["told"])["told"]["memory_limit"].tolist() == ["117.3 MiB"]
    assert duckdb_engine._database.cache_info().currsize == before + 1
