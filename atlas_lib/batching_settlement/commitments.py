"""Proof that the commit service and the ledger tell the same story."""

from __future__ import annotations

import json

import pandas as pd

from atlas_lib.batching_settlement.claims import commit_key
from atlas_lib.core.tables import declared
from atlas_lib.ledger.commit import LOCAL, CommitService
from atlas_lib.ledger.store import Ledger

_SHOWN = 3


def check_commitments(ledger: Ledger, commit: CommitService) -> dict[str, pd.DataFrame]:
    """Who commits, and whether it holds exactly what the ledger's CONSENSUS_ACHIEVED events say of it.

    The local store must hold each of them with the value of its event; of a cluster, besides, no key may be there
    that no event speaks of, and its members' hashes must be equal. Events of another service than the present one
    are left out: `committed_by` in their details names it. Output: commit_checks (check_no).
    """
    wrong = commit.disagreements(achieved_commitments(ledger, commit.name))
    more = f" and {len(wrong) - _SHOWN:,} more" if len(wrong) > _SHOWN else ""
    checks = [
        (f"committed by: {commit.describe()}", True, False, "holds"),
        ("what is committed is what the ledger says", not wrong, True, "; ".join(wrong[:_SHOWN]) + more or "holds"),
    ]
    frame = pd.DataFrame(checks, columns=pd.Index(["check", "passed", "is_blocking", "detail"]))
    return {"commit_checks": declared("commit_checks").shaped(frame.assign(check_no=range(1, len(frame) + 1)))}


def achieved_commitments(ledger: Ledger, service: str) -> dict[str, str]:
    """Key and value of every commitment that the ledger's events say this service made."""
    events = ledger.events(event_types=["CONSENSUS_ACHIEVED"])
    facts = zip(events["batch_id"], map(json.loads, events["details"]), strict=True)
    return {
        commit_key(batch_id, f["round"]): f["plan_sha256"]
        for batch_id, f in facts
        if f.get("committed_by", LOCAL) == service
    }
