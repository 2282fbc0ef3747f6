"""Which table a sheet is."""

from __future__ import annotations

import pytest

from atlas_lib.ingest.headers import find_header, match_columns, named_table
from atlas_lib.ingest.vocabulary import fields, fold, known_words, tables


@pytest.mark.parametrize("table", tables())
def test_every_table_knows_its_own_columns_in_any_spelling(table):
    names = [f.name for f in fields(table, "")]
    shouted = [name.upper().replace("_", " ") for name in names]
    assert match_columns(table, shouted) == {name: i for i, name in enumerate(names)}
    fit = find_header([shouted], "Sheet1")
    assert fit is not None
    assert fit.table == table


def test_accents_sharp_s_and_punctuation_do_not_count():
    assert fold("Max. Kaufpreis-Satz (größer)") == "maxkaufpreissatzgrosser"
    assert match_columns("contracts", ["PRÄMIE", "vertrieb id", "Praemie"]) == {"premium": 0, "merchant_id": 1}


def test_no_column_has_a_name_that_begins_with_a_digit():
    """`fit_row` passes over such cells."""
    assert not [word for word in known_words() if word[0].isdigit()]


def test_the_leftmost_of_two_columns_that_mean_the_same_is_taken():
    assert match_columns("merchants", ["limit", "Kreditlimit"]) == {"credit_limit": 0}


def test_a_column_under_its_own_name_wins_over_an_alias_to_its_left():
    assert match_columns("transactions", ["id", "transaction_id"])["transaction_id"] == 1


@pytest.mark.parametrize(
    ("names", "table"),
    [
        (("statement_balances_USD",), "statement_balances"),
        (("Tabelle1", "transactions-2026"), "transactions"),
        (("Sheet1", "misc"), ""),
    ],
)
def test_the_longest_known_name_says_the_table(names, table):
    assert named_table(*names) == table


def test_columns_win_over_a_misleading_file_name():
    header = "Vertragsnummer Vertrieb_ID Beginn Tilgdauer Prämie Barzahlungspreis Sicherheitensatz".split()
    fit = find_header([header], "Sheet1", "Merchant_Data")
    assert fit is not None
    assert fit.table == "contracts"


def test_the_header_is_the_row_that_names_most_columns():
    rows = [
        ["Report", None, None],
        [None, None, None],
        ["currency", "opening_balance", "minimum_balance"],
        ["EUR", 1, 2],
    ]
    fit = find_header(rows, "liquidity")
    assert fit is not None
    assert (fit.table, fit.row) == ("liquidity", 2)


def test_two_stray_words_make_no_table():
    assert find_header([["Name", "date"]], "notes") is None
