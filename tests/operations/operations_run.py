"""A small run with the tables that operations read, written by the library's own hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from atlas_lib.core.given_settings import run_settings
from atlas_lib.core.opening import create_run
from atlas_lib.core.run import Run
from atlas_lib.core.settings import STAGES
from atlas_lib.core.tables import declared

NEWEST = pd.Timestamp("2026-10-29T12:00:00Z")
SECONDS = dict(zip(STAGES, [10.0, 4.0, 3.0, 2.0, 1.0], strict=True))


def make_run(runs_dir: Path, as_of: str) -> Run:
    """A finished run of one payment file."""
    source = runs_dir.parent / "payments.csv"
    source.write_text("id\n1\n")
    run = create_run(source, run_settings({"as_of": as_of}), runs_dir)
    tables = {
        "control_totals": [{"table": "transactions", "currency": "EUR", "rows_in_count": 10, "clean_count": 8, "rejected_count": 2}],
        "settlement_results": [{"transaction_id": f"T{n}", "batch_id": f"B{n % 2}", "status": "settled" if n else "failed", "currency": "EUR"} for n in range(5)],
        "cost_comparison": [
            {"plan_no": 1, "plan": "gross", "wire_cost_minor": 10_000, "total_cost_minor": 10_000, "currency": "EUR"},
            {"plan_no": 2, "plan": "optimised", "wire_cost_minor": 900, "fx_cost_minor": 100, "total_cost_minor": 1_000, "currency": "EUR"},
        ],
        "breaks": [{"break_id": "B1", "break_type": "DUPLICATE", "severity": "high", "is_open": True}],
        "transactions": [{"transaction_id": "T1", "created_at": NEWEST}],
    }  # fmt: skip
    for name, rows in tables.items():
        run.write(name, filled(name, rows))
    stages = {s: {"steps": {}, "verdict": "done", "status": "passed", "checks": []} for s in STAGES}
    run.manifest["stages"] = stages | {"05_reconciliation": stages["05_reconciliation"] | {"status": "attention"}}
    run.record_rows({"payments.csv": 10})
    (run.directory / "durations.json").write_text(json.dumps(SECONDS))
    return run


def filled(name: str, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The rows with every other column of the table at rest: 0, no, the first of the year, empty."""
    rest = {"int": 0, "float": 0.0, "bool": False, "date": pd.Timestamp("2026-01-01"), "instant": NEWEST, "string": ""}
    columns = {c.name: rest[c.type] for c in declared(name).columns}
    return declared(name).shaped(pd.DataFrame([columns | row for row in rows]))
