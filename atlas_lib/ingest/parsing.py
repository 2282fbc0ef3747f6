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

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

CURRENCY_SIGNS = {"€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY"}
_MARK = r"(?:[A-Z]{3}|[€$£¥])"
_YES = ("true", "yes", "y", "1", "ja", "j", "wahr", "x", "aktiv", "active")
_NO = ("false", "no", "n", "0", "nein", "falsch", "inaktiv", "inactive")
_TEXT_SAFE = 1e15
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


class Uncalculated(str):
    """A cell whose formula has no stored result, or an error value such as #N/A: its text, never its value."""

    __slots__ = ()


@dataclass(frozen=True)
class Parsed:
    """The result for one column (missing where empty or refused) and per broken rule the rows that break it."""

    result: pd.Series
    faults: dict[str, Mask] = field(default_factory=dict)
    currency: pd.Series | None = None


@dataclass(frozen=True)
class Cells:
    """One column split by what its cells are: numbers, texts, moments, formulas without result."""

    numbers: NDArray[np.float64]
    texts: pd.Series
    moments: pd.Series
    broken: Mask

    @property
    def has_text(self) -> Mask:
        return np.asarray(self.texts.notna(), dtype=bool)


def split_cells(cells: pd.Series) -> Cells:
    """Numbers, texts (stripped, empty is missing), moments (UTC) and formulas without a result."""
    size = len(cells)
    numbers, broken = np.full(size, np.nan), np.zeros(size, dtype=bool)
    texts = pd.Series(pd.NA, index=cells.index, dtype="str")
    moments = pd.Series(pd.NaT, index=cells.index, dtype="datetime64[us, UTC]")
    if pd.api.types.is_bool_dtype(cells):
        texts = cells.map({True: "true", False: "false"}).astype("str")
    elif pd.api.types.is_numeric_dtype(cells):
        numbers = cells.to_numpy(dtype=np.float64, na_value=np.nan)
    elif pd.api.types.is_datetime64_any_dtype(cells):
        moments = pd.to_datetime(cells, utc=True).astype("datetime64[us, UTC]")
    elif isinstance(cells.dtype, pd.StringDtype):
        texts = _stripped(cells)
    else:
        return _split_mixed(cells)
    return Cells(numbers, texts, moments, broken)


def _split_mixed(cells: pd.Series) -> Cells:
    """A workbook column holds Python objects: told apart by their type."""
    kinds = cells.map(type)
    number = kinds.isin([int, float]).to_numpy()
    moment = kinds.isin([dt.date, dt.datetime, pd.Timestamp]).to_numpy()
    broken = (kinds == Uncalculated).to_numpy()
    numbers = np.full(len(cells), np.nan)
    numbers[number] = cells[number].to_numpy(dtype=np.float64)
    moments = pd.Series(pd.NaT, index=cells.index, dtype="datetime64[us, UTC]")
    if moment.any():
        moments[moment] = pd.to_datetime(cells[moment], utc=True, errors="coerce").astype("datetime64[us, UTC]")
    is_text = ~(number | moment | broken) & cells.notna().to_numpy()
    texts = cells.where(is_text).map({True: "true", False: "false"}).fillna(cells.where(is_text)).astype("str")
    return Cells(numbers, _stripped(texts), moments, broken)


def _stripped(texts: pd.Series) -> pd.Series:
    clean = texts.astype("str").str.strip()
    return clean.mask(clean == "")


def parse_text(cells: pd.Series) -> Parsed:
    """Text as it is; a whole number becomes its digits (`310100`), a moment its ISO date."""
    parts = split_cells(cells)
    numbered = ~np.isnan(parts.numbers)
    values, faults = parts.texts, {"FORMULA_WITHOUT_VALUE": parts.broken}
    if numbered.any():
        whole = numbered & (parts.numbers == np.floor(parts.numbers)) & (np.abs(parts.numbers) < _TEXT_SAFE)
        faults["DIGITS_LOST"] = numbered & (np.abs(parts.numbers) >= _TEXT_SAFE)
        values = values.copy()
        values[whole] = parts.numbers[whole].astype(np.int64).astype(str)
        values[numbered & ~whole] = parts.numbers[numbered & ~whole].astype(str)
    moment = parts.moments.notna()
    if moment.any():
        values = values.where(~moment, parts.moments.dt.strftime("%Y-%m-%d").astype("str"))
    return Parsed(values, faults)


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
    marks = texts.str.extract(rf"^-?({_MARK})|({_MARK})-?$")
    bare = texts.str.replace(rf"^(-?){_MARK}|{_MARK}(-?)$", r"\1\2", regex=True)
    numbers, rules = _read_numbers(bare, decimal_mark)
    values[has_text] = numbers
    for rule, mask in rules.items():
        faults[rule] = _placed(faults.get(rule), has_text, mask)
    currency = marks[0].fillna(marks[1]).replace(CURRENCY_SIGNS).reindex(cells.index)
    return Parsed(pd.Series(values, index=cells.index), faults, currency if marks.notna().any(axis=None) else None)


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
        faults["AMBIGUOUS_RATE"] = _placed(faults["AMBIGUOUS_RATE"], has_text, unclear)
        faults["NOT_A_NUMBER"] = _placed(faults["NOT_A_NUMBER"], has_text, broken)
    return Parsed(_without(values, cells, faults), faults)


def parse_ratio(cells: pd.Series) -> Parsed:
    """A plain number with point or comma as decimal mark: scores, exchange rates."""
    parts = split_cells(cells)
    values, has_text = parts.numbers.copy(), parts.has_text
    faults = {"FORMULA_WITHOUT_VALUE": parts.broken, "NOT_A_NUMBER": np.asarray(parts.moments.notna())}
    if has_text.any():
        numbers, broken = _single_mark(parts.texts[has_text])
        values[has_text] = numbers
        faults["NOT_A_NUMBER"] = _placed(faults["NOT_A_NUMBER"], has_text, broken)
    return Parsed(pd.Series(values, index=cells.index), faults)


def parse_whole(cells: pd.Series) -> Parsed:
    """A whole number."""
    ratio = parse_ratio(cells)
    fraction = np.asarray((ratio.result % 1 != 0) & ratio.result.notna())
    faults = ratio.faults | {"NOT_WHOLE": fraction}
    return Parsed(ratio.result.mask(fraction).astype("Int64"), faults)


def parse_flag(cells: pd.Series) -> Parsed:
    """yes / no, true / false, ja / nein, 1 / 0."""
    parts = split_cells(cells)
    texts = parts.texts.str.lower().where(
        np.isnan(parts.numbers), pd.Series(parts.numbers, index=cells.index).map({1.0: "1", 0.0: "0"})
    )
    known = texts.isin([*_YES, *_NO])
    values = texts.isin(_YES).astype("boolean").mask(~known)
    wrong = np.asarray(~known & (texts.notna() | parts.moments.notna()))
    return Parsed(values, {"FORMULA_WITHOUT_VALUE": parts.broken, "NOT_A_FLAG": wrong})


def parse_date(cells: pd.Series) -> Parsed:
    """The calendar day, midnight without zone; a time of day is cut off."""
    instant = parse_instant(cells)
    days = instant.result.dt.tz_localize(None).dt.floor("D").astype("datetime64[us]")
    return Parsed(days, instant.faults)


def parse_instant(cells: pd.Series) -> Parsed:
    """A moment in UTC; text without a zone is UTC."""
    parts = split_cells(cells)
    has_text = parts.has_text
    values = parts.moments.copy()
    numbered = ~np.isnan(parts.numbers)
    faults = {"FORMULA_WITHOUT_VALUE": parts.broken, "AMBIGUOUS_DATE": np.zeros(len(cells), dtype=bool)}
    compact = numbered & (parts.numbers >= 19000101) & (parts.numbers <= 21001231)
    faults["DATE_AS_NUMBER"] = numbered & ~compact
    texts = parts.texts.copy()
    if compact.any():
        texts[compact] = parts.numbers[compact].astype(np.int64).astype(str)
        has_text = has_text | compact
    if has_text.any():
        moments, ambiguous = _read_moments(texts[has_text])
        values[has_text] = moments
        faults["AMBIGUOUS_DATE"] = _placed(None, has_text, ambiguous)
        unread = _placed(None, has_text, np.asarray(moments.isna()) & ~ambiguous)
        faults["NOT_A_DATE"] = unread
    return Parsed(values, faults)


def _read_moments(texts: pd.Series) -> tuple[pd.Series, Mask]:
    """Texts to UTC by their form; the second answer marks day and month that cannot be told apart."""
    moments = pd.Series(pd.NaT, index=texts.index, dtype="datetime64[us, UTC]")
    iso = np.asarray(texts.str.match(r"\d{4}-\d{2}-\d{2}"), dtype=bool)
    if iso.any():
        moments[iso] = _to_utc(texts[iso], "ISO8601")
    if iso.all():
        return moments, np.zeros(len(texts), dtype=bool)
    slashed = texts.str.extract(r"^(\d{1,2})/(\d{1,2})/(\d{4})(.*)$")
    first, second = (pd.to_numeric(slashed[i]) for i in (0, 1))
    ambiguous = np.asarray((first <= 12) & (second <= 12) & (first != second))
    month_first = np.asarray(second > 12)
    day, month = slashed[0].where(~month_first, slashed[1]), slashed[1].where(~month_first, slashed[0])
    dotted = texts.where(slashed[0].isna(), day + "." + month + "." + slashed[2] + slashed[3])
    for pattern, form in _FORMS:
        fits = np.asarray(dotted.str.fullmatch(pattern), dtype=bool) & ~iso & ~ambiguous
        if fits.any():
            moments[fits] = _to_utc(dotted[fits].str.replace(", ", " ", regex=False), form)
    return moments, ambiguous


_DAY = r"\d{1,2}\.\d{1,2}\.\d{4}"
_FORMS = (
    (r"(?:19|20)\d{6}", "%Y%m%d"),
    (_DAY, "%d.%m.%Y"),
    (_DAY + r",? \d{1,2}:\d{2}", "%d.%m.%Y %H:%M"),
    (_DAY + r",? \d{1,2}:\d{2}:\d{2}", "%d.%m.%Y %H:%M:%S"),
)


def _to_utc(texts: pd.Series, form: str) -> pd.Series:
    return pd.to_datetime(texts, format=form, utc=True, errors="coerce").astype("datetime64[us, UTC]")


def _single_mark(texts: pd.Series) -> tuple[NDArray[np.float64], Mask]:
    bare = texts.str.replace(r"[\s\u00a0\u202f]", "", regex=True)
    readable = np.asarray(bare.str.fullmatch(r"[-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][-+]?\d+)?"), dtype=bool)
    numbers = np.full(len(texts), np.nan)
    numbers[readable] = pd.to_numeric(bare[readable].str.replace(",", ".", regex=False)).to_numpy(dtype=np.float64)
    return numbers, ~readable


def _placed(base: Mask | None, where: Mask, mask: Mask) -> Mask:
    """A mask over the text cells, laid over the whole column."""
    out = np.zeros(len(where), dtype=bool) if base is None else base.copy()
    out[where] |= mask
    return out


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
