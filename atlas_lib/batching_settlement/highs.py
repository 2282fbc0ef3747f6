"""PuLP's HiGHS, with the programme handed over in one call instead of one per row and column.

PuLP 3.3 asks HiGHS to take every column and row by itself and lists all variables three times: for a few hundred of
them that takes longer than to solve. The variables, rows and statuses are PuLP's own.
"""

from __future__ import annotations

from typing import Any

import highspy
import numpy as np
import pulp

_FEASIBLE = 2  # HiGHS's code of a solution that keeps every row
_Status = highspy.HighsModelStatus
_STATUS = {
    _Status.kOptimal: (pulp.LpStatusOptimal, pulp.LpSolutionOptimal),
    _Status.kInfeasible: (pulp.LpStatusInfeasible, pulp.LpSolutionInfeasible),
    _Status.kUnboundedOrInfeasible: (pulp.LpStatusInfeasible, pulp.LpSolutionInfeasible),
    _Status.kUnbounded: (pulp.LpStatusUnbounded, pulp.LpSolutionUnbounded),
}
_STOPPED = (_Status.kTimeLimit, _Status.kIterationLimit, _Status.kSolutionLimit, _Status.kInterrupt)


class Highs(pulp.HiGHS):  # type: ignore[misc]
    """As `pulp.HiGHS`; a search stopped with a plan in hand is `LpSolutionIntegerFeasible`, by nodes as by time."""

    def actualSolve(self, lp: Any) -> int:
        self.createAndConfigureSolver(lp)
        columns, rows = lp.variables(), lp.constraints()
        lp.solverModel.passModel(_as_arrays(lp, columns, rows, whole=self.mip))
        self.callSolver(lp)
        _keep_values(lp, columns, rows)
        status = _STATUS.get(lp.solverModel.getModelStatus(), (pulp.LpStatusNotSolved, pulp.LpSolutionNoSolutionFound))
        if lp.solverModel.getModelStatus() in _STOPPED:
            has_plan = lp.solverModel.getInfo().primal_solution_status == _FEASIBLE
            status = (pulp.LpStatusOptimal, pulp.LpSolutionIntegerFeasible) if has_plan else status
        lp.assignStatus(*status)
        return int(lp.status)


def _as_arrays(lp: Any, columns: list[Any], rows: list[Any], *, whole: bool) -> Any:
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
