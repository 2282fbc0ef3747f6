"""The settlement machine of the tests, run long: random plans, operators, failures, kills, late messages, clocks.

EXAMPLES (default 300) random lives of up to STEPS (default 40) steps; after each step the chain, the zero sums and the
payments made are checked. `python -m benchmarks settlement_model`
"""

from __future__ import annotations

import os
import sys
import time

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.batching_settlement.settlement_machine import SEEN, SettlementMachine


def main() -> None:
    examples, steps = int(os.environ.get("EXAMPLES", "300")), int(os.environ.get("STEPS", "40"))
    cpu = time.process_time()
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    run_state_machine_as_test(SettlementMachine, settings=chosen)
    told = ", ".join(f"{count:,} {name}" for name, count in sorted(SEEN.items()))
    sys.stdout.write(f"{told}; nothing paid twice, nothing lost; {time.process_time() - cpu:.0f} CPU s\n")


if __name__ == "__main__":
    main()
