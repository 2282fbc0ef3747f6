"""CSV of any delimiter and encoding, and Parquet."""

from __future__ import annotations

from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from atlas_lib.core.errors import InputError
from atlas_lib.ingest import read_inputs

LINE = "T1,K1,M1,U1,SALE,12.50,EUR,EUR,A,B,C,T1,APPROVED,2026-10-01T10:00:00Z,ref"
HEADER = "transaction_id,idempotency_key,merchant_id,user_id,type,amount,source_currency,destination_currency,source_account,destination_account,counterparty_id,settlement_window,status,created_at,reference"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_any_delimiter_and_encoding_gives_the_same_row(tmp_path, clean, delimiter, encoding):
    text = f"{HEADER}\n{LINE.replace('ref', 'Überweisung')}\n".replace(",", delimiter)
    (tmp_path / "transactions.csv").write_text(text, encoding=encoding)
    row = clean(tmp_path)["submissions"].iloc[0]
    assert (row["transaction_id"], row["amount_minor"], row["reference"]) == ("T1", 1250, "Überweisung")


def test_lines_are_numbered_as_an_editor_shows_them_under_a_preamble(tmp_path, clean):
    (tmp_path / "transactions.csv").write_text(
        f"Export of Monday\n\n{HEADER}\n{LINE}\n\n{LINE.replace('T1,K1', 'T2,K2')}\n"
    )
    tables = clean(tmp_path)
    assert tables["submissions"]["source_row"].tolist() == [4, 6]
    assert tables["input_sheets"]["header_row"].tolist() == [3]


def test_a_line_with_too_few_fields_is_refused_with_its_number(tmp_path, clean):
    (tmp_path / "transactions.csv").write_text(f"{HEADER}\n{LINE}\nT2,K2,M1\n{LINE.replace('T1,K1', 'T3,K3')}\n")
    tables = clean(tmp_path)
    assert tables["submissions"]["source_row"].tolist() == [2, 4]
    rejects = tables["rejects"]
    assert rejects.loc[rejects["rule"] == "WRONG_FIELD_COUNT", "source_row"].tolist() == [3]
    counts = tables["received_counts"]
    assert counts["rows_in_count"].sum() == 3
    assert counts["rejected_count"].sum() == 1


def test_the_message_names_the_line_and_the_column_as_the_file_has_it(tmp_path, clean):
    (tmp_path / "transactions.csv").write_text(
        f"{HEADER}\n{LINE.replace('12.50', '12,3x').replace('12,3x', chr(34) + '12,3x' + chr(34))}\n"
    )
    message = clean(tmp_path, max_reject_rate=1.0)["rejects"]["message"].iloc[0]
    assert message.startswith("transactions.csv, line 2, column amount: expected a number such as")


def test_parquet_keeps_its_types_and_decimals(tmp_path, clean):
    columns = dict(zip(HEADER.split(","), LINE.split(","), strict=True))
    table = pa.table({name: [value] for name, value in columns.items()})
    table = table.set_column(5, "amount", pa.array([Decimal("1.230")], type=pa.decimal128(12, 3)))
    table = table.set_column(
        13, "created_at", pa.array([pd.Timestamp("2026-10-01 10:00", tz="UTC")], type=pa.timestamp("ns", tz="UTC"))
    )
    pq.write_table(table, tmp_path / "transactions.parquet")
    row = clean(tmp_path)["submissions"].iloc[0]
    assert row["amount_minor"] == 123
    assert row["created_at"] == pd.Timestamp("2026-10-01 10:00", tz="UTC")
    assert row["source_row"] == 1


def test_a_truncated_parquet_file_is_refused(tmp_path):
    path = tmp_path / "transactions.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(InputError, match=r"Parquet file cannot be read.*transactions\.parquet"):
        read_inputs(tmp_path)


def test_an_empty_csv_is_noted(tmp_path, clean, contract, workbook):
    workbook([contract("V-1")])
    (tmp_path / "transactions.csv").write_text("")
    tables = clean(tmp_path)
    assert tables["submissions"].empty
    assert "transactions.csv" in tables["input_sheets"]["source_file"].tolist()


COLUMNS = dict(zip(HEADER.split(","), LINE.replace("M1", "Müller").split(","), strict=True))


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.string_view(), pa.binary_view()])
@pytest.mark.parametrize("amount", ["12.50", "12.5x"])
def test_parquet_texts_kept_as_bytes_or_views_are_read(tmp_path, clean, kind, amount):
    cells = {n: pa.array([v.encode() if "binary" in str(kind) else v], kind) for n, v in COLUMNS.items()}
    cells["amount"] = pa.array([amount])
    cells["extra"] = pa.array([b"\xff"], pa.binary())
    pq.write_table(pa.table(cells), tmp_path / "transactions.parquet")
    tables = clean(tmp_path, max_reject_rate=1.0)
    refused = tables["refused_cells"]
    merchants = tables["submissions"]["merchant_id"].tolist() + refused.loc[
        refused["column"] == "merchant_id", "value"
    ].tolist()  # fmt: skip
    assert (len(tables["submissions"]), merchants) == (int(amount == "12.50"), ["Müller"])


def test_parquet_bytes_that_are_no_text_are_named_by_their_row(tmp_path):
    cells = {n: [v, v] for n, v in COLUMNS.items()} | {"reference": [b"ok", b"M\xfcller"]}
    pq.write_table(pa.table(cells), tmp_path / "transactions.parquet")
    with pytest.raises(InputError, match=r"no UTF-8.*transactions\.parquet, line 2, column reference.*M.xfcller"):
        read_inputs(tmp_path)


@pytest.mark.parametrize("value", [["Müller"], {"id": "Müller"}])
def test_a_parquet_column_of_lists_or_records_is_refused_by_name(tmp_path, value):
    pq.write_table(pa.table({n: [v] for n, v in (COLUMNS | {"merchant_id": value}).items()}), tmp_path / "transactions.parquet")  # fmt: skip
    with pytest.raises(InputError, match=r"several values in one cell.*column merchant_id.*one number, date or text"):
        read_inputs(tmp_path)


def test_two_parquet_columns_of_one_name_are_refused(tmp_path):
    names = [*COLUMNS, "amount"]
    pq.write_table(pa.table([pa.array([v]) for v in [*COLUMNS.values(), "1"]], names=names), tmp_path / "transactions.parquet")  # fmt: skip
    with pytest.raises(InputError, match=r"Two columns.*column amount.*2 columns"):
        read_inputs(tmp_path)
