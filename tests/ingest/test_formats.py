"""Excel and OpenDocument files in every format give the same tables; what values do not show is seen all the same.

`files/older.xls` and `files/older.ods` were saved by LibreOffice from the workbook that `write_book` makes.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import openpyxl
import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_lib.core.errors import AtlasError
from atlas_lib.ingest.formulas import look_behind
from atlas_lib.ingest.older_formats import look_behind_ods, look_behind_xls
from atlas_lib.ingest.workbook import read_workbook

FILES = Path(__file__).parent / "files"
CASH = ["currency", "opening_balance", "minimum_balance"]


def write_book(path, **options):
    """Cash with an error value and a hidden row; rates with a date merged over two rows on a hidden sheet."""
    with xlsxwriter.Workbook(str(path), {"default_date_format": "dd.mm.yyyy", **options}) as book:
        book.set_properties({"created": dt.datetime(2026, 10, 30)})  # noqa: DTZ001
        page = book.add_worksheet("liquidity")
        for number, row in enumerate([CASH, ["EUR", 100.5, 10], ["USD", 50], ["GBP", 25, 5]], start=1):
            page.write_row(number, 1, row)
        page.write_formula("D4", "=1/0", None, "#DIV/0!")
        page.set_row(4, None, None, {"hidden": True})
        rates = book.add_worksheet("fx_rates")
        rates.write_row(0, 0, ["date", "currency", "rate"])
        rates.write_row(1, 0, [dt.date(2026, 10, 30), "USD", 1.085])
        rates.merge_range("A3:A4", "")
        rates.write_row(2, 0, [dt.date(2026, 10, 29), "USD", 1.09])
        rates.write_row(3, 1, ["JPY", 171.8])
        rates.hide()
    return path


@pytest.fixture(params=["xlsx", "xlsm", "xls", "ods"])
def book(request, tmp_path):
    if request.param in ("xls", "ods"):
        return FILES / f"older.{request.param}"
    return write_book(tmp_path / f"older.{request.param}")


def test_every_format_gives_the_same_rows(book, clean):
    tables = clean(book, max_reject_rate=1.0)
    assert tables["liquidity"][["currency", "opening_balance_minor"]].to_numpy().tolist() == [
        ["EUR", 10050],
        ["GBP", 2500],
    ]
    rates = tables["fx_rates"].assign(date=lambda f: f["date"].dt.strftime("%d.%m."))
    shown = rates[["date", "currency", "rate"]].to_numpy().tolist()
    assert shown == [["29.10.", "JPY", 171.8], ["29.10.", "USD", 1.09], ["30.10.", "USD", 1.085]]
    assert tables["input_sheets"]["area"].tolist() == ["A1:C4", "B2:D5"]


def test_every_format_shows_error_values_hidden_parts_and_merged_cells(book, clean):
    rejects = clean(book, max_reject_rate=1.0)["rejects"]
    said = sorted(zip(rejects["rule"], rejects["source_row"], rejects["value"], strict=True))
    assert said[0] == ("FORMULA_WITHOUT_VALUE", 4, "#DIV/0!")
    assert [rule for rule, _, _ in said[1:]] == ["HIDDEN_ROWS", "HIDDEN_SHEET", "MERGED_CELLS"]


def test_the_three_ways_of_looking_behind_agree(tmp_path):
    found = [
        look_behind(write_book(tmp_path / "b.xlsx")),
        look_behind_xls(FILES / "older.xls"),
        look_behind_ods(FILES / "older.ods"),
    ]
    assert [{n: (s.gaps, s.hidden_rows) for n, s in f.items()} for f in found] == [
        {"liquidity": ({"D4": "#DIV/0!"}, 1), "fx_rates": ({}, 0)}
    ] * 3


def test_dates_counted_from_1904_are_the_same_days(tmp_path, clean):
    tables = clean(write_book(tmp_path / "b.xlsx", date_1904=True), max_reject_rate=1.0)
    assert tables["fx_rates"]["date"].max() == dt.datetime(2026, 10, 30)  # noqa: DTZ001


def test_a_sheet_protected_against_changes_is_read(tmp_path, clean):
    path = write_book(tmp_path / "b.xlsx")
    workbook = openpyxl.load_workbook(path)
    workbook["liquidity"].protection.set_password("x")
    workbook.save(path)
    assert len(clean(path, max_reject_rate=1.0)["liquidity"]) == 2


def test_a_very_hidden_sheet_and_hidden_columns_are_read_and_said(tmp_path, clean):
    path = write_book(tmp_path / "b.xlsx")
    workbook = openpyxl.load_workbook(path)
    workbook["fx_rates"].sheet_state = "veryHidden"
    workbook["liquidity"].column_dimensions["D"].hidden = True
    workbook.save(path)
    tables = clean(path, max_reject_rate=1.0)
    assert len(tables["fx_rates"]) == 3
    assert {"HIDDEN_SHEET", "HIDDEN_COLUMNS"} <= set(tables["rejects"]["rule"])


def test_a_formula_of_an_opendocument_sheet_without_a_result_is_found(tmp_path):
    import zipfile

    with zipfile.ZipFile(FILES / "older.ods") as made, zipfile.ZipFile(tmp_path / "b.ods", "w") as changed:
        for part in made.namelist():
            content = made.read(part)
            if part == "content.xml":
                start = content.index(b'office:value-type="float" office:value="100.5"')
                stop = content.index(b"</table:table-cell>", start)
                content = content[:start] + b'table:formula="of:=[.C5]*4">' + content[stop:]
            changed.writestr(part, content)
    assert look_behind_ods(tmp_path / "b.ods")["liquidity"].gaps == {"C3": "=[.C5]*4", "D4": "#DIV/0!"}


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=6).map(
    lambda t: f"x{t}x"
)
VALUE = st.one_of(
    st.none(),
    TEXT,
    st.floats(-1e9, 1e9, allow_nan=False).map(lambda v: round(v, 3)),
    st.booleans(),
    st.dates(dt.date(1990, 1, 1), dt.date(2100, 1, 1)),
)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(VALUE, VALUE), min_size=1, max_size=8), st.integers(0, 5), st.integers(0, 3))
def test_a_random_sheet_is_read_back_as_written(tmp_path_factory, values, top, left):
    path = tmp_path_factory.mktemp("excel") / "b.xlsx"
    with xlsxwriter.Workbook(
        str(path), {"default_date_format": "dd.mm.yyyy", "strings_to_formulas": False, "strings_to_urls": False}
    ) as book:
        page = book.add_worksheet("liquidity")
        page.write_row(top, left, CASH)
        for number, row in enumerate(values, start=top + 1):
            page.write_row(number, left, ["EUR" if number % 2 else "USD", 7, *row[:1]])
            page.write_row(number, left + 3, row[1:])
    (sheet,) = read_workbook(path, "b.xlsx")
    read = [
        (None if a != a else a, None if b != b else b)
        for a, b in zip(column(sheet, left + 2), column(sheet, left + 3, len(values)), strict=True)
    ]
    assert read == [(plain(a), plain(b)) for a, b in values]


def column(sheet, position, size=0):
    if position not in sheet.frame:
        return [None] * size
    return [plain(v) for v in sheet.frame[position].astype(object)]


def plain(value):
    if isinstance(value, dt.datetime):
        return value.date()
    return float(value) if type(value) is int else value


@settings(max_examples=20, deadline=None)
@given(st.data(), st.sampled_from(["xlsx", "xls", "ods"]))
def test_a_damaged_workbook_gives_rows_or_a_clear_error(tmp_path_factory, data, kind):
    folder = tmp_path_factory.mktemp("damaged")
    source = write_book(folder / "whole.xlsx") if kind == "xlsx" else FILES / f"older.{kind}"
    content = bytearray(source.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = folder / f"damaged.{kind}"
    path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    try:
        list(read_workbook(path, path.name))
    except AtlasError as error:
        assert path.name in str(error)
