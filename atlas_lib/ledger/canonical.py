"""The bytes that are hashed: whole columns at once, the same for every store and every version since the first.

A row is its whole numbers as 8 bytes each, big-endian, then each text as a 4-byte length and its UTF-8 bytes, so that
no two rows of fields run together; an absent text has the length ff ff ff ff. Leaf prefix: RFC 6962, section 2.1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from atlas_lib.ledger.digests import DIGEST_BYTES, digests, fixed_rows

LEAF_BYTES = DIGEST_BYTES
_ABSENT = 0xFFFFFFFF
_SAMPLE = 1_000  # rows that tell whether texts of a column come often


def text_array(values: Any) -> pa.LargeStringArray:
    """Texts of a column or list as they are; anything else in the words of `str`, missing ones absent."""
    if isinstance(values, pa.LargeStringArray):
        return values
    if isinstance(getattr(values, "dtype", None), pd.CategoricalDtype):
        values = values.astype(object)
    try:
        array = pa.array(values, from_pandas=True)
        if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
            found = array.cast(pa.large_string())
            return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        pass
    return pa.array([None if pd.isna(v) else str(v) for v in values], pa.large_string())


def nullable_texts(values: Any) -> pa.LargeStringArray:
    """Texts with empty ones absent."""
    array = text_array(values)
    is_empty = pc.equal(array, "")
    return pc.if_else(is_empty, pa.scalar(None, pa.large_string()), array) if pc.any(is_empty).as_py() else array


def repeated(text: str | None, count: int) -> pa.LargeStringArray:
    """A column of the same text."""
    return pa.repeat(pa.scalar(text, pa.large_string()), count)


def as_objects(column: pa.Array | np.ndarray | Sequence[Any]) -> Sequence[Any]:
    """Python values of a column; a text that comes often is one object."""
    if isinstance(column, np.ndarray):
        return list(column.tolist())
    if not isinstance(column, pa.Array):
        return column
    if not pa.types.is_large_string(column.type):
        return list(column.to_pylist()) if column.null_count else list(column.to_numpy().tolist())
    sample = column.slice(0, _SAMPLE)
    if len(sample.unique()) * 2 > len(sample):
        return list(column.to_pylist())
    coded = column.dictionary_encode()
    words = np.array([*coded.dictionary.to_pylist(), None], dtype=object)
    return list(words[coded.indices.fill_null(len(words) - 1).to_numpy()].tolist())


def framed_text(text: str | None) -> bytes:
    """One text as it stands in a row: its length, then its bytes."""
    raw = b"" if text is None else text.encode()
    return (_ABSENT if text is None else len(raw)).to_bytes(4, "big") + raw


def hash_rows(integers: Sequence[Iterable[int]], texts: Sequence[Any]) -> bytes:
    """The leaf of every row, SHA-256(00, row), one after the other."""
    return digests(_framed_rows(integers, [text_array(t) for t in texts]))


def _framed_rows(integers: Sequence[Iterable[int]], texts: Sequence[pa.LargeStringArray]) -> pa.LargeBinaryArray:
    """All rows, each with the prefix of a leaf."""
    numbers = [np.asarray(column, dtype=">i8") for column in integers]
    head = np.zeros(len(numbers[0]), dtype=[("prefix", "u1"), ("numbers", ">i8", len(numbers))])
    for place, column in enumerate(numbers):
        head["numbers"][:, place] = column
    pieces = [fixed_rows(head)]
    for text in texts:
        as_bytes = text.cast(pa.large_binary())
        lengths = pc.binary_length(as_bytes).fill_null(_ABSENT).to_numpy().astype(">u4")
        pieces += [fixed_rows(lengths), as_bytes]
    nothing = pa.scalar(b"", pa.large_binary())
    return pc.binary_join_element_wise(*pieces, nothing, null_handling="replace", null_replacement=b"")


def fingerprint_columns(*columns: Any) -> str:
    """SHA-256 over columns of texts or whole numbers: per column its size, the length of every text in characters (-1:
    absent) and the texts; the timestamps are left out by the caller."""
    digest = hashlib.sha256()
    for column in columns:
        texts = _as_words(column)
        lengths = pc.utf8_length(texts).fill_null(-1).to_numpy().astype(">i8")
        digest.update(len(texts).to_bytes(8, "big"))
        digest.update(lengths.tobytes())
        digest.update(_joined(texts))
    return digest.hexdigest()


def _as_words(column: Any) -> pa.LargeStringArray:
    is_whole = isinstance(column, pd.Series) and pd.api.types.is_integer_dtype(column.dtype)
    if is_whole or isinstance(column, (np.ndarray, pa.Int64Array)):
        return pa.array(column).cast(pa.large_string())
    return text_array(column)


def _joined(texts: pa.LargeStringArray) -> pa.Buffer | bytes:
    """All texts behind each other; what lies in an absent one's place is none of them."""
    if texts.null_count:
        texts = texts.fill_null("")
    _, ends, data = texts.buffers()
    if data is None or not len(texts):
        return b""
    bounds = np.frombuffer(ends, dtype="int64")
    start, stop = int(bounds[texts.offset]), int(bounds[texts.offset + len(texts)])
    return data.slice(start, stop - start)
