"""The least-cost plan: netting pool or direct wire, and the window, of every piece; with a proven lower bound.

Variables: x, z share of a piece through the pool / direct in a window; y, g leg of an account / wire of a
bundle open; s, h what a wire with one transaction does not get off; m further wires of a bundle above the
batch size; f EUR value converted between two currencies of the pool; u left unsettled.

Minimise  shared (sum y + g + m) + (single - shared) (sum s + h) + sum spread f + own conversions of z
          + deferral price of u
subject to  sum (x + z) + u = 1;  x <= y of both accounts;  z <= g;  s >= 2 y - sum n x;  h >= 2 g - sum n z;
m >= sum n z / batch size - g;  per window and currency, sold - bought in the pool = sum f out - sum f in;
cash per tight currency, cumulative over the windows;  net debit per tight counterparty and window.

Chain: linear programme (the bound) -> rounded; against simple grouping and hub netting, priced in integers;
whole-number programme only if the best is not proven best. PuLP with HiGHS, then CBC; if both fail, the
best plan that needs no solver, and `is_fallback` says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from atlas_lib.batching_settlement.book import (
    DEFERRED,
    DIRECT,
    GROSS,
    NETTED,
    Book,
    Plan,
    earliest_slots,
    grouped_plan,
    pooled_plan,
    requested_slots,
)
from atlas_lib.batching_settlement.costs import MICRO, PlanCost, Prices, price_plan
from atlas_lib.batching_settlement.limits import Limits, place, smallest_first
from atlas_lib.batching_settlement.pieces import Pieces, cut_pieces

SOLVERS = ("HiGHS", "CBC")
GAP_WANTED = 1e-5
MOST_VARIABLES = 6000  # above, a whole-number search runs into its time limit for next to nothing
_EARLIER = 0.5  # minor units of EUR, in all: among equal plans the earlier one, without touching the cost


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
    for solver in solvers:
        try:
            return _solved(book, pieces, limits, prices, candidates, solver, seconds)
        except _solver_errors():
            continue
    label, plan, cost = _cheapest(book, prices, candidates)
    return Solution(plan, cost, 0, f"no solver answered: {label}", is_fallback=True)


def _solved(
    book: Book,
    pieces: Pieces,
    limits: Limits,
    prices: Prices,
    candidates: list[tuple[str, Plan]],
    solver: str,
    seconds: int,
) -> Solution:
    model = Model(book, pieces, limits, prices)
    bound = model.solve(solver, seconds, whole=False)
    found = [*candidates, ("linear programme", model.plan())]
    if not pieces.is_exact:
        bound = Model(book, pieces, limits, prices, is_bound=True).solve(solver, seconds, whole=False)
    label, plan, cost = _cheapest(book, prices, found)
    is_proven = cost.total_micro - bound <= GAP_WANTED * cost.total_micro
    if not is_proven and pieces.is_exact and model.size <= MOST_VARIABLES:
        bound = max(bound, model.solve(solver, seconds, whole=True))
        label, plan, cost = _cheapest(book, prices, [*found, ("whole-number programme", model.plan())])
    named = f"{solver} {version('highspy') if solver == 'HiGHS' else 'of PuLP ' + version('pulp')}, {label}"
    return Solution(plan, cost, min(bound, cost.total_micro), named, is_fallback=False)


def _cheapest(book: Book, prices: Prices, candidates: list[tuple[str, Plan]]) -> tuple[str, Plan, PlanCost]:
    """Ties go to fewer deferred, then to the earlier window, then to the first in the list."""
    priced = [(price_plan(book, plan, prices), int(plan.slot.sum()), i) for i, (_, plan) in enumerate(candidates)]
    cost, _, best = min(priced, key=lambda p: (p[0].total_micro, p[0].deferred, p[1], p[2]))
    return *candidates[best], cost


class Model:
    """The programme of this module's heading over the pieces of a book; amounts in minor units of EUR.

    `is_bound` leaves out what holds for whole pieces only (limits, surcharges on legs of divisible pieces), so
    that its optimum bounds every plan over single transactions too.
    """

    def __init__(self, book: Book, pieces: Pieces, limits: Limits, prices: Prices, *, is_bound: bool = False) -> None:
        import pulp

        self.book, self.pieces, self.limits, self.prices, self.is_bound = book, pieces, limits, prices, is_bound
        self.problem = pulp.LpProblem("settlement", pulp.LpMinimize)
        self.cost: list[tuple[Any, float]] = []
        self.constant, self.preference = 0.0, 0.0
        self.options: list[list[tuple[int, int, Any]]] = []  # per piece: slot, mode, variable
        self.legs: dict[tuple[int, int], list[tuple[int, Any]]] = defaultdict(list)
        self.wires: dict[tuple[int, int], list[tuple[int, Any]]] = defaultdict(list)
        self._add_pieces()
        self._add_legs()
        self._add_wires()
        self._add_conversions()
        if not is_bound:
            self._add_limits()
        self.problem.setObjective(pulp.LpAffineExpression(self.cost))

    @property
    def size(self) -> int:
        return int(self.problem.numVariables())

    def solve(self, solver: str, seconds: int, *, whole: bool) -> int:
        """Solve; returns a proven lower bound in millionths of a minor unit."""
        import pulp

        if not self.cost:
            return int(self.constant * MICRO)
        engine = _engine(solver, seconds, whole)
        self.problem.solve(engine)
        # After a time limit PuLP says Optimal too; only sol_status tells a proven optimum from a plan found so far.
        is_proven = self.problem.sol_status == pulp.LpSolutionOptimal
        if self.problem.status != pulp.LpStatusOptimal or not (is_proven or whole):
            raise pulp.PulpSolverError(f"{solver}: {pulp.LpStatus[self.problem.status]}")
        if not whole:
            reached = float(pulp.value(self.problem.objective))
        elif solver == "HiGHS":
            reached = float(self.problem.solverModel.getInfo().mip_dual_bound)
        else:
            return 0
        # The solver's tolerances and the preference for earlier windows come off, so that the bound stays proven.
        safe = reached - 1e-6 * abs(reached) - 1e-3 - self.preference
        return max(int((self.constant + safe) * MICRO), 0)

    def plan(self) -> Plan:
        """Every piece where most of it lies; limits are then restored item by item where rounding broke them."""
        slot, mode = np.empty(len(self.options), dtype=np.int64), np.empty(len(self.options), dtype=np.int64)
        for k, options in enumerate(self.options):
            best = max(options, key=lambda o: (round(o[2].varValue or 0.0, 6) if o[2] is not None else 1.0, -o[0]))
            slot[k], mode[k] = best[0], best[1]
        wished, modes = slot[self.pieces.of_item], mode[self.pieces.of_item]
        placed = place(self.book, wished, self.limits, smallest_first(self.book))
        moved = placed != wished
        modes = np.where(self.book.is_gross, GROSS, np.where(moved, NETTED, modes))
        return Plan(placed, modes)

    def _add_pieces(self) -> None:
        book, pieces, prices = self.book, self.pieces, self.prices
        source, target = book.source[pieces.first_item], book.target[pieces.first_item]
        own_fx = pieces.value_minor * prices.cheapest[source, target] / MICRO
        late_fx = pieces.value_minor * prices.quoted[source, target] / MICRO
        earlier = _EARLIER / (2 * max(len(book), 1))
        gross = book.is_gross[pieces.first_item]
        for k, slots in enumerate(pieces.slots):
            count, can_wait = int(pieces.count[k]), bool(pieces.is_tight[k]) and not self.is_bound
            if gross[k] and not can_wait:
                self.options.append([(slots[0], GROSS, None)])
                self.constant += count * prices.single_minor + own_fx[k]
                continue
            options = []
            self.preference += earlier * count * (slots[-1] - slots[0])
            for slot in slots:
                wait = earlier * count * (slot - slots[0])
                if gross[k]:
                    options.append(self._option(k, slot, GROSS, count * prices.single_minor + own_fx[k]))
                else:
                    options.append(self._option(k, slot, NETTED, wait))
                    options.append(self._option(k, slot, DIRECT, own_fx[k] + wait))
            if can_wait:
                options.append(self._option(k, DEFERRED, DIRECT, count * prices.deferral_minor + late_fx[k]))
            self.options.append(options)
            self._row([(o[2], 1) for o in options], "==", 1)

    def _option(self, piece: int, slot: int, mode: int, cost: float) -> tuple[int, int, Any]:
        name = f"{'xzgu'[3 if slot == DEFERRED else mode]}_{piece}_{max(slot, 0)}"
        share = self._variable(name, is_whole=True, cost=cost)
        item = self.pieces.first_item[piece]
        if slot != DEFERRED and mode == NETTED:
            self.legs[int(self.book.payer[item]), slot].append((piece, share))
            self.legs[int(self.book.payee[item]), slot].append((piece, share))
        elif slot != DEFERRED and mode == DIRECT:
            self.wires[int(self.book.bundle[item]), slot].append((piece, share))
        return slot, mode, share

    def _add_legs(self) -> None:
        for (account, slot), shares in self.legs.items():
            self._opened(f"{account}_{slot}", "y", "s", shares)

    def _add_wires(self) -> None:
        limit = self.prices.batch_limit
        for (bundle, slot), shares in self.wires.items():
            is_open = self._opened(f"{bundle}_{slot}", "g", "h", shares)
            if sum(int(self.pieces.count[k]) for k, _ in shares) > limit and not self._is_divisible(shares):
                more = self._variable(f"m_{bundle}_{slot}", cost=self._wire_price(), is_whole=True, top=None)
                carried = [(x, -int(self.pieces.count[k]) / limit) for k, x in shares]
                self._row([(more, 1), (is_open, 1), *carried], ">=", 0)

    def _opened(self, name: str, letter: str, single: str, shares: list[tuple[int, Any]]) -> Any:
        """A leg or wire that any share opens, and its surcharge while it carries one transaction only."""
        is_open = self._variable(f"{letter}_{name}", is_whole=True, cost=self._wire_price())
        for _, share in shares:
            self._row([(share, 1), (is_open, -1)], "<=", 0)
        divisible = self._is_divisible(shares)
        indivisible_many = len(shares) == 1 and self.pieces.count[shares[0][0]] > 1
        if self.prices.surcharge_minor > 0 and not divisible and not indivisible_many:
            surcharge = self._variable(f"{single}_{name}", cost=self.prices.surcharge_minor)
            carried = [(share, int(self.pieces.count[k])) for k, share in shares]
            self._row([(surcharge, 1), (is_open, -2), *carried], ">=", 0)
        return is_open

    def _is_divisible(self, shares: list[tuple[int, Any]]) -> bool:
        pieces = self.pieces
        return self.is_bound and any(pieces.count[k] > 1 and len(pieces.slots[k]) > 1 for k, _ in shares)

    def _add_conversions(self) -> None:
        """What the pool sells of a currency minus what it buys equals what its payments leave over, in EUR."""
        over: dict[tuple[int, int], list[tuple[Any, float]]] = defaultdict(list)
        for k, options in enumerate(self.options):
            item, value = self.pieces.first_item[k], self.pieces.value_minor[k] / 100_000
            source, target = int(self.book.source[item]), int(self.book.target[item])
            for slot, mode, share in options if source != target else []:
                if mode == NETTED and share is not None:
                    over[slot, source].append((share, value))
                    over[slot, target].append((share, -value))
        quoted = self.prices.quoted
        for slot in sorted({w for w, _ in over}):
            here = range(len(self.book.currencies))
            arcs = {
                (a, b): self._variable(f"f_{a}_{b}_{slot}", cost=float(quoted[a, b]) / 10, top=None)
                for a in here for b in here if a != b
            }  # fmt: skip
            for c in here:
                flows = [(f, -1 if a == c else 1) for (a, b), f in arcs.items() if c in (a, b)]
                self._row([*over.get((slot, c), []), *flows], "==", 0)

    def _add_limits(self) -> None:
        """Rows of the limits that could bind; scaled to 1, a hair inside, so that whole amounts keep them."""
        tight = np.flatnonzero(self.pieces.is_tight)
        cash: dict[int, list[tuple[int, Any, int]]] = defaultdict(list)
        debit: dict[tuple[int, int], list[tuple[Any, int]]] = defaultdict(list)
        for k in tight:
            item = self.pieces.first_item[k]
            for slot, _, share in self.options[k]:
                if slot != DEFERRED:
                    cash[int(self.book.cash_currency[item])].append((slot, share, int(self.pieces.cash_out_minor[k])))
                    debit[int(self.book.route[item]), slot].append((share, int(self.pieces.net_debit_minor[k])))
        for currency, moves in cash.items():
            for slot in sorted({w for w, _, _ in moves}):
                self._limit_row([(x, v) for w, x, v in moves if w <= slot and v], int(self.limits.cash[currency]))
        for (route, _), moves_of_slot in debit.items():
            self._limit_row([(x, v) for x, v in moves_of_slot if v], int(self.limits.debit[route]))

    def _limit_row(self, terms: list[tuple[Any, int]], limit: int) -> None:
        if sum(v for _, v in terms if v > 0) > limit:
            scale = max(limit, 1)
            self._row([(x, v / scale) for x, v in terms], "<=", limit / scale)

    def _wire_price(self) -> float:
        return float(self.prices.shared_minor)

    def _variable(self, name: str, *, cost: float, is_whole: bool = False, top: float | None = 1.0) -> Any:
        variable = self.problem.add_variable(name, 0, top, "Integer" if is_whole else "Continuous")
        if cost:
            self.cost.append((variable, float(cost)))
        return variable

    def _row(self, terms: list[tuple[Any, float]], sense: str, right: float) -> None:
        import pulp

        senses = {"<=": pulp.LpConstraintLE, "==": pulp.LpConstraintEQ, ">=": pulp.LpConstraintGE}
        self.problem += pulp.LpConstraint(pulp.LpAffineExpression(terms), sense=senses[sense], rhs=right)


def _engine(solver: str, seconds: int, whole: bool) -> Any:
    import pulp

    if solver == "HiGHS":
        presolve = {} if whole else {"presolve": "off"}
        return pulp.HiGHS(
            mip=whole, msg=False, threads=1, timeLimit=seconds, gapRel=GAP_WANTED / 10, random_seed=0, **presolve
        )
    if solver == "CBC":
        bundled = pulp.apis.PULP_CBC_CMD.pulp_cbc_path
        return pulp.COIN_CMD(path=bundled, mip=whole, msg=False, threads=1, timeLimit=seconds, gapRel=GAP_WANTED / 10)
    raise pulp.PulpSolverError(f"unknown solver {solver}")


def _solver_errors() -> tuple[type[Exception], ...]:
    """What PuLP and its solvers raise when they fail or lack something; a KeyError is a status PuLP does not know."""
    import pulp

    return (pulp.PulpSolverError, pulp.PulpError, KeyError, OSError, RuntimeError)
