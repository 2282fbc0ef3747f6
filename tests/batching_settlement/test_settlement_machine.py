"""The settlement machine in moderate length; the long run is `python -m benchmarks settlement_model`."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.batching_settlement.settlement_machine import SEEN, SettlementMachine

LENGTH = settings(
    max_examples=8, stateful_step_count=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
REFUSED, LOST_BEFORE_PAYMENT = 0, 3


def test_whatever_happens_in_whatever_order_nothing_is_paid_twice_or_lost() -> None:
    run_state_machine_as_test(SettlementMachine, settings=LENGTH)


@pytest.mark.parametrize("where", ["append", "commit_once", "send", "query", "cancel"])
def test_a_life_that_dies_in_this_call_and_gives_up_payments_ends_with_all_that_is_free_settled(where: str) -> None:
    """Chance may miss a path: a machine that gives up no payment finds nothing wrong with how one is given up."""
    SEEN.clear()
    machine = SettlementMachine()
    machine.begin(seed=5, failure_rate=1.0, is_netted=False)
    machine.rail.change(failures=1.0, silence=0.0)
    rounds = ((3, False, REFUSED, 0.0), (5, True, LOST_BEFORE_PAYMENT, 0.0), (7, False, REFUSED, 1.0))
    for number, after, how, silence in rounds:
        machine.rail.only, machine.rail.silence = how, silence
        machine.say_again(operator=number % 2, number=0)
        machine.die_on_the_way(0, None, {number, number + 1}, where, 0, after)
        machine.the_books_hold()
        machine.carry_out(operator=1, which=len(machine.plans) - 1)
        machine.the_books_hold()
    machine.rail.change(failures=0.0, silence=0.0)
    for call in (0, 3):
        machine.interrupt_each_other({9 if call else 0}, {10 + call // 3}, is_netted=bool(call), call=call)
        machine.the_books_hold()
    machine.teardown()
    assert SEEN[f"died in {where}"] >= 1, dict(SEEN)
    wanted = ("keys given up", "failed", "payments", "interrupted", "late message cancelled")
    assert not [path for path in wanted if not SEEN[path]], dict(SEEN)


@pytest.mark.parametrize(
    "made", [{"I-0-1-2-T-1"}, {"I-0-1-2-T-1", "I-0-1-2-T-2"}, {f"I-0-1-2-T-{n}" for n in (1, 2, 3)}]
)
def test_netted_transactions_are_settled_by_the_last_of_their_payments_and_not_before(made: set[str]) -> None:
    machine = SettlementMachine()
    machine.begin(seed=5, failure_rate=1.0, is_netted=True)
    machine.rail.only, machine.rail.spared, machine.rail.silence = REFUSED, made, 0.0
    try:
        machine.carry_out(operator=0, which=0)
        machine.the_books_hold()
        assert {name for name, _ in machine.rail.payments.log} == made
        assert set(machine.ledgers[0].claims([f"T-{n}" for n in (1, 2, 3)])["status"]) == {"in_flight"}
    finally:
        machine.teardown()
    assert len(machine.rail.payments.log) == 4
