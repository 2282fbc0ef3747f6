"""Transactions in pieces, so that a file larger than memory passes through.

Of each piece the rows in plain form that break no rule are taken as they are; the rest goes through the reading cell by
cell of `validation.py`, which says what is wrong; these rows follow the others of their piece.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from atlas_lib.core.engine import Engine, Output, write_parquet
from atlas_lib.core.money import scale_of
from atlas_lib.core.settings import IngestSettings
from atlas_lib.core.tables import arrow_to_frame, declared
from atlas_lib.ingest.cells import Mask
from atlas_lib.ingest.flatfiles import plain_types
from atlas_lib.ingest.plain import PlainRows, has_plain_form, read_plain
from atlas_lib.ingest.recognition import NamedSheet
from atlas_lib.ingest.refused import MOST_ROWS, RawRows, is_without_column
from atlas_lib.ingest.rejects import count_clean_rows
from atlas_lib.ingest.rules import rules

Cleaned = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]
CleanRows = Callable[[NamedSheet], Cleaned]
_TABLE = "transactions"
_PIECE_ROWS = 500_000
_AMBIGUOUS = ("AMBIGUOUS_NUMBER", "AMBIGUOUS_DATE")
_FINGERPRINT = "merchant_id user_id type amount_minor currency destination_currency source_account destination_account counterparty_id settlement_window reference".split()
_FIRST_SEEN = ["merchant_id", "currency", "source_file", "source_sheet", "source_row"]


@dataclass(frozen=True)
class Submissions:
    """Valid rows (`submissions`, a frame or a file of it), what was refused, and each merchant's first row.

    `refused`: of files read in pieces, by file and sheet, the rows that were refused, as they came.
    """

    rows: Output
    rejects: list[pd.DataFrame]
    counts: list[pd.DataFrame]
    merchants: pd.DataFrame
    refused: dict[tuple[str, str], list[RawRows]]


@dataclass(frozen=True)
class _Piece:
    """Part of a sheet: cells as Arrow under their input names where their types allow it, and their source rows.

    `raw`: all columns of the file as they came, where it is read in pieces.
    """

    sheet: NamedSheet
    cells: pa.Table | None
    source_rows: pd.Index
    is_whole: bool
    raw: pa.Table | None = None


@dataclass(frozen=True)
class _Clean:
    """Valid rows, rejects and counts of a piece, and what was refused of it as it came."""

    rows: pa.Table
    rejects: pd.DataFrame
    counts: pd.DataFrame
    refused: RawRows | None = None


def clean_submissions(
    sheets: Sequence[NamedSheet], settings: IngestSettings, clean_rows: CleanRows, engine: Engine | None
) -> Submissions:
    """All transaction rows of an input; with an engine, those of a large file stay a file in its folder.

    `clean_rows` reads the rows of a sheet cell by cell: (valid rows, rejects, counts).
    """
    rejects: list[pd.DataFrame] = []
    counts: list[pd.DataFrame] = []
    seen = [declared("submissions").empty()[_FIRST_SEEN]]
    refused: dict[tuple[str, str], list[RawRows]] = {}

    def batches() -> Iterator[pa.RecordBatch]:
        pieces = (piece for sheet in sheets for piece in _pieces(sheet))
        for piece, clean in _in_turn(lambda p: _clean_whole(p, settings, clean_rows), pieces):
            rejects.append(clean.rejects)
            counts.append(clean.counts)
            seen.append(_first_of_merchants(clean.rows))
            if clean.refused is not None:
                _keep(refused.setdefault((piece.sheet.file, piece.sheet.sheet), []), clean.refused)
            yield from clean.rows.to_batches()

    schema = declared("submissions").arrow_schema
    if engine is not None and any(sheet.path for sheet in sheets):
        made: Output = write_parquet(engine.new_file("submissions"), schema, batches())
    else:
        table = declared("submissions")
        made = table.shaped(table.from_arrow(pa.Table.from_batches(batches(), schema)))
    first = pd.concat(seen, ignore_index=True).drop_duplicates("merchant_id", ignore_index=True)
    return Submissions(made, rejects, counts, first, refused)


def _keep(kept: list[RawRows], more: RawRows) -> None:
    """As many refused rows of one sheet as are shown."""
    if sum(len(rows.numbers) for rows in kept) < MOST_ROWS:
        kept.append(more)


def _first_of_merchants(rows: pa.Table) -> pd.DataFrame:
    """The first row of each merchant."""
    places = pa.table({"merchant_id": rows["merchant_id"], "place": np.arange(len(rows))})
    first = places.group_by("merchant_id").aggregate([("place", "min")])["place_min"]
    found: pd.DataFrame = rows.select(_FIRST_SEEN).take(first).to_pandas()
    return found.iloc[np.argsort(first.to_numpy(), kind="stable")]


def fingerprints(columns: pa.Table) -> pa.Array:
    """SHA-256 over the business columns; id, key, status and time of the submission do not count."""
    import duckdb

    texts = (columns[name].cast(pa.string()) for name in _FINGERPRINT)
    body = pc.binary_join_element_wise(*texts, "\x1f", null_handling="replace", null_replacement="")
    bodies = pa.table({"body": body})
    with duckdb.connect(":memory:") as connection:
        connection.register("bodies", bodies)
        hashed = connection.sql("SELECT sha256(body) AS fingerprint FROM bodies").to_arrow_table()
    return hashed["fingerprint"].combine_chunks().cast(pa.string())


def _in_turn(work: Callable[[_Piece], _Clean], pieces: Iterator[_Piece]) -> Iterator[tuple[_Piece, _Clean]]:
    """Results in the order of the pieces, as many at work as there are cores, no more in memory than that."""
    workers = min(os.cpu_count() or 1, 4)
    waiting: deque[tuple[_Piece, Future[_Clean]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for piece in pieces:
            waiting.append((piece, pool.submit(work, piece)))
            if len(waiting) > workers:
                first, done = waiting.popleft()
                yield first, done.result()
        while waiting:
            first, done = waiting.popleft()
            yield first, done.result()


def _pieces(sheet: NamedSheet) -> Iterator[_Piece]:
    if sheet.path is None:
        for start in range(0, len(sheet.frame), _PIECE_ROWS):
            part = sheet.frame.iloc[start : start + _PIECE_ROWS]
            texts = all(isinstance(kind, pd.StringDtype) for kind in part.dtypes)
            cells = pa.Table.from_pandas(part, preserve_index=False) if texts else None
            yield _Piece(replace(sheet, frame=part), cells, part.index, len(part) == len(sheet.frame))
        return
    start = 1
    with pq.ParquetFile(sheet.path) as file:
        for batch in file.iter_batches(_PIECE_ROWS):
            found = pa.Table.from_batches([batch])
            cells = plain_types(pa.table({name: found[header] for name, header in sheet.headers.items()}))
            rows = pd.RangeIndex(start, start + len(cells))
            yield _Piece(sheet, cells, rows, len(cells) == file.metadata.num_rows, found)
            start += len(cells)


def _clean_whole(piece: _Piece, settings: IngestSettings, clean_rows: CleanRows) -> _Clean:
    """A piece, and the rows of it that were refused."""
    clean = _clean_piece(piece, settings, clean_rows)
    errors = clean.rejects["source_row"][clean.rejects["severity"] == "error"]
    is_refused = piece.source_rows.isin(errors) | is_without_column(piece.sheet)
    if piece.raw is None or not is_refused.any():
        return clean
    raw = RawRows(piece.raw.filter(is_refused), piece.source_rows[is_refused].to_numpy(dtype=np.int64))
    return replace(clean, refused=raw)


def _clean_piece(piece: _Piece, settings: IngestSettings, clean_rows: CleanRows) -> _Clean:
    everything = np.ones(len(piece.source_rows), dtype=bool)
    if piece.cells is None or not has_plain_form(_TABLE, piece.cells.schema):
        return _as_arrow(clean_rows(_sheet_of(piece, everything)))
    plain = read_plain(_TABLE, piece.cells, settings)
    taken = plain.is_plain & ~_breaks_a_rule(plain, settings)
    easy, counted = _taken(piece, plain, taken)
    if taken.all():
        return _Clean(easy, declared("rejects").empty(), counted)
    hard = _as_arrow(clean_rows(_sheet_of(piece, ~taken)))
    if (
        piece.is_whole and hard.rejects["rule"].isin(_AMBIGUOUS).any()
    ):  # the other rows of the sheet may say how to read it
        return _as_arrow(clean_rows(_sheet_of(piece, everything)))
    return _Clean(pa.concat_tables([easy, hard.rows]), hard.rejects, pd.concat([counted, hard.counts]))


def _breaks_a_rule(plain: PlainRows, settings: IngestSettings) -> Mask:
    """Rows that break a rule, warnings too: they are read again where the messages are made."""
    rows = arrow_to_frame(plain.columns)
    rows = rows.assign(amount=rows["amount_minor"].fillna(0) / scale_of(rows["currency"]))
    broken = np.zeros(len(rows), dtype=bool)
    for rule in rules(_TABLE, settings.max_amount):
        broken |= rule.broken(rows)
    return broken


def _taken(piece: _Piece, plain: PlainRows, taken: Mask) -> tuple[pa.Table, pd.DataFrame]:
    columns = plain.columns.filter(taken)
    source = {
        "fingerprint": fingerprints(columns),
        "source_file": pa.repeat(piece.sheet.file, len(columns)),
        "source_sheet": pa.repeat(piece.sheet.sheet, len(columns)),
        "source_row": pa.array(piece.source_rows[taken].to_numpy(dtype=np.int64)),
    }
    everything = {name: columns[name] for name in columns.column_names} | source
    schema = declared("submissions").arrow_schema
    rows = pa.table({name: everything[name] for name in schema.names}).cast(schema)
    currencies = rows.select(["currency"]).to_pandas()
    return rows, count_clean_rows(_TABLE, currencies)


def _sheet_of(piece: _Piece, rows: Mask) -> NamedSheet:
    """The marked rows as a sheet in memory."""
    is_part = not (piece.is_whole and rows.all())
    if piece.sheet.path is None:
        return replace(piece.sheet, frame=piece.sheet.frame[rows], is_part=is_part)
    frame = arrow_to_frame(piece.cells.filter(rows)) if piece.cells is not None else pd.DataFrame()
    return replace(piece.sheet, frame=frame.set_axis(piece.source_rows[rows], axis=0), path=None, is_part=is_part)


def _as_arrow(cleaned: Cleaned) -> _Clean:
    rows, rejects, counts = cleaned
    return _Clean(declared("submissions").to_arrow(rows), rejects, counts)
