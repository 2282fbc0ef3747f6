"""Batches are committed before they are executed: on the local store and on a real cluster."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd
import pytest

from atlas_lib.batching_settlement.commitments import achieved_commitments, check_commitments
from atlas_lib.batching_settlement.execution import settled_before
from atlas_lib.batching_settlement.rails import SimulatedRail
from atlas_lib.core.errors import LedgerError
from atlas_lib.core.tables import declared
from atlas_lib.ledger.commit import LocalCommit
from atlas_lib.ledger.etcd import EtcdCommit
from atlas_lib.ledger.store import Ledger, open_ledger
from tests.batching_settlement.execution_frames import (
    Crash,
    banks,
    check_books,
    execute,
    make_plan,
    outcome,
    small_plan,
)
from tests.ledger.etcd_cluster import Cluster, wait_until

pytestmark = pytest.mark.filterwarnings("ignore:The commit service runs on")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", "settlement") as opened:
        yield opened


def cluster_service(nodes: Cluster, ledger: Ledger, seconds: float = 15.0) -> EtcdCommit:
    endpoints = nodes.url.removeprefix("etcd://").split(",")
    return EtcdCommit(endpoints, ledger.head().ledger_id, patience_seconds=seconds)


def passed(checks: dict[str, pd.DataFrame]) -> list[bool]:
    return declared("commit_checks").checked(checks["commit_checks"])["passed"].tolist()


def test_the_local_store_commits_and_is_named(ledger: Ledger) -> None:
    execute(small_plan(), banks(), ledger, SimulatedRail(1, 0.0))
    local = LocalCommit(ledger)
    checks = check_commitments(ledger, local)
    assert passed(checks) == [True, True]
    assert checks["commit_checks"]["check"].iloc[0] == "committed by: local store, no replication"
    assert sorted(achieved_commitments(ledger, "local")) == ["batch:D-1:0", "batch:D-2:0", "batch:N-1:0"]


def test_a_run_on_a_cluster_settles_and_its_keys_are_the_events_of_the_ledger(
    ledger: Ledger, etcd_nodes: Cluster
) -> None:
    plan, rail, service = small_plan(), SimulatedRail(1, 0.0), cluster_service(etcd_nodes, ledger)
    assert set(outcome(execute(plan, banks(), ledger, rail, commit=service)).values()) == {"settled"}
    assert passed(check_commitments(ledger, service)) == [True, True]
    assert service.committed() == achieved_commitments(ledger, "etcd")
    assert ledger.committed(achieved_commitments(ledger, "etcd")) == {}
    service.commit_once("batch:D-9:0", "never heard of")
    checks = check_commitments(ledger, service)
    assert passed(checks) == [True, False]
    assert "batch:D-9:0" in checks["commit_checks"]["detail"].iloc[1]
    check_books(ledger, rail, plan)


def test_without_a_majority_nothing_is_sent_and_the_next_run_goes_on(ledger: Ledger, etcd_nodes: Cluster) -> None:
    plan, rail = small_plan(), SimulatedRail(1, 0.0)
    service = cluster_service(etcd_nodes, ledger)
    wait_until(lambda: "3 healthy" in service.describe())
    for number in (0, 1):
        etcd_nodes.end(number, signal.SIGKILL)
    with pytest.raises(LedgerError, match="nothing more is committed and nothing sent"):
        execute(plan, banks(), ledger, rail, commit=cluster_service(etcd_nodes, ledger, 1.0))
    assert rail.paid == {}
    assert set(ledger.events()["event_type"]) == {"BATCH_CREATED", "BATCH_OPTIMIZED", "CONSENSUS_SUBMITTED"}
    for number in (0, 1):
        etcd_nodes.start(number)
    assert set(outcome(execute(plan, banks(), ledger, rail, commit=service)).values()) == {"settled"}
    assert passed(check_commitments(ledger, service)) == [True, True]
    check_books(ledger, rail, plan)


def test_a_commitment_that_was_never_begun_is_written_down_when_another_plan_follows_it(ledger: Ledger) -> None:
    local = LocalCommit(ledger)
    local.commit_once("batch:D-1:0", "a plan whose process ended here")
    plan, rail = small_plan(), SimulatedRail(1, 0.0)
    execute(plan, banks(), ledger, rail)
    events = ledger.events(batch_ids=["D-1"], event_types=["CONSENSUS_ACHIEVED"])
    assert [json.loads(d)["round"] for d in events["details"]] == [0, 1]
    assert json.loads(events["details"].iloc[0])["plan_sha256"] == "a plan whose process ended here"
    assert passed(check_commitments(ledger, local)) == [True, True]
    check_books(ledger, rail, plan)


class OtherMachine(LocalCommit):
    """A commit service that outlives what happens to the ledger's file."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}

    def commit_all(self, values: Mapping[str, str]) -> dict[str, tuple[bool, str]]:
        return {k: (k not in self.held, self.held.setdefault(k, v)) for k, v in values.items()}

    def held_outside(self) -> dict[str, str]:
        return dict(self.held)


@pytest.mark.parametrize("was_voided", [False, True], ids=["never seen", "an earlier round seen"])
def test_a_ledger_that_was_put_back_pays_nothing_more(tmp_path: Path, was_voided: bool) -> None:
    address, service, rail = f"sqlite:///{tmp_path / 'ledger.sqlite'}", OtherMachine(), SimulatedRail(1, 0.0)
    plan = make_plan([("T-1", "D-1", "SALE", "I-1", "I-1", 100)], {"I-1": ("PRO-1", "MER", 100)})
    with open_ledger(address, "settlement") as ledger:
        if was_voided:
            nothing_goes = SimulatedRail(1, 0.0, down={"BANK-A", "BANK-B"})
            assert outcome(execute(plan, banks(), ledger, nothing_goes, commit=service)) == {"T-1": "failed"}
    shutil.copytree(tmp_path, tmp_path.with_name(tmp_path.name + "-copy"))
    with open_ledger(address, "settlement") as ledger:
        assert outcome(execute(plan, banks(), ledger, rail, commit=service)) == {"T-1": "settled"}
    shutil.rmtree(tmp_path)
    shutil.move(tmp_path.with_name(tmp_path.name + "-copy"), tmp_path)
    wider = make_plan(
        [("T-1", "D-2", "SALE", "I-2", "I-2", 100), ("T-2", "D-2", "SALE", "I-2", "I-2", 50)],
        {"I-2": ("PRO-1", "MER", 150)},
    )
    with open_ledger(address, "settlement") as ledger:
        with pytest.raises(LedgerError, match="of which the ledger knows nothing"):
            execute(wider, banks(), ledger, rail, commit=service)
        assert sorted(rail.paid) == (["I-1.1"] if was_voided else ["I-1"])
        assert "batch:D-2:0" not in service.held


def test_a_round_of_another_plan_is_in_the_ledger_before_the_next_one_is_committed(ledger: Ledger) -> None:
    class Dies(OtherMachine):
        def commit_all(self, values: Mapping[str, str]) -> dict[str, tuple[bool, str]]:
            answer = super().commit_all(values)
            if not all(is_won for is_won, _ in answer.values()):
                return answer
            raise Crash

    service, rail = Dies(), SimulatedRail(1, 0.0)
    first = make_plan([("T-1", "D-1", "SALE", "I-1", "I-1", 100)], {"I-1": ("PRO-1", "MER", 100)})
    other = make_plan([("T-1", "D-1", "SALE", "I-2", "I-2", 100)], {"I-2": ("PRO-2", "MER", 100)})
    for plan in (first, other):
        with pytest.raises(Crash):
            execute(plan, banks(), ledger, rail, commit=service)
    assert sorted(service.held) == ["batch:D-1:0", "batch:D-1:1"]
    assert outcome(execute(other, banks(), ledger, rail, commit=service)) == {"T-1": "settled"}
    assert sorted(rail.paid) == ["I-2"]


def test_two_clients_that_carry_out_the_same_batches_commit_once_and_pay_once(
    ledger: Ledger, etcd_nodes: Cluster, tmp_path: Path
) -> None:
    class Overtaken(EtcdCommit):
        """Between its answer and its next step, the other client does everything."""

        def commit_all(self, values):  # type: ignore[no-untyped-def]
            answer = super().commit_all(values)
            with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", "settlement") as other:
                execute(plan, banks(), other, rail, commit=cluster_service(etcd_nodes, other))
            return answer

    plan, rail = small_plan(), SimulatedRail(1, 0.0)
    endpoints = etcd_nodes.url.removeprefix("etcd://").split(",")
    slow = Overtaken(endpoints, ledger.head().ledger_id)
    assert set(outcome(execute(plan, banks(), ledger, rail, commit=slow)).values()) == {"settled"}
    assert len(ledger.events(event_types=["CONSENSUS_ACHIEVED"])) == 3
    assert len(rail.paid) == 6
    assert passed(check_commitments(ledger, slow)) == [True, True]
    check_books(ledger, rail, plan)


def test_a_ledger_that_began_with_the_local_store_may_go_on_with_a_cluster(ledger: Ledger, etcd_nodes: Cluster) -> None:
    nothing_goes = SimulatedRail(1, 0.0, down={"BANK-A", "BANK-B"})
    execute(small_plan(), banks(), ledger, nothing_goes)
    service = cluster_service(etcd_nodes, ledger)
    rail = SimulatedRail(1, 0.0)
    assert set(outcome(execute(small_plan(), banks(), ledger, rail, commit=service)).values()) == {"settled"}
    assert passed(check_commitments(ledger, service)) == [True, True]
    assert passed(check_commitments(ledger, LocalCommit(ledger))) == [True, True]
    assert settled_before(ledger, ["T-1"])["status"].tolist() == ["settled"]
