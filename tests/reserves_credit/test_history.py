"""Exposure over the runs, from what the runs have left behind."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd
import pytest

from atlas_lib.core.run import Run
from atlas_lib.core.tables import declared
from atlas_lib.reserves_credit.history import read_history


def made(folder: Path, name: str, as_of: str, receivables: int | None, at: int) -> Run:
    directory = folder / name
    (directory / "tables").mkdir(parents=True)
    manifest = {"run_id": name, "as_of": as_of, "tables": {}, "stages": {}, "settings": {}}
    (directory / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    run = Run(directory, "02_reserves_credit")
    if receivables is not None:
        row = {
            "scope": "merchant", "subject_id": "M1", "subject_name": "One", "currency": "EUR", "receivables_minor": receivables,
            "gross_minor": 0, "funded_minor": 0, "reserve_minor": 0, "effective_minor": 0, "limit_minor": 100,
            "utilisation_rate": receivables / 100, "combined_rate": 0.0, "headroom_minor": 0, "level": "ok", "limit_source": "input",
        }  # fmt: skip
        run.write("exposures", declared("exposures").shaped(pd.DataFrame([row])))
        run.save()
    os.utime(directory / "manifest.json", ns=(at, at))
    return run


@pytest.fixture
def today(tmp_path) -> Run:
    made(tmp_path, "r1", "2026-10-28", 10, at=1)
    made(tmp_path, "r2", "2026-10-29", 20, at=3)
    made(tmp_path, "r2-corrected", "2026-10-29", 25, at=4)
    made(tmp_path, "r2-broken", "2026-10-29", None, at=5)
    made(tmp_path, "r9", "2026-11-05", 90, at=6)
    return made(tmp_path, "r3", "2026-10-30", 30, at=2)


def test_each_day_is_the_last_run_of_that_day_up_to_this_one(today):
    history = read_history(today)
    assert history[["run_id", "receivables_minor"]].to_numpy().tolist() == [
        ["r1", 10],
        ["r2-corrected", 25],
        ["r3", 30],
    ]


def test_an_earlier_run_opened_again_sees_itself_and_nothing_later(today):
    earlier = Run(today.directory.parent / "r2", "02_reserves_credit")
    assert read_history(earlier)["run_id"].tolist() == ["r1", "r2"]


def test_without_any_exposures_there_is_no_history(tmp_path):
    assert read_history(made(tmp_path, "r1", "2026-10-28", None, at=1)).empty
