"""Matching against the generated truth: precision and recall of what is matched or linked without a person.

    python -m benchmarks.matching_quality [rows] [--noise 4]

`--noise 4` loses or misspells the reference of three times as many plain lines as the generator did, so that lines
without a usable reference are four times as many. A true pair is found when it is matched, or linked with its break.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

_PAIR = ["transaction_id", "statement_id", "line_id"]
_LOST = "NOTPROVIDED"


def main() -> None:
    parser = argparse.ArgumentParser(prog="matching_quality")
    parser.add_argument("rows", nargs="?", type=int, default=100_000)
    parser.add_argument("--noise", type=int, default=1)
    chosen = parser.parse_args([a for a in sys.argv[1:] if a != "matching_quality"])
    with tempfile.TemporaryDirectory(prefix="atlas-bench-") as folder:
        tables, truth = load(Path(folder) / "input", chosen.rows)
        tables["statement_lines"] = add_noise(tables["statement_lines"], truth, chosen.noise)
        for name, figure in measure(tables, truth).items():
            sys.stdout.write(f"{name:<28} {figure}\n")


def load(folder: Path, rows: int) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """The generated input as clean tables, and its true pairs (transaction_id, statement_id, line_id, case)."""
    from atlas_lib.core.engine import open_engine
    from atlas_lib.core.settings import IngestSettings
    from atlas_lib.example_data import generate
    from atlas_lib.ingest import accept_submissions, clean_inputs, read_inputs
    from atlas_lib.ledger.store import open_ledger

    generate(rows, 7, folder)
    tables = clean_inputs(read_inputs(folder), IngestSettings())
    with open_ledger(f"sqlite:///{folder.parent / 'ledger.sqlite'}", "bench") as ledger:
        accepted = accept_submissions(tables["submissions"], open_engine("duckdb"), ledger, 24)
    truth = pd.read_csv(folder / "_truth" / "pairs.csv", dtype=str, keep_default_na=False)
    return tables | {"transactions": accepted["transactions"]}, truth


def add_noise(lines: pd.DataFrame, truth: pd.DataFrame, noise: int) -> pd.DataFrame:
    """Lines without a usable reference, `noise` times as many as before: half lost, half with two digits swapped."""
    keys = lines["statement_id"] + "/" + lines["line_id"]
    lost = lines["end_to_end_id"].isna() | lines["end_to_end_id"].isin(["", _LOST])
    plain = keys.isin(truth.loc[truth["case"] == "", "statement_id"] + "/" + truth.loc[truth["case"] == "", "line_id"])
    rng = np.random.default_rng(7)
    chosen = rng.permutation(np.flatnonzero(plain & ~lost))[: (noise - 1) * int(lost.sum())]
    half = len(chosen) // 2
    reference = lines["end_to_end_id"].astype(object).to_numpy(copy=True)
    reference[chosen[:half]] = _LOST
    reference[chosen[half:]] = [r[:-2] + r[-1] + r[-2] for r in reference[chosen[half:]]]
    return lines.assign(end_to_end_id=pd.Series(reference, index=lines.index).astype("str"))


def measure(tables: dict[str, pd.DataFrame], truth: pd.DataFrame) -> dict[str, str]:
    from atlas_lib.core.settings import ReconciliationSettings
    from atlas_lib.reconciliation import match_transactions

    references = [tables[name] for name in ("merchants", "counterparties", "fx_rates")]
    found = match_transactions(tables["transactions"], tables["statement_lines"], *references, ReconciliationSettings())
    true = pd.MultiIndex.from_frame(truth[_PAIR])
    matched = pd.MultiIndex.from_frame(found["matches"][_PAIR])
    linked = pd.MultiIndex.from_frame(found["links"].query("kind == 'mismatch'")[_PAIR])
    suggested = pd.MultiIndex.from_frame(found["suggestions"][_PAIR])
    auto = matched.append(linked)
    right, helped = auto.isin(true).sum(), suggested.isin(true).sum()
    return {
        "true pairs": f"{len(true):,}",
        "matched, precision": f"{matched.isin(true).mean():.4%}",
        "matched or linked, precision": f"{right / len(auto):.4%}",
        "matched or linked, recall": f"{right / len(true):.4%}",
        "with suggestions, recall": f"{(right + helped) / len(true):.4%}",
    }


if __name__ == "__main__":
    main()
