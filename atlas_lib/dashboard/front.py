"""What the front page says: what changed since the run before, and what needs a person today."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pandas as pd

from atlas_lib.core.run import Run
from atlas_lib.present.report import describe_stages
from atlas_lib.present.summary import failure_of
from atlas_lib.reserves_credit.roles import PERMISSIONS

_AMOUNT = re.compile(r"(-?[\d,]+(?:\.\d+)?)( ?(?:%|[A-Z]{3}|days))?")


@dataclass(frozen=True)
class Task:
    """One thing to do: how many, in words, where, how urgent, and which roles it is for."""

    count: int
    text: str
    page: str
    tone: str
    roles: str = ""


def stages_with_change(run: Run, before: Run | None) -> list[dict[str, Any]]:
    """The notebooks' verdicts and figures, each figure with `change` against the run before where it can be told."""
    old = {} if before is None else {s["name"]: s for s in describe_stages(before)}
    out = []
    for stage in describe_stages(run, failure_of(run)):
        was = {f["label"]: f["value"] for f in (old.get(stage["name"], {}).get("figures") or [])}
        figures = [{**f, "change": change_of(f["value"], was.get(f["label"]))} for f in stage["figures"] or []]
        out.append({**stage, "figures": figures})
    return out


def change_of(now: str, was: str | None) -> str:
    """`+12.50 EUR` between two figures of one unit, `unchanged`, `was ...` where they cannot be subtracted, or nothing."""
    if was is None:
        return ""
    if now == was:
        return "unchanged"
    new, old = (_AMOUNT.fullmatch(text) for text in (now, was))
    if new is None or old is None or new[2] != old[2]:
        return f"was {was}"
    step = Decimal(new[1].replace(",", "")) - Decimal(old[1].replace(",", ""))
    return f"{step:+,}{new[2] or ''}"


def tasks_of(
    run: Run, payouts: pd.DataFrame, orders: pd.DataFrame, open_alerts: int = 0, open_moves: int = 0
) -> list[Task]:
    """What needs a person, the most urgent first; payouts, payment files, alerts and moved contracts as they stand now."""
    found = [
        _task(_with(orders, "status", "Prepared"), "payment file{s} to approve", "desk", "attention", "approve"),
        _task(_with(orders, "status", "Approved"), "approved payment file{s} to hand to the bank", "desk", "attention", "request"),
        _task(_with(payouts, "status", "Ready"), "payout{s} ready to be prepared", "desk", "neutral", "prepare"),
        _task(_with(payouts, "status", "Blocked"), "payout{s} blocked by a gate or a person", "desk", "attention", "unblock"),
        _task(open_moves, "contract{s} that moved to another merchant, to decide", "desk", "attention", "decide_move"),
        _task(open_alerts, "fraud alert{s} to judge", "fraud?state=open", "bad", "judge_fraud"),
        *_listed(run, "alerts", {"severity": "high"}, "high alert{s}", "bad"),
        *_listed(run, "exposures", {"level": "breach"}, "limit breach{es}", "bad"),
        *_listed(run, "breaks", {"severity": "high", "is_open": True}, "open break{s} of high severity", "bad"),
        *_listed(run, "breaks", {"severity": "medium", "is_open": True}, "open break{s} of medium severity", "attention"),
        *_listed(run, "screening_findings", {"severity": "high"}, "high screening finding{s}", "bad"),
        *_listed(run, "suggestions", {}, "suggested match{es} to decide", "attention"),
        *_listed(run, "rejects", {}, "row{s} or cell{s} to correct and send back", "neutral"),
        *_failed_checks(run),
    ]  # fmt: skip
    urgency = {"bad": 0, "attention": 1, "neutral": 2}
    return sorted((t for t in found if t.count), key=lambda t: urgency[t.tone])


def _with(frame: pd.DataFrame, column: str, value: str) -> int:
    return int((frame[column] == value).sum()) if column in frame else 0


def _task(count: int, text: str, page: str, tone: str, action: str = "") -> Task:
    roles = ", ".join(r.replace("_", " ") for r in PERMISSIONS[action][1]) if action else ""
    return Task(count, _counted(count, text), page, tone, roles)


def _counted(count: int, text: str) -> str:
    return text.replace("{s}", "" if count == 1 else "s").replace("{es}", "" if count == 1 else "es")


def _listed(run: Run, table: str, wanted: Mapping[str, object], text: str, tone: str) -> list[Task]:
    """How many rows of a table are so, with a link to exactly these."""
    if not run.has(table):
        return []
    import pyarrow.parquet as pq

    rows = pq.read_table(
        run.path(table), filters=[(k, "=", v) for k, v in wanted.items()] or None, partitioning=None
    ).num_rows
    stage = run.manifest["tables"][table]["stage"]
    filters = "&".join(f"{table}.{k}={str(v).lower()}" for k, v in wanted.items())
    return [Task(rows, _counted(rows, text), f"page/{stage}?{filters}#{table}", tone)]


def _failed_checks(run: Run) -> Sequence[Task]:
    return [
        Task(1, f"failed check: {check['check']}", f"page/{stage}", "bad" if check["is_blocking"] else "attention")
        for stage, record in run.manifest["stages"].items() for check in record.get("checks", [])
        if check["passed"] is False  # empty: this input gives nothing to evaluate
    ]  # fmt: skip
