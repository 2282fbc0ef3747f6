"""The least-cost plan: netting pool or direct wire, and the window, of every piece; with a proven lower bound.

Chain: linear programme (the bound) -> rounded; against simple grouping and hub netting, priced in integers;
whole-number programme only if the best is not proven best. PuLP with HiGHS, then CBC; if both fail, the
best plan that needs no solver, and `is_fallback` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

from atlas_lib.batching_settlement.backbone import find_backbone
from atlas_lib.batching_settlement.book import (
    Book,
    Plan,
    earliest_slots,
    grouped_plan,
    pooled_plan,
    requested_slots,
)
from atlas_lib.batching_settlement.costs import PlanCost, Prices, price_plan
from atlas_lib.batching_settlement.formulation import Formulation
from atlas_lib.batching_settlement.limits import Limits, place, smallest_first
from atlas_lib.batching_settlement.pieces import cut_pieces
from atlas_lib.batching_settlement.programme import GAP_WANTED, solver_errors

SOLVERS = ("HiGHS", "CBC")
MOST_VARIABLES = 6000  # above, a whole-number search runs into its time limit for next to nothing


@dataclass(frozen=True)
class Solution:
    """The chosen plan, its exact cost and a cost no plan can undercut."""

    plan: Plan
    cost: PlanCost
    bound_micro: int
    solver: str
    is_fallback: bool


def solve_book(
    book: Book, limits: Limits, prices: Prices, *, seconds: int = 20, solvers: Sequence[str] = SOLVERS
) -> Solution:
    """The cheapest of simple grouping, hub netting and the solver's plans; never dearer than either of the first."""
    candidates = [
        ("hub netting", pooled_plan(book, place(book, earliest_slots(book), limits))),
        (
            "hub netting, small first",
            pooled_plan(book, place(book, earliest_slots(book), limits, smallest_first(book))),
        ),
        ("simple grouping", grouped_plan(book, place(book, requested_slots(book), limits))),
    ]
    pieces = cut_pieces(book, limits)
    backbone = find_backbone(book, pieces)
    for solver in solvers:
        try:
            return _solved(Formulation(book, pieces, backbone, limits, prices), candidates, solver, seconds)
        except solver_errors():
            continue
    label, plan, cost = _cheapest(book, prices, candidates)
    return Solution(plan, cost, 0, f"no solver answered: {label}", is_fallback=True)


def _solved(model: Formulation, candidates: list[tuple[str, Plan]], solver: str, seconds: int) -> Solution:
    book, prices = model.book, model.prices
    bound = model.solve(solver, seconds, whole=False)
    found = [*candidates, ("linear programme", model.plan())]
    if not model.is_exact:
        bound = model.for_bound().solve(solver, seconds, whole=False)
    label, plan, cost = _cheapest(book, prices, found)
    is_proven = cost.total_micro - bound <= GAP_WANTED * cost.total_micro
    if not is_proven and model.programme.size <= MOST_VARIABLES:
        proven, more = _searched(model, solver, seconds)
        bound = max(bound, proven) if model.is_exact else bound
        label, plan, cost = _cheapest(book, prices, [*found, *more])
    named = f"{solver} {version('highspy') if solver == 'HiGHS' else 'of PuLP ' + version('pulp')}, {label}"
    return Solution(plan, cost, min(bound, cost.total_micro), named, is_fallback=False)


def _searched(model: Formulation, solver: str, seconds: int) -> tuple[int, list[tuple[str, Plan]]]:
    """Bound and plan of a whole-number search; one that finds nothing leaves what the linear programme found."""
    try:
        return model.solve(solver, seconds, whole=True), [("whole-number programme", model.plan())]
    except solver_errors():
        return 0, []


def _cheapest(book: Book, prices: Prices, candidates: list[tuple[str, Plan]]) -> tuple[str, Plan, PlanCost]:
    """Ties go to fewer deferred, then to the earlier window, then to the first in the list."""
    priced = [(price_plan(book, plan, prices), int(plan.slot.sum()), i) for i, (_, plan) in enumerate(candidates)]
    cost, _, best = min(priced, key=lambda p: (p[0].total_micro, p[0].deferred, p[1], p[2]))
    return *candidates[best], cost
