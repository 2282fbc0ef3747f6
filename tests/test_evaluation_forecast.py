"""`atlas evaluate forecast`, on two short series."""

from __future__ import annotations

import numpy as np
import pandas as pd
from typer.testing import CliRunner

from atlas_lib.core.errors import InputError
from atlas_lib.evaluation import app as evaluate


def test_accuracy_and_coverage_are_told_over_all_series(tmp_path):
    days = pd.date_range("2025-01-01", periods=140, freq="D")
    weekly = np.array([5.0, 6, 7, 8, 20, 15, 2])[days.day_of_week]
    random = np.random.default_rng(2)
    frame = pd.DataFrame({f"S{i}": weekly + random.normal(size=140) for i in range(2)}, index=days)
    frame.iloc[50, 0] = np.nan
    frame.rename_axis("date").to_csv(tmp_path / "cash.csv")
    arguments = ["forecast", "--data", str(tmp_path / "cash.csv"), "--training", "80", "--horizon", "7"]
    lines = CliRunner().invoke(evaluate, arguments, catch_exceptions=False).output.splitlines()
    assert lines[0] == "cash.csv: 2 series, 7 days ahead"
    assert [line.split("  ")[-1].split(" (")[0] for line in lines[1:5]] == [
        "structural", "exponential smoothing", "seasonal naive", "used",
    ]  # fmt: skip
    assert lines[5].startswith("  daily      all              nominal 80%: held ")
    assert any("month ends" in line for line in lines)


def test_a_file_that_is_no_series_is_refused(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\nx,y\n")
    error = CliRunner().invoke(evaluate, ["forecast", "--data", str(tmp_path / "x.csv")]).exception
    assert isinstance(error, InputError)
    assert "daily series" in str(error)
