import pandas as pd
import pytest

from atlas_lib.batching_settlement.items import leave_room, rates_on, select_items, settlement_dates
from atlas_lib.core.errors import SettingsError
from atlas_lib.core.tables import declared
from tests.batching_settlement.planning_frames import (
    counterparties,
    counterparty_limits,
    fx_rates,
    items_of,
    liquidity,
    settings,
    settled_before,
    streaming_index,
    transactions,
)

SALE = {"payer": "P", "payee": "M", "amount_minor": 10_000}


def standing(accepted: pd.DataFrame, **inputs: object) -> dict[str, tuple[str, str]]:
    items = items_of(accepted, **inputs)
    return dict(zip(items["transaction_id"], zip(items["standing"], items["reason"], strict=True), strict=True))


def test_only_approved_payments_and_sales_refunded_later_are_due() -> None:
    found = standing(
        transactions(
            SALE, {**SALE, "status": "REFUNDED"}, {**SALE, "status": "PENDING"}, {**SALE, "status": "DECLINED"},
            {**SALE, "type": "REFUND"}, {**SALE, "type": "REFUND", "status": "REFUNDED"},
        )
    )  # fmt: skip
    assert [s for s, _ in found.values()] == ["due", "due", "not eligible", "not eligible", "due", "not eligible"]
    assert found["T002"][1] == "status PENDING"


def test_blacklist_and_sanctions_hold_other_flags_do_not() -> None:
    flags = {"T000": "KYC_REQUIRED; BLACKLISTED", "T001": "SANCTIONS_MATCH", "T002": "KYC_REQUIRED; AML_PENDING"}
    found = standing(transactions(SALE, SALE, SALE), flags=flags)
    assert [found[t] for t in flags] == [("held", "COMPLIANCE_HOLD"), ("held", "COMPLIANCE_HOLD"), ("due", "")]


def test_what_the_ledger_settled_keeps_its_batch_and_is_not_planned_again() -> None:
    items = items_of(transactions(SALE, SALE), settled_before=settled_before(T001="B-1"))
    assert items["standing"].tolist() == ["due", "settled before"]
    assert items["batch_id"].tolist() == ["", "B-1"]


def test_open_items_older_than_the_setting_and_of_tomorrow_are_not_due() -> None:
    accepted = transactions(
        {**SALE, "created_at": "2026-10-27T12:00:00Z"},
        {**SALE, "created_at": "2026-10-28T12:00:00Z"},
        {**SALE, "created_at": "2026-10-31T12:00:00Z"},
    )
    items = items_of(accepted, settings(settle_since_days=3))
    assert items["standing"].tolist() == ["not due", "due", "not due"]


def test_windows_count_from_the_day_a_payment_was_made_and_the_cut_off_moves_it_on() -> None:
    # Friday 30 October 2026, CET = UTC + 1: the cut-off at 17:00 is 16:00 UTC; T1 is Monday, T2 Tuesday.
    accepted = transactions(
        {**SALE, "settlement_window": "T2", "created_at": "2026-10-30T15:59:59Z"},
        {**SALE, "settlement_window": "T2", "created_at": "2026-10-30T16:00:00Z"},
        {**SALE, "settlement_window": "T2", "created_at": "2026-10-29T09:00:00Z"},
        {**SALE, "settlement_window": "T1", "created_at": "2026-10-20T09:00:00Z"},
        {**SALE, "settlement_window": "T0", "created_at": "2026-10-30T16:00:00Z"},
        {**SALE, "settlement_window": "RTGS", "created_at": "2026-10-30T09:00:00Z"},
        {**SALE, "settlement_window": "RTGS", "created_at": "2026-10-30T16:00:00Z"},
    )
    items = items_of(accepted)
    ranges = list(zip(items["earliest_slot"], items["latest_slot"], items["is_gross"], strict=True))
    assert ranges == [
        (1, 3, False), (2, 3, False), (1, 2, False), (1, 1, False), (2, 2, False), (0, 0, True), (2, 2, True)
    ]  # fmt: skip


def test_a_run_on_saturday_settles_from_monday() -> None:
    days = settlement_dates(settings(as_of="2026-10-31").as_of)
    assert [str(d.date()) for d in days] == ["2026-11-02", "2026-11-02", "2026-11-03", "2026-11-04"]


def test_an_unavailable_counterparty_takes_its_alternate_and_without_one_the_payment_waits() -> None:
    parties = counterparties(
        {"counterparty_id": "CP1", "is_available": False, "alternate_counterparty_id": "CP2"},
        {"counterparty_id": "CP2", "is_available": False, "alternate_counterparty_id": "CP3"},
        {"counterparty_id": "CP3"},
        {"counterparty_id": "CP4", "is_available": False, "alternate_counterparty_id": "CP5"},
        {"counterparty_id": "CP5", "is_available": False, "alternate_counterparty_id": "CP4"},
        {"counterparty_id": "CP6", "is_available": False},
    )
    accepted = transactions(*({**SALE, "counterparty_id": f"CP{i}"} for i in range(1, 8)))
    items = items_of(accepted, counterparties=parties)
    assert items["counterparty_id"].tolist() == ["CP3", "CP3", "CP3", "", "", "", "CP7"]
    assert items["standing"].tolist() == ["due", "due", "due", "no route", "no route", "no route", "due"]


def test_conversion_takes_the_newest_rate_and_keeps_the_currency_exponents() -> None:
    # 160 JPY and 1.25 USD per EUR: 100.00 EUR is 16,000 JPY; 1,000 JPY is 6.25 EUR.
    rates = pd.concat([fx_rates("2026-10-28", JPY=100.0), fx_rates("2026-10-30"), fx_rates("2026-10-31", USD=9.0)])
    accepted = transactions(
        {**SALE, "destination_currency": "JPY"},
        {**SALE, "amount_minor": 1_000, "currency": "JPY", "destination_currency": "EUR"},
        {**SALE, "currency": "USD"},
    )
    items = items_of(accepted, fx_rates=rates)
    assert items["destination_minor"].tolist() == [16_000, 625, 10_000]
    assert items["value_minor"].tolist() == [10_000, 625, 8_000]


def test_a_conversion_without_a_rate_waits_and_a_payment_in_one_currency_does_not() -> None:
    accepted = transactions({**SALE, "currency": "SEK"}, {**SALE, "currency": "SEK", "destination_currency": "EUR"})
    items = items_of(accepted)
    assert items["reason"].tolist() == ["", "FX_RATE_MISSING"]


def test_a_sale_brings_cash_in_and_a_payout_takes_it_out() -> None:
    accepted = transactions(
        {**SALE, "destination_currency": "USD"}, {**SALE, "type": "PAYOUT"}, {**SALE, "type": "REFUND"}
    )
    items = items_of(accepted)
    assert items["cash_currency"].tolist() == ["USD", "EUR", "EUR"]
    assert items["cash_out_minor"].tolist() == [-12_500, 10_000, 10_000]
    assert items["net_debit_minor"].tolist() == [10_000, 0, -10_000]


def test_no_transactions_give_an_empty_table() -> None:
    none = declared("transactions").empty()
    inputs = (streaming_index(none), counterparties(), declared("fx_rates").empty(), settled_before())
    assert select_items(none, *inputs, settings())["settlement_items"].empty


def test_the_euro_needs_no_rate() -> None:
    assert rates_on(declared("fx_rates").empty(), settings().as_of)["rate"].to_dict() == {"EUR": 1.0}


def test_a_cut_off_that_is_no_time_of_day_is_refused() -> None:
    with pytest.raises(SettingsError, match="cut_off_time"):
        items_of(transactions(SALE), settings(cut_off_time="5 pm"))


def test_what_an_earlier_run_settles_today_is_no_longer_cash_or_limit_at_hand():
    accepted = transactions(
        {"payer": "A", "payee": "B", "amount_minor": 700, "type": "PAYOUT"},
        {"payer": "CP", "payee": "B", "amount_minor": 300, "currency": "USD"},
        {"payer": "CP", "payee": "B", "amount_minor": 50},
        {"payer": "CP", "payee": "B", "amount_minor": 40, "currency": "USD", "counterparty_id": "CP2"},
    )
    before = pd.DataFrame(
        {
            "transaction_id": ["T000", "T001", "T002", "T003"],
            "batch_id": ["B1", "B1", "B0", "B2"],
            "settlement_date": pd.to_datetime(["2026-10-30", "2026-10-30", "2026-10-29", "2026-11-02"]),
        }
    )
    banks = counterparties({"counterparty_id": "CP1", "limit_minor": 1_000, "currency": "USD"})
    chosen, rates = settings(), fx_rates(USD=1.25)
    seen = select_items(accepted, streaming_index(accepted), banks, rates, before, chosen)["settlement_items"]
    cash, limits, _ = leave_room(liquidity(EUR=1_000, USD=100), banks, seen, before, rates, chosen)
    assert dict(zip(cash["currency"], cash["opening_balance_minor"], strict=True)) == {"EUR": 300, "USD": 400}
    assert limits["limit_minor"].tolist() == [700]
    given = counterparty_limits(("CP1", "USD", 1_000), ("CP1", "EUR", 40), ("CP2", "USD", 90), ("CP3", "USD", 5))
    left = leave_room(liquidity(), banks, seen, before, rates, chosen, given)[2]
    assert left["currency_limit_minor"].tolist() == [40, 700, 50, 5]  # CP1's EUR payment settled the day before


def test_a_payment_under_a_limit_that_no_rate_converts_waits() -> None:
    banks = counterparties({"counterparty_id": "CP1", "limit_minor": 1_000, "currency": "CHF"})
    items = items_of(transactions(SALE, {**SALE, "counterparty_id": "CP2"}), counterparties=banks)
    assert items["reason"].tolist() == ["FX_RATE_MISSING", ""]
