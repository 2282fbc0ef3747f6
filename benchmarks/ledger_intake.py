"""Idempotent intake by the ledger store, against plain `executemany` of the same rows into the same tables.

Both write 100,000 rows per transaction (random ids and keys) into SQLite with WAL and synchronous=FULL, the same two
tables and indexes; the peer neither looks for duplicates nor hashes, chains or guards anything. The last line is new rows
against ROWS keys held (default 1,000,000). Then these are handed in once more, from the same file and from another one. By
the clock, and per CPU second of this process in brackets; all figures of a line come from the same rows. The same on
PostgreSQL, where the server works besides and the peer stays SQLite's. `python -m benchmarks ledger_intake` (ROWS=3000000 in
the environment measures further; STORES=sqlite leaves one out).
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from atlas_lib.ledger.store import Ledger, open_ledger
from benchmarks.postgres import private_server

CHUNK = 100_000
_TABLES = """
CREATE TABLE txn (txn_no INTEGER PRIMARY KEY, transaction_id TEXT NOT NULL UNIQUE, idempotency_key TEXT,
  fingerprint TEXT, origin TEXT, submitted_us INTEGER, first_append TEXT NOT NULL) STRICT;
CREATE INDEX txn_key ON txn (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE TABLE event (position INTEGER PRIMARY KEY, txn_no INTEGER, batch_no INTEGER, event_type TEXT NOT NULL,
  amount_minor INTEGER NOT NULL, currency TEXT, ts_us INTEGER NOT NULL, actor TEXT, details TEXT) STRICT;
CREATE INDEX event_txn ON event (txn_no) WHERE txn_no IS NOT NULL;
CREATE UNIQUE INDEX event_once ON event (txn_no, event_type) WHERE event_type IN ('TRANSACTION_SUBMITTED');
"""


def submissions(start: int, origin: str = "monday.csv") -> pd.DataFrame:
    """CHUNK payments whose ids come in no order, as most systems give them."""
    digests = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(start, start + CHUNK)]
    ids = pd.Series(digests, dtype="str")
    return pd.DataFrame(
        {
            "transaction_id": ids.str[:32], "idempotency_key": "K" + ids.str[32:60], "fingerprint": ids, "origin": origin,
            "amount_minor": np.arange(CHUNK) + 1, "currency": "EUR", "timestamp": pd.Timestamp("2026-10-30", tz="UTC"),
        }
    )  # fmt: skip


class Peer:
    """The rows put down one after the other, nothing asked."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "cache_size = -262144"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.executescript(_TABLES)
        self._rows = 0

    def write(self, rows: pd.DataFrame) -> None:
        numbers = range(self._rows + 1, self._rows + 1 + len(rows))
        texts = [rows[c].tolist() for c in ("transaction_id", "idempotency_key", "fingerprint", "origin")]
        amounts, stamps = rows["amount_minor"].tolist(), (rows["timestamp"].astype("int64") // 1000).tolist()
        same, details = [[v] * len(rows) for v in ("a", "TRANSACTION_SUBMITTED", "EUR", "peer")], texts[2]
        nothing = [None] * len(rows)
        self._connection.execute("BEGIN IMMEDIATE")
        txn = zip(numbers, *texts, stamps, same[0], strict=True)
        self._connection.executemany("INSERT INTO txn VALUES (?, ?, ?, ?, ?, ?, ?)", txn)
        event = zip(numbers, numbers, nothing, same[1], amounts, same[2], stamps, same[3], details, strict=True)
        self._connection.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", event)
        self._connection.execute("COMMIT")
        self._rows += len(rows)


@dataclass(frozen=True)
class Rate:
    """Keys per second of the clock, and per CPU second of this process."""

    clock: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.clock:,.0f} ({self.cpu:,.0f})"


def rate_of(work: Callable[[], object]) -> Rate:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Rate(CHUNK / (time.perf_counter() - wall), CHUNK / (time.process_time() - cpu))


def measure(peer: Peer, rows: int, ledger: Ledger) -> None:
    write = sys.stdout.write
    write("keys held        intake keys/s         peer rows/s   intake / peer by the clock\n")
    frame = submissions(0)
    for start in range(0, rows + 1, CHUNK):
        frame = submissions(start)
        ours = rate_of(lambda rows=frame, number=start: ledger.intake(f"intake {number}", rows, 24))
        theirs = rate_of(lambda rows=frame: peer.write(rows))
        write(f"{start:>9,}{ours!s:>21}{theirs!s:>20}{ours.clock / theirs.clock:>16.0%}\n")
        sys.stdout.flush()
    again = rate_of(lambda: ledger.intake("again", frame, 24))
    copy = frame.assign(origin="copy.csv")
    other = rate_of(lambda: ledger.intake("copy", copy, 24))
    write(f"the same file read again: {again} keys/s; another file with the same rows: {other} keys/s\n")
    findings = ledger.verify()
    write(f"verify: {ledger.head().entries:,} entries, {len(findings)} findings\n")


def main() -> None:
    rows = int(os.environ.get("ROWS", "1000000"))
    wanted = os.environ.get("STORES", "sqlite,postgresql").split(",")
    with tempfile.TemporaryDirectory(prefix="atlas-bench-") as folder, private_server() as server:
        urls = {"sqlite": f"sqlite:///{folder}/ledger.sqlite"} | ({"postgresql": server.url} if server else {})
        for name in (n for n in urls if n in wanted):
            sys.stdout.write(f"{name}\n")
            with open_ledger(urls[name], "bench") as ledger:
                measure(Peer(Path(folder) / f"{name}-peer.sqlite"), rows, ledger)


if __name__ == "__main__":
    main()
