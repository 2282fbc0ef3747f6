"""The chain: five notebooks through papermill into one run directory, with HTML reports.

Each notebook runs in a kernel of its own. While one works, the next kernel starts and imports what
it will need, so that the chain does not wait for kernels.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from atlas_lib.core import errors, provenance
from atlas_lib.core.opening import create_run
from atlas_lib.core.run import Run
from atlas_lib.core.settings import STAGES, StageSettings
from atlas_lib.present import report
from atlas_lib.present.summary import write_summary
from atlas_lib.scheduling import only_run_of, turn_at_the_ledger

WARM_IMPORTS = (
    "import atlas_lib.core.run, atlas_lib.core.engine, atlas_lib.present.tables, atlas_lib.ledger.store, "
    "pyarrow.parquet, duckdb, pandera.pandas, ipywidgets, xlsxwriter"
)
_RUNS_DIR = "ATLAS_RUNS_DIR"


class Progress(Protocol):
    """Told how far the chain is; shows it or keeps quiet."""

    def started(self, stage: str, cells: int) -> None: ...
    def advanced(self, stage: str, cells_done: int) -> None: ...
    def finished(self, stage: str, seconds: float, rows: int) -> None: ...
    def resumed(self, stage: str) -> None: ...


def run_workbook(input_path: Path, settings: Mapping[str, StageSettings], runs_dir: Path, progress: Progress) -> Run:
    """Run every stage that is not complete yet and write the reports; the index is written even when one stops."""
    run = create_run(input_path, settings, runs_dir)
    with only_run_of(runs_dir, run.manifest):
        return _run_stages(run, input_path, progress)


def render_reports(run: Run) -> Path:
    """Make the HTML pages of a run again from its executed notebooks."""
    for stage in STAGES:
        notebook = run.directory / "notebooks" / f"{stage}.ipynb"
        if notebook.exists():
            report.write_stage_page(run, stage, notebook)
    write_summary(run)
    return report.write_index(run)


def _run_stages(run: Run, input_path: Path, progress: Progress) -> Run:
    kernels = _Kernels(run.directory.parent, sum(not _is_done(run, stage) for stage in STAGES))
    durations = _read_durations(run)
    try:
        for stage in STAGES:
            if _is_done(run, stage):
                progress.resumed(stage)
                continue
            started = time.perf_counter()
            with turn_at_the_ledger(run.directory.parent, stage):
                _execute(run, stage, input_path, kernels, progress)
            run = Run(run.directory)
            anchor_ledger(run)
            report.write_stage_page(run, stage, run.directory / "notebooks" / f"{stage}.ipynb")
            durations[stage] = round(time.perf_counter() - started, 3)
            (run.directory / "durations.json").write_text(json.dumps(durations, indent=1) + "\n", encoding="utf-8")
            progress.finished(stage, durations[stage], _rows_made(run, stage))
    except errors.AtlasError as error:
        broken = Run(run.directory)
        write_summary(broken, failure=str(error))
        report.write_index(broken, failure=str(error))
        raise
    finally:
        kernels.close()
    write_summary(run)
    report.write_index(run)
    return run


def anchor_ledger(run: Run) -> None:
    """The head of the ledger into the manifest: kept there, it makes a cut or rewritten ledger visible."""
    from atlas_lib.ledger.run_ledger import open_run_ledger

    with open_run_ledger(run, writer="anchor") as ledger:
        run.anchor(asdict(ledger.head()))


def _is_done(run: Run, stage: str) -> bool:
    return run.is_complete(stage) and (run.directory / "html" / f"{stage}.html").exists()


def _execute(run: Run, stage: str, input_path: Path, kernels: _Kernels, progress: Progress) -> None:
    import papermill

    root = provenance.find_root()
    parameters: dict[str, Any] = {"run_dir": str(run.directory.resolve()), **run.manifest["settings"][stage]}
    if stage == "01_ingest":
        parameters["input_path"] = str(input_path.resolve())
    output = run.directory / "notebooks" / f"{stage}.ipynb"
    output.parent.mkdir(exist_ok=True)
    engine = _engine(stage, kernels, progress)
    try:
        papermill.execute_notebook(
            root / "notebooks" / f"{stage}.ipynb", output, parameters, engine_name=engine, cwd=root,
            progress_bar=False, log_output=False, kernel_name="python3",
        )  # fmt: skip
    except papermill.PapermillExecutionError as error:
        raise _stage_error(stage, error.ename, error.evalue) from error


def _stage_error(stage: str, name: str, message: str) -> errors.AtlasError:
    """An error of ours keeps its exit code; anything else is named as it is."""
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, errors.AtlasError):
        error = kind(message)
        error.args = (message if stage in message else f"{stage}: {message}",)
        return error
    return errors.AtlasError(
        f"{stage} failed", found=f"{name}: {message}", remedy="open its notebook in the run directory"
    )


def _engine(stage: str, kernels: _Kernels, progress: Progress) -> str:
    """Register a papermill engine that takes a kernel already warm and reports each cell."""
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import Engine, papermill_engines

    class WarmEngine(Engine):  # type: ignore[misc]
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> None:
            progress.started(stage, len(nb_man.nb.cells))
            _report_cells(nb_man, lambda done: progress.advanced(stage, done))
            manager = kernels.take()
            allowed = {k: options[k] for k in ("log_output", "resources") if k in options}
            client = PapermillNotebookClient(
                nb_man, km=manager, kernel_name=kernel_name, store_widget_state=False, timeout=None, **allowed
            )
            try:
                client.execute()
            finally:
                manager.shutdown_kernel(now=True)

    papermill_engines.register("atlas", WarmEngine)
    return "atlas"


def _report_cells(nb_man: Any, report_done: Callable[[int], None]) -> None:
    complete = nb_man.cell_complete

    def counted(cell: Any, cell_index: int | None = None, **options: Any) -> None:
        complete(cell, cell_index, **options)
        report_done((cell_index or 0) + 1)

    nb_man.cell_complete = counted


class _Kernels:
    """Kernels started ahead of their use; at most one waits, importing."""

    def __init__(self, runs_dir: Path, count: int) -> None:
        # A kernel is killed when its notebook is through: what it put aside is removed here.
        self._aside = tempfile.TemporaryDirectory(prefix="atlas-", ignore_cleanup_errors=True)
        self._environment = os.environ | {_RUNS_DIR: str(runs_dir.resolve()), "TMPDIR": self._aside.name}
        self._left = count
        self._waiting = self._start() if count else None

    def take(self) -> Any:
        """The waiting kernel, while the next one starts."""
        manager, client = self._waiting or self._start()
        self._left -= 1
        self._waiting = self._start() if self._left > 0 else None
        client.stop_channels()
        manager.client_class = "jupyter_client.asynchronous.AsyncKernelClient"
        return manager

    def close(self) -> None:
        if self._waiting is not None:
            manager, client = self._waiting
            client.stop_channels()
            manager.shutdown_kernel(now=True)
            self._waiting = None
        self._aside.cleanup()

    def _start(self) -> tuple[Any, Any]:
        """The client stays open until the kernel is taken: closed at once, its request would be lost."""
        from jupyter_client.manager import KernelManager

        manager = KernelManager(kernel_name="python3", transport_encryption="auto")
        manager.start_kernel(cwd=str(provenance.find_root()), env=self._environment)
        client = manager.client()
        client.start_channels(iopub=False, stdin=False, hb=False, control=False)
        client.execute(WARM_IMPORTS, silent=True, store_history=False)
        return manager, client


def _rows_made(run: Run, stage: str) -> int:
    return sum(t["rows"] for t in run.manifest["tables"].values() if t["stage"] == stage)


def _read_durations(run: Run) -> dict[str, float]:
    path = run.directory / "durations.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
