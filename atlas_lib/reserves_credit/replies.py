"""What the bank's replies do to payouts: decided for a whole file at once, per kind of reply.

| reply | moves | to | in the ledger |
|---|---|---|---|
| rejected | Requested | Failed, with the bank's code | the pending transfer is void |
| booked | Requested | Executed | the pending transfer is posted |
| booked, although it was given up | Failed, Ready, Returned, Prepared, Approved | Executed | transfers of its own, the set-off with it: the bank has paid, so nobody may again |
| returned | Executed | Returned, with the bank's code | the posted transfer is reversed |

A late booking is of the attempt that its EndToEndId names: with the amount, the set-off and the contracts of that one,
and no later attempt leaves any more.

Everything else moves nothing and is said: `again` (known already: booked or returned once under this EndToEndId and bank
reference, also when the payout is at a later attempt), `not ours`, `amount differs`, `paid twice`
(a second booking for a payout that is paid or under way), `out of order`. Where money has left that nobody can explain
(another amount of a payout that was given up, a second booking) the merchant is stopped
until a credit manager lets it go on (stops.py). `unclear` is for a person: the bank refuses a
second copy of what it has, takes a return back, or speaks of one payment of our file without saying which.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from atlas_lib.core.bank_files import NOT_PROVIDED
from atlas_lib.ledger import keys
from atlas_lib.ledger.store import Ledger
from atlas_lib.reserves_credit.workflow import GIVEN_UP, STATUS_AFTER, payout_of

MOVING = ("rejected", "booked", "returned")  # in this order: a return may be in the same file as its booking
_OF_FILES = ("rejected", "accepted", "duplicate")  # a booking never speaks of a whole file
_EVENT = {"rejected": "PAYOUT_FAILED", "booked": "PAYOUT_EXECUTED", "returned": "PAYOUT_RETURNED"}
_REACHED = {"rejected": ("Failed",), "booked": ("Executed", "Returned"), "returned": ("Returned",)}
_CLOSED_AS = {"rejected": "void", "booked": "post", "returned": "reversal"}
_TRANSFER = ("event", "kind", "pending_no", "debit_account", "credit_account", "amount_minor", "currency")


@dataclass(frozen=True)
class ReplyPlan:
    """What one kind of reply does: `moves` (one row per payout), their transfers, and an outcome per reply."""

    moves: pd.DataFrame
    transfers: pd.DataFrame
    outcomes: pd.DataFrame


def name_replies(replies: pd.DataFrame, ledger: Ledger) -> pd.DataFrame:
    """The replies with payout_id; one about a whole file becomes one per payout that was requested with it."""
    about_file = (replies["end_to_end_id"] == "") & (replies["payment_id"] != "") & replies["reply"].isin(_OF_FILES)
    single, whole = replies[~about_file], replies[about_file]
    held = ledger.events(batch_ids=whole["payment_id"].unique(), event_types=["PAYOUT_REQUESTED"])
    files = held[["batch_id", "transaction_id"]].astype("str").drop_duplicates()
    whole = whole.merge(files, left_on="payment_id", right_on="batch_id", how="left", validate="m:m")
    payout_id = whole["transaction_id"].str.removeprefix(keys.PAYOUT).fillna("")
    whole = whole.drop(columns=["batch_id", "transaction_id"]).assign(payout_id=payout_id)
    single = single.assign(payout_id=payout_of(single["end_to_end_id"]))
    return pd.concat([part for part in (single, whole) if len(part)] or [single], ignore_index=True)


def note_replies(named: pd.DataFrame, ledger: Ledger) -> pd.DataFrame:
    """The replies (as name_replies gives them) that can move nothing, with outcome: noted, unclear, or not ours."""
    rest = named[~named["reply"].isin(MOVING) | _is_nameless(named)]
    files = rest.loc[_is_nameless(rest), "payment_id"].unique()
    ours = ledger.events(batch_ids=files, event_types=["PAYOUT_REQUESTED"])["batch_id"]
    is_ours = (rest["payout_id"] != "") | rest["payment_id"].isin(ours)
    words = np.select([~is_ours, rest["reply"] == "accepted"], ["not ours", "noted"], "unclear")
    return rest.assign(outcome=pd.Series(words, index=rest.index, dtype="str"), status_before="")


def _is_nameless(replies: pd.DataFrame) -> pd.Series:
    return (replies["payout_id"] == "") & (replies["end_to_end_id"] == NOT_PROVIDED)


def plan_replies(
    replies: pd.DataFrame,
    states: pd.DataFrame,
    attempts: pd.DataFrame,
    answered: pd.DataFrame,
    transfers: pd.DataFrame,
    kind: str,
) -> ReplyPlan:
    """Judge the replies of one kind (bank_files.REPLY_COLUMNS and payout_id) against where the payouts stand.

    `states`, `attempts` and `answered` as workflow gives them; `transfers`: all transfers of these payouts, as the ledger has them.
    """
    own = replies[(replies["reply"] == kind) & ~_is_nameless(replies)].reset_index(drop=True)
    known = own.merge(
        states.add_prefix("our_"), left_on="payout_id", right_on="our_payout_id", how="left", validate="m:1"
    ).merge(
        attempts.add_prefix("sent_"), left_on="end_to_end_id", right_on="sent_end_to_end_id", how="left", validate="m:1"
    )
    outcome = _judge(
        known.assign(is_answered=_is_answered(known, answered[answered["event_type"] == _EVENT[kind]])), kind
    )
    is_second = known.assign(outcome=outcome).groupby(["payout_id", "outcome"]).cumcount() > 0
    repeated = pd.Series("paid twice" if kind == "booked" else "again", index=known.index)
    outcome = outcome.mask((outcome == "moved") & is_second, repeated)
    moved = known[outcome == "moved"].reset_index(drop=True)
    moves = pd.DataFrame(
        {
            "payout_id": moved["payout_id"],
            "payment_id": moved["our_payment_id"],
            "event_type": _EVENT[kind],
            "amount_minor": moved["sent_amount_minor"].fillna(moved["our_amount_minor"]).astype("int64"),
            "currency": moved["our_currency"],
            "bank_code": moved["reason_code"],
            "said": _said(moved),
            "bank_reference": moved["bank_reference"],
            "source": moved["source"],
            **_booked_attempt(moved),
        }
    )
    outcomes = own.assign(outcome=outcome, status_before=known["our_status"].fillna(""))
    return ReplyPlan(moves, _closing(moves, moved, transfers, kind), outcomes)


def _said(moved: pd.DataFrame) -> pd.Series:
    """The bank's words; and which payment it speaks of, where that is not the one of the present payment file."""
    is_other = moved["sent_payment_id"].notna() & (moved["sent_payment_id"] != moved["our_payment_id"])
    other = "the bank speaks of " + moved["end_to_end_id"] + " in " + moved["sent_payment_id"].fillna("")
    texts = moved["reason_text"] + other.where(moved["reason_text"] == "", "; " + other).where(is_other, "")
    return texts.astype("str")


def _booked_attempt(moved: pd.DataFrame) -> dict[str, pd.Series]:
    """What the payout is from then on: the attempt that the bank speaks of, else the present one."""
    told = {c: moved[f"sent_{c}"].fillna(moved[f"our_{c}"]) for c in ("end_to_end_id", "contracts", "set_off_minor")}
    return told | {"set_off_minor": told["set_off_minor"].astype("int64")}


def _is_answered(replies: pd.DataFrame, answered: pd.DataFrame) -> pd.Series:
    """Whether the ledger has booked this very reply: its EndToEndId with its bank reference, if it has one."""
    booked = set(zip(answered["end_to_end_id"], answered["bank_reference"], strict=True))
    named = set(answered["end_to_end_id"])
    pairs = zip(replies["end_to_end_id"], replies["bank_reference"], strict=True)
    return pd.Series(
        [e != "" and ((e, r) in booked if r else e in named) for e, r in pairs], index=replies.index, dtype=bool
    )


def _judge(known: pd.DataFrame, kind: str) -> pd.Series:
    """One word per reply; rules in the order in which they are asked."""
    status = known["our_status"].fillna("")
    is_whole = known["end_to_end_id"] == ""  # it speaks of a file, and only the file of the present attempt is meant
    is_current = (known["payment_id"] == known["our_payment_id"]).where(
        is_whole, known["end_to_end_id"] == known["our_end_to_end_id"]
    )
    same_reference = known["bank_reference"] == known["our_bank_reference"]
    differs = (known["amount_minor"] != known["sent_amount_minor"]) | (known["currency"] != known["our_currency"])
    reached = status.isin(_REACHED[kind]) & is_current
    if kind == "booked":
        in_flight = status.isin(["Requested", "Executed"])
        rules = [
            ((status == "") | known["sent_end_to_end_id"].isna(), "not ours"),
            (known["is_answered"], "again"),
            (reached & (same_reference | (known["bank_reference"] == "")), "again"),
            ((in_flight & ~is_current) | ((status == "Executed") & is_current), "paid twice"),
            (differs, "amount differs"),
            ((status == "Requested") | status.isin(GIVEN_UP), "moved"),
        ]
    else:
        start = "Requested" if kind == "rejected" else "Executed"
        rules = [
            (status == "", "not ours"),
            (reached | known["is_answered"], "again"),
            ((kind == "returned") & differs, "amount differs"),
            ((status == start) & is_current, "moved"),
        ]
    chosen = np.select([np.asarray(rule, dtype=bool) for rule, _ in rules], [word for _, word in rules], "out of order")
    return pd.Series(chosen, index=known.index, dtype="str")


def _closing(moves: pd.DataFrame, moved: pd.DataFrame, transfers: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The transfers that each move books: every open one of the payout closed, or every posted one turned round.

    A booking for which nothing is open any more gets transfers of its own.
    """
    if moves.empty:
        return pd.DataFrame()
    closed = close_transfers(moves["payout_id"], transfers, _CLOSED_AS[kind])
    is_late = ~moves.index.isin(closed["event"])
    return pd.concat([closed, _late(moves[is_late], moved[is_late])], ignore_index=True)


def close_transfers(payout_ids: pd.Series, transfers: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Every pending transfer of these payouts as post or void, or every posted one as reversal; event: row of the id."""
    is_return = kind == "reversal"
    wanted = ["post", "single"] if is_return else ["pending"]
    is_ours = transfers["event_type"].isin(list(STATUS_AFTER))  # an id of the input may be written like one of a payout
    is_open = transfers["kind"].isin(wanted) & ~transfers["transfer_no"].isin(transfers["pending_no"]) & is_ours
    ours = pd.DataFrame({"event": np.arange(len(payout_ids)), "transaction_id": keys.PAYOUT + payout_ids.to_numpy()})
    closed = transfers[is_open].merge(ours, on="transaction_id", how="inner", validate="m:1")
    closed = closed.assign(kind=kind, pending_no=closed["transfer_no"])
    if is_return:
        closed = closed.rename(columns={"debit_account": "credit_account", "credit_account": "debit_account"})
    return closed[list(_TRANSFER)]


def _late(moves: pd.DataFrame, moved: pd.DataFrame) -> pd.DataFrame:
    """What the journal of each payout had foreseen, booked at once: the payment, and what of it is set off."""
    payable, sales = (f"liabilities:{a}:" + moved["our_merchant_id"] for a in ("payout_payable", "settlement_payable"))
    common = moves.assign(event=moves.index, kind="single", pending_no=0, debit_account=payable)
    paid = common.assign(credit_account="assets:bank:" + moves["currency"])
    set_off = common.assign(credit_account=sales, amount_minor=moves["set_off_minor"])
    return pd.concat([paid, set_off[set_off["amount_minor"] > 0]])[list(_TRANSFER)]
