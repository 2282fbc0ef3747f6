"""Contracts that were paid to one merchant and come again under another, and what a person decided about each.

`contract:<contract_id>`, CONTRACT_MOVE_ACCEPTED or CONTRACT_MOVE_REJECTED, with the merchant it comes under; for each
contract and merchant the last decision counts.

accepted: it belongs to the new merchant, which may be paid for it; the former one owes back what it got.
rejected: the input is wrong; the new merchant stays blocked until it is corrected, and nobody owes anything back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import pandas as pd

from atlas_lib.core.errors import Refused
from atlas_lib.ledger import keys
from atlas_lib.ledger.store import Ledger
from atlas_lib.reserves_credit.signing import Signer

OPEN, ACCEPTED, REJECTED = "open", "accepted", "rejected"
_EVENTS = {"accept": "CONTRACT_MOVE_ACCEPTED", "reject": "CONTRACT_MOVE_REJECTED"}
_STATES = {"CONTRACT_MOVE_ACCEPTED": ACCEPTED, "CONTRACT_MOVE_REJECTED": REJECTED}
KEY = ["contract_id", "merchant_id"]
MOVE_COLUMNS = (*KEY, "former_id", "currency", "amount_minor", "move", "by", "said")


def read_decided(contract_ids: Iterable[str], ledger: Ledger) -> pd.DataFrame:
    """The decision that counts per contract and merchant it comes under: KEY, move, by, said."""
    ids = [keys.CONTRACT + c for c in contract_ids]
    events = ledger.events(transaction_ids=ids, event_types=_STATES) if ids else ledger.events([])
    facts = [json.loads(d) for d in events["details"]]
    told = {c: pd.Series([f[c] for f in facts], index=events.index, dtype="str") for c in (*KEY, "said")}
    made = pd.DataFrame(told | {"move": events["event_type"].map(_STATES).astype("str"), "by": events["actor"]})
    return made.drop_duplicates(KEY, keep="last")[[*KEY, "move", "by", "said"]].reset_index(drop=True)


def list_moves(contract_payments: pd.DataFrame, payments_held: pd.DataFrame, ledger: Ledger) -> pd.DataFrame:
    """The moved contracts of a run as they stand now: MOVE_COLUMNS, those still open first.

    `payments_held`: contract_id, merchant_id and covered_minor of what payouts have covered, of whichever merchant.
    """
    here = contract_payments.loc[contract_payments["move"] != "", [*KEY, "currency"]]
    got = (
        payments_held.groupby(KEY)["covered_minor"]
        .sum()
        .reset_index()
        .rename(columns={"merchant_id": "former_id", "covered_minor": "amount_minor"})
    )
    found = here.merge(got, on="contract_id", how="inner", validate="m:m")
    found = found[(found["former_id"] != found["merchant_id"]) & (found["amount_minor"] > 0)]
    found = found.merge(read_decided(found["contract_id"].unique(), ledger), on=KEY, how="left", validate="m:1")
    found = found.assign(**{c: found[c].fillna("").astype("str") for c in ("by", "said")})
    found = found.assign(move=found["move"].fillna(OPEN).astype("str"))
    order = found["move"].map({OPEN: 0, REJECTED: 1, ACCEPTED: 2})
    return found.assign(order=order).sort_values(["order", *KEY], ignore_index=True)[list(MOVE_COLUMNS)]


def move_event(
    action: str,
    contract_id: str,
    merchant_id: str,
    said: str,
    moves: pd.DataFrame,
    payments_held: pd.DataFrame,
    signer: Signer,
) -> pd.DataFrame:
    """The event that accepts or rejects a move (`accept`, `reject`); Refused when there is none, or it stands so.

    `payments_held` as in list_moves: what the new merchant has got already can no longer be rejected.
    """
    found = moves[(moves["contract_id"] == contract_id) & (moves["merchant_id"] == merchant_id)]
    if found.empty:
        raise Refused(
            "This contract was not paid under another merchant", where=f"{contract_id}, merchant {merchant_id}",
            expected=", ".join(moves["contract_id"].head(5)) or "no contract of this run",
            remedy="look at the list of moved contracts",
        )  # fmt: skip
    row, becomes = found.iloc[0], _STATES[_EVENTS[action]]
    if row["move"] == becomes:
        raise Refused("Nothing to change", where=contract_id, found=f"{becomes} by {row['by']} already")
    got = (payments_held["contract_id"] == contract_id) & (payments_held["merchant_id"] == merchant_id)
    if becomes == REJECTED and int(payments_held.loc[got, "covered_minor"].sum()) > 0:
        raise Refused(
            "The new merchant has been paid for this contract, or its payment is requested", where=contract_id,
            found=f"merchant {merchant_id}", remedy="withdraw a file that has not left; correct the input for what has",
        )  # fmt: skip
    facts = {"contract_id": contract_id, "merchant_id": merchant_id, "said": said, "former_id": row["former_id"]}
    return signer.sign_one(keys.CONTRACT + contract_id, _EVENTS[action], facts, str(row["currency"]))
