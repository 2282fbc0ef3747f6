"""Verification names the first entry that does not fit, whatever was done to the store behind its back."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from atlas_lib.core.errors import LedgerError
from atlas_lib.ledger.chain import BLOCK_ROWS
from atlas_lib.ledger.store import Ledger, open_ledger

Make = Callable[..., pd.DataFrame]
Tamper = Callable[..., None]


@pytest.fixture
def filled(ledger: Ledger, submission: Make, event: Make, transfer: Make) -> Ledger:
    ledger.intake("in", submission("T-1", "T-2", "T-3"))
    ledger.append("a", event("T-1", "T-2", "T-3"), transfer(3, kind="pending"))
    waiting = ledger.transfers(open_only=True)
    closing = waiting.assign(event=range(3), kind="post", pending_no=waiting["transfer_no"])
    ledger.append("b", event("T-1", "T-2", "T-3", event_type="SETTLEMENT_CONFIRMED"), closing)
    return ledger


def test_an_untouched_ledger_has_no_findings(filled: Ledger) -> None:
    assert filled.verify().empty
    assert filled.verify(trusted=[filled.head()]).empty


@pytest.mark.parametrize(
    ("statement", "entry_id", "finding"),
    [
        ("UPDATE event SET amount_minor = 1 WHERE position = 5", 5, "entry changed"),
        ("UPDATE event SET actor = 'me' WHERE position = 8", 8, "entry changed"),
        ("UPDATE event SET details = NULL WHERE position = 4", 4, "entry changed"),
        ("UPDATE event SET txn_no = 3 WHERE position = 4", 4, "entry changed"),
        ("UPDATE txn SET transaction_id = 'T-9' WHERE txn_no = 2", 2, "entry changed"),
        ("UPDATE batch SET batch_id = 'B-9'", 4, "entry changed"),
        ("DELETE FROM event WHERE position = 6", 6, "entry changed"),
        ("DELETE FROM event WHERE position = 9", 9, "entry changed"),
        ("INSERT INTO event SELECT 10, 1, 1, 'BATCH_CREATED', 5, currency, 0, actor, details FROM event LIMIT 1", 10, "entry outside the chain"),
        ("UPDATE transfer SET amount_minor = 1 WHERE transfer_no = 2", 5, "transfer changed"),
        ("UPDATE transfer SET debit_account = credit_account, credit_account = debit_account", 4, "transfer changed"),
        ("UPDATE account SET code = 'assets:bank:me' WHERE code = 'assets:bank:EUR'", 4, "transfer changed"),
        ("DELETE FROM transfer WHERE transfer_no = 6", 7, "transfer changed"),
        ("UPDATE txn SET fingerprint = 'x' WHERE txn_no = 3", 3, "registration differs from its entry"),
        ("UPDATE batch_run SET n = 2 WHERE first_position = 4", 0, "run of a batch that its entries do not support"),
        ("UPDATE actor_run SET actor = 'me' WHERE first_position = 4", 4, "run of an actor that its entries do not support"),
        ("DELETE FROM actor_run WHERE first_position = 7", 0, "run of an actor that its entries do not support"),
        ("UPDATE balance SET debits_posted = 1", 0, "balance differs from its transfers"),
        ("UPDATE block SET writer = 'me' WHERE block_no = 2", 4, "block header changed"),
        ("DELETE FROM block WHERE block_no = 2", 4, "block missing"),
    ],
)  # fmt: skip
def test_the_first_broken_entry_is_named(
    filled: Ledger, tamper: Tamper, statement: str, entry_id: int, finding: str
) -> None:
    tamper(statement)
    findings = filled.verify()
    assert findings[["entry_id", "finding"]].iloc[0].tolist() == [entry_id, finding]


def test_an_entry_is_found_changed_even_when_its_leaf_was_recomputed(filled: Ledger, tamper: Tamper) -> None:
    tamper(
        "UPDATE block SET event_leaves = prev_hash WHERE block_no = 2",
        "DELETE FROM event WHERE position BETWEEN 4 AND 6",
    )
    assert not filled.verify().empty


def test_a_cut_tail_is_found_by_the_head_that_was_kept_elsewhere(filled: Ledger, tamper: Tamper) -> None:
    trusted = filled.head()
    tamper(
        "DELETE FROM block WHERE block_no = 3",
        "DELETE FROM event WHERE position > 6",
        "DELETE FROM transfer WHERE transfer_no > 3",
        "DELETE FROM batch_run WHERE first_position > 6",
        "DELETE FROM actor_run WHERE first_position > 6",
        "UPDATE balance SET debits_pending = debits_posted, credits_pending = credits_posted",
        "UPDATE balance SET debits_posted = 0, credits_posted = 0",
    )
    assert filled.verify().empty
    assert filled.verify([trusted])["finding"].tolist() == ["tail cut before the trusted head"]


def test_a_rewritten_ledger_is_found_by_the_head_that_was_kept_elsewhere(
    filled: Ledger, tmp_path: Path, event: Make
) -> None:
    trusted = filled.head()
    with open_ledger(f"sqlite:///{tmp_path / 'other.sqlite'}", "tester") as other:
        for name in "abc":
            other.append(name, event("T-1", batch_id=name))
        assert other.verify().empty
        assert other.verify([trusted])["finding"].tolist() == ["another ledger than the trusted one"]
        as_if = dataclasses.replace(trusted, ledger_id=other.head().ledger_id)
        assert other.verify([as_if])["finding"].tolist() == ["chain rewritten before the trusted head"]


def test_an_append_of_several_blocks_verifies_and_a_late_entry_in_it_is_named(
    ledger: Ledger, tamper: Tamper, event: Make, transfer: Make
) -> None:
    count = 2 * BLOCK_ROWS + 5
    ledger.append("big", event(*(f"T-{i}" for i in range(count))), transfer(count))
    assert ledger.head().block_no == 3
    assert ledger.verify().empty
    tamper("UPDATE event SET amount_minor = 1 WHERE position = 8190")
    assert ledger.verify()["entry_id"].tolist() == [8190]


def test_a_changed_byte_of_the_file_is_found_or_changes_nothing_that_is_read(
    tmp_path: Path, submission: Make, event: Make, transfer: Make
) -> None:
    whole, copy = tmp_path / "whole.sqlite", tmp_path / "copy.sqlite"
    with open_ledger(f"sqlite:///{whole}", "tester") as ledger:
        ids = [f"T-{i}" for i in range(120)]
        ledger.intake("in", submission(*ids))
        ledger.append("a", event(*ids), transfer(120))
        written = (ledger.events(), ledger.transfers(), ledger.balances())
        head = ledger.head()
        ledger._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw, dice, found = whole.read_bytes(), random.Random(7), 0  # noqa: S311
    for _ in range(60):
        at = dice.randrange(len(raw))
        copy.write_bytes(raw[:at] + bytes([raw[at] ^ (1 << dice.randrange(8))]) + raw[at + 1 :])
        try:
            with open_ledger(f"sqlite:///{copy}", "tester") as ledger:
                if not ledger.verify([head]).empty:
                    found += 1
                    continue
                for before, after in zip(
                    written, (ledger.events(), ledger.transfers(), ledger.balances()), strict=True
                ):
                    pd.testing.assert_frame_equal(before, after)
        except LedgerError:
            found += 1
    assert found > 10
