import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from atlas_lib.batching_settlement.book import NETTED, Plan, earliest_slots, pooled_plan
from atlas_lib.batching_settlement.costs import price_plan
from atlas_lib.batching_settlement.limits import is_within, place, restore
from atlas_lib.batching_settlement.refinement import refine, seat
from tests.batching_settlement.planning_frames import (
    books,
    items_of,
    liquidity,
    planned,
    scarce_cash,
    scarce_limits,
    settings,
    transactions,
)


def payments(*pairs: str, **common: object) -> list[dict[str, object]]:
    return [{"payer": p[0], "payee": p[1], "amount_minor": 700, **common} for p in pairs]


def test_a_single_leg_gets_company_from_a_busy_window() -> None:
    # Three early payments of each of A, B; one late one between them is alone on both its legs.
    early = payments("AB", "AB", "AB", settlement_window="T2")
    late = payments("AB", created_at="2026-10-30T17:30:00Z")
    book, limits, prices = planned(items_of(transactions(*early, *late)), settings())
    plan = Plan(np.array([1, 1, 1, 2]), np.full(4, NETTED))
    better = refine(book, plan, limits, prices)
    assert sorted(better.slot.tolist()) == [1, 1, 2, 2]
    assert (price_plan(book, plan, prices).wire_minor, price_plan(book, better, prices).wire_minor) == (1_850, 1_700)


def test_a_leg_is_opened_where_it_saves_more_direct_wires_than_it_costs() -> None:
    pool = payments("AB", "BA", "AC", "CA")
    book, limits, prices = planned(items_of(transactions(*pool, *payments("XA", "XB", "XC"))), settings())
    plan = Plan(np.full(7, 1), np.array([NETTED] * 4 + [1] * 3))
    assert price_plan(book, refine(book, plan, limits, prices), prices).wire_minor == 4 * 425


def test_a_lone_wire_joins_the_pool_when_a_companion_can_leave_a_busy_window() -> None:
    # X pays A late, alone on a wire, while A settles late in the pool; one of X's three early payments can wait.
    early = payments("XA", "XA", "XA", settlement_window="T2")
    late = payments("AB", "BA", "XA", created_at="2026-10-30T17:30:00Z")
    book, limits, prices = planned(items_of(transactions(*early, *late)), settings())
    plan = Plan(np.array([1, 1, 1, 2, 2, 2]), np.array([NETTED] * 5 + [1]))
    better = refine(book, plan, limits, prices)
    assert sorted(better.slot.tolist()) == [1, 1, 2, 2, 2, 2]
    assert set(better.mode.tolist()) == {NETTED}
    assert price_plan(book, plan, prices).wire_minor - price_plan(book, better, prices).wire_minor == 75


def test_conversions_move_to_the_window_that_needs_the_currency() -> None:
    sells = payments("AB", "AC", amount_minor=100_000_000, destination_currency="USD", settlement_window="T2")
    buys = payments("AB", "AC", amount_minor=125_000_000, currency="USD", destination_currency="EUR",
                    created_at="2026-10-30T17:30:00Z")  # fmt: skip
    book, limits, prices = planned(items_of(transactions(*sells, *buys)), settings())
    plan = Plan(np.array([1, 1, 2, 2]), np.full(4, NETTED))
    assert price_plan(book, plan, prices).fx_micro > 0
    assert price_plan(book, refine(book, plan, limits, prices), prices).fx_micro == 0


@hypothesis_settings(max_examples=15)
@given(books(), scarce_cash, scarce_limits)
def test_refining_never_costs_more_and_never_breaks_a_limit_or_a_window(
    accepted: pd.DataFrame, cash: pd.DataFrame, parties: pd.DataFrame
) -> None:
    book, limits, prices = planned(items_of(accepted), settings(), cash, parties)
    plan = pooled_plan(book, place(book, earliest_slots(book), limits))
    better = refine(book, plan, limits, prices)
    assert price_plan(book, better, prices).total_micro <= price_plan(book, plan, prices).total_micro
    assert is_within(book, better.slot, limits)
    settled = better.slot >= 0
    assert ((better.slot >= book.column("earliest_slot")) & (better.slot <= book.column("latest_slot")))[settled].all()
    assert (settled == (plan.slot >= 0)).all()


@hypothesis_settings(max_examples=15)
@given(books(), scarce_cash, scarce_limits)
def test_restoring_keeps_every_limit_and_touches_nothing_without_need(
    accepted: pd.DataFrame, cash: pd.DataFrame, parties: pd.DataFrame
) -> None:
    book, limits, _ = planned(items_of(accepted), settings(), cash, parties)
    wished, cost = earliest_slots(book), np.ones(len(book))
    kept = restore(book, wished, limits, cost, 10 * cost)
    assert is_within(book, kept, limits)
    assert (kept == wished).all() or not is_within(book, wished, limits)


def test_the_smallest_payment_that_makes_enough_room_is_left_out() -> None:
    rows = [{"payer": "OP", "payee": "M", "amount_minor": a, "type": "PAYOUT"} for a in (10, 60, 80, 90)]
    book, limits, _ = planned(items_of(transactions(*rows)), settings(), liquidity(EUR=185))
    cost = np.ones(4)
    assert restore(book, earliest_slots(book), limits, cost, cost).tolist() == [1, -1, 1, 1]


def test_a_moved_payment_takes_the_pool_only_where_both_its_legs_are_open() -> None:
    rows = payments("AB", "AB", "AC", settlement_window="T2")
    book, _, _ = planned(items_of(transactions(*rows)), settings())
    plan = seat(book, np.array([2, 2, 2]), np.full(3, NETTED), np.array([1, 2]))
    assert plan.mode.tolist() == [NETTED, NETTED, 1]
