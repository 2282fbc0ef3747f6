"""Where the tables stand in a messy sheet, and what becomes of every other row."""

from __future__ import annotations

from typing import Any

import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_lib.ingest.areas import find_areas
from atlas_lib.ingest.grid import Grid
from atlas_lib.ingest.recognition import name_sheet, raw_sheets

HEADER = ["currency", "opening_balance", "minimum_balance"]
ROWS: list[list[Any]] = [["EUR", 100.0, 10.0], ["USD", 50.0, 5.0], ["GBP", 25.0, 5.0]]
MERCHANTS = ["merchant_id", "merchant_name", "credit_limit", "currency"]


def found(rows, expected="liquidity", merged=()):
    """Per table: name, first header row, data rows (both as Excel counts)."""
    grid = Grid.of_rows(rows)
    areas, left = find_areas(grid, expected, merged)
    return [(a.fit.table, a.top + 1, (a.rows + 1).tolist()) for a in areas], [
        (i.use, i.first_row, i.last_row) for i in left
    ]


def test_logo_rows_and_a_preamble_are_left_above_the_header():
    tables, left = found([["ACME"], [], ["as of", "30.10.2026"], HEADER, *ROWS])
    assert tables == [("liquidity", 4, [5, 6, 7])]
    assert left == [("above the header", 1, 3)]


def test_a_header_far_below_the_top_is_found():
    tables, _ = found([["line of the disclaimer"]] * 120 + [HEADER, *ROWS])
    assert tables == [("liquidity", 121, [122, 123, 124])]


def test_a_units_row_below_the_header_is_no_data():
    tables, left = found([HEADER, [None, "EUR", "(EUR)"], *ROWS])
    assert tables == [("liquidity", 1, [3, 4, 5])]
    assert left == [("units", 2, 2)]


def test_figures_in_thousands_are_not_taken_as_they_stand():
    grid = Grid.of_rows([HEADER, [None, "TEUR", "EUR"], *ROWS])
    areas, left = find_areas(grid, "liquidity")
    assert set(areas[0].fit.positions) == {"currency", "minimum_balance"}
    assert "scaled units" in [item.use for item in left]


def test_subtotals_in_the_middle_and_a_total_at_the_end_are_left_out():
    rows = [HEADER, *ROWS[:2], ["Zwischensumme", 150.0, None], ROWS[2], ["Summe", 175.0, None]]
    tables, left = found(rows)
    assert tables == [("liquidity", 1, [2, 3, 5])]
    assert left == [("totals", 4, 4), ("totals", 6, 6)]


def test_a_subtotal_without_a_word_is_known_by_its_sum():
    tables, left = found([HEADER, *ROWS[:2], [None, 150.0, 15.0], ROWS[2], [None, 175.0, 20.0]])
    assert tables == [("liquidity", 1, [2, 3, 5])]
    assert [use for use, _, _ in left] == ["totals", "totals"]


@pytest.mark.parametrize(("code", "is_compared"), [("EUR", True), ("eur ", True), ("USD", False)])
def test_a_total_that_does_not_add_up_says_so_unless_it_mixes_currencies(code, is_compared):
    rows = [["M1", "Shop", 100.0, "EUR"], ["M2", "Bar", 75.0, code], ["Total", None, 176.0, None]]
    _, left = find_areas(Grid.of_rows([MERCHANTS, *rows]), "merchants")
    assert ("states 176.00 for credit_limit, the rows above it sum to 175.00" in left[0].reason) is is_compared


@pytest.mark.parametrize(
    ("amount", "stated", "is_said"),
    [(10.01, 4004.0, False), (10.01, 4004.01, True), (10.01, 4005.9, True), (10.0149, 4004.0, False)],
)
def test_a_total_of_many_rows_is_compared_to_the_cent_unless_they_are_unrounded(amount, stated, is_said):
    rows = [[f"M{n}", "Shop", amount, "EUR"] for n in range(400)]
    _, left = find_areas(Grid.of_rows([MERCHANTS, *rows, ["Total", None, stated, None]]), "merchants")
    assert ("it states" in left[0].reason) is is_said


def test_a_row_without_a_key_whose_figures_are_no_sum_stays_data():
    tables, _ = found([HEADER, *ROWS, [None, 999.0, 3.0]])
    assert tables[0][2] == [2, 3, 4, 5]


def test_a_client_called_total_is_no_totals_row():
    rows = [MERCHANTS, ["M1", "Total Energies", None, None], ["M2", "Other", 5.0, "EUR"]]
    assert found(rows, "merchants")[0] == [("merchants", 1, [2, 3])]


LINES = ["end_to_end_id", "booking_date", "amount_posted", "currency", "credit_debit_indicator", "remittance_text"]
SALES = ["transaction_id", "merchant_id", "type", "amount", "currency", "source_account", "destination_account", "status", "created_at"]  # fmt: skip


@pytest.mark.parametrize(
    ("amount", "text"), [(150.0, "sweep to main account"), (61.3, "TOTAL ENERGIES PARIS"), (61.3, "Total Wine & More")]
)
def test_a_bank_line_without_a_reference_is_no_totals_row_whatever_it_sums_to_or_says(amount, text):
    rows = [["E1", "2026-10-01", 100.0, "EUR", "CRDT", "sale"], ["E2", "2026-10-01", 50.0, "EUR", "CRDT", "sale"]]
    tables, left = found([LINES, *rows, [None, "2026-10-02", amount, None, None, text]], "statement_lines")
    assert (tables, left) == ([("statement_lines", 1, [2, 3, 4])], [])


@pytest.mark.parametrize("total", [["", "Summe", 150.0], [None, "Summe", 150.0], [None, None, 150.0]])
def test_a_total_of_bank_lines_lacks_their_date(total):
    rows = [["E1", "2026-10-01", 100.0, "EUR", "CRDT", "sale"], ["E2", "2026-10-01", 50.0, "EUR", "CRDT", "sale"]]
    tables, left = found([LINES, *rows, [*total, None, None, None]], "statement_lines")
    assert (tables, left) == ([("statement_lines", 1, [2, 3])], [("totals", 4, 4)])


@pytest.mark.parametrize("text", ["TOTAL ENERGIES", "Total Wine & More", "Summe Kontor GmbH"])
@pytest.mark.parametrize(("amount", "is_total"), [(61.3, False), (150.0, True)])
def test_a_line_without_date_and_reference_whose_text_may_be_a_name_is_a_total_only_if_it_is_the_sum(
    text, amount, is_total
):
    rows = [["E1", "2026-10-01", 100.0, "EUR", "CRDT", "sale"], ["E2", "2026-10-01", 50.0, "EUR", "CRDT", "sale"]]
    tables, left = found([LINES, *rows, [None, None, amount, None, None, text]], "statement_lines")
    assert left == ([("totals", 4, 4)] if is_total else [])
    assert tables == [("statement_lines", 1, [2, 3] if is_total else [2, 3, 4])]


@pytest.mark.parametrize(
    "text", ["Total", "Summe:", "Total EUR", "Total credits (2)", "Summe der Gutschriften", "Total 10/2026"]
)
def test_a_total_that_can_be_no_name_is_one_whatever_it_states(text):
    rows = [["E1", "2026-10-01", 100.0, "EUR", "CRDT", "sale"], ["E2", "2026-10-01", 50.0, "EUR", "CRDT", "sale"]]
    _, left = found([LINES, *rows, [None, None, 61.3, None, None, text]], "statement_lines")
    assert left == [("totals", 4, 4)]


def test_a_line_that_may_be_a_name_and_lacks_its_date_is_refused_where_everyone_sees_it(tmp_path, clean):
    rows = [LINES, ["E1", "2026-10-01", "100.00", "EUR", "CRDT", "sale"], ["", "", "61.30", "", "", "TOTAL ENERGIES"]]
    (tmp_path / "statement_lines.csv").write_text("\n".join(map(";".join, rows)))
    tables = clean(tmp_path)
    refused = tables["rejects"].query("severity == 'error'")
    assert refused[["source_row", "column", "rule"]].to_numpy().tolist() == [
        [3, "booking_date", "EMPTY_CELL"], [3, "credit_debit_indicator", "EMPTY_CELL"],
    ]  # fmt: skip
    cells = tables["refused_cells"].set_index("column")["value"]
    assert (cells["amount_posted"], cells["remittance_text"]) == ("61.30", "TOTAL ENERGIES")
    assert tables["statement_lines"]["amount_posted_minor"].tolist() == [10_000]


def test_a_sale_that_lacks_only_its_id_is_no_totals_row():
    rest = ["EUR", "A", "B", "APPROVED", "2026-10-01"]
    rows = [["T1", "M1", "SALE", 100.0, *rest], ["T2", "M1", "SALE", 50.0, *rest], [None, "M1", "SALE", 150.0, *rest]]
    assert found([SALES, *rows], "transactions") == ([("transactions", 1, [2, 3, 4])], [])


@pytest.mark.parametrize(("text", "is_total"), [("sweep", False), ("Summe", True)])
def test_a_bank_line_that_lacks_only_its_date_is_a_total_only_where_it_says_so(text, is_total):
    names = ["account", "booking_date", "amount_posted", "currency", "text"]
    rows = [["DE1", "2026-10-01", 100.0, "EUR", "sale"], ["DE1", "2026-10-01", 50.0, "EUR", "sale"]]
    tables, left = found([names, *rows, ["DE1", None, 150.0, "EUR", text]], "statement_lines")
    assert left == ([("totals", 4, 4)] if is_total else [])
    assert tables == [("statement_lines", 1, [2, 3] if is_total else [2, 3, 4])]


def test_a_header_repeated_on_every_printed_page_is_no_data():
    tables, left = found([HEADER, *ROWS[:2], HEADER, ROWS[2]])
    assert tables == [("liquidity", 1, [2, 3, 5])]
    assert left == [("repeated header", 4, 4)]


def test_remarks_at_the_end_are_left_and_told():
    tables, left = found([HEADER, *ROWS, [], ["All figures are unaudited."], ["Source: treasury"]])
    assert tables == [("liquidity", 1, [2, 3, 4])]
    assert left == [("note", 6, 7)]


def test_a_row_with_nothing_but_its_key_stays_data_and_will_be_refused():
    assert found([HEADER, *ROWS, ["CHF", None, None]])[0][0][2] == [2, 3, 4, 5]


def test_another_block_below_is_left_when_it_lacks_most_columns():
    tables, left = found([HEADER, *ROWS, [], ["code", "meaning"], ["A", "open"], ["B", "closed"]])
    assert tables == [("liquidity", 1, [2, 3, 4])]
    assert left == [("other rows", 6, 8)]


def test_two_tables_one_below_the_other_are_both_taken():
    rows = [HEADER, *ROWS, [], ["Merchants"], MERCHANTS, ["M1", "Shop", 5.0, "EUR"]]
    tables, left = found(rows)
    assert tables == [("liquidity", 1, [2, 3, 4]), ("merchants", 7, [8])]
    assert left == [("note", 6, 6)]


def test_two_tables_side_by_side_are_both_taken_even_if_they_start_in_other_rows():
    left_part = [[None] * 3, HEADER, *ROWS]
    right_part = [MERCHANTS, ["M1", "Shop", 5.0, "EUR"], ["M2", "Bar", 6.0, "EUR"], [None] * 4, [None] * 4]
    rows = [[*a, None, *b] for a, b in zip(left_part, right_part, strict=True)]
    assert found(rows)[0] == [("liquidity", 2, [3, 4, 5]), ("merchants", 1, [2, 3])]


def test_an_empty_column_within_a_table_does_not_cut_it():
    rows = [[*r[:1], None, *r[1:]] for r in [HEADER, *ROWS]]
    assert found(rows)[0] == [("liquidity", 1, [2, 3, 4])]


def test_a_second_table_of_the_same_kind_beside_the_first_is_reported_not_mixed_in():
    rows = [[*r, None, *r] for r in [HEADER, *ROWS]]
    tables, left = found(rows)
    assert tables == [("liquidity", 1, [2, 3, 4])]
    assert left == [("second table", 1, 4)]


@pytest.mark.parametrize("merged", [(), (((0, 2), (0, 3)),)])
def test_a_header_over_two_rows_is_joined(merged):
    rows = [
        [None, None, "purchase", None],
        ["contract number", "start", "price", "rate"],
        ["V-1", "1.1.2026", 5.0, 0.1],
    ]
    areas, _ = find_areas(Grid.of_rows(rows), "contracts", merged)
    assert [(a.top, a.fit.row) for a in areas] == [(0, 1)]
    assert areas[0].fit.positions == {"contract_id": 0, "start_date": 1, "purchase_price": 2, "purchase_rate": 3}


def test_the_better_of_two_headers_without_data_between_counts():
    tables, left = found([["currency", "cash"], [], HEADER, *ROWS])
    assert tables == [("liquidity", 3, [4, 5, 6])]
    assert left == [("above the header", 1, 1)]


def test_a_sheet_without_a_known_table_is_left_as_a_whole():
    assert found([["Net sales", 81434.0, 59685.0], ["Gross margin", 35255.0, 22680.0]], "") == ([], [("unknown", 1, 2)])


def test_an_empty_sheet_has_neither_tables_nor_left_rows():
    assert found([]) == ([], [])
    assert found([[None, ""], ["  ", None]]) == ([], [])


CELL = st.one_of(
    st.none(), st.sampled_from([*HEADER, "Total", "EUR", "note to the reader", "TEUR", ""]), st.floats(0, 9, width=16)
)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(CELL, max_size=6), max_size=14), st.integers(0, 14))
def test_every_filled_row_is_header_data_or_noted(rows, at):
    rows = [*rows[:at], HEADER, *rows[at:]]
    grid = Grid.of_rows(rows)
    areas, left = find_areas(grid, "liquidity")
    accounted = {n for i in left for n in range(i.first_row, i.last_row + 1)}
    accounted |= {n + 1 for a in areas for n in [*range(a.top, a.fit.row + 1), *a.rows.tolist()]}
    filled = {int(n) for n, row in zip(grid.rows, grid.filled, strict=True) if row.any()}
    assert filled <= accounted
    taken = [n for a in areas for n in a.rows.tolist()]
    assert len(taken) == len(set(taken))


def test_a_currency_in_the_header_is_that_of_the_rows(tmp_path, clean):
    with xlsxwriter.Workbook(str(tmp_path / "b.xlsx")) as book:
        page = book.add_worksheet("merchants")
        page.write_row(0, 0, ["merchant_id", "merchant_name", "credit_limit (CHF)"])
        page.write_row(1, 0, ["M1", "Shop", 5])
    tables = clean(tmp_path / "b.xlsx")
    assert tables["merchants"][["credit_limit_minor", "currency"]].to_numpy().tolist() == [[500, "CHF"]]
    assert "UNIT_CURRENCY" in tables["rejects"]["rule"].tolist()


def test_what_was_taken_and_left_is_a_table_with_cell_ranges(tmp_path, clean):
    with xlsxwriter.Workbook(str(tmp_path / "b.xlsx")) as book:
        page = book.add_worksheet("liquidity")
        page.write(0, 1, "ACME")
        for number, row in enumerate([HEADER, *ROWS, ["Total", 175]], start=3):
            page.write_row(number, 1, row)
    tables = clean(tmp_path / "b.xlsx")
    shown = tables["sheet_areas"][["area", "use", "rows_count"]].to_numpy().tolist()
    assert shown == [["B1:D1", "above the header", 1], ["B4:D7", "table", 3], ["B8:D8", "totals", 1]]
    assert tables["input_sheets"]["area"].tolist() == ["B4:D7"]


def test_a_merged_name_holds_for_its_rows_but_a_merged_amount_does_not():
    rows = [MERCHANTS, ["M1", "Shop", 5.0, "EUR"], ["M2", None, None, "EUR"]]
    merged = [((1, 1), (2, 1)), ((1, 2), (2, 2))]
    (raw,) = raw_sheets(Grid.of_rows(rows), "b.xlsx", "merchants", merged, [], is_workbook=True)
    frame = name_sheet(raw).frame
    assert frame["merchant_name"].tolist() == ["Shop", "Shop"]
    assert frame["credit_limit"].isna().tolist() == [False, True]
    assert [n[3] for n in raw.notes] == ["MERGED_CELLS"]
