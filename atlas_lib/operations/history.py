"""The runs of a runs directory: how long they took, how much they refused, and whether they kept their promise.

Read from what every run leaves (`manifest.json`, `durations.json`, small tables); nothing is computed again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from atlas_lib.core.run import Run
from atlas_lib.core.settings import STAGES
from atlas_lib.present.summary import failure_of

STATUSES = ("passed", "attention", "failed", "unfinished")
_LEFT = ("durations.json", "summary.json")  # what a run leaves when a stage is done, and when it ends


@dataclass(frozen=True)
class Promise:
    """What was promised to those who wait (service level): a run's minutes, and how old its newest payment may be."""

    run_minutes: float = 30.0
    data_hours: float = 48.0


def finished_runs(runs_dir: Path) -> Iterator[tuple[Run, dict[str, float]]]:
    """Every run with its seconds per stage, oldest first by the moment it last finished a stage or failed.

    One that failed in its first stage has left its summary alone, and no seconds.
    """
    found = {path.parent for name in _LEFT for path in runs_dir.glob(f"*/{name}")}
    for directory in sorted(found, key=lambda p: (ended_ns(p), p.name)):
        path = directory / "durations.json"
        yield Run(directory), json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def ended_ns(directory: Path) -> int:
    """When a run last finished a stage, or failed in its first one. A run that is only shown again writes its summary anew, so its seconds come first."""
    return next(path.stat().st_mtime_ns for name in _LEFT if (path := directory / name).exists())


def run_history(runs_dir: Path, promise: Promise) -> pd.DataFrame:
    """One line per run, newest first.

    Columns: run_id, as_of, finished_at, status (passed, attention, failed, unfinished), seconds (all stages), input_count
    (rows read), rows_per_second = input_count / seconds, rejected_rate = refused / read, is_in_time
    (seconds <= the promised minutes).
    """
    records = [_describe(run, seconds, promise) for run, seconds in finished_runs(runs_dir)]
    columns = "run_id as_of finished_at status seconds input_count rows_per_second rejected_rate is_in_time".split()
    return pd.DataFrame(records[::-1], columns=pd.Index(columns))


def stage_figures(run: Run, durations: dict[str, float]) -> pd.DataFrame:
    """One line per stage of a run: stage, status, seconds, row_count (rows of its tables), rows_per_second."""
    made = pd.DataFrame(list(run.manifest["tables"].values()), columns=["stage", "rows"]).groupby("stage")["rows"].sum()
    frame = pd.DataFrame({"stage": list(STAGES)})
    frame["status"] = [run.manifest["stages"].get(s, {}).get("status", "unfinished") for s in STAGES]
    frame["seconds"] = [float(durations.get(s, 0.0)) for s in STAGES]
    frame["row_count"] = frame["stage"].map(made).fillna(0).astype("int64")
    frame["rows_per_second"] = _ratio(frame["row_count"], frame["seconds"])
    return frame


def status_of(run: Run) -> str:
    """failed: a check or an error stopped it; unfinished: stages are missing; attention: a person should look; else passed."""
    stages = [run.manifest["stages"].get(stage, {}) for stage in STAGES]
    checks = [check for stage in stages for check in stage.get("checks", [])]
    if any(c["is_blocking"] and not c["passed"] for c in checks) or failure_of(run):
        return "failed"
    if not all("verdict" in stage for stage in stages):
        return "unfinished"
    return "attention" if any(stage["status"] == "attention" for stage in stages) else "passed"


def rejected_rates(run: Run) -> pd.Series:
    """Refused / read by table; empty before the first stage has finished."""
    if not run.has("control_totals"):
        return pd.Series([], dtype="float64")
    totals = run.read("control_totals").groupby("table")[["rows_in_count", "rejected_count"]].sum()
    return _ratio(totals["rejected_count"], totals["rows_in_count"])


def _describe(run: Run, durations: dict[str, float], promise: Promise) -> dict[str, Any]:
    seconds, rows = sum(durations.values()), sum(item.get("rows", 0) for item in run.manifest["inputs"])
    totals = run.read("control_totals") if run.has("control_totals") else pd.DataFrame(columns=["rows_in_count", "rejected_count"])  # fmt: skip
    read = int(totals["rows_in_count"].sum())
    return {
        "run_id": run.run_id,
        "as_of": run.manifest["as_of"],
        "finished_at": pd.Timestamp(ended_ns(run.directory), unit="ns", tz="UTC").floor("s"),
        "status": status_of(run),
        "seconds": round(seconds, 1),
        "input_count": rows,
        "rows_per_second": round(rows / seconds) if seconds else 0,
        "rejected_rate": int(totals["rejected_count"].sum()) / read if read else 0.0,
        "is_in_time": seconds <= promise.run_minutes * 60,
    }


def _ratio(top: pd.Series, bottom: pd.Series) -> pd.Series:
    return (top / bottom.where(bottom > 0)).fillna(0.0).astype("float64")
