"""Bank statements: ISO 20022 camt.053 (BankToCustomerStatement, versions 02 to 08) to raw sheets.

One statement line per entry (Ntry). Entities and network access are off. Source row: the line of the XML file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from atlas_lib.core.errors import InputError
from atlas_lib.ingest.headers import RawSheet
from atlas_lib.ingest.vocabulary import fields

_STATEMENT = "BkToCstmrStmt"
_AMOUNTS = ("amount_posted", "fee_charged", "balance")
_PREVIOUS_CLOSING = {"PRCD": "OPBD"}  # the closing balance of the day before is today's opening balance


def read_camt(path: Path, name: str) -> list[RawSheet]:
    """Lines and balances of a camt.053 file; another XML is noted and left out."""
    root = _parse(path, name)
    message = root[0] if len(root) else root
    if _local(message) != _STATEMENT:
        found = f"{_local(root)}/{_local(message)}"
        text = f"{name}: this XML is no camt.053 statement. Expected {_STATEMENT}, found {found}; the file is left out."
        return [RawSheet(name, "", pd.DataFrame(), notes=((0, "", found, "UNKNOWN_FILE", text),))]
    statements = message.findall("{*}Stmt")
    lines = [line for s in statements for line in _lines(s)]
    balances = [balance for s in statements for balance in _balances(s)]
    return [_sheet(name, "statement_lines", lines), _sheet(name, "statement_balances", balances)]


def _parse(path: Path, name: str) -> Any:
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        return etree.parse(str(path), parser).getroot()
    except (etree.XMLSyntaxError, OSError) as error:
        raise InputError(
            "The statement cannot be read", where=name, expected="a complete XML file", found=str(error),
            remedy="fetch the statement from the bank again",
        ) from error  # fmt: skip


def _sheet(name: str, table: str, records: list[dict[str, Any]]) -> RawSheet:
    """Records (column name to text, `source_row`) as a sheet whose header is known."""
    header = [f.name for f in fields(table, "")]
    rows = [r["source_row"] for r in records]
    columns = {h: pd.Series([r.get(h) for r in records], dtype="str") for h in header}
    frame = pd.DataFrame({i: _numbers(c) if h in _AMOUNTS else c for i, (h, c) in enumerate(columns.items())})
    frame.index = pd.Index(rows, dtype="int64")
    return RawSheet(name, "", frame, header=tuple(header), table=table)


def _numbers(texts: pd.Series) -> pd.Series:
    """An xs:decimal is a number: its point is a decimal mark, even before three digits."""
    numbers = pd.to_numeric(texts, errors="coerce")
    return numbers if numbers.notna().equals(texts.notna()) else texts


def _owner(statement: Any) -> dict[str, str | None]:
    account = _text(statement, "Acct/Id/IBAN") or _text(statement, "Acct/Id/Othr/Id")
    return {"statement_id": _text(statement, "Id"), "account": account}


def _lines(statement: Any) -> list[dict[str, Any]]:
    """Lines named by NtryRef where every entry of the statement has its own, else by their number."""
    owner, entries = _owner(statement), statement.findall("{*}Ntry")
    given = [_text(entry, "NtryRef") for entry in entries]
    numbered = [str(n) for n in range(1, len(entries) + 1)]
    names = given if all(given) and len(set(given)) == len(given) else numbered
    return [owner | _line(entry, str(name)) for entry, name in zip(entries, names, strict=True)]


def _line(entry: Any, number: str) -> dict[str, Any]:
    details = entry.findall("{*}NtryDtls/{*}TxDtls")
    only = details[0] if len(details) == 1 else None
    direction = _text(entry, "CdtDbtInd")
    party = "Dbtr" if direction == "CRDT" else "Cdtr"
    return {
        "line_id": number,
        "transaction_id": _text(only, "Refs/TxId"),
        "end_to_end_id": _text(only, "Refs/EndToEndId"),
        "booking_date": _day(entry, "BookgDt"),
        "value_date": _day(entry, "ValDt"),
        **_money(entry, "amount_posted"),
        "fee_charged": _text(entry, "Chrgs/TtlChrgsAndTaxAmt") or _text(entry, "Chrgs/Rcrd/Amt") or _text(entry, "Chrgs/Amt"),
        "credit_debit_indicator": direction,
        "status": _text(entry, "Sts/Cd") or _text(entry, "Sts"),
        "bank_reference": _text(entry, "AcctSvcrRef"),
        "remittance_text": _remittance(entry, details),
        "counterparty_name": _text(only, f"RltdPties/{party}/Nm") or _text(only, f"RltdPties/{party}/Pty/Nm"),
        "source_row": entry.sourceline,
    }  # fmt: skip


def _balances(statement: Any) -> list[dict[str, Any]]:
    """OPBD and CLBD; PRCD stands for OPBD where the bank sends no OPBD. Interim and available balances are left out."""
    owner = _owner(statement)
    found: dict[str, dict[str, Any]] = {}
    for balance in statement.findall("{*}Bal"):
        code = _text(balance, "Tp/CdOrPrtry/Cd") or ""
        kind = _PREVIOUS_CLOSING.get(code, code)
        if kind not in ("OPBD", "CLBD") or (code != kind and kind in found):
            continue
        money = _money(balance, "balance")
        if _text(balance, "CdtDbtInd") == "DBIT" and money["balance"]:
            money["balance"] = f"-{money['balance'].strip()}"
        day = _day(balance, "Dt")
        found[kind] = owner | money | {"balance_type": kind, "balance_date": day, "source_row": balance.sourceline}
    return list(found.values())


def _money(parent: Any, name: str) -> dict[str, str | None]:
    amount = parent.find("{*}Amt")
    return {name: None, "currency": None} if amount is None else {name: amount.text, "currency": amount.get("Ccy")}


def _day(parent: Any, tag: str) -> str | None:
    moment = _text(parent, f"{tag}/Dt") or _text(parent, f"{tag}/DtTm") or ""
    return moment[:10] or None


def _remittance(entry: Any, details: list[Any]) -> str | None:
    texts = [t for d in details for t in d.findall("{*}RmtInf/{*}Ustrd")] or entry.findall("{*}AddtlNtryInf")
    joined = " ".join((t.text or "").strip() for t in texts)
    return joined or None


def _text(parent: Any, path: str) -> str | None:
    if parent is None:
        return None
    found = parent.find("/".join("{*}" + step for step in path.split("/")))
    return (found.text or "").strip() or None if found is not None else None


def _local(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]
