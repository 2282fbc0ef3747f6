"""The commit service on three real etcd nodes (loopback, default timers), beside the local store; and its failover.

COMMITS (default 500) batches one by one, then ten times as many in bulk; the peer is the local store (SQLite,
synchronous=FULL) given the same calls. Then the leader is killed with SIGKILL KILLS times (default 7) and the time to the
next acknowledged commitment taken; every acknowledged commitment must be there at the end. `python -m benchmarks
commit_service` (needs Debian's etcd-server)
"""

from __future__ import annotations

import os
import signal
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

from atlas_lib.ledger.commit import CommitService, LocalCommit
from atlas_lib.ledger.etcd import EtcdCommit
from atlas_lib.ledger.store import open_ledger
from tests.ledger.etcd_cluster import Cluster, wait_until

DIGEST = "0" * 64


def milliseconds(service: CommitService, count: int) -> list[float]:
    taken = []
    for n in range(count):
        started = time.perf_counter()
        service.commit_once(f"batch:B-{n}:0", DIGEST)
        taken.append(1000 * (time.perf_counter() - started))
    return sorted(taken)


def bulk_rate(service: CommitService, count: int) -> float:
    started = time.perf_counter()
    service.commit_all({f"batch:C-{n}:0": DIGEST for n in range(count)})
    return count / (time.perf_counter() - started)


def measure(name: str, service: CommitService, count: int) -> None:
    cpu = time.process_time()
    taken = milliseconds(service, count)
    rate = bulk_rate(service, 10 * count)
    p99 = taken[int(0.99 * len(taken))]
    cpu = time.process_time() - cpu
    sys.stdout.write(
        f"{name:<22}p50 {statistics.median(taken):>6.2f} ms   p99 {p99:>6.2f} ms   in bulk {rate:>8,.0f}/s   client {cpu:.2f} CPU s\n"
    )


def leader(service: EtcdCommit) -> int:
    while True:
        for number, endpoint in enumerate(service._gateway.endpoints):
            said = service._gateway.status(endpoint)
            if said and said.get("leader") == said["header"]["member_id"]:
                return number
        time.sleep(0.05)


def failover(nodes: Cluster, service: EtcdCommit, kills: int) -> list[float]:
    taken = []
    for n in range(kills):
        victim = leader(service)
        nodes.end(victim, signal.SIGKILL)
        started = time.perf_counter()
        service.commit_once(f"batch:K-{n}:0", DIGEST)
        taken.append(time.perf_counter() - started)
        nodes.start(victim)
        wait_until(lambda: bool((service.members()["status"] == "healthy").all()))
    return taken


def cpu_of(nodes: Cluster) -> float:
    ticks = [sum(map(int, Path(f"/proc/{m.pid}/stat").read_text().split()[13:15])) for m in nodes.members if m]
    return sum(ticks) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    count, kills = int(os.environ.get("COMMITS", "500")), int(os.environ.get("KILLS", "7"))
    warnings.simplefilter("ignore")
    timers = ("--heartbeat-interval", "100", "--election-timeout", "1000")
    with tempfile.TemporaryDirectory(prefix="atlas-bench-") as folder:
        nodes = Cluster(Path(folder), 3, timers)
        service = EtcdCommit(nodes.url.removeprefix("etcd://").split(","), "bench")
        try:
            wait_until(lambda: bool((service.members()["status"] == "healthy").all()))
            with open_ledger(f"sqlite:///{folder}/ledger.sqlite", "bench") as ledger:
                measure("local store", LocalCommit(ledger), count)
            measure("etcd, 3 nodes", service, count)
            sys.stdout.write(f"the three nodes used {cpu_of(nodes):.1f} CPU s\n")
            taken = failover(nodes, service, kills)
            sys.stdout.write(
                f"leader killed {kills} times: median {statistics.median(taken):.2f} s, longest {max(taken):.2f} s\n"
            )
            expected = 11 * count + kills
            sys.stdout.write(f"{expected:,} acknowledged, {expected - len(service.committed()):,} lost\n")
        finally:
            nodes.close()


if __name__ == "__main__":
    main()
