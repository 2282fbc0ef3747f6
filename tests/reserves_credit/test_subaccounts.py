from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.core.tables import declared
from atlas_lib.ledger.store import Ledger, open_ledger
from atlas_lib.reserves_credit.books import keep_books
from atlas_lib.reserves_credit.payouts import contract_lines, sum_lines
from atlas_lib.reserves_credit.reserves import hold_contracts
from atlas_lib.reserves_credit.subaccounts import check_subaccounts, total_subaccounts
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


def test_the_check_names_the_accounts_that_differ(ledger: Ledger) -> None:
    book = contracts(_FIRST, _SECOND)
    tables = book_purchases(book, ledger, settings())
    summary, tranches = sum_lines(contract_lines(book, settings())), hold_contracts(book, settings().as_of)
    read = [tables[n] for n in ("subaccounts", "subaccount_movements", "contract_payments")]
    assert check_subaccounts(*read, summary, tranches)["passed"].all()
    wrong = check_subaccounts(*read, summary.assign(client_rr_minor=summary["client_rr_minor"] + 1), tranches)
    failed = wrong[~wrong["passed"]].iloc[0]
    assert failed["check"] == "Ledger Client RR equals the summary"
    assert failed["detail"] == "2 accounts differ, -2 minor units in all"


def test_what_the_parts_lack_to_the_receivable_is_in_suspense(ledger: Ledger) -> None:
    tables = book_purchases(contracts(_FIRST | {"receivable_minor": 3_361_00}), ledger, settings())
    assert _balances(tables)["Factoring"] == 3_361_00
    suspense = ledger.balances().query("account == 'suspense'")
    assert suspense["credit_minor"].tolist() == [1_00]


def test_a_purchase_credits_the_merchant_the_reserve_and_the_partner(ledger: Ledger) -> None:
    tables = book_purchases(contracts(_FIRST), ledger, settings())
    assert _balances(tables) == {
        "Factoring": 3_360_00, "Settlement": 2_136_96, "Client RR": 237_44, "Partner": 887_04, "Partner RR": 98_56,
    }  # fmt: skip
    assert tables["subaccount_movements"]["movement_date"].unique().tolist() == [pd.Timestamp("2023-11-15")]


def test_the_merchants_accounts_add_up_per_kind(ledger: Ledger) -> None:
    tables = book_purchases(contracts(_FIRST, _SECOND), ledger, settings())
    totals = total_subaccounts(tables["subaccounts"]).set_index("subaccount")
    assert totals.loc["Settlement", ["balance_minor", "merchants_count"]].tolist() == [2_836_96, 2]
    assert totals.loc["Client RR", "balance_minor"] == 237_44
