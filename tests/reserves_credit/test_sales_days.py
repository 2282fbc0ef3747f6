"""An input may hold the whole history or only what is new: the reserve, and the ledger's balance, are the same."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as tries
from hypothesis import strategies as st

from atlas_lib.core.errors import LedgerError
from atlas_lib.core.tables import declared
from atlas_lib.ledger.store import Ledger, open_ledger
from atlas_lib.reserves_credit.books import keep_books, keep_reserves
from atlas_lib.reserves_credit.payouts import contract_lines, sum_lines
from atlas_lib.reserves_credit.reserves import hold_reserves
from atlas_lib.reserves_credit.subaccounts import check_subaccounts
from tests.reserves_credit.reserves_credit_frames import merchants, settings, transactions

_NO_CONTRACTS = declared("contracts").empty()
_ROW = dict[str, Any]
_SHOWN = ["tranche_id", "base_minor", "held_minor", "released_minor", "drawn_minor", "balance_minor", "status"]


def sale(name: str, day: str, amount: int, **more: Any) -> _ROW:
    return {
        "transaction_id": name,
        "reference": f"R-{name}",
        "created_at": f"2026-{day}",
        "amount_minor": amount,
    } | more


def refund(name: str, day: str, amount: int, about: str, **more: Any) -> _ROW:
    return sale(name, day, amount, type="REFUND", reference=about) | more


HISTORY = [
    sale("A", "06-01T10:00", 1_000_00),
    sale("B", "06-02T10:00", 500_00),
    sale("C", "06-03T10:00", 400_00),
    refund("D", "06-04T10:00", 30_00, "R-B-R"),
]


@pytest.fixture
def ledger(tmp_path) -> Iterator[Ledger]:
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", "test") as opened:
        yield opened


def run(ledger: Ledger, as_of: str, *rows: _ROW, known: pd.DataFrame | None = None, **policy: Any) -> pd.DataFrame:
    """The tranches of a run over this input; every reserve figure is checked against the ledger."""
    chosen, sales = settings(f"2026-{as_of}", **{"hold_days": 10, **policy}), transactions(*rows)
    people = merchants({"merchant_id": "M1"}, {"merchant_id": "M2"}) if known is None else known
    held = keep_reserves(_NO_CONTRACTS, people, sales, ledger, chosen)
    read = keep_books(_NO_CONTRACTS, held["reserve_movements"], sales, ledger, chosen)
    summary = sum_lines(contract_lines(_NO_CONTRACTS, chosen))
    tables = [read[n] for n in ("subaccounts", "subaccount_movements", "contract_payments")]
    assert check_subaccounts(*tables, summary, held["reserve_tranches"])["passed"].all()
    assert reserve(ledger) == held["reserve_tranches"]["balance_minor"].sum()
    return held["reserve_tranches"][_SHOWN]


def reserve(ledger: Ledger) -> int:
    found = ledger.balances()
    return -int(found.loc[found["account"].str.startswith("liabilities:rolling_reserve:"), "balance_minor"].sum())


def at_once(as_of: str, *rows: _ROW, **policy: Any) -> pd.DataFrame:
    chosen = settings(f"2026-{as_of}", **{"hold_days": 10, **policy})
    known = merchants({"merchant_id": "M1"}, {"merchant_id": "M2"})
    return hold_reserves(_NO_CONTRACTS, known, transactions(*rows), chosen)["reserve_tranches"][_SHOWN]


def test_an_input_with_only_new_sales_books_nothing_of_the_earlier_days_back(ledger):
    run(ledger, "06-04", *HISTORY)
    assert reserve(ledger) == 160_00
    new = sale("E", "06-05T10:00", 100_00)
    assert run(ledger, "06-05", new).equals(at_once("06-05", *HISTORY, new))
    assert reserve(ledger) == 170_00
    before = len(ledger.postings())
    assert run(ledger, "06-05", *HISTORY, new).equals(at_once("06-05", *HISTORY, new))
    assert len(ledger.postings()) == before


def test_scheduled_releases_come_for_tranches_and_merchants_the_input_no_longer_holds(ledger):
    run(ledger, "06-04", *HISTORY)
    other = sale("E", "06-15T10:00", 100_00, merchant_id="M2")
    assert run(ledger, "06-15", other)["released_minor"].tolist() == [100_00, 20_00, 40_00, 0]
    assert reserve(ledger) == 10_00


def test_a_refund_finds_the_day_of_a_sale_that_came_in_an_earlier_input(ledger):
    run(ledger, "06-03", *HISTORY[:3])
    tranches = run(ledger, "06-05", HISTORY[3], refund("E", "06-05T10:00", 5_00, "C"))
    assert tranches["drawn_minor"].tolist() == [0, 30_00, 5_00]


def test_a_correction_of_an_old_day_needs_that_day_only(ledger):
    run(ledger, "06-04", *HISTORY)
    corrected = HISTORY[1] | {"amount_minor": 700_00}
    assert run(ledger, "06-05", corrected).equals(at_once("06-05", HISTORY[0], corrected, *HISTORY[2:]))
    declined = HISTORY[0] | {"status": "DECLINED"}
    assert run(ledger, "06-05", declined).equals(at_once("06-05", corrected, *HISTORY[2:]))
    assert run(ledger, "06-05", *HISTORY).equals(at_once("06-05", *HISTORY))


def test_a_sale_that_comes_late_is_added_to_its_day_also_when_it_looks_like_the_one_counted(ledger):
    run(ledger, "06-04", *HISTORY)
    late = sale("L", "06-02T10:00", 500_00)
    assert run(ledger, "06-05", late).equals(at_once("06-05", *HISTORY, late))
    assert run(ledger, "06-05", late).equals(at_once("06-05", *HISTORY, late))
    assert run(ledger, "06-05", HISTORY[1]).equals(at_once("06-05", *HISTORY, late))
    assert run(ledger, "06-06", *HISTORY, late).equals(at_once("06-06", *HISTORY, late))


def test_a_day_keeps_the_rate_it_was_counted_with_when_the_input_does_not_hold_it(ledger):
    run(ledger, "06-04", *HISTORY, known=merchants({"merchant_id": "M1", "reserve_rate": 0.2, "hold_days": 30}))
    tranches = run(ledger, "06-05", sale("E", "06-05T10:00", 100_00), known=merchants({"merchant_id": "M1"}))
    assert tranches["held_minor"].tolist() == [200_00, 100_00, 80_00, 10_00]


def test_a_reserve_whose_sales_nobody_knows_is_not_booked_back_but_refused(ledger):
    run(ledger, "06-04", *HISTORY)
    before = reserve(ledger)
    with pytest.raises(LedgerError, match="whose sales are unknown"):
        run(ledger, "06-02", sale("E", "06-02T11:00", 100_00))  # counted on the 4th only: nothing is known of it here
    assert reserve(ledger) == before


_DAYS = [f"06-{d:02d}" for d in range(1, 13)]
_MOVES = st.lists(
    st.tuples(
        st.integers(0, 11),
        st.sampled_from(["SALE", "SALE", "FEE", "REFUND", "CHARGEBACK"]),
        st.integers(1, 900_00),
        st.integers(0, 8),
        st.sampled_from(["M1", "M2"]),
        st.sampled_from(["APPROVED", "APPROVED", "APPROVED", "PENDING"]),
    ),
    min_size=1,
    max_size=16,
)


@tries(max_examples=5, deadline=None)
@given(_MOVES, st.sets(st.integers(1, 11), max_size=2), st.integers(3, 9))
def test_a_history_in_parts_ends_as_the_whole_at_once(moves, cuts, hold):
    rows = [
        sale(f"T{n}", f"{_DAYS[day]}T10:00", amount, type=kind, merchant_id=merchant, status=status)
        | ({"reference": f"R-T{about}-R"} if kind in ("REFUND", "CHARGEBACK") else {})
        for n, (day, kind, amount, about, merchant, status) in enumerate(sorted(moves, key=lambda m: m[0]))
    ]
    ends = [*sorted(cuts), 12]
    with TemporaryDirectory() as folder, open_ledger(f"sqlite:///{Path(folder) / 'l.sqlite'}", "test") as book:
        for begin, end in pairwise([0, *ends]):
            part = [r for r in rows if _DAYS[begin] <= r["created_at"][5:10] <= _DAYS[end - 1]]
            found = run(book, _DAYS[end - 1], *part, hold_days=hold)
        assert found.equals(at_once(_DAYS[11], *rows, hold_days=hold))
        before = len(book.postings())
        assert run(book, _DAYS[11], *rows, hold_days=hold).equals(found)
        assert len(book.postings()) == before
