"""SWIFT MT940 (statement) and MT942 (interim report) through `mt-940`, to raw sheets.

Every message is one statement; a page of a longer statement too, with its intermediate balances (60M, 62M) as opening
and closing, so that each page is checked and follows from the one before. Source row: the line of the tag :61:.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
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
    statement_sheets,
)

_TAG = re.compile(r":(\d{2}[A-Z]?|NS):")
_OPENING = ("final_opening_balance", "opening_balance", "intermediate_opening_balance")
_CLOSING = ("final_closing_balance", "closing_balance", "intermediate_closing_balance")
_EXPECTED = re.compile(r"^(:61:\d{6}(?:\d{4}|\s{4})?)E(?=[CD])")  # MT942: expected, not booked yet
_EREF = re.compile(r"/EREF/([^/\n]{1,35})")
_NAME = re.compile(r"/NAME/([^/]{1,70})|/CNTP/[^/]*/[^/]*/([^/]{1,70})")  # ABN AMRO, Rabobank; ING


@dataclass(frozen=True)
class _Message:
    """One message: its lines as (number in the file, text)."""

    lines: tuple[tuple[int, str], ...]

    def rows_of(self, tag: str) -> list[int]:
        return [number for number, text in self.lines if text.startswith(f":{tag}:")]

    @property
    def text(self) -> str:
        """As the library reads it: it knows no expected lines."""
        return "\n".join(_EXPECTED.sub(r"\1", text) for _, text in self.lines)


def read_mt940(path: Path, name: str) -> list[RawSheet]:
    """Lines and balances of all messages of the file."""
    lines: list[Record] = []
    balances: list[Record] = []
    notes: list[Note] = []
    known: Known = {}
    for message in _messages(read_characters(path)):
        parsed = _parse(message, name)
        owner = _owner(parsed, message, known)
        lines += _lines(parsed, message, owner)
        balances += _balances(parsed, message, owner)
        notes += _sum_notes(parsed, message, name) + _unclosed(message, name)
    return statement_sheets(name, lines, balances, notes)


def _messages(text: str) -> Iterator[_Message]:
    """Cut before each :20: (or at its block 1); what a bank writes between tags of its own stays with the tag before."""
    block: list[tuple[int, str]] = []
    is_closed = False
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip("\x01\x03\x1a")
        if line.startswith(":20:") and any(_TAG.match(t) for _, t in block):
            yield _Message(tuple(block))
            block, is_closed = [], False
        if line.startswith((":62", ":64:", ":65:")):
            is_closed = True
        # What stands after the closing balance is about the statement; the library would add it to the last line.
        if (
            _is_ours(line, bool(block))
            and not (is_closed and not _TAG.match(line))
            and not (is_closed and line.startswith(":86:"))
        ):
            block.append((number, line))
    if any(_TAG.match(t) for _, t in block):
        yield _Message(tuple(block))


def _is_ours(line: str, has_started: bool) -> bool:
    """A tag, or the continuation of one; not the SWIFT envelope, its end, or a line before the first tag."""
    if _TAG.match(line):
        return True
    return has_started and not line.startswith(("{1:", "-}")) and line.strip() != "-"


def _parse(message: _Message, name: str) -> Any:
    import mt940

    logging.getLogger("mt940").setLevel(logging.CRITICAL)  # what it cannot read is said by our error, once
    cleanup = mt940.processors.date_cleanup_post_processor
    transactions = mt940.models.Transactions({"post_statement": [cleanup, _with_type]}, options=mt940.Options.all())
    transactions.tags[mt940.tags.StatementASNB.id] = _line_tag(message)
    try:
        transactions.parse(message.text)
    except Exception as error:
        found = str(error.args[-1] if len(error.args) > 2 else error).splitlines()[:1]
        raise InputError(
            "The MT940 message cannot be read", where=f"{name}, {_place(message, found)}", expected="tags as SWIFT defines them",
            found=found[0] if found else type(error).__name__, remedy="fetch the statement from the bank again",
        ) from error  # fmt: skip
    booked = [t for t in transactions.transactions if "amount" in t.data]
    if len(booked) != len(message.rows_of("61")):
        raise InputError(
            "The MT940 message cannot be read", where=f"{name}, {_place(message, [])}",
            expected=f"{len(message.rows_of('61'))} statement lines (:61:)", found=f"{len(booked)} of them can be read",
            remedy="fetch the statement from the bank again",
        )  # fmt: skip
    return transactions


def _with_type(_transactions: Any, _tag: Any, _found: Record, line: Record) -> Record:
    """The library lets the next line take the place of one without a transaction type; here every line has one."""
    return line | {"id": line.get("id") or "NMSC"}


def _line_tag(message: _Message) -> Any:
    """ASN Bank writes an IBAN of up to 34 characters where SWIFT has 16 for the customer reference."""
    import mt940

    is_asn = any("ASNB" in text for _, text in message.lines if text.startswith(":25:"))
    return mt940.tags.StatementASNB() if is_asn else mt940.tags.Statement()


def _place(message: _Message, found: list[str]) -> str:
    first = message.lines[0][0]
    hits = [number for number, text in message.lines if found and found[0] and found[0] in text]
    return f"line {hits[0]}" if hits else f"message from line {first} on"


def _owner(parsed: Any, message: _Message, known: Known) -> Record:
    """Named after account, closing (else opening) day and number, so that the name is the same in every delivery."""
    data = parsed.data
    balances = [data[k] for k in (*_CLOSING, *_OPENING) if data.get(k) is not None]
    day = str(balances[0].date) if balances else str(data.get("date", ""))[:10]
    account = (data.get("account_identification") or "").strip()
    number = "/".join(str(data[k]).zfill(3) for k in ("statement_number", "sequence_number") if data.get(k))
    content = [
        text for _, text in message.lines if not text.startswith(":20:")
    ]  # numbers the message, not the statement
    return {"statement_id": own_id(known, content, account, day, number) or None, "account": account or None}


def _lines(parsed: Any, message: _Message, owner: Record) -> list[Record]:
    booked = [t.data for t in parsed.transactions if "amount" in t.data]
    rows = message.rows_of("61")
    texts = dict(message.lines)
    return [
        owner | _line(data, row, texts[row], number)
        for number, (row, data) in enumerate(zip(rows, booked, strict=True), start=1)
    ]


def _line(data: Record, row: int, raw: str, number: int) -> Record:
    mark = str(data.get("status") or "").upper()
    details = str(data.get("transaction_details") or "")
    unbroken = details.replace("\n", "")
    quoted, named = _EREF.search(unbroken), _NAME.search(unbroken)
    return {
        "line_id": str(number),
        "end_to_end_id": reference(data.get("end_to_end_reference") or (quoted[1] if quoted else None) or data.get("customer_reference")),
        "booking_date": str(data.get("entry_date") or data["date"]),
        "value_date": str(data["date"]),
        "amount_posted": _amount(data, raw),
        "currency": data["amount"].currency,
        "status": "PDNG" if _EXPECTED.match(raw) else "BOOK",
        "credit_debit_indicator": "DBIT" if mark in ("D", "RC") else "CRDT",
        "bank_reference": reference(data.get("bank_reference")),
        "remittance_text": _remittance(data, details),
        "counterparty_name": (data.get("applicant_name") or (named and (named[1] or named[2])) or "").strip() or None,
        "source_row": row,
    }  # fmt: skip


def _amount(data: Record, raw: str) -> str:
    """Without sign. Digits that the field's 15 places cut off, or a decimal point, make the amount unreadable: said."""
    cut = re.search(r"[CD][A-Z]?\s?([\d,]+)([.\d][\d.,]*)?", raw[10:])
    figures = (cut[1] + (cut[2] or "")) if cut else ""
    is_whole = len(figures) <= 15 and "." not in figures
    return str(abs(data["amount"].amount)) if is_whole else f"{figures} in :61:"


def _remittance(data: Record, details: str) -> str | None:
    purpose = data.get("purpose") or data.get("non_swift_text") or ""
    parts = (purpose or details, data.get("extra_details"))
    return " ".join(" ".join(str(p).split()) for p in parts if p and str(p).strip()) or None


def _balances(parsed: Any, message: _Message, owner: Record) -> list[Record]:
    found = []
    for kind, slugs, tag in (("OPBD", _OPENING, "60"), ("CLBD", _CLOSING, "62")):
        given = [parsed.data[s] for s in slugs if parsed.data.get(s) is not None]
        rows = [n for n, text in message.lines if text.startswith(f":{tag}")]
        for balance in given[:1]:
            found.append(
                owner | {
                    "balance_type": kind, "balance_date": str(balance.date), "balance": str(balance.amount.amount),
                    "currency": balance.amount.currency, "source_row": rows[0] if rows else message.lines[0][0],
                }
            )  # fmt: skip
    return found


def _sum_notes(parsed: Any, message: _Message, name: str) -> list[Note]:
    """MT942 says how many debits and credits it holds, and their sum (:90D:, :90C:): compared with the lines."""
    notes = []
    booked = [t.data["amount"].amount for t in parsed.transactions if "amount" in t.data]
    for tag, slug, side in (("90D", "sum_debit_entries", -1), ("90C", "sum_credit_entries", 1)):
        stated = parsed.data.get(slug)
        own = [abs(a) for a in booked if a * side > 0]
        if stated is None or (int(stated.number or 0), abs(stated.amount)) == (len(own), sum(own)):
            continue
        text = f"the report says {stated.number} entries of {abs(stated.amount)}, its lines are {len(own)} of {sum(own)}; ask the bank for the rest."
        row = (message.rows_of(tag) or [0])[0]
        notes.append(note(name, row, str(stated.amount), "STATEMENT_TOTAL", text))
    return notes


def _unclosed(message: _Message, name: str) -> list[Note]:
    """An opening without a closing balance: the message was cut off; an interim report (MT942: 13D, 34F) has none."""
    opening = [(number, text) for number, text in message.lines if text.startswith(":60")]
    if not opening or any(text.startswith((":62", ":13D:", ":34F:")) for _, text in message.lines):
        return []
    row, shown = opening[0]
    text = "the statement has an opening balance and no closing balance (:62F:, :62M:); lines may be missing. Fetch it from the bank again."
    return [note(name, row, shown, "STATEMENT_UNCLOSED", text)]
