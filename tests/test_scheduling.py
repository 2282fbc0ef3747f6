"""What a scheduler relies on: one run per input at a time, a command told of failures, old runs removed, a summary."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from atlas_lib.core.errors import Refused, SettingsError
from atlas_lib.core.run import Run, StageSummary
from atlas_lib.core.settings import STAGES
from atlas_lib.present.summary import write_summary
from atlas_lib.scheduling import list_runs, only_run_of, prune_runs, tell_failure, turn_at_the_ledger

INPUTS = {"run_id": "one", "inputs": [{"path": "a.csv", "sha256": "1" * 64}]}


def test_the_same_inputs_run_once_at_a_time_and_others_do_not_wait(tmp_path):
    with only_run_of(tmp_path, INPUTS):
        with pytest.raises(Refused, match="another process"), only_run_of(tmp_path, INPUTS | {"run_id": "two"}):
            pass
        with only_run_of(tmp_path, {"run_id": "three", "inputs": [{"path": "a.csv", "sha256": "2" * 64}]}):
            pass
    with only_run_of(tmp_path, INPUTS):
        pass


def test_runs_take_turns_where_they_decide_on_the_ledger(tmp_path, monkeypatch):
    monkeypatch.setattr("atlas_lib.scheduling._TURN_SECONDS", 0)
    stage = "02_reserves_credit"
    with turn_at_the_ledger(tmp_path, stage), turn_at_the_ledger(tmp_path, "03_portfolio"):
        pass
    with (
        turn_at_the_ledger(tmp_path, stage),
        pytest.raises(Refused, match=f"at {stage}"),
        turn_at_the_ledger(tmp_path, stage),
    ):
        pass
    with turn_at_the_ledger(tmp_path, stage):
        pass


def hook(tmp_path: Path, code: str) -> str:
    script = tmp_path / "hook.py"
    script.write_text(code, encoding="utf-8")
    return f"{sys.executable} {script} '{tmp_path / 'told.json'}'"


TELL = """
import json, os, sys
told = {"argv": sys.argv[2:], "text": sys.stdin.read(), "code": os.environ["ATLAS_EXIT_CODE"], "error": os.environ["ATLAS_ERROR"]}
open(sys.argv[1], "w").write(json.dumps(told))
"""


def test_the_command_for_failed_runs_gets_the_error_and_no_shell_reads_it(tmp_path):
    error = "Cannot read $(touch x). Where: a.xlsx."
    tell_failure(hook(tmp_path, TELL) + " '; touch y'", error, 2, None)
    told = json.loads((tmp_path / "told.json").read_text())
    assert told == {
        "argv": ["; touch y"],
        "text": f"Subject: Settlement run FAILED\n\n{error}\n",
        "code": "2",
        "error": error,
    }


def test_the_summary_goes_along_and_a_command_that_fails_says_both_errors(tmp_path):
    summary = tmp_path / "summary.txt"
    summary.write_text("Subject: ...\n")
    tell_failure(hook(tmp_path, TELL), "broken", 1, summary)
    assert json.loads((tmp_path / "told.json").read_text())["text"] == "Subject: ...\n"
    with pytest.raises(SettingsError, match="the run itself failed with: broken"):
        tell_failure(hook(tmp_path, "raise SystemExit(3)"), "broken", 1, None)


@pytest.fixture
def runs_dir(tmp_path) -> Path:
    now = time.time_ns()
    for age, name in enumerate(("newest", "middle", "oldest", "first")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(json.dumps({"run_id": name}))
        os.utime(tmp_path / name / "manifest.json", ns=(now - age * 10**9, now - age * 10**9))
    (tmp_path / "latest").write_text("oldest")
    for kept in ("ledger.sqlite", "intake/index", "payments/PAY-1.xml"):
        (tmp_path / kept).parent.mkdir(exist_ok=True)
        (tmp_path / kept).write_text("kept")
    return tmp_path


def test_old_runs_go_but_never_the_latest_the_ledger_or_payment_files(runs_dir):
    assert [p.name for p in list_runs(runs_dir)] == ["newest", "middle", "oldest", "first"]
    assert [p.name for p in prune_runs(runs_dir, 1, is_dry_run=True)] == ["middle", "first"]
    assert len(list_runs(runs_dir)) == 4
    assert [p.name for p in prune_runs(runs_dir, 1)] == ["middle", "first"]
    assert sorted(p.name for p in runs_dir.iterdir()) == [
        "intake",
        "latest",
        "ledger.sqlite",
        "newest",
        "oldest",
        "payments",
    ]
    assert prune_runs(runs_dir, 1) == []


def test_trials_count_for_no_run_and_go_with_theirs(runs_dir):
    for name, origin in (("trial-a", "newest"), ("trial-b", "middle")):
        (runs_dir / name).mkdir()
        told = {"run_id": name, "forked_from": origin, "opened_as": origin}
        (runs_dir / name / "manifest.json").write_text(json.dumps(told))
    assert sorted(p.name for p in prune_runs(runs_dir, 1)) == ["first", "middle", "trial-b"]


def test_no_run_at_all_cannot_be_asked_for(runs_dir):
    with pytest.raises(SettingsError, match="At least one"):
        prune_runs(runs_dir, 0)


def test_the_summary_says_what_each_notebook_said_and_which_check_failed(tmp_path):
    manifest = {"run_id": "r", "as_of": "2026-10-30", "inputs": [], "settings": {}, "tables": {}, "stages": {}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    for stage in STAGES:
        run = Run(tmp_path, stage)
        run.check(
            pd.DataFrame(
                {
                    "check": ["adds up", "what this input does not tell"],
                    "passed": [stage != "02_reserves_credit", None],
                    "is_blocking": [False, False],
                    "detail": ["", ""],
                }
            )
        )
        run.conclude(StageSummary(f"{stage} is fine.", "passed", pd.DataFrame({"label": ["Rows"], "value": ["3"]})))
    text, data = write_summary(Run(tmp_path))
    facts = json.loads(data.read_text())
    assert (facts["status"], facts["stages"][0]["figures"]) == ("passed", {"Rows": "3"})
    assert [s["failed_checks"] for s in facts["stages"]] == [[], ["adds up"], [], [], []]
    assert text.read_text().startswith("Subject: Settlement run of 2026-10-30: passed\n\nAll stages ran")
    assert "  Check failed: adds up" in text.read_text()
    write_summary(Run(tmp_path), failure="Cut off.")
    assert "FAILED" in text.read_text()
    assert json.loads(data.read_text())["verdict"] == "Cut off."
