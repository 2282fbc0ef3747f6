"""A linear programme in PuLP: HiGHS in the process, or the CBC that comes with PuLP.

PuLP's pitfalls, met here: expressions are built at once, never summed term by term; a variable listed twice counts
once; after a time limit the status says Optimal too, only `sol_status` tells.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

GAP_WANTED = 1e-6
MOST_NODES = 10_000
_WHOLE = 1e-6  # of a share


class Programme:
    """Variables, rows and costs; `values` are in the variables after `solve`."""

    def __init__(self) -> None:
        import pulp

        self._problem = pulp.LpProblem("settlement", pulp.LpMinimize)
        self._expression, self._constraint = pulp.LpAffineExpression, pulp.LpConstraint
        self._senses = {"<=": pulp.LpConstraintLE, "==": pulp.LpConstraintEQ, ">=": pulp.LpConstraintGE}
        self.cost: dict[Any, float] = defaultdict(float)
        self._whole: list[Any] = []
        self._rows: dict[str, Any] = {}

    @property
    def size(self) -> int:
        return len(self.cost)

    def variable(self, name: str, *, cost: float, is_whole: bool = False, top: float | None = 1.0) -> Any:
        """A variable from 0 to `top`; `is_whole` matters to a whole-number solve only."""
        variable = self._problem.add_variable(name, 0, top, "Integer" if is_whole else "Continuous")
        self.cost[variable] += float(cost)
        if is_whole:
            self._whole.append(variable)
        return variable

    def row(self, terms: Sequence[tuple[Any, float]], sense: str, right: float) -> Any:
        """A row; after a linear solve its `pi` is its price."""
        row = self._constraint(self._expression(dict(terms)), sense=self._senses[sense], rhs=right)
        self._rows[f"r{len(self._rows)}"] = row
        return row

    def keep_decided(self, worth: float) -> None:
        """Whole variables at 0 or 1 in the linear solution stay there, if moving one would cost more than `worth`."""
        for variable in self._whole:
            share = variable.varValue or 0.0
            if abs(variable.dj or 0.0) > worth and abs(share - round(share)) < _WHOLE:
                variable.lowBound = variable.upBound = round(share)

    def solve(
        self, solver: str, seconds: int, *, whole: bool, gap_rate: float = GAP_WANTED, nodes: int = MOST_NODES
    ) -> float | None:
        """Minimise; returns a proven lower bound of the objective, None when the solver tells none.

        A whole-number search that meets its limit of seconds or nodes keeps the best it has. Raises PulpSolverError
        when there is no solution, or no proven optimum of the linear programme.
        """
        import pulp

        if not self.cost:
            return 0.0
        self._problem.setObjective(self._expression(dict(self.cost)))
        self._problem.extend(self._rows)  # at once: PuLP looks through all variables of every row added singly
        self._problem.solve(_engine(solver, seconds, whole, gap_rate, nodes))
        is_proven = self._problem.sol_status == pulp.LpSolutionOptimal
        if self._problem.status != pulp.LpStatusOptimal or not (is_proven or whole):
            raise pulp.PulpSolverError(f"{solver}: {pulp.LpStatus[self._problem.status]}")
        if not whole:
            return float(pulp.value(self._problem.objective))
        return float(self._problem.solverModel.getInfo().mip_dual_bound) if solver == "HiGHS" else None


def _engine(solver: str, seconds: int, whole: bool, gap_rate: float, nodes: int) -> Any:
    import pulp

    if solver == "HiGHS":
        from atlas_lib.batching_settlement.highs import highs_class

        search = {"mip_max_nodes": nodes} if whole else {"presolve": "off"}
        return highs_class()(
            mip=whole, msg=False, threads=1, timeLimit=seconds, gapRel=gap_rate, random_seed=0, **search
        )
    if solver == "CBC":
        bundled = pulp.apis.PULP_CBC_CMD.pulp_cbc_path
        return pulp.COIN_CMD(
            path=bundled, mip=whole, msg=False, threads=1, timeLimit=seconds, gapRel=gap_rate, maxNodes=nodes
        )
    raise pulp.PulpSolverError(f"unknown solver {solver}")


def solver_errors() -> tuple[type[Exception], ...]:
    """What PuLP and its solvers raise when they fail or lack something; a KeyError is a status PuLP does not know."""
    import pulp

    return (pulp.PulpSolverError, pulp.PulpError, ImportError, KeyError, OSError, RuntimeError)
