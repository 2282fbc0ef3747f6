"""The house keeps its rooms apart: read from the imports, not from intentions."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "atlas_lib"
STAGE_ROOMS = ("ingest", "reserves_credit", "portfolio", "batching_settlement", "reconciliation")
ALLOWED = {
    "core": {"core"},
    "ledger": {"core", "ledger"},
    "present": {"core", "present"},
    "example_data": {"core", "example_data"},
} | {room: {"core", "ledger", room} for room in STAGE_ROOMS}
ON_TOP = {"dashboard", "evaluation", "operations"}  # like pipeline and cli: may use every room, and no room uses it
RETIRED_NAMES = ("utils", "helpers", "services", "managers", "models", "common", "misc")
SOURCES = sorted(PACKAGE.rglob("*.py"))
HEAVY = {"plotly", "pulp", "highspy", "papermill", "nbconvert", "statsmodels", "pyxirr", "pyspark", "duckdb", "schwifty", "holidays", "ipywidgets", "xlsxwriter", "openpyxl", "pandera", "lxml", "fastexcel", "python_calamine", "sklearn", "rapidfuzz", "anyascii", "rich", "voila", "hypothesis", "httpx"}  # fmt: skip


def imported(tree: ast.AST) -> set[str]:
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    froms = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module]
    names |= {n.module for n in froms} | {f"{n.module}.{a.name}" for n in froms for a in n.names}
    return names


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else path.stem


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if room_of(p) in ALLOWED], ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_a_room_imports_only_what_it_may(path):
    rooms = {name.split(".")[1] for name in imported(ast.parse(path.read_text())) if name.startswith("atlas_lib.")}
    assert rooms <= ALLOWED[room_of(path)] | {"__version__"}


def test_every_folder_is_a_known_room():
    assert {p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"} == set(ALLOWED) | ON_TOP


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_packages_are_imported_where_they_are_used(path):
    top = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.Import | ast.ImportFrom)]
    names = {name.split(".")[0] for n in top for name in imported(n)}
    assert names & HEAVY == set()


def test_no_dumping_ground():
    assert [p for p in SOURCES if p.stem in RETIRED_NAMES or p.parent.name in RETIRED_NAMES] == []


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if room_of(p) in STAGE_ROOMS], ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_a_stage_reads_no_clock_and_no_environment(path):
    text = path.read_text()
    assert not re.search(
        r"\b(datetime\.now|date\.today|utcnow|time\.time\(|os\.environ|getenv|Timestamp\.now|random\.random\()", text
    )


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_input_is_never_evaluated_or_unpickled(path):
    assert not re.search(r"\b(eval|exec)\(|import pickle|read_pickle|yaml\.load\(|\.unsafe_load", path.read_text())


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_shared_statement_holds_a_doubled_quote(path):
    assert not re.search(r"\w''\w", path.read_text())


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_function_is_left_for_later(path):
    """Marks in comments are ruff's to find (FIX)."""
    assert not re.search(r"\bNotImplementedError\b", path.read_text())
