"""How the command line shows work: a bar per stage of a run, a line per delivery of the intake."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any


class StageBars:
    """One line per stage on standard error; quiet for schedulers."""

    def __init__(self, quiet: bool = False) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description:24}"),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[note]:34}"),
            TimeElapsedColumn(),
        )
        self._bars = Progress(*columns, console=Console(stderr=True), disable=quiet)
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> StageBars:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def started(self, stage: str, cells: int) -> None:
        self._tasks[stage] = self._bars.add_task(stage, total=cells, note="starting")

    def advanced(self, stage: str, cells_done: int) -> None:
        self._bars.update(self._tasks[stage], completed=cells_done, note=f"cell {cells_done}")

    def finished(self, stage: str, seconds: float, rows: int) -> None:
        task = self._tasks[stage]
        total = next(t.total for t in self._bars.tasks if t.id == task)
        self._bars.update(task, completed=total, note=f"{rows:,} rows, {rows / max(seconds, 1e-9):,.0f} rows/s")
        self._bars.stop_task(task)

    def resumed(self, stage: str) -> None:
        self._tasks[stage] = self._bars.add_task(stage, total=1, completed=1, note="done before, loaded")
        self._bars.stop_task(self._tasks[stage])


class DeliveryLines:
    """One line per delivery on standard output: for people, or as JSON for log collectors; `count` lines so far."""

    def __init__(self, quiet: bool = False, is_json: bool = False) -> None:
        self._quiet, self._is_json = quiet, is_json
        self.count = 0

    def __call__(self, record: Mapping[str, Any]) -> None:
        self.count += 1
        if not self._quiet:
            sys.stdout.write((_as_json(record) if self._is_json else _as_text(record)) + "\n")
            sys.stdout.flush()


def _as_json(record: Mapping[str, Any]) -> str:
    instants = {k: v.isoformat() for k, v in record.items() if hasattr(v, "isoformat")}
    rounded = {k: round(v, 3) for k, v in record.items() if isinstance(v, float)}
    return json.dumps({**record, **instants, **rounded}, ensure_ascii=False)


def _as_text(record: Mapping[str, Any]) -> str:
    place = ", partition ".join(filter(None, (record["source_file"], record["source_sheet"])))
    if record["status"] == "refused":
        return f"{place}: refused. {record['reason']}"
    if record["status"] == "waiting":
        return f"{place}: waiting, it is tried again. {record['reason']}"
    if record["status"] == "unread":
        return f"{place}: cannot be read now, it stays for another time. {record['reason']}"
    names = ("again", "duplicate", "conflict", "rejected", "findings")
    counts = {name: record[f"{name}_count"] for name in names if record[f"{name}_count"]}
    shown = "".join(f", {count:,} {name}" for name, count in counts.items())
    other = f", {record['other_count']:,} rows of other tables" if record["other_count"] else ""
    timing = f"{record['seconds']:.1f} s, delay {record['delay_seconds']:.1f} s"
    back = f"; to correct: {record['rejects_workbook']}" if record["rejects_workbook"] else ""
    return f"{place}: {record['rows_in_count']:,} rows: {record['accepted_count']:,} accepted{shown}{other}; {timing}{back}"
