"""The run directory: all that crosses between notebooks.

```
<runs_dir>/<run_id>/manifest.json     what it was made from, what it holds; same run, same bytes
                    durations.json    how long the stages took
                    tables/<name>.parquet   index/date=.../   notebooks/   html/   exports/
                    ledger.sqlite         a trial's own copy of the ledger
<runs_dir>/latest                     the id of the run opened last
<runs_dir>/latest_trial               the id of the trial opened since, if there is one
<runs_dir>/ledger.sqlite              the ledger store, unless ATLAS_LEDGER_URL names another
```
A step that is already recorded is loaded, not run again; so a broken run resumes where it broke, and
opening a notebook repeats nothing. Only the stage that decides on what the ledger holds begins anew when it broke off
(`opening.LEDGER_STAGE`): another run may have booked since.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow.parquet as pq

from atlas_lib.core import provenance, signature
from atlas_lib.core.bulk import StepTables, check_file
from atlas_lib.core.engine import Output
from atlas_lib.core.errors import CheckFailed, InputError, TableError
from atlas_lib.core.given_settings import stage_settings
from atlas_lib.core.parquet import write_parquet
from atlas_lib.core.tables import Table, declared

_LEDGER_URL = "ATLAS_LEDGER_URL"
_VIEW_ONLY = "ATLAS_VIEW_ONLY"
_INSIDE = {"rail": "simulated", "commit_service": "local"}
_LEDGER_FILE = "ledger.sqlite"


@dataclass(frozen=True)
class StageSummary:
    """What a stage says of itself on the index page.

    `status`: passed (nothing to do), attention (a person should look), skipped (its input is missing).
    `figures`: columns label, value (formatted text), at most six rows.
    """

    verdict: str
    status: Literal["passed", "attention", "skipped"]
    figures: pd.DataFrame


class Run:
    """One run directory, opened for one stage."""

    def __init__(self, directory: Path, stage: str = "") -> None:
        self.directory, self.stage = directory, stage
        self.manifest: dict[str, Any] = _read_manifest(directory)

    @classmethod
    def made(cls, directory: Path, manifest: Mapping[str, Any]) -> Run:
        """A new run directory with this manifest."""
        directory.mkdir(parents=True, exist_ok=True)
        _write_json(directory / "manifest.json", signature.signed(manifest))
        return cls(directory)

    @property
    def run_id(self) -> str:
        return str(self.manifest["run_id"])

    @property
    def is_trial(self) -> bool:
        """Whether a person made it by trying another setting in a notebook."""
        return bool(self.forked_from)

    @property
    def opened_as(self) -> str:
        """The run that was opened: a trial goes on under the one it came from."""
        return str(self.manifest.get("opened_as", self.forked_from or self.run_id))

    @property
    def forked_from(self) -> str:
        """The run or trial that a trial was made from; empty for a run."""
        return str(self.manifest.get("forked_from", ""))

    @property
    def ledger_url(self) -> str:
        """Its ledger: the store of the runs directory; for a trial the copy of it (open it by `open_run_ledger`)."""
        return f"sqlite:///{self.ledger_copy}" if self.is_trial else ledger_url(self.directory.parent)

    @property
    def ledger_copy(self) -> Path:
        """Where a trial has its copy of the ledger."""
        return self.directory / _LEDGER_FILE

    @property
    def settings(self) -> Any:
        """The settings that hold for the opened stage (its own model in core/settings); a trial reaches no bank and no cluster."""
        held = stage_settings(self.stage, self.manifest["settings"][self.stage])
        inside = {name: value for name, value in _INSIDE.items() if self.is_trial and name in type(held).model_fields}
        return held.model_copy(update=inside)

    def has(self, name: str) -> bool:
        return name in self.manifest["tables"]

    def read(self, name: str) -> pd.DataFrame:
        """A table of the run; a missing one says which notebook makes it."""
        table = declared(name)
        if not self.has(name):
            raise TableError(
                f"Table {name} is not in this run",
                where=self.run_id,
                expected=f"made by {table.stage}",
                remedy=f"run {table.stage} first",
            )
        return table.from_arrow(pq.read_table(self._path(table), partitioning=None))

    def path(self, name: str) -> Path:
        """Where the table's Parquet file lies, for set-based work that need not load it."""
        return self._path(declared(name))

    def step(self, function: Callable[..., Mapping[str, Output]], *args: Any, **kwargs: Any) -> StepTables:
        """Run a stage function once: its tables are validated, written and recorded, later loaded."""
        record = self._stage_record()
        name = function.__name__
        if name not in record["steps"]:
            self._refuse_when_view_only(name)
            tables = function(*args, **kwargs)
            for table_name, frame in tables.items():
                self.write(table_name, frame)
            record["steps"][name] = sorted(tables)
            self.save()
        return StepTables({table: self.path(table) for table in record["steps"][name]}, self.read)

    def forget_steps(self) -> None:
        """The steps of the opened stage are done once more."""
        if self._stage_record()["steps"]:
            self._stage_record()["steps"] = {}
            self.save()

    def write(self, name: str, content: Output) -> None:
        """Validate against the declaration and write; half a file never stands under the final name.

        `content` is a frame, or the Parquet file of a table that need not be loaded.
        """
        table = declared(name)
        path = self._path(table)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        if isinstance(content, Path):
            facts = check_file(table, content)
            shutil.move(content, partial)
        else:
            checked = table.checked(content)
            facts = {"rows": len(checked), "control_totals": _control_totals(table, checked)}
            write_parquet(partial, table.arrow_schema, table.to_arrow(checked).to_batches())
        partial.replace(path)
        self.manifest["tables"][name] = {"stage": table.stage, **facts, "sha256": provenance.file_sha256(path)}

    def check(self, checks: pd.DataFrame, downloads: Mapping[str, Path] | None = None) -> pd.DataFrame:
        """Record checks (columns check, passed, is_blocking, detail); a failed blocking one stops the run.

        `downloads`: files that help to put it right (title to path); the overview offers them when it stops.
        """
        records = checks[["check", "passed", "is_blocking", "detail"]].to_dict("records")
        self._stage_record().update(checks=records, downloads=self._relative(downloads or {}))
        self.save()
        failed = [r for r in records if r["is_blocking"] and not r["passed"]]
        if failed:
            raise CheckFailed(
                f"{self.stage} stopped: {failed[0]['check']}", where=self.run_id, found=str(failed[0]["detail"]),
                remedy="correct the input, or change the limit in the settings",
            )  # fmt: skip
        return checks

    def conclude(self, summary: StageSummary, downloads: Mapping[str, Path] | None = None) -> StageSummary:
        """Close the stage: its verdict, status and key figures, and the files made (title to path)."""
        if is_view_only():
            return summary
        record = self._stage_record()
        record["verdict"], record["status"] = summary.verdict, summary.status
        record["figures"] = summary.figures[["label", "value"]].astype(str).to_dict("records")
        record["downloads"] = self._relative(downloads or {})
        self.save()
        return summary

    def _relative(self, files: Mapping[str, Path]) -> dict[str, str]:
        """Paths as the manifest holds them; a dashboard's passing files are in no manifest."""
        return {} if is_view_only() else {k: p.relative_to(self.directory).as_posix() for k, p in files.items()}

    def export_path(self, file_name: str) -> Path:
        """Where a file for people goes, under `exports/`."""
        return self.folder("exports") / file_name

    def folder(self, name: str) -> Path:
        """A folder of the run to write into; a dashboard, which changes nothing, gets a passing one."""
        path = (Path(_passing().name) / self.run_id if is_view_only() else self.directory) / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def record_rows(self, rows_by_file: Mapping[str, int]) -> None:
        """How many data rows each input file gave (the manifest's inputs)."""
        for item in self.manifest["inputs"]:
            item["rows"] = int(rows_by_file.get(item["path"], 0))
        self.save()

    def is_complete(self, stage: str) -> bool:
        return "verdict" in self.manifest["stages"].get(stage, {})

    def verify(self) -> None:
        """Recompute the hash of every table; the first one that differs is named."""
        for name, item in self.manifest["tables"].items():
            path = self.path(name)
            found = provenance.file_sha256(path) if path.exists() else "no file"
            if found != item["sha256"]:
                raise TableError(
                    f"Table {name} is not as it was written", where=self.run_id, expected=item["sha256"], found=found
                )

    def anchor(self, head: Mapping[str, Any]) -> None:
        """Keep the end of the ledger's chain (ledger_id, block_no, block_hash, entries) outside the ledger."""
        if not is_view_only():
            self.manifest["ledger"] = dict(head)
            self.save()

    def save(self) -> None:
        """Write the manifest, signed when there is a key (signature.py)."""
        if is_view_only():
            return
        self.manifest = signature.signed(self.manifest)
        _write_json(self.directory / "manifest.json", self.manifest)

    def _refuse_when_view_only(self, step: str) -> None:
        if is_view_only():
            raise TableError(
                f"{self.stage} has not finished in this run",
                where=self.run_id,
                found=f"no {step}",
                remedy="run `atlas run`",
            )

    def _stage_record(self) -> dict[str, Any]:
        record: dict[str, Any] = self.manifest["stages"].setdefault(self.stage, {})
        record.setdefault("steps", {})
        return record

    def _path(self, table: Table) -> Path:
        return self.directory / "tables" / f"{table.name}.parquet"


def ledger_url(folder: Path) -> str:
    """The ledger store of a runs directory: the file in it, or ATLAS_LEDGER_URL."""
    return os.environ.get(_LEDGER_URL) or f"sqlite:///{folder / _LEDGER_FILE}"


def is_view_only() -> bool:
    """Whether notebooks show finished runs only (the dashboard sets it)."""
    return os.environ.get(_VIEW_ONLY) == "1"


def _read_manifest(directory: Path) -> dict[str, Any]:
    try:
        held: dict[str, Any] = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(
            "This is no run directory", where=str(directory), expected="a folder with manifest.json, as `atlas run` prints it",
            found="no manifest.json" if directory.is_dir() else "no such folder", remedy="`atlas operations history` lists the runs",
        ) from error  # fmt: skip
    except ValueError as error:
        raise InputError(
            "The manifest of a run cannot be read", where=str(directory / "manifest.json"), expected="JSON as it was written",
            found=str(error), remedy="run the input again; the directory was changed or cut off",
        ) from error  # fmt: skip
    return held


@cache
def _passing() -> tempfile.TemporaryDirectory[str]:
    """Where a dashboard's kernel writes what is looked at and gone with it."""
    return tempfile.TemporaryDirectory(prefix="atlas-", ignore_cleanup_errors=True)


def _control_totals(table: Table, frame: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Sum of every `*_minor` column per currency, as text keys; exact whole numbers."""
    columns = [c.name for c in table.columns if c.name.endswith("_minor")]
    if not columns or "currency" not in frame or frame.empty:
        return {}
    sums = frame.groupby("currency", sort=True)[columns].sum()
    return {column: {str(k): int(v) for k, v in sums[column].items()} for column in columns}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1, sort_keys=True, default=str) + "\n", encoding="utf-8")
    partial.replace(path)
