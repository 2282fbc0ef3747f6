"""Claims: which planned transactions may start, and how they enter the ledger before anything is sent.

Netted payments stand or fall together: a leg of the pool carries part of many transactions. So the transactions
of a plan fall into *groups*: connected through a shared account of the pool, or through a shared wire.
"""

from __future__ import annotations

import hashlib
import json
from datetime import date

import numpy as np
import pandas as pd

from atlas_lib.batching_settlement.commitments import commit_key, refuse_older_ledger
from atlas_lib.core.errors import LedgerError
from atlas_lib.ledger.canonical import fingerprint_columns
from atlas_lib.ledger.commit import CommitService
from atlas_lib.ledger.postings import settlement_accounts
from atlas_lib.ledger.store import Ledger

DAY_END = pd.Timedelta(hours=23, minutes=59)
_LINE = ["transaction_id", "batch_id", "window", "mode", "settlement_date", "amount_minor", "currency"]
_ITEM = ["transaction_id", "merchant_id", "type", "payer_account", "payee_account", "destination_currency"]
_CASH = ["cash_currency", "cash_out_minor"]
_INSTRUCTION = [
    "instruction_id", "batch_id", "counterparty_id", "payer_account", "payee_account", "amount_minor", "currency",
]  # fmt: skip


def group_lines(batch_lines: pd.DataFrame, settlement_items: pd.DataFrame) -> pd.DataFrame:
    """The lines with what settles them and `group`: the smallest transaction_id of those they stand or fall with."""
    items = settlement_items[[*_ITEM, *_CASH]]
    legs = batch_lines[[*_LINE, "payer_instruction_id", "payee_instruction_id"]]
    lines = legs.merge(items, on="transaction_id", how="left", validate="1:1")
    unknown = lines.loc[lines["merchant_id"].isna(), "transaction_id"]
    if len(unknown):
        raise LedgerError("A batch holds a transaction that is no settlement item", found=", ".join(unknown.head(3)))
    lines = lines.sort_values("transaction_id", kind="stable", ignore_index=True)
    return lines.assign(group=_connected(lines))


def _connected(lines: pd.DataFrame) -> pd.Series:
    place = "|" + lines["window"] + "|" + lines["settlement_date"].dt.strftime("%Y-%m-%d")
    is_netted = lines["mode"] == "netted"
    payer = (lines["payer_account"] + "|" + lines["currency"] + place).where(is_netted, lines["payer_instruction_id"])
    payee = (lines["payee_account"] + "|" + lines["destination_currency"] + place).where(
        is_netted, lines["payee_instruction_id"]
    )
    node = pd.factorize(pd.concat([payer, payee], ignore_index=True))[0]
    left, right = node[: len(lines)], node[len(lines) :]
    label = np.full(node.max(initial=-1) + 1, len(lines))
    lowest = np.arange(len(lines))
    while True:
        np.minimum.at(label, left, lowest)
        np.minimum.at(label, right, lowest)
        reached = np.minimum(label[left], label[right])
        if (reached == lowest).all():
            return lines["transaction_id"].iloc[lowest].set_axis(lines.index)
        lowest = reached


def split_claimable(lines: pd.DataFrame, known: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(fresh, superseded): lines that may start, and lines that stand or fall with one that is held already.

    A group's payments are sums over all its transactions. A plan claims all of them or none, so that one that is held
    was paid, or is to be paid, by other sums, also when its batch has the same name: the name follows from the
    transactions of that batch alone, the sums of the pool from all batches of the window.
    `known`: settled_before (transaction_id).
    """
    is_held = lines["transaction_id"].isin(known["transaction_id"])
    is_stale = lines["group"].isin(lines.loc[is_held, "group"])
    return lines[~is_stale], lines[is_stale & ~is_held]


def claim(
    fresh: pd.DataFrame,
    batches: pd.DataFrame,
    instructions: pd.DataFrame,
    ledger: Ledger,
    commit: CommitService,
    as_of: date,
) -> None:
    """Commit the batches of the fresh lines once, and claim every transaction by a pending transfer."""
    plans = _plans(fresh, instructions)
    plans = plans.assign(round=_rounds(fresh, plans, ledger)).merge(batches, on="batch_id", how="left", validate="1:1")
    day_end = pd.Timestamp(as_of).tz_localize("UTC") + DAY_END
    _append_new(ledger, "plan", _plan_events(plans).assign(timestamp=day_end))
    refuse_older_ledger(ledger, commit)
    plans, standing = _commit(plans, commit, ledger, day_end)
    achieved = _batch_events(standing, "CONSENSUS_ACHIEVED", _commit_details(standing, commit.name))
    _append_new(ledger, "commit", achieved.assign(timestamp=day_end))
    _initiate(fresh, plans, ledger)


def _rounds(fresh: pd.DataFrame, plans: pd.DataFrame, ledger: Ledger) -> list[int]:
    """How often each batch was voided before."""
    claims = ledger.claims(fresh["transaction_id"])
    voided = claims[claims["status"] == "voided"].groupby(["batch_id", "transaction_id"], as_index=False).size()
    most = voided.groupby("batch_id")["size"].max()
    return [int(most.get(batch_id, 0)) for batch_id in plans["batch_id"]]


def _plans(fresh: pd.DataFrame, instructions: pd.DataFrame) -> pd.DataFrame:
    """Per batch: its instructions as JSON and the SHA-256 of that, which is what is committed."""
    sides = [
        fresh[["batch_id", c]].set_axis(["user", "instruction_id"], axis=1)
        for c in ("payer_instruction_id", "payee_instruction_id")
    ]
    used = pd.concat(sides, ignore_index=True).dropna().drop_duplicates()
    sent = instructions[_INSTRUCTION].assign(settlement_date=instructions["settlement_date"].dt.strftime("%Y-%m-%d"))
    used = used.merge(sent, on="instruction_id", how="left", validate="m:1").sort_values(["user", "instruction_id"])
    if used["amount_minor"].isna().any():
        raise LedgerError("A batch line names an instruction that does not exist")
    used = used.astype({"amount_minor": "int64"})
    texts = pd.Series(
        [json.dumps(r, sort_keys=True) for r in used.drop(columns="user").to_dict("records")], dtype=object
    )
    joined = texts.groupby(used["user"].to_numpy()).agg(",".join)
    batch_ids = pd.Series(sorted(fresh["batch_id"].unique()), dtype=object)
    payload = "[" + batch_ids.map(joined).astype(object).fillna("") + "]"
    digests = [hashlib.sha256(p.encode()).hexdigest() for p in payload]
    return pd.DataFrame({"batch_id": batch_ids, "payload": payload, "plan_sha256": digests})


def _plan_events(plans: pd.DataFrame) -> pd.DataFrame:
    """BATCH_CREATED, BATCH_OPTIMIZED and CONSENSUS_SUBMITTED of every batch, in this order within the batch."""
    columns = ["window", "mode", "counterparty_id", "transaction_count"]
    dates = plans["settlement_date"].dt.strftime("%Y-%m-%d")
    records = plans[columns].assign(settlement_date=dates).to_dict("records")
    created = [json.dumps(r, sort_keys=True) for r in records]
    pairs = zip(plans["payload"], plans["plan_sha256"], strict=True)
    optimized = [f'{{"instructions": {payload}, "plan_sha256": "{digest}"}}' for payload, digest in pairs]
    submitted = _commit_details(plans)
    parts = [
        _batch_events(plans, "BATCH_CREATED", created).assign(amount_minor=plans["gross_minor"]),
        _batch_events(plans, "BATCH_OPTIMIZED", optimized),
        _batch_events(plans, "CONSENSUS_SUBMITTED", submitted),
    ]
    return pd.concat(parts).sort_index(kind="stable").reset_index(drop=True)


def _batch_events(plans: pd.DataFrame, event_type: str, details: list[str]) -> pd.DataFrame:
    events = pd.DataFrame(
        {"batch_id": plans["batch_id"], "details": pd.Series(details, index=plans.index, dtype=object)}
    )
    amounts = {"amount_minor": plans["net_minor"], "currency": plans["currency"]}
    return events.assign(transaction_id="", event_type=event_type, **amounts)


def _commit_details(plans: pd.DataFrame, service: str = "") -> list[str]:
    by = {"committed_by": service} if service else {}
    pairs = zip(plans["plan_sha256"], plans["round"].tolist(), strict=True)
    return [json.dumps({"plan_sha256": digest, "round": number, **by}, sort_keys=True) for digest, number in pairs]


def _commit(
    plans: pd.DataFrame, commit: CommitService, ledger: Ledger, day_end: pd.Timestamp
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Commit every batch once: the plans with the round they stand in, and all that stands up to there.

    A round that holds another plan was voided, or committed and never begun: the next round decides anew. It is
    written down too, before and after, so that the ledger knows of every commitment. What may start is not decided here: two plans of
    one transaction, committed in two rounds, meet at the claim, which the ledger grants once.
    """
    standing, open_plans, done = [], plans, []
    while len(open_plans):
        keys = [commit_key(b, r) for b, r in zip(open_plans["batch_id"], open_plans["round"], strict=True)]
        stands = commit.commit_all(dict(zip(keys, open_plans["plan_sha256"], strict=True)))
        found = open_plans.assign(plan_sha256=[stands[key][1] for key in keys])
        standing.append(found)
        is_ours = (found["plan_sha256"] == open_plans["plan_sha256"]).to_numpy()
        done.append(open_plans[is_ours])
        open_plans = open_plans[~is_ours].assign(round=lambda left: left["round"] + 1)
        asked = _batch_events(open_plans, "CONSENSUS_SUBMITTED", _commit_details(open_plans))
        _append_new(ledger, "commit", asked.assign(timestamp=day_end))
    return pd.concat(done).sort_index(), pd.concat(standing, ignore_index=True)


def _initiate(fresh: pd.DataFrame, plans: pd.DataFrame, ledger: Ledger) -> None:
    """SETTLEMENT_INITIATED and a pending transfer per transaction, all or none: the claim."""
    lines = fresh.merge(plans[["batch_id", "plan_sha256", "round"]], on="batch_id", how="left", validate="m:1")
    times = lines["settlement_date"].dt.tz_localize("UTC") + DAY_END
    events = lines[["transaction_id", "batch_id", "amount_minor", "currency"]].assign(
        event_type="SETTLEMENT_INITIATED", timestamp=times, details=_claim_details(lines)
    )
    has_cash = lines["cash_out_minor"] != 0
    amount = lines["cash_out_minor"].abs().where(has_cash, lines["amount_minor"])
    cash = lines.assign(currency=lines["cash_currency"].where(has_cash, lines["currency"]))
    pending = settlement_accounts(cash).assign(
        event=np.arange(len(lines)), kind="pending", amount_minor=amount, currency=cash["currency"]
    )
    append_id = f"settlement:initiate:{fingerprint_columns(events['transaction_id'], events['details'])}"
    ledger.append(append_id, events, pending)


def _claim_details(lines: pd.DataFrame) -> pd.Series:
    """What going on after a crash needs to know of a claimed transaction, as JSON."""
    legs = zip(lines["payer_instruction_id"].tolist(), lines["payee_instruction_id"].tolist(), strict=True)
    used = [sorted({i for i in pair if isinstance(i, str)}) for pair in legs]
    named = {c: lines[c].tolist() for c in ("group", "plan_sha256", "round", "window")}
    named |= {"instructions": used, "settlement_date": lines["settlement_date"].dt.strftime("%Y-%m-%d").tolist()}
    rows = zip(*named.values(), strict=True)
    return pd.Series([json.dumps(dict(zip(named, row, strict=True)), sort_keys=True) for row in rows], dtype=object)


def _append_new(ledger: Ledger, phase: str, events: pd.DataFrame) -> None:
    """Append the batch facts that the ledger does not hold yet."""
    fact = ["batch_id", "event_type", "details"]
    held = ledger.events(batch_ids=events["batch_id"].unique(), event_types=events["event_type"].unique())
    is_held = pd.MultiIndex.from_frame(events[fact]).isin(pd.MultiIndex.from_frame(held[fact]))
    new = events[~is_held].reset_index(drop=True)
    ledger.append(f"settlement:{phase}:{fingerprint_columns(*(new[c] for c in fact))}", new)
