"""The ledger store on SQLite and on PostgreSQL: appends, full lives, audit trails and verification.

Per store, one process and one connection:
- append: EVENTS events (default 1,000,000) in appends of 100,000, with every index, trigger, hash and block;
- full life: intake, initiation with a pending transfer, confirmation with its post, and a reserve movement, in appends of
  10,000 transactions: 7 events and 3 transfers each, and 4 events where the three facts of a batch are written once for its
  1,000 transactions, as settlement does;
- audit: the whole trail of one transaction, read 300 times at random (p50 and p99, wall time);
- verify: every row of the store recomputed;
- bare: the rows of the first BARE of these appends and of all lives written once more with nothing around them, which is
  what this machine can do at all (`benchmarks/ledger_bare.py`).
The frames that are handed in are made before the watch runs, for the peer as for us.

The peer is PyPI's `eventsourcing` (its own recorder for the same store), which writes one JSON event per row and neither
hashes, chains, balances nor looks for duplicates; it is left out where it is not installed. Rates are per second of the
clock and, behind it, per CPU second of this process (on PostgreSQL the server works besides).

`python -m benchmarks ledger` makes its own PostgreSQL where the programs are found. EVENTS=10000000 in the environment
measures the audit in a store of that size; STORES=sqlite leaves one out.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from atlas_lib.ledger.chain import Receipt
from atlas_lib.ledger.store import Ledger, open_ledger
from benchmarks.ledger_bare import bare_seconds
from benchmarks.postgres import private_server

CHUNK, LIVES, LIFE_CHUNK, BATCH, BARE = 100_000, 60_000, 10_000, 1_000, 5
DAY = pd.Timestamp("2026-10-30", tz="UTC")
_LIFE = ("BATCH_OPTIMIZED", "CONSENSUS_SUBMITTED", "CONSENSUS_ACHIEVED")
_STAGES = ("go", "done", "hold")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Stopwatch:
    """Seconds of the clock and CPU seconds of this process, of what is done inside only."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def __enter__(self) -> Stopwatch:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall += time.perf_counter() - self._wall
        self.cpu += time.process_time() - self._cpu

    def rates(self, count: int) -> tuple[float, float]:
        """How many per second of the clock, and per CPU second of this process."""
        return count / self.wall, count / self.cpu


def shown(rate: tuple[float, float], unit: str) -> str:
    return f"{rate[0]:>10,.0f} {unit}/s (CPU {rate[1]:,.0f})"


def events(start: int, count: int, event_type: str) -> pd.DataFrame:
    """Facts of transactions that are in the ledger or not, 500 to a batch, ten to a transaction."""
    numbers = np.arange(start, start + count)
    return pd.DataFrame(
        {
            "transaction_id": pd.Series(numbers // 10, dtype="str").radd("T-"), "event_type": event_type,
            "batch_id": pd.Series(numbers // 5000, dtype="str").radd("B-"), "amount_minor": numbers % 100_000 + 1,
            "currency": "EUR", "timestamp": DAY, "actor": "rail", "details": '{"attempt": 1, "reason": "timeout"}',
        }
    )  # fmt: skip


def append_all(ledger: Ledger, start: int, stop: int) -> tuple[float, float]:
    watch = Stopwatch()
    for first in range(start, stop, CHUNK):
        frame = events(first, CHUNK, "SETTLEMENT_FAILED")
        with watch:
            ledger.append(f"bulk {first}", frame)
    return watch.rates(stop - start)


@dataclass(frozen=True)
class Lives:
    """What is handed in for LIFE_CHUNK transactions from submission to reserve, stage by stage."""

    name: str
    submitted: pd.DataFrame
    facts: pd.DataFrame
    stages: dict[str, pd.DataFrame]
    moves: dict[str, pd.DataFrame]

    def live(self, ledger: Ledger) -> None:
        ledger.intake(f"in {self.name}", self.submitted)
        ledger.append(f"plan {self.name}", self.facts)
        receipt = ledger.append(f"go {self.name}", self.stages["go"], self.moves["go"])
        closing = self.moves["done"].assign(pending_no=np.arange(LIFE_CHUNK) + first_transfer(ledger, receipt))
        ledger.append(f"done {self.name}", self.stages["done"], closing)
        ledger.append(f"hold {self.name}", self.stages["hold"], self.moves["hold"])


def first_transfer(ledger: Ledger, receipt: Receipt) -> int:
    """The number of the first transfer of an append."""
    return int(ledger._db.value("SELECT min(first_transfer) FROM block WHERE append_id = ?", (receipt.append_id,)))


def lives(first: int, kind: str) -> Lives:
    """The frames of LIFE_CHUNK transactions; the facts of their batches once for each (`each`) or once for a batch (`batch`)."""
    ids = pd.Series(np.arange(first, first + LIFE_CHUNK), dtype="str").radd(f"{kind}-")
    base = pd.DataFrame({"transaction_id": ids, "amount_minor": 1_000, "currency": "EUR", "timestamp": DAY})
    submitted = base.assign(idempotency_key="K" + ids, fingerprint="F" + ids, origin="day.csv")
    batched = base.assign(batch_id=f"{kind}B-" + (pd.Series(range(LIFE_CHUNK)) // BATCH + first // BATCH).astype("str"))
    of = batched.iloc[::BATCH].assign(transaction_id="", amount_minor=1_000 * BATCH) if kind == "batch" else batched
    facts = pd.concat([of.assign(event_type=t) for t in _LIFE], ignore_index=True)
    merchant = "M-" + pd.Series(np.arange(LIFE_CHUNK) % 200, dtype="str")
    payable, reserve = "liabilities:settlement_payable:" + merchant, "liabilities:rolling_reserve:" + merchant
    moves = pd.DataFrame({"event": range(LIFE_CHUNK), "amount_minor": 1_000, "currency": "EUR"})
    booked = moves.assign(debit_account="assets:bank:EUR", credit_account=payable)
    held = moves.assign(debit_account=payable, credit_account=reserve, amount_minor=100)
    names = {"go": "SETTLEMENT_INITIATED", "done": "SETTLEMENT_CONFIRMED", "hold": "RESERVE_HELD"}
    return Lives(
        f"{kind} {first}", submitted, facts, {stage: batched.assign(event_type=t) for stage, t in names.items()},
        {"go": booked.assign(kind="pending"), "done": booked.assign(kind="post"), "hold": held},
    )  # fmt: skip


def live_all(ledger: Ledger, count: int, kind: str) -> tuple[float, float]:
    watch = Stopwatch()
    for first in range(0, count, LIFE_CHUNK):
        prepared = lives(first, kind)
        with watch:
            prepared.live(ledger)
    return watch.rates(count)


def audit_latency(ledger: Ledger, transactions: int) -> str:
    """p50 and p99 of 300 trails, by the clock and by CPU: on a busy machine they differ by what waits for a core."""
    dice, clock, cpu = random.Random(7), [], []  # noqa: S311
    for _ in range(300):
        watch = Stopwatch()
        with watch:
            ledger.trail("transaction", f"T-{dice.randrange(transactions)}")
        clock.append(watch.wall * 1000)
        cpu.append(watch.cpu * 1000)
    (p50, p99), (c50, c99) = ((sorted(taken)[150], sorted(taken)[297]) for taken in (clock, cpu))
    return f"p50 {p50:.2f} ms, p99 {p99:.2f} ms (CPU {c50:.2f}, {c99:.2f})"


def compare_with_bare(ledger: Ledger, what: str, ids: list[str], held: int, rate: float, folder: Path) -> None:
    """`rate`: appended per second of the clock."""
    bare = held / bare_seconds(ledger, ids, folder)
    say(f"  bare {what:<6} {bare:>10,.0f} /s; {what} / bare {rate / bare:.2f}")


def measure(url: str, count: int, folder: Path) -> tuple[float, float]:
    lived, verified = min(LIVES, max(count // 20, 2 * LIFE_CHUNK)), Stopwatch()
    with open_ledger(url, "bench") as ledger:
        appended = append_all(ledger, 0, count)
        say(f"  append      {shown(appended, 'events')}, {count:,} events")
        with verified:
            findings = ledger.verify([ledger.head()])
        say(f"  verify      {shown(verified.rates(count), 'rows')}, {len(findings)} findings")
        compare_with_bare(
            ledger, "append", [f"bulk {n}" for n in range(0, count, CHUNK)][:BARE], min(BARE * CHUNK, count), appended[0],
            folder,
        )  # fmt: skip
        for kind, what in (("each", "7 events"), ("batch", "4 events, the batches' facts once for a batch,")):
            rates = live_all(ledger, lived, kind)
            say(f"  full life   {shown(rates, 'transactions')}, {what} and 3 transfers each")
            stages = [f"{s} {kind} {n}" for n in range(0, lived, LIFE_CHUNK) for s in ("in", "plan", *_STAGES)]
            compare_with_bare(ledger, "life", stages, lived, rates[0], folder)
        say(f"  audit       {audit_latency(ledger, count // 10)}, {ledger.head().entries:,} events in the store")
    return appended


def peer_rate(environment: dict[str, str]) -> tuple[float, float] | None:
    """Events/s of `eventsourcing`'s recorder on the same kind of store.

    In inserts of 10,000 rows, of 2,000 in PostgreSQL: it sends them as one pipeline of single statements, and waits for
    ever in larger ones (eventsourcing 9.5.6, psycopg 3.3.9).
    """
    try:
        from eventsourcing.persistence import InfrastructureFactory, InfrastructureFactoryError, StoredEvent
        from eventsourcing.utils import Environment
    except ImportError:
        return None
    from uuid import UUID

    try:
        factory = InfrastructureFactory.construct(Environment("bench", environment))  # type: ignore[var-annotated]
    except InfrastructureFactoryError:  # its extra for this store (eventsourcing[postgres]) is missing
        return None
    recorder = factory.application_recorder()
    state = b'{"attempt": 1, "reason": "timeout", "amount_minor": 1000, "currency": "EUR", "actor": "rail"}'
    size, count = 2_000 if "POSTGRES_DBNAME" in environment else 10_000, 200_000

    watch = Stopwatch()
    for first in range(0, count, size):
        numbers = range(first, first + size)
        stored = [StoredEvent(UUID(int=n // 10), n % 10, "rail:Failed", state) for n in numbers]
        with watch:
            recorder.insert_events(stored)
    return watch.rates(count)


@contextmanager
def stores(folder: Path) -> Iterator[dict[str, tuple[str, dict[str, str]]]]:
    """Address and the peer's environment, per store."""
    wanted = os.environ.get("STORES", "sqlite,postgresql").split(",")
    found: dict[str, tuple[str, dict[str, str]]] = {}
    if "sqlite" in wanted:
        peer = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(folder / "peer.sqlite")}
        found["sqlite"] = (f"sqlite:///{folder / 'ledger.sqlite'}", peer)
    with private_server() as server:
        if server and "postgresql" in wanted:
            peer = {
                "PERSISTENCE_MODULE": "eventsourcing.postgres", "POSTGRES_DBNAME": "postgres", "POSTGRES_USER": "owner",
                "POSTGRES_HOST": str(server.folder), "POSTGRES_PORT": str(server.port), "POSTGRES_PASSWORD": "none",
            }  # fmt: skip
            found["postgresql"] = (server.url, peer)
        yield found


def main() -> None:
    target = int(os.environ.get("EVENTS", "1000000"))
    with tempfile.TemporaryDirectory(prefix="atlas-bench-") as folder, stores(Path(folder)) as found:
        for name, (url, environment) in found.items():
            say(name)
            ours, theirs = measure(url, target, Path(folder)), peer_rate(environment)
            if theirs is None:
                say("  eventsourcing is not installed for this store: no ratio")
            else:
                ratio = f"append / eventsourcing {ours[0] / theirs[0]:.2f} (CPU {ours[1] / theirs[1]:.2f})"
                say(f"  peer        {shown(theirs, 'events')}; {ratio}")


if __name__ == "__main__":
    main()
