"""Control totals close, or say that they do not."""

from __future__ import annotations

from types import SimpleNamespace

import openpyxl
import pytest

from atlas_lib.core.engine import open_engine
from atlas_lib.core.tables import declared
from atlas_lib.ingest import (
    SHEETS,
    accept_submissions,
    check_ingest,
    count_rejects,
    screen_transactions,
    summarise_stage,
    total_controls,
)
from atlas_lib.ledger.store import open_ledger
from atlas_lib.present.excel import list_sheets, write_workbook

HEADER = "transaction_id,merchant_id,user_id,type,amount,source_currency,source_account,destination_account,status,created_at"
LINES = """T1,310100,U1,SALE,12.50,EUR,A,B,APPROVED,2023-11-20T10:00:00Z
T1,310100,U1,SALE,12.50,EUR,A,B,APPROVED,2023-11-20T10:05:00Z
T1,310100,U1,SALE,99.00,EUR,A,B,APPROVED,2023-11-20T10:06:00Z
T2,310100,U1,SALE,500,JPY,A,B,APPROVED,2023-11-20T11:00:00Z
T3,310100,U1,SALE,oops,EUR,A,B,APPROVED,2023-11-20T11:00:00Z
T4,310100,U1
T5,310100,U1,SALE,1.00,NOPE,A,B,APPROVED,2023-11-20T11:00:00Z
"""


@pytest.fixture
def stage(tmp_path, workbook, contract, clean, settings):
    """A workbook and a CSV taken through the whole stage."""
    path = workbook([contract("V-1"), contract("V-1"), contract("V-2", Prämie=-1)])
    (path.parent / "transactions.csv").write_text(f"{HEADER}\n{LINES}")
    tables = SimpleNamespace(**clean(path.parent))
    engine = open_engine("duckdb")
    with open_ledger(f"sqlite:///{tmp_path / '_ledger.sqlite'}", "test") as ledger:
        intake = SimpleNamespace(**accept_submissions(tables.submissions, engine, ledger, 24))
    screening = SimpleNamespace(**screen_transactions(tables, intake, engine, settings))
    return SimpleNamespace(
        clean=tables,
        intake=intake,
        screening=screening,
        totals=total_controls(tables, intake, engine)["control_totals"],
    )


def test_rows_in_are_clean_rejected_or_duplicate_per_table_and_currency(stage):
    columns = ["table", "currency", "rows_in_count", "clean_count", "rejected_count", "duplicate_count", "difference_count", "clean_minor", "duplicate_minor"]  # fmt: skip
    assert stage.totals[columns].to_numpy().tolist() == [
        ["contracts", "EUR", 3, 1, 1, 1, 0, 336000, 0],
        ["transactions", "", 2, 0, 2, 0, 0, 0, 0],
        ["transactions", "EUR", 4, 1, 1, 2, 0, 1250, 11150],
        ["transactions", "JPY", 1, 1, 0, 0, 0, 500, 0],
    ]
    declared("control_totals").checked(stage.totals)


def test_a_row_that_went_missing_shows_as_a_difference_and_stops_the_run(stage):
    stage.intake.transactions = stage.intake.transactions.iloc[1:]
    totals = total_controls(stage.clean, stage.intake, open_engine("duckdb"))["control_totals"]
    assert totals["difference_count"].sum() == 1
    assert check_ingest(totals, stage.clean.rejects, 1.0)["passed"].tolist()[0] is False


def test_too_many_refused_rows_stop_the_run_and_the_check_says_why(stage):
    check = check_ingest(stage.totals, stage.clean.rejects, 0.4).iloc[1]
    assert (check["passed"], check["is_blocking"]) == (False, True)
    assert check["detail"].startswith(
        "transactions: 3 of 7 rows; raise max_reject_rate to go on with the others. transactions.csv, line "
    )
    assert check_ingest(stage.totals, stage.clean.rejects, 0.5)["passed"].all()


def test_rejects_are_counted_by_rule_errors_first(stage):
    counted = count_rejects(stage.clean.rejects)
    assert counted["severity"].tolist() == sorted(counted["severity"])
    assert counted["cells_count"].sum() == len(stage.clean.rejects)


def test_the_verdict_says_what_came_in_in_words(stage):
    summary = summarise_stage(stage.clean, stage.intake, stage.screening, stage.totals)
    assert summary.verdict == "10 rows read from 2 files, 4 refused and 3 repeated; 1 finding to look at."
    assert summary.status == "attention"
    assert summary.figures.loc[summary.figures["label"] == "Receivables", "value"].tolist() == ["3,360.00 EUR"]


def test_the_workbook_of_findings_shows_amounts_in_units_with_a_total_per_currency(stage, tmp_path):
    tables = {"rejects": stage.clean.rejects, "control_totals": stage.totals}
    tables |= {name: getattr(stage.intake if name == "intake_results" else stage.screening, name) for name in ("intake_results", "screening_findings")}  # fmt: skip
    write_workbook(tmp_path / "01.xlsx", list_sheets(tables, SHEETS), {"title": "Found"})
    book = openpyxl.load_workbook(tmp_path / "01.xlsx", data_only=True)
    assert book.sheetnames == ["Cover", "Rejects", "Intake results", "Screening findings", "Control totals"]
    assert book["Rejects"].max_row == len(stage.clean.rejects) + 1
    total = book["Intake results"][book["Intake results"].max_row]
    assert (total[0].value, total[5].value) == ("Total", 111.5)
    kept = [[row[0].value, row[1].value, row[7].value] for row in book["Control totals"].iter_rows(min_row=2)]
    assert kept == [
        ["contracts", "EUR", 3360], ["transactions", "", 0], ["transactions", "EUR", 12.5], ["transactions", "JPY", 500],
    ]  # fmt: skip
