"""The commit service: a batch may be executed only after it is committed, once, whoever retries.

The local service is the ledger store itself: durable on one node, with no replication. An etcd cluster
(compare-and-set on several nodes) answers the same call.
"""

from __future__ import annotations

from typing import Protocol


class CommitService(Protocol):
    """Compare-and-set: the first value given for a key stands for ever."""

    def commit_once(self, key: str, value: str) -> tuple[bool, str]:
        """(True, value) when this call stored it; (False, the value that stands) otherwise."""
        ...
