"""Matching against the generated truth: precision and recall of what is matched or linked without a person.

    python -m benchmarks.matching_quality [rows] [--noise 4] [--kinds 50]

`--noise 4` loses or misspells the reference of three times as many plain lines as the generator did, so that lines
without a usable reference are four times as many. `--kinds 50` plants so many of each in plain pairs: two payments of a
merchant booked as two lines of other amounts that list both, a booking corrected by a line the other way, and a payment
that we have twice. A true pair is found when it is matched, or linked with its break.
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
    parser.add_argument("--kinds", type=int, default=0)
    chosen = parser.parse_args([a for a in sys.argv[1:] if a != "matching_quality"])
    with tempfile.TemporaryDirectory(prefix="atlas-bench-") as folder:
        tables, truth = load(Path(folder) / "input", chosen.rows)
        tables["statement_lines"] = add_noise(tables["statement_lines"], truth, chosen.noise)
        if chosen.kinds:
            tables, truth = plant_kinds(tables, truth, chosen.kinds)
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


def plant_kinds(
    tables: dict[str, pd.DataFrame], truth: pd.DataFrame, count: int
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """`count` each of two-to-two groups, corrected bookings and payments entered twice, in plain pairs of one currency.

    100 and 50 booked as 70 and 80 are three pairs: 70, 30 and 50. Both sides are in the same order, so that laying them
    along each other gives these three and no others.
    """
    ours, lines = tables["transactions"], tables["statement_lines"]
    plain = (
        truth[truth["case"] == ""].merge(ours, on="transaction_id").merge(lines, on=_PAIR[1:], suffixes=("", "_bank"))
    )
    once = lines["end_to_end_id"].value_counts()
    named = (plain["reference"] == plain["end_to_end_id"]) & plain["end_to_end_id"].map(once).eq(1)
    named &= plain["currency"] == plain["currency_bank"]
    plain = plain[
        named & (plain["type"] == "SALE") & (plain["fee_charged_minor"] == 0) & (plain["amount_minor"] > 5_000)
    ]
    plain = plain.sort_values(["merchant_id", "currency", "booking_date", *_PAIR]).reset_index(drop=True)
    same = ["merchant_id", "currency", "booking_date", "account"]
    follows, key = plain[same].eq(plain[same].shift(-1)).all(axis=1), plain["statement_id"] + "\x1f" + plain["line_id"]
    follows &= (plain["transaction_id"] < plain["transaction_id"].shift(-1)) == (key < key.shift(-1))
    first = np.flatnonzero(follows)
    first = first[np.diff(first, prepend=-2) > 1][:count]
    rest = np.setdiff1d(np.arange(len(plain)), np.concatenate([first, first + 1]))
    giving, taking = plain.iloc[first], plain.iloc[first + 1]
    corrected, twice = plain.iloc[rest[:count]], plain.iloc[rest[count : 2 * count]]
    place = pd.Series(lines.index, index=pd.MultiIndex.from_frame(lines[_PAIR[1:]]))
    at = [place.loc[pd.MultiIndex.from_frame(rows[_PAIR[1:]])].to_numpy() for rows in (giving, taking, corrected)]
    both = (giving["reference"].to_numpy() + " " + taking["reference"].to_numpy()).astype(object)
    moved = giving["amount_minor"].to_numpy() * 3 // 10
    lines = lines.astype({"end_to_end_id": object, "remittance_text": object})
    for rows, sign in zip(at[:2], (-1, 1), strict=True):
        lines.loc[rows, "amount_posted_minor"] += sign * moved
        lines.loc[rows, "end_to_end_id"], lines.loc[rows, "remittance_text"] = _LOST, both
    over = lines.loc[at[2], "amount_posted_minor"] // 5
    back = lines.loc[at[2]].assign(
        line_id="C" + lines["line_id"], amount_posted_minor=over, credit_debit_indicator="DBIT", bank_reference=None
    )
    lines.loc[at[2], "amount_posted_minor"] += over
    again = ours[ours["transaction_id"].isin(twice["transaction_id"])]
    again = again.assign(transaction_id=again["transaction_id"] + "-AGAIN")
    more = [
        giving[_PAIR].assign(**{name: taking[name].to_numpy() for name in _PAIR[1:]}),
        corrected[_PAIR].assign(line_id="C" + corrected["line_id"]),
    ]
    whole = pd.concat([lines, back], ignore_index=True).astype({"end_to_end_id": "str", "remittance_text": "str"})
    return tables | {
        "transactions": pd.concat([ours, again], ignore_index=True), "statement_lines": whole,
    }, pd.concat([truth, *(rows.assign(case="kind") for rows in more)], ignore_index=True)  # fmt: skip


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
    kinds = pd.MultiIndex.from_frame(truth.loc[truth["case"] == "kind", _PAIR])
    right, helped = auto.isin(true).sum(), suggested.isin(true).sum()
    return {
        "true pairs": f"{len(true):,}",
        "matched, precision": f"{matched.isin(true).mean():.4%}",
        "matched or linked, precision": f"{right / len(auto):.4%}",
        "matched or linked, recall": f"{right / len(true):.4%}",
        "with suggestions, recall": f"{(right + helped) / len(true):.4%}",
        "of the planted kinds, matched": f"{kinds.isin(matched).sum():,} of {len(kinds):,}",
        "entered twice, matched": f"{found['matches']['transaction_id'].str.endswith('-AGAIN').sum():,}",
    }


if __name__ == "__main__":
    main()
