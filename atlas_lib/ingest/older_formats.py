"""What a reader of cell values does not see in .ods and .xls files.

OpenDocument 1.3, part 3, section 19: a cell with `table:formula` and neither a value nor a text was never calculated;
a text such as #DIV/0! or Err:502 under a formula is an error. In .xls (MS-XLS, FORMULA and BOOLERR records) a formula
always has a stored result; errors are seen through xlrd.
"""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

from atlas_lib.ingest.formulas import Unseen, xml_parser
from atlas_lib.ingest.places import column_letter

_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_VALUES = ("value", "date-value", "time-value", "boolean-value")
_ERROR_TEXT = re.compile(r"#[A-Z/0!?]{2,}|Err:\d+")
_MOST_REPEATS = 16384  # an empty row or column repeated to the edge of the sheet
_HIDDEN = ("collapse", "filter")


def look_behind_ods(path: Path) -> dict[str, Unseen]:
    """Per sheet name, from content.xml."""
    from lxml import etree

    with zipfile.ZipFile(path) as archive:
        content = archive.read("content.xml")
    root = etree.fromstring(content, etree.XMLParser(**xml_parser(huge_tree=True)))
    return {str(table.get(_TABLE + "name")): _ods_sheet(table) for table in root.iter(_TABLE + "table")}


def _ods_sheet(table: Any) -> Unseen:
    gaps: dict[str, str] = {}
    merged, hidden, row = [], 0, 0
    for line in table.iter(_TABLE + "table-row"):
        repeats = _repeats(line, "rows")
        hidden += repeats if line.get(_TABLE + "visibility") in _HIDDEN and repeats < _MOST_REPEATS else 0
        column = 0
        for cell in line:
            down, across = (int(cell.get(f"{_TABLE}number-{k}-spanned", 1)) for k in ("rows", "columns"))
            if down > 1 or across > 1:
                merged.append(((row, column), (row + down - 1, column + across - 1)))
            text = _ods_gap(cell)
            if text:
                gaps[f"{column_letter(column)}{row + 1}"] = text
            column += _repeats(cell, "columns")
        row += repeats
    columns = sum(
        _repeats(c, "columns") for c in table.iter(_TABLE + "table-column") if c.get(_TABLE + "visibility") in _HIDDEN
    )
    return Unseen(gaps, hidden, columns if columns < _MOST_REPEATS else 0, tuple(merged))


def _repeats(element: Any, kind: str) -> int:
    return int(element.get(f"{_TABLE}number-{kind}-repeated", 1))


def _ods_gap(cell: Any) -> str:
    """The formula of a cell without a result, or the error it shows; else empty."""
    formula = cell.get(_TABLE + "formula")
    if formula is None:
        return ""
    shown = "".join(cell.itertext()).strip()
    if _ERROR_TEXT.fullmatch(shown):
        return shown
    is_given = (
        any(cell.get(_OFFICE + name) is not None for name in _VALUES) or cell.get(_OFFICE + "value-type") == "string"
    )
    return "" if is_given or shown else "=" + formula.partition("=")[2]


def look_behind_xls(path: Path) -> dict[str, Unseen]:
    """Per sheet name, through xlrd."""
    import xlrd

    with xlrd.open_workbook(str(path), formatting_info=True, logfile=io.StringIO()) as book:
        return {sheet.name: _xls_sheet(sheet, xlrd) for sheet in book.sheets()}


def _xls_sheet(sheet: Any, xlrd: Any) -> Unseen:
    gaps: dict[str, str] = {}
    for row in range(sheet.nrows):
        kinds = sheet.row_types(row)
        if xlrd.XL_CELL_ERROR in kinds:
            places = [c for c, kind in enumerate(kinds) if kind == xlrd.XL_CELL_ERROR]
            gaps |= {f"{column_letter(c)}{row + 1}": _error_text(sheet.cell_value(row, c), xlrd) for c in places}
    rows = sum(bool(info.hidden) for info in sheet.rowinfo_map.values())
    return Unseen(gaps, rows, sum(bool(info.hidden) for info in sheet.colinfo_map.values()))


def _error_text(code: int, xlrd: Any) -> str:
    return str(xlrd.error_text_from_code.get(code, "an error value"))
