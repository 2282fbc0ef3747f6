"""Double entry: a transfer debits one account and credits another, so every event sums to zero.

The accounts are those of the chart (chart.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from atlas_lib.core.errors import LedgerError
from atlas_lib.ledger.canonical import hash_rows
from atlas_lib.ledger.chart import outside_chart
from atlas_lib.ledger.schema import TRANSFER_KINDS

POSTED_KINDS = ("single", "post", "reversal")
TRANSFER_COLUMNS = ("event", "kind", "pending_no", "debit_account", "credit_account", "amount_minor", "currency")
POSTING_COLUMNS = (
    "entry_id", "transaction_id", "batch_id", "account", "currency", "debit_minor", "credit_minor", "timestamp",
)  # fmt: skip
AccountSides = tuple[pd.DataFrame, np.ndarray, np.ndarray]
_SIDES = ("debit", "credit")
_NUMBERS = ("event", "pending_no", "amount_minor")
_REQUIRED = ("event", "debit_account", "credit_account", "amount_minor", "currency")


def shape_transfers(transfers: pd.DataFrame | None, event_count: int) -> pd.DataFrame:
    """TRANSFER_COLUMNS in the order of their events; kind defaults to single, pending_no 0 means none.

    Raises LedgerError for a missing column, an amount that is not positive, an event that is not in the append.
    """
    if transfers is None or transfers.empty:
        return pd.DataFrame({c: pd.Series([], dtype="int64" if c in _NUMBERS else "str") for c in TRANSFER_COLUMNS})
    missing = [c for c in _REQUIRED if c not in transfers.columns]
    if missing:
        raise LedgerError("Transfers lack columns", expected=", ".join(_REQUIRED), found=", ".join(missing))
    given = {c: transfers[c] for c in TRANSFER_COLUMNS if c in transfers.columns}
    numbers = {c: given[c].fillna(0).to_numpy("int64") if c in given else 0 for c in _NUMBERS}
    texts = {c: given[c].array if c in given else "single" for c in TRANSFER_COLUMNS if c not in _NUMBERS}
    shaped = pd.DataFrame(numbers | texts, columns=pd.Index(TRANSFER_COLUMNS), index=range(len(transfers)))
    _check_transfers(shaped, event_count)
    in_order = shaped["event"].is_monotonic_increasing
    return shaped if in_order else shaped.sort_values("event", kind="stable", ignore_index=True)


def _check_transfers(transfers: pd.DataFrame, event_count: int) -> None:
    sides = transfers[["debit_account", "credit_account"]]
    strangers = outside_chart({a for side in sides for a in sides[side].unique()})
    faults = {
        "an amount that is not positive": transfers["amount_minor"] <= 0,
        "an event number outside this append": ~transfers["event"].between(0, event_count - 1),
        "the same account on both sides": transfers["debit_account"] == transfers["credit_account"],
        "an unknown kind": ~transfers["kind"].isin(TRANSFER_KINDS),
    }
    if strangers:
        faults["an account outside the chart of accounts"] = sides.isin(strangers).any(axis=1)
    for fault, rows in faults.items():
        if rows.any():
            raise LedgerError(f"A transfer has {fault}", found=transfers[rows].head(3).to_string(index=False))


def transfer_leaves(
    transfer_nos: Iterable[int], positions: Iterable[int], transfers: pd.DataFrame | Mapping[str, Sequence[Any]]
) -> bytes:
    """Leaf of every transfer, one after the other: numbers, then kind, accounts and currency as framed texts."""
    numbers = [transfer_nos, positions, transfers["pending_no"], transfers["amount_minor"]]
    return hash_rows(numbers, [transfers[c] for c in ("kind", "debit_account", "credit_account", "currency")])


def account_sides(transfers: pd.DataFrame) -> AccountSides:
    """The accounts that transfers touch (account, currency, in order), and which of them each debits and credits."""
    accounts, names = pd.factorize(pd.concat([transfers["debit_account"], transfers["credit_account"]]), sort=True)
    currency, currencies = pd.factorize(transfers["currency"], sort=True)
    pairs = accounts * len(currencies) + np.tile(currency, 2)
    touched, side = np.unique(pairs, return_inverse=True)
    account, money = np.divmod(touched, max(len(currencies), 1))
    found = pd.DataFrame({"account": names.take(account), "currency": currencies.take(money)})
    return found, side[: len(transfers)], side[len(transfers) :]


def account_movements(transfers: pd.DataFrame, sides: AccountSides | None = None) -> pd.DataFrame:
    """What transfers change, per account and currency; `sides` where they are known already.

    Returns account, currency, debits_posted, credits_posted, debits_pending, credits_pending. A post or a void
    takes its pending amount back; a post books it as well.
    """
    kind, amount = transfers["kind"], transfers["amount_minor"].to_numpy("int64")
    posted = np.where(kind.isin(POSTED_KINDS), amount, 0)
    pending = np.where(kind == "pending", amount, np.where(kind.isin(("post", "void")), -amount, 0))
    accounts, debit, credit = sides or account_sides(transfers)
    sums = {f"{side}s_{state}": np.zeros(len(accounts), "int64") for state in ("posted", "pending") for side in _SIDES}
    for side, touched in zip(_SIDES, (debit, credit), strict=True):
        np.add.at(sums[f"{side}s_posted"], touched, posted)
        np.add.at(sums[f"{side}s_pending"], touched, pending)
    return accounts.assign(**sums)


def to_postings(transfers: pd.DataFrame) -> pd.DataFrame:
    """Two postings per transfer, debit first; columns POSTING_COLUMNS, ordered by entry."""
    zero = np.zeros(len(transfers), dtype="int64")
    debits = transfers.assign(
        account=transfers["debit_account"], debit_minor=transfers["amount_minor"], credit_minor=zero, side=0
    )
    credits = transfers.assign(
        account=transfers["credit_account"], debit_minor=zero, credit_minor=transfers["amount_minor"], side=1
    )
    both = pd.concat([debits, credits], ignore_index=True)
    ordered = both.sort_values(["transfer_no", "side"], kind="stable", ignore_index=True)
    return ordered[list(POSTING_COLUMNS)].astype({"entry_id": "int64", "debit_minor": "int64", "credit_minor": "int64"})


def trial_balance(postings: pd.DataFrame) -> pd.DataFrame:
    """Debits and credits per account and currency; balance_minor = debit_minor - credit_minor.

    Over all accounts of a currency the debits equal the credits, so the balances sum to zero.
    """
    sums = postings.groupby(["account", "currency"], sort=True, as_index=False)[["debit_minor", "credit_minor"]].sum()
    return sums.assign(balance_minor=sums["debit_minor"] - sums["credit_minor"])


def settlement_accounts(lines: pd.DataFrame) -> pd.DataFrame:
    """Accounts of a settled transaction: a sale comes in and is owed to the merchant, all else goes out.

    SALE: debit assets:bank, credit liabilities:settlement_payable. REFUND, CHARGEBACK, FEE and PAYOUT the other way,
    which is how the bank statement shows them (CRDT for a sale, DBIT for the others).
    Input columns type, merchant_id, currency; returns debit_account, credit_account on the same index.
    """
    bank = "assets:bank:" + lines["currency"].astype(object)
    payable = "liabilities:settlement_payable:" + lines["merchant_id"].astype(object)
    is_sale = lines["type"] == "SALE"
    return pd.DataFrame({"debit_account": bank.where(is_sale, payable), "credit_account": payable.where(is_sale, bank)})
