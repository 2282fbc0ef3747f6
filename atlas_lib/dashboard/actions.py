"""Decisions from a page: what may be chosen, what will be done, and doing it; rules and roles are the library's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote, unquote

import pandas as pd

from atlas_lib.core.errors import Refused, SettingsError
from atlas_lib.core.run import Run
from atlas_lib.dashboard import fraud, reconciling
from atlas_lib.reserves_credit.decisions import move_actions, order_actions, payout_actions
from atlas_lib.reserves_credit.desk import PayoutDesk, open_desk, replies_in
from atlas_lib.reserves_credit.roles import Actor, may


@dataclass(frozen=True)
class Act:
    """One button: `key` names the chosen lines, `permission` the row of the roles' table, `effect` what will happen.

    `option` is what must be chosen besides, before it is confirmed; `page` shows the result.
    """

    label: str
    key: str
    permission: str
    effect: str
    needs_reason: bool = False
    option: str = ""
    page: str = "desk"


_NEXT_RUN = "The figures follow at the next run."
_RECONCILIATION = "page/05_reconciliation"
ACTS = {
    "prepare": Act("Prepare", "payout_id", "prepare", "These payouts are put into payment files. Nothing is sent yet; another person may have to approve."),
    "block": Act("Block merchant", "merchant_id", "block", "The payouts of these merchants stop until a person lets them go on.", needs_reason=True),
    "unblock": Act("Unblock merchant", "merchant_id", "unblock", "The payouts of these merchants go on; the run's gates still hold.", needs_reason=True),
    "approve": Act("Approve", "payment_id", "approve_small", "You approve these payment files, byte for byte as their SHA-256 stands here."),
    "refuse": Act("Refuse", "payment_id", "refuse", "These payment files are refused; their payouts are ready again.", needs_reason=True),
    "request": Act("Request", "payment_id", "request", "These payment files are handed over to the bank. The money is then on its way."),
    "withdraw": Act("Withdraw", "payment_id", "withdraw", "These payment files are taken back; their payouts are ready again.", needs_reason=True),
    "accept_move": Act("Accept move", "contract_id", "decide_move", "These contracts belong to the merchants they come under now: they may be paid for them, and the former ones owe back what they got.", needs_reason=True),
    "reject_move": Act("Reject move", "contract_id", "decide_move", "The input is wrong: these merchants stay blocked until it is corrected, and the former ones owe nothing back.", needs_reason=True),
    "replies": Act("Read bank lines", "", "read_replies", "What the bank lines of this run say about our payments is booked."),
    "dispute": Act("Dispute", "break_id", "dispute", f"The dispute about these breaks gets the state chosen below. {_NEXT_RUN}", True, "state", _RECONCILIATION),
    "recheck": Act("Ask for another look", "break_id", "dispute", f"Somebody shall look at these breaks again. {_NEXT_RUN}", True, page=_RECONCILIATION),
    "write_off": Act("Write off", "break_id", "write_off", f"The differences of these breaks are given up and booked as an expense at once, for good. {_NEXT_RUN}", True, "reason_code", _RECONCILIATION),
    "approve_break": Act("Approve", "break_id", "write_off", f"You accept what the bank posted: the discrepancies of these rows are given up under the reason code chosen below, and booked as an expense at once, for good. {_NEXT_RUN}", True, "reason_code", page="daily"),
    "force": Act("Match by hand", "break_id", "match", f"The payments and the bank lines of these breaks belong together, all of them in one match. {_NEXT_RUN}", True, page=_RECONCILIATION),
    "accept": Act("Match", "line_key", "match", f"Each of these payments belongs to its bank line. {_NEXT_RUN}", True, page=_RECONCILIATION),
    "unmatch": Act("Undo match", "line_key", "match", f"These payments and bank lines do not belong together; both sides are open again. {_NEXT_RUN}", True, page=_RECONCILIATION),
    "confirmed": Act("Confirm fraud", "transaction_id", "judge_fraud", "You say that these payments were fraud. It becomes a label that the fraud model can learn from.", True, page="fraud"),
    "false_positive": Act("False positive", "transaction_id", "judge_fraud", "You say that these payments were no fraud. It becomes a label that the fraud model can learn from.", True, page="fraud"),
    "escalated": Act("Escalate", "transaction_id", "judge_fraud", "Another person than you shall decide about these alerts.", True, page="fraud"),
}  # fmt: skip
PAYOUT_ACTS, ORDER_ACTS = ("prepare", "block", "unblock"), ("approve", "refuse", "request", "withdraw", "replies")
MOVE_ACTS = ("accept_move", "reject_move")
FRAUD_ACTS = ("confirmed", "false_positive", "escalated")
# The lists of a run's tables whose rows can be chosen.
DAILY = "daily_reconciliation"
LISTING_ACTS = {
    "breaks": ("dispute", "recheck", "write_off", "force"), "suggestions": ("accept",), "matches": ("unmatch",),
    DAILY: ("approve_break", "dispute", "recheck", "force"),
}  # fmt: skip
# What is decided is a break, or a pair of this table.
_PAIRS = {"accept": "suggestions", "unmatch": "matches"}
_CHOSEN = {
    "payment_id": ("payment_id", "sha256"), "break_id": ("break_id", "discrepancy_minor"),
    "line_key": ("transaction_id", "line_key"), "transaction_id": ("transaction_id", ""),
    "contract_id": ("merchant_id", "contract_id"),
}  # fmt: skip


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


def table_decided(act: Act, name: str) -> str:
    """The run's table whose rows an action is about; empty for payouts, payment files and alerts."""
    return "breaks" if act.key == "break_id" else _PAIRS.get(name, "")


def chosen_rows(act: Act, chosen: Sequence[str]) -> pd.DataFrame:
    """The lines as they stood on the page when they were chosen (`two_in_one`): payment_id and sha256, payout_id and
    merchant_id, break_id and discrepancy_minor, transaction_id and statement/line, merchant_id and contract_id, or
    transaction_id alone.

    Raises Refused when nothing is chosen.
    """
    if act.key and not chosen:
        raise Refused("Nothing is chosen", remedy="go back and choose one or more lines of the list")
    names = [n for n in _CHOSEN.get(act.key, ("payout_id", "merchant_id")) if n]
    parts = [line.partition(" ")[::2] if len(names) > 1 else (line,) for line in chosen]
    rows = pd.DataFrame(parts, columns=names, dtype="str").drop_duplicates(ignore_index=True)
    return rows.assign(**{names[0]: rows[names[0]].map(unquote)}) if len(names) > 1 else rows


def two_in_one(first: object, second: object) -> str:
    """What a chosen line is named by, in one text: either may hold spaces, so the first is percent-encoded."""
    return f"{quote(str(first), safe='')} {second}"


def decide(run: Run, environment: Mapping[str, str], name: str, chosen: Sequence[str], said: str, option: str) -> str:
    """Do it, and say in a sentence what was done; Refused says why it was not. The ledger holds either all or nothing of a line."""
    act = act_of(name)
    rows = chosen_rows(act, chosen)
    if act.needs_reason and not said.strip():
        raise Refused("A reason is missing", where=act.label, remedy="say why, in a few words")
    if name in FRAUD_ACTS:
        return fraud.judge(run, environment, name, rows, said)
    if table_decided(act, name):
        return reconciling.decide(run, environment, name, rows, said, option)
    with desk_of(run, environment) as desk:
        if name in MOVE_ACTS:
            return move_actions(desk)[act.label](rows, said)
        known = payout_actions(desk) if name in PAYOUT_ACTS else order_actions(desk, replies_in(run))
        return known[act.label](rows, said)
