"""A model of settlement that hypothesis drives: any order of plans, operators, failures, restarts and lost answers.

After each step what must never be otherwise is checked: the chain verifies, also by a second reading of the stored blocks
that shares no code with the ledger; debits equal credits in every currency; no instruction is paid twice, by a list that
the rail does not keep itself; nothing acknowledged is lost; settled means paid, voided means never paid and free again;
what the ledger calls given up the rail has promised; attempts are counted 1, 2, 3. At the end of a life the weather is
calm, and every plan that may start is settled. `SEEN` counts the paths that were taken, so that a test can ask for each.
"""

from __future__ import annotations

import hashlib
import json
import struct
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from atlas_lib.batching_settlement.flights import PAYMENT_EVENTS, read_histories
from atlas_lib.batching_settlement.rails import Answer, Instruction, SimulatedRail
from atlas_lib.core.errors import LedgerError
from atlas_lib.ledger.store import Ledger, open_ledger
from tests.batching_settlement.execution_frames import Crash, Unplugged, banks, execute, make_plan

SEEN: Counter[str] = Counter()
_LINES = [(f"T-{n}", 10 * n) for n in range(1, 13)]
RATES = st.sampled_from((0.95, 0.6, 0.0))
NUMBERS = st.sets(st.integers(0, len(_LINES) - 1), min_size=1, max_size=4)


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


class Payments(dict[str, Instruction]):
    """What the rail paid, by key; `log` keeps every payment, also one that the rail takes for the same."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[tuple[str, str]] = []

    def __setitem__(self, key: str, instruction: Instruction) -> None:
        self.log.append((instruction.instruction_id, key))
        super().__setitem__(key, instruction)


class MoodyRail(SimulatedRail):
    """The rail outlives every process; messages may be under way and arrive much later."""

    def __init__(self, seed: int, failure_rate: float) -> None:
        super().__init__(seed, failure_rate)
        self.paid = self.payments = Payments()
        self.under_way: list[tuple[Instruction, str]] = []
        self.silence = failure_rate
        self.only: int | None = None  # how every send fails that fails: chance decides when None
        self.spared: set[str] = set()  # instructions whose sends never fail

    def send(self, instruction: Instruction, idempotency_key: str) -> Answer:
        with self._weather(0.0 if instruction.instruction_id in self.spared else self._failure_rate):
            return super().send(instruction, idempotency_key)

    def query(self, idempotency_key: str) -> Answer:
        with self._weather(self.silence):
            return super().query(idempotency_key)

    def cancel(self, idempotency_key: str) -> Answer:
        with self._weather(self.silence):
            return super().cancel(idempotency_key)

    @contextmanager
    def _weather(self, rate: float) -> Iterator[None]:
        before, self._failure_rate = self._failure_rate, rate
        yield
        self._failure_rate = before

    def _failed(self, kind: int, instruction: Instruction, key: str) -> Answer:
        kind = kind if self.only is None else self.only
        if kind == 3:
            self.under_way.append((instruction, key))
        return super()._failed(kind, instruction, key)

    def arrive(self) -> None:
        with self._weather(0.0):
            for message in self.under_way:
                SEEN[f"late message {self.send(*message).outcome}"] += 1
        self.under_way = []

    def change(self, failures: float, silence: float) -> None:
        """How many sends fail from now on, and how many questions and cancellations get no answer."""
        self._failure_rate, self.silence = failures, silence


class SettlementMachine(RuleBasedStateMachine):
    """Two operators over one ledger file; `acknowledged` holds the entries whose receipt somebody has seen."""

    @initialize(seed=st.integers(0, 10**6), failure_rate=RATES, is_netted=st.booleans())
    def begin(self, seed: int, failure_rate: float, is_netted: bool) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="atlas-machine-")
        self._clock_us = 10**15
        self.rail = MoodyRail(seed, failure_rate)
        self.ledgers = [self._open(), self._open()]
        self.acknowledged, self.is_alone = 0, True
        self.sealed, self.previous, self.checked = 0, bytes(32), ()
        self.receipts: dict[int, int] = {}
        self.plans: list[SimpleNamespace] = [plan_of((0, 1, 2), is_netted)]

    def _open(self) -> Ledger:
        path = Path(self._folder.name) / "ledger.sqlite"
        return open_ledger(f"sqlite:///{path}", "settlement", clock_ns=lambda: self._clock_us * 1000)

    @rule(numbers=NUMBERS, is_netted=st.booleans())
    def plan(self, numbers: set[int], is_netted: bool) -> None:
        self.plans.append(plan_of(tuple(sorted(numbers)), is_netted))

    @rule(operator=st.integers(0, 1), which=st.integers(0, 99))
    def carry_out(self, operator: int, which: int) -> None:
        self._execute(self.ledgers[operator], self.rail, self.plans[which % len(self.plans)])

    @rule(
        operator=st.integers(0, 1),
        which=st.none() | st.integers(0, 99),
        numbers=NUMBERS,
        where=st.sampled_from(("append", "commit_once", "send", "query", "cancel")),
        fuse=st.integers(0, 2),
        after=st.booleans(),
    )
    def die_on_the_way(
        self, operator: int, which: int | None, numbers: set[int], where: str, fuse: int, after: bool
    ) -> None:
        """The process ends at some write, commitment or call of the rail, of a plan new or old; a new one opens the file."""
        if which is None:
            self.plan(numbers, is_netted=len(numbers) > 1)
        counter = iter(range(fuse, -1000, -1))
        ledger = Unplugged(self.ledgers[operator], {where}, counter, after)
        rail = Unplugged(self.rail, {where}, counter, after)
        try:
            self._execute(ledger, rail, self.plans[-1 if which is None else which % len(self.plans)])
        except Crash as crash:
            SEEN[f"died in {crash}"] += 1
        self.restart(operator)

    @rule(numbers=NUMBERS, others=NUMBERS, is_netted=st.booleans(), call=st.integers(0, 5))
    def interrupt_each_other(self, numbers: set[int], others: set[int], is_netted: bool, call: int) -> None:
        """Two plans share transactions; one is carried out before some write or call of the rail of the other."""
        self.is_alone = False
        self.plan(numbers, is_netted)
        self.plan(numbers | others, is_netted)
        *_, ours, theirs = self.plans
        counter = iter(range(call, -1000, -1))

        def happens() -> None:
            self._execute(self.ledgers[1], self.rail, theirs)

        ledger = Interrupted(self.ledgers[0], counter, happens)
        self._execute(ledger, Interrupted(self.rail, counter, happens), ours)  # type: ignore[arg-type]
        SEEN["interrupted"] += next(counter) < 0

    @rule(operator=st.integers(0, 1), number=st.integers(0, 2))
    def say_again(self, operator: int, number: int) -> None:
        """The same append by whoever did not hear the answer, however often: written once."""
        said = pd.DataFrame({"transaction_id": [f"alert:{number}"], "event_type": "ALERT_RAISED", "amount_minor": 0})
        said = said.assign(currency="EUR", timestamp=pd.Timestamp("2026-10-30", tz="UTC"))
        receipt = self.ledgers[operator].append(f"alert {number}", said)
        first = self.receipts.setdefault(number, receipt.first_entry)
        assert receipt.first_entry == first, "an append was written a second time"

    @rule(seconds=st.integers(-7200, 7200), failures=RATES, silence=RATES, operator=st.integers(0, 1))
    def time_passes(self, seconds: int, failures: float, silence: float, operator: int) -> None:
        """Clocks are set, late messages arrive, the weather changes, a process ends in peace."""
        self._clock_us += seconds * 10**6
        self.rail.arrive()
        self.rail.change(failures, silence)
        self.restart(operator)

    def restart(self, operator: int) -> None:
        self.ledgers[operator].close()
        self.ledgers[operator] = self._open()

    def _execute(self, ledger: Ledger, rail: SimulatedRail, plan: SimpleNamespace) -> None:
        # Whoever comes second with another plan for a transaction is refused as a whole: that is an answer, no loss.
        try:
            tables = execute(plan, banks(), ledger, rail)
        except LedgerError as error:
            SEEN[f"refused: {error.what}"] += 1
            assert _is_an_answer(error), f"the ledger refused what it should have taken: {error}"
            return
        self.acknowledged = max(self.acknowledged, self.ledgers[0].head().entries)
        if rail is self.rail and self.is_alone:
            self._told_is_held(tables["settlement_results"])

    def _told_is_held(self, told: pd.DataFrame) -> None:
        """What an execution says of a transaction is what the ledger holds of it."""
        claims = self.ledgers[0].claims(told["transaction_id"]).drop_duplicates("transaction_id", keep="last")
        held = dict(zip(claims["transaction_id"], claims["status"], strict=True))
        for transaction_id, status in zip(told["transaction_id"], told["status"], strict=True):
            SEEN[status] += 1
            expected = {"failed": "voided"}.get(status, status)
            assert status == "superseded" or held[transaction_id] == expected, (
                f"{transaction_id} is said to be {status}"
            )

    @invariant()
    def the_books_hold(self) -> None:
        if not hasattr(self, "ledgers"):
            return
        ledger = self.ledgers[0]
        now = (ledger.head(), len(self.rail.payments.log), len(self.rail.cancelled))
        if now == self.checked:
            return
        self.checked = now
        assert ledger.verify().empty
        assert (ledger.trial_balance().groupby("currency")["balance_minor"].sum() == 0).all()
        entries = ledger.head().entries
        assert entries >= self.acknowledged
        self.acknowledged = entries
        self._paid_once_per_transaction(ledger)
        self._pending_is_what_flies(ledger)
        self._attempts_follow_each_other(ledger)
        self._blocks_follow_each_other(ledger)

    def _paid_once_per_transaction(self, ledger: Ledger) -> None:
        paid = [name for name, _ in self.rail.payments.log]
        assert len(set(paid)) == len(paid), "an instruction was paid twice"
        assert not set(self.rail.paid) & self.rail.cancelled, "a payment that was given up was made"
        given_up = {key for known in read_histories(ledger).values() for key in known.cancelled}
        assert given_up <= self.rail.cancelled, "given up in the ledger, and the rail has not promised it"
        claims = ledger.claims([t for t, _ in _LINES])
        settled = claims[claims["status"] == "settled"]
        assert settled["transaction_id"].is_unique
        collected = [i for i in self.rail.paid.values() if i.payer_account != "NETTING-POOL"]
        per_payer = {i.payer_account for i in collected}
        assert len(per_payer) == len(collected), "a payer paid the same transaction twice"
        assert {f"PRO-{t}" for t in settled["transaction_id"]} <= per_payer
        self._settled_by_every_payment(ledger, set(settled["transaction_id"]), set(paid))
        free = {t for t, _ in _LINES} - set(claims.loc[claims["status"] != "voided", "transaction_id"])
        assert not {f"PRO-{t}" for t in free} & per_payer, "paid, and yet free for the next plan"

    def _settled_by_every_payment(self, ledger: Ledger, settled: set[str], paid: set[str]) -> None:
        """Settled: its own payments are made, and with them those of all that are netted with it."""
        begun = ledger.events(sorted(settled), event_types=["SETTLEMENT_INITIATED"])
        last = begun.drop_duplicates("transaction_id", keep="last")
        for transaction_id, details in zip(last["transaction_id"], last["details"], strict=True):
            missing = set(json.loads(details)["instructions"]) - paid
            assert not missing, f"{transaction_id} is settled and {sorted(missing)} is not paid"

    def _pending_is_what_flies(self, ledger: Ledger) -> None:
        """The pending side of the balances is the sum of the claims that are open, and of no others."""
        waiting = ledger.transfers(open_only=True)["amount_minor"].sum()
        held = ledger._db.value("SELECT coalesce(sum(debits_pending), 0) FROM balance")
        flying = ledger.claims([t for t, _ in _LINES])
        assert held == waiting, "pending balances differ from the open transfers"
        assert (flying["status"] == "in_flight").sum() == len(ledger.transfers(open_only=True))

    def _attempts_follow_each_other(self, ledger: Ledger) -> None:
        """Numbered 1, 2, 3 per instruction over all runs; two operators at once may both count the same one."""
        if not self.is_alone:
            return
        counted: dict[str, list[int]] = {}
        events = ledger.events(event_types=PAYMENT_EVENTS)
        for details in events.loc[events["transaction_id"] == "", "details"]:
            fact = json.loads(details)
            counted.setdefault(fact["instruction_id"], []).extend(a["attempt"] for a in fact["attempts"])
        for instruction_id, numbers in counted.items():
            assert numbers == list(range(1, len(numbers) + 1)), f"attempts of {instruction_id}: {numbers}"

    def _blocks_follow_each_other(self, ledger: Ledger) -> None:
        """The hash of every new block, from what is stored and the hash before it, by other code than the ledger's."""
        sql = (
            "SELECT block_no, part, first_position, n, first_transfer, n_transfer, created_us, append_id, body_fingerprint, "
            "writer, event_root, transfer_root, block_hash FROM block WHERE block_no > ? ORDER BY 1"
        )
        for *numbers, append_id, body, writer, events, transfers, block_hash in ledger._db.rows(sql, (self.sealed,)):
            block_no, *rest = numbers
            texts = [t.encode() for t in (self._ledger_id(ledger), append_id, body, writer)]
            header = b"".join(struct.pack(">I", len(t)) + t for t in texts) + struct.pack(">8q", 1, block_no, *rest)
            whole = hashlib.sha256(b"\x02" + header + events + transfers + self.previous).digest()
            assert whole == block_hash, f"block {block_no} does not hold the hash of the one before"
            self.sealed, self.previous = block_no, block_hash

    @staticmethod
    def _ledger_id(ledger: Ledger) -> str:
        return str(ledger._db.value("SELECT ledger_id FROM ledger"))

    def _settle_in_calm_weather(self) -> None:
        """Nothing may hang for ever: with a rail that works, what is planned and free is settled, and nothing flies."""
        self.rail.change(0.0, 0.0)
        self.rail.arrive()
        ids = [t for t, _ in _LINES]
        for _ in range(
            3
        ):  # a payment whose cancellation had an answer too late goes on under its next key, in the next run
            for plan in self.plans:
                self._execute(self.ledgers[0], self.rail, plan)
            claims = self.ledgers[0].claims(ids)
            if not (claims["status"] == "in_flight").any():
                break
        assert not (claims["status"] == "in_flight").any(), "a claim hangs though the rail works"
        settled = set(claims.loc[claims["status"] == "settled", "transaction_id"])
        free = self._free_plans(settled)
        assert not free, f"free, and yet not settled: {free}"
        self.the_books_hold()

    def _free_plans(self, settled: set[str]) -> list[list[str]]:
        """Plans of which no transaction is settled: each could have started."""
        planned = [plan.batch_lines["transaction_id"].tolist() for plan in self.plans]
        return [ids for ids in planned if not settled & set(ids)]

    def teardown(self) -> None:
        if not hasattr(self, "ledgers"):
            return
        try:
            self._settle_in_calm_weather()
            SEEN["lives"] += 1
            SEEN["entries"] += self.ledgers[0].head().entries
            SEEN["payments"] += len(self.rail.payments.log)
            SEEN["keys given up"] += len(self.rail.cancelled)
        finally:
            for ledger in self.ledgers:
                ledger.close()
            self._folder.cleanup()


def _is_an_answer(error: LedgerError) -> bool:
    """What may be refused: a claim that another plan holds already."""
    return "in flight or settled already" in f"{error.what} {error.found}"


class Interrupted:
    """A ledger or rail before whose n-th call something else happens, once; never inside a database transaction."""

    def __init__(self, inner: Any, counter: Iterator[int], happens: Callable[[], None]) -> None:
        self._inner, self._counter, self._happens = inner, counter, happens

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        is_inside = isinstance(self._inner, Ledger) and self._inner._db._is_inside
        if name not in {"append", "commit_once", "send", "query", "cancel"} or is_inside:
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            if next(self._counter) == 0:
                self._happens()
            return found(*args, **kwargs)

        return call
