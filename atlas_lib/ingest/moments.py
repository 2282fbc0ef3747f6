"""Dates and moments as people type them; the rules stand in parsing.py."""

from __future__ import annotations

import numpy as np
import pandas as pd

from atlas_lib.ingest.cells import Mask, Parsed, placed, split_cells


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
        faults["AMBIGUOUS_DATE"] = placed(None, has_text, ambiguous)
        unread = placed(None, has_text, np.asarray(moments.isna()) & ~ambiguous)
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
