"""The commit service: a batch may be executed only after it is committed, once, whoever retries.

`local` is the ledger store itself: durable on one node, with no replication. `etcd://host:port,host:port,...` is a
cluster that decides by a majority of its nodes (etcd.py). Which of them is used is a setting; neither ever takes the
place of the other by itself. The promises, and the test of each, are in docs/commit_service.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol

from atlas_lib.core.errors import SettingsError
from atlas_lib.ledger.etcd import EtcdCommit
from atlas_lib.ledger.etcd_gateway import Access
from atlas_lib.ledger.store import Ledger

LOCAL = "local"
_ETCD = "etcd://"


class CommitService(Protocol):
    """Compare-and-set: the first value given for a key stands for ever.

    `name` is written into the ledger with what it committed: local or etcd.
    """

    name: str

    def commit_once(self, key: str, value: str) -> tuple[bool, str]:
        """(True, value) when this call stored it; (False, the value that stands) otherwise."""
        ...

    def commit_all(self, values: Mapping[str, str]) -> dict[str, tuple[bool, str]]:
        """`commit_once` for many keys, each decided by itself."""
        ...

    def describe(self) -> str:
        """What commits, in a few words for people."""
        ...

    def held_outside(self) -> dict[str, str]:
        """Every key of this ledger and its value, as far as they are kept outside the ledger's own store."""
        ...

    def disagreements(self, expected: Mapping[str, str]) -> list[str]:
        """Where what is stored differs from `expected` (key to value), in sentences; empty when it does not."""
        ...


class LocalCommit:
    """The ledger store as its own commit service."""

    name = LOCAL

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def commit_once(self, key: str, value: str) -> tuple[bool, str]:
        return self._ledger.commit_once(key, value)

    def commit_all(self, values: Mapping[str, str]) -> dict[str, tuple[bool, str]]:
        with self._ledger.together():
            return {key: self._ledger.commit_once(key, value) for key, value in values.items()}

    def describe(self) -> str:
        return "local store, no replication"

    def held_outside(self) -> dict[str, str]:
        """Nothing: what the store commits goes, and is put back, with the ledger itself."""
        return {}

    def disagreements(self, expected: Mapping[str, str]) -> list[str]:
        stored = self._ledger.committed(expected)
        wrong = sorted(key for key, value in expected.items() if stored.get(key) != value)
        return [f"{key}: the store holds {stored.get(key, 'nothing')}, the ledger {expected[key]}" for key in wrong]


def open_commit_service(address: str, ledger: Ledger) -> LocalCommit | EtcdCommit:
    """The commit service of the setting `commit_service`: `local`, or `etcd://host:port,host:port,...`.

    Opening asks nobody yet, so that a finished run can be shown while the cluster is down. User, password and
    certificates of a cluster come from the environment (ATLAS_ETCD_*, see etcd_gateway.py). Raises SettingsError.
    """
    if address == LOCAL:
        return LocalCommit(ledger)
    endpoints = [e.strip() for e in address.removeprefix(_ETCD).split(",")]
    if not address.startswith(_ETCD) or not all(_is_endpoint(e) for e in endpoints):
        raise SettingsError(
            "The commit service is not understood", where="commit_service", found=address.rpartition("@")[2],
            expected="local, or etcd://host:port,host:port,host:port",
            remedy="user and password of a cluster go into ATLAS_ETCD_USER and ATLAS_ETCD_PASSWORD",
        )  # fmt: skip
    return EtcdCommit(endpoints, ledger.head().ledger_id, Access.from_environment(os.environ))


def _is_endpoint(text: str) -> bool:
    host, colon, port = text.rpartition(":")
    return bool(host and colon and port.isdigit()) and not set(host) & set("/@ ?")
