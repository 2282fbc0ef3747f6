"""Two real processes at one ledger at once: each decision is made once, by one of them."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from atlas_lib.core.errors import Refused
from tests.reserves_credit.reserves_credit_frames import Office

SPAWN = multiprocessing.get_context("spawn")


def act(folder: str, action: str, name: str, payment_id: str, barrier, outcomes) -> None:
    """One operator: opens the desk, waits for the other, acts, says how it went."""
    office = Office(Path(folder))
    desk = office.desk(name, "settlement_ops")
    barrier.wait(60)
    try:
        desk.prepare([office.of("M1")]) if action == "prepare" else getattr(desk, action)(payment_id)
        outcomes.put((name, "done"))
    except Refused as refused:
        outcomes.put((name, refused.what))


def both(office: Office, action: str, payment_id: str = "") -> list[str]:
    barrier, outcomes = SPAWN.Barrier(2), SPAWN.Queue()
    people = [
        SPAWN.Process(target=act, args=(str(office.folder), action, n, payment_id, barrier, outcomes))
        for n in ("olga", "omar")
    ]
    for person in people:
        person.start()
    found = [outcomes.get(timeout=120) for _ in people]
    for person in people:
        person.join(60)
    assert [p.exitcode for p in people] == [0, 0]
    return sorted(what for _, what in found)


def test_two_operators_who_prepare_and_request_the_same_payout_at_once_pay_it_once(tmp_path):
    office = Office(tmp_path)
    assert both(office, "prepare") == ["Cannot prepare this payout", "done"]
    (payment_id,) = office.desk("ada", "auditor").orders()["payment_id"]
    office.desk("carl", "credit_manager").approve(payment_id, office.order(payment_id)["sha256"])
    assert both(office, "request", payment_id) == ["Cannot request this payout", "done"]
    assert office.ledger.events()["event_type"].tolist() == ["PAYOUT_PREPARED", "PAYOUT_APPROVED", "PAYOUT_REQUESTED"]
    assert len(office.ledger.transfers(open_only=True)) == 1
    assert [p.name for p in (tmp_path / "payments" / "outbox").iterdir()] == [f"{payment_id}.xml"]
    assert office.ledger.verify().empty
