"""The cells of one sheet by column, and what each is: empty, text, number, date or another thing.

A column whose cells are all of one kind becomes a typed Series, so that nothing downstream walks over Python objects.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from atlas_lib.ingest.cells import Uncalculated

EMPTY, TEXT, NUMBER, DATE, FLAG, OTHER = range(6)
_KINDS: dict[type, int] = {
    type(None): EMPTY, str: TEXT, int: NUMBER, float: NUMBER, dt.date: DATE, dt.datetime: DATE, bool: FLAG, Uncalculated: OTHER,
}  # fmt: skip
_STRING = pa.large_string()
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Grid:
    """`columns[c][r]` is a cell, `kinds[r, c]` what it is, `rows[r]` its row as Excel or an editor counts it.

    `texts[c]` holds the text cells of a column as Arrow, and is None for a column without any.
    """

    columns: tuple[Any, ...]
    texts: tuple[pa.Array | None, ...]
    kinds: NDArray[np.uint8]
    rows: Rows

    @classmethod
    def of_rows(cls, rows: Sequence[Sequence[Any]]) -> Grid:
        """Rows of cells, short ones filled up with empty cells; a time of day or a duration is its text."""
        widths = set(map(len, rows))
        width = max(widths, default=0)
        even = rows if len(widths) == 1 else [[*r, *[None] * (width - len(r))] for r in rows]
        cells = np.empty((len(rows), width), dtype=object)
        cells[:] = even
        return cls._of_cells(cells.T.copy())

    @classmethod
    def _of_cells(cls, by_column: NDArray[np.object_]) -> Grid:
        width, size = by_column.shape
        kinds = np.zeros((size, width), dtype=np.uint8, order="F")
        columns, texts = [], []
        for position, column in enumerate(by_column):
            cells, kinds[:, position] = _told_apart(column)
            columns.append(cells)
            texts.append(_texts(cells, kinds[:, position]))
        return cls(tuple(columns), tuple(texts), kinds, np.arange(1, size + 1))

    @classmethod
    def of_texts(cls, table: pa.Table, rows: Rows) -> Grid:
        """A table of text columns; an empty text is an empty cell."""
        texts = tuple(column.combine_chunks().cast(_STRING) for column in table.columns)
        kinds = np.zeros((len(rows), len(texts)), dtype=np.uint8, order="F")
        for position, column in enumerate(texts):
            kinds[:, position] = np.where(_is_blank(column), EMPTY, TEXT)
        return cls(texts, texts, kinds, rows)

    @cached_property
    def filled(self) -> NDArray[np.bool_]:
        return np.asarray(self.kinds != EMPTY)

    def row(self, number: int) -> list[Any]:
        """The cells of a row, empty ones as None."""
        kinds = self.kinds[number].tolist()
        cells = [column[number] if kind else None for column, kind in zip(self.columns, kinds, strict=True)]
        return [cell.as_py() if isinstance(cell, pa.Scalar) else cell for cell in cells]

    def series(self, column: int, rows: Rows) -> pd.Series:
        """The cells of a column in the given rows, typed where they are of one kind; index: the row's number."""
        kinds, index = np.asarray(self.kinds[rows, column]), pd.Index(self.rows[rows])
        found = set(np.flatnonzero(np.bincount(kinds, minlength=6)).tolist()) - {EMPTY}
        empty = kinds == EMPTY
        texts = self.texts[column]
        if found <= {TEXT}:
            taken = pa.nulls(len(rows), _STRING) if texts is None or not found else texts.take(pa.array(rows))
            return pd.Series(taken, index=index, dtype="str").mask(empty)
        cells = np.array(self.columns[column][rows], dtype=object)
        if found == {NUMBER}:
            return pd.Series(np.where(empty, np.nan, cells).astype(np.float64), index=index)
        cells[empty] = None
        if found == {DATE}:
            return pd.Series(cells.astype("datetime64[us]"), index=index)
        return pd.Series(cells, index=index, dtype=object)

    def frame(self, rows: Rows, columns: Sequence[int]) -> pd.DataFrame:
        """The given rows and columns; columns named by their position in the sheet."""
        return pd.DataFrame({c: self.series(c, rows) for c in columns}, index=pd.Index(self.rows[rows]))

    def matches(self, column: int, rows: Rows, pattern: str) -> NDArray[np.bool_]:
        """Which of the rows hold a text in which the pattern is found."""
        texts = self.texts[column]
        if texts is None:
            return np.zeros(len(rows), dtype=bool)
        return _mask(pc.match_substring_regex(texts.take(pa.array(rows)), pattern))


def with_cells(rows: Sequence[list[Any]], cells: dict[tuple[int, int], Any]) -> None:
    """Put cells into rows as they were read; a place outside of them is left alone."""
    for (row, column), value in cells.items():
        if row < len(rows) and column < len(rows[row]):
            rows[row][column] = value


def _told_apart(cells: NDArray[np.object_]) -> tuple[NDArray[np.object_], NDArray[np.uint8]]:
    values = cells.tolist()
    types = set(map(type, values))
    if types - _KINDS.keys():
        values = [v if type(v) in _KINDS else str(v) for v in values]
        cells = np.array(values, dtype=object)
        types = set(map(type, values))
    if len(types) == 1:
        return cells, np.full(len(values), _KINDS[types.pop()], dtype=np.uint8)
    return cells, np.fromiter(map(_KINDS.__getitem__, map(type, values)), dtype=np.uint8, count=len(values))


def _texts(cells: NDArray[np.object_], kinds: NDArray[np.uint8]) -> pa.Array | None:
    """The text cells as Arrow; a blank one is marked as empty in `kinds`."""
    is_text = kinds == TEXT
    if not is_text.any():
        return None
    texts = pa.array(cells, _STRING, mask=~is_text)
    kinds[is_text & _is_blank(texts)] = EMPTY
    return texts


def _is_blank(texts: pa.Array) -> NDArray[np.bool_]:
    length = pc.binary_length(pc.utf8_trim_whitespace(texts))
    return _mask(pc.equal(pc.fill_null(length, 0), 0))


def _mask(flags: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(pc.fill_null(flags, False).to_numpy(zero_copy_only=False), dtype=bool)
