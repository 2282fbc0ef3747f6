"""Sub-accounts of each merchant, read from the ledger and never from the summary."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from atlas_lib.core.tables import declared
from atlas_lib.ledger import keys
from atlas_lib.ledger.store import Ledger

_SUBACCOUNTS = {
    "assets:factoring_receivable": "Factoring",
    "liabilities:payout_payable": "Settlement",
    "liabilities:client_rr": "Client RR",
    "liabilities:rolling_reserve": "Rolling Reserve",
    "liabilities:partner_payable": "Partner",
    "liabilities:partner_rr": "Partner RR",
}
# What we bought, and what is between us and the funding partner: a merchant does not see them.
OUR_SUBACCOUNTS = ("Factoring", "Partner", "Partner RR")
_KEY = ["merchant_id", "currency", "subaccount"]
_MOVEMENT = {
    "CONTRACT_PURCHASED": "purchase",
    "SETTLEMENT_REVERSED": "reversal",
    "RESERVE_HELD": "hold",
    "RESERVE_RELEASED": "release",
    "RESERVE_DRAWN": "draw",
    "PAYOUT_EXECUTED": "payout",
    "PAYOUT_RETURNED": "payout returned",
}


def read_subaccounts(transaction_ids: list[str], ledger: Ledger, end: pd.Timestamp) -> dict[str, pd.DataFrame]:
    """Movements with running balances, and the balances, of the sub-accounts of these transactions.

    Reserve movements count up to the instant `end`, as the tranches do, and so do figures of contracts that a later run
    has corrected; purchases and payouts as the ledger stands now.
    """
    postings = ledger.postings(transaction_ids)
    events = ledger.events(transaction_ids, event_types=_MOVEMENT)
    kind, merchant = _split_account(postings["account"])
    moves = postings.assign(subaccount=kind.map(_SUBACCOUNTS), merchant_id=merchant).dropna(subset=["subaccount"])
    moves = moves.merge(events[["entry_id", "event_type"]], on="entry_id", how="inner", validate="many_to_one")
    later = _corrected_later(events, end, pd.Timestamp(ledger.today(), tz="UTC"))
    moves = moves[~moves["entry_id"].isin(later)]
    is_contract = moves["transaction_id"].str.startswith(keys.CONTRACT)
    contract_id = moves["transaction_id"].str.replace(r"^contract:|:v\d+$", "", regex=True)
    moves = moves.assign(
        movement=moves["event_type"].map(_MOVEMENT).astype("str"),
        movement_date=moves["timestamp"].dt.tz_localize(None).dt.normalize(),
        contract_id=contract_id.where(is_contract, ""),
    ).sort_values([*_KEY, "timestamp", "transaction_id", "movement", "debit_minor", "credit_minor"], ignore_index=True)
    side = np.where(moves["subaccount"] == "Factoring", 1, -1)
    moves["net_minor"] = side * (moves["debit_minor"] - moves["credit_minor"])
    account = moves.groupby(_KEY, sort=False)
    moves = moves.assign(sequence=account.cumcount() + 1, balance_minor=account["net_minor"].cumsum())
    balances = account.agg(
        account=("account", "first"),
        movement_count=("net_minor", "size"),
        debit_minor=("debit_minor", "sum"),
        credit_minor=("credit_minor", "sum"),
        balance_minor=("net_minor", "sum"),
    )
    return {
        "subaccounts": declared("subaccounts").checked(balances.reset_index()),
        "subaccount_movements": declared("subaccount_movements").checked(moves),
    }


def _corrected_later(events: pd.DataFrame, end: pd.Timestamp, today: pd.Timestamp) -> pd.Series:
    """Reserve movements after `end`, and corrections of contracts by runs of days between `end` and now (beyond: mistyped)."""
    after = events[events["timestamp"] > end]
    is_reserve = after["event_type"].str.startswith("RESERVE_")
    is_first = after["transaction_id"].str.endswith(":v1") & (after["event_type"] == "CONTRACT_PURCHASED")
    corrected = after[after["transaction_id"].str.startswith(keys.CONTRACT) & ~is_first]
    told = pd.Series([json.loads(d).get("as_of") for d in corrected["details"]], index=corrected.index, dtype="str")
    day = pd.to_datetime(told, utc=True).fillna(corrected["timestamp"].dt.normalize())
    late: pd.Series = pd.concat([after[is_reserve], corrected[(day > end) & (day <= today)]])["entry_id"]
    return late


def total_subaccounts(subaccounts: pd.DataFrame) -> pd.DataFrame:
    """The sub-accounts of all merchants added up, per currency and kind."""
    kept = ["movement_count", "debit_minor", "credit_minor", "balance_minor"]
    sums = subaccounts.groupby(["currency", "subaccount"], sort=True)
    return sums[kept].sum().assign(merchants_count=sums.size()).reset_index()


def check_subaccounts(
    subaccounts: pd.DataFrame,
    subaccount_movements: pd.DataFrame,
    contract_payments: pd.DataFrame,
    payout_summary: pd.DataFrame,
    reserve_tranches: pd.DataFrame,
) -> pd.DataFrame:
    """Whether the ledger equals the summary and the tranches to the cent, per merchant and currency.

    The summary against the bookings of its contracts, the tranches against the balances of the reserve accounts.

    Columns check, passed, is_blocking, detail (difference of the sums and number of merchants that differ).
    """
    columns = {
        "Factoring": "receivables_minor", "Settlement": "merchant_payout_minor", "Client RR": "client_rr_minor",
        "Partner RR": "partner_rr_minor", "Partner": "partner_minor",
    }  # fmt: skip
    kept = payout_summary.assign(
        partner_minor=payout_summary["partner_payout_minor"] - payout_summary["partner_rr_minor"]
    )
    wide = kept.set_index(["merchant_id", "currency"])[list(columns.values())]
    given = contract_payments.loc[contract_payments["is_in_input"], "contract_id"]
    of_contracts = subaccount_movements[subaccount_movements["contract_id"].isin(given)]
    side = of_contracts["credit_minor"] - of_contracts["debit_minor"]
    net = side.where(of_contracts["subaccount"] != "Factoring", -side)
    booked = net.groupby([of_contracts[k] for k in _KEY]).sum()
    rows = [
        _equal(f"Ledger {name} equals the summary", _of(booked, name), wide[column]) for name, column in columns.items()
    ]
    balance = subaccounts.set_index(_KEY)["balance_minor"]
    for name, source, held in (("Client RR", "contract", booked), ("Rolling Reserve", "sales", balance)):
        own = reserve_tranches[reserve_tranches["source"] == source]
        sums = own.groupby(["merchant_id", "currency"])["balance_minor"].sum()
        rows.append(_equal(f"Ledger {name} equals the open tranches", _of(held, name), sums))
    return pd.DataFrame(rows)


def _of(balances: pd.Series, subaccount: str) -> pd.Series:
    """The balances of one kind of sub-account, by merchant and currency."""
    return balances[balances.index.get_level_values("subaccount") == subaccount].droplevel("subaccount")


def _equal(check: str, left: pd.Series, right: pd.Series) -> dict[str, object]:
    difference = left.sub(right, fill_value=0).astype("int64")
    apart = int((difference != 0).sum())
    detail = (
        "equal to the cent" if not apart else f"{apart} accounts differ, {int(difference.sum())} minor units in all"
    )
    return {"check": check, "passed": apart == 0, "is_blocking": True, "detail": detail}


def _split_account(accounts: pd.Series) -> tuple[pd.Series, pd.Series]:
    """`liabilities:client_rr:310110` -> `liabilities:client_rr`, `310110`."""
    parts = accounts.astype("str").str.extract(r"^(?P<kind>[a-z_]+:[a-z_]+):(?P<merchant>.*)$")
    return parts["kind"], parts["merchant"]
