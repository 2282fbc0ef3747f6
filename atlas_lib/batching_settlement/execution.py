"""Execution: planned batches are committed once, paid on the rail, and booked.

Order for every batch: BATCH_CREATED, BATCH_OPTIMIZED, CONSENSUS_SUBMITTED, commit, CONSENSUS_ACHIEVED; then per
transaction SETTLEMENT_INITIATED with a pending transfer; the rail; then SETTLEMENT_CONFIRMED (posted) or
SETTLEMENT_FAILED (voided). Each phase is one append for all batches. The pending transfer is the claim: what is in
flight or settled cannot be claimed again, whatever plan it is in. From the claim on everything is read back from
the ledger, so going on after a crash is the same path as going on without one.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from atlas_lib.batching_settlement.attempts import Delivery, Wait, alternate_routes, deliver, no_wait, read_schedule
from atlas_lib.batching_settlement.claims import DAY_END, claim, group_lines, split_claimable
from atlas_lib.batching_settlement.netting import POOL
from atlas_lib.batching_settlement.outcomes import (
    defer_unsettled,
    judge_groups,
    summarise_results,
    with_status,
)
from atlas_lib.batching_settlement.rails import Instruction, Rail
from atlas_lib.core.settings import BatchingSettlementSettings
from atlas_lib.ledger.commit import CommitService, LocalCommit
from atlas_lib.ledger.events import fingerprint_columns
from atlas_lib.ledger.store import Ledger

_BODY = ["instruction_id", "counterparty_id", "payer_account", "payee_account", "amount_minor", "currency"]


@dataclass(frozen=True)
class Flights:
    """What is claimed and not yet settled: transactions (with group), their instructions, and those already paid."""

    transactions: pd.DataFrame
    instructions: pd.DataFrame
    paid: frozenset[str]


def execute_batches(
    batches: pd.DataFrame,
    batch_lines: pd.DataFrame,
    instructions: pd.DataFrame,
    settlement_items: pd.DataFrame,
    deferrals: pd.DataFrame,
    counterparties: pd.DataFrame,
    ledger: Ledger,
    rail: Rail,
    settings: BatchingSettlementSettings,
    commit: CommitService | None = None,
    wait: Wait = no_wait,
) -> dict[str, pd.DataFrame]:
    """Carry the plan out, and finish what an earlier run left in flight among these transactions.

    A group of transactions that are netted together is settled when all its payments are made. If none was made it
    is voided and free for the next plan; if some were made it stays in flight and the next run sends the missing
    ones. Called again, with the same plan or another one, it pays nothing twice.
    Output: batches (with status), settlement_attempts, settlement_results (every transaction of this run that is or
    was in a batch), deferrals (those of the plan and those that execution adds).
    """
    ids = pd.concat([settlement_items["transaction_id"], batch_lines["transaction_id"]]).unique()
    before = settled_before(ledger, ids)
    fresh, superseded = split_claimable(group_lines(batch_lines, settlement_items), before)
    if len(fresh):
        claim(fresh, batches, instructions, ledger, commit or LocalCommit(ledger), settings.as_of)
    flights = read_flights(ledger, ids)
    resumed = before.loc[before["status"] == "in_flight", "transaction_id"]
    deliveries, attempts = _send(flights, resumed, counterparties, rail, settings, wait)
    judged = judge_groups(flights.transactions, deliveries)
    _book(judged, deliveries, ledger)
    results = summarise_results(settled_before(ledger, ids), judged, superseded, settlement_items)
    return {
        "batches": with_status(batches, batch_lines, results),
        "settlement_attempts": attempts,
        "settlement_results": results,
        "deferrals": defer_unsettled(deferrals, batch_lines, results),
    }


def settled_before(ledger: Ledger, transaction_ids: Iterable[str]) -> pd.DataFrame:
    """Transactions that a batch holds already: a new plan leaves them out.

    Output: transaction_id, batch_id, status (settled, or in_flight: committed and perhaps paid in part, to be
    finished by the next execution), window, settlement_date.
    """
    claims = ledger.claims(transaction_ids)
    held = claims[claims["status"].isin(["settled", "in_flight"])]
    created = ledger.events(batch_ids=held["batch_id"].unique(), event_types=["BATCH_CREATED"])
    facts = [json.loads(d) for d in created["details"]]
    named = pd.DataFrame(
        {
            "batch_id": created["batch_id"].astype("str"),
            "window": pd.Series([f["window"] for f in facts], dtype="str"),
            "settlement_date": pd.to_datetime(pd.Series([f["settlement_date"] for f in facts], dtype="str")),
        }
    ).drop_duplicates("batch_id")
    found = held.merge(named, on="batch_id", how="left", validate="m:1")
    return found.sort_values("transaction_id", ignore_index=True)


def read_flights(ledger: Ledger, transaction_ids: Iterable[str]) -> Flights:
    """What these transactions have in flight, as the ledger knows it."""
    waiting = ledger.transfers(transaction_ids, open_only=True)
    details = pd.DataFrame(
        [json.loads(d) for d in waiting["details"].tolist()],
        columns=pd.Index(["group", "instructions", "plan_sha256", "window", "settlement_date"]),
    )
    transactions = pd.concat([waiting.drop(columns="details"), details], axis=1)
    facts = ledger.events(
        batch_ids=transactions["batch_id"].unique(), event_types=["BATCH_OPTIMIZED", "SETTLEMENT_CONFIRMED"]
    )
    about_payments = facts[(facts["event_type"] == "SETTLEMENT_CONFIRMED") & (facts["transaction_id"] == "")]
    paid = frozenset(json.loads(d)["instruction_id"] for d in about_payments["details"])
    plans = [json.loads(d) for d in facts.loc[facts["event_type"] == "BATCH_OPTIMIZED", "details"]]
    committed = set(transactions["plan_sha256"])
    planned = [i for plan in plans if plan["plan_sha256"] in committed for i in plan["instructions"]]
    columns = pd.Index([*_BODY, "batch_id", "settlement_date"])
    instructions = pd.DataFrame(planned, columns=columns).drop_duplicates("instruction_id")
    groups = transactions[["group", "instructions"]].explode("instructions").dropna().drop_duplicates("instructions")
    used = instructions.merge(
        groups.rename(columns={"instructions": "instruction_id"}), on="instruction_id", how="inner", validate="1:1"
    )
    transactions = transactions.assign(settlement_date=pd.to_datetime(transactions["settlement_date"]))
    return Flights(transactions, used.sort_values("instruction_id", ignore_index=True), paid)


def _send(
    flights: Flights,
    resumed: pd.Series,
    counterparties: pd.DataFrame,
    rail: Rail,
    settings: BatchingSettlementSettings,
    wait: Wait,
) -> tuple[list[Delivery], pd.DataFrame]:
    """Collect first, then pay out: the pool pays for a group only when all its collections are paid."""
    schedule, alternates = read_schedule(settings.retry_schedule), alternate_routes(counterparties)
    asked = set(flights.transactions.loc[flights.transactions["transaction_id"].isin(resumed), "group"])
    deliveries = [_delivery(record, flights.paid, asked) for record in flights.instructions.to_dict("records")]
    first = [d for d in deliveries if d.instruction.payer_account != POOL]
    collected = deliver(first, alternates, rail, schedule, wait)
    unpaid = {d.group for d in first if not d.is_paid}
    second = [d for d in deliveries if d.instruction.payer_account == POOL and d.group not in unpaid]
    paid_out = deliver(second, alternates, rail, schedule, wait)
    both = pd.concat([collected, paid_out], ignore_index=True)
    return deliveries, both.sort_values(["instruction_id", "attempt"], ignore_index=True)


def _delivery(record: dict[Hashable, Any], paid: frozenset[str], asked: set[str]) -> Delivery:
    """An instruction ready to go; one whose group was in flight before is asked about before it is sent."""
    instruction = Instruction(**{c: record[c] for c in (*_BODY, "settlement_date")})
    return Delivery(
        instruction,
        record["batch_id"],
        record["group"],
        was_paid=instruction.instruction_id in paid,
        is_unknown=record["group"] in asked,
    )


def _book(judged: pd.DataFrame, deliveries: list[Delivery], ledger: Ledger) -> None:
    """What the rail did, in one append: every payment made or given up, then every transaction posted or voided."""
    payments = _payment_events(deliveries)
    done = judged[judged["status"] != "in_flight"].reset_index(drop=True)
    is_settled = done["status"] == "settled"
    details = [
        json.dumps({"reason": r, "detail": d}) if r else "{}"
        for r, d in zip(done["reason"].tolist(), done["detail"].tolist(), strict=True)
    ]
    events = done[["transaction_id", "batch_id", "timestamp"]].assign(
        event_type=np.where(is_settled, "SETTLEMENT_CONFIRMED", "SETTLEMENT_FAILED").astype(object),
        amount_minor=done["entry_minor"],
        currency=done["entry_currency"],
        details=pd.Series(details, dtype=object),
    )
    closing = done.assign(
        event=np.arange(len(done)) + len(payments),
        kind=np.where(is_settled, "post", "void").astype(object),
        pending_no=done["transfer_no"],
    )
    booked = pd.concat([part for part in (payments, events) if len(part)] or [events], ignore_index=True)
    content = fingerprint_columns(*(booked[c] for c in ("batch_id", "event_type", "details")), closing["pending_no"])
    ledger.append(f"settlement:outcome:{content}", booked, closing)


def _payment_events(deliveries: list[Delivery]) -> pd.DataFrame:
    """SETTLEMENT_CONFIRMED or SETTLEMENT_FAILED of every payment sent, under its batch."""
    sent = [d for d in deliveries if d.attempts]
    days = pd.to_datetime(pd.Series([d.instruction.settlement_date for d in sent], dtype="str"), utc=True)
    seconds = pd.to_timedelta(pd.Series([min(d.at_seconds, 59) for d in sent], dtype="int64"), unit="s")
    return pd.DataFrame(
        {
            "transaction_id": "",
            "batch_id": pd.Series([d.batch_id for d in sent], dtype=object),
            "event_type": ["SETTLEMENT_CONFIRMED" if d.is_paid else "SETTLEMENT_FAILED" for d in sent],
            "amount_minor": pd.Series([d.instruction.amount_minor for d in sent], dtype="int64"),
            "currency": [d.instruction.currency for d in sent],
            "timestamp": days + DAY_END + seconds,
            "details": [json.dumps({"instruction_id": d.key}) for d in sent],
        }
    )
