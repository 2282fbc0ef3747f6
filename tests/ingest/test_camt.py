"""camt.052, 053 and 054, versions 02 to 08 (element names of the ISO 20022 message definition reports)."""

from __future__ import annotations

import time

import pytest

from atlas_lib.core.errors import InputError
from atlas_lib.ingest import read_inputs

ENTRY = """<Ntry><NtryRef>{ref}</NtryRef><Amt Ccy="EUR">{amount}</Amt><CdtDbtInd>{side}</CdtDbtInd>{status}
<BookgDt><Dt>2026-10-02</Dt></BookgDt><ValDt><Dt>2026-10-03</Dt></ValDt><AcctSvcrRef>B-{ref}</AcctSvcrRef>
<NtryDtls><TxDtls><Refs><EndToEndId>E-{ref}</EndToEndId></Refs>
<RltdPties><Dbtr>{name}</Dbtr></RltdPties><RmtInf><Ustrd>Rechnung</Ustrd><Ustrd>17</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>"""
BALANCE = """<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">{amount}</Amt><CdtDbtInd>{side}</CdtDbtInd>
<Dt><Dt>2026-10-02</Dt></Dt></Bal>"""


def statement(*parts, version="02"):
    head = f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}"><BkToCstmrStmt><GrpHdr><MsgId>1</MsgId></GrpHdr>'
    account = "<Stmt><Id>S1</Id><Acct><Id><IBAN>DE89370400440532013000</IBAN></Id></Acct>"
    return f"{head}{account}{''.join(parts)}</Stmt></BkToCstmrStmt></Document>"


def entry(ref="1", amount="10.50", side="CRDT", status="<Sts>BOOK</Sts>", name="<Nm>Payer</Nm>"):
    return ENTRY.format(ref=ref, amount=amount, side=side, status=status, name=name)


def balance(code, amount, side="CRDT"):
    return BALANCE.format(code=code, amount=amount, side=side)


@pytest.mark.parametrize(
    ("version", "status", "name"),
    [("02", "<Sts>BOOK</Sts>", "<Nm>Payer</Nm>"), ("08", "<Sts><Cd>BOOK</Cd></Sts>", "<Pty><Nm>Payer</Nm></Pty>")],
)
def test_an_entry_is_read_alike_in_both_versions(tmp_path, clean, version, status, name):
    (tmp_path / "s.xml").write_text(statement(entry(status=status, name=name), version=version))
    line = clean(tmp_path)["statement_lines"].iloc[0]
    expected = {
        "statement_id": "S1", "account": "DE89370400440532013000", "line_id": "1", "end_to_end_id": "E-1",
        "amount_posted_minor": 1050, "fee_charged_minor": 0, "currency": "EUR", "credit_debit_indicator": "CRDT", "status": "BOOK",
        "bank_reference": "B-1", "remittance_text": "Rechnung 17", "counterparty_name": "Payer", "source_file": "s.xml",
    }  # fmt: skip
    assert {k: line[k] for k in expected} == expected


def test_three_decimals_in_xml_are_never_thousands(tmp_path, clean):
    text = statement(entry(amount="1.250")).replace('Ccy="EUR"', 'Ccy="BHD"')
    (tmp_path / "s.xml").write_text(text)
    assert clean(tmp_path)["statement_lines"]["amount_posted_minor"].tolist() == [1250]


def test_lines_without_their_own_reference_are_numbered(tmp_path, clean):
    (tmp_path / "s.xml").write_text(statement(entry(ref="X"), entry(ref="X", amount="2")))
    assert clean(tmp_path)["statement_lines"]["line_id"].tolist() == ["1", "2"]


def test_an_overdraft_is_a_negative_balance_and_prcd_stands_for_opbd(tmp_path, clean):
    (tmp_path / "s.xml").write_text(
        statement(balance("PRCD", "20", "DBIT"), entry(), balance("CLBD", "9.50", "DBIT"), balance("CLAV", "5"))
    )
    tables = clean(tmp_path)
    balances = tables["statement_balances"].set_index("balance_type")["balance_minor"].to_dict()
    assert balances == {"OPBD": -2000, "CLBD": -950}
    assert tables["rejects"].empty


def test_a_statement_that_does_not_add_up_is_noted(tmp_path, clean):
    (tmp_path / "s.xml").write_text(statement(balance("OPBD", "20"), entry(), balance("CLBD", "30")))
    rejects = clean(tmp_path)["rejects"]
    assert rejects[["rule", "severity"]].to_numpy().tolist() == [["STATEMENT_BALANCE", "warning"]]
    assert "give 3050, the closing balance is 3000" in rejects["message"].iloc[0]


def test_a_document_type_is_refused_and_its_entities_are_not_read(tmp_path):
    secret = tmp_path / "_secret.txt"
    secret.write_text("secret")
    attack = f'<!DOCTYPE d [<!ENTITY x SYSTEM "{secret.as_uri()}">]>' + statement(entry(name="<Nm>&x;</Nm>"))
    (tmp_path / "s.xml").write_text(attack)
    with pytest.raises(InputError, match=r"declares a document type.*s\.xml.*without DOCTYPE"):
        read_inputs(tmp_path)


def test_another_xml_is_noted_and_a_damaged_one_stops_the_run(tmp_path):
    (tmp_path / "p.xml").write_text('<Document xmlns="urn:x"><CstmrCdtTrfInitn/></Document>')
    assert read_inputs(tmp_path)[0].notes[0][3] == "UNKNOWN_FILE"
    (tmp_path / "p.xml").write_text(statement(entry())[:-40])
    with pytest.raises(InputError, match=r"statement cannot be read.*p\.xml.*fetch the statement"):
        read_inputs(tmp_path)


def test_two_bad_entries_on_one_line_of_xml_are_told_apart(tmp_path, clean):
    entries = (entry(ref=r, status=f"<Sts>{s}</Sts>") for r, s in (("1", "LATE"), ("2", "ODD")))
    (tmp_path / "s.xml").write_text(statement(*entries).replace("\n", ""))
    rejects = clean(tmp_path)["rejects"]
    assert rejects[["rule", "value"]].to_numpy().tolist() == [["UNKNOWN_STATUS", "LATE"], ["UNKNOWN_STATUS", "ODD"]]


DETAIL = """<TxDtls><Refs><EndToEndId>{ref}</EndToEndId></Refs>{amount}{side}<RltdPties><Dbtr><Nm>{ref} Ltd</Nm></Dbtr></RltdPties></TxDtls>"""


def batch(*details, amount="30.00", version="03", charges=""):
    head = f'<Ntry><NtryRef>B</NtryRef><Amt Ccy="EUR">{amount}</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts>'
    made = [
        DETAIL.format(
            ref=ref,
            side=f"<CdtDbtInd>{side}</CdtDbtInd>" if version != "02" else "",
            amount=f'<Amt Ccy="EUR">{a}</Amt>'
            if version != "02"
            else f'<AmtDtls><TxAmt><Amt Ccy="EUR">{a}</Amt></TxAmt></AmtDtls>',
        )
        for ref, a, side in details
    ]
    return f"{head}<BookgDt><Dt>2026-10-02</Dt></BookgDt>{charges}<NtryDtls>{''.join(made)}</NtryDtls></Ntry>"


@pytest.mark.parametrize("version", ["02", "03", "08"])
def test_a_batch_whose_details_add_up_is_one_line_per_payment(tmp_path, clean, version):
    text = statement(batch(("A", "10.00", "CRDT"), ("B", "20.00", "CRDT"), version=version), version=version)
    (tmp_path / "s.xml").write_text(text)
    lines = clean(tmp_path)["statement_lines"]
    assert lines[["line_id", "end_to_end_id", "amount_posted_minor", "counterparty_name"]].to_numpy().tolist() == [
        ["B.1", "A", 1000, "A Ltd"],
        ["B.2", "B", 2000, "B Ltd"],
    ]


def test_a_returned_payment_within_a_batch_counts_with_its_own_sign(tmp_path, clean):
    (tmp_path / "s.xml").write_text(statement(batch(("A", "40", "CRDT"), ("B", "10", "DBIT")), version="03"))
    lines = clean(tmp_path)["statement_lines"]
    assert lines[["amount_posted_minor", "credit_debit_indicator"]].to_numpy().tolist() == [
        [4000, "CRDT"],
        [1000, "DBIT"],
    ]


def test_a_batch_whose_details_do_not_add_up_stays_one_line_and_says_so(tmp_path, clean):
    (tmp_path / "s.xml").write_text(statement(batch(("A", "10", "CRDT"), ("B", "19.99", "CRDT")), version="03"))
    tables = clean(tmp_path)
    assert tables["statement_lines"]["amount_posted_minor"].tolist() == [3000]
    assert tables["statement_lines"]["end_to_end_id"].isna().all()
    assert tables["rejects"]["rule"].tolist() == ["ENTRY_NOT_SPLIT"]


def test_charges_of_several_records_are_added_up_and_stay_whole_on_a_split_entry(tmp_path, clean):
    charges = '<Chrgs><Rcrd><Amt Ccy="EUR">0.30</Amt></Rcrd><Rcrd><Amt Ccy="EUR">0.10</Amt><CdtDbtInd>CRDT</CdtDbtInd></Rcrd></Chrgs>'
    (tmp_path / "s.xml").write_text(
        statement(batch(("A", "10", "CRDT"), ("B", "20", "CRDT"), charges=charges), version="03")
    )
    assert clean(tmp_path)["statement_lines"]["fee_charged_minor"].tolist() == [20, 0]


@pytest.mark.parametrize(
    ("message", "part"),
    [("BkToCstmrAcctRpt", "Rpt"), ("BkToCstmrDbtCdtNtfctn", "Ntfctn")],
)
def test_reports_and_notices_are_read_like_statements_without_a_closing_balance(tmp_path, clean, message, part):
    text = statement(entry(), version="04").replace("BkToCstmrStmt", message).replace("Stmt>", f"{part}>")
    (tmp_path / "s.xml").write_text(text)
    tables = clean(tmp_path)
    assert tables["statement_lines"]["amount_posted_minor"].tolist() == [1050]
    assert tables["rejects"].empty


def test_an_entry_for_information_only_books_nothing_and_is_noted(tmp_path, clean):
    (tmp_path / "s.xml").write_text(statement(entry("1"), entry("2", status="<Sts>INFO</Sts>")))
    tables = clean(tmp_path)
    assert tables["statement_lines"]["line_id"].tolist() == ["1"]
    assert tables["rejects"]["rule"].tolist() == ["INFORMATION_ENTRY"]


def test_an_announced_entry_is_pending(tmp_path, clean):
    (tmp_path / "s.xml").write_text(statement(entry(status="<Sts><Cd>FUTR</Cd></Sts>"), version="08"))
    assert clean(tmp_path)["statement_lines"]["status"].tolist() == ["PDNG"]


def test_an_entry_without_a_booking_date_takes_its_value_date_and_says_so(tmp_path, clean):
    text = statement(entry()).replace("<BookgDt><Dt>2026-10-02</Dt></BookgDt>", "")
    (tmp_path / "s.xml").write_text(text)
    tables = clean(tmp_path)
    assert tables["statement_lines"]["booking_date"].dt.strftime("%Y-%m-%d").tolist() == ["2026-10-03"]
    assert tables["rejects"]["rule"].tolist() == ["BOOKING_DATE_TAKEN"]


def test_pages_of_one_statement_add_up_together(tmp_path, clean):
    def page(number, *parts):
        return statement(f"<StmtPgntn><PgNb>{number}</PgNb></StmtPgntn>", *parts, version="03")

    middle = balance("CLBD", "15.50").replace("</CdOrPrtry>", "</CdOrPrtry><SubTp><Cd>INTM</Cd></SubTp>")
    (tmp_path / "1.xml").write_text(page(1, balance("OPBD", "5"), middle, entry("1")))
    (tmp_path / "2.xml").write_text(page(2, balance("CLBD", "26"), entry("1")))
    tables = clean(tmp_path)
    assert tables["statement_lines"]["line_id"].tolist() == ["1", "p2 1"]
    assert tables["rejects"].empty


def test_a_reference_that_says_there_is_none_is_none(tmp_path, clean):
    (tmp_path / "s.xml").write_text(statement(entry(ref="1")).replace("E-1", "NOTPROVIDED"))
    assert clean(tmp_path)["statement_lines"]["end_to_end_id"].isna().all()


def test_a_message_without_a_statement_is_noted(tmp_path):
    text = '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"><BkToCstmrStmt><GrpHdr/></BkToCstmrStmt></Document>'
    (tmp_path / "s.xml").write_text(text)
    assert read_inputs(tmp_path)[0].notes[0][3] == "EMPTY_STATEMENT"


BOMBS = {
    "billion laughs": "<!DOCTYPE d [<!ENTITY a 'lol'>"
    + "".join(f"<!ENTITY {n} '{f'&{p};' * 10}'>" for p, n in zip("abcdefghi", "bcdefghij", strict=True))
    + "]><Document>&j;</Document>",
    "quadratic": f"<!DOCTYPE d [<!ENTITY a '{'x' * 50_000}'>]><Document>{'&a;' * 5_000}</Document>",
    "attribute": f"<!DOCTYPE d [<!ENTITY a '{'x' * 50_000}'>]><Document n='{'&a;' * 5_000}'/>",
    "external document type": '<!DOCTYPE Document SYSTEM "http://192.0.2.1/x.dtd"><Document/>',
    "parameter entity": '<!DOCTYPE d [<!ENTITY % p SYSTEM "file:///etc/hostname"> %p;]><Document/>',
}


@pytest.mark.parametrize("attack", BOMBS, ids=str)
def test_entities_and_document_types_are_refused_at_once(tmp_path, attack):
    (tmp_path / "s.xml").write_text(BOMBS[attack])
    start = time.process_time()
    with pytest.raises(InputError, match=r"s\.xml"):
        read_inputs(tmp_path)
    assert time.process_time() - start < 2


def test_an_inclusion_is_not_followed(tmp_path, clean):
    (tmp_path / "_secret.txt").write_text("secret")
    include = f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="{(tmp_path / "_secret.txt").as_uri()}" parse="text"/>'
    (tmp_path / "s.xml").write_text(statement(entry(name=f"<Nm>{include}</Nm>")))
    assert clean(tmp_path)["statement_lines"]["counterparty_name"].isna().all()


def counted(tables):
    counts = tables["received_counts"]
    return (
        counts.loc[counts["table"] == "statement_lines", ["rows_in_count", "rejected_count", "duplicate_count"]]
        .to_numpy()
        .tolist()
    )


def test_the_same_statement_with_other_lines_is_refused_and_the_first_one_stands(tmp_path, clean):
    (tmp_path / "a.xml").write_text(statement(entry("1"), entry("2")))
    (tmp_path / "b.xml").write_text(statement(entry("1"), entry("2", amount="99")))
    tables = clean(tmp_path)
    assert tables["statement_lines"]["amount_posted_minor"].tolist() == [1050, 1050]
    assert tables["rejects"]["rule"].tolist() == ["CONFLICTING_STATEMENT"] * 2
    assert "another file has this statement with other lines" in tables["rejects"]["message"].iloc[0]
    assert counted(tables) == [[4, 2, 0]]


def test_an_intraday_report_and_the_statement_that_books_it_count_once(tmp_path, clean):
    report = statement(entry("1"), entry("2", amount="7")).replace("BkToCstmrStmt", "BkToCstmrAcctRpt")
    (tmp_path / "052.xml").write_text(report.replace("Stmt>", "Rpt>").replace("<Id>S1", "<Id>R1"))
    (tmp_path / "053.xml").write_text(statement(balance("OPBD", "0"), entry("9"), balance("CLBD", "10.50")))
    tables = clean(tmp_path)
    assert tables["statement_lines"][["statement_id", "amount_posted_minor"]].to_numpy().tolist() == [
        ["R1", 700],
        ["S1", 1050],
    ]
    assert tables["rejects"]["rule"].tolist() == ["REPORTED_AND_BOOKED"]
    assert counted(tables) == [[3, 0, 1]]


def test_a_second_statement_of_one_id_in_a_file_is_its_own_and_the_same_again_a_repetition(tmp_path, clean):
    first = statement(balance("OPBD", "0"), entry(amount="50"), balance("CLBD", "50"))
    second = statement(balance("OPBD", "50"), entry(amount="70"), balance("CLBD", "120"))
    cut = second[second.index("<Stmt>") : second.index("</BkToCstmrStmt>")]
    (tmp_path / "s.xml").write_text(first.replace("</BkToCstmrStmt>", cut + cut + "</BkToCstmrStmt>"))
    tables = clean(tmp_path)
    lines = tables["statement_lines"][["statement_id", "amount_posted_minor"]].to_numpy().tolist()
    assert lines == [["S1", 5000], ["S1 #2", 7000]]
    assert len(tables["statement_balances"]) == 4
    assert tables["rejects"]["rule"].tolist() == ["DUPLICATE_KEY"] * 3


@pytest.mark.parametrize("aside", ["<!-- made by the bank -->", "<?bank note?>"])
def test_comments_and_instructions_are_no_elements_and_cut_no_text(tmp_path, clean, aside):
    text = statement(entry(amount=f"1{aside}0.50")).replace("<BkToCstmrStmt>", f"{aside}<BkToCstmrStmt>{aside}")
    (tmp_path / "s.xml").write_text(text)
    tables = clean(tmp_path)
    assert tables["statement_lines"]["amount_posted_minor"].tolist() == [1050]
    assert tables["rejects"].empty


def test_messages_within_an_envelope_are_read_all(tmp_path, clean):
    head = '<AppHdr xmlns="urn:iso:std:iso:20022:tech:xsd:head.001.001.02"><BizMsgIdr>1</BizMsgIdr></AppHdr>'
    second = statement(entry(amount="2")).replace("<Id>S1</Id>", "<Id>S2</Id>")
    (tmp_path / "s.xml").write_text(f"<Envelope>{head}{statement(entry())}{head}{second}</Envelope>")
    tables = clean(tmp_path)
    assert tables["statement_lines"]["statement_id"].tolist() == ["S1", "S2"]
    assert tables["rejects"].empty


@pytest.mark.parametrize(
    ("part", "rule", "value"),
    [
        ("<CdtDbtInd>CRDT</CdtDbtInd>", "UNKNOWN_CREDIT_DEBIT_INDICATOR", "no CdtDbtInd in entry {}"),
        ("<Sts>BOOK</Sts>", "UNKNOWN_STATUS", "no Sts in entry {}"),
    ],
)
def test_an_entry_that_does_not_say_its_side_or_status_is_refused_not_guessed(tmp_path, clean, part, rule, value):
    details = batch(("A", "10.00", None), ("B", "20.00", None), version="02")
    (tmp_path / "s.xml").write_text(statement(entry("1"), (entry("2") + details).replace(part, "")))
    tables = clean(tmp_path)
    assert tables["statement_lines"]["line_id"].tolist() == ["1"]
    told = tables["rejects"][["rule", "value"]].to_numpy().tolist()
    assert told == [[rule, value.format(n)] for n in ("2", "B.1", "B.2")]
    assert value.format("2") in tables["rejects"]["message"].iloc[0]


def test_a_balance_that_does_not_say_its_side_is_refused(tmp_path, clean):
    (tmp_path / "s.xml").write_text(
        statement(entry(), balance("CLBD", "9.50").replace("<CdtDbtInd>CRDT</CdtDbtInd>", ""))
    )
    tables = clean(tmp_path)
    assert tables["statement_balances"].empty
    assert tables["rejects"][["rule", "value"]].to_numpy().tolist() == [["NOT_A_NUMBER", "9.50 with no CdtDbtInd"]]


def test_of_several_entries_on_one_line_only_the_refused_ones_are_to_be_corrected(tmp_path, clean):
    entries = [entry("1"), entry("2", amount="1O.00"), entry("3"), entry("4", status="")]
    (tmp_path / "s.xml").write_text(statement(*entries).replace("\n", ""))
    cells = clean(tmp_path)["refused_cells"]
    assert cells.loc[cells["column"] == "line_id", "value"].tolist() == ["2", "4"]


def test_two_unreadable_amounts_on_one_line_of_the_file_are_refused_and_break_nothing(tmp_path, clean):
    entries = [entry("1", amount="1O.00"), entry("2"), entry("3", amount="2O.00")]
    (tmp_path / "s.xml").write_text(statement(*entries).replace("\n", ""))
    tables = clean(tmp_path)
    assert tables["rejects"][["rule", "value"]].to_numpy().tolist() == [
        ["NOT_A_NUMBER", "1O.00"],
        ["NOT_A_NUMBER", "2O.00"],
    ]
    assert tables["statement_lines"]["line_id"].tolist() == ["2"]


def test_an_account_of_several_currencies_has_a_statement_for_each(tmp_path, clean):
    of_dollars = [balance("OPBD", "5.00"), balance("CLBD", "4.00"), entry("2", "1.00", "DBIT")]
    parts = [
        balance("OPBD", "1.00"),
        balance("CLBD", "11.50"),
        entry(),
        *(p.replace('"EUR"', '"USD"') for p in of_dollars),
    ]
    (tmp_path / "s.xml").write_text(statement(*parts))
    tables = clean(tmp_path)
    balances = tables["statement_balances"][["statement_id", "currency", "balance_minor"]].to_numpy().tolist()
    assert balances == [
        ["S1 EUR", "EUR", 1150], ["S1 EUR", "EUR", 100], ["S1 USD", "USD", 400], ["S1 USD", "USD", 500],
    ]  # fmt: skip
    assert tables["statement_lines"][["statement_id", "currency"]].to_numpy().tolist() == [["S1 EUR", "EUR"], ["S1 USD", "USD"]]  # fmt: skip
    assert tables["rejects"].empty


SUMMARY = "<TxsSummry><TtlNtries><NbOfNtries>{}</NbOfNtries><Sum>{}</Sum></TtlNtries><TtlDbtNtries><NbOfNtries>{}</NbOfNtries></TtlDbtNtries></TxsSummry>"  # fmt: skip


@pytest.mark.parametrize(
    ("stated", "page", "said"),
    [
        (("3", "12.75", "1"), "", []),
        (("2", "12.50", "1"), "", []),  # of the booked ones
        (("4", "112.75", "1"), "", ["TtlNtries 4 of 112.75, it holds 3 of 12.75"]),
        (("3", "12.75", "2"), "", ["TtlDbtNtries 2, it holds 1 of 2.00"]),
        (("4", "112.75", "2"), "<StmtPgntn><PgNb>1</PgNb><LastPgInd>false</LastPgInd></StmtPgntn>", []),
    ],
)
def test_the_totals_that_a_statement_states_are_compared_with_its_entries(tmp_path, clean, stated, page, said):
    pending = entry("3", "0.25", status="<Sts>PDNG</Sts>")
    (tmp_path / "s.xml").write_text(
        statement(page, SUMMARY.format(*stated), entry(), entry("2", "2.00", "DBIT"), pending)
    )
    rejects = clean(tmp_path)["rejects"]
    assert rejects["rule"].tolist() == ["STATEMENT_TOTAL"] * len(said)
    assert all(text in message for text, message in zip(said, rejects["message"], strict=True))
