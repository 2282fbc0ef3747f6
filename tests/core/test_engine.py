import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from atlas_lib.core.duckdb_engine import DuckDBEngine, _last_readers
from atlas_lib.core.engine import FOLD, open_engine
from atlas_lib.core.errors import AtlasError, SettingsError
from atlas_lib.core.parquet import write_parquet

SALES = pd.DataFrame(
    {
        "id": ["a", "b", "c"],
        "day": pd.to_datetime(["2026-01-01", None, "2026-02-01"]).astype("datetime64[us]"),
        "amount_minor": pd.array([9_007_199_254_740_993, None, 3], dtype="Int64"),
        "name": ["Müller & Söhne", "Straße ß", None],
    }
)
STEPS = [
    ("aged", "SELECT id, days_between(day, :as_of) AS age_days, fold_text(name) AS folded, amount_minor FROM sales"),
    ("total", "SELECT CAST(SUM(amount_minor) AS BIGINT) AS total_minor, COUNT(*) AS row_count FROM aged"),
]
PARAMETERS = {"as_of": dt.date(2026, 3, 1)}


def check_answers(engine):
    tables = engine.run(STEPS, {"sales": SALES}, ["aged", "total"], PARAMETERS)
    aged = tables["aged"].sort_values("id", ignore_index=True)
    assert aged["age_days"].tolist() == [59, pd.NA, 28]
    assert aged["folded"].tolist()[:2] == ["MULLERSOHNE", "STRASSESS"]
    assert aged["amount_minor"].iloc[0] == 9_007_199_254_740_993
    assert tables["total"].to_dict("records") == [{"total_minor": 9_007_199_254_740_996, "row_count": 3}]


def test_steps_name_each_other_and_whole_numbers_stay_whole(duckdb_engine):
    check_answers(duckdb_engine)


@pytest.mark.slow
def test_spark_gives_the_same_rows(spark_engine):
    check_answers(spark_engine)


def test_a_parquet_file_is_read_without_loading_it(duckdb_engine, tmp_path):
    SALES.to_parquet(tmp_path / "sales.parquet")
    answer = duckdb_engine.run([("n", "SELECT COUNT(*) AS n FROM sales")], {"sales": tmp_path / "sales.parquet"}, ["n"])
    assert answer["n"]["n"].tolist() == [3]


def test_a_later_file_may_name_an_earlier_one(duckdb_engine):
    steps = [
        ("all_rows", "SELECT id, minor FROM given"),
        ("large", "SELECT id FROM all_rows WHERE minor > 5 ORDER BY id"),
    ]
    schemas = {"all_rows": pa.schema([("id", pa.string()), ("minor", pa.int64())]), "large": pa.schema([("id", pa.string())])}  # fmt: skip
    given = pd.DataFrame({"id": ["a", "b", "c"], "minor": [5, 6, 7]})
    files = duckdb_engine.write(steps, {"given": given}, schemas)
    assert pq.read_table(files["large"])["id"].to_pylist() == ["b", "c"]


def test_a_wrong_statement_names_its_step(duckdb_engine):
    with pytest.raises(AtlasError, match="Step broken failed"):
        duckdb_engine.run([("broken", "SELECT nothing FROM sales")], {"sales": SALES}, ["broken"])


def test_values_are_parameters_and_never_text(duckdb_engine):
    steps = [("found", "SELECT id FROM sales WHERE name = :name")]
    answer = duckdb_engine.run(steps, {"sales": SALES}, ["found"], {"name": "' OR 1=1 --"})
    assert answer["found"].empty


def test_a_table_name_cannot_carry_a_statement(duckdb_engine):
    with pytest.raises(AtlasError, match="Not a table name"):
        duckdb_engine.run([("x; DROP TABLE sales", "SELECT 1 AS one")], {"sales": SALES}, [])


def test_an_unknown_engine_is_refused():
    with pytest.raises(SettingsError, match="duckdb or spark"):
        open_engine("ibis")


def test_a_table_goes_with_its_last_reader_and_those_asked_for_stay():
    steps = [
        ("one", "SELECT 1 AS n"),
        ("two", "SELECT n + 1 AS n FROM one"),
        ("three", "SELECT two.n + 1 AS n FROM two"),
    ]
    assert _last_readers(steps, ["three"]) == {"two": ["one"], "three": ["two"]}
    made = DuckDBEngine().run(steps, {}, ["one", "three"])
    assert [made[name]["n"].tolist() for name in ("one", "three")] == [[1], [3]]


@pytest.mark.parametrize("text", ["AS26-0001", "as26-0001 ", "Zahlung 4/b", "groß-Ü", "", "ABC", "é_1", None])
def test_the_quick_fold_of_plain_texts_is_the_fold_of_all(text):
    whole = FOLD % ", 'g'"
    steps = [("folded", f"SELECT fold_text(s) AS quick, {whole} AS slow FROM texts")]  # noqa: S608
    found = DuckDBEngine().run(steps, {"texts": pd.DataFrame({"s": pd.Series([text], dtype="str")})}, ["folded"])[
        "folded"
    ]
    assert found["quick"].equals(found["slow"].rename("quick"))


CODES = pa.dictionary(pa.int32(), pa.string())
ROWS = [{"id": f"T-{n}", "currency": ("EUR", "USD", None, 'Zürich \\ "ß"')[n % 4], "minor": n} for n in range(5_000)]


def batches(sizes, kinds):
    """ROWS in batches of these sizes, the currency in turn as texts, as codes, or as a frame gives it."""
    start, number = 0, 0
    while start < len(ROWS):
        rows, kind = ROWS[start : start + sizes[number % len(sizes)]], kinds[number % len(kinds)]
        start, number = start + len(rows), number + 1
        if kind == "frame":
            yield from pa.Table.from_pandas(pd.DataFrame(rows), preserve_index=False).to_batches()
        else:
            texts = pa.array([row["currency"] for row in rows], pa.string())
            given = {"id": [row["id"] for row in rows], "minor": [row["minor"] for row in rows]}
            columns = given | {"currency": texts.dictionary_encode() if kind == "codes" else texts}
            yield pa.RecordBatch.from_pydict(columns)


@pytest.mark.parametrize("stored", [pa.string(), CODES], ids=["as texts", "as codes"])
@pytest.mark.parametrize("kinds", [("texts",), ("codes",), ("frame",), ("codes", "texts"), ("texts", "frame", "codes")])
def test_codes_and_texts_may_be_mixed_and_the_file_holds_the_same_table(tmp_path, monkeypatch, stored, kinds):
    monkeypatch.setattr("atlas_lib.core.parquet.ROWS_PER_GROUP", 1_024)
    schema = pa.schema([("id", pa.string()), ("currency", stored), ("minor", pa.int64())])
    path = write_parquet(tmp_path / "mixed.parquet", schema, batches((700, 1, 1_500), kinds))
    assert pq.read_schema(path) == pa.schema([("id", pa.string()), ("currency", pa.string()), ("minor", pa.int64())])
    assert pq.read_table(path).to_pylist() == [
        {name: row[name] for name in ("id", "currency", "minor")} for row in ROWS
    ]
    assert pq.read_metadata(path).num_row_groups == 5


def test_where_batches_end_does_not_change_a_byte_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr("atlas_lib.core.parquet.ROWS_PER_GROUP", 1_024)
    schema = pa.schema([("id", pa.string()), ("currency", pa.string()), ("minor", pa.int64())])
    one, other = (
        write_parquet(tmp_path / f"{number}.parquet", schema, batches(sizes, ("texts",)))
        for number, sizes in enumerate([(5_000,), (13, 2_900, 1)])
    )
    assert one.read_bytes() == other.read_bytes()


def test_two_threads_may_use_one_engine_at_the_same_time():
    """Each has tables of the same names, and sees its own."""
    engine, start = DuckDBEngine(), threading.Barrier(2, timeout=30)
    steps = [("doubled", "SELECT id, 2 * minor AS minor FROM given"), ("total", "SELECT CAST(SUM(minor) AS BIGINT) AS minor FROM doubled")]  # fmt: skip
    schema = pa.schema([("id", pa.string()), ("minor", pa.int64())])

    def work(factor):
        given = pd.DataFrame({"id": [f"T-{n}" for n in range(20_000)], "minor": range(0, 20_000 * factor, factor)})
        found = []
        start.wait()
        for _ in range(10):
            found.append(int(engine.run(steps, {"given": given}, ["total"])["total"]["minor"].iloc[0]))
            file = engine.write(steps[:1], {"given": given}, {"doubled": schema})["doubled"]
            found.append(sum(pq.read_table(file)["minor"].to_pylist()))
        return set(found)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, [1, 3])) == [{2 * f * sum(range(20_000))} for f in (1, 3)]
