"""`atlas evaluate screening` on small data of our own."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from typer.testing import CliRunner

from atlas_lib.cli import app


def run(*arguments: str) -> dict[str, list[dict[str, object]]]:
    result = CliRunner().invoke(app, ["evaluate", "screening", "--json", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_labelled_payments_are_read_by_their_usual_column_names(tmp_path):
    random = np.random.default_rng(1)
    rows = pd.DataFrame(
        {
            "TRANSACTION_ID": range(600), "TX_DATETIME": pd.date_range("2026-01-01", periods=600, freq="h"), "CUSTOMER_ID": random.integers(0, 10, 600),
            "TERMINAL_ID": random.integers(0, 5, 600), "TX_AMOUNT": np.where(np.arange(600) % 20 == 19, 90.0, 10.0), "TX_FRAUD": (np.arange(600) % 20 == 19).astype(int),
        }
    )  # fmt: skip
    rows.to_csv(tmp_path / "payments.csv", index=False)
    found = run("--data", str(tmp_path / "payments.csv"))["payments"]
    assert [(r["score"], r["tested_count"], r["tested_fraud_count"], r["is_used"]) for r in found] == [
        ("own observations", 180, 9, True)
    ]
    assert found[0]["average_precision"] > 0.9


def test_accounts_of_a_pattern_are_counted_against_the_marked_ones(tmp_path):
    (tmp_path / "transactions.csv").write_text(
        "sourceNodeId,targetNodeId,value,time\n1,2,3.1,1\n1,2,3.2,1\n1,2,3.0,1\n3,4,50,2\n"
    )
    (tmp_path / "nodes.csv").write_text("nodeid,isFraud\n1,1\n2,0\n3,1\n4,0\n")
    found = {r["rule"]: r for r in run("--transfers", str(tmp_path))["accounts"]}
    assert found["AML_SPLIT"] == {
        "rule": "AML_SPLIT",
        "accounts_count": 2,
        "fraud_count": 1,
        "precision_rate": 0.5,
        "recall_rate": 0.5,
    }


def test_listed_names_are_found_in_other_spellings_and_innocent_ones_are_not(tmp_path):
    names = ["Yusuf Hasan Sharqi", "Maria Elena Quispe", "Orlow Maritime Trading", "Ivan Petrovich Sidorov"]
    (tmp_path / "sdn.csv").write_text(
        "".join(f'{i},"{n}",-0- ,"T",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- \n' for i, n in enumerate(names, 1))
    )
    (tmp_path / "vendors.csv").write_text("Vendor\nBakery Meier\nGreen Office Supplies\n")
    found = {
        r["way"]: r
        for r in run(
            "--sanctions", str(tmp_path), "--innocent", str(tmp_path / "vendors.csv"), "--innocent-column", "Vendor"
        )["names"]
    }
    assert (
        found["as listed"]["0.88"] == found["words in another order"]["0.88"] == found["with diacritics"]["0.88"] == 1
    )
    assert found["innocent"] == {"way": "innocent", "names_count": 2, "0.85": 0, "0.88": 0, "0.9": 0, "0.95": 0}


def test_nothing_to_measure_says_what_is_expected():
    result = CliRunner().invoke(app, ["evaluate", "screening"])
    assert "--data, --transfers or --sanctions" in str(result.exception)
