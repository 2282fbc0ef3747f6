"""`python -m benchmarks [NAME ...]`: run the named measurements, or all of them one after the other."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

_SHARED = {"postgres"}
NAMES = sorted(p.stem for p in Path(__file__).parent.glob("[a-z]*.py") if p.stem not in _SHARED)

for name in sys.argv[1:] or NAMES:
    sys.stdout.write(f"\n== {name}\n")
    sys.stdout.flush()
    runpy.run_module(f"benchmarks.{name}", run_name="__main__")
