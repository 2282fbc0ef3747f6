import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from atlas_lib.batching_settlement.book import read_book
from atlas_lib.batching_settlement.items import rates_on
from atlas_lib.batching_settlement.limits import (
    cash_by_window,
    is_within,
    place,
    read_limits,
    tight_items,
)
from atlas_lib.batching_settlement.reasons import why_deferred
from tests.batching_settlement.planning_frames import (
    books,
    counterparties,
    counterparty_limits,
    currency_limits,
    fx_rates,
    items_of,
    known_flows,
    liquidity,
    planned,
    scarce_cash,
    scarce_limits,
    settings,
    transactions,
)

PAYOUT = {"payer": "OP", "payee": "M", "type": "PAYOUT"}
SALE = {"payer": "P", "payee": "M"}


def test_money_coming_in_by_then_may_go_out_again() -> None:
    accepted = transactions({**PAYOUT, "amount_minor": 900}, {**SALE, "amount_minor": 1_000})
    book, limits, _ = planned(items_of(accepted), settings(), liquidity(EUR=0))
    assert place(book, book.column("earliest_slot"), limits).tolist() == [1, 1]


def test_a_payout_without_cash_waits_and_says_how_much_is_missing() -> None:
    accepted = transactions({**PAYOUT, "amount_minor": 90_000}, {**PAYOUT, "amount_minor": 20_000})
    book, limits, _ = planned(items_of(accepted), settings(), liquidity(EUR=30_000))
    slot = place(book, book.column("earliest_slot"), limits)
    assert slot.tolist() == [-1, 1]
    why = why_deferred(book, slot, limits)
    assert why["reason"].tolist() == ["LIQUIDITY_SHORTFALL"]
    assert why["detail"].tolist() == ["900.00 EUR needed, 100.00 left in T0"]


def test_a_payment_moves_to_a_later_window_when_its_counterparty_is_full() -> None:
    sale = {**SALE, "settlement_window": "T2"}
    accepted = transactions(
        {**sale, "amount_minor": 700}, {**sale, "amount_minor": 600}, {**sale, "amount_minor": 2_000}
    )
    parties = counterparties({"counterparty_id": "CP1", "limit_minor": 1_000})
    book, limits, _ = planned(items_of(accepted), settings(), limited=parties)
    slot = place(book, book.column("earliest_slot"), limits)
    assert slot.tolist() == [1, 2, -1]
    assert why_deferred(book, slot, limits)["reason"].tolist() == ["COUNTERPARTY_LIMIT"]


def test_a_limit_in_another_currency_is_taken_at_the_rate_of_the_day() -> None:
    book = read_book(items_of(transactions({**SALE, "amount_minor": 1})))
    parties = counterparties({"counterparty_id": "CP1", "limit_minor": 16_000, "currency": "JPY"})
    rates = rates_on(fx_rates(), settings().as_of)
    cash = cash_by_window(liquidity(), None, [])
    assert read_limits(book, cash, parties, rates).debit.tolist() == [10_000]


def test_the_total_limit_counts_every_currency_and_rounds_to_the_safe_side() -> None:
    # 1 JPY is 0.625 cents: counted as 1 each; 1.99 USD of limit are 1.592 EUR, taken as 1.59.
    accepted = transactions({**SALE, "amount_minor": 158}, *[{**SALE, "amount_minor": 1, "currency": "JPY"}] * 2)
    parties = counterparties({"counterparty_id": "CP1", "limit_minor": 199, "currency": "USD"})
    book, limits, _ = planned(items_of(accepted), settings(), limited=parties)
    assert limits.debit.tolist() == [159]
    slot = place(book, book.column("earliest_slot"), limits)
    assert slot.tolist() == [1, 1, -1]
    assert why_deferred(book, slot, limits)["detail"].tolist() == [
        "CP1 would owe 0.01 EUR more, 0.00 left under its total limit in T0"
    ]


def test_a_limit_in_one_currency_leaves_the_others_alone_and_what_goes_back_makes_room() -> None:
    usd = {**SALE, "currency": "USD"}
    into_usd = {**SALE, "destination_currency": "USD"}
    accepted = transactions(
        {**usd, "amount_minor": 700},
        {**usd, "amount_minor": 301},
        {**SALE, "amount_minor": 5_000_000},
        {**into_usd, "amount_minor": 300},  # brings 3.75 USD
        {**usd, "amount_minor": 50, "type": "REFUND"},
    )
    given_limits = counterparty_limits(("CP1", "USD", 1_000), ("CP7", "USD", 1), ("CP1", "CHF", 1))
    book, limits, _ = planned(items_of(accepted), settings(), by_currency=given_limits)
    slot = place(book, book.column("earliest_slot"), limits)
    assert slot.tolist() == [1, 1, 1, -1, 1]  # the refund makes room for the second
    assert why_deferred(book, slot, limits)["detail"].tolist() == [
        "CP1 would owe 3.75 USD more, 0.49 left under its USD limit in T0"
    ]


def test_both_limits_are_named_where_both_are_in_the_way() -> None:
    parties = counterparties({"counterparty_id": "CP1", "limit_minor": 100})
    book, limits, _ = planned(
        items_of(transactions({**SALE, "amount_minor": 500, "currency": "USD"})), settings(),
        limited=parties, by_currency=counterparty_limits(("CP1", "USD", 200)),
    )  # fmt: skip
    assert why_deferred(book, place(book, book.column("earliest_slot"), limits), limits)["detail"].tolist() == [
        "CP1 would owe 4.00 EUR more, 1.00 left under its total limit and 5.00 USD more, 2.00 left under its USD limit in T0"
    ]


def test_cash_below_its_minimum_lets_nothing_out_on_balance() -> None:
    cash = liquidity(EUR=100).assign(minimum_balance_minor=500)
    book, limits, _ = planned(items_of(transactions({**PAYOUT, "amount_minor": 1})), settings(), cash)
    assert limits.cash.tolist() == [[0, 0, 0, 0]]
    assert place(book, book.column("earliest_slot"), limits).tolist() == [-1]


def test_a_known_inflow_pays_from_its_day_on_and_a_known_outflow_is_kept_back() -> None:
    # T0 is Friday 30 October, T1 Monday 2 November, T2 Tuesday 3 November.
    flows = known_flows(("EUR", "2026-10-30", -20), ("EUR", "2026-11-02", 50), ("EUR", "2026-11-03", -500))
    _, limits, _ = planned(
        items_of(transactions({**SALE, "amount_minor": 1})), settings(), liquidity(EUR=100), forecast=flows
    )
    assert limits.cash.tolist() == [[80, 80, 130, 0]]
    early = known_flows(("EUR", "2026-10-30", 30))
    _, limits, _ = planned(
        items_of(transactions({**SALE, "amount_minor": 1})), settings(), liquidity(EUR=100), forecast=early
    )
    assert limits.cash.tolist() == [[100, 130, 130, 130]]


def test_a_payout_waits_for_the_day_on_which_the_forecast_has_the_cash() -> None:
    accepted = transactions({**PAYOUT, "amount_minor": 900, "settlement_window": "T2"})
    flows = known_flows(("EUR", "2026-11-02", 900))
    book, limits, _ = planned(items_of(accepted), settings(), liquidity(EUR=0), forecast=flows)
    assert place(book, book.column("earliest_slot"), limits).tolist() == [2]


@hypothesis_settings(max_examples=40)
@given(books(), scarce_cash, scarce_limits, currency_limits, st.randoms(use_true_random=False))
def test_placing_never_breaks_a_limit_and_what_is_not_tight_never_can(
    accepted: pd.DataFrame, cash: pd.DataFrame, parties: pd.DataFrame, by_currency: pd.DataFrame, random: object
) -> None:
    book, limits, _ = planned(items_of(accepted), settings(), cash, parties, by_currency=by_currency)
    first, last = book.column("earliest_slot"), book.column("latest_slot")
    wished = np.array(
        [random.randint(a, b) for a, b in zip(first.tolist(), last.tolist(), strict=True)], dtype=np.int64
    )  # type: ignore[attr-defined]
    slot = place(book, wished, limits)
    assert is_within(book, slot, limits)
    settled = slot >= 0
    assert ((slot >= first) & (slot <= last))[settled].all()
    assert tight_items(book, limits)[~settled].all()
    assert (slot == wished)[~tight_items(book, limits)].all()
