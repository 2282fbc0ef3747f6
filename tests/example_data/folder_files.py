"""Reading a generated folder without the code under test."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pandas as pd
from lxml import etree


def read_text(path: Path) -> pd.DataFrame:
    """Every cell as it stands in the file."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def read_camt(path: Path) -> Iterator[dict]:
    """One mapping per entry of a camt.053 file."""
    statement = etree.parse(path).getroot().find("{*}BkToCstmrStmt/{*}Stmt")
    for entry in statement.findall("{*}Ntry"):
        party = entry.find("{*}NtryDtls/{*}TxDtls/{*}RltdPties")
        yield {
            "statement_id": statement.findtext("{*}Id"),
            "account": statement.findtext("{*}Acct/{*}Id/{*}IBAN"),
            "line_id": entry.findtext("{*}NtryRef"),
            "end_to_end_id": entry.findtext("{*}NtryDtls/{*}TxDtls/{*}Refs/{*}EndToEndId"),
            "booking_date": entry.findtext("{*}BookgDt/{*}Dt"),
            "amount_posted": entry.findtext("{*}Amt"),
            "fee_charged": entry.findtext("{*}Chrgs/{*}Rcrd/{*}Amt") or "0",
            "currency": entry.find("{*}Amt").get("Ccy"),
            "credit_debit_indicator": entry.findtext("{*}CdtDbtInd"),
            "bank_reference": entry.findtext("{*}AcctSvcrRef"),
            "counterparty_name": party.findtext("*/{*}Pty/{*}Nm"),
            "remittance_text": " ".join(e.text for e in entry.findall("{*}NtryDtls/{*}TxDtls/{*}RmtInf/{*}Ustrd")),
        }


def read_camt_balances(path: Path) -> Iterator[dict]:
    statement = etree.parse(path).getroot().find("{*}BkToCstmrStmt/{*}Stmt")
    for balance in statement.findall("{*}Bal"):
        sign = "" if balance.findtext("{*}CdtDbtInd") == "CRDT" else "-"
        yield {
            "statement_id": statement.findtext("{*}Id"),
            "balance_type": balance.findtext("{*}Tp/{*}CdOrPrtry/{*}Cd"),
            "balance": sign + balance.findtext("{*}Amt"),
        }


def read_lines(folder: Path) -> pd.DataFrame:
    """All bank lines of the folder, amounts as Decimal."""
    camt = [line for path in sorted(folder.glob("statements/*.xml")) for line in read_camt(path)]
    others = [read_text(path) for path in sorted(folder.glob("statements/statement_lines_*.csv"))]
    lines = pd.concat([pd.DataFrame(camt), *others], ignore_index=True).drop(columns="transaction_id")
    return lines.assign(amount=lines["amount_posted"].map(Decimal), fee=lines["fee_charged"].map(Decimal))


def read_balances(folder: Path) -> pd.DataFrame:
    camt = [row for path in sorted(folder.glob("statements/*.xml")) for row in read_camt_balances(path)]
    others = [read_text(path) for path in sorted(folder.glob("statements/statement_balances_*.csv"))]
    balances = pd.concat([pd.DataFrame(camt), *others], ignore_index=True)
    return balances.assign(balance=balances["balance"].map(Decimal))
