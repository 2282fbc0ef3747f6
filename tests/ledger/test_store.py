"""The ledger store: appends happen once, the store refuses what would break it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from atlas_lib.core.errors import LedgerError
from atlas_lib.ledger.store import Ledger, open_ledger

Make = Callable[..., pd.DataFrame]


def test_an_append_comes_back_in_order_with_all_its_fields(ledger: Ledger, event: Make) -> None:
    events = event("T-2", "T-1", details='{"why": "ä"}').assign(amount_minor=[7, 9], actor="risk desk")
    receipt = ledger.append("a", events)
    assert (receipt.first_entry, receipt.entries, receipt.is_replay) == (1, 2, False)
    found = ledger.events()
    assert found["entry_id"].tolist() == [1, 2]
    pd.testing.assert_frame_equal(found.drop(columns="entry_id"), events[found.columns[1:]], check_dtype=False)


def test_an_append_of_several_blocks_comes_back_with_what_is_absent_and_what_is_not_ascii(
    ledger: Ledger, event: Make
) -> None:
    count = 2 * 4096 + 7
    ids = ["" if n % 3 == 0 else f"Ä-{n // 2}" for n in range(count)]
    given = event(*ids, event_type="SETTLEMENT_FAILED").assign(
        batch_id=["" if n % 5 == 0 else f"B-{n // 1000}" for n in range(count)], amount_minor=range(-3, count - 3),
        details=[f'{{"reason": "{"zu spät€ "* (n % 4)}, \\\\ \\n"}}' for n in range(count)],
    )  # fmt: skip
    ledger.append("large", given)
    held = ledger.events()
    for column in ("transaction_id", "batch_id", "amount_minor", "currency", "details"):
        assert held[column].tolist() == given[column].tolist(), column
    assert ledger.verify([ledger.head()]).empty
    assert ledger._db.value("SELECT count(*) FROM block") == 3


def test_threads_share_a_ledger_one_at_a_time(ledger: Ledger, event: Make) -> None:
    """JupyterLab runs clicks on widgets in a thread of their own, perhaps while a cell works with the same ledger."""
    with ThreadPoolExecutor(4) as clicks:
        written = [clicks.submit(ledger.append, f"a{n}", event(f"T-{n}")) for n in range(40)]
        seen = [clicks.submit(lambda: len(ledger.events())) for _ in range(40)]
        for n in range(40, 60):
            ledger.append(f"a{n}", event(f"T-{n}"))
        assert sorted(w.result().entries for w in written) == [1] * 40
        assert all(0 <= s.result() <= 60 for s in seen)
    assert sorted(ledger.events()["transaction_id"]) == sorted(f"T-{n}" for n in range(60))
    assert ledger.verify().empty


def test_the_same_append_again_writes_nothing_even_with_other_timestamps(ledger: Ledger, event: Make) -> None:
    first = ledger.append("a", event("T-1"))
    again = ledger.append("a", event("T-1", timestamp=pd.Timestamp("2027-01-01", tz="UTC")))
    assert again.is_replay
    assert (again.first_entry, again.entries, again.block_hash) == (first.first_entry, first.entries, first.block_hash)
    assert len(ledger.events()) == 1


def test_the_same_append_id_with_other_content_is_refused(ledger: Ledger, event: Make, transfer: Make) -> None:
    ledger.append("a", event("T-1"), transfer(1))
    for other in (event("T-2"), event("T-1", amount_minor=101), event("T-1", details="")):
        with pytest.raises(LedgerError, match="other content"):
            ledger.append("a", other, transfer(1))
    with pytest.raises(LedgerError, match="other content"):
        ledger.append("a", event("T-1"), transfer(1, amount_minor=99))


def test_a_refused_append_leaves_nothing_behind(ledger: Ledger, event: Make, transfer: Make) -> None:
    ledger.append("a", event("T-1", event_type="SETTLEMENT_CONFIRMED"), transfer(1))
    head = ledger.head()
    with pytest.raises(LedgerError, match="refused"):
        ledger.append("b", event("T-2", "T-1", event_type="SETTLEMENT_CONFIRMED"), transfer(2))
    assert ledger.head() == head
    assert ledger.postings()["debit_minor"].sum() == 100
    assert ledger.verify().empty


def test_a_large_append_that_is_refused_leaves_nothing_behind_and_the_next_is_written(
    ledger: Ledger, event: Make, transfer: Make
) -> None:
    ids = [f"T-{n}" for n in range(2_500)]
    head = ledger.head()
    with pytest.raises(LedgerError, match="refused"):
        ledger.append("a", event(*ids, "T-1", event_type="SETTLEMENT_CONFIRMED"), transfer(2_501))
    assert ledger.head() == head
    with pytest.raises(LedgerError, match="refused") as told:
        ledger.append("b", event(*ids), transfer(2_500, kind="post", pending_no=7))
    assert "in failed" not in str(told.value) and "aborted" not in str(told.value)
    receipt = ledger.append("c", event(*ids, event_type="SETTLEMENT_CONFIRMED"), transfer(2_500))
    assert (receipt.first_entry, receipt.entries, receipt.transfers) == (1, 2_500, 2_500)
    assert ledger.append("c", event(*ids, event_type="SETTLEMENT_CONFIRMED"), transfer(2_500)).is_replay
    with pytest.raises(LedgerError, match="other content"):
        ledger.append("c", event(*ids, event_type="SETTLEMENT_CONFIRMED", amount_minor=7), transfer(2_500))
    assert ledger.verify([ledger.head()]).empty


@pytest.mark.parametrize("while_making", ["rows", "runs"])
def test_rows_that_cannot_be_made_take_the_whole_append_back(
    ledger: Ledger, ledger_url: str, event: Make, monkeypatch: pytest.MonkeyPatch, while_making: str
) -> None:
    ids = [f"T-{n}" for n in range(2_500)]
    made_by = "sqlite.as_objects" if "sqlite" in ledger_url else "copying._rows"

    def fails(*_: object) -> None:
        raise MemoryError("no room for the rows of an append")

    with monkeypatch.context() as broken, pytest.raises(MemoryError):
        broken.setattr(f"atlas_lib.ledger.{made_by if while_making == 'rows' else 'journal.runs'}", fails)
        ledger.append("a", event(*ids))
    assert ledger.head().entries == 0
    assert ledger.append("a", event(*ids)).first_entry == 1
    assert ledger.verify([ledger.head()]).empty


def test_ids_keep_their_numbers_in_whatever_order_and_part_they_come_again(
    ledger: Ledger, submission: Make, event: Make
) -> None:
    ids = [f"T-{n}" for n in range(2_100)]
    ledger.intake("in", submission(*reversed(ids)))
    ledger.append("a", event(*reversed(ids)))
    ledger.append("b", event(*ids, *ids))
    ledger.append("c", event(*ids[5:2_060]))
    ledger.append("d", event(*ids[5:2_060], "T-new"))
    assert ledger.verify([ledger.head()]).empty
    assert len(ledger.trail("transaction", "T-7")) == 6
    assert ledger.trail("transaction", "T-new")["entry_id"].tolist() == [ledger.head().entries]


def test_an_id_of_a_refused_append_gets_its_number_when_it_is_written(ledger: Ledger, event: Make) -> None:
    ledger.append("a", event("T-1", event_type="SETTLEMENT_CONFIRMED"))
    with pytest.raises(LedgerError, match="refused"):
        ledger.append("b", event("T-2", "T-1", event_type="SETTLEMENT_CONFIRMED"))
    ledger.append("c", event("T-3", "T-2"))
    with pytest.raises(RuntimeError), ledger.together():
        ledger.append("d", event("T-4"))
        raise RuntimeError("the rest of the work failed")
    ledger.append("e", event("T-5", "T-4"))
    assert ledger.events()["transaction_id"].tolist() == ["T-1", "T-3", "T-2", "T-5", "T-4"]
    assert ledger.verify().empty


def test_work_of_which_a_part_was_refused_is_not_kept_even_if_the_refusal_was_caught(
    ledger: Ledger, event: Make
) -> None:
    ledger.append("a", event("T-1", event_type="SETTLEMENT_CONFIRMED"))
    with pytest.raises(LedgerError, match="part of this was refused"), ledger.together():
        ledger.append("b", event("T-2"))
        with suppress(LedgerError):
            ledger.append("c", event("T-3", "T-1", event_type="SETTLEMENT_CONFIRMED"))
    assert ledger.receipt("b") is None
    ledger.append("d", event("T-4"))
    assert ledger.events()["transaction_id"].tolist() == ["T-1", "T-4"]
    assert ledger.verify().empty


def test_of_refused_rows_nothing_is_kept_even_if_the_refusal_was_caught(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="part of this was refused"), ledger._db.writing(), suppress(LedgerError):
        ledger._db.insert("batch", [range(1, 61), ["B-1", "B-2", *["B-3"] * 58]])
    assert ledger._db.rows("SELECT * FROM batch") == []


@pytest.mark.parametrize("event_type", ["SETTLEMENT_CONFIRMED", "SETTLEMENT_REVERSED", "CONTRACT_PURCHASED"])
def test_a_transaction_is_confirmed_or_reversed_or_bought_once(ledger: Ledger, event: Make, event_type: str) -> None:
    ledger.append("a", event("T-1", event_type=event_type))
    with pytest.raises(LedgerError):
        ledger.append("b", event("T-1", event_type=event_type))


def test_an_empty_append_is_a_receipt_for_nothing(ledger: Ledger, event: Make) -> None:
    assert ledger.append("a", event()).entries == 0
    assert ledger.events().empty
    assert ledger.trial_balance().empty
    assert ledger.postings(["T-1"]).empty


def test_unknown_event_types_and_missing_columns_are_named(ledger: Ledger, event: Make, transfer: Make) -> None:
    with pytest.raises(LedgerError, match="PAID"):
        ledger.append("a", event("T-1", event_type="PAID"))
    with pytest.raises(LedgerError, match="currency"):
        ledger.append("a", event("T-1").drop(columns="currency"))
    with pytest.raises(LedgerError, match="debit_account"):
        ledger.append("a", event("T-1"), transfer(1).drop(columns="debit_account"))
    with pytest.raises(LedgerError, match="fingerprint"):
        ledger.intake("a", event("T-1"))


def test_events_are_found_by_transaction_and_by_batch(ledger: Ledger, event: Make) -> None:
    ledger.append("a", event("T-1", "T-2", "T-3").assign(batch_id=["B-1", "B-2", "B-2"]))
    ledger.append("b", event("", batch_id="B-1", event_type="BATCH_CREATED"))
    assert ledger.events(transaction_ids=["T-2", "T-9"])["entry_id"].tolist() == [2]
    assert ledger.events(batch_ids=["B-1"])["entry_id"].tolist() == [1, 4]
    assert ledger.events(transaction_ids=["T-3"], batch_ids=["B-1"])["entry_id"].tolist() == [1, 3, 4]
    assert ledger.events(batch_ids=["B-1"])["transaction_id"].tolist() == ["T-1", ""]
    assert ledger.events(transaction_ids=[]).empty


def test_balances_stand_at_the_end_of_the_day_asked_for(ledger: Ledger, event: Make, transfer: Make) -> None:
    ledger.append("a", event("T-1", timestamp=pd.Timestamp("2026-10-29 23:59:59", tz="UTC")), transfer(1))
    ledger.append("b", event("T-2"), transfer(1, amount_minor=11))
    assert ledger.balances(date(2026, 10, 28)).empty
    assert ledger.balances(date(2026, 10, 29))["balance_minor"].tolist() == [100, -100]
    now = ledger.balances()
    assert now["balance_minor"].tolist() == [111, -111]
    pd.testing.assert_frame_equal(now, ledger.balances(date(2026, 10, 30)))
    pd.testing.assert_frame_equal(now, ledger.trial_balance())


def test_a_pending_transfer_counts_only_once_posted_and_never_when_voided(
    ledger: Ledger, event: Make, transfer: Make
) -> None:
    ledger.append("start", event("T-1", "T-2"), transfer(2, kind="pending"))
    assert ledger.postings().empty
    waiting = ledger.transfers(open_only=True)
    closing = waiting.assign(event=[0, 1], pending_no=waiting["transfer_no"], kind=["post", "void"])
    done = event("T-1", "T-2").assign(event_type=["SETTLEMENT_CONFIRMED", "SETTLEMENT_FAILED"])
    ledger.append("finish", done, closing)
    assert ledger.transfers(open_only=True).empty
    assert ledger.postings()["transaction_id"].tolist() == ["T-1", "T-1"]
    assert ledger.verify().empty


def test_a_transaction_in_flight_or_settled_cannot_start_again(ledger: Ledger, event: Make, transfer: Make) -> None:
    ledger.append("start", event("T-1"), transfer(1, kind="pending"))
    with pytest.raises(LedgerError, match="in flight"):
        ledger.append("again", event("T-1", batch_id="B-2"), transfer(1, kind="pending"))
    waiting = ledger.transfers(open_only=True).assign(event=0)
    waiting["pending_no"] = waiting["transfer_no"]
    ledger.append("void", event("T-1", event_type="SETTLEMENT_FAILED"), waiting.assign(kind="void"))
    ledger.append("again", event("T-1", batch_id="B-2"), transfer(1, kind="pending"))
    assert len(ledger.transfers(open_only=True)) == 1


def test_a_post_must_mirror_its_pending_transfer(ledger: Ledger, event: Make, transfer: Make) -> None:
    ledger.append("start", event("T-1"), transfer(1, kind="pending"))
    for wrong in ({"amount_minor": 99}, {"credit_account": "suspense"}, {"pending_no": 7}):
        closing = transfer(1, **{"kind": "post", "pending_no": 1, **wrong})
        with pytest.raises(LedgerError, match="mirror"):
            ledger.append("finish", event("T-1", event_type="SETTLEMENT_CONFIRMED"), closing)


def test_the_first_value_committed_stands(ledger: Ledger) -> None:
    assert ledger.commit_once("batch:B-1", "plan 1") == (True, "plan 1")
    assert ledger.commit_once("batch:B-1", "plan 2") == (False, "plan 1")
    assert ledger.committed(["batch:B-1", "batch:B-2"]) == {"batch:B-1": "plan 1"}


def test_an_account_that_may_not_be_overdrawn_refuses_the_append(ledger: Ledger, event: Make, transfer: Make) -> None:
    guarded = "INSERT INTO account VALUES (1, 'assets:bank:EUR', 'EUR', 1)"
    ledger._db.execute(guarded)
    outward = {"debit_account": "suspense", "credit_account": "assets:bank:EUR"}
    ledger.append("in", event("T-1"), transfer(1))
    with pytest.raises(LedgerError, match="overdrawn"):
        ledger.append("out", event("T-2"), transfer(1, **outward, amount_minor=101))
    ledger.append("out", event("T-2"), transfer(1, **outward, amount_minor=100))
    assert ledger.verify().empty


def test_an_append_on_an_old_head_is_refused(ledger: Ledger, event: Make) -> None:
    old = ledger.head()
    ledger.append("a", event("T-1"), expected_head=old)
    with pytest.raises(LedgerError, match="faster"):
        ledger.append("b", event("T-2"), expected_head=old)
    assert ledger.head().entries == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET amount_minor = 1",
        "DELETE FROM event",
        "INSERT INTO event VALUES (5, NULL, NULL, 'BATCH_CREATED', 0, 'EUR', 0, 'x', '')",
        "INSERT OR REPLACE INTO event VALUES (1, NULL, NULL, 'BATCH_CREATED', 0, 'EUR', 0, 'x', '')",
        "UPDATE transfer SET amount_minor = 1",
        "DELETE FROM transfer",
        "DELETE FROM block",
        "UPDATE txn SET fingerprint = 'x'",
        "DELETE FROM account",
        "UPDATE commitment SET value = 'x'",
    ],
)
def test_the_store_refuses_to_change_what_is_written(
    ledger: Ledger, ledger_url: str, event: Make, transfer: Make, statement: str
) -> None:
    ledger.append("a", event("T-1"), transfer(1))
    ledger.commit_once("k", "v")
    if ledger_url.startswith("postgresql"):
        replacing = "INSERT OR REPLACE INTO event VALUES (1, NULL, NULL, 'BATCH_CREATED', 0, 'EUR', 0, 'x', '')"
        upsert = replacing.replace(" OR REPLACE", "") + " ON CONFLICT (position) DO UPDATE SET amount_minor = 0"
        statement = {replacing: upsert}.get(statement, statement)
    with open_ledger(ledger_url, "intruder") as other, pytest.raises(LedgerError, match="append-only"):
        other._db.execute(statement)
    assert ledger.verify().empty


def test_a_ledger_is_found_again_when_it_is_opened_again(ledger: Ledger, ledger_url: str, event: Make) -> None:
    ledger.append("a", event("T-1"))
    with open_ledger(ledger_url, "another") as again:
        assert again.head() == ledger.head()
        assert again.append("a", event("T-1", actor="tester")).is_replay


def test_an_address_that_is_not_understood_is_refused_without_showing_its_password(tmp_path: Path) -> None:
    with pytest.raises(LedgerError) as refused:
        open_ledger("oracle://user:secret@host/db", "tester")
    assert "secret" not in str(refused.value)
    with pytest.raises(LedgerError, match="PGPASSWORD") as refused:
        open_ledger("postgresql://user:secret@host/db", "tester")
    assert "secret" not in str(refused.value)
    (tmp_path / "file").write_text("not a database, surely not one at all")
    with pytest.raises(LedgerError, match="cannot be opened"):
        open_ledger(f"sqlite:///{tmp_path / 'file'}", "tester")
