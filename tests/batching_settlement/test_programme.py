from pathlib import Path
from typing import Any

import numpy as np
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


def hard_cover() -> tuple[Programme, list[Any], list[tuple[list[tuple[Any, float]], float]]]:
    """Sixty pieces under eight covers at once: no solver decides it without branching."""
    draw, programme = np.random.default_rng(3), Programme()
    pieces = [programme.variable(f"x_{i}", cost=float(draw.integers(20, 99)), is_whole=True) for i in range(60)]
    rows = []
    for _ in range(8):
        terms = [(x, float(draw.integers(20, 99))) for x in pieces]
        rows.append((terms, sum(weight for _, weight in terms) // 2 + 1))
        programme.row(rows[-1][0], ">=", rows[-1][1])
    return programme, pieces, rows


@pytest.mark.parametrize("solver", ["HiGHS", "CBC"])
def test_a_search_out_of_nodes_keeps_the_best_it_has(solver: str) -> None:
    programme, pieces, rows = hard_cover()
    bound = programme.solve(solver, 20, whole=True, nodes=1)
    chosen = {x: round(x.varValue) for x in pieces}
    assert all(abs(x.varValue - chosen[x]) < 1e-6 for x in pieces)
    assert all(sum(weight * chosen[x] for x, weight in terms) >= least - 1e-6 for terms, least in rows)
    cost = sum(programme.cost[x] * chosen[x] for x in pieces)
    # One node does not prove it: HiGHS says how far its bound has come, CBC says nothing.
    assert bound is None if solver == "CBC" else 0 < bound < cost - 1


def test_a_linear_programme_knows_no_node_limit() -> None:
    programme, pieces, _ = hard_cover()
    assert programme.solve("HiGHS", 20, whole=False, nodes=1) is not None
    assert any(1e-6 < x.varValue < 1 - 1e-6 for x in pieces)


def test_only_what_is_dear_to_change_stays_decided() -> None:
    # The cover takes 1 of the cheap piece and half of the next; the dear one stays out, at 6 more than it is worth.
    programme = Programme()
    cheap, even, dear = (programme.variable(n, cost=c, is_whole=True) for n, c in (("a", 1.0), ("b", 4.0), ("c", 10.0)))
    programme.row([(cheap, 1.0), (even, 1.0), (dear, 1.0)], ">=", 1.5)
    programme.solve("HiGHS", 20, whole=False)
    assert [cheap.varValue, even.varValue, dear.varValue] == [1.0, 0.5, 0.0]
    programme.keep_decided(4.0)
    assert [(x.lowBound, x.upBound) for x in (cheap, even, dear)] == [(0, 1), (0, 1), (0, 0)]


def test_the_node_limit_of_the_settings_reaches_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def told(self: Programme, *limits: Any, **more: Any) -> float | None:
        asked.append(more)
        return first(self, *limits, **more)

    first = Programme.solve
    monkeypatch.setattr(Programme, "solve", told)
    plan = settings(solver_nodes=7, solver_gap_rate=0)
    made = plan_settlement(items_of(transactions(*ROWS)), counterparties(), liquidity(EUR=1_000), fx_rates(), plan)
    assert len(made["cost_comparison"])
    assert {more["nodes"] for more in asked if more["whole"]} == {7}


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
