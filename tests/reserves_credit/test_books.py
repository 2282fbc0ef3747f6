"""Every reserve figure is a ledger balance: booked once, corrected late, never undone by yesterday's run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from atlas_lib.core.tables import declared
from atlas_lib.ledger.store import Ledger, open_ledger
from atlas_lib.reserves_credit.appending import append_decided
from atlas_lib.reserves_credit.books import keep_books, keep_reserves, plan_reserves
from atlas_lib.reserves_credit.payouts import contract_lines, sum_lines
from atlas_lib.reserves_credit.purchases import day_end
from atlas_lib.reserves_credit.subaccounts import check_subaccounts
from tests.reserves_credit.reserves_credit_frames import contracts, merchants, settings, transactions

_NO_CONTRACTS = declared("contracts").empty()
SALES = [
    {"amount_minor": 1_000_00, "created_at": "2026-06-01T10:00", "reference": "A"},
    {"amount_minor": 500_00, "created_at": "2026-06-03T10:00"},
    {"amount_minor": 30_00, "created_at": "2026-06-04T10:00", "type": "REFUND", "reference": "A-R"},
]


@pytest.fixture
def ledger(tmp_path) -> Iterator[Ledger]:
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", "test") as opened:
        yield opened


def run(ledger: Ledger, as_of: str, *rows: dict[str, Any], **policy: Any) -> dict[str, pd.DataFrame]:
    chosen, sales = settings(as_of, hold_days=10, **policy), transactions(*rows)
    reserves = keep_reserves(_NO_CONTRACTS, merchants({"merchant_id": "M1"}), sales, ledger, chosen)
    return reserves | keep_books(_NO_CONTRACTS, reserves["reserve_movements"], sales, ledger, chosen)


def checked(tables: dict[str, pd.DataFrame]) -> list[bool]:
    summary = sum_lines(contract_lines(_NO_CONTRACTS, settings()))
    names = ("subaccounts", "subaccount_movements", "contract_payments")
    return check_subaccounts(*(tables[n] for n in names), summary, tables["reserve_tranches"])["passed"].tolist()


def reserve(ledger: Ledger) -> int:
    found = ledger.balances()
    return -int(found.loc[found["account"] == "liabilities:rolling_reserve:M1", "balance_minor"].sum())


def test_holds_releases_and_draws_are_booked_and_equal_the_tranches(ledger):
    tables = run(ledger, "2026-06-30", *SALES)
    assert tables["reserve_tranches"]["released_minor"].tolist() == [70_00, 50_00]
    assert reserve(ledger) == 0
    moves = tables["subaccount_movements"].query("subaccount == 'Rolling Reserve'")
    assert moves[["movement", "balance_minor"]].to_numpy().tolist() == [
        ["hold", 100_00], ["hold", 150_00], ["draw", 120_00], ["release", 50_00], ["release", 0],
    ]  # fmt: skip
    assert all(checked(tables))


def test_the_same_run_again_books_nothing_and_a_later_one_only_what_is_new(ledger):
    run(ledger, "2026-06-05", *SALES)
    assert reserve(ledger) == 120_00
    before = len(ledger.events())
    assert all(checked(run(ledger, "2026-06-05", *SALES)))
    assert len(ledger.events()) == before
    assert all(checked(run(ledger, "2026-06-30", *SALES)))
    assert len(ledger.events()) == before + 2


def test_yesterdays_run_made_again_undoes_nothing_of_today(ledger):
    run(ledger, "2026-06-30", *SALES)
    before = len(ledger.postings())
    yesterday = run(ledger, "2026-06-05", *SALES)
    assert all(checked(yesterday))
    assert yesterday["subaccounts"].set_index("subaccount").loc["Rolling Reserve", "balance_minor"] == 120_00
    assert len(ledger.postings()) == before


def test_a_sale_that_comes_late_is_a_correction_of_today_and_the_past_stays(ledger):
    run(ledger, "2026-06-05", *SALES)
    late = {"amount_minor": 200_00, "created_at": "2026-06-02T10:00"}
    tables = run(ledger, "2026-06-06", *SALES, late)
    assert all(checked(tables))
    assert reserve(ledger) == 140_00
    assert ledger.events()["timestamp"].dt.date.astype("str").tolist()[-1] == "2026-06-06"


@pytest.mark.parametrize(
    "days",
    [
        ["2026-06-05", "2026-06-06 late", "2026-06-05 late", "2026-06-06 late"],
        ["2026-06-05", "2026-06-07 late", "2026-06-06 late", "2026-06-05 late", "2026-06-06 late"],
        ["2026-06-05 late", "2026-06-05", "2026-06-06 late", "2026-06-05 late"],
    ],
)
def test_a_late_sale_is_held_once_in_whatever_order_runs_are_made(ledger, days):
    late = {"amount_minor": 200_00, "created_at": "2026-06-02T10:00", "transaction_id": "LATE"}
    for day, _, is_late in (one.partition(" ") for one in days):
        assert all(checked(run(ledger, day, *SALES, *([late] if is_late else []))))
    assert reserve(ledger) == 140_00
    before = len(ledger.events())
    assert all(checked(run(ledger, days[-1].partition(" ")[0], *SALES, late)))
    assert (reserve(ledger), len(ledger.events())) == (140_00, before)
    assert ledger.verify().empty


FOREIGN = [
    "reserve:M1:EUR",
    "reserve-days:M1:EUR",
    "reserve-names:M1:EUR",
    "policy:M1:EUR",
    "contract:C1:v1",
    "merchant:M1",
]


def test_a_transaction_of_the_input_that_is_named_like_one_of_ours_is_no_reserve_and_no_contract(ledger):
    rows = pd.DataFrame({"transaction_id": FOREIGN, "idempotency_key": FOREIGN, "fingerprint": FOREIGN})
    stamped = rows.assign(origin="x", amount_minor=1, currency="EUR", timestamp=pd.Timestamp("2026-06-01", tz="UTC"))
    ledger.intake("a", stamped)
    settled = stamped.assign(event_type="SETTLEMENT_CONFIRMED", batch_id="", details="{}")
    foreign = {"event": range(len(rows)), "debit_account": "liabilities:rolling_reserve:M1"}
    moved = pd.DataFrame(foreign).assign(credit_account="assets:bank:EUR", amount_minor=1, currency="EUR")
    ledger.append("b", settled, moved)
    book = contracts(
        {"receivable_minor": 3_360_00, "merchant_payout_minor": 2_136_96, "merchant_reserve_minor": 237_44, "partner_margin_minor": 985_60}
    )  # fmt: skip
    chosen, sales = settings("2026-06-05"), transactions(*SALES)
    for _ in range(2):
        reserves = keep_reserves(book, merchants({"merchant_id": "M1"}), sales, ledger, chosen)
        tables = keep_books(book, reserves["reserve_movements"], sales, ledger, chosen)
    balance = tables["subaccounts"].set_index("subaccount")["balance_minor"]
    assert (balance["Client RR"], balance["Rolling Reserve"], balance["Settlement"]) == (237_44, 120_00, 2_136_96)
    assert not tables["payout_positions"]["is_stopped"].any()


def test_another_rate_books_the_difference_and_the_other_way_round(ledger):
    run(ledger, "2026-06-03", *SALES[:2], reserve_percent=10)
    assert all(checked(run(ledger, "2026-06-03", *SALES[:2], reserve_percent=4)))
    assert reserve(ledger) == 60_00
    assert all(checked(run(ledger, "2026-06-03", *SALES[:2], reserve_percent=10)))
    assert reserve(ledger) == 150_00
    assert ledger.verify().empty


def test_a_reserve_that_is_not_booked_is_found_by_the_check(ledger):
    tables = run(ledger, "2026-06-03", *SALES[:2])
    wrong = tables["reserve_tranches"].assign(balance_minor=tables["reserve_tranches"]["balance_minor"] + 1)
    assert not all(checked(tables | {"reserve_tranches": wrong}))


def test_contracts_and_sales_of_one_merchant_are_held_in_accounts_of_their_own(ledger):
    book = contracts(
        {"receivable_minor": 3_360_00, "merchant_payout_minor": 2_136_96, "merchant_reserve_minor": 237_44, "partner_margin_minor": 985_60}
    )  # fmt: skip
    chosen, sales = settings("2026-06-05"), transactions(*SALES)
    reserves = keep_reserves(book, merchants({"merchant_id": "M1"}), sales, ledger, chosen)
    tables = keep_books(book, reserves["reserve_movements"], sales, ledger, chosen)
    balance = tables["subaccounts"].set_index("subaccount")["balance_minor"]
    assert (balance["Client RR"], balance["Rolling Reserve"], balance["Settlement"]) == (237_44, 120_00, 2_136_96)


def test_a_days_release_is_booked_at_the_midnight_that_ends_it():
    """Stripe API, reserve holds: release_after 1755972386 frees up at 1755993600, the next midnight UTC."""
    day = pd.Timestamp(1755972386, unit="s").date().isoformat()
    assert int((day_end(settings(day)) + pd.Timedelta(microseconds=1)).timestamp()) == 1755993600


_LATE = {"amount_minor": 200_00, "created_at": "2026-06-02T10:00", "transaction_id": "LATE"}


def lowest(ledger: Ledger) -> int:
    """The lowest balance that the reserve ever had at the end of a day, whichever day somebody asks for."""
    moved = ledger.postings().query("account == 'liabilities:rolling_reserve:M1'").sort_values("timestamp")
    net = (moved["credit_minor"] - moved["debit_minor"]).groupby(moved["timestamp"]).sum()
    return int(net.cumsum().min()) if len(net) else 0


def test_what_a_late_hold_releases_is_not_booked_before_it_is_held(ledger):
    first = {"amount_minor": 10_00, "created_at": "2026-06-01T10:00"}
    run(ledger, "2026-06-05", first)
    assert all(checked(run(ledger, "2026-06-30", first, _LATE)))
    assert (lowest(ledger), reserve(ledger)) == (0, 0)


def booked_directly(ledger: Ledger, day: int, sales: list[tuple[int, int, int]]) -> None:
    """What a run of this day of June books for sales (day, held, drawn two days later; the rest released after five)."""
    parts = [
        (first + after, kind, amount)
        for first, held, drawn in sales
        for after, kind, amount in (
            (0, "hold", held),
            (2, "draw", min(drawn, held)),
            (5, "release", max(held - drawn, 0)),
        )
        if first + after <= day and amount
    ]
    target = pd.DataFrame(parts, columns=["day", "movement", "amount_minor"]).assign(merchant_id="M1", currency="EUR")
    target = target.assign(movement_date=pd.Timestamp("2026-06-01") + pd.to_timedelta(target["day"] - 1, unit="D"))
    key = ["merchant_id", "currency", "movement_date", "movement"]
    summed = target.groupby(key)["amount_minor"].sum().reset_index()
    known = summed.rename(columns={"movement_date": "day"})[["merchant_id", "currency", "day"]].drop_duplicates()
    chosen = settings(f"2026-06-{day:02d}")
    append_decided(ledger, "reserves", lambda: plan_reserves(summed, known, ledger, chosen))


_SALES = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 300), st.integers(0, 300)), min_size=1, max_size=5)


@given(_SALES, st.lists(st.tuples(st.integers(12, 20), st.integers(1, 5)), min_size=1, max_size=5))
@example([(7, 39, 0), (10, 1, 0)], [(18, 1), (15, 2)])
@example([(1, 10, 0), (2, 200, 150)], [(12, 1), (20, 2), (13, 2)])
@hypothesis_settings(max_examples=20)
def test_a_reserve_is_never_negative_on_any_day_in_whatever_order_sales_come_and_runs_are_made(sales, runs):
    told = 0
    with tempfile.TemporaryDirectory() as folder, open_ledger(f"sqlite:///{folder}/ledger.sqlite", "test") as book:
        for day, count in runs:
            told = max(told, count)  # what any run has counted is remembered
            booked_directly(book, day, sales[:told])
            assert lowest(book) >= 0
