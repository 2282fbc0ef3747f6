"""Known flows, the forecast around them, alerts, and history that does not suffice."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from atlas_lib.core.calendars import business_calendar
from atlas_lib.core.settings import PortfolioSettings
from atlas_lib.core.tables import declared
from atlas_lib.portfolio import forecasting
from atlas_lib.portfolio.known_flows import collect_known_flows
from atlas_lib.portfolio.liquidity import forecast_liquidity
from atlas_lib.portfolio.schedules import plan_schedule
from tests.portfolio.portfolio_frames import contracts_of, small_contract

PLAN = PortfolioSettings(as_of="2026-10-30", forecast_days=5, forecast_training_days=40)
NAMES = ("liquidity_forecast", "liquidity_outlook", "forecast_accuracy", "forecast_backtest")


@pytest.fixture(autouse=True)
def _one_estimate(monkeypatch, request):
    """Parameters are estimated once instead of three times; where the backtest itself is judged, as always."""
    if "known_truth" not in request.node.name:
        monkeypatch.setattr(forecasting, "_FIT_COUNT", 1)


def known_of(contracts=(), payouts=(), tranches=(), plan=PLAN):
    schedule = plan_schedule(contracts_of(*contracts), plan)["schedule"] if contracts else declared("schedule").empty()
    out = pd.DataFrame([dict(zip(["currency", "due_date", "amount_minor", "status"], p, strict=True)) for p in payouts],
                       columns=["currency", "due_date", "amount_minor", "status"])  # fmt: skip
    held = pd.DataFrame([dict(zip(["currency", "release_date", "balance_minor", "released_minor"], t, strict=True)) for t in tranches],
                        columns=["currency", "release_date", "balance_minor", "released_minor"])  # fmt: skip
    out, held = (
        out.assign(due_date=pd.to_datetime(out["due_date"])),
        held.assign(release_date=pd.to_datetime(held["release_date"])),
    )
    return declared("known_flows").checked(collect_known_flows(schedule, out, held, plan)["known_flows"])


def lines_of(count, last="2026-10-30", currency="EUR", noise=100.0, level=0.0, seed=3):
    """One booked line per open day, ending on `last`."""
    calendar = business_calendar(currency)
    days = np.busday_offset(last, np.arange(1 - count, 1), roll="backward", busdaycal=calendar) if count else []
    net = np.rint(level + noise * np.random.default_rng(seed).standard_normal(count)).astype(int)
    frame = pd.DataFrame({
        "status": "BOOK", "currency": currency, "booking_date": pd.to_datetime(days), "amount_posted_minor": np.abs(net),
        "credit_debit_indicator": np.where(net >= 0, "CRDT", "DBIT"),
    })  # fmt: skip
    return frame.astype({"status": "str", "currency": "str"})


def cash_of(opening=100_000, minimum=10_000, currency="EUR"):
    return pd.DataFrame(
        {"currency": [currency], "opening_balance_minor": [opening], "minimum_balance_minor": [minimum]}
    )


NO_BALANCES = pd.DataFrame({"balance_type": [], "currency": [], "balance_date": []})


def forecast_of(lines, cash=None, known=None, plan=PLAN, balances=NO_BALANCES):
    tables = forecast_liquidity(
        lines,
        balances,
        cash_of() if cash is None else cash,
        declared("known_flows").empty() if known is None else known,
        plan,
    )
    return {name: declared(name).checked(tables[name]) for name in NAMES}


def test_known_flows_come_on_open_days_with_their_source():
    # 1 November 2026 is a Sunday.
    found = known_of(
        contracts=[small_contract(30_000, 3, start_date="2026-10-01", customer_payment_minor=4_000)],
        payouts=[("EUR", "2026-10-30", 700, "Ready"), ("EUR", "2026-10-30", 900, "Blocked")],
        tranches=[("EUR", "2026-10-31", 50, 0), ("EUR", "2026-10-05", 0, 20)],
    )
    rows = [tuple(r) for r in found[["flow_date", "source", "in_minor", "out_minor"]].itertuples(index=False)]
    assert rows[:4] == [
        (pd.Timestamp("2026-10-05"), "reserve releases", 0, 20),
        (pd.Timestamp("2026-10-30"), "payouts", 0, 700),
        (pd.Timestamp("2026-11-02"), "instalments", 6_000, 0),
        (pd.Timestamp("2026-11-02"), "reserve releases", 0, 50),
    ]


def test_without_enough_history_there_is_no_interval_and_it_says_why():
    tables = forecast_of(lines_of(50), known=known_of([small_contract(30_000, 3, start_date="2026-10-03")]))
    outlook, forecast = tables["liquidity_outlook"], tables["liquidity_forecast"]
    assert outlook["status"].tolist() == ["ok", "insufficient history", "insufficient history"]
    assert outlook["remark"].iloc[2] == "50 of 63 open days needed for the 95 % interval"
    assert forecast["position_low80_minor"].notna().all()
    assert forecast["position_low95_minor"].isna().all()
    nothing = forecast_of(lines_of(0), known=known_of([small_contract(30_000, 3, start_date="2026-10-03")]))
    assert nothing["liquidity_outlook"]["remark"].unique().tolist() == ["no bank statement lines"]
    assert nothing["forecast_backtest"].empty
    assert nothing["liquidity_forecast"]["residual_minor"].tolist() == [0] * 5
    assert nothing["liquidity_forecast"]["flow_date"].iloc[0] == pd.Timestamp("2026-10-30")


def test_old_statements_are_no_history_and_a_closing_balance_covers_quiet_days():
    old = lines_of(90, last="2026-10-20")
    assert forecast_of(old)["liquidity_outlook"]["remark"].iloc[0] == "statements end 7 open days ago"
    closed = pd.DataFrame({"balance_type": ["CLBD"], "currency": ["EUR"], "balance_date": [pd.Timestamp("2026-10-30")]})
    covered = forecast_of(old, balances=closed)["liquidity_outlook"]
    assert covered["status"].tolist() == ["ok"] * 3
    assert covered["history_count"].iloc[0] == 98


def test_the_position_starts_from_cash_bookings_and_payouts_of_the_day():
    lines = lines_of(90)
    known = known_of(payouts=[("EUR", "2026-10-30", 700, "Ready"), ("EUR", "2026-11-03", 300, "Requested")])
    forecast = forecast_of(lines, known=known)["liquidity_forecast"]
    booked = lines.iloc[-1]
    today = booked["amount_posted_minor"] * (1 if booked["credit_debit_indicator"] == "CRDT" else -1)
    assert forecast["flow_date"].dt.day.tolist() == [2, 3, 4, 5, 6]
    assert forecast["known_position_minor"].tolist() == [100_000 + today - 700 - (300 if i else 0) for i in range(5)]
    assert (forecast["position_minor"].diff().dropna() == forecast["flow_minor"].iloc[1:]).all()
    assert (forecast["known_minor"] + forecast["residual_minor"] == forecast["flow_minor"]).all()


def test_past_known_flows_are_no_residual():
    contract = small_contract(1_200_000, 12, start_date="2025-10-30")  # 1,000.00 at the end of each month
    known = known_of([contract])
    monthly = known[known["flow_date"] <= "2026-10-30"].set_index("flow_date")["in_minor"]
    lines = lines_of(240, noise=50.0)
    more = lines["booking_date"].map(monthly).fillna(0).astype(int)
    sign = np.where(lines["credit_debit_indicator"] == "CRDT", 1, -1)
    net = lines["amount_posted_minor"] * sign + more
    lines = lines.assign(amount_posted_minor=net.abs(), credit_debit_indicator=np.where(net >= 0, "CRDT", "DBIT"))
    apart = forecast_of(lines, known=known)["forecast_accuracy"].query("model == 'used' and segment == 'all'")
    assert apart["mean_error_minor"].iloc[0] < 100
    mixed = forecast_of(lines, known=known, plan=PLAN.model_copy(update={"is_known_in_statements": False}))
    assert (
        mixed["forecast_accuracy"].query("model == 'seasonal naive' and segment == 'all'")["mean_error_minor"].iloc[0]
        > 1_000
    )


def test_the_day_on_which_the_lower_bound_crosses_the_minimum_is_an_alert():
    tables = forecast_of(lines_of(120, noise=100.0), cash_of(opening=100_000, minimum=99_800))
    outlook = tables["liquidity_outlook"].set_index("level_rate")
    at95 = tables["liquidity_forecast"][tables["liquidity_forecast"]["position_low95_minor"] < 99_800]
    assert outlook.loc[0.95, "status"] == "alert"
    assert outlook.loc[0.95, "crossing_date"] == at95["flow_date"].iloc[0]
    assert outlook.loc[0.95, "shortfall_minor"] == 99_800 - at95["position_low95_minor"].min()
    calm = forecast_of(lines_of(120), cash_of(minimum=0))["liquidity_outlook"]
    assert calm["status"].tolist() == ["ok"] * 3
    assert calm["crossing_date"].isna().all()


def test_where_history_does_not_suffice_a_position_below_the_minimum_is_an_alert_all_the_same():
    owed = known_of(payouts=[("EUR", "2026-11-03", 95_000, "Ready")])
    outlook = forecast_of(lines_of(5, noise=0.0), known=owed)["liquidity_outlook"]
    assert outlook["status"].tolist() == ["alert"] * 3
    assert set(outlook["crossing_date"]) == {pd.Timestamp("2026-11-03")}
    assert set(outlook["shortfall_minor"]) == {5_000}
    assert outlook["remark"].str.startswith("expected to fall below its minimum; 5 of ").all()
    calm = forecast_of(lines_of(5, noise=0.0))["liquidity_outlook"]
    assert calm["status"].tolist() == ["insufficient history"] * 3 and calm["crossing_date"].isna().all()


def test_without_an_opening_balance_positions_are_changes():
    found = forecast_of(lines_of(120), cash_of(currency="USD"))
    eur = found["liquidity_outlook"].query("currency == 'EUR'")
    assert eur["remark"].str.startswith("no opening balance").all()
    assert found["liquidity_outlook"].query("currency == 'USD'")["remark"].unique().tolist() == [
        "no bank statement lines"
    ]


def test_intervals_nest_and_the_cumulative_one_is_its_own():
    forecast = forecast_of(lines_of(150))["liquidity_forecast"]
    for column in ("flow", "position"):
        lows = forecast[[f"{column}_low{level}_minor" for level in (95, 90, 80)]]
        assert (lows.diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
    wide = (forecast["position_high90_minor"] - forecast["position_low90_minor"]).iloc[-1]
    daily = (forecast["flow_high90_minor"] - forecast["flow_low90_minor"]).sum()
    assert wide < daily  # adding the daily bounds would be too wide


def test_the_backtest_names_every_model_and_segment():
    tables = forecast_of(lines_of(150))
    accuracy, scores = tables["forecast_accuracy"], tables["forecast_backtest"]
    assert set(accuracy["model"]) == {"structural", "exponential smoothing", "seasonal naive", "used"}
    assert len(set(accuracy[accuracy["is_used"]]["model"])) == 1
    assert set(scores["segment"]) == {"all", *(f"day {i}" for i in range(1, 6)), "month ends"}
    assert set(scores.query("target == 'minimum'")["segment"]) == {"all"}
    assert (
        (scores["coverage_low_rate"] <= scores["coverage_rate"])
        & (scores["coverage_rate"] <= scores["coverage_high_rate"])
    ).all()
    daily = scores.query("target == 'daily' and segment == 'all'").set_index("level_rate")
    assert daily.loc[0.8, "case_count"] == 5 * daily.loc[0.8, "origin_count"]


def test_nothing_at_all_gives_empty_tables():
    tables = forecast_of(lines_of(0), cash_of().head(0))
    assert all(frame.empty for frame in tables.values())


def test_on_a_process_of_known_truth_each_level_lies_in_its_confidence_interval():
    lines = lines_of(900, noise=1_000.0, level=200.0, seed=11)
    plan = PLAN.model_copy(update={"forecast_days": 5, "forecast_training_days": 200})
    scores = forecast_of(lines, plan=plan)["forecast_backtest"].query("segment == 'all'")
    held = (scores["coverage_low_rate"] <= scores["level_rate"]) & (
        scores["level_rate"] <= scores["coverage_high_rate"]
    )
    assert len(scores) == 9
    assert held.all(), scores.to_string()
