"""Cells as people type them, to numbers, dates and texts: read exactly, or refused with the reason.

A cell that arrives as a number or date (Excel, Parquet) is never ambiguous. For text the rules are:

- Amounts: `1.234,56`, `1,234.56`, `1 234,56`, `1'234.50`, `12,5`, `(12.50)`, `12.50-`, `€ 12`, `EUR12` are read. One
  separator before exactly three digits (`1.234`, `1,234`) could be thousands or decimals: refused, unless the setting
  `decimal_mark` says which, or other cells of a column of texts leave no doubt (`1.234,56`); that is noted.
- Rates: `10 %` and a figure above 1 with a decimal mark (`10,0`) are percentages; a figure up to 1 (`0,1`) is a
  fraction; a whole figure from 1 on (`10`, typed or as a number) is ambiguous and refused; a number cell 1 is 100 %.
- Dates: ISO, `31.12.2026`, `20261231`, `3. Okt 2026`, `03-Oct-2026`, `Oct 3, 2026`; with slashes or dashes only if the
  order is certain: by itself (`13/04/2026`, `04/04/2026`), or because the other texts of the column say so without
  contradiction (noted). A year of two digits is ambiguous; a day number of Excel (`45245`) is refused, its origin
  (1900 or 1904) is not known. Zones: Z, +02:00, UTC, GMT, CET/MEZ, CEST/MESZ; EST and the like mean several.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from atlas_lib.ingest.cells import Mask, Parsed, parse_flag, parse_text, placed, plain, split_cells
from atlas_lib.ingest.moments import parse_date, parse_instant

CURRENCY_SIGNS = {"€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY", "US$": "USD"}
_MARK = r"(?:[A-Z]{3}|US\$|[€$£¥])"
_AMBIGUOUS = r"[1-9][0-9]{0,2}[.,][0-9]{3}"
_SPACED = r"^([0-9]{1,3}(?:[ '][0-9]{3})+)((?:[.,][0-9]+)?)$"  # a space or an apostrophe is never a decimal mark
# Per setting: numbers with a decimal point, numbers with a decimal comma. A single thousands group needs the setting.
_NUMBER_FORMS = {
    "auto": (
        r"[0-9]{1,3}(?:,[0-9]{3})+\.[0-9]+|[0-9]*\.[0-9]+|[0-9]+|[0-9]{1,3}(?:,[0-9]{3}){2,}",
        r"[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]+|[0-9]*,[0-9]+|[0-9]{1,3}(?:\.[0-9]{3}){2,}",
    ),
    ".": (r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?|[0-9]*\.[0-9]+|[0-9]+", r"[0-9]+"),
    ",": (r"[0-9]+", r"[0-9]{1,3}(?:\.[0-9]{3})+(?:,[0-9]+)?|[0-9]*,[0-9]+"),
}
_MARKED = (r"[.][0-9]{1,2}$|[.][0-9]{4,}$|,[0-9]{3}[.][0-9]", r",[0-9]{1,2}$|,[0-9]{4,}$|[.][0-9]{3},[0-9]")


def parse_amount(cells: pd.Series, decimal_mark: str = "auto", *, may_infer: bool = True) -> Parsed:
    """Units of currency as float (its shortest text is the amount meant); `currency` is the sign found in the cell."""
    parts = split_cells(cells)
    faults = {"FORMULA_WITHOUT_VALUE": parts.broken, "NOT_A_NUMBER": np.asarray(parts.moments.notna())}
    # A binary sum such as 171.60500000000002 is the 171.605 that Excel shows.
    values = np.round(parts.numbers, 8)
    has_text = parts.has_text
    if not has_text.any():
        return Parsed(pd.Series(values, index=cells.index), faults)
    texts = plain(parts.texts[has_text]).str.upper()
    bare, currency = _split_currency(texts)
    numbers, rules = _read_numbers(bare, decimal_mark)
    is_text_column = may_infer and len(texts) == np.count_nonzero(~np.isnan(parts.numbers) | has_text)
    grouped = (
        _grouped_by_column(bare, rules["AMBIGUOUS_NUMBER"]) if is_text_column else np.zeros(len(texts), dtype=bool)
    )
    if grouped.any():
        numbers[grouped] = _read_numbers(bare[grouped].str.replace("[.,]", "", regex=True), decimal_mark)[0]
        rules["AMBIGUOUS_NUMBER"] = rules["AMBIGUOUS_NUMBER"] & ~grouped
    values[has_text] = numbers
    for rule, mask in rules.items():
        faults[rule] = placed(faults.get(rule), has_text, mask)
    first = placed(None, has_text, grouped & (np.cumsum(grouped) == 1))
    given = None
    if currency is not None:  # by place: entries that stand on one line of a statement share their index
        given = parts.texts.where(~has_text)
        given[has_text] = currency.array
    return Parsed(pd.Series(values, index=cells.index), faults, given, {"DECIMAL_MARK_INFERRED": first})


def _split_currency(texts: pd.Series) -> tuple[pd.Series, pd.Series | None]:
    """The figures without a currency code or sign before or after them, and which currency it names."""
    if not texts.str.contains("[A-Z€$£¥]", regex=True).any():
        return texts, None
    pattern = rf"^([-+(]?)\s*({_MARK})\s*|\s*({_MARK})\s*([-)]?)$"
    marks = texts.str.extract(rf"^[-+(]?\s*({_MARK})|({_MARK})\s*[-)]?$")
    bare = texts.str.replace(pattern, r"\1\4", n=1, regex=True)
    return bare, marks[0].fillna(marks[1]).replace(CURRENCY_SIGNS)


def _grouped_by_column(texts: pd.Series, ambiguous: Mask) -> Mask:
    """Ambiguous figures whose separator is not the decimal mark that all other cells of the column agree on.

    With the decimal mark itself, `1.234` among `12.50` stays ambiguous: three decimals are no amount of money.
    """
    point, comma = (
        (bool(texts.str.contains(pattern, regex=True).any()) for pattern in _MARKED)
        if ambiguous.any()
        else (False, False)
    )
    if point == comma:
        return np.zeros(len(texts), dtype=bool)
    marked: Mask = np.asarray(texts.str.contains("." if point else ",", regex=False), dtype=bool)
    return np.asarray(ambiguous & ~marked)


def _read_numbers(texts: pd.Series, decimal_mark: str) -> tuple[NDArray[np.float64], dict[str, Mask]]:
    """Texts without currency sign to numbers by the rules of this module."""
    bare = texts.str.replace("’", "'", regex=False).str.strip()
    negative = bare.str.fullmatch(r"-.*|.*-|\(.*\)")
    digits = bare.str.replace(r"^[-+(]\s*|\s*[-)]$", "", regex=True)
    spaced = np.asarray(digits.str.match(_SPACED), dtype=bool)
    # A group of thousands after a space says that a following mark is the decimal mark.
    pieces = digits.where(spaced).str.replace("[ ']", "", regex=True).str.replace(",", ".", regex=False)
    forms = _NUMBER_FORMS[decimal_mark]
    ambiguous = digits.str.fullmatch(_AMBIGUOUS) & (decimal_mark == "auto")
    point = (digits.str.fullmatch(forms[0]) & ~ambiguous) | spaced
    comma = digits.str.fullmatch(forms[1]) & ~ambiguous & ~point
    text = digits.where(~comma, digits.str.replace(".", "", regex=False).str.replace(",", ".", regex=False))
    text = text.where(~point, digits.str.replace(",", "", regex=False)).where(~spaced, pieces)
    readable = np.asarray(point | comma, dtype=bool)
    numbers = np.full(len(texts), np.nan)
    numbers[readable] = pd.to_numeric(text[readable]).to_numpy(dtype=np.float64)
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
        texts = plain(parts.texts[has_text])
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
        numbers, broken = _single_mark(plain(parts.texts[has_text]))
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
    bare = texts.str.strip()
    readable = np.asarray(
        bare.str.fullmatch(r"[-+]?(?:[0-9]+(?:[.,][0-9]+)?|[.,][0-9]+|[0-9]+(?:\.[0-9]+)?[eE][-+]?[0-9]{1,2})"),
        dtype=bool,
    )
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
