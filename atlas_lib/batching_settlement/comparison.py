"""What the plan saves: the same transactions under every plan, on the same input, with the proven bound."""

from __future__ import annotations

import pandas as pd

from atlas_lib.batching_settlement.book import (
    Book,
    earliest_slots,
    grouped_plan,
    pooled_plan,
    requested_slots,
    single_plan,
)
from atlas_lib.batching_settlement.costs import MICRO, PlanCost, Prices, kept_gross_fx, price_plan
from atlas_lib.batching_settlement.items import COST_CURRENCY
from atlas_lib.batching_settlement.limits import Limits, place
from atlas_lib.batching_settlement.solving import Solution

FX_GROSS = "optimised, FX kept gross"


def compare_costs(
    book: Book, solution: Solution, limits: Limits, prices: Prices, rate_date: pd.Timestamp
) -> pd.DataFrame:
    """The cost_comparison table.

    Gross and simple grouping settle in the window asked for, under the same limits first in, first out, at
    quoted spreads. The optimised plan nets conversions, which assumes that the operator internalises FX at
    mid; the last row is the same plan with every transaction converted on its own.
    """
    asked = place(book, requested_slots(book), limits)
    quoted, best = prices.quoted, solution.cost
    fx_gross = PlanCost(
        best.wires, best.wire_minor, kept_gross_fx(book, solution.plan, prices), best.deferral_micro, best.deferred
    )
    plans = [
        ("gross", price_plan(book, single_plan(book, asked), prices, spread=quoted)),
        ("simple grouping", price_plan(book, grouped_plan(book, asked), prices, spread=quoted)),
        ("hub netting", price_plan(book, pooled_plan(book, place(book, earliest_slots(book), limits)), prices)),
        ("optimised", best),
        (FX_GROSS, fx_gross),
    ]
    rows = pd.DataFrame([_row(name, cost, solution) for name, cost in plans])
    total = rows["total_cost_minor"]
    return rows.assign(
        plan_no=range(1, len(rows) + 1),
        saved_rate=1 - total / max(int(total.iloc[0]), 1),
        # Gross is what simple grouping itself is measured against.
        saved_simple_rate=(1 - total / max(int(total.iloc[1]), 1)).where(rows["plan"] != "gross"),
        rate_date=rate_date,
        currency=COST_CURRENCY,
    )


def _row(name: str, cost: PlanCost, solution: Solution) -> dict[str, object]:
    """Rounded once, at the end: order is kept, and the parts sum to the total."""
    fx, rest = _minor(cost.fx_micro), _minor(cost.fx_micro + cost.deferral_micro)
    total = cost.wire_minor + rest
    return {
        "plan": name,
        "wires_count": cost.wires,
        "wire_cost_minor": cost.wire_minor,
        "fx_cost_minor": fx,
        "deferred_count": cost.deferred,
        "deferral_cost_minor": rest - fx,
        "total_cost_minor": total,
        "lower_bound_minor": solution.bound_micro // MICRO,
        "gap_rate": (cost.total_micro - solution.bound_micro) / max(cost.total_micro, 1),
        "solver": solution.solver if name == "optimised" else "",
        "is_fallback": solution.is_fallback and name == "optimised",
    }


def _minor(micro: int) -> int:
    """Half to even, on whole numbers of any size."""
    return round(micro / MICRO) if abs(micro) < 2**50 else (micro + MICRO // 2) // MICRO
