"""The settlement schedule: what each merchant gets or pays, when, and whether it has happened."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pandas as pd

from atlas_lib.batching_settlement.schedule import ledger_trail, settlement_schedule
from atlas_lib.core.tables import declared
from atlas_lib.ledger.store import open_ledger

TODAY = date(2026, 10, 30)  # a Friday
FRIDAY, MONDAY, TUESDAY = pd.Timestamp("2026-10-30"), pd.Timestamp("2026-11-02"), pd.Timestamp("2026-11-03")


def results(*rows: tuple[str, str, str, pd.Timestamp, str, str]) -> pd.DataFrame:
    columns = ["transaction_id", "batch_id", "window", "settlement_date", "status", "reason"]
    frame = pd.DataFrame(rows, columns=pd.Index(columns)).assign(detail="", amount_minor=1, currency="EUR")
    return declared("settlement_results").shaped(frame)


def items(*rows: tuple[str, str, int]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=pd.Index(["transaction_id", "merchant_id", "cash_out_minor"]))
    others = {
        c.name: pd.Timestamp(0, tz="UTC") if c.type == "instant" else 0 for c in declared("settlement_items").columns
    }
    filled = {n: v for n, v in others.items() if n not in frame}
    return declared("settlement_items").shaped(frame.assign(**{**filled, "cash_currency": "EUR"}))


def test_sales_are_owed_to_the_merchant_and_refunds_lower_what_is_owed() -> None:
    lines = results(("T-1", "B-1", "T0", FRIDAY, "settled", ""), ("T-2", "B-1", "T0", FRIDAY, "settled", ""))
    found = settlement_schedule(
        lines, items(("T-1", "M-1", -100), ("T-2", "M-1", 30)), declared("payouts").empty(), TODAY
    )
    assert found["settlement_schedule"].to_dict("records") == [
        {
            "merchant_id": "M-1",
            "batch_id": "B-1",
            "window": "T0",
            "due_date": FRIDAY,
            "net_minor": 70,
            "currency": "EUR",
            "status": "Completed",
            "reason": "",
        }
    ]


def test_a_later_window_is_pending_and_what_failed_is_delayed_to_the_next_business_day() -> None:
    lines = results(
        ("T-1", "B-1", "T0", FRIDAY, "failed", "RAIL_FAILURE"),
        ("T-2", "B-1", "T0", FRIDAY, "settled", ""),
        ("T-3", "B-2", "T1", MONDAY, "settled", ""),
        ("T-4", "B-3", "T1", MONDAY, "in_flight", "COUNTERPARTY_DOWN"),
    )
    owed = items(("T-1", "M-1", -1), ("T-2", "M-1", -1), ("T-3", "M-1", -1), ("T-4", "M-1", -1))
    found = settlement_schedule(lines, owed, declared("payouts").empty(), TODAY)["settlement_schedule"]
    assert found[["window", "due_date", "status", "reason"]].to_numpy().tolist() == [
        ["T1", MONDAY, "Delayed", "RAIL_FAILURE"],
        ["T1", MONDAY, "Pending", ""],
        ["T2", TUESDAY, "Delayed", "COUNTERPARTY_DOWN"],
    ]


def test_payouts_of_contracts_are_pending_when_ready_and_delayed_when_blocked() -> None:
    payouts = pd.DataFrame(
        {
            "payout_id": ["P-1", "P-2"], "merchant_id": ["M-1", "M-2"], "currency": "EUR", "amount_minor": [5, 6],
            "payable_minor": [5, 6], "paid_minor": 0, "under_way_minor": 0, "set_off_minor": 0,
            "due_date": FRIDAY, "iban": None, "bic": None, "status": ["Ready", "Blocked"], "reasons": ["", "LIMIT_BREACH"],
        }
    )  # fmt: skip
    none = declared("settlement_results").empty(), declared("settlement_items").empty()
    found = settlement_schedule(*none, declared("payouts").shaped(payouts), TODAY)["settlement_schedule"]
    assert found[["batch_id", "net_minor", "status", "reason"]].to_numpy().tolist() == [
        ["P-1", 5, "Pending", ""],
        ["P-2", 6, "Delayed", "LIMIT_BREACH"],
    ]


def test_nothing_to_settle_is_an_empty_schedule_and_trail(tmp_path: Path) -> None:
    empty = [declared(n).empty() for n in ("settlement_results", "settlement_items", "payouts")]
    assert settlement_schedule(*empty, TODAY)["settlement_schedule"].empty
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", "tester") as ledger:
        trail = ledger_trail(ledger, [], [])
    assert trail["ledger_entries"].empty
    assert trail["trial_balance"].empty
