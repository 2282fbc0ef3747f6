"""Run history and metrics from a real run, scraped by a real Prometheus."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from atlas_lib.core.given_settings import run_settings
from atlas_lib.core.opening import create_run
from atlas_lib.core.run import Run
from atlas_lib.core.tables import declared
from atlas_lib.ledger.store import open_ledger
from atlas_lib.operations.health import check_health
from atlas_lib.operations.history import Promise, run_history, stage_figures
from atlas_lib.operations.metrics import RunsCollector, metrics_text
from atlas_lib.present.summary import write_summary
from tests.ledger.etcd_cluster import Cluster
from tests.operations.operations_run import NEWEST, SECONDS, filled, make_run

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("operations") / "runs"
    make_run(folder, "2026-10-29")
    make_run(folder, "2026-10-30")
    events = pd.DataFrame(
        {
            "transaction_id": ["T1", "T2", ""], "batch_id": ["", "", "B1"], "amount_minor": 1, "currency": "EUR", "timestamp": NEWEST,
            "event_type": ["TRANSACTION_SUBMITTED", "SETTLEMENT_FAILED", "CONSENSUS_ACHIEVED"],
        }
    )  # fmt: skip
    with open_ledger(f"sqlite:///{folder / 'ledger.sqlite'}", "test") as ledger:
        ledger.append("a", events)
    return folder


def samples(runs_dir: Path, now: pd.Timestamp, promise: Promise | None = None) -> dict[str, float]:
    text = metrics_text(RunsCollector(runs_dir, promise or Promise(), now.timestamp))
    pairs = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def put_delivery(runs_dir: Path, deliveries: list[tuple[str, int, float]]) -> None:
    folder = runs_dir / "intake" / "deliveries"
    folder.mkdir(parents=True)
    rows = [{"delivery_id": n, "accepted_count": c, "delay_seconds": s} for n, c, s in deliveries]
    declared("deliveries").checked(filled("deliveries", rows)).to_parquet(folder / "a.parquet")


def test_the_history_has_a_line_per_run_newest_first(runs: Path):
    found = run_history(runs, Promise(run_minutes=0.3))
    assert found["as_of"].tolist() == ["2026-10-30", "2026-10-29"]
    first = found.iloc[0]
    assert (first["status"], first["seconds"], first["rows_per_second"], first["rejected_rate"]) == (
        "attention",
        20.0,
        0,
        0.2,
    )
    assert found["is_in_time"].tolist() == [False, False]
    assert run_history(runs, Promise(run_minutes=1))["is_in_time"].all()
    assert run_history(runs.parent / "none", Promise()).empty


def test_a_run_that_a_check_stopped_has_failed_and_one_without_all_stages_is_unfinished(runs: Path, tmp_path: Path):
    shutil.copytree(runs, tmp_path / "runs")
    directory = next(p.parent for p in (tmp_path / "runs").glob("*/durations.json"))
    run = Run(directory)
    del run.manifest["stages"]["05_reconciliation"]["verdict"]
    run.save()
    status = run_history(tmp_path / "runs", Promise()).set_index("run_id")["status"]
    assert status[run.run_id] == "unfinished"
    run.manifest["stages"]["01_ingest"]["checks"] = [{"check": "c", "passed": False, "is_blocking": True, "detail": ""}]
    run.save()
    status = run_history(tmp_path / "runs", Promise()).set_index("run_id")["status"]
    assert status[run.run_id] == "failed"


def test_stages_have_their_seconds_rows_and_rate(runs: Path):
    run = Run(next(p.parent for p in runs.glob("*/durations.json")))
    figures = stage_figures(run, SECONDS).set_index("stage")
    assert figures.loc["04_batching_settlement", ["seconds", "row_count", "rows_per_second"]].tolist() == [2.0, 7, 3.5]


def test_the_metrics_of_the_design_have_the_figures_of_the_run_and_the_ledger(runs: Path):
    found = samples(runs, NEWEST + pd.Timedelta(hours=47))
    assert found["settle_transactions_per_second"] == 2.0  # four settled in two seconds
    assert found["settle_batches_per_second"] == 1.0
    assert found["settle_data_loss_events"] == 0
    assert (found["settle_fx_costs_total"], found["settle_cost_savings_total"]) == (2.0, 180.0)  # two runs
    assert found["settle_cost_per_transaction"] == 2.5
    assert found["settle_settlement_failures_total"] == found["settle_consensus_rounds_completed"] == 1
    assert found['atlas_open_breaks{break_type="DUPLICATE",severity="high"}'] == 1
    assert found['atlas_run_status{status="attention"}'] == 1
    assert found['atlas_sla_met{sla="data_hours"}'] == 1
    assert samples(runs, NEWEST + pd.Timedelta(hours=49))['atlas_sla_met{sla="data_hours"}'] == 0
    assert not any(name.startswith("settle_transaction_latency_ms") for name in found)  # nothing came by intake


def test_latency_counts_every_payment_of_the_deliveries(runs: Path, tmp_path: Path):
    shutil.copytree(runs, tmp_path / "runs")
    put_delivery(tmp_path / "runs", [("a", 90, 0.5), ("b", 9, 2.0), ("c", 1, 60.0)])
    found = samples(tmp_path / "runs", NEWEST)
    delays = [found[f'settle_transaction_latency_ms{{quantile="{q}"}}'] for q in ("0.5", "0.9", "0.99")]
    assert delays == [500, 500, 2000]
    assert found['atlas_intake_rows_total{outcome="accepted"}'] == 100


def test_a_store_that_does_not_answer_is_down_and_an_empty_folder_says_nothing(tmp_path: Path):
    assert samples(tmp_path, NEWEST) == {}
    (tmp_path / "ledger.sqlite").write_bytes(b"no database at all" * 100)
    assert samples(tmp_path, NEWEST) == {"atlas_ledger_up": 0.0, 'atlas_commit_up{kind="local"}': 0.0}


def test_store_and_commit_service_say_that_they_are_there_how_fast_and_what_they_did_last(runs: Path):
    found = samples(runs, NEWEST)
    assert (found["atlas_ledger_up"], found['atlas_commit_up{kind="local"}']) == (1, 1)
    assert (
        found["atlas_ledger_last_timestamp_seconds"]
        == found["atlas_commit_last_timestamp_seconds"]
        == NEWEST.timestamp()
    )
    assert 0 < found["atlas_ledger_latency_seconds"] == found["atlas_commit_latency_seconds"] < 60


def test_a_cluster_can_decide_while_a_majority_is_there(runs: Path, tmp_path: Path, etcd_nodes: Cluster):
    shutil.copytree(runs, tmp_path / "runs")
    latest = Run(next(p.parent for p in (tmp_path / "runs").glob("2026-10-30*/durations.json")))
    latest.manifest["settings"]["04_batching_settlement"]["commit_service"] = etcd_nodes.url
    latest.save()
    wait_for(lambda: check_health(tmp_path / "runs", latest)[1].counts["healthy"] == 3)
    _, whole = check_health(tmp_path / "runs", latest)
    assert (whole.kind, whole.is_up, whole.counts["healthy"]) == ("etcd", True, 3)
    etcd_nodes.end(0)
    etcd_nodes.end(1)
    try:
        _, torn = check_health(tmp_path / "runs", latest)
        assert (torn.is_up, torn.seconds, torn.counts["silent"], torn.last_at) == (False, None, 2, NEWEST)
    finally:
        etcd_nodes.start(0)
        etcd_nodes.start(1)
    wait_for(lambda: check_health(tmp_path / "runs", latest)[1].counts["healthy"] == 3)


def test_every_query_of_the_dashboard_and_the_rules_asks_for_a_metric_that_is_made(
    runs: Path, tmp_path: Path, etcd_nodes: Cluster
):
    shutil.copytree(runs, tmp_path / "runs")
    put_delivery(tmp_path / "runs", [("a", 90, 0.5)])
    waiting = Run(next(p.parent for p in (tmp_path / "runs").glob("2026-10-30*/durations.json")))
    for name, row in {"suggestions": {}, "alerts": {"severity": "high"}, "payouts": {"status": "Ready"}}.items():
        waiting.write(name, filled(name, [row]))
    waiting.manifest["settings"]["04_batching_settlement"]["commit_service"] = etcd_nodes.url
    waiting.save()
    made = {name.partition("{")[0] for name in samples(tmp_path / "runs", NEWEST)}
    text = (ROOT / "deploy/grafana/atlas.json").read_text() + (RULES / "atlas_rules.yml").read_text()
    asked = set(re.findall(r"\b(?:atlas|settle)_[a-z_]+", text)) - {"atlas_rules"}
    documented = set(re.findall(r"\b(?:atlas|settle)_[a-z_]+", (ROOT / "docs/operations.md").read_text()))
    assert asked - made == set()
    assert made - documented == set()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (Debian: prometheus)")
def test_the_rules_are_sound_and_fire_when_they_should():
    for arguments in (
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "atlas_rules.yml"],
        ["test", "rules", "atlas_rules_test.yml"],
    ):
        done = subprocess.run(["promtool", *arguments], cwd=RULES, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def wait_for(ask: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if found := ask():
                return found
        except OSError:
            pass
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def endpoint(runs: Path) -> Iterator[str]:
    """`atlas operations serve` as a process of its own."""
    command = [sys.executable, "-m", "atlas_lib.cli", "operations", "serve", "--port", "0", "--runs-dir", str(runs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs Prometheus (Debian: prometheus)")
def test_a_real_prometheus_scrapes_the_endpoint_and_knows_the_figures(endpoint: str, tmp_path: Path):
    target, port = endpoint.removeprefix("http://").removesuffix("/metrics"), free_port()
    text = (RULES / "prometheus.yml").read_text().replace("127.0.0.1:9187", target).replace("30s", "1s")
    (tmp_path / "prometheus.yml").write_text(text)
    shutil.copy(RULES / "atlas_rules.yml", tmp_path)
    options = {"config.file": tmp_path / "prometheus.yml", "storage.tsdb.path": tmp_path / "data", "web.listen-address": f"127.0.0.1:{port}", "log.level": "error"}  # fmt: skip
    command = ["prometheus", *(f"--{k}={v}" for k, v in options.items())]

    def ask(query: str) -> list[dict[str, Any]]:
        url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
        with urllib.request.urlopen(url, timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
            return found

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            rate = wait_for(lambda: ask("settle_transactions_per_second"))
            assert float(rate[0]["value"][1]) == 2.0
            fired = wait_for(lambda: ask('ALERTS{alertname="AtlasManyRefused", alertstate="firing"}'))
            assert fired[0]["metric"]["table"] == "transactions"
        finally:
            server.terminate()


def test_the_textfile_is_written_as_a_whole(runs: Path, tmp_path: Path):
    command = [sys.executable, "-m", "atlas_lib.cli", "operations", "metrics", "--runs-dir", str(runs), "--textfile", str(tmp_path / "a.prom")]  # fmt: skip
    subprocess.run(command, check=True, cwd=ROOT)
    assert "settle_data_loss_events 0.0" in (tmp_path / "a.prom").read_text()
    assert [p.name for p in tmp_path.iterdir()] == ["a.prom"]


def test_a_run_that_failed_in_its_first_stage_is_in_the_history_and_told_to_prometheus(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "2026-10-29")
    (tmp_path / "payments.csv").write_text("id\n1\n2\n")
    failed = create_run(tmp_path / "payments.csv", run_settings({"as_of": "2026-10-30"}), tmp_path / "runs")
    write_summary(failed, failure="01_ingest: the file cannot be read.")
    newest, older = run_history(tmp_path / "runs", Promise()).to_dict("records")
    assert (newest["run_id"], newest["status"], newest["seconds"]) == (failed.run_id, "failed", 0.0)
    assert older["status"] == "attention"
    found = samples(tmp_path / "runs", pd.Timestamp("2026-10-30", tz="UTC"))
    assert [name for name, value in found.items() if 'status="failed"' in name and value == 1]
