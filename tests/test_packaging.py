"""What a user installs is what the project says it needs."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CARD = [
    "jupyterlab",
    "pandas",
    "openpyxl",
    "ipywidgets",
    "voila",
    "plotly",
    "numpy-financial",
    "pulp",
    "papermill",
    "nbval",
    "statsmodels",
]


def name_of(requirement: str) -> str:
    return re.split(r"[\s\[<>=!;]", requirement, maxsplit=1)[0].lower()


def test_conda_users_get_the_same_requirements():
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip = next(e["pip"] for e in entries if isinstance(e, dict))
    assert [e for e in pip if not e.startswith("--")] == PROJECT["dependencies"]
    assert f"python {PROJECT['requires-python']}" in entries


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-test.lock"])
def test_the_lock_holds_every_requirement_with_hashes_and_no_address(lock):
    text = (ROOT / lock).read_text()
    pinned = set(re.findall(r"^([a-z0-9][a-z0-9._-]*)==", text, re.M))
    extras = PROJECT["optional-dependencies"]
    wanted = PROJECT["dependencies"] + extras["setup"] + (extras["test"] + extras["spark"] if "test" in lock else [])
    assert {name_of(r) for r in wanted} <= pinned
    assert text.count("==") and "--hash=sha256:" in text
    assert not re.search(r"https?://|--index-url|--find-links", text)


def test_both_locks_pin_the_same_versions():
    pins = [
        dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^ ;]+)", (ROOT / lock).read_text(), re.M))
        for lock in ("requirements.lock", "requirements-test.lock")
    ]
    assert {n: v for n, v in pins[0].items() if pins[1].get(n) != v} == {}


def test_the_packages_of_the_design_are_required():
    wanted = {name_of(r) for r in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]}
    assert set(CARD) <= wanted


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, atlas_lib; print(sorted({m.split('.')[0] for m in sys.modules} & {'pandas', 'numpy', 'duckdb', 'plotly', 'pulp'}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_data_dictionary_is_the_one_of_the_declarations():
    from atlas_lib.core.tables.dictionary import render_dictionary

    assert (ROOT / "docs" / "data_dictionary.md").read_text(encoding="utf-8") == render_dictionary()
