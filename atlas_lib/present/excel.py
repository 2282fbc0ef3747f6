"""Finished tables as an Excel workbook that a controller can work with.

Amounts are cells in units with the decimals of their currency, dates are dates, rates are percent,
totals are SUM formulas that also carry their value (so that readers without recalculation see it).
Text is always text: a cell that begins with `=`, `+`, `-` or `@` is never a formula. The same tables
give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from atlas_lib.core.errors import AtlasError
from atlas_lib.core.money import exponent
from atlas_lib.core.tables import declared
from atlas_lib.present import theme
from atlas_lib.present.tables import label_of

_MADE = datetime(2000, 1, 1, tzinfo=UTC).replace(tzinfo=None)
_FIRST_DAY = pd.Timestamp("1900-03-01")  # Excel counts days rightly only from here on; before, a day is text
_MAX_ROWS, _MAX_TEXT, _MAX_NAME = 1_048_576, 32_767, 31
_NARROW, _WIDE = 9, 46
_COVER_WIDTH, _COVER_LINE, _LINE_HEIGHT = 90, 92, 15  # a line holds somewhat fewer letters than the column is wide
_ROW_NUMBERS = ("_id", "_row", "period", "year", "sequence", "rank")
_RIGHT = ("_minor", "_rate", "_ratio", "_count", "_bps", "_points", "_days", "_units")


@dataclass(frozen=True)
class Sheet:
    """One sheet: a finished table, what to add up below it, and a line about it for the cover.

    `totals` names the columns that are added up per currency; `ratios` maps a rate column to the two
    total columns whose quotient it is.
    """

    name: str
    table: pd.DataFrame
    about: str = ""
    columns: Sequence[str] = ()
    totals: Sequence[str] = ()
    ratios: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def shown(self) -> list[str]:
        return list(self.columns or self.table.columns)


Layout: TypeAlias = Mapping[str, tuple[str, Mapping[str, tuple[str, str]]]]


def list_sheets(tables: Mapping[str, pd.DataFrame], layout: Layout) -> list[Sheet]:
    """The declared tables of `layout` in its order, named and described as declared.

    `layout` maps a table's name to the columns that are added up (names with spaces between) and its ratios.
    """
    return [
        Sheet(label_of(name), tables[name], declared(name).about, totals=totals.split(), ratios=ratios)
        for name, (totals, ratios) in layout.items()
    ]


def write_workbook(path: Path, sheets: Sequence[Sheet], cover: Mapping[str, str]) -> Path:
    """Write a cover (`title` and further label-value lines) and the sheets; half a file never stands.

    A table with more rows than a sheet can hold is named there with its row count instead. Raises
    AtlasError when two sheets share a name, or a name is not one for Excel.
    """
    import xlsxwriter

    _check_names(sheets)
    partial = path.with_suffix(".partial")
    options = {
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
        "remove_timezone": True,
    }
    book = xlsxwriter.Workbook(str(partial), options)
    book.set_properties({"title": cover.get("title", ""), "created": _MADE})
    formats = _Formats(book)
    _write_cover(book.add_worksheet("Cover"), sheets, cover, formats)
    for sheet in sheets:
        _write_sheet(book.add_worksheet(sheet.name), sheet, formats)
    book.close()
    partial.replace(path)
    return path


class _Formats:
    """Cell formats by number format, made once per workbook (Excel limits their number)."""

    def __init__(self, book: Any) -> None:
        self._book, self._made = book, {}  # type: Any, dict[tuple[Any, ...], Any]

    def get(self, number: str = "", **style: Any) -> Any:
        key = (number, *sorted(style.items()))
        if key not in self._made:
            self._made[key] = self._book.add_format(({"num_format": number} if number else {}) | style)
        return self._made[key]

    def header(self, *, is_right: bool) -> Any:
        return self.get(
            bold=True, font_color=theme.PAPER, bg_color=theme.PRIMARY, text_wrap=True, valign="vcenter",
            align="right" if is_right else "left", indent=0 if is_right else 1,
        )  # fmt: skip

    def text(self, number: str = "") -> Any:
        """Text and dates: left, and a little away from the figure in the column before."""
        return self.get(number, align="left", indent=1)

    def total(self, number: str = "") -> Any:
        return self.get(number, bold=True, top=1)


def _check_names(sheets: Sequence[Sheet]) -> None:
    names = [s.name for s in sheets]
    for name in names:
        if not 0 < len(name) <= _MAX_NAME or set(name) & set("[]:*?/\\'") or name.lower() == "cover":
            raise AtlasError("Not a name for an Excel sheet", expected=f"1-{_MAX_NAME} plain characters", found=name)
    if len({n.lower() for n in names}) < len(names):
        raise AtlasError("Two sheets have the same name", found=", ".join(names))


def _write_cover(page: Any, sheets: Sequence[Sheet], cover: Mapping[str, str], formats: _Formats) -> None:
    page.hide_gridlines(2)
    page.set_column(0, 0, 24)
    page.set_column(1, 1, _COVER_WIDTH)
    page.write_string(
        0, 0, cover.get("title", "Atlas Settlement"), formats.get(bold=True, font_size=18, font_color=theme.PRIMARY)
    )
    facts = [(k, v) for k, v in cover.items() if k != "title"]
    for row, (label, value) in enumerate(facts, 2):
        page.write_string(row, 0, label, formats.get(font_color=theme.MUTED, valign="top"))
        _write_wrapped(page, row, value, formats)
    first = len(facts) + 3
    page.write_string(first, 0, "Sheet", formats.header(is_right=False))
    page.write_string(first, 1, "What it shows", formats.header(is_right=False))
    for row, sheet in enumerate(sheets, first + 1):
        link = formats.get(font_color=theme.PRIMARY, underline=1, valign="top")
        page.write_url(row, 0, f"internal:'{sheet.name}'!A1", link, sheet.name)
        count = len(sheet.table)
        _write_wrapped(page, row, f"{sheet.about} ({count:,} row{'' if count == 1 else 's'})".strip(), formats)
    _set_up_print(page)
    page.fit_to_pages(1, 1)


def _write_wrapped(page: Any, row: int, text: str, formats: _Formats) -> None:
    """A text of the cover; a row as high as its lines need, because not every reader of Excel files fits it by itself."""
    page.write_string(row, 1, text, formats.get(text_wrap=True, valign="top"))
    lines = sum(max(1, math.ceil(len(part) / _COVER_LINE)) for part in text.split("\n"))
    if lines > 1:
        page.set_row(row, _LINE_HEIGHT * lines)


def _write_sheet(page: Any, sheet: Sheet, formats: _Formats) -> None:
    names, rows = sheet.shown, len(sheet.table)
    codes = _currencies(sheet.table)
    totals = sorted(set(codes)) if sheet.totals and rows else []
    if rows + 1 + len(totals) > _MAX_ROWS:
        page.write_string(
            0, 0, f"{rows:,} rows are more than a sheet holds; the whole table is in the run's tables folder."
        )
        return
    for column, name in enumerate(names):
        page.write_string(0, column, _heading(name, codes), formats.header(is_right=name.endswith(_RIGHT)))
        width = _write_column(page, column, sheet.table[name], codes, formats)
        page.set_column(column, column, width)
    for offset, code in enumerate(totals):
        _write_total(page, 1 + rows + offset, sheet, codes, code, formats)
    page.freeze_panes(1, min(2, len(names) - 1))
    page.set_row(0, 32)
    if rows and names:
        page.autofilter(0, 0, rows, len(names) - 1)
        page.repeat_rows(0)
    _set_up_print(page)


def _write_column(page: Any, column: int, values: pd.Series, codes: list[str], formats: _Formats) -> float:
    """One column of cells; returns the width it needs."""
    name, width = str(values.name), _heading_width(_heading(str(values.name), codes))
    for row, (value, code) in enumerate(zip(values.tolist(), codes, strict=True), 1):
        number = _number_format(name, value, code)
        if value is None or pd.isna(value):
            page.write_blank(row, column, None, formats.get(number))
        elif isinstance(value, pd.Timestamp) and value.tz_localize(None) < _FIRST_DAY:
            page.write_string(row, column, f"{value:%Y-%m-%d}", formats.text())
        elif isinstance(value, pd.Timestamp):
            page.write_datetime(row, column, value.tz_localize(None).to_pydatetime(), formats.text(number))
            width = max(width, len(number))
        elif isinstance(value, (bool, str)):
            text = value if isinstance(value, str) else ("yes" if value else "no")
            page.write_string(row, column, text[:_MAX_TEXT], formats.text())
            width = max(width, len(text))
        else:
            page.write_number(row, column, _in_units(name, value, code), formats.get(number))
            width = max(width, len(f"{_in_units(name, value, code):,.2f}"))
    return float(min(max(width + 2, _NARROW), _WIDE))


def _write_total(page: Any, row: int, sheet: Sheet, codes: list[str], code: str, formats: _Formats) -> None:
    """A bold row of sums of one currency: SUM where the sheet has one currency, else SUMIF on its column."""
    from xlsxwriter.utility import xl_rowcol_to_cell

    names, last = sheet.shown, len(sheet.table)
    here = pd.Series([c == code for c in codes], index=sheet.table.index)
    sums = {c: _in_units(c, int(sheet.table.loc[here, c].sum()), code) for c in sheet.totals}
    cell = {c: xl_rowcol_to_cell(row, names.index(c)) for c in names}
    for column, name in enumerate(names):
        number = _number_format(name, 0.0 if name in sheet.ratios else 0, code)
        style = formats.total(number)
        if name in sums:
            area = f"{xl_rowcol_to_cell(1, column)}:{xl_rowcol_to_cell(last, column)}"
            page.write_formula(row, column, _sum_formula(area, names, last, codes, code), style, sums[name])
        elif name in sheet.ratios:
            top, bottom = sheet.ratios[name]
            value = sums[top] / sums[bottom] if sums[bottom] else ""
            page.write_formula(row, column, f'=IF({cell[bottom]}=0,"",{cell[top]}/{cell[bottom]})', style, value)
        else:
            page.write_string(
                row, column, {0: "Total"}.get(column, code if name == "currency" else ""), formats.total()
            )


def _sum_formula(area: str, names: list[str], last: int, codes: list[str], code: str) -> str:
    from xlsxwriter.utility import xl_rowcol_to_cell

    if len(set(codes)) == 1 or "currency" not in names:
        return f"=SUM({area})"
    column = names.index("currency")
    keys = f"{xl_rowcol_to_cell(1, column, True, True)}:{xl_rowcol_to_cell(last, column, True, True)}"
    return f'=SUMIF({keys},"{code}",{area})'


def _set_up_print(page: Any) -> None:
    page.set_landscape()
    page.set_paper(9)
    page.fit_to_pages(1, 0)
    page.set_margins(left=0.5, right=0.5, top=0.6, bottom=0.7)
    page.set_footer("&L&A&RPage &P of &N")


def _currencies(table: pd.DataFrame) -> list[str]:
    """The currency of every row; empty text where the table has none."""
    return [str(c) for c in table["currency"]] if "currency" in table else [""] * len(table)


def _heading(name: str, codes: list[str]) -> str:
    """The label, with the currency where the whole column has one."""
    one = set(codes)
    return (
        f"{label_of(name)} ({next(iter(one))})"
        if name.endswith("_minor") and len(one) == 1 and "" not in one
        else label_of(name)
    )


def _heading_width(heading: str) -> float:
    """In bold, over two lines, and no word is broken."""
    return max(len(heading) * 0.6, max((len(word) for word in heading.split()), default=0) * 1.15)


def _in_units(name: str, value: float, code: str) -> float:
    return value / 10 ** exponent(code) if name.endswith("_minor") else value


def _number_format(name: str, value: Any, code: str) -> str:
    if name.endswith("_minor"):
        digits = exponent(code)
        return (
            "#,##0" + ("." + "0" * digits if digits else "") + ";[Red]-#,##0" + ("." + "0" * digits if digits else "")
        )
    if name.endswith(("_rate", "_ratio")):
        return "0.00%"
    if isinstance(value, pd.Timestamp):
        return "yyyy-mm-dd hh:mm" if name.endswith("_at") else "yyyy-mm-dd"
    if name.endswith(_ROW_NUMBERS):
        return "0"
    return "#,##0.00" if isinstance(value, float) else "#,##0"
