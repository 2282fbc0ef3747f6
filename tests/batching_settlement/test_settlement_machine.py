"""The settlement machine in moderate length; the long run is `python -m benchmarks settlement_model`."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.batching_settlement.settlement_machine import SEEN, SettlementMachine

LENGTH = settings(
    max_examples=12, stateful_step_count=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
# A machine that never gave up a payment, say, would find nothing wrong with how it is given up.
PATHS = (
    "settled",
    "failed",
    "in_flight",
    "superseded",
    "keys given up",
    "payments",
    "died in append",
    "died in commit_once",
    "died in send",
    "died in query",
    "died in cancel",
    "late message cancelled",
    "late message confirmed",
)


def test_whatever_happens_nothing_is_paid_twice_or_lost_and_every_path_was_taken() -> None:
    SEEN.clear()
    run_state_machine_as_test(SettlementMachine, settings=LENGTH)
    assert not [path for path in PATHS if not SEEN[path]], dict(SEEN)
