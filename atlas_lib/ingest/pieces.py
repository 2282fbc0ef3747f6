"""The rows of a sheet in pieces: of a Parquet file as they are read, with its text dictionaries as they lie there."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from atlas_lib.core.tables import arrow_to_frame
from atlas_lib.ingest.cells import Mask
from atlas_lib.ingest.flatfiles import DAMAGED, damaged, plain_types
from atlas_lib.ingest.parquet_columns import check_texts, without_views
from atlas_lib.ingest.plain import CODED
from atlas_lib.ingest.recognition import NamedSheet

Given = TypeVar("Given")
Made = TypeVar("Made")
PIECE_ROWS = 500_000  # a sheet of so many rows is one piece: its columns may decide how a cell of theirs is read
STEP_ROWS = 122_880  # of a larger file; small enough that reading, checking and writing overlap
_CODE_BYTES = 2


@dataclass(frozen=True)
class Piece:
    """Part of a sheet: cells as Arrow under their input names where their types allow it, and their source rows.

    `raw`: all columns of the file as they came, where it is read in pieces.
    """

    sheet: NamedSheet
    cells: pa.Table | None
    source_rows: pd.Index
    is_whole: bool
    raw: pa.Table | None = None


@dataclass(frozen=True)
class Rest:
    """Rows that are not in plain form or break a rule, as a sheet in memory; `raw`: the same rows as they came."""

    sheet: NamedSheet
    raw: pa.Table | None


def pieces_of(sheet: NamedSheet) -> Iterator[Piece]:
    if sheet.path is None:
        for start in range(0, len(sheet.frame), PIECE_ROWS):
            part = sheet.frame.iloc[start : start + PIECE_ROWS]
            texts = all(isinstance(kind, pd.StringDtype) for kind in part.dtypes)
            cells = pa.Table.from_pandas(part, preserve_index=False) if texts else None
            yield Piece(replace(sheet, frame=part), cells, part.index, len(part) == len(sheet.frame))
        return
    start, total = 1, sheet.rows_in_count
    for found in _read_pieces(sheet):
        check_texts(found, sheet.file, start)
        cells = _known_types(pa.table({name: found[header] for name, header in sheet.headers.items()}))
        rows = pd.RangeIndex(start, start + len(cells))
        yield Piece(sheet, cells, rows, len(cells) == total, found)
        start += len(cells)


def _read_pieces(sheet: NamedSheet) -> Iterator[pa.Table]:
    try:
        said = pq.read_metadata(sheet.path)
        size = PIECE_ROWS if said.num_rows <= PIECE_ROWS else min(PIECE_ROWS, STEP_ROWS)
        with pq.ParquetFile(sheet.path, read_dictionary=coded_columns(said), metadata=said) as file:
            # Batches end with the groups of their file where it has dictionaries.
            batches = (pa.Table.from_batches([batch]) for batch in file.iter_batches(size))
            yield from map(without_views, gathered(batches, size))
    except DAMAGED as error:
        raise damaged(sheet.file, error) from error


def gathered(tables: Iterator[pa.Table], least: int = STEP_ROWS // 2) -> Iterator[pa.Table]:
    """Small tables put together; one of a good size stays as it lies, nothing of it is copied."""
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        if sum(map(len, held)) >= least:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)


def coded_columns(said: pq.FileMetaData) -> list[str]:
    """Text columns that the file holds as dictionaries throughout: so few bytes a value are no texts."""
    groups = [said.row_group(number) for number in range(said.num_row_groups)]
    texts = [c for c in range(said.num_columns) if said.schema.column(c).logical_type.type == "STRING"]
    chunks = {said.schema.column(c).path: [group.column(c) for group in groups] for c in texts}
    return [
        path
        for path, parts in chunks.items()
        if all(p.has_dictionary_page and p.total_uncompressed_size <= _CODE_BYTES * p.num_values for p in parts)
    ]


def _known_types(cells: pa.Table) -> pa.Table:
    """Types that the parsers know; dictionaries of texts with one dictionary for the whole piece."""
    is_coded = [field.type == CODED for field in cells.schema]
    plain = plain_types(cells.select([f.name for f, coded in zip(cells.schema, is_coded, strict=True) if not coded]))
    coded = cells.select(
        [f.name for f, coded in zip(cells.schema, is_coded, strict=True) if coded]
    ).unify_dictionaries()
    return pa.table({name: (coded if is_coded[i] else plain)[name] for i, name in enumerate(cells.column_names)})


def joined(rests: Sequence[Rest]) -> Rest:
    sheet = replace(rests[0].sheet, frame=pd.concat([rest.sheet.frame for rest in rests]))
    return Rest(sheet, pa.concat_tables([rest.raw for rest in rests]) if rests[0].raw is not None else None)


def rest_of(piece: Piece, rows: Mask) -> Rest:
    """The marked rows as a sheet in memory."""
    is_part = not (piece.is_whole and rows.all())
    if piece.sheet.path is None:
        return Rest(replace(piece.sheet, frame=piece.sheet.frame[rows], is_part=is_part), None)
    frame = arrow_to_frame(plain_types(piece.cells.filter(rows))) if piece.cells is not None else pd.DataFrame()
    sheet = replace(piece.sheet, frame=frame.set_axis(piece.source_rows[rows], axis=0), path=None, is_part=is_part)
    return Rest(sheet, piece.raw.filter(rows) if piece.raw is not None else None)


def in_turn(work: Callable[[Given], Made], parts: Iterator[Given]) -> Iterator[Made]:
    """Results in the order of the parts, as many at work as there are cores, no more in memory than that."""
    workers = min(os.cpu_count() or 1, 4)
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for part in parts:
            waiting.append(pool.submit(work, part))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
