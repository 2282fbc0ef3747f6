"""The accepted rows of a file, sorted and written with their texts as codes.

A database sorts every text of a row and hands each out again as a text, for the writer to find its code once more: as
codes they take a third less time. A file larger than the memory meant for it is laid out in parts by the place of each
row, and the parts are sorted one after the other.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from atlas_lib.core.parquet import ROWS_PER_GROUP, write_parquet
from atlas_lib.core.tables import declared
from atlas_lib.ingest.pieces import coded_columns

_PART_BYTES = 2**27  # of the file, its compression taken away: some million payments
_ORDER, _PLACE = "transaction_id", "place"


def write_accepted(submissions: Path, held: pd.DataFrame, path: Path) -> Path:
    """`transactions` without the rows `held` (source_file, source_sheet, source_row), in the order of their ids."""
    schema, said = declared("transactions").arrow_schema, pq.read_metadata(submissions)
    coded = [name for name in coded_columns(said) if name != _ORDER]  # one id handed in again and again has a code too
    with pq.ParquetFile(submissions, read_dictionary=coded, metadata=said) as file:
        written = pa.schema([f.with_type(file.schema_arrow.field(f.name).type) for f in schema])
        size = _part_rows(said)
        if size >= said.num_rows:
            rows = file.read(columns=schema.names).unify_dictionaries().combine_chunks()
            return write_parquet(path, written, _in_order(rows, _order(rows, held)))
        order = _order(file.read(columns=[_ORDER, *held]), held)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            parts = _lay_out(file, written, order.to_numpy(), size, Path(folder))
            return write_parquet(path, written, _of_parts(parts))


def _part_rows(said: pq.FileMetaData) -> int:
    groups = (said.row_group(number) for number in range(said.num_row_groups))
    share = _PART_BYTES / max(sum(int(group.total_byte_size) for group in groups), 1)
    return max(int(share * said.num_rows), 1)


def _order(rows: pa.Table, held: pd.DataFrame) -> pa.Array:
    """The numbers of the rows that are not held, in the order of their ids."""
    order = pc.sort_indices(rows[_ORDER])
    return order if held.empty else order.filter(pc.invert(_is_held(rows.select(list(held)), held)).take(order))


def _is_held(rows: pa.Table, held: pd.DataFrame) -> pa.Array:
    """By the row numbers first, then by file and sheet too among the few that have one of them."""
    is_alike = pc.is_in(rows["source_row"], value_set=pa.array(held["source_row"])).combine_chunks()
    alike = rows.filter(is_alike).to_pandas().astype(held.dtypes.to_dict())[list(held)]
    is_same = pd.MultiIndex.from_frame(alike).isin(pd.MultiIndex.from_frame(held))
    return pc.replace_with_mask(is_alike, is_alike, pa.array(is_same))


def _in_order(rows: pa.Table, order: pa.Array) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(order), ROWS_PER_GROUP):
        yield from rows.take(order.slice(start, ROWS_PER_GROUP)).to_batches()


def _lay_out(file: pq.ParquetFile, schema: pa.Schema, order: NDArray[np.uint64], size: int, folder: Path) -> list[Path]:
    """Files of at most `size` rows each, with the place of every row; the rows of one go before those of the next."""
    places, start = np.full(file.metadata.num_rows, -1), 0
    places[order] = np.arange(len(order))
    edges = np.arange(0, len(order) + size, size)
    paths = [folder / f"{number}.arrow" for number in range(len(edges) - 1)]
    schema = schema.append(pa.field(_PLACE, pa.int64()))
    with ExitStack() as stack:
        writers = [stack.enter_context(pa.ipc.new_stream(str(path), schema)) for path in paths]
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group, columns=schema.names[:-1])
            here = places[start : start + len(rows)]
            start, sorted_ = start + len(rows), np.argsort(here)
            rows = rows.append_column(_PLACE, pa.array(here)).take(pa.array(sorted_)).combine_chunks()
            ends = np.searchsorted(here[sorted_], edges)
            for writer, first, last in zip(writers, ends[:-1], ends[1:], strict=True):
                writer.write_table(rows.slice(first, last - first).cast(schema))
    return paths


def _of_parts(paths: list[Path]) -> Iterator[pa.RecordBatch]:
    for path in paths:
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
            rows = reader.read_all().unify_dictionaries().combine_chunks()
        yield from _in_order(rows.drop_columns([_PLACE]), pc.sort_indices(rows[_PLACE]))
