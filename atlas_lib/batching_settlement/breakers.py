"""Circuit breakers: a counterparty that keeps failing is left alone for a while, and passed by its alternate route."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from atlas_lib.batching_settlement.rails import Answer, Instruction

_SILENT = ("unavailable", "timeout")


class Breakers:
    """One breaker per counterparty, on the seconds of the retry schedule.

    *Closed*: everything is sent. After `failure_count` sends in a row that the counterparty did not answer it is
    *open*: nothing is sent for `pause_seconds`. Then it is *half open*: one payment tries; if it is answered (paid or
    refused) the breaker closes, else it opens again. `failure_count` 0 never opens.
    """

    def __init__(self, failure_count: int, pause_seconds: int, alternates: Mapping[str, str]) -> None:
        self._failure_count, self._pause, self._alternates = failure_count, pause_seconds, alternates
        self._silent: dict[str, int] = {}
        self._closed_again_at: dict[str, int] = {}

    def state(self, counterparty_id: str, second: int) -> str:
        if counterparty_id not in self._closed_again_at:
            return "closed"
        return "half open" if second >= self._closed_again_at[counterparty_id] else "open"

    def heard(self, counterparty_id: str, second: int, answer: Answer) -> None:
        """Count what came of a send."""
        if answer.outcome not in _SILENT:
            self._silent.pop(counterparty_id, None)
            self._closed_again_at.pop(counterparty_id, None)
            return
        self._silent[counterparty_id] = self._silent.get(counterparty_id, 0) + 1
        is_trial = self.state(counterparty_id, second) == "half open"
        if is_trial or (self._failure_count and self._silent[counterparty_id] >= self._failure_count):
            self._closed_again_at[counterparty_id] = second + self._pause

    def route(self, instruction: Instruction, second: int, is_failed: bool) -> Instruction:
        """The instruction on its alternate route, where the present one failed it or is open and there is another."""
        other = self._alternates.get(instruction.counterparty_id, "")
        is_open = self.state(instruction.counterparty_id, second) == "open"
        if not other or not (is_open or is_failed) or self.state(other, second) == "open":
            return instruction
        return replace(instruction, counterparty_id=other)

    def why_not(self, instruction: Instruction, second: int) -> Answer | None:
        """The answer to give without sending; None when it may be sent."""
        name = instruction.counterparty_id
        if self.state(name, second) != "open":
            return None
        until = self._closed_again_at[name]
        return Answer(
            "unavailable", f"not sent: {name} did not answer {self._silent[name]} times; left alone until {until} s"
        )
