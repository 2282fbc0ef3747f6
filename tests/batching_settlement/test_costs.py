from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from atlas_lib.batching_settlement.book import Plan, grouped_plan, pooled_plan, read_book, requested_slots, single_plan
from atlas_lib.batching_settlement.costs import (
    Prices,
    cheapest_ways,
    conversion_cost,
    kept_gross_fx,
    net_conversions,
    price_plan,
    quoted_steps,
    read_prices,
    read_spreads,
    spread_matrix,
)
from atlas_lib.core.errors import SettingsError
from tests.batching_settlement.planning_frames import books, items_of, planned, settings, transactions

CURRENCIES = ("EUR", "GBP", "JPY", "USD")


def default_prices() -> Prices:
    return read_prices(settings(), CURRENCIES)


def test_prices_are_those_of_the_settings_in_minor_units() -> None:
    prices = default_prices()
    assert (prices.single_minor, prices.shared_minor, prices.deferral_minor.tolist()) == (500, 425, [1000] * 5)


def test_leaving_a_payment_unsettled_is_never_cheaper_than_its_wire() -> None:
    assert read_prices(settings(deferral_cost=0.0), CURRENCIES).deferral_minor.tolist() == [500] * 5


def test_a_priority_multiplies_what_leaving_a_type_unsettled_counts() -> None:
    prices = read_prices(settings(priorities="PAYOUT 3; REFUND 2"), CURRENCIES)
    assert prices.deferral_minor.tolist() == [1000, 2000, 1000, 1000, 3000]


@pytest.mark.parametrize("text", ["PAYOUT", "PAYOUT 0", "SALARY 2", "3 PAYOUT"])
def test_priorities_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="Not a list of priorities"):
        read_prices(settings(priorities=text), CURRENCIES)


def test_totals_stay_exact_beyond_sixty_four_bits() -> None:
    rows = [
        {"payer": "P", "payee": f"M{i}", "amount_minor": 9 * 10**15, "destination_currency": "USD"} for i in range(9)
    ]
    book, _, prices = planned(items_of(transactions(*rows)), settings(fx_spreads="USD-EUR 9.0; other 9.0"))
    cost = price_plan(book, single_plan(book, requested_slots(book)), prices)
    assert cost.fx_micro == 9 * 9 * 10**15 * 900 > 2**63


def test_a_conversion_goes_through_a_third_currency_when_that_is_cheaper() -> None:
    # EUR-JPY is not quoted (5.0 bps); EUR-USD 2.5 + USD-JPY 2.0 = 4.5.
    prices = default_prices()
    eur, jpy, usd = (CURRENCIES.index(c) for c in ("EUR", "JPY", "USD"))
    assert prices.quoted[eur, jpy] == 500
    assert prices.cheapest[eur, jpy] == 450
    assert quoted_steps({(eur, jpy): 7}, prices) == {(eur, usd): 7, (usd, jpy): 7}


@pytest.mark.parametrize(
    "text", ["USD-EUR=2.5; other 5", "USDEUR 2; other 5", "USD-EUR 2.5", "other -1", "other 1.234"]
)
def test_spreads_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="fx_spreads"):
        read_spreads(text)


def test_gross_simple_grouping_and_hub_of_three_payments() -> None:
    # 5.00 x 3; two wires to M (4.25) and one (5.00); legs P 4.25, M 4.25, N 5.00. One converts 1,000.00 EUR at 2.5 bps.
    accepted = transactions(
        {"payer": "P", "payee": "M", "amount_minor": 5_000},
        {"payer": "P", "payee": "M", "amount_minor": 7_000},
        {"payer": "P", "payee": "N", "amount_minor": 100_000, "destination_currency": "USD"},
    )
    book, prices = read_book(items_of(accepted)), read_prices(settings(), ("EUR", "USD"))
    slot = np.ones(3, dtype=np.int64)
    costs = [price_plan(book, plan(book, slot), prices) for plan in (single_plan, grouped_plan, pooled_plan)]
    assert [(c.wires, c.wire_minor) for c in costs] == [(3, 1500), (2, 925), (3, 1350)]
    assert [c.fx_micro for c in costs] == [25_000_000] * 3


def test_the_pool_converts_only_what_does_not_offset() -> None:
    accepted = transactions(
        {"payer": "A", "payee": "B", "amount_minor": 100_000, "destination_currency": "USD"},
        {"payer": "C", "payee": "D", "amount_minor": 100_000, "currency": "USD", "destination_currency": "EUR"},
    )
    book, prices = read_book(items_of(accepted)), read_prices(settings(), ("EUR", "USD"))
    plan = pooled_plan(book, np.ones(2, dtype=np.int64))
    assert price_plan(book, plan, prices).fx_micro == (100_000 - 80_000) * 250
    assert kept_gross_fx(book, plan, prices) == (100_000 + 80_000) * 250


def test_a_direct_wire_carries_no_more_than_a_batch() -> None:
    accepted = transactions(*({"payer": "P", "payee": "M", "amount_minor": 100} for _ in range(5)))
    book, prices = read_book(items_of(accepted)), read_prices(settings(max_batch_count=2), ("EUR",))
    cost = price_plan(book, grouped_plan(book, np.ones(5, dtype=np.int64)), prices)
    assert (cost.wires, cost.wire_minor) == (3, 2 * 425 + 500)


@given(st.lists(st.integers(0, 900), min_size=16, max_size=16))
def test_no_way_is_dearer_than_the_quote_and_the_triangle_inequality_holds(spreads: list[int]) -> None:
    quoted = np.array(spreads, dtype=np.int64).reshape(4, 4)
    quoted[np.diag_indices(4)] = 0
    cost, _ = cheapest_ways(quoted)
    assert (cost <= quoted).all()
    assert all(cost[a, c] <= cost[a, b] + cost[b, c] for a, b, c in permutations(range(4), 3))


@given(st.lists(st.integers(-50, 50), min_size=3, max_size=3))
def test_net_conversions_clear_the_pool_at_the_least_cost(part: list[int]) -> None:
    """With four currencies and whole amounts the optimum can be found by trying every flow."""
    net = [*part, -sum(part)]
    prices = default_prices()
    flow = net_conversions(net, prices)
    for c in range(4):
        assert sum(v for (a, _), v in flow.items() if a == c) - sum(v for (_, b), v in flow.items() if b == c) == net[c]
    assert conversion_cost(flow, prices) == cheapest_by_trying(net, prices)


def cheapest_by_trying(net: list[int], prices: Prices) -> int:
    """A transport problem has an optimum that serves sellers greedily in some order of the arcs."""
    arcs = [(a, b) for a in range(4) for b in range(4) if net[a] > 0 > net[b]]
    best = []
    for order in permutations(arcs):
        left, cost = list(net), 0
        for a, b in order:
            moved = min(left[a], -left[b])
            left[a], left[b], cost = left[a] - moved, left[b] + moved, cost + moved * int(prices.cheapest[a, b])
        best.append(cost)
    return min(best)


@hypothesis_settings(max_examples=25)
@given(books())
def test_simple_grouping_never_costs_more_than_gross(accepted: object) -> None:
    book = read_book(items_of(accepted))  # type: ignore[arg-type]
    prices = read_prices(settings(max_batch_count=3), book.currencies)
    slot = book.column("latest_slot")
    grouped, single = (price_plan(book, plan(book, slot), prices) for plan in (grouped_plan, single_plan))
    assert grouped.total_micro <= single.total_micro
    deferred = price_plan(book, Plan(np.full(len(book), -1), np.zeros(len(book), dtype=np.int64)), prices)
    assert single.total_micro <= deferred.total_micro


def test_spreads_are_the_same_in_both_directions() -> None:
    matrix = spread_matrix(read_spreads("GBP-EUR 2; other 7.25"), ("EUR", "GBP", "SEK"))
    assert matrix.tolist() == [[0, 200, 725], [200, 0, 725], [725, 725, 0]]
