"""The workbook a person corrects and sends back: the refused rows as they came, the bad cells in colour.

It is an input like any other: the two columns that explain are recognised and left aside when it comes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time
from math import isfinite
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from atlas_lib.ingest.headers import EXPLAINING
from atlas_lib.ingest.refused import MOST_ROWS, SHEET

_HEADER_ROW = 3
_ROW = ["source_row", "source_entry"]
_MESSAGE_WIDTH = 62
_WHAT_TO_DO = "Correct the red cells (yellow ones are worth a look), save, and send this workbook back. Delete the rows that you do not correct: they would be refused again."
_BAD = {"bg_color": "#F8CBAD"}
_NOTED = {"bg_color": "#FFF2CC"}
_HEADER = {"bold": True, "bg_color": "#DDE5EE", "bottom": 1, "text_wrap": True, "valign": "top"}


def write_rejects_workbook(path: Path, clean: Any, as_of: date) -> Path:
    """One sheet per refused input sheet: the rows as they came, bad cells red, noted ones yellow, the messages beside.

    `clean` holds `refused_cells` and `rejects`. Whoever corrects the coloured cells sends the file back as it is. The
    same tables give the same bytes.
    """
    import xlsxwriter

    created, partial = datetime.combine(as_of, time.min), path.with_suffix(".partial")
    with xlsxwriter.Workbook(str(partial), {"strings_to_formulas": False, "strings_to_urls": False}) as book:
        book.set_properties({"title": f"Rows to correct {as_of}", "created": created})
        taken: set[str] = set()
        for (file, sheet, table), cells in clean.refused_cells.groupby(SHEET, sort=True):
            rejects = clean.rejects
            own = rejects[(rejects["source_file"] == file) & (rejects["source_sheet"] == sheet)]
            own = own.assign(source_entry=own["source_entry"].fillna(0))
            page = book.add_worksheet(_page_name(str(file), str(sheet), str(table), taken))
            _write_page(book, page, cells, own, f"{table} from {file}" + (f", sheet {sheet}" if sheet else ""))
        if not taken:
            book.add_worksheet("Nothing to correct").write(
                0, 0, "Every row could be read; nothing has to be corrected."
            )
    partial.replace(path)
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
    cells = cells.assign(line=cells["entry"] + _HEADER_ROW + 1, source_entry=cells["source_entry"].fillna(0))
    heads = cells.drop_duplicates("position").sort_values("position")
    places = dict(zip(heads["position"], range(len(EXPLAINING), len(EXPLAINING) + len(heads)), strict=True))
    more = " More rows of this sheet are refused; they follow when these are corrected." if count >= MOST_ROWS else ""
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
        elif kind == "number" and isfinite(float(value)):
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
        named = rejects.loc[rejects["severity"] == severity, [*_ROW, "column"]].drop_duplicates()
        marked = cells.merge(named, on=[*_ROW, "column"], validate="many_to_one")
        if severity == "error":
            marked = pd.concat([marked, cells[cells["source_row"].isin(broken) | cells["column"].isin(missing)]])
        for position, part in marked.groupby("position"):
            _write_cells(book, page, places[position], part, style)


def _write_messages(book: Any, page: Any, cells: pd.DataFrame, rejects: pd.DataFrame) -> None:
    """What is wrong with each row, by the header of the cell, and where the row was read."""
    heads = cells.drop_duplicates("column").set_index("column")["header"]
    own = rejects[rejects["source_row"].isin(cells["source_row"])].sort_values([*_ROW, "severity", "column"])
    names = own["column"].map(heads).fillna(own["column"]).astype("str")
    texts = names.where(names == "", names + ": ") + own["message"].map(lambda text: text.partition(": ")[2] or text)
    said = texts.groupby([own[name] for name in _ROW]).agg("\n".join)
    missing = list(rejects.loc[rejects["rule"] == "MISSING_COLUMN", "column"])
    everywhere = (
        f"Fill the missing {'columns' if len(missing) > 1 else 'column'} {', '.join(missing)}." if missing else ""
    )
    rows = cells.drop_duplicates("entry")
    file, sheet = rejects["source_file"].iloc[0], rejects["source_sheet"].iloc[0]
    source = f"{file}, {sheet}, row" if sheet else f"{file}, line"
    wrap = book.add_format({"text_wrap": True, "valign": "top"})
    named = cells[(cells["column"] == "line_id") & cells["value"].notna()]
    ids = dict(zip(named["line"], named["value"], strict=True))
    for line, row, entry in zip(rows["line"], *(rows[name] for name in _ROW), strict=True):
        text = "\n".join(filter(None, [everywhere, said.get((row, entry), "")]))
        page.set_row(line, 15 * sum(len(part) // _MESSAGE_WIDTH + 1 for part in text.split("\n")))
        page.write_string(line, 0, text, wrap)
        page.write_string(line, 1, f"{source} {row}" + (f", entry {ids.get(line, entry)} on it" if entry else ""), wrap)
