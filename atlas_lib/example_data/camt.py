"""Bank statements as camt.053.001.08 (ISO 20022, BankToCustomerStatementV08)."""

from __future__ import annotations

from textwrap import wrap
from xml.sax.saxutils import escape

import pandas as pd

from atlas_lib.example_data.submissions import decimal_text

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"


def render_statement(statement_id: str, lines: pd.DataFrame, balances: pd.DataFrame) -> str:
    """One message with one statement: group header, account, OPBD and CLBD, one entry per line."""
    opening, closing = balances.iloc[0], balances.iloc[1]
    made = f"{closing['balance_date']:%Y-%m-%d}T20:00:00Z"
    head = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<Document xmlns="{NAMESPACE}"><BkToCstmrStmt>\n'
        f"<GrpHdr><MsgId>STMT-{statement_id}</MsgId><CreDtTm>{made}</CreDtTm></GrpHdr>\n"
        f"<Stmt><Id>{statement_id}</Id><CreDtTm>{made}</CreDtTm>"
        f"<Acct><Id><IBAN>{opening['account']}</IBAN></Id><Ccy>{opening['currency']}</Ccy></Acct>\n"
    )
    return head + _balance(opening) + _balance(closing) + _entries(lines) + "</Stmt></BkToCstmrStmt></Document>\n"


def _balance(row: pd.Series) -> str:
    amount = pd.Series([abs(int(row["balance_minor"]))])
    text = decimal_text(amount, pd.Series([row["currency"]])).iloc[0]
    side = "CRDT" if row["balance_minor"] >= 0 else "DBIT"
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{row['balance_type']}</Cd></CdOrPrtry></Tp>"
        f'<Amt Ccy="{row["currency"]}">{text}</Amt><CdtDbtInd>{side}</CdtDbtInd>'
        f"<Dt><Dt>{row['balance_date']:%Y-%m-%d}</Dt></Dt></Bal>\n"
    )


def _entries(lines: pd.DataFrame) -> str:
    """Elements in the order of the schema: charges are included in the entry's amount."""
    currency = lines["currency"].astype("str")
    side = lines["is_credit"].map({True: "CRDT", False: "DBIT"}).astype("str")
    day = lines["booking_date"].dt.strftime("%Y-%m-%d").astype("str")
    party = lines["is_credit"].map({True: "Dbtr", False: "Cdtr"}).astype("str")
    name = lines["counterparty_name"].map(escape).astype("str")
    entry = "<Ntry><NtryRef>" + lines["line_id"].astype("str") + '</NtryRef><Amt Ccy="' + currency + '">'
    entry += decimal_text(lines["amount_posted_minor"], lines["currency"]) + "</Amt><CdtDbtInd>" + side
    entry += "</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>" + day + "</Dt></BookgDt><ValDt><Dt>" + day
    entry += "</Dt></ValDt><AcctSvcrRef>" + lines["bank_reference"].astype("str") + "</AcctSvcrRef>"
    entry += "<BkTxCd><Prtry><Cd>NTRF</Cd></Prtry></BkTxCd>" + _charges(lines)
    entry += "<NtryDtls><TxDtls><Refs><EndToEndId>" + lines["end_to_end_id"].astype("str") + "</EndToEndId></Refs>"
    entry += "<RltdPties><" + party + "><Pty><Nm>" + name + "</Nm></Pty></" + party + "></RltdPties>"
    entry += "<RmtInf>" + lines["remittance_text"].map(_texts).astype("str") + "</RmtInf>"
    return "".join(entry + "</TxDtls></NtryDtls></Ntry>\n")


def _texts(text: str) -> str:
    """`Ustrd` as often as it takes: Max140Text."""
    return "".join(f"<Ustrd>{escape(part)}</Ustrd>" for part in wrap(text, 140, break_on_hyphens=False))


def _charges(lines: pd.DataFrame) -> pd.Series:
    """`Chrgs` with one debit record on the lines that have a fee, nothing on the others."""
    amount = '<Amt Ccy="' + lines["currency"].astype("str") + '">'
    amount += decimal_text(lines["fee_charged_minor"], lines["currency"]) + "</Amt>"
    record = "<Chrgs><Rcrd>" + amount + "<CdtDbtInd>DBIT</CdtDbtInd><ChrgInclInd>true</ChrgInclInd></Rcrd></Chrgs>"
    return record.where(lines["fee_charged_minor"] > 0, "")
