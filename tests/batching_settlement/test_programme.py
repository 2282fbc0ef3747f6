from pathlib import Path

import pulp
import pytest

from atlas_lib.batching_settlement.batching import plan_settlement
from atlas_lib.batching_settlement.bound import Multipliers
from atlas_lib.batching_settlement.controls import summarise_stage
from atlas_lib.batching_settlement.costs import price_plan
from atlas_lib.batching_settlement.limits import is_within
from atlas_lib.batching_settlement.programme import Programme
from atlas_lib.batching_settlement.relaxation import Relaxation
from atlas_lib.batching_settlement.solving import Solution, solve_book
from atlas_lib.core.tables import declared
from tests.batching_settlement.planning_frames import (
    counterparties,
    fx_rates,
    items_of,
    liquidity,
    planned,
    settings,
    transactions,
)

ROWS = [
    {"payer": a, "payee": b, "amount_minor": 900 + i, "settlement_window": w, "destination_currency": d}
    for i, (a, b, w, d) in enumerate(
        [("A", "B", "T2", None), ("B", "C", "T0", "USD"), ("C", "A", "T1", None), ("A", "D", "T2", "USD"), ("D", "E", "T0", None)]
    )
]  # fmt: skip


def cbc_that(runs: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CBC process replaced by a shell script, so that a real process fails in a real way."""
    script = folder / "cbc"
    script.write_text(f"#!/bin/sh\n{runs}\n")
    script.chmod(0o755)
    monkeypatch.setattr(pulp.apis.PULP_CBC_CMD, "pulp_cbc_path", str(script))


def solved(*solvers: str, seconds: int = 20) -> Solution:
    book, limits, prices = planned(items_of(transactions(*ROWS)), settings(), liquidity(EUR=1_000))
    solution = solve_book(book, limits, prices, seconds=seconds, solvers=solvers)
    assert is_within(book, solution.plan.slot, limits)
    assert price_plan(book, solution.plan, prices) == solution.cost
    assert solution.bound_micro <= solution.cost.total_micro
    return solution


@pytest.mark.parametrize("solver", ["HiGHS", "CBC"])
def test_a_programme_without_a_solution_is_an_error(solver: str) -> None:
    programme = Programme()
    x = programme.variable("x", cost=1.0)
    programme.row([(x, 1.0)], ">=", 2.0)
    with pytest.raises(pulp.PulpSolverError, match="Infeasible"):
        programme.solve(solver, 20, whole=False)


@pytest.mark.parametrize("solver", ["HiGHS", "CBC"])
def test_a_programme_without_a_least_cost_is_an_error(solver: str) -> None:
    programme = Programme()
    programme.variable("x", cost=-1.0, top=None)
    y = programme.variable("y", cost=1.0)
    programme.row([(y, 1.0)], "<=", 1.0)
    with pytest.raises(pulp.PulpSolverError, match=r"Unbounded|Infeasible|Undefined"):
        programme.solve(solver, 20, whole=False)


def test_a_linear_programme_out_of_time_is_an_error_though_its_status_says_optimal() -> None:
    programme = Programme()
    shares = [programme.variable(f"x_{i}", cost=-float(i % 7 + 1)) for i in range(400)]
    for i in range(400):
        programme.row([(shares[i], 1.0), (shares[(i * 7 + 3) % 400], 2.0), (shares[(i * 3 + 1) % 400], 1.5)], "<=", 1.7)
    with pytest.raises(pulp.PulpSolverError, match="Optimal"):
        programme.solve("HiGHS", 0, whole=False)


def test_a_killed_solver_is_followed_by_the_next_and_at_last_by_the_best_plan_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cbc_that("kill -9 $$", tmp_path, monkeypatch)
    assert solved("CBC", "HiGHS").solver.startswith("HiGHS")
    alone = solved("CBC")
    assert alone.is_fallback
    assert alone.solver.startswith("no solver answered: ")


@pytest.mark.parametrize("says", ["Infeasible", "Stopped on time", "Unbounded", "Something new"])
def test_a_solver_that_answers_another_status_is_not_believed(
    says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = f'for last; do true; done; echo "{says} - objective value 1.0" > "$last"'
    cbc_that(writes, tmp_path, monkeypatch)
    assert solved("CBC").is_fallback


def test_a_solver_that_claims_an_optimum_it_has_not_found_cannot_make_a_bad_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cbc_that('for last; do true; done; echo "Optimal - objective value 0.0" > "$last"', tmp_path, monkeypatch)
    honest, false = solved("HiGHS"), solved("CBC")
    assert false.bound_micro <= honest.cost.total_micro <= false.cost.total_micro


def test_a_later_round_that_fails_leaves_what_the_first_one_found(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = []

    def answers_once(self: Relaxation, solver: str, seconds: int) -> Multipliers:
        if answered:
            raise pulp.PulpSolverError("out of time")
        answered.append(solver)
        return first(self, solver, seconds)

    first = Relaxation.solve
    monkeypatch.setattr(Relaxation, "solve", answers_once)
    monkeypatch.setattr("atlas_lib.batching_settlement.solving._LITTLE_MISSED", -1.0)
    solution = solved("HiGHS")
    assert not solution.is_fallback
    assert solution.bound_micro > 0


def test_no_time_at_all_gives_the_best_plan_without_a_solver() -> None:
    solution = solved(seconds=0)
    assert solution.is_fallback


def test_a_fallback_is_said_in_the_verdict_and_in_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atlas_lib.batching_settlement.batching.SOLVERS", ("no such solver",))
    items = items_of(transactions(*ROWS))
    made = plan_settlement(items, counterparties(), liquidity(), fx_rates(), settings())
    best = made["cost_comparison"].set_index("plan").loc["optimised"]
    assert best["is_fallback"]
    assert (best["lower_bound_minor"], best["gap_rate"]) == (0, 1.0)
    results, controls = (declared(n).empty() for n in ("settlement_results", "settlement_controls"))
    summary = summarise_stage(items, made["cost_comparison"], results, made["deferrals"], controls)
    assert summary.status == "attention"
    assert "NO SOLVER ANSWERED: no solver answered" in summary.verdict
