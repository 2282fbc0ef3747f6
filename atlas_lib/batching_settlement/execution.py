"""Execution: planned batches are committed once, paid on the rail, and booked.

Order for every batch: BATCH_CREATED, BATCH_OPTIMIZED, CONSENSUS_SUBMITTED, commit, CONSENSUS_ACHIEVED; then per
transaction SETTLEMENT_INITIATED with a pending transfer; the rail; then SETTLEMENT_CONFIRMED (posted) or
SETTLEMENT_FAILED (voided). Each phase is one append for all batches. The pending transfer is the claim: what is in
flight or settled cannot be claimed again, whatever plan it is in. From the claim on everything is read back from
the ledger, so going on after a crash is the same path as going on without one.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import pandas as pd

from atlas_lib.batching_settlement.attempts import (
    Delivery,
    Wait,
    alternate_routes,
    deliver,
    give_up,
    no_wait,
    read_schedule,
)
from atlas_lib.batching_settlement.breakers import Breakers
from atlas_lib.batching_settlement.claims import claim, group_lines, split_claimable
from atlas_lib.batching_settlement.flights import BODY, Flights, read_attempts, read_flights
from atlas_lib.batching_settlement.netting import POOL
from atlas_lib.batching_settlement.outcomes import (
    book_outcome,
    defer_unsettled,
    judge_groups,
    summarise_results,
    with_status,
)
from atlas_lib.batching_settlement.rails import Instruction, Rail
from atlas_lib.core.settings import BatchingSettlementSettings
from atlas_lib.ledger.commit import CommitService, LocalCommit
from atlas_lib.ledger.store import Ledger


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

    A group of transactions that are netted together is settled when all its payments are made. If none was made, and
    the rail has cancelled them all, it is voided and free for the next plan; anything between stays in flight and the
    next run goes on with it. Called again, with the same plan or another one, it pays nothing twice.
    Output: batches (with status), settlement_attempts (of these batches and of those finished now, also the attempts
    of earlier runs), settlement_results (every transaction of this run that is or was in a batch), deferrals (those of
    the plan and those that execution adds).
    """
    ids = pd.concat([settlement_items["transaction_id"], batch_lines["transaction_id"]]).unique()
    before = settled_before(ledger, ids)
    fresh, superseded = split_claimable(group_lines(batch_lines, settlement_items), before)
    if len(fresh):
        claim(fresh, batches, instructions, ledger, commit or LocalCommit(ledger), settings.as_of)
    flights = read_flights(ledger, ids)
    resumed = before.loc[before["status"] == "in_flight", "transaction_id"]
    deliveries = _send(flights, resumed, counterparties, rail, settings, wait)
    judged = judge_groups(flights.transactions, deliveries)
    book_outcome(judged, deliveries, ledger)
    ours = judged[judged["transaction_id"].isin(ids)]
    results = summarise_results(settled_before(ledger, ids), ours, superseded, settlement_items)
    return {
        "batches": with_status(batches, batch_lines, results),
        "settlement_attempts": read_attempts(ledger, {*batches["batch_id"], *flights.instructions["batch_id"]}),
        "settlement_results": results,
        "deferrals": defer_unsettled(deferrals, batch_lines, results),
    }


def settled_before(ledger: Ledger, transaction_ids: Iterable[str]) -> pd.DataFrame:
    """Transactions that a batch holds already: a new plan leaves them out.

    Output: transaction_id, batch_id, status (settled; in_flight: committed and perhaps paid in part, to be finished by
    the next execution; reversed: paid and sent back by the bank, which a person has to look at), window,
    settlement_date.
    """
    claims = ledger.claims(transaction_ids)
    held = claims[claims["status"].isin(["settled", "in_flight", "reversed"])]
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


def _send(
    flights: Flights,
    resumed: pd.Series,
    counterparties: pd.DataFrame,
    rail: Rail,
    settings: BatchingSettlementSettings,
    wait: Wait,
) -> list[Delivery]:
    """Collect first, then pay out: the pool pays for a group only when all its collections are paid."""
    schedule, alternates = read_schedule(settings.retry_schedule), alternate_routes(counterparties)
    breakers = Breakers(settings.breaker_failure_count, settings.breaker_pause_seconds, alternates)
    begun = flights.transactions["transaction_id"].isin(resumed)
    asked = set(flights.transactions.loc[begun, "group"])
    deliveries = [_delivery(record, flights, asked) for record in flights.instructions.to_dict("records")]
    first = [d for d in deliveries if d.instruction.payer_account != POOL]
    deliver(first, breakers, rail, schedule, wait)
    unpaid = {d.group for d in first if not d.is_paid}
    second = [d for d in deliveries if d.instruction.payer_account == POOL and d.group not in unpaid]
    deliver(second, breakers, rail, schedule, wait)
    for payments in _by_group(deliveries).values():
        give_up(payments, rail)
    return deliveries


def _by_group(deliveries: Sequence[Delivery]) -> dict[str, list[Delivery]]:
    groups: dict[str, list[Delivery]] = defaultdict(list)
    for delivery in deliveries:
        groups[delivery.group].append(delivery)
    return groups


def _delivery(record: dict[Hashable, Any], flights: Flights, asked: set[str]) -> Delivery:
    """An instruction ready to go; one whose group was in flight before is asked about before it is sent."""
    instruction = Instruction(**{c: record[c] for c in (*BODY, "settlement_date")})
    known = flights.history.get(instruction.instruction_id)
    return Delivery(
        instruction,
        record["batch_id"],
        record["group"],
        key_number=len(known.cancelled) if known else 0,
        attempts_before=known.attempts if known else 0,
        was_paid=known.is_paid if known else False,
        is_unknown=record["group"] in asked,
    )
