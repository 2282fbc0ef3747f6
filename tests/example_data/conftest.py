"""One generated folder for all tests of the generator."""

from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from atlas_lib.example_data import generate
from tests.example_data.folder_files import read_lines, read_text

ROWS, SEED = 1200, 7


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("example") / "data"
    generate(ROWS, SEED, out)
    return out


@pytest.fixture(scope="session")
def submitted(folder) -> pd.DataFrame:
    return read_text(folder / "transactions.csv")


@pytest.fixture(scope="session")
def planted(folder) -> pd.DataFrame:
    return read_text(folder / "_truth" / "planted.csv")


@pytest.fixture(scope="session")
def pairs(folder) -> pd.DataFrame:
    return read_text(folder / "_truth" / "pairs.csv")


@pytest.fixture(scope="session")
def lines(folder) -> pd.DataFrame:
    return read_lines(folder)


@pytest.fixture(scope="session")
def accepted(submitted, planted) -> pd.DataFrame:
    """Rows of the transactions file without repetitions and unusable rows, amounts as Decimal."""
    extra = planted.loc[planted["file"] == "transactions", "source_row"].astype(int) - 2
    plain = submitted.drop(index=extra)
    return plain.assign(value=plain["amount"].map(Decimal)).set_index("transaction_id")
