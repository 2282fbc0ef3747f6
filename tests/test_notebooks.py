"""The notebooks keep the house rules: read like a memo, hold no logic, know their settings."""

from __future__ import annotations

import ast
import json
import re
import statistics
from pathlib import Path
from typing import Any

import pytest

from atlas_lib.core.settings import STAGES

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
MOST_CELLS, MOST_LINES = 30, 12
BANNED = (ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.Try, ast.Lambda, ast.AsyncFunctionDef)


def cells_of(stage: str) -> list[dict[str, Any]]:
    return json.loads((NOTEBOOKS / f"{stage}.ipynb").read_text(encoding="utf-8"))["cells"]


def code_of(stage: str) -> list[str]:
    return ["".join(c["source"]) for c in cells_of(stage) if c["cell_type"] == "code"]


def tagged(stage: str, tag: str) -> list[dict[str, Any]]:
    return [c for c in cells_of(stage) if tag in c["metadata"].get("tags", [])]


@pytest.mark.parametrize("stage", STAGES)
def test_cells_are_few_and_short(stage):
    lines = [len([line for line in source.splitlines() if line.strip()]) for source in code_of(stage)]
    assert len(lines) <= MOST_CELLS
    assert statistics.median(lines) <= 4


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_no_cell_is_longer_than_a_person_takes_in_at_once(path):
    """But the parameters: papermill takes one cell of them, one setting a line, and no logic stands in it."""
    cells = [c for c in cells_of(path.stem) if c["cell_type"] == "code"]
    sources = {c["id"]: "".join(c["source"]) for c in cells if "parameters" not in c["metadata"].get("tags", [])}
    lines = {name: len([line for line in source.splitlines() if line.strip()]) for name, source in sources.items()}
    assert {name: n for name, n in lines.items() if n > MOST_LINES} == {}


@pytest.mark.parametrize("stage", STAGES)
def test_no_logic_hides_in_a_cell(stage):
    nodes = [node for source in code_of(stage) for node in ast.walk(ast.parse(source))]
    assert [type(n).__name__ for n in nodes if isinstance(n, BANNED)] == []


@pytest.mark.parametrize("stage", STAGES)
def test_parameters_are_the_settings_with_their_defaults(stage):
    (cell,) = tagged(stage, "parameters")
    values = {n.targets[0].id: ast.literal_eval(n.value) for n in ast.parse("".join(cell["source"])).body}
    model = STAGES[stage]
    expected = json.loads(model().model_dump_json())
    paths = {"run_dir": ""} | ({"input_path": "example_data"} if stage == "01_ingest" else {})
    assert values == paths | expected


@pytest.mark.parametrize("stage", STAGES)
def test_outputs_are_committed_small_and_free_of_errors(stage):
    path = NOTEBOOKS / f"{stage}.ipynb"
    outputs = [o for c in cells_of(stage) for o in c.get("outputs", [])]
    assert outputs
    assert [o["evalue"] for o in outputs if o["output_type"] == "error"] == []
    assert [o for o in outputs if o.get("name") == "stderr"] == []
    assert path.stat().st_size < 400_000
    assert not re.search(r"/(home|root|tmp|work|Users)/", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("stage", STAGES)
def test_a_person_can_read_it_top_to_bottom(stage):
    first = "".join(cells_of(stage)[0]["source"])
    assert first.startswith("# ")
    assert all(word in first.lower() for word in ("question", "read by", "reads", "writes"))
    assert len([c for c in cells_of(stage) if c["cell_type"] == "markdown"]) >= 8


@pytest.mark.parametrize("stage", STAGES)
def test_widgets_are_marked_so_that_reports_leave_them_out(stage):
    shown = [
        c
        for c in cells_of(stage)
        if "explore_" in "".join(c["source"]) and not "".join(c["source"]).startswith(("from", "import"))
    ]
    assert shown
    assert all(
        {"widgets", "nbval-ignore-output"} <= set(c["metadata"]["tags"]) for c in shown if c["cell_type"] == "code"
    )
