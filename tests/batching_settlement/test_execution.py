"""Execution: everything planned is settled, deferred with a reason or in flight; nothing is paid twice."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_lib.batching_settlement.execution import execute_batches, settled_before
from atlas_lib.batching_settlement.rails import Answer, Instruction, SimulatedRail
from atlas_lib.core.tables import declared
from atlas_lib.ledger.store import Ledger, open_ledger
from tests.batching_settlement.execution_frames import (
    SETTINGS,
    Crash,
    Unplugged,
    banks,
    check_books,
    execute,
    make_plan,
    outcome,
    small_plan,
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", "settlement", clock_ns=lambda: 1_000_000) as opened:
        yield opened


@pytest.fixture
def plan() -> SimpleNamespace:
    return small_plan()


@pytest.fixture
def counterparties() -> pd.DataFrame:
    return banks()


def test_everything_settles_on_a_rail_without_failures(
    plan: SimpleNamespace, counterparties: pd.DataFrame, ledger: Ledger
) -> None:
    rail = SimulatedRail(1, 0.0)
    tables = execute(plan, counterparties, ledger, rail)
    for name, frame in tables.items():
        declared(name).checked(frame)
    assert set(outcome(tables).values()) == {"settled"}
    assert set(tables["batches"]["status"]) == {"settled"}
    assert tables["deferrals"].empty
    assert tables["settlement_attempts"]["outcome"].tolist() == ["confirmed"] * 6
    assert sorted(rail.paid) == ["I-1", "I-2", "I-3", "I-5", "I-6", "I-7"]
    check_books(ledger, rail, plan)
    balance = ledger.balances().set_index("account")["balance_minor"]
    assert balance.to_dict() == {"assets:bank:EUR": 370, "liabilities:settlement_payable:M-1": -370}


def test_the_events_of_a_batch_come_in_the_order_of_the_design(
    plan: SimpleNamespace, counterparties: pd.DataFrame, ledger: Ledger
) -> None:
    execute(plan, counterparties, ledger, SimulatedRail(1, 0.0))
    assert ledger.events(batch_ids=["D-1"])["event_type"].drop_duplicates().tolist() == [
        "BATCH_CREATED",
        "BATCH_OPTIMIZED",
        "CONSENSUS_SUBMITTED",
        "CONSENSUS_ACHIEVED",
        "SETTLEMENT_INITIATED",
        "SETTLEMENT_CONFIRMED",
    ]
    assert ledger.events(["T-1"])["event_type"].tolist() == ["SETTLEMENT_INITIATED", "SETTLEMENT_CONFIRMED"]
    achieved = ledger.events(batch_ids=["D-1"], event_types=["CONSENSUS_ACHIEVED"])["details"].iloc[0]
    assert ledger.committed(["batch:D-1:0"]) == {"batch:D-1:0": json.loads(achieved)["plan_sha256"]}


def test_a_refund_leaves_the_bank_and_lowers_what_the_merchant_is_owed(
    counterparties: pd.DataFrame, ledger: Ledger
) -> None:
    plan = make_plan([("T-1", "D-1", "REFUND", "I-1", "I-1", 25)], {"I-1": ("MER", "PRO", 25)})
    execute(plan, counterparties, ledger, SimulatedRail(1, 0.0))
    balance = ledger.balances().set_index("account")["balance_minor"]
    assert balance.to_dict() == {"assets:bank:EUR": -25, "liabilities:settlement_payable:M-1": 25}


def test_the_same_plan_again_pays_and_books_nothing(
    plan: SimpleNamespace, counterparties: pd.DataFrame, ledger: Ledger
) -> None:
    rail = SimulatedRail(1, 0.0)
    first = execute(plan, counterparties, ledger, rail)
    head = ledger.head()
    again = execute(plan, counterparties, ledger, SimulatedRail(2, 1.0))
    assert ledger.head() == head
    pd.testing.assert_frame_equal(again["settlement_attempts"], first["settlement_attempts"])
    pd.testing.assert_frame_equal(again["settlement_results"], first["settlement_results"])
    pd.testing.assert_frame_equal(again["batches"], first["batches"])


def test_a_counterparty_that_is_down_is_passed_by_its_alternate(
    plan: SimpleNamespace, counterparties: pd.DataFrame, ledger: Ledger
) -> None:
    rail = SimulatedRail(1, 0.0, down={"BANK-A"})
    tables = execute(plan, counterparties, ledger, rail)
    tried = tables["settlement_attempts"]
    assert tried.loc[
        tried["instruction_id"] == "I-1", ["at_seconds", "counterparty_id", "outcome"]
    ].to_numpy().tolist() == [
        [0, "BANK-A", "unavailable"],
        [5, "BANK-B", "confirmed"],
    ]
    assert set(outcome(tables).values()) == {"settled"}


def test_what_no_route_can_carry_is_voided_and_deferred_with_its_reason(
    plan: SimpleNamespace, counterparties: pd.DataFrame, ledger: Ledger
) -> None:
    waits: list[int] = []
    rail = SimulatedRail(1, 0.0, down={"BANK-A", "BANK-B"})
    tables = execute_batches(
        plan.batches, plan.batch_lines, plan.instructions, plan.settlement_items, plan.deferrals, counterparties,
        ledger, rail, SETTINGS, wait=waits.append,
    )  # fmt: skip
    assert waits == [0, 5, 15, 31]
    assert set(tables["deferrals"]["reason"]) == {"COUNTERPARTY_DOWN"}
    assert tables["deferrals"]["transaction_id"].tolist() == plan.batch_lines["transaction_id"].tolist()
    assert set(tables["batches"]["status"]) == {"failed"}
    assert rail.paid == {}
    assert ledger.trial_balance().empty
    assert settled_before(ledger, plan.batch_lines["transaction_id"]).empty
    better = SimulatedRail(1, 0.0)
    assert set(outcome(execute(plan, counterparties, ledger, better)).values()) == {"settled"}
    check_books(ledger, better, plan)


class Stubborn(SimulatedRail):
    """Refuses some payments until told otherwise."""

    def __init__(self, refused: set[str], answer: str = "refused") -> None:
        super().__init__(1, 0.0)
        self.refused, self.answer = refused, answer

    def send(self, instruction: Instruction, idempotency_key: str) -> Answer:
        if idempotency_key in self.refused:
            return Answer(self.answer, "not today")  # type: ignore[arg-type]
        return super().send(instruction, idempotency_key)


def test_the_pool_pays_nobody_before_it_has_collected(
    plan: SimpleNamespace, counterparties: pd.DataFrame, ledger: Ledger
) -> None:
    rail = Stubborn({"I-6"})
    tables = execute(plan, counterparties, ledger, rail)
    assert "I-7" not in rail.paid
    found = outcome(tables)
    assert (found["T-5"], found["T-6"]) == ("in_flight", "in_flight")
    assert tables["deferrals"]["reason"].tolist() == ["RAIL_FAILURE"] * 2
    assert "1 of 3 payments made; I-6: not today after 4 attempts" in tables["deferrals"]["detail"].iloc[0]
    assert dict(zip(tables["batches"]["batch_id"], tables["batches"]["status"], strict=True))["N-1"] == "deferred"


def test_what_is_in_flight_is_finished_by_the_next_run_whatever_it_plans(
    plan: SimpleNamespace, counterparties: pd.DataFrame, ledger: Ledger
) -> None:
    rail = Stubborn({"I-6"})
    execute(plan, counterparties, ledger, rail)
    held = settled_before(ledger, ["T-5", "T-6", "T-1"])
    assert held[["transaction_id", "batch_id", "status"]].to_numpy().tolist() == [
        ["T-1", "D-1", "settled"],
        ["T-5", "N-1", "in_flight"],
        ["T-6", "N-1", "in_flight"],
    ]
    rail.refused = set()
    nothing = {name: declared(name).empty() for name in ("batches", "batch_lines", "instructions")}
    other_plan = SimpleNamespace(**(vars(plan) | nothing))
    tables = execute(other_plan, counterparties, ledger, rail)
    assert set(outcome(tables).values()) == {"settled"}
    tried = tables["settlement_attempts"].groupby("instruction_id")["outcome"].agg(list).to_dict()
    assert tried == {"I-5": ["confirmed"], "I-6": ["refused"] * 4 + ["confirmed"], "I-7": ["confirmed"]}
    check_books(ledger, rail, plan)


def test_a_payment_whose_answer_was_lost_is_asked_about_and_not_sent_again(
    plan: SimpleNamespace, counterparties: pd.DataFrame, ledger: Ledger
) -> None:
    class Silent(SimulatedRail):
        sends = 0

        def send(self, instruction: Instruction, idempotency_key: str) -> Answer:
            super().send(instruction, idempotency_key)
            self.sends += 1
            return Answer("timeout", "no answer")

    rail = Silent(1, 0.0)
    tables = execute(plan, counterparties, ledger, rail)
    assert rail.sends == 6
    assert set(outcome(tables).values()) == {"settled"}
    assert tables["settlement_attempts"]["outcome"].tolist() == ["timeout", "confirmed"] * 6


def test_an_outcome_that_stays_unknown_is_neither_settled_nor_given_up(
    plan: SimpleNamespace, counterparties: pd.DataFrame, ledger: Ledger
) -> None:
    class Dead(SimulatedRail):
        def send(self, instruction: Instruction, idempotency_key: str) -> Answer:
            super().send(instruction, idempotency_key)
            return Answer("timeout", "no answer")

        def query(self, idempotency_key: str) -> Answer:
            return Answer("timeout", f"no answer about {idempotency_key}")

    dead = Dead(1, 0.0)
    assert set(outcome(execute(plan, counterparties, ledger, dead)).values()) == {"in_flight"}
    alive = SimulatedRail(1, 0.0)
    alive.paid = dead.paid
    tables = execute(plan, counterparties, ledger, alive)
    assert set(outcome(tables).values()) == {"settled"}
    asked = tables["settlement_attempts"].query("instruction_id == 'I-1'")["detail"]
    assert asked.tolist() == ["no answer", *["asked: no answer about I-1"] * 4, "asked: paid"]


def test_another_plan_for_what_is_committed_may_not_start(
    plan: SimpleNamespace, counterparties: pd.DataFrame, ledger: Ledger
) -> None:
    execute(plan, counterparties, ledger, Stubborn({"I-6"}))
    other = make_plan(
        [("T-5", "D-9", "SALE", "I-9", "I-9", 30), ("T-8", "D-9", "SALE", "I-9", "I-9", 20), ("T-9", "D-9", "SALE", "I-8", "I-8", 5)],
        {"I-9": ("PRO-5", "MER", 50), "I-8": ("PRO-9", "MER", 5)},
    )  # fmt: skip
    rail = SimulatedRail(1, 0.0)
    rail.paid["I-5"] = Instruction("I-5", "BANK-A", "PRO-T-5", "NETTING-POOL", 30, "EUR", "2026-10-30")
    tables = execute(other, counterparties, ledger, rail)
    assert outcome(tables) == {"T-5": "settled", "T-8": "superseded", "T-9": "settled"}
    assert "I-9" not in rail.paid
    assert tables["deferrals"][["transaction_id", "reason"]].to_numpy().tolist() == [["T-8", "COMMITTED_ELSEWHERE"]]
    assert tables["batches"]["status"].tolist() == ["partial"]


def test_a_plan_made_before_a_batch_was_settled_does_not_pay_it_again_under_the_same_name(
    counterparties: pd.DataFrame, ledger: Ledger
) -> None:
    """Batch N-1 is in both plans; what the pool pays the merchant in the second also holds the lines of N-2."""
    settled = [("T-1", "N-1", "SALE", "I-1", "I-8", 100), ("T-2", "N-1", "SALE", "I-2", "I-8", 50)]
    collected = {"I-1": ("PRO-T-1", "NETTING-POOL", 100), "I-2": ("PRO-T-2", "NETTING-POOL", 50)}
    first = make_plan(settled, collected | {"I-8": ("NETTING-POOL", "MER", 150)})
    wider = make_plan(
        [*((*line[:4], "I-9", line[5]) for line in settled), ("T-3", "N-2", "SALE", "I-3", "I-9", 30)],
        collected | {"I-3": ("PRO-T-3", "NETTING-POOL", 30), "I-9": ("NETTING-POOL", "MER", 180)},
    )
    rail = SimulatedRail(1, 0.0)
    execute(first, counterparties, ledger, rail)
    tables = execute(wider, counterparties, ledger, rail)
    assert outcome(tables) == {"T-1": "settled", "T-2": "settled", "T-3": "superseded"}
    assert tables["deferrals"][["transaction_id", "reason"]].to_numpy().tolist() == [["T-3", "COMMITTED_ELSEWHERE"]]
    assert sorted(rail.paid) == ["I-1", "I-2", "I-8"]
    assert ledger.balances().set_index("account")["balance_minor"]["assets:bank:EUR"] == 150


def test_a_second_process_that_carries_out_the_same_plan_meanwhile_changes_nothing(
    plan: SimpleNamespace, counterparties: pd.DataFrame, ledger: Ledger, tmp_path: Path
) -> None:
    class Overtaken(SimulatedRail):
        """Before its first payment, the other process does everything."""

        is_overtaken = False

        def send(self, instruction: Instruction, idempotency_key: str) -> Answer:
            if not self.is_overtaken:
                self.is_overtaken = True
                with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", "settlement") as other:
                    assert set(outcome(execute(plan, counterparties, other, self)).values()) == {"settled"}
            return super().send(instruction, idempotency_key)

    rail = Overtaken(1, 0.0)
    assert set(outcome(execute(plan, counterparties, ledger, rail)).values()) == {"settled"}
    assert len(ledger.events(event_types=["SETTLEMENT_INITIATED"])) == 6
    assert len(rail.paid) == 6
    check_books(ledger, rail, plan)


def test_netted_transactions_that_cancel_out_need_no_payment(counterparties: pd.DataFrame, ledger: Ledger) -> None:
    plan = make_plan([("T-1", "N-1", "SALE", "", "", 10), ("T-2", "N-1", "REFUND", "", "", 10)], {})
    tables = execute(plan, counterparties, ledger, SimulatedRail(1, 1.0))
    assert set(outcome(tables).values()) == {"settled"}


def test_an_empty_plan_is_no_work(counterparties: pd.DataFrame, ledger: Ledger) -> None:
    names = ("batches", "batch_lines", "instructions", "settlement_items", "deferrals")
    empty = SimpleNamespace(**{name: declared(name).empty() for name in names})
    tables = execute(empty, counterparties, ledger, SimulatedRail(1, 0.0))
    assert all(frame.empty for frame in tables.values())
    assert ledger.head().entries == 0


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_anywhere_is_survived_by_the_same_call(
    plan: SimpleNamespace, counterparties: pd.DataFrame, tmp_path: Path, after: bool
) -> None:
    """The process ends at its n-th write, commit or rail call, for every n, until a run gets through untouched."""
    crashes = 0
    while True:
        rail = SimulatedRail(3, 0.2)
        with open_ledger(f"sqlite:///{tmp_path / f'{crashes}.sqlite'}", "settlement") as ledger:
            fuse = iter(range(crashes, -1000, -1))
            broken = Unplugged(ledger, {"append", "commit_once"}, fuse, after)
            try:
                execute(plan, counterparties, broken, Unplugged(rail, {"send", "query"}, fuse, after))
                break
            except Crash:
                crashes += 1
            check_books(ledger, rail, plan)
            tables = execute(plan, counterparties, ledger, rail)
            assert set(outcome(tables).values()) == {"settled"}, crashes
            confirmed = ledger.events(event_types=["SETTLEMENT_CONFIRMED"])
            assert sorted(confirmed.loc[confirmed["transaction_id"] != "", "transaction_id"]) == [
                f"T-{i}" for i in range(1, 7)
            ]
            check_books(ledger, rail, plan)
    assert crashes >= 13


@given(
    seed=st.integers(0, 10_000),
    failure_rate=st.sampled_from([0.1, 0.5, 0.8]),
    deaths=st.lists(st.tuples(st.integers(0, 25), st.booleans()), max_size=3),
)
@settings(max_examples=12)
def test_whatever_fails_nothing_is_lost_and_nothing_is_paid_twice(
    tmp_path_factory: pytest.TempPathFactory, seed: int, failure_rate: float, deaths: list[tuple[int, bool]]
) -> None:
    plan = small_plan()
    rail = SimulatedRail(seed, failure_rate)
    path = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    with open_ledger(f"sqlite:///{path}", "settlement") as ledger:
        for death, after in deaths:
            fuse = iter(range(death, -1000, -1))
            broken = Unplugged(ledger, {"append", "commit_once"}, fuse, after)
            with contextlib.suppress(Crash):
                execute(plan, banks(), broken, Unplugged(rail, {"send", "query"}, fuse, after))
            check_books(ledger, rail, plan)
        tables = execute(plan, banks(), ledger, rail)
        found = outcome(tables)
        assert sorted(found) == plan.batch_lines["transaction_id"].tolist()
        unsettled = {t for t, status in found.items() if status != "settled"}
        assert set(tables["deferrals"]["transaction_id"]) == unsettled
        check_books(ledger, rail, plan)
