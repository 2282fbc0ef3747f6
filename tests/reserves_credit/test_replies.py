"""What the bank answers: rejected, booked, returned; asked for again, but never paid twice."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from atlas_lib.core.bank_files import REPLY_COLUMNS, read_replies, replies_of_lines, shape_replies
from atlas_lib.core.errors import InputError, Refused
from atlas_lib.core.tables import declared
from atlas_lib.reserves_credit import workflow
from atlas_lib.reserves_credit.orders import PaymentFolder
from atlas_lib.reserves_credit.stops import read_blocks
from tests.reserves_credit.reserves_credit_frames import Office, payouts

PAIN002 = """<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"><CstmrPmtStsRpt>
<GrpHdr><MsgId>BANK-1</MsgId><CreDtTm>2026-10-30T12:00:00Z</CreDtTm></GrpHdr>
<OrgnlGrpInfAndSts><OrgnlMsgId>{payment_id}</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>{group}</OrgnlGrpInfAndSts>
{payments}</CstmrPmtStsRpt></Document>"""
TRANSACTION = """<OrgnlPmtInfAndSts><OrgnlPmtInfId>{payment_id}</OrgnlPmtInfId><TxInfAndSts>
<OrgnlEndToEndId>{end_to_end_id}</OrgnlEndToEndId><TxSts>{status}</TxSts>
<StsRsnInf><Rsn><Cd>{code}</Cd></Rsn><AddtlInf>Account closed</AddtlInf></StsRsnInf></TxInfAndSts></OrgnlPmtInfAndSts>"""
CAMT054 = """<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.054.001.08"><BkToCstmrDbtCdtNtfctn><Ntfctn><Id>N1</Id>
<Acct><Id><IBAN>DE02120300000000202051</IBAN></Id></Acct>{entries}</Ntfctn></BkToCstmrDbtCdtNtfctn></Document>"""
ENTRY = """<Ntry><Amt Ccy="EUR">{amount}</Amt><CdtDbtInd>{direction}</CdtDbtInd><Sts><Cd>{status}</Cd></Sts>
<AcctSvcrRef>{reference}</AcctSvcrRef><NtryDtls><TxDtls><Refs><EndToEndId>{end_to_end_id}</EndToEndId></Refs>
<Amt Ccy="EUR">{amount}</Amt>{reason}</TxDtls></NtryDtls></Ntry>"""
REASON = "<RtrInf><Rsn><Cd>AC04</Cd></Rsn><AddtlInf>Account closed</AddtlInf></RtrInf>"


@pytest.fixture
def office(tmp_path) -> Office:
    return Office(tmp_path)


def entry(office: Office, **values: str) -> str:
    usual = {
        "amount": "500.00", "direction": "DBIT", "status": "BOOK", "reference": "BR1", "reason": "",
        "end_to_end_id": office.of("M1") + "-1",
    }  # fmt: skip
    return ENTRY.format(**usual | values)


def answer(office: Office, text: str) -> list[str]:
    """Book a file of the bank; the outcomes, in order."""
    path = office.folder / "answer.xml"
    path.write_text(text, encoding="utf-8")
    return office.desk("fiona", "finance_controller").book_replies(read_replies(path))["outcome"].tolist()


def booked(office: Office, *entries: str) -> list[str]:
    return answer(office, CAMT054.format(entries="".join(entries)))


def rejected(office: Office, payment_id: str, end_to_end_id: str, code: str = "AC04") -> list[str]:
    one = TRANSACTION.format(payment_id=payment_id, end_to_end_id=end_to_end_id, status="RJCT", code=code)
    return answer(office, PAIN002.format(payment_id=payment_id, group="<GrpSts>PART</GrpSts>", payments=one))


def balance(office: Office, account: str) -> int:
    found = office.ledger.balances()
    return int(found.loc[found["account"] == account, "balance_minor"].sum())


def test_a_booked_debit_executes_the_payout_and_posts_its_money(office):
    office.requested("M1")
    assert booked(office, entry(office)) == ["moved"]
    assert office.status()["M1"] == "Executed"
    assert balance(office, "liabilities:payout_payable:M1") == 500_00
    assert balance(office, "assets:bank:EUR") == -500_00
    assert office.ledger.transfers(open_only=True).empty


def test_the_same_answer_again_and_the_same_booking_in_another_report_change_nothing(office):
    office.requested("M1")
    booked(office, entry(office))
    before = len(office.ledger.events())
    assert booked(office, entry(office)) == ["again"]
    lines = declared("statement_lines").shaped(
        pd.DataFrame(
            {
                "statement_id": ["S1"], "account": "A", "line_id": "1", "transaction_id": None, "end_to_end_id": office.of("M1") + "-1",
                "booking_date": pd.Timestamp("2026-11-02"), "value_date": None, "amount_posted_minor": 500_00, "fee_charged_minor": 0,
                "currency": "EUR", "credit_debit_indicator": "DBIT", "status": "BOOK", "bank_reference": "BR1", "remittance_text": None,
                "counterparty_name": None, "source_file": "s.xml", "source_sheet": "", "source_row": 1,
            }
        )
    )  # fmt: skip
    found = office.desk("olga", "settlement_ops").book_replies(replies_of_lines(lines))
    assert found["outcome"].tolist() == ["again"]
    assert len(office.ledger.events()) == before


def test_pending_entries_confirm_nothing(office):
    office.requested("M1")
    assert booked(office, entry(office, status="PDNG")) == []
    assert office.status()["M1"] == "Requested"


def test_a_rejection_fails_the_payout_with_the_banks_code_and_frees_its_money(office):
    payment_id = office.requested("M1")
    assert rejected(office, payment_id, office.of("M1") + "-1") == ["moved"]
    live = office.desk("ada", "auditor").payouts().set_index("merchant_id").loc["M1"]
    assert (live["status"], live["bank_code"], live["said"]) == ("Failed", "AC04", "Account closed")
    assert office.ledger.transfers(open_only=True).empty
    assert office.ledger.trial_balance().empty


def test_a_whole_file_that_is_rejected_fails_every_payout_in_it(office):
    payment_id = office.requested("M1", "M2")
    group = "<GrpSts>RJCT</GrpSts><StsRsnInf><Rsn><Cd>FF01</Cd></Rsn></StsRsnInf>"
    assert answer(office, PAIN002.format(payment_id=payment_id, group=group, payments="")) == ["moved", "moved"]
    assert set(office.status().values()) == {"Failed"}


def test_the_rejection_of_an_earlier_file_read_again_leaves_the_next_attempt_under_way(office):
    first = office.requested("M1")
    whole = PAIN002.format(payment_id=first, group="<GrpSts>RJCT</GrpSts>", payments="")
    assert answer(office, whole) == ["moved"]
    office.now += pd.Timedelta(minutes=5)
    assert office.requested("M1") != first
    assert answer(office, whole) == ["out of order"]
    assert office.status()["M1"] == "Requested"
    assert office.ledger.transfers(open_only=True)["amount_minor"].tolist() == [500_00]


def test_an_acceptance_is_no_proof_of_payment(office):
    payment_id = office.requested("M1")
    found = answer(office, PAIN002.format(payment_id=payment_id, group="<GrpSts>ACSP</GrpSts>", payments=""))
    assert set(found) == {"noted"}
    assert office.status()["M1"] == "Requested"


def test_a_failed_payout_is_requested_again_under_a_new_end_to_end_id_and_paid_once(office):
    rejected(office, office.requested("M1"), office.of("M1") + "-1")
    office.now += pd.Timedelta(minutes=5)
    office.requested("M1")
    assert (
        office.desk("ada", "auditor").payouts().set_index("merchant_id").loc["M1", "end_to_end_id"]
        == office.of("M1") + "-2"
    )
    assert booked(office, entry(office, end_to_end_id=office.of("M1") + "-2")) == ["moved"]
    assert balance(office, "liabilities:payout_payable:M1") == 500_00


def test_a_payment_that_comes_back_is_returned_with_its_code_and_may_be_paid_anew(office):
    office.requested("M1")
    booked(office, entry(office))
    back = entry(office, direction="CRDT", reference="BR2", reason=REASON)
    assert booked(office, back) == ["moved"]
    live = office.desk("ada", "auditor").payouts().set_index("merchant_id").loc["M1"]
    assert (live["status"], live["bank_code"]) == ("Returned", "AC04")
    assert balance(office, "liabilities:payout_payable:M1") == 0
    assert booked(office, back) == ["again"]
    office.now += pd.Timedelta(minutes=5)
    office.requested("M1")
    assert booked(office, entry(office, end_to_end_id=office.of("M1") + "-2", reference="BR3")) == ["moved"]
    assert balance(office, "liabilities:payout_payable:M1") == 500_00


def test_a_booking_and_its_return_in_one_file_are_both_seen(office):
    office.requested("M1")
    assert booked(office, entry(office), entry(office, direction="CRDT", reference="BR2", reason=REASON)) == [
        "moved",
        "moved",
    ]
    assert office.status()["M1"] == "Returned"


def test_a_payment_booked_after_it_was_given_up_counts_as_paid_and_is_not_asked_for_again(office):
    rejected(office, office.requested("M1"), office.of("M1") + "-1")
    assert booked(office, entry(office)) == ["moved"]
    assert balance(office, "liabilities:payout_payable:M1") == 500_00
    with pytest.raises(Refused, match="Executed"):
        office.desk("olga", "settlement_ops").prepare([office.of("M1")])


def test_a_late_booking_books_the_set_off_too_and_a_return_turns_both_round(office):
    office.payouts = payouts({"amount_minor": 400_00, "set_off_minor": 100_00})
    rejected(office, office.requested("M1"), office.of("M1") + "-1")
    assert booked(office, entry(office, amount="400.00")) == ["moved"]
    accounts = ("liabilities:payout_payable:M1", "assets:bank:EUR", "liabilities:settlement_payable:M1")
    assert [balance(office, a) for a in accounts] == [500_00, -400_00, -100_00]
    assert booked(office, entry(office, amount="400.00", direction="CRDT", reference="BR2")) == ["moved"]
    assert [balance(office, a) for a in accounts] == [0, 0, 0]


def test_a_late_booking_while_the_next_attempt_is_under_way_is_said_loudly_and_books_nothing(office):
    rejected(office, office.requested("M1"), office.of("M1") + "-1")
    office.now += pd.Timedelta(minutes=5)
    office.requested("M1")
    assert booked(office, entry(office)) == ["paid twice"]
    assert office.status()["M1"] == "Requested"


def test_a_second_booking_of_one_payment_is_said_loudly(office):
    office.requested("M1")
    assert booked(office, entry(office), entry(office, reference="BR9")) == ["moved", "paid twice"]
    assert balance(office, "liabilities:payout_payable:M1") == 500_00


@pytest.mark.parametrize(
    "other", [{"amount": "499.99"}, {"end_to_end_id": "INV-77"}, {"end_to_end_id": "PO-" + "0" * 24 + "-1"}]
)
def test_another_amount_or_a_payment_that_is_not_ours_moves_nothing(office, other):
    office.requested("M1")
    assert booked(office, entry(office, **other)) in (["amount differs"], ["not ours"])
    assert office.status()["M1"] == "Requested"


def test_a_rejection_after_execution_is_out_of_order_and_moves_nothing(office):
    payment_id = office.requested("M1")
    booked(office, entry(office))
    assert rejected(office, payment_id, office.of("M1") + "-1") == ["out of order"]
    assert office.status()["M1"] == "Executed"


def test_in_a_file_of_two_one_may_fail_and_the_other_be_paid(office):
    payment_id = office.requested("M1", "M2")
    rejected(office, payment_id, office.of("M1") + "-1")
    assert booked(office, entry(office, end_to_end_id=office.of("M2") + "-1", amount="20000.00")) == ["moved"]
    assert office.status() == {"M1": "Failed", "M2": "Executed"}
    assert office.order(payment_id)["status"] == "1 Executed, 1 Failed"


@pytest.mark.parametrize("text", ["<a>", "<Document><Other/></Document>"])
def test_a_file_that_is_no_answer_is_refused_by_name(office, text):
    with pytest.raises(InputError, match=r"answer\.xml"):
        answer(office, text)


def test_messages_within_an_envelope_of_the_bank_are_all_read(office):
    payment_id = office.requested("M1", "M2")
    refusal = TRANSACTION.format(
        payment_id=payment_id, end_to_end_id=office.of("M2") + "-1", status="RJCT", code="AC04"
    )
    status = PAIN002.format(payment_id=payment_id, group="<GrpSts>PART</GrpSts>", payments=refusal)
    documents = [text.partition("?>")[2] for text in (CAMT054.format(entries=entry(office)), status)]
    head = '<AppHdr xmlns="urn:iso:std:iso:20022:tech:xsd:head.001.001.02"><BizMsgIdr>1</BizMsgIdr></AppHdr>'
    assert answer(office, f"<Envelope>{head}{head.join(documents)}</Envelope>") == ["moved", "moved"]
    assert office.status() == {"M1": "Executed", "M2": "Failed"}


def test_a_document_type_is_refused_so_that_no_entity_shortens_an_amount(office):
    text = CAMT054.format(entries=entry(office, amount="50&x;00.00"))
    with pytest.raises(InputError, match=r"declares a document type.*answer\.xml"):
        answer(office, text.replace("<Document", '<!DOCTYPE Document [<!ENTITY x "0">]><Document', 1))


def test_an_entry_without_its_amount_is_refused_by_name(office):
    text = CAMT054.format(entries=entry(office)).replace('<Amt Ccy="EUR">500.00</Amt>', "")
    with pytest.raises(InputError, match=r"without its amount.*answer\.xml"):
        answer(office, text)


@pytest.mark.parametrize("amount", ["five", "5.001", ""])
def test_an_amount_that_is_none_is_refused_by_name(office, amount):
    with pytest.raises(InputError, match=r"amount.*answer\.xml"):
        booked(office, entry(office, amount=amount))


def test_no_replies_are_no_work(office):
    empty = shape_replies(pd.DataFrame(columns=list(REPLY_COLUMNS)))
    assert office.desk("olga", "settlement_ops").book_replies(empty).empty


NAMELESS = """<OrgnlPmtInfAndSts><OrgnlPmtInfId>P</OrgnlPmtInfId><TxInfAndSts><StsId>1</StsId><TxSts>RJCT</TxSts>
<StsRsnInf><Rsn><Cd>AC04</Cd></Rsn></StsRsnInf></TxInfAndSts></OrgnlPmtInfAndSts>"""


def test_one_rejected_payment_without_its_id_is_no_rejection_of_the_whole_file(office):
    payment_id = office.requested("M1", "M2")
    part = PAIN002.format(payment_id=payment_id, group="<GrpSts>PART</GrpSts>", payments=NAMELESS)
    assert answer(office, part) == ["unclear"]
    assert set(office.status().values()) == {"Requested"}
    assert answer(office, PAIN002.format(payment_id="PAY-OTHER", group="", payments=NAMELESS)) == ["not ours"]


def test_a_booked_line_that_names_only_the_file_books_and_returns_nothing(office):
    office.payouts = payouts({}, {"merchant_id": "M2"})
    payment_id = office.requested("M1", "M2")
    nameless = {"old": f"<EndToEndId>{office.of('M1')}-1</EndToEndId>", "new": f"<MsgId>{payment_id}</MsgId>"}
    assert booked(office, entry(office).replace(*nameless.values())) == ["unclear"]
    assert set(office.status().values()) == {"Requested"}
    booked(office, entry(office), entry(office, end_to_end_id=office.of("M2") + "-1", reference="BR2"))
    back = entry(office, direction="CRDT", reference="BR3").replace(*nameless.values())
    assert booked(office, back) == ["unclear"]
    assert set(office.status().values()) == {"Executed"}


@pytest.mark.parametrize("code", ["AM05", "DU01", "DU04"])
@pytest.mark.parametrize("place", ["file", "payment", "payments of the file"])
def test_a_second_copy_that_the_bank_refuses_leaves_the_first_under_way(office, code, place):
    payment_id, end_to_end_id = office.requested("M1"), office.of("M1") + "-1"
    reason = f"<StsRsnInf><Rsn><Cd>{code}</Cd></Rsn></StsRsnInf>"
    one = TRANSACTION.format(payment_id=payment_id, end_to_end_id=end_to_end_id, status="RJCT", code=code)
    group = "<GrpSts>PART</GrpSts>" if place == "payment" else "<GrpSts>RJCT</GrpSts>" + reason
    payments = {"file": "", "payment": one, "payments of the file": one.replace(code, "NARR")}[place]
    found = answer(office, PAIN002.format(payment_id=payment_id, group=group, payments=payments))
    assert set(found) == {"unclear"}
    assert office.status()["M1"] == "Requested"
    assert booked(office, entry(office)) == ["moved"]


def test_a_return_that_is_taken_back_moves_nothing(office):
    office.requested("M1")
    booked(office, entry(office))
    taken_back = entry(office, reference="BR2").replace("<Sts>", "<RvslInd>true</RvslInd><Sts>")
    assert booked(office, taken_back) == ["unclear"]
    assert office.status()["M1"] == "Executed"


def test_details_of_a_collective_entry_have_their_own_amounts_in_every_version(office):
    office.requested("M1", "M2")
    amounts = {"M1": "500.00", "M2": "20000.00"}
    detail = "<TxDtls><Refs><EndToEndId>{}-1</EndToEndId></Refs>{}</TxDtls>"
    own = '<AmtDtls><TxAmt><Amt Ccy="EUR">{}</Amt></TxAmt></AmtDtls>'
    collective = """<Ntry><Amt Ccy="EUR">20500.00</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts>BOOK</Sts><NtryDtls>{}</NtryDtls></Ntry>"""
    without = "".join(detail.format(office.of(m), "") for m in amounts)
    assert booked(office, collective.format(without)) == ["amount differs"] * 2
    with_own = "".join(detail.format(office.of(m), own.format(a)) for m, a in amounts.items())
    assert booked(office, collective.format(with_own)) == ["moved"] * 2
    assert set(office.status().values()) == {"Executed"}


def test_a_late_booking_is_of_the_attempt_it_names_and_stops_the_present_one(office):
    first = office.requested("M1")
    rejected(office, first, office.of("M1") + "-1")
    office.now += pd.Timedelta(minutes=5)
    office.payouts = payouts({"amount_minor": 700_00, "set_off_minor": 50_00})
    olga = office.desk("olga", "settlement_ops")
    (payment_id,) = olga.prepare([office.of("M1")])
    sha256 = office.order(payment_id)["sha256"]
    assert booked(office, entry(office)) == ["moved"]
    assert balance(office, "liabilities:payout_payable:M1") == 500_00
    with pytest.raises(Refused, match="Executed"):
        office.desk("carl", "credit_manager").approve(payment_id, sha256)
    (state,) = workflow.read_states([office.of("M1")], office.ledger).to_dict("records")
    assert (state["amount_minor"], state["contracts"]) == (500_00, '{"C-M1": 50000}')
    assert state["said"] == f"the bank speaks of {office.of('M1')}-1 in {first}"  # and not of the file that never left
    assert booked(office, entry(office, direction="CRDT", reference="BR2", reason=REASON)) == ["moved"]
    assert balance(office, "liabilities:payout_payable:M1") == 0
    office.now += pd.Timedelta(minutes=5)
    olga.prepare([office.of("M1")])
    assert olga.payouts().set_index("merchant_id").loc["M1", "end_to_end_id"] == office.of("M1") + "-3"


@pytest.mark.parametrize("moves", ["none", "prepared", "approved", "requested and not handed over"])
def test_a_late_booking_with_another_amount_stops_the_present_attempt_until_a_person_has_looked(
    office, moves, monkeypatch
):
    rejected(office, office.requested("M1"), office.of("M1") + "-1")
    office.now += pd.Timedelta(minutes=5)
    olga, carl = office.desk("olga", "settlement_ops"), office.desk("carl", "credit_manager")
    act = {"none": lambda: olga.prepare([office.of("M1")])}
    if moves != "none":
        (payment_id,) = olga.prepare([office.of("M1")])
        act["prepared"] = lambda: carl.approve(payment_id, office.order(payment_id)["sha256"])
        act["approved"] = act["requested and not handed over"] = lambda: olga.request(payment_id)
    if moves not in ("none", "prepared"):
        act["prepared"]()
    if moves.startswith("requested"):
        with monkeypatch.context() as crashing:
            crashing.setattr(PaymentFolder, "hand_over", lambda _, payment_id, *__: Path(payment_id))
            olga.request(payment_id)
    wrong = entry(office, amount="499.00")
    assert booked(office, wrong) == ["paid twice" if moves.startswith("requested") else "amount differs"]
    with pytest.raises(Refused, match="MERCHANT_BLOCKED"):
        act[moves]()
    carl.unblock("M1", "the bank has kept a fee")
    before = len(office.ledger.events())
    booked(office, wrong)
    assert len(office.ledger.events()) == before
    act[moves]()


def test_an_earlier_attempt_booked_after_a_later_one_was_paid_stops_the_merchant(office):
    rejected(office, office.requested("M1"), office.of("M1") + "-1")
    office.now += pd.Timedelta(minutes=5)
    office.requested("M1")
    second = entry(office, end_to_end_id=office.of("M1") + "-2", reference="BR2")
    assert booked(office, second) == ["moved"]
    assert read_blocks(["M1"], office.ledger).empty
    assert booked(office, entry(office)) == ["paid twice"]
    (stopped,) = read_blocks(["M1"], office.ledger).to_dict("records")
    assert f"booked {office.of('M1')}-1 with 500.00 EUR" in stopped["reason"]
    before = len(office.ledger.events())
    assert booked(office, second, entry(office)) == ["again", "paid twice"]
    assert len(office.ledger.events()) == before


@pytest.mark.parametrize("is_requested", [False, True])
def test_a_statement_read_again_after_the_next_attempt_was_prepared_books_nothing(office, is_requested):
    office.requested("M1")
    first = [entry(office), entry(office, direction="CRDT", reference="BR2", reason=REASON)]
    assert booked(office, *first) == ["moved", "moved"]
    office.now += pd.Timedelta(minutes=5)
    if is_requested:
        office.requested("M1")
    else:
        office.desk("olga", "settlement_ops").prepare([office.of("M1")])
    before = len(office.ledger.events())
    assert booked(office, *first) == ["again", "again"]
    assert len(office.ledger.events()) == before
    assert read_blocks(["M1"], office.ledger).empty
