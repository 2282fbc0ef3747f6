"""A writer of the ledger, killed with SIGKILL at random moments, on SQLite and on PostgreSQL.

Each round starts a writer in a process of its own. It takes in 20 transactions, books them with 20 transfers, and says
so over a pipe once it holds the receipt; then it goes on. After 0 to 0.4 seconds of that it is killed. Every receipt
that was said must be in the ledger, every append whole, each once, and the chain must verify with every head seen.
`python -m benchmarks ledger_kills` (KILLS per store, default 200; STORES=sqlite leaves one out).
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from multiprocessing.connection import Connection

import pandas as pd

from atlas_lib.ledger.chain import Head
from atlas_lib.ledger.store import Ledger, open_ledger
from benchmarks.postgres import private_server

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["benchmarks.ledger_kills", "psycopg", "pyarrow.csv"])
ROWS, DAY = 20, pd.Timestamp("2026-10-30", tz="UTC")


def work(url: str, first: int, told: Connection) -> None:
    with open_ledger(url, "writer") as ledger:
        for number in range(first, first + 1_000_000):
            ids = pd.Series([f"T-{number}-{i}" for i in range(ROWS)])
            rows = pd.DataFrame({"transaction_id": ids, "amount_minor": 100, "currency": "EUR", "timestamp": DAY})
            ledger.intake(f"in {number}", rows.assign(idempotency_key=ids, fingerprint=ids, origin="day.csv"))
            pair = {"debit_account": "assets:bank:EUR", "credit_account": "suspense", "amount_minor": 100}
            moves = pd.DataFrame({"event": range(ROWS)}).assign(**pair, currency="EUR")
            receipt = ledger.append(f"book {number}", rows.assign(event_type="SETTLEMENT_CONFIRMED"), moves)
            told.send((number, receipt.first_entry))


def one_round(url: str, first: int, dice: random.Random) -> dict[int, int]:
    """The receipts that the writer got before it was killed."""
    from benchmarks.ledger_kills import work as writing  # by its own name, whatever started this measurement

    listening, told = SERVER.Pipe(duplex=False)
    writer = SERVER.Process(target=writing, args=(url, first, told))
    writer.start()
    told.close()
    listening.poll(30)
    time.sleep(dice.uniform(0, 0.4))
    os.kill(writer.pid or 0, signal.SIGKILL)
    writer.join()
    receipts: dict[int, int] = {}
    try:
        while listening.poll():
            number, entry = listening.recv()
            receipts[number] = entry
    except EOFError:
        pass
    return receipts


def lost_of(ledger: Ledger, receipts: dict[int, int]) -> int:
    held = {number: ledger.receipt(f"book {number}") for number in receipts}
    return sum(held[n] is None or held[n].first_entry != entry for n, entry in receipts.items())


def measure(url: str, kills: int) -> str:
    dice, receipts, heads = random.Random(7), {}, list[Head]()  # noqa: S311
    for _ in range(kills):
        first = max(receipts, default=-1) + 1
        receipts |= one_round(url, first, dice)
        with open_ledger(url, "reader") as ledger:
            heads.append(ledger.head())
    with open_ledger(url, "reader") as ledger:
        counts = ledger.events()["event_type"].value_counts()
        booked = int(counts["SETTLEMENT_CONFIRMED"])
        torn = sum(int(n) % ROWS != 0 for n in counts)
        twice = booked - ledger.events(event_types=["SETTLEMENT_CONFIRMED"])["transaction_id"].nunique()
        return (
            f"{kills} kills, {len(receipts)} appends acknowledged, {booked // ROWS} written, {lost_of(ledger, receipts)} lost, "
            f"{torn} torn, {twice} entries twice, {len(ledger.verify(heads))} findings against {len(heads)} heads"
        )


def main() -> None:
    kills = int(os.environ.get("KILLS", "200"))
    wanted = os.environ.get("STORES", "sqlite,postgresql").split(",")
    with tempfile.TemporaryDirectory(prefix="atlas-bench-") as folder, private_server() as server:
        urls = {"sqlite": f"sqlite:///{folder}/ledger.sqlite"} | ({"postgresql": server.url} if server else {})
        for name, url in urls.items():
            if name in wanted:
                sys.stdout.write(f"{name}: {measure(url, kills)}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
