"""Proof that the commit service, the bank and the ledger tell the same story."""

from __future__ import annotations

import json

import pandas as pd

from atlas_lib.batching_settlement.bookings import booking_differences
from atlas_lib.batching_settlement.rails import Rail
from atlas_lib.core.errors import LedgerError
from atlas_lib.core.tables import declared
from atlas_lib.ledger.commit import LOCAL, CommitService
from atlas_lib.ledger.store import Ledger

_SHOWN = 3


def commit_key(batch_id: str, number: int) -> str:
    return f"batch:{batch_id}:{number}"


def refuse_older_ledger(ledger: Ledger, commit: CommitService) -> None:
    """LedgerError when a batch was committed of which this ledger knows nothing, before anything more is begun.

    Every batch is written into the ledger before it is committed (CONSENSUS_SUBMITTED). One that only the commit service
    holds was paid, or may have been, from a later state of the ledger: a copy was put back, or events were lost.
    """
    held = commit.held_outside()  # before the events: what another process commits meanwhile is written down by then
    if not held:
        return
    events = ledger.events(event_types=["CONSENSUS_SUBMITTED", "CONSENSUS_ACHIEVED"])
    facts = zip(events["batch_id"], map(json.loads, events["details"]), strict=True)
    known = {(commit_key(batch_id, fact["round"]), fact["plan_sha256"]) for batch_id, fact in facts}
    lost = sorted(key for key, value in held.items() if (key, value) not in known)
    if lost:
        raise LedgerError(
            "The commit service holds batches of which the ledger knows nothing, so nothing is paid",
            where=commit.describe(), found=", ".join(lost[:_SHOWN]) + _more(lost),
            expected="every committed batch in the ledger (CONSENSUS_SUBMITTED)",
            remedy="an older copy of the ledger was put back: bring the newest one, these batches may have been paid",
        )  # fmt: skip


def check_commitments(ledger: Ledger, commit: CommitService, rail: Rail | None = None) -> dict[str, pd.DataFrame]:
    """Who commits, and whether it holds exactly what the ledger's CONSENSUS_ACHIEVED events say of it.

    The local store must hold each of them with the value of its event; of a cluster, besides, no key may be there
    that no event speaks of, and its members' hashes must be equal. Events of another service than the present one
    are left out: `committed_by` in their details names it. With the `rail`: every payment the bank has booked is in the ledger as the
    bank has it (bookings.py). Output: commit_checks (check_no).
    """
    wrong = commit.disagreements(achieved_commitments(ledger, commit.name))
    checks = [
        (f"committed by: {commit.describe()}", True, False, "holds"),
        (
            "what is committed is what the ledger says",
            not wrong,
            True,
            "; ".join(wrong[:_SHOWN]) + _more(wrong) or "holds",
        ),
    ]
    if rail is not None:
        odd = booking_differences(ledger, rail)
        told = "; ".join(odd[:_SHOWN]) + _more(odd) or "holds"
        checks.append(("what the bank has booked is what the ledger says", not odd, True, told))
    frame = pd.DataFrame(checks, columns=pd.Index(["check", "passed", "is_blocking", "detail"]))
    return {"commit_checks": declared("commit_checks").shaped(frame.assign(check_no=range(1, len(frame) + 1)))}


def _more(told: list[str]) -> str:
    return f" and {len(told) - _SHOWN:,} more" if len(told) > _SHOWN else ""


def achieved_commitments(ledger: Ledger, service: str) -> dict[str, str]:
    """Key and value of every commitment that the ledger's events say this service made."""
    events = ledger.events(event_types=["CONSENSUS_ACHIEVED"])
    facts = zip(events["batch_id"], map(json.loads, events["details"]), strict=True)
    return {
        commit_key(batch_id, f["round"]): f["plan_sha256"]
        for batch_id, f in facts
        if f.get("committed_by", LOCAL) == service
    }
