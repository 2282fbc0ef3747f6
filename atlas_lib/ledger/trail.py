"""The trail: everything the ledger knows about a transaction, a batch, a merchant or an actor, by index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from atlas_lib.ledger import keys
from atlas_lib.ledger.chart import accounts_of
from atlas_lib.ledger.database import Database, as_json
from atlas_lib.ledger.runs import positions_of

About = Literal["transaction", "batch", "merchant", "actor"]
_ENTRIES = """
  SELECT * FROM ledger_entry WHERE entry_id IN ({positions}) ORDER BY entry_id LIMIT ?"""
_OWN = "SELECT txn_no FROM txn WHERE transaction_id = ?"
_ACCOUNTS = "SELECT account_no FROM account WHERE code IN (SELECT value FROM texts(?))"
# With the facts of its batches, which carry no transaction.
_TRANSACTION = f"""
  SELECT position FROM event WHERE txn_no IN ({_OWN}) UNION
  SELECT position FROM event WHERE txn_no IS NULL AND batch_no IN (
    SELECT batch_no FROM event WHERE txn_no IN ({_OWN}) AND batch_no IS NOT NULL)"""  # noqa: S608
# A post, a void or a reversal is found by what it closes; a reversal may undo a post.
_MERCHANT = f"""
  WITH begun AS (
    SELECT transfer_no, position, txn_no FROM transfer WHERE pending_no IS NULL AND debit_account IN ({_ACCOUNTS}) UNION
    SELECT transfer_no, position, txn_no FROM transfer WHERE pending_no IS NULL AND credit_account IN ({_ACCOUNTS})),
  closing AS (SELECT c.transfer_no, c.position FROM begun b JOIN transfer c ON c.pending_no = b.transfer_no),
  undoing AS (SELECT r.position FROM closing c JOIN transfer r ON r.pending_no = c.transfer_no)
  SELECT position FROM event WHERE txn_no IN ({_OWN}) UNION
  SELECT position FROM begun UNION SELECT position FROM closing UNION SELECT position FROM undoing UNION
  SELECT position FROM event WHERE txn_no IN (SELECT txn_no FROM begun)"""  # noqa: S608
_POSITIONS = {
    "transaction": _TRANSACTION,
    "batch": positions_of("batch_run", "batch_no IN (SELECT batch_no FROM batch WHERE batch_id = ?)"),
    "merchant": _MERCHANT,
    "actor": positions_of("actor_run", "actor = ?"),
}


def read_trail(database: Database, about: About, name: str, limit: int) -> list[tuple[Any, ...]]:
    """The first `limit` entries about it, in order: rows of the view `ledger_entry`.

    transaction: its own entries and the facts of its batches. batch: the batch's and its transactions' entries in it.
    merchant: what moved on its accounts, with all entries of those transactions, and its blocks. actor: what it wrote.
    """
    parameters: Sequence[Any] = (name,)
    if about == "transaction":
        parameters = (name, name)
    if about == "merchant":
        parameters = (*[as_json(accounts_of(name))] * 2, keys.MERCHANT + name)
    return database.rows(_ENTRIES.format(positions=_POSITIONS[about]), (*parameters, limit))
