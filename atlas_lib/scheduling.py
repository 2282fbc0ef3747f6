"""What a scheduler needs around a run: one at a time per input, a command when it fails, and no old runs for ever."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from atlas_lib.core.errors import Refused, SettingsError
from atlas_lib.core.opening import LEDGER_STAGE, latest_run_of
from atlas_lib.core.run import Run

_HOOK_SECONDS = 60
_LOCKS, _TURN_SECONDS = ".locks", 3600


@contextmanager
def only_run_of(runs_dir: Path, manifest: Mapping[str, Any]) -> Iterator[None]:
    """Refused while another process runs the same inputs in this runs directory, whatever its settings.

    The lock is the operating system's: a process that dies lets go of it.
    """
    import filelock

    names = "\n".join(f"{i['path']} {i['sha256']}" for i in manifest["inputs"])
    folder = runs_dir / _LOCKS
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / f"{hashlib.sha256(names.encode()).hexdigest()[:16]}.lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise Refused(
            "These inputs are being run by another process",
            where=str(manifest["run_id"]),
            remedy="wait for it, or stop it",
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def turn_at_the_ledger(runs_dir: Path, stage: str) -> Iterator[None]:
    """Reserves are decided on what the ledger holds and proven against it a moment later: runs of one runs directory
    take turns at that stage. A process that dies lets go.
    """
    import filelock

    if stage != LEDGER_STAGE:
        yield
        return
    folder = runs_dir / _LOCKS
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / "ledger.lock", timeout=_TURN_SECONDS):
            yield
    except filelock.Timeout as error:
        raise Refused(
            f"Another run is at {stage}", where=str(runs_dir), remedy="run again when it is through, or stop it"
        ) from error


def tell_failure(command: str, error: str, exit_code: int, summary: Path | None) -> None:
    """Run the user's command: what failed comes on standard input and in the environment, no shell in between.

    `summary`: the summary text of the run, when it got as far as that; it is added to the input.
    Variables: ATLAS_ERROR, ATLAS_EXIT_CODE, ATLAS_SUMMARY (path, or empty).
    Raises SettingsError when the command cannot be started, fails, or takes longer than a minute.
    """
    text = f"Subject: Settlement run FAILED\n\n{error}\n"
    if summary is not None and summary.exists():
        text = summary.read_text(encoding="utf-8")
    told = {"ATLAS_ERROR": error, "ATLAS_EXIT_CODE": str(exit_code), "ATLAS_SUMMARY": str(summary or "")}
    try:
        subprocess.run(
            shlex.split(command), input=text, text=True, env=os.environ | told, check=True, timeout=_HOOK_SECONDS
        )
    except (OSError, ValueError, subprocess.SubprocessError) as failed:
        raise SettingsError(
            "The command for failed runs did not work", where=command, found=str(failed), expected="exit code 0",
            remedy=f"try it by hand; the run itself failed with: {error}",
        ) from failed  # fmt: skip


def list_runs(runs_dir: Path) -> list[Path]:
    """Run directories, the one finished last first."""
    manifests = sorted(runs_dir.glob("*/manifest.json"), key=lambda p: (-p.stat().st_mtime_ns, p.parent.name))
    return [p.parent for p in manifests]


def prune_runs(runs_dir: Path, keep: int, *, is_dry_run: bool = False) -> list[Path]:
    """Remove all but the `keep` newest runs, and say which; never the latest one, the ledger, intake or payment files.

    A trial goes with the run that it was made from. `is_dry_run` only says which would go.
    """
    if keep < 1:
        raise SettingsError("At least one run must stay", expected="--keep 1 or more", found=str(keep))
    latest = latest_run_of(runs_dir)
    found = [Run(path) for path in list_runs(runs_dir)]
    runs = [run.directory for run in found if not run.is_trial]
    kept = {path.name for path in runs if path in runs[:keep] or path == latest}
    old = [run.directory for run in found if run.opened_as not in kept]
    for path in [] if is_dry_run else old:
        shutil.rmtree(path)
    return old
