"""A ledger of an earlier version, with indexes where there are runs today, goes on as if it had always been of this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from atlas_lib.core.errors import LedgerError
from atlas_lib.ledger.access import grant_roles
from atlas_lib.ledger.store import Ledger, open_ledger

Make = Callable[..., pd.DataFrame]
_ONCE = (
    "event_type = 'TRANSACTION_SUBMITTED' OR event_type = 'SETTLEMENT_CONFIRMED' "
    "OR event_type = 'SETTLEMENT_REVERSED' OR event_type = 'CONTRACT_PURCHASED'"
)
EARLIER = (
    "DROP TABLE batch_run",
    "DROP TABLE actor_run",
    "DROP INDEX event_txn_once",
    "CREATE INDEX event_txn ON event (txn_no) WHERE txn_no IS NOT NULL",
    "CREATE INDEX event_batch ON event (batch_no) WHERE batch_no IS NOT NULL",
    "CREATE INDEX event_actor ON event (actor) WHERE actor IS NOT NULL",
    f"CREATE UNIQUE INDEX event_once ON event (txn_no, event_type) WHERE {_ONCE}",
    "CREATE INDEX transfer_position ON transfer (position)",
)


def fill(url: str, submission: Make, event: Make, transfer: Make) -> list[pd.DataFrame]:
    with open_ledger(url, "tester") as ledger:
        ledger.intake("in", submission("T-1", "T-2", "T-3"))
        ledger.append("a", event("T-1", "T-2", batch_id=["B-1", "B-2"]), transfer(2))
        ledger.append("b", event("T-3", "T-1", event_type="SETTLEMENT_CONFIRMED", actor=["ana", "bo"]))
        return read(ledger)


def read(ledger: Ledger) -> list[pd.DataFrame]:
    about = [("transaction", "T-1"), ("batch", "B-1"), ("actor", "tester"), ("actor", "bo"), ("merchant", "M-1")]
    return [ledger.trail(kind, name) for kind, name in about]  # type: ignore[arg-type]


def make_earlier(url: str) -> None:
    with open_ledger(url, "owner") as ledger, ledger._db.writing():
        for statement in EARLIER:
            ledger._db.execute(statement)


def test_an_earlier_ledger_is_read_verified_and_written_as_before(
    ledger_url: str, submission: Make, event: Make, transfer: Make
) -> None:
    before = fill(ledger_url, submission, event, transfer)
    make_earlier(ledger_url)
    with open_ledger(ledger_url, "tester") as ledger:
        for was, now in zip(before, read(ledger), strict=True):
            pd.testing.assert_frame_equal(was, now)
        assert ledger.verify([ledger.head()]).empty
        with pytest.raises(LedgerError):
            ledger.append("c", event("T-1", event_type="SETTLEMENT_CONFIRMED"))
        ledger.append("d", event("T-2", event_type="SETTLEMENT_CONFIRMED", actor="bo"))
        assert ledger.verify([ledger.head()]).empty
        assert ledger.trail("actor", "bo")["transaction_id"].tolist() == ["T-1", "T-2"]
        refused = "UPDATE" if "sqlite" in ledger_url else "is append-only"
        with pytest.raises(LedgerError, match=refused):
            ledger._db.execute("UPDATE actor_run SET n = 1")


def test_on_a_server_only_the_owner_brings_it_to_this_version_and_a_writer_can_write_again(
    postgres: Any, submission: Make, event: Make, transfer: Make
) -> None:
    url = postgres.new_schema()
    fill(url, submission, event, transfer)
    grant_roles(url, "upgrade_writer", "upgrade_reader")
    postgres.run("CREATE ROLE olga LOGIN IN ROLE upgrade_writer")
    make_earlier(url)
    as_writer = url.replace("user=owner", "user=olga")
    with pytest.raises(LedgerError, match="its owner"):
        open_ledger(as_writer, "olga")
    open_ledger(url, "owner").close()
    with open_ledger(as_writer, "olga") as ledger:
        ledger.append("d", event("T-2", event_type="SETTLEMENT_CONFIRMED"))
        assert ledger.trail("actor", "olga")["transaction_id"].tolist() == ["T-2"]
        assert ledger.verify().empty
