"""Verification: recompute the chain from the rows and name what does not fit.

What it finds: a changed, missing, added or moved entry or transfer, a changed block header, a broken
link, a registration or balance that its events do not support, and, with a trusted head kept elsewhere,
a cut tail or a chain that was rewritten as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from atlas_lib.ledger.chain import GENESIS, Block, Head, merkle_root, seal
from atlas_lib.ledger.events import event_leaves
from atlas_lib.ledger.postings import transfer_leaves
from atlas_lib.ledger.sqlite import Database

FINDING_COLUMNS = ("entry_id", "finding", "detail")
_LEAF = 32
_EVENTS = """
  SELECT e.position, t.transaction_id, b.batch_id, e.event_type, e.amount_minor, e.currency, e.ts_us, e.actor, e.details
  FROM event e LEFT JOIN txn t USING (txn_no) LEFT JOIN batch b USING (batch_no)
  WHERE e.position BETWEEN ? AND ? ORDER BY 1"""
_TRANSFERS = """
  SELECT f.transfer_no, f.position, f.kind, coalesce(f.pending_no, 0) AS pending_no, d.code AS debit_account,
         c.code AS credit_account, f.amount_minor, f.currency
  FROM transfer f LEFT JOIN account d ON d.account_no = f.debit_account
  LEFT JOIN account c ON c.account_no = f.credit_account WHERE f.transfer_no BETWEEN ? AND ? ORDER BY 1"""
_OTHER = {
    "entry outside the chain": """
      SELECT position, 'no block holds it' FROM event
      WHERE position > (SELECT coalesce(max(first_position + n - 1), 0) FROM block) ORDER BY 1 LIMIT 1""",
    "transfer outside the chain": """
      SELECT position, 'no block holds it' FROM transfer
      WHERE transfer_no > (SELECT coalesce(max(first_transfer + n_transfer - 1), 0) FROM block) ORDER BY 1 LIMIT 1""",
    "transfer of another transaction": """
      SELECT f.position, 'transfer ' || f.transfer_no FROM transfer f LEFT JOIN event e USING (position)
      WHERE e.position IS NULL OR f.txn_no IS NOT e.txn_no ORDER BY 1 LIMIT 1""",
    "registration differs from its entry": """
      SELECT e.position, t.transaction_id FROM event e JOIN txn t USING (txn_no)
      WHERE e.event_type = 'TRANSACTION_SUBMITTED' AND json_valid(e.details) AND e.details LIKE '%"fingerprint"%' AND (
        t.fingerprint IS NOT json_extract(e.details, '$.fingerprint') OR t.submitted_us IS NOT e.ts_us
        OR t.idempotency_key IS NOT json_extract(e.details, '$.idempotency_key')
        OR t.origin IS NOT json_extract(e.details, '$.origin')) ORDER BY 1 LIMIT 1""",
    "registration without its entry": """
      SELECT 0, t.transaction_id FROM txn t WHERE t.fingerprint IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM event e WHERE e.txn_no = t.txn_no AND e.event_type = 'TRANSACTION_SUBMITTED') LIMIT 1""",
    "balance differs from its transfers": """
      WITH side AS (
        SELECT debit_account AS account_no, kind, amount_minor AS debit, 0 AS credit FROM transfer UNION ALL
        SELECT credit_account, kind, 0, amount_minor FROM transfer),
      summed AS (
        SELECT account_no, sum(iif(kind IN ('single', 'post', 'reversal'), debit, 0)) AS dp,
               sum(iif(kind IN ('single', 'post', 'reversal'), credit, 0)) AS cp,
               sum(CASE kind WHEN 'pending' THEN debit WHEN 'post' THEN -debit WHEN 'void' THEN -debit ELSE 0 END) AS dq,
               sum(CASE kind WHEN 'pending' THEN credit WHEN 'post' THEN -credit WHEN 'void' THEN -credit ELSE 0 END) AS cq
        FROM side GROUP BY account_no)
      SELECT 0, a.code || ' ' || a.currency FROM account a LEFT JOIN summed s USING (account_no)
      LEFT JOIN balance b USING (account_no)
      WHERE (coalesce(b.debits_posted, 0), coalesce(b.credits_posted, 0), coalesce(b.debits_pending, 0),
             coalesce(b.credits_pending, 0))
        <> (coalesce(s.dp, 0), coalesce(s.cp, 0), coalesce(s.dq, 0), coalesce(s.cq, 0)) ORDER BY a.account_no LIMIT 1""",
}

Finding = tuple[int, str, str]


def verify(database: Database, ledger_id: str, trusted: Head | None = None) -> pd.DataFrame:
    """Findings (entry_id, finding, detail) in the order of the chain; no row means intact.

    Per block the first thing that is wrong is named; `entry_id` 0 where no single entry is at fault.
    """
    findings: list[Finding] = []
    previous, position, transfer_no = GENESIS, 1, 1
    count = int(database.value("SELECT coalesce(max(block_no), 0) FROM block"))
    for block_no in range(1, count + 1):
        row = database.row("SELECT * FROM block WHERE block_no = ?", (block_no,))
        if row is None:
            findings.append((position, "block missing", f"block {block_no}"))
            break
        block, (event_leaves_kept, transfer_leaves_kept) = Block(*row[:14]), row[14:]
        fault = (
            _header_fault(block, ledger_id, previous, position, transfer_no)
            or _event_fault(database, block, event_leaves_kept)
            or _transfer_fault(database, block, transfer_leaves_kept)
        )
        findings += [fault] if fault else []
        previous, position = block.block_hash, block.first_position + block.n
        transfer_no = block.first_transfer + block.n_transfer
    for finding, sql in _OTHER.items():
        found = database.row(sql)
        findings += [(int(found[0]), finding, str(found[1]))] if found else []
    findings += _anchor_fault(database, ledger_id, trusted)
    return pd.DataFrame(findings, columns=pd.Index(FINDING_COLUMNS)).astype({"entry_id": "int64"})


def _header_fault(block: Block, ledger_id: str, previous: bytes, position: int, transfer_no: int) -> Finding | None:
    where = f"block {block.block_no} ({block.append_id})"
    if block.prev_hash != previous:
        return (block.first_position, "link to the previous block broken", where)
    if seal(block, ledger_id).block_hash != block.block_hash:
        return (block.first_position, "block header changed", where)
    if (block.first_position, block.first_transfer) != (position, transfer_no):
        return (position, "block does not follow the one before", where)
    return None


def _event_fault(database: Database, block: Block, kept: bytes) -> Finding | None:
    rows = database.frame(_EVENTS, (block.first_position, block.first_position + block.n - 1)).astype(object)
    rows = rows.where(rows.notna(), None)
    wrong = _first_difference(event_leaves(rows["position"], rows), kept)
    if wrong is not None:
        return (block.first_position + wrong, "entry changed", f"block {block.block_no}")
    if merkle_root(_split(kept)) != block.event_root:
        return (block.first_position, "entries do not give the root of their block", f"block {block.block_no}")
    return None


def _transfer_fault(database: Database, block: Block, kept: bytes) -> Finding | None:
    first = block.first_transfer
    rows = database.frame(_TRANSFERS, (first, first + block.n_transfer - 1)).astype(object)
    rows = rows.where(rows.notna(), None)
    wrong = _first_difference(transfer_leaves(rows["transfer_no"], rows["position"], rows), kept)
    if wrong is not None:
        entry = rows["position"].iloc[wrong] if wrong < len(rows) else block.first_position
        return (int(entry), "transfer changed", f"transfer {first + wrong} in block {block.block_no}")
    if merkle_root(_split(kept)) != block.transfer_root:
        return (block.first_position, "transfers do not give the root of their block", f"block {block.block_no}")
    return None


def _anchor_fault(database: Database, ledger_id: str, trusted: Head | None) -> list[Finding]:
    if trusted is None or trusted.block_no == 0:
        return []
    if trusted.ledger_id != ledger_id:
        return [(0, "another ledger than the trusted one", f"{ledger_id}, trusted {trusted.ledger_id}")]
    row = database.row("SELECT block_hash FROM block WHERE block_no = ?", (trusted.block_no,))
    if row is None:
        return [(trusted.entries, "tail cut before the trusted head", f"block {trusted.block_no}")]
    if row[0].hex() != trusted.block_hash:
        return [(trusted.entries, "chain rewritten before the trusted head", f"block {trusted.block_no}")]
    return []


def _first_difference(found: Sequence[bytes], kept: bytes) -> int | None:
    expected = _split(kept)
    if list(found) == expected:
        return None
    pairs = zip(found, expected, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(found), len(expected)))


def _split(leaves: bytes) -> list[bytes]:
    return [leaves[i : i + _LEAF] for i in range(0, len(leaves), _LEAF)]
