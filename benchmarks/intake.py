"""Intake of a transactions file: validated, deduplicated and screened, from Parquet to Parquet; the ledger store apart.

    python -m benchmarks.intake [ROWS ...]        default 100,000 and 1,000,000
    ATLAS_MEMORY_LIMIT=1GB python -m benchmarks.intake 10000000

The file is that of `atlas example-data` (one row in 1,500 to be refused, one in 160 repeated), multiplied with its own
ids where more is asked for. The peer does with plain pandas what of it pandas has one call for: types, allowed
words, limits, repeated ids; it says of no cell what is wrong and screens nothing. Each measurement is a process of its
own; rows/s by wall time, CPU seconds and peak memory of the process. The ledger store registers the same rows in a
SQLite file; its time is taken out of the first figure and given by itself.

Two figures of the same work: "cold" is a new process with everything it has to import, "warm" the function calls of a
process that has taken in a small file before, as a notebook kernel that was started ahead or a service.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd

BASE_ROWS = 100_000
_LEAST = 400


def main(sizes: list[int]) -> None:
    with tempfile.TemporaryDirectory(prefix="atlas-bench-") as folder:
        print_line("rows", "work", "rows/s", "CPU s", "wall s", "peak GiB")
        for rows in sizes:
            path = make_file(Path(folder), rows)
            cold, ours, theirs = (measure(which, path) for which in ("cold", "warm", "peer"))
            print_line(rows, "validated, deduplicated, screened, cold", *figures(rows, cold["whole"], cold["peak"]))
            print_line(rows, "validated, deduplicated, screened, warm", *figures(rows, ours["stage"], ours["peak"]))
            for part in ("validate", "deduplicate", "screen", "register"):
                print_line(rows, f"  {part}", *figures(rows, ours[part], ours["peak"]))
            print_line(
                rows, "peer: pandas, validated and deduplicated", *figures(rows, theirs["stage"], theirs["peak"])
            )
            both = [ours["validate"][i] + ours["deduplicate"][i] for i in (0, 1)]
            print_line(rows, "ratio to the peer, CPU and wall", "", *(f"{a / b:.2f}" for a, b in zip(both, theirs["stage"], strict=True)), "")  # fmt: skip


def figures(rows: int, taken: list[float], peak: float) -> tuple[str, ...]:
    return f"{rows / taken[1]:,.0f}", f"{taken[0]:.2f}", f"{taken[1]:.2f}", f"{peak:.2f}"


def print_line(rows: int | str, work: str, *cells: str) -> None:
    shown = f"{rows:,}" if isinstance(rows, int) else rows
    sys.stdout.write(f"{shown:>12}  {work:<42}" + "".join(f"{c:>12}" for c in cells) + "\n")
    sys.stdout.flush()


def make_file(folder: Path, rows: int) -> Path:
    """A folder with transactions.parquet of that many rows, and the reference tables of the generated input."""
    import duckdb

    from atlas_lib.example_data import generate

    base, made = folder / "base", folder / f"rows_{rows}"
    size = max(_LEAST, min(rows, BASE_ROWS))
    if not base.exists() or size < BASE_ROWS:
        generate(size, 7, base)
    made.mkdir()
    (made / "reference.xlsx").write_bytes((base / "reference.xlsx").read_bytes())
    (made / "fraud_signals.csv").write_bytes((base / "fraud_signals.csv").read_bytes())
    source = next(base.glob("transactions.*"))
    reader = "read_parquet(?)" if source.suffix == ".parquet" else "read_csv(?, all_varchar = true)"
    changed = """* REPLACE (concat(transaction_id, '-', k) AS transaction_id, concat(idempotency_key, '-', k) AS idempotency_key,
        concat(user_id, '-', k) AS user_id, concat(source_account, '-', k) AS source_account)"""
    duckdb.execute(
        f"""COPY (SELECT {changed} FROM {reader} t, (SELECT unnest(generate_series(1, ?)) AS k) copies ORDER BY k)
        TO '{made / "transactions.parquet"}' (FORMAT parquet)""",  # noqa: S608 - a path made here
        [str(source), -(-rows // size)],
    )
    return made


def measure(which: str, path: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.intake", "--child", which, str(path)], check=True, capture_output=True, text=True
    )  # fmt: skip
    return dict(json.loads(done.stdout.splitlines()[-1]))


class Clock:
    """CPU and wall seconds of what happens within it, added up."""

    def __init__(self) -> None:
        self.taken = [0.0, 0.0]

    def __enter__(self) -> None:
        self._started = (time.process_time(), time.perf_counter())

    def __exit__(self, *error: object) -> None:
        now = (time.process_time(), time.perf_counter())
        self.taken = [t + b - a for t, a, b in zip(self.taken, self._started, now, strict=True)]


class TimedLedger:
    """The real store, with the time its answers take."""

    def __init__(self, ledger: Any) -> None:
        self._ledger, self.clock = ledger, Clock()

    def intake(self, *given: Any) -> Any:
        with self.clock:
            return self._ledger.intake(*given)


def cold(path: Path) -> dict[str, list[float]]:
    """With the imports, without the time of the ledger store."""
    whole = Clock()
    with whole:
        found = ours(path)
    return found | {"whole": [a - b for a, b in zip(whole.taken, found["register"], strict=True)]}


def warm(path: Path) -> dict[str, list[float]]:
    """After a first file of a few rows in the same process."""
    with tempfile.TemporaryDirectory() as folder:
        ours(make_file(Path(folder), _LEAST))
    return ours(path)


def ours(path: Path) -> dict[str, list[float]]:
    from atlas_lib.core.engine import open_engine
    from atlas_lib.core.settings import IngestSettings
    from atlas_lib.ingest import accept_submissions, load_inputs, screen_transactions
    from atlas_lib.ledger.store import open_ledger

    settings, engine = IngestSettings(), open_engine("duckdb")
    validate, accept, screen = Clock(), Clock(), Clock()
    engine.run([("warm", "SELECT 1 AS one")], {}, ["warm"])
    with validate:
        clean = SimpleNamespace(**load_inputs(str(path.resolve()), settings, engine))
    with tempfile.TemporaryDirectory() as store, open_ledger(f"sqlite:///{store}/ledger.sqlite", "bench") as opened:
        ledger = TimedLedger(opened)
        with accept:
            intake = SimpleNamespace(**accept_submissions(clean.submissions, engine, ledger, 24))
        with screen:
            screen_transactions(clean, intake, engine, settings)
    deduplicate = [a - b for a, b in zip(accept.taken, ledger.clock.taken, strict=True)]
    stage = [sum(parts) for parts in zip(validate.taken, deduplicate, screen.taken, strict=True)]
    return {
        "stage": stage, "validate": validate.taken, "deduplicate": deduplicate, "screen": screen.taken,
        "register": ledger.clock.taken,
    }  # fmt: skip


def peer(path: Path) -> dict[str, list[float]]:
    clock = Clock()
    with clock:
        rows = pd.read_parquet(path / "transactions.parquet")
        amount = pd.to_numeric(rows["amount"], errors="coerce")
        created = pd.to_datetime(rows["created_at"], errors="coerce", utc=True, format="ISO8601")
        good = amount.between(0, 5e7, inclusive="right") & created.notna()
        good &= rows["type"].isin(["SALE", "REFUND", "CHARGEBACK", "FEE", "PAYOUT"])
        good &= rows["status"].isin(["PENDING", "APPROVED", "DECLINED", "REFUNDED"])
        good &= rows["settlement_window"].isin(["RTGS", "T0", "T1", "T2"]) & rows["source_currency"].str.fullmatch(
            "[A-Z]{3}"
        )
        good &= rows["source_account"] != rows["destination_account"]
        for column in ("transaction_id", "merchant_id", "user_id", "counterparty_id"):
            good &= rows[column].str.strip().str.len().le(50)
        kept = rows.assign(amount=amount, created_at=created)[good].sort_values("created_at", kind="stable")
        kept = kept.drop_duplicates("transaction_id").drop_duplicates("idempotency_key").sort_values("transaction_id")
        kept.to_parquet(path / "peer.parquet", compression="zstd")
    return {"stage": clock.taken}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        found: dict[str, Any] = {"cold": cold, "warm": warm, "peer": peer}[sys.argv[2]](Path(sys.argv[3]))
        found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        main([int(size.replace(",", "")) for size in sys.argv[1:] if size[:1].isdigit()] or [100_000, 1_000_000])
