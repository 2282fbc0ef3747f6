from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from atlas_lib.core.errors import LedgerError
from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.core.tables import declared
from atlas_lib.ledger.openings import open_run
from atlas_lib.ledger.store import Ledger, open_ledger
from atlas_lib.reserves_credit.books import keep_books
from atlas_lib.reserves_credit.payouts import contract_lines
from atlas_lib.reserves_credit.purchases import book_contracts, plan_bookings, purchase_events, read_bookings
from tests.reserves_credit.reserves_credit_frames import contracts, settings, transactions

_FIRST = {"receivable_minor": 3_360_00, "merchant_payout_minor": 2_136_96, "merchant_reserve_minor": 237_44, "partner_margin_minor": 985_60}  # fmt: skip
_SECOND = {"receivable_minor": 1_000_00, "merchant_payout_minor": 700_00, "merchant_reserve_minor": 0, "partner_margin_minor": 300_00, "merchant_id": "M2", "reserve_rate": 0.0}  # fmt: skip


def book_purchases(book: pd.DataFrame, ledger: Ledger, chosen: ReservesCreditSettings) -> dict[str, pd.DataFrame]:
    return keep_books(book, declared("reserve_movements").empty(), transactions(), ledger, chosen)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", "test") as opened:
        yield opened


def _balances(tables: dict[str, pd.DataFrame], merchant: str = "M1") -> dict[str, int]:
    rows = tables["subaccounts"][tables["subaccounts"]["merchant_id"] == merchant]
    return {str(k): int(v) for k, v in rows[["subaccount", "balance_minor"]].to_numpy()}


def test_the_same_contracts_again_book_nothing_and_read_the_same(ledger: Ledger) -> None:
    book = contracts(_FIRST, _SECOND)
    first, head = book_purchases(book, ledger, settings()), ledger.head()
    again = book_purchases(book.assign(source_row=99), ledger, settings("2023-12-31"))
    assert ledger.head() == head
    for name, table in first.items():
        pd.testing.assert_frame_equal(table, again[name])


def test_a_contract_with_other_figures_is_reversed_and_booked_anew(ledger: Ledger) -> None:
    book_purchases(contracts(_FIRST), ledger, settings())
    changed = _FIRST | {"merchant_payout_minor": 2_000_00, "partner_margin_minor": 1_122_56}
    tables = book_purchases(contracts(changed), ledger, settings("2023-12-01"))
    assert _balances(tables)["Settlement"] == 2_000_00
    moves = tables["subaccount_movements"].query("subaccount == 'Settlement'")
    assert moves[["movement", "debit_minor", "credit_minor", "balance_minor"]].to_numpy().tolist() == [
        ["purchase", 0, 2_136_96, 2_136_96], ["reversal", 2_136_96, 0, 0], ["purchase", 0, 2_000_00, 2_000_00],
    ]  # fmt: skip
    assert moves["transaction_id"].tolist() == ["contract:C1:v1", "contract:C1:v1", "contract:C1:v2"]
    assert ledger.verify().empty


def test_going_back_to_the_first_figures_is_a_third_version(ledger: Ledger) -> None:
    changed = _FIRST | {"merchant_id": "M9"}
    for row in (_FIRST, changed, _FIRST):
        tables = book_purchases(contracts(row), ledger, settings())
    assert _balances(tables)["Factoring"] == 3_360_00
    assert set(_balances(tables, "M9").values()) == {0}
    assert tables["subaccount_movements"]["transaction_id"].nunique() == 3


def test_two_runs_that_would_book_different_figures_at_once_cannot_both(ledger: Ledger) -> None:
    """The second planned before the first had booked."""
    other = contracts(_FIRST | {"merchant_payout_minor": 1})
    stale = plan_bookings(contract_lines(other, settings()), read_bookings(other["contract_id"], ledger))
    book_purchases(contracts(_FIRST), ledger, settings())
    events, transfers = purchase_events(stale, settings())
    with pytest.raises(LedgerError):
        ledger.append("another run", events, transfers)


_LESS = _FIRST | {"merchant_payout_minor": 2_000_00, "partner_margin_minor": 1_122_56}


def _run(ledger: Ledger, as_of: str, row: dict[str, Any], run_id: str = "") -> dict[str, pd.DataFrame]:
    nothing = declared("reserve_movements").empty()
    return keep_books(contracts(row), nothing, transactions(), ledger, settings(as_of), run_id)


def test_yesterdays_run_made_anew_books_nothing_against_what_today_corrected(ledger: Ledger) -> None:
    first = _run(ledger, "2023-11-30", _FIRST)
    _run(ledger, "2023-12-01", _LESS)
    head = ledger.head()
    again = _run(ledger, "2023-11-30", _FIRST)
    assert ledger.head() == head
    for name in ("subaccounts", "contract_payments"):
        pd.testing.assert_frame_equal(again[name], first[name])
    assert _balances(_run(ledger, "2023-12-02", _LESS))["Settlement"] == 2_000_00


@pytest.mark.parametrize("of_today", [[_LESS], [_FIRST, _LESS]])
def test_figures_that_a_later_day_has_replaced_or_never_knew_are_refused_and_nothing_is_booked(
    ledger: Ledger, of_today: list[dict[str, Any]]
) -> None:
    for row in of_today:
        _run(ledger, "2023-12-01", row, "today")
    head = ledger.head()
    other = _FIRST | {"merchant_payout_minor": 2_136_97}
    with pytest.raises(LedgerError, match=r"contract C1.*2023-12-01 by run today.*make a run of the latest day"):
        _run(ledger, "2023-11-30", other)
    assert ledger.head() == head


def test_a_run_that_broke_off_books_no_figures_over_those_of_a_run_opened_later(ledger: Ledger) -> None:
    for run_id in ("broken", "later"):
        open_run(ledger, run_id, settings().as_of)
    _run(ledger, "2023-11-30", _LESS, "later")
    with pytest.raises(LedgerError, match="by run later"):
        _run(ledger, "2023-11-30", _FIRST, "broken")
    with pytest.raises(LedgerError, match="by run later"):
        _run(ledger, "2023-11-30", _FIRST, "begun by an earlier version")
    open_run(ledger, "newest", settings().as_of)
    assert _balances(_run(ledger, "2023-11-30", _FIRST, "newest"))["Settlement"] == 2_136_96


def test_a_booking_for_a_day_mistyped_into_the_future_holds_no_correction_up(ledger: Ledger) -> None:
    book_contracts(contracts(_FIRST), ledger, settings("2099-01-01"))
    book_contracts(contracts(_LESS), ledger, settings("2099-01-01"))
    tables = book_purchases(contracts(_FIRST), ledger, settings())
    assert read_bookings(contracts(_LESS)["contract_id"], ledger)["version"].tolist() == [1, 2, 3]
    assert _balances(tables)["Settlement"] == 2_136_96


def _standing(ledger: Ledger, day: str) -> int:
    """What the ledger itself says is payable to M1 at the end of a day."""
    found = ledger.balances(date.fromisoformat(day))
    return -int(found.loc[found["account"] == "liabilities:payout_payable:M1", "balance_minor"].sum())


def test_the_correction_of_a_mistyped_day_takes_nothing_out_before_it_was_there(ledger: Ledger) -> None:
    """Booked for 30 November, then with a day of 2099, then right: until 2099 the first figures stand, then the last."""
    last = _FIRST | {"merchant_payout_minor": 1_500_00, "partner_margin_minor": 1_622_56}
    for as_of, row in (("2023-11-30", _FIRST), ("2099-01-01", _LESS), ("2023-12-01", last)):
        tables = _run(ledger, as_of, row)
    days = ["2023-11-30", "2023-12-01", "2023-12-02", "2098-12-31", "2099-01-01", "2099-01-02"]
    assert [_standing(ledger, d) for d in days] == [2_136_96] * 4 + [1_500_00] * 2
    assert _balances(tables)["Settlement"] == 1_500_00
    assert _balances(_run(ledger, "2023-12-02", last))["Settlement"] == 1_500_00


def test_a_contract_that_starts_later_is_corrected_from_its_first_day_on(ledger: Ledger) -> None:
    start = {"start_date": "2023-12-15"}
    for as_of, row in (("2023-11-30", _FIRST), ("2023-12-01", _LESS)):
        tables = _run(ledger, as_of, row | start)
    assert [_standing(ledger, d) for d in ("2023-12-01", "2023-12-14", "2023-12-15")] == [0, 0, 2_000_00]
    assert _balances(tables)["Settlement"] == 2_000_00
    first = _run(ledger, "2023-11-30", _FIRST | start)
    assert _balances(first)["Settlement"] == 2_136_96


def test_no_contracts_book_nothing(ledger: Ledger) -> None:
    tables = book_purchases(contracts(), ledger, settings())
    assert all(t.empty for t in tables.values())
    assert ledger.events().empty


_AMOUNT = st.integers(-10_000, 10_000)


@given(st.lists(st.tuples(st.sampled_from(["A", "B"]), _AMOUNT, _AMOUNT, _AMOUNT, _AMOUNT), min_size=1, max_size=8))
@hypothesis_settings(max_examples=20)
def test_every_event_sums_to_zero_and_every_account_to_its_contracts(rows: list[tuple[Any, ...]]) -> None:
    names = [
        "merchant_id",
        "receivable_minor",
        "merchant_payout_minor",
        "merchant_reserve_minor",
        "partner_margin_minor",
    ]
    book = contracts(*(dict(zip(names, row, strict=True)) for row in rows))
    lines = contract_lines(book, settings())
    nothing = read_bookings(pd.Series([], dtype="str"), None)  # type: ignore[arg-type]  # no ledger is asked for none
    events, transfers = purchase_events(plan_bookings(lines, nothing), settings())
    assert len(events) == len(book)
    assert (transfers["amount_minor"] > 0).all()
    debits = transfers.groupby("debit_account")["amount_minor"].sum()
    credits_ = transfers.groupby("credit_account")["amount_minor"].sum()
    net = debits.sub(credits_, fill_value=0)
    assert net.sum() == 0
    for merchant, receivable in book.groupby("merchant_id")["receivable_minor"].sum().items():
        assert net.get(f"assets:factoring_receivable:{merchant}", 0) == receivable
