import pandas as pd
import pyarrow.parquet as pq
import pytest

from atlas_lib.core.engine import open_engine
from atlas_lib.core.tables import declared
from atlas_lib.reconciliation import add_up_days, build_final_index, reconcile_days
from tests.reconciliation.reconciliation_frames import frame_of, line, payment, reconcile, settings

OURS = (
    payment("T-1", 10_000, "2026-10-05"),
    payment("T-2", 5_000, "2026-10-05", merchant_id="M2"),
    payment("R-1", 700, "2026-10-06", type="REFUND"),
    payment("T-3", 4_000, "2026-10-07"),
    payment("T-4", 900, "2026-10-29"),
    payment("T-5", 100, "2026-10-07", status="DECLINED"),
    payment("T-6", 2_000, "2026-10-06"),
)
BANK = (
    line("1", 9_800, "2026-10-06", end_to_end_id="T-1", fee_charged_minor=200),
    line("2", 4_600, "2026-10-06", end_to_end_id="T-2"),
    line("3", 700, "2026-10-07", end_to_end_id="R-1", credit_debit_indicator="DBIT"),
    line("4", 333, "2026-10-08", remittance_text="no idea"),
    line("5", 1_980, "2026-10-07", end_to_end_id="T-6", fee_charged_minor=20),
)
REST = ("merchants", "streaming_index")


def days_of(ours=OURS, bank=BANK, engine="duckdb", **chosen):
    transactions, lines = frame_of("transactions", list(ours)), frame_of("statement_lines", list(bank))
    given = settings(agreed_fee_bps=100.0, **chosen)
    done = reconcile(transactions, lines, given)
    settled = (frame_of(n, []) for n in ("settlement_results", "deferrals", "settlement_schedule"))
    known = (frame_of(n, []) for n in REST)
    index = build_final_index(transactions, *known, done["batch_index"], *settled, given)["final_index"]
    work = open_engine(engine)
    made = reconcile_days(index, done["matches"], done["breaks"], lines, work)
    table = declared("daily_reconciliation")
    rows = table.from_arrow(pq.read_table(made["daily_reconciliation"]))
    assert rows[["side", "item_id"]].to_numpy().tolist() == sorted(rows[["side", "item_id"]].to_numpy().tolist())
    return made | {table.name: rows}


def test_each_payment_due_and_each_line_nobody_expected_stands_there_once_with_both_amounts():
    rows = days_of()["daily_reconciliation"].set_index("item_id")
    assert set(rows.index) == {"T-1", "T-2", "T-3", "T-4", "T-6", "R-1", "S1/4"}
    shown = ["amount_minor", "amount_posted_minor", "discrepancy_minor", "account", "break_type", "is_open"]
    assert rows.loc["T-2", shown].tolist() == [5_000, 4_600, -400, "OUR-EUR", "AMOUNT_MISMATCH", True]
    assert rows.loc["T-1", shown].tolist() == [10_000, 9_800, -100, "OUR-EUR", "FEE_VARIANCE", True]
    assert rows.loc["S1/4", shown].tolist() == [0, 333, 333, "OUR-EUR", "MISSING_IN_LEDGER", True]
    assert rows.loc["T-3", ["account", "reconciled_status"]].tolist() == ["", "UNMATCHED"]
    assert pd.isna(rows.loc["T-3", "amount_posted_minor"])
    assert pd.isna(rows.loc["T-6", "break_id"])


def test_expected_is_posted_and_fees_and_what_is_waited_for_less_the_difference():
    made = days_of()
    by_day = add_up_days(made["daily_totals"], "date").set_index("date")
    assert by_day.index.is_monotonic_decreasing
    day = by_day.loc[pd.Timestamp("2026-10-05")]
    assert day[["expected_minor", "posted_minor", "fee_minor", "difference_minor"]].tolist() == [
        15_000,
        14_400,
        200,
        -400,
    ]
    assert day[["item_count", "matched_count", "open_count", "fee_claim_minor"]].tolist() == [2, 1, 2, -100]
    assert by_day.loc[pd.Timestamp("2026-10-06"), ["expected_minor", "posted_minor", "fee_minor"]].tolist() == [
        1_300,
        1_280,
        20,
    ]
    waiting = by_day.loc[pd.Timestamp("2026-10-29")]
    assert waiting[["expected_minor", "waiting_minor", "difference_minor", "waiting_count"]].tolist() == [
        900,
        900,
        0,
        1,
    ]
    rows = made["daily_reconciliation"]
    sign = rows["credit_debit_indicator"].map({"CRDT": 1, "DBIT": -1})
    is_claim = rows["break_type"].eq("FEE_VARIANCE").fillna(False)
    assert by_day["difference_minor"].sum() == (rows["discrepancy_minor"] * sign)[~is_claim].sum()


@pytest.mark.parametrize("by, keys", [("account", ["", "OUR-EUR"]), ("merchant_id", ["", "M1", "M2"])])
def test_the_same_totals_by_account_and_by_merchant(by, keys):
    totals = days_of()["daily_totals"]
    added = add_up_days(totals, by)
    assert added[by].tolist() == keys
    assert added["difference_minor"].sum() == totals["difference_minor"].sum()
    assert added["item_count"].sum() == 7


def test_nothing_gives_nothing():
    assert all(table.empty for table in days_of((), ()).values())


def test_spark_gives_the_same_days(spark_engine):
    one, other = days_of(), days_of(engine=spark_engine.name)
    for name, table in one.items():
        pd.testing.assert_frame_equal(table, other[name])
