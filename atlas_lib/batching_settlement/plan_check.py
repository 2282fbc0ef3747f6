"""The plan recomputed from its finished tables, in whole numbers, by other means than those that made it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pandas as pd

from atlas_lib.batching_settlement.costs import MICRO, read_priorities, read_spreads
from atlas_lib.batching_settlement.items import COST_CURRENCY, SLOTS, settlement_dates
from atlas_lib.batching_settlement.limit_check import over_limits, slots_of
from atlas_lib.batching_settlement.netting import POOL
from atlas_lib.core.errors import CheckFailed
from atlas_lib.core.money import to_minor
from atlas_lib.core.settings import BatchingSettlementSettings

Tables = Mapping[str, pd.DataFrame]


def check_plan(
    items: pd.DataFrame,
    tables: Tables,
    counterparties: pd.DataFrame,
    liquidity: pd.DataFrame,
    rates: pd.DataFrame,
    settings: BatchingSettlementSettings,
    liquidity_forecast: pd.DataFrame | None = None,
    counterparty_limits: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row per property with what was found; CheckFailed names the first that does not hold."""
    due = items[items["standing"] == "due"]
    settled = tables["batch_lines"][["transaction_id", "batch_id", "window", "mode", "settlement_date"]].merge(
        due.drop(columns=["batch_id"]), on="transaction_id", how="left", validate="1:1"
    )
    found = [
        ("every due transaction once in a batch or deferred", _missing(items, tables)),
        ("windows within each transaction's range", _wrong_windows(settled, settings)),
        (f"batches of at most {settings.max_batch_count:,}, sums as their lines", _wrong_batches(tables, settings)),
        ("net position of every account unchanged", _moved_positions(settled, tables["instructions"])),
        ("every instruction positive, every line under its instructions", _loose_lines(tables)),
        ("cash never below its minimum", _overdrawn(settled, liquidity, liquidity_forecast, settings)),
        ("no counterparty above its limit", over_limits(settled, counterparties, counterparty_limits, rates)),
        ("conversions clear every currency of the pool", _uncleared(settled, tables["fx_conversions"])),
        ("cost recomputed to the cent", _other_cost(due, settled, tables, settings)),
        ("lower bound <= optimised <= simple grouping <= gross", _disorder(tables["cost_comparison"])),
    ]
    checks = pd.DataFrame(
        [
            {"check_no": i, "check": c, "passed": not faults, "is_blocking": True, "detail": _told(faults)}
            for i, (c, faults) in enumerate(found, start=1)
        ]
    )
    failed = checks[~checks["passed"]]
    if len(failed):
        raise CheckFailed(
            "The settlement plan is refused",
            expected=str(failed["check"].iloc[0]),
            found=str(failed["detail"].iloc[0]),
            remedy="do not settle; report this, it is a fault of the planner and not of the input",
        )
    return checks


def _told(faults: list[str]) -> str:
    return "holds" if not faults else f"{len(faults)} faults, first: {faults[0]}"


def _missing(items: pd.DataFrame, tables: Tables) -> list[str]:
    expected = set(items.loc[items["standing"].isin(["due", "held", "no route", "no rate"]), "transaction_id"])
    seen = Counter([*tables["batch_lines"]["transaction_id"], *tables["deferrals"]["transaction_id"]])
    return sorted([t for t in expected | set(seen) if seen[t] != 1 or t not in expected])


def _wrong_windows(settled: pd.DataFrame, settings: BatchingSettlementSettings) -> list[str]:
    slot = slots_of(settled)
    day = slot.map(dict(enumerate(settlement_dates(settings.as_of))))
    is_rtgs, gross = settled["window"] == "RTGS", settled["mode"] == "gross"
    right = (slot >= settled["earliest_slot"]) & (slot <= settled["latest_slot"]) & (settled["settlement_date"] == day)
    right &= (is_rtgs == settled["is_gross"]) & (is_rtgs == gross)
    wrong = settled[~right]
    return [f"{t} in {w}" for t, w in zip(wrong["transaction_id"], wrong["window"], strict=True)]


def _wrong_batches(tables: Tables, settings: BatchingSettlementSettings) -> list[str]:
    lines = tables["batch_lines"].groupby("batch_id")["amount_minor"].agg(["size", "sum"])
    stated = tables["batches"].set_index("batch_id")[["transaction_count", "gross_minor"]]
    both = stated.join(lines, how="outer").fillna(-1)
    wrong = (both["transaction_count"] != both["size"]) | (both["gross_minor"] != both["sum"])
    wrong |= both["transaction_count"] > settings.max_batch_count
    return [str(b) for b in both.index[wrong]]


def _moved_positions(settled: pd.DataFrame, instructions: pd.DataFrame) -> list[str]:
    """Netted in the pool or not: what each account gets and gives is the same to the minor unit."""
    moves = [
        _moves(settled, ["payer_account", "currency"], "amount_minor", -1),
        _moves(settled, ["payee_account", "destination_currency"], "destination_minor", 1),
        _moves(instructions, ["payer_account", "currency"], "amount_minor", 1),
        _moves(instructions, ["payee_account", "arriving_currency"], "arriving_minor", -1),
    ]
    left = pd.concat(moves).groupby(level=[0, 1]).sum()
    return [f"{account} {currency}: {v}" for (account, currency), v in left[left != 0].items() if account != POOL]


def _loose_lines(tables: Tables) -> list[str]:
    instructions, lines = tables["instructions"], tables["batch_lines"]
    known = set(instructions["instruction_id"])
    linked = Counter([*lines["payer_instruction_id"].dropna(), *lines["payee_instruction_id"].dropna()])
    single = lines[lines["mode"] != "netted"]
    loose = single.loc[single["payer_instruction_id"].isna(), "transaction_id"]
    wrong = instructions.loc[
        (instructions["amount_minor"] <= 0) | ~instructions["batch_id"].isin(tables["batches"]["batch_id"]),
        "instruction_id",
    ]
    return sorted([*(set(linked) ^ known), *loose, *wrong])


def _overdrawn(
    settled: pd.DataFrame,
    liquidity: pd.DataFrame,
    forecast: pd.DataFrame | None,
    settings: BatchingSettlementSettings,
) -> list[str]:
    """Window after window: what is there and known to come, less what has gone out."""
    moved = settled.assign(slot=slots_of(settled)).groupby(["cash_currency", "slot"])["cash_out_minor"].sum()
    flows = (
        []
        if forecast is None
        else list(zip(forecast["currency"], forecast["flow_date"], forecast["known_minor"], strict=True))
    )
    faults = []
    for row in liquidity.to_dict("records"):
        currency, gone = row["currency"], 0
        for slot, day in enumerate(settlement_dates(settings.as_of)):
            known = sum(int(v) for c, d, v in flows if c == currency and d <= day)
            have = int(row["opening_balance_minor"]) - int(row["minimum_balance_minor"])
            gone += int(moved.get((currency, slot), 0))
            left = max(have + (min(known, 0) if slot == 0 else known), 0) - gone
            if left < 0:
                faults.append(f"{currency} {left} in {SLOTS[slot]}")
    return faults


def _uncleared(settled: pd.DataFrame, conversions: pd.DataFrame) -> list[str]:
    key = ["settlement_date", "mode"]
    moves = [
        _moves(settled, [*key, "currency"], "value_minor", 1),
        _moves(settled, [*key, "destination_currency"], "value_minor", -1),
        _moves(conversions, [*key, "sold_currency"], "value_minor", -1),
        _moves(conversions, [*key, "bought_currency"], "value_minor", 1),
    ]
    left = pd.concat(moves).groupby(level=[0, 1, 2]).sum()
    return [" ".join(map(str, (*where, v))) for where, v in left[left != 0].items()]


def _other_cost(
    due: pd.DataFrame, settled: pd.DataFrame, tables: Tables, settings: BatchingSettlementSettings
) -> list[str]:
    """Wires counted from lines and instructions; conversions as value x quoted spread; what was left at its price."""
    spreads = read_spreads(settings.fx_spreads)
    pooled = settled[settled["mode"] == "netted"]
    sides = [
        pooled[["settlement_date", account, currency]].set_axis(["day", "account", "currency"], axis=1)
        for account, currency in (("payer_account", "currency"), ("payee_account", "destination_currency"))
    ]
    legs = pd.concat(sides).value_counts().tolist()
    sent = tables["instructions"]
    wires = sent[(sent["payer_account"] != POOL) & (sent["payee_account"] != POOL)]
    sizes = [*legs, *wires["transaction_count"].tolist()]
    units = [settings.wire_cost, settings.wire_cost * (1 - settings.consolidation_discount_rate)]
    single, shared = to_minor(np.round(units, 9), COST_CURRENCY, settings.rounding).tolist()
    deals = tables["fx_conversions"]
    pairs = zip(deals["sold_currency"], deals["bought_currency"], deals["value_minor"].tolist(), strict=True)
    fx = sum(value * spreads.get(frozenset((a, b)), spreads[frozenset()]) for a, b, value in pairs)
    stated = tables["cost_comparison"].set_index("plan")
    mine = {
        "wires_count": len(sizes),
        "wire_cost_minor": sum(single if n == 1 else shared for n in sizes),
        "fx_cost_minor": round(fx / MICRO),
        "deferral_cost_minor": round((fx + _left_cost(due, settled, spreads, settings)) / MICRO) - round(fx / MICRO),
    }
    theirs = {name: int(stated[name].loc["optimised"]) for name in mine}
    return [f"{name} {value}, stated {theirs[name]}" for name, value in mine.items() if value != theirs[name]]


def _left_cost(
    due: pd.DataFrame,
    settled: pd.DataFrame,
    spreads: Mapping[frozenset[str], int],
    settings: BatchingSettlementSettings,
) -> int:
    """Millionths: the deferral cost of each payment left, as often as its type counts, and its own conversion."""
    left = due[~due["transaction_id"].isin(settled["transaction_id"])]
    each = max(to_minor([settings.deferral_cost, settings.wire_cost], COST_CURRENCY, settings.rounding).tolist())
    times = read_priorities(settings.priorities)
    deferral = sum(each * times.get(kind, 1) for kind in left["type"])
    pairs = zip(left["currency"], left["destination_currency"], left["value_minor"].tolist(), strict=True)
    other = spreads[frozenset()]
    return int(deferral) * MICRO + sum(int(v) * spreads.get(frozenset((a, b)), other) for a, b, v in pairs if a != b)


def _disorder(comparison: pd.DataFrame) -> list[str]:
    total = comparison.set_index("plan")["total_cost_minor"]
    bound = int(comparison["lower_bound_minor"].iloc[0])
    steps = [bound, *(int(total[p]) for p in ("optimised", "simple grouping", "gross"))]
    return [] if steps == sorted(steps) else [" > ".join(map(str, steps))]


def _moves(frame: pd.DataFrame, key: list[str], amount: str, sign: int) -> pd.Series:
    """Signed sum of the amount per key, keys without names so that sums of several tables line up."""
    moved = (sign * frame[amount]).groupby([frame[k] for k in key]).sum()
    return moved.rename_axis([None] * len(key))
