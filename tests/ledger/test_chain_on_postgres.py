"""The five notebooks against a ledger on a PostgreSQL server, as a team would run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from atlas_lib.core.run import Run
from atlas_lib.core.settings import STAGES
from atlas_lib.example_data import generate
from atlas_lib.ledger.access import grant_roles
from atlas_lib.ledger.chain import Head
from atlas_lib.ledger.store import open_ledger

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_run_works_as_a_writer_without_the_owners_rights_and_is_anchored(postgres: Any, tmp_path: Path) -> None:
    url = postgres.new_schema()
    grant_roles(url)
    postgres.run("DROP ROLE IF EXISTS teller", "CREATE ROLE teller LOGIN IN ROLE atlas_writer")
    generate(400, 7, tmp_path / "input")
    writer = url.replace("user=owner", "user=teller")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ATLAS_")} | {"ATLAS_LEDGER_URL": writer}

    def atlas(*arguments: str | Path) -> str:
        command = [sys.executable, "-m", "atlas_lib.cli", *map(str, arguments)]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    made = atlas("run", "--quiet", "--input", tmp_path / "input", "--runs-dir", tmp_path / "runs")
    run = Run(Path(made.strip().splitlines()[-1]))
    assert all(run.is_complete(stage) for stage in STAGES)
    assert not (tmp_path / "runs" / "ledger.sqlite").exists()
    with open_ledger(url, "reader") as ledger:
        assert {"TRANSACTION_SUBMITTED", "SETTLEMENT_CONFIRMED"} <= set(ledger.events()["event_type"])
        assert Head(**run.manifest["ledger"]) == ledger.head()
        assert ledger.trial_balance().groupby("currency")["balance_minor"].sum().unique().tolist() == [0]
    assert "1 head(s)" in atlas("verify", run.directory)
    batch = run.read("batches")["batch_id"].iloc[0]
    assert "CONSENSUS_ACHIEVED" in atlas("audit", "batch", batch, "--runs-dir", tmp_path / "runs")
