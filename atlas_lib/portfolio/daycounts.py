"""How long a period is, in years, as exact fractions: the five day counts, and whole months."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from atlas_lib.core.calendars import Dates, add_months
from atlas_lib.portfolio.loans import Whole, YearFractions

DayCount = Literal["months", "30/360", "30E/360", "ACT/360", "ACT/365F", "ACT/ACT ISDA"]

_MONTH_PARTS = 28 * 29 * 30 * 31 // 2  # divisible by the days of every month


def year_fractions(start: ArrayLike, end: ArrayLike, day_count: DayCount) -> YearFractions:
    """Length of each period [start, end) in years.

    - months: whole months back from `end` count 1 / 12 each, the days before them their share of that month
    - 30/360 (bond basis): day 31 becomes 30, at the end only where the start is day 30 or 31
    - 30E/360: day 31 becomes 30 on both sides
    - ACT/360, ACT/365F: calendar days over 360 or 365
    - ACT/ACT ISDA: days in leap years over 366, the others over 365

    Source: ISDA 2006 Definitions, section 4.16.
    """
    first, last = np.asarray(start).astype("datetime64[D]"), np.asarray(end).astype("datetime64[D]")
    if day_count == "months":
        return _by_months(first, last)
    if day_count.startswith("30"):
        return YearFractions(_thirty_days(first, last, is_european=day_count == "30E/360"), 360)
    days = (last - first).astype(np.int64)
    if day_count == "ACT/ACT ISDA":
        leap = _leap_days(last) - _leap_days(first)
        return YearFractions(leap * 365 + (days - leap) * 366, 365 * 366)
    return YearFractions(days, 360 if day_count == "ACT/360" else 365)


def _thirty_days(first: Dates, last: Dates, *, is_european: bool) -> Whole:
    (y1, m1, d1), (y2, m2, d2) = _parts(first), _parts(last)
    shortened = np.minimum(d2, 30)
    d2 = shortened if is_european else np.where(d1 >= 30, shortened, d2)
    return np.asarray(360 * (y2 - y1) + 30 * (m2 - m1) + d2 - np.minimum(d1, 30))


def _parts(dates: Dates) -> tuple[Whole, Whole, Whole]:
    months = dates.astype("datetime64[M]")
    count = months.astype(np.int64)
    return count // 12, count % 12, (dates - months.astype("datetime64[D]")).astype(np.int64) + 1


def _leap_days(dates: Dates) -> Whole:
    """Days of leap years from year 1 up to the date."""
    years = dates.astype("datetime64[Y]")
    before = years.astype(np.int64) + 1969
    count = before // 4 - before // 100 + before // 400
    year = before + 1
    is_leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    return np.asarray(count * 366 + np.where(is_leap, (dates - years.astype("datetime64[D]")).astype(np.int64), 0))


def _by_months(first: Dates, last: Dates) -> YearFractions:
    """From 31 January to 29 February is a month, and so is from there to 31 March."""
    between = (last.astype("datetime64[M]") - first.astype("datetime64[M]")).astype(np.int64)
    is_whole = (add_months(first, between) == last) | (add_months(last, -between) == first)
    whole = between - (add_months(last, -between) < first)
    reached = add_months(last, -whole)
    length = (reached - add_months(last, -whole - 1)).astype(np.int64)
    stub = whole * _MONTH_PARTS + (reached - first).astype(np.int64) * (_MONTH_PARTS // length)
    return YearFractions(np.where(is_whole, between * _MONTH_PARTS, stub), 12 * _MONTH_PARTS)
