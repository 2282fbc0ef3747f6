"""Whether the ledger store and the commit service can do their work now: reachable, how fast, what they did last."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from atlas_lib.core.errors import AtlasError
from atlas_lib.core.run import Run, ledger_url
from atlas_lib.ledger.commit import LOCAL, open_commit_service
from atlas_lib.ledger.etcd import EtcdCommit
from atlas_lib.ledger.store import Ledger, open_ledger

COMMITTED, FAILED = "CONSENSUS_ACHIEVED", "SETTLEMENT_FAILED"
MEMBER_STATES = ("healthy", "no leader", "silent")
_SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Health:
    """One part: `seconds` it took to answer, None where it did not; `last_at` its newest entry, or commitment.

    `counts`: of the store, entries by event type; of a cluster, members by state.
    """

    part: str
    kind: str
    is_up: bool
    seconds: float | None = None
    last_at: pd.Timestamp | None = None
    detail: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)


def check_health(
    runs_dir: Path, latest: Run | None, clock: Callable[[], float] = time.perf_counter
) -> list[Health]:  # fmt: skip
    """The store of the runs directory, then the commit service that the latest run names (the store itself by default).

    Empty where nothing was ever written. A store that does not answer is down, and so is what commits with it.
    """
    url = ledger_url(runs_dir)
    if url.startswith(_SQLITE) and not Path(url[len(_SQLITE) :]).exists():
        return []
    address = str(latest.manifest["settings"]["04_batching_settlement"]["commit_service"]) if latest else LOCAL
    kind = "sqlite" if url.startswith(_SQLITE) else "postgresql"
    began = clock()
    try:
        with open_ledger(url, writer="health") as ledger:
            counts, times = ledger.event_counts(), ledger.event_times()
            seconds = clock() - began
            last = None if times.empty else times.max()
            store = Health("store", kind, True, seconds, last, f"{int(counts.sum()):,} entries", dict(counts))
            return [store, _commit_service(ledger, address, times.get(COMMITTED), seconds, clock)]
    except (AtlasError, OSError) as error:
        down = Health("store", kind, False, detail=str(error))
        return [down, Health("commit service", address.partition(":")[0], False, detail="the store does not answer")]


def _commit_service(
    ledger: Ledger, address: str, last_at: pd.Timestamp | None, store_seconds: float, clock: Callable[[], float]
) -> Health:
    """A cluster can decide while a majority of its members knows a leader; the store, while it answers."""
    began = clock()
    service = open_commit_service(address, ledger)
    if not isinstance(service, EtcdCommit):
        return Health("commit service", LOCAL, True, store_seconds, last_at, service.describe())
    try:
        members = service.members()
    finally:
        service.close()
    states = members["status"].value_counts().reindex(MEMBER_STATES, fill_value=0)
    is_up = bool(2 * states["healthy"] > len(members))
    told = f"{len(members)} nodes, " + ", ".join(f"{n} {state}" for state, n in states.items() if n)
    return Health(
        "commit service",
        "etcd",
        is_up,
        clock() - began if is_up else None,
        last_at,
        told,
        {str(s): int(n) for s, n in states.items()},
    )
