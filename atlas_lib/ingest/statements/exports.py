"""CSV exports of banks and processors, read by their declared layout, to raw sheets; source row: the line of the file."""

from __future__ import annotations

import csv
import fnmatch
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from atlas_lib.core.errors import InputError
from atlas_lib.core.money import scale_of
from atlas_lib.ingest.headers import RawSheet
from atlas_lib.ingest.statements.columns import (
    days,
    first_filled,
    joined,
    less,
    numbers,
    says,
    scaled,
    signed_amount,
    summed,
    turned,
)
from atlas_lib.ingest.statements.layouts import Layout, Preamble
from atlas_lib.ingest.statements.running import balances_of
from atlas_lib.ingest.statements.sheets import (
    IDS,
    NO_CURRENCY,
    Note,
    join_id,
    note,
    read_characters,
    rounding_notes,
    short_ids,
)
from atlas_lib.ingest.vocabulary import fields

_HEADER_SEARCH_ROWS = 40


@dataclass(frozen=True)
class _Table:
    """The lines of the file under their column names (index = line), and the rows around them."""

    frame: pd.DataFrame
    around: tuple[tuple[int, tuple[str, ...]], ...]
    notes: tuple[Note, ...]


def find_layout(layouts: Sequence[Layout], name: str, start: bytes) -> Layout | None:
    """The first layout that recognises the beginning of the file; the last, perhaps cut, row of a long one is left aside."""
    text = _sample(start)
    rows: dict[str, list[list[str]]] = {}
    for layout in layouts:
        if layout.delimiter not in rows:
            rows[layout.delimiter] = _split(text, layout.delimiter)[:_HEADER_SEARCH_ROWS]
        if _is_file(layout, name) and _recognises(layout, rows[layout.delimiter]):
            return layout
    return None


def read_export(path: Path, name: str, layout: Layout) -> list[RawSheet]:
    """Lines and, where the layout says how, balances."""
    table = _table(read_characters(path), name, layout)
    frame, notes = _skip_lines(table.frame, layout, name)
    lines = _lines(frame, layout, table, name)
    lines = lines.assign(**{c: short_ids(lines[c]) for c in IDS})
    balances, found = balances_of(lines, frame, layout, _beside_labels(layout, table), name)
    header = tuple(f.name for f in fields("statement_lines", ""))
    shaped = lines.reindex(columns=list(header)).set_axis(range(len(header)), axis=1)
    every = (*table.notes, *notes, *found, *rounding_notes(name, lines["amount_posted"], lines["currency"]))
    # where balances are taken from a running one, they belong to all lines of the file
    unique = "line_id" if layout.line_id and layout.running_balance not in frame else ""
    sheet = RawSheet(name, "", shaped, header=header, table="statement_lines", notes=every, unique=unique)
    return [sheet, balances]


def _sample(start: bytes) -> str:
    for encoding in ("utf-8-sig", "utf-16") if not start.startswith((b"\xff\xfe", b"\xfe\xff")) else ("utf-16",):
        try:
            return start.decode(encoding)
        except UnicodeDecodeError as error:
            if encoding == "utf-8-sig" and error.start >= len(start) - 4:
                return start[: error.start].decode(encoding)
            break
    return start.decode("cp1252", errors="replace")


def _split(text: str, delimiter: str) -> list[list[str]]:
    try:
        return [
            [cell.strip() for cell in row] for row in csv.reader(io.StringIO(text, newline=None), delimiter=delimiter)
        ]
    except csv.Error:
        return []


def _is_file(layout: Layout, name: str) -> bool:
    return not layout.file_name or fnmatch.fnmatch(PurePosixPath(name).name.lower(), layout.file_name.lower())


def _recognises(layout: Layout, rows: list[list[str]]) -> bool:
    if layout.recognised_by:
        return _header_at(layout, rows) is not None
    first = next((row for row in rows if any(row) and (layout.rows is None or row[0] in layout.rows.data)), [])
    if layout.rows is not None:
        return 0 < len(first) <= len(layout.columns)
    dates = [cell for cell, column in zip(first, layout.columns, strict=False) if column in layout.booking_date]
    return (
        len(first) == len(layout.columns)
        and bool(dates)
        and not days(pd.Series(dates), layout).str.startswith("not as").any()
    )


def _header_at(layout: Layout, rows: Sequence[Sequence[str]]) -> int | None:
    """Position of the row that holds all names the layout is recognised by."""
    for number, row in enumerate(rows[:_HEADER_SEARCH_ROWS]):
        if set(layout.recognised_by) <= {cell.strip() for cell in row}:
            return number
    return None


def _table(text: str, name: str, layout: Layout) -> _Table:
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=layout.delimiter)
    numbered: list[tuple[int, tuple[str, ...]]] = []
    row = 1
    try:
        for cells in reader:
            numbered.append((row, tuple(cell.strip() for cell in cells)))
            row = reader.line_num + 1
    except csv.Error as error:
        raise _broken(name, row, layout, str(error)) from error
    last = text.splitlines()[numbered[-1][0] - 1 :] if numbered else []
    if len(last) > 1 and "\n".join(last).count('"') % 2:
        raise _broken(name, numbered[-1][0], layout, "a quote that is opened and never closed")
    filled = [(row, cells) for row, cells in numbered if any(cells)]
    at = _header_at(layout, [cells for _, cells in filled]) if layout.recognised_by else None
    header = filled[at][1] if at is not None else layout.columns
    body = filled[at + 1 :] if at is not None else filled
    data, around = _sort_rows(body, layout, header)
    before = filled[:at] if at is not None else []
    return _shape(data, header, (*before, *around), name, layout)


def _broken(name: str, row: int, layout: Layout, found: str) -> InputError:
    return InputError(
        "The export cannot be read", where=f"{name}, line {row}", expected=f"a CSV file ({layout.name})", found=found,
        remedy="correct the line, or download the file again",
    )  # fmt: skip


def _sort_rows(
    body: list[tuple[int, tuple[str, ...]]], layout: Layout, header: tuple[str, ...]
) -> tuple[list[tuple[int, tuple[str, ...]]], list[tuple[int, tuple[str, ...]]]]:
    """Lines, and rows around them: by their first field where the layout names it, else those that hold a label."""
    if layout.rows is not None:
        data = [r for r in body if r[1][0] in layout.rows.data]
        return data, [r for r in body if r[1][0] not in layout.rows.data]
    labels = (*layout.aside, *(p.label for p in (layout.opening_balance, layout.closing_balance) if p))
    around = [r for r in body if labels and r[1][0].startswith(labels)]
    repeated = [r for r in body if r[1] == header]
    return [r for r in body if r not in around and r not in repeated] if around or repeated else body, around


def _shape(
    data: list[tuple[int, tuple[str, ...]]],
    header: tuple[str, ...],
    around: tuple[tuple[int, tuple[str, ...]], ...],
    name: str,
    layout: Layout,
) -> _Table:
    """Rows of another width than the header are noted and refused, never cut."""
    width = len(header)
    whole = [(row, (*cells, *[""] * (width - len(cells)))) for row, cells in data if _fits(cells, width, layout)]
    bad = [(row, cells) for row, cells in data if not _fits(cells, width, layout)]
    notes = [
        (row, "", layout.delimiter.join(cells)[:200], "WRONG_FIELD_COUNT",
         f"{name}, line {row}: the line has {len(cells)} fields. Expected {width} as in the header; correct the line or quote the text that holds the delimiter.")
        for row, cells in bad
    ]  # fmt: skip
    known = {*layout.rows.data, *layout.rows.aside, layout.rows.header} if layout.rows else set()
    strange = [(row, cells) for row, cells in around if layout.rows and cells[0] not in known]
    notes += [
        note(name, row, cells[0], "UNKNOWN_ROW", f"the layout {layout.name} knows no row that begins with {cells[0]!r}; it is left out.")
        for row, cells in strange
    ]  # fmt: skip
    first = {h: i for i, h in reversed(list(enumerate(header)))}
    columns = {h: pd.Series([cells[i] for _, cells in whole], dtype="str") for h, i in first.items()}
    frame = pd.DataFrame(columns, index=range(len(whole)))
    frame.index = pd.Index([row for row, _ in whole], dtype="int64")
    return _Table(frame.mask(frame == ""), around, tuple(notes))


def _fits(cells: tuple[str, ...], width: int, layout: Layout) -> bool:
    """As many fields as the header, or fewer and more only where those are empty; rows told by a first field may be shorter."""
    return len(cells) == width or (not any(cells[width:]) and (len(cells) > width or layout.rows is not None))


def _skip_lines(frame: pd.DataFrame, layout: Layout, name: str) -> tuple[pd.DataFrame, list[Note]]:
    """Lines whose status says that they book nothing."""
    if not layout.skip_words:
        return frame, []
    is_skipped = says(frame, [layout.status], layout.skip_words)
    notes = [
        note(name, int(row), status, "BOOKS_NOTHING", f"a line with the status {status!r} books nothing; it is left out.")
        for row, status in frame.loc[is_skipped, layout.status].items()
    ]  # fmt: skip
    return frame[~is_skipped], notes


def _lines(frame: pd.DataFrame, layout: Layout, table: _Table, name: str) -> pd.DataFrame:
    """Statement lines by the names of their columns, direction and amount as the layout says."""
    account = _owner(frame, layout.account, layout.fixed_account, table)
    account = (layout.account_name + " " + account) if layout.account_name else account
    currency = _owner(frame, layout.currency, layout.fixed_currency, table).str.upper()
    minor = scale_of(currency.fillna("EUR")) if layout.amount.in_minor_units else np.ones(len(frame))
    amount = signed_amount(frame, layout.amount, layout.decimal_mark)
    fee = summed(frame, layout.fee, layout.decimal_mark)
    fee = fee if layout.fee_is == "positive" else turned(fee)
    if layout.fee_direction:
        fee = turned(fee, says(frame, [layout.fee_direction], layout.fee_given_back_words))
    amount, fee = scaled(amount, minor), scaled(fee, minor)
    if not layout.amount.net_of_fee:
        amount = less(amount, fee)
    return pd.DataFrame({
        "statement_id": _statement_id(frame, layout, account, currency, name),
        "account": account,
        "line_id": first_filled(frame, layout.line_id),
        "transaction_id": first_filled(frame, layout.transaction_id),
        "end_to_end_id": first_filled(frame, layout.end_to_end_id),
        "booking_date": days(first_filled(frame, layout.booking_date), layout).fillna(_fallback(layout, table)),
        "value_date": days(first_filled(frame, layout.value_date), layout),
        "amount_posted": amount,
        "fee_charged": fee,
        "currency": currency.fillna(NO_CURRENCY),
        "status": _status(frame, layout),
        "bank_reference": first_filled(frame, layout.bank_reference),
        "remittance_text": joined(frame, layout.remittance_text),
        "counterparty_name": first_filled(frame, layout.counterparty_name),
    }, index=frame.index)  # fmt: skip


def _statement_id(frame: pd.DataFrame, layout: Layout, account: pd.Series, currency: pd.Series, name: str) -> pd.Series:
    """As the layout says, else the file's name; followed by account and currency where one file has several."""
    given = joined(frame, layout.statement_id)
    named = given.fillna(PurePosixPath(name).stem)
    for other in (account, currency):
        if len(other.dropna().unique()) > 1:
            named = named + " " + other.fillna("")
    ids = {text: join_id(text) for text in named.unique()}
    return named.map(ids).astype("str")


def _owner(frame: pd.DataFrame, source: Sequence[str] | Preamble | None, fixed: str, table: _Table) -> pd.Series:
    if isinstance(source, Preamble):
        return pd.Series(beside(source, table.around) or pd.NA, index=frame.index, dtype="str")
    given = first_filled(frame, source or ())
    return given.fillna(fixed) if fixed else given


def _fallback(layout: Layout, table: _Table) -> str | float:
    given = beside(layout.fallback_date, table.around) if layout.fallback_date else None
    return given or float("nan")


def _status(frame: pd.DataFrame, layout: Layout) -> pd.Series:
    if not layout.booked_words:
        return pd.Series("BOOK", index=frame.index, dtype="str")
    is_booked = says(frame, [layout.status], layout.booked_words)
    return pd.Series(np.where(is_booked, "BOOK", "PDNG"), index=frame.index, dtype="str")


def _beside_labels(layout: Layout, table: _Table) -> dict[str, float | str | None]:
    """OPBD and CLBD as the file states them beside their labels."""
    found: dict[str, float | str | None] = {}
    for kind, label in (("OPBD", layout.opening_balance), ("CLBD", layout.closing_balance)):
        text = beside(label, table.around) if label else None
        if text:
            found[kind] = numbers(pd.Series([text], dtype="str"), layout.decimal_mark).iloc[0]
    return found


def beside(label: Preamble, around: Sequence[tuple[int, tuple[str, ...]]]) -> str | None:
    """`Account Number : 123` gives 123, `Account;123` too."""
    for _, cells in around:
        for place, cell in enumerate(cells):
            if cell.lower().startswith(label.label.lower()):
                right = cells[place + max(label.position, 1) :]
                rest = "" if label.position else cell[len(label.label) :].strip(" :\t")
                return rest or next(
                    (c.strip(" :") for c in (right[:1] if label.position else right) if c.strip(" :")), None
                )
    return None
