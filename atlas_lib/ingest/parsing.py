"""Cells as people type them, to numbers, dates and texts: read exactly, or refused with the reason.

A cell that arrives as a number or date (Excel, Parquet) is never ambiguous. For text the rules are:

- Amounts: `1.234,56`, `1,234.56`, `1 234,56`, `12,5`, `1234.5`, `(12.50)`, `12.50-`, `€ 12` are read. One separator
  before exactly three digits (`1.234`, `1,234`) could be thousands or decimals: refused, unless the setting
  `decimal_mark` says which.
- Rates: `10 %` and a figure above 1 with a decimal mark (`10,0`) are percentages; a figure up to 1 (`0,1`) is a
  fraction; a whole figure from 1 on (`10`, typed or as a number) is ambiguous and refused; a number cell 1 is 100 %.
- Dates: ISO, `31.12.2026`, `20261231`; with slashes only if the order is certain (`13/04/2026`, `04/04/2026`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from atlas_lib.ingest.cells import Mask, Parsed, parse_flag, parse_text, placed, split_cells
from atlas_lib.ingest.moments import parse_date, parse_instant

CURRENCY_SIGNS = {"€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY"}
_MARK = r"(?:[A-Z]{3}|[€$£¥])"
_AMBIGUOUS = r"[1-9]\d{0,2}[.,]\d{3}"
# Per setting: numbers with a decimal point, numbers with a decimal comma. A single thousands group needs the setting.
_NUMBER_FORMS = {
    "auto": (
        r"\d{1,3}(?:,\d{3})+\.\d+|\d*\.\d+|\d+|\d{1,3}(?:,\d{3}){2,}",
        r"\d{1,3}(?:\.\d{3})+,\d+|\d*,\d+|\d{1,3}(?:\.\d{3}){2,}",
    ),
    ".": (r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*\.\d+|\d+", r"\d+"),
    ",": (r"\d+", r"\d{1,3}(?:\.\d{3})+(?:,\d+)?|\d*,\d+"),
}


def parse_amount(cells: pd.Series, decimal_mark: str = "auto") -> Parsed:
    """Units of currency as float (its shortest text is the amount meant); `currency` is the sign found in the cell."""
    parts = split_cells(cells)
    faults = {"FORMULA_WITHOUT_VALUE": parts.broken, "NOT_A_NUMBER": np.asarray(parts.moments.notna())}
    # A binary sum such as 171.60500000000002 is the 171.605 that Excel shows.
    values = np.round(parts.numbers, 8)
    has_text = parts.has_text
    if not has_text.any():
        return Parsed(pd.Series(values, index=cells.index), faults)
    texts = parts.texts[has_text].str.upper()
    bare, currency = _split_currency(texts)
    numbers, rules = _read_numbers(bare, decimal_mark)
    values[has_text] = numbers
    for rule, mask in rules.items():
        faults[rule] = placed(faults.get(rule), has_text, mask)
    given = None if currency is None else currency.reindex(cells.index)
    return Parsed(pd.Series(values, index=cells.index), faults, given)


def _split_currency(texts: pd.Series) -> tuple[pd.Series, pd.Series | None]:
    """The figures without a currency code or sign before or after them, and which currency it names."""
    if not texts.str.contains("[A-Z€$£¥]", regex=True).any():
        return texts, None
    marks = texts.str.extract(rf"^-?({_MARK})|({_MARK})-?$")
    bare = texts.str.replace(rf"^(-?){_MARK}|{_MARK}(-?)$", r"\1\2", regex=True)
    return bare, marks[0].fillna(marks[1]).replace(CURRENCY_SIGNS)


def _read_numbers(texts: pd.Series, decimal_mark: str) -> tuple[NDArray[np.float64], dict[str, Mask]]:
    """Texts without currency sign to numbers by the rules of this module."""
    bare = texts.str.replace(r"[\s\u00a0\u202f'’]", "", regex=True).str.replace("−", "-", regex=False)
    negative = bare.str.fullmatch(r"-.*|.*-|\(.*\)")
    digits = bare.str.replace(r"^[-+(]|[-)]$", "", regex=True)
    forms = _NUMBER_FORMS[decimal_mark]
    ambiguous = digits.str.fullmatch(_AMBIGUOUS) & (decimal_mark == "auto")
    point = digits.str.fullmatch(forms[0]) & ~ambiguous
    comma = digits.str.fullmatch(forms[1]) & ~ambiguous & ~point
    plain = digits.where(~comma, digits.str.replace(".", "", regex=False).str.replace(",", ".", regex=False))
    plain = plain.where(~point, digits.str.replace(",", "", regex=False))
    readable = np.asarray(point | comma, dtype=bool)
    numbers = np.full(len(texts), np.nan)
    numbers[readable] = pd.to_numeric(plain[readable]).to_numpy(dtype=np.float64)
    numbers = np.where(np.asarray(negative, dtype=bool), -numbers, numbers)
    unclear = np.asarray(ambiguous, dtype=bool)
    return numbers, {"AMBIGUOUS_NUMBER": unclear, "NOT_A_NUMBER": ~readable & ~unclear}


def parse_rate(cells: pd.Series) -> Parsed:
    """A fraction, 0.10 for 10 %; whole figures from 1 on in text, and above 1 as numbers, are ambiguous."""
    parts = split_cells(cells)
    has_text = parts.has_text
    values = parts.numbers.copy()
    faults = {
        "FORMULA_WITHOUT_VALUE": parts.broken,
        "NOT_A_NUMBER": np.asarray(parts.moments.notna()),
        "AMBIGUOUS_RATE": ~np.isnan(values) & (np.abs(values) > 1),
    }
    if has_text.any():
        texts = parts.texts[has_text]
        percent = np.asarray(texts.str.endswith("%"), dtype=bool)
        bare = texts.str.rstrip("%").str.strip()
        numbers, broken = _single_mark(bare)
        marked = np.asarray(bare.str.contains("[.,]", regex=True), dtype=bool)
        scaled = percent | (marked & (np.abs(numbers) > 1))
        values[has_text] = np.where(scaled, np.round(numbers / 100, 12), numbers)
        unclear = ~percent & ~broken & (np.abs(numbers) >= 1) & (~marked | (np.abs(numbers) == 1))
        faults["AMBIGUOUS_RATE"] = placed(faults["AMBIGUOUS_RATE"], has_text, unclear)
        faults["NOT_A_NUMBER"] = placed(faults["NOT_A_NUMBER"], has_text, broken)
    return Parsed(_without(values, cells, faults), faults)


def parse_ratio(cells: pd.Series) -> Parsed:
    """A plain number with point or comma as decimal mark: scores, exchange rates."""
    parts = split_cells(cells)
    values, has_text = parts.numbers.copy(), parts.has_text
    faults = {"FORMULA_WITHOUT_VALUE": parts.broken, "NOT_A_NUMBER": np.asarray(parts.moments.notna())}
    if has_text.any():
        numbers, broken = _single_mark(parts.texts[has_text])
        values[has_text] = numbers
        faults["NOT_A_NUMBER"] = placed(faults["NOT_A_NUMBER"], has_text, broken)
    return Parsed(pd.Series(values, index=cells.index), faults)


def parse_whole(cells: pd.Series) -> Parsed:
    """A whole number."""
    ratio = parse_ratio(cells)
    fraction = np.asarray((ratio.result % 1 != 0) & ratio.result.notna())
    faults = ratio.faults | {"NOT_WHOLE": fraction}
    return Parsed(ratio.result.mask(fraction).astype("Int64"), faults)


def _single_mark(texts: pd.Series) -> tuple[NDArray[np.float64], Mask]:
    bare = texts.str.replace(r"[\s\u00a0\u202f]", "", regex=True)
    readable = np.asarray(bare.str.fullmatch(r"[-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][-+]?\d+)?"), dtype=bool)
    numbers = np.full(len(texts), np.nan)
    numbers[readable] = pd.to_numeric(bare[readable].str.replace(",", ".", regex=False)).to_numpy(dtype=np.float64)
    return numbers, ~readable


def _without(values: NDArray[np.float64], cells: pd.Series, faults: dict[str, Mask]) -> pd.Series:
    refused = np.logical_or.reduce(list(faults.values()))
    return pd.Series(np.where(refused, np.nan, values), index=cells.index)


PARSERS: dict[str, Any] = {
    "text": parse_text,
    "amount": parse_amount,
    "rate": parse_rate,
    "ratio": parse_ratio,
    "whole": parse_whole,
    "bool": parse_flag,
    "date": parse_date,
    "instant": parse_instant,
}
