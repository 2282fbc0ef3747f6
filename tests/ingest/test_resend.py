"""Refused rows go back in a workbook, are corrected there, and load cleanly when they return."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from atlas_lib.ingest import write_rejects_workbook

HEADER = "transaction_id,idempotency_key,merchant_id,user_id,type,amount,source_currency,destination_currency,source_account,destination_account,counterparty_id,settlement_window,status,created_at,reference"
AS_OF = date(2026, 10, 30)
RED, YELLOW = "FFF8CBAD", "FFFFF2CC"


def line(number, **changes):
    cells = dict(
        zip(
            HEADER.split(","),
            f"T{number},K{number},M1,U1,SALE,12.50,EUR,EUR,A,B,C,T1,APPROVED,2026-10-01,007".split(","),
            strict=True,
        )
    )
    return ",".join((cells | changes).values())


@pytest.fixture
def sent_back(clean, tmp_path):
    """`sent_back(path)`: the tables read, and the workbook that goes back, in a folder of its own."""

    def write(path, **settings):
        tables = clean(path, max_reject_rate=1.0, **settings)
        (tmp_path / "back").mkdir(exist_ok=True)
        return tables, write_rejects_workbook(tmp_path / "back" / "rejects.xlsx", SimpleNamespace(**tables), AS_OF)

    return write


def coloured(page, colour):
    return {c.coordinate: c for row in page.iter_rows() for c in row if c.fill.fgColor.rgb == colour and c.row > 4}


def correct(path, values):
    """Set the coloured cells by the name of their column, in every row; numbers where the cell asks for a number."""
    book = openpyxl.load_workbook(path)
    for page in book:
        names = {c.column: c.value for c in page[4]}
        for cell in coloured(page, RED).values():
            if names[cell.column] in values:
                cell.value = values[names[cell.column]]
    book.save(path)


def test_corrected_rows_of_a_csv_load_cleanly_and_come_from_the_new_file(tmp_path, clean, sent_back):
    source = tmp_path / "in" / "transactions.csv"
    source.parent.mkdir()
    lines = [line(1), line(2, amount="12.3x"), line(3, created_at="03/04/2026"), line(4, type="SALES", status="?")]
    source.write_text("\n".join([HEADER, *lines]))
    before, path = sent_back(source.parent)
    correct(path, {"amount": 12.3, "created_at": date(2026, 4, 3), "type": "SALE", "status": "APPROVED"})
    after = clean(path.parent)
    assert "error" not in after["rejects"]["severity"].tolist()
    assert sorted([*before["submissions"]["transaction_id"], *after["submissions"]["transaction_id"]]) == [
        "T1",
        "T2",
        "T3",
        "T4",
    ]
    assert after["submissions"]["amount_minor"].tolist() == [1230, 1250, 1250]
    assert set(after["submissions"]["source_file"]) == {"rejects.xlsx"}
    assert after["submissions"]["reference"].tolist() == ["007"] * 3


def test_every_bad_cell_is_red_and_the_message_stands_beside_it(tmp_path, sent_back):
    (tmp_path / "transactions.csv").write_text("\n".join([HEADER, line(1), line(2, amount="12.3x", status="?")]))
    _, path = sent_back(tmp_path / "transactions.csv")
    page = openpyxl.load_workbook(path)["transactions"]
    assert page["A1"].value == "transactions from transactions.csv: 1 row refused."
    assert [c.value for c in page[4]] == ["What to correct", "Read from", *HEADER.split(",")]
    assert {c.value for c in coloured(page, RED).values()} == {"12.3x", "?"}
    first, second = page["A5"].value.split("\n")
    assert first.startswith("amount: expected a number such as 1234.50 or 1.234,50, found 12.3x.")
    assert second.startswith("status: expected PENDING")
    assert page["B5"].value == "transactions.csv, line 3"


def test_a_warned_cell_of_a_refused_row_is_yellow(workbook, contract, sent_back):
    _, path = sent_back(workbook([contract("V-1", Prämie=56.1, Beginn="03/04/2026")]))
    page = openpyxl.load_workbook(path).worksheets[0]
    assert [c.value for c in coloured(page, YELLOW).values()] == [3360]
    assert [c.value for c in coloured(page, RED).values()] == ["03/04/2026"]


def test_corrected_contracts_with_german_headers_load_cleanly(workbook, contract, clean, sent_back):
    rows = [contract("V-1"), contract("V-2", Sicherheitensatz=10), contract("V-3", Beginn="31.02.2026")]
    _, path = sent_back(workbook(rows, start=3))
    correct(path, {"Sicherheitensatz": 0.1, "Beginn": date(2023, 11, 15)})
    after = clean(path)
    assert after["contracts"]["contract_id"].tolist() == ["V-2", "V-3"]
    assert "error" not in after["rejects"]["severity"].tolist()


def test_a_line_that_could_not_be_cut_into_fields_can_be_completed(tmp_path, clean, sent_back):
    (tmp_path / "transactions.csv").write_text("\n".join([HEADER, line(1), "T2,K2,M1"]))
    _, path = sent_back(tmp_path / "transactions.csv")
    book = openpyxl.load_workbook(path)
    page = book.worksheets[0]
    assert [c.value for c in coloured(page, RED).values()] == ["T2", "K2", "M1", *[None] * 12]
    for column, value in enumerate(line(2).split(","), start=3):
        page.cell(5, column).value = value
    book.save(path)
    assert clean(path)["submissions"]["transaction_id"].tolist() == ["T2"]


def test_a_missing_column_is_added_and_can_be_filled(tmp_path, clean, sent_back):
    cut = lambda text: ",".join(p for n, p in enumerate(text.split(",")) if n != 12)  # noqa: E731
    (tmp_path / "transactions.csv").write_text("\n".join([cut(HEADER), cut(line(1)), cut(line(2))]))
    _, path = sent_back(tmp_path / "transactions.csv")
    book = openpyxl.load_workbook(path)
    page = book.worksheets[0]
    column = [c.value for c in page[4]].index("status") + 1
    assert {c.column for c in page[5] if c.fill.fgColor.rgb == RED} == {column}
    assert page["A5"].value == "Fill the missing column status."
    for row in (5, 6):
        page.cell(row, column).value = "APPROVED"
    book.save(path)
    assert clean(path)["submissions"]["transaction_id"].tolist() == ["T1", "T2"]


def test_what_the_rest_of_the_column_decided_does_not_become_open_again(tmp_path, clean, sent_back):
    lines = [line(1, created_at="31/12/2026"), line(2, created_at="03/04/2026", status="?")]
    (tmp_path / "transactions.csv").write_text("\n".join([HEADER, *lines]))
    _, path = sent_back(tmp_path / "transactions.csv")
    correct(path, {"status": "APPROVED"})
    assert clean(path)["submissions"]["created_at"].dt.strftime("%d.%m.%Y").tolist() == ["03.04.2026"]


def test_refused_rows_of_a_parquet_file_that_is_read_in_pieces_go_back_too(tmp_path, clean, sent_back):
    rows = [line(1).split(","), line(2, amount="12.3x").split(","), line(3).split(",")]
    columns = dict(zip(HEADER.split(","), map(list, zip(*rows, strict=True)), strict=True))
    pq.write_table(pa.table(columns), tmp_path / "transactions.parquet")
    before, path = sent_back(tmp_path / "transactions.parquet")
    correct(path, {"amount": 12.3})
    after = clean(path)
    assert before["submissions"]["transaction_id"].tolist() == ["T1", "T3"]
    assert after["submissions"][["transaction_id", "amount_minor"]].to_numpy().tolist() == [["T2", 1230]]


def test_a_repeated_row_is_not_sent_back_there_is_nothing_to_correct(workbook, contract, sent_back):
    _, path = sent_back(workbook([contract("V-1"), contract("V-1")]))
    assert openpyxl.load_workbook(path).sheetnames == ["Nothing to correct"]


def test_the_same_tables_give_the_same_bytes(tmp_path, workbook, contract, clean):
    tables = SimpleNamespace(**clean(workbook([contract("V-1", Sicherheitensatz=10)]), max_reject_rate=1.0))
    first, second = (write_rejects_workbook(tmp_path / f"{n}.xlsx", tables, AS_OF) for n in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_column_statistics_count_what_was_read_and_show_the_range_of_what_is_clean(tmp_path, clean):
    lines = [line(1), line(2, amount="99.00"), line(3, amount="x"), line(4, reference="")]
    (tmp_path / "transactions.csv").write_text("\n".join([HEADER, *lines]))
    found = clean(tmp_path / "transactions.csv", max_reject_rate=1.0)["column_statistics"].set_index("column")
    amount = found.loc["amount"]
    assert amount[["rows_count", "filled_count", "refused_count", "distinct_count"]].tolist() == [4, 4, 1, 2]
    assert amount[["lowest", "highest", "mean", "example"]].tolist() == [
        "12.50 EUR",
        "99.00 EUR",
        "41.33 EUR",
        "12.50 EUR",
    ]
    assert found.loc["reference", ["filled_count", "distinct_count"]].tolist() == [3, 1]
    assert found.loc["created_at", "lowest"] == "2026-10-01 00:00:00+00:00"


ENTRY = """<Ntry><NtryRef>{ref}</NtryRef><Amt Ccy="EUR">{amount}</Amt><CdtDbtInd>CRDT</CdtDbtInd>{status}
<BookgDt><Dt>{day}</Dt></BookgDt></Ntry>"""


def on_one_line(*entries):
    stated = (
        ENTRY.format(**({"amount": "1.00", "status": "<Sts>BOOK</Sts>", "day": "2026-10-02"} | e)) for e in entries
    )
    head = '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"><BkToCstmrStmt><Stmt><Id>S1</Id><Acct><Id><IBAN>DE89370400440532013000</IBAN></Id></Acct>'
    return f"{head}{''.join(stated)}</Stmt></BkToCstmrStmt></Document>".replace("\n", "")


def test_each_of_several_refused_entries_on_one_line_shows_its_own_fault_only(tmp_path, sent_back):
    entries = (
        {"ref": "1"}, {"ref": "2", "amount": "1O.00"}, {"ref": "3", "status": ""},
        {"ref": "4", "day": "2026-13-02"}, {"ref": "5", "amount": "1O.00", "status": ""},
    )  # fmt: skip
    (tmp_path / "s.xml").write_text(on_one_line(*entries))
    tables, path = sent_back(tmp_path / "s.xml")
    page = openpyxl.load_workbook(path).active
    names = {c.column: c.value for c in page[4]}
    ids = next(column for column, name in names.items() if name == "line_id")
    red = {}
    for cell in coloured(page, RED).values():
        red.setdefault(page.cell(cell.row, ids).value, set()).add(names[cell.column])
    assert red == {"2": {"amount_posted"}, "3": {"status"}, "4": {"booking_date"}, "5": {"amount_posted", "status"}}
    said = {page.cell(row, ids).value: (page.cell(row, 1).value, page.cell(row, 2).value) for row in range(5, 9)}
    assert [text.count("expected") for text, _ in said.values()] == [1, 1, 1, 2]
    assert said["4"][1] == "s.xml, line 1, entry 4 on it"
    assert "s.xml, line 1, entry 4 on it" in tables["rejects"].query("column == 'booking_date'")["message"].iloc[0]


def test_an_entry_is_named_by_its_own_number_also_after_one_of_several_details(tmp_path, sent_back):
    """Entry 1 has two details and so makes two rows; what is wrong is the second entry, and the second detail of the third."""
    parts = '<TxDtls><Amt Ccy="EUR">0.40</Amt></TxDtls><TxDtls><Amt Ccy="EUR">0.60</Amt>{fee}</TxDtls>'
    details = f"</BookgDt><NtryDtls>{parts}</NtryDtls></Ntry>"
    one, two, three, tail = on_one_line({"ref": "1"}, {"ref": "2", "day": "2026-13-02"}, {"ref": "3"}).split("</BookgDt></Ntry>")  # fmt: skip
    wrong = details.format(fee='<Chrgs><Amt Ccy="EUR">1O</Amt></Chrgs>')
    (tmp_path / "s.xml").write_text(f"{one}{details.format(fee='')}{two}</BookgDt></Ntry>{three}{wrong}{tail}")
    tables, path = sent_back(tmp_path / "s.xml")
    told = dict(tables["rejects"][["column", "message"]].to_numpy())
    assert told["booking_date"].startswith("s.xml, line 1, entry 2 on it")
    assert told["fee_charged"].startswith("s.xml, line 1, entry 3.2 on it")
    page = openpyxl.load_workbook(path).active
    assert {page.cell(row, 2).value for row in (5, 6)} == {
        "s.xml, line 1, entry 2 on it",
        "s.xml, line 1, entry 3.2 on it",
    }


def test_a_line_of_a_report_that_its_statement_has_too_is_told_and_not_sent_back(tmp_path, sent_back):
    """Corrected and sent in without the statement, it would be booked a second time."""
    entries = ({"ref": "1"}, {"ref": "2", "amount": "1O.00"})
    report = on_one_line(*entries).replace("BkToCstmrStmt", "BkToCstmrAcctRpt").replace("Stmt>", "Rpt>")
    (tmp_path / "052.xml").write_text(report.replace("<Id>S1", "<Id>R1"))
    side = "<CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-10-02</Dt></Dt></Bal>"
    start, end = (
        f'<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">{amount}</Amt>{side}'
        for code, amount in (("OPBD", "0"), ("CLBD", "1.00"))
    )
    (tmp_path / "053.xml").write_text(on_one_line({"ref": "9"}).replace("<Ntry>", start + end + "<Ntry>"))
    tables, _ = sent_back(tmp_path)
    rejects = tables["rejects"].set_index("rule")["message"]
    said = "052.xml, line 1, entry 1: this line of a report is in statement S1 too"
    assert rejects["REPORTED_AND_BOOKED"].startswith(said)
    assert tables["rejects"].set_index("rule").loc["REPORTED_AND_BOOKED", "source_entry"] == 1
    assert rejects["REPORTED_AND_BOOKED"].endswith("What to do: nothing.")
    cells = tables["refused_cells"]
    assert cells.loc[cells["column"] == "line_id", "value"].tolist() == ["2"]


def test_an_entry_that_is_right_is_not_listed_for_a_value_that_another_one_on_its_line_is_refused_for(
    tmp_path, sent_back
):
    entries = ({"ref": "1", "amount": "5 USD"}, {"ref": "2"}, {"ref": "3", "amount": "5 USD"})
    text = on_one_line(*entries)
    first = text.replace('<Amt Ccy="EUR">5 USD', '<Amt Ccy="USD">5 USD', 1)  # of the third it contradicts the currency
    (tmp_path / "s.xml").write_text(first)
    tables, _ = sent_back(tmp_path / "s.xml")
    cells = tables["refused_cells"]
    assert cells.loc[cells["column"] == "line_id", "value"].tolist() == ["3"]
    assert cells["source_entry"].unique().tolist() == [3]
