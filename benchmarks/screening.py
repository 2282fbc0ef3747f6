"""Screening against the same observations written with pandas groupby and rolling, and the names against the list's size.

All figures of one line are CPU seconds of the same process; the ratio is what counts.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pandas as pd

from atlas_lib.core.engine import open_engine
from atlas_lib.core.settings import IngestSettings
from atlas_lib.core.tables import declared
from atlas_lib.ingest.names import find_alike, fold_names
from atlas_lib.ingest.screening import screen_transactions

SETTINGS = IngestSettings.model_validate({"as_of": "2026-10-30"})
SIZES = (100_000, 1_000_000)
LISTED, ASKED = 17_000, 3_000


def cpu(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def book(count: int) -> pd.DataFrame:
    """Payments of a 90-day book, random but always the same; a user pays about fifteen times."""
    random = np.random.default_rng(7)
    at = np.sort(random.integers(0, 90 * 86_400, count))
    users, accounts = random.integers(0, max(count // 15, 1), count), random.integers(0, 200, count)
    return declared("transactions").shaped(
        pd.DataFrame(
            {
                "transaction_id": pd.Series(np.arange(count)).map("T{:08d}".format), "idempotency_key": "", "merchant_id": pd.Series(accounts).map("M{:03d}".format),
                "user_id": pd.Series(users).map("U{:06d}".format), "type": "SALE", "amount_minor": np.exp(random.normal(8, 0.7, count)).astype("int64") + 1,
                "currency": np.where(users % 5 == 0, "USD", "EUR"), "destination_currency": "EUR", "source_account": pd.Series(accounts % 6).map("C{}".format),
                "destination_account": pd.Series(accounts).map("A{:03d}".format), "counterparty_id": "C", "settlement_window": "T1", "status": "APPROVED",
                "created_at": pd.Timestamp("2026-08-01", tz="UTC") + pd.to_timedelta(at, unit="s"), "reference": None, "source_file": "", "source_sheet": "", "source_row": 1,
            }
        )
    )  # fmt: skip


def with_pandas(rows: pd.DataFrame) -> pd.DataFrame:
    """The user, merchant and account observations as one would first write them."""
    rows = rows.sort_values(["created_at", "transaction_id"], ignore_index=True)
    roots = np.sqrt(rows["amount_minor"])
    keys = [rows["user_id"], rows["currency"]]
    before = roots.groupby(keys).shift(1).groupby(keys).rolling(20, min_periods=5)
    usual, spread = (moment.droplevel([0, 1]).sort_index() for moment in (before.mean(), before.std()))
    timed = rows.set_index("created_at").assign(one=1)
    hour = timed.groupby("user_id")["one"].rolling("60min").sum()
    pair = rows.groupby(["user_id", "merchant_id"]).cumcount() == 0
    busy = [timed.groupby(party)["one"].rolling("2h").sum() for party in ("merchant_id", "source_account")]
    z = (roots - usual) / np.maximum(spread, usual / 2)
    return pd.DataFrame(
        {
            "z": z,
            "is_new_pair": pair,
            "hour": hour.to_numpy(),
            "merchant": busy[0].to_numpy(),
            "account": busy[1].to_numpy(),
        }
    )


def ours(rows: pd.DataFrame) -> dict[str, object]:
    names = (
        "merchants",
        "contracts",
        "counterparties",
        "statement_lines",
        "fraud_signals",
        "fraud_labels",
        "policies",
        "sanctions",
    )
    clean = SimpleNamespace(**{name: declared(name).empty() for name in names})
    intake = SimpleNamespace(transactions=rows, intake_results=declared("intake_results").empty())
    return screen_transactions(clean, intake, open_engine("duckdb"), SETTINGS)


def main() -> None:
    per_row = {}
    for size in SIZES:
        rows = book(size)
        taken = cpu(lambda rows=rows: ours(rows))
        per_row[size] = taken / size
        text = f"{size:,} payments: index with scores, patterns and flags {taken:.2f} CPU s"
        plain = cpu(lambda rows=rows: with_pandas(rows))
        line(
            f"{text}; pandas groupby and rolling, the user, merchant and account observations alone, {plain:.2f}: {plain / taken:.1f} x"
        )
    line(f"cost per row at {max(SIZES):,} against {min(SIZES):,}: {per_row[max(SIZES)] / per_row[min(SIZES)]:.2f}")
    line(f"peak of the process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")

    random = np.random.default_rng(7)
    syllables = np.array("al ba cor den el fir gor han ist jur kal lim mor nad os pet qui rom sal tur".split())
    words = pd.Series(["".join(row) for row in random.choice(syllables, (LISTED + ASKED, 3))])
    names = words + " " + words.sample(frac=1, random_state=7).reset_index(drop=True)
    taken = cpu(lambda: find_alike(fold_names(names.iloc[:ASKED]), fold_names(names.iloc[ASKED:]), 88))
    line(f"{ASKED:,} names against {LISTED:,} listed ones: {taken:.2f} CPU s")


if __name__ == "__main__":
    main()
