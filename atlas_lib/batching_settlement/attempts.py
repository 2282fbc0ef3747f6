"""Attempts: an instruction is sent on a schedule until it is confirmed or the schedule ends.

Every attempt carries the same idempotency key, the instruction id. After an answer that was lost the rail is asked
before anything is sent again; an unreachable counterparty is passed by its alternate route.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pandas as pd

from atlas_lib.batching_settlement.rails import Answer, Instruction, Rail
from atlas_lib.core.errors import SettingsError
from atlas_lib.core.tables import declared

Wait = Callable[[int], None]


def no_wait(second: int) -> None:
    """The clock of a simulated rail: time passes at once."""


def read_schedule(text: str) -> tuple[int, ...]:
    """`"0, 5, 15, 31"` to seconds after the first attempt, rising from 0."""
    try:
        seconds = tuple(int(part) for part in text.split(","))
    except ValueError:
        seconds = ()
    if not seconds or seconds[0] != 0 or any(a >= b for a, b in pairwise(seconds)):
        raise SettingsError(
            "The retry schedule is not understood", where="retry_schedule", expected="0, 5, 15, 31", found=text
        )
    return seconds


@dataclass
class Delivery:
    """How far one instruction has come."""

    instruction: Instruction
    batch_id: str
    group: str
    was_paid: bool = False
    is_unknown: bool = False
    answer: Answer = field(default_factory=lambda: Answer("not_found", "not sent"))
    attempts: int = 0
    at_seconds: int = 0

    @property
    def key(self) -> str:
        return self.instruction.instruction_id

    @property
    def is_paid(self) -> bool:
        return self.was_paid or self.answer.outcome == "confirmed"


def deliver(
    deliveries: Sequence[Delivery], alternates: dict[str, str], rail: Rail, schedule: Sequence[int], wait: Wait
) -> pd.DataFrame:
    """Send every open instruction at each second of the schedule until it is paid; returns the attempts made.

    The deliveries are brought up to date in place. `alternates`: counterparty to the route to take when it is
    unreachable. Output: settlement_attempts (instruction_id, attempt).
    """
    made: list[dict[str, object]] = []
    for second in schedule:
        waiting = [d for d in deliveries if not d.is_paid]
        if not waiting:
            break
        wait(second)
        for delivery in waiting:
            made.append(_attempt(delivery, rail, second))
            _reroute(delivery, alternates)
    return (
        declared("settlement_attempts").shaped(pd.DataFrame(made)) if made else declared("settlement_attempts").empty()
    )


def _attempt(delivery: Delivery, rail: Rail, second: int) -> dict[str, object]:
    """Send, unless the last answer was lost: then ask, and send only what never arrived."""
    if not delivery.is_unknown:
        return _record(delivery, rail.send(delivery.instruction, delivery.key), second, "")
    answer = rail.query(delivery.key)
    if answer.outcome != "not_found":
        return _record(delivery, answer, second, "asked: ")
    return _record(delivery, rail.send(delivery.instruction, delivery.key), second, "asked: never arrived; sent: ")


def _ask(delivery: Delivery, rail: Rail, second: int) -> dict[str, object]:
    """Ask once more at the end, so that as little as possible stays unknown."""
    return _record(delivery, rail.query(delivery.key), second, "asked: ")


def _record(delivery: Delivery, answer: Answer, second: int, how: str) -> dict[str, object]:
    delivery.answer, delivery.is_unknown = answer, answer.outcome == "timeout"
    delivery.attempts, delivery.at_seconds = delivery.attempts + 1, second
    return {
        "instruction_id": delivery.key,
        "batch_id": delivery.batch_id,
        "attempt": delivery.attempts,
        "at_seconds": second,
        "counterparty_id": delivery.instruction.counterparty_id,
        "outcome": answer.outcome,
        "detail": how + answer.detail,
        "amount_minor": delivery.instruction.amount_minor,
        "currency": delivery.instruction.currency,
    }


def _reroute(delivery: Delivery, alternates: dict[str, str]) -> None:
    other = alternates.get(delivery.instruction.counterparty_id, "")
    if delivery.answer.outcome == "unavailable" and other:
        delivery.instruction = replace(delivery.instruction, counterparty_id=other)


def alternate_routes(counterparties: pd.DataFrame) -> dict[str, str]:
    """Counterparty to its alternate, where there is one that is itself available."""
    available: Collection[str] = set(counterparties.loc[counterparties["is_available"], "counterparty_id"])
    known = counterparties.dropna(subset=["alternate_counterparty_id"])
    pairs = zip(known["counterparty_id"], known["alternate_counterparty_id"], strict=True)
    return {name: other for name, other in pairs if other in available}
