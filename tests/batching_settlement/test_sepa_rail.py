"""The SEPA file rail: each payment is in one file, whatever fails; the bank's answers decide."""

from __future__ import annotations

import dataclasses
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from atlas_lib.batching_settlement import sepa_rail
from atlas_lib.batching_settlement.commitments import check_commitments
from atlas_lib.batching_settlement.rail_choice import open_rail
from atlas_lib.batching_settlement.rails import Instruction, SimulatedRail
from atlas_lib.batching_settlement.returns import book_returns, returned_payments
from atlas_lib.batching_settlement.sepa_rail import ACCOUNT_COLUMNS, SepaFileRail, read_accounts
from atlas_lib.core.bank_files import read_pain001, read_replies
from atlas_lib.core.errors import SettingsError
from atlas_lib.core.settings import BatchingSettlementSettings
from atlas_lib.ledger.commit import LocalCommit
from atlas_lib.ledger.store import Ledger, open_ledger
from tests.batching_settlement.execution_frames import banks, execute, make_plan, outcome

DAY = date(2026, 10, 30)
PAYMENT = Instruction("I-1", "BANK-A", "PRO", "MER", 12_345, "EUR", "2026-10-30")
BOOK = pd.DataFrame(
    [
        ("PRO", "Processor AG", "DE89370400440532013000", "", "Köln", "DE"),
        ("MER", "Merchant GmbH", "AT611904300234573201", "", "Wien", "AT"),
        ("ODD", "No Account", "not an iban", "", "", ""),
    ],
    columns=pd.Index(ACCOUNT_COLUMNS),
)


def files(folder: Path, place: str = "outbox") -> list[Path]:
    return sorted((folder / place).glob("*.xml"))


def answer(folder: Path, name: str, *entries: str) -> None:
    body = "".join(entries)
    (folder / "answers" / name).write_text(
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.054.001.08"><BkToCstmrDbtCdtNtfctn><Ntfctn>{body}</Ntfctn>'
        "</BkToCstmrDbtCdtNtfctn></Document>"
    )


def booked(key: str, amount: str, direction: str = "DBIT", reason: str = "") -> str:
    back = f"<RtrInf><Rsn><Cd>{reason}</Cd></Rsn></RtrInf>" if reason else ""
    return (
        f'<Ntry><Amt Ccy="EUR">{amount}</Amt><CdtDbtInd>{direction}</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><NtryDtls><TxDtls>'
        f"<Refs><EndToEndId>{key}</EndToEndId></Refs>{back}</TxDtls></NtryDtls></Ntry>"
    )


def rejected(folder: Path, message_id: str, key: str = "", reason: str = "AC04") -> None:
    status = f"<TxInfAndSts><OrgnlEndToEndId>{key}</OrgnlEndToEndId><TxSts>RJCT</TxSts><StsRsnInf><Rsn><Cd>AC04</Cd></Rsn></StsRsnInf></TxInfAndSts>"
    group = f"<GrpSts>RJCT</GrpSts><StsRsnInf><Rsn><Cd>{reason}</Cd></Rsn></StsRsnInf>" if not key else ""
    (folder / "answers" / "status.xml").write_text(
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"><CstmrPmtStsRpt><OrgnlGrpInfAndSts>'
        f"<OrgnlMsgId>{message_id}</OrgnlMsgId>{group}</OrgnlGrpInfAndSts>"
        f"{'<OrgnlPmtInfAndSts>' + status + '</OrgnlPmtInfAndSts>' if key else ''}</CstmrPmtStsRpt></Document>"
    )


@pytest.fixture
def rail(tmp_path: Path) -> SepaFileRail:
    return SepaFileRail(tmp_path, BOOK, DAY)


def test_payments_of_one_account_and_day_leave_in_one_file_with_their_keys(rail: SepaFileRail, tmp_path: Path) -> None:
    other = dataclasses.replace(PAYMENT, instruction_id="I-2", amount_minor=5)
    assert [rail.send(p, k).outcome for p, k in ((PAYMENT, "I-1"), (other, "I-2.1"))] == ["pending", "pending"]
    assert files(tmp_path) == []
    rail.hand_over()
    (path,) = files(tmp_path)
    header, payments = read_pain001(path)
    assert payments[["end_to_end_id", "amount_minor"]].to_numpy().tolist() == [["I-1", 12_345], ["I-2.1", 5]]
    assert payments["debtor_account"].unique().tolist() == ["DE89370400440532013000"]
    assert header["found_sum"] == "123.50"


def test_the_same_key_is_in_one_file_whoever_sends_it_and_however_often(rail: SepaFileRail, tmp_path: Path) -> None:
    second = SepaFileRail(tmp_path, BOOK, DAY)
    for one in (rail, second):
        one.send(PAYMENT, "I-1")
    for one in (rail, second, rail):
        one.hand_over()
    assert rail.send(PAYMENT, "I-1").outcome == "pending"
    rail.hand_over()
    assert len(files(tmp_path)) == 1
    files(tmp_path)[0].unlink()
    SepaFileRail(tmp_path, BOOK, DAY).hand_over()
    assert files(tmp_path) == []


def test_a_crash_before_the_file_leaves_is_made_good_and_one_before_it_is_written_sends_nothing(
    rail: SepaFileRail, tmp_path: Path
) -> None:
    rail.send(PAYMENT, "I-1")
    del rail
    again = SepaFileRail(tmp_path, BOOK, DAY)
    assert again.query("I-1").outcome == "not_found"
    again.send(PAYMENT, "I-1")
    again._let_go = lambda: None  # type: ignore[method-assign]
    again.hand_over()
    assert (len(files(tmp_path, "prepared")), len(files(tmp_path))) == (1, 0)
    third = SepaFileRail(tmp_path, BOOK, DAY)
    assert (len(files(tmp_path, "prepared")), len(files(tmp_path))) == (0, 1)
    assert third.query("I-1").outcome == "pending"


def test_the_bank_books_rejects_and_sends_back(rail: SepaFileRail, tmp_path: Path) -> None:
    rail.send(PAYMENT, "I-1")
    rail.send(PAYMENT, "I-2")
    rail.send(PAYMENT, "I-3")
    rail.hand_over()
    answer(tmp_path, "1.xml", booked("I-1", "123.45"), booked("I-3", "99.00"))
    rejected(tmp_path, "ATS-X", "I-2")
    assert rail.query("I-1").outcome == "confirmed"
    assert (rail.query("I-2").outcome, rail.query("I-2").detail) == ("refused", "rejected by the bank: AC04")
    assert rail.query("I-3").outcome == "pending"
    assert "a person has to look" in rail.query("I-3").detail
    assert rail.cancel("I-2").outcome == "cancelled"
    assert rail.cancel("I-3").outcome == "pending"
    answer(tmp_path, "2.xml", booked("I-1", "123.45", "CRDT"), booked("I-1", "123.45", "CRDT", "AC04"))
    back = returned_payments(read_replies(tmp_path / "answers" / "2.xml"))
    assert back[["end_to_end_id", "reason_code"]].to_numpy().tolist() == [["I-1", "AC04"]]


def test_a_file_rejected_as_a_whole_is_rejected_for_each_of_its_payments(rail: SepaFileRail, tmp_path: Path) -> None:
    rail.send(PAYMENT, "I-1")
    rail.hand_over()
    rejected(tmp_path, files(tmp_path)[0].stem)
    assert rail.query("I-1").outcome == "refused"


def test_a_cancelled_key_is_in_no_file_even_if_it_was_taken_before(rail: SepaFileRail, tmp_path: Path) -> None:
    other = SepaFileRail(tmp_path, BOOK, DAY)
    other.send(PAYMENT, "I-1")
    assert rail.cancel("I-1").outcome == "cancelled"
    other.hand_over()
    assert files(tmp_path) == []
    assert other.send(PAYMENT, "I-1").outcome == "cancelled"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"currency": "USD"}, "euro"), ({"payee_account": "ODD"}, "account number"), ({"payee_account": "NEW"}, "account"),
        ({"payer_account": "NEW"}, "account to pay from"), ({"amount_minor": 10**12}, "999,999,999.99"),
    ],
)  # fmt: skip
def test_what_sepa_cannot_carry_is_refused_in_words(rail: SepaFileRail, change: dict[str, object], said: str) -> None:
    found = rail.send(dataclasses.replace(PAYMENT, **change), "I-1")  # type: ignore[arg-type]
    assert found.outcome == "refused"
    assert said in found.detail


def test_a_run_waits_for_the_bank_and_the_next_run_settles(tmp_path: Path) -> None:
    plan = make_plan([("T-1", "D-1", "SALE", "I-1", "I-1", 100)], {"I-1": ("PRO", "MER", 100)})
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", "settlement") as ledger:
        tables = execute(plan, banks(), ledger, SepaFileRail(tmp_path, BOOK, DAY))
        assert outcome(tables) == {"T-1": "in_flight"}
        assert tables["deferrals"]["reason"].tolist() == ["AWAITING_BANK"]
        assert tables["settlement_attempts"]["outcome"].tolist() == ["pending"]
        answer(tmp_path, "1.xml", booked("I-1", "1.00"))
        tables = execute(plan, banks(), ledger, SepaFileRail(tmp_path, BOOK, DAY))
        assert outcome(tables) == {"T-1": "settled"}
        assert len(files(tmp_path)) == 1
        assert ledger.verify().empty


def test_a_rejected_payment_is_voided_and_its_next_plan_has_another_key(tmp_path: Path) -> None:
    plan = make_plan([("T-1", "D-1", "SALE", "I-1", "I-1", 100)], {"I-1": ("PRO", "MER", 100)})
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", "settlement") as ledger:
        execute(plan, banks(), ledger, SepaFileRail(tmp_path, BOOK, DAY))
        rejected(tmp_path, files(tmp_path)[0].stem, "I-1")
        assert outcome(execute(plan, banks(), ledger, SepaFileRail(tmp_path, BOOK, DAY))) == {"T-1": "failed"}
        execute(plan, banks(), ledger, SepaFileRail(tmp_path, BOOK, DAY))
        keys = [read_pain001(path)[1]["end_to_end_id"].tolist() for path in files(tmp_path)]
        assert sorted(keys) == [["I-1"], ["I-1.1"]]


def bookings_check(ledger: Ledger, rail: SepaFileRail) -> tuple[bool, str]:
    row = check_commitments(ledger, LocalCommit(ledger), rail)["commit_checks"].iloc[2]
    return bool(row["passed"]), str(row["detail"])


def run_once(ledger: Ledger, folder: Path) -> tuple[str, SepaFileRail]:
    """The one transaction's status after a run, and the rail it was paid on."""
    plan = make_plan([("T-1", "D-1", "SALE", "I-1", "I-1", 100)], {"I-1": ("PRO", "MER", 100)})
    rail = SepaFileRail(folder, BOOK, DAY)
    return outcome(execute(plan, banks(), ledger, rail))["T-1"], rail


def test_a_statement_without_our_key_speaks_for_no_payment(rail: SepaFileRail, tmp_path: Path) -> None:
    rail.send(PAYMENT, "I-1")
    rail.hand_over()
    name = files(tmp_path)[0].stem
    nameless = booked("I-1", "123.45").replace("<EndToEndId>I-1</EndToEndId>", f"<MsgId>{name}</MsgId>")
    answer(tmp_path, "1.xml", nameless)
    assert rail.query("I-1").outcome == "pending"
    assert rail.movements() == {}


def test_what_the_bank_calls_a_duplicate_is_not_given_up(
    rail: SepaFileRail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sepa_rail, "read_replies", lambda path: read_replies(path).assign(reply="duplicate"))
    rail.send(PAYMENT, "I-1")
    rail.hand_over()
    rejected(tmp_path, files(tmp_path)[0].stem, reason="AM05")
    assert rail.query("I-1").outcome == "pending"
    assert rail.cancel("I-1").outcome == "pending"
    assert "person" in rail.query("I-1").detail


def test_a_key_that_was_given_up_and_is_booked_all_the_same_is_told(tmp_path: Path) -> None:
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", "settlement") as ledger:
        run_once(ledger, tmp_path)
        rejected(tmp_path, files(tmp_path)[0].stem)
        assert run_once(ledger, tmp_path)[0] == "failed"
        assert run_once(ledger, tmp_path)[0] == "in_flight"
        answer(tmp_path, "1.xml", booked("I-1.1", "1.00"))
        status, rail = run_once(ledger, tmp_path)
        assert (status, *bookings_check(ledger, rail)) == ("settled", True, "holds")
        answer(tmp_path, "2.xml", booked("I-1", "1.00"))
        is_right, told = bookings_check(ledger, rail)
        assert (is_right, told) == (False, "I-1: booked by the bank although it was given up: ask for it back")
        answer(tmp_path, "3.xml", booked("I-1", "1.00", "CRDT", "DUPL"))
        assert bookings_check(ledger, rail)[0]


def test_a_key_booked_twice_is_told_and_one_booking_in_two_statements_is_not(tmp_path: Path) -> None:
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", "settlement") as ledger:
        run_once(ledger, tmp_path)
        for name in ("1.xml", "2.xml"):
            answer(tmp_path, name, booked("I-1", "1.00"))
        status, rail = run_once(ledger, tmp_path)
        assert (status, *bookings_check(ledger, rail)) == ("settled", True, "holds")
        answer(tmp_path, "3.xml", booked("I-1", "1.00"), booked("I-1", "1.00"))
        assert bookings_check(ledger, rail) == (False, "I-1: booked by the bank 2 times: ask for 1 of them back")


def test_a_booking_and_its_return_in_one_statement_are_not_left_at_settled(tmp_path: Path) -> None:
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", "settlement") as ledger:
        run_once(ledger, tmp_path)
        answer(tmp_path, "1.xml", booked("I-1", "1.00"), booked("I-1", "1.00", "CRDT", "AC04"))
        back = returned_payments(read_replies(tmp_path / "answers" / "1.xml"))
        at = pd.Timestamp("2026-11-02", tz="UTC")
        assert book_returns(back, ledger, at)["outcome"].tolist() == ["not settled"]
        status, rail = run_once(ledger, tmp_path)
        is_right, told = bookings_check(ledger, rail)
        assert (status, is_right) == ("settled", False)
        assert "atlas returns" in told
        assert book_returns(back, ledger, at)["outcome"].tolist() == ["reversed"]
        assert bookings_check(ledger, rail) == (True, "holds")
        assert ledger.trial_balance()["balance_minor"].eq(0).all()
        assert run_once(ledger, tmp_path)[0] == "reversed"


def test_a_booking_of_which_the_ledger_knows_nothing_is_told(rail: SepaFileRail, tmp_path: Path) -> None:
    rail.send(PAYMENT, "I-1")
    rail.hand_over()
    answer(tmp_path, "1.xml", booked("I-1", "123.45"), booked("X-9", "1.00"))
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", "settlement") as ledger:
        is_right, told = bookings_check(ledger, rail)
    assert not is_right
    assert told.startswith("I-1: booked by the bank, and the ledger knows nothing of it")
    assert "X-9" not in told


def test_the_rail_is_a_setting(tmp_path: Path) -> None:
    assert isinstance(open_rail(BatchingSettlementSettings(as_of=DAY), tmp_path), SimulatedRail)
    with pytest.raises(SettingsError, match="account book"):
        open_rail(BatchingSettlementSettings(as_of=DAY, rail="sepa"), tmp_path)
    BOOK.to_csv(tmp_path / "accounts.csv", index=False)
    pd.testing.assert_frame_equal(read_accounts(tmp_path / "accounts.csv"), BOOK)
    chosen = BatchingSettlementSettings(as_of=DAY, rail="sepa", sepa_accounts_path=str(tmp_path / "accounts.csv"))
    assert isinstance(open_rail(chosen, tmp_path), SepaFileRail)
    BOOK.drop(columns="iban").to_csv(tmp_path / "accounts.csv", index=False)
    with pytest.raises(SettingsError, match="without iban"):
        read_accounts(tmp_path / "accounts.csv")
