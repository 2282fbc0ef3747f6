"""The evaluation of the readers says agrees, differs, refused or unread, and why; tried on files made here."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from atlas_lib.cli import app
from atlas_lib.evaluation.reader_trials import try_readers
from tests.ingest.statement_files import Entry, as_bai2, as_camt, as_mt940

ENTRIES = [Entry(1050, True, 2, "a"), Entry(99, False, 3, "b")]


def put(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def results(folder):
    found = try_readers(folder, None)
    return dict(zip(found["file"], found["result"], strict=True)), dict(
        zip(found["file"], found["detail"], strict=True)
    )


def test_a_count_in_the_raw_text_is_compared_with_the_lines(tmp_path):
    put(tmp_path, "bai2_moov/good.txt", as_bai2(0, ENTRIES))
    put(tmp_path, "bai2_moov/cut.txt", as_bai2(0, ENTRIES)[:-20])
    result, detail = results(tmp_path)
    assert result == {"good.txt": "agrees", "cut.txt": "refused"}
    assert "file trailer" in detail["cut.txt"]


def test_a_stored_parse_is_compared_line_by_line(tmp_path):
    put(tmp_path, "camt_genkgo/s.xml", as_camt(0, ENTRIES))

    def stored(cents):
        money = {"getAmount": str(cents), "getCurrency": {"getCode": "EUR"}}
        return {
            "__CLASS__": "DTO\\Entry", "getAmount": money, "getBookingDate": {"0": "2026-10-02T00:00"},
            "getValueDate": None, "getAccountServicerReference": None,
        }  # fmt: skip

    put(tmp_path, "camt_genkgo/s.json", json.dumps([stored(1050), stored(-99)]))
    _, detail = results(tmp_path)
    assert "1 line only expected: 2026-10-02 -0.99; 1 line only read: 2026-10-03 -0.99" in detail["s.xml"]


def test_the_column_list_of_a_bank_is_applied_on_its_own(tmp_path):
    conf = "[DEFAULT]\nHeader Rows = 1\nFooter Rows = 0\n[B]\nUse Regex for Filename = True\nSource Filename Pattern = 20[0-9]{6}-20[0-9]{6}\nInput Columns = Date,Payee,skip,skip,skip,Inflow\nDate Format = %Y-%m-%d\n"
    put(tmp_path, "bank_csv_bank2ynab/bank2ynab.conf", conf)
    head = "Datum,Empfänger,Kontonummer,Transaktionstyp,Verwendungszweck,Betrag (EUR)\n"
    put(tmp_path, "bank_csv_bank2ynab/20171001-20171106.csv", head + "2017-10-01,A,,Card,,-59.99\n")
    assert results(tmp_path)[0] == {"20171001-20171106.csv": "agrees"}


def test_the_command_prints_a_line_per_file_and_the_counts(tmp_path):
    put(tmp_path, "mt940_wolph/s.sta", as_mt940(0, ENTRIES))
    put(tmp_path, "mt940_wolph/x.pdf", "%PDF")
    answer = CliRunner().invoke(app, ["evaluate", "readers", "--data", str(tmp_path)])
    assert answer.exit_code == 0
    assert "agrees       2 lines  s.sta: with the tags :61:" in answer.stdout
    assert answer.stdout.strip().endswith("1 agrees, 1 unread")


@pytest.mark.parametrize("made", [False, True])
def test_a_folder_without_any_collection_is_said(tmp_path, made):
    if made:
        put(tmp_path, "other/s.sta", "x")
    answer = CliRunner().invoke(app, ["evaluate", "readers", "--data", str(tmp_path)])
    assert answer.exit_code == 2
    assert "No collection of statements" in answer.stdout


def test_a_sheet_with_headers_of_its_own_is_tried_too(tmp_path):
    (tmp_path / "oca_bank_statement").mkdir()
    rows = pd.DataFrame({"Statement": ["S1"], "Buchungstag": ["31.10.2026"], "Betrag": [12.5], "Currency": ["EUR"]})
    rows.to_excel(tmp_path / "oca_bank_statement" / "statement_lines.xlsx", sheet_name="statement_lines", index=False)
    found = try_readers(tmp_path, None)
    assert found[["file", "lines", "result"]].to_numpy().tolist() == [["statement_lines.xlsx", 1, "untested"]]
