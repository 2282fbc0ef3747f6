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


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1.234,5-", -1234.5), ("(12)", -12.0), ("EUR12", 12.0), ("EUR -12", -12.0), ("(12 EUR)", -12.0), ("US$ 5", 5.0),
        ("１２，５", 12.5), ("1\u202f234,56", 1234.56), ("1\u00a0234", 1234.0), ("–12", -12.0), ("﹣3", -3.0), ("1’234.50", 1234.5),
    ],
)  # fmt: skip
def test_accounting_forms_and_what_other_keyboards_write_are_read(text, amount):
    assert read("amount", text) == ([amount], set())


@pytest.mark.parametrize("text", ["1,2e3", "12 34", "1 2345", "1,23,456.00", "12-34", "٣٤", "-", "€", "12.-"])
def test_groups_that_are_no_thousands_and_other_digits_are_refused(text):
    assert read("amount", text) == ([None], {"NOT_A_NUMBER"})


@given(
    st.lists(st.decimals(min_value=-(10**9), max_value=10**9, places=2), min_size=1, max_size=12),
    st.sampled_from(["{:,.2f}", "{:.2f}", "{:,.2f} EUR", "EUR {:,.2f}"]),
    st.sampled_from([",.", ".,", "'.", " ,"]),
    st.sampled_from(["-", "trailing", "brackets"]),
)
def test_a_column_of_amounts_equals_decimal_on_every_row(amounts, form, marks, sign):
    texts = []
    for amount in amounts:
        text = form.format(abs(amount)).replace(",", "\0").replace(".", marks[1]).replace("\0", marks[0])
        signed = {"-": f"-{text}", "trailing": f"{text}-", "brackets": f"({text})"}[sign]
        texts.append(signed if amount < 0 else text)
    parsed = parse_amount(pd.Series(texts, dtype="str"))
    assert not parsed.refused.any()
    assert [Decimal(str(v)) for v in parsed.result] == [a + 0 for a in amounts]


def test_a_column_that_proves_its_decimal_comma_decides_a_single_group_and_says_so():
    parsed = parse_amount(pd.Series(["1.234", "12,50", "2.000"], dtype="str"))
    assert parsed.result.tolist() == [1234.0, 12.5, 2000.0]
    assert parsed.inferred["DECIMAL_MARK_INFERRED"].tolist() == [True, False, False]


@pytest.mark.parametrize("others", [["12,50", "1.5"], ["12.50"], [3.0, "12,50"], []])
def test_contradiction_number_cells_or_three_decimals_decide_nothing(others):
    assert "AMBIGUOUS_NUMBER" in read("amount", "1.234", *others)[1]


@pytest.mark.parametrize(
    "text",
    ["3. Okt 2026", "03-Oct-2026", "3 October 2026", "Oct 3, 2026", "October 3rd 2026", "03OCT2026", "2026/10/03", "2026.10.03", "Sa., 3. Okt. 2026", "2026-10-03T00:30:00+02:00", "3.10.2026 10:00 Uhr"],
)  # fmt: skip
def test_a_date_in_words_keeps_the_day_as_written(text):
    assert read("date", text) == ([pd.Timestamp(2026, 10, 3)], set())


@pytest.mark.parametrize(
    ("text", "rule"),
    [("3.10.26", "AMBIGUOUS_DATE"), ("03/10/26", "AMBIGUOUS_DATE"), ("930101", "AMBIGUOUS_DATE"), ("3-10-2026", "AMBIGUOUS_DATE"), ("45245", "DATE_AS_NUMBER"), ("3 Foo 2026", "NOT_A_DATE"), ("0202-01-01", "NOT_A_DATE"), ("2026-13-01", "NOT_A_DATE")],
)  # fmt: skip
def test_two_digit_years_day_numbers_and_days_that_do_not_exist_are_refused(text, rule):
    assert read("date", text) == ([None], {rule})


@pytest.mark.parametrize(
    "text",
    ["2026-10-03 12:00:00 +0200", "3.10.2026 11:00 CET", "3.10.2026 12:00 MESZ", "Oct 3, 2026 10:00 AM", "3. Okt 2026, 10:00:00.000 Z"],
)  # fmt: skip
def test_zones_and_half_days_are_understood(text):
    assert read("instant", text) == ([pd.Timestamp("2026-10-03 10:00", tz="UTC")], set())


@pytest.mark.parametrize("text", ["3.10.2026 10:00 EST", "2026-10-03 24:00", "10/13/2026 15:06 PM"])
def test_zones_that_mean_several_and_hours_that_do_not_exist_are_refused(text):
    assert read("instant", text) == ([None], {"NOT_A_DATE"})


def test_a_column_that_proves_its_order_decides_the_open_dates_and_says_so():
    parsed = PARSERS["date"](pd.Series(["03/04/2026", "31/12/2026", "05/04/2026"], dtype="str"))
    assert parsed.result.dt.strftime("%d.%m.").tolist() == ["03.04.", "31.12.", "05.04."]
    assert parsed.inferred["DATE_ORDER_INFERRED"].tolist() == [True, False, False]


@pytest.mark.parametrize("other", ["12/31/2026", pd.Timestamp(2026, 1, 1)])
def test_a_contradiction_or_date_cells_decide_nothing(other):
    assert read("date", "03/04/2026", "31/12/2026", other)[1] == {"AMBIGUOUS_DATE"}


def test_an_order_is_proven_only_for_dates_with_the_same_sign_between():
    found, rules = read("date", "01-10-2026", "1/13/2026", "2/3/2026")
    assert found == [None, pd.Timestamp(2026, 1, 13), pd.Timestamp(2026, 2, 3)]
    assert rules >= {"AMBIGUOUS_DATE"}


@given(st.lists(st.dates(dt.date(1900, 1, 1), dt.date(2199, 12, 31)), min_size=1, max_size=8), st.sampled_from(["%d.%m.%Y", "%Y-%m-%d", "%Y/%m/%d", "%d %B %Y", "%b %d, %Y", "%Y%m%d"]))  # fmt: skip
def test_a_column_of_dates_in_one_form_equals_strptime_on_every_row(days, form):
    parsed = PARSERS["date"](pd.Series([day.strftime(form) for day in days], dtype="str"))
    assert not parsed.refused.any()
    assert [value.date() for value in parsed.result] == days
