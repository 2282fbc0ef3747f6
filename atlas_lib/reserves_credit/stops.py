"""Merchants whose payouts a person has stopped, or that the bank's answer stopped until a person has looked.

`merchant:<merchant_id>`, MERCHANT_BLOCKED and MERCHANT_UNBLOCKED; the last one counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from atlas_lib.core.errors import Refused
from atlas_lib.core.money import format_minor
from atlas_lib.ledger import keys
from atlas_lib.ledger.store import Ledger
from atlas_lib.reserves_credit.signing import Signer
from atlas_lib.reserves_credit.workflow import GIVEN_UP

_EVENTS = {"block": "MERCHANT_BLOCKED", "unblock": "MERCHANT_UNBLOCKED"}
_REPLY = ["end_to_end_id", "bank_reference"]


def read_blocks(merchant_ids: Iterable[str], ledger: Ledger) -> pd.DataFrame:
    """Merchants that are stopped: merchant_id, by, since_at, reason; those let go again left out."""
    events = _read(merchant_ids, ledger)
    last = events.groupby("transaction_id", sort=True).tail(1)
    stopped = last[last["event_type"] == "MERCHANT_BLOCKED"]
    return pd.DataFrame(
        {
            "merchant_id": stopped["transaction_id"].str.removeprefix(keys.MERCHANT).astype("str"),
            "by": stopped["actor"].astype("str"),
            "since_at": stopped["timestamp"],
            "reason": pd.Series([json.loads(d)["said"] for d in stopped["details"]], index=stopped.index, dtype="str"),
        }
    ).sort_values("merchant_id", ignore_index=True)


def switch_event(action: str, merchant_id: str, said: str, ledger: Ledger, signer: Signer) -> pd.DataFrame:
    """The event that stops a merchant or lets it go on (`block`, `unblock`); Refused when it stands so already."""
    if len(read_blocks([merchant_id], ledger)) == (action == "block"):
        raise Refused("Nothing to change", where=merchant_id, found=f"{action}ed by a person already")
    return signer.sign_one(f"{keys.MERCHANT}{merchant_id}", _EVENTS[action], {"said": said})


def stop_events(outcomes: pd.DataFrame, states: pd.DataFrame, ledger: Ledger, signer: Signer) -> pd.DataFrame:
    """Stops for what the bank has booked and nobody can explain: one event per reply, once and for all.

    A booking of a payout that was given up, with another amount than was sent, or a second one of a payout that is
    requested or paid: the money has left, so nothing more may follow it until a person knows why.
    """
    given_up = (outcomes["outcome"] == "amount differs") & outcomes["status_before"].isin(GIVEN_UP)
    twice = (outcomes["outcome"] == "paid twice") & outcomes["status_before"].isin(["Requested", "Executed"])
    wrong = outcomes[(outcomes["reply"] == "booked") & (given_up | twice)].drop_duplicates(_REPLY)
    wrong = wrong.merge(states[["payout_id", "merchant_id"]], on="payout_id", how="inner", validate="m:1")
    known = [json.loads(d) for d in _read(wrong["merchant_id"].unique(), ledger)["details"]]
    told = {tuple(str(k.get(c, "")) for c in _REPLY) for k in known}
    new = [r for r in wrong.to_dict("records") if tuple(str(r[c]) for c in _REPLY) not in told]
    events = [signer.sign_one(f"{keys.MERCHANT}{r['merchant_id']}", "MERCHANT_BLOCKED", _facts(r)) for r in new]
    return pd.concat(events, ignore_index=True) if events else pd.DataFrame()


def _facts(reply: Mapping[Any, Any]) -> dict[str, Any]:
    amount = f"{format_minor(int(reply['amount_minor']), reply['currency'])} {reply['currency']}"
    said = f"the bank booked {reply['end_to_end_id']} with {amount}: {reply['outcome']}"
    return {"said": said} | {c: reply[c] for c in _REPLY}


def _read(merchant_ids: Iterable[str], ledger: Ledger) -> pd.DataFrame:
    ids = [keys.MERCHANT + m for m in merchant_ids]
    return ledger.events(transaction_ids=ids, event_types=_EVENTS.values()) if ids else ledger.events([])
