"""Rights in PostgreSQL, tried by connecting as each role."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest

from atlas_lib.core.errors import LedgerError
from atlas_lib.ledger.access import grant_roles
from atlas_lib.ledger.store import Ledger, open_ledger

Make = Callable[..., pd.DataFrame]


@pytest.fixture
def address(postgres: Any) -> str:
    """A new ledger with both roles, each with a login: clerk is a writer, auditor a reader."""
    url = str(postgres.new_schema())
    grant_roles(url)
    grant_roles(url)
    for login, role in (("clerk", "atlas_writer"), ("auditor", "atlas_reader")):
        postgres.run(f"DROP ROLE IF EXISTS {login}", f"CREATE ROLE {login} LOGIN IN ROLE {role}")
    return url


@pytest.fixture
def clerk(address: str, event: Make, transfer: Make, submission: Make) -> Iterator[Ledger]:
    with open_ledger(address.replace("user=owner", "user=clerk"), "clerk") as ledger:
        ledger.intake("in", submission("T-1"))
        ledger.append("a", event("T-1"), transfer(1))
        ledger.commit_once("k", "v")
        yield ledger


def test_a_writer_appends_and_reads_and_the_balances_follow(clerk: Ledger) -> None:
    assert clerk.balances()["balance_minor"].tolist() == [100, -100]
    assert clerk.verify().empty


def test_a_reader_reads_and_verifies_and_writes_nothing(clerk: Ledger, address: str, event: Make) -> None:
    with open_ledger(address.replace("user=owner", "user=auditor"), "auditor") as auditor:
        assert auditor.events()["event_type"].tolist() == ["TRANSACTION_SUBMITTED", "SETTLEMENT_INITIATED"]
        assert auditor.verify([clerk.head()]).empty
        with pytest.raises(LedgerError, match="permission denied"):
            auditor.append("b", event("T-2"))
        with pytest.raises(LedgerError, match="permission denied"):
            auditor.commit_once("other", "v")


@pytest.mark.parametrize("login", ["clerk", "auditor"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET actor = actor", "UPDATE balance SET debits_posted = 0", "UPDATE txn SET origin = 'x'",
        "DELETE FROM event", "DELETE FROM transfer", "DELETE FROM block", "DELETE FROM balance", "DELETE FROM account",
        "TRUNCATE event",
        "ALTER TABLE event DISABLE TRIGGER USER",
        "DROP TRIGGER transfer_books ON transfer",
        "SET session_replication_role = replica",
        "INSERT INTO ledger VALUES ('mine', 1)",
        "INSERT INTO balance VALUES (9, 1, 1, 1, 1)",
        "CREATE TABLE mine (n int)",
    ],
)  # fmt: skip
@pytest.mark.usefixtures("clerk")
def test_nobody_may_change_what_is_written(address: str, login: str, statement: str) -> None:
    with (
        open_ledger(address.replace("user=owner", f"user={login}"), login) as opened,
        pytest.raises(LedgerError, match=r"permission denied|must be owner"),
    ):
        opened._db.execute(statement)


def test_a_table_of_the_session_does_not_stand_in_for_the_balances(clerk: Ledger, event: Make, transfer: Make) -> None:
    clerk._db.execute("CREATE TEMP TABLE balance (LIKE balance)")
    clerk.append("b", event("T-2"), transfer(1))
    clerk._db.execute("DROP TABLE pg_temp.balance")
    assert clerk.balances()["balance_minor"].tolist() == [200, -200]


@pytest.mark.usefixtures("clerk")
def test_the_owner_may_not_change_it_either_while_the_triggers_stand(address: str) -> None:
    with open_ledger(address, "owner") as owner:
        for statement in ("UPDATE event SET actor = 'me'", "DELETE FROM transfer", "TRUNCATE block"):
            with pytest.raises(LedgerError, match="append-only"):
                owner._db.execute(statement)


def test_a_file_has_no_roles(tmp_path: object) -> None:
    with pytest.raises(LedgerError, match="no roles"):
        grant_roles(f"sqlite:///{tmp_path}/ledger.sqlite")
