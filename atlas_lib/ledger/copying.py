"""Rows for PostgreSQL's COPY in its binary format, a third cheaper for the server to read than text.

A row is the number of its fields in 2 bytes, then each field as a length in 4 bytes (ff ff ff ff: absent) and its
value; whole numbers have 8 bytes. All big-endian. PostgreSQL documentation, COPY, "Binary Format".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from atlas_lib.ledger.digests import fixed_rows

Piece: TypeAlias = "pa.Buffer | bytes"
_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_ABSENT = -1
_WHOLE_BYTES = 8
_ROWS_AT_ONCE = 4096  # while the server takes these, the next are made


def binary_copy(columns: Sequence[Any]) -> Iterator[Piece]:
    """Columns of whole numbers, texts or bytes as the pieces of one COPY."""
    arrays = [_typed(column) for column in columns]
    yield _BEGIN
    for start in range(0, len(arrays[0]), _ROWS_AT_ONCE):
        yield _rows([array.slice(start, _ROWS_AT_ONCE) for array in arrays])
    yield _END


def _typed(column: Any) -> pa.Array:
    array = pa.array(column)
    if pa.types.is_integer(array.type):
        return array.cast(pa.int64())
    return array.cast(pa.large_string()).cast(pa.large_binary()) if _is_text(array) else array.cast(pa.large_binary())


def _is_text(array: pa.Array) -> bool:
    return bool(pa.types.is_string(array.type) or pa.types.is_large_string(array.type))


def _rows(arrays: Sequence[pa.Array]) -> pa.Buffer:
    """What has the same length in every row is laid out at once, up to the next value that has not."""
    pieces: list[pa.Array] = []
    fixed: list[tuple[str, Any]] = [(">i2", len(arrays))]
    for array in arrays:
        if not pa.types.is_int64(array.type):
            lengths = pc.binary_length(array).fill_null(_ABSENT).to_numpy()
            pieces += [_laid_out([*fixed, (">i4", lengths)], len(array)), array]
            fixed = []
        elif array.null_count:
            pieces += [*([_laid_out(fixed, len(array))] if fixed else []), _nullable(array)]
            fixed = []
        else:
            fixed += [(">i4", _WHOLE_BYTES), (">i8", array.to_numpy())]
    pieces += [_laid_out(fixed, len(arrays[0]))] if fixed else []
    nothing = pa.scalar(b"", pa.large_binary())
    joined = pc.binary_join_element_wise(*pieces, nothing, null_handling="replace", null_replacement=b"")
    _, ends, data = joined.buffers()
    bounds = np.frombuffer(ends, dtype="int64")
    start, stop = int(bounds[joined.offset]), int(bounds[joined.offset + len(joined)])
    return data.slice(start, stop - start)


def _nullable(numbers: pa.Int64Array) -> pa.LargeBinaryArray:
    held = _laid_out([(">i4", _WHOLE_BYTES), (">i8", numbers.fill_null(0).to_numpy())], len(numbers))
    absent = pa.scalar(_ABSENT.to_bytes(4, "big", signed=True), pa.large_binary())
    return pc.if_else(numbers.is_valid(), held, absent)


def _laid_out(fields: Sequence[tuple[str, Any]], count: int) -> pa.LargeBinaryArray:
    laid = np.zeros(count, dtype=[(str(n), kind) for n, (kind, _) in enumerate(fields)])
    for n, (_, values) in enumerate(fields):
        laid[str(n)] = values
    return fixed_rows(laid)
