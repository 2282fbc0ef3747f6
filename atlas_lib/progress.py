"""How the command line shows a run: a bar per stage, cells inside it, rows per second when it is done."""

from __future__ import annotations

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
