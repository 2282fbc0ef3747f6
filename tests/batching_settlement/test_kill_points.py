"""kill -9 in a process of its own at every boundary of execution; then the same call finishes, and pays nothing twice."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from atlas_lib.batching_settlement.rails import Answer, Instruction
from atlas_lib.ledger.commit import LocalCommit
from atlas_lib.ledger.store import open_ledger
from tests.batching_settlement.execution_frames import banks, execute, outcome, small_plan

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.batching_settlement.execution_frames"])
APPENDS = ("plan", "commit", "claim", "outcome")
POINTS = [
    *[(f"{when} the {name} is written", "append", n, when) for n, name in enumerate(APPENDS) for when in ("before", "after")],
    *[(f"{when} the compare-and-set", "commit_all", 0, when) for when in ("before", "after")],
    *[(f"{when} payment {n + 1}", "send", n, when) for n in range(6) for when in ("before", "after")],
]  # fmt: skip


class BankOnDisk:
    """A rail that lives in a folder and outlives every process: a payment is a file that can be made once."""

    def __init__(self, folder: Path) -> None:
        self._paid = folder / "paid"
        self._paid.mkdir(exist_ok=True)

    def send(self, instruction: Instruction, idempotency_key: str) -> Answer:
        with (self._paid / f"{idempotency_key} {next(COUNT)} {os.getpid()}").open("x") as file:
            file.write(str(instruction.amount_minor))
        return Answer("confirmed", "paid")

    def query(self, idempotency_key: str) -> Answer:
        return (
            Answer("confirmed", "paid") if self.keys().count(idempotency_key) else Answer("not_found", "never arrived")
        )

    def cancel(self, idempotency_key: str) -> Answer:
        return Answer("timeout", f"{idempotency_key}: this bank promises nothing")

    def hand_over(self) -> None:
        """Every payment has left on its own already."""

    def keys(self) -> list[str]:
        return sorted(p.name.split()[0] for p in self._paid.iterdir())


COUNT = itertools.count()


class KilledAt:
    """Ends its process with SIGKILL before or after the n-th call of one method."""

    def __init__(self, inner: Any, method: str, number: int, when: str) -> None:
        self._inner, self._method, self._left, self._when = inner, method, number, when

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name != self._method:
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            if self._left < 0 and self._when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            answer = found(*args, **kwargs)
            if self._left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return call


def carry_out(folder: Path, method: str, number: int, when: str) -> None:
    with open_ledger(f"sqlite:///{folder / 'ledger.sqlite'}", "settlement") as ledger:
        parts = (ledger, BankOnDisk(folder), LocalCommit(ledger))
        killed, bank, commit = (KilledAt(part, method, number, when) for part in parts)
        execute(small_plan(), banks(), killed, bank, commit=commit)


@pytest.mark.parametrize(("method", "number", "when"), [p[1:] for p in POINTS], ids=[p[0] for p in POINTS])
def test_after_a_kill_the_same_call_finishes(tmp_path: Path, method: str, number: int, when: str) -> None:
    process = SERVER.Process(target=carry_out, args=(tmp_path, method, number, when))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    bank = BankOnDisk(tmp_path)
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", "settlement") as ledger:
        assert ledger.verify().empty
        tables = execute(small_plan(), banks(), ledger, bank)
        assert set(outcome(tables).values()) == {"settled"}
        assert bank.keys() == ["I-1", "I-2", "I-3", "I-5", "I-6", "I-7"]
        assert sorted(set(tables["settlement_attempts"]["instruction_id"])) == bank.keys()
        events = ledger.events()
        about = events[events["transaction_id"] != ""]
        assert (about.groupby(["transaction_id", "event_type"]).size() == 1).all()
        assert (
            events[events["event_type"].str.startswith(("BATCH", "CONSENSUS"))]
            .groupby(["batch_id", "event_type"])
            .size()
            == 1
        ).all()
        assert ledger.verify().empty
