"""The trail of a transaction, a batch, a merchant and an actor, and the chart that names the accounts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pandas as pd
import pytest

from atlas_lib.core.errors import LedgerError
from atlas_lib.ledger.chart import CHART, kind_of, on_normal_side, outside_chart
from atlas_lib.ledger.sqlite import SqliteDatabase
from atlas_lib.ledger.store import Ledger
from atlas_lib.ledger.trail import _ENTRIES, _POSITIONS

Make = Callable[..., pd.DataFrame]


@pytest.fixture
def busy(ledger: Ledger, submission: Make, event: Make, transfer: Make) -> Ledger:
    ledger.intake("in", submission("T-1", "T-2"))
    ledger.append("b", event("", "", event_type="BATCH_CREATED").assign(batch_id=["B-1", "B-2"], actor="planner"))
    moves = transfer(2).assign(credit_account=[f"liabilities:settlement_payable:M-{i}" for i in (1, 2)])
    ledger.append("s", event("T-1", "T-2").assign(batch_id=["B-1", "B-2"], actor="rail"), moves)
    ledger.append("m", event("merchant:M-2", event_type="MERCHANT_BLOCKED", batch_id="", actor="ana"))
    return ledger


@pytest.mark.parametrize(
    ("about", "name", "entries"),
    [
        ("transaction", "T-1", [1, 3, 5]),
        ("batch", "B-2", [4, 6]),
        ("merchant", "M-2", [2, 6, 7]),
        ("merchant", "M-9", []),
        ("actor", "planner", [3, 4]),
        ("actor", "tester", [1, 2]),
    ],
)
def test_the_trail_holds_what_concerns_it_in_order(busy: Ledger, about: str, name: str, entries: list[int]) -> None:
    assert busy.trail(about, name)["entry_id"].tolist() == entries  # type: ignore[arg-type]
    assert busy.trail(about, name, limit=1)["entry_id"].tolist() == entries[:1]  # type: ignore[arg-type]


def test_what_closes_and_undoes_a_transfer_without_a_transaction_is_in_the_trail_of_its_merchant(
    ledger: Ledger, event: Make, transfer: Make
) -> None:
    sides = {"debit_account": "assets:bank:EUR", "credit_account": "liabilities:rolling_reserve:M-3"}
    undone = {"debit_account": sides["credit_account"], "credit_account": sides["debit_account"]}
    ledger.append("a", event("", event_type="RESERVE_HELD"), transfer(1, kind="pending", **sides))
    ledger.append("b", event("", event_type="RESERVE_DRAWN"), transfer(1, kind="post", pending_no=1, **sides))
    ledger.append("other", event("T-1"), transfer(1))
    ledger.append("c", event("", event_type="RESERVE_RELEASED"), transfer(1, kind="reversal", pending_no=2, **undone))
    assert ledger.trail("merchant", "M-3")["entry_id"].tolist() == [1, 2, 4]


def test_events_are_found_by_the_beginning_of_their_id(busy: Ledger) -> None:
    assert busy.events(id_prefix="merchant:")["entry_id"].tolist() == [7]
    assert busy.events(id_prefix="T-", event_types=["SETTLEMENT_INITIATED"])["entry_id"].tolist() == [5, 6]


def test_events_are_found_by_the_beginning_of_their_batch(busy: Ledger) -> None:
    whole = busy.events(batch_ids=["B-1"])["entry_id"].tolist()
    assert whole
    assert busy.events(batch_prefix="B-1")["entry_id"].tolist() == whole
    assert busy.events(batch_prefix="B-1-").empty
    assert busy.batch_names("B-1") == ["B-1"]
    assert busy.batch_names("B-1-") == []


def test_the_entries_of_a_batch_are_searched_by_its_name_and_no_table_is_read_whole(
    busy: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many batches there were before: a day's payment files are found among millions (read_due)."""
    if not isinstance(busy._db, SqliteDatabase):
        pytest.skip("the planner of PostgreSQL rightly scans tables as small as these")
    asked, read = [], SqliteDatabase.rows
    monkeypatch.setattr(
        SqliteDatabase, "rows", lambda db, sql, given=(): asked.append((sql, given)) or read(db, sql, given)
    )
    busy.events(batch_prefix="B-1", event_types=["BATCH_CREATED"])
    ((sql, given),) = asked
    plan = [step[3] for step in read(busy._db, f"EXPLAIN QUERY PLAN {sql}", given)]
    assert [s for s in plan if s.startswith("SCAN") and "json_each" not in s and "CONSTANT" not in s] == []


def test_every_query_of_a_trail_uses_an_index(busy: Ledger) -> None:
    if not isinstance(busy._db, SqliteDatabase):
        pytest.skip(
            "the planner of PostgreSQL rightly scans tables as small as these; benchmarks/ledger.py measures it"
        )
    for about, positions in _POSITIONS.items():
        sql = _ENTRIES.format(positions=positions)
        plan = busy._db.rows(f"EXPLAIN QUERY PLAN {sql}", ["x" if about != "merchant" else "[]"] * sql.count("?"))
        scans = [step[3] for step in plan if step[3].startswith("SCAN") and "json_each" not in step[3]]
        assert [s for s in scans if s.split()[1] in {"event", "e", "txn", "t", "transfer", "account"}] == []


def test_an_overdue_transfer_expires_as_a_void_of_its_own_event_and_may_start_again(
    ledger: Ledger, event: Make, transfer: Make
) -> None:
    ledger.append("start", event("T-1", "T-2"), transfer(2, kind="pending"))
    settled = ledger.transfers(["T-2"]).assign(event=0, kind="post", pending_no=2)
    ledger.append("post", event("T-2", event_type="SETTLEMENT_CONFIRMED"), settled)
    later = pd.Timestamp("2026-11-02", tz="UTC")
    assert ledger.overdue(later, timeout_hours=72).empty
    overdue = ledger.overdue(later, timeout_hours=24)
    assert overdue["transaction_id"].tolist() == ["T-1"]
    assert ledger.expire("expire", overdue, later).entries == 1
    assert ledger.overdue(later, timeout_hours=24).empty
    assert ledger.events(["T-1"])["event_type"].tolist() == ["SETTLEMENT_INITIATED", "TRANSFER_EXPIRED"]
    assert ledger.claims(["T-1", "T-2"])["status"].tolist() == ["voided", "settled"]
    assert ledger.balances()["balance_minor"].tolist() == [100, -100]
    ledger.append("again", event("T-1", batch_id="B-2"), transfer(1, kind="pending"))
    with pytest.raises(LedgerError):
        ledger.expire("expire again", overdue, later)
    assert ledger.verify().empty


def test_an_account_outside_the_chart_is_refused(ledger: Ledger, event: Make, transfer: Make) -> None:
    for wrong in ("assets:bnak:EUR", "liabilities:client_rr", "liabilities:client_rr:", "cash"):
        with pytest.raises(LedgerError, match="chart"):
            ledger.append("a", event("T-1"), transfer(1, debit_account=wrong))
    assert outside_chart(["suspense", "equity:fx", "expenses:fees:rail", "assets:bank:EUR"]) == []
    assert len({k.code for k in CHART}) == len(CHART)


def test_balances_are_counted_on_their_normal_side_at_any_time(ledger: Ledger, event: Make, transfer: Make) -> None:
    ledger.append("a", event("T-1", timestamp=pd.Timestamp("2026-10-30 08:00", tz="UTC")), transfer(1))
    back = transfer(1).rename(columns={"debit_account": "credit_account", "credit_account": "debit_account"})
    ledger.append(
        "b", event("T-2", timestamp=pd.Timestamp("2026-10-30 09:00", tz="UTC")), back.assign(amount_minor=150)
    )
    at_eight = ledger.trial_balance(pd.Timestamp("2026-10-30 10:00", tz="Europe/Berlin") - pd.Timedelta(hours=1))
    assert on_normal_side(at_eight)["normal_balance_minor"].tolist() == [100, 100]
    now = on_normal_side(ledger.trial_balance(date(2026, 10, 30)))
    assert now[["normal_balance_minor", "is_unusual"]].to_numpy().tolist() == [[-50, True], [-50, True]]
    assert [kind_of(a).side for a in now["account"]] == ["debit", "credit"]  # type: ignore[union-attr]
    with pytest.raises(LedgerError, match="time zone"):
        ledger.balances(pd.Timestamp("2026-10-30 10:00"))
