"""Columns of a Parquet file that no parser takes, refused by name; texts that writers keep as bytes (BINARY)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from atlas_lib.core.errors import InputError

_BYTES_OF = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary()}
_VIEWS = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}


def is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def without_views(table: pa.Table) -> pa.Table:
    """Text and byte views, from which rows cannot be taken, as ordinary columns."""
    for i, field in enumerate(table.schema):
        if field.type in _VIEWS:
            table = table.set_column(i, field.name, table.column(i).cast(_VIEWS[field.type]))
    return table


def check_columns(file: pq.ParquetFile, name: str, places: Sequence[int]) -> None:
    """Raises InputError when two columns have one name, or one of those at `places` holds lists, records or no text."""
    schema = file.schema_arrow
    twice = [column for column, count in Counter(schema.names).items() if count > 1]
    if twice:
        raise InputError(
            "Two columns of the Parquet file have one name", where=f"{name}, column {twice[0]}",
            expected="every name once", found=f"{schema.names.count(twice[0])} columns", remedy="rename or drop one of them",
        )  # fmt: skip
    fields = [schema.field(place) for place in places]
    for field in fields:
        if pa.types.is_nested(field.type):
            raise InputError(
                "A column of the Parquet file holds several values in one cell", where=f"{name}, column {field.name}",
                expected="one number, date or text per cell", found=str(field.type)[:100], remedy="write the column as plain values",
            )  # fmt: skip
    in_bytes = [field.name for field in fields if is_bytes(field.type) or field.type == pa.binary_view()]
    start = 1
    for batch in file.iter_batches(columns=in_bytes) if in_bytes else ():
        for column in in_bytes:
            _refuse_no_text(without_views(pa.Table.from_batches([batch]))[column], name, column, start)
        start += len(batch)


def check_texts(rows: pa.Table, name: str, start: int) -> None:
    """Raises InputError where a column of texts holds bytes that are none; `start` is the line of the first row.

    Texts that the file holds as a dictionary are checked by the reader itself.
    """
    for field in rows.schema:
        line = start
        for chunk in rows[field.name].chunks if field.type in _BYTES_OF else ():
            kept = chunk.cast(_BYTES_OF[field.type])
            if not _are_texts(kept):
                _refuse_no_text(kept, name, field.name, line)
            line += len(chunk)


def _are_texts(cells: pa.Array) -> bool:
    try:
        cells.cast(pa.string() if cells.type == pa.binary() else pa.large_string())
    except pa.ArrowInvalid:
        return False
    return True


def _refuse_no_text(cells: pa.Array | pa.ChunkedArray, name: str, column: str, start: int) -> None:
    try:
        cells.cast(pa.string())
    except pa.ArrowInvalid as error:
        values = cells.to_pylist()
        row = int(np.argmax([value is not None and not _is_text(value) for value in values]))
        raise InputError(
            "A text of the Parquet file is no UTF-8", where=f"{name}, line {start + row}, column {column}",
            expected="text in UTF-8", found=str(values[row])[:100], remedy="write the column as text (STRING) in UTF-8",
        ) from error  # fmt: skip


def _is_text(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
