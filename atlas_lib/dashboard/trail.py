"""From a merchant down to the cell a figure was read from: what a run and its ledger hold about one row."""

from __future__ import annotations

from typing import Any

import pandas as pd

from atlas_lib.core.accounts import mask_text
from atlas_lib.core.errors import Refused
from atlas_lib.core.run import Run
from atlas_lib.core.tables import SOURCE_COLUMNS, declared
from atlas_lib.dashboard.access import columns_for, is_office, may_see_accounts
from atlas_lib.dashboard.listings import listing_of
from atlas_lib.dashboard.rows import Query, read_rows
from atlas_lib.ledger import keys
from atlas_lib.ledger.run_ledger import open_run_ledger
from atlas_lib.reconciliation.views.fraud_console import SUBJECT
from atlas_lib.reserves_credit.roles import Actor

# Title, table and the column that leads to it, in the order a person asks.
_PARTS = {
    "contract_id": (("Contract", "contracts"), ("Outstanding", "contract_balances"), ("Paid out", "contract_payments"), ("Movements of its sub-accounts", "subaccount_movements"), ("Reserve", "reserve_tranches"), ("Instalments", "schedule")),
    "transaction_id": (("Transaction", "final_index"), ("Findings", "screening_findings"), ("At the bank", "matches"), ("Breaks", "breaks"), ("In the batch", "batch_lines"), ("Not settled", "deferrals")),
}  # fmt: skip
_MERCHANT = ("merchants", "payout_summary", "subaccounts", "contract_balances", "reserve_coverage", "merchant_kpis", "settlement_schedule", "breaks", "final_index")  # fmt: skip


def tables_of_merchant(run: Run, actor: Actor) -> list[str]:
    """The tables that say something about one merchant, as far as the person may see them."""
    return [t for t in _MERCHANT if run.has(t) and (is_office(actor) or listing_of(t).own_shown)]


def trail_of(run: Run, actor: Actor, key: str, value: str) -> dict[str, Any]:
    """All about one contract or transaction: `parts` (title to rows), `events`, `source` (file, sheet, row).

    Raises Refused when the run has no such row, or the person may not see it; both look the same to a merchant.
    """
    parts = {title: _rows(run, actor, table, key, value) for title, table in _PARTS[key] if run.has(table)}
    first = next(iter(parts.values()))
    if first.empty:
        raise Refused(
            f"You see no such {key.removesuffix('_id')} in this run", found=value, expected="one of the lists"
        )
    return {
        "parts": {title: rows for title, rows in parts.items() if len(rows)},
        "events": _events(run, actor, key, value),
        "source": first[list(SOURCE_COLUMNS)].iloc[0].to_dict() if set(SOURCE_COLUMNS) <= set(first) else {},
    }


def _rows(run: Run, actor: Actor, table: str, key: str, value: str) -> pd.DataFrame:
    """Rows of a table about the key, none where the person may not see the table."""
    listing = listing_of(table)
    if key not in declared(table).column_names or not (is_office(actor) or listing.own_shown):
        return pd.DataFrame()
    found = read_rows(run, actor, listing, Query(chosen={key: value}, size=100)).frame
    return found[[n for n in columns_for(actor, listing) if n in found]]


def _events(run: Run, actor: Actor, key: str, value: str) -> pd.DataFrame:
    """What the ledger says of it, oldest first; who and why are for the office."""
    with open_run_ledger(run, writer="dashboard") as ledger:
        names = [value] if key == "transaction_id" else _versions(ledger, value)
        names += [SUBJECT + value] if is_office(actor) else []  # nobody is told of a suspicion against them
        events = ledger.events(transaction_ids=names)
    shown = ["entry_id", "timestamp", "event_type", "amount_minor", "currency"]
    shown += ["batch_id", "actor", "details"] if is_office(actor) else []
    if not may_see_accounts(actor):
        events = events.assign(details=events["details"].astype("str").map(mask_text).astype("str"))
    return events[shown].rename(columns={"timestamp": "made_at"})


def _versions(ledger: Any, contract: str) -> list[str]:
    """A contract is booked anew, as the next version, when its figures change."""
    events: pd.DataFrame = ledger.events(event_types=["CONTRACT_PURCHASED"])
    ids = events["transaction_id"].drop_duplicates()
    return [str(i) for i in ids[ids.str.startswith(f"{keys.CONTRACT}{contract}:v")]]
