"""What a run was made from: the input files, the code, the versions, and the id that follows."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from atlas_lib.core.errors import InputError

_PACKAGES = ("atlas-settlement", "pandas", "numpy", "pyarrow", "duckdb", "pulp", "highspy", "pyxirr", "pandera")
_IGNORED_NAMES = ("settings.yaml",)


def find_root(start: Path | None = None) -> Path:
    """The workbook's folder (it holds `notebooks/`): upwards from here, else where the package lies."""
    places = [start or Path.cwd(), Path(__file__).parent]
    for place in places:
        for folder in (place, *place.parents):
            if (folder / "notebooks" / "01_ingest.ipynb").exists():
                return folder
    raise InputError(
        "The notebooks were not found", expected="a folder with notebooks/01_ingest.ipynb", where=str(places[0])
    )


def file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def input_files(path: Path) -> list[Path]:
    """The files of an input: itself, or every file of the folder except hidden ones and settings."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(
            "The input does not exist",
            where=str(path),
            expected="a workbook or a folder",
            remedy="check the path given to --input",
        )
    found = [p for p in sorted(path.rglob("*")) if p.is_file() and not _is_hidden(p.relative_to(path))]
    if not found:
        raise InputError(
            "The input folder is empty", where=str(path), expected="at least one workbook, CSV, Parquet or statement"
        )
    return found


def _is_hidden(relative: Path) -> bool:
    return any(part.startswith((".", "~$", "_")) for part in relative.parts) or relative.name in _IGNORED_NAMES


def describe_inputs(path: Path) -> list[dict[str, Any]]:
    """One record per input file: name relative to the input, SHA-256, size in bytes."""
    base = path if path.is_dir() else path.parent
    return [
        {"path": p.relative_to(base).as_posix(), "sha256": file_sha256(p), "bytes": p.stat().st_size}
        for p in input_files(path)
    ]


def code_sha256(root: Path) -> str:
    """One hash over the library's sources, its layouts, and the notebooks' code, outputs left aside."""
    digest = hashlib.sha256()
    sources = [*(root / "atlas_lib").rglob("*.py"), *(root / "atlas_lib").rglob("*.yaml")]
    for source in sorted(sources):
        digest.update(source.relative_to(root).as_posix().encode() + b"\0" + source.read_bytes())
    for notebook in sorted((root / "notebooks").glob("*.ipynb")):
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        code = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
        digest.update(json.dumps([notebook.name, code]).encode())
    return digest.hexdigest()


def git_commit(root: Path) -> str:
    """The checked-out commit; empty where the folder is no checkout."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{p: version(p) for p in _PACKAGES}}


def make_run_id(inputs: list[dict[str, Any]], settings: Mapping[str, Any], code: str, as_of: date) -> str:
    """As-of day and the first ten digits of the hash over inputs, settings and code."""
    content = [[(i["path"], i["sha256"]) for i in inputs], settings, code]
    return f"{as_of.isoformat()}-{_short_hash(content)}"


def make_trial_id(opened_as: str, settings: Mapping[str, Any], as_of: date) -> str:
    """Never the id of a run: a run with these settings books into the ledger, their trial does not."""
    return f"{as_of.isoformat()}-trial-{_short_hash([opened_as, settings])}"


def _short_hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:10]
