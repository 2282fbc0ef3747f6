"""Double entry: every transfer is a debit and a credit of the same amount."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas_lib.core.errors import LedgerError
from atlas_lib.ledger.postings import (
    account_movements,
    settlement_accounts,
    shape_transfers,
    to_postings,
    trial_balance,
)

ACCOUNTS = ["assets:bank:EUR", "liabilities:settlement_payable:M-1", "suspense", "equity:fx"]
TRANSFERS = st.lists(
    st.tuples(st.sampled_from(ACCOUNTS), st.sampled_from(ACCOUNTS), st.integers(1, 10**15), st.sampled_from(["EUR", "JPY"]))
    .filter(lambda t: t[0] != t[1]),
    min_size=1,
    max_size=20,
)  # fmt: skip


def frame(rows: list[tuple[str, str, int, str]]) -> pd.DataFrame:
    columns = ["debit_account", "credit_account", "amount_minor", "currency"]
    return pd.DataFrame(rows, columns=pd.Index(columns)).assign(event=range(len(rows)))


@given(TRANSFERS)
def test_postings_sum_to_zero_per_entry_and_currency_and_so_does_the_trial_balance(
    rows: list[tuple[str, str, int, str]],
) -> None:
    shaped = shape_transfers(frame(rows), len(rows))
    moved = shaped.assign(
        transfer_no=range(len(rows)), entry_id=shaped["event"], transaction_id="", batch_id="", timestamp=0
    )
    postings = to_postings(moved)
    sums = postings.groupby(["entry_id", "currency"])[["debit_minor", "credit_minor"]].sum()
    assert (sums["debit_minor"] == sums["credit_minor"]).all()
    balance = trial_balance(postings)
    assert (balance.groupby("currency")["balance_minor"].sum() == 0).all()
    changes = account_movements(shaped).set_index(["account", "currency"])
    assert (changes["debits_posted"] == balance.set_index(["account", "currency"])["debit_minor"]).all()
    assert (changes[["debits_pending", "credits_pending"]] == 0).all().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"amount_minor": 0}, "not positive"),
        ({"event": 3}, "outside this append"),
        ({"credit_account": "suspense"}, "same account"),
        ({"kind": "gift"}, "unknown kind"),
    ],
)
def test_a_transfer_that_cannot_be_is_refused_with_its_fault(change: dict[str, object], message: str) -> None:
    with pytest.raises(LedgerError, match=message):
        shape_transfers(frame([("suspense", "equity:fx", 1, "EUR")]).assign(**change), 1)


def test_pending_amounts_are_taken_back_by_a_post_or_a_void_and_only_a_post_books() -> None:
    rows = frame([("suspense", "equity:fx", 7, "EUR")] * 4).assign(kind=["pending", "pending", "post", "void"])
    rows["pending_no"] = [0, 0, 1, 2]
    changes = account_movements(shape_transfers(rows, 4)).set_index("account")
    assert changes.loc["suspense", ["debits_posted", "debits_pending"]].tolist() == [7, 0]
    assert changes.loc["equity:fx", ["credits_posted", "credits_pending"]].tolist() == [7, 0]


def test_a_sale_comes_in_and_everything_else_goes_out() -> None:
    lines = pd.DataFrame(
        {"type": ["SALE", "REFUND", "CHARGEBACK", "FEE", "PAYOUT"], "merchant_id": "M-1", "currency": "EUR"}
    )
    found = settlement_accounts(lines)
    assert found["debit_account"].tolist() == ["assets:bank:EUR"] + ["liabilities:settlement_payable:M-1"] * 4
    assert found["credit_account"].tolist() == ["liabilities:settlement_payable:M-1"] + ["assets:bank:EUR"] * 4
