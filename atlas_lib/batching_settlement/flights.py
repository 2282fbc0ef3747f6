"""Flights: what the ledger says is claimed and not yet settled, and what became of its payments so far."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from atlas_lib.core.tables import declared
from atlas_lib.ledger.store import Ledger

PAYMENT_EVENTS = ("SETTLEMENT_INITIATED", "SETTLEMENT_CONFIRMED", "SETTLEMENT_FAILED")
BODY = ["instruction_id", "counterparty_id", "payer_account", "payee_account", "amount_minor", "currency"]
_CLAIM = ["group", "instructions", "plan_sha256", "window", "settlement_date"]


@dataclass
class PaymentHistory:
    """What the ledger holds of one instruction."""

    attempts: int = 0
    is_paid: bool = False
    amount_minor: int = 0
    currency: str = ""
    cancelled: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Flights:
    """Transactions in flight (with group), their instructions (with group), and the history of each instruction."""

    transactions: pd.DataFrame
    instructions: pd.DataFrame
    history: dict[str, PaymentHistory]


def read_flights(ledger: Ledger, transaction_ids: Iterable[str]) -> Flights:
    """What these transactions have in flight, with all that stands or falls with them."""
    transactions = _whole_groups(ledger, transaction_ids)
    planned = _planned_instructions(ledger, transactions)
    groups = transactions[["group", "instructions"]].explode("instructions").dropna().drop_duplicates("instructions")
    used = planned.merge(
        groups.rename(columns={"instructions": "instruction_id"}), on="instruction_id", how="inner", validate="1:1"
    )
    ever = ledger.claims(transactions["transaction_id"])["batch_id"].unique()
    return Flights(
        transactions.assign(settlement_date=pd.to_datetime(transactions["settlement_date"])),
        used.sort_values("instruction_id", ignore_index=True),
        _histories(_payment_events(ledger, {*ever, *used["batch_id"]})),
    )


def read_attempts(ledger: Ledger, batch_ids: Iterable[str]) -> pd.DataFrame:
    """settlement_attempts of the payments of these batches, as far as they are booked."""
    events = _payment_events(ledger, batch_ids)
    facts = zip(events[["batch_id", "amount_minor", "currency"]].to_dict("records"), events["fact"], strict=True)
    rows = [
        {**about, "instruction_id": fact["instruction_id"], **attempt}
        for about, fact in facts
        for attempt in fact.get("attempts", [])
    ]
    if not rows:
        return declared("settlement_attempts").empty()
    found = pd.DataFrame(rows).drop_duplicates(["instruction_id", "attempt"])
    return declared("settlement_attempts").shaped(found)


def is_booked_as_paid(ledger: Ledger, batch_ids: Iterable[str]) -> set[str]:
    """Instructions of these batches whose payment is in the ledger."""
    return {name for name, known in read_histories(ledger, batch_ids).items() if known.is_paid}


def read_histories(ledger: Ledger, batch_ids: Iterable[str] | None = None) -> dict[str, PaymentHistory]:
    """What the ledger holds of every payment of these batches, or of all, by instruction_id."""
    return _histories(_payment_events(ledger, batch_ids))


def key_of(instruction_id: str, known: PaymentHistory) -> str:
    """The key under which it is, or was, paid: those before it are dead."""
    number = len(known.cancelled)
    return f"{instruction_id}.{number}" if number else instruction_id


def _whole_groups(ledger: Ledger, transaction_ids: Iterable[str]) -> pd.DataFrame:
    """The open claims of these transactions and of every transaction in their groups, whatever input it came from.

    A payment is a sum over its whole group: a part of the group may not be judged alone.
    """
    ids = set(transaction_ids)
    while True:
        found = _open_claims(ledger, ids)
        started = ledger.events(batch_ids=found["batch_id"].unique(), event_types=["SETTLEMENT_INITIATED"])
        beside = set(started["transaction_id"]) - ids - {""}
        added = _open_claims(ledger, beside)
        added = added[added["group"].isin(found["group"])]
        if added.empty:
            return found
        ids |= set(added["transaction_id"])


def _open_claims(ledger: Ledger, transaction_ids: Iterable[str]) -> pd.DataFrame:
    waiting = ledger.transfers(sorted(transaction_ids), open_only=True)
    details = pd.DataFrame([json.loads(d) for d in waiting["details"].tolist()], columns=pd.Index(_CLAIM))
    return pd.concat([waiting.drop(columns="details"), details], axis=1)


def _planned_instructions(ledger: Ledger, transactions: pd.DataFrame) -> pd.DataFrame:
    """The instructions of the plans under which these transactions were committed."""
    facts = ledger.events(batch_ids=transactions["batch_id"].unique(), event_types=["BATCH_OPTIMIZED"])
    committed = set(transactions["plan_sha256"])
    plans = [json.loads(d) for d in facts["details"]]
    planned = [i for plan in plans if plan["plan_sha256"] in committed for i in plan["instructions"]]
    columns = pd.Index([*BODY, "batch_id", "settlement_date"])
    return pd.DataFrame(planned, columns=columns).drop_duplicates("instruction_id")


def _payment_events(ledger: Ledger, batch_ids: Iterable[str] | None) -> pd.DataFrame:
    """Events about payments, not about transactions; their details in `fact`."""
    wanted = None if batch_ids is None else sorted(batch_ids)
    events = ledger.events(batch_ids=wanted, event_types=PAYMENT_EVENTS)
    about = events[events["transaction_id"] == ""].reset_index(drop=True)
    return about.assign(fact=pd.Series([json.loads(d) for d in about["details"]], dtype=object))


def _histories(events: pd.DataFrame) -> dict[str, PaymentHistory]:
    found: dict[str, PaymentHistory] = defaultdict(PaymentHistory)
    columns = (events[c].tolist() for c in ("event_type", "amount_minor", "currency", "fact"))
    for event_type, amount_minor, currency, fact in zip(*columns, strict=True):
        known = found[_name(fact)]
        known.attempts = max([known.attempts, *(a["attempt"] for a in fact.get("attempts", []))])
        known.is_paid |= event_type == "SETTLEMENT_CONFIRMED"
        known.amount_minor, known.currency = int(amount_minor), str(currency)
        known.cancelled |= {fact["cancelled"]} if "cancelled" in fact else set()
    return found


def _name(fact: dict[str, Any]) -> str:
    return str(fact["instruction_id"])
