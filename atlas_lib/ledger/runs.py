"""Where a batch or an actor stands in the ledger, as runs: entries one after the other that have it in common.

Entries of one batch and of one actor are written together, so a run takes the place of many rows of an index. Runs are
derived from the entries; verification derives them again.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from atlas_lib.ledger.database import Column


def runs(values: pa.Array, first: int) -> list[Column]:
    """Columns value, first_position, n of every stretch of the same value; absent values are in no run."""
    codes = values.dictionary_encode().indices.fill_null(-1).to_numpy()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(codes)) + 1])
    lengths = np.diff(starts, append=len(codes))
    is_held = codes[starts] >= 0
    starts, lengths = starts[is_held], lengths[is_held]
    return [values.take(pa.array(starts)), first + starts, lengths]


def positions_of(table: str, condition: str) -> str:
    """A query for the entries in the runs that a condition picks."""
    return f"""
      SELECT e.position FROM {table} r JOIN event e ON e.position BETWEEN r.first_position AND r.first_position + r.n - 1
      WHERE r.{condition}"""  # noqa: S608
