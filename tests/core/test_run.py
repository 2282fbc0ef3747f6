import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from atlas_lib.core import provenance
from atlas_lib.core.errors import CheckFailed, TableError
from atlas_lib.core.given_settings import run_settings
from atlas_lib.core.opening import create_run, latest_run_dir, open_stage
from atlas_lib.core.run import Run, StageSummary
from atlas_lib.core.settings import (
    BatchingSettlementSettings,
    PortfolioSettings,
    ReconciliationSettings,
    ReservesCreditSettings,
)
from atlas_lib.core.tables import declared

LIQUIDITY = {
    "currency": ["USD", "EUR"], "opening_balance_minor": [5, 100], "minimum_balance_minor": [1, 2],
    "source_file": "a.xlsx", "source_sheet": "liquidity", "source_row": [3, 2],
}  # fmt: skip


def read_liquidity(frame):
    read_liquidity.calls += 1
    return {"liquidity": frame}


@pytest.fixture
def run(tmp_path, monkeypatch) -> Run:
    monkeypatch.setenv("ATLAS_RUNS_DIR", str(tmp_path / "runs"))
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "a.csv").write_text("currency\nEUR\n")
    read_liquidity.calls = 0
    made = create_run(tmp_path / "input", run_settings({"as_of": "2026-10-30"}), tmp_path / "runs")
    return Run(made.directory, "01_ingest")


def test_a_step_runs_once_and_is_loaded_afterwards(run):
    first = run.step(read_liquidity, pd.DataFrame(LIQUIDITY)).liquidity
    again = Run(run.directory, "01_ingest").step(read_liquidity, pd.DataFrame(LIQUIDITY)).liquidity
    assert read_liquidity.calls == 1
    pd.testing.assert_frame_equal(first, again)
    assert first["currency"].tolist() == ["EUR", "USD"]


def test_the_manifest_holds_rows_totals_and_hash_of_each_table(run):
    run.step(read_liquidity, pd.DataFrame(LIQUIDITY))
    item = json.loads((run.directory / "manifest.json").read_text())["tables"]["liquidity"]
    assert item["rows"] == 2
    assert item["control_totals"]["opening_balance_minor"] == {"EUR": 100, "USD": 5}
    assert item["sha256"] == provenance.file_sha256(run.path("liquidity"))


def test_a_changed_byte_is_named(run):
    run.step(read_liquidity, pd.DataFrame(LIQUIDITY))
    run.verify()
    path = run.path("liquidity")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(TableError, match="liquidity is not as it was written"):
        run.verify()


def test_a_missing_table_says_which_notebook_makes_it(run):
    with pytest.raises(TableError, match=r"schedule is not in this run.*03_portfolio"):
        run.read("schedule")


def test_a_failed_blocking_check_stops_and_is_on_record(run):
    checks = pd.DataFrame(
        {"check": ["rows kept"], "passed": [False], "is_blocking": [True], "detail": ["30 % refused"]}
    )
    with pytest.raises(CheckFailed, match="30 % refused"):
        run.check(checks, {"Rows to correct": run.export_path("rejects.xlsx")})
    record = Run(run.directory).manifest["stages"]["01_ingest"]
    assert record["checks"][0]["passed"] is False
    assert record["downloads"] == {"Rows to correct": "exports/rejects.xlsx"}


def test_the_same_inputs_settings_and_code_are_the_same_run(run, tmp_path):
    settings = run_settings({"as_of": "2026-10-30"})
    assert create_run(tmp_path / "input", settings, tmp_path / "runs").run_id == run.run_id
    other = create_run(
        tmp_path / "input", run_settings({"as_of": "2026-10-30", "annual_rate": 0.05}), tmp_path / "runs"
    )
    assert other.run_id != run.run_id
    assert other.manifest["previous"]["run_id"] == run.run_id
    (tmp_path / "input" / "a.csv").write_text("currency\nUSD\n")
    assert create_run(tmp_path / "input", settings, tmp_path / "runs").run_id not in {run.run_id, other.run_id}


def test_a_changed_setting_forks_the_run_and_keeps_the_earlier_stages(run):
    run.step(read_liquidity, pd.DataFrame(LIQUIDITY))
    run.conclude(StageSummary("Read.", "passed", pd.DataFrame({"label": [], "value": []})))
    fork = open_stage("03_portfolio", PortfolioSettings(annual_rate=0.05))
    assert fork.run_id != run.run_id
    assert (fork.forked_from, fork.opened_as) == (run.run_id, run.run_id)
    assert fork.settings.annual_rate == 0.05
    assert fork.read("liquidity")["currency"].tolist() == ["EUR", "USD"]
    assert latest_run_dir() == run.directory


def test_notebooks_go_on_in_a_trial_until_a_run_is_made_and_the_dashboard_never_does(
    run, tmp_path, monkeypatch, capsys
):
    trial = open_stage("03_portfolio", PortfolioSettings(annual_rate=0.05))
    nested = open_stage("04_batching_settlement", BatchingSettlementSettings(wire_cost=7.0))
    assert (nested.forked_from, nested.opened_as) == (trial.run_id, run.run_id)
    assert capsys.readouterr().out.count(f"This is a trial of {run.run_id}") == 2
    assert open_stage("05_reconciliation", ReconciliationSettings()).run_id == nested.run_id
    with monkeypatch.context() as dashboard:
        dashboard.setenv("ATLAS_VIEW_ONLY", "1")
        assert open_stage("03_portfolio", PortfolioSettings()).run_id == run.run_id
    create_run(tmp_path / "input", run_settings({"as_of": "2026-10-30"}), tmp_path / "runs")
    assert open_stage("03_portfolio", PortfolioSettings()).run_id == run.run_id


def test_another_value_is_tried_on_the_run_and_not_on_the_trial_before(run):
    first = open_stage("03_portfolio", PortfolioSettings(annual_rate=0.05))
    second = open_stage("03_portfolio", PortfolioSettings(annual_rate=0.06))
    assert (second.forked_from, second.settings.annual_rate) == (run.run_id, 0.06)
    assert open_stage("02_reserves_credit", ReservesCreditSettings()).run_id == second.run_id  # nothing was tried there
    assert open_stage("03_portfolio", PortfolioSettings(annual_rate=0.05)).run_id == first.run_id
    back = open_stage("03_portfolio", PortfolioSettings())  # the cell as it was
    assert (back.run_id, back.is_trial) == (run.run_id, False)
    assert open_stage("04_batching_settlement", BatchingSettlementSettings()).run_id == run.run_id


def test_a_run_with_the_settings_of_a_trial_is_a_run(run, tmp_path):
    trial = open_stage("03_portfolio", PortfolioSettings(annual_rate=0.05))
    made = create_run(tmp_path / "input", run_settings({"as_of": "2026-10-30", "annual_rate": 0.05}), tmp_path / "runs")
    assert (made.is_trial, made.run_id != trial.run_id, latest_run_dir()) == (False, True, made.directory)
    (tmp_path / "runs" / "latest").write_text(run.run_id)
    again = open_stage("03_portfolio", PortfolioSettings(annual_rate=0.05))
    assert (again.is_trial, again.run_id) == (True, trial.run_id)


def test_a_trial_reaches_neither_bank_nor_cluster(run):
    wanted = BatchingSettlementSettings(rail="sepa", sepa_accounts_path="a.csv", commit_service="etcd://host:1")
    trial = open_stage("04_batching_settlement", wanted)
    assert (trial.opened_as, trial.manifest["settings"]["04_batching_settlement"]["rail"]) == (run.run_id, "sepa")
    assert (trial.settings.rail, trial.settings.commit_service) == ("simulated", "local")
    assert trial.settings.sepa_accounts_path == "a.csv"


def test_the_latest_run_is_never_a_trial_as_earlier_versions_left_it(run):
    trial = open_stage("03_portfolio", PortfolioSettings(annual_rate=0.05))
    (run.directory.parent / "latest").write_text(trial.run_id)
    assert latest_run_dir() == run.directory


def test_a_trial_that_was_pruned_is_not_looked_for(run):
    shutil.rmtree(open_stage("03_portfolio", PortfolioSettings(annual_rate=0.05)).directory)
    assert open_stage("03_portfolio", PortfolioSettings()).run_id == run.run_id


def test_an_unchanged_parameters_cell_opens_the_run_with_its_own_settings(tmp_path, run):
    settings = run_settings({"as_of": "2023-11-30", "annual_rate": 0.04})
    made = create_run(tmp_path / "input", settings, tmp_path / "runs")
    opened = open_stage("03_portfolio", PortfolioSettings())
    assert (opened.run_id, opened.settings.annual_rate) == (made.run_id, 0.04)
    assert run.run_id != made.run_id


def test_the_dashboard_shows_finished_runs_and_makes_nothing(run, monkeypatch):
    monkeypatch.setenv("ATLAS_VIEW_ONLY", "1")
    before = (run.directory / "manifest.json").read_bytes()
    opened = open_stage("03_portfolio", PortfolioSettings(annual_rate=0.5))
    with pytest.raises(TableError, match="has not finished"):
        opened.step(read_liquidity, declared("liquidity").empty())
    assert (run.directory / "manifest.json").read_bytes() == before
    assert read_liquidity.calls == 0


def test_hidden_files_settings_and_planted_truth_are_no_input(tmp_path):
    for name in ("data.csv", "settings.yaml", ".hidden", "~$open.xlsx", "_truth/pairs.csv", "statements/a.xml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    names = [p.relative_to(tmp_path).as_posix() for p in provenance.input_files(tmp_path)]
    assert names == ["data.csv", "statements/a.xml"]


def test_the_input_must_exist(tmp_path):
    with pytest.raises(Exception, match="does not exist"):
        provenance.input_files(tmp_path / "nowhere.xlsx")
    (tmp_path / "empty").mkdir()
    with pytest.raises(Exception, match="folder is empty"):
        provenance.input_files(Path(tmp_path / "empty"))
