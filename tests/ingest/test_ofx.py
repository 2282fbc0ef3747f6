"""OFX 1.0.2 and 2.0.3 (element names of the Open Financial Exchange specification)."""

from __future__ import annotations

import pytest

from atlas_lib.core.errors import InputError
from atlas_lib.ingest import read_inputs

LINE = "<STMTTRN>\n<TRNTYPE>CREDIT\n<DTPOSTED>{day}120000.000[-5:EST]\n<TRNAMT>{amount}\n<FITID>{fitid}\n<NAME>A &amp; B\n<MEMO>Invoice 17\n</STMTTRN>\n"


def ofx(*lines, account="123", ledger="110.00", end="20261031"):
    return (
        "OFXHEADER:100\nDATA:OFXSGML\nVERSION:102\n\n<OFX><BANKMSGSRSV1><STMTTRNRS><STMTRS><CURDEF>USD\n"
        f"<BANKACCTFROM><BANKID>1<ACCTID>{account}<ACCTTYPE>CHECKING</BANKACCTFROM>\n<BANKTRANLIST><DTSTART>20261001<DTEND>{end}\n"
        + "".join(lines)
        + f"</BANKTRANLIST>\n<LEDGERBAL><BALAMT>{ledger}<DTASOF>{end}</LEDGERBAL>\n</STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>"
    )


def line(amount="10.50", day="20261002", fitid="F1"):
    return LINE.format(amount=amount, day=day, fitid=fitid)


def write(folder, text, name="s.ofx"):
    (folder / name).write_text(text)
    return folder


def test_a_line_has_its_day_signed_amount_reference_and_texts(tmp_path, clean):
    lines = clean(write(tmp_path, ofx(line(), line("-0.25", fitid="F2"))))["statement_lines"]
    first = lines.iloc[0]
    expected = {
        "statement_id": "123 2026-10-01 2026-10-31", "account": "123", "amount_posted_minor": 1050, "currency": "USD",
        "credit_debit_indicator": "CRDT", "bank_reference": "F1", "counterparty_name": "A & B",
        "remittance_text": "A & B Invoice 17", "source_row": 8,
    }  # fmt: skip
    assert {k: first[k] for k in expected} == expected
    assert str(first["booking_date"])[:10] == "2026-10-02"
    assert lines["credit_debit_indicator"].tolist() == ["CRDT", "DBIT"]


def test_the_second_version_with_closing_tags_and_cdata_on_one_line_loses_no_line(tmp_path, clean):
    text = ofx(line(), line("2.00", fitid="F2"))
    for tag in ("TRNTYPE", "DTPOSTED", "TRNAMT", "FITID"):
        text = text.replace(f"\n<{tag}>", f"\x00<{tag}>")
    text = text.replace("<NAME>A &amp; B\n", "<NAME><![CDATA[A & B <Ltd>]]></NAME>").replace("\x00", "\n")
    lines = clean(write(tmp_path, text.replace("\n<STMTTRN>", "<STMTTRN>").replace("\n<", "<")))["statement_lines"]
    assert lines["amount_posted_minor"].tolist() == [1050, 200]
    assert lines["counterparty_name"].tolist() == ["A & B <Ltd>"] * 2


def test_a_decimal_comma_is_read(tmp_path, clean):
    assert clean(write(tmp_path, ofx(line("1234,56"))))["statement_lines"]["amount_posted_minor"].tolist() == [123456]


def test_one_bad_line_is_refused_and_the_others_are_kept(tmp_path, clean):
    text = ofx(line("12O"), line("1", day="20260231", fitid="F2"), line("2", fitid="F3"))
    tables = clean(write(tmp_path, text))
    assert tables["statement_lines"]["amount_posted_minor"].tolist() == [200]
    assert sorted(tables["rejects"]["rule"]) == ["NOT_A_DATE", "NOT_A_NUMBER"]


def test_the_closing_balance_before_stands_in_for_the_missing_opening(tmp_path, clean):
    write(tmp_path, ofx(line("5"), ledger="100.00", end="20260930").replace("20261001", "20260901"), "a.ofx")
    write(tmp_path, ofx(line("10"), ledger="110.00"), "b.ofx")
    assert clean(tmp_path)["rejects"].empty
    write(tmp_path, ofx(line("10"), ledger="111.00"), "b.ofx")
    rejects = clean(tmp_path)["rejects"]
    assert rejects["rule"].tolist() == ["STATEMENT_BALANCE"]
    assert "the closing balance of 123 2026-09-01 2026-09-30 and lines give 11000" in rejects["message"].iloc[0]


def test_an_answer_that_reports_an_error_is_noted(tmp_path):
    text = (
        "OFXHEADER:100\n\n<OFX><SONRS><STATUS><CODE>15500<SEVERITY>ERROR<MESSAGE>wrong password</STATUS></SONRS></OFX>"
    )
    notes = read_inputs(write(tmp_path, text))[0].notes
    assert [n[3] for n in notes] == ["BANK_ERROR"]
    assert "error 15500: wrong password" in notes[0][4]


def test_trades_of_a_securities_account_are_counted_and_left_out(tmp_path):
    text = "<OFX><INVSTMTRS><INVACCTFROM><ACCTID>9</INVACCTFROM><INVTRANLIST><DTSTART>20261001<DTEND>20261031<BUYMF><UNITS>1</BUYMF></INVTRANLIST></INVSTMTRS></OFX>"
    notes = read_inputs(write(tmp_path, text))[0].notes
    assert notes[0][3] == "SECURITIES_LEFT_OUT"
    assert "1 securities transactions (BUYMF)" in notes[0][4]


@pytest.mark.parametrize(
    "text", ["<OFX><STMTRS>", "OFXHEADER:100\n", "<OFX>" + "<STMTTRN>" * 3, "<ofx><stmttrn></stmttrn></ofx>"]
)
def test_a_file_whose_tags_do_not_fit_is_refused_whole(tmp_path, text):
    with pytest.raises(InputError, match=r"OFX file cannot be read.*s\.ofx.*download it"):
        read_inputs(write(tmp_path, text))


def test_a_line_that_corrects_another_is_noted_with_what_it_corrects(tmp_path, clean):
    correcting = line("12.50", fitid="F2").replace("<NAME>", "<CORRECTFITID>F1\n<CORRECTACTION>REPLACE\n<NAME>")
    tables = clean(write(tmp_path, ofx(line(), correcting)))
    assert len(tables["statement_lines"]) == 2
    found = tables["rejects"].query("rule == 'CORRECTION_LINE'").iloc[0]
    assert found[["severity", "value"]].tolist() == ["warning", "F1"]
    assert "(REPLACE)" in found["message"]
