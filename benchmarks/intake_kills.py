"""A follower of a folder, killed with SIGKILL at random moments while files come in, and what is left at the end.

Each round starts a follower in a process of its own, puts a file into the folder and kills it: after 0 to 1.2 seconds,
or the moment it has written the next part of one of its tables.
Among the files are copies under another name, files that grew, and files that say something else of a known payment.
At the end one follower finishes, and everything is counted. `python -m benchmarks intake_kills` (KILLS, default 200).
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from atlas_lib.core.settings import IngestSettings
from atlas_lib.ledger.store import open_ledger
from atlas_lib.service import Pace, serve_intake

START = pd.Timestamp("2026-10-01 08:00", tz="UTC")
TABLES = [
    "staged",
    "transactions",
    "merchants",
    "followed_index",
    "intake_results",
    "screening_findings",
    "rejects",
    "deliveries",
]
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["benchmarks.intake_kills", "duckdb", "pandera.pandas", "filelock"])


def payments(first: int, last: int, cents: int = 0) -> pd.DataFrame:
    """Payments number `first` to `last`, one a minute; one in ten has a broken amount."""
    numbers = pd.Series(range(first, last))
    ids = numbers.map("T{:06d}".format)
    amount = (
        (numbers % 90 + 10).map("{:.2f}".format) if not cents else (numbers % 90 + 10).map(f"{{}}.{cents:02d}".format)
    )
    return pd.DataFrame(
        {
            "transaction_id": ids, "idempotency_key": "K" + ids, "merchant_id": "M" + (numbers % 5).astype(str),
            "user_id": "U" + (numbers % 7).astype(str), "type": "SALE", "amount": amount.where(numbers % 10 != 9, "much"),
            "source_currency": "EUR", "destination_currency": "EUR", "source_account": "A" + (numbers % 7).astype(str),
            "destination_account": "B1", "counterparty_id": "C1", "settlement_window": "T1", "status": "APPROVED",
            "created_at": (START + pd.to_timedelta(numbers, unit="min")).dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "reference": ids,
        }
    )  # fmt: skip


def put(folder: Path, name: str, rows: pd.DataFrame) -> None:
    """Written under a hidden name and renamed, as a careful sender does."""
    partial = folder / f".{name}"
    rows.to_csv(partial, index=False)
    partial.rename(folder / name)


def nothing(record: Mapping[str, Any]) -> None:
    """A report that nobody reads."""


def follow(folder: Path, runs: Path, is_endless: bool) -> None:
    serve_intake(str(folder), runs, IngestSettings(), Pace(0.0, 0.02, is_endless), nothing)


def start(folder: Path, runs: Path, is_endless: bool = True) -> Any:
    process = SERVER.Process(target=follow, args=(folder, runs, is_endless))
    process.start()
    return process


def kill_and_restart(place: Path, kills: int, seed: int, longest: float = 1.2) -> dict[str, int]:
    """Drop files and kill followers; what is in ledger, index and deliveries at the end."""
    chance = random.Random(seed)  # noqa: S311 - moments, no secrets
    folder, runs = place / "drop", place / "runs"
    folder.mkdir(parents=True)
    next_payment, killed, caught, moments = 0, 0, 0, set()
    for round_number in range(kills):
        process = start(folder, runs)
        next_payment = drop_one(folder, round_number, next_payment, chance)
        wait_for_moment(runs / "intake", chance, longest)
        killed += process.exitcode is None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        moment = under_way(runs / "intake")
        caught += moment != ""
        moments |= {moment} - {""}
    last = start(folder, runs, is_endless=False)
    last.join()
    ends = {
        "killed": killed,
        "caught_mid_delivery": caught,
        "kinds_of_moment": len(moments),
        "exit_code": last.exitcode,
    }
    return count(folder, runs) | ends


def wait_for_moment(intake: Path, chance: random.Random, longest: float) -> None:
    """Half of the kills come at any time, half as soon as a further part of one of the tables is there."""
    table = chance.choice([""] * len(TABLES) + TABLES)
    if not table:
        time.sleep(chance.uniform(0, longest))
        return
    before, deadline = len(list(intake.glob(f"{table}/*"))), time.monotonic() + 4 * longest
    while len(list(intake.glob(f"{table}/*"))) <= before and time.monotonic() < deadline:
        time.sleep(0.0005)


def under_way(intake: Path) -> str:
    """Which parts the delivery under way had written when its process was killed; empty between deliveries."""
    names = [p.name for p in (intake / "staged").glob("*")]
    written = [p.parent.name for name in names for p in intake.glob(f"*/*{name}.parquet*")]
    return f"put aside, {' '.join(sorted(written))}" if names else ""


def drop_one(folder: Path, number: int, next_payment: int, chance: random.Random) -> int:
    kind = chance.choice(["new", "new", "copy", "grown", "conflict"]) if next_payment else "new"
    size = chance.randint(20, 60)
    if kind == "copy":
        put(folder, f"{number:05d}-copy.csv", payments(max(next_payment - size, 0), next_payment))
    elif kind == "conflict":
        put(folder, f"{number:05d}-conflict.csv", payments(max(next_payment - size, 0), next_payment, cents=99))
    elif kind == "grown":
        put(folder, "grown.csv", payments(0, next_payment + size))
        return next_payment + size
    else:
        put(folder, f"{number:05d}.csv", payments(next_payment, next_payment + size))
        return next_payment + size
    return next_payment


def count(folder: Path, runs: Path) -> dict[str, int]:
    """What must agree: each accepted payment once in index and ledger, every file accounted for, rows in = rows out."""
    intake = runs / "intake"
    index, deliveries = pd.read_parquet(intake / "followed_index"), pd.read_parquet(intake / "deliveries")
    out = ["accepted_count", "again_count", "duplicate_count", "conflict_count", "rejected_count"]
    with open_ledger(f"sqlite:///{runs / 'ledger.sqlite'}", "count") as ledger:
        submitted = ledger.events(event_types=["TRANSACTION_SUBMITTED"])["transaction_id"]
        faults = len(ledger.verify())
    names = {p.name for p in folder.glob("*.csv")}
    return {
        "deliveries": len(deliveries),
        "rows": int(deliveries["rows_in_count"].sum()),
        "accepted": int(deliveries["accepted_count"].sum()),
        "index_rows": len(index),
        "index_twice": int(index["transaction_id"].duplicated().sum()),
        "ledger_events": len(submitted),
        "ledger_twice": int(submitted.duplicated().sum()),
        "index_without_event": len(set(index["transaction_id"]) ^ set(submitted)),
        "files_left": len(names - set(deliveries["source_file"])),
        "rows_lost": int((deliveries["rows_in_count"] - deliveries[out].sum(axis=1)).abs().sum()),
        "leftovers": len([*(intake / "staged").iterdir(), *intake.glob("*/.*")]),
        "ledger_faults": faults,
    }


def main() -> None:
    from benchmarks.intake_kills import kill_and_restart  # under its own name, which a new process can import

    kills = int(os.environ.get("KILLS", "200"))
    with tempfile.TemporaryDirectory(prefix="atlas-bench-") as folder:
        started = time.monotonic()
        found = kill_and_restart(Path(folder), kills, seed=7)
        for name, value in found.items():
            sys.stdout.write(f"{name:<22}{value:>10,}\n")
        sys.stdout.write(f"{'seconds':<22}{time.monotonic() - started:>10,.0f}\n")


if __name__ == "__main__":
    main()
