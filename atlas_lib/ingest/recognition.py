"""A raw sheet becomes a table: header found, columns named, totals and empty rows set aside, all of it reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from atlas_lib.ingest.cells import split_cells
from atlas_lib.ingest.headers import Fit, RawSheet, find_header, match_columns
from atlas_lib.ingest.vocabulary import fields, fold

Note = dict[str, object]
_TOTAL_WORDS = ("total", "totals", "summe", "gesamt", "gesamtsumme", "sum", "grandtotal", "zwischensumme", "subtotal")
_TOLERANCE = 0.005


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
    path: Path | None = None

    @property
    def rows_in_count(self) -> int:
        """Data rows, of a file in pieces those of the file."""
        return len(self.frame) if self.path is None else int(pq.read_metadata(self.path).num_rows)

    def place(self, row: int, column: str) -> str:
        """`book.xlsx, sheet Sheet1, cell L7`, or `file.csv, line 7, column Betrag`."""
        letter = self.letters.get(column)
        if self.sheet:
            spot = f"cell {letter}{row}" if letter else f"row {row}"
            return f"{self.file}, sheet {self.sheet}, {spot}"
        header = self.headers.get(column)
        return f"{self.file}, line {row}" + (f", column {header}" if header else "")


def name_sheet(raw: RawSheet) -> NamedSheet:
    """The table a sheet is, with its columns named; a sheet that fits none keeps only its notes."""
    notes = [
        _note(raw, "", row, column, value, rule, text, "error" if rule == "WRONG_FIELD_COUNT" else "warning")
        for row, column, value, rule, text in raw.notes
    ]
    raw = _unmerge_header(raw)
    fit = _fit(raw)
    if fit is None:
        if not raw.notes and len(raw.frame):
            notes.append(_unknown(raw))
        return NamedSheet(raw.file, raw.sheet, "", 0, pd.DataFrame(), {}, {}, (), tuple(notes))
    header = list(raw.header) or [_header_text(v) for v in raw.frame.iloc[fit.row]]
    data = raw.frame if raw.header else raw.frame.iloc[fit.row + 1 :]
    named = data[list(fit.positions.values())].set_axis(list(fit.positions), axis=1)
    kept, set_aside = _set_aside(raw, fit.table, named)
    extra, found = _extra_columns(raw, fit, header, data)
    notes = [note | {"table": fit.table} for note in notes]
    notes += [*found, *_merged_notes(raw, fit), *set_aside, *_missing_columns(raw, fit, kept)]
    letters = {c: column_letter(p) for c, p in fit.positions.items()} if raw.is_workbook else {}
    headers = {c: header[p] for c, p in fit.positions.items()}
    header_row = raw.header_row if raw.header else int(raw.frame.index.to_numpy()[fit.row])
    return NamedSheet(raw.file, raw.sheet, fit.table, header_row, kept, letters, headers, extra, tuple(notes), raw.path)


def column_letter(position: int) -> str:
    """0 is A, 25 is Z, 26 is AA."""
    letters = ""
    number = position + 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def _fit(raw: RawSheet) -> Fit | None:
    if raw.table:
        return Fit(raw.table, 0, match_columns(raw.table, raw.header))
    path = PurePosixPath(raw.file)
    names = (raw.sheet, path.stem, path.parent.name)
    if raw.header:
        return find_header([raw.header], *names)
    rows = raw.frame.head(40).to_numpy(dtype=object).tolist() if len(raw.frame) else []
    return find_header(rows, *names)


def _unmerge_header(raw: RawSheet) -> RawSheet:
    """A name merged over several rows is repeated in each, so that the lowest header row has all names."""
    tall = [(first, last) for first, last in raw.merged if last[0] > first[0] and first[0] < 40]
    if not tall or raw.header:
        return raw
    cells = raw.frame.to_numpy(dtype=object, copy=True)
    for (top, left), (bottom, _) in tall:
        if top < len(cells) and left < cells.shape[1]:
            cells[top : bottom + 1, left] = cells[top, left]
    frame = pd.DataFrame(cells, index=raw.frame.index, columns=raw.frame.columns, dtype=object)
    return RawSheet(**{**raw.__dict__, "frame": frame})


def _merged_notes(raw: RawSheet, fit: Fit) -> list[Note]:
    """A header cell merged over several columns names only the leftmost."""
    wide = [m for m in raw.merged if m[0][0] <= fit.row <= m[1][0] and m[1][1] > m[0][1]]
    notes = []
    for (top, left), (bottom, right) in wide:
        cells = f"{column_letter(left)}{top + 1}:{column_letter(right)}{bottom + 1}"
        text = f"the header is merged over {cells}; its name is taken for column {column_letter(left)}, the others stay unnamed. Unmerge it and name every column."
        notes.append(_note(raw, fit.table, top + 1, "", cells, "MERGED_HEADER", _at(raw, cells, text)))
    return notes


def _set_aside(raw: RawSheet, table: str, named: pd.DataFrame) -> tuple[pd.DataFrame, list[Note]]:
    """Rows without any value, and totals rows at the end, are no data: noted with their numbers."""
    is_empty = named.isna().all(axis=1).to_numpy()
    notes = []
    filled = named[~is_empty]
    inner = named.index[is_empty & (named.index < filled.index.max())] if len(filled) else named.index[:0]
    if len(inner):
        rows = ", ".join(map(str, inner[:10])) + (", ..." if len(inner) > 10 else "")
        text = f"{len(inner)} empty rows between the data are left out: {rows}."
        notes.append(_note(raw, table, int(inner[0]), "", "", "EMPTY_ROWS", _at(raw, "", text)))
    totals = [] if raw.table else _totals_rows(table, filled)
    for row in totals:
        shown = "; ".join(map(str, filled.loc[[row]].iloc[0].dropna().head(3)))
        text = f"row {row} is a totals row and is left out of the data."
        notes.append(_note(raw, table, row, "", shown, "TOTALS_ROW", _at(raw, "", text)))
    return filled.drop(index=totals), notes


def _totals_rows(table: str, frame: pd.DataFrame) -> list[int]:
    """Among the last three rows: a cell that says total, or no key and an amount equal to the sum above it."""
    amounts = [f.name for f in fields(table, "") if f.kind == "amount" and f.name in frame]
    key = next((f.name for f in fields(table, "") if f.kind == "text" and f.name in frame), "")
    found: list[int] = []
    for row in frame.index[-3:] if amounts and key else []:
        cells = frame.loc[row]
        words = {fold(v) for v in cells if isinstance(v, str)}
        says_total = any(w in _TOTAL_WORDS or w.startswith(("total", "summe", "gesamt")) for w in words if len(w) < 24)
        lacks_most = cells.isna().mean() >= 0.3
        if (says_total and lacks_most) or (pd.isna(cells[key]) and _is_sum(frame, amounts, row)):
            found.append(int(row))
    return found


def _is_sum(frame: pd.DataFrame, amounts: Sequence[str], row: int) -> bool:
    """Every amount of the row is the sum of the numbers above it."""
    above, own = frame.loc[: row - 1, list(amounts)], frame.loc[row, list(amounts)]
    given = [a for a in amounts if pd.notna(own[a])]
    if not given or len(above) < 2:
        return False
    sums = [np.nansum(split_cells(above[a]).numbers) for a in given]
    values = [float(v) if isinstance(v, int | float) else np.nan for v in own[given]]
    return bool(np.all(np.abs(np.array(sums) - np.array(values)) <= _TOLERANCE * len(above)))


def _extra_columns(
    raw: RawSheet, fit: Fit, header: Sequence[str], data: pd.DataFrame
) -> tuple[tuple[str, ...], list[Note]]:
    """Columns that no name fits, or that have none, stay out of the table and are reported."""
    extra, notes = [], []
    for position, name in enumerate(header):
        if position in fit.positions.values() or not (name or data[position].notna().any()):
            continue
        spot = f"column {column_letter(position)}" if raw.is_workbook else f"column {position + 1}"
        shown = f"{name} ({spot})" if name else f"without a name ({spot})"
        twice = next((c for c, p in match_columns(fit.table, [name]).items() if p == 0), "")
        why = f"means {twice}, which is there already" if twice else "is not part of the table"
        text = f"{spot} {name!r} {why}; it is kept out." if name else f"{spot} has no name; it is kept out."
        extra.append(shown)
        notes.append(_note(raw, fit.table, 0, "", name, "EXTRA_COLUMN", _at(raw, "", text)))
    return tuple(extra), notes


def _missing_columns(raw: RawSheet, fit: Fit, kept: pd.DataFrame) -> list[Note]:
    """A required column that is not there refuses every row of the sheet; said once."""
    missing = [f.name for f in fields(fit.table, "?") if f.is_required and f.name not in fit.positions]
    notes = []
    for name in missing if len(kept) else []:
        text = f"the column {name} is missing, so its {len(kept)} rows are refused. Add the column; the names understood are in the documentation."
        notes.append(_note(raw, fit.table, 0, name, "", "MISSING_COLUMN", _at(raw, "", text), "error"))
    return notes


def _unknown(raw: RawSheet) -> Note:
    found = "; ".join(str(v) for v in (raw.header or raw.frame.iloc[0].dropna().tolist())[:6])
    text = f"this fits no table. Expected column names of one table within the first 40 rows, found {found!r}. Name the sheet after its table."
    return _note(raw, "", 0, "", "", "UNKNOWN_SHEET", _at(raw, "", text))


def _header_text(value: object) -> str:
    return "" if value is None or value is pd.NA or value != value else str(value).strip()


def _at(raw: RawSheet, spot: str, text: str) -> str:
    sheet = f", sheet {raw.sheet}" if raw.sheet else ""
    return f"{raw.file}{sheet}{', ' + spot if spot else ''}: {text}"


def _note(
    raw: RawSheet, table: str, row: int, column: str, value: object, rule: str, message: str, severity: str = "warning"
) -> Note:
    return {
        "source_file": raw.file, "source_sheet": raw.sheet, "source_row": row, "table": table, "column": column,
        "value": str(value), "rule": rule, "severity": severity, "message": message,
    }  # fmt: skip
