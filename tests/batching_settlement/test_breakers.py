"""A counterparty that keeps silent is left alone, tried again with one payment, and passed by its alternate."""

from __future__ import annotations

from collections import Counter

from atlas_lib.batching_settlement.attempts import Delivery, deliver
from atlas_lib.batching_settlement.breakers import Breakers
from atlas_lib.batching_settlement.rails import Answer, Instruction, SimulatedRail

DOWN, UP = Answer("unavailable", "down"), Answer("confirmed", "paid")
PAYMENT = Instruction("I-1", "A", "ACC-1", "ACC-2", 100, "EUR", "2026-10-30")


class CountingRail(SimulatedRail):
    """Remembers who was asked to pay at which second; `down_until` per counterparty."""

    def __init__(self, down_until: dict[str, int]) -> None:
        super().__init__(1, 0.0)
        self.down_until, self.second, self.sends = down_until, 0, Counter[tuple[str, int]]()

    def wait(self, second: int) -> None:
        self.second = second

    def send(self, instruction: Instruction, idempotency_key: str) -> Answer:
        name = instruction.counterparty_id
        self.sends[name, self.second] += 1
        return DOWN if self.second < self.down_until.get(name, 0) else super().send(instruction, idempotency_key)


def many(count: int) -> list[Delivery]:
    return [
        Delivery(Instruction(f"I-{n}", "A", "ACC-1", "ACC-2", 100, "EUR", "2026-10-30"), "B-1", "G")
        for n in range(count)
    ]


def test_it_opens_after_failures_in_a_row_and_lets_one_try_after_the_pause() -> None:
    breakers = Breakers(3, 10, {})
    for second in (0, 0):
        breakers.heard("A", second, DOWN)
    assert breakers.state("A", 0) == "closed"
    breakers.heard("A", 0, UP)
    for _ in range(3):
        breakers.heard("A", 2, Answer("timeout", ""))
    assert [breakers.state("A", s) for s in (2, 11, 12)] == ["open", "open", "half open"]
    breakers.heard("A", 12, DOWN)
    assert [breakers.state("A", s) for s in (12, 21, 22)] == ["open", "open", "half open"]
    breakers.heard("A", 22, Answer("refused", "no such account"))
    assert breakers.state("A", 22) == "closed"
    assert breakers.state("B", 0) == "closed"


def test_a_count_of_zero_never_opens() -> None:
    breakers = Breakers(0, 10, {})
    for _ in range(100):
        breakers.heard("A", 0, DOWN)
    assert breakers.why_not(PAYMENT, 0) is None


def test_a_silent_counterparty_is_spared_and_everything_is_paid_when_it_is_back() -> None:
    rail, payments = CountingRail({"A": 15}), many(20)
    deliver(payments, Breakers(3, 10, {}), rail, (0, 5, 15, 31), rail.wait)
    assert rail.sends == {("A", 0): 3, ("A", 15): 20}
    assert all(p.is_paid for p in payments)
    held_back = [row["detail"] for row in payments[-1].log][:2]
    assert held_back == ["not sent: A did not answer 3 times; left alone until 10 s"] * 2


def test_a_trial_that_fails_spares_the_others() -> None:
    rail, payments = CountingRail({"A": 99}), many(20)
    deliver(payments, Breakers(3, 10, {}), rail, (0, 5, 15, 31), rail.wait)
    assert rail.sends == {("A", 0): 3, ("A", 15): 1, ("A", 31): 1}
    assert not any(p.is_paid or p.is_unknown for p in payments)


def test_an_open_breaker_sends_the_rest_over_the_alternate_at_once() -> None:
    rail, payments = CountingRail({"A": 99}), many(20)
    deliver(payments, Breakers(3, 10, {"A": "B"}), rail, (0, 5, 15, 31), rail.wait)
    assert rail.sends == {("A", 0): 3, ("B", 0): 17, ("B", 5): 3}
    assert all(p.is_paid for p in payments)


def test_when_the_alternate_is_open_too_nothing_is_sent() -> None:
    rail, payments = CountingRail({"A": 99, "B": 99}), many(20)
    deliver(payments, Breakers(3, 100, {"A": "B", "B": "A"}), rail, (0, 5), rail.wait)
    assert rail.sends == {("A", 0): 3, ("B", 0): 3}
