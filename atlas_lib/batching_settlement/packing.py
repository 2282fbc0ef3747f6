"""Planned transactions packed into batches: containers of at most `max_batch_count`, the plan stays whole."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
import pandas as pd

from atlas_lib.batching_settlement.book import DEFERRED, MODES, NETTED, Book, Plan, slot_names
from atlas_lib.batching_settlement.netting import POOL
from atlas_lib.core.money import Int64

_GROUP = ["settlement_date", "window", "mode", "batch_counterparty", "currency"]


def pack_lines(book: Book, plan: Plan, dates: list[pd.Timestamp], limit: int) -> pd.DataFrame:
    """One row per settled item with its wire and its batch_id.

    A batch holds one day, window, mode, counterparty (the pool for netted ones) and source currency. A direct
    wire carries at most `limit` transactions and lies in one batch. The batch_id follows from the content.
    """
    settled = np.flatnonzero(plan.slot != DEFERRED)
    items = book.items.iloc[settled].reset_index(drop=True)
    slot, mode = plan.slot[settled], plan.mode[settled]
    netted = mode == NETTED
    lines = pd.DataFrame(
        {
            "transaction_id": items["transaction_id"],
            "slot": slot,
            "window": slot_names(slot, book.is_gross[settled]),
            "settlement_date": pd.Series(np.array(dates, dtype="datetime64[us]")[slot]),
            "mode": np.array(MODES, dtype=object)[mode],
            "payer": book.payer[settled],
            "payee": book.payee[settled],
            "counterparty_id": items["counterparty_id"],
            "batch_counterparty": np.where(netted, POOL, items["counterparty_id"]),
            "amount_minor": items["amount_minor"],
            "currency": items["currency"],
            "arriving_minor": items["destination_minor"],
            "arriving_currency": items["destination_currency"],
        }
    )
    lines["wire"] = _wires(book.bundle[settled], slot, mode, limit)
    lines = lines.sort_values([*_GROUP, "payer", "payee", "wire", "transaction_id"], kind="stable", ignore_index=True)
    return lines.assign(batch_id=_batch_ids(lines, limit))


def summarise_batches(lines: pd.DataFrame, instructions: pd.DataFrame) -> pd.DataFrame:
    """The `batches` table; net_minor is what payers pay in under the batch's instructions."""
    paid_in = instructions[instructions["payer_account"] != POOL]
    net = paid_in.groupby("batch_id", as_index=False).agg(net_minor=("amount_minor", "sum"))
    keys = ["batch_id", *_GROUP]
    batches = lines.groupby(keys, sort=True, as_index=False).agg(
        transaction_count=("transaction_id", "size"), gross_minor=("amount_minor", "sum")
    )
    return (
        batches.merge(net, on="batch_id", how="left", validate="1:1")
        .fillna({"net_minor": 0})
        .rename(columns={"batch_counterparty": "counterparty_id"})
        .assign(status="planned")
    )


def content_id(letter: str, *content: str) -> str:
    """An id that follows from the content alone: the same payment gets the same id on every run."""
    return f"{letter}-{hashlib.sha256('|'.join(content).encode()).hexdigest()[:16]}"


def _wires(bundle: Int64, slot: Int64, mode: Int64, limit: int) -> Int64:
    """Number of the wire an item travels on: by bundle, window and chunk; each gross one alone; -1 in the pool."""
    keys = pd.DataFrame({"bundle": bundle, "slot": slot, "mode": mode})
    position = keys.groupby(["bundle", "slot", "mode"]).cumcount()
    alone = np.where(mode == MODES.index("gross"), position, position // limit)
    wire = (
        keys.assign(chunk=alone)
        .groupby(["bundle", "slot", "mode", "chunk"], sort=True)
        .ngroup()
        .to_numpy(dtype=np.int64)
    )
    return np.where(mode == NETTED, -1, wire)


def _batch_ids(lines: pd.DataFrame, limit: int) -> pd.Series:
    group = np.asarray(lines.groupby(_GROUP, sort=True).ngroup(), dtype=np.int64)
    wire = lines["wire"].to_numpy(dtype=np.int64)
    unit = np.where(wire == -1, -1 - np.arange(len(lines), dtype=np.int64), wire)
    batch = _next_fit(group, unit, limit)
    ids = {
        number: content_id("B", *(str(v) for v in part.iloc[0][_GROUP]), *sorted(part["transaction_id"]))
        for number, part in lines.groupby(batch, sort=True)
    }
    return pd.Series(batch).map(ids).astype("str")


def _next_fit(group: Int64, unit: Int64, limit: int) -> Int64:
    """Fill one batch after the other, a unit (a wire) never split; input sorted by group, then unit."""
    starts = np.flatnonzero((group[1:] != group[:-1]) | (unit[1:] != unit[:-1])) + 1
    bounds = [0, *starts.tolist(), len(group)] if len(group) else [0]
    batch, number, filled = np.empty(len(group), dtype=np.int64), 0, 0
    for start, end in pairwise(bounds):
        if start and (filled + end - start > limit or group[start] != group[start - 1]):
            number, filled = number + 1, 0
        batch[start:end] = number
        filled += end - start
    return batch
