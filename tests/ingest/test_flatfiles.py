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
