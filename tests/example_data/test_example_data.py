"""The folder as a whole: sizes, sameness of bytes, both formats."""

import zipfile
from pathlib import Path

import pandas as pd
import pytest

from atlas_lib import example_data
from atlas_lib.core.errors import AtlasError
from atlas_lib.example_data import generate


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def uncompressed(name: str, data: bytes, folder: Path) -> object:
    """A workbook by its parts: the compression library may differ from one Python to the next."""
    if not name.endswith(".xlsx"):
        return data
    with zipfile.ZipFile(folder / name) as parts:
        return {part: parts.read(part) for part in parts.namelist()}


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    generate(500, 3, tmp_path / "one")
    generate(500, 3, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_another_seed_gives_other_data(tmp_path):
    generate(500, 3, tmp_path / "one")
    generate(500, 4, tmp_path / "two")
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    same = {name for name in one if one[name] == two.get(name)}
    assert same == {"settings.yaml", "_truth/description.md"}


def test_the_committed_folder_is_what_the_command_makes(folder, root):
    committed = root / "example_data"
    made = {name: uncompressed(name, data, folder) for name, data in contents(folder).items()}
    assert made == {name: uncompressed(name, data, committed) for name, data in contents(committed).items()}


def test_the_committed_folder_stays_small(folder):
    assert sum(len(data) for data in contents(folder).values()) < 700_000


def test_the_transactions_file_has_the_rows_asked_for(submitted):
    assert len(submitted) == 1200


def test_the_parquet_form_has_the_very_same_cells(tmp_path, monkeypatch):
    generate(500, 3, tmp_path / "text")
    monkeypatch.setattr(example_data, "PARQUET_ROWS", 500)
    generate(500, 3, tmp_path / "parquet")
    as_text = pd.read_csv(tmp_path / "text" / "transactions.csv", dtype=str, keep_default_na=False)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "parquet" / "transactions.parquet"), as_text)
    dollars = pd.read_parquet(tmp_path / "parquet" / "statement_lines.parquet").query("currency == 'USD'")
    as_text = pd.read_csv(
        tmp_path / "text" / "statements" / "statement_lines_USD.csv", dtype=str, keep_default_na=False
    )
    pd.testing.assert_frame_equal(dollars.reset_index(drop=True), as_text)
    assert (tmp_path / "parquet" / "statement_balances.csv").exists()
    assert not (tmp_path / "parquet" / "statements").exists()


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    generate(500, 3, tmp_path)
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(AtlasError, match="holds other files"):
        generate(500, 4, tmp_path)
    assert (tmp_path / "transactions.csv").exists()
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_too_few_rows_for_the_cases_are_refused(tmp_path):
    with pytest.raises(AtlasError, match="Too few rows"):
        generate(100, 3, tmp_path / "out")


def test_a_second_run_replaces_the_first(tmp_path):
    generate(500, 3, tmp_path / "out")
    first = contents(tmp_path / "out")
    generate(500, 3, tmp_path / "out")
    assert contents(tmp_path / "out") == first
