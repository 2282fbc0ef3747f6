"""Outcomes: what became of every transaction once the rail has answered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pandas as pd

from atlas_lib.batching_settlement.attempts import Delivery
from atlas_lib.core.tables import declared

_RESULT = ["transaction_id", "batch_id", "window", "settlement_date", "status", "reason", "detail"]
_VERDICT = ("status", "reason", "detail", "seconds")
NEXT_WINDOW = {"RTGS": "T0", "T0": "T1", "T1": "T2", "T2": "T2"}


def judge_groups(transactions: pd.DataFrame, deliveries: Sequence[Delivery]) -> pd.DataFrame:
    """The transactions in flight with status, reason, detail and time.

    settled: every payment of the group is made; failed: none is, and that is certain; in_flight: anything between.
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
    worst = min(sent or missing, key=lambda p: p.key)
    reason = "COUNTERPARTY_DOWN" if worst.answer.outcome == "unavailable" else "RAIL_FAILURE"
    detail = f"{worst.key}: {worst.answer.detail} after {worst.attempts} attempts"
    paid = len(payments) - len(missing)
    if paid or any(p.is_unknown for p in missing):
        return ("in_flight", reason, f"{paid} of {len(payments)} payments made; {detail}", seconds)
    return ("failed", reason, detail, seconds)


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
    stale = superseded.assign(
        status="superseded",
        reason="COMMITTED_ELSEWHERE",
        detail="a transaction it is netted with was committed in another batch meanwhile; it is planned again",
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
