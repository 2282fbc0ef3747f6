"""The accepted rows of a file that fits in memory, sorted and written with their texts as codes.

A database sorts every text of a row and hands each out again as a text, for the writer to find its code once more: as
codes they take a third less time, and no more memory than the file has bytes. Larger files are sorted by the engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from atlas_lib.core.engine import write_parquet
from atlas_lib.core.tables import declared
from atlas_lib.ingest.pieces import coded_columns

_IN_MEMORY_BYTES = 2**28  # of the file, its compression taken away: some two million payments
_OUT_ROWS = 122_880
_ORDER = "transaction_id"


def fits_in_memory(path: Path) -> bool:
    said = pq.read_metadata(path)
    groups = (said.row_group(number) for number in range(said.num_row_groups))
    return sum(int(group.total_byte_size) for group in groups) <= _IN_MEMORY_BYTES


def write_accepted(submissions: Path, held: pd.DataFrame, path: Path) -> Path:
    """`transactions` without the rows `held` (source_file, source_sheet, source_row), in the order of their ids."""
    schema = declared("transactions").arrow_schema
    said = pq.read_metadata(submissions)
    coded = [name for name in coded_columns(said) if name != _ORDER]  # one id handed in again and again has a code too
    with pq.ParquetFile(submissions, read_dictionary=coded, metadata=said) as file:
        rows = file.read(columns=schema.names).unify_dictionaries().combine_chunks()
    order = pc.sort_indices(rows[_ORDER])
    if len(held):
        order = order.filter(pc.invert(_is_held(rows, held).take(order)))
    written = pa.schema([f.with_type(rows.schema.field(f.name).type) for f in schema])
    return write_parquet(path, written, _in_order(rows, order))


def _in_order(rows: pa.Table, order: pa.Array) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(order), _OUT_ROWS):
        yield from rows.take(order.slice(start, _OUT_ROWS)).to_batches()


def _is_held(rows: pa.Table, held: pd.DataFrame) -> pa.Array:
    """By the row numbers first, then by file and sheet too among the few that have one of them."""
    is_alike = pc.is_in(rows["source_row"], value_set=pa.array(held["source_row"])).combine_chunks()
    alike = rows.select(list(held)).filter(is_alike).to_pandas().astype(held.dtypes.to_dict())
    is_same = pd.MultiIndex.from_frame(alike).isin(pd.MultiIndex.from_frame(held))
    return pc.replace_with_mask(is_alike, is_alike, pa.array(is_same))
