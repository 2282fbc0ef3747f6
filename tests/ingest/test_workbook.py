"""The user's workbook loads as it is; a bad one is answered clearly (DOMAIN.md, section 3)."""

from __future__ import annotations

import openpyxl
import pytest
import xlsxwriter

from atlas_lib.core.errors import InputError
from atlas_lib.ingest import read_inputs


def broken(tables, severity="error"):
    """(row, column, rule) of the rejects of one severity."""
    rejects = tables["rejects"]
    rows = rejects[rejects["severity"] == severity]
    return sorted(zip(rows["source_row"].tolist(), rows["column"], rows["rule"], strict=True))


def message_of(tables, rule):
    rejects = tables["rejects"]
    return rejects.loc[rejects["rule"] == rule, "message"].iloc[0]


def test_the_purchase_workbook_with_german_headers_and_formulas_loads_as_it_is(workbook, contract, clean):
    tables = clean(workbook([contract("V-1"), contract("V-2")]))
    contracts = tables["contracts"]
    assert contracts["contract_id"].tolist() == ["V-1", "V-2"]
    assert contracts["merchant_id"].tolist() == ["310100", "310100"]
    assert contracts["merchant_reserve_minor"].tolist() == [23744, 23744]
    assert contracts["merchant_payout_minor"].tolist() == [213696, 213696]
    assert contracts["source_row"].tolist() == [2, 3]
    assert broken(tables) == []


def test_the_check_column_and_the_unnamed_one_are_reported_as_extra(workbook, contract, clean):
    tables = clean(workbook([contract("V-1")]))
    assert tables["input_sheets"]["extra_columns"].tolist() == ["Check_BWS (column H), without a name (column R)"]
    assert broken(tables, "warning") == [(0, "", "EXTRA_COLUMN"), (0, "", "EXTRA_COLUMN")]


def test_a_merchant_named_only_in_contracts_is_listed_without_details(workbook, contract, clean):
    merchants = clean(workbook([contract("V-1")]))["merchants"]
    assert merchants[["merchant_id", "merchant_name", "kyc_status", "risk_level"]].to_numpy().tolist() == [
        ["310100", "ABC", "UNKNOWN", "UNRATED"]
    ]
    assert merchants["credit_limit_minor"].isna().all()


def test_a_preamble_above_the_header_is_skipped(workbook, contract, clean):
    path = workbook([contract("V-1")], start=4)
    book = openpyxl.load_workbook(path)
    book.active["A1"], book.active["A2"] = "Ankaufliste", "Stand 30.11.2023"
    book.save(path)
    tables = clean(path)
    assert tables["input_sheets"]["header_row"].tolist() == [5]
    assert broken(tables) == [(6, "merchant_reserve", "FORMULA_WITHOUT_VALUE")]  # openpyxl stored no results


def test_a_formula_without_a_stored_result_is_named_by_its_cell(workbook, contract, clean):
    path = workbook([contract("V-1"), contract("V-2")])
    book = openpyxl.load_workbook(path)
    book.active["Q3"] = "=N3-P3"
    book.save(path)
    message = message_of(clean(path), "FORMULA_WITHOUT_VALUE")
    assert message.startswith(
        "book.xlsx, sheet Sheet1, cell P2: expected a stored result, found =L2*N2. What to do: open"
    )


def test_an_error_value_in_a_cell_is_refused(workbook, contract, clean):
    path = workbook([contract("V-1", Sicherheitseinbehalt="x")])
    book = openpyxl.load_workbook(path)
    book.active["P2"] = "#DIV/0!"
    book.save(path)
    assert broken(clean(path)) == [(2, "merchant_reserve", "FORMULA_WITHOUT_VALUE")]


def test_a_workbook_with_a_password_is_refused_with_what_to_do(tmp_path):
    path = tmp_path / "secret.xlsx"
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))  # encrypted workbooks are compound files
    with pytest.raises(InputError, match=r"protected by a password.*secret\.xlsx.*remove the password") as error:
        read_inputs(path)
    assert error.value.exit_code == 2


def test_a_truncated_workbook_is_refused_with_what_to_do(workbook, contract):
    path = workbook([contract("V-1")])
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match=r"cannot be read.*book\.xlsx.*cut-off.*save it again"):
        read_inputs(path)


def test_a_workbook_without_any_known_sheet_stops_the_run(workbook, clean):
    path = workbook([["x", 1], ["y", 2]], headers=["a", "b"], sheet="Notes")
    with pytest.raises(InputError, match=r"Nothing in the input is a known table.*contracts.*book\.xlsx Notes"):
        clean(path)


def test_a_missing_column_refuses_the_rows_and_says_so_once(workbook, contract, clean):
    headers = [h if h != "Kaufpreis" else "Spalte" for h in openpyxl_headers()]
    tables = clean(workbook([contract("V-1"), contract("V-2")], headers=headers))
    assert tables["contracts"].empty
    assert broken(tables) == [(0, "purchase_price", "MISSING_COLUMN")]
    assert tables["received_counts"][["rows_in_count", "rejected_count"]].to_numpy().tolist() == [[2, 2]]


def openpyxl_headers():
    return "Vertragsnummer Vertrieb_ID Vertrieb_Name Beginn Tilgdauer Prämie Barzahlungspreis Check_BWS BWS Kaufpreissatz max_Kaufpreissatz Sicherheitensatz Kundenzahlung_Brutto Kaufpreis Marge_CY Sicherheitseinbehalt Broker_Payout".split()


def test_a_header_merged_over_two_columns_names_the_left_one_and_is_reported(workbook, contract, clean):
    headers = openpyxl_headers()
    headers[7] = ""
    path = workbook([contract("V-1")], headers=headers)
    import xlsxwriter

    with xlsxwriter.Workbook(str(path)) as book:
        page = book.add_worksheet()
        page.write_row(0, 0, headers)
        page.merge_range("G1:H1", "Barzahlungspreis")
        row = contract("V-1")
        page.write_row(1, 0, row[:3])
        page.write_datetime(1, 3, row[3], book.add_format({"num_format": "dd.mm.yyyy"}))
        page.write_row(1, 4, row[4:])
    tables = clean(path)
    assert tables["contracts"]["receivable_minor"].tolist() == [336000]
    assert "merged over G1:H1" in message_of(tables, "MERGED_HEADER")


def test_a_totals_row_is_left_out_and_reported(workbook, contract, clean):
    total = [
        "Summe",
        None,
        None,
        None,
        None,
        112,
        6720,
        None,
        None,
        None,
        None,
        None,
        0,
        4748.8,
        1971.2,
        474.88,
        4273.92,
    ]
    tables = clean(workbook([contract("V-1"), contract("V-2"), total]))
    assert len(tables["contracts"]) == 2
    assert broken(tables) == []
    assert "row 4 is a totals row" in message_of(tables, "TOTALS_ROW")


def test_a_row_without_a_word_that_sums_the_rows_above_is_a_totals_row_too(workbook, contract, clean):
    total = [None, None, None, None, None, None, 6720, None, None, None, None, None, None, 4748.8]
    tables = clean(workbook([contract("V-1"), contract("V-2"), total]))
    assert broken(tables) == []
    assert tables["received_counts"]["rows_in_count"].tolist() == [2]


def test_a_row_without_a_number_that_sums_nothing_is_refused(workbook, contract, clean):
    tables = clean(workbook([contract("V-1"), contract("V-2"), contract(None)]))
    assert broken(tables) == [(4, "contract_id", "EMPTY_CELL")]


def test_european_decimals_and_dates_as_text_are_read(workbook, contract, clean):
    row = contract(
        "V-1", Barzahlungspreis="3.360,00", Kaufpreis="2.374,40", Beginn="15.11.2023", Sicherheitensatz="10 %"
    )
    contracts = clean(workbook([row]))["contracts"]
    assert contracts["receivable_minor"].tolist() == [336000]
    assert contracts["start_date"].dt.strftime("%Y-%m-%d").tolist() == ["2023-11-15"]
    assert contracts["reserve_rate"].tolist() == [0.1]


def test_an_ambiguous_rate_is_named_by_its_cell(workbook, contract, clean):
    message = message_of(clean(workbook([contract("V-1"), contract("V-2", Sicherheitensatz=10)])), "AMBIGUOUS_RATE")
    assert message == (
        "book.xlsx, sheet Sheet1, cell L3: expected a rate such as 0.10, 10 % or 10,0, found 10.0. "
        "What to do: write the percent sign, or the fraction."
    )


def test_a_repeated_contract_is_taken_once_and_counted_as_duplicate(workbook, contract, clean):
    tables = clean(workbook([contract("V-1"), contract("V-2"), contract("V-1")]))
    assert tables["contracts"]["source_row"].tolist() == [2, 3]
    assert broken(tables) == [(4, "contract_id", "DUPLICATE_CONTRACT")]
    assert tables["received_counts"]["duplicate_count"].tolist() == [1]


def test_a_contract_number_with_two_sets_of_figures_is_not_guessed(workbook, contract, clean):
    tables = clean(workbook([contract("V-1"), contract("V-1", Tilgdauer=30, Prämie=112), contract("V-2")]))
    assert tables["contracts"]["contract_id"].tolist() == ["V-2"]
    assert broken(tables) == [(2, "contract_id", "CONFLICTING_CONTRACT"), (3, "contract_id", "CONFLICTING_CONTRACT")]


def test_two_currencies_in_one_column_are_kept_apart_and_noted(workbook, contract, clean):
    rows = [contract("V-1"), contract("V-2", Barzahlungspreis="3,360.00 USD")]
    tables = clean(workbook(rows))
    assert tables["contracts"]["currency"].tolist() == ["EUR", "USD"]
    assert broken(tables, "warning")[-1] == (3, "currency", "MIXED_CURRENCY")


def test_another_currency_than_the_row_says_is_refused(workbook, contract, clean):
    row = contract("V-1", Barzahlungspreis="3,360.00 USD", Kaufpreis="2,374.40 EUR")
    assert broken(clean(workbook([row]))) == [(2, "purchase_price", "CURRENCY_MISMATCH")]


def test_a_negative_premium_is_refused(workbook, contract, clean):
    tables = clean(workbook([contract("V-1", Prämie=-56)]))
    assert (2, "premium", "NEGATIVE_PREMIUM") in broken(tables)


def test_a_file_of_another_kind_is_noted_not_refused(workbook, contract, clean):
    path = workbook([contract("V-1")])
    (path.parent / "readme.pdf").write_bytes(b"%PDF")
    tables = clean(path.parent)
    assert len(tables["contracts"]) == 1
    assert (0, "", "UNKNOWN_FILE") in broken(tables, "warning")


def test_a_sheet_that_fits_nothing_is_noted_beside_one_that_does(workbook, contract, clean):
    path = workbook([contract("V-1")])
    book = openpyxl.load_workbook(path, data_only=True)
    book.create_sheet("Notes")["A1"] = "call the bank"
    book.save(path)
    assert (0, "", "UNKNOWN_SHEET") in broken(clean(path), "warning")


def test_an_id_has_the_leading_zeros_that_its_format_shows(tmp_path, clean):
    with xlsxwriter.Workbook(str(tmp_path / "merchants.xlsx")) as book:
        ids, money, page = book.add_format({"num_format": "000000"}), book.add_format({"num_format": "0.00"}), book.add_worksheet("merchants")  # fmt: skip
        page.write_row(0, 0, ["merchant_id", "merchant_name", "credit_limit", "currency"])
        for row, number in enumerate([123, 1234567, 0], start=1):
            page.write_number(row, 0, number, ids)
            page.write_row(row, 1, ["Name"])
            page.write_number(row, 2, 5, money)
            page.write(row, 3, "EUR")
        page.write_formula(4, 0, "=A2+1", ids, 124)
        page.write_row(4, 1, ["Name", 5, "EUR"])
        page.write_row(5, 0, [77, "Name", 5, "EUR"])
    merchants = clean(tmp_path)["merchants"]
    assert sorted(merchants["merchant_id"]) == ["000000", "000123", "000124", "1234567", "77"]
    assert merchants["credit_limit_minor"].tolist() == [500] * 5
