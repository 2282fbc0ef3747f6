"""A model of settlement that hypothesis drives: any order of plans, operators, failures, restarts and lost answers.

After each step what must never be otherwise is checked: the chain verifies, debits equal credits in every currency, no
instruction is paid twice, nothing acknowledged is lost, settled means paid, voided means never paid.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from types import SimpleNamespace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from atlas_lib.batching_settlement.rails import Answer, Instruction, SimulatedRail
from atlas_lib.core.errors import LedgerError
from atlas_lib.ledger.store import Ledger, open_ledger
from tests.batching_settlement.execution_frames import Crash, Unplugged, banks, execute, make_plan

_LINES = [(f"T-{n}", 10 * n) for n in range(1, 9)]


def plan_of(numbers: tuple[int, ...], is_netted: bool) -> SimpleNamespace:
    """A plan of these transactions: each on its own wire, or all of them through the pool."""
    chosen = [_LINES[n] for n in numbers]
    name = "-".join(map(str, numbers))
    if not is_netted:
        lines = [(t, f"D-{t}", "SALE", f"I-{t}", f"I-{t}", amount) for t, amount in chosen]
        return make_plan(lines, {f"I-{t}": (f"PRO-{t}", "MER", amount) for t, amount in chosen})
    pool = f"I-POOL-{name}"
    lines = [(t, f"N-{name}", "SALE", f"I-{name}-{t}", pool, amount) for t, amount in chosen]
    legs = {f"I-{name}-{t}": (f"PRO-{t}", "NETTING-POOL", amount) for t, amount in chosen}
    return make_plan(lines, legs | {pool: ("NETTING-POOL", "MER", sum(a for _, a in chosen))})


class MoodyRail(SimulatedRail):
    """The rail outlives every process; messages may be under way and arrive much later."""

    def __init__(self, seed: int, failure_rate: float) -> None:
        super().__init__(seed, failure_rate)
        self.under_way: list[tuple[Instruction, str]] = []

    def _failed(self, kind: int, instruction: Instruction, key: str) -> Answer:
        if kind == 3:
            self.under_way.append((instruction, key))
        return super()._failed(kind, instruction, key)

    def arrive(self) -> None:
        rate, self._failure_rate = self._failure_rate, 0.0
        for message in self.under_way:
            self.send(*message)
        self.under_way, self._failure_rate = [], rate


class SettlementMachine(RuleBasedStateMachine):
    """Two operators over one ledger file; `acknowledged` holds the entries whose receipt somebody has seen."""

    @initialize(seed=st.integers(0, 10**6), failure_rate=st.sampled_from([0.0, 0.2, 0.6]))
    def begin(self, seed: int, failure_rate: float) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="atlas-machine-")
        self._clock_us = 10**15
        self.rail = MoodyRail(seed, failure_rate)
        self.ledgers = [self._open(), self._open()]
        self.acknowledged = 0
        self.plans: list[SimpleNamespace] = []

    def _open(self) -> Ledger:
        path = Path(self._folder.name) / "ledger.sqlite"
        return open_ledger(f"sqlite:///{path}", "settlement", clock_ns=lambda: self._clock_us * 1000)

    @rule(numbers=st.sets(st.integers(0, 7), min_size=1, max_size=4), is_netted=st.booleans())
    def plan(self, numbers: set[int], is_netted: bool) -> None:
        self.plans.append(plan_of(tuple(sorted(numbers)), is_netted))

    @precondition(lambda self: self.plans)
    @rule(operator=st.integers(0, 1), which=st.integers(0, 99))
    def carry_out(self, operator: int, which: int) -> None:
        self._execute(self.ledgers[operator], self.rail, self.plans[which % len(self.plans)])

    @precondition(lambda self: self.plans)
    @rule(operator=st.integers(0, 1), which=st.integers(0, 99), fuse=st.integers(0, 20), after=st.booleans())
    def die_on_the_way(self, operator: int, which: int, fuse: int, after: bool) -> None:
        """The process ends at some write, commitment or call of the rail; a new one opens the file."""
        counter = iter(range(fuse, -1000, -1))
        ledger = Unplugged(self.ledgers[operator], {"append", "commit_once"}, counter, after)
        rail = Unplugged(self.rail, {"send", "query", "cancel"}, counter, after)
        with contextlib.suppress(Crash):
            self._execute(ledger, rail, self.plans[which % len(self.plans)])
        self.restart(operator)

    @precondition(lambda self: len(self.plans) > 1)
    @rule(first=st.integers(0, 99), second=st.integers(0, 99), call=st.integers(0, 6))
    def interrupt_each_other(self, first: int, second: int, call: int) -> None:
        """One operator's whole execution happens in the middle of the other's, before a call of the rail."""
        counter, ours, theirs = (
            iter(range(call, -1000, -1)),
            self.plans[first % len(self.plans)],
            self.plans[second % len(self.plans)],
        )
        rail = Interrupted(self.rail, counter, lambda: self._execute(self.ledgers[1], self.rail, theirs))
        self._execute(self.ledgers[0], rail, ours)

    @rule(operator=st.integers(0, 1))
    def restart(self, operator: int) -> None:
        self.ledgers[operator].close()
        self.ledgers[operator] = self._open()

    @rule(seconds=st.integers(-7200, 7200))
    def move_the_clock(self, seconds: int) -> None:
        self._clock_us += seconds * 10**6

    @rule()
    def late_messages_arrive(self) -> None:
        self.rail.arrive()

    @rule(rate=st.sampled_from([0.0, 0.3, 0.9]))
    def change_the_weather(self, rate: float) -> None:
        self.rail._failure_rate = rate

    def _execute(self, ledger: Ledger, rail: SimulatedRail, plan: SimpleNamespace) -> None:
        # Whoever comes second with another plan for a transaction is refused as a whole: that is an answer, no loss.
        with contextlib.suppress(LedgerError):
            execute(plan, banks(), ledger, rail)
            self.acknowledged = max(self.acknowledged, self.ledgers[0].head().entries)

    @invariant()
    def the_books_hold(self) -> None:
        if not hasattr(self, "ledgers"):
            return
        ledger = self.ledgers[0]
        assert ledger.verify().empty
        assert (ledger.trial_balance().groupby("currency")["balance_minor"].sum() == 0).all()
        entries = ledger.head().entries
        assert entries >= self.acknowledged
        self.acknowledged = entries
        self._paid_once_per_transaction(ledger)

    def _paid_once_per_transaction(self, ledger: Ledger) -> None:
        paid = [i.instruction_id for i in self.rail.paid.values()]
        assert len(set(paid)) == len(paid), "an instruction was paid twice"
        assert not set(self.rail.paid) & self.rail.cancelled, "a payment that was given up was made"
        claims = ledger.claims([t for t, _ in _LINES])
        settled = claims[claims["status"] == "settled"]
        assert settled["transaction_id"].is_unique
        collected = [i for i in self.rail.paid.values() if i.payer_account != "NETTING-POOL"]
        per_payer = {i.payer_account for i in collected}
        assert len(per_payer) == len(collected), "a payer paid the same transaction twice"
        assert {f"PRO-{t}" for t in settled["transaction_id"]} <= per_payer
        free = {t for t, _ in _LINES} - set(claims.loc[claims["status"] != "voided", "transaction_id"])
        assert not {f"PRO-{t}" for t in free} & per_payer, "paid, and yet free for the next plan"

    def teardown(self) -> None:
        if hasattr(self, "ledgers"):
            for ledger in self.ledgers:
                ledger.close()
            self._folder.cleanup()


class Interrupted:
    """A rail before whose n-th call something else happens, once."""

    def __init__(self, inner: SimulatedRail, counter: object, happens: object) -> None:
        self._inner, self._counter, self._happens = inner, counter, happens

    def __getattr__(self, name: str) -> object:
        found = getattr(self._inner, name)
        if name not in {"send", "query", "cancel"}:
            return found

        def call(*args: object) -> object:
            if next(self._counter) == 0:  # type: ignore[call-overload]
                self._happens()  # type: ignore[operator]
            return found(*args)

        return call
