"""The settlement schedule of the merchants, and the ledger's trail of a run."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import numpy as np
import pandas as pd

from atlas_lib.batching_settlement.outcomes import NEXT_WINDOW
from atlas_lib.core.calendars import add_business_days
from atlas_lib.core.tables import declared
from atlas_lib.ledger.postings import trial_balance
from atlas_lib.ledger.store import Ledger

_KEY = ["merchant_id", "batch_id", "currency"]
_PLACE = ["window", "due_date", "status", "reason"]
_SEVERITY = {"settled": 0, "failed": 1, "superseded": 1, "in_flight": 2, "reversed": 3}


def settlement_schedule(
    settlement_results: pd.DataFrame, settlement_items: pd.DataFrame, payouts: pd.DataFrame, as_of: date
) -> dict[str, pd.DataFrame]:
    """What each merchant gets or pays, when, and whether it has happened.

    net_minor = sum of -cash_out_minor per merchant, batch and currency of our cash: what a settlement brings in for the
    merchant we owe the merchant; payouts of purchased contracts count in full. Completed: paid and due by the as-of
    day. Pending: paid on the rail or ready to be requested, due later. Delayed: not paid, with the reason; due on the
    business day after its window.
    Inputs: settlement_results, settlement_items (transaction_id), payouts (payout_id). Output: settlement_schedule.
    """
    lines = settlement_results[["transaction_id", "batch_id", "window", "settlement_date", "status", "reason"]].merge(
        settlement_items[["transaction_id", "merchant_id", "cash_currency", "cash_out_minor"]],
        on="transaction_id",
        how="inner",
        validate="1:1",
    )
    lines = lines.assign(severity=lines["status"].map(_SEVERITY).astype("int64"), net_minor=-lines["cash_out_minor"])
    lines = lines.rename(columns={"cash_currency": "currency", "settlement_date": "due_date"})
    # Of one merchant and batch the worst line names the reason.
    lines = lines.sort_values(["severity", "transaction_id"], ascending=[False, True], kind="stable")
    rows = lines.groupby(_KEY, as_index=False).agg(
        net_minor=("net_minor", "sum"), window=("window", "first"), due_date=("due_date", "first"),
        severity=("severity", "first"), reason=("reason", "first"),
    )  # fmt: skip
    is_late = (rows["severity"] > 0).to_numpy()
    is_done = (rows["due_date"] <= pd.Timestamp(as_of)).to_numpy()
    due = pd.Series(
        add_business_days(rows["due_date"].to_numpy("datetime64[D]"), is_late.astype("int64")), dtype="datetime64[s]"
    )
    schedule = rows.assign(
        due_date=due,
        window=rows["window"].where(~is_late, rows["window"].map(NEXT_WINDOW)),
        status=np.select([is_late, is_done], ["Delayed", "Completed"], default="Pending").astype(str),
    )
    columns = declared("settlement_schedule").column_names
    both = [part[columns].astype(object) for part in (schedule, _payout_rows(payouts))]
    return {"settlement_schedule": declared("settlement_schedule").shaped(pd.concat(both, ignore_index=True))}


def _payout_rows(payouts: pd.DataFrame) -> pd.DataFrame:
    """Payouts of purchased contracts: ready ones are pending, blocked ones delayed with their reason codes."""
    is_blocked = payouts["status"] == "Blocked"
    return payouts.rename(columns={"payout_id": "batch_id", "amount_minor": "net_minor"}).assign(
        window="T0",
        status=np.where(is_blocked, "Delayed", "Pending").astype(str),
        reason=payouts["reasons"].where(is_blocked, ""),
    )


def ledger_trail(ledger: Ledger, transaction_ids: Iterable[str], batch_ids: Iterable[str]) -> dict[str, pd.DataFrame]:
    """The ledger's entries about these transactions and batches, and the trial balance of their postings.

    Output: ledger_entries (entry_id), trial_balance (account, currency); per currency the balances sum to zero.
    """
    named = list(transaction_ids)
    return {
        "ledger_entries": declared("ledger_entries").shaped(ledger.events(named, batch_ids)),
        "trial_balance": declared("trial_balance").shaped(trial_balance(ledger.postings(named))),
    }
