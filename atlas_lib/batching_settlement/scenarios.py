"""What if: the same payments planned with other cash, limits, cut-off, discount or spreads, beside the present plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from atlas_lib.batching_settlement.batching import plan_settlement
from atlas_lib.batching_settlement.costs import read_spreads
from atlas_lib.batching_settlement.items import COST_CURRENCY, SLOTS, select_items
from atlas_lib.core.money import round_product
from atlas_lib.core.settings import BatchingSettlementSettings
from atlas_lib.core.tables import declared

PRESENT = "present"
STANDARD: dict[str, dict[str, float]] = {
    PRESENT: {},
    "cash halved": {"cash_percent": 50.0},
    "cash doubled": {"cash_percent": 200.0},
    "counterparty limits halved": {"limit_percent": 50.0},
    "counterparty limits doubled": {"limit_percent": 200.0},
    "cut-off two hours earlier": {"cut_off_hours": -2.0},
    "no consolidation discount": {"discount_percent": 0.0},
    "consolidation discount doubled": {"discount_percent": 200.0},
    "spreads halved": {"spread_percent": 50.0},
    "spreads doubled": {"spread_percent": 200.0},
}


@dataclass(frozen=True)
class PlanInputs:
    """What a plan is made from; cash and limits are what earlier runs have left."""

    transactions: pd.DataFrame
    streaming_index: pd.DataFrame
    counterparties: pd.DataFrame
    liquidity: pd.DataFrame
    fx_rates: pd.DataFrame
    settled_before: pd.DataFrame
    liquidity_forecast: pd.DataFrame | None = None
    counterparty_limits: pd.DataFrame | None = None


def plan_scenarios(inputs: PlanInputs, settings: BatchingSettlementSettings) -> dict[str, pd.DataFrame]:
    """The present plan and each standard change on its own, one row each. Output: plan_scenarios."""
    rows = [_planned(inputs, settings, name, change) for name, change in STANDARD.items()]
    present = rows[0]["total_cost_minor"]
    frame = pd.DataFrame(
        [r | {"scenario_no": i, "difference_minor": r["total_cost_minor"] - present} for i, r in enumerate(rows, 1)]
    )
    return {"plan_scenarios": declared("plan_scenarios").shaped(frame)}


def compare_change(inputs: PlanInputs, settings: BatchingSettlementSettings, **change: float) -> pd.DataFrame:
    """Present plan and changed plan side by side: measure, present, changed, difference; for a person who tries.

    change: cash_percent, limit_percent (of all limits on counterparties), discount_percent, spread_percent (100 = as it
    is), cut_off_hours.
    """
    rows = [_planned(inputs, settings, name, c) for name, c in ((PRESENT, {}), ("changed", change))]
    names = [n for n in rows[0] if n not in ("scenario", "change", "currency")]
    frame = pd.DataFrame(
        {"measure": names, "present": [rows[0][n] for n in names], "changed": [rows[1][n] for n in names]}
    )
    frame["difference"] = frame["changed"] - frame["present"]
    is_money = frame["measure"].str.endswith("_minor")
    for column in ("present", "changed", "difference"):
        plain = [f"{v / 100:,.2f}" if m else f"{v:,.4g}" for v, m in zip(frame[column], is_money, strict=True)]
        frame[column] = plain
    words = frame["measure"].str.removesuffix("_minor").str.removesuffix("_count").str.replace("_", " ")
    return frame.assign(measure=words.where(~is_money, words + f" ({COST_CURRENCY})"))


def changed_settings(settings: BatchingSettlementSettings, change: Mapping[str, float]) -> BatchingSettlementSettings:
    """The settings with cut-off, discount and spreads changed; the cut-off stays within the day."""
    minutes = _minutes_of(settings.cut_off_time) + round(60 * float(change.get("cut_off_hours", 0)))
    minutes = min(max(minutes, 0), 23 * 60 + 59)
    discount = min(settings.consolidation_discount_rate * float(change.get("discount_percent", 100)) / 100, 1.0)
    factor = float(change.get("spread_percent", 100)) / 100
    spreads = {p: bps * factor / 100 for p, bps in read_spreads(settings.fx_spreads).items()}
    text = "; ".join(f"{'-'.join(sorted(p)) or 'other'} {bps:.2f}" for p, bps in spreads.items())
    values = {
        "cut_off_time": f"{minutes // 60:02d}:{minutes % 60:02d}",
        "consolidation_discount_rate": discount,
        "fx_spreads": text,
    }
    return BatchingSettlementSettings.model_validate(settings.model_dump() | values)


def _planned(
    inputs: PlanInputs, settings: BatchingSettlementSettings, name: str, change: Mapping[str, float]
) -> dict[str, Any]:
    chosen = changed_settings(settings, change)
    cash = _scaled(inputs.liquidity, "opening_balance_minor", float(change.get("cash_percent", 100)))
    limit = float(change.get("limit_percent", 100))
    parties = _scaled(inputs.counterparties, "limit_minor", limit)
    currencies = inputs.counterparty_limits
    by_currency = None if currencies is None else _scaled(currencies, "currency_limit_minor", limit)
    items = select_items(
        inputs.transactions, inputs.streaming_index, parties, inputs.fx_rates, inputs.settled_before, chosen
    )["settlement_items"]
    made = plan_settlement(items, parties, cash, inputs.fx_rates, chosen, inputs.liquidity_forecast, by_currency)
    told = ", ".join(f"{k.replace('_', ' ')} {v:g}" for k, v in change.items()) or "as it is"
    by_window = made["batch_lines"]["window"].value_counts()
    row: dict[str, Any] = {
        "scenario": name,
        "change": told,
        "currency": COST_CURRENCY,
        "settled_count": len(made["batch_lines"]),
    }
    row |= {f"{slot.lower()}_count": int(by_window.get(slot, 0)) for slot in SLOTS}
    best = made["cost_comparison"].set_index("plan")
    figures = ["deferred_count", "wires_count", "wire_cost_minor", "fx_cost_minor", "deferral_cost_minor",
               "total_cost_minor", "lower_bound_minor", "gap_rate", "saved_rate"]  # fmt: skip
    return row | {f: best[f].get("optimised", 0) for f in figures}


def _scaled(frame: pd.DataFrame, column: str, percent: float) -> pd.DataFrame:
    known = frame[column].notna()
    if percent == 100 or not known.any():
        return frame
    values = frame[column].copy()
    values[known] = round_product(frame.loc[known, column].astype("int64"), percent / 100)
    return frame.assign(**{column: values})


def _minutes_of(text: str) -> int:
    hours, minutes = text.split(":")[:2]
    return int(hours) * 60 + int(minutes)
