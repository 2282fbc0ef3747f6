"""Real processes on one folder and one ledger: killed, two at once, beside a run, told to stop, without room."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from atlas_lib.core.engine import open_engine
from atlas_lib.core.settings import IngestSettings
from atlas_lib.ingest import accept_submissions, clean_inputs, read_inputs
from atlas_lib.ledger.store import open_ledger
from benchmarks.intake_kills import SERVER, count, kill_and_restart, payments, put, start

ONCE = {"index_twice": 0, "ledger_twice": 0, "index_without_event": 0, "files_left": 0, "rows_lost": 0, "leftovers": 0, "ledger_faults": 0}  # fmt: skip


def run_once(folder: Path, runs: Path) -> tuple[dict[str, int], pd.DataFrame]:
    """What notebook 01 does with a folder: read, clean, accept."""
    settings = IngestSettings()
    submissions = clean_inputs(read_inputs(folder), settings)["submissions"]
    with open_ledger(f"sqlite:///{runs / 'ledger.sqlite'}", "run") as ledger:
        tables = accept_submissions(submissions, open_engine("duckdb"), ledger, settings.idempotency_ttl_hours)
    statuses = tables["intake_results"]["status"].value_counts().to_dict()
    return statuses | {"accepted": len(tables["transactions"])}, tables["transactions"]


def run_repeatedly(folder: Path, runs: Path, times: int) -> None:
    for _ in range(times):
        run_once(folder, runs)


def wait_until(is_so: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def agrees(found: dict[str, int]) -> None:
    assert {k: found[k] for k in ONCE} == ONCE
    assert found["accepted"] == found["index_rows"] == found["ledger_events"]


def test_a_follower_killed_again_and_again_takes_every_row_once(tmp_path: Path) -> None:
    found = kill_and_restart(tmp_path, kills=5, seed=11, longest=2.5)
    agrees(found)
    assert found["killed"] == 5
    assert found["deliveries"] >= 5
    assert found["exit_code"] == 0


def test_two_followers_of_one_folder_accept_each_row_once(drop: Path, runs: Path) -> None:
    for number in range(4):
        put(drop, f"{number}.csv", payments(number * 10, number * 10 + 20))
    followers = [start(drop, runs) for _ in range(2)]
    wait_until(lambda: len(list((runs / "intake" / "deliveries").glob("*.parquet"))) == 4)
    for follower in followers:
        os.kill(follower.pid, signal.SIGTERM)
        follower.join(60)
    assert [f.exitcode for f in followers] == [0, 0]
    found = count(drop, runs)
    agrees(found)
    assert (found["rows"], found["accepted"]) == (80, 45)


def test_a_follower_and_a_run_at_the_same_time_accept_each_row_once(drop: Path, runs: Path) -> None:
    put(drop, "0.csv", payments(0, 20))
    follower = start(drop, runs)
    run = SERVER.Process(target=run_repeatedly, args=(drop, runs, 4))
    run.start()
    for number in range(1, 4):
        put(drop, f"{number}.csv", payments(number * 10, number * 10 + 20))
        time.sleep(0.3)
    run.join(120)
    wait_until(lambda: len(list((runs / "intake" / "deliveries").glob("*.parquet"))) == 4)
    os.kill(follower.pid, signal.SIGTERM)
    follower.join(60)
    assert (run.exitcode, follower.exitcode) == (0, 0)
    agrees(count(drop, runs))
    statuses, accepted = run_once(drop, runs)
    followed = pd.read_parquet(runs / "intake" / "transactions")
    assert statuses == {"accepted": 45, "duplicate": 27}
    assert sorted(accepted["transaction_id"]) == sorted(followed["transaction_id"])


def test_two_runs_at_once_with_the_same_keys_and_other_amounts_accept_each_key_once(drop: Path, runs: Path) -> None:
    folders = [drop / name for name in ("one", "two")]
    for folder, cents in zip(folders, (0, 50), strict=True):
        folder.mkdir()
        put(folder, f"{folder.name}.csv", payments(0, 200, cents))
    racing = [SERVER.Process(target=run_repeatedly, args=(folder, runs, 2)) for folder in folders]
    for process in racing:
        process.start()
    for process in racing:
        process.join(120)
    assert [p.exitcode for p in racing] == [0, 0]
    found = [run_once(folder, runs)[0] for folder in folders]
    assert sum(f["accepted"] for f in found) == 180
    assert sum(f.get("conflict", 0) for f in found) == 180
    with open_ledger(f"sqlite:///{runs / 'ledger.sqlite'}", "count") as ledger:
        events = ledger.events()["event_type"].value_counts().to_dict()
        assert events == {"TRANSACTION_SUBMITTED": 180, "TRANSACTION_DEDUPED": 180}


def command(drop: Path, runs: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "atlas_lib.cli", "intake", str(drop), "--runs-dir", str(runs), "--json", *options]


def test_the_command_waits_for_a_file_that_is_being_written_and_ends_when_told_to(drop: Path, runs: Path) -> None:
    text = payments(0, 20).to_csv(index=False)
    options = ("--follow", "--settle-seconds", "1.5", "--poll-seconds", "0.1")
    with subprocess.Popen(command(drop, runs, *options), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        with (drop / "slow.csv").open("w") as file:
            for start_at in range(0, len(text), 300):
                file.write(text[start_at : start_at + 300])
                file.flush()
                time.sleep(0.4)
        line: dict[str, Any] = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert (line["rows_in_count"], line["accepted_count"], line["rejected_count"]) == (20, 18, 2)
    assert count(drop, runs)["deliveries"] == 1


def limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))


def test_without_room_the_command_says_so_and_goes_on_later_where_it_stopped(drop: Path, runs: Path) -> None:
    many = payments(0, 12_000)
    many["reference"] = pd.util.hash_pandas_object(many["reference"]).astype(str)
    put(drop, "many.csv", many)
    once = command(drop, runs, "--settle-seconds", "0")
    full = subprocess.run(once, capture_output=True, text=True, check=False, preexec_fn=limit_files)
    assert full.returncode in (1, 6)
    assert "atlas: " in full.stderr
    assert "Traceback" not in full.stderr
    assert not list((runs / "intake").glob("*/.*"))
    with open_ledger(f"sqlite:///{runs / 'ledger.sqlite'}", "count") as ledger:
        assert ledger.head().entries == 0
    done = subprocess.run(once, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    agrees(count(drop, runs))


def test_a_refused_file_is_the_exit_code_of_a_single_pass(drop: Path, runs: Path) -> None:
    (drop / "broken.xlsx").write_bytes(b"PK\x03\x04 cut off")
    done = subprocess.run(command(drop, runs, "--settle-seconds", "0"), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert json.loads(done.stdout)["status"] == "refused"
