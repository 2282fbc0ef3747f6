"""MT940 and MT942 (SWIFT Standards, category 9: Customer Statement Message and Interim Transaction Report)."""

from __future__ import annotations

import pytest

from atlas_lib.core.errors import InputError
from atlas_lib.ingest import read_inputs

FIRST = """:20:REF1
:25:DE89370400440532013000
:28C:7/1
:60F:C261001EUR100,00
:61:2610021003C10,50NTRFINV-17//BANK1
:86:payment
of invoice 17
:61:2610021002D0,5NMSCNONREF
:62F:C261003EUR110,00
:86:not about a line
-
"""


def write(folder, text, name="s.sta"):
    (folder / name).write_text(text)
    return folder


def test_a_line_has_its_dates_amount_side_and_references(tmp_path, clean):
    lines = clean(write(tmp_path, FIRST))["statement_lines"]
    first = lines.iloc[0]
    expected = {
        "statement_id": "DE89370400440532013000 2026-10-03 007/001", "account": "DE89370400440532013000", "line_id": "1",
        "end_to_end_id": "INV-17", "amount_posted_minor": 1050, "currency": "EUR", "credit_debit_indicator": "CRDT",
        "bank_reference": "BANK1", "remittance_text": "payment of invoice 17", "source_row": 5,
    }  # fmt: skip
    assert {k: first[k] for k in expected} == expected
    assert str(first["value_date"])[:10] == "2026-10-02"
    assert str(first["booking_date"])[:10] == "2026-10-03"
    assert lines["end_to_end_id"].isna().tolist() == [False, True]
    assert lines["source_row"].tolist() == [5, 8]


def test_opening_and_lines_give_the_closing_balance(tmp_path, clean):
    tables = clean(write(tmp_path, FIRST))
    balances = tables["statement_balances"].set_index("balance_type")["balance_minor"].to_dict()
    assert balances == {"OPBD": 10000, "CLBD": 11000}
    assert tables["rejects"].empty


def test_a_reversed_credit_takes_money_out(tmp_path, clean):
    text = FIRST.replace("D0,5", "RC0,5")
    lines = clean(write(tmp_path, text))["statement_lines"]
    assert lines["credit_debit_indicator"].tolist() == ["CRDT", "DBIT"]


def test_an_expected_credit_of_an_interim_report_is_pending(tmp_path, clean):
    lines = clean(write(tmp_path, FIRST.replace("C10,50", "EC10,50")))["statement_lines"]
    assert lines[["status", "amount_posted_minor", "credit_debit_indicator"]].to_numpy().tolist() == [
        ["PDNG", 1050, "CRDT"],
        ["BOOK", 50, "DBIT"],
    ]


def test_every_message_of_a_file_is_a_statement_and_a_page_follows_from_the_one_before(tmp_path, clean):
    second = FIRST.replace("28C:7/1", "28C:7/2").replace(":60F:C261001EUR100,00", ":60M:C261003EUR110,00")
    second = second.replace(":62F:C261003EUR110,00", ":62F:C261003EUR120,00")
    first = FIRST.replace(":62F:", ":62M:")
    tables = clean(write(tmp_path, first + second))
    assert tables["statement_balances"]["statement_id"].nunique() == 2
    assert len(tables["statement_lines"]) == 4
    assert tables["rejects"].empty


def test_an_interim_report_has_no_closing_balance_and_its_stated_totals_are_compared(tmp_path, clean):
    text = """:20:R\n:25:PL1\n:28C:1\n:34F:PLN0,\n:13D:2610021815+0100\n:61:2610021002C5,00NTRFA\n:90D:0PLN0,00\n:90C:2PLN8,00\n-\n"""
    tables = clean(write(tmp_path, text))
    assert tables["statement_lines"]["amount_posted_minor"].tolist() == [500]
    assert tables["statement_lines"]["currency"].tolist() == ["PLN"]
    assert tables["rejects"]["rule"].tolist() == ["STATEMENT_TOTAL"]
    assert "says 2 entries of 8.00, its lines are 1 of 5.00" in tables["rejects"]["message"].iloc[0]


@pytest.mark.parametrize("amount", ["10.50", "1234567890123456,78"])
def test_an_amount_that_the_field_cannot_hold_is_refused_not_cut(tmp_path, clean, amount):
    tables = clean(write(tmp_path, FIRST.replace("C10,50N", f"C{amount}N")))
    assert tables["rejects"].iloc[0][["rule", "source_row"]].tolist() == ["NOT_A_NUMBER", 5]
    assert amount in tables["rejects"]["value"].iloc[0]
    assert len(tables["statement_lines"]) == 1


def test_a_tag_that_cannot_be_read_stops_with_its_line(tmp_path):
    with pytest.raises(InputError, match=r"MT940 message cannot be read.*s\.sta, line 5.*fetch the statement"):
        read_inputs(write(tmp_path, FIRST.replace(":61:2610021003C10,50", ":61:26XX021003C10,50")))


def test_a_statement_is_known_by_its_tags_whatever_its_name(tmp_path, clean):
    assert len(clean(write(tmp_path, FIRST, "download.txt"))["statement_lines"]) == 2


def test_the_same_statement_in_another_file_is_counted_once(tmp_path, clean):
    write(tmp_path, FIRST, "a.sta")
    tables = clean(write(tmp_path, FIRST, "b.sta"))
    assert len(tables["statement_lines"]) == 2
    assert set(tables["rejects"]["rule"]) == {"DUPLICATE_KEY"}
    assert tables["received_counts"].set_index("table").loc["statement_lines", "duplicate_count"] == 2


def test_a_statement_cut_off_before_its_closing_balance_is_noted(tmp_path, clean):
    tables = clean(write(tmp_path, FIRST[: FIRST.index(":62F:")]))
    assert len(tables["statement_lines"]) == 2
    assert tables["rejects"][["rule", "severity", "source_row"]].to_numpy().tolist() == [
        ["STATEMENT_UNCLOSED", "warning", 4]
    ]


@pytest.mark.parametrize(
    "details",
    [
        "/TRTP/SEPA OVERBOEKING/IBAN/NL1/BIC/RABONL2U/NAME/J JANSEN E\nN ZOON/REMI/huur/EREF/E-1",
        "/ORDP//NAME/J JANSEN EN ZOON/ADDR/AMSTERDAM/EREF/E-1",
        "/EREF/E-1//CNTP/NL1/INGBNL2A/J JANSEN EN ZOON/AMSTERDAM//REMI/USTD//huur/",
    ],
)
def test_the_name_in_details_of_dutch_banks_is_the_counterparty(tmp_path, clean, details):
    line = clean(write(tmp_path, FIRST.replace("payment\nof invoice 17", details)))["statement_lines"].iloc[0]
    assert line[["counterparty_name", "end_to_end_id"]].tolist() == ["J JANSEN EN ZOON", "E-1"]
