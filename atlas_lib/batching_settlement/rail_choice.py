"""Which rail a run pays on: a setting."""

from __future__ import annotations

from pathlib import Path

from atlas_lib.batching_settlement.rails import SimulatedRail
from atlas_lib.batching_settlement.sepa_rail import SepaFileRail, read_accounts
from atlas_lib.core.errors import SettingsError
from atlas_lib.core.settings import BatchingSettlementSettings


def open_rail(settings: BatchingSettlementSettings, folder: Path) -> SimulatedRail | SepaFileRail:
    """The simulated rail, or the SEPA files under `folder` (beside the ledger, shared by all runs)."""
    if settings.rail == "simulated":
        return SimulatedRail(settings.rail_seed, settings.rail_failure_rate, settings.rail_down.split())
    if not settings.sepa_accounts_path:
        raise SettingsError(
            "The SEPA rail has no account book", where="sepa_accounts_path", expected="a CSV file: account, name, iban, ...",
            remedy="give the accounts that the plan pays from and to, with their owners",
        )  # fmt: skip
    return SepaFileRail(folder, read_accounts(Path(settings.sepa_accounts_path)), settings.as_of)
