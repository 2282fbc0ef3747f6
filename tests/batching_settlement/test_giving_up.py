"""A payment is given up only when it can never be made: late messages, two operators, half a group in the input."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from atlas_lib.batching_settlement.rails import Answer, Instruction, SimulatedRail
from atlas_lib.core.tables import declared
from atlas_lib.ledger.store import Ledger, open_ledger
from tests.batching_settlement.execution_frames import banks, check_books, execute, make_plan, outcome, small_plan


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", "settlement") as opened:
        yield opened


def one_wire() -> SimpleNamespace:
    return make_plan([("T-1", "D-1", "SALE", "I-1", "I-1", 100)], {"I-1": ("PRO-1", "MER", 100)})


class SlowRail(SimulatedRail):
    """A message may be under way for long: it is answered by silence, and `arrive` delivers it later."""

    def __init__(self) -> None:
        super().__init__(1, 0.0)
        self.is_slow, self.under_way = True, list[tuple[Instruction, str]]()

    def send(self, instruction: Instruction, idempotency_key: str) -> Answer:
        if not self.is_slow:
            return super().send(instruction, idempotency_key)
        self.under_way.append((instruction, idempotency_key))
        return Answer("timeout", "no answer")

    def arrive(self) -> list[str]:
        return [super(SlowRail, self).send(*message).outcome for message in self.under_way]


def test_a_message_that_arrives_after_it_was_given_up_pays_nothing_and_the_next_plan_pays_once(ledger: Ledger) -> None:
    rail = SlowRail()
    assert outcome(execute(one_wire(), banks(), ledger, rail)) == {"T-1": "failed"}
    assert rail.cancelled == {"I-1"}
    assert set(rail.arrive()) == {"cancelled"}
    rail.is_slow = False
    assert outcome(execute(one_wire(), banks(), ledger, rail)) == {"T-1": "settled"}
    assert list(rail.paid) == ["I-1.1"]
    assert set(rail.arrive()) == {"cancelled"}
    check_books(ledger, rail, one_wire())


def test_what_cannot_be_cancelled_is_not_given_up(ledger: Ledger) -> None:
    class NoAnswer(SlowRail):
        def cancel(self, idempotency_key: str) -> Answer:
            return Answer("timeout", f"no answer about {idempotency_key}")

    rail = NoAnswer()
    tables = execute(one_wire(), banks(), ledger, rail)
    assert outcome(tables) == {"T-1": "in_flight"}
    rail.arrive()
    assert outcome(execute(one_wire(), banks(), ledger, rail)) == {"T-1": "settled"}
    assert list(rail.paid) == ["I-1"]
    check_books(ledger, rail, one_wire())


def test_an_operator_whose_attempt_comes_after_another_gave_up_pays_nothing(ledger: Ledger, tmp_path: Path) -> None:
    class Overtaken(SimulatedRail):
        """Just before this operator's payment, another finds the bank down and gives the same payment up."""

        is_overtaken = False

        def send(self, instruction: Instruction, idempotency_key: str) -> Answer:
            if not self.is_overtaken:
                self.is_overtaken = True
                self._down = frozenset({"BANK-A", "BANK-B"})
                with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", "settlement") as other:
                    assert outcome(execute(one_wire(), banks(), other, self)) == {"T-1": "failed"}
                self._down = frozenset()
            return super().send(instruction, idempotency_key)

    rail = Overtaken(1, 0.0)
    assert outcome(execute(one_wire(), banks(), ledger, rail)) == {"T-1": "failed"}
    assert rail.paid == {}
    assert ledger.trial_balance().empty
    assert outcome(execute(one_wire(), banks(), ledger, rail)) == {"T-1": "settled"}
    check_books(ledger, rail, one_wire())


def test_a_group_cancelled_in_part_goes_on_under_the_next_key(ledger: Ledger) -> None:
    class Betrayed(SimulatedRail):
        """Refuses every payment of the group, and then turns out to have paid the second."""

        is_refusing = True

        def send(self, instruction: Instruction, idempotency_key: str) -> Answer:
            if self.is_refusing and idempotency_key == "I-6":
                super().send(instruction, idempotency_key)
            return Answer("refused", "no") if self.is_refusing else super().send(instruction, idempotency_key)

    plan = make_plan(
        [("T-5", "N-1", "SALE", "I-5", "I-7", 30), ("T-6", "N-1", "SALE", "I-6", "I-7", 40)],
        {
            "I-5": ("PRO-5", "NETTING-POOL", 30),
            "I-6": ("PRO-6", "NETTING-POOL", 40),
            "I-7": ("NETTING-POOL", "MER", 70),
        },
    )
    rail = Betrayed(1, 0.0)
    assert set(outcome(execute(plan, banks(), ledger, rail)).values()) == {"in_flight"}
    assert rail.cancelled == {"I-5"}
    rail.is_refusing = False
    assert set(outcome(execute(plan, banks(), ledger, rail)).values()) == {"settled"}
    assert sorted(rail.paid) == ["I-5.1", "I-6", "I-7"]
    check_books(ledger, rail, plan)


def test_half_a_group_in_the_input_does_not_tear_it_apart(ledger: Ledger) -> None:
    plan, nothing_goes = small_plan(), SimulatedRail(1, 0.0)
    nothing_goes.cancel = lambda key: Answer("timeout", f"no answer about {key}")  # type: ignore[method-assign]
    nothing_goes._down = frozenset({"BANK-A", "BANK-B"})
    assert outcome(execute(plan, banks(), ledger, nothing_goes))["T-5"] == "in_flight"
    items = plan.settlement_items[plan.settlement_items["transaction_id"] == "T-5"]
    empty = {name: declared(name).empty() for name in ("batches", "batch_lines", "instructions")}
    rail = SimulatedRail(1, 0.0, down={"BANK-A", "BANK-B"})
    tables = execute(SimpleNamespace(**(vars(plan) | empty | {"settlement_items": items})), banks(), ledger, rail)
    assert outcome(tables) == {"T-5": "failed"}
    claims = ledger.claims(["T-5", "T-6", "T-1"])
    assert dict(zip(claims["transaction_id"], claims["status"], strict=True)) == {
        "T-5": "voided", "T-6": "voided", "T-1": "in_flight",
    }  # fmt: skip


def test_attempts_are_in_the_ledger_when_the_process_ends_before_the_table_is_written(ledger: Ledger) -> None:
    rail = SimulatedRail(3, 0.5)
    first = execute(small_plan(), banks(), ledger, rail)["settlement_attempts"]
    again = execute(small_plan(), banks(), ledger, SimulatedRail(3, 0.5))["settlement_attempts"]
    known = again.merge(first, how="inner")
    assert len(known) == len(first) > 6
    pd.testing.assert_frame_equal(known, first, check_dtype=False)


def test_a_shortfall_is_deferred_with_its_reason(ledger: Ledger) -> None:
    class Poor(SimulatedRail):
        def send(self, instruction: Instruction, idempotency_key: str) -> Answer:
            return Answer("shortfall", f"{instruction.payer_account} cannot pay {idempotency_key}")

    tables = execute(one_wire(), banks(), ledger, Poor(1, 0.0))
    assert tables["deferrals"][["reason", "next_window"]].to_numpy().tolist() == [["LIQUIDITY_SHORTFALL", "T1"]]
