"""What is due when, beside the cash expected until then."""

import pandas as pd

from atlas_lib.reconciliation import list_due
from tests.reconciliation.reconciliation_frames import frame_of, settings


def due(batch, day, net, status="Pending", **more):
    row = {"merchant_id": "M1", "batch_id": batch, "currency": "EUR", "due_date": pd.Timestamp(day), "net_minor": net}
    return row | {"status": status} | more


def payout(number, day, amount, status="Ready"):
    return {
        "payout_id": number,
        "currency": "EUR",
        "due_date": pd.Timestamp(day),
        "amount_minor": amount,
        "status": status,
    }


def sums(settlements=(), payouts=(), forecast=()):
    frames = frame_of("settlement_schedule", list(settlements)), frame_of("payouts", list(payouts))
    return list_due(*frames, frame_of("liquidity_forecast", list(forecast)), settings())["settlements_due"]


def test_open_items_fall_to_their_moment_and_finished_ones_are_left_out():
    found = sums(
        [
            due("B1", "2026-10-29", 100, "Delayed"), due("B2", "2026-10-30", -40), due("B3", "2026-10-30", 70, "Completed"),
            due("B4", "2026-11-02", 10), due("B5", "2026-11-06", 5), due("B6", "2026-11-07", 1), due("B7", "2026-10-30", 3, currency="USD"),
        ],
        [payout("P1", "2026-10-30", 200), payout("P2", "2026-10-30", 50, "Blocked"), payout("P3", "2026-10-30", 9, "Executed")],
    )  # fmt: skip
    euro = found[found["currency"] == "EUR"].set_index("when")
    assert euro["pay_minor"].to_dict() == {
        "overdue": 100,
        "today": 250,
        "next business day": 10,
        "within a week": 5,
        "later": 1,
    }
    assert euro["collect_minor"].sum() == 40
    assert euro.loc["today", ["net_minor", "held_minor", "item_count"]].tolist() == [-210, 50, 3]
    assert euro.loc["next business day", "until_date"] == pd.Timestamp("2026-11-02")  # a Monday
    assert pd.isna(euro.loc["later", "until_date"])
    assert found.loc[found["currency"] == "USD", "pay_minor"].tolist() == [3]


def test_a_payout_that_the_schedule_lists_too_is_due_once():
    found = sums(
        [due("P1", "2026-10-30", 200), due("P2", "2026-10-30", 50, "Delayed"), due("B1", "2026-10-30", 7)],
        [payout("P1", "2026-10-30", 200), payout("P2", "2026-10-30", 50, "Blocked")],
    )
    assert found[["item_count", "pay_minor", "held_minor"]].to_numpy().tolist() == [[3, 257, 50]]


def test_the_cash_beside_it_is_the_lowest_expected_until_then():
    days = {"2026-11-02": 500, "2026-11-04": 200, "2026-11-09": -10}
    forecast = [
        {"currency": "EUR", "flow_date": pd.Timestamp(d), "position_minor": p, "flow_minor": -100}
        for d, p in days.items()
    ]
    found = sums(
        [due("B1", "2026-10-30", 1), due("B2", "2026-11-02", 1), due("B3", "2026-11-05", 1)], forecast=forecast
    )
    shown = found["expected_position_minor"].astype(object).where(found["expected_position_minor"].notna(), None)
    assert shown.tolist() == [600, 500, 200]


def test_nothing_due_is_an_empty_table():
    assert sums().empty
