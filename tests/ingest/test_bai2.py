"""BAI2 (Cash Management Balance Reporting Specifications, version 2)."""

from __future__ import annotations

import pytest

from atlas_lib.core.errors import InputError
from atlas_lib.ingest import read_inputs

REPORT = """01,BANK,CLIENT,261003,0600,1,,,2/
02,CLIENT,BANK,1,261002,2359,{currency},2/
03,4711,,010,10000,,,015,10750,,/
88,100,1000,1,,400,250,1,/
16,195,1000,V,261003,,B-1,INV-17,Payment of
88,invoice 17/
16,475,250,Z,,,cheque, number 5/
49,23250,6/
98,23250,1,8/
99,23250,1,10/
"""


def write(folder, text, name="s.bai"):
    (folder / name).write_text(text)
    return folder


def report(**changes):
    return REPORT.format(currency=changes.get("currency", "EUR"))


def test_a_line_has_its_days_amount_side_references_and_continued_text(tmp_path, clean):
    lines = clean(write(tmp_path, report()))["statement_lines"]
    first = lines.iloc[0]
    expected = {
        "statement_id": "4711 2026-10-02 EUR", "account": "4711", "line_id": "1", "amount_posted_minor": 1000,
        "currency": "EUR", "credit_debit_indicator": "CRDT", "bank_reference": "B-1", "end_to_end_id": "INV-17",
        "remittance_text": "Payment of invoice 17", "source_row": 5,
    }  # fmt: skip
    assert {k: first[k] for k in expected} == expected
    assert [str(first[d])[:10] for d in ("booking_date", "value_date")] == ["2026-10-02", "2026-10-03"]
    assert lines.iloc[1][["credit_debit_indicator", "remittance_text"]].tolist() == ["DBIT", "cheque, number 5"]


def test_ledger_balances_and_totals_agree(tmp_path, clean):
    tables = clean(write(tmp_path, report()))
    assert tables["statement_balances"].set_index("balance_type")["balance_minor"].to_dict() == {
        "OPBD": 10000,
        "CLBD": 10750,
    }
    assert tables["rejects"].empty


@pytest.mark.parametrize(("currency", "minor"), [("JPY", 1000), ("BHD", 1000), ("EUR", 1000)])
def test_amounts_carry_the_decimals_of_their_currency(tmp_path, clean, currency, minor):
    lines = clean(write(tmp_path, report(currency=currency)))["statement_lines"]
    assert lines["amount_posted_minor"].iloc[0] == minor


def test_a_lost_record_shows_in_the_totals(tmp_path, clean):
    text = report().replace("16,475,250,Z,,,cheque, number 5/\n", "")
    rejects = clean(write(tmp_path, text))["rejects"]
    assert sorted(rejects["rule"]) == ["CONTROL_TOTAL"] * 3 + ["RECORD_COUNT", "STATEMENT_BALANCE"] or sorted(rejects["rule"]) == [
        "CONTROL_TOTAL", "RECORD_COUNT", "STATEMENT_BALANCE",
    ]  # fmt: skip
    assert any("control total of 23250, its amounts add up to 23000" in m for m in rejects["message"])


def test_records_run_together_on_one_line_are_told_apart(tmp_path, clean):
    lines = clean(write(tmp_path, report().replace("invoice 17/\n16", "invoice 17/  16")))["statement_lines"]
    assert lines["amount_posted_minor"].tolist() == [1000, 250]


def test_a_deleted_or_test_group_is_left_out_and_noted(tmp_path):
    sheets = read_inputs(write(tmp_path, report().replace("BANK,1,261002", "BANK,4,261002")))
    assert [len(s.frame) for s in sheets] == [0, 0]
    assert [n[3] for n in sheets[0].notes] == ["GROUP_LEFT_OUT"]


def test_a_code_that_is_neither_credit_nor_debit_is_refused(tmp_path, clean):
    rejects = clean(write(tmp_path, report().replace("16,475", "16,890")))["rejects"]
    assert "UNKNOWN_CREDIT_DEBIT_INDICATOR" in rejects["rule"].tolist()


@pytest.mark.parametrize(
    ("cut", "expected"),
    [
        ("99,23250,1,10/\n", "a file trailer"),
        ("49,23250,6/\n", "an account trailer"),
        ("98,23250,1,8/\n", "a group trailer"),
        ("01,BANK,CLIENT,261003,0600,1,,,2/\n", "a file header"),
        ("03,4711,,010,10000,,,015,10750,,/\n88,100,1000,1,,400,250,1,/\n", "an account"),
    ],
)
def test_a_report_that_lacks_a_record_is_refused_whole(tmp_path, cut, expected):
    with pytest.raises(InputError, match=rf"BAI2 file cannot be read.*s\.bai, line \d+.*{expected}"):
        read_inputs(write(tmp_path, report().replace(cut, "")))


def test_a_record_without_money_is_noted_and_books_nothing(tmp_path, clean):
    text = report().replace("49,23250,6/", "16,890,,,,,limit raised/\n49,23250,7/").replace("1,8/", "1,9/").replace("1,10/", "1,11/")  # fmt: skip
    tables = clean(write(tmp_path, text))
    assert len(tables["statement_lines"]) == 2
    assert tables["rejects"][["rule", "severity", "source_row"]].to_numpy().tolist() == [
        ["INFORMATION_ENTRY", "warning", 8]
    ]
