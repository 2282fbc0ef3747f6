"""How the runs are doing, as HTML: store and commit service now, the latest runs, and the stages of the chosen one."""

from __future__ import annotations

import json

import pandas as pd

from atlas_lib.dashboard.access import require_office
from atlas_lib.dashboard.frame import View, render_page
from atlas_lib.operations.health import check_health
from atlas_lib.operations.history import Promise, run_history, stage_figures
from atlas_lib.present.tables import show_table

_RUNS = 20


def operations_page(view: View) -> str:
    """Health as it is at this moment; runs and stages from what they left."""
    require_office(view.actor)
    folder = view.run.directory.parent
    runs = run_history(folder, Promise()).head(_RUNS)
    shown = runs.assign(sla=runs["is_in_time"].map({True: "in time", False: "late"}))
    labels = {"input_count": "Rows read", "sla": "Promise"}
    columns = "run_id as_of finished_at status seconds input_count rows_per_second rejected_rate sla".split()
    history = show_table(
        shown,
        columns,
        labels=labels,
        links={"run_id": lambda row: view.addresses.to("", run=str(row["run_id"]))},
        empty="No run has finished a stage.",
    )
    written = view.run.directory / "durations.json"
    stages = stage_figures(view.run, json.loads(written.read_text(encoding="utf-8")) if written.exists() else {})
    return render_page(
        view, "operations.html.j2", "Operations", current="operations", health=show_table(_health(view), empty="No ledger was ever written here.").html,
        history=history.html, stages=show_table(stages).html,
    )  # fmt: skip


def _health(view: View) -> pd.DataFrame:
    """One row per part, in words."""
    latest = type(view.run)(view.run.directory.parent / view.runs[0])
    parts = check_health(view.run.directory.parent, latest)
    return pd.DataFrame(
        [
            {
                "part": p.part, "kind": p.kind, "status": "ok" if p.is_up else "failed",
                "answered_in": "" if p.seconds is None else f"{p.seconds * 1000:,.0f} ms", "last_at": p.last_at, "detail": p.detail,
            }
            for p in parts
        ]
    )  # fmt: skip
