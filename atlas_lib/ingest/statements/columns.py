"""Columns of an export as values: the first filled one, days, sums of figures; a cell that cannot be read stays its text.

A text among the figures is refused later by the check of the table, with its line and what was expected.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from atlas_lib.ingest.parsing import parse_amount
from atlas_lib.ingest.statements.layouts import Amount, Layout


def first_filled(frame: pd.DataFrame, names: Sequence[str]) -> pd.Series:
    """The first filled of these columns; a column the file lacks is empty."""
    found = pd.Series(pd.NA, index=frame.index, dtype="str")
    for column in names:
        if column in frame:
            found = found.fillna(frame[column])
    return found


def joined(frame: pd.DataFrame, names: Sequence[str]) -> pd.Series:
    parts = [frame[n].fillna("") for n in names if n in frame]
    if not parts:
        return pd.Series(pd.NA, index=frame.index, dtype="str")
    text = parts[0]
    for part in parts[1:]:
        text = text + " " + part
    tidy = text.str.split().str.join(" ")
    return tidy.mask(tidy == "")


def days(texts: pd.Series, layout: Layout) -> pd.Series:
    """ISO days; what no declared form fits stays as it is and is refused by the check."""
    found = pd.Series(pd.NA, index=texts.index, dtype="str")
    for form in _order_of(texts, layout) if layout.day_first_or_month_first else layout.date_formats:
        read = pd.to_datetime(texts, format=form, errors="coerce", utc="%z" in form)
        found = found.fillna(read.dt.strftime("%Y-%m-%d").astype("str"))
    return found.fillna(("not as " + layout.date_format + ": " + texts).astype("str"))


def _order_of(texts: pd.Series, layout: Layout) -> tuple[str, ...]:
    """Day before month or the other way round, if a day above 12 decides it for the whole file; else no form at all."""
    turned = layout.date_format.translate(str.maketrans("dm", "md"))
    read = {form: pd.to_datetime(texts, format=form, errors="coerce").notna() for form in (layout.date_format, turned)}
    filled = int(texts.notna().sum())
    fitting = tuple(form for form, ok in read.items() if ok.sum() == filled)
    return fitting if len(fitting) == 1 else ()


def numbers(texts: pd.Series, decimal_mark: str) -> pd.Series:
    """Units as float where the text is one number; another text stays, so that the check names it."""
    parsed = parse_amount(texts, decimal_mark)
    figures = parsed.result.astype(object)
    return figures.where(parsed.result.notna(), texts.astype(object)).where(texts.notna(), None)


def signed_amount(frame: pd.DataFrame, amount: Amount, mark: str) -> pd.Series:
    """Positive for money in."""
    if amount.column:
        found = numbers(first_filled(frame, [amount.column]), mark)
        if amount.direction:
            return _directed(frame, found, amount)
        return found if amount.positive_is == "credit" else turned(found)
    credit, debit = summed(frame, amount.credit, mark), summed(frame, amount.debit, mark)
    return less(credit, debit if amount.debit_is == "positive" else turned(debit))


def _directed(frame: pd.DataFrame, found: pd.Series, amount: Amount) -> pd.Series:
    """Negative for a debit; a word that is neither takes the place of the figure."""
    is_debit = says(frame, amount.direction, amount.debit_words)
    is_known = is_debit | says(frame, amount.direction, amount.credit_words)
    word = "neither debit nor credit: " + first_filled(frame, amount.direction).fillna("nothing")
    return turned(_absolute(found), is_debit).where(is_known | found.isna(), word.astype(object))


def says(frame: pd.DataFrame, columns: Sequence[str], words: Sequence[str]) -> pd.Series:
    return first_filled(frame, columns).str.lower().isin([w.lower() for w in words])


def summed(frame: pd.DataFrame, names: Sequence[str], mark: str) -> pd.Series:
    """The columns' sum, empty where all are; a cell that is no number takes the place of the sum."""
    total = pd.Series([None] * len(frame), index=frame.index, dtype=object)
    for column in names:
        if column in frame:
            total = less(total, turned(numbers(frame[column], mark)))
    return total


def less(left: pd.Series, right: pd.Series) -> pd.Series:
    """left - right on mixed cells: empty counts as 0 beside a number, a text stays."""
    a, b = _floats(left), _floats(right)
    result = (a.fillna(0) - b.fillna(0)).round(8).astype(object)
    result = result.where(a.notna() | b.notna(), None)
    return result.where(~_is_text(right), right).where(~_is_text(left), left)


def turned(values: pd.Series, where: pd.Series | None = None) -> pd.Series:
    figures = _floats(values)
    is_turned = figures.notna() if where is None else figures.notna() & where
    return values.where(~is_turned, (0 - figures).astype(object))


def _absolute(values: pd.Series) -> pd.Series:
    figures = _floats(values)
    return values.where(figures.isna(), figures.abs().astype(object))


def scaled(values: pd.Series, minor: NDArray[np.generic]) -> pd.Series:
    figures = _floats(values) / minor
    return values.where(figures.isna(), figures.astype(object))


def _floats(values: pd.Series) -> pd.Series:
    """The figures among the cells; a text is none, whatever it says."""
    return pd.to_numeric(values.mask(_is_text(values)), errors="coerce").astype("float64")


def _is_text(values: pd.Series) -> pd.Series:
    return values.map(lambda v: isinstance(v, str)).astype(bool)
