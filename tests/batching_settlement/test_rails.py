"""The simulated rail: pays once per key, fails in the same places every time."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from atlas_lib.batching_settlement.rails import Instruction, SimulatedRail

PAYMENT = Instruction("I-1", "BANK-A", "ACC-1", "ACC-2", 100, "EUR", "2026-10-30")


def test_a_rail_without_failures_pays_at_once() -> None:
    rail = SimulatedRail(seed=1, failure_rate=0.0)
    assert rail.query("I-1").outcome == "not_found"
    assert rail.send(PAYMENT, "I-1").outcome == "confirmed"
    assert rail.query("I-1").outcome == "confirmed"
    assert rail.paid == {"I-1": PAYMENT}


def test_the_same_key_again_is_paid_once_even_over_another_route() -> None:
    rail = SimulatedRail(seed=1, failure_rate=0.0)
    rail.send(PAYMENT, "I-1")
    answer = rail.send(dataclasses.replace(PAYMENT, counterparty_id="BANK-B"), "I-1")
    assert (answer.outcome, answer.detail) == ("confirmed", "paid before")
    assert rail.paid["I-1"].counterparty_id == "BANK-A"


def test_a_key_used_for_another_payment_is_refused() -> None:
    rail = SimulatedRail(seed=1, failure_rate=0.0)
    rail.send(PAYMENT, "I-1")
    assert rail.send(dataclasses.replace(PAYMENT, amount_minor=101), "I-1").outcome == "refused"
    assert len(rail.paid) == 1


def test_a_counterparty_that_is_down_is_never_reached() -> None:
    rail = SimulatedRail(seed=1, failure_rate=0.0, down={"BANK-A"})
    assert rail.send(PAYMENT, "I-1").outcome == "unavailable"
    assert rail.paid == {}


def test_every_kind_of_failure_happens_and_a_timeout_leaves_both_possibilities() -> None:
    rail = SimulatedRail(seed=1, failure_rate=1.0)
    answers = {key: rail.send(PAYMENT, key).outcome for key in map(str, range(200))}
    assert set(answers.values()) == {"refused", "unavailable", "timeout", "shortfall"}
    paid_after_timeout = {answers[key] for key in rail.paid}
    assert paid_after_timeout == {"timeout"}
    assert len(rail.paid) < list(answers.values()).count("timeout")


@given(st.integers(0, 99), st.lists(st.sampled_from(["I-1", "I-2", "I-3"]), max_size=12))
def test_two_rails_of_one_seed_answer_alike_and_refused_means_not_paid(seed: int, keys: list[str]) -> None:
    first, second = SimulatedRail(seed, 0.5), SimulatedRail(seed, 0.5)
    for key in keys:
        before = set(first.paid)
        answer = first.send(PAYMENT, key)
        assert answer == second.send(PAYMENT, key)
        if answer.outcome == "confirmed":
            assert key in first.paid
        if answer.outcome in ("refused", "unavailable", "shortfall"):
            assert set(first.paid) == before


def test_a_cancelled_key_is_never_paid_and_a_paid_one_cannot_be_cancelled() -> None:
    rail = SimulatedRail(seed=1, failure_rate=0.0)
    assert rail.cancel("I-1").outcome == "cancelled"
    assert rail.send(PAYMENT, "I-1").outcome == "cancelled"
    assert rail.query("I-1").outcome == "cancelled"
    rail.send(PAYMENT, "I-1.1")
    assert rail.cancel("I-1.1").outcome == "confirmed"
    assert set(rail.paid) == {"I-1.1"}


def test_a_cancellation_whose_answer_was_lost_may_or_may_not_have_happened() -> None:
    rail = SimulatedRail(seed=1, failure_rate=1.0)
    keys = [str(n) for n in range(50)]
    assert {rail.cancel(key).outcome for key in keys} == {"timeout"}
    assert 0 < len(rail.cancelled) < 50
