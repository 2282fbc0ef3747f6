"""Double entry: a transfer debits one account and credits another, so every event sums to zero.

Chart of accounts (code, normal side):
```
assets:bank:<currency>                       debit    our account at the bank
assets:factoring_receivable:<merchant>       debit    receivables bought
assets:clearing:<counterparty>               debit    under way between the bank and us
liabilities:settlement_payable:<merchant>    credit   settled sales owed to the merchant
liabilities:payout_payable:<merchant>        credit   purchased contracts owed to the merchant
liabilities:client_rr:<merchant>             credit   reserve held back from purchased contracts
liabilities:rolling_reserve:<merchant>       credit   reserve held back from settled sales
liabilities:partner_rr:<merchant>            credit   reserve of the funding partner
liabilities:partner_payable:<merchant>       credit   margin owed to the funding partner
expenses:fees, suspense, equity:fx
expenses:write_off:<reason>                  debit    differences given up in reconciliation
```
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from atlas_lib.core.errors import LedgerError
from atlas_lib.ledger.events import frame_integers, frame_texts, hash_leaves

TRANSFER_KINDS = ("single", "pending", "post", "void", "reversal")
POSTED_KINDS = ("single", "post", "reversal")
TRANSFER_COLUMNS = ("event", "kind", "pending_no", "debit_account", "credit_account", "amount_minor", "currency")
POSTING_COLUMNS = (
    "entry_id", "transaction_id", "batch_id", "account", "currency", "debit_minor", "credit_minor", "timestamp",
)  # fmt: skip
_REQUIRED = ("event", "debit_account", "credit_account", "amount_minor", "currency")


def shape_transfers(transfers: pd.DataFrame | None, event_count: int) -> pd.DataFrame:
    """TRANSFER_COLUMNS in the order of their events; kind defaults to single, pending_no 0 means none.

    Raises LedgerError for a missing column, an amount that is not positive, an event that is not in the append.
    """
    if transfers is None or transfers.empty:
        return pd.DataFrame({c: pd.Series([], dtype=object) for c in TRANSFER_COLUMNS})
    missing = [c for c in _REQUIRED if c not in transfers.columns]
    if missing:
        raise LedgerError("Transfers lack columns", expected=", ".join(_REQUIRED), found=", ".join(missing))
    kind = transfers["kind"] if "kind" in transfers.columns else "single"
    pending = transfers["pending_no"].fillna(0) if "pending_no" in transfers.columns else 0
    shaped = transfers.assign(kind=kind, pending_no=pending)[list(TRANSFER_COLUMNS)].reset_index(drop=True)
    shaped = shaped.astype({"event": "int64", "pending_no": "int64", "amount_minor": "int64"})
    _check_transfers(shaped, event_count)
    return shaped.sort_values("event", kind="stable", ignore_index=True)


def _check_transfers(transfers: pd.DataFrame, event_count: int) -> None:
    faults = {
        "an amount that is not positive": transfers["amount_minor"] <= 0,
        "an event number outside this append": ~transfers["event"].between(0, event_count - 1),
        "the same account on both sides": transfers["debit_account"] == transfers["credit_account"],
        "an unknown kind": ~transfers["kind"].isin(TRANSFER_KINDS),
    }
    for fault, rows in faults.items():
        if rows.any():
            raise LedgerError(f"A transfer has {fault}", found=transfers[rows].head(3).to_string(index=False))


def transfer_leaves(transfer_nos: Iterable[int], positions: Iterable[int], transfers: pd.DataFrame) -> list[bytes]:
    """Leaf of every transfer: numbers, then kind, accounts and currency as framed texts."""
    integers = frame_integers(transfer_nos, positions, transfers["pending_no"], transfers["amount_minor"])
    texts = [frame_texts(transfers[c].tolist()) for c in ("kind", "debit_account", "credit_account", "currency")]
    return hash_leaves([integers, *texts])


def account_movements(transfers: pd.DataFrame) -> pd.DataFrame:
    """What transfers change, per account and currency.

    Returns account, currency, debits_posted, credits_posted, debits_pending, credits_pending. A post or a void
    takes its pending amount back; a post books it as well.
    """
    posted = np.where(transfers["kind"].isin(POSTED_KINDS), transfers["amount_minor"], 0).astype("int64")
    sign = transfers["kind"].map({"pending": 1, "post": -1, "void": -1}).fillna(0)
    pending = (sign.astype("int64") * transfers["amount_minor"]).to_numpy("int64")
    sides = []
    for side, other in (("debit", "credit"), ("credit", "debit")):
        zero = np.zeros(len(transfers), dtype="int64")
        columns = {f"{side}s_posted": posted, f"{side}s_pending": pending}
        columns |= {f"{other}s_posted": zero, f"{other}s_pending": zero}
        named = {"account": transfers[f"{side}_account"], "currency": transfers["currency"]}
        sides.append(pd.DataFrame(named | columns))
    summed = pd.concat(sides, ignore_index=True).groupby(["account", "currency"], sort=True, as_index=False).sum()
    return summed[["account", "currency", "debits_posted", "credits_posted", "debits_pending", "credits_pending"]]


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
