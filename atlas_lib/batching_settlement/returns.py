"""Returns: a payment that was settled and that the bank sent back."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
import pandas as pd

from atlas_lib.batching_settlement.flights import key_of, read_histories
from atlas_lib.ledger.canonical import fingerprint_columns
from atlas_lib.ledger.store import Ledger


def returned_payments(replies: pd.DataFrame) -> pd.DataFrame:
    """The replies (core.bank_files.REPLY_COLUMNS) that say a payment came back after it was booked.

    A credit that quotes one of our keys is also how a payment between two of our accounts arrives, so that a return
    counts only with its reason. Output: end_to_end_id, amount_minor, currency, reason_code, reason_text, bank_reference.
    """
    back = replies[(replies["reply"] == "returned") & (replies["reason_code"] != "") & (replies["end_to_end_id"] != "")]
    return back[
        ["end_to_end_id", "amount_minor", "currency", "reason_code", "reason_text", "bank_reference"]
    ].reset_index(drop=True)


def book_returns(returned: pd.DataFrame, ledger: Ledger, as_of: pd.Timestamp) -> pd.DataFrame:
    """SETTLEMENT_REVERSED for every settled transaction of a returned payment, with postings the other way round.

    `returned`: as returned_payments gives them; the EndToEndId is the key of the payment. It must be the key that was
    paid, and the whole amount: a part, or the return of a key that was given up, says nothing of the payment that stands,
    and is for a person. The postings that stand are never touched: each is mirrored by a new one, and the balances are as
    before the settlement. A transaction is reversed once, however often this is called. It is not settled again by
    itself: whether it is paid anew, and to which account, is a person's decision and a new transaction.
    Output, one row per returned payment: end_to_end_id, outcome (reversed, again, not settled, not ours, amount differs,
    other key), reversed_count.
    """
    named = returned.assign(instruction_id=returned["end_to_end_id"].str.split(".").str[0])
    named = named.drop_duplicates(["end_to_end_id", "amount_minor", "currency"], ignore_index=True)
    with ledger.together():
        lines = _settled_lines(named["instruction_id"], ledger)
        named = named.assign(outcome=_judge(named, lines, ledger))
        due = lines[lines["status"] == "settled"].drop_duplicates("transaction_id")
        moving = named[named["outcome"] == "reversed"]
        due = due.merge(moving, on="instruction_id", how="inner", suffixes=("", "_returned"), validate="m:1")
        if len(due):
            _reverse(due, ledger, as_of)
    counts = due.groupby("end_to_end_id").size()
    moved = named["end_to_end_id"].map(counts).where(named["outcome"] == "reversed").fillna(0).astype("int64")
    return named[["end_to_end_id", "outcome"]].assign(reversed_count=moved)


def _judge(named: pd.DataFrame, lines: pd.DataFrame, ledger: Ledger) -> list[str]:
    """One word per returned payment, against how the ledger has it."""
    histories = read_histories(ledger, lines["batch_id"].unique())
    status = lines.groupby("instruction_id")["status"].agg(set)
    outcomes = []
    for key, amount_minor, currency, name in named[
        ["end_to_end_id", "amount_minor", "currency", "instruction_id"]
    ].itertuples(index=False):
        known, held = histories.get(name), status.get(name, set())
        if held and known is not None and key != key_of(name, known):
            outcomes.append("other key")
        elif held and known is not None and (amount_minor, currency) != (known.amount_minor, known.currency):
            outcomes.append("amount differs")
        else:
            outcomes.append(_outcome(held))
    return outcomes


def _outcome(status: Iterable[str]) -> str:
    found = set(status)
    if "settled" in found:
        return "reversed"
    if "reversed" in found:
        return "again"
    return "not settled" if found else "not ours"


def _settled_lines(instruction_ids: pd.Series, ledger: Ledger) -> pd.DataFrame:
    """instruction_id, transaction_id, batch_id, status and the claim of every transaction that the payments carry."""
    begun = ledger.events(event_types=["SETTLEMENT_INITIATED"])
    begun = begun[begun["transaction_id"] != ""]
    used = [json.loads(d).get("instructions", []) for d in begun["details"]]
    claims = begun.assign(instruction_id=pd.Series(used, index=begun.index, dtype=object)).explode("instruction_id")
    claims = claims[claims["instruction_id"].isin(instruction_ids)]
    held = ledger.claims(claims["transaction_id"].unique())
    columns = ["instruction_id", "transaction_id", "batch_id", "amount_minor", "currency"]
    found = claims[columns].drop_duplicates(["instruction_id", "transaction_id", "batch_id"])
    held = held[held["status"] != "voided"].drop_duplicates(["transaction_id", "batch_id"])
    return found.merge(held, on=["transaction_id", "batch_id"], how="inner", validate="m:1")


def _reverse(due: pd.DataFrame, ledger: Ledger, as_of: pd.Timestamp) -> None:
    posted = ledger.transfers(due["transaction_id"])
    posted = posted[(posted["kind"] == "post") & ~posted["transfer_no"].isin(posted["pending_no"])]
    order = pd.DataFrame({"transaction_id": due["transaction_id"], "event": np.arange(len(due))})
    swapped = posted.rename(columns={"debit_account": "credit_account", "credit_account": "debit_account"})
    mirrored = swapped.merge(order, on="transaction_id", how="inner", validate="m:1")
    mirrored = mirrored.assign(kind="reversal", pending_no=mirrored["transfer_no"])
    facts = due[["end_to_end_id", "reason_code", "reason_text", "bank_reference"]].to_dict("records")
    events = due[["transaction_id", "batch_id", "amount_minor", "currency"]].assign(
        event_type="SETTLEMENT_REVERSED", timestamp=as_of, details=[json.dumps(f, sort_keys=True) for f in facts]
    )
    ledger.append(
        f"settlement:reverse:{fingerprint_columns(events['transaction_id'], events['details'])}", events, mirrored
    )
