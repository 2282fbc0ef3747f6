"""Attempts: an instruction is sent on a schedule until it is confirmed or the schedule ends.

Every attempt carries the same idempotency key. After an answer that was lost the rail is asked before anything is
sent again; an unreachable counterparty is passed by its alternate route.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pandas as pd

from atlas_lib.batching_settlement.breakers import Breakers
from atlas_lib.batching_settlement.rails import Answer, Instruction, Rail
from atlas_lib.core.errors import SettingsError

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
    """How far one instruction has come.

    `key_number`: how many keys of it were cancelled before; a cancelled key is never paid, so the next one takes its
    place. `attempts_before`: attempts of earlier runs. `log`: those of this one.
    """

    instruction: Instruction
    batch_id: str
    group: str
    key_number: int = 0
    attempts_before: int = 0
    was_paid: bool = False
    is_unknown: bool = False
    is_cancelled: bool = False
    answer: Answer = field(default_factory=lambda: Answer("not_found", "not sent"))
    at_seconds: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)

    @property
    def key(self) -> str:
        name = self.instruction.instruction_id
        return f"{name}.{self.key_number}" if self.key_number else name

    @property
    def is_paid(self) -> bool:
        return self.was_paid or self.answer.outcome == "confirmed"

    @property
    def is_pending(self) -> bool:
        return not self.was_paid and self.answer.outcome == "pending"

    @property
    def is_waiting(self) -> bool:
        """Whether a further attempt may help in this run."""
        return not (self.is_paid or self.is_pending or self.is_cancelled)

    @property
    def attempts(self) -> int:
        return self.attempts_before + len(self.log)

    def note(self, answer: Answer, second: int, how: str = "") -> None:
        self.answer, self.is_unknown, self.at_seconds = answer, answer.outcome == "timeout", second
        self.is_cancelled = answer.outcome == "cancelled"
        self.log.append(
            {
                "attempt": self.attempts + 1,
                "at_seconds": second,
                "counterparty_id": self.instruction.counterparty_id,
                "outcome": answer.outcome,
                "detail": how + answer.detail,
            }
        )


def deliver(
    deliveries: Sequence[Delivery], breakers: Breakers, rail: Rail, schedule: Sequence[int], wait: Wait
) -> None:
    """Send every open instruction at each second of the schedule until it is paid; the deliveries are brought up to date.

    What is unknown at the end is asked about once more, so that as little as possible stays so.
    """
    for second in schedule:
        waiting = [d for d in deliveries if d.is_waiting]
        if not waiting:
            break
        wait(second)
        for delivery in waiting:
            _attempt(delivery, breakers, rail, second)
        rail.hand_over()
    for delivery in deliveries:
        if delivery.is_waiting and delivery.is_unknown:
            delivery.note(rail.query(delivery.key), schedule[-1], "asked: ")


def _attempt(delivery: Delivery, breakers: Breakers, rail: Rail, second: int) -> None:
    """Send, unless the last answer was lost: then ask, and send only what never arrived."""
    how = ""
    if delivery.is_unknown:
        answer = rail.query(delivery.key)
        if answer.outcome != "not_found":
            delivery.note(answer, second, "asked: ")
            return
        how = "asked: never arrived; sent: "
    is_failed = delivery.answer.outcome == "unavailable"
    delivery.instruction = breakers.route(delivery.instruction, second, is_failed)
    held_back = breakers.why_not(delivery.instruction, second)
    if held_back is not None:
        delivery.note(held_back, second)
        return
    answer = rail.send(delivery.instruction, delivery.key)
    breakers.heard(delivery.instruction.counterparty_id, second, answer)
    delivery.note(answer, second, how)


def give_up(payments: Sequence[Delivery], rail: Rail) -> None:
    """Cancel every payment of a group of which none is made, so that none can be made any more.

    Nothing is cancelled while an outcome is open. It ends at the first payment that the rail does not promise to leave
    alone: then the group stays in flight, and those already cancelled go on under their next key.
    """
    if any(p.is_paid or p.is_pending for p in payments):
        return
    for payment in payments:
        if payment.is_unknown and not payment.log:  # begun by an earlier run, and not reached by this one
            payment.note(rail.query(payment.key), 0, "asked: ")
    if any(p.is_paid or p.is_pending or p.is_unknown for p in payments):
        return
    for payment in payments:
        if payment.is_cancelled:
            continue
        answer = rail.cancel(payment.key)
        if answer.outcome != "cancelled":
            payment.note(answer, payment.at_seconds, "cancelling: ")
            return
        payment.is_cancelled = True


def alternate_routes(counterparties: pd.DataFrame) -> dict[str, str]:
    """Counterparty to its alternate, where there is one that is itself available."""
    available: Collection[str] = set(counterparties.loc[counterparties["is_available"], "counterparty_id"])
    known = counterparties.dropna(subset=["alternate_counterparty_id"])
    pairs = zip(known["counterparty_id"], known["alternate_counterparty_id"], strict=True)
    return {name: other for name, other in pairs if other in available}
