"""The accepted rows of a file, sorted and written with their texts as codes.

A database sorts every text of a row and hands each out again as a text, for the writer to find its code once more: as
codes they take a third less time. A file larger than the memory meant for it is laid out in parts by the place of each
row, and the parts are sorted one after the other.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
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
_ORDER, _PLACE, _SOURCE = "transaction_id", "place", ["source_file", "source_sheet", "source_row"]


@dataclass(frozen=True)
class Sorted:
    """The submitted rows by their numbers, in the order of their ids; `rows` where they fit into memory together."""

    path: Path
    order: pa.Array
    source: pa.Table
    rows: pa.Table | None


def sort_submissions(path: Path) -> Sorted:
    with _opened(path) as file:
        fits = _part_rows(file.metadata) >= file.metadata.num_rows
        rows = file.read(columns=declared("transactions").column_names if fits else [_ORDER, *_SOURCE])
    rows = rows.unify_dictionaries().combine_chunks()
    return Sorted(path, pc.sort_indices(rows[_ORDER]), rows.select(_SOURCE), rows if fits else None)


def write_accepted(submitted: Sorted, held: pd.DataFrame, path: Path) -> Path:
    """`transactions` without the rows `held` (source_file, source_sheet, source_row), in the order of their ids."""
    order = submitted.order
    if not held.empty:
        order = order.filter(pc.invert(_is_held(submitted.source, held)).take(order))
    with _opened(submitted.path) as file:
        schema = pa.schema(
            [file.schema_arrow.field(f.name).with_nullable(f.nullable) for f in declared("transactions").arrow_schema]
        )
        if submitted.rows is not None:
            return write_parquet(path, schema, _in_order(submitted.rows, order))
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            parts = _lay_out(file, schema, order.to_numpy(), _part_rows(file.metadata), Path(folder))
            return write_parquet(path, schema, _of_parts(parts))


def _opened(path: Path) -> pq.ParquetFile:
    """With codes for texts where the file has them; one id handed in again and again has a code too, and is sorted."""
    said = pq.read_metadata(path)
    return pq.ParquetFile(path, read_dictionary=[c for c in coded_columns(said) if c != _ORDER], metadata=said)


def _part_rows(said: pq.FileMetaData) -> int:
    groups = (said.row_group(number) for number in range(said.num_row_groups))
    share = _PART_BYTES / max(sum(int(group.total_byte_size) for group in groups), 1)
    return max(int(share * said.num_rows), 1)


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
