import warnings

import numpy as np
import pytest

from atlas_lib.core.calendars import (
    _OWN,
    add_business_days,
    add_months,
    business_calendar,
    is_business_day,
    roll_to_business_day,
)


def test_target_is_closed_on_its_six_holidays():
    """ECB, long-term calendar of TARGET closing days: 2024."""
    closed = ["2024-01-01", "2024-03-29", "2024-04-01", "2024-05-01", "2024-12-25", "2024-12-26"]
    assert not is_business_day(closed).any()
    assert is_business_day(["2024-05-09", "2024-10-03", "2024-12-24"]).all()


def test_a_closed_day_rolls_forward_and_back_when_the_month_would_end():
    assert str(roll_to_business_day("2024-03-29")) == "2024-04-02"
    assert str(roll_to_business_day("2024-03-30", roll="modifiedfollowing")) == "2024-03-28"


def test_business_days_are_counted_over_weekends_and_holidays():
    assert str(add_business_days("2024-03-28", 1)) == "2024-04-02"


@pytest.mark.parametrize(
    ("anchor", "months", "day"),
    [
        ("2023-01-31", 1, "2023-02-28"),
        ("2023-01-31", 2, "2023-03-31"),
        ("2024-01-31", 1, "2024-02-29"),
        ("2023-11-15", 14, "2025-01-15"),
    ],
)
def test_month_steps_keep_the_anchor_day(anchor, months, day):
    assert str(add_months(anchor, months)) == day


def test_month_steps_are_vectorised_over_periods():
    assert add_months(np.array(["2023-12-31"]), np.arange(3)).astype(str).tolist() == [
        "2023-12-31",
        "2024-01-31",
        "2024-02-29",
    ]


def test_other_currencies_take_their_own_calendar():
    assert not is_business_day("2024-07-04", "USD").any()
    assert is_business_day("2024-07-04", "EUR").all()


def test_a_country_whose_weekend_is_friday_and_saturday_works_on_sunday():
    """Saudi Arabia; 2024-05-31 is a Friday."""
    assert is_business_day(["2024-05-31", "2024-06-01", "2024-06-02"], "SAR").tolist() == [False, False, True]
    assert str(add_business_days("2024-05-30", 1, "SAR")) == "2024-06-02"
    assert is_business_day(["2024-05-31", "2024-06-01", "2024-06-02"], "AED").tolist() == [True, False, False]


@pytest.mark.parametrize(("currency", "holiday"), [("CAD", "2024-07-01"), ("AUD", "2024-01-26"), ("ISK", "2024-06-17")])
def test_more_currencies_keep_the_holidays_of_their_country(currency, holiday):
    assert not is_business_day(holiday, currency).any()
    assert is_business_day(holiday, "EUR").all()


def test_every_calendar_can_be_made_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = {code: business_calendar.__wrapped__(code) for code in _OWN}
    assert all(len(calendar.holidays) > 61 for calendar in made.values())
