"""Formulas without a stored result, read from the sheet's XML."""

from __future__ import annotations

import zipfile

import openpyxl
import pytest
import xlsxwriter

from atlas_lib.ingest.formulas import look_behind
from atlas_lib.ingest.places import cell_position


def find_uncalculated(path):
    return {name: sheet.gaps for name, sheet in look_behind(path).items() if sheet.gaps}


@pytest.mark.parametrize(("place", "position"), [("A1", (0, 0)), ("P2", (1, 15)), ("AA10", (9, 26))])
def test_a_cell_name_is_a_row_and_a_column(place, position):
    assert cell_position(place) == position


def test_only_formulas_without_a_result_and_errors_are_found(tmp_path):
    with xlsxwriter.Workbook(str(tmp_path / "b.xlsx")) as book:
        page = book.add_worksheet("First")
        page.write_formula("A1", "=1+1", None, 2)
        page.write_formula("A3", "=1/0", None, "#DIV/0!")
        page.write("A4", "plain")
        book.add_worksheet("Second").write_formula("B1", "=NA()", None, "#N/A")
    assert find_uncalculated(tmp_path / "b.xlsx") == {"First": {"A3": "#DIV/0!"}, "Second": {"B1": "#N/A"}}


def test_a_formula_whose_result_is_an_empty_text_is_an_empty_cell(tmp_path):
    with xlsxwriter.Workbook(str(tmp_path / "b.xlsx")) as book:
        book.add_worksheet().write_formula("A2", '=IF(TRUE,"","x")', None, "")
    assert find_uncalculated(tmp_path / "b.xlsx") == {"Sheet1": {"A2": '=IF(TRUE,"","x")'}}
    with zipfile.ZipFile(tmp_path / "b.xlsx") as made, zipfile.ZipFile(tmp_path / "c.xlsx", "w") as as_excel_does:
        for part in made.namelist():
            as_excel_does.writestr(part, made.read(part).replace(b'<c r="A2">', b'<c r="A2" t="str">'))
    assert find_uncalculated(tmp_path / "c.xlsx") == {}


def test_a_workbook_written_without_calculating_has_no_results(tmp_path):
    book = openpyxl.Workbook()
    book.active["C7"] = '=A1&"<"'
    book.save(tmp_path / "b.xlsx")
    assert find_uncalculated(tmp_path / "b.xlsx") == {"Sheet": {"C7": '=A1&"<"'}}
