"""A stray cell far from the table is refused by name before anything is set aside for the cells between."""

from __future__ import annotations

import zipfile

import openpyxl
import pytest
from openpyxl.styles import Font

from atlas_lib.core.errors import InputError
from atlas_lib.ingest import read_inputs
from atlas_lib.ingest.far_cells import far_edges


def with_cell(path, place, value):
    book = openpyxl.load_workbook(path, data_only=True)
    book.active[place] = value
    book.active[place].font = Font(bold=True)
    book.save(path)
    return path


def rewritten(path, old, new):
    """The workbook with other bytes in its sheets."""
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        for name, content in parts.items():
            book.writestr(name, content.replace(old, new) if "worksheets/sheet" in name else content)
    return path


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("XFD1048576", r"cell XFD1048576\..*1,048,576 rows of 16,384 columns"),
        ("R900000", ""),
        ("DX400000", r"cell DX400000\..*400,000 rows of 128 columns"),
    ],
)
def test_a_stray_cell_is_refused_by_name_before_it_is_read(workbook, contract, place, found):
    path = with_cell(workbook([contract("V-1")]), place, "x")
    if found:
        with pytest.raises(InputError, match=rf"reaches too far.*sheet Sheet1, {found}.*delete the stray cell"):
            read_inputs(path)
    else:
        with zipfile.ZipFile(path) as book:
            assert far_edges(book.read("xl/worksheets/sheet1.xml"), is_prefixed=False) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'<c r="XFD1048576"', b'<c  r="&#88;FD1048576"'),
        (b'<c r="XFD1048576"', b"<c r='xfd1048576'"),
        (b'<row r="1048576"><c r="XFD1048576"', b'<row r="1048576"><c r="XFC1048576"><v>1</v></c><c'),
    ],
)
def test_no_other_spelling_of_its_place_hides_it(workbook, contract, old, new):
    path = rewritten(with_cell(workbook([contract("V-1")]), "XFD1048576", "x"), old, new)
    with pytest.raises(InputError, match=r"reaches too far.*cell XFD1048576"):
        read_inputs(path)


def test_the_lowest_and_the_rightmost_cell_are_named_when_they_are_two(workbook, contract):
    path = with_cell(with_cell(workbook([contract("V-1")]), "XFD1", "x"), "B1048576", 5)
    with pytest.raises(InputError, match=r"cell B1048576 and cell XFD1\."):
        read_inputs(path)


def test_a_far_cell_that_is_only_formatted_is_no_cell(workbook, contract, clean):
    path = with_cell(workbook([contract("V-1", Sicherheitseinbehalt=237.44)]), "XFD1048576", None)
    assert clean(path)["contracts"]["contract_id"].tolist() == ["V-1"]


def test_the_other_files_are_not_held_back_by_silence(workbook, contract, tmp_path):
    with_cell(workbook([contract("V-1")]), "XFD1048576", "x").rename(tmp_path / "far.xlsx")
    (tmp_path / "cut.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match=r"2 files cannot be read.*cut\.xlsx.*far\.xlsx"):
        read_inputs(tmp_path)


def test_a_binary_workbook_whose_reach_is_not_known_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "book.xlsb", "w") as book:
        book.writestr("[Content_Types].xml", "<Types/>")
        book.writestr("xl/workbook.bin", b"")
    with pytest.raises(InputError, match=r"binary workbook.*book\.xlsb.*save it again as \.xlsx"):
        read_inputs(tmp_path)
