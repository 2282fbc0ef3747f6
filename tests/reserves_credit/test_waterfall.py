"""The waterfall of payouts as a sheet: every row and every total adds up, and names the rows of the input behind it."""

from __future__ import annotations

import openpyxl

from atlas_lib.present.excel import list_sheets, write_workbook
from atlas_lib.reserves_credit.exports import SHEETS
from atlas_lib.reserves_credit.waterfall import STEPS, explain_payouts, spread_payouts
from tests.reserves_credit.reserves_credit_frames import contracts, fresh_positions
from tests.reserves_credit.test_eligibility import line

SIGNS = {column: sign for _, column, sign in STEPS[:-1]}


def spread():
    from atlas_lib.reserves_credit.payouts import contract_lines, sum_lines
    from tests.reserves_credit.reserves_credit_frames import settings

    book = contracts(line(1_000_00), line(300_00), line(70_00, merchant_id="M2", partner_margin_minor=13_00))
    made = fresh_positions(book)
    sums = made["contract_payments"].groupby(["merchant_id", "currency"])[
        ["paid_minor", "under_way_minor", "open_minor"]
    ]
    summary = sum_lines(contract_lines(book, settings())).join(sums.sum(), on=["merchant_id", "currency"])
    return spread_payouts(summary.assign(status="Ready"), made["payout_positions"], book)


def test_payable_is_the_receivables_less_every_step():
    table = spread()
    assert (sum(table[c] * s for c, s in SIGNS.items()) == table["payable_minor"]).all()
    assert table["residual_minor"].tolist() == [0, 1_00]
    steps = explain_payouts(table)
    assert steps.loc[~steps["is_total"], "amount_minor"].sum() == steps.loc[steps["is_total"], "amount_minor"].sum()


def test_the_rows_of_the_input_behind_a_payout_are_named():
    assert spread()["source"].tolist() == ["book.xlsx, Sheet1, rows 2-3", "book.xlsx, Sheet1, rows 4-4"]


def test_the_sheet_has_its_totals_as_formulas_that_add_up(tmp_path):
    table = spread()
    layout = {"payout_waterfall": SHEETS["payout_waterfall"]}
    path = write_workbook(tmp_path / "w.xlsx", list_sheets({"payout_waterfall": table}, layout), {"title": "t"})
    formulas = openpyxl.load_workbook(path)["Payout waterfall"]
    values = openpyxl.load_workbook(path, data_only=True)["Payout waterfall"]
    total = len(table) + 2
    last = {
        n: (str(formulas.cell(total, i).value), values.cell(total, i).value) for i, n in enumerate(table.columns, 1)
    }
    assert all(last[c][0].startswith("=SUM") for c in (*SIGNS, "payable_minor"))
    assert round(sum(last[c][1] * s for c, s in SIGNS.items()), 2) == last["payable_minor"][1]
