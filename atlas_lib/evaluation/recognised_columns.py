"""Columns of a table whose names say nothing for certain: which is the date, the amount, the currency, the text.

A column is named by an option, or recognised: dates and amounts by being readable as such, currency by its codes, free
text by its name, otherwise by being text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import pandas as pd

from atlas_lib.core.errors import InputError
from atlas_lib.ingest.moments import parse_date
from atlas_lib.ingest.parsing import parse_amount

_TEXT_NAMES = "memo text description descr narrative reference remittance purpose details payee payer name counterparty verwendungszweck buchungstext empfaenger libelle concepto merchant".split()
_AMOUNT_NAMES = "amount betrag gross value sum total montant importe umsatz".split()
_DATE_NAMES = "date datum day posted booked occurred captured fecha at".split()
_LOOKED_AT_ROWS = 2_000  # spread over the file, by which columns are recognised
_READABLE_RATE = 0.8  # of a column's filled cells, from which it counts as dates or amounts
DEBIT = {"DBIT", "DEBIT", "D", "DR", "S", "SOLL"}
_CREDIT = {"CRDT", "CREDIT", "C", "CR", "H", "HABEN"}


@dataclass(frozen=True)
class Columns:
    """Columns named by the user; an empty one is recognised."""

    id: str = ""
    date: str = ""
    amount: str = ""
    currency: str = ""
    text: Sequence[str] = field(default_factory=tuple)


def column_of(table: pd.DataFrame, column: str, where: str) -> str:
    """The column, if the table has it. Raises InputError."""
    if column not in table:
        raise InputError("No such column", where=where, found=column, expected=", ".join(map(str, table.columns)))
    return column


def recognise(whole: pd.DataFrame, wanted: Columns, own_id: str, where: str, day_first: bool | None) -> dict[str, str]:
    """What each column is: id, date, amount, currency, direction and text, the last joined by ` + `; empty for none.

    Raises InputError where no column of dates or of amounts is recognised.
    """
    table = whole.iloc[:: max(len(whole) // _LOOKED_AT_ROWS, 1)]
    for column in filter(None, [wanted.date, wanted.amount, wanted.currency, *wanted.text]):
        column_of(table, column, where)
    rest = [c for c in names_of(table) if c != own_id]
    date = wanted.date or _first(c for c in _by_name(rest, _DATE_NAMES) if _readable(read_dates(table[c], day_first)))
    rest = [c for c in rest if c != date]
    currency = wanted.currency or _first(c for c in rest if _is_currency(table[c]))
    rest = [c for c in rest if c != currency]
    amount = wanted.amount or _first(c for c in _by_name(rest, _AMOUNT_NAMES) if _readable(read_amounts(table[c])))
    for what, column in (("date", date), ("amount", amount)):
        if not column:
            raise InputError(
                f"No column of {what}s was recognised", where=where, found=", ".join(map(str, table.columns)),
                remedy=f"name it by --left-{what} or --right-{what}" + ("; --day-first or --month-first says how 03/04/2026 is meant" if what == "date" else ""),
            )  # fmt: skip
    rest = [c for c in rest if c != amount]
    direction = _first(c for c in rest if _is_direction(table[c]))
    texts = list(wanted.text) or _texts(table, [c for c in rest if c != direction])
    return {
        "id": own_id,
        "date": date,
        "amount": amount,
        "currency": currency,
        "direction": direction,
        "text": " + ".join(texts),
    }


def names_of(table: pd.DataFrame) -> list[str]:
    """The columns' names as text."""
    return [str(column) for column in table.columns]


def _first(columns: Iterable[str]) -> str:
    return next(iter(columns), "")


def _by_name(columns: list[str], names: list[str]) -> list[str]:
    """Columns whose name says what they are come first, in the order of the names."""
    rank = {c: next((i for i, name in enumerate(names) if name in str(c).lower()), len(names)) for c in columns}
    return sorted(columns, key=lambda c: rank[c])


def _texts(table: pd.DataFrame, columns: list[str]) -> list[str]:
    """Columns named as free text; else the texts in which letters stand and which are no ids."""
    named = [
        c for c in columns if any(name in str(c).lower() for name in _TEXT_NAMES) and not str(c).lower().endswith("id")
    ]
    if named:
        return named
    is_text = [c for c in columns if table[c].dropna().astype("str").str.contains("[A-Za-z]").mean() > 0.5]
    return [c for c in is_text if not str(c).lower().endswith("id") and len(table[c].unique()) > 1]


def _readable(values: pd.Series) -> bool:
    return bool(len(values) and values.notna().mean() >= _READABLE_RATE)


def read_dates(cells: pd.Series, day_first: bool | None) -> pd.Series:
    """Days; the filled cells only. Slashes whose order no cell tells are read as `day_first` says."""
    filled = cells.dropna()
    if pd.api.types.is_datetime64_any_dtype(filled):
        days: pd.Series = filled.dt.tz_localize(None).dt.normalize()
        return days
    text = filled.astype("str").str.strip()
    iso = text.str.match(r"\d{4}-\d{2}-\d{2}(?:[T ]|$)")
    read = pd.Series(pd.NaT, index=filled.index, dtype="datetime64[us]")
    read[iso] = pd.to_datetime(text[iso].str[:10], format="%Y-%m-%d", errors="coerce")
    if not iso.all():
        read[~iso] = pd.to_datetime(parse_date(text[~iso].astype(object)).result).astype("datetime64[us]")
    open_ = read.isna()
    if day_first is not None and open_.any():
        order = "%d/%m/%Y" if day_first else "%m/%d/%Y"
        read[open_] = pd.to_datetime(text[open_].str.replace("[.-]", "/", regex=True), format=order, errors="coerce")
    return read


def read_amounts(cells: pd.Series) -> pd.Series:
    """Numbers; the filled cells only."""
    filled = cells.dropna()
    if pd.api.types.is_numeric_dtype(filled) or filled.map(lambda cell: isinstance(cell, Decimal)).all():
        return filled.astype("float64")
    read: pd.Series = parse_amount(filled.astype(object)).result
    return read


def _is_currency(cells: pd.Series) -> bool:
    from pycountry import currencies

    codes = cells.dropna().astype("str").unique()
    return bool(0 < len(codes) <= 60 and all(currencies.get(alpha_3=code) for code in codes))


def _is_direction(cells: pd.Series) -> bool:
    words = set(cells.dropna().astype("str").str.upper().unique())
    return bool(words) and words <= (DEBIT | _CREDIT)
