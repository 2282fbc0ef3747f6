"""The workbook a person corrects and sends back: the refused rows as they came, the bad cells in colour.

It is an input like any other: the two columns that explain are recognised and left aside when it comes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, time
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from atlas_lib.core.tables import arrow_to_frame, declared
from atlas_lib.ingest.cells import Mask, Uncalculated
from atlas_lib.ingest.flatfiles import plain_types
from atlas_lib.ingest.headers import EXPLAINING
from atlas_lib.ingest.parsing import PARSERS
from atlas_lib.ingest.recognition import NamedSheet
from atlas_lib.ingest.vocabulary import DEFAULTS, fields

_SHEET = ["source_file", "source_sheet", "table"]
_REPEATED = ("DUPLICATE_CONTRACT", "DUPLICATE_KEY")  # the first row is kept: nothing to correct
_MOST_ROWS = 100_000  # of one sheet; a person corrects no more at once
_HEADER_ROW = 3
_MESSAGE_WIDTH = 62
_WHAT_TO_DO = "Correct the red cells (yellow ones are worth a look), save, and send this workbook back. Rows that are not needed may be deleted."
_BAD = {"bg_color": "#F8CBAD"}
_NOTED = {"bg_color": "#FFF2CC"}
_HEADER = {"bold": True, "bg_color": "#DDE5EE", "bottom": 1, "text_wrap": True, "valign": "top"}


def list_refused_cells(named: Sequence[NamedSheet], rejects: pd.DataFrame) -> pd.DataFrame:
    """`refused_cells`: every cell of every refused row, as it came, with its place and header."""
    bad = rejects[(rejects["severity"] == "error") & ~rejects["rule"].isin(_REPEATED)]
    rows = {key: part for key, part in bad.groupby(_SHEET, sort=False)}
    parts = [_cells_of(s, rows[key]) for s in named if (key := (s.file, s.sheet, s.table)) in rows and s.table]
    filled = [part for part in parts if len(part)]
    table = declared("refused_cells")
    return table.shaped(pd.concat(filled, ignore_index=True)) if filled else table.empty()


def _cells_of(sheet: NamedSheet, bad: pd.DataFrame) -> pd.DataFrame:
    """The refused rows of one sheet; a missing column refuses them all and is added, empty."""
    missing = list(dict.fromkeys(bad.loc[bad["rule"] == "MISSING_COLUMN", "column"]))
    sheet = _loaded(sheet, bad["source_row"], everything=bool(missing))
    index = sheet.frame.index
    chosen = np.full(len(index), bool(missing)) | index.isin(bad["source_row"])
    chosen &= np.cumsum(chosen) <= _MOST_ROWS
    raw, known = sheet.raw.frame[chosen], _positions(sheet)
    columns: dict[int, tuple[str, pd.Series]] = {}
    for place, position in enumerate(map(int, raw.columns)):
        cells = raw.iloc[:, place]
        if cells.notna().any() or position in known:
            name = sheet.raw.header[position] or f"column {position + 1}"
            columns[position] = (name, _decided(sheet, known.get(position, ""), cells, chosen))
    for name, values in _added(sheet, chosen, missing).items():
        columns[max(columns, default=-1) + 1] = (name, values)
    numbers = {"source_row": index[chosen].to_numpy(), "entry": np.arange(int(chosen.sum()))}
    parts = [_as_text(values).assign(**numbers, position=p, header=name) for p, (name, values) in columns.items()]
    parts.append(_broken_lines(sheet, bad, {p: name for p, (name, _) in columns.items()}, int(chosen.sum())))
    found: pd.DataFrame = pd.concat([part for part in parts if len(part)], ignore_index=True)
    place_of = {"source_file": sheet.file, "source_sheet": sheet.sheet, "table": sheet.table}
    return found.assign(**place_of, column=found["position"].map(known).fillna(found["header"]))


def _loaded(sheet: NamedSheet, wanted: pd.Series, *, everything: bool) -> NamedSheet:
    """A Parquet file that was read in pieces: its refused rows, as far as they are shown, in memory."""
    if sheet.path is None:
        return sheet
    parts, numbers, start = [], [np.array([], dtype=np.int64)], 1
    with pq.ParquetFile(sheet.path) as file:
        parts.append(pa.Table.from_batches([], file.schema_arrow))
        for batch in file.iter_batches():
            rows = np.arange(start, start + len(batch))
            chosen = np.isin(rows, wanted) | everything
            if chosen.any() and sum(map(len, numbers)) < _MOST_ROWS:
                parts.append(pa.Table.from_batches([batch]).filter(chosen))
                numbers.append(rows[chosen])
            start += len(batch)
    table = plain_types(pa.concat_tables(parts))
    frame = arrow_to_frame(table.rename_columns([str(i) for i in range(table.num_columns)]))
    frame = frame.set_axis(pd.RangeIndex(frame.shape[1]), axis=1).set_axis(np.concatenate(numbers), axis=0)
    known = _positions(sheet)
    named = frame[list(known)].set_axis(list(known.values()), axis=1)
    return replace(sheet, frame=named, raw=replace(sheet.raw, frame=frame, path=None), path=None)


def _positions(sheet: NamedSheet) -> dict[int, str]:
    """Position in the sheet to column of the table."""
    settled = dict(sheet.raw.positions) or {c: sheet.raw.header.index(h) for c, h in sheet.headers.items()}
    return {position: column for column, position in settled.items()}


def _decided(sheet: NamedSheet, column: str, cells: pd.Series, chosen: Mask) -> pd.Series:
    """Cells whose reading their column decided: as number or date, since the column does not come back with them."""
    kind = next((f.kind for f in fields(sheet.table, "") if f.name == column), "")
    if kind not in ("amount", "date", "instant"):
        return cells
    parsed = PARSERS[kind](sheet.frame[column])
    if not any(mask.any() for mask in parsed.inferred.values()):
        return cells
    read = parsed.result[chosen].astype(object)
    return cells.astype(object).where(read.isna(), read)


def _added(sheet: NamedSheet, chosen: Mask, missing: Sequence[str]) -> dict[str, pd.Series]:
    """Columns that the sheet lacks and the row needs elsewhere: what the file's name, the row or the header said."""
    rows = sheet.frame.index[chosen]
    said = {"@file": PurePosixPath(sheet.file).stem, "@row": rows.astype(str)}
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


def _as_text(cells: pd.Series) -> pd.DataFrame:
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
    return pd.DataFrame({"kind": np.asarray(kinds), "value": text}, index=range(len(cells)))


def _kind(cell: object) -> str:
    if isinstance(cell, bool | str) or cell is None:
        return "text"
    return "moment" if isinstance(cell, date) else "number"


def _plain_text(cell: object) -> str:
    if isinstance(cell, Uncalculated | str):
        return str(cell)
    return cell.isoformat() if isinstance(cell, date) else repr(cell)


def write_rejects_workbook(path: Path, clean: Any, as_of: date) -> Path:
    """One sheet per refused input sheet: the rows as they came, bad cells red, noted ones yellow, the messages beside.

    `clean` holds `refused_cells` and `rejects`. Whoever corrects the coloured cells sends the file back as it is. The
    same tables give the same bytes.
    """
    import xlsxwriter

    created = datetime.combine(as_of, time.min)
    with xlsxwriter.Workbook(str(path), {"strings_to_formulas": False, "strings_to_urls": False}) as book:
        book.set_properties({"title": f"Rows to correct {as_of}", "created": created})
        taken: set[str] = set()
        for (file, sheet, table), cells in clean.refused_cells.groupby(_SHEET, sort=True):
            rejects = clean.rejects
            own = rejects[(rejects["source_file"] == file) & (rejects["source_sheet"] == sheet)]
            page = book.add_worksheet(_page_name(str(file), str(sheet), str(table), taken))
            _write_page(book, page, cells, own, f"{table} from {file}" + (f", sheet {sheet}" if sheet else ""))
        if not taken:
            book.add_worksheet("Nothing to correct").write(
                0, 0, "Every row could be read; nothing has to be corrected."
            )
    return path


def _page_name(file: str, sheet: str, table: str, taken: set[str]) -> str:
    """Starts with the table's name, by which it is recognised when it comes back; at most 31 characters, unique."""
    rest = sheet or PurePosixPath(file).stem
    wanted = table if rest.startswith(table) and not sheet else f"{table} {rest}"
    clean = "".join(c for c in wanted if c not in "[]:*?/\\'")[:31].strip()
    name, number = clean, 2
    while name.casefold() in taken:
        name, number = f"{clean[:27]} {number}", number + 1
    taken.add(name.casefold())
    return name


def _write_page(book: Any, page: Any, cells: pd.DataFrame, rejects: pd.DataFrame, title: str) -> None:
    count = int(cells["entry"].max()) + 1
    cells = cells.assign(line=cells["entry"] + _HEADER_ROW + 1)
    heads = cells.drop_duplicates("position").sort_values("position")
    places = dict(zip(heads["position"], range(len(EXPLAINING), len(EXPLAINING) + len(heads)), strict=True))
    more = " More rows of this sheet are refused; they follow when these are corrected." if count >= _MOST_ROWS else ""
    big = book.add_format({"bold": True, "font_size": 13})
    page.write(0, 0, f"{title}: {count:,} {'row' if count == 1 else 'rows'} refused.{more}", big)
    page.write(1, 0, _WHAT_TO_DO)
    page.write_row(_HEADER_ROW, 0, [*EXPLAINING, *heads["header"]], book.add_format(_HEADER))
    for position, part in cells.groupby("position"):
        _write_cells(book, page, places[position], part)
    _write_colours(book, page, cells, rejects, places)
    _write_messages(book, page, cells, rejects)
    longest = cells["value"].str.len().groupby(cells["position"]).max().fillna(0).astype(int)
    widths = [max(len(name) + 3, longest[p] + 2) for p, name in zip(heads["position"], heads["header"], strict=True)]
    _lay_out(page, widths, int(cells["line"].max()))


def _lay_out(page: Any, widths: Sequence[int], last: int) -> None:
    """Widths, frozen panes, filter, and one page wide in print."""
    page.set_row(_HEADER_ROW, 32)
    page.set_column(0, 0, _MESSAGE_WIDTH)
    page.set_column(1, 1, 24)
    for place, width in enumerate(widths, start=len(EXPLAINING)):
        page.set_column(place, place, min(max(width, 10), 34))
    page.freeze_panes(_HEADER_ROW + 1, 1)
    page.autofilter(_HEADER_ROW, 0, last, len(EXPLAINING) + len(widths) - 1)
    page.set_landscape()
    page.set_paper(9)
    page.fit_to_pages(1, 0)
    page.repeat_rows(_HEADER_ROW)


def _write_cells(book: Any, page: Any, place: int, part: pd.DataFrame, style: dict[str, Any] | None = None) -> None:
    """One column's cells by kind; a style colours them."""
    plain = book.add_format({"valign": "top"} | (style or {}))
    day, moment = (
        book.add_format({"num_format": f, "valign": "top"} | (style or {}))
        for f in ("yyyy-mm-dd", "yyyy-mm-dd hh:mm:ss")
    )
    for line, kind, value in zip(part["line"], part["kind"], part["value"], strict=True):
        if pd.isna(value):
            page.write_blank(line, place, None, plain)
        elif kind == "number":
            page.write_number(line, place, float(value), plain)
        elif kind == "moment":
            read = datetime.fromisoformat(value).replace(tzinfo=None)
            page.write_datetime(line, place, read, day if read.time() == time.min else moment)
        else:
            page.write_string(line, place, value, plain)


def _write_colours(book: Any, page: Any, cells: pd.DataFrame, rejects: pd.DataFrame, places: dict[Any, int]) -> None:
    """Yellow where a cell is noted, red where it is refused; all cells of a line that could not be cut into fields."""
    broken = rejects.loc[rejects["rule"] == "WRONG_FIELD_COUNT", "source_row"]
    missing = rejects.loc[rejects["rule"] == "MISSING_COLUMN", "column"]
    for severity, style in (("warning", _NOTED), ("error", _BAD)):
        named = rejects.loc[rejects["severity"] == severity, ["source_row", "column"]].drop_duplicates()
        marked = cells.merge(named, on=["source_row", "column"], validate="many_to_one")
        if severity == "error":
            marked = pd.concat([marked, cells[cells["source_row"].isin(broken) | cells["column"].isin(missing)]])
        for position, part in marked.groupby("position"):
            _write_cells(book, page, places[position], part, style)


def _write_messages(book: Any, page: Any, cells: pd.DataFrame, rejects: pd.DataFrame) -> None:
    """What is wrong with each row, by the header of the cell, and where the row was read."""
    heads = cells.drop_duplicates("column").set_index("column")["header"]
    own = rejects[rejects["source_row"].isin(cells["source_row"])].sort_values(["source_row", "severity", "column"])
    names = own["column"].map(heads).fillna(own["column"]).astype("str")
    texts = names.where(names == "", names + ": ") + own["message"].map(lambda text: text.partition(": ")[2] or text)
    said = texts.groupby(own["source_row"]).agg("\n".join)
    missing = list(rejects.loc[rejects["rule"] == "MISSING_COLUMN", "column"])
    everywhere = (
        f"Fill the missing {'columns' if len(missing) > 1 else 'column'} {', '.join(missing)}." if missing else ""
    )
    rows = cells.drop_duplicates("entry")
    file, sheet = rejects["source_file"].iloc[0], rejects["source_sheet"].iloc[0]
    source = f"{file}, {sheet}, row" if sheet else f"{file}, line"
    wrap = book.add_format({"text_wrap": True, "valign": "top"})
    for line, row in zip(rows["line"], rows["source_row"], strict=True):
        text = "\n".join(filter(None, [everywhere, said.get(row, "")]))
        page.set_row(line, 15 * sum(len(part) // _MESSAGE_WIDTH + 1 for part in text.split("\n")))
        page.write_string(line, 0, text, wrap)
        page.write_string(line, 1, f"{source} {row}", wrap)
