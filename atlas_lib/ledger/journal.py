"""The journal: how an append becomes numbered events, transfers, balances and blocks of the chain.

Everything here runs inside one database transaction of the only writer, so numbers have no gaps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from atlas_lib.core.errors import LedgerError
from atlas_lib.ledger.canonical import LEAF_BYTES, repeated, text_array
from atlas_lib.ledger.chain import BLOCK_ROWS, GENESIS, Block, Head, Receipt, merkle_root, merkle_roots, seal
from atlas_lib.ledger.database import Database, as_json
from atlas_lib.ledger.digests import IN_BULK
from atlas_lib.ledger.events import event_leaves
from atlas_lib.ledger.intake import SUBMISSION_COLUMNS
from atlas_lib.ledger.postings import account_movements, account_sides, transfer_leaves
from atlas_lib.ledger.runs import runs

_HASH = -3  # where a block's row has its own hash: before the leaves of events and transfers
Body = Callable[[], str]  # the fingerprint of an append's content, made when it is first asked for
_KEYS = {"txn": "transaction_id", "batch": "batch_id"}


class Place(NamedTuple):
    """Where an append begins: after which block, and with which transfer."""

    head: Head
    transfer_no: int


class Journal:
    """Writes appends at the end of the chain of one ledger."""

    def __init__(self, database: Database, ledger_id: str, writer: str, clock_ns: Callable[[], int]) -> None:
        self._db, self._ledger_id, self._writer, self._clock_ns = database, ledger_id, writer, clock_ns

    def head(self) -> Head:
        found = self._db.row("SELECT block_no, block_hash, first_position + n - 1 FROM block ORDER BY 1 DESC LIMIT 1")
        return Head(
            self._ledger_id, *((0, GENESIS.hex(), 0) if found is None else (found[0], found[1].hex(), found[2]))
        )

    def replay(self, append_id: str, body: Body | None) -> Receipt | None:
        """The receipt of an append made before; None when it is new, LedgerError when its content was another."""
        blocks = self._db.rows(
            "SELECT body_fingerprint, first_position, n, n_transfer, block_hash FROM block WHERE append_id = ? "
            "ORDER BY part",
            (append_id,),
        )
        if not blocks:
            return None
        if body is not None and blocks[0][0] != body():
            raise LedgerError(
                "This append was made before with other content", where=append_id, expected=blocks[0][0], found=body(),
                remedy="give new work a new append id",
            )  # fmt: skip
        entries, transfers = sum(b[2] for b in blocks), sum(b[3] for b in blocks)
        return Receipt(append_id, blocks[0][1], entries, transfers, blocks[-1][4].hex(), is_replay=True)

    def place(self) -> Place:
        """Where the next append begins. Asked before any row is given to the store, which may take its rows beside this."""
        return Place(self.head(), self._db.next_number("transfer", "transfer_no"))

    def register(self, append_id: str, submissions: pd.DataFrame) -> None:
        """New transactions with what makes a later submission a duplicate of them."""
        # In the order of their ids, because their index takes sorted rows at two thirds of the cost.
        ids = text_array(submissions["transaction_id"])
        order = pc.sort_indices(ids).to_numpy()
        columns = [text_array(submissions[c]).take(pa.array(order)) for c in SUBMISSION_COLUMNS]
        start, stamps = self._db.next_number("txn", "txn_no"), submissions["ts_us"].to_numpy()[order]
        sorted_numbers = np.arange(start, start + len(order))
        self._db.insert("txn", [sorted_numbers, *columns, stamps, repeated(append_id, len(order))])
        numbers = np.empty(len(order), "int64")
        numbers[order] = sorted_numbers
        self._db.remembered.add_column("txn", ids, pa.array(numbers))

    def write(
        self,
        append_id: str,
        body: Body,
        events: pa.RecordBatch,
        transfers: pd.DataFrame,
        place: Place | None = None,
    ) -> Receipt:
        """Events and transfers, shaped, at the end of the chain; `place` where it was asked for already."""
        head, first_transfer = place or self.place()
        first = head.entries + 1
        if not len(events):
            return Receipt(append_id, first, 0, 0, head.block_hash, is_replay=False)
        positions = np.arange(first, first + len(events))
        rows = transfers["event"].to_numpy()
        txn = self._numbers("txn", events["transaction_id"], append_id)
        batch = self._numbers("batch", events["batch_id"], append_id)
        sealed = self._db.meanwhile(
            lambda: self._sealed(append_id, body, head, positions, events, first_transfer, transfers),
            is_long=len(events) >= IN_BULK,
        )
        rest = [events[c] for c in ("event_type", "amount_minor", "currency", "ts_us", "actor", "details")]
        self._db.insert("event", [positions, txn, batch, *rest])
        self._db.insert("batch_run", runs(batch, first))
        self._db.insert("actor_run", runs(events["actor"], first))
        if len(rows):
            self._write_transfers(first_transfer, positions[rows], txn.take(pa.array(rows)), transfers)
        blocks = sealed()
        self._db.insert("block", list(zip(*blocks, strict=True)))
        return Receipt(append_id, first, len(events), len(rows), blocks[-1][_HASH].hex(), is_replay=False)

    def _sealed(
        self,
        append_id: str,
        body: Body,
        head: Head,
        positions: np.ndarray,
        events: pa.RecordBatch,
        first_transfer: int,
        transfers: pd.DataFrame,
    ) -> list[tuple[Any, ...]]:
        """The rows of the blocks: headers with their hashes, and the leaves."""
        leaves = event_leaves(positions, events)
        numbers = np.arange(first_transfer, first_transfer + len(transfers))
        moved = transfer_leaves(numbers, positions[transfers["event"].to_numpy()], transfers)
        return list(self._chain(append_id, body(), head, leaves, first_transfer, moved))

    def _write_transfers(self, first: int, moved_at: np.ndarray, txn: pa.Int64Array, transfers: pd.DataFrame) -> None:
        sides = accounts, debit, credit = account_sides(transfers)
        account = self._account_numbers(accounts)
        pending = transfers["pending_no"].to_numpy()
        numbers = np.arange(first, first + len(transfers))
        self._db.insert(
            "transfer",
            [
                numbers, moved_at, txn, text_array(transfers["kind"]), pa.array(pending, mask=pending == 0), account[debit], account[credit],
                transfers["amount_minor"].to_numpy(), text_array(transfers["currency"]),
            ],
        )  # fmt: skip
        self._db.book(lambda: account_movements(transfers, sides).assign(account_no=account))

    def _chain(
        self, append_id: str, body: str, head: Head, events: bytes, transfer_no: int, moved: bytes
    ) -> Iterator[tuple[Any, ...]]:
        """One block per BLOCK_ROWS events (transfers likewise; a block may hold more of one than of the other)."""
        previous, position = bytes.fromhex(head.block_hash), head.entries + 1
        created_us, size = self._clock_ns() // 1000, BLOCK_ROWS * LEAF_BYTES
        roots = zip_longest(merkle_roots(events), merkle_roots(moved), fillvalue=merkle_root(b""))
        for part, (event_root, moved_root) in enumerate(roots):
            bounds = slice(part * size, (part + 1) * size)
            event_part, moved_part = events[bounds], moved[bounds]
            count, count_moved = len(event_part) // LEAF_BYTES, len(moved_part) // LEAF_BYTES
            block = seal(
                Block(
                    head.block_no + 1 + part, append_id, part, body, position, count, transfer_no, count_moved,
                    event_root, moved_root, previous, self._writer, created_us,
                ),
                self._ledger_id,
            )  # fmt: skip
            yield (*block.fields(), event_part, moved_part)
            previous = block.block_hash
            position, transfer_no = position + count, transfer_no + count_moved

    def _numbers(self, table: str, ids: pa.LargeStringArray, append_id: str) -> pa.Int64Array:
        """The number of every id; one that is new is written down, a transaction here without an intake."""
        if (numbers := self._db.remembered.same(table, ids)) is not None:
            return numbers
        coded = ids.dictionary_encode()
        if (numbers := self._db.remembered.same(table, coded.dictionary)) is not None:
            return numbers.take(coded.indices)
        given = coded.dictionary.to_pylist()
        remembered = self._db.remembered.of(table)
        asked = [i for i in given if i not in remembered]
        known = self._known(table, _KEYS[table], asked)
        new = [i for i in asked if i not in known]
        if new:
            start = self._db.next_number(table, f"{table}_no")
            fresh = range(start, start + len(new))
            more = [repeated(None, len(new))] * 4 + [repeated(append_id, len(new))] if table == "txn" else []
            self._db.insert(table, [fresh, new, *more])
            known |= dict(zip(new, fresh, strict=True))
        found = pa.array([known[i] if i in known else remembered[i] for i in given], pa.int64())
        self._db.remembered.add_column(table, coded.dictionary, found)
        return found.take(coded.indices)

    def _known(self, table: str, key: str, given: Sequence[str]) -> dict[str, int]:
        sql = f"SELECT {key}, {table}_no FROM {table} WHERE {key} IN listed(?)"  # noqa: S608
        return self._db.numbers(sql, given) if given else {}

    def _account_numbers(self, accounts: pd.DataFrame) -> np.ndarray:
        """The number of every account; one that is new is written down."""
        pairs = list(zip(accounts["account"].tolist(), accounts["currency"].tolist(), strict=True))
        remembered = self._db.remembered.of("account")
        if all(pair in remembered for pair in pairs):
            return np.array([remembered[pair] for pair in pairs], "int64")
        sql = "SELECT code, currency, account_no FROM account WHERE code IN (SELECT value FROM texts(?))"
        codes = as_json(accounts["account"].unique())
        known = {(c, m): int(n) for c, m, n in self._db.rows(sql, (codes,))}
        new = [pair for pair in pairs if pair not in known]
        if new:
            start = self._db.next_number("account", "account_no")
            numbers = range(start, start + len(new))
            self._db.insert("account", [numbers, [c for c, _ in new], [m for _, m in new], [0] * len(new)])
            known |= dict(zip(new, numbers, strict=True))
        self._db.remembered.add("account", known)
        return np.array([known[pair] for pair in pairs], "int64")
