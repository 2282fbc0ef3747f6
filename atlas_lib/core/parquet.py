"""Parquet files as the workbook writes them: the same table has the same bytes, whatever batches it came in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROWS_PER_GROUP = 122_880  # of the Parquet files written; fixed, so that the same table has the same bytes
_SAMPLE_ROWS = 10_000  # by which it is told whether a column repeats itself
_WHOLE, _LENGTHS = "DELTA_BINARY_PACKED", "DELTA_LENGTH_BYTE_ARRAY"
_DELTAS = {pa.int64(): _WHOLE, pa.timestamp("us", tz="UTC"): _WHOLE, pa.string(): _LENGTHS}


def write_parquet(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Path:
    """Batches of any size into groups of a fixed number of rows: the same table has the same bytes."""
    return write_groups(path, schema, _groups(schema, batches))


def write_groups(path: Path, schema: pa.Schema, groups: Iterator[pa.Table]) -> Path:
    """Tables of the schema as the groups of the file; of a larger one each ROWS_PER_GROUP rows.

    One is written while the next is being made. The schema may have dictionaries for texts: the file is the same
    table, and read as texts.
    """
    has_codes = any(pa.types.is_dictionary(field.type) for field in schema)
    with ThreadPoolExecutor(1) as pool:
        first = next(groups, schema.empty_table())
        options = {"store_schema": not has_codes, "write_batch_size": ROWS_PER_GROUP} | _encodings(first)
        with pq.ParquetWriter(path, schema, **options) as writer:
            written: Future[None] | None = pool.submit(_write_groups, writer, first) if first.num_rows else None
            for table in groups:
                if written:
                    written.result()
                written = pool.submit(_write_groups, writer, table)
            if written:
                written.result()
    return path


def _groups(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Whole groups as they fill, and what is left."""
    held, count = [schema.empty_table()], 0
    for batch in batches:
        held.append(pa.Table.from_batches([batch]).select(schema.names).cast(schema))
        count += batch.num_rows
        if count >= ROWS_PER_GROUP:
            table, full = pa.concat_tables(held), count // ROWS_PER_GROUP * ROWS_PER_GROUP
            yield table.slice(0, full)
            held, count = [table.slice(full)], count - full
    if count:
        yield pa.concat_tables(held)


def _encodings(table: pa.Table) -> dict[str, Any]:
    """By the first values of each column: a dictionary, compressed, where they repeat; what hardly repeats compresses
    hardly either, and lies there as differences of whole numbers or as lengths and texts."""
    sample = table.slice(0, _SAMPLE_ROWS)
    repeating = [name for name in table.column_names if 2 * len(sample[name].unique()) <= len(sample)]
    others = [field for field in table.schema if field.name not in repeating]
    return {
        "use_dictionary": repeating,
        "column_encoding": {field.name: _DELTAS[field.type] for field in others if field.type in _DELTAS} or None,
        "compression": dict.fromkeys(repeating, "snappy") | {field.name: "none" for field in others},
    }


def _write_groups(writer: pq.ParquetWriter, table: pa.Table) -> None:
    """Each group in one chunk: the pages of a file follow the chunks they are written from."""
    for start in range(0, table.num_rows, ROWS_PER_GROUP):
        writer.write_table(table.slice(start, ROWS_PER_GROUP).combine_chunks(), row_group_size=ROWS_PER_GROUP)
