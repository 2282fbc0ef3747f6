"""Settlement over a ledger on a real server: its crashes, the operator's, and two operators at once."""

from __future__ import annotations

import itertools
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from atlas_lib.batching_settlement.rails import SimulatedRail
from atlas_lib.ledger.store import open_ledger
from tests.batching_settlement.execution_frames import (
    Crash,
    Unplugged,
    banks,
    check_books,
    execute,
    outcome,
    small_plan,
)

SETTLED = {f"T-{n}": "settled" for n in range(1, 7)}


class Restarting:
    """A ledger whose server crashes and comes back before its n-th call."""

    def __init__(self, inner: Any, server: Any, calls: Iterator[int]) -> None:
        self._inner, self._server, self._calls = inner, server, calls

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in {"append", "commit_once", "claims", "events"}:
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            if next(self._calls) == 0 and not self._inner._db._is_inside:
                self._server.stop(signal.SIGQUIT)
                self._server.start()
            return found(*args, **kwargs)

        return call


def test_a_plan_is_settled_once_whatever_fails_on_the_rail(postgres: Any) -> None:
    plan, rail = small_plan(), SimulatedRail(3, 0.3)
    with open_ledger(postgres.new_schema(), "settlement") as ledger:
        tables = execute(plan, banks(), ledger, rail)
        check_books(ledger, rail, plan)
        rail._failure_rate = 0.0
        again = execute(plan, banks(), ledger, rail)
        check_books(ledger, rail, plan)
        assert outcome(tables).keys() == outcome(again).keys() == SETTLED.keys()


@pytest.mark.parametrize("call", [1, 4, 7])
def test_a_server_that_crashes_in_the_middle_of_a_run_loses_and_repeats_nothing(postgres: Any, call: int) -> None:
    plan, rail = small_plan(), SimulatedRail(1, 0.0)
    with open_ledger(postgres.new_schema(), "settlement") as ledger:
        calls = iter(itertools.chain(range(call, -1, -1), itertools.repeat(1)))
        tables = execute(plan, banks(), Restarting(ledger, postgres, calls), rail)
        assert outcome(tables) == SETTLED
        assert next(calls) == 1, "the run was over before the crash"
        check_books(ledger, rail, plan)


@pytest.mark.parametrize("after", [False, True])
def test_an_operator_who_dies_at_any_write_or_call_is_followed_by_one_who_ends_the_work(
    postgres: Any, after: bool
) -> None:
    for fuse in range(0, 12, 3):
        plan, rail, counter = small_plan(), SimulatedRail(1, 0.0), iter(range(fuse, -1000, -1))
        url = postgres.new_schema()
        with open_ledger(url, "settlement") as ledger, pytest.raises(Crash):
            methods = {"append", "commit_once", "send"}
            execute(plan, banks(), Unplugged(ledger, methods, counter, after), Unplugged(rail, methods, counter, after))
        with open_ledger(url, "settlement") as ledger:
            assert outcome(execute(plan, banks(), ledger, rail)) == SETTLED
            check_books(ledger, rail, plan)


def test_two_operators_at_once_pay_once(postgres: Any) -> None:
    url, plan, rail = postgres.new_schema(), small_plan(), SimulatedRail(1, 0.0)
    open_ledger(url, "settlement").close()
    start, failed = threading.Barrier(2), list[BaseException]()

    def work() -> None:
        try:
            with open_ledger(url, "settlement") as ledger:
                start.wait(30)
                execute(plan, banks(), ledger, rail)
        except Exception as error:
            failed.append(error)

    operators = [threading.Thread(target=work) for _ in range(2)]
    for operator in operators:
        operator.start()
    for operator in operators:
        operator.join(120)
    with open_ledger(url, "settlement") as ledger:
        assert outcome(execute(plan, banks(), ledger, rail)) == SETTLED
        check_books(ledger, rail, plan)
    assert all("settled already" in str(error) for error in failed), failed
