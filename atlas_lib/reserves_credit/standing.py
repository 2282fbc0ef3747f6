"""Where the payouts of a run stand now, as the desk must see them: the ledger's word over the run's."""

from __future__ import annotations

from datetime import date

import pandas as pd

from atlas_lib.core.errors import Refused
from atlas_lib.ledger.store import Ledger
from atlas_lib.reserves_credit import verdicts
from atlas_lib.reserves_credit.moves import ACCEPTED, KEY, read_decided
from atlas_lib.reserves_credit.stops import read_blocks
from atlas_lib.reserves_credit.workflow import overlay, read_states

_MOVED, _NEWER = "CONTRACT_MOVED", "NEWER_VERDICT"
_UNDER_WAY = "NON_POSITIVE_PAYOUT"  # what a run made since says of a payout that is requested: nothing more is owed


def read_live(payouts: pd.DataFrame, contract_payments: pd.DataFrame, ledger: Ledger, as_of: date) -> pd.DataFrame:
    """The payouts with everything workflow.overlay adds, contracts (what a payment file covers) and stands_against.

    A move that was accepted since blocks no more (CONTRACT_MOVED); a verdict that a newer run has given does
    (NEWER_VERDICT), and stands_against says which.
    """
    states = read_states(payouts["payout_id"], ledger)
    blocks = read_blocks(payouts["merchant_id"].unique(), ledger)
    live = overlay(_without_settled_moves(payouts, contract_payments, ledger), states, blocks)
    live = live.assign(
        contracts=live["payout_id"]
        .map(states.set_index("payout_id")["contracts"])
        .astype(object)
        .fillna("{}")
        .astype("str")
    )
    told = verdicts.against(live, ledger, as_of)
    is_free = ~live["live_status"].isin(["Requested", "Executed"])
    code = pd.Series(_NEWER, index=live.index, dtype="str").where(told != "", "")
    reasons = (live["reasons"] + "; " + code.where(is_free, "")).str.strip("; ").astype("str")
    return live.assign(
        stands_against=told,
        reasons=reasons,
        stops=(live["stops"] + "; " + code).str.strip("; ").astype("str"),
        status=live["status"].mask(is_free & (told != ""), "Blocked"),
    )


def choose(live: pd.DataFrame, key: str, wanted: list[str]) -> pd.DataFrame:
    """The rows with these ids; Refused for an id that is not there, or for none at all."""
    unknown = sorted(set(wanted) - (set(live[key]) - {""}))
    if unknown or not wanted:
        raise Refused("No such payout or payment file in this run", found=", ".join(unknown) or "nothing chosen")
    return live[live[key].isin(wanted)].reset_index(drop=True)


def check_waiting(chosen: pd.DataFrame, earliest: date) -> None:
    """Refused for a requested file that has not left yet when something stops one of its payouts meanwhile."""
    codes = chosen["stops"].str.split("; ").map(lambda c: [x for x in c if x not in ("", _UNDER_WAY)])
    stopped = chosen[codes.str.len() > 0]
    if len(stopped):
        row = stopped.iloc[0]
        raise Refused(
            "The payment file has not left, and one of its payouts is stopped", where=str(row["payout_id"]),
            found=str(row["stands_against"] or row["stops"]), remedy="withdraw the payment file, or lift the block and request again",
        )  # fmt: skip
    check_day(chosen, earliest)


def refuse_unsent(waiting: pd.DataFrame) -> None:
    """Refused when a requested payment file that covers a contract has not left: first it must be decided."""
    if len(waiting):
        row = waiting.iloc[0]
        raise Refused(
            "A payment file for this contract is requested and has not left", where=str(row["payment_id"]),
            found=f"payout {row['payout_id']} of merchant {row['merchant_id']}",
            remedy="withdraw that file, or request it again; then decide on the move",
        )  # fmt: skip


def check_day(chosen: pd.DataFrame, earliest: date) -> None:
    """Refused when the execution date of the payment file lies before the first day the bank can meet."""
    row = chosen.iloc[0]
    if row["execution_date"] < earliest.isoformat():
        raise Refused(
            "The execution date can no longer be met", where=str(row["payment_id"]), expected=f"{earliest} or later",
            found=str(row["execution_date"]), remedy="withdraw the payment file and prepare it again",
        )  # fmt: skip


def _without_settled_moves(payouts: pd.DataFrame, contract_payments: pd.DataFrame, ledger: Ledger) -> pd.DataFrame:
    """The run's payouts without CONTRACT_MOVED where every moved contract of the merchant has been accepted since."""
    moved = contract_payments.loc[contract_payments["move"] != "", KEY]
    if moved.empty:
        return payouts
    told = moved.merge(read_decided(moved["contract_id"].unique(), ledger), on=KEY, how="left", validate="m:1")
    still = payouts["merchant_id"].isin(told.loc[told["move"] != ACCEPTED, "merchant_id"])
    kept = [[c for c in codes.split("; ") if c != _MOVED] for codes in payouts["reasons"]]
    settled = pd.Series(["; ".join(codes) for codes in kept], index=payouts.index, dtype="str")
    reasons = payouts["reasons"].where(still, settled)
    is_free = (payouts["status"] == "Blocked") & (reasons == "")
    return payouts.assign(reasons=reasons, status=payouts["status"].mask(is_free, "Ready"))
