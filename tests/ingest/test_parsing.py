"""Cells as people type them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas_lib.ingest.cells import Uncalculated
from atlas_lib.ingest.parsing import PARSERS, parse_amount, parse_ratio


def read(kind: str, *cells: object) -> tuple[list[object], set[str]]:
    """Values (None where missing) and the rules broken by any cell."""
    parsed = PARSERS[kind](pd.Series(list(cells), dtype=object))
    values = [None if pd.isna(v) else v for v in parsed.result]
    return values, {rule for rule, mask in parsed.faults.items() if mask.any()}


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1.234,56", 1234.56), ("1,234.56", 1234.56), ("1 234,56", 1234.56), ("1'234.50", 1234.5), ("12,5", 12.5),
        ("1234.567", 1234.567), ("0,125", 0.125), ("(12.50)", -12.5), ("12.50-", -12.5), ("−3", -3.0), ("1.234.567", 1234567.0),
        (" 7 ", 7.0), ("1.234,50 €", 1234.5), ("USD 12.00", 12.0),
    ],
)  # fmt: skip
def test_an_amount_typed_as_text_is_read(text, amount):
    assert read("amount", text) == ([amount], set())


@pytest.mark.parametrize("text", ["1.234", "1,234", "12.000", "999,999"])
def test_one_separator_before_three_digits_is_refused_not_guessed(text):
    assert read("amount", text) == ([None], {"AMBIGUOUS_NUMBER"})


def test_the_setting_decimal_mark_says_how_to_read_it():
    cells = pd.Series(["1.234", "1,234"], dtype="str")
    assert parse_amount(cells, ".").result.tolist() == [1.234, 1234.0]
    assert parse_amount(cells, ",").result.tolist() == [1234.0, 1.234]
    assert not any(mask.any() for mask in parse_amount(cells, ",").faults.values())


def test_a_number_cell_is_never_ambiguous_and_binary_dust_is_brushed_off():
    assert read("amount", 1.234, 171.60500000000002) == ([1.234, 171.605], set())


@pytest.mark.parametrize("cell", ["12,3x", "1.2.3", "12,34,5", "--5", True, dt.date(2023, 1, 1)])
def test_what_is_no_number_is_refused(cell):
    assert read("amount", cell) == ([None], {"NOT_A_NUMBER"})


def test_the_currency_sign_of_an_amount_is_kept():
    parsed = parse_amount(pd.Series(["12 €", "$5", "7"], dtype="str"))
    assert parsed.currency is not None
    assert parsed.currency.fillna("").tolist() == ["EUR", "USD", ""]


@given(st.decimals(min_value=0, max_value=10**9, places=2), st.sampled_from(["de", "en", "plain"]))
def test_a_two_decimal_amount_is_read_exactly_in_either_style(amount, style):
    english = f"{amount:,.2f}"
    text = {"en": english, "plain": f"{amount:.2f}", "de": english.translate(str.maketrans(",.", ".,"))}[style]
    (value,), faults = read("amount", text)
    assert not faults
    assert Decimal(str(value)) == amount


@given(st.lists(st.text(max_size=12), min_size=1, max_size=20), st.sampled_from(sorted(PARSERS)))
def test_no_text_breaks_a_parser_and_every_filled_cell_has_a_value_or_a_reason(texts, kind):
    parsed = PARSERS[kind](pd.Series(texts, dtype=object))
    refused = np.logical_or.reduce([*parsed.faults.values(), np.zeros(len(texts), dtype=bool)])
    filled = np.array([bool(t.strip()) for t in texts])
    assert (parsed.result.notna().to_numpy() | refused | ~filled).all()


@pytest.mark.parametrize(
    ("cell", "rate"),
    [
        ("10 %", 0.1),
        ("10,0", 0.1),
        ("7,5%", 0.075),
        ("100 %", 1.0),
        ("0,1", 0.1),
        ("0.0715", 0.0715),
        (0.1, 0.1),
        (1, 1.0),
        ("0", 0.0),
    ],
)
def test_a_rate_is_a_fraction_or_says_percent(cell, rate):
    assert read("rate", cell) == ([rate], set())


@pytest.mark.parametrize("cell", ["10", "1", "1,0", 10, 10.5])
def test_ten_in_a_rate_column_is_refused(cell):
    assert read("rate", cell) == ([None], {"AMBIGUOUS_RATE"})


def test_an_exchange_rate_keeps_its_three_decimals():
    assert parse_ratio(pd.Series(["1.085", "171,8", 0.938], dtype=object)).result.tolist() == [1.085, 171.8, 0.938]


@pytest.mark.parametrize(
    "cell",
    [
        "2023-11-15",
        "2023-11-15 00:00:00",
        "15.11.2023",
        "15/11/2023",
        "11/15/2023",
        "20231115",
        20231115,
        dt.date(2023, 11, 15),
        pd.Timestamp(2023, 11, 15, 9),
    ],
)
def test_a_date_is_read(cell):
    assert read("date", cell) == ([pd.Timestamp(2023, 11, 15)], set())


@pytest.mark.parametrize(
    ("cell", "rule"),
    [
        ("03/04/2026", "AMBIGUOUS_DATE"),
        ("31.02.2023", "NOT_A_DATE"),
        ("15.11.23", "AMBIGUOUS_DATE"),
        ("soon", "NOT_A_DATE"),
        (45245, "DATE_AS_NUMBER"),
    ],
)
def test_a_date_that_is_not_certain_is_refused(cell, rule):
    assert read("date", cell) == ([None], {rule})


def test_day_and_month_alike_need_no_order():
    assert read("date", "04/04/2026") == ([pd.Timestamp(2026, 4, 4)], set())


@pytest.mark.parametrize(
    "text",
    [
        "2023-11-15T10:00:00Z",
        "2023-11-15T12:00:00+02:00",
        "2023-11-15 10:00",
        "15.11.2023 10:00",
        "15.11.2023, 10:00:00",
    ],
)
def test_a_moment_is_read_as_utc(text):
    assert read("instant", text) == ([pd.Timestamp("2023-11-15 10:00", tz="UTC")], set())


def test_a_numeric_id_is_text_without_a_decimal_point():
    assert read("text", 310100.0, " a ", "") == (["310100", "a", None], set())


def test_an_id_of_more_digits_than_excel_keeps_is_refused():
    assert read("text", 1.234567890123457e16) == ([None], {"DIGITS_LOST"})


@pytest.mark.parametrize("kind", sorted(PARSERS))
def test_a_formula_without_a_stored_result_is_refused(kind):
    assert read(kind, Uncalculated("=L2*N2")) == ([None], {"FORMULA_WITHOUT_VALUE"})


def test_yes_and_no_in_two_languages():
    assert read("bool", "ja", True, 0, "NO", "vielleicht", 2) == (
        [True, True, False, False, None, None],
        {"NOT_A_FLAG"},
    )


def test_a_whole_number_has_no_fraction():
    assert read("whole", "60", 60.0, "60,5") == ([60, 60, None], {"NOT_WHOLE"})
