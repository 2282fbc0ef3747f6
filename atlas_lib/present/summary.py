"""What a scheduler sends on after a run: the verdicts and key figures as e-mail text and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from atlas_lib.core.run import Run
from atlas_lib.present.report import describe_run, describe_stages


def write_summary(run: Run, failure: str = "") -> tuple[Path, Path]:
    """Write `summary.txt` and `summary.json` beside the manifest; the same run gives the same bytes."""
    facts = summarise_run(run, failure)
    text, data = run.directory / "summary.txt", run.directory / "summary.json"
    text.write_text(summary_as_mail(facts), encoding="utf-8")
    data.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return text, data


def failure_of(run: Run) -> str:
    """Why the run stopped, as its summary says; empty for one that did not."""
    path = run.directory / "summary.json"
    facts = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return str(facts["verdict"]) if facts.get("status") == "failed" else ""


def summarise_run(run: Run, failure: str = "") -> dict[str, Any]:
    """run_id, as_of, status (passed, attention, incomplete or failed), verdict, and per notebook verdict and figures."""
    tone, verdict = describe_run(run, failure)
    stages = [
        {
            "name": s["name"], "title": s["title"], "status": s["status"], "verdict": s["verdict"],
            "figures": {f["label"]: f["value"] for f in s["figures"] or []},
            "failed_checks": [c["check"] for c in s["checks"] or [] if c["passed"] is False],
        }
        for s in describe_stages(run, failure)
    ]  # fmt: skip
    status = {"good": "passed", "attention": "attention", "bad": "failed", "neutral": "incomplete"}[tone]
    return {
        "run_id": run.run_id,
        "as_of": run.manifest["as_of"],
        "status": status,
        "verdict": verdict,
        "stages": stages,
    }


def summary_as_mail(facts: dict[str, Any]) -> str:
    """A subject line, the verdict, then each notebook with its figures; plain text, 78 characters wide where it can."""
    words = {"passed": "passed", "attention": "needs attention", "failed": "FAILED", "incomplete": "incomplete"}
    lines = [f"Subject: Settlement run of {facts['as_of']}: {words[facts['status']]}", "", facts["verdict"], ""]
    for stage in facts["stages"]:
        lines += [f"{stage['title']} ({stage['status']})", f"  {stage['verdict']}"]
        lines += [f"  {label + ':':34} {value}" for label, value in stage["figures"].items()]
        lines += [f"  Check failed: {check}" for check in stage["failed_checks"]] + [""]
    return "\n".join([*lines, f"Run {facts['run_id']}", ""])
