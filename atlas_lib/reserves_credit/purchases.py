"""Purchases of contracts, booked in the ledger.

Buying a contract is one event with its transfers (amounts of the contract, in minor units):

    debit                          credit                            amount
    assets:factoring_receivable    liabilities:payout_payable        merchant_payout
    assets:factoring_receivable    liabilities:client_rr             merchant_reserve
    assets:factoring_receivable    liabilities:partner_payable       partner_margin
    liabilities:partner_payable    liabilities:partner_rr            Partner_RR
    assets:factoring_receivable    suspense                          what the parts lack to the receivable

A negative amount swaps the sides. The ledger's transaction is `contract:<contract_id>:v<n>`: a contract
that comes again with the same figures books nothing; with other figures, version n is reversed by new
postings and version n + 1 is booked, on the run's as-of day, but never before version n was there (a contract that starts
later, or a day mistyped into the future): at any time one version stands. Nothing is ever changed or deleted. A run is compared with what the ledger held on
its own as-of day, so that a run of yesterday made anew books nothing against today's figures. What a workbook says a
customer has paid is not booked here: that is proven by a bank line.
"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from atlas_lib.core.errors import LedgerError
from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.ledger import keys
from atlas_lib.ledger.openings import places_of
from atlas_lib.ledger.store import Ledger
from atlas_lib.reserves_credit.appending import Booking, append_decided
from atlas_lib.reserves_credit.payouts import contract_lines

_ACTOR, _PURCHASED = "02_reserves_credit", "CONTRACT_PURCHASED"
_FACTORING, _PARTNER = "assets:factoring_receivable:", "liabilities:partner_payable:"
_TRANSFERS = [
    (_FACTORING, "liabilities:payout_payable:", "merchant_payout_minor"),
    (_FACTORING, "liabilities:client_rr:", "merchant_reserve_minor"),
    (_FACTORING, _PARTNER, "partner_margin_minor"),
    (_PARTNER, "liabilities:partner_rr:", "partner_rr_minor"),
    (_FACTORING, "suspense", "residual_minor"),
]
FIGURES = [
    "merchant_id", "currency", "receivable_minor", "merchant_payout_minor", "merchant_reserve_minor",
    "partner_margin_minor", "partner_rr_minor",
]  # fmt: skip


def book_contracts(
    contracts: pd.DataFrame,
    ledger: Ledger,
    settings: ReservesCreditSettings,
    run_id: str = "",
) -> None:
    """Book the contracts that the ledger does not hold yet.

    The same contracts a second time book nothing. Two runs that would book different figures for one contract at
    once cannot both: the second is refused, and so is a run whose figures a later one has replaced (LedgerError).
    A booking for a day beyond the ledger's clock was mistyped, and holds nobody up.
    """
    lines = contract_lines(contracts, settings)

    def plan() -> Booking:
        booked = read_bookings(contracts["contract_id"], ledger)
        is_later = (booked["as_of"] > str(settings.as_of)) & (booked["as_of"] <= str(ledger.today()))
        open_lines = plan_bookings(lines, booked[~is_later | (booked["version"] == 1)])
        if open_lines.empty:
            return pd.DataFrame(), pd.DataFrame()
        _refuse_replaced(open_lines, booked.assign(is_later=is_later), ledger, settings, run_id)
        replaced = open_lines.dropna(subset=["replaces"])["replaces"].tolist()
        events, transfers = purchase_events(open_lines, settings, run_id)
        undone, back = reversal_events(open_lines, ledger.transfers(replaced), settings)
        moved = transfers.assign(event=transfers["event"] + len(undone))
        return pd.concat([undone, events], ignore_index=True), pd.concat([back, moved], ignore_index=True)

    append_decided(ledger, "purchases", plan)


def _refuse_replaced(
    open_lines: pd.DataFrame, booked: pd.DataFrame, ledger: Ledger, settings: ReservesCreditSettings, run_id: str
) -> None:
    """LedgerError when a run of a later day, or one of this day opened later, has booked one of these contracts.

    A run that was never opened was begun by an earlier version, before any that was.
    """
    others = booked[booked["contract_id"].isin(open_lines["contract_id"])]
    is_of_day = others["as_of"] == str(settings.as_of)
    places = places_of([run_id, *others.loc[is_of_day, "run_id"]], ledger)
    is_newer = is_of_day & (others["run_id"].map(places) > places.get(run_id, -1))
    wrong = others[others["is_later"] | is_newer]
    if len(wrong):
        row = wrong.sort_values(["contract_id", "version"]).iloc[-1]
        raise LedgerError(
            "A later run has booked other figures for a contract of this one", where=f"contract {row['contract_id']}",
            found=f"booked for {row['as_of']} by run {row['run_id'] or 'unknown'}, {wrong['contract_id'].nunique()} such contracts",
            expected=f"figures as the ledger held them on {settings.as_of}",
            remedy="open that run; if its figures are wrong, correct the input and make a run of the latest day",
        )  # fmt: skip


def read_bookings(contract_ids: pd.Series, ledger: Ledger) -> pd.DataFrame:
    """All versions the ledger holds of these contracts: transaction_id, contract_id, version, figures, booked_at, as_of, run_id.

    `booked_at`: the instant the booking is dated on (UTC); `as_of`: the day of the run that booked it; empty where that is not known.
    """
    wanted, version, found = contract_ids, 1, []
    while len(wanted):
        ids = pd.Series(keys.CONTRACT + wanted.to_numpy() + f":v{version}", dtype="str")
        events = ledger.events(ids, event_types=[_PURCHASED])
        details = [json.loads(text) for text in events["details"]]
        found.append(
            pd.DataFrame(
                {
                    "transaction_id": events["transaction_id"].to_numpy(),
                    "contract_id": [d["contract_id"] for d in details],
                    "version": version,
                    "figures": [d["figures"] for d in details],
                    "booked_at": events["timestamp"],
                    "as_of": [d.get("as_of", "") for d in details],
                    "run_id": [d.get("run_id", "") for d in details],
                }
            )
        )
        wanted, version = found[-1]["contract_id"], version + 1
    texts = dict.fromkeys(("transaction_id", "contract_id", "figures", "as_of", "run_id"), "str")
    texts |= {"version": "int64", "booked_at": "datetime64[us, UTC]"}
    return (pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(texts))).astype(texts)


def plan_bookings(lines: pd.DataFrame, booked: pd.DataFrame) -> pd.DataFrame:
    """The contracts to be booked: new ones, and those whose figures differ from their latest booking.

    Adds figures, residual_minor, version, transaction_id, and replaces and booked_at of the booking to reverse, if any.
    """
    figures = lines[FIGURES].astype("str").agg("|".join, axis=1) if len(lines) else pd.Series([], dtype="str")
    latest = booked.sort_values(["contract_id", "version"]).drop_duplicates("contract_id", keep="last")
    latest = latest.rename(columns={"transaction_id": "replaces", "figures": "booked_figures"})
    latest = latest[["contract_id", "version", "replaces", "booked_figures", "booked_at"]]
    parts = lines["merchant_payout_minor"] + lines["merchant_reserve_minor"] + lines["partner_margin_minor"]
    known = lines.assign(figures=figures, residual_minor=lines["receivable_minor"] - parts).merge(
        latest, on="contract_id", how="left", validate="one_to_one"
    )
    version = known["version"].fillna(0).astype("int64") + 1
    named = known.assign(
        version=version, transaction_id=keys.CONTRACT + known["contract_id"] + ":v" + version.astype("str")
    )
    changed = named["booked_figures"].isna() | (named["figures"] != named["booked_figures"])
    return named[changed].sort_values("contract_id", ignore_index=True)


def purchase_events(
    open_lines: pd.DataFrame, settings: ReservesCreditSettings, run_id: str = ""
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One CONTRACT_PURCHASED event per contract, dated on its first day, and the transfers of the table above.

    A corrected contract is dated as its reversal is: the past stays as it was booked.
    """
    source = (
        open_lines["source_file"]
        + ", "
        + open_lines["source_sheet"]
        + ", row "
        + open_lines["source_row"].astype("str")
    )
    details = open_lines[["contract_id", "figures"]].assign(source=source, as_of=str(settings.as_of), run_id=run_id)
    first_day = open_lines["start_date"].dt.tz_localize("UTC")
    events = pd.DataFrame(
        {
            "transaction_id": open_lines["transaction_id"],
            "batch_id": "",
            "event_type": _PURCHASED,
            "amount_minor": open_lines["receivable_minor"],
            "currency": open_lines["currency"],
            "timestamp": first_day.where(open_lines["version"] == 1, _corrected_at(open_lines, settings)),
            "actor": _ACTOR,
            "details": _json_lines(details),
        }
    )
    return events, _signed(pd.concat([_transfers(open_lines, *t) for t in _TRANSFERS], ignore_index=True))


def reversal_events(
    open_lines: pd.DataFrame, old_transfers: pd.DataFrame, settings: ReservesCreditSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One SETTLEMENT_REVERSED event per replaced booking, each of its transfers turned round.

    Dated on the as-of day, or with the booking it replaces when that is dated later: nothing leaves before it was there.
    """
    replaced = open_lines.dropna(subset=["replaces"]).reset_index(drop=True)
    details = replaced[["contract_id"]].assign(
        replaced_by=replaced["transaction_id"], reason="figures changed", as_of=str(settings.as_of)
    )
    events = pd.DataFrame(
        {
            "transaction_id": replaced["replaces"],
            "batch_id": "",
            "event_type": "SETTLEMENT_REVERSED",
            "amount_minor": replaced["booked_figures"].str.split("|").str[2].astype("int64"),
            "currency": replaced["booked_figures"].str.split("|").str[1],
            "timestamp": _corrected_at(replaced, settings),
            "actor": _ACTOR,
            "details": _json_lines(details),
        }
    )
    row_of = pd.Series(events.index, index=events["transaction_id"], dtype="int64")
    back = old_transfers[(old_transfers["kind"] == "single") & (old_transfers["event_type"] == _PURCHASED)]
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


def _corrected_at(open_lines: pd.DataFrame, settings: ReservesCreditSettings) -> pd.Series:
    end = day_end(settings)
    return open_lines["booked_at"].where(open_lines["booked_at"] > end, end)


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


def _json_lines(rows: pd.DataFrame) -> list[str]:
    """Each row as one JSON text (ASCII, so that no character of a name ends a line)."""
    return rows.to_json(orient="records", lines=True).splitlines() if len(rows) else []


def day_end(settings: ReservesCreditSettings) -> pd.Timestamp:
    """The last instant of the as-of day."""
    return pd.Timestamp(settings.as_of, tz="UTC") + pd.Timedelta(days=1) - pd.Timedelta(microseconds=1)
