"""Decisions from a page: what may be chosen, what will be done, and doing it; rules and roles are the desk's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pandas as pd

from atlas_lib.core.errors import Refused, SettingsError
from atlas_lib.core.run import Run
from atlas_lib.reserves_credit.decisions import order_actions, payout_actions
from atlas_lib.reserves_credit.desk import PayoutDesk, open_desk, replies_in
from atlas_lib.reserves_credit.roles import Actor, may


@dataclass(frozen=True)
class Act:
    """One button: `key` names the chosen lines, `permission` the row of the roles' table, `effect` what will happen."""

    label: str
    key: str
    permission: str
    effect: str
    needs_reason: bool = False


ACTS = {
    "prepare": Act("Prepare", "payout_id", "prepare", "These payouts are put into payment files. Nothing is sent yet; another person may have to approve."),
    "block": Act("Block merchant", "merchant_id", "block", "The payouts of these merchants stop until a person lets them go on.", needs_reason=True),
    "unblock": Act("Unblock merchant", "merchant_id", "unblock", "The payouts of these merchants go on; the run's gates still hold.", needs_reason=True),
    "approve": Act("Approve", "payment_id", "approve_small", "You approve these payment files, byte for byte as their SHA-256 stands here."),
    "refuse": Act("Refuse", "payment_id", "refuse", "These payment files are refused; their payouts are ready again.", needs_reason=True),
    "request": Act("Request", "payment_id", "request", "These payment files are handed over to the bank. The money is then on its way."),
    "withdraw": Act("Withdraw", "payment_id", "withdraw", "These payment files are taken back; their payouts are ready again.", needs_reason=True),
    "replies": Act("Read bank lines", "", "read_replies", "What the bank lines of this run say about our payments is booked."),
}  # fmt: skip
PAYOUT_ACTS, ORDER_ACTS = ("prepare", "block", "unblock"), ("approve", "refuse", "request", "withdraw", "replies")


@contextmanager
def desk_of(run: Run, environment: Mapping[str, str]) -> Iterator[PayoutDesk]:
    """The payout desk for the person of this request; its ledger is closed afterwards."""
    desk = open_desk(Run(run.directory, "02_reserves_credit"), environment)
    try:
        yield desk
    finally:
        desk.close()


def acts_for(actor: Actor, names: Sequence[str]) -> dict[str, Act]:
    """The buttons of a list that the person's role allows."""
    return {name: ACTS[name] for name in names if may(actor, ACTS[name].permission)}


def act_of(name: str) -> Act:
    if name not in ACTS:
        raise SettingsError(
            "No such action", found=name, expected=", ".join(ACTS), remedy="use the buttons of the page"
        )
    return ACTS[name]


def chosen_rows(act: Act, chosen: Sequence[str]) -> pd.DataFrame:
    """The lines as they stood on the page when they were chosen: `payment_id sha256` or `payout_id merchant_id`.

    Raises Refused when nothing is chosen.
    """
    if act.key and not chosen:
        raise Refused("Nothing is chosen", remedy="go back and choose one or more lines of the list")
    parts = [line.partition(" ") for line in chosen]
    first, second = [p[0] for p in parts], [p[2] for p in parts]
    names = ("payment_id", "sha256") if act.key == "payment_id" else ("payout_id", "merchant_id")
    return pd.DataFrame(dict(zip(names, (first, second), strict=True)), dtype="str").drop_duplicates(ignore_index=True)


def decide(run: Run, desk: PayoutDesk, name: str, chosen: Sequence[str], said: str) -> str:
    """Do it, and say in a sentence what was done; Refused says why it was not. The ledger holds either all or nothing of a line."""
    act = act_of(name)
    rows = chosen_rows(act, chosen)
    known = payout_actions(desk) if name in PAYOUT_ACTS else order_actions(desk, replies_in(run))
    return known[act.label](rows, said)
