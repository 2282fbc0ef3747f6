"""What the bank answered, booked: one kind of reply after the other, each decided on what the ledger then holds."""

from __future__ import annotations

import pandas as pd

from atlas_lib.ledger import keys
from atlas_lib.ledger.store import Ledger
from atlas_lib.reserves_credit.appending import Booking
from atlas_lib.reserves_credit.replies import MOVING, ReplyPlan, name_replies, note_replies, plan_replies
from atlas_lib.reserves_credit.signing import Signer
from atlas_lib.reserves_credit.stops import stop_events
from atlas_lib.reserves_credit.workflow import read_answered, read_attempts, read_states

_TOLD = ["bank_code", "said", "bank_reference", "source", "end_to_end_id", "contracts", "set_off_minor"]


def book_answers(replies: pd.DataFrame, ledger: Ledger, signer: Signer) -> pd.DataFrame:
    """Move payouts as the replies say (replies.py), and stop what nobody can explain (stops.py).

    Gives the replies with payout_id, outcome and status_before; the same replies again book nothing.
    """
    named, outcomes = name_replies(replies, ledger), []
    for kind in MOVING:
        planned: list[ReplyPlan] = []

        def plan(kind: str = kind, planned: list[ReplyPlan] = planned) -> Booking:
            ids = sorted(set(named["payout_id"]) - {""})
            states, attempts, answered = (read(ids, ledger) for read in (read_states, read_attempts, read_answered))
            transfers = ledger.transfers([f"{keys.PAYOUT}{i}" for i in ids])
            planned[:] = [plan_replies(named, states, attempts, answered, transfers, kind)]
            stops = stop_events(planned[0].outcomes, states, ledger, signer)
            return pd.concat([_moved(planned[0].moves, signer), stops], ignore_index=True), planned[0].transfers

        signer.book(kind, plan)
        outcomes.append(planned[0].outcomes)
    return pd.concat([*outcomes, note_replies(named, ledger)], ignore_index=True)


def _moved(moves: pd.DataFrame, signer: Signer) -> pd.DataFrame:
    named = moves.assign(transaction_id=keys.PAYOUT + moves["payout_id"], batch_id=moves["payment_id"])
    return signer.sign(named, moves[_TOLD].to_dict("records"))
