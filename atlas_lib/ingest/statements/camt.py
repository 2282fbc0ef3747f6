"""ISO 20022 camt.052 (intraday report), camt.053 (statement) and camt.054 (notice), versions 02 to 08, to raw sheets.

An entry (Ntry) is one line. An entry with several transaction details whose amounts add up to it exactly is one line
per detail, so that each payment can be matched by its own reference; the sum stays that of the entry. Otherwise it
stays whole and is noted. A statement with balances in several currencies is one statement per currency. Source row: the
line of the XML file.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from atlas_lib.core.documents import REPORTS, child_text, children, local_name, messages_in, outline, parse_document
from atlas_lib.ingest.headers import RawSheet
from atlas_lib.ingest.statements.entries import read_fees, read_line
from atlas_lib.ingest.statements.sheets import (
    Known,
    Note,
    Record,
    join_id,
    left_out,
    note,
    own_id,
    said_in,
    statement_sheets,
)

_PREVIOUS_CLOSING = {"PRCD": "OPBD"}  # the closing balance of the day before is today's opening balance


def read_camt(path: Path, name: str) -> list[RawSheet]:
    """Lines and balances of all statements of the file; another XML is noted and left out."""
    root = parse_document(path, name, "statement")
    lines: list[Record] = []
    balances: list[Record] = []
    notes: list[Note] = []
    known: dict[tuple[str | None, str], Known] = {}
    messages = messages_in(root, REPORTS)
    if not messages:
        return [left_out(name, outline(root), "expected a camt.052, 053 or 054 message")]
    for message in messages:
        for statement in children(message, REPORTS[local_name(message)]):
            owner = _owner(statement, message)
            of_lines, of_balances = _lines(statement, owner, name, notes), _balances(statement, owner)
            notes += _total_notes(statement, name) if _is_whole_statement(statement) else []
            content = said_in((*of_lines, *of_balances))
            of_page = known.setdefault((owner["account"], owner["_page"]), {})
            named = own_id(of_page, content, owner["statement_id"])
            is_mixed = len({balance["currency"] for balance in of_balances}) > 1
            for records, of_statement in ((lines, of_lines), (balances, of_balances)):
                records += [
                    r | {"statement_id": join_id(named, r["currency"] if is_mixed else None)} for r in of_statement
                ]
    return statement_sheets(name, lines, balances, notes)


def _owner(statement: Any, message: Any) -> Record:
    account = child_text(statement, "Acct/Id/IBAN") or child_text(statement, "Acct/Id/Othr/Id")
    account = account or child_text(statement, "Acct/Id/PrtryAcct/Id") or child_text(statement, "Acct/Id/BBAN")
    created = child_text(statement, "CreDtTm") or child_text(message, "GrpHdr/CreDtTm") or ""
    return {
        "statement_id": join_id(child_text(statement, "Id")),
        "account": account,
        "_page": _page(statement, message),
        "_created": created[:10],
    }


def _page(statement: Any, message: Any) -> str:
    """Pages of one statement share its id: the lines of a later page carry the page's number in their own."""
    for path in ("StmtPgntn/PgNb", "RptPgntn/PgNb", "NtfctnPgntn/PgNb"):
        if number := child_text(statement, path):
            return number
    return child_text(message, "GrpHdr/MsgPgntn/PgNb") or "1"


def _is_whole_statement(statement: Any) -> bool:
    """Not one page of several, whose totals may be those of all pages."""
    found = [p for tag in ("StmtPgntn", "RptPgntn", "NtfctnPgntn") for p in children(statement, tag)]
    return all(child_text(p, "PgNb") == "1" and child_text(p, "LastPgInd") in ("true", "1") for p in found)


def _total_notes(statement: Any, name: str) -> list[Note]:
    """The number and the sum of entries that TxsSummry states, compared with those that are there, all or the booked ones."""
    notes = []
    entries = [
        (child_text(e, "CdtDbtInd"), _status(e), _decimal(child_text(e, "Amt"))) for e in children(statement, "Ntry")
    ]
    for tag, side in (("TtlNtries", ""), ("TtlCdtNtries", "CRDT"), ("TtlDbtNtries", "DBIT")):
        amounts = [(status, amount or Decimal(0)) for of, status, amount in entries if side in ("", of)]
        booked = [amount for status, amount in amounts if status == "BOOK"]
        for stated in children(statement, f"TxsSummry/{tag}"):
            count, total = _decimal(child_text(stated, "NbOfNtries")), _decimal(child_text(stated, "Sum"))
            held = [amount for _, amount in amounts]
            if any(count in (None, len(h)) and total in (None, sum(h)) for h in (held, booked)):
                continue
            says = " of ".join(str(v) for v in (count, total) if v is not None)
            text = f"the statement says {tag} {says}, it holds {len(held)} of {sum(held)}; ask the bank for the rest."
            notes.append(note(name, stated.sourceline, says, "STATEMENT_TOTAL", text))
    return notes


def _lines(statement: Any, owner: Record, name: str, notes: list[Note]) -> list[Record]:
    lines: list[Record] = []
    entries = children(statement, "Ntry")
    for entry, number in zip(entries, _entry_names(entries, owner["_page"]), strict=True):
        if _status(entry) == "INFO":
            shown = child_text(entry, "Amt") or ""
            text = "an entry for information only (status INFO) books nothing; it is left out."
            notes.append(note(name, entry.sourceline, shown, "INFORMATION_ENTRY", text))
            continue
        found = _split(entry, number) or [_whole(entry, number, name, notes)]
        lines += [_finished(line, entry, owner, name, notes) for line in found]
    return lines


def _entry_names(entries: list[Any], page: str) -> list[str]:
    """NtryRef where every entry of the statement has its own without a dot, else their number; later pages say so."""
    given = [child_text(entry, "NtryRef") for entry in entries]
    is_own = all(g and "." not in g for g in given) and max(Counter(given).values(), default=0) == 1
    numbers = [str(n) for n in range(1, len(entries) + 1)]
    prefix = "" if page in ("", "0", "1") else f"p{page} "
    return [join_id(prefix + str(text)) for text in (given if is_own else numbers)]


def _split(entry: Any, number: str) -> list[Record]:
    """One line per detail, numbered `entry.1`, `entry.2`, if their signed amounts are exactly the entry's; else none."""
    details = children(entry, "NtryDtls/TxDtls")
    amounts = [_detail_amount(entry, d) for d in details]
    total = _decimal(child_text(entry, "Amt"))
    if len(details) < 2 or total is None or any(a is None for a in amounts):
        return []
    side = child_text(entry, "CdtDbtInd")
    sides = [child_text(d, "CdtDbtInd") or side for d in details]
    signed = sum((a if s == side else -a for a, s in zip(amounts, sides, strict=True) if a is not None), Decimal(0))
    if signed != total:
        return []
    whole_fee = read_fees(entry, _currency(entry))
    lines = []
    for n, (detail, amount, own) in enumerate(zip(details, amounts, sides, strict=True), start=1):
        fee = read_fees(detail, _currency(entry)) or (whole_fee if n == 1 else None)
        line = read_line(entry, [detail], own)
        lines.append(line | {"line_id": join_id(f"{number}.{n}"), "amount_posted": str(amount), "fee_charged": fee})
    return lines


def _whole(entry: Any, number: str, name: str, notes: list[Note]) -> Record:
    details = children(entry, "NtryDtls/TxDtls")
    if len(details) > 1:
        text = f"the entry has {len(details)} transaction details whose amounts do not add up to it; it stays one line."
        notes.append(note(name, entry.sourceline, child_text(entry, "Amt") or "", "ENTRY_NOT_SPLIT", text))
    fees = [
        read_fees(entry, _currency(entry)) or (read_fees(details[0], _currency(entry)) if len(details) == 1 else None)
    ]
    line = read_line(entry, details, child_text(entry, "CdtDbtInd"))
    return line | {"line_id": number, "amount_posted": child_text(entry, "Amt"), "fee_charged": fees[0]}


def _finished(line: Record, entry: Any, owner: Record, name: str, notes: list[Note]) -> Record:
    """With its owner and status; an entry without booking date takes the value date, else the day of the message."""
    booked = line["booking_date"] or line["value_date"] or owner["_created"]
    if not line["booking_date"] and booked:
        text = f"the entry has no booking date; {booked} is taken (value date, else the day the message was made)."
        notes.append(note(name, entry.sourceline, booked, "BOOKING_DATE_TAKEN", text, "booking_date"))
    known = {k: v for k, v in owner.items() if not k.startswith("_")}
    stated = {
        "credit_debit_indicator": line["credit_debit_indicator"] or f"no CdtDbtInd in entry {line['line_id']}",
        "status": _status(entry) or f"no Sts in entry {line['line_id']}",
    }  # neither is assumed: the row is refused
    return known | line | stated | {"booking_date": booked or None, "currency": _currency(entry)}


def _status(entry: Any) -> str | None:
    """BOOK, PDNG or INFO; an announced entry (FUTR) is not booked yet."""
    status = child_text(entry, "Sts/Cd") or child_text(entry, "Sts/Prtry") or child_text(entry, "Sts")
    return "PDNG" if status == "FUTR" else status


def _currency(entry: Any) -> str | None:
    amount = entry.find("{*}Amt")
    return None if amount is None else amount.get("Ccy")


def _detail_amount(entry: Any, detail: Any) -> Decimal | None:
    """The detail's amount in the entry's currency: Amt since version 03, AmtDtls/TxAmt/Amt before."""
    for path in ("Amt", "AmtDtls/TxAmt/Amt"):
        for found in children(detail, path)[:1]:
            return _decimal(found.text) if found.get("Ccy") == _currency(entry) else None
    return None


def _decimal(text: str | None) -> Decimal | None:
    try:
        number = Decimal((text or "").strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _balances(statement: Any, owner: Record) -> list[Record]:
    """OPBD and CLBD; PRCD stands for OPBD where the bank sends none. Interim, available and page balances are left out."""
    found: dict[tuple[str, str | None], Record] = {}  # an account may keep several currencies
    for balance in children(statement, "Bal"):
        code = child_text(balance, "Tp/CdOrPrtry/Cd") or ""
        kind = _PREVIOUS_CLOSING.get(code, code)
        named = (kind, _currency(balance))
        is_page = child_text(balance, "Tp/SubTp/Cd") == "INTM"
        if kind not in ("OPBD", "CLBD") or (code != kind and named in found) or is_page:
            continue
        found[named] = {k: v for k, v in owner.items() if not k.startswith("_")} | {
            "balance_type": kind, "balance_date": _day(balance), "balance": _signed(balance),
            "currency": _currency(balance), "source_row": balance.sourceline,
        }  # fmt: skip
    return list(found.values())


def _signed(balance: Any) -> str | None:
    text = child_text(balance, "Amt")
    side = child_text(balance, "CdtDbtInd")
    if text and side not in ("CRDT", "DBIT"):
        return f"{text} with {side or 'no'} CdtDbtInd"
    return f"-{text}" if side == "DBIT" and text and text[0].isdigit() else text


def _day(parent: Any) -> str | None:
    return (child_text(parent, "Dt/Dt") or child_text(parent, "Dt/DtTm") or "")[:10] or None
