"""Rows in plain form are read to the same values, rejects and counts as cell by cell; files pass through in pieces."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from types import SimpleNamespace

import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from atlas_lib.core.engine import open_engine
from atlas_lib.core.errors import InputError
from atlas_lib.core.settings import IngestSettings
from atlas_lib.core.tables import declared
from atlas_lib.ingest import clean_inputs, pieces, read_inputs, submissions, write_rejects_workbook

DAY = dt.date(2026, 10, 30)
HEADER = "transaction_id idempotency_key merchant_id user_id type amount currency destination_currency source_account destination_account settlement_window status created_at reference".split()
ROW = dict(zip(HEADER, "T1 K1 M1 U1 SALE 12.50 EUR EUR A B T1 APPROVED 2026-10-30T09:15:00Z ref".split(), strict=True))
TYPED = ["12.50", "7", "1,5", "1.234", "1,234", "1.234,56", "0", "-5", "(12.00)", "1e3", " 12.50", "12.505", "999999999", "99999999999", "€ 12", "12.5 EUR", "", None, "oops", "１２"]  # fmt: skip
MOMENTS = ["2026-10-30T09:15:00Z", "2026-10-30 09:15", "2026-10-30T09:15:00.123456+02:00", "2026-10-30", "2026-02-29", "2024-02-29T10:00:00Z", "2026-02-30", "30.10.2026", "04/05/2026", "20261030", "2026-10-30T24:00:00Z", "2026-10-30T09:15:00-05:30", "soon", None]  # fmt: skip
TEXTS = ["A", "B", "x y", " A", "A ", "A\u00a0", "", None, "Müller", "\u2003A", "n" * 51, "\tA"]
CODES = ["EUR", "eur", "JPY", "BHD", "XXQ", " EUR", None, ""]
CELLS = {
    "amount": TYPED, "created_at": MOMENTS, "currency": CODES, "destination_currency": CODES,
    "type": ["SALE", "sale", "GIFT", None], "status": ["APPROVED", "pending", ""], "settlement_window": ["T0", "t+1", "T9", None],
}  # fmt: skip


def rows_of_cells() -> st.SearchStrategy[dict[str, str | None]]:
    """A good row of which some cells are replaced."""
    changed = {name: st.sampled_from(CELLS.get(name, TEXTS)) for name in HEADER}
    return st.fixed_dictionaries({}, optional=changed).map(lambda cells: ROW | cells)


def outcome(path, chosen, monkeypatch, *, plain: bool, piece_rows: int = 500_000, code_bytes: int = 2):
    """Submissions, rejects and counts of a folder; with many code bytes any dictionary is read as codes."""
    with monkeypatch.context() as patch:
        patch.setattr(pieces, "PIECE_ROWS", piece_rows)
        patch.setattr(pieces, "_CODE_BYTES", code_bytes)
        if not plain:
            patch.setattr(submissions, "has_plain_form", lambda *_: False)
        tables = clean_inputs(read_inputs(path), chosen)
    return {name: tables[name] for name in ("submissions", "rejects", "received_counts", "merchants")}


def check_same(one, other):
    for name in one:
        pd.testing.assert_frame_equal(one[name], other[name], obj=name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("plain")


@given(
    st.lists(rows_of_cells(), min_size=1, max_size=12),
    st.sampled_from(["auto", ".", ","]),
    st.sampled_from(["csv", "parquet"]),
    st.integers(1, 12),
    st.sampled_from([2, 1_000]),
)
@examples(max_examples=16, deadline=None)
def test_plain_rows_are_read_as_the_cell_by_cell_reading_reads_them(folder, rows, mark, kind, piece_rows, code_bytes):
    frame = pd.DataFrame(rows, columns=HEADER, dtype="str")
    for old in folder.iterdir():
        old.unlink()
    if kind == "csv":
        frame.to_csv(folder / "transactions.csv", index=False)
    else:
        frame.to_parquet(folder / "transactions.parquet", index=False)
    chosen, patches = IngestSettings(decimal_mark=mark), pytest.MonkeyPatch()
    by_cell = outcome(folder, chosen, patches, plain=False)
    plain = outcome(folder, chosen, patches, plain=True, piece_rows=piece_rows, code_bytes=code_bytes)
    check_same(plain, by_cell)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("amount", pa.array([12.5, 0.1 + 0.2, 171.60500000000002, 1e12, None, float("nan")])),
        ("amount", pa.array([12, -1, 0, 2_000_000_000, None, 7])),
        ("amount", pa.array([Decimal("12.50"), Decimal("12.505"), None, Decimal("0.01"), Decimal("3.00"), Decimal("9.99")])),
        ("merchant_id", pa.array([310100, 310443, 10**16, None, 5, -5])),
        ("merchant_id", pa.array([310100, 2**63 + 5, 1, None, 5, 6], pa.uint64())),
        ("merchant_id", pa.array(["M1", "M2", "M1", None, "M3", "M3"]).dictionary_encode()),
        ("created_at", pa.array([dt.datetime(2026, 10, 30, 9, 15, tzinfo=dt.UTC).replace(tzinfo=None)] * 5 + [None], pa.timestamp("ns"))),
        ("created_at", pa.array([dt.datetime(2026, 10, 30, 9, 15, tzinfo=dt.UTC)] * 5 + [None], pa.timestamp("ms", tz="Europe/Berlin"))),
        ("created_at", pa.array([dt.date(2026, 10, 30)] * 5 + [None])),
        ("user_id", pa.array([True, False, None, True, True, False])),
    ],
    ids=["float", "whole", "decimal", "whole ids", "very large ids", "dictionary", "nanoseconds", "zoned", "days", "flags"],
)  # fmt: skip
def test_typed_columns_of_a_file_are_read_the_same_way(tmp_path, monkeypatch, column, values):
    given_cells = {name: pa.array([ROW[name]] * 6) for name in HEADER} | {
        "transaction_id": pa.array([f"T{n}" for n in range(6)]), column: values,
    }  # fmt: skip
    pq.write_table(pa.table(given_cells), tmp_path / "transactions.parquet")
    by_cell = outcome(tmp_path, IngestSettings(), monkeypatch, plain=False)
    check_same(outcome(tmp_path, IngestSettings(), monkeypatch, plain=True, piece_rows=4), by_cell)


def test_a_file_of_codes_gives_the_same_file_of_texts(tmp_path, monkeypatch):
    rows = [ROW | {"transaction_id": f"T{n}", "currency": "JPY" if n % 3 else "eur", "type": "GIFT" if n == 7 else "SALE",
                   "source_account": "B" if n == 9 else "A", "user_id": None if n % 5 else "U1"} for n in range(40)]  # fmt: skip
    table = pa.Table.from_pandas(pd.DataFrame(rows), preserve_index=False)
    pq.write_table(table, tmp_path / "transactions.parquet", row_group_size=9)
    made, engine = {}, open_engine("duckdb")
    for code_bytes in (0, 1_000):
        monkeypatch.setattr(pieces, "_CODE_BYTES", code_bytes)
        monkeypatch.setattr(pieces, "PIECE_ROWS", 16)
        tables = clean_inputs(read_inputs(tmp_path), IngestSettings(), engine)
        made[code_bytes] = pq.read_table(tables["submissions"])
        assert tables["rejects"].query("severity == 'error'")["rule"].tolist() == ["UNKNOWN_TYPE", "SAME_ACCOUNT"]
    assert made[1_000].schema.equals(declared("submissions").arrow_schema)
    assert made[1_000].equals(made[0])
    assert made[0].num_rows == 38


def test_an_id_that_the_ledger_keeps_for_itself_is_refused_with_its_remedy(tmp_path):
    ids = ["payout:P-1", "Reserve:310221:EUR", "fraud:T1", "order:17", "payouts", "T1"]
    pd.DataFrame([ROW | {"transaction_id": i} for i in ids]).to_parquet(tmp_path / "transactions.parquet")
    tables = clean_inputs(read_inputs(tmp_path), IngestSettings())
    assert sorted(tables["submissions"]["transaction_id"]) == ["T1", "order:17", "payouts"]
    refused = tables["rejects"].query("rule == 'RESERVED_ID'")
    assert refused["value"].tolist() == ids[:3]
    assert refused["source_row"].tolist() == [1, 2, 3]
    said = refused["message"].iloc[0]
    assert "line 1, column transaction_id" in said
    assert "found payout:P-1. What to do: give the payment another id" in said
    counts = tables["received_counts"].query("table == 'transactions'")
    assert counts[["rows_in_count", "rejected_count"]].sum().tolist() == [6, 3]


def test_small_tables_are_put_together_and_a_large_one_stays_as_it_lies():
    tables = [pa.table({"n": pa.array(["a", "b"] * n, pa.string()).dictionary_encode()}) for n in (1, 5, 0, 1, 1, 1)]
    gathered = list(pieces.gathered(iter(tables), 4))
    assert [len(table) for table in gathered] == [12, 4, 2]
    assert pa.concat_tables(gathered)["n"].to_pylist() == ["a", "b"] * 9
    assert next(pieces.gathered(iter(tables[1:2]), 4))["n"].chunk(0).equals(tables[1]["n"].chunk(0))


@pytest.mark.parametrize("missing", [(), ("amount",)])
def test_a_large_file_is_refused_where_it_is_damaged_and_counted_by_its_own_rows(tmp_path, missing):
    rows = pd.DataFrame([ROW | {"transaction_id": f"T{n}", "idempotency_key": f"K{n}"} for n in range(4_000)])
    path = tmp_path / "transactions.parquet"
    rows.drop(columns=list(missing)).to_parquet(path, row_group_size=1_000)
    if missing:
        said = clean_inputs(read_inputs(tmp_path), IngestSettings())["rejects"].query("rule == 'MISSING_COLUMN'")
        assert "4000 rows are refused" in said["message"].iloc[0]
        return
    start = pq.read_metadata(path).row_group(3).column(0).data_page_offset
    content = path.read_bytes()
    path.write_bytes(content[:start] + b"\xff" * 200 + content[start + 200 :])
    with pytest.raises(InputError, match=r"(?s)cannot be read.*transactions.parquet.*send it again"):
        clean_inputs(read_inputs(tmp_path), IngestSettings())


@pytest.mark.parametrize("is_coded", [False, True])
@pytest.mark.parametrize(
    ("table", "column"), [("transactions", "reference"), ("transactions", "type"), ("merchants", "merchant_name")]
)
def test_bytes_that_are_no_text_are_refused_with_their_line(tmp_path, table, column, is_coded):
    """A writer may call anything a text; what reads it later would stop without the file's name."""
    row = (
        ROW
        if table == "transactions"
        else {"merchant_id": "M1", "merchant_name": "Shop", "country": "DE", "kyc_status": "COMPLETE"}
    )
    rows = pa.Table.from_pylist([row] * 3)
    wrong = pa.array([b"a", b"a", b"M\xfcller"])
    texts = pa.Array.from_buffers(pa.string(), 3, wrong.buffers())
    cells = pa.DictionaryArray.from_arrays(pa.array([0, 0, 1]), texts.slice(1)) if is_coded else texts
    pq.write_table(
        rows.drop_columns([c for c in [column] if c in rows.column_names]).append_column(column, cells),
        tmp_path / f"{table}.parquet",
    )
    told = (
        rf"cannot be read. Where: {table}.parquet"
        if is_coded
        else rf"no UTF-8.*{table}.parquet, line 3, column {column}"
    )
    with pytest.raises(InputError, match=told):
        clean_inputs(read_inputs(tmp_path), IngestSettings())


def test_an_id_with_the_character_nul_is_refused_and_can_be_shown(tmp_path):
    """A ledger of a run before would not find it again: SQLite ends the text there, PostgreSQL takes none."""
    rows = [ROW, ROW | {"transaction_id": "T\x002"}, ROW | {"transaction_id": "T3", "idempotency_key": "K\x00"}]
    odd = ROW | {"transaction_id": 'T4 "ü" \\ \x07', "idempotency_key": "K4"}
    pd.DataFrame([*rows, odd]).to_parquet(tmp_path / "transactions.parquet")
    tables = clean_inputs(read_inputs(tmp_path), IngestSettings())
    assert sorted(tables["submissions"]["transaction_id"]) == ["T1", odd["transaction_id"]]
    refused = tables["rejects"].query("severity == 'error'")
    assert list(zip(refused["rule"], refused["column"], refused["source_row"], strict=True)) == [
        ("NUL_CHARACTER", "transaction_id", 2), ("NUL_CHARACTER", "idempotency_key", 3),
    ]  # fmt: skip
    book = openpyxl.load_workbook(write_rejects_workbook(tmp_path / "rejects.xlsx", SimpleNamespace(**tables), DAY))
    said = [str(cell.value) for row in book.worksheets[0].iter_rows() for cell in row]
    assert sum("expected a text without the character NUL" in text for text in said) == 2


@pytest.mark.parametrize("kind", ["int64", "Int64", "uint64"])
def test_ids_that_a_parquet_file_holds_as_integers_have_all_their_digits(tmp_path, kind):
    numbers = [9007199254740993, 9007199254740992, 7]
    rows = pd.DataFrame([ROW] * 3).assign(transaction_id=pd.array(numbers, dtype=kind), idempotency_key=["a", "b", "c"])
    if kind == "Int64":
        rows.loc[2, "transaction_id"] = pd.NA
    rows.to_parquet(tmp_path / "transactions.parquet")
    tables = clean_inputs(read_inputs(tmp_path), IngestSettings())
    taken = tables["submissions"]["transaction_id"].tolist()
    assert taken == ["9007199254740993", "9007199254740992"] + ["7"] * (kind != "Int64")
    assert tables["rejects"].query("severity == 'error'")["rule"].tolist() == ["EMPTY_CELL"] * (kind == "Int64")


def test_with_an_engine_the_rows_of_a_file_stay_a_file(tmp_path):
    pd.DataFrame([ROW, ROW | {"transaction_id": "T2", "amount": "n/a"}]).to_parquet(tmp_path / "transactions.parquet")
    engine = open_engine("duckdb")
    tables = clean_inputs(read_inputs(tmp_path), IngestSettings(), engine)
    made = pq.read_table(tables["submissions"])
    assert made.schema.equals(declared("submissions").arrow_schema)
    assert made["transaction_id"].to_pylist() == ["T1"]
    assert tables["input_sheets"]["rows_in_count"].tolist() == [2]
    refused = tables["rejects"][tables["rejects"]["severity"] == "error"]
    assert refused["message"].str.contains("line 2, column amount: expected a number").tolist() == [True]


def test_most_rows_of_a_clean_file_never_meet_the_slow_reading(tmp_path, monkeypatch):
    pd.DataFrame([ROW] * 50).to_parquet(tmp_path / "transactions.parquet")
    monkeypatch.setattr(submissions, "rest_of", lambda *_: pytest.fail("a plain row was read cell by cell"))
    assert len(clean_inputs(read_inputs(tmp_path), IngestSettings())["submissions"]) == 50


def test_rows_in_plain_form_still_say_how_a_column_is_read(tmp_path, monkeypatch):
    amounts = ["12.50", "1.234.567,00", "1.234"]
    frame = pd.DataFrame([ROW | {"transaction_id": f"T{n}", "amount": a} for n, a in enumerate(amounts)])
    frame.to_csv(tmp_path / "transactions.csv", index=False)
    tables = outcome(tmp_path, IngestSettings(), monkeypatch, plain=True)
    assert tables["rejects"].query("severity == 'error'")["rule"].tolist() == ["AMBIGUOUS_NUMBER"]
    assert tables["submissions"]["amount_minor"].tolist() == [1250, 123456700]


def test_part_of_a_file_decides_nothing_for_its_columns(tmp_path, monkeypatch):
    days = ["2026-10-30T09:15:00Z"] * 3 + ["31/12/2026", "03/04/2026"]
    frame = pd.DataFrame([ROW | {"transaction_id": f"T{n}", "created_at": d} for n, d in enumerate(days)])
    frame.to_csv(tmp_path / "transactions.csv", index=False)
    whole = outcome(tmp_path, IngestSettings(), monkeypatch, plain=True)
    in_pieces = outcome(tmp_path, IngestSettings(), monkeypatch, plain=True, piece_rows=3)
    assert len(whole["submissions"]) == 5
    assert in_pieces["rejects"].query("severity == 'error'")["rule"].tolist() == ["AMBIGUOUS_DATE"]


def test_moments_outside_any_business_are_refused_in_typed_columns_too(tmp_path, monkeypatch):
    far = pa.array([dt.datetime(1850, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 1, 1, tzinfo=dt.UTC)])
    cells = {name: pa.array([ROW[name]] * 2) for name in HEADER}
    cells |= {"transaction_id": pa.array(["T1", "T2"]), "created_at": far}
    pq.write_table(pa.table(cells), tmp_path / "transactions.parquet")
    tables = outcome(tmp_path, IngestSettings(), monkeypatch, plain=True)
    assert tables["submissions"]["transaction_id"].tolist() == ["T2"]
    assert tables["rejects"].query("severity == 'error'")["rule"].tolist() == ["NOT_A_DATE"]


def test_an_amount_finer_than_its_currency_is_rounded_and_said(tmp_path, monkeypatch):
    pd.DataFrame([ROW | {"amount": "12,3456"}]).to_csv(tmp_path / "transactions.csv", index=False)
    tables = outcome(tmp_path, IngestSettings(), monkeypatch, plain=True)
    assert tables["submissions"]["amount_minor"].tolist() == [1235]
    assert "ROUNDED_AMOUNT" in tables["rejects"]["rule"].tolist()
