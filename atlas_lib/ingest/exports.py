"""The workbook that goes back to whoever sent the files: what was refused, repeated or found."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd

_WIDTHS = {"message": 90, "detail": 90, "value": 24, "source_file": 28, "rule": 24}


def write_findings_workbook(
    path: Path,
    clean: SimpleNamespace,
    intake: SimpleNamespace,
    screening: SimpleNamespace,
    control_totals: pd.DataFrame,
    as_of: date,
) -> Path:
    """Sheets Cells (refused and noted), Repeated, Findings, Control totals; header frozen and filterable.

    Amounts stay in minor units, as the column names say. The same tables give the same bytes.
    """
    import xlsxwriter

    sheets = {
        "Cells": clean.rejects,
        "Repeated": intake.intake_results,
        "Findings": screening.screening_findings,
        "Control totals": control_totals,
    }
    partial = path.with_suffix(".partial")
    with xlsxwriter.Workbook(str(partial), {"strings_to_formulas": False, "strings_to_urls": False}) as book:
        book.set_properties({"title": f"Intake {as_of}", "created": datetime(as_of.year, as_of.month, as_of.day)})  # noqa: DTZ001
        bold = book.add_format({"bold": True, "bottom": 1})
        for name, frame in sheets.items():
            _write_sheet(book.add_worksheet(name), frame, bold)
    partial.replace(path)
    return path


def _write_sheet(page: Any, frame: pd.DataFrame, bold: Any) -> None:
    page.freeze_panes(1, 0)
    page.write_row(0, 0, list(frame.columns), bold)
    for position, column in enumerate(frame.columns):
        page.write_column(1, position, frame[column].astype(object).where(frame[column].notna(), "").tolist())
        page.set_column(position, position, _WIDTHS.get(column, 16))
    page.autofilter(0, 0, max(len(frame), 1), len(frame.columns) - 1)
