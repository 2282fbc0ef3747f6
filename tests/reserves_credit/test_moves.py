"""A contract paid to one merchant that comes under another: who may decide, and what the decision does."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from atlas_lib.cli import app
from atlas_lib.core.errors import Refused
from atlas_lib.core.run import Run
from atlas_lib.reserves_credit.decisions import move_actions
from atlas_lib.reserves_credit.orders import PaymentFolder
from atlas_lib.reserves_credit.purchases import book_contracts
from tests.reserves_credit import test_positions
from tests.reserves_credit.reserves_credit_frames import contracts, merchants, settings
from tests.reserves_credit.test_positions import Runs, line

_IBAN = "DE89370400440532013000"


class MovedRuns(Runs):
    """Runs that book what they buy, over two merchants with an account."""

    def make(self, *lines: dict[str, Any]) -> dict[str, pd.DataFrame]:
        book_contracts(contracts(*lines), self.ledger, settings(**self.values))
        return self.run(*lines)


@pytest.fixture
def runs(tmp_path, monkeypatch) -> MovedRuns:
    known = merchants({"merchant_id": "M1", "iban": _IBAN}, {"merchant_id": "M2", "iban": _IBAN})
    monkeypatch.setattr(test_positions, "merchants", lambda *_: known)
    return MovedRuns(tmp_path, as_of="2023-11-30")


@pytest.fixture
def moved(runs) -> MovedRuns:
    """C1 was paid to M1 with 500.00 and comes under M2 now; M1 has C2."""
    runs.make(line(1, 500_00))
    runs.pay()
    runs.make(line(1, 500_00, merchant_id="M2"), line(2, 700_00))
    return runs


def amounts(runs: MovedRuns) -> dict[str, tuple[str, int]]:
    live = runs.desk("ada", "auditor").payouts()
    return {m: (s, int(a)) for m, s, a in zip(live["merchant_id"], live["status"], live["amount_minor"], strict=True)}


def test_the_list_says_which_contract_whose_it_was_and_how_much_was_paid(moved):
    (row,) = moved.desk("carl", "credit_manager").moves().to_dict("records")
    assert (row["contract_id"], row["former_id"], row["merchant_id"]) == ("C1", "M1", "M2")
    assert (row["amount_minor"], row["move"]) == (500_00, "open")
    assert amounts(moved) == {"M1": ("Ready", 200_00), "M2": ("Blocked", 500_00)}


def test_accepted_the_new_merchant_is_paid_at_once_and_the_former_one_owes_it_back(moved):
    carl = moved.desk("carl", "credit_manager")
    carl.accept_move("C1", "M2", "assigned by contract of 12 November")
    assert amounts(moved) == {"M1": ("Ready", 200_00), "M2": ("Ready", 500_00)}
    ids = moved.payouts.set_index("merchant_id")["payout_id"]
    moved.now += pd.Timedelta(minutes=5)
    moved.desk("olga", "settlement_ops").prepare([ids["M1"], ids["M2"]])
    found = moved.make(line(1, 500_00, merchant_id="M2"), line(2, 700_00))
    assert "CONTRACT_MOVED" not in "; ".join(found["payout_summary"]["reasons"])
    event = moved.ledger.events(event_types=["CONTRACT_MOVE_ACCEPTED"]).iloc[0]
    assert (event["transaction_id"], event["actor"]) == ("contract:C1", "carl")
    with pytest.raises(Refused, match="accepted by carl already"):
        carl.accept_move("C1", "M2", "again")


def test_rejected_the_new_merchant_stays_blocked_and_the_former_one_owes_nothing_back(moved):
    said = move_actions(moved.desk("fred", "finance_controller"))["Reject move"](
        moved.desk("fred", "finance_controller").moves(), "typing error in the workbook"
    )
    assert said.startswith("C1: stays with its former merchant")
    found = moved.make(line(1, 500_00, merchant_id="M2"), line(2, 700_00))
    shown = found["payouts"].set_index("merchant_id")
    assert shown.loc["M2", "reasons"] == "CONTRACT_MOVED"
    assert (shown.loc["M1", "status"], shown.loc["M1", "amount_minor"]) == ("Ready", 700_00)
    corrected = moved.make(line(1, 500_00), line(2, 700_00))["payouts"]
    assert corrected[["merchant_id", "status", "amount_minor"]].to_numpy().tolist() == [["M1", "Ready", 700_00]]


def test_only_the_roles_of_the_table_decide_with_a_reason_and_on_a_contract_that_moved(moved):
    with pytest.raises(Refused, match="You may not"):
        moved.desk("olga", "settlement_ops").accept_move("C1", "M2", "why not")
    carl = moved.desk("carl", "credit_manager")
    with pytest.raises(Refused, match="reason"):
        carl.accept_move("C1", "M2", " ")
    with pytest.raises(Refused, match="was not paid under another merchant"):
        carl.accept_move("C2", "M1", "why")
    assert moved.desk("m", "merchant").moves().empty


def test_two_runs_that_give_one_contract_to_two_merchants_pay_it_once(runs):
    """Both runs were made before anything was paid, so that neither sees the other's payout."""
    runs.make(line(1, 500_00))
    first = (runs.payouts, runs.made)
    runs.make(line(1, 500_00, merchant_id="M2"))
    runs.pay()
    runs.payouts, runs.made = first
    runs.now += pd.Timedelta(minutes=5)
    with pytest.raises(Refused, match="paid to another merchant"):
        runs.desk("olga", "settlement_ops").prepare(runs.payouts["payout_id"])


def test_a_contract_whose_figure_a_newer_run_has_lowered_is_not_paid_by_the_older_one(runs):
    runs.make(line(1, 500_00))
    old = (runs.payouts, runs.made)
    runs.make(line(1, 300_00))
    runs.payouts, runs.made = old
    with pytest.raises(Refused, match="is owed less"):
        runs.desk("olga", "settlement_ops").prepare(runs.payouts["payout_id"])


def test_moves_are_listed_and_decided_on_the_command_line(moved, monkeypatch):
    directory = moved.folder / "r1"
    (directory / "tables").mkdir(parents=True)
    own = {"02_reserves_credit": settings(**moved.values).model_dump(mode="json")}
    manifest = {"run_id": "r1", "as_of": "2023-11-30", "tables": {}, "stages": {}, "settings": own}
    (directory / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    run = Run(directory, "02_reserves_credit")
    for name, table in (("payouts", moved.payouts), ("merchants", moved.merchants), ("contract_payments", moved.made)):
        run.write(name, table)
    run.save()
    for variable, value in (("ATLAS_ACTOR", "carl"), ("ATLAS_ROLE", "credit_manager")):
        monkeypatch.setenv(variable, value)
    command = ["decide", "move", "C1", "M2", "accept", "--reason", "assigned", "--run-dir", str(directory)]
    done = CliRunner().invoke(app, command)
    assert done.output == "C1: move to M2 accepted.\n", done.exception
    listed = CliRunner().invoke(app, ["decide", "moves", "--run-dir", str(directory)]).output
    assert all(word in listed for word in ("C1", "M1", "M2", "500.00", "accepted", "carl", "assigned"))


@pytest.fixture
def waiting(runs, monkeypatch) -> str:
    """The payment id of C1 of M1, whose request was booked and whose file did not reach the outbox."""
    runs.make(line(1, 500_00))
    olga = runs.desk("olga", "settlement_ops")
    (payment_id,) = olga.prepare(runs.payouts["payout_id"])
    olga.approve(payment_id, runs.order(payment_id)["sha256"])

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as crashing:
        crashing.setattr(PaymentFolder, "hand_over", crash)
        with pytest.raises(KeyboardInterrupt):
            olga.request(payment_id)
    return payment_id


def test_a_waiting_file_does_not_leave_when_its_contract_is_owed_less_meanwhile(runs, waiting):
    olga = runs.desk("olga", "settlement_ops")
    runs.make(line(1, 300_00))
    with pytest.raises(Refused, match="owed less"):
        olga.request(waiting)
    olga.withdraw(waiting, "the figure went down")


def test_no_move_is_accepted_while_the_file_of_the_former_merchant_still_waits(runs, waiting):
    olga = runs.desk("olga", "settlement_ops")
    runs.make(line(1, 500_00, merchant_id="M2"))
    carl = runs.desk("carl", "credit_manager")
    with pytest.raises(Refused, match=f"has not left.*{waiting}"):
        carl.accept_move("C1", "M2", "sold on")
    with pytest.raises(Refused, match="owed less"):
        olga.request(waiting)
    olga.withdraw(waiting, "the contract has moved")
    with pytest.raises(Refused, match="not paid under another"):
        carl.accept_move("C1", "M2", "sold on")


def test_a_move_whose_payment_is_requested_or_paid_is_no_longer_rejected(moved):
    carl = moved.desk("carl", "credit_manager")
    carl.accept_move("C1", "M2", "sold on")
    olga = moved.desk("olga", "settlement_ops")
    (payment_id,) = olga.prepare(moved.payouts.loc[moved.payouts["merchant_id"] == "M2", "payout_id"])
    carl.approve(payment_id, moved.order(payment_id)["sha256"])
    olga.request(payment_id)
    with pytest.raises(Refused, match="has been paid for this contract"):
        carl.reject_move("C1", "M2", "was wrong")
    moved.make(line(1, 500_00, merchant_id="M2"), line(2, 700_00))
    assert amounts(moved)["M1"] == ("Ready", 200_00)
