"""The least-cost plan: netting pool or direct wire, and the window, of every payment; with a proven lower bound.

Chain: backbone -> small linear programme -> rounded, brought within the limits, refined; its prices prove the bound.
Against simple grouping and hub netting, priced in integers. More rounds, then whole-number programmes, only where the
gap is above the one wanted. PuLP with HiGHS, then CBC; if both fail, the best plan that needs no solver, and
`is_fallback` says so. Why it is built so: docs/decisions/0011.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from atlas_lib.batching_settlement.backbone import Backbone, find_backbone
from atlas_lib.batching_settlement.book import (
    DEFERRED,
    Book,
    Plan,
    earliest_slots,
    grouped_plan,
    pooled_plan,
    requested_slots,
)
from atlas_lib.batching_settlement.bound import Floats, Multipliers, cover_shortfalls, least_fares, prove_bound
from atlas_lib.batching_settlement.costs import MICRO, PlanCost, Prices, price_plan
from atlas_lib.batching_settlement.dealing import suggestions
from atlas_lib.batching_settlement.formulation import Formulation
from atlas_lib.batching_settlement.items import SLOTS
from atlas_lib.batching_settlement.limits import Limits, is_within, place, restore
from atlas_lib.batching_settlement.pieces import Pieces, cut_pieces
from atlas_lib.batching_settlement.programme import GAP_WANTED, MOST_NODES, solver_errors
from atlas_lib.batching_settlement.refinement import refine, seat
from atlas_lib.batching_settlement.relaxation import Relaxation
from atlas_lib.core.money import Int64

SOLVERS = ("HiGHS", "CBC")
MOST_SEARCHED = 1500  # undecided pieces; above, a whole-number search runs into its time limit for next to nothing
_ROUNDS = 4  # linear programmes, each with the payments added whose choice the one before left out
_MOST_ADDED = 150
_LARGE = 10_000  # payments: of more, the gap wanted is smaller in proportion, down to a tenth
_SMALL = 200  # pieces that the search over the whole book decides at once
_LITTLE_MISSED = 1e-4  # of the bound: not worth another round
_LITTLE_GAINED = 5e-4  # of the bound, by the last round: no more of them
_MOST_CONVERTING = 20  # large conversions decided from the start
_MOST_LARGE = 25  # payments decided from the start under each scarce limit
_DECIDED = 5e-4  # of the bound: what would cost more to change is left out of the search for a better suggestion


Candidate = tuple[str, Plan, PlanCost]


@dataclass(frozen=True)
class Solution:
    """The chosen plan, its exact cost and a cost no plan can undercut."""

    plan: Plan
    cost: PlanCost
    bound_micro: int
    solver: str
    is_fallback: bool

    @property
    def gap_rate(self) -> float:
        return (self.cost.total_micro - self.bound_micro) / max(self.cost.total_micro, 1)


def solve_book(
    book: Book,
    limits: Limits,
    prices: Prices,
    *,
    seconds: int = 20,
    nodes: int = MOST_NODES,
    gap_rate: float = 0.0,
    solvers: Sequence[str] = SOLVERS,
) -> Solution:
    """The cheapest of simple grouping, hub netting and the solver's plans; never dearer than either of the first."""
    candidates = [
        ("hub netting", pooled_plan(book, place(book, earliest_slots(book), limits))),
        ("simple grouping", grouped_plan(book, place(book, requested_slots(book), limits))),
    ]
    pieces = cut_pieces(book, limits)
    for solver in solvers:
        try:
            return _solved(book, pieces, limits, prices, candidates, solver, seconds, nodes, gap_rate)
        except solver_errors():
            continue
    label, plan, cost = _cheapest(_priced(book, prices, candidates))
    return Solution(plan, cost, 0, f"no solver answered: {label}", is_fallback=True)


def _solved(
    book: Book,
    pieces: Pieces,
    limits: Limits,
    prices: Prices,
    candidates: list[tuple[str, Plan]],
    solver: str,
    seconds: int,
    nodes: int,
    gap_rate: float,
) -> Solution:
    best, bound = _cheapest(_priced(book, prices, candidates)), 0
    wanted = gap_rate * float(np.clip(_LARGE / max(len(book), 1), 0.1, 1))
    for proven, name, plans in _guides(book, pieces, limits, prices, solver, seconds, nodes, wanted):
        bound = max(bound, proven)
        best = _cheapest([best, *_priced(book, prices, [(name, plan) for plan in plans])])
        if best[2].total_micro - bound <= wanted * best[2].total_micro:
            break
    else:
        at_risk = payments_at_risk(pieces, limits) if wanted else pieces.is_tight
        exact = find_backbone(pieces, len(book.accounts), ~at_risk)
        if (~exact.is_settled & ~pieces.is_gross).sum() <= MOST_SEARCHED:
            model = Formulation(book, pieces, exact, limits, prices)
            proven, more = _searched(model, solver, seconds, nodes, wanted / 2)
            bound = max(bound, proven) if model.is_exact else bound
            best = _cheapest([best, *_priced(book, prices, more)])
    label, plan, cost = best
    return Solution(plan, cost, min(bound, cost.total_micro), f"{_named(solver)}, {label}", is_fallback=False)


@cache
def _named(solver: str) -> str:
    return f"{solver} {version('highspy') if solver == 'HiGHS' else 'of PuLP ' + version('pulp')}"


def _guides(
    book: Book, pieces: Pieces, limits: Limits, prices: Prices, solver: str, seconds: int, nodes: int, gap_rate: float
) -> Iterator[tuple[int, str, list[Plan]]]:
    """Bound, name and plans of the linear programme; of the same with what its bound missed; of the last in whole pieces."""
    at_risk = payments_at_risk(pieces, limits)
    backbone = find_backbone(pieces, len(book.accounts), ~at_risk)
    fares, cover = least_fares(pieces, len(book.accounts), prices), cover_shortfalls(pieces, limits)
    core = at_risk | (~backbone.is_free.any(axis=1) & ~pieces.is_gross)
    core[_large_conversions(pieces, backbone, core)] = True
    before = 0
    for number in range(_ROUNDS):
        grown = Relaxation(pieces, backbone, fares, cover, limits, prices, core)
        try:
            found = grown.solve(solver, seconds)
        except solver_errors():
            if number == 0:
                raise
            break  # what an earlier round found stands
        model = grown
        bound, missed = prove_bound(pieces, backbone, fares, cover, limits, prices, found)
        yield (
            bound,
            "linear programme",
            [_rounded(book, pieces, limits, prices, found, bound, s) for s in suggestions(model)],
        )
        is_slow = bound - before <= _LITTLE_GAINED * bound
        if missed.sum() * MICRO <= _LITTLE_MISSED * bound or is_slow or number == _ROUNDS - 1:
            break
        before = bound
        most = np.argsort(-missed, kind="stable")[:_MOST_ADDED]
        core = core.copy()
        core[most[missed[most] > 0]] = True
    if len(pieces) <= _SMALL:
        return
    with suppress(*solver_errors()):
        model.search(solver, seconds, nodes, _DECIDED * bound / MICRO, gap_rate / 2)
        yield (
            bound,
            "whole-number core",
            [_rounded(book, pieces, limits, prices, found, bound, s) for s in suggestions(model)],
        )


def _large_conversions(pieces: Pieces, backbone: Backbone, core: NDArray[np.bool_]) -> Int64:
    """The largest conversions may be worth a leg of their own in another window."""
    could_go = pieces.converts & ~pieces.is_gross & (pieces.can_take & ~backbone.is_free).any(axis=1) & ~core
    rows = np.flatnonzero(could_go)
    return rows[np.argsort(-pieces.value_minor[rows], kind="stable")[:_MOST_CONVERTING]]


def _rounded(
    book: Book,
    pieces: Pieces,
    limits: Limits,
    prices: Prices,
    found: Multipliers,
    bound: int,
    suggested: tuple[Int64, Int64],
) -> Plan:
    """The suggestion for whole payments, within the limits, refined where there is something left to gain."""
    slot, mode = (column[pieces.of_item] for column in suggested)
    kept = slot
    if (slot == DEFERRED).any() or not is_within(book, slot, limits):
        kept = restore(book, slot, limits, *_change_costs(book, slot, prices, found))
    plan = seat(book, kept, mode, np.flatnonzero(kept != slot))
    is_best = price_plan(book, plan, prices).total_micro <= bound * (1 + GAP_WANTED)
    return plan if is_best else refine(book, plan, limits, prices)


def _change_costs(book: Book, slot: Int64, prices: Prices, found: Multipliers) -> tuple[Floats, Floats]:
    """What it costs, about, to have a payment wait for the next window, or to leave it unsettled."""
    legs = np.zeros((len(book.accounts), len(SLOTS) + 1), dtype=bool)
    for side in (book.payer, book.payee):
        legs[side, np.maximum(slot, 0)] = True
    following = np.minimum(slot + 1, len(SLOTS))
    closed = (~legs[book.payer, following]).astype(float) + ~legs[book.payee, following]
    value = book.column("value_minor")
    here = found.currency[np.maximum(slot, 0)]
    rows = np.arange(len(book))
    pool = value * (here[rows, book.source] - here[rows, book.target])
    later = value * prices.quoted[book.source, book.target] / MICRO
    return closed * prices.single_minor, prices.deferral_minor[book.kind] + later - pool


def payments_at_risk(pieces: Pieces, limits: Limits) -> NDArray[np.bool_]:
    """Payments that a scarce limit may delay or leave unsettled: the largest that use it, until it would hold twice."""
    at_risk = np.zeros(len(pieces), dtype=bool)
    if pieces.is_tight.any():
        cash = limits.is_cash_limited, limits.cash, pieces.cash_currency, pieces.cash_out_minor
        debits = [((limits.is_debit_limited, limits.debit[:, None], *owed), False) for owed in pieces.debits]
        for (is_limited, limit, group, amount), is_cumulative in ((cash, True), *debits):
            used = np.zeros((len(limit), len(SLOTS)), dtype=np.int64)
            np.add.at(used, (group, pieces.first_slot), amount)
            over = ((np.cumsum(used, axis=1) if is_cumulative else used) - limit).max(axis=1, initial=0)
            takers = np.flatnonzero(pieces.is_tight & (amount > 0) & is_limited[group])
            takers = takers[np.lexsort((takers, -amount[takers], group[takers]))]
            of_group, size = group[takers], amount[takers]
            first = np.searchsorted(of_group, of_group)
            before = np.cumsum(size) - size
            is_large = (np.arange(len(takers)) - first < _MOST_LARGE) | (before - before[first] < 2 * over[of_group])
            at_risk[takers[is_large]] = True
    return at_risk


def _searched(
    model: Formulation, solver: str, seconds: int, nodes: int, gap_rate: float
) -> tuple[int, list[tuple[str, Plan]]]:
    """Bound and plan of a whole-number search; one that finds nothing leaves what the linear programme found."""
    try:
        bound = model.solve(solver, seconds, whole=True, nodes=nodes, gap_rate=max(gap_rate, GAP_WANTED))
        return bound, [("whole-number programme", refine(model.book, model.plan(), model.limits, model.prices))]
    except solver_errors():
        return 0, []


def _priced(book: Book, prices: Prices, candidates: list[tuple[str, Plan]]) -> list[Candidate]:
    return [(label, plan, price_plan(book, plan, prices)) for label, plan in candidates]


def _cheapest(candidates: list[Candidate]) -> Candidate:
    """Ties go to fewer deferred, then to the earlier window, then to the first in the list."""
    return min(candidates, key=lambda c: (c[2].total_micro, c[2].deferred, int(c[1].slot.sum())))
