"""A workbook of the user's shape, made here: German headers, formulas with stored results, an unnamed column."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import xlsxwriter

from atlas_lib.core.settings import IngestSettings
from atlas_lib.ingest import clean_inputs, read_inputs

HEADERS = "Vertragsnummer Vertrieb_ID Vertrieb_Name Beginn Tilgdauer Prämie Barzahlungspreis Check_BWS BWS Kaufpreissatz max_Kaufpreissatz Sicherheitensatz Kundenzahlung_Brutto Kaufpreis Marge_CY Sicherheitseinbehalt Broker_Payout".split()
FIRST = [
    "V-1",
    310100,
    "ABC",
    date(2023, 11, 15),
    60,
    56,
    3360,
    0,
    44800,
    0.053,
    0.075,
    0.1,
    0,
    2374.4,
    985.6,
    237.44,
    2136.96,
]
SECOND = ["V-2", 204000, "YVW", date(2023, 11, 1), 60, 38, 2280, 0, 24000, 0.0715, 0.095, 0, 38, 1716, 564, 0, 1716]


@pytest.fixture
def settings() -> IngestSettings:
    return IngestSettings(as_of=date(2023, 11, 30))


def _contract(number: str = "V-9", **changes: Any) -> list[Any]:
    """A valid row under another contract number, with cells replaced by their German header."""
    row = list(FIRST)
    row[0] = number
    for header, value in changes.items():
        row[HEADERS.index(header)] = value
    return row


def _write_workbook(
    path: Path, rows: list[list[Any]], *, headers: list[str] | None = None, start: int = 0, sheet: str = "Sheet1"
) -> Path:
    """The header in row `start`, the rows below; reserve and payout as formulas with their stored result."""
    with xlsxwriter.Workbook(str(path), {"default_date_format": "dd.mm.yyyy"}) as book:
        page = book.add_worksheet(sheet)
        page.write_row(start, 0, headers or HEADERS)
        for number, row in enumerate(rows, start=start + 1):
            page.write_row(number, 0, row)
            if len(row) == len(HEADERS) and isinstance(row[15], int | float):
                page.write_formula(number, 15, f"=L{number + 1}*N{number + 1}", None, row[15])
                page.write_formula(number, 17, f"=J{number + 1}/K{number + 1}", None, 0.7)
    return path


@pytest.fixture
def contract() -> Callable[..., list[Any]]:
    return _contract


@pytest.fixture
def workbook(tmp_path: Path) -> Callable[..., Path]:
    """`workbook(rows, start=0, headers=None, sheet="Sheet1")` writes book.xlsx."""
    return lambda rows, **options: _write_workbook(tmp_path / "book.xlsx", rows, **options)


@pytest.fixture
def clean(settings: IngestSettings) -> Callable[..., dict[str, pd.DataFrame]]:
    """`clean(path)` reads and cleans an input."""
    return lambda path, **changes: clean_inputs(read_inputs(path), settings.model_copy(update=changes))


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    """A folder that files come into."""
    folder = tmp_path / "drop"
    folder.mkdir()
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A runs directory; the intake lies in `intake/` of it."""
    return tmp_path / "runs"
