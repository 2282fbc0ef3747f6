"""OFX and QFX, versions 1 (SGML) and 2 (XML), of bank and credit card accounts, to raw sheets.

`ofxtools` reads the tags; its typed models are left aside, because they refuse a whole file for one missing element
that a person could still reconcile without. Source row: the line of the tag STMTTRN.
"""

from __future__ import annotations

import html
import re
from bisect import bisect
from dataclasses import replace
from pathlib import Path
from typing import Any

from atlas_lib.core.errors import InputError
from atlas_lib.ingest.headers import RawSheet
from atlas_lib.ingest.statements.sheets import (
    Known,
    Note,
    Record,
    note,
    own_id,
    read_characters,
    reference,
    said_in,
    statement_sheets,
)

_STATEMENTS = ("STMTRS", "CCSTMTRS", "INVSTMTRS")
_ACCOUNTS = ("BANKACCTFROM", "CCACCTFROM", "INVACCTFROM")
_DAY = re.compile(r"\d{8}")


def read_ofx(path: Path, name: str) -> list[RawSheet]:
    """Lines and ledger balances of every statement response; a response that reports an error is noted."""
    text = _without_comments(read_characters(path))
    root = _parse(text, name)
    rows = _rows_of(text, "<STMTTRN>")
    found = list(root.iter("STMTTRN"))
    if len(found) != len(rows):
        raise _unreadable(name, f"{len(rows)} transactions (STMTTRN)", f"{len(found)} of them can be told apart")
    row_of = {id(element): row for element, row in zip(found, rows, strict=True)}
    ledgers = {id(e): row for e, row in zip(root.iter("LEDGERBAL"), _rows_of(text, "<LEDGERBAL>"), strict=False)}
    lines: list[Record] = []
    balances: list[Record] = []
    notes = _status_notes(root, name)
    known: Known = {}
    for statement in (s for tag in _STATEMENTS for s in root.iter(tag)):
        of_lines = [_line(e, row_of[id(e)], n, statement) for n, e in enumerate(statement.iter("STMTTRN"), start=1)]
        of_balances = _balances(statement, ledgers)
        owner = _owner(statement, known, said_in((*of_lines, *of_balances)))
        lines += [owner | line for line in of_lines]
        balances += [owner | balance for balance in of_balances]
        notes += _investment_notes(statement, name) + _correction_notes(statement, name, row_of)
    made = statement_sheets(name, lines, balances, notes)
    return [replace(made[0], unique="bank_reference"), *made[1:]]  # FITID


def _parse(text: str, name: str) -> Any:
    from ofxtools.Parser import TreeBuilder

    start = text.find("<OFX>")
    if start < 0:
        raise _unreadable(name, "an OFX document", "no <OFX> tag")
    for tag in ("OFX", *_STATEMENTS, "BANKTRANLIST", "STMTTRN"):
        opened, closed = text.count(f"<{tag}>"), text.count(f"</{tag}>")
        if opened != closed:
            raise _unreadable(
                name, f"as many </{tag}> as <{tag}>", f"{closed} and {opened}: the file is cut off or damaged"
            )
    builder = TreeBuilder()
    try:
        builder.feed(_plain_sections(text[start:]))
        return builder.close()
    except (SyntaxError, AssertionError, ValueError, IndexError) as error:
        raise _unreadable(
            name, "tags that open and close as OFX has them", str(error.args[0] if error.args else error)[-200:]
        ) from error


def _without_comments(text: str) -> str:
    """Comments out, their line ends kept, so that the lines keep their numbers."""
    first, *others = text.split("<!--")
    opened = (part.partition("-->") for part in others)
    return first + "".join("\n" * inner.count("\n") + after for inner, _, after in opened)


def _plain_sections(text: str) -> str:
    """CDATA sections as escaped text: the library takes several on one line for a single one."""
    first, *others = text.split("<![CDATA[")
    opened = (part.partition("]]>") for part in others)
    return first + "".join(html.escape(inner, quote=False) + after for inner, _, after in opened)


def _unreadable(name: str, expected: str, found: str) -> InputError:
    return InputError(
        "The OFX file cannot be read", where=name, expected=expected, found=found,
        remedy="download it from the bank again",
    )  # fmt: skip


def _owner(statement: Any, known: Known, content: object) -> Record:
    """Named after account and period, else the day of the balance: OFX numbers no statements."""
    accounts = [a for tag in _ACCOUNTS for a in statement.iter(tag)]
    account = (_text(accounts[0], "ACCTID") or _text(accounts[0], "ACCTKEY")) if accounts else None
    period = next((e for tag in ("BANKTRANLIST", "INVTRANLIST") for e in statement.iter(tag)), None)
    days = [_day(_text(period, tag)) for tag in ("DTSTART", "DTEND")] if period is not None else []
    days = days if any(days) else [_day(_text(ledger, "DTASOF")) for ledger in statement.iter("LEDGERBAL")][:1]
    return {"statement_id": own_id(known, content, account, *days) or None, "account": account}


def _line(element: Any, row: int, number: int, statement: Any) -> Record:
    texts = {_text(element, tag): None for tag in ("NAME", "MEMO")}
    amount = _text(element, "TRNAMT") or ""
    return {
        "line_id": str(number),
        "transaction_id": None,
        "end_to_end_id": reference(_text(element, "REFNUM")),
        "booking_date": _day(_text(element, "DTPOSTED")),
        "value_date": _day(_text(element, "DTAVAIL")) or _day(_text(element, "VALUEDATE")),
        "amount_posted": _decimal(amount).lstrip("+-") if _is_number(amount) else amount,
        "currency": _text(statement, "CURDEF") or _text(element, "CURRENCY/CURSYM"),
        "credit_debit_indicator": "DBIT" if amount.startswith("-") else "CRDT",
        "bank_reference": reference(_text(element, "FITID")),
        "remittance_text": " ".join(t for t in texts if t) or None,
        "counterparty_name": _text(element, "PAYEE/NAME") or _text(element, "NAME"),
        "source_row": row,
    }  # fmt: skip


def _is_number(amount: str) -> bool:
    return re.fullmatch(r"[-+]?\d*[.,]?\d+|[-+]?\d+[.,]", amount) is not None


def _decimal(amount: str) -> str:
    """The decimal mark may be a comma (OFX 2.2, 3.2.9.1); thousands are never marked."""
    return amount.replace(",", ".")


def _balances(statement: Any, rows: dict[int, int]) -> list[Record]:
    """The ledger balance closes the statement; OFX has no opening one. The available balance is left out."""
    found = []
    for ledger in statement.iter("LEDGERBAL"):
        amount, day = _text(ledger, "BALAMT"), _day(_text(ledger, "DTASOF"))
        if amount and day:
            found.append({
                "balance_type": "CLBD", "balance_date": day, "balance": _decimal(amount) if _is_number(amount) else amount,
                "currency": _text(statement, "CURDEF"), "source_row": rows.get(id(ledger), 0),
            })  # fmt: skip
    return found[:1]


def _rows_of(text: str, tag: str) -> list[int]:
    """The line of every such tag."""
    ends = [m.start() for m in re.finditer("\n", text)]
    return [bisect(ends, m.start()) + 1 for m in re.finditer(tag, text)]


def _status_notes(root: Any, name: str) -> list[Note]:
    notes = []
    for status in root.iter("STATUS"):
        code, severity = _text(status, "CODE") or "", (_text(status, "SEVERITY") or "").upper()
        if severity == "ERROR":
            text = f"the bank answered with error {code}: {_text(status, 'MESSAGE') or 'no message'}; this response holds no lines."
            notes.append(note(name, 0, code, "BANK_ERROR", text))
    return notes


def _correction_notes(statement: Any, name: str, rows: dict[int, int]) -> list[Note]:
    """A line that takes the place of an earlier one, or takes it back (OFX, element CORRECTACTION): both are lines here."""
    notes = []
    for element in statement.iter("STMTTRN"):
        if corrected := _text(element, "CORRECTFITID"):
            action = (_text(element, "CORRECTACTION") or "REPLACE").upper()
            text = f"the line corrects the line {corrected} (FITID) of the same account ({action}); both count. Take the wrong one out."
            notes.append(note(name, rows[id(element)], corrected, "CORRECTION_LINE", text))
    return notes


def _investment_notes(statement: Any, name: str) -> list[Note]:
    """Trades and positions of a securities account are no money on a bank account: counted and left out."""
    listed = next(statement.iter("INVTRANLIST"), None)
    trades = [e.tag for e in listed if len(e) and e.tag != "INVBANKTRAN"] if listed is not None else []
    if not trades:
        return []
    text = f"{len(trades)} securities transactions ({', '.join(sorted(set(trades)))}) are left out; only cash lines are read."
    return [note(name, 0, str(len(trades)), "SECURITIES_LEFT_OUT", text)]


def _day(moment: str | None) -> str | None:
    """`20260403120000[-5:EST]` is 2026-04-03, the day on the bank's own clock; another text stays for the check."""
    if moment and _DAY.match(moment):
        return f"{moment[:4]}-{moment[4:6]}-{moment[6:8]}"
    return moment


def _text(parent: Any, path: str) -> str | None:
    found = parent.find(path) if parent is not None else None
    return html.unescape(found.text or "").strip() or None if found is not None else None
