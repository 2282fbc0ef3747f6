"""camt.053, versions 02 and 08 (element names of the ISO 20022 message definition reports)."""

from __future__ import annotations

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


def test_signed_amounts_without_an_indicator_give_the_direction(tmp_path, clean):
    text = "Buchungstag;Valuta;Betrag;Währung;Verwendungszweck\n01.10.2026;01.10.2026;-12,50;EUR;Miete\n02.10.2026;;7,00;EUR;Eingang\n"
    (tmp_path / "Umsaetze.csv").write_text(text, encoding="cp1252")
    lines = clean(tmp_path)["statement_lines"]
    assert lines[["line_id", "amount_posted_minor", "credit_debit_indicator"]].to_numpy().tolist() == [
        ["2", 1250, "DBIT"],
        ["3", 700, "CRDT"],
    ]


def test_two_bad_entries_on_one_line_of_xml_are_told_apart(tmp_path, clean):
    entries = (entry(ref=r, status=f"<Sts>{s}</Sts>") for r, s in (("1", "LATE"), ("2", "ODD")))
    (tmp_path / "s.xml").write_text(statement(*entries).replace("\n", ""))
    rejects = clean(tmp_path)["rejects"]
    assert rejects[["rule", "value"]].to_numpy().tolist() == [["UNKNOWN_STATUS", "LATE"], ["UNKNOWN_STATUS", "ODD"]]
