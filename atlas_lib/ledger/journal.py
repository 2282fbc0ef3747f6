"""The journal: how an append becomes numbered events, transfers, balances and blocks of the chain.

Everything here runs inside one database transaction of the only writer, so numbers have no gaps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import pandas as pd

from atlas_lib.core.errors import LedgerError
from atlas_lib.ledger.chain import BLOCK_ROWS, GENESIS, Block, Head, Receipt, merkle_root, seal
from atlas_lib.ledger.database import Database, as_json
from atlas_lib.ledger.events import event_leaves
from atlas_lib.ledger.intake import SUBMISSION_COLUMNS
from atlas_lib.ledger.postings import account_movements, transfer_leaves

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

    def replay(self, append_id: str, body: str | None) -> Receipt | None:
        """The receipt of an append made before; None when it is new, LedgerError when its content was another."""
        blocks = self._db.rows(
            "SELECT body_fingerprint, first_position, n, n_transfer, block_hash FROM block WHERE append_id = ? "
            "ORDER BY part",
            (append_id,),
        )
        if not blocks:
            return None
        if body is not None and blocks[0][0] != body:
            raise LedgerError(
                "This append was made before with other content", where=append_id, expected=blocks[0][0], found=body,
                remedy="give new work a new append id",
            )  # fmt: skip
        entries, transfers = sum(b[2] for b in blocks), sum(b[3] for b in blocks)
        return Receipt(append_id, blocks[0][1], entries, transfers, blocks[-1][4].hex(), is_replay=True)

    def register(self, append_id: str, submissions: pd.DataFrame) -> dict[str, int]:
        """New transactions with what makes a later submission a duplicate of them; id to number."""
        start = self._db.next_number("txn", "txn_no")
        columns = [submissions[c].tolist() for c in (*SUBMISSION_COLUMNS, "ts_us")]
        numbers = range(start, start + len(submissions))
        self._db.insert("txn", [numbers, *columns, [append_id] * len(submissions)])
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
        self._db.insert("event", [positions, txn, batch, *columns])
        first_transfer = self._db.next_number("transfer", "transfer_no")
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
        self._db.insert("transfer", [numbers, moved_at, txn, kinds, pending, debit, credit, amounts, currency])
        keys = zip(movements["account"], movements["currency"], strict=True)
        self._db.book(movements.assign(account_no=[account[key] for key in keys]))

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
            self._db.insert("block", [[field] for field in stored])
            previous = block.block_hash
            position, transfer_no = position + len(event_part), transfer_no + len(moved_part)
        return previous

    def _txn_numbers(self, append_id: str, ids: pd.Series, registered: Mapping[str, int]) -> Numbers:
        """Numbers of transactions; one that no intake registered is registered here."""
        given = [i for i in ids.dropna().unique() if i not in registered]
        known = {**registered, **self._known("txn", "transaction_id", given)}
        new = [i for i in given if i not in known]
        if new:
            start, nothing = self._db.next_number("txn", "txn_no"), [None] * len(new)
            numbers = range(start, start + len(new))
            self._db.insert("txn", [numbers, new, *[nothing] * 4, [append_id] * len(new)])
            known |= dict(zip(new, numbers, strict=True))
        return [known.get(i) for i in ids.tolist()]

    def _batch_numbers(self, ids: pd.Series) -> Numbers:
        given = ids.dropna().unique().tolist()
        known = self._known("batch", "batch_id", given)
        new = [i for i in given if i not in known]
        if new:
            start = self._db.next_number("batch", "batch_no")
            numbers = range(start, start + len(new))
            self._db.insert("batch", [numbers, new])
            known |= dict(zip(new, numbers, strict=True))
        return [known.get(i) for i in ids.tolist()]

    def _known(self, table: str, key: str, given: Sequence[str]) -> dict[str, int]:
        sql = f"SELECT {key}, {table}_no FROM {table} WHERE {key} IN (SELECT value FROM texts(?))"  # noqa: S608
        return self._db.numbers(sql, given) if given else {}

    def _account_numbers(self, movements: pd.DataFrame) -> dict[tuple[str, str], int]:
        pairs = list(zip(movements["account"], movements["currency"], strict=True))
        sql = "SELECT code, currency, account_no FROM account WHERE code IN (SELECT value FROM texts(?))"
        codes = as_json(movements["account"].unique())
        known = {(c, m): int(n) for c, m, n in self._db.rows(sql, (codes,))}
        new = [pair for pair in pairs if pair not in known]
        if new:
            start = self._db.next_number("account", "account_no")
            numbers = range(start, start + len(new))
            self._db.insert("account", [numbers, [c for c, _ in new], [m for _, m in new], [0] * len(new)])
            known |= dict(zip(new, numbers, strict=True))
        return known
