from __future__ import annotations

from datetime import date
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import openpyxl
import pandas as pd
import pytest
from python_calamine import CalamineWorkbook

from atlas_lib.core.errors import AtlasError
from atlas_lib.core.tables import declared
from atlas_lib.present.excel import Sheet, list_sheets, write_workbook

_COVER = {"title": "Payouts", "As of": "2023-11-30", "Run": "r-1", "Units": "amounts in units of their currency"}
_TABLE = pd.DataFrame(
    {
        "merchant_id": ["310100", "250460", "241730"],
        "merchant_name": ["=cmd|'/c calc'!A1", "+49 30", "@SUM(A1)"],
        "currency": ["EUR", "EUR", "EUR"],
        "receivables_minor": [3_360_00, 10, -5],
        "client_rr_minor": [237_44, 1, 0],
        "rolling_reserve_rate": [0.0706667, 0.1, None],
        "start_date": pd.to_datetime(["2023-11-15", "2023-10-01", None]).astype("datetime64[us]"),
        "booked_at": pd.to_datetime(["2023-11-15T10:30", None, None], utc=True),
        "is_blocked": [True, False, False],
        "contract_count": [1, 2, 3],
    }
)
_SHEET = Sheet(
    "Summary",
    _TABLE,
    about="One row per merchant",
    totals=("receivables_minor", "client_rr_minor", "contract_count"),
    ratios={"rolling_reserve_rate": ("client_rr_minor", "receivables_minor")},
)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    return write_workbook(tmp_path / "book.xlsx", [_SHEET], _COVER)


def test_amounts_are_numbers_in_units_and_dates_are_dates(book: Path) -> None:
    page = openpyxl.load_workbook(book)["Summary"]
    assert [c.value for c in page[2]] == [
        "310100", "=cmd|'/c calc'!A1", "EUR", 3360, 237.44, 0.0706667, pd.Timestamp("2023-11-15"), pd.Timestamp("2023-11-15T10:30"), "yes", 1,
    ]  # fmt: skip
    assert page["D2"].number_format.startswith("#,##0.00")
    assert page["F2"].number_format == "0.00%"
    assert page["G2"].number_format == "yyyy-mm-dd"
    assert page["G4"].value is None


def test_text_that_looks_like_a_formula_stays_text(book: Path) -> None:
    page = openpyxl.load_workbook(book)["Summary"]
    assert [page.cell(r, 2).data_type for r in (2, 3, 4)] == ["s", "s", "s"]
    assert [page.cell(r, 2).value for r in (3, 4)] == ["+49 30", "@SUM(A1)"]


def test_the_totals_row_is_formulas_that_carry_their_value(book: Path) -> None:
    formulas, values = (openpyxl.load_workbook(book, data_only=d)["Summary"] for d in (False, True))
    assert [formulas["A5"].value, formulas["D5"].value, formulas["J5"].value] == ["Total", "=SUM(D2:D4)", "=SUM(J2:J4)"]
    assert formulas["F5"].value == '=IF(D5=0,"",E5/D5)'
    assert (values["D5"].value, values["E5"].value, values["J5"].value) == (3360.05, 237.45, 6)
    assert round(values["F5"].value, 6) == 0.070669
    assert formulas["D5"].font.bold


def test_another_reader_sees_the_same_values(book: Path) -> None:
    rows = CalamineWorkbook.from_path(str(book)).get_sheet_by_name("Summary").to_python()
    assert rows[0][:4] == ["Merchant ID", "Merchant name", "Currency", "Receivables (EUR)"]
    assert rows[1][3] == 3360.0
    assert rows[1][6] == date(2023, 11, 15)
    assert rows[4][3] == 3360.05


def test_each_currency_has_its_own_total_and_its_own_decimals(tmp_path: Path) -> None:
    table = pd.DataFrame({"currency": ["EUR", "JPY", "BHD", "JPY"], "amount_minor": [150, 150, 1_500, 1]})
    path = write_workbook(tmp_path / "b.xlsx", [Sheet("Mixed", table, totals=("amount_minor",))], _COVER)
    page, values = (openpyxl.load_workbook(path, data_only=d)["Mixed"] for d in (False, True))
    assert [values.cell(r, 2).value for r in range(2, 9)] == [1.5, 150, 1.5, 1, 1.5, 1.5, 151]
    assert [page.cell(r, 2).number_format.split(";")[0] for r in (2, 3, 4)] == ["#,##0.00", "#,##0", "#,##0.000"]
    assert page["B8"].value == '=SUMIF($A$2:$A$5,"JPY",B2:B5)'
    assert page["B1"].value == "Amount"


def test_header_is_frozen_filtered_and_repeated_on_a_landscape_page(book: Path) -> None:
    page = openpyxl.load_workbook(book)["Summary"]
    assert page.freeze_panes == "C2"
    assert page.auto_filter.ref == "A1:J4"
    assert page.print_title_rows == "$1:$1"
    assert (page.page_setup.orientation, page.page_setup.fitToHeight, page.sheet_properties.pageSetUpPr.fitToPage) == (
        "landscape",
        0,
        True,
    )


def test_the_cover_says_what_when_and_in_which_units(book: Path) -> None:
    rows = CalamineWorkbook.from_path(str(book)).get_sheet_by_name("Cover").to_python()
    text = [c for row in rows for c in row if c]
    assert text[:3] == ["Payouts", "As of", "2023-11-30"]
    assert "One row per merchant (3 rows)" in text


def test_a_long_text_on_the_cover_is_wrapped_and_its_row_is_high_enough(tmp_path: Path) -> None:
    about = "What must hold between contracts, summary and ledger. " * 5
    path = write_workbook(tmp_path / "b.xlsx", [Sheet("Long", _TABLE, about), _SHEET], _COVER)
    page = openpyxl.load_workbook(path)["Cover"]
    (long,) = (row for row in range(1, page.max_row + 1) if page.cell(row, 1).value == "Long")
    width, height = page.column_dimensions["B"].width, page.row_dimensions[long].height
    assert page.cell(long, 2).alignment.wrap_text
    assert height >= 15 * len(about) / width
    assert page.row_dimensions[long + 1].height in (None, 15)


def test_the_same_tables_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write_workbook(tmp_path / n, [_SHEET], _COVER).read_bytes() for n in ("a.xlsx", "b.xlsx"))
    assert first == second
    with ZipFile(tmp_path / "a.xlsx") as archive:
        assert "2000-01-01T00:00:00Z" in archive.read("docProps/core.xml").decode()


def test_an_empty_table_is_a_sheet_with_its_header(tmp_path: Path) -> None:
    path = write_workbook(tmp_path / "b.xlsx", [Sheet("None", _TABLE.iloc[:0], totals=("client_rr_minor",))], _COVER)
    assert CalamineWorkbook.from_path(str(path)).get_sheet_by_name("None").to_python()[0][0] == "Merchant ID"


@pytest.mark.parametrize("name", ["", "a/b", "x" * 32, "Cover"])
def test_a_name_that_excel_refuses_is_refused_before_writing(tmp_path: Path, name: str) -> None:
    with pytest.raises(AtlasError, match="Excel sheet"):
        write_workbook(tmp_path / "b.xlsx", [Sheet(name, _TABLE)], _COVER)
    assert not list(tmp_path.iterdir())


def test_two_sheets_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AtlasError, match="same name"):
        write_workbook(tmp_path / "b.xlsx", [Sheet("A", _TABLE), Sheet("a", _TABLE)], _COVER)


def test_declared_tables_bring_their_name_and_description() -> None:
    table = declared("payouts").empty()
    (sheet,) = list_sheets({"payouts": table}, {"payouts": ("amount_minor", {})})
    assert (sheet.name, sheet.about, sheet.totals) == ("Payouts", declared("payouts").about, ["amount_minor"])


def test_a_table_longer_than_a_sheet_is_named_and_not_cut(tmp_path: Path) -> None:
    table = pd.DataFrame({"line_count": np.arange(1_048_576)})
    path = write_workbook(tmp_path / "b.xlsx", [Sheet("Long", table)], _COVER)
    rows = CalamineWorkbook.from_path(str(path)).get_sheet_by_name("Long").to_python()
    assert rows == [["1,048,576 rows are more than a sheet holds; the whole table is in the run's tables folder."]]


def test_a_day_that_excel_cannot_count_is_text(tmp_path: Path) -> None:
    """Excel takes 1900 for a leap year and would show 1900-01-01, which stands for `since ever`, as 1900-01-00."""
    table = pd.DataFrame({"applies_from": pd.to_datetime(["1900-01-01", "2026-11-02"]).astype("datetime64[us]")})
    page = openpyxl.load_workbook(write_workbook(tmp_path / "book.xlsx", [Sheet("Policies", table)], _COVER))[
        "Policies"
    ]
    assert [page["A2"].value, page["A3"].value] == ["1900-01-01", pd.Timestamp("2026-11-02")]
