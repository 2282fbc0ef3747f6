"""Sub-accounts of each merchant, read from the ledger and never from the summary.

Buying a contract is one event with its transfers (amounts of the contract, in minor units):

    debit                          credit                            amount
    assets:factoring_receivable    liabilities:settlement_payable    merchant_payout
    assets:factoring_receivable    liabilities:client_rr             merchant_reserve
    assets:factoring_receivable    liabilities:partner_payable       partner_margin
    liabilities:partner_payable    liabilities:partner_rr            Partner_RR
    assets:factoring_receivable    suspense                          what the parts lack to the receivable

A negative amount swaps the sides. The ledger's transaction is `contract:<contract_id>:v<n>`: a contract
that comes again with the same figures books nothing; with other figures, version n is reversed by new
postings and version n + 1 is booked. Nothing is ever changed or deleted. What a workbook says a customer
has paid is not booked here: that is proven by a bank line.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pandas as pd

from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.core.tables import declared
from atlas_lib.ledger.store import Ledger
from atlas_lib.reserves_credit.payouts import contract_lines

_ACTOR = "02_reserves_credit"
_FACTORING, _PARTNER = "assets:factoring_receivable:", "liabilities:partner_payable:"
_TRANSFERS = [
    (_FACTORING, "liabilities:settlement_payable:", "merchant_payout_minor"),
    (_FACTORING, "liabilities:client_rr:", "merchant_reserve_minor"),
    (_FACTORING, _PARTNER, "partner_margin_minor"),
    (_PARTNER, "liabilities:partner_rr:", "partner_rr_minor"),
    (_FACTORING, "suspense", "residual_minor"),
]
_SUBACCOUNTS = {
    "assets:factoring_receivable": "Factoring",
    "liabilities:settlement_payable": "Settlement",
    "liabilities:client_rr": "Rolling Reserve",
    "liabilities:partner_payable": "Partner",
    "liabilities:partner_rr": "Partner RR",
}
_FIGURES = [
    "merchant_id", "currency", "receivable_minor", "merchant_payout_minor", "merchant_reserve_minor",
    "partner_margin_minor", "partner_rr_minor",
]  # fmt: skip
_KEY = ["merchant_id", "currency", "subaccount"]


def book_purchases(
    contracts: pd.DataFrame, ledger: Ledger, settings: ReservesCreditSettings
) -> dict[str, pd.DataFrame]:
    """Book the contracts that the ledger does not hold yet, then read every sub-account back from it.

    Gives subaccounts, subaccount_movements. The same contracts a second time book nothing. Two runs that
    would book different figures for one contract at once cannot both: the second is refused (LedgerError).
    """
    lines = contract_lines(contracts, settings)
    booked = read_bookings(contracts["contract_id"], ledger)
    open_lines = plan_bookings(lines, booked)
    if len(open_lines):
        replaced = open_lines.dropna(subset=["replaces"])["replaces"].tolist()
        events, transfers = purchase_events(open_lines, settings)
        undone, back = reversal_events(open_lines, ledger.transfers(replaced), settings)
        all_events = pd.concat([undone, events], ignore_index=True)
        all_transfers = pd.concat([back, transfers.assign(event=transfers["event"] + len(undone))], ignore_index=True)
        ledger.append(_append_id(all_events), all_events, all_transfers)
        booked = read_bookings(contracts["contract_id"], ledger)
    return read_subaccounts(booked, ledger)


def read_bookings(contract_ids: pd.Series, ledger: Ledger) -> pd.DataFrame:
    """All versions the ledger holds of these contracts: transaction_id, contract_id, version, figures."""
    wanted, version, found = contract_ids, 1, []
    while len(wanted):
        ids = pd.Series("contract:" + wanted.to_numpy() + f":v{version}", dtype="str")
        events = ledger.events(ids.tolist())
        events = events[events["event_type"] == "CONTRACT_PURCHASED"]
        details = [json.loads(text) for text in events["details"]]
        found.append(
            pd.DataFrame(
                {
                    "transaction_id": events["transaction_id"].to_numpy(),
                    "contract_id": [d["contract_id"] for d in details],
                    "version": version,
                    "figures": [d["figures"] for d in details],
                }
            )
        )
        wanted, version = found[-1]["contract_id"], version + 1
    texts = {"transaction_id": "str", "contract_id": "str", "version": "int64", "figures": "str"}
    return (pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(texts))).astype(texts)


def plan_bookings(lines: pd.DataFrame, booked: pd.DataFrame) -> pd.DataFrame:
    """The contracts to be booked: new ones, and those whose figures differ from their latest booking.

    Adds figures, residual_minor, version, transaction_id and replaces (the booking to reverse, if any).
    """
    figures = lines[_FIGURES].astype("str").agg("|".join, axis=1) if len(lines) else pd.Series([], dtype="str")
    latest = booked.sort_values(["contract_id", "version"]).drop_duplicates("contract_id", keep="last")
    latest = latest.rename(columns={"transaction_id": "replaces", "figures": "booked_figures"})
    parts = lines["merchant_payout_minor"] + lines["merchant_reserve_minor"] + lines["partner_margin_minor"]
    known = lines.assign(figures=figures, residual_minor=lines["receivable_minor"] - parts).merge(
        latest, on="contract_id", how="left", validate="one_to_one"
    )
    version = known["version"].fillna(0).astype("int64") + 1
    named = known.assign(
        version=version, transaction_id="contract:" + known["contract_id"] + ":v" + version.astype("str")
    )
    changed = named["booked_figures"].isna() | (named["figures"] != named["booked_figures"])
    return named[changed].sort_values("contract_id", ignore_index=True)


def purchase_events(open_lines: pd.DataFrame, settings: ReservesCreditSettings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One CONTRACT_PURCHASED event per contract, dated on its first day, and the transfers of the table above.

    A corrected contract is dated on the as-of day: the past stays as it was booked.
    """
    source = (
        open_lines["source_file"]
        + ", "
        + open_lines["source_sheet"]
        + ", row "
        + open_lines["source_row"].astype("str")
    )
    details = open_lines[["contract_id", "figures"]].assign(source=source)
    first_day = open_lines["start_date"].dt.tz_localize("UTC")
    events = pd.DataFrame(
        {
            "transaction_id": open_lines["transaction_id"],
            "batch_id": "",
            "event_type": "CONTRACT_PURCHASED",
            "amount_minor": open_lines["receivable_minor"],
            "currency": open_lines["currency"],
            "timestamp": first_day.where(open_lines["version"] == 1, _day_end(settings)),
            "actor": _ACTOR,
            "details": _json_lines(details),
        }
    )
    return events, _signed(pd.concat([_transfers(open_lines, *t) for t in _TRANSFERS], ignore_index=True))


def reversal_events(
    open_lines: pd.DataFrame, old_transfers: pd.DataFrame, settings: ReservesCreditSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One SETTLEMENT_REVERSED event per replaced booking, each of its transfers turned round."""
    replaced = open_lines.dropna(subset=["replaces"]).reset_index(drop=True)
    details = replaced[["contract_id"]].assign(replaced_by=replaced["transaction_id"], reason="figures changed")
    events = pd.DataFrame(
        {
            "transaction_id": replaced["replaces"],
            "batch_id": "",
            "event_type": "SETTLEMENT_REVERSED",
            "amount_minor": replaced["booked_figures"].str.split("|").str[2].astype("int64"),
            "currency": replaced["booked_figures"].str.split("|").str[1],
            "timestamp": _day_end(settings),
            "actor": _ACTOR,
            "details": _json_lines(details),
        }
    )
    row_of = pd.Series(events.index, index=events["transaction_id"], dtype="int64")
    back = old_transfers[old_transfers["kind"] == "single"]
    transfers = pd.DataFrame(
        {
            "event": back["transaction_id"].map(row_of).astype("int64"),
            "debit_account": back["credit_account"],
            "credit_account": back["debit_account"],
            "amount_minor": back["amount_minor"],
            "currency": back["currency"],
        }
    )
    return events, transfers.reset_index(drop=True)


def read_subaccounts(booked: pd.DataFrame, ledger: Ledger) -> dict[str, pd.DataFrame]:
    """Movements with running balances, and the balances, of the sub-accounts of these bookings."""
    ids = booked["transaction_id"].tolist()
    postings = ledger.postings(ids)
    kinds = ledger.events(ids)[["entry_id", "event_type"]]
    kind, merchant = _split_account(postings["account"])
    moves = postings.assign(subaccount=kind.map(_SUBACCOUNTS), merchant_id=merchant).dropna(subset=["subaccount"])
    moves = moves.merge(kinds, on="entry_id", how="left", validate="many_to_one")
    is_back = moves["event_type"] == "SETTLEMENT_REVERSED"
    moves = moves.assign(
        movement=np.where(is_back, "reversal", "purchase"),
        movement_date=moves["timestamp"].dt.tz_localize(None).dt.normalize(),
        contract_id=moves["transaction_id"].str.replace(r"^contract:|:v\d+$", "", regex=True),
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


def check_subaccounts(
    subaccounts: pd.DataFrame, payout_summary: pd.DataFrame, reserve_tranches: pd.DataFrame
) -> pd.DataFrame:
    """Whether the ledger's balances equal the summary and the tranches to the cent, per merchant and currency.

    Columns check, passed, is_blocking, detail (difference of the sums and number of merchants that differ).
    """
    columns = {
        "Factoring": "receivables_minor", "Settlement": "merchant_payout_minor", "Rolling Reserve": "client_rr_minor",
        "Partner RR": "partner_rr_minor", "Partner": "partner_minor",
    }  # fmt: skip
    kept = payout_summary.assign(
        partner_minor=payout_summary["partner_payout_minor"] - payout_summary["partner_rr_minor"]
    )
    wide = kept.set_index(["merchant_id", "currency"])[list(columns.values())]
    own = reserve_tranches[reserve_tranches["source"] == "contract"]
    tranches = own.groupby(["merchant_id", "currency"])["balance_minor"].sum()
    ledger = {name: subaccounts[subaccounts["subaccount"] == name] for name in columns}
    balance = {name: rows.set_index(["merchant_id", "currency"])["balance_minor"] for name, rows in ledger.items()}
    rows = [
        _equal(f"Ledger {name} equals the summary", balance[name], wide[column]) for name, column in columns.items()
    ]
    rows.append(_equal("Ledger Rolling Reserve equals the open tranches", balance["Rolling Reserve"], tranches))
    return pd.DataFrame(rows)


def _equal(check: str, left: pd.Series, right: pd.Series) -> dict[str, object]:
    difference = left.sub(right, fill_value=0).astype("int64")
    apart = int((difference != 0).sum())
    detail = (
        "equal to the cent" if not apart else f"{apart} accounts differ, {int(difference.sum())} minor units in all"
    )
    return {"check": check, "passed": apart == 0, "is_blocking": True, "detail": detail}


def _transfers(open_lines: pd.DataFrame, debit: str, credit: str, amount: str) -> pd.DataFrame:
    merchant = open_lines["merchant_id"]
    return pd.DataFrame(
        {
            "event": np.arange(len(open_lines)),
            "debit_account": debit + merchant,
            "credit_account": credit + merchant if credit.endswith(":") else credit,
            "amount_minor": open_lines[amount],
            "currency": open_lines["currency"],
        }
    )


def _signed(transfers: pd.DataFrame) -> pd.DataFrame:
    """Positive amounts only: a negative one goes the other way, zero moves nothing."""
    back = transfers["amount_minor"] < 0
    debit = transfers["debit_account"].where(~back, transfers["credit_account"])
    credit = transfers["credit_account"].where(~back, transfers["debit_account"])
    turned = transfers.assign(debit_account=debit, credit_account=credit, amount_minor=transfers["amount_minor"].abs())
    return turned[turned["amount_minor"] > 0].sort_values("event", kind="stable", ignore_index=True)


def _split_account(accounts: pd.Series) -> tuple[pd.Series, pd.Series]:
    """`liabilities:client_rr:310110` -> `liabilities:client_rr`, `310110`."""
    parts = accounts.astype("str").str.extract(r"^(?P<kind>[a-z_]+:[a-z_]+):(?P<merchant>.*)$")
    return parts["kind"], parts["merchant"]


def _json_lines(rows: pd.DataFrame) -> list[str]:
    """Each row as one JSON text (ASCII, so that no character of a name ends a line)."""
    return rows.to_json(orient="records", lines=True).splitlines() if len(rows) else []


def _day_end(settings: ReservesCreditSettings) -> pd.Timestamp:
    return pd.Timestamp(settings.as_of, tz="UTC") + pd.Timedelta(days=1) - pd.Timedelta(microseconds=1)


def _append_id(events: pd.DataFrame) -> str:
    """Made of what is booked in which version, not of the figures: other figures under it are refused."""
    names = "|".join(events["event_type"] + " " + events["transaction_id"])
    return "purchases:" + hashlib.sha256(names.encode()).hexdigest()[:32]
