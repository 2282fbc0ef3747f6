"""What a cluster of three real nodes survives, and what it says when it cannot go on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from atlas_lib.core.errors import LedgerError
from atlas_lib.ledger.etcd import EtcdCommit, _known_fault
from atlas_lib.ledger.etcd_gateway import Access
from tests.ledger.etcd_cluster import Cluster, CuttingProxy, wait_until

pytestmark = pytest.mark.filterwarnings("ignore:The commit service runs on")


def endpoints(nodes: Cluster) -> list[str]:
    return nodes.url.removeprefix("etcd://").split(",")


@pytest.fixture
def nodes(etcd_nodes: Cluster) -> Iterator[Cluster]:
    """The three nodes, all healthy before and after."""
    watcher = EtcdCommit(endpoints(etcd_nodes), "watcher")

    def heal() -> None:
        for number, member in enumerate(etcd_nodes.members):
            if member is None:
                etcd_nodes.start(number)
        wait_until(lambda: (watcher.members()["status"] == "healthy").all())

    heal()
    yield etcd_nodes
    heal()
    watcher.close()


@pytest.fixture
def service(nodes: Cluster, request: pytest.FixtureRequest) -> Iterator[EtcdCommit]:
    opened = EtcdCommit(endpoints(nodes), request.node.name)
    yield opened
    opened.close()


def leader_of(nodes: Cluster, service: EtcdCommit) -> int:
    said = [service._gateway.status(e) for e in endpoints(nodes)]
    return next(n for n, s in enumerate(said) if s and s["leader"] == s["header"]["member_id"])


def test_a_killed_leader_is_replaced_and_nothing_acknowledged_is_lost(nodes: Cluster, service: EtcdCommit) -> None:
    acknowledged = {f"before {i}": "v" for i in range(20)}
    service.commit_all(acknowledged)
    nodes.end(leader_of(nodes, service), signal.SIGKILL)
    started = time.monotonic()
    assert service.commit_once("after", "v") == (True, "v")
    assert time.monotonic() - started < 5
    assert service.committed() == acknowledged | {"after": "v"}


def test_a_minority_that_is_down_is_not_needed(nodes: Cluster, service: EtcdCommit) -> None:
    nodes.end((leader_of(nodes, service) + 1) % 3, signal.SIGTERM)
    assert service.commit_once("k", "v") == (True, "v")
    assert service.describe().startswith("etcd, 3 nodes, 2 healthy")
    assert service.disagreements({"k": "v"}) == []


def test_without_a_majority_it_refuses_in_a_sentence_and_goes_on_when_the_nodes_are_back(
    nodes: Cluster, service: EtcdCommit
) -> None:
    service.commit_once("before", "v")
    for number in (0, 1):
        nodes.end(number, signal.SIGKILL)
    with EtcdWithPatience(nodes, service, 2.0) as hasty, pytest.raises(LedgerError) as refused:
        hasty.commit_once("meanwhile", "v")
    text = str(refused.value)
    assert "no majority of its nodes works together, so nothing more is committed and nothing sent" in text
    assert "2 of 3 nodes with a leader" in text
    assert "start the missing nodes and run again" in text
    for number in (0, 1):
        nodes.start(number)
    assert service.commit_once("meanwhile", "v")[1] == "v"
    assert service.commit_once("before", "other") == (False, "v")


class EtcdWithPatience:
    """Another client of the same ledger that waits less long."""

    def __init__(self, nodes: Cluster, service: EtcdCommit, seconds: float) -> None:
        self._made = EtcdCommit(endpoints(nodes), service._prefix.split("/")[1], patience_seconds=seconds)

    def __enter__(self) -> EtcdCommit:
        return self._made

    def __exit__(self, *_: object) -> None:
        self._made.close()


def test_members_that_were_down_catch_up_and_agree(nodes: Cluster, service: EtcdCommit) -> None:
    nodes.end(2, signal.SIGKILL)
    values = {f"k{i}": "v" for i in range(150)}
    service.commit_all(values)
    nodes.start(2)
    wait_until(lambda: (service.members()["status"] == "healthy").all())
    assert service.disagreements(values) == []


def test_a_commitment_whose_answer_was_lost_is_asked_about_and_known_as_ones_own(nodes: Cluster) -> None:
    proxy = CuttingProxy(nodes.ports[0])
    service = EtcdCommit([f"127.0.0.1:{proxy.port}"], "answer lost")
    service.members()
    asked: list[str] = []
    ask = service._gateway.ask
    service._gateway.ask = lambda path, body: (asked.append(str(body)), ask(path, body))[1]  # type: ignore[method-assign]
    service._greet()
    proxy.cuts = 1
    assert service.commit_all({"a": "1", "b": "2"}) == {"a": (True, "1"), "b": (True, "2")}
    assert proxy.cut_count == 1
    assert ["requestPut" in body for body in asked] == [True, False]
    proxy.close()


def test_a_commitment_that_never_arrived_is_sent_after_asking_and_loses_to_who_was_faster(nodes: Cluster) -> None:
    proxy = CuttingProxy(nodes.ports[0])
    slow = EtcdCommit([f"127.0.0.1:{proxy.port}"], "never arrived")
    fast = EtcdCommit(endpoints(nodes), "never arrived")
    slow._greet()
    proxy.cuts, proxy.delivers = 1, False
    assert slow.commit_once("a", "slow") == (True, "slow")
    fast.commit_once("b", "fast")
    proxy.cuts = 1
    assert slow.commit_once("b", "slow") == (False, "fast")
    assert proxy.cut_count == 2
    proxy.close()


def test_two_clients_that_lose_answers_never_both_win(nodes: Cluster) -> None:
    proxies = [CuttingProxy(port) for port in nodes.ports[:2]]
    won: dict[int, set[str]] = {0: set(), 1: set()}

    def commit(number: int) -> None:
        service = EtcdCommit([f"127.0.0.1:{proxies[number].port}"], "both lose answers")
        for i in range(20):
            if i % 3 == 0:
                proxies[number].delivers, proxies[number].cuts = i % 2 == 0, 1
            if service.commit_once(f"k{i}", f"client {number}")[0]:
                won[number].add(f"k{i}")

    clients = [threading.Thread(target=commit, args=(n,)) for n in (0, 1)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(60)
    assert won[0] & won[1] == set()
    assert won[0] | won[1] == {f"k{i}" for i in range(20)}
    stored = EtcdCommit(endpoints(nodes), "both lose answers").committed()
    assert {k for k, v in stored.items() if v == "client 0"} == won[0]
    for proxy in proxies:
        proxy.close()


def test_large_values_go_in_several_requests_and_one_that_is_too_large_is_refused(service: EtcdCommit) -> None:
    values = {f"k{i}": str(i) * 700_000 for i in range(3)}
    assert service.commit_all(values) == {k: (True, v) for k, v in values.items()}
    with pytest.raises(LedgerError, match="too large"):
        service.commit_all({"small": "v", "large": "x" * 1_500_000})
    assert "small" not in service.committed()


@pytest.mark.parametrize(
    ("version", "is_faulty"),
    [
        ("3.4.23", True), ("3.4.41", True), ("3.4.42", False), ("3.5.27", True), ("3.5.28", False), ("3.6.8", True),
        ("3.6.9", False), ("3.7.0", False), ("3.3.27", True), ("4.0.0-rc.1", False), ("", False), ("unknown", False),
    ],
)  # fmt: skip
def test_versions_with_stale_reads_are_known(version: str, is_faulty: bool) -> None:
    assert bool(_known_fault(version)) == is_faulty


def test_a_version_with_stale_reads_is_warned_of_once(service: EtcdCommit) -> None:
    faults = set(service.members()["remark"]) - {""}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        service.commit_once("a", "1")
        service.commit_once("b", "1")
    assert len([w for w in said if "stale reads" in str(w.message)]) == len(faults)


def test_user_password_and_certificates_are_asked_for_and_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the certificates of this test are made with openssl")
    ca, key = tmp_path / "ca.pem", tmp_path / "ca.key"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", ca, "-days", "2", "-subj",
         "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True,
    )  # fmt: skip
    options = ("--cert-file", str(ca), "--key-file", str(key))
    guarded = Cluster(tmp_path, 1, options, scheme="https")
    try:
        for name, value in {"CA": str(ca), "USER": "root", "PASSWORD": "four eyes"}.items():
            monkeypatch.setenv(f"ATLAS_ETCD_{name}", value)
        plain = EtcdCommit(endpoints(guarded), "guarded", Access(ca=str(ca)))
        wait_until(lambda: plain.describe().startswith("etcd, 1 nodes, 1 healthy"))
        for path, body in [
            ("auth/user/add", {"name": "root", "password": "four eyes"}), ("auth/role/add", {"name": "root"}),
            ("auth/user/grant", {"user": "root", "role": "root"}), ("auth/enable", {}),
        ]:  # fmt: skip
            plain._gateway.ask(path, body)
        with pytest.raises(LedgerError, match="ATLAS_ETCD_USER"):
            plain.committed()
        with pytest.raises(LedgerError, match="does not accept the user"):
            EtcdCommit(endpoints(guarded), "guarded", Access("root", "wrong", str(ca))).commit_once("k", "v")
        named = EtcdCommit(endpoints(guarded), "guarded", Access.from_environment(os.environ))
        assert named.commit_once("k", "v") == (True, "v")
        assert "four eyes" not in repr(Access.from_environment(os.environ))
        distrusted = EtcdCommit(endpoints(guarded), "guarded", Access(), patience_seconds=0.2)
        with pytest.raises(LedgerError):
            distrusted.commit_once("k", "v")
    finally:
        guarded.close()
