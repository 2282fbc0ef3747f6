"""Which table a sheet is, and where its header stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from atlas_lib.ingest.vocabulary import fields, fold, tables, vocabulary

_HEADER_SEARCH_ROWS = 40
_NAME_WEIGHT = 3  # a fitting sheet or file name counts as much as three columns


@dataclass(frozen=True)
class RawSheet:
    """One sheet or file as read.

    `frame`: columns 0..n-1, index = row as Excel (or an editor) counts it. `header`: the column names where they are
    known already, else empty and the header is a row of the frame. `notes`: (row, column, value, rule, message).
    `path`: a Parquet file that is read in pieces; the frame then shows its first row.
    """

    file: str
    sheet: str
    frame: pd.DataFrame
    header: tuple[str, ...] = ()
    header_row: int = 0
    table: str = ""
    is_workbook: bool = False
    notes: tuple[tuple[int, str, str, str, str], ...] = ()
    merged: tuple[tuple[tuple[int, int], tuple[int, int]], ...] = field(default=(), repr=False)
    path: Path | None = None


@dataclass(frozen=True)
class Fit:
    """A header recognised: the table, the row, and per table column the position it stands at."""

    table: str
    row: int
    positions: dict[str, int]


def named_table(*names: str) -> str:
    """The table a sheet or file name points to: the longest known name it starts with, sheet before file before folder."""
    sheets, _ = vocabulary()
    for name in map(fold, names):
        hits = [(len(word), table) for table, words in sheets.items() for word in words if name.startswith(word)]
        if hits:
            return max(hits)[1]
    return ""


def match_columns(table: str, header: Sequence[object]) -> dict[str, int]:
    """Column name to position; the leftmost wins where two headers mean the same."""
    known = vocabulary()[1][table]
    found: dict[str, int] = {}
    own = {fold(f.name): f.name for f in fields(table, "")}
    folded = [fold(h) if isinstance(h, str) else "" for h in header]
    for words in (own, known):
        for position, word in enumerate(folded):
            name = words.get(word)
            if name and name not in found and position not in found.values():
                found[name] = position
    return found


def find_header(rows: Sequence[Sequence[object]], *names: str) -> Fit | None:
    """The best header among the first rows; `names` (sheet, file, folder) say which table is expected.

    A named table needs two known columns; else at least three, and 60 % of the required ones.
    """
    expected = named_table(*names)
    fits = []
    for number, row in enumerate(rows[:_HEADER_SEARCH_ROWS]):
        if sum(isinstance(cell, str) and bool(cell.strip()) for cell in row) < 2:
            continue
        for table in tables():
            positions = match_columns(table, row)
            if _is_fit(table, positions, is_named=table == expected):
                weight = len(positions) + _NAME_WEIGHT * (table == expected)
                fits.append(((weight, table == expected, -number), Fit(table, number, positions)))
    return max(fits, key=lambda f: f[0])[1] if fits else None


def _is_fit(table: str, positions: dict[str, int], *, is_named: bool) -> bool:
    if is_named:
        return len(positions) >= 2
    required = [f.name for f in fields(table, "") if f.is_required]
    return len(positions) >= 3 and sum(name in positions for name in required) >= 0.6 * len(required)
