"""Rails: what carries a payment instruction to the other bank, and what it answers.

A rail pays once per idempotency key, however often and over whichever route the key is sent. Its answer to a
`send` may be lost (timeout): then the payment may or may not have happened, and `query` must be asked first.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, Protocol

Outcome = Literal["confirmed", "refused", "timeout", "unavailable", "not_found"]


@dataclass(frozen=True)
class Instruction:
    """One payment to be made; `counterparty_id` is the route it takes."""

    instruction_id: str
    counterparty_id: str
    payer_account: str
    payee_account: str
    amount_minor: int
    currency: str
    settlement_date: str

    @property
    def body(self) -> tuple[str, str, int, str, str]:
        """What must not differ between two sends of one key; the route may."""
        return (self.payer_account, self.payee_account, self.amount_minor, self.currency, self.settlement_date)


@dataclass(frozen=True)
class Answer:
    """What the rail says: confirmed (paid), refused, unavailable (both not paid), timeout (unknown), not_found."""

    outcome: Outcome
    detail: str


class Rail(Protocol):
    """Carries instructions; idempotent by key."""

    def send(self, instruction: Instruction, idempotency_key: str) -> Answer:
        """Pay, unless this key was paid before."""
        ...

    def query(self, idempotency_key: str) -> Answer:
        """confirmed, not_found (never arrived, safe to send), or timeout (no answer)."""
        ...


class SimulatedRail:
    """A rail whose failures follow from (seed, key, attempt) by hashing: the same run fails in the same places.

    Of the attempts that fail, a quarter each: refused, counterparty unavailable, answer lost before the payment,
    answer lost after it. `down`: counterparties that are never reachable. `paid` remembers every payment made.
    """

    def __init__(self, seed: int, failure_rate: float, down: Collection[str] = ()) -> None:
        self._seed, self._failure_rate, self._down = seed, failure_rate, frozenset(down)
        self._bodies: dict[str, tuple[str, str, int, str, str]] = {}
        self._attempts: Counter[str] = Counter()
        self.paid: dict[str, Instruction] = {}

    def send(self, instruction: Instruction, idempotency_key: str) -> Answer:
        if instruction.counterparty_id in self._down:
            return Answer("unavailable", f"{instruction.counterparty_id} is down")
        if self._bodies.setdefault(idempotency_key, instruction.body) != instruction.body:
            return Answer("refused", "the key was used for another payment")
        if idempotency_key in self.paid:
            return Answer("confirmed", "paid before")
        draw, kind = self._draw("send", idempotency_key)
        if draw >= self._failure_rate:
            self.paid[idempotency_key] = instruction
            return Answer("confirmed", "paid")
        return self._failed(kind, instruction, idempotency_key)

    def _failed(self, kind: int, instruction: Instruction, key: str) -> Answer:
        if kind == 0:
            return Answer("refused", "rejected by the rail")
        if kind == 1:
            return Answer("unavailable", f"{instruction.counterparty_id} does not answer")
        if kind == 2:
            self.paid[key] = instruction
        return Answer("timeout", "no answer")

    def query(self, idempotency_key: str) -> Answer:
        draw, _ = self._draw("query", idempotency_key)
        if draw < self._failure_rate:
            return Answer("timeout", "no answer")
        if idempotency_key in self.paid:
            return Answer("confirmed", "paid")
        return Answer("not_found", "never arrived")

    def _draw(self, verb: str, key: str) -> tuple[float, int]:
        """A number in [0, 1) and one of four kinds, fixed by seed, verb, key and how often it was called."""
        call = f"{verb}:{key}"
        self._attempts[call] += 1
        digest = hashlib.sha256(f"{self._seed}:{call}:{self._attempts[call]}".encode()).digest()
        return int.from_bytes(digest[:7], "big") / 2**56, digest[7] % 4
