"""Settlement through the ledger: intake to committed event, and execution on the simulated rail.

INSTRUCTIONS (default 5,000) direct wires of two transactions each are claimed, committed, sent, posted and read back, once
without failures and once with 5 % of the sends failing; the peer is the rail alone, called once per instruction. Intake
takes 100,000 payments in one call. Wall and CPU seconds of one process. `python -m benchmarks settlement_execution`
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from types import SimpleNamespace

import pandas as pd

from atlas_lib.batching_settlement.rails import Instruction, SimulatedRail
from atlas_lib.ledger.store import open_ledger
from benchmarks.ledger_intake import CHUNK, submissions
from tests.batching_settlement.execution_frames import banks, execute, make_plan, outcome


def wires(count: int) -> SimpleNamespace:
    lines, legs = [], {}
    for n in range(count):
        lines += [(f"T-{n}-{side}", f"D-{n // 500}", "SALE", f"I-{n}", f"I-{n}", 100) for side in (0, 1)]
        legs[f"I-{n}"] = (f"PRO-{n}", "MER", 200)
    return make_plan(lines, legs)


def timed(work: Callable[[], object]) -> tuple[float, float, object]:
    wall, cpu = time.perf_counter(), time.process_time()
    made = work()
    return time.perf_counter() - wall, time.process_time() - cpu, made


def report(name: str, count: int, wall: float, cpu: float, more: str = "") -> None:
    sys.stdout.write(f"{name:<46}{count / wall:>12,.0f}/s{cpu:>9.2f} CPU s{cpu / count * 1e6:>9,.0f} us each {more}\n")


def rail_alone(count: int) -> None:
    rail = SimulatedRail(1, 0.05)
    for n in range(count):
        rail.send(Instruction(f"I-{n}", "A", "X", "Y", 1, "EUR", "2026-10-30"), f"I-{n}")


def measure_execution(folder: str, count: int, rate: float) -> None:
    plan, rail = wires(count), SimulatedRail(1, rate)
    with open_ledger(f"sqlite:///{folder}/{rate}.sqlite", "bench") as ledger:
        wall, cpu, tables = timed(lambda: execute(plan, banks(), ledger, rail))
        found = pd.Series(outcome(tables)).value_counts().to_dict()  # type: ignore[arg-type]
        report(f"execution, {rate:.0%} of sends fail, instructions", count, wall, cpu, str(found))
        paid = [i.instruction_id for i in rail.paid.values()]
        assert len(set(paid)) == len(paid)  # noqa: S101 - a benchmark of something wrong says nothing
        assert ledger.verify().empty  # noqa: S101


def main() -> None:
    count = int(os.environ.get("INSTRUCTIONS", "5000"))
    with tempfile.TemporaryDirectory(prefix="atlas-bench-") as folder:
        frame = submissions(0)
        with open_ledger(f"sqlite:///{folder}/intake.sqlite", "bench") as ledger:
            wall, cpu, _ = timed(lambda: ledger.intake("bench", frame, 24))
        report("intake to committed event, transactions", CHUNK, wall, cpu)
        wall, cpu, _ = timed(lambda: rail_alone(count))
        report("the simulated rail alone, instructions", count, wall, cpu)
        for rate in (0.0, 0.05):
            measure_execution(folder, count, rate)


if __name__ == "__main__":
    main()
