"""Commitments on an etcd cluster: compare-and-set, decided by a majority of its nodes.

A key is written only if it was never there (create_revision = 0), in a transaction of its own, and never changed or
deleted. The stored value carries a token of the call that wrote it, so that a client which lost its answer finds out
by reading whether it was itself that won. etcd's locks are not used: a lease can end while its holder goes on. A
read says for certain only that a key is there; a key that is missing may have been written meanwhile, and the next
compare-and-set tells.
"""

from __future__ import annotations

import json
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from atlas_lib.core.errors import LedgerError
from atlas_lib.ledger.etcd_gateway import Access, Gateway, Unanswered, decode, encode

MEMBER_COLUMNS = ("endpoint", "status", "version", "remark")
# etcd allows 128 operations in a request and counts one of them for the request itself; 1.5 MiB in bytes.
_MAX_OPERATIONS, _MAX_BYTES = 100, 1_400_000
_PAGE = 1_000
_PAUSE_SECONDS = 0.05
# First versions of each line that no longer answer with stale reads after a pause.
_MENDED = {(3, 4): 42, (3, 5): 28, (3, 6): 9}

Stands = tuple[bool, str]


class EtcdCommit:
    """The commit service on a cluster; `ledger_id` keeps the keys of several ledgers apart."""

    name = "etcd"

    def __init__(
        self, endpoints: Sequence[str], ledger_id: str, access: Access | None = None, patience_seconds: float = 15.0
    ) -> None:
        self._gateway = Gateway(endpoints, access or Access())
        self._prefix, self._patience = f"atlas/{ledger_id}/", patience_seconds
        self._is_greeted, self._last_said = False, ""

    def close(self) -> None:
        self._gateway.close()

    def commit_once(self, key: str, value: str) -> Stands:
        return self.commit_all({key: value})[key]

    def commit_all(self, values: Mapping[str, str]) -> dict[str, Stands]:
        """Every key decided by itself; LedgerError when no majority answers within the patience.

        After that error each of the keys may or may not stand: call again with the same values to be told.
        """
        self._greet()
        token = uuid.uuid4().hex
        found: dict[str, Stands] = {}
        for part in _parts(values, self._prefix):
            found |= self._commit_part(part, token)
        return found

    def members(self) -> pd.DataFrame:
        """MEMBER_COLUMNS: every node, whether it is healthy (it knows a leader), `no leader` or `silent`."""
        rows = []
        for endpoint in self._gateway.endpoints:
            said = self._gateway.status(endpoint)
            version = str(said.get("version", "")) if said else ""
            leads = said is not None and str(said.get("leader", "0")) != "0"
            status = "silent" if said is None else "healthy" if leads else "no leader"
            rows.append((endpoint, status, version, _known_fault(version)))
        return pd.DataFrame(rows, columns=pd.Index(MEMBER_COLUMNS))

    def describe(self) -> str:
        members = self.members()
        healthy = int((members["status"] == "healthy").sum())
        faults = "".join(f"; {fault}" for fault in sorted(set(members["remark"]) - {""}))
        return f"etcd, {len(members)} nodes, {healthy} healthy{faults}"

    def committed(self) -> dict[str, str]:
        """Every key of this ledger and its value."""
        return {key: value for key, (_, value) in self._held().items()}

    def held_outside(self) -> dict[str, str]:
        return self.committed()

    def disagreements(self, expected: Mapping[str, str]) -> list[str]:
        """Keys that differ from `expected`, are missing or too many, and members that differ from each other."""
        stored = self.committed()
        keys = sorted(k for k in {*stored, *expected} if stored.get(k) != expected.get(k))
        nothing = "nothing"
        told = [f"{k}: etcd holds {stored.get(k, nothing)}, the ledger {expected.get(k, nothing)}" for k in keys]
        hashes = self._hashes()
        if len(set(hashes.values())) > 1:
            told.append("the members differ: " + ", ".join(f"{e} {h}" for e, h in hashes.items()))
        return told

    def _greet(self) -> None:
        """Once, before the first commitment: warn of versions that can answer with what was long ago."""
        if not self._is_greeted:
            self._is_greeted = True
            for fault in sorted(set(self.members()["remark"]) - {""}):
                warnings.warn(f"The commit service runs on {fault}", stacklevel=4)

    def _commit_part(self, part: Mapping[str, str], token: str) -> dict[str, Stands]:
        """Compare-and-set; whoever lost the answer asks before sending again, under the same token."""
        stands: dict[str, Stands] = {}
        for is_first in self._tries():
            try:
                if not is_first:
                    stands |= self._ask([k for k in part if k not in stands], token)
                missing = {k: v for k, v in part.items() if k not in stands}
                return stands | (self._send(missing, token) if missing else {})
            except Unanswered as silence:
                self._last_said = str(silence)
        raise self._no_majority()

    def _send(self, values: Mapping[str, str], token: str) -> dict[str, Stands]:
        operations = [self._compare_and_set(key, _pack(value, token)) for key, value in values.items()]
        answer = self._gateway.ask("kv/txn", {"success": operations})
        found: dict[str, Stands] = {}
        for (key, value), response in zip(values.items(), answer["responses"], strict=True):
            inner = response["response_txn"]
            is_won = bool(inner.get("succeeded"))
            found[key] = (True, value) if is_won else _unpack(inner["responses"][0]["response_range"]["kvs"][0], token)
        return found

    def _compare_and_set(self, key: str, packed: str) -> dict[str, Any]:
        name = encode(self._prefix + key)
        return {
            "requestTxn": {
                "compare": [{"key": name, "target": "CREATE", "result": "EQUAL", "createRevision": "0"}],
                "success": [{"requestPut": {"key": name, "value": encode(packed)}}],
                "failure": [{"requestRange": {"key": name}}],
            }
        }

    def _ask(self, keys: Sequence[str], token: str) -> dict[str, Stands]:
        """What stands under these keys, by a linearizable read; a key without a value is left out."""
        operations = [{"requestRange": {"key": encode(self._prefix + key)}} for key in keys]
        responses = self._gateway.ask("kv/txn", {"success": operations})["responses"]
        pairs = zip(keys, (r["response_range"].get("kvs") for r in responses), strict=True)
        return {key: _unpack(kvs[0], token) for key, kvs in pairs if kvs}

    def _held(self) -> dict[str, Stands]:
        """All keys with the prefix, page by page."""
        start, end = self._prefix, self._prefix[:-1] + "0"  # the first name after all that begin with the prefix
        found: dict[str, Stands] = {}
        while True:
            page = self._read({"key": encode(start), "range_end": encode(end), "limit": str(_PAGE)})
            for pair in page.get("kvs", []):
                name = decode(pair["key"])
                found[name.removeprefix(self._prefix)] = _unpack(pair, "")
                start = name + "\0"
            if not page.get("more"):
                return found

    def _read(self, body: Mapping[str, Any]) -> dict[str, Any]:
        for _ in self._tries():
            try:
                return self._gateway.ask("kv/range", body)
            except Unanswered as silence:
                self._last_said = str(silence)
        raise self._no_majority()

    def _hashes(self) -> dict[str, str]:
        """The hash of what each answering member holds, taken at one revision of all of them."""
        found: dict[str, tuple[str, str]] = {}
        for _ in self._tries():
            found = {e: h for e in self._gateway.endpoints if (h := self._hash_of(e)) is not None}
            if len({revision for revision, _ in found.values()}) <= 1:
                break
        return {endpoint: said for endpoint, (_, said) in found.items()}

    def _hash_of(self, endpoint: str) -> tuple[str, str] | None:
        try:
            said = self._gateway.ask_member(endpoint, "maintenance/hash", {})
        except Unanswered:
            return None
        return str(said["header"].get("revision", "0")), str(said.get("hash", 0))

    def _tries(self) -> Iterator[bool]:
        """True for the first try, False for further ones, until the patience is over."""
        until = time.monotonic() + self._patience
        self._last_said = ""
        yield True
        while time.monotonic() < until:
            time.sleep(_PAUSE_SECONDS)
            yield False

    def _no_majority(self) -> LedgerError:
        members = self.members()
        answering = int((members["status"] != "silent").sum())
        return LedgerError(
            "The commit service does not decide: no majority of its nodes works together, so nothing more is committed and nothing sent",
            where=", ".join(members["endpoint"]),
            expected=f"{len(members) // 2 + 1} of {len(members)} nodes with a leader",
            found=f"{answering} answering; last heard: {self._last_said}",
            remedy="start the missing nodes and run again; what stands stays, the rest is committed then",
        )


def _parts(values: Mapping[str, str], prefix: str) -> Iterator[dict[str, str]]:
    """The values in requests that etcd takes; a single one that is too large is refused before anything is sent."""
    sizes = {k: 3 * len((prefix + k).encode()) + len(v.encode()) + 256 for k, v in values.items()}
    for key, size in sizes.items():
        if size > _MAX_BYTES:
            raise LedgerError(
                "A value is too large for the commit service", where=key, expected=f"{_MAX_BYTES:,} bytes at most",
                found=f"{size:,} bytes", remedy="commit the hash of the content, and keep the content in the ledger",
            )  # fmt: skip
    part: dict[str, str] = {}
    room = _MAX_BYTES
    for key, value in values.items():
        if part and (len(part) == _MAX_OPERATIONS or sizes[key] > room):
            yield part
            part, room = {}, _MAX_BYTES
        part[key] = value
        room -= sizes[key]
    if part:
        yield part


def _pack(value: str, token: str) -> str:
    return json.dumps({"token": token, "value": value}, ensure_ascii=False)


def _unpack(pair: Mapping[str, Any], token: str) -> Stands:
    """Whether the call with this token wrote it, and the value."""
    content = json.loads(decode(pair["value"]))
    return content["token"] == token, str(content["value"])


def _known_fault(version: str) -> str:
    """A sentence about versions that can serve stale reads after a pause of the process; empty for others."""
    numbers = version.split("-")[0].split(".")
    if len(numbers) != 3 or not all(n.isdigit() for n in numbers):
        return ""
    line, patch = (int(numbers[0]), int(numbers[1])), int(numbers[2])
    mended = _MENDED.get(line, 0 if line > max(_MENDED) else 10**6)
    if patch >= mended:
        return ""
    return f"etcd {version}, which can answer with stale reads after a pause (mended in 3.4.42, 3.5.28 and 3.6.9)"
