"""Verification: recompute the chain from the rows and name what does not fit.

What it finds: a changed, missing, added or moved entry or transfer, a changed block header, a broken
link, a registration or balance that its events do not support, and, with trusted heads kept elsewhere,
a cut tail or a chain that was rewritten as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from atlas_lib.core.errors import LedgerError, StoreUnreachable
from atlas_lib.ledger.canonical import LEAF_BYTES
from atlas_lib.ledger.chain import BLOCK_ROWS, GENESIS, Block, Head, merkle_root, seal
from atlas_lib.ledger.database import Database
from atlas_lib.ledger.events import event_leaves
from atlas_lib.ledger.postings import transfer_leaves

FINDING_COLUMNS = ("entry_id", "finding", "detail")
_ROWS_AT_ONCE, _BLOCKS_AT_ONCE = 8 * BLOCK_ROWS, 256
_GROUP = "SELECT max(block_no) FROM block WHERE block_no BETWEEN ? AND ? AND first_position < ?"
_EVENTS = """
  SELECT e.position, t.transaction_id, b.batch_id, e.event_type, e.amount_minor, e.currency, e.ts_us, e.actor, e.details
  FROM event e LEFT JOIN txn t ON t.txn_no = e.txn_no LEFT JOIN batch b ON b.batch_no = e.batch_no
  WHERE e.position BETWEEN ? AND ? ORDER BY 1"""
_TRANSFERS = """
  SELECT f.transfer_no, f.position, f.kind, coalesce(f.pending_no, 0) AS pending_no, d.code AS debit_account,
         c.code AS credit_account, f.amount_minor, f.currency
  FROM transfer f LEFT JOIN account d ON d.account_no = f.debit_account
  LEFT JOIN account c ON c.account_no = f.credit_account WHERE f.transfer_no BETWEEN ? AND ? ORDER BY 1"""
# What a text comparison cannot clear (a quote in a key, say) is read as JSON afterwards.
_REGISTERED = """
  SELECT e.position, t.transaction_id, e.details, t.fingerprint, t.idempotency_key, t.origin, e.ts_us - t.submitted_us
  FROM event e JOIN txn t ON t.txn_no = e.txn_no
  WHERE e.event_type = 'TRANSACTION_SUBMITTED' AND (t.fingerprint IS NOT NULL OR e.details LIKE '%"fingerprint"%')
    AND (coalesce(t.submitted_us, 0) <> e.ts_us OR e.details <> '{"fingerprint": ' || coalesce('"' || t.fingerprint || '"', 'null')
      || ', "idempotency_key": ' || coalesce('"' || t.idempotency_key || '"', 'null')
      || ', "origin": ' || coalesce('"' || t.origin || '"', 'null') || '}')
  ORDER BY 1"""
_OTHER = {
    "entry outside the chain": """
      SELECT position, 'no block holds it' FROM event
      WHERE position > (SELECT coalesce(max(first_position + n - 1), 0) FROM block) ORDER BY 1 LIMIT 1""",
    "transfer outside the chain": """
      SELECT position, 'no block holds it' FROM transfer
      WHERE transfer_no > (SELECT coalesce(max(first_transfer + n_transfer - 1), 0) FROM block) ORDER BY 1 LIMIT 1""",
    "transfer of another transaction": """
      SELECT f.position, 'transfer ' || f.transfer_no FROM transfer f LEFT JOIN event e ON e.position = f.position
      WHERE e.position IS NULL OR coalesce(f.txn_no, 0) <> coalesce(e.txn_no, 0) ORDER BY 1 LIMIT 1""",
    "registration without its entry": """
      SELECT 0, t.transaction_id FROM txn t WHERE t.fingerprint IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM event e WHERE e.txn_no = t.txn_no AND e.event_type = 'TRANSACTION_SUBMITTED') LIMIT 1""",
    "balance differs from its transfers": """
      WITH side AS (
        SELECT debit_account AS account_no, kind, amount_minor AS debit, 0 AS credit FROM transfer UNION ALL
        SELECT credit_account, kind, 0, amount_minor FROM transfer),
      signed AS (
        SELECT account_no, debit, credit, CASE WHEN kind IN ('single', 'post', 'reversal') THEN 1 ELSE 0 END AS is_posted,
               CASE kind WHEN 'pending' THEN 1 WHEN 'post' THEN -1 WHEN 'void' THEN -1 ELSE 0 END AS waits FROM side),
      summed AS (
        SELECT account_no, sum(is_posted * debit) AS dp, sum(is_posted * credit) AS cp, sum(waits * debit) AS dq,
               sum(waits * credit) AS cq FROM signed GROUP BY account_no)
      SELECT 0, a.code || ' ' || a.currency FROM account a LEFT JOIN summed s ON s.account_no = a.account_no
      LEFT JOIN balance b ON b.account_no = a.account_no
      WHERE (coalesce(b.debits_posted, 0), coalesce(b.credits_posted, 0), coalesce(b.debits_pending, 0),
             coalesce(b.credits_pending, 0))
        <> (coalesce(s.dp, 0), coalesce(s.cp, 0), coalesce(s.dq, 0), coalesce(s.cq, 0)) ORDER BY a.account_no LIMIT 1""",
}

_RUNS = {
    f"run of {name} that its entries do not support": f"""
      SELECT first_position, 'from there on' FROM (
        SELECT r.first_position FROM {table} r JOIN event e
          ON e.position BETWEEN r.first_position AND r.first_position + r.n - 1 AND coalesce(e.{key}, {nothing}) <> r.{key}
        UNION ALL SELECT first_position FROM (
          SELECT first_position, lag(first_position + n) OVER (PARTITION BY {key} ORDER BY first_position) AS free
          FROM {table}) AS one WHERE free > first_position
        UNION ALL SELECT 0 WHERE (SELECT coalesce(sum(n), 0) FROM {table}) <> (SELECT count({key}) FROM event)
      ) AS wrong ORDER BY 1 LIMIT 1"""  # noqa: S608
    for name, table, key, nothing in (
        ("a batch", "batch_run", "batch_no", "0"),
        ("an actor", "actor_run", "actor", "''"),
    )
}

Finding = tuple[int, str, str]


def verify(database: Database, ledger_id: str, trusted: Sequence[Head] = ()) -> pd.DataFrame:
    """Findings (entry_id, finding, detail) in the order of the chain; no row means intact.

    Per block the first thing that is wrong is named; `entry_id` 0 where no single entry is at fault. Everything is
    read as of one moment, so that a writer at work is no finding. A file too damaged to be read is itself a finding.
    """
    findings: list[Finding] = []
    try:
        with database.reading():
            for found in _findings(database, ledger_id, trusted):
                findings.append(found)
    except StoreUnreachable:
        raise
    except LedgerError as error:
        findings.append((0, "store cannot be read", error.found))
    return pd.DataFrame(findings, columns=pd.Index(FINDING_COLUMNS)).astype({"entry_id": "int64"})


def _findings(database: Database, ledger_id: str, trusted: Sequence[Head]) -> Iterator[Finding]:
    yield from _chain_faults(database, ledger_id)
    for finding, sql in (_OTHER | _RUNS).items():
        found = database.row(sql)
        if found:
            yield (int(found[0]), finding, str(found[1]))
    yield from _registration_fault(database)
    for head in trusted:
        yield from _anchor_fault(database, ledger_id, head)


def _chain_faults(database: Database, ledger_id: str) -> Iterator[Finding]:
    position = 1
    try:
        for block, fault in _checked_blocks(database, ledger_id):
            position = block.first_position + block.n
            if fault:
                yield fault
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        yield (position, "a value is of another type than it was written", f"in the block from here on: {error}")


def _checked_blocks(database: Database, ledger_id: str) -> Iterator[tuple[Block, Finding | None]]:
    """Every block with the first thing that is wrong in it; ends where a block is missing."""
    previous, position, transfer_no, start = GENESIS, 1, 1, 1
    last = int(database.value("SELECT coalesce(max(block_no), 0) FROM block"))
    while start <= last:
        furthest = min(start + _BLOCKS_AT_ONCE - 1, last)
        stop = int(database.value(_GROUP, (start, furthest, position + _ROWS_AT_ONCE)) or start)
        numbers = range(start, stop + 1)
        rows = database.rows("SELECT * FROM block WHERE block_no BETWEEN ? AND ? ORDER BY 1", (start, stop))
        kept = _Kept(database, [Block(*row[:14]) for row in rows])
        found = {row[0]: row for row in rows}
        for number in numbers:
            if number not in found:
                yield Block(number, "", 0, "", position, 0, transfer_no, 0, b"", b"", b"", "", 0), (
                    position, "block missing", f"block {number}",
                )  # fmt: skip
                return
            block, event_part, transfer_part = Block(*found[number][:14]), *found[number][14:]
            yield (
                block,
                (
                    _header_fault(block, ledger_id, previous, position, transfer_no)
                    or _event_fault(kept, block, event_part)
                    or _transfer_fault(kept, block, transfer_part)
                ),
            )
            previous, position = block.block_hash, block.first_position + block.n
            transfer_no = block.first_transfer + block.n_transfer
        start = stop + 1


class _Kept:
    """The rows of a few blocks, read and hashed at once."""

    def __init__(self, database: Database, blocks: Sequence[Block]) -> None:
        self._database = database
        self._events = self._read(_EVENTS, [(b.first_position, b.n) for b in blocks])
        self._transfers = self._read(_TRANSFERS, [(b.first_transfer, b.n_transfer) for b in blocks])
        self._event_leaves = event_leaves(self._events["position"], self._events)
        numbers, positions = self._transfers["transfer_no"], self._transfers["position"]
        self._transfer_leaves = transfer_leaves(numbers, positions, self._transfers)

    def events(self, block: Block) -> bytes:
        """The leaves of the entries that stand where the block says."""
        rows = _between(self._events["position"], block.first_position, block.n)
        return self._event_leaves[rows.start * LEAF_BYTES : rows.stop * LEAF_BYTES]

    def transfers(self, block: Block) -> tuple[bytes, list[int]]:
        """The leaves of its transfers, and the entries they belong to."""
        rows = _between(self._transfers["transfer_no"], block.first_transfer, block.n_transfer)
        entries = self._transfers["position"][rows].to_pylist()
        return self._transfer_leaves[rows.start * LEAF_BYTES : rows.stop * LEAF_BYTES], entries

    def _read(self, sql: str, ranges: Sequence[tuple[int, int]]) -> pa.RecordBatch:
        held = [(first, first + n - 1) for first, n in ranges if n > 0]
        start = min((h[0] for h in held), default=1)
        # No more than the blocks can hold, whatever a changed header claims.
        bounds = (start, min(max((h[1] for h in held), default=0), start + BLOCK_ROWS * len(held) - 1))
        return self._database.columns(sql, bounds)


def _between(numbers: pa.Int64Array, first: int, count: int) -> slice:
    start, stop = np.searchsorted(numbers.to_numpy(), (first, first + count))
    return slice(int(start), int(stop))


def _header_fault(block: Block, ledger_id: str, previous: bytes, position: int, transfer_no: int) -> Finding | None:
    where = f"block {block.block_no} ({block.append_id})"
    if block.prev_hash != previous:
        return (block.first_position, "link to the previous block broken", where)
    if seal(block, ledger_id).block_hash != block.block_hash:
        return (block.first_position, "block header changed", where)
    if (block.first_position, block.first_transfer) != (position, transfer_no):
        return (position, "block does not follow the one before", where)
    return None


def _event_fault(kept: _Kept, block: Block, leaves: bytes) -> Finding | None:
    wrong = _first_difference(kept.events(block), leaves)
    if wrong is not None:
        return (block.first_position + wrong, "entry changed", f"block {block.block_no}")
    if merkle_root(leaves) != block.event_root:
        return (block.first_position, "entries do not give the root of their block", f"block {block.block_no}")
    return None


def _transfer_fault(kept: _Kept, block: Block, leaves: bytes) -> Finding | None:
    first, (found, entries) = block.first_transfer, kept.transfers(block)
    wrong = _first_difference(found, leaves)
    if wrong is not None:
        entry = entries[wrong] if wrong < len(entries) else block.first_position
        return (int(entry), "transfer changed", f"transfer {first + wrong} in block {block.block_no}")
    if merkle_root(leaves) != block.transfer_root:
        return (block.first_position, "transfers do not give the root of their block", f"block {block.block_no}")
    return None


def _registration_fault(database: Database) -> Iterator[Finding]:
    for position, name, details, *registered, apart in database.rows(_REGISTERED):
        said = _read_json(details)
        if apart != 0 or [said.get(k, "") for k in ("fingerprint", "idempotency_key", "origin")] != registered:
            yield (int(position), "registration differs from its entry", str(name))
            return


def _read_json(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _anchor_fault(database: Database, ledger_id: str, trusted: Head) -> Iterator[Finding]:
    if trusted.ledger_id != ledger_id:
        yield (0, "another ledger than the trusted one", f"{ledger_id}, trusted {trusted.ledger_id}")
        return
    row = database.row("SELECT block_hash FROM block WHERE block_no = ?", (trusted.block_no,))
    if trusted.block_no and row is None:
        yield (trusted.entries, "tail cut before the trusted head", f"block {trusted.block_no}")
    if row is not None and row[0].hex() != trusted.block_hash:
        yield (trusted.entries, "chain rewritten before the trusted head", f"block {trusted.block_no}")


def _first_difference(found: bytes, kept: bytes) -> int | None:
    if found == kept:
        return None
    shorter = min(len(found), len(kept))
    pairs = (n for n in range(0, shorter, LEAF_BYTES) if found[n : n + LEAF_BYTES] != kept[n : n + LEAF_BYTES])
    return next(pairs, shorter) // LEAF_BYTES
