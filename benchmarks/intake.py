"""Intake of a transactions file: validated, deduplicated and screened, from Parquet to Parquet; with the ledger store and without.

    python -m benchmarks.intake [ROWS ...]        default 100,000 and 1,000,000
    ATLAS_MEMORY_LIMIT=1GB python -m benchmarks.intake 10000000

The file is that of `atlas example-data` (one row in 1,500 to be refused, one in 160 repeated), multiplied with its own
ids where more is asked for. The peer does with plain pandas what of it pandas has one call for: types, allowed
words, limits, repeated ids; it says of no cell what is wrong and screens nothing. Each measurement is a process of its
own; rows/s by wall time, CPU seconds, microseconds of wall time per row and peak memory of the process.

"With the store" is everything, the rows registered in a SQLite file; "waiting for the store" is the part of it spent in
the store's calls. "All but the waiting" is what the store adds its time to; work of ours that is done during the calls
(the next rows made ready, the accepted ones written) does not show in its clock, and its CPU seconds leave out what
ours took meanwhile. So the other figures are measured without any store, nothing subtracted: the same work again with
a ledger that hands back what the real one answered in the first measurement (from a file where it is more than that
every row is new, which it says of the rows it is given).

"Cold" is a new process with everything it has to import, "warm" the function calls of a process that has taken in a
small file before, as a notebook kernel that was started ahead or a service. Some of the work does not grow with the
file (the reference tables are those of 100,000 rows, however many the transactions are; some sixty statements are
planned); "each further row" is what one more transaction costs between a size and the next one, without that.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
from pyarrow import feather

BASE_ROWS = 100_000
_LEAST = 400


def main(sizes: list[int]) -> None:
    with tempfile.TemporaryDirectory(prefix="atlas-bench-") as folder:
        print_line("rows", "work", "rows/s", "CPU s", "wall s", "us a row", "peak GiB")
        smaller: tuple[int, list[float]] | None = None
        for rows in sizes:
            path = make_file(Path(folder), rows)
            stored, cold, ours, theirs = (measure(which, path) for which in ("stored", "cold", "warm", "peer"))
            print_line(rows, "with the store, warm", *figures(rows, stored["stage"], stored["peak"]))
            print_line(rows, "  waiting for the store", *figures(rows, stored["waiting"], stored["peak"]))
            print_line(
                rows, "  all but the waiting", *figures(rows, less(stored["stage"], stored["waiting"]), stored["peak"])
            )
            print_line(rows, "validated, deduplicated, screened, cold", *figures(rows, cold["whole"], cold["peak"]))
            print_line(rows, "validated, deduplicated, screened, warm", *figures(rows, ours["stage"], ours["peak"]))
            for part in ("validate", "deduplicate", "screen"):
                print_line(rows, f"  {part}", *figures(rows, ours[part], ours["peak"]))
            print_line(
                rows, "peer: pandas, validated and deduplicated", *figures(rows, theirs["stage"], theirs["peak"])
            )
            both = [ours["validate"][i] + ours["deduplicate"][i] for i in (0, 1)]
            print_line(rows, "ratio to the peer, CPU and wall", "", *(f"{a / b:.2f}" for a, b in zip(both, theirs["stage"], strict=True)), "", "")  # fmt: skip
            if smaller is not None:
                print_further(rows - smaller[0], less(ours["stage"], smaller[1]))
            smaller = rows, ours["stage"]


def print_further(rows: int, taken: list[float]) -> None:
    print_line(rows, "each further row, warm: us CPU and wall", "", *(f"{t / rows * 1e6:.2f}" for t in taken), "", "")


def less(whole: list[float], part: list[float]) -> list[float]:
    return [a - b for a, b in zip(whole, part, strict=True)]


def figures(rows: int, taken: list[float], peak: float) -> tuple[str, ...]:
    return (
        f"{rows / taken[1]:,.0f}",
        f"{taken[0]:.2f}",
        f"{taken[1]:.2f}",
        f"{taken[1] / rows * 1e6:.2f}",
        f"{peak:.2f}",
    )


def print_line(rows: int | str, work: str, *cells: str) -> None:
    shown = f"{rows:,}" if isinstance(rows, int) else rows
    sys.stdout.write(f"{shown:>12}  {work:<42}" + "".join(f"{c:>12}" for c in cells) + "\n")
    sys.stdout.flush()


def make_file(folder: Path, rows: int) -> Path:
    """A folder with transactions.parquet of that many rows, and the reference tables of the generated input."""
    import duckdb

    from atlas_lib.example_data import generate

    size = max(_LEAST, min(rows, BASE_ROWS))
    base, made = folder / f"base_{size}", folder / f"rows_{rows}"
    if not base.exists():
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


class StoringLedger:
    """The real store, with the time its answers take; they are kept."""

    def __init__(self, ledger: Any, answers: Path) -> None:
        self._ledger, self._answers, self.clock = ledger, answers, Clock()

    def intake(self, append_id: str, *given: Any) -> pd.DataFrame:
        with self.clock:
            answer: pd.DataFrame = self._ledger.intake(append_id, *given)
        if not (answer["outcome"] == "new").all():
            feather.write_feather(answer, self._answers / append_id)
        return answer


class AnsweringLedger:
    """Hands back what the real store answered; that counts as ours."""

    def __init__(self, answers: Path) -> None:
        self._answers, self.clock = answers, Clock()

    def intake(self, append_id: str, given: pd.DataFrame, _ttl_hours: int) -> pd.DataFrame:
        kept = self._answers / append_id
        if kept.exists():
            answer: pd.DataFrame = feather.read_feather(kept)
            return answer
        first = {f"first_{name}": given[name] for name in ("transaction_id", "origin", "fingerprint")}
        return pd.DataFrame({"transaction_id": given["transaction_id"], "is_new": True, "outcome": "new"} | first)


@contextmanager
def storing(path: Path) -> Iterator[StoringLedger]:
    from atlas_lib.ledger.store import open_ledger

    answers = path / "answers"
    answers.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as store, open_ledger(f"sqlite:///{store}/ledger.sqlite", "bench") as ledger:
        yield StoringLedger(ledger, answers)


@contextmanager
def answering(path: Path) -> Iterator[AnsweringLedger]:
    yield AnsweringLedger(path / "answers")


def stored(path: Path) -> dict[str, list[float]]:
    """With the store, after a first file of a few rows in the same process."""
    warm_up()
    return ours(path, storing)


def cold(path: Path) -> dict[str, list[float]]:
    """With the imports."""
    whole = Clock()
    with whole:
        found = ours(path, answering)
    return found | {"whole": whole.taken}


def warm(path: Path) -> dict[str, list[float]]:
    """After a first file of a few rows in the same process."""
    warm_up()
    return ours(path, answering)


def warm_up() -> None:
    with tempfile.TemporaryDirectory() as folder:
        ours(make_file(Path(folder), _LEAST), storing)


def ours(path: Path, open_store: Callable[[Path], AbstractContextManager[Any]]) -> dict[str, list[float]]:
    from atlas_lib.core.engine import open_engine
    from atlas_lib.core.settings import IngestSettings
    from atlas_lib.ingest import accept_submissions, load_inputs, screen_transactions

    settings, engine = IngestSettings(), open_engine("duckdb")
    validate, accept, screen = Clock(), Clock(), Clock()
    engine.run([("warm", "SELECT 1 AS one")], {}, ["warm"])
    with validate:
        clean = SimpleNamespace(**load_inputs(str(path.resolve()), settings, engine))
    with open_store(path) as ledger:
        with accept:
            intake = SimpleNamespace(**accept_submissions(clean.submissions, engine, ledger, 24))
        with screen:
            screen_transactions(clean, intake, engine, settings)
    stage = [sum(parts) for parts in zip(validate.taken, accept.taken, screen.taken, strict=True)]
    return {
        "stage": stage, "validate": validate.taken, "deduplicate": accept.taken, "screen": screen.taken,
        "waiting": ledger.clock.taken,
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
        found: dict[str, Any] = {"stored": stored, "cold": cold, "warm": warm, "peer": peer}[sys.argv[2]](
            Path(sys.argv[3])
        )
        found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        main([int(size.replace(",", "")) for size in sys.argv[1:] if size[:1].isdigit()] or [100_000, 1_000_000])
