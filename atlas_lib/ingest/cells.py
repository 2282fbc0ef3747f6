"""One column of cells, told apart by what they are: numbers, texts, moments, formulas without a result."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

_YES = ("true", "yes", "y", "1", "ja", "j", "wahr", "x", "aktiv", "active")
_NO = ("false", "no", "n", "0", "nein", "falsch", "inaktiv", "inactive")
_TEXT_SAFE = 1e15


class Uncalculated(str):
    """A cell whose formula has no stored result, or an error value such as #N/A: its text, never its value."""

    __slots__ = ()


@dataclass(frozen=True)
class Parsed:
    """The result for one column (missing where empty or refused) and per broken rule the rows that break it."""

    result: pd.Series
    faults: dict[str, Mask] = field(default_factory=dict)
    currency: pd.Series | None = None
    inferred: dict[str, Mask] = field(default_factory=dict)  # read, but in a way that the rest of the column decided

    @property
    def refused(self) -> Mask:
        """Rows that break any rule."""
        out = np.zeros(len(self.result), dtype=bool)
        for mask in self.faults.values():
            out |= mask
        return out


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
    moments = pd.Series(pd.NaT, index=cells.index, dtype="datetime64[us, UTC]")
    if isinstance(cells.dtype, pd.StringDtype):
        return Cells(numbers, _stripped(cells), moments, broken)
    texts = pd.Series(pd.NA, index=cells.index, dtype="str")
    if pd.api.types.is_bool_dtype(cells):
        texts = cells.map({True: "true", False: "false"}).astype("str")
    elif pd.api.types.is_numeric_dtype(cells):
        numbers = cells.to_numpy(dtype=np.float64, na_value=np.nan)
    elif pd.api.types.is_datetime64_any_dtype(cells):
        moments = pd.to_datetime(cells, utc=True).astype("datetime64[us, UTC]")
    else:
        return _split_mixed(cells)
    return Cells(numbers, texts, moments, broken)


def _split_mixed(cells: pd.Series) -> Cells:
    """A workbook column holds Python objects: told apart by their type."""
    values = cells.to_numpy(dtype=object)
    codes = np.fromiter((_TYPES.get(type(v), 0) for v in values), dtype=np.uint8, count=len(values))
    numbers = np.full(len(values), np.nan)
    numbers[codes == _NUMBER] = values[codes == _NUMBER].astype(np.float64)
    moments = pd.Series(pd.NaT, index=cells.index, dtype="datetime64[us, UTC]")
    moment = codes == _MOMENT
    if moment.any():
        moments[moment] = pd.to_datetime(cells[moment], utc=True, errors="coerce").astype("datetime64[us, UTC]")
    texts = np.full(len(values), None, dtype=object)
    is_text = (codes == 0) & cells.notna().to_numpy()
    texts[is_text] = values[is_text].astype(str)
    texts[codes == _FLAG] = np.where(values[codes == _FLAG].astype(bool), "true", "false")
    series = pd.Series(texts, index=cells.index, dtype="str")
    return Cells(numbers, _stripped(series), moments, codes == _BROKEN)


_NUMBER, _MOMENT, _BROKEN, _FLAG = 1, 2, 3, 4
_TYPES: dict[type, int] = {
    int: _NUMBER, float: _NUMBER, dt.date: _MOMENT, dt.datetime: _MOMENT, pd.Timestamp: _MOMENT, Uncalculated: _BROKEN, bool: _FLAG,
}  # fmt: skip


def plain(texts: pd.Series) -> pd.Series:
    """Full-width digits, all kinds of spaces and of minus signs as the keyboard has them."""
    if not texts.str.contains("[^ -~]", regex=True, na=False).any():
        return texts
    folded = texts.str.normalize("NFKC").str.replace(
        r"[\u00a0\u1680\u2000-\u200b\u202f\u205f\u2060\u3000\ufeff\t]", " ", regex=True
    )
    return folded.str.replace("[\u2010-\u2015\u2212\u207b\ufe63\uff0d]", "-", regex=True)


def _stripped(texts: pd.Series) -> pd.Series:
    """Without white space around, and without empty texts; most columns have neither, which one look tells."""
    given = texts.astype("str")
    array = pa.array(given.array)
    has_empty = pc.any(pc.equal(pc.binary_length(array), 0)).as_py()
    if not has_empty and pc.utf8_trim_whitespace(array).equals(array):
        return given
    clean = given.str.strip()
    return clean.mask(clean == "")


def parse_text(cells: pd.Series) -> Parsed:
    """Text as it is; a whole number becomes its digits (`310100`), a moment its ISO date.

    A column of integers has all their digits; a number of a spreadsheet has 15 of them.
    """
    if pd.api.types.is_integer_dtype(cells.dtype):
        return Parsed(cells.astype("str"), {})
    parts = split_cells(cells)
    numbered = ~np.isnan(parts.numbers)
    values, faults = parts.texts, {"FORMULA_WITHOUT_VALUE": parts.broken}
    if numbered.any():
        whole = numbered & (parts.numbers == np.floor(parts.numbers)) & (np.abs(parts.numbers) < _TEXT_SAFE)
        faults["DIGITS_LOST"] = numbered & (np.abs(parts.numbers) >= _TEXT_SAFE)
        values = values.copy()
        values[whole] = parts.numbers[whole].astype(np.int64).astype(str)
        other = numbered & ~whole & ~faults["DIGITS_LOST"]
        values[other] = parts.numbers[other].astype(str)
    moment = parts.moments.notna()
    if moment.any():
        values = values.where(~moment, parts.moments.dt.strftime("%Y-%m-%d").astype("str"))
    return Parsed(values, faults)


def parse_flag(cells: pd.Series) -> Parsed:
    """yes / no, true / false, ja / nein, 1 / 0."""
    parts = split_cells(cells)
    texts, is_number = parts.texts.str.lower(), ~np.isnan(parts.numbers)
    if is_number.any():
        texts = texts.where(~is_number, pd.Series(parts.numbers, index=cells.index).map({1.0: "1", 0.0: "0"}))
    known = texts.isin([*_YES, *_NO])
    values = texts.isin(_YES).astype("boolean").mask(~known)
    given = texts.notna() | parts.moments.notna() | is_number
    wrong = np.asarray(~known & given)
    return Parsed(values, {"FORMULA_WITHOUT_VALUE": parts.broken, "NOT_A_FLAG": wrong})


def placed(base: Mask | None, where: Mask, mask: Mask) -> Mask:
    """A mask over the text cells, laid over the whole column."""
    out = np.zeros(len(where), dtype=bool) if base is None else base.copy()
    out[where] |= mask
    return out
