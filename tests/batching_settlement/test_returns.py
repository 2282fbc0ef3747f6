"""A settled payment that the bank sends back is reversed once, by new entries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from atlas_lib.batching_settlement.execution import settled_before
from atlas_lib.batching_settlement.rails import Answer, Instruction, SimulatedRail
from atlas_lib.batching_settlement.returns import book_returns
from atlas_lib.cli import app
from atlas_lib.ledger.store import Ledger, open_ledger
from atlas_lib.reserves_credit.roles import Refused
from tests.batching_settlement.execution_frames import banks, execute, outcome, small_plan

DAY = pd.Timestamp("2026-11-02 12:00", tz="UTC")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", "settlement") as opened:
        yield opened


AMOUNTS = {"I-1": 150, "I-5": 30, "I-7": 70}


def returned(*keys: str) -> pd.DataFrame:
    frame = pd.DataFrame({"end_to_end_id": pd.Series(keys, dtype="str")})
    amounts = frame["end_to_end_id"].str.split(".").str[0].map(AMOUNTS).fillna(1).astype("int64")
    return frame.assign(
        amount_minor=amounts, currency="EUR", reason_code="AC04", reason_text="account closed", bank_reference="R-1"
    )


def test_a_returned_payment_reverses_every_transaction_it_carried(ledger: Ledger) -> None:
    execute(small_plan(), banks(), ledger, SimulatedRail(1, 0.0))
    before = ledger.balances()
    found = book_returns(returned("I-1", "I-9"), ledger, DAY)
    assert found.to_numpy().tolist() == [["I-1", "reversed", 2], ["I-9", "not ours", 0]]
    assert settled_before(ledger, ["T-1", "T-2", "T-3"])["status"].tolist() == ["reversed", "reversed", "settled"]
    now = ledger.balances().set_index("account")["balance_minor"]
    assert (before.set_index("account")["balance_minor"] - now).to_dict() == {
        "assets:bank:EUR": 150, "liabilities:settlement_payable:M-1": -150,
    }  # fmt: skip
    events = ledger.events(["T-1"])
    assert events["event_type"].tolist() == ["SETTLEMENT_INITIATED", "SETTLEMENT_CONFIRMED", "SETTLEMENT_REVERSED"]
    assert "AC04" in events["details"].iloc[-1]
    assert ledger.verify().empty


def test_the_same_return_again_changes_nothing(ledger: Ledger) -> None:
    execute(small_plan(), banks(), ledger, SimulatedRail(1, 0.0))
    book_returns(returned("I-7", "I-7"), ledger, DAY)
    head = ledger.head()
    assert book_returns(returned("I-7"), ledger, DAY + pd.Timedelta(days=1)).to_numpy().tolist() == [
        ["I-7", "again", 0]
    ]
    assert book_returns(returned("I-5"), ledger, DAY)["outcome"].tolist() == ["again"]
    assert ledger.head() == head


def test_what_was_never_settled_is_not_reversed(ledger: Ledger) -> None:
    rail = SimulatedRail(1, 0.0, down={"BANK-A", "BANK-B"})
    execute(small_plan(), banks(), ledger, rail)
    head = ledger.head()
    assert book_returns(returned("I-1"), ledger, DAY)["outcome"].tolist() == ["not ours"]
    assert book_returns(returned(), ledger, DAY).empty
    assert ledger.head() == head


@pytest.mark.parametrize(("amount_minor", "currency"), [(40, "EUR"), (151, "EUR"), (150, "USD")])
def test_a_part_of_a_payment_that_came_back_reverses_nothing(ledger: Ledger, amount_minor: int, currency: str) -> None:
    execute(small_plan(), banks(), ledger, SimulatedRail(1, 0.0))
    head = ledger.head()
    part = returned("I-1").assign(amount_minor=amount_minor, currency=currency)
    assert book_returns(part, ledger, DAY).to_numpy().tolist() == [["I-1", "amount differs", 0]]
    assert ledger.head() == head
    whole_too = pd.concat([part, returned("I-1")], ignore_index=True)
    assert book_returns(whole_too, ledger, DAY)["outcome"].tolist() == ["amount differs", "reversed"]


def test_the_return_of_a_key_that_was_given_up_leaves_the_payment_made_under_the_next_one(ledger: Ledger) -> None:
    class FirstRefused(SimulatedRail):
        def send(self, instruction: Instruction, idempotency_key: str) -> Answer:
            if idempotency_key == "I-1":
                return Answer("refused", "rejected by the bank")
            return super().send(instruction, idempotency_key)

    rail = FirstRefused(1, 0.0)
    for _ in range(2):
        execute(small_plan(), banks(), ledger, rail)
    assert "I-1.1" in rail.paid
    head = ledger.head()
    assert book_returns(returned("I-1"), ledger, DAY).to_numpy().tolist() == [["I-1", "other key", 0]]
    assert ledger.head() == head
    both = book_returns(returned("I-1", "I-1.1"), ledger, DAY)
    assert both.to_numpy().tolist() == [["I-1", "other key", 0], ["I-1.1", "reversed", 2]]


def test_a_reversed_payment_is_not_paid_again_by_itself(ledger: Ledger) -> None:
    rail = SimulatedRail(1, 0.0)
    execute(small_plan(), banks(), ledger, rail)
    book_returns(returned("I-1"), ledger, DAY)
    tables = execute(small_plan(), banks(), ledger, rail)
    assert outcome(tables)["T-1"] == "reversed"
    assert tables["deferrals"][["transaction_id", "reason"]].to_numpy().tolist() == [
        ["T-1", "RETURNED"],
        ["T-2", "RETURNED"],
    ]
    assert len(rail.paid) == 6


def test_the_command_reads_the_banks_file_and_reverses_once(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(small_plan(), banks(), ledger, SimulatedRail(1, 0.0))
    (tmp_path / "camt.xml").write_text(
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.054.001.08"><BkToCstmrDbtCdtNtfctn><Ntfctn><Ntry>'
        '<Amt Ccy="EUR">1.50</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><NtryDtls><TxDtls><Refs>'
        "<EndToEndId>I-1</EndToEndId></Refs><RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf></TxDtls></NtryDtls></Ntry></Ntfctn>"
        "</BkToCstmrDbtCdtNtfctn></Document>"
    )
    monkeypatch.setenv("ATLAS_ACTOR", "clerk")
    head = ledger.head()
    for role in ("", "auditor", "risk_analyst"):
        monkeypatch.setenv("ATLAS_ROLE", role)
        refused = CliRunner().invoke(app, ["returns", str(tmp_path / "camt.xml"), "--runs-dir", str(tmp_path)])
        assert isinstance(refused.exception, Refused)
    assert ledger.head() == head
    monkeypatch.setenv("ATLAS_ROLE", "settlement_ops")
    said = [
        CliRunner().invoke(app, ["returns", str(tmp_path / "camt.xml"), "--runs-dir", str(tmp_path)]).output
        for _ in range(2)
    ]
    assert said == ["I-1: reversed, 2 transactions\n", "I-1: again, 0 transactions\n"]
    assert ledger.events(["T-1"])["actor"].tolist() == ["settlement", "settlement", "clerk"]
