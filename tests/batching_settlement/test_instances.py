import copy
import json
from typing import Any

import pytest

from benchmarks.check_instances import FOLDER, faults_of

FILES = sorted(FOLDER.glob("100-*.json"))


def read(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_published_plan_keeps_its_limits_and_its_bound_is_proven(path) -> None:
    assert faults_of(json.loads(path.read_text(encoding="utf-8"))) == []


def settle_all(case: dict[str, Any]) -> None:
    case["plan"] = [
        [row[6], "direct"] if slot == -1 else [slot, mode]
        for (slot, mode), row in zip(case["plan"], case["payments"], strict=True)
    ]


@pytest.mark.parametrize(
    ("falsify", "said"),
    [
        (lambda c: c.update(bound_micro=c["bound_micro"] + 1), "the certificate proves"),
        (lambda c: c.update(cost_micro=c["cost_micro"] - 1), "the plan costs"),
        (lambda c: c["plan"].__setitem__(0, [0, "netted"]), "window or mode"),
        (lambda c: c["conversions"][0].__setitem__(4, c["conversions"][0][4] + 1), "not converted"),
        (settle_all, "overdrawn"),
        (lambda c: c["certificate"]["wire"].__setitem__(slice(None), [9_000.0] * len(c["payments"])), "the certificate proves"),
    ],
)  # fmt: skip
def test_a_false_claim_is_found(falsify, said) -> None:
    case = copy.deepcopy(read("100-0-scarce"))
    falsify(case)
    assert any(said in fault for fault in faults_of(case))
