"""Business days and month steps.

TARGET closing days: ECB, "TARGET2 long-term calendar for closing days" (1 January, Good Friday,
Easter Monday, 1 May, 25 and 26 December), taken from the `holidays` package's ECB calendar.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Dates = NDArray[np.datetime64]
Roll = Literal["following", "modifiedfollowing", "preceding"]

# Currencies whose own country's holidays close their settlement system; the code begins with that of the country.
_OWN = frozenset(
    "AED AUD BHD BRL CAD CHF CNY CZK DKK EGP GBP HKD HUF ILS ISK JOD JPY KRW KWD MXN NOK NZD OMR PLN QAR RON SAR SEK SGD THB TRY USD ZAR".split()
)
_FRIDAY, _SATURDAY = 4, 5
_WEEKMASK, _FRIDAY_WEEKMASK = "1111100", "1111001"  # Monday first
_YEARS = range(1999, 2061)


@lru_cache(maxsize=64)
def business_calendar(currency: str = "EUR") -> np.busdaycalendar:
    """The settlement calendar of a currency, with the weekend of its country; one without its own follows TARGET.

    The weekend is Saturday and Sunday, or Friday and Saturday where the `holidays` package gives these for the country.
    """
    import holidays

    closed = (
        holidays.country_holidays(currency[:2], years=_YEARS)
        if currency in _OWN
        else holidays.financial_holidays("ECB", years=_YEARS)
    )
    mask = _FRIDAY_WEEKMASK if closed.weekend == {_FRIDAY, _SATURDAY} else _WEEKMASK
    return np.busdaycalendar(weekmask=mask, holidays=np.array(sorted(closed), dtype="datetime64[D]"))


def roll_to_business_day(dates: ArrayLike, currency: str = "EUR", roll: Roll = "following") -> Dates:
    """The same day if open, else the next (or previous) open one."""
    return np.busday_offset(_days(dates), 0, roll=roll, busdaycal=business_calendar(currency))


def add_business_days(dates: ArrayLike, days: ArrayLike, currency: str = "EUR") -> Dates:
    """The n-th open day after the date (a closed start counts from the next open day)."""
    return np.busday_offset(_days(dates), days, roll="following", busdaycal=business_calendar(currency))


def is_business_day(dates: ArrayLike, currency: str = "EUR") -> NDArray[np.bool_]:
    return np.asarray(np.is_busday(_days(dates), busdaycal=business_calendar(currency)))


def add_months(anchor: ArrayLike, months: ArrayLike) -> Dates:
    """Anchored month steps: day = min(anchor day, month end), so 31 Jan + 1 = 28 Feb, + 2 = 31 Mar."""
    start = _days(anchor)
    month = start.astype("datetime64[M]")
    day = (start - month.astype("datetime64[D]")).astype(np.int64)
    target = month + np.asarray(months).astype("timedelta64[M]")
    last = ((target + 1).astype("datetime64[D]") - target.astype("datetime64[D]")).astype(np.int64) - 1
    return np.asarray(target.astype("datetime64[D]") + np.minimum(day, last).astype("timedelta64[D]"))


def _days(dates: ArrayLike) -> Dates:
    return np.asarray(dates).astype("datetime64[D]")
