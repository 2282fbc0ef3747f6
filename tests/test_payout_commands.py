"""`atlas payouts`: the desk on the command line, each step a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from atlas_lib.core.run import Run
from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.core.tables import declared
from tests.reserves_credit.reserves_credit_frames import DEBTOR, Office
from tests.reserves_credit.test_replies import CAMT054, ENTRY

ROOT = Path(__file__).parents[1]


@pytest.fixture
def run(tmp_path) -> Run:
    """A finished run with two payouts, as notebook 02 leaves it."""
    directory = tmp_path / "runs" / "r1"
    (directory / "tables").mkdir(parents=True)
    settings = {"02_reserves_credit": ReservesCreditSettings(as_of="2026-10-30", **DEBTOR).model_dump(mode="json")}
    manifest = {"run_id": "r1", "as_of": "2026-10-30", "tables": {}, "stages": {}, "settings": settings}
    (directory / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (directory.parent / "latest").write_text("r1", encoding="utf-8")
    made, office = Run(directory, "02_reserves_credit"), Office(tmp_path / "elsewhere")
    for name, table in (
        ("payouts", office.payouts),
        ("merchants", office.merchants),
        ("contract_payments", office.contract_payments()),
    ):
        made.write(name, table)
    made.write("statement_lines", declared("statement_lines").empty())
    made.save()
    return made


def atlas(run: Run, person: str, role: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ATLAS_")}
    environment |= {"ATLAS_RUNS_DIR": str(run.directory.parent), "ATLAS_ACTOR": person, "ATLAS_ROLE": role}
    command = [sys.executable, "-m", "atlas_lib.cli", "payouts", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_payout_goes_from_ready_to_executed_and_a_forbidden_step_ends_with_exit_code_seven(run, tmp_path):
    payout_id = Office(tmp_path / "names").of("M1")
    forbidden = atlas(run, "ada", "auditor", "prepare", payout_id)
    assert (forbidden.returncode, "You may not" in forbidden.stderr) == (7, True)
    payment_id, sha256, *amount = atlas(run, "olga", "settlement_ops", "prepare", payout_id).stdout.split()
    assert amount == ["500.00", "EUR"]
    approved = atlas(run, "carl", "credit_manager", "approve", payment_id, sha256).stdout
    assert "is approved: 500.00 EUR in 1 payout(s)" in approved
    outbox = Path(atlas(run, "olga", "settlement_ops", "request", payment_id).stdout.strip())
    assert outbox == run.directory.parent / "payments" / "outbox" / f"{payment_id}.xml"
    entry = ENTRY.format(
        amount="500.00", direction="DBIT", status="BOOK", reference="B1", reason="", end_to_end_id=f"{payout_id}-1"
    )
    answer = tmp_path / "camt.xml"
    answer.write_text(CAMT054.format(entries=entry), encoding="utf-8")
    assert "Nothing about payments" in atlas(run, "olga", "settlement_ops", "replies").stdout
    assert "moved" in atlas(run, "olga", "settlement_ops", "replies", str(answer)).stdout
    assert "Executed" in atlas(run, "ada", "auditor", "list").stdout
