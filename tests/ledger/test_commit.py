"""The commit service: one contract, held by the local store and by a real etcd cluster of three nodes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from atlas_lib.core.errors import SettingsError
from atlas_lib.ledger.commit import CommitService, LocalCommit, open_commit_service
from atlas_lib.ledger.etcd import EtcdCommit
from atlas_lib.ledger.store import Ledger, open_ledger
from tests.ledger.etcd_cluster import Cluster

pytestmark = pytest.mark.filterwarnings("ignore:The commit service runs on")

Open = Callable[[], CommitService]


@pytest.fixture(params=["local", "etcd"])
def open_service(request: pytest.FixtureRequest, ledger_url: str) -> Iterator[Open]:
    """Opens a further client of the service; every client has a connection of its own, for its own thread."""
    opened: list[Ledger] = []
    address = request.getfixturevalue("etcd_nodes").url if request.param == "etcd" else "local"

    def make() -> CommitService:
        opened.append(open_ledger(ledger_url, "tester"))
        return open_commit_service(address, opened[-1])

    yield make


def test_the_first_value_stands_for_ever(open_service: Open) -> None:
    one, other = open_service(), open_service()
    assert one.commit_once("batch:B-1:0", "plan 1") == (True, "plan 1")
    assert other.commit_once("batch:B-1:0", "plan 2") == (False, "plan 1")
    assert one.commit_once("batch:B-1:0", "plan 1") == (False, "plan 1")
    assert open_service().commit_once("batch:B-1:1", "plan 2") == (True, "plan 2")


def test_many_keys_are_decided_one_by_one(open_service: Open) -> None:
    one, other = open_service(), open_service()
    one.commit_all({f"k{i}": "one" for i in range(0, 300, 2)})
    found = other.commit_all({f"k{i}": "other" for i in range(300)})
    assert found == {f"k{i}": (i % 2 == 1, "other" if i % 2 else "one") for i in range(300)}
    assert other.commit_all({}) == {}


def test_of_clients_that_commit_the_same_batches_at_once_one_wins_each(open_service: Open) -> None:
    answers: dict[str, dict[str, tuple[bool, str]]] = {}
    start = threading.Barrier(4)

    def commit(name: str) -> None:
        service = open_service()
        start.wait()
        answers[name] = {key: service.commit_once(key, name) for key in map(str, range(12))}

    clients = [threading.Thread(target=commit, args=(f"client {n}",)) for n in range(4)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(60)
    assert len(answers) == 4
    for key in map(str, range(12)):
        assert [name for name in answers if answers[name][key][0]] == [answers["client 0"][key][1]]
        assert len({answers[name][key][1] for name in answers}) == 1


def test_what_is_stored_is_held_against_what_the_ledger_says(open_service: Open) -> None:
    service = open_service()
    service.commit_all({"a": "1", "b": "2"})
    assert service.disagreements({"a": "1", "b": "2"}) == []
    assert [t.partition(":")[0] for t in service.disagreements({"a": "1", "b": "9", "c": "3"})] == ["b", "c"]


def test_the_local_store_says_that_it_is_not_replicated(ledger: Ledger) -> None:
    assert open_commit_service("local", ledger).describe() == "local store, no replication"


def test_the_cluster_says_how_many_nodes_are_healthy(ledger: Ledger, etcd_nodes: Cluster) -> None:
    assert open_commit_service(etcd_nodes.url, ledger).describe().startswith("etcd, 3 nodes, 3 healthy")


def test_a_commitment_that_no_event_speaks_of_is_found_on_the_cluster(ledger: Ledger, etcd_nodes: Cluster) -> None:
    service = open_commit_service(etcd_nodes.url, ledger)
    service.commit_all({f"k{i:04}": "v" for i in range(1_100)})
    expected = {f"k{i:04}": "v" for i in range(1_099)}
    assert service.disagreements(expected) == ["k1099: etcd holds v, the ledger nothing"]


def test_two_ledgers_on_one_cluster_do_not_meet(etcd_nodes: Cluster) -> None:
    endpoints = etcd_nodes.url.removeprefix("etcd://").split(",")
    with closing(EtcdCommit(endpoints, "ledger-1")) as one, closing(EtcdCommit(endpoints, "ledger-10")) as other:
        assert one.commit_once("k", "1") == (True, "1")
        assert other.commit_once("k", "2") == (True, "2")
        assert one.committed() == {"k": "1"}


@pytest.mark.parametrize("address", ["", "redis://h:1", "etcd://", "etcd://h", "etcd://h:1,", "etcd://me:secret@h:1"])
def test_an_address_that_is_not_understood_is_refused_without_showing_a_password(ledger: Ledger, address: str) -> None:
    with pytest.raises(SettingsError, match="commit service") as refused:
        open_commit_service(address, ledger)
    assert "secret" not in str(refused.value)


def test_opening_asks_nobody(ledger: Ledger) -> None:
    assert isinstance(open_commit_service("local", ledger), LocalCommit)
    assert open_commit_service("etcd://127.0.0.1:1,127.0.0.1:2", ledger).describe() == "etcd, 2 nodes, 0 healthy"
