"""The journal: how an append becomes numbered events, transfers, balances and blocks of the chain.

Everything here runs inside one database transaction of the only writer, so numbers have no gaps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import pandas as pd

from atlas_lib.core.errors import LedgerError
from atlas_lib.ledger.chain import BLOCK_ROWS, GENESIS, Block, Head, Receipt, merkle_root, seal
from atlas_lib.ledger.events import event_leaves
from atlas_lib.ledger.intake import SUBMISSION_COLUMNS
from atlas_lib.ledger.postings import account_movements, transfer_leaves
from atlas_lib.ledger.sqlite import Database, as_json

Numbers = list[int | None]


class Journal:
    """Writes appends at the end of the chain of one ledger."""

    def __init__(self, database: Database, ledger_id: str, writer: str, clock_ns: Callable[[], int]) -> None:
        self._db, self._ledger_id, self._writer, self._clock_ns = database, ledger_id, writer, clock_ns

    def head(self) -> Head:
        found = self._db.row("SELECT block_no, block_hash, first_position + n - 1 FROM block ORDER BY 1 DESC LIMIT 1")
        return Head(
            self._ledger_id, *((0, GENESIS.hex(), 0) if found is None else (found[0], found[1].hex(), found[2]))
        )

    def replay(self, append_id: str, body: str) -> Receipt | None:
        """The receipt of an append made before; None when it is new, LedgerError when its content was another."""
        blocks = self._db.connection.execute(
            "SELECT body_fingerprint, first_position, n, n_transfer, block_hash FROM block WHERE append_id = ? "
            "ORDER BY part",
            (append_id,),
        ).fetchall()
        if not blocks:
            return None
        if blocks[0][0] != body:
            raise LedgerError(
                "This append was made before with other content", where=append_id, expected=blocks[0][0], found=body,
                remedy="give new work a new append id",
            )  # fmt: skip
        entries, transfers = sum(b[2] for b in blocks), sum(b[3] for b in blocks)
        return Receipt(append_id, blocks[0][1], entries, transfers, blocks[-1][4].hex(), is_replay=True)

    def register(self, append_id: str, submissions: pd.DataFrame) -> dict[str, int]:
        """New transactions with what makes a later submission a duplicate of them; id to number."""
        start = self._next("txn", "txn_no")
        columns = [submissions[c].tolist() for c in (*SUBMISSION_COLUMNS, "ts_us")]
        numbers = range(start, start + len(submissions))
        self._db.insert("txn", zip(numbers, *columns, [append_id] * len(submissions), strict=True), 7)
        return dict(zip(columns[0], numbers, strict=True))

    def write(
        self,
        append_id: str,
        body: str,
        events: pd.DataFrame,
        transfers: pd.DataFrame,
        registered: Mapping[str, int] = MappingProxyType({}),
    ) -> Receipt:
        """Events and transfers, shaped, at the end of the chain; `registered` as `register` gave it."""
        head = self.head()
        first = head.entries + 1
        if events.empty:
            return Receipt(append_id, first, 0, 0, head.block_hash, is_replay=False)
        positions = range(first, first + len(events))
        txn = self._txn_numbers(append_id, events["transaction_id"], registered)
        batch = self._batch_numbers(events["batch_id"])
        columns = [events[c].tolist() for c in ("event_type", "amount_minor", "currency", "ts_us", "actor", "details")]
        self._db.insert("event", zip(positions, txn, batch, *columns, strict=True), 9)
        first_transfer = self._next("transfer", "transfer_no")
        moved_at = [first + int(row) for row in transfers["event"]]
        if len(transfers):
            self._write_transfers(first_transfer, moved_at, [txn[int(row)] for row in transfers["event"]], transfers)
        event_hashes = event_leaves(positions, events)
        numbers = range(first_transfer, first_transfer + len(transfers))
        transfer_hashes = transfer_leaves(numbers, moved_at, transfers)
        block_hash = self._chain(append_id, body, head, event_hashes, first_transfer, transfer_hashes)
        return Receipt(append_id, first, len(events), len(transfers), block_hash.hex(), is_replay=False)

    def _write_transfers(self, first: int, moved_at: list[int], txn: Numbers, transfers: pd.DataFrame) -> None:
        movements = account_movements(transfers)
        account = self._account_numbers(movements)
        currency = transfers["currency"].tolist()
        debit = [account[key] for key in zip(transfers["debit_account"].tolist(), currency, strict=True)]
        credit = [account[key] for key in zip(transfers["credit_account"].tolist(), currency, strict=True)]
        pending = [int(n) or None for n in transfers["pending_no"]]
        numbers, amounts = range(first, first + len(transfers)), transfers["amount_minor"].tolist()
        kinds = transfers["kind"].tolist()
        rows = zip(numbers, moved_at, txn, kinds, pending, debit, credit, amounts, currency, strict=True)
        self._db.insert("transfer", rows, 9)
        changes = (
            movements[["debits_posted", "credits_posted", "debits_pending", "credits_pending"]].to_numpy().tolist()
        )
        keys = zip(movements["account"], movements["currency"], strict=True)
        self._db.connection.executemany(
            "UPDATE balance SET debits_posted = debits_posted + ?, credits_posted = credits_posted + ?, "
            "debits_pending = debits_pending + ?, credits_pending = credits_pending + ? WHERE account_no = ?",
            ([*change, account[key]] for change, key in zip(changes, keys, strict=True)),
        )

    def _chain(
        self, append_id: str, body: str, head: Head, events: Sequence[bytes], transfer_no: int, moved: Sequence[bytes]
    ) -> bytes:
        """One block per BLOCK_ROWS events (transfers likewise; a block may hold more of one than of the other)."""
        previous, position = bytes.fromhex(head.block_hash), head.entries + 1
        created_us = self._clock_ns() // 1000
        parts = range(0, max(len(events), len(moved)), BLOCK_ROWS)
        for part, start in enumerate(parts):
            event_part, moved_part = events[start : start + BLOCK_ROWS], moved[start : start + BLOCK_ROWS]
            block = seal(
                Block(
                    head.block_no + 1 + part, append_id, part, body, position, len(event_part), transfer_no,
                    len(moved_part), merkle_root(event_part), merkle_root(moved_part), previous, self._writer, created_us,
                ),
                self._ledger_id,
            )  # fmt: skip
            stored = (*block.fields(), b"".join(event_part), b"".join(moved_part))
            self._db.insert("block", [stored], len(stored))
            previous = block.block_hash
            position, transfer_no = position + len(event_part), transfer_no + len(moved_part)
        return previous

    def _txn_numbers(self, append_id: str, ids: pd.Series, registered: Mapping[str, int]) -> Numbers:
        """Numbers of transactions; one that no intake registered is registered here."""
        select = "SELECT transaction_id, txn_no FROM txn WHERE transaction_id IN (SELECT value FROM json_each(?))"
        given = [i for i in ids.dropna().unique() if i not in registered]
        known = {**registered, **self._db.numbers(select, given)}
        new = [i for i in given if i not in known]
        if new:
            insert = "INSERT INTO txn (transaction_id, first_append) VALUES (?, ?)"
            self._db.connection.executemany(insert, ((i, append_id) for i in new))
            known |= self._db.numbers(select, new)
        return [known.get(i) for i in ids.tolist()]

    def _batch_numbers(self, ids: pd.Series) -> Numbers:
        select = "SELECT batch_id, batch_no FROM batch WHERE batch_id IN (SELECT value FROM json_each(?))"
        given = ids.dropna().unique()
        known = self._db.numbers(select, given)
        self._db.connection.executemany(
            "INSERT INTO batch (batch_id) VALUES (?)", ((i,) for i in given if i not in known)
        )
        known = self._db.numbers(select, given)
        return [known.get(i) for i in ids.tolist()]

    def _account_numbers(self, movements: pd.DataFrame) -> dict[tuple[str, str], int]:
        pairs = list(zip(movements["account"], movements["currency"], strict=True))
        sql = "SELECT code, currency, account_no FROM account WHERE code IN (SELECT value FROM json_each(?))"
        codes = as_json(movements["account"].unique())
        known = {(c, m): n for c, m, n in self._db.connection.execute(sql, (codes,))}
        new = [pair for pair in pairs if pair not in known]
        self._db.connection.executemany("INSERT INTO account (code, currency) VALUES (?, ?)", new)
        self._db.connection.execute(
            "INSERT INTO balance SELECT account_no, 0, 0, 0, 0 FROM account WHERE code IN (SELECT value FROM json_each(?)) "
            "AND account_no NOT IN (SELECT account_no FROM balance)",
            (codes,),
        )
        return {(c, m): int(n) for c, m, n in self._db.connection.execute(sql, (codes,))}

    def _next(self, table: str, number: str) -> int:
        return int(self._db.value(f"SELECT coalesce(max({number}), 0) + 1 FROM {table}"))  # noqa: S608
