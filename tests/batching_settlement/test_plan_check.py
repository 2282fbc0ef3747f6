from collections.abc import Callable

import pandas as pd
import pytest

from atlas_lib.batching_settlement.batching import plan_settlement
from atlas_lib.batching_settlement.items import rates_on
from atlas_lib.batching_settlement.plan_check import check_plan
from atlas_lib.core.errors import CheckFailed
from tests.batching_settlement.planning_frames import (
    counterparties,
    counterparty_limits,
    fx_rates,
    items_of,
    known_flows,
    liquidity,
    settings,
    transactions,
)

Tables = dict[str, pd.DataFrame]
ROWS = [
    {"payer": "P", "payee": "M", "amount_minor": 70_000, "settlement_window": "T2"},
    {"payer": "P", "payee": "N", "amount_minor": 40_000, "settlement_window": "T2"},
    {"payer": "Q", "payee": "M", "amount_minor": 50_000, "destination_currency": "USD"},
    {"payer": "Q", "payee": "N", "amount_minor": 60_000},
    {"payer": "OP", "payee": "N", "amount_minor": 100_000, "type": "PAYOUT"},
    {"payer": "P", "payee": "M", "amount_minor": 9_000, "settlement_window": "RTGS"},
]
CASH = liquidity(EUR=500_000)
PARTIES = counterparties({"counterparty_id": "CP1", "limit_minor": 900_000})


def check(
    tables: Tables,
    cash: pd.DataFrame = CASH,
    parties: pd.DataFrame = PARTIES,
    by_currency: pd.DataFrame | None = None,
) -> pd.DataFrame:
    chosen, items = settings(), items_of(transactions(*ROWS))
    return check_plan(items, tables, parties, cash, rates_on(fx_rates(), chosen.as_of), chosen, None, by_currency)


@pytest.fixture(scope="module")
def good() -> Tables:
    return plan_settlement(items_of(transactions(*ROWS)), PARTIES, CASH, fx_rates(), settings())


def changed(good: Tables, name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Tables:
    return good | {name: change(good[name])}


def test_a_good_plan_passes(good: Tables) -> None:
    assert check(good)["passed"].all()


@pytest.mark.parametrize(
    ("table", "change", "said"),
    [
        ("batch_lines", lambda f: f.iloc[1:], "every due transaction once"),
        ("batch_lines", lambda f: f.assign(window=f["window"].replace("T0", "T1")), "windows within"),
        ("batch_lines", lambda f: f.assign(settlement_date=f["settlement_date"] + pd.Timedelta(days=1)), "windows within"),
        ("batches", lambda f: f.assign(gross_minor=f["gross_minor"] + 1), "batches of at most"),
        ("instructions", lambda f: f.assign(amount_minor=f["amount_minor"] + 1), "net position"),
        ("instructions", lambda f: f.assign(batch_id="B-none"), "every instruction"),
        ("fx_conversions", lambda f: f.assign(value_minor=f["value_minor"] - 1), "conversions clear"),
        ("fx_conversions", lambda f: f.assign(bought_currency="GBP"), "conversions clear"),
        ("cost_comparison", lambda f: f.assign(wire_cost_minor=f["wire_cost_minor"] - 1), "cost recomputed"),
        ("cost_comparison", lambda f: f.assign(fx_cost_minor=f["fx_cost_minor"] - 1), "cost recomputed"),
        ("cost_comparison", lambda f: f.assign(deferral_cost_minor=f["deferral_cost_minor"] + 1), "cost recomputed"),
        ("cost_comparison", lambda f: f.assign(lower_bound_minor=10**9), "lower bound"),
    ],
)  # fmt: skip
def test_a_plan_with_one_thing_wrong_is_refused(
    good: Tables, table: str, change: Callable[[pd.DataFrame], pd.DataFrame], said: str
) -> None:
    with pytest.raises(CheckFailed, match=said):
        check(changed(good, table, change))


def test_a_plan_above_cash_or_limit_is_refused(good: Tables) -> None:
    short = liquidity(USD=0, EUR=0)
    refund_first = items_of(transactions(*ROWS))
    assert refund_first["cash_out_minor"].clip(lower=0).sum() == 100_000
    check(good, cash=short)  # what comes in covers the payout
    with pytest.raises(CheckFailed, match="no counterparty above its limit"):
        check(good, parties=counterparties({"counterparty_id": "CP1", "limit_minor": 100_000}))


def test_a_plan_one_cent_above_a_limit_in_one_currency_is_refused(good: Tables) -> None:
    check(good, by_currency=counterparty_limits(("CP1", "USD", 62_500)))  # 500.00 EUR at 1.25
    with pytest.raises(CheckFailed, match=r"CP1 0\.01 USD over in T0"):
        check(good, by_currency=counterparty_limits(("CP1", "USD", 62_499)))


def test_a_total_limit_is_checked_without_rounding() -> None:
    rows = [{"payer": "P", "payee": "M", "amount_minor": 1, "currency": "JPY"}] * 2  # 1.25 cents
    chosen, none = settings(), liquidity()
    items, rates = items_of(transactions(*rows)), rates_on(fx_rates(), chosen.as_of)
    made = plan_settlement(items, counterparties(), none, fx_rates(), chosen)
    yen = {"counterparty_id": "CP1", "currency": "JPY"}
    check_plan(items, made, counterparties({**yen, "limit_minor": 2}), none, rates, chosen)
    for limit in (
        counterparties({**yen, "limit_minor": 1}),
        counterparties({"counterparty_id": "CP1", "limit_minor": 1}),
    ):
        with pytest.raises(CheckFailed, match="above its limit"):
            check_plan(items, made, limit, none, rates, chosen)


def test_a_payout_beyond_the_cash_is_refused() -> None:
    rows = [{"payer": "OP", "payee": "M", "amount_minor": 5_000, "type": "PAYOUT"}]
    items, chosen = items_of(transactions(*rows)), settings()
    made = plan_settlement(items, counterparties(), liquidity(EUR=5_000), fx_rates(), chosen)
    with pytest.raises(CheckFailed, match="cash never below its minimum"):
        check_plan(items, made, counterparties(), liquidity(EUR=4_999), rates_on(fx_rates(), chosen.as_of), chosen)


def test_a_known_outflow_of_the_forecast_takes_the_cash_a_plan_counted_on() -> None:
    rows = [{"payer": "OP", "payee": "M", "amount_minor": 5_000, "type": "PAYOUT"}]
    items, chosen, flows = items_of(transactions(*rows)), settings(), known_flows(("EUR", "2026-10-30", -1))
    made = plan_settlement(items, counterparties(), liquidity(EUR=5_000), fx_rates(), chosen)
    rates = rates_on(fx_rates(), chosen.as_of)
    check_plan(items, made, counterparties(), liquidity(EUR=5_000), rates, chosen)
    with pytest.raises(CheckFailed, match="cash never below its minimum"):
        check_plan(items, made, counterparties(), liquidity(EUR=5_000), rates, chosen, flows)
    waits = plan_settlement(items, counterparties(), liquidity(EUR=5_000), fx_rates(), chosen, flows)
    assert waits["deferrals"]["reason"].tolist() == ["LIQUIDITY_SHORTFALL"]
