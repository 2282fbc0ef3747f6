"""The settlement machine in moderate length; the long run is `python -m benchmarks settlement_model`."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.batching_settlement.settlement_machine import SettlementMachine

TestSettlement = SettlementMachine.TestCase
TestSettlement.settings = settings(
    max_examples=12, stateful_step_count=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
