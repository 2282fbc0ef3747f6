"""Which table a sheet is, and where its header stands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import pandas as pd

from atlas_lib.core.money import currency_codes
from atlas_lib.ingest.parsing import CURRENCY_SIGNS
from atlas_lib.ingest.vocabulary import fields, fold, known_words, tables, vocabulary

EXPLAINING = ("What to correct", "Read from")  # columns of the workbook that came back corrected
_NAME_WEIGHT = 3  # a fitting sheet or file name counts as much as three columns
_UNIT = re.compile(r"^(.*?)\s*(?:[\[(]\s*([^\[\]()]{1,12})\s*[\])]|\sin\s+(\S{1,6})|\s([€$£¥%]))\s*$")
_PLAIN_UNITS = ("%", "percent", "prozent", "days", "tage", "months", "monate", "text", "number", "date", "datum", "yes/no", "ja/nein", "iso 4217", "iso", "utc", "decimal", "id")  # fmt: skip
_DATE_UNIT = re.compile(r"[tdmyj]{1,4}([./-][tdmyj]{1,4}){2}( hh:mm(:ss)?)?", re.IGNORECASE)
_SCALES = frozenset(
    "t k m mn bn tsd mio mrd thousand thousands million millions billion billions tausend millionen 1000 1,000 1.000 000".split()
)
_CURRENCY_WORD = re.compile(r"\b(?:in|euro?|usd|gbp|chf|jpy)\b|(?<=\bt|\bk|\bm)(?:eur|usd|gbp|chf|jpy)|[€$£¥()\[\].]")


@dataclass(frozen=True)
class Left:
    """Rows of a sheet that are no data of a table: where they stand, what they are, and why they were left."""

    first_row: int
    last_row: int
    use: str
    reason: str
    shown: str = ""
    first_column: int = 0
    last_column: int = 0
    rows_count: int = 1


@dataclass(frozen=True)
class RawSheet:
    """One table of a sheet or file as read.

    `frame`: the data rows; columns named by their position in the sheet, index = row as Excel (or an editor) counts it.
    `header`: the column names by position. `notes`: (row, column, value, rule, message). `area`: the cells taken, as
    `B7:P1205`. `left`: the other rows of the sheet. `path`: a Parquet file that is read in pieces; the frame then shows
    its first row. `units`: what the header or the row below it says of a column. `positions`: table column and its
    position, where the reader has settled it. `broken`: lines with another number of fields, and these. `title`: what a
    statement without an id is named after; empty: the file. `unique`: column in which the sender numbers lines for ever.
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
    area: str = ""
    left: tuple[Left, ...] = ()
    units: tuple[tuple[int, str], ...] = ()
    positions: tuple[tuple[str, int], ...] = ()
    broken: tuple[tuple[int, tuple[str, ...]], ...] = field(default=(), repr=False)
    title: str = ""
    unique: str = ""


@dataclass(frozen=True)
class Fit:
    """A header recognised: the table, the row, and per table column the position it stands at."""

    table: str
    row: int
    positions: dict[str, int]
    weight: int = 0
    is_certain: bool = False


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
    folded = [fold(split_unit(h, known)[0]) if isinstance(h, str) else "" for h in header]
    for words in (own, known):
        for position, word in enumerate(folded):
            name = words.get(word)
            if name and name not in found and position not in found.values():
                found[name] = position
    return found


def split_unit(header: str, known: dict[str, str]) -> tuple[str, str]:
    """`("Betrag", "EUR")` of `Betrag (EUR)`; a name that is known as a whole, or another bracket, is left as it is."""
    found = _UNIT.match(header) if fold(header) not in known else None
    unit = next((part for part in found.groups()[1:] if part), "") if found else ""
    return (found[1], unit) if found and is_unit(unit) else (header, "")


def is_unit(text: str) -> bool:
    """A unit that changes no figure: a currency, %, days, a date pattern. `TEUR` is none: it is `is_scale`."""
    word = text.strip(" ()[]").casefold().removeprefix("in ")
    return unit_currency(text) != "" or word in _PLAIN_UNITS or bool(_DATE_UNIT.fullmatch(word))


def is_scale(text: str) -> bool:
    """Figures in thousands or millions: `TEUR`, `in 1,000 EUR`, `Mio. EUR`, `$m`."""
    word = text.casefold().strip(" .")
    return _CURRENCY_WORD.sub("", word).strip() in _SCALES or word in _SCALES


def unit_currency(text: str) -> str:
    """`EUR` of `EUR`, `(EUR)`, `in EUR`, `€`, `Euro`; else empty."""
    word = text.strip(" ()[]").upper().removeprefix("IN ")
    code = CURRENCY_SIGNS.get(word, {"EURO": "EUR"}.get(word, word))
    return code if code in currency_codes() else ""


def find_header(rows: Sequence[Sequence[object]], *names: str) -> Fit | None:
    """The best header among the rows; `names` (sheet, file, folder) say which table is expected."""
    expected = named_table(*names)
    fits = [fit for number, row in enumerate(rows) if (fit := fit_row(row, number, expected))]
    return max(fits, key=lambda fit: (fit.weight, fit.table == expected, -fit.row)) if fits else None


def fit_row(row: Sequence[object], number: int, expected: str) -> Fit | None:
    """The table whose columns the row names best.

    A named table needs two known columns; else at least three, and 60 % of the required ones (then `is_certain`).
    """
    if sum(isinstance(cell, str) and not cell[:1].isdigit() and _names_a_column(cell) for cell in row) < 2:
        return None  # no column's name begins with a digit, most cells of a file of figures do
    fits = []
    for table in tables():
        positions = match_columns(table, row)
        is_certain = _is_certain(table, positions)
        if is_certain or (table == expected and len(positions) >= 2):
            weight = len(positions) + _NAME_WEIGHT * (table == expected)
            fits.append(Fit(table, number, positions, weight, is_certain))
    return max(fits, key=lambda fit: (fit.weight, fit.table == expected)) if fits else None


@lru_cache(maxsize=4096)
def _names_a_column(cell: str) -> bool:
    """Whether the text names a column of any table: what does not is looked at no further."""
    known, found = known_words(), _UNIT.match(cell)
    return fold(cell) in known or (found is not None and fold(found[1]) in known)


def _is_certain(table: str, positions: dict[str, int]) -> bool:
    required = [f.name for f in fields(table, "") if f.is_required]
    return len(positions) >= 3 and sum(name in positions for name in required) >= 0.6 * len(required)
