"""Rails: what carries a payment instruction to the other bank, and what it answers.

A rail pays once per idempotency key, however often and over whichever route the key is sent. Its answer to a
`send` may be lost (timeout): then the payment may or may not have happened, and `query` must be asked first.
A payment is given up only after `cancel` has said that its key is never paid: a message under way may still arrive.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

Outcome = Literal[
    "confirmed",  # paid
    "refused",  # not paid
    "shortfall",  # not paid: the payer's account is short of cash
    "unavailable",  # not paid: the counterparty does not answer
    "timeout",  # unknown
    "pending",  # taken, and answered later: a file for the bank
    "not_found",  # asked: never arrived so far
    "cancelled",  # not paid, and never will be under this key
]


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
    """What the rail says, and in words."""

    outcome: Outcome
    detail: str


@dataclass(frozen=True)
class Movements:
    """What the bank's statements show of one key: how often it was booked, and how often it came back."""

    booked: int
    returned: int


class Rail(Protocol):
    """Carries instructions; idempotent by key."""

    def send(self, instruction: Instruction, idempotency_key: str) -> Answer:
        """Pay, unless this key was paid before."""
        ...

    def query(self, idempotency_key: str) -> Answer:
        """confirmed, refused, pending, cancelled, not_found, or timeout (no answer)."""
        ...

    def cancel(self, idempotency_key: str) -> Answer:
        """cancelled: whatever is still under way, this key is never paid; or why that cannot be promised."""
        ...

    def hand_over(self) -> None:
        """What was taken since the last call leaves now, where a rail collects (a payment file)."""
        ...

    def movements(self) -> Mapping[str, Movements]:
        """What the bank has shown so far of every key that this rail has sent, where a bank reports later."""
        ...


class SimulatedRail:
    """A rail whose failures follow from (seed, key, attempt) by hashing: the same run fails in the same places.

    Of the sends that fail, a fifth each: refused, counterparty unavailable, answer lost after the payment, answer
    lost before it, payer short of cash. Questions and cancellations fail by losing the answer. `down`: counterparties
    that are never reachable. `paid` remembers every payment made, by key.
    """

    def __init__(self, seed: int, failure_rate: float, down: Collection[str] = ()) -> None:
        self._seed, self._failure_rate, self._down = seed, failure_rate, frozenset(down)
        self._bodies: dict[str, tuple[str, str, int, str, str]] = {}
        self._attempts: Counter[str] = Counter()
        self.paid: dict[str, Instruction] = {}
        self.cancelled: set[str] = set()

    def send(self, instruction: Instruction, idempotency_key: str) -> Answer:
        if instruction.counterparty_id in self._down:
            return Answer("unavailable", f"{instruction.counterparty_id} is down")
        if self._bodies.setdefault(idempotency_key, instruction.body) != instruction.body:
            return Answer("refused", "the key was used for another payment")
        if (known := self._known(idempotency_key, "paid before")) is not None:
            return known
        draw, kind = self._draw("send", idempotency_key)
        if draw >= self._failure_rate:
            self.paid[idempotency_key] = instruction
            return Answer("confirmed", "paid")
        return self._failed(kind % 5, instruction, idempotency_key)

    def query(self, idempotency_key: str) -> Answer:
        draw, _ = self._draw("query", idempotency_key)
        if draw < self._failure_rate:
            return Answer("timeout", "no answer")
        return self._known(idempotency_key, "paid") or Answer("not_found", "never arrived")

    def cancel(self, idempotency_key: str) -> Answer:
        draw, kind = self._draw("cancel", idempotency_key)
        is_lost = draw < self._failure_rate
        if idempotency_key not in self.paid and not (is_lost and kind % 2):
            self.cancelled.add(idempotency_key)
        if is_lost:
            return Answer("timeout", "no answer")
        return self._known(idempotency_key, "paid") or Answer("not_found", "never arrived")

    def hand_over(self) -> None:
        """Every payment has left on its own already."""

    def movements(self) -> Mapping[str, Movements]:
        """None: this rail says all it knows in its answers."""
        return {}

    def _known(self, key: str, said: str) -> Answer | None:
        if key in self.cancelled:
            return Answer("cancelled", "given up before")
        return Answer("confirmed", said) if key in self.paid else None

    def _failed(self, kind: int, instruction: Instruction, key: str) -> Answer:
        if kind == 0:
            return Answer("refused", "rejected by the rail")
        if kind == 1:
            return Answer("unavailable", f"{instruction.counterparty_id} does not answer")
        if kind == 4:
            return Answer("shortfall", f"{instruction.payer_account} is short of {instruction.currency}")
        if kind == 2:
            self.paid[key] = instruction
        return Answer("timeout", "no answer")

    def _draw(self, verb: str, key: str) -> tuple[float, int]:
        """A number in [0, 1) and a kind, fixed by seed, verb, key and how often it was called."""
        call = f"{verb}:{key}"
        self._attempts[call] += 1
        digest = hashlib.sha256(f"{self._seed}:{call}:{self._attempts[call]}".encode()).digest()
        return int.from_bytes(digest[:7], "big") / 2**56, digest[7]
