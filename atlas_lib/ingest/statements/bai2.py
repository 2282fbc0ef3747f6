"""BAI2 cash management reports to raw sheets (Cash Management Balance Reporting Specifications, version 2).

Records end with a slash; 88 continues the one before. Amounts have no decimal mark: the currency says how many
decimals they carry. The totals that each account, group and file ends with are recomputed; a difference is noted.
Source row: the line of the record. No maintained Python package reads BAI2, hence this one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from atlas_lib.core.errors import InputError
from atlas_lib.core.money import exponent
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

_RECORDS = ("01", "02", "03", "16", "49", "98", "99")
_NEXT_RECORD = re.compile(r"(?<=/)\s+(?=(?:0[123]|16|49|88|9[89]),)")
_BALANCES = {"010": "OPBD", "015": "CLBD"}  # opening and closing ledger
_WHOLE = re.compile(r"[-+]?\d{1,18}")
_NO_MONEY = "890"  # "contains non-monetary information"
_GROUP_LEFT_OUT = {"2": "a deletion", "4": "a test"}


@dataclass
class _Account:
    """One account record (03) with its balances, lines and the sum of every amount in it."""

    number: str
    currency: str
    row: int
    balances: dict[str, str] = field(default_factory=dict)
    lines: list[Record] = field(default_factory=list)
    total: int = 0
    records: int = 0


@dataclass(frozen=True)
class _Group:
    """The group header (02) the accounts stand in."""

    status: str
    day: str | None
    currency: str


def read_bai2(path: Path, name: str) -> list[RawSheet]:
    """Lines and ledger balances of all accounts of the file."""
    records = list(_records(read_characters(path), name))
    if not records or records[0][1][0] != "01":
        raise _broken(
            name, records[0][0] if records else 1, "a file header (01)", records[0][1][0] if records else "nothing"
        )
    reader = _Reader(name)
    for row, fields, count in records:
        reader.take(row, fields, count)
    if reader.account is not None or records[-1][1][0] != "99":
        raise _broken(name, records[-1][0], "a file trailer (99) at the end", f"record {records[-1][1][0]}")
    return statement_sheets(name, reader.lines, reader.balances, reader.notes)


def _records(text: str, name: str) -> Iterator[tuple[int, list[str], int]]:
    """(line, fields, physical records) of every logical record: continuations joined, the end mark dropped."""
    current: tuple[int, str, int] | None = None
    for number, part in _parts(text):
        kind = part[:2] if part[2:3] == "," else ""
        if kind == "88" and current:
            current = (current[0], _continued(current[1], part[3:]), current[2] + 1)
        elif kind in _RECORDS:
            if current:
                yield current[0], _fields(current[1]), current[2]
            current = (number, part, 1)
        elif current and current[1].startswith("16") and not current[1].endswith("/"):
            current = (current[0], f"{current[1]} {part}", current[2])  # a text that a line break cut in two
        else:
            raise _broken(name, number, "a record 01, 02, 03, 16, 49, 88, 98 or 99", part[:40])
    if current:
        yield current[0], _fields(current[1]), current[2]


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """The records as they stand, with their line; some systems write several on one."""
    for number, line in enumerate(text.splitlines(), start=1):
        for part in _NEXT_RECORD.split(line.strip("\x1a \t")):
            if part.strip():
                yield number, part.strip()


def _continued(start: str, more: str) -> str:
    """The end mark of the part before stands for a comma between fields; within the text of a line, for a space."""
    fields = _fields(start)
    in_text = fields[0] == "16" and len(_after_funds(fields[3:])[1]) > 2
    return start.rstrip().removesuffix("/") + (" " if in_text else ",") + more


def _fields(record: str) -> list[str]:
    bare = record.rstrip()
    return bare.removesuffix("/").split(",")


class _Reader:
    """Takes the records in their order; what is open is closed by its trailer."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.group: _Group | None = None
        self.account: _Account | None = None
        self.lines: list[Record] = []
        self.balances: list[Record] = []
        self.notes: list[Note] = []
        self.known: Known = {}
        self.accounts: list[int] = []
        self.groups: list[int] = []

    def take(self, row: int, fields: list[str], count: int) -> None:
        self._check_order(row, fields[0])
        match fields[0]:
            case "02":
                self._open_group(row, fields)
            case "03":
                self._open_account(row, fields, count)
            case "16":
                self._line(row, fields, count)
            case "49":
                self._close_account(row, fields, count)
            case "98":
                self._close_group(row, fields)
            case "99":
                self._compare(row, "the file", fields[1:2], sum(self.groups))

    def _check_order(self, row: int, kind: str) -> None:
        if kind == "01" and (self.group or self.groups):
            raise _broken(self.name, row, "one file header (01)", "a second one")
        if kind in ("02", "98", "99", "03") and self.account:
            raise _broken(
                self.name, row, f"an account trailer (49) for account {self.account.number}", f"a record {kind}"
            )
        if kind in ("03", "98") and self.group is None:
            raise _broken(self.name, row, "a group header (02) before it", f"a record {kind}")
        if kind in ("02", "99") and self.group is not None:
            raise _broken(self.name, row, "a group trailer (98)", f"a record {kind}")
        if kind in ("16", "49") and self.account is None:
            raise _broken(self.name, row, "an account (03) before it", f"a record {kind}")

    def _open_group(self, row: int, fields: list[str]) -> None:
        values = [*fields, *[""] * 8]
        self.group = _Group(values[3].strip(), _day(values[4]), values[6].strip() or "USD")
        self.accounts = []
        if reason := _GROUP_LEFT_OUT.get(self.group.status):
            text = f"the group is {reason} (status {self.group.status}); its lines are left out."
            self.notes.append(note(self.name, row, self.group.status, "GROUP_LEFT_OUT", text))

    def _open_account(self, row: int, fields: list[str], count: int) -> None:
        values = [*fields, "", ""]
        currency = values[2].strip() or (self.group.currency if self.group else "USD")
        self.account = _Account(values[1].strip(), currency, row, records=count)
        for code, amount in _summaries(fields[3:]):
            self._add(amount)
            if code in _BALANCES and amount:
                self.account.balances[_BALANCES[code]] = amount

    def _add(self, amount: str) -> None:
        """Every amount counts in the trailer's total as it is signed."""
        if self.account is not None and _WHOLE.fullmatch(amount):
            self.account.total += int(amount)

    def _line(self, row: int, fields: list[str], count: int) -> None:
        if self.account is None or self.group is None:
            return
        code, amount = (fields[1].strip(), fields[2].strip()) if len(fields) > 2 else ("", "")
        self.account.records += count
        self._add(amount)
        if code == _NO_MONEY and not amount.strip("0"):
            text = "a record of type 890 tells something and books nothing; it is left out."
            self.notes.append(note(self.name, row, ",".join(fields)[:200], "INFORMATION_ENTRY", text))
            return
        value_day, rest = _after_funds(fields[3:])
        bank, customer = [*rest, "", ""][:2]
        self.account.lines.append({
            "line_id": str(len(self.account.lines) + 1),
            "end_to_end_id": reference(customer),
            "booking_date": self.group.day,
            "value_date": value_day,
            "amount_posted": _units(amount.lstrip("-"), self.account.currency),
            "currency": self.account.currency,
            "credit_debit_indicator": _direction(code, amount),
            "bank_reference": reference(bank),
            "remittance_text": " ".join(",".join(rest[2:]).split()) or None,
            "source_row": row,
        })  # fmt: skip

    def _close_account(self, row: int, fields: list[str], count: int) -> None:
        account, group = self.account, self.group
        if account is None or group is None:
            return
        records = account.records + count
        self._compare(row, "account " + account.number, fields[1:3], account.total, records)
        self.accounts.append(account.total)
        if group.status not in _GROUP_LEFT_OUT:
            content = (said_in(account.lines), account.balances)
            owner = {
                "statement_id": own_id(self.known, content, account.number, group.day, account.currency),
                "account": account.number or None,
            }
            self.lines += [owner | line for line in account.lines]
            self.balances += [
                owner | {"balance_type": kind, "balance_date": group.day, "balance": _units(amount, account.currency), "currency": account.currency, "source_row": account.row}
                for kind, amount in account.balances.items()
            ]  # fmt: skip
        self.account = None

    def _close_group(self, row: int, fields: list[str]) -> None:
        self._compare(row, "the group", fields[1:2], sum(self.accounts))
        self.groups.append(sum(self.accounts))
        self.group = None

    def _compare(self, row: int, subject: str, stated: list[str], total: int, records: int = -1) -> None:
        """The trailer's control total, and for an account its number of records."""
        sum_text, count_text = (t.strip() for t in [*stated, "", ""][:2])
        if sum_text and (not _WHOLE.fullmatch(sum_text) or int(sum_text) != total):
            text = f"{subject} ends with a control total of {sum_text}, its amounts add up to {total}; ask the bank for the file again."
            self.notes.append(note(self.name, row, sum_text, "CONTROL_TOTAL", text))
        if records >= 0 and count_text.isdecimal() and int(count_text) != records:
            text = f"{subject} ends with {count_text} records, {records} are there; ask the bank for the file again."
            self.notes.append(note(self.name, row, count_text, "RECORD_COUNT", text))


def _summaries(fields: list[str]) -> Iterator[tuple[str, str]]:
    """(type code, amount) of an account's status and summary amounts; each has an item count and a funds type too."""
    left = [f.strip() for f in fields]
    while any(left):
        code, amount = left[0], left[1] if len(left) > 1 else ""
        yield code, amount
        left = _after_funds(left[3:])[1]


def _after_funds(fields: list[str]) -> tuple[str | None, list[str]]:
    """Value date, and the fields after the funds type: V has a date and a time, S three amounts, D pairs."""
    kind = fields[0].strip().upper() if fields else ""
    if kind == "V":
        return _day(fields[1] if len(fields) > 1 else ""), fields[3:]
    if kind == "D":
        count = fields[1].strip() if len(fields) > 1 else ""
        return None, fields[2 + 2 * int(count) :] if count.isdecimal() and len(count) < 4 else fields[2:]
    return None, fields[4:] if kind == "S" else fields[1:]


def _direction(code: str, amount: str) -> str | None:
    """100 to 399 are credits, 400 to 699 debits; a minus turns it. Another code says nothing: the check refuses it."""
    number = int(code) if code.isdecimal() and len(code) == 3 else 0
    if not 100 <= number < 700:
        return code or None
    is_credit = (number < 400) != amount.startswith("-")
    return "CRDT" if is_credit else "DBIT"


def _units(amount: str, currency: str) -> str:
    """Minor units as the report has them to units with a decimal point."""
    if not _WHOLE.fullmatch(amount):
        return amount
    places = exponent(currency)
    sign, figures = ("-", amount[1:]) if amount.startswith("-") else ("", amount.lstrip("+"))
    padded = figures.zfill(places + 1)
    return sign + (f"{padded[:-places]}.{padded[-places:]}" if places else padded)


def _day(text: str) -> str | None:
    """YYMMDD of this century."""
    bare = text.strip()
    return f"20{bare[:2]}-{bare[2:4]}-{bare[4:6]}" if re.fullmatch(r"\d{6}", bare) else bare or None


def _broken(name: str, row: int, expected: str, found: str) -> InputError:
    return InputError(
        "The BAI2 file cannot be read", where=f"{name}, line {row}", expected=expected, found=found,
        remedy="fetch the report from the bank again",
    )  # fmt: skip
