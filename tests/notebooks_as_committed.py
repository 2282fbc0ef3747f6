"""Run the five notebooks in order and compare every output with the committed one (nbval).

    python tests/notebooks_as_committed.py            compare
    python tests/notebooks_as_committed.py --write    run in place and keep the new outputs

They share one new runs directory, so one after the other: not for a parallel test run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
STRIPPED = "metadata.widgets metadata.papermill cell.metadata.papermill cell.metadata.execution metadata.language_info"


def main() -> int:
    notebooks = [str(p) for p in sorted((ROOT / "notebooks").glob("0[1-5]_*.ipynb"))]
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"ATLAS_RUNS_DIR": folder, "PYTHONPATH": ""}
        if "--write" in sys.argv[1:]:
            return write(notebooks, environment)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:randomly",
            "-p",
            "no:xdist",
            "--nbval",
            "--nbval-cell-timeout=120",
            *notebooks,
        ]
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def write(notebooks: list[str], environment: dict[str, str]) -> int:
    execute = [
        sys.executable,
        "-m",
        "jupyter",
        "nbconvert",
        "--to",
        "notebook",
        "--execute",
        "--inplace",
        "--log-level=WARN",
    ]
    strip = [sys.executable, "-m", "nbstripout", "--keep-output", "--keep-count", "--keep-id", "--extra-keys", STRIPPED]
    for notebook in notebooks:
        for command in (execute, strip):
            code = subprocess.run([*command, notebook], cwd=ROOT, env=environment, check=False).returncode
            if code:
                return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
