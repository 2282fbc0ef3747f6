"""Which run directory a notebook or a command works in: made new, found again, or a trial of one.

A *trial* is a fork of a run with a setting that a person changed in a notebook: the notebooks after it go on in it, the
dashboard and commands stay with the run, and what it books goes into its own copy of the ledger.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atlas_lib.core import provenance
from atlas_lib.core.errors import InputError, TableError
from atlas_lib.core.given_settings import run_settings, stage_settings
from atlas_lib.core.run import Run, is_view_only
from atlas_lib.core.settings import STAGES, StageSettings, changed_values

_RUNS_DIR = "ATLAS_RUNS_DIR"
_LATEST, _LATEST_TRIAL = "latest", "latest_trial"
LEDGER_STAGE = "02_reserves_credit"  # decides on what the ledger holds, and proves itself against it
_TRIAL = """This is a trial of {} with another setting: it books into its own copy of the ledger, and nothing is paid or
decided in it. The value put back ends it, or a run made by 01_ingest or `atlas run`."""


def runs_dir(root: Path | None = None) -> Path:
    """`reports/runs` of the workbook, or ATLAS_RUNS_DIR."""
    chosen = os.environ.get(_RUNS_DIR)
    return Path(chosen) if chosen else (root or provenance.find_root()) / "reports" / "runs"


def runs_that_are(given: Path | None) -> Path:
    """The runs directory for a command that only reads: one that was named must be there."""
    if given is not None and not given.is_dir():
        raise InputError(
            "The runs directory does not exist", where=str(given), expected="a folder that `atlas run` has written",
            found="a file" if given.exists() else "nothing", remedy="check the path given to --runs-dir",
        )  # fmt: skip
    return given or runs_dir()


def create_run(input_path: Path, settings: Mapping[str, StageSettings], parent: Path | None = None) -> Run:
    """The run directory of these inputs, settings and code: made new, or found as it was left."""
    root = provenance.find_root()
    folder = parent or runs_dir(root)
    inputs = provenance.describe_inputs(input_path)
    plain = {stage: s.model_dump(mode="json") for stage, s in settings.items()}
    code = provenance.code_sha256(root)
    run_id = provenance.make_run_id(inputs, plain, code, settings["01_ingest"].as_of)
    directory = folder / run_id
    if not (directory / "manifest.json").exists():
        manifest = {
            "run_id": run_id,
            "as_of": settings["01_ingest"].as_of.isoformat(),
            "inputs": inputs,
            "settings": plain,
            "versions": provenance.versions(),
            "code": {"sha256": code, "git_commit": provenance.git_commit(root)},
            "previous": _previous(folder),
            "tables": {},
            "stages": {},
        }
        Run.made(directory, manifest)
    (folder / _LATEST).write_text(run_id, encoding="utf-8")
    (folder / _LATEST_TRIAL).unlink(missing_ok=True)
    return Run(directory)


def open_ingest(input_path: str, settings: StageSettings, run_dir: str = "") -> Run:
    """Notebook 01: the run directory given by the runner, or the one that follows from input and settings."""
    if run_dir or is_view_only():
        return open_stage("01_ingest", settings, run_dir)
    everything = run_settings(settings.model_dump(include=set(StageSettings.model_fields))) | {"01_ingest": settings}
    path = Path(input_path)
    run = create_run(path if path.is_absolute() else provenance.find_root() / path, everything)
    return Run(run.directory, "01_ingest")


def open_stage(stage: str, settings: StageSettings, run_dir: str = "") -> Run:
    """The run given, else the latest one; a setting that a person changed opens a trial of it, also one made before.

    A value equal to its default counts as not changed: the run's own value stands. Notebooks after the changed one go on
    in the trial. A dashboard (`ATLAS_VIEW_ONLY`) shows the latest run as it is, whatever the parameters cell says.
    """
    run = Run(Path(run_dir) if run_dir else _trial_since() or latest_run_dir(), stage)
    if is_view_only():
        return run
    run = _as_asked(run, stage, settings.model_dump(mode="json") if run_dir else changed_values(settings))
    if run.is_trial:
        print(_TRIAL.format(run.opened_as))  # noqa: T201  the person at the notebook must know
    return run


def _as_asked(run: Run, stage: str, changed: Mapping[str, Any]) -> Run:
    """The run or trial with these values of the stage: the one that is open, the one before it, or a new trial."""
    before = _before_stage(run, stage)
    wanted = before.manifest["settings"][stage] | changed
    for known in (run, before):
        if wanted == known.manifest["settings"][stage]:
            return _opened(known, stage)
    return _opened(_fork(before, stage, stage_settings(stage, wanted)), stage)


def _before_stage(run: Run, stage: str) -> Run:
    """The last one in which nothing was tried from this stage on: a second value is no trial of the first."""
    order = list(STAGES)
    while run.is_trial and order.index(run.manifest.get("tried_in", order[0])) >= order.index(stage):
        run = Run(run.directory.parent / run.forked_from)
    return run


def _opened(run: Run, stage: str) -> Run:
    pointer = run.directory.parent / _LATEST_TRIAL
    if run.is_trial:
        pointer.write_text(run.run_id, encoding="utf-8")
    else:
        pointer.unlink(missing_ok=True)
    opened = Run(run.directory, stage)
    if stage == LEDGER_STAGE and not opened.is_complete(stage):
        opened.forget_steps()  # it broke off, and another run may have booked since
    return opened


def latest_run_dir() -> Path:
    """The run opened last."""
    latest = latest_run_of(runs_dir())
    if latest is None:
        raise TableError(
            "There is no run yet", where="the runs directory", expected="a run", remedy="run 01_ingest, or `atlas run`"
        )
    return latest


def latest_run_of(folder: Path) -> Path | None:
    """The run opened last in a runs directory, if there is one; never a trial, as earlier versions pointed at."""
    latest = _pointed_at(folder, _LATEST)
    while latest and (latest / "manifest.json").exists() and (run := Run(latest)).is_trial:
        latest = folder / run.opened_as
    return latest


def _trial_since() -> Path | None:
    trial = None if is_view_only() else _pointed_at(runs_dir(), _LATEST_TRIAL)
    return trial if trial and trial.exists() else None  # it may have been removed


def _pointed_at(folder: Path, pointer: str) -> Path | None:
    path = folder / pointer
    return folder / path.read_text(encoding="utf-8").strip() if path.exists() else None


def _fork(run: Run, stage: str, settings: StageSettings) -> Run:
    """A trial: the same run with other settings from this stage on; earlier stages are taken over as they are."""
    order = list(STAGES)
    earlier = order[: order.index(stage)]
    plain = run.manifest["settings"] | {stage: settings.model_dump(mode="json")}
    run_id = provenance.make_trial_id(run.opened_as, plain, settings.as_of)
    directory = run.directory.parent / run_id
    if not (directory / "manifest.json").exists():
        kept = {n: t for n, t in run.manifest["tables"].items() if t["stage"] in earlier}
        (directory / "tables").mkdir(parents=True, exist_ok=True)
        for name in kept:
            shutil.copy2(run.directory / "tables" / f"{name}.parquet", directory / "tables")
        stages = {s: r for s, r in run.manifest["stages"].items() if s in earlier}
        origin = {"forked_from": run.run_id, "opened_as": run.opened_as, "tried_in": stage}
        changed = {"run_id": run_id, "settings": plain, "tables": kept, "stages": stages, **origin}
        return Run.made(directory, run.manifest | changed)
    return Run(directory)


def _previous(folder: Path) -> dict[str, str] | None:
    latest = latest_run_of(folder)
    path = latest / "manifest.json" if latest else None
    if latest is None or path is None or not path.exists():
        return None
    return {"run_id": latest.name, "manifest_sha256": provenance.file_sha256(path)}
