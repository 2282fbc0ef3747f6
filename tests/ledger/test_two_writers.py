"""Two real processes on one ledger store at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import pandas as pd
import pytest

from atlas_lib.core.errors import LedgerError
from atlas_lib.ledger.store import open_ledger

DAY = pd.Timestamp("2026-10-30", tz="UTC")
SPAWN = multiprocessing.get_context("spawn")


def rows(start: int, stop: int) -> pd.DataFrame:
    ids = [f"T-{i}" for i in range(start, stop)]
    frame = pd.DataFrame({"transaction_id": ids, "idempotency_key": ids, "fingerprint": ids})
    return frame.assign(origin="book.xlsx", amount_minor=100, currency="EUR", timestamp=DAY)


def write(url: str, start: int, stop: int) -> None:
    """Opens the ledger (which may not exist yet), takes in, commits and appends transactions start to stop."""
    with open_ledger(url, "writer") as ledger:
        for i in range(start, stop):
            ledger.intake(f"intake {i}", rows(20 * i, 20 * i + 20))
            ledger.commit_once(f"batch {i}", f"plan of {start}")
            events = rows(20 * i, 20 * i + 20)[["transaction_id", "amount_minor", "currency", "timestamp"]]
            pair = {"debit_account": "assets:bank:EUR", "credit_account": "suspense", "amount_minor": 100}
            moves = pd.DataFrame({"event": range(20)}).assign(**pair, currency="EUR")
            ledger.append(f"batch {i}", events.assign(event_type="SETTLEMENT_CONFIRMED"), moves)


def test_two_writers_with_half_their_work_in_common_write_each_piece_once(ledger_url: str) -> None:
    url = ledger_url
    writers = [SPAWN.Process(target=write, args=(url, start, start + 8)) for start in (0, 4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [w.exitcode for w in writers] == [0, 0]
    with open_ledger(url, "reader") as ledger:
        counts = ledger.events().groupby("event_type").size()
        assert counts.to_dict() == {"SETTLEMENT_CONFIRMED": 240, "TRANSACTION_SUBMITTED": 240}
        assert ledger.events()["transaction_id"].value_counts().unique().tolist() == [2]
        assert ledger.balances()["balance_minor"].abs().tolist() == [24_000, 24_000]
        assert len(ledger.committed(f"batch {i}" for i in range(12))) == 12
        assert ledger.verify().empty


def test_a_writer_killed_at_any_moment_leaves_whole_appends_only(ledger_url: str) -> None:
    url = ledger_url
    open_ledger(url, "reader").close()
    writer = SPAWN.Process(target=write, args=(url, 0, 100_000))
    writer.start()
    with open_ledger(url, "reader") as ledger:
        deadline = time.monotonic() + 60
        while ledger.head().entries < 120 and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(writer.pid or 0, signal.SIGKILL)
        writer.join(30)
        counts = ledger.events().groupby("event_type").size()
        assert counts["TRANSACTION_SUBMITTED"] >= 60
        assert (counts % 20 == 0).all()
        assert ledger.verify().empty
        done = int(counts["SETTLEMENT_CONFIRMED"]) // 20
    write(url, 0, done + 2)
    with open_ledger(url, "reader") as ledger:
        assert len(ledger.events()) == 40 * (done + 2)
        assert ledger.verify().empty


def test_a_store_that_stays_locked_says_so_and_can_be_used_again(ledger_url: str) -> None:
    is_file = ledger_url.startswith("sqlite")
    with open_ledger(ledger_url, "one") as one, open_ledger(ledger_url, "two") as two:
        two._db.execute("PRAGMA busy_timeout = 50" if is_file else "SET lock_timeout = 50")
        with one.together(), pytest.raises(LedgerError, match="lock"):
            two.commit_once("k", "v")
        assert two.commit_once("k", "v") == (True, "v")
