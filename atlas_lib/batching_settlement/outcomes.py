"""Outcomes: what became of every transaction once the rail has answered, and how it is booked."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from atlas_lib.batching_settlement.attempts import Delivery
from atlas_lib.batching_settlement.claims import DAY_END
from atlas_lib.batching_settlement.flights import is_booked_as_paid
from atlas_lib.core.tables import declared
from atlas_lib.ledger.canonical import fingerprint_columns
from atlas_lib.ledger.store import Ledger

_RESULT = ["transaction_id", "batch_id", "window", "settlement_date", "status", "reason", "detail"]
_VERDICT = ("status", "reason", "detail", "seconds")
_REASONS = {
    "unavailable": "COUNTERPARTY_DOWN",
    "shortfall": "LIQUIDITY_SHORTFALL",
    "pending": "AWAITING_BANK",
}
NEXT_WINDOW = {"RTGS": "T0", "T0": "T1", "T1": "T2", "T2": "T2"}


def judge_groups(transactions: pd.DataFrame, deliveries: Sequence[Delivery]) -> pd.DataFrame:
    """The transactions in flight with status, reason, detail and time.

    settled: every payment of the group is made; failed: every one is cancelled; in_flight: anything between.
    """
    by_group: dict[str, list[Delivery]] = defaultdict(list)
    for delivery in deliveries:
        by_group[delivery.group].append(delivery)
    names = transactions["group"].unique()
    verdicts = {name: _verdict(by_group[name]) for name in names}
    columns = {c: transactions["group"].map({n: v[i] for n, v in verdicts.items()}) for i, c in enumerate(_VERDICT)}
    judged = transactions.assign(**{c: columns[c].astype(object) for c in _VERDICT[:3]})
    seconds = pd.to_timedelta(columns["seconds"].astype("int64"), unit="s")
    return judged.assign(timestamp=transactions["timestamp"] + seconds)


def _verdict(payments: Sequence[Delivery]) -> tuple[str, str, str, int]:
    seconds = min(max((p.at_seconds for p in payments), default=0), 59)
    missing = [p for p in payments if not p.is_paid]
    if not missing:
        return ("settled", "", "", seconds)
    sent = [p for p in missing if p.attempts]
    worst = min(sent or missing, key=lambda p: p.instruction.instruction_id)
    reason = _REASONS.get(worst.answer.outcome, "RAIL_FAILURE")
    detail = f"{worst.instruction.instruction_id}: {worst.answer.detail} after {worst.attempts} attempts"
    if all(p.is_cancelled for p in payments):
        return ("failed", reason, detail, seconds)
    return ("in_flight", reason, f"{len(payments) - len(missing)} of {len(payments)} payments made; {detail}", seconds)


def book_outcome(judged: pd.DataFrame, deliveries: Sequence[Delivery], ledger: Ledger) -> None:
    """What the rail did, in one append: every payment made or not, then every transaction posted or voided.

    What another process has closed or booked meanwhile is left out, so that two of them never book one thing twice.
    """
    with ledger.together():
        is_open = judged["transfer_no"].isin(ledger.transfers(judged["transaction_id"], open_only=True)["transfer_no"])
        paid = is_booked_as_paid(ledger, {d.batch_id for d in deliveries})
        payments = _payment_events([d for d in deliveries if d.instruction.instruction_id not in paid])
        done = judged[is_open & (judged["status"] != "in_flight")].reset_index(drop=True)
        closing = done.assign(
            event=np.arange(len(done)) + len(payments),
            kind=np.where(done["status"] == "settled", "post", "void").astype(object),
            pending_no=done["transfer_no"],
        )
        events = _transaction_events(done)
        booked = pd.concat([part for part in (payments, events) if len(part)] or [events], ignore_index=True)
        content = fingerprint_columns(
            *(booked[c] for c in ("batch_id", "event_type", "details")), closing["pending_no"]
        )
        ledger.append(f"settlement:outcome:{content}", booked, closing)


def _transaction_events(done: pd.DataFrame) -> pd.DataFrame:
    details = [
        json.dumps({"reason": r, "detail": d}) if r else "{}"
        for r, d in zip(done["reason"].tolist(), done["detail"].tolist(), strict=True)
    ]
    is_settled = done["status"] == "settled"
    return done[["transaction_id", "batch_id", "timestamp"]].assign(
        event_type=np.where(is_settled, "SETTLEMENT_CONFIRMED", "SETTLEMENT_FAILED").astype(object),
        amount_minor=done["entry_minor"],
        currency=done["entry_currency"],
        details=pd.Series(details, dtype=object),
    )


def _payment_events(deliveries: Sequence[Delivery]) -> pd.DataFrame:
    """Every payment tried or cancelled, under its batch, with its attempts.

    SETTLEMENT_CONFIRMED: paid; SETTLEMENT_FAILED: not paid; SETTLEMENT_INITIATED: sent, and not known yet.
    """
    tried = [d for d in deliveries if d.log or d.is_cancelled]
    days = pd.to_datetime(pd.Series([d.instruction.settlement_date for d in tried], dtype="str"), utc=True)
    seconds = pd.to_timedelta(pd.Series([min(d.at_seconds, 59) for d in tried], dtype="int64"), unit="s")
    return pd.DataFrame(
        {
            "transaction_id": "",
            "batch_id": pd.Series([d.batch_id for d in tried], dtype=object),
            "event_type": [_payment_event_type(d) for d in tried],
            "amount_minor": pd.Series([d.instruction.amount_minor for d in tried], dtype="int64"),
            "currency": [d.instruction.currency for d in tried],
            "timestamp": days + DAY_END + seconds,
            "details": [json.dumps(_payment_fact(d)) for d in tried],
        }
    )


def _payment_event_type(delivery: Delivery) -> str:
    if delivery.is_paid:
        return "SETTLEMENT_CONFIRMED"
    is_open = delivery.is_unknown or delivery.is_pending
    return "SETTLEMENT_INITIATED" if is_open else "SETTLEMENT_FAILED"


def _payment_fact(delivery: Delivery) -> dict[str, Any]:
    cancelled = {"cancelled": delivery.key} if delivery.is_cancelled else {}
    return {"instruction_id": delivery.instruction.instruction_id, **cancelled, "attempts": delivery.log}


def summarise_results(
    known: pd.DataFrame, judged: pd.DataFrame, superseded: pd.DataFrame, settlement_items: pd.DataFrame
) -> pd.DataFrame:
    """settlement_results: what the ledger holds now, what was voided in this run, and what could not start.

    `known`: settled_before after execution; `judged`: judge_groups; `superseded`: lines of stale groups.
    """
    why = judged[judged["status"] != "settled"].set_index("transaction_id")[["reason", "detail"]]
    held = known.assign(
        **{c: known["transaction_id"].map(why[c]).astype(object).fillna("") for c in ("reason", "detail")}
    )
    is_back = held["status"] == "reversed"
    held = held.assign(
        reason=held["reason"].mask(is_back, "RETURNED"),
        detail=held["detail"].mask(
            is_back, "paid, and sent back by the bank; a person decides whether it is paid anew"
        ),
    )
    stale = superseded.assign(
        status="superseded",
        reason="COMMITTED_ELSEWHERE",
        detail="a transaction it stands or falls with was committed by another plan meanwhile; it is planned again",
    )
    parts = [part[_RESULT].astype(object) for part in (held, judged[judged["status"] == "failed"], stale)]
    amounts = settlement_items[["transaction_id", "amount_minor", "currency"]]
    results = pd.concat(parts, ignore_index=True).merge(amounts, on="transaction_id", how="left", validate="1:1")
    return declared("settlement_results").shaped(results)


def with_status(batches: pd.DataFrame, batch_lines: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """The planned batches with what became of them: settled, failed, deferred (nothing settled), or partial."""
    own = batch_lines[["transaction_id", "batch_id"]].merge(
        results[["transaction_id", "batch_id", "status"]], on=["transaction_id", "batch_id"], how="left", validate="1:1"
    )
    flags = own.assign(
        all_settled=own["status"] == "settled",
        any_settled=own["status"] == "settled",
        all_failed=own["status"] == "failed",
    )
    per_batch = flags.groupby("batch_id").agg(
        all_settled=("all_settled", "all"), any_settled=("any_settled", "any"), all_failed=("all_failed", "all")
    )
    found = per_batch.reindex(batches["batch_id"])
    choices = [found["all_settled"] == True, found["any_settled"] == True, found["all_failed"] == True]  # noqa: E712
    status = np.select([c.to_numpy() for c in choices], ["settled", "partial", "failed"], default="deferred")
    return declared("batches").shaped(batches.assign(status=status.astype(str)))


def defer_unsettled(deferrals: pd.DataFrame, batch_lines: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """The plan's deferrals and the planned transactions that this run could not settle, each once."""
    lines = batch_lines["transaction_id"].astype(object)
    failed = results[results["status"] != "settled"]
    failed = failed[failed["transaction_id"].astype(object).isin(lines)]
    added = failed.assign(next_window=failed["window"].map(NEXT_WINDOW))
    planned = deferrals[~deferrals["transaction_id"].astype(object).isin(lines)]
    columns = declared("deferrals").column_names
    both = pd.concat([planned[columns].astype(object), added[columns].astype(object)], ignore_index=True)
    return declared("deferrals").shaped(both)
