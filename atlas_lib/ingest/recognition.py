"""Raw sheets become tables: columns named, what was left out reported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from atlas_lib.ingest.areas import Merged, find_areas
from atlas_lib.ingest.grid import Grid
from atlas_lib.ingest.headers import (
    EXPLAINING,
    Fit,
    Left,
    RawSheet,
    find_header,
    match_columns,
    named_table,
    unit_currency,
)
from atlas_lib.ingest.places import column_letter
from atlas_lib.ingest.statements.sheets import join_id
from atlas_lib.ingest.vocabulary import fields

Note = dict[str, object]
RawNote = tuple[int, str, str, str, str]
# What rows left out are, and the rule under which they are told; rows above the header and units are only listed.
_LEFT_RULES = {
    "totals": "TOTALS_ROW", "repeated header": "REPEATED_HEADER", "note": "NOTE_ROW", "other rows": "OTHER_ROWS",
    "empty": "EMPTY_ROWS", "unknown": "UNKNOWN_AREA", "second table": "SECOND_TABLE", "scaled units": "SCALED_UNITS",
}  # fmt: skip
_ERRORS = ("WRONG_FIELD_COUNT", "SECOND_TABLE", "SCALED_UNITS")


@dataclass(frozen=True)
class NamedSheet:
    """Data rows under the table's column names (index = source row), and where each column stands."""

    file: str
    sheet: str
    table: str
    header_row: int
    frame: pd.DataFrame
    letters: dict[str, str]
    headers: dict[str, str]
    extra: tuple[str, ...]
    notes: tuple[Note, ...]
    raw: RawSheet
    path: Path | None = None
    is_part: bool = False  # some rows of the sheet: they do not decide how its columns are read

    @property
    def rows_in_count(self) -> int:
        return _rows_in(self.raw, self.frame)

    @property
    def title(self) -> str:
        """What stands for the id of a statement, or the name of a list, that has none."""
        return self.raw.title or join_id(PurePosixPath(self.file).stem)

    def place(self, row: int, column: str, entry: str = "") -> str:
        """`book.xlsx, sheet Sheet1, cell L7`, or `file.csv, line 7, column Betrag`; `entry` of several on the line."""
        letter = self.letters.get(column)
        if self.sheet:
            spot = f"cell {letter}{row}" if letter else f"row {row}"
            return f"{self.file}, sheet {self.sheet}, {spot}"
        header = self.headers.get(column)
        spot = f"line {row}" + (f", entry {entry} on it" if entry else "")
        return f"{self.file}, {spot}" + (f", column {header}" if header else "")


def raw_sheets(
    grid: Grid, file: str, sheet: str, merged: Merged, notes: Sequence[RawNote], *, is_workbook: bool
) -> Iterator[RawSheet]:
    """The known tables of one sheet as read; a sheet without any gives one raw sheet that says what was left."""
    path = PurePosixPath(file)
    areas, left = find_areas(grid, named_table(sheet, path.stem, path.parent.name), merged)
    aside = tuple(sorted(left, key=lambda item: (item.first_row, item.first_column)))
    if not areas:
        yield RawSheet(file, sheet, pd.DataFrame(), is_workbook=is_workbook, notes=tuple(notes), left=aside)
    for number, area in enumerate(areas):
        rows, first, last = grid.rows[area.rows], area.columns[0], area.columns[-1]
        frame, filled_down = _fill_merged(grid.frame(area.rows, area.columns), area.fit, merged, file, sheet)
        stop = int(rows[-1]) if len(rows) else int(grid.rows[area.fit.row])
        yield RawSheet(
            file, sheet, frame, header=area.header, header_row=int(grid.rows[area.fit.row]), table=area.fit.table,
            is_workbook=is_workbook, notes=(*(() if number else notes), *filled_down), merged=tuple(merged),
            area=cell_range(int(grid.rows[area.top]), stop, first, last, is_workbook=is_workbook),
            left=() if number else aside, units=area.units, positions=tuple(area.fit.positions.items()),
        )  # fmt: skip


def cell_range(first_row: int, last_row: int, first: int, last: int, *, is_workbook: bool) -> str:
    """`B7:P1205` of a sheet, `7:1205` (lines) of a text file."""
    if not is_workbook:
        return f"{first_row}:{last_row}"
    return f"{column_letter(first)}{first_row}:{column_letter(last)}{last_row}"


def left_range(item: Left, raw: RawSheet) -> str:
    return cell_range(item.first_row, item.last_row, item.first_column, item.last_column, is_workbook=raw.is_workbook)


def _fill_merged(
    frame: pd.DataFrame, fit: Fit, merged: Merged, file: str, sheet: str
) -> tuple[pd.DataFrame, list[RawNote]]:
    """A text or date merged over several rows holds for each of them; an amount never does, it would count twice."""
    kinds = {f.name: f.kind for f in fields(fit.table, "")}
    texts = {c for name, c in fit.positions.items() if kinds[name] in ("text", "date", "instant")}
    tall = [(top + 1, left, bottom + 1) for (top, left), (bottom, _) in merged if bottom > top and left in texts]
    notes = []
    for top, left, bottom in tall:
        if top in frame.index:
            value = frame.loc[top, left]
            frame[left] = frame[left].mask(np.asarray((frame.index > top) & (frame.index <= bottom)), value)
            cells = f"{column_letter(left)}{top}:{column_letter(left)}{bottom}"
            text = f"{file}, sheet {sheet}, {cells}: merged cells; the value is taken for each of their rows. Unmerge them if it holds for the first only."
            notes.append((top, "", str(value), "MERGED_CELLS", text))
    return frame, notes


def name_sheet(raw: RawSheet) -> NamedSheet:
    """The table a sheet is, with its columns named; a sheet that fits none keeps only its notes."""
    fit = _fit(raw)
    table = fit.table if fit else ""
    notes = [_note(raw, table, row, column, value, rule, text) for row, column, value, rule, text in raw.notes]
    if fit is None:
        if raw.left or raw.header:
            notes.append(_unknown(raw))
        return NamedSheet(raw.file, raw.sheet, "", 0, pd.DataFrame(), {}, {}, (), tuple(notes), raw)
    named = raw.frame[list(fit.positions.values())].set_axis(list(fit.positions), axis=1)
    named, units = _unit_currency(raw, fit, named)
    extra, found = _extra_columns(raw, fit)
    notes += [*found, *_merged_notes(raw, fit), *_left_notes(raw, fit), *units, *_missing_columns(raw, fit, named)]
    letters = {c: column_letter(p) for c, p in fit.positions.items()} if raw.is_workbook else {}
    headers = {c: raw.header[p] for c, p in fit.positions.items()}
    return NamedSheet(
        raw.file, raw.sheet, table, raw.header_row, named, letters, headers, extra, tuple(notes), raw, raw.path
    )


def _fit(raw: RawSheet) -> Fit | None:
    if raw.positions:
        return Fit(raw.table, 0, dict(raw.positions))
    if raw.table:
        return Fit(raw.table, 0, match_columns(raw.table, raw.header))
    path = PurePosixPath(raw.file)
    return find_header([raw.header], raw.sheet, path.stem, path.parent.name) if raw.header else None


def _merged_notes(raw: RawSheet, fit: Fit) -> list[Note]:
    """A header cell merged over several columns names only the leftmost."""
    row = raw.header_row - 1
    wide = [m for m in raw.merged if m[0][0] <= row <= m[1][0] and m[1][1] > m[0][1]]
    notes = []
    for (top, left), (bottom, right) in wide:
        if left in fit.positions.values():
            cells = f"{column_letter(left)}{top + 1}:{column_letter(right)}{bottom + 1}"
            text = f"the header is merged over {cells}; its name is taken for column {column_letter(left)}, the others stay unnamed. Unmerge it and name every column."
            notes.append(_note(raw, fit.table, top + 1, "", cells, "MERGED_HEADER", _at(raw, cells, text)))
    return notes


def _left_notes(raw: RawSheet, fit: Fit) -> list[Note]:
    """What was set aside below or beside the table."""
    notes = []
    for item in raw.left:
        if item.use in _LEFT_RULES:
            told = (
                item.reason
                if item.use in ("totals", "empty")
                else f"{left_range(item, raw)} is left out: {item.reason}"
            )
            text = _at(raw, "", told + ".")
            notes.append(_note(raw, fit.table, item.first_row, "", item.shown, _LEFT_RULES[item.use], text))
    return notes


def _unit_currency(raw: RawSheet, fit: Fit, named: pd.DataFrame) -> tuple[pd.DataFrame, list[Note]]:
    """A currency in the header or the units row is that of the rows where no column names one."""
    kinds = {f.name: f.kind for f in fields(fit.table, "")}
    amounts = {p for name, p in fit.positions.items() if kinds[name] == "amount"}
    codes = sorted({unit_currency(unit) for position, unit in raw.units if position in amounts} - {""})
    if not codes or "currency" not in kinds or "currency" in named:
        return named, []
    if len(codes) == 1:
        text = f"the amounts are taken as {codes[0]}, as the header says; no column names a currency."
    else:
        text = (
            f"the header says {' and '.join(codes)}, and no column says the currency of a row. Add a currency column."
        )
    note = _note(raw, fit.table, raw.header_row, "currency", " ".join(codes), "UNIT_CURRENCY", _at(raw, "", text))
    return named.assign(currency=pd.Series(" ".join(codes), index=named.index, dtype="str")), [note]


def _extra_columns(raw: RawSheet, fit: Fit) -> tuple[tuple[str, ...], list[Note]]:
    """Columns that no name fits, or that have none, stay out of the table and are reported."""
    extra, notes = [], []
    for position in map(int, raw.frame.columns):
        name = raw.header[position]
        if position in fit.positions.values() or name in EXPLAINING or not (name or raw.frame[position].notna().any()):
            continue
        spot = f"column {column_letter(position)}" if raw.is_workbook else f"column {position + 1}"
        shown = f"{name} ({spot})" if name else f"without a name ({spot})"
        twice = next(iter(match_columns(fit.table, [name])), "")
        why = f"means {twice}, which is there already" if twice in fit.positions else "is not part of the table"
        text = f"{spot} {name!r} {why}; it is kept out." if name else f"{spot} has no name; it is kept out."
        extra.append(shown)
        notes.append(_note(raw, fit.table, 0, "", name, "EXTRA_COLUMN", _at(raw, "", text)))
    return tuple(extra), notes


def _rows_in(raw: RawSheet, read: pd.DataFrame) -> int:
    """Data rows, of a file in pieces those of the file."""
    return len(read) if raw.path is None else int(pq.read_metadata(raw.path).num_rows)


def _missing_columns(raw: RawSheet, fit: Fit, kept: pd.DataFrame) -> list[Note]:
    """A required column that is not there refuses every row of the sheet; said once."""
    missing = [f.name for f in fields(fit.table, "?") if f.is_required and f.name not in fit.positions]
    notes, rows = [], _rows_in(raw, kept)
    for name in missing if rows else []:
        text = f"the column {name} is missing, so its {rows} rows are refused. Add the column; the names understood are in the documentation."
        notes.append(_note(raw, fit.table, 0, name, "", "MISSING_COLUMN", _at(raw, "", text), "error"))
    return notes


def _unknown(raw: RawSheet) -> Note:
    found = "; ".join(map(str, raw.header[:6])) if raw.header else "; ".join(item.shown for item in raw.left[:1])
    text = f"this fits no table. Expected a row with the column names of one table, found {found!r}. Name the sheet after its table."
    return _note(raw, "", 0, "", "", "UNKNOWN_SHEET", _at(raw, "", text))


def _at(raw: RawSheet, spot: str, text: str) -> str:
    sheet = f", sheet {raw.sheet}" if raw.sheet else ""
    return f"{raw.file}{sheet}{', ' + spot if spot else ''}: {text}"


def _note(
    raw: RawSheet, table: str, row: int, column: str, value: object, rule: str, message: str, severity: str = ""
) -> Note:
    return {
        "source_file": raw.file, "source_sheet": raw.sheet, "source_row": row, "table": table, "column": column, "value": str(value),
        "rule": rule, "severity": severity or ("error" if rule in _ERRORS else "warning"), "message": message,
    }  # fmt: skip
