"""The payout desk: four eyes, approval bound to the file, and nothing paid twice whoever clicks what."""

from __future__ import annotations

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pandas as pd
import pytest

from atlas_lib.core.errors import AtlasError, Refused
from atlas_lib.ledger.store import Ledger
from atlas_lib.reserves_credit.books import keep_reserves
from atlas_lib.reserves_credit.orders import PaymentFolder
from atlas_lib.reserves_credit.policies import ReservePolicy
from atlas_lib.reserves_credit.workflow import read_due
from tests.reserves_credit.reserves_credit_frames import Office, contracts, payouts, settings, transactions


@pytest.fixture
def office(tmp_path) -> Office:
    return Office(tmp_path)


def event_types(office: Office) -> list[str]:
    return office.ledger.events()["event_type"].tolist()


def test_a_payout_is_prepared_approved_and_requested_each_an_event_with_actor_role_and_time(office):
    payment_id = office.requested("M1")
    assert office.status() == {"M1": "Requested", "M2": "Ready"}
    trail = office.desk("ada", "auditor").trail(office.of("M1"))
    assert trail["event_type"].tolist() == ["PAYOUT_PREPARED", "PAYOUT_APPROVED", "PAYOUT_REQUESTED"]
    assert trail["actor"].tolist() == ["olga", "carl", "olga"]
    assert trail["role"].tolist() == ["settlement_ops", "credit_manager", "settlement_ops"]
    assert (trail["made_at"] == pd.Timestamp("2026-10-30 10:00", tz="UTC")).all()
    prepared, sent = (office.folder / "payments" / f / f"{payment_id}.xml" for f in ("prepared", "outbox"))
    assert prepared.read_bytes() == sent.read_bytes()


def test_a_desk_opened_in_one_thread_is_used_in_another(office):
    """JupyterLab opens the desk in the cell's thread and runs each click in another one."""
    olga, carl = office.desk("olga", "settlement_ops"), office.desk("carl", "credit_manager")
    with ThreadPoolExecutor(1) as click:
        (payment_id,) = click.submit(olga.prepare, [office.of("M2")]).result()
        sha256 = click.submit(olga.orders).result()["sha256"].iloc[0]
        with pytest.raises(Refused, match="approve any payment file"):
            click.submit(olga.approve, payment_id, sha256).result()
        carl.approve(payment_id, sha256)
        click.submit(olga.request, payment_id).result()
    assert office.status()["M2"] == "Requested"


def test_requested_money_is_pending_and_leaves_the_account_only_when_the_bank_has_booked_it(office):
    office.requested("M1")
    (pending,) = office.ledger.transfers(open_only=True).to_dict("records")
    assert (pending["debit_account"], pending["credit_account"]) == (
        "liabilities:payout_payable:M1",
        "assets:bank:EUR",
    )
    assert (pending["amount_minor"], pending["transaction_id"]) == (500_00, "payout:" + office.of("M1"))
    assert office.ledger.trial_balance().empty


def test_from_the_four_eyes_amount_on_the_preparer_cannot_approve(office):
    olga = office.desk("olga", "settlement_ops")
    (payment_id,) = olga.prepare([office.of("M2")])
    assert office.order(payment_id)["is_four_eyes"]
    with pytest.raises(Refused, match="approve any payment file"):
        olga.approve(payment_id, office.order(payment_id)["sha256"])
    with pytest.raises(Refused, match="second person"):
        office.desk("olga", "credit_manager").approve(payment_id, office.order(payment_id)["sha256"])
    office.desk("carl", "credit_manager").approve(payment_id, office.order(payment_id)["sha256"])
    assert office.status()["M2"] == "Approved"


def test_below_it_one_person_may_do_both(office):
    olga = office.desk("olga", "settlement_ops")
    (payment_id,) = olga.prepare([office.of("M1")])
    olga.approve(payment_id, office.order(payment_id)["sha256"])
    olga.request(payment_id)
    assert office.status()["M1"] == "Requested"


def test_splitting_an_amount_into_several_files_does_not_avoid_the_second_person(office):
    office.payouts = payouts({"amount_minor": 6_000_00}, {"merchant_id": "M2", "amount_minor": 6_000_00})
    olga = office.desk("olga", "settlement_ops")
    (first,), (second,) = olga.prepare([office.of("M1")]), olga.prepare([office.of("M2")])
    assert (office.order(first)["is_four_eyes"], office.order(second)["is_four_eyes"]) == (False, True)


def test_splitting_an_amount_over_two_runs_does_not_avoid_the_second_person_either(office):
    office.payouts = payouts({"amount_minor": 6_000_00})
    (first,) = office.desk("olga", "settlement_ops").prepare([office.of("M1")])
    assert not office.order(first)["is_four_eyes"]
    office.payouts = payouts({"merchant_id": "M2", "amount_minor": 6_000_00})
    (second,) = office.desk("olga", "settlement_ops").prepare([office.of("M2")])
    assert office.order(second)["is_four_eyes"]


@pytest.mark.parametrize(("due_date", "is_second_needed"), [("2026-10-30", True), ("2026-11-05", False)])
def test_what_an_earlier_version_let_through_for_the_day_counts_for_the_second_person(
    office, due_date, is_second_needed
):
    """Its files are named without their day: the day of the upgrade is no way around the second person."""
    office.payouts = payouts(
        {"amount_minor": 6_000_00}, {"merchant_id": "M2", "amount_minor": 6_000_00, "due_date": due_date}
    )
    olga = office.desk("olga", "settlement_ops")
    (first,) = olga.prepare([office.of("M1")])
    as_it_was = office.ledger.events(event_types=["PAYOUT_PREPARED"])
    olga.withdraw(first, "only another payout's event is wanted")
    undated, of_another = "PAY-" + "0123456789ab" * 2, office.of("M3")
    details = [json.dumps(json.loads(d) | {"payment_id": undated, "merchant_id": "M3"}) for d in as_it_was["details"]]
    named = {"batch_id": undated, "transaction_id": f"payout:{of_another}"}
    office.ledger.append("earlier", as_it_was.assign(details=details, **named))
    (second,) = olga.prepare([office.of("M2")])
    assert office.order(second)["is_four_eyes"] == is_second_needed
    assert of_another in read_due("2026-10-30", office.ledger)["payout_id"].tolist()
    assert of_another not in read_due("2026-11-05", office.ledger)["payout_id"].tolist()


def test_what_was_withdrawn_or_is_for_another_day_does_not_count_for_the_second_person(office):
    office.payouts = payouts({"amount_minor": 6_000_00}, {"merchant_id": "M2", "amount_minor": 6_000_00})
    olga = office.desk("olga", "settlement_ops")
    (first,) = olga.prepare([office.of("M1")])
    olga.withdraw(first, "not today")
    (second,) = olga.prepare([office.of("M2")])
    assert not office.order(second)["is_four_eyes"]
    office.payouts = payouts({"amount_minor": 6_000_00, "due_date": "2026-11-05"})
    (third,) = office.desk("olga", "settlement_ops").prepare([office.of("M1")])
    assert not office.order(third)["is_four_eyes"]


@pytest.mark.parametrize("suffix", [".xml", ".csv"])
def test_a_file_changed_after_approval_is_not_requested_and_needs_a_new_approval(office, suffix):
    olga = office.desk("olga", "settlement_ops")
    (payment_id,) = olga.prepare([office.of("M1")])
    olga.approve(payment_id, office.order(payment_id)["sha256"])
    path = office.folder / "payments" / "prepared" / f"{payment_id}{suffix}"
    path.write_bytes(path.read_bytes().replace(b"500", b"900"))
    with pytest.raises(Refused, match="not the one that was prepared and approved"):
        olga.request(payment_id)
    assert office.ledger.transfers().empty
    olga.withdraw(payment_id, "the file was changed")
    (again,) = olga.prepare([office.of("M1")])
    with pytest.raises(Refused, match="Prepared"):
        olga.request(again)


def test_an_approval_for_another_file_is_refused(office):
    olga = office.desk("olga", "settlement_ops")
    (payment_id,) = olga.prepare([office.of("M1")])
    with pytest.raises(Refused, match="not the one"):
        olga.approve(payment_id, "0" * 64)
    assert office.status()["M1"] == "Prepared"


def test_a_refused_file_makes_its_payouts_ready_again_with_the_reason_kept(office):
    (payment_id,) = office.desk("olga", "settlement_ops").prepare([office.of("M1"), office.of("M2")])
    office.desk("carl", "credit_manager").refuse(payment_id, "too early")
    assert set(office.status().values()) == {"Ready"}
    assert office.desk("ada", "auditor").trail(office.of("M1"))["said"].tolist()[-1] == "too early"
    assert office.desk("ada", "auditor").orders().empty


@pytest.mark.parametrize(
    ("role", "action"),
    [
        ("auditor", lambda d, o: d.prepare([o.of("M1")])),
        ("credit_manager", lambda d, o: d.prepare([o.of("M1")])),
        ("settlement_ops", lambda d, _: d.block("M1", "why")),
        ("risk_analyst", lambda d, _: d.unblock("M1", "why")),
        ("merchant", lambda d, o: d.trail(o.of("M1"))),
        ("risk_analyst", lambda d, _: d.request("PAY-1")),
        ("risk_analyst", lambda d, _: d.book_replies(pd.DataFrame())),
        ("", lambda d, o: d.prepare([o.of("M1")])),
    ],
)
def test_what_a_role_may_not_do_is_refused_and_leaves_no_trace(office, role, action):
    with pytest.raises(Refused, match="You may not"):
        action(office.desk("x", role), office)
    assert event_types(office) == []
    assert not (office.folder / "payments").exists()


def test_a_blocked_merchant_is_not_paid_until_a_credit_manager_lets_it_go_on(office):
    olga, rita = office.desk("olga", "settlement_ops"), office.desk("rita", "risk_analyst")
    (payment_id,) = olga.prepare([office.of("M1")])
    olga.approve(payment_id, office.order(payment_id)["sha256"])
    rita.block("M1", "chargebacks rise")
    assert office.status()["M1"] == "Blocked"
    shown = olga.payouts().set_index("merchant_id").loc[["M1", "M2"], ["by", "said"]]
    assert shown.to_numpy().tolist() == [["rita", "chargebacks rise"], ["", ""]]
    assert "chargebacks rise" not in office.desk("mert", "merchant").payouts().to_string()
    with pytest.raises(Refused, match="MERCHANT_BLOCKED"):
        olga.request(payment_id)
    with pytest.raises(Refused, match="already"):
        rita.block("M1", "again")
    with pytest.raises(Refused, match="reason"):
        office.desk("carl", "credit_manager").unblock("M1", " ")
    office.desk("carl", "credit_manager").unblock("M1", "explained")
    olga.request(payment_id)
    assert office.status()["M1"] == "Requested"
    assert olga.payouts().set_index("merchant_id").loc["M1", ["by", "said"]].tolist() == ["olga", ""]


def test_a_payout_that_a_gate_blocks_cannot_be_prepared(office):
    office.payouts = payouts({"status": "Blocked", "reasons": "LIMIT_BREACH"})
    with pytest.raises(Refused, match="LIMIT_BREACH"):
        office.desk("olga", "settlement_ops").prepare([office.of("M1")])


def test_a_second_click_on_anything_changes_nothing(office):
    olga, carl = office.desk("olga", "settlement_ops"), office.desk("carl", "credit_manager")
    (payment_id,) = olga.prepare([office.of("M1")])
    sha256 = office.order(payment_id)["sha256"]
    carl.approve(payment_id, sha256)
    olga.request(payment_id)
    before = event_types(office)
    for click in (
        lambda: olga.prepare([office.of("M1")]),
        lambda: carl.approve(payment_id, sha256),
        lambda: olga.request(payment_id),
        lambda: carl.refuse(payment_id, "late"),
        lambda: olga.withdraw(payment_id, "late"),
    ):
        with pytest.raises(Refused, match="Requested"):
            click()
    assert event_types(office) == before


@pytest.fixture
def crashed(office, monkeypatch) -> str:
    """The payment id of M1, whose request was booked and whose file did not reach the outbox."""

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as crashing:
        crashing.setattr(PaymentFolder, "hand_over", crash)
        with pytest.raises(KeyboardInterrupt):
            office.requested("M1")
    assert event_types(office)[-1] == "PAYOUT_REQUESTED"
    return office.desk("ada", "auditor").orders()["payment_id"].iloc[0]


def test_after_a_crash_between_ledger_and_outbox_requesting_again_only_puts_the_file_there(office, crashed):
    before = event_types(office)
    sent = office.desk("olga", "settlement_ops").request(crashed)
    assert sent.read_bytes() == (office.folder / "payments" / "prepared" / f"{crashed}.xml").read_bytes()
    assert event_types(office) == before
    with pytest.raises(Refused, match="Requested"):
        office.desk("olga", "settlement_ops").request(crashed)


def test_a_copy_changed_after_the_crash_is_not_handed_over(office, crashed):
    (copy,) = (office.folder / "payments" / "prepared").glob("*.staged")
    copy.write_bytes(copy.read_bytes().replace(b"500", b"900"))
    with pytest.raises(Refused, match="not the approved"):
        office.desk("olga", "settlement_ops").request(crashed)
    assert not (office.folder / "payments" / "outbox" / f"{crashed}.xml").exists()


def test_after_a_crash_a_file_whose_merchant_was_blocked_meanwhile_does_not_leave(office, crashed):
    office.desk("rita", "risk_analyst").block("M1", "sanctions hit")
    with pytest.raises(Refused, match="MERCHANT_BLOCKED"):
        office.desk("olga", "settlement_ops").request(crashed)
    office.desk("carl", "credit_manager").unblock("M1", "another person of that name")
    assert office.desk("olga", "settlement_ops").request(crashed).exists()


def test_after_a_crash_a_file_whose_day_has_passed_does_not_leave(office, crashed):
    office.now += pd.Timedelta(days=12)
    with pytest.raises(Refused, match="can no longer be met"):
        office.desk("olga", "settlement_ops").request(crashed)
    assert not (office.folder / "payments" / "outbox" / f"{crashed}.xml").exists()


def test_after_a_crash_a_run_made_since_that_sees_it_under_way_does_not_stop_it(office, crashed):
    office.payouts = payouts({"status": "Requested", "reasons": "NON_POSITIVE_PAYOUT"})
    assert office.desk("olga", "settlement_ops").request(crashed).exists()


def test_after_a_crash_the_file_can_be_withdrawn_and_its_payout_is_paid_once_under_a_new_one(office, crashed):
    olga = office.desk("olga", "settlement_ops")
    olga.withdraw(crashed, "not today")
    assert office.status()["M1"] == "Ready"
    assert office.ledger.transfers(open_only=True).empty
    assert not list((office.folder / "payments" / "prepared").glob("*.staged"))
    assert not list((office.folder / "payments" / "prepared").glob("*.held"))
    office.now += pd.Timedelta(minutes=5)
    assert office.requested("M1") != crashed
    assert [p.stem == crashed for p in (office.folder / "payments" / "outbox").iterdir()] == [False]


def test_the_copy_is_away_before_the_money_is_free_and_a_crash_in_between_lets_no_file_leave(
    office, crashed, monkeypatch
):
    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as crashing:
        crashing.setattr(Ledger, "append", crash)
        with pytest.raises(KeyboardInterrupt):
            office.desk("olga", "settlement_ops").withdraw(crashed, "stop")
    assert office.status()["M1"] == "Requested"
    with pytest.raises(Refused, match="Requested"):
        office.desk("olga", "settlement_ops").request(crashed)
    office.desk("olga", "settlement_ops").withdraw(crashed, "stop")
    assert office.status()["M1"] == "Ready"
    assert not (office.folder / "payments" / "outbox" / f"{crashed}.xml").exists()


def test_who_hands_over_a_copy_that_was_taken_back_at_the_same_moment_is_told(office, crashed):
    (requested,) = office.ledger.events(event_types=["PAYOUT_REQUESTED"])["details"]
    folder, copy = PaymentFolder(office.folder / "payments"), json.loads(requested)["staged"]
    assert folder.hold_back(copy)
    with pytest.raises(Refused, match="taken back"):
        folder.hand_over(crashed, copy, "")


def test_a_file_that_has_left_is_not_withdrawn(office):
    payment_id = office.requested("M1")
    with pytest.raises(Refused, match="Requested"):
        office.desk("olga", "settlement_ops").withdraw(payment_id, "too late")


def test_file_journal_and_copy_are_on_the_disk_before_the_ledger_counts_on_them(office, monkeypatch):
    order, sync, append = list[str](), os.fsync, Ledger.append

    def noted_sync(handle: int) -> None:
        order.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        sync(handle)

    def noted_append(*args: object, **values: object) -> object:
        order.append("ledger")
        return append(*args, **values)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Ledger, "append", noted_append)
    office.requested("M1")
    folder = ["folder"] if os.name == "posix" else []
    prepared, approved, requested = [*["file", *folder] * 2, "ledger"], ["ledger"], ["file", *folder, "ledger"]
    assert order == [*prepared, *approved, *requested, *folder * 2]


def test_a_file_that_the_banks_connector_has_taken_is_not_put_into_the_outbox_again(office):
    payment_id = office.requested("M1")
    sent = office.folder / "payments" / "outbox" / f"{payment_id}.xml"
    sent.unlink()
    with pytest.raises(Refused, match="Requested"):
        office.desk("olga", "settlement_ops").request(payment_id)
    assert not sent.exists()


def test_who_comes_second_to_hand_over_the_same_copy_makes_no_second_file(office):
    payment_id = office.requested("M1")
    (requested,) = office.ledger.events(event_types=["PAYOUT_REQUESTED"])["details"]
    folder, sent = (
        PaymentFolder(office.folder / "payments"),
        office.folder / "payments" / "outbox" / f"{payment_id}.xml",
    )
    sent.unlink()
    assert folder.hand_over(payment_id, json.loads(requested)["staged"], "") == sent
    assert not sent.exists()


@pytest.mark.parametrize("action", ["approve", "request", "refuse", "withdraw"])
def test_a_run_that_lacks_a_payout_of_the_file_cannot_move_the_file(office, action):
    olga, carl = office.desk("olga", "settlement_ops"), office.desk("carl", "credit_manager")
    (payment_id,) = olga.prepare([office.of("M1"), office.of("M2")])
    sha256 = office.order(payment_id)["sha256"]
    if action == "request":
        carl.approve(payment_id, sha256)
    before = event_types(office)
    office.payouts = payouts({})
    olga, carl = office.desk("olga", "settlement_ops"), office.desk("carl", "credit_manager")
    act = {
        "approve": lambda: carl.approve(payment_id, sha256),
        "request": lambda: olga.request(payment_id),
        "refuse": lambda: carl.refuse(payment_id, "late"),
        "withdraw": lambda: olga.withdraw(payment_id, "late"),
    }[action]
    with pytest.raises(Refused, match="use the run it was prepared in"):
        act()
    assert event_types(office) == before


def test_a_file_of_yesterday_is_not_sent_today(office):
    olga = office.desk("olga", "settlement_ops")
    (payment_id,) = olga.prepare([office.of("M1")])
    olga.approve(payment_id, office.order(payment_id)["sha256"])
    office.now = pd.Timestamp("2026-11-03 09:00", tz="UTC")
    with pytest.raises(Refused, match="can no longer be met"):
        olga.request(payment_id)


@pytest.mark.parametrize(
    ("now", "day"),
    [
        ("2026-10-29 15:59", "2026-10-30"),  # due date is later than the clock
        ("2026-10-30 15:59", "2026-10-30"),  # 16:59 CET
        ("2026-10-30 16:00", "2026-11-02"),  # Friday 17:00 CET: Monday
        ("2026-12-24 16:30", "2026-12-28"),  # TARGET is closed on 25 December
    ],
)
def test_the_execution_date_is_the_next_target_day_for_which_the_bank_takes_payments(office, now, day):
    office.now = pd.Timestamp(now, tz="UTC")
    (payment_id,) = office.desk("olga", "settlement_ops").prepare([office.of("M1")])
    assert office.order(payment_id)["execution_date"] == day


def test_payouts_due_on_different_days_go_into_files_of_their_own(office):
    office.payouts = payouts({}, {"merchant_id": "M2", "due_date": "2026-11-05"})
    ids = office.desk("olga", "settlement_ops").prepare([office.of("M1"), office.of("M2")])
    assert [office.order(i)["execution_date"] for i in ids] == ["2026-10-30", "2026-11-05"]


def test_without_an_account_to_pay_from_nothing_is_prepared(tmp_path):
    office = Office(tmp_path, debtor_iban="")
    with pytest.raises(AtlasError, match="debtor_iban"):
        office.desk("olga", "settlement_ops").prepare([office.of("M1")])
    assert event_types(office) == []


def test_yesterdays_run_opened_again_cannot_pay_what_today_has_requested(office):
    yesterday = payouts({"amount_minor": 400_00, "due_date": "2026-10-29"})
    office.requested("M1")
    office.payouts = yesterday
    with pytest.raises(Refused, match="Requested"):
        office.desk("olga", "settlement_ops").prepare([office.of("M1")])


def test_the_events_hold_the_hashes_of_file_and_journal(office):
    payment_id = office.requested("M1")
    events = office.ledger.events(batch_ids=[payment_id])
    details = {t: json.loads(d) for t, d in zip(events["event_type"], events["details"], strict=True)}
    approved, prepared = details["PAYOUT_APPROVED"], details["PAYOUT_PREPARED"]
    assert approved["approved_sha256"] == prepared["sha256"]
    assert approved["approved_journal_sha256"] == prepared["journal_sha256"]
    assert len(prepared["sha256"]) == 64
    assert office.ledger.verify().empty


def test_a_policy_decided_on_an_old_run_changes_nothing_that_a_newer_run_holds(tmp_path):
    office = Office(tmp_path)
    sale = transactions({"amount_minor": 1000_00, "created_at": "2026-11-10 10:00"})
    keep_reserves(contracts(), office.merchants, sale, office.ledger, settings("2026-11-20"))
    carl = office.desk("carl", "credit_manager")
    terms = ReservePolicy(reserve_percent=0, hold_days=3)
    with pytest.raises(Refused, match="2026-11-20"):
        carl.set_policy("M1", "EUR", terms, date(2026, 11, 20), "old run opened")
    carl.set_policy("M1", "EUR", terms, date(2026, 11, 21), "from the next day on")


def test_a_request_that_loses_to_a_withdrawal_says_so_instead_of_naming_a_file_that_is_not_there(office, monkeypatch):
    olga = office.desk("olga", "settlement_ops")
    (payment_id,) = olga.prepare([office.of("M1")])
    olga.approve(payment_id, office.order(payment_id)["sha256"])
    omar, hand_over = office.desk("omar", "settlement_ops"), PaymentFolder.hand_over

    def after_a_withdrawal(self, *given):
        omar.withdraw(payment_id, "wrong day")
        return hand_over(self, *given)

    monkeypatch.setattr(PaymentFolder, "hand_over", after_a_withdrawal)
    with pytest.raises(Refused, match=r"withdrawn at the same moment.*withdrawn by omar.*prepare the payouts again"):
        olga.request(payment_id)
    assert office.status()["M1"] == "Ready"
    assert office.ledger.transfers(open_only=True).empty
    assert not list((office.folder / "payments" / "outbox").glob("*.xml"))


def test_a_file_that_the_banks_connector_has_fetched_at_once_is_requested(office, monkeypatch):
    olga = office.desk("olga", "settlement_ops")
    (payment_id,) = olga.prepare([office.of("M1")])
    olga.approve(payment_id, office.order(payment_id)["sha256"])
    hand_over = PaymentFolder.hand_over

    def fetched_at_once(self, *given):
        path = hand_over(self, *given)
        path.unlink()
        return path

    monkeypatch.setattr(PaymentFolder, "hand_over", fetched_at_once)
    assert olga.request(payment_id).name == f"{payment_id}.xml"
    assert office.status()["M1"] == "Requested"


@pytest.mark.parametrize("approved_before", [False, True])
def test_a_payment_file_of_an_earlier_version_is_not_handed_over_until_it_is_prepared_anew(office, approved_before):
    """Its event lacks the mark of the account, so nobody could tell whether it goes to the account of today."""
    olga = office.desk("olga", "settlement_ops")
    (payment_id,) = olga.prepare([office.of("M1")])
    sha256 = office.order(payment_id)["sha256"]
    if approved_before:
        olga.approve(payment_id, sha256)
    as_it_was = office.ledger.events(event_types=["PAYOUT_PREPARED", "PAYOUT_APPROVED"])
    olga.withdraw(payment_id, "to be written as the earlier version did")
    details = [{k: v for k, v in json.loads(d).items() if k != "payee"} for d in as_it_was["details"]]
    office.ledger.append("earlier", as_it_was.assign(details=[json.dumps(d) for d in details]))
    assert office.status()["M1"] == ("Approved" if approved_before else "Prepared")
    with pytest.raises(Refused, match=r"earlier version.*prepared by olga.*withdraw it and prepare it again"):
        olga.request(payment_id) if approved_before else olga.approve(payment_id, sha256)
    olga.withdraw(payment_id, "prepared by the earlier version")
    office.now += pd.Timedelta(minutes=1)
    office.requested("M1")


def test_what_is_due_on_a_day_is_asked_for_by_that_day_alone(office, monkeypatch):
    """The payouts of all other days are never read, however many there are."""
    office.requested("M1")
    asked, events = [], Ledger.events
    monkeypatch.setattr(Ledger, "events", lambda self, *a, **k: asked.append((a, k)) or events(self, *a, **k))
    assert read_due("2026-11-02", office.ledger)["payout_id"].tolist() == []
    assert [len(events(office.ledger, *a, **k)) for a, k in asked] == [0, 0]
    assert read_due("2026-10-30", office.ledger)["status"].tolist() == ["Requested"]
