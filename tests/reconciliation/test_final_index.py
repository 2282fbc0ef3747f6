import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest

from atlas_lib.core.errors import TableError
from atlas_lib.core.tables import declared
from atlas_lib.reconciliation import build_final_index, read_index, write_index
from atlas_lib.reconciliation.final_index import stored_schema
from tests.reconciliation.reconciliation_frames import frame_of, payment, settings

PARTS = "merchants streaming_index batch_index settlement_results deferrals settlement_schedule".split()


def index_of(*ours, chosen=None, **rows):
    parts = [frame_of(name, rows.get(name, [])) for name in PARTS]
    return build_final_index(frame_of("transactions", list(ours)), *parts, chosen or settings())["final_index"]


def screened(transaction_id, score, flags=""):
    row = {"transaction_id": transaction_id, "status": "APPROVED", "fraud_score": score, "policy_flags": flags}
    return row | {"ingested_at": pd.Timestamp("2026-10-30", tz="UTC")}


def test_every_transaction_is_in_the_index_once_with_its_source_cell():
    sources = {"source_file": "t.csv", "source_sheet": "", "source_row": 7}
    index = index_of(payment("T1", 100, "2026-10-05", **sources), payment("T2", 100, "2026-10-05", status="DECLINED"))
    assert index["transaction_id"].tolist() == ["T1", "T2"]
    assert index.iloc[0][["source_file", "source_row"]].tolist() == ["t.csv", 7]
    assert index["reconciled_at"].unique().tolist() == [pd.Timestamp("2026-10-30 23:59:59", tz="UTC")]


@pytest.mark.parametrize(
    "score, flags, level, label",
    [
        (0.7, "", "LOW", "HIGH"), (0.69, "", "LOW", "MEDIUM"), (0.39, "", "LOW", "LOW"), (0.0, "", "HIGH", "MEDIUM"),
        (0.0, "KYC_REQUIRED", "LOW", "MEDIUM"), (0.0, "AML_PENDING; SANCTIONS_MATCH", "LOW", "HIGH"),
    ],
)  # fmt: skip
def test_the_risk_label_comes_from_score_flags_and_merchant(score, flags, level, label):
    index = index_of(
        payment("T1", 100, "2026-10-05"),
        streaming_index=[screened("T1", score, flags)],
        merchants=[{"merchant_id": "M1", "merchant_name": "Händler", "risk_level": level}],
    )
    assert index.iloc[0][["risk_label", "merchant_name"]].tolist() == [label, "Händler"]


def test_settlement_comes_from_the_schedule_then_from_the_result_then_from_the_deferral():
    day, later = pd.Timestamp("2026-11-02"), pd.Timestamp("2026-11-03")
    result = {"settlement_date": day, "currency": "EUR", "status": "settled"}
    due = {"merchant_id": "M1", "batch_id": "B1", "currency": "EUR", "due_date": later, "status": "Delayed"}
    index = index_of(
        *(payment(f"T{i}", 100, "2026-10-30") for i in (1, 2, 3, 4)),
        settlement_results=[{"transaction_id": f"T{i}", "batch_id": f"B{i}"} | result for i in (1, 2)],
        settlement_schedule=[due],
        deferrals=[{"transaction_id": "T3", "reason": "LIQUIDITY_SHORTFALL", "currency": "EUR"}],
    )
    assert index["settlement_status"].tolist() == ["Delayed", "Completed", "Deferred", "Not settled"]
    assert index["payout_due_date"].tolist()[:2] == [later, day]
    assert index["payout_due_date"].isna().tolist() == [False, False, True, True]


def test_no_transactions_give_an_empty_index_and_write_nothing(tmp_path):
    index = index_of()
    assert index.empty
    assert write_index(index, tmp_path / "index").empty
    assert list((tmp_path / "index").iterdir()) == []


BOOK = (payment("T2", 200, "2026-10-06"), payment("T1", 100, "2026-10-05"), payment("T3", 300, "2026-10-06"))


def test_the_stored_index_reads_back_in_duckdb_and_pandas_as_it_was(tmp_path):
    index = index_of(*BOOK)
    assert write_index(index, tmp_path)["row_count"].tolist() == [1, 2]
    stored = duckdb.read_parquet(str(tmp_path / "date=*" / "*.parquet"), hive_partitioning=True)
    whole = stored.project("transaction_id, amount_minor, date").order("transaction_id").fetchall()
    assert [(t, a, str(d)) for t, a, d in whole] == [
        ("T1", 100, "2026-10-05"),
        ("T2", 200, "2026-10-06"),
        ("T3", 300, "2026-10-06"),
    ]
    read = pd.read_parquet(tmp_path).sort_values("transaction_id", ignore_index=True)
    assert read["date"].astype(str).tolist() == index["date"].dt.strftime("%Y-%m-%d").tolist()
    types = declared("final_index")
    again = types.shaped(read.assign(date=pd.to_datetime(read["date"].astype(str))))
    pd.testing.assert_frame_equal(again, types.shaped(index))


def test_every_file_has_the_declared_schema_even_where_a_column_is_all_empty(tmp_path):
    write_index(index_of(*BOOK), tmp_path)
    for file in tmp_path.rglob("*.parquet"):
        assert pq.read_schema(file).equals(stored_schema(), check_metadata=True)


def test_the_index_is_read_as_it_was_written_and_an_empty_one_is_empty(tmp_path):
    write_index(index_of(), tmp_path / "none")
    assert read_index(tmp_path / "none").empty
    index = index_of(*BOOK)
    write_index(index, tmp_path / "index")
    pd.testing.assert_frame_equal(read_index(tmp_path / "index"), index)


@pytest.mark.parametrize("metadata, found", [({"atlas_index_version": "99"}, "version 99"), (None, "version none")])
def test_a_file_of_another_version_is_refused_by_name(tmp_path, metadata, found):
    write_index(index_of(*BOOK), tmp_path)
    file = tmp_path / "date=2026-10-06" / "index.parquet"
    pq.write_table(pq.read_table(file, partitioning=None).replace_schema_metadata(metadata), file)
    with pytest.raises(TableError, match=f"date=2026-10-06/index.parquet.*Expected: version 1.*{found}") as error:
        read_index(tmp_path)
    assert "run 05_reconciliation again" in str(error.value)


@pytest.mark.slow
def test_spark_reads_the_stored_index_as_duckdb_does(tmp_path, spark_engine):
    write_index(index_of(*BOOK), tmp_path)
    sql = "SELECT transaction_id, amount_minor, created_at, match_score, CAST(date AS VARCHAR(10)) AS date, reconciled_at FROM stored ORDER BY transaction_id"
    assert spark_engine.name == "spark"
    found = spark_engine.run([("seen", sql)], {"stored": tmp_path}, ["seen"])["seen"]
    seen = duckdb.read_parquet(str(tmp_path / "date=*" / "*.parquet"), hive_partitioning=True)
    there = seen.project("transaction_id, amount_minor, CAST(date AS VARCHAR)").order("transaction_id").fetchall()
    assert found[["transaction_id", "amount_minor", "date"]].to_numpy().tolist() == [list(row) for row in there]
    assert found["created_at"].tolist() == read_index(tmp_path).sort_values("transaction_id")["created_at"].tolist()


def test_a_rewrite_that_breaks_off_leaves_the_day_as_it_was(tmp_path, monkeypatch):
    write_index(index_of(*BOOK), tmp_path)
    before = read_index(tmp_path)

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="no space"):
        write_index(index_of(payment("T2", 999, "2026-10-06")), tmp_path)
    monkeypatch.undo()
    pd.testing.assert_frame_equal(read_index(tmp_path), before)


def test_writing_twice_gives_the_same_bytes_and_leaves_the_files_as_they_lie(tmp_path):
    write_index(index_of(*BOOK), tmp_path / "a")
    before = {f: f.stat().st_mtime_ns for f in (tmp_path / "a").rglob("*.parquet")}
    write_index(index_of(*reversed(BOOK)), tmp_path / "a")
    assert {f: f.stat().st_mtime_ns for f in (tmp_path / "a").rglob("*.parquet")} == before
    write_index(index_of(*reversed(BOOK)), tmp_path / "b")
    one, other = ([f.read_bytes() for f in sorted((tmp_path / n).rglob("*.parquet"))] for n in "ab")
    assert one == other


def test_a_day_is_replaced_as_a_whole_and_other_days_stay(tmp_path):
    write_index(index_of(*BOOK), tmp_path)
    (tmp_path / "date=2026-10-06" / "stale.parquet").write_bytes(b"left over")
    (tmp_path / ".partial-2026-10-06").mkdir()
    write_index(index_of(payment("T2", 999, "2026-10-06")), tmp_path)
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.parquet")) == [
        "date=2026-10-05/index.parquet",
        "date=2026-10-06/index.parquet",
    ]
    assert sorted(pd.read_parquet(tmp_path)["amount_minor"]) == [100, 999]
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
