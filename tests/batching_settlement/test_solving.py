from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from atlas_lib.batching_settlement.book import (
    DEFERRED,
    DIRECT,
    GROSS,
    NETTED,
    Book,
    Plan,
    grouped_plan,
    pooled_plan,
    requested_slots,
    single_plan,
)
from atlas_lib.batching_settlement.costs import MICRO, Prices, price_plan
from atlas_lib.batching_settlement.limits import Limits, is_within, place
from atlas_lib.batching_settlement.pieces import cut_pieces, useful_slots
from atlas_lib.batching_settlement.solving import solve_book
from tests.batching_settlement.planning_frames import (
    books,
    counterparties,
    counterparty_limits,
    currency_limits,
    items_of,
    liquidity,
    planned,
    scarce_cash,
    scarce_limits,
    settings,
    transactions,
)

FAN = [{"payer": "P", "payee": f"M{i}", "amount_minor": 1_000 + i} for i in (0, 0, 1, 1)]


def cheapest_by_trying(book: Book, limits: Limits, prices: Prices) -> int:
    """Every window and mode of every transaction, and leaving it unsettled."""
    choices = []
    for first, last, gross in zip(book.column("earliest_slot"), book.column("latest_slot"), book.is_gross, strict=True):
        modes = [GROSS] if gross else [NETTED, DIRECT]
        choices.append([*product(range(first, last + 1), modes), (DEFERRED, DIRECT)])
    plans = (Plan(*np.array(chosen, dtype=np.int64).T) for chosen in product(*choices))
    return min(price_plan(book, plan, prices).total_micro for plan in plans if is_within(book, plan.slot, limits))


def test_a_lone_pair_pays_direct_and_a_crowd_through_the_pool() -> None:
    pair = [{"payer": "X", "payee": "Y", "amount_minor": 500}] * 2
    crowd = [{"payer": a, "payee": b, "amount_minor": 700} for a in "ABC" for b in "DEF"]
    book, limits, prices = planned(items_of(transactions(*pair, *crowd)), settings())
    solution = solve_book(book, limits, prices)
    assert solution.plan.mode.tolist() == [DIRECT] * 2 + [NETTED] * 9
    assert (solution.cost.wires, solution.cost.wire_minor) == (7, 7 * 425)
    assert solution.bound_micro <= solution.cost.total_micro <= solution.bound_micro * 1.00001


def test_a_single_payment_pays_the_full_wire() -> None:
    book, limits, prices = planned(items_of(transactions(FAN[0])), settings())
    assert solve_book(book, limits, prices).cost.wire_minor == 500


def test_without_a_binding_limit_one_window_serves_all_that_may_use_it() -> None:
    first, last = np.array([1, 1, 2]), np.array([3, 2, 3])
    assert useful_slots(first, last, np.zeros(3, dtype=bool)) == {2}
    assert useful_slots(np.array([1, 2]), np.array([1, 2]), np.zeros(2, dtype=bool)) == {1, 2}


def test_many_transactions_of_one_pair_are_one_piece() -> None:
    book, limits, _ = planned(items_of(transactions(*FAN)), settings())
    pieces = cut_pieces(book, limits)
    assert pieces.count.tolist() == [2, 2]


@hypothesis_settings(max_examples=20)
@given(books(most=3), scarce_cash, scarce_limits, currency_limits)
def test_on_tiny_books_the_plan_is_the_best_of_all(
    accepted: pd.DataFrame, cash: pd.DataFrame, parties: pd.DataFrame, by_currency: pd.DataFrame
) -> None:
    book, limits, prices = planned(items_of(accepted), settings(), cash, parties, by_currency=by_currency)
    best, solution = cheapest_by_trying(book, limits, prices), solve_book(book, limits, prices)
    assert solution.bound_micro <= best <= solution.cost.total_micro
    assert solution.cost.total_micro - best <= MICRO // 2


@hypothesis_settings(max_examples=20)
@given(books(), scarce_cash, scarce_limits, currency_limits, st.sampled_from([2, 1000]))
def test_bound_optimised_simple_and_gross_are_in_this_order_and_every_limit_is_kept(
    accepted: pd.DataFrame, cash: pd.DataFrame, parties: pd.DataFrame, by_currency: pd.DataFrame, batch: int
) -> None:
    chosen = settings(max_batch_count=batch)
    book, limits, prices = planned(items_of(accepted), chosen, cash, parties, by_currency=by_currency)
    solution = solve_book(book, limits, prices)
    asked = place(book, requested_slots(book), limits)
    simple, gross = (price_plan(book, plan(book, asked), prices) for plan in (grouped_plan, single_plan))
    assert solution.bound_micro <= solution.cost.total_micro <= simple.total_micro <= gross.total_micro
    assert price_plan(book, solution.plan, prices) == solution.cost
    assert is_within(book, solution.plan.slot, limits)
    assert not solution.is_fallback


@hypothesis_settings(max_examples=8)
@given(books(), scarce_cash, st.randoms(use_true_random=False))
def test_any_order_of_the_input_gives_the_same_plan(accepted: pd.DataFrame, cash: pd.DataFrame, random: object) -> None:
    order = list(range(len(accepted)))
    random.shuffle(order)  # type: ignore[attr-defined]
    first = solve_book(*planned(items_of(accepted), settings(), cash))
    again = solve_book(*planned(items_of(accepted.iloc[order]), settings(), cash))
    assert first.plan.slot.tolist() == again.plan.slot.tolist()
    assert first.plan.mode.tolist() == again.plan.mode.tolist()


@hypothesis_settings(max_examples=8)
@given(books(), st.integers(0, 200_000), st.integers(0, 200_000))
def test_more_cash_never_raises_the_cost(accepted: pd.DataFrame, cash: int, more: int) -> None:
    scarce = solve_book(*planned(items_of(accepted), settings(), liquidity(EUR=cash)))
    ample = solve_book(*planned(items_of(accepted), settings(), liquidity(EUR=cash + more)))
    assert ample.cost.total_micro <= scarce.cost.total_micro * (1 + 2e-5)


def test_of_two_payments_of_which_one_must_wait_the_one_with_priority_settles() -> None:
    rows = [{"payer": "OP", "payee": m, "amount_minor": 900, "type": t} for m, t in (("M", "REFUND"), ("N", "PAYOUT"))]
    for priorities, waits in (("PAYOUT 3", 0), ("REFUND 2", 1)):
        book, limits, prices = planned(
            items_of(transactions(*rows)), settings(priorities=priorities), liquidity(EUR=900)
        )
        solution = solve_book(book, limits, prices)
        assert solution.plan.slot.tolist().index(DEFERRED) == waits
        assert solution.bound_micro <= solution.cost.total_micro <= solution.bound_micro * 1.00001


def test_cbc_answers_when_highs_does_not_and_finds_the_same_cost() -> None:
    book, limits, prices = planned(items_of(transactions(*FAN)), settings())
    first, second = solve_book(book, limits, prices), solve_book(book, limits, prices, solvers=("no such", "CBC"))
    assert second.solver.startswith("CBC")
    assert first.cost == second.cost


def test_without_any_solver_the_best_other_plan_is_taken_and_it_is_said() -> None:
    book, limits, prices = planned(items_of(transactions(*FAN)), settings())
    solution = solve_book(book, limits, prices, solvers=())
    assert solution.is_fallback
    assert solution.solver == "no solver answered: simple grouping"
    assert solution.bound_micro == 0


@pytest.mark.parametrize("limit", [0, 100_000_000])
def test_a_book_of_thousands_is_cut_to_few_pieces_and_solved_within_its_limits(limit: int) -> None:
    rng = np.random.default_rng(5)
    kinds = rng.choice(["SALE", "PAYOUT"], 4_000)
    rows = [
        {
            "payer": f"P{p}", "payee": f"M{m}", "amount_minor": int(a), "type": str(k), "settlement_window": w,
            "destination_currency": d,
        }
        for p, m, a, k, w, d in zip(
            rng.integers(0, 6, 4_000), rng.integers(0, 20, 4_000), rng.integers(100, 90_000, 4_000), kinds,
            rng.choice(["T0", "T2"], 4_000), rng.choice(["EUR", "USD"], 4_000), strict=True,
        )
    ]  # fmt: skip
    parties = counterparties({"counterparty_id": "CP1", "limit_minor": limit})
    of_usd = counterparty_limits(("CP1", "USD", limit // 3))
    book, limits, prices = planned(items_of(transactions(*rows)), settings(), limited=parties, by_currency=of_usd)
    solution = solve_book(book, limits, prices)
    assert is_within(book, solution.plan.slot, limits)
    assert solution.bound_micro <= solution.cost.total_micro
    assert price_plan(
        book, pooled_plan(book, place(book, book.column("earliest_slot"), limits)), prices
    ).total_micro >= (solution.cost.total_micro)
