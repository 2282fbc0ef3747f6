"""The same booking downloaded twice counts once; a booking that is only alike counts, and is noted."""

from __future__ import annotations

import zipfile

import pytest

from tests.ingest.statement_files import FORMATS, Entry, as_export

ENTRIES = [Entry(1050, True, 2, "invoice 17"), Entry(99, False, 3, "fee")]
OWN_TABLE = "account,booking_date,amount_posted,currency\nDE1,2026-10-03,1.50,EUR\nDE1,2026-10-04,-2.00,EUR\n"
STRIPE = "id,Type,Source,Amount,Fee,Net,Currency,Created (UTC)\n"
EXPORTS = {"stripe": STRIPE + "txn_1,charge,ch_1,10.00,0.50,9.50,eur,2026-10-03 10:00\n", "rabobank": as_export(0, ENTRIES)}  # fmt: skip


def counts(tables, table="statement_lines"):
    """Lines taken, and repetitions."""
    counted = tables["received_counts"].set_index("table").loc[[table]]
    return len(tables[table]), int(counted["duplicate_count"].sum())


def warned(tables):
    return sorted(tables["rejects"].query("severity == 'warning'")["rule"])


def ofx(first, last, lines, closing):
    """A download of the account; `lines`: FITID, day of October, amount."""
    body = "".join(
        f"<STMTTRN><TRNTYPE>OTHER<DTPOSTED>202610{day:02}<TRNAMT>{amount}<FITID>{name}</STMTTRN>\n"
        for name, day, amount in lines
    )
    account = "<CURDEF>EUR<BANKACCTFROM><BANKID>1<ACCTID>DE1<ACCTTYPE>CHECKING</BANKACCTFROM>"
    listed = f"<BANKTRANLIST><DTSTART>202610{first:02}<DTEND>202610{last:02}\n{body}</BANKTRANLIST>"
    ledger = f"<LEDGERBAL><BALAMT>{closing}<DTASOF>202610{last:02}</LEDGERBAL>"
    return f"OFXHEADER:100\nDATA:OFXSGML\n\n<OFX><STMTRS>{account}{listed}{ledger}</STMTRS></OFX>"


@pytest.mark.parametrize("text", [*EXPORTS.values(), OWN_TABLE], ids=[*EXPORTS, "a table of one's own"])
def test_a_copied_file_of_a_statement_without_a_number_counts_once(tmp_path, clean, text):
    lines = text.count("\n") - 1
    (tmp_path / "statement_lines.csv").write_text(text)
    (tmp_path / "statement_lines (1).csv").write_text(text)
    tables = clean(tmp_path)
    assert counts(tables) == (lines, lines)
    assert warned(tables) == []
    (repetition,) = set(tables["rejects"].query("table == 'statement_lines'")["source_file"])
    message = tables["rejects"].query("table == 'statement_lines'")["message"].iloc[0]
    assert repetition == "statement_lines.csv"
    assert "row 2 of statement_lines (1).csv says the same" in message


def test_a_copy_within_an_archive_counts_once_too(tmp_path, clean):
    (tmp_path / "statement_lines.csv").write_text(OWN_TABLE)
    with zipfile.ZipFile(tmp_path / "october.zip", "w") as archive:
        archive.writestr("umsatz.csv", OWN_TABLE)
    assert counts(clean(tmp_path)) == (2, 2)


@pytest.mark.parametrize(("older", "newer"), [("a.ofx", "b.ofx"), ("b.ofx", "a.ofx")])
def test_a_line_in_two_downloads_of_overlapping_days_counts_once(tmp_path, clean, older, newer):
    lines = [("F1", 3, "10.00"), ("F2", 10, "-1.00"), ("F3", 10, "-1.00"), ("F4", 20, "-2.00")]
    (tmp_path / older).write_text(ofx(1, 15, lines[:3], "108.00"))
    (tmp_path / newer).write_text(ofx(10, 31, lines[1:], "106.00"))
    tables = clean(tmp_path)
    assert counts(tables) == (4, 2)
    assert sorted(tables["statement_lines"]["bank_reference"]) == ["F1", "F2", "F3", "F4"]
    assert warned(tables) == []


def test_an_id_that_says_something_else_in_the_second_download_is_another_line(tmp_path, clean):
    (tmp_path / "a.ofx").write_text(ofx(1, 15, [("F1", 3, "10.00")], "10.00"))
    (tmp_path / "b.ofx").write_text(ofx(16, 31, [("F1", 20, "10.00")], "20.00"))
    assert counts(clean(tmp_path)) == (2, 0)


def test_the_ids_of_a_processor_tell_a_line_that_two_exports_have(tmp_path, clean):
    row = "txn_{},charge,ch_{},10.00,0.50,9.50,eur,2026-10-03 10:00\n"
    for name, numbers in (("october.csv", "12"), ("third.csv", "234")):
        (tmp_path / name).write_text(STRIPE + "".join(row.replace("{}", n) for n in numbers))
    tables = clean(tmp_path)
    assert counts(tables) == (4, 1)
    assert sorted(tables["statement_lines"]["line_id"]) == ["txn_1", "txn_2", "txn_3", "txn_4"]


def doubled(name):
    """The file of a format with its statement twice."""
    text = FORMATS[name](0, ENTRIES)
    if name == "s.ofx":
        statement = text[text.index("<STMTRS>") : text.index("</OFX>")]
        return text.replace(statement, statement * 2)
    if name == "s.bai":
        head, account = text[: text.index("\n03,") + 1], text[text.index("\n03,") + 1 : text.index("98,")]
        total = 2 * int(text[text.index("98,") :].split(",")[1])
        tail = f"98,{total},2,12/\n99,{total},1,14/\n"
        return head + account * 2 + tail
    return text * 2


@pytest.mark.parametrize("name", ["s.sta", "s.ofx", "s.bai"])
def test_a_statement_that_stands_twice_in_one_file_counts_once(tmp_path, clean, name):
    (tmp_path / name).write_text(doubled(name))
    tables = clean(tmp_path)
    assert counts(tables) == (2, 2)
    assert warned(tables) == []


def test_a_second_report_of_a_number_with_other_lines_is_another_one(tmp_path, clean):
    first, second = (FORMATS["s.sta"](0, ENTRIES[:n]) for n in (1, 2))
    parts = [":13D:" + text.partition(":60F:")[2].partition("\n")[2] for text in (first, second)]
    lines = [text.replace(":13D:", ":34F:EUR0,\n:13D:2610041000+0200\n", 1) for text in parts]
    (tmp_path / "s.942").write_text(
        "".join(":20:R\n:25:DE1\n:28C:1/1\n" + t.partition(":62F:")[0] + "-\n" for t in lines)
    )
    assert counts(clean(tmp_path)) == (3, 0)


def test_lines_that_are_only_alike_count_and_are_noted_with_the_file_that_has_them_too(tmp_path, clean):
    head = "account,booking_date,amount_posted,currency,text\n"
    row = "DE1,2026-10-{},1.50,EUR,coffee\n"
    for name, days in (("october", ("03", "09", "09", "10")), ("third", ("09", "10", "12"))):
        text = head + "".join(row.replace("{}", day) for day in days)
        (tmp_path / f"statement_lines {name}.csv").write_text(text)
    tables = clean(tmp_path)
    assert counts(tables) == (7, 0)
    assert warned(tables) == ["LINES_ALIKE"]
    found = tables["rejects"].iloc[0]
    assert found[["source_file", "source_row", "value"]].tolist() == ["statement_lines third.csv", 2, "2"]
    assert "(2026-10-09 to 2026-10-10) say all the same as lines of statement_lines october" in found["message"]


def test_lines_of_statements_with_an_opening_balance_are_proved_by_it(tmp_path, clean):
    for name, opening in (("a.sta", 0), ("b.sta", 951)):
        (tmp_path / name).write_text(FORMATS["s.sta"](opening, ENTRIES).replace("28C:1/1", f"28C:{name[0] == 'b':d}/1"))
    tables = clean(tmp_path)
    assert counts(tables) == (4, 0)
    assert warned(tables) == []
