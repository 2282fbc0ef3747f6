"""One run of the example data for all tests that only read it; each worker makes it once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def atlas(*arguments: str | Path, **given: str) -> subprocess.CompletedProcess[str]:
    """`atlas` as a process of its own, without this machine's ATLAS_ variables; `given` are the ones it has."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ATLAS_")} | given
    command = [sys.executable, "-m", "atlas_lib.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


# Tables of a page that a reader has to push sideways, by their first words.
PUSHED_SIDEWAYS = """[...document.querySelectorAll(".atlas-scroll")]
    .filter((e) => e.clientWidth && e.scrollWidth > e.clientWidth + 1).map((e) => e.innerText.slice(0, 60))"""


def run_dir_of(done: subprocess.CompletedProcess[str]) -> Path:
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip().splitlines()[-1])
