"""No run that is opened again pays against what a newer one says; a newer one that says the same stops nothing."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pandas as pd
import pytest

from atlas_lib.core.errors import Refused
from atlas_lib.core.tables import declared
from atlas_lib.ledger.openings import open_run
from atlas_lib.reserves_credit.verdicts import keep_verdicts, mark_payee
from tests.reserves_credit.reserves_credit_frames import Office, merchants, payouts, settings

_TODAY = date(2026, 11, 2)
_OLD, _NEW = "DE89370400440532013000", "DE02120300000000202051"


@pytest.fixture
def office(tmp_path) -> Office:
    made = Office(tmp_path)
    made.payouts = payouts({})
    return made


def judge(office: Office, as_of: str, run_id: str, iban: str = _OLD, **row: Any) -> None:
    """A run of this day says this of M1's payout, as the notebook books it."""
    facts = {"status": "Ready", "reasons": "", "set_off_minor": 0, "amount_minor": 500_00} | row
    key = {"merchant_id": ["M1"], "currency": ["EUR"]}
    summary = pd.DataFrame({**key, "status": facts["status"], "reasons": facts["reasons"]})
    open_rows = pd.DataFrame({**key, "amount_minor": facts["amount_minor"]})
    positions = pd.DataFrame({**key, "set_off_minor": facts["set_off_minor"]})
    known = merchants({"merchant_id": "M1", "iban": iban or None, "bic": "COBADEFFXXX"})
    rest = (declared("screening_findings").empty(), office.ledger, run_id, settings(as_of))
    keep_verdicts(summary, open_rows, positions, known, *rest, today=_TODAY)


def prepared(office: Office) -> tuple[Any, str, str]:
    olga = office.desk("olga", "settlement_ops")
    (payment_id,) = olga.prepare([office.of("M1")])
    return olga, payment_id, office.order(payment_id)["sha256"]


AGAINST = [
    ({"status": "Blocked", "reasons": "SANCTIONS_MATCH"}, "SANCTIONS_MATCH"),
    ({"iban": _NEW}, "another account"),
    ({"set_off_minor": 100_00}, r"sets off 100\.00 EUR"),
]


@pytest.mark.parametrize(("verdict", "words"), AGAINST)
def test_what_a_newer_run_stops_is_neither_prepared_nor_approved_nor_requested_in_an_older_one(office, verdict, words):
    olga, payment_id, sha256 = prepared(office)
    judge(office, "2026-10-31", "today", **verdict)
    with pytest.raises(Refused, match=rf"run today says otherwise.*{words}"):
        olga.approve(payment_id, sha256)
    assert office.status()["M1"] == "Blocked"
    olga.withdraw(payment_id, "today's run says otherwise")
    with pytest.raises(Refused, match=words):
        olga.prepare([office.of("M1")])


@pytest.mark.parametrize(("verdict", "words"), AGAINST)
def test_an_approved_file_is_not_requested_against_a_newer_run(office, verdict, words):
    olga, payment_id, sha256 = prepared(office)
    olga.approve(payment_id, sha256)
    judge(office, "2026-10-31", "today", **verdict)
    with pytest.raises(Refused, match=words):
        olga.request(payment_id)
    assert office.ledger.transfers().empty


def test_a_file_prepared_for_the_old_account_is_not_requested_from_todays_run_either(office):
    _, payment_id, sha256 = prepared(office)
    judge(office, "2026-10-31", "today", iban=_NEW)
    office.values |= {"as_of": "2026-10-31"}
    office.payouts = payouts({"iban": _NEW})
    with pytest.raises(Refused, match="another account"):
        office.desk("olga", "settlement_ops").approve(payment_id, sha256)
    office.desk("olga", "settlement_ops").withdraw(payment_id, "corrected account")
    office.now += pd.Timedelta(minutes=5)
    office.requested("M1")


@pytest.mark.parametrize(
    "verdict",
    [{}, {"amount_minor": 700_00}, {"iban": ""}, {"reasons": "CONTRACT_MOVED"}]
    + [{"status": status, "reasons": "NON_POSITIVE_PAYOUT"} for status in ("Requested", "Executed")],
)
def test_a_newer_run_that_says_the_same_or_does_not_know_stops_nothing(office, verdict):
    olga, payment_id, sha256 = prepared(office)
    judge(office, "2026-10-31", "today", **verdict)
    olga.approve(payment_id, sha256)
    olga.request(payment_id)
    assert office.status()["M1"] == "Requested"


def test_the_later_day_counts_and_of_one_day_the_run_made_last(office):
    judge(office, "2026-10-31", "today", reasons="LIMIT_BREACH", status="Blocked")
    judge(office, "2026-10-30", "yesterday made anew")
    with pytest.raises(Refused, match="run today"):
        prepared(office)
    judge(office, "2026-10-31", "today with the right limits")
    prepared(office)


@pytest.mark.parametrize("corrected", [{"iban": _NEW}, {}])
def test_a_run_that_broke_off_and_goes_on_after_a_later_one_of_its_day_says_nothing(office, corrected):
    """The first one read an account that was corrected, or confirmed, while it stood still."""
    for run_id in ("early", "broken", "later"):
        open_run(office.ledger, run_id, date(2026, 10, 31))
    judge(office, "2026-10-31", "early")
    judge(office, "2026-10-31", "later", **corrected)
    head = office.ledger.head()
    judge(office, "2026-10-31", "broken", status="Blocked", reasons="LIMIT_BREACH")
    assert office.ledger.head() == head
    if not corrected:
        assert office.status()["M1"] == "Ready"
        return
    with pytest.raises(Refused, match=r"run later says otherwise.*another account"):
        prepared(office)


def test_a_run_whose_directory_is_made_anew_is_the_latest_again(office):
    for run_id in ("first", "second", "first"):
        open_run(office.ledger, run_id, date(2026, 10, 31))
        judge(office, "2026-10-31", run_id, iban=_NEW if run_id == "second" else _OLD)
    prepared(office)


def test_the_run_that_is_opened_counts_over_an_older_verdict(office):
    judge(office, "2026-10-29", "the day before", status="Blocked", reasons="LIMIT_BREACH")
    prepared(office)


def test_the_same_verdict_is_booked_once(office):
    for _ in range(2):
        judge(office, "2026-10-31", "today")
    assert office.ledger.events()["transaction_id"].tolist() == ["merchant:M1:EUR", "merchant:M1:"]


def test_an_account_once_known_stays_known_when_a_run_has_none(office):
    judge(office, "2026-10-31", "today", iban=_NEW)
    judge(office, "2026-11-01", "contracts only", iban="")
    with pytest.raises(Refused, match="another account"):
        prepared(office)


def test_the_ledger_holds_a_mark_and_no_account(office):
    judge(office, "2026-10-31", "today")
    details = office.ledger.events()["details"].iloc[0]
    assert not office.ledger.events()["details"].str.contains(_OLD).any()
    mark = json.loads(details)["payee"]
    assert len(mark) == 8
    both = mark_payee(pd.Series(["M1", "M1"]), pd.Series([_OLD, _OLD]), pd.Series(["COBADEFFXXX", "BYLADEM1001"]))
    assert (both[0], both[1] == mark) == (mark, False)


def test_a_transaction_of_the_input_that_is_named_like_a_verdict_is_none(office):
    row = {
        "transaction_id": ["merchant:M1:EUR"], "idempotency_key": ["k"], "fingerprint": ["f"], "origin": ["x"],
        "amount_minor": [1], "currency": ["EUR"], "timestamp": [pd.Timestamp("2026-10-31", tz="UTC")],
    }  # fmt: skip
    office.ledger.intake("a", pd.DataFrame(row))
    judge(office, "2026-10-31", "today")
    prepared(office)
    assert declared("payouts").checked(office.payouts).shape[0] == 1


@pytest.mark.parametrize(
    ("master", "words"),
    [
        ({"is_blocked": True}, "MERCHANT_BLOCKED"),
        ({"kyc_status": "INCOMPLETE"}, "KYC_INCOMPLETE"),
        ({"iban": _NEW}, "another account"),
    ],
)
def test_a_merchant_without_contracts_in_todays_input_is_judged_too(office, master, words):
    judge_none(office, merchants({"merchant_id": "M1", "iban": _OLD, "bic": "COBADEFFXXX"} | master))
    with pytest.raises(Refused, match=words):
        prepared(office)


def test_a_sanctions_hit_on_a_merchant_without_contracts_today_stops_an_older_run(office):
    hit = pd.DataFrame([{"rule": "SANCTIONS_MATCH", "merchant_id": "M1", "severity": "high"}])
    judge_none(office, merchants({"merchant_id": "M1", "iban": _OLD, "bic": "COBADEFFXXX"}), hit)
    with pytest.raises(Refused, match="SANCTIONS_MATCH"):
        prepared(office)


def test_a_day_mistyped_into_the_future_keeps_no_later_verdict_out(office):
    judge(office, "2027-10-31", "mistyped")
    judge(office, "2026-10-31", "today", status="Blocked", reasons="SANCTIONS_MATCH")
    with pytest.raises(Refused, match="run today says otherwise"):
        prepared(office)


def test_a_debt_of_sales_grown_since_stops_an_older_run_also_without_contracts_today(office):
    event = {"transaction_id": ["x"], "batch_id": "", "event_type": "SETTLEMENT_CONFIRMED", "amount_minor": [900_00]}
    event |= {"currency": "EUR", "timestamp": pd.Timestamp("2026-10-30", tz="UTC"), "actor": "t", "details": "{}"}
    paid = {"event": [0], "debit_account": ["liabilities:settlement_payable:M1"], "credit_account": ["assets:bank:EUR"]}
    office.ledger.append(
        "x", pd.DataFrame(event), pd.DataFrame({**paid, "amount_minor": [900_00], "currency": ["EUR"]})
    )
    judge_none(office, merchants({"merchant_id": "M2"}))
    with pytest.raises(Refused, match=r"sets off 900\.00 EUR"):
        prepared(office)


def judge_none(office: Office, known: pd.DataFrame, findings: pd.DataFrame | None = None) -> None:
    """A run of the next day without any contract."""
    key = pd.DataFrame({"merchant_id": [], "currency": []}, dtype="str")
    summary = key.assign(status="", reasons="")
    whole = {n: pd.Series(dtype="int64") for n in ("amount_minor", "set_off_minor")}
    rows = [summary, *(key.assign(**{n: s}) for n, s in whole.items())]
    found = declared("screening_findings").empty() if findings is None else findings
    keep_verdicts(*rows, known, found, office.ledger, "today", settings("2026-10-31"), today=_TODAY)
