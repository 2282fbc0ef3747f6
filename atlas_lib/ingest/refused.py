"""The cells of refused rows as they came, with what the row needs besides when it comes back on its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from atlas_lib.core.tables import arrow_to_frame, declared
from atlas_lib.ingest.cells import Mask, Uncalculated
from atlas_lib.ingest.flatfiles import plain_types
from atlas_lib.ingest.parsing import PARSERS
from atlas_lib.ingest.places import number_entries
from atlas_lib.ingest.recognition import NamedSheet
from atlas_lib.ingest.vocabulary import DEFAULTS, fields

Texts = NDArray[np.object_]
SHEET = ["source_file", "source_sheet", "table"]
MOST_ROWS = 100_000  # of one sheet; a person corrects no more at once
# Counted in the row that is kept: nothing to correct, and sent back on their own they would count a second time.
_REPEATED = ("DUPLICATE_CONTRACT", "DUPLICATE_KEY", "REPORTED_AND_BOOKED")


@dataclass(frozen=True)
class RawRows:
    """Rows of a file as they came, all its columns, and their numbers."""

    cells: pa.Table
    numbers: NDArray[np.int64]


_NO_FILES: Mapping[tuple[str, str], Sequence[RawRows]] = MappingProxyType({})


def is_without_column(sheet: NamedSheet) -> bool:
    """A required column is missing, and with it every row is refused."""
    return any(note["rule"] == "MISSING_COLUMN" for note in sheet.notes)


def list_refused_cells(
    named: Sequence[NamedSheet],
    rejects: pd.DataFrame,
    kept: Mapping[tuple[str, str], Sequence[RawRows]] = _NO_FILES,
) -> pd.DataFrame:
    """`refused_cells`: every cell of every refused row, as it came, with its place and header.

    `kept`: by file and sheet the refused rows of files that were read in pieces.
    """
    bad = rejects[(rejects["severity"] == "error") & ~rejects["rule"].isin(_REPEATED)]
    rows = {key: part for key, part in bad.groupby(SHEET, sort=False)}
    parts = [
        _cells_of(_loaded(s, kept), rows[key]) for s in named if (key := (s.file, s.sheet, s.table)) in rows and s.table
    ]
    filled = [part for part in parts if len(part)]
    table = declared("refused_cells")
    return table.shaped(pd.concat(filled, ignore_index=True)) if filled else table.empty()


def _cells_of(sheet: NamedSheet, bad: pd.DataFrame) -> pd.DataFrame:
    """The refused rows of one sheet; a missing column refuses them all and is added, empty."""
    missing = list(dict.fromkeys(bad.loc[bad["rule"] == "MISSING_COLUMN", "column"]))
    index = sheet.frame.index
    entries = number_entries(index)
    chosen = np.full(len(index), bool(missing)) | _is_refused(index, entries, bad)
    chosen &= np.cumsum(chosen) <= MOST_ROWS
    raw, known = sheet.raw.frame[chosen], _positions(sheet)
    columns: dict[int, tuple[str, pd.Series]] = {}
    for place, position in enumerate(map(int, raw.columns)):
        cells = raw.iloc[:, place]
        if cells.notna().any() or position in known:
            name = sheet.raw.header[position] or f"column {position + 1}"
            columns[position] = (name, _decided(sheet, known.get(position, ""), cells, chosen))
    for name, values in _added(sheet, chosen, missing).items():
        columns[max(columns, default=-1) + 1] = (name, values)
    names = {position: name for position, (name, _) in columns.items()}
    listed = _listed(index[chosen].to_numpy(), names, [_as_text(values) for _, values in columns.values()])
    if len(listed) and len(entries):
        listed = listed.assign(source_entry=np.tile(entries[chosen], len(names)))
    broken = _broken_lines(sheet, bad, names, int(chosen.sum()))
    if listed.empty and broken.empty:
        return declared("refused_cells").empty()
    found: pd.DataFrame = pd.concat([part for part in (listed, broken) if len(part)], ignore_index=True)
    place_of = {"source_file": sheet.file, "source_sheet": sheet.sheet, "table": sheet.table}
    entry = found["source_entry"].replace(0, None) if "source_entry" in found else None
    column = found["position"].map(known).fillna(found["header"])
    return found.assign(**place_of, source_entry=entry, column=column)


def _is_refused(index: pd.Index, entries: NDArray[np.int64], bad: pd.DataFrame) -> Mask:
    """Rows by their number, and by their entry where several stand on one line of the file."""
    if not len(entries):
        return np.asarray(index.isin(bad["source_row"]))
    wanted = pd.MultiIndex.from_arrays([bad["source_row"], bad["source_entry"].fillna(0).astype("int64")])
    return np.asarray(pd.MultiIndex.from_arrays([index, entries]).isin(wanted))


def _listed(rows: NDArray[np.int64], names: Mapping[int, str], texts: Sequence[tuple[Texts, Texts]]) -> pd.DataFrame:
    """One line per cell, column by column: its row, place, header, kind and value; none without a column."""
    if not names:
        return pd.DataFrame()
    return pd.DataFrame(
        {
            "kind": np.concatenate([kinds for kinds, _ in texts]),
            "value": np.concatenate([values for _, values in texts]),
            "source_row": np.tile(rows, len(names)),
            "entry": np.tile(np.arange(len(rows)), len(names)),
            "position": np.repeat(list(names), len(rows)),
            "header": np.repeat(np.array(list(names.values()), dtype=object), len(rows)),
        }
    )


def _loaded(sheet: NamedSheet, kept: Mapping[tuple[str, str], Sequence[RawRows]]) -> NamedSheet:
    """A Parquet file that was read in pieces: its refused rows, as far as they are shown, as a sheet in memory."""
    if sheet.path is None:
        return sheet
    parts = kept.get((sheet.file, sheet.sheet), ())
    if not parts:
        return replace(sheet, frame=sheet.frame.iloc[:0], raw=replace(sheet.raw, frame=sheet.raw.frame.iloc[:0]))
    table = plain_types(pa.concat_tables([part.cells for part in parts]))
    frame = arrow_to_frame(table.rename_columns([str(i) for i in range(table.num_columns)]))
    numbers = np.concatenate([part.numbers for part in parts])
    frame = frame.set_axis(pd.RangeIndex(frame.shape[1]), axis=1).set_axis(numbers, axis=0)
    known = _positions(sheet)
    named = frame[list(known)].set_axis(list(known.values()), axis=1)
    return replace(sheet, frame=named, raw=replace(sheet.raw, frame=frame, path=None), path=None, is_part=True)


def _positions(sheet: NamedSheet) -> dict[int, str]:
    """Position in the sheet to column of the table."""
    settled = dict(sheet.raw.positions) or {c: sheet.raw.header.index(h) for c, h in sheet.headers.items()}
    return {position: column for column, position in settled.items()}


def _decided(sheet: NamedSheet, column: str, cells: pd.Series, chosen: Mask) -> pd.Series:
    """Cells whose reading their column decided: as number or date, since the column does not come back with them."""
    kind = next((f.kind for f in fields(sheet.table, "") if f.name == column), "")
    if sheet.is_part or kind not in ("amount", "date", "instant"):
        return cells
    parsed = PARSERS[kind](sheet.frame[column])
    if not any(mask.any() for mask in parsed.inferred.values()):
        return cells
    read = parsed.result[chosen].astype(object)
    return cells.astype(object).where(read.isna(), read)


def _added(sheet: NamedSheet, chosen: Mask, missing: Sequence[str]) -> dict[str, pd.Series]:
    """Columns that the sheet lacks and the row needs elsewhere: what the file's name, the row or the header said."""
    rows = sheet.frame.index[chosen]
    said = {"@file": sheet.title, "@row": rows.astype(str)}
    added = {
        name: pd.Series(said[value], index=rows, dtype=object)
        for name, value in DEFAULTS[sheet.table].items()
        if isinstance(value, str) and value in said and name not in sheet.frame
    }
    units = {str(name): sheet.frame[name][chosen] for name in sheet.frame if name not in sheet.headers}
    return added | units | {name: pd.Series(None, index=rows, dtype=object) for name in missing}


def _broken_lines(sheet: NamedSheet, bad: pd.DataFrame, names: dict[int, str], start: int) -> pd.DataFrame:
    """The fields of lines that have too few or too many, and empty cells where the line has none."""
    wanted = set(bad.loc[bad["rule"] == "WRONG_FIELD_COUNT", "source_row"])
    numbered = enumerate((item for item in sheet.raw.broken if item[0] in wanted), start=start)
    lines = [
        (row, entry, p, names.get(p, f"column {p + 1}"), "text", (texts[p] if p < len(texts) else "") or None)
        for entry, (row, texts) in numbered
        for p in sorted({*names, *range(len(texts))})
    ]
    return pd.DataFrame(lines, columns=["source_row", "entry", "position", "header", "kind", "value"])


def _as_text(cells: pd.Series) -> tuple[Texts, Texts]:
    """kind and value of each cell; the text of a number is its shortest."""
    kinds: Any
    if cells.dtype.kind == "f":
        kinds, values = "number", cells.map(repr, na_action="ignore")
    elif cells.dtype.kind == "M":
        kinds, values = "moment", cells.dt.strftime("%Y-%m-%dT%H:%M:%S")
    elif isinstance(cells.dtype, pd.StringDtype):
        kinds, values = "text", cells
    else:
        kinds, values = cells.map(_kind), cells.map(_plain_text, na_action="ignore")
    text = values.astype(object).where(cells.notna(), None).to_numpy()
    return np.full(len(cells), np.asarray(kinds, dtype=object), dtype=object), text


def _kind(cell: object) -> str:
    if isinstance(cell, bool | str) or cell is None:
        return "text"
    return "moment" if isinstance(cell, date) else "number"


def _plain_text(cell: object) -> str:
    if isinstance(cell, Uncalculated | str):
        return str(cell)
    return cell.isoformat() if isinstance(cell, date) else repr(cell)
