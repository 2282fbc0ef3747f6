"""PuLP's HiGHS, with the programme handed over in one call instead of one per row and column.

PuLP 3.3 asks HiGHS to take every column and row by itself and lists all variables three times: for a few hundred of
them that takes longer than to solve. The variables, rows and statuses are PuLP's own.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

_FEASIBLE = 2  # HiGHS's code of a solution that keeps every row


@cache
def highs_class() -> Any:
    """`pulp.HiGHS`, solving as above."""
    import pulp

    class Highs(pulp.HiGHS):  # type: ignore[misc]
        def actualSolve(self, lp: Any) -> int:
            columns, rows = lp.variables(), lp.constraints()
            model = _as_arrays(lp, columns, rows, whole=self.mip)  # first, as it says so if there is no highspy
            self.createAndConfigureSolver(lp)
            lp.solverModel.passModel(model)
            self.callSolver(lp)
            _keep_values(lp, columns, rows)
            lp.assignStatus(*_status_of(lp.solverModel))
            return int(lp.status)

    return Highs


def _status_of(model: Any) -> tuple[int, int]:
    """A search stopped with a plan in hand is `LpSolutionIntegerFeasible`, by nodes as by time."""
    import highspy
    import pulp

    status, told = model.getModelStatus(), highspy.HighsModelStatus
    was_stopped = status in (told.kTimeLimit, told.kIterationLimit, told.kSolutionLimit, told.kInterrupt)
    if was_stopped and model.getInfo().primal_solution_status == _FEASIBLE:
        return pulp.LpStatusOptimal, pulp.LpSolutionIntegerFeasible
    known = {
        told.kOptimal: (pulp.LpStatusOptimal, pulp.LpSolutionOptimal),
        told.kInfeasible: (pulp.LpStatusInfeasible, pulp.LpSolutionInfeasible),
        told.kUnboundedOrInfeasible: (pulp.LpStatusInfeasible, pulp.LpSolutionInfeasible),
        told.kUnbounded: (pulp.LpStatusUnbounded, pulp.LpSolutionUnbounded),
    }
    return known.get(status, (pulp.LpStatusNotSolved, pulp.LpSolutionNoSolutionFound))


def _as_arrays(lp: Any, columns: list[Any], rows: list[Any], *, whole: bool) -> Any:
    import highspy
    import pulp

    place = {variable: i for i, variable in enumerate(columns)}
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(columns), len(rows)
    model.col_cost_ = np.array([lp.objective.get(v, 0.0) for v in columns])
    model.col_lower_ = np.array([v.lowBound for v in columns], dtype=float)
    model.col_upper_ = np.array([highspy.kHighsInf if v.upBound is None else v.upBound for v in columns], dtype=float)
    bounds = [(row.getLb(), row.getUb()) for row in rows]
    model.row_lower_ = np.array([-highspy.kHighsInf if low is None else low for low, _ in bounds], dtype=float)
    model.row_upper_ = np.array([highspy.kHighsInf if high is None else high for _, high in bounds], dtype=float)
    matrix = model.a_matrix_
    matrix.format_ = highspy.MatrixFormat.kRowwise
    matrix.num_col_, matrix.num_row_ = len(columns), len(rows)
    matrix.start_ = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int32)]).astype(np.int32)
    matrix.index_ = np.array([place[v] for row in rows for v in row.keys()], dtype=np.int32)  # noqa: SIM118 - not a dict
    matrix.value_ = np.array([c for row in rows for c in row.values()], dtype=float)
    if whole:
        kinds = highspy.HighsVarType
        model.integrality_ = [kinds.kInteger if v.cat == pulp.LpInteger else kinds.kContinuous for v in columns]
    return model


def _keep_values(lp: Any, columns: list[Any], rows: list[Any]) -> None:
    found = lp.solverModel.getSolution()
    for variable, value, reduced in zip(columns, list(found.col_value), list(found.col_dual), strict=True):
        variable.varValue, variable.dj = value, reduced
    for row, price in zip(rows, list(found.row_dual), strict=True):
        row.pi = price
