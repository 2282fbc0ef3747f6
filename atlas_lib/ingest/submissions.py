"""Transactions in pieces, so that a file larger than memory passes through.

Of each piece the rows in plain form that break no rule are taken as they are; the rest goes through the reading cell by
cell of `validation.py`, which says what is wrong; these rows follow the others of their pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from atlas_lib.core.engine import Engine, Output
from atlas_lib.core.money import scale_of
from atlas_lib.core.parquet import write_groups
from atlas_lib.core.settings import IngestSettings
from atlas_lib.core.tables import arrow_to_frame, declared
from atlas_lib.ingest.cells import Mask
from atlas_lib.ingest.pieces import STEP_ROWS, Piece, Rest, gathered, in_turn, joined, pieces_of, rest_of
from atlas_lib.ingest.plain import CODED, PlainRows, decoded, has_plain_form, read_plain
from atlas_lib.ingest.recognition import NamedSheet
from atlas_lib.ingest.refused import MOST_ROWS, RawRows, is_without_column
from atlas_lib.ingest.rejects import count_clean_rows
from atlas_lib.ingest.rules import rules

if TYPE_CHECKING:
    import duckdb

Cleaned = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]
CleanRows = Callable[[NamedSheet], Cleaned]
_TABLE = "transactions"
_AMBIGUOUS = ("AMBIGUOUS_NUMBER", "AMBIGUOUS_DATE")
_FINGERPRINT = "merchant_id user_id type amount_minor currency destination_currency source_account destination_account counterparty_id settlement_window reference".split()
_BODY = ", '\x1f', ".join(_FINGERPRINT)  # nothing stands for what is missing
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
class _Clean:
    """Valid rows, rejects and counts, and what was refused as it came."""

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

    def tables() -> Iterator[pa.Table]:
        for sheet in sheets:
            for clean in _clean_sheet(sheet, settings, clean_rows):
                rejects.append(clean.rejects)
                counts.append(clean.counts)
                seen.append(_first_of_merchants(clean.rows))
                if clean.refused is not None:
                    _keep(refused.setdefault((sheet.file, sheet.sheet), []), clean.refused)
                yield clean.rows

    if engine is not None and any(sheet.path for sheet in sheets):
        made: Output = _write(engine.new_file("submissions"), tables())
    else:
        table = declared("submissions")
        rows = [part.cast(table.arrow_schema) for part in tables()]
        made = table.shaped(table.from_arrow(pa.concat_tables([table.arrow_schema.empty_table(), *rows])))
    first = pd.concat(seen, ignore_index=True).drop_duplicates("merchant_id", ignore_index=True)
    return Submissions(made, rejects, counts, first, refused)


def _write(path: Path, tables: Iterator[pa.Table]) -> Path:
    """Columns that come as dictionaries go out as such: neither side makes texts of them."""
    schema = declared("submissions").arrow_schema
    first = next(tables, schema.empty_table())
    for place, field in enumerate(schema):
        if first.schema.field(field.name).type == CODED:
            schema = schema.set(place, field.with_type(CODED))
    return write_groups(path, schema, gathered(part.cast(schema) for part in chain([first], tables)))


def _keep(kept: list[RawRows], more: RawRows) -> None:
    """As many refused rows of one sheet as are shown."""
    if sum(len(rows.numbers) for rows in kept) < MOST_ROWS:
        kept.append(more)


def _first_of_merchants(rows: pa.Table) -> pd.DataFrame:
    """The first row of each merchant."""
    merchants = rows["merchant_id"].combine_chunks().dictionary_encode()
    codes, none = merchants.indices.to_numpy(), len(rows)
    first = np.full(len(merchants.dictionary), none)
    first[codes[::-1]] = np.arange(none)[::-1]  # of several the last one written stays: the first row
    return _frame(rows.select(_FIRST_SEEN).take(pa.array(np.sort(first[first < none]))))


def fingerprints(columns: pa.Table) -> pa.Array:
    """SHA-256 over the business columns; id, key, status and time of the submission do not count."""
    with _hashing().cursor() as connection:
        connection.register("bodies", columns.select(_FINGERPRINT))
        hashed = connection.sql(f"SELECT sha256(concat({_BODY})) AS fingerprint FROM bodies").to_arrow_table()  # noqa: S608 - the names are those above
    return hashed["fingerprint"].combine_chunks().cast(pa.string())


@lru_cache(maxsize=1)
def _hashing() -> duckdb.DuckDBPyConnection:
    """Opened once: opening costs as much as the hashes of 30,000 rows."""
    import duckdb

    return duckdb.connect(":memory:")


def _clean_sheet(sheet: NamedSheet, settings: IngestSettings, clean_rows: CleanRows) -> Iterator[_Clean]:
    """The plain rows of each piece, and after them the others of as many pieces as make a good number."""
    pieces = in_turn(lambda piece: _clean_piece(piece, settings, clean_rows), pieces_of(sheet))
    rests: list[Rest] = []
    for clean, rest in pieces:
        if clean is not None:
            yield clean
        if rest is not None:
            rests.append(rest)
        if sum(len(r.sheet.frame) for r in rests) >= STEP_ROWS:
            yield _clean_rest(joined(rests), clean_rows)
            rests = []
    if rests:
        yield _clean_rest(joined(rests), clean_rows)


def _clean_piece(piece: Piece, settings: IngestSettings, clean_rows: CleanRows) -> tuple[_Clean | None, Rest | None]:
    """The plain rows of a piece, and the rest of it; a piece that is its whole sheet has no rest."""
    everything = np.ones(len(piece.source_rows), dtype=bool)
    if piece.cells is None or not has_plain_form(_TABLE, piece.cells.schema):
        rest = rest_of(piece, everything)
        return (_clean_rest(rest, clean_rows), None) if piece.is_whole else (None, rest)
    plain = read_plain(_TABLE, piece.cells, settings)
    taken = plain.is_plain & ~_breaks_a_rule(plain, settings)
    easy = _taken(piece, plain, taken)
    if taken.all():
        return easy, None
    if not piece.is_whole:
        return easy, rest_of(piece, ~taken)
    hard = _clean_rest(rest_of(piece, ~taken), clean_rows)
    if hard.rejects["rule"].isin(_AMBIGUOUS).any():  # the other rows of the sheet may say how to read it
        return _clean_rest(rest_of(piece, everything), clean_rows), None
    rows = pa.concat_tables([easy.rows, hard.rows.cast(easy.rows.schema)])
    return replace(hard, rows=rows, counts=pd.concat([easy.counts, hard.counts])), None


def _clean_rest(rest: Rest, clean_rows: CleanRows) -> _Clean:
    """Read cell by cell, with the rows that were refused."""
    rows, rejects, counts = clean_rows(rest.sheet)
    clean = _Clean(declared("submissions").to_arrow(rows), rejects, counts)
    numbers = rest.sheet.frame.index
    is_refused = numbers.isin(rejects["source_row"][rejects["severity"] == "error"]) | is_without_column(rest.sheet)
    if rest.raw is None or not is_refused.any():
        return clean
    return replace(clean, refused=RawRows(rest.raw.filter(is_refused), numbers[is_refused].to_numpy(dtype=np.int64)))


def _breaks_a_rule(plain: PlainRows, settings: IngestSettings) -> Mask:
    """Rows that break a rule, warnings too: they are read again where the messages are made."""
    rows = arrow_to_frame(plain.columns)
    rows = rows.assign(amount=rows["amount_minor"].fillna(0) / scale_of(rows["currency"]))
    broken = np.zeros(len(rows), dtype=bool)
    for rule in rules(_TABLE, settings.max_amount):
        broken |= rule.broken(rows)
    return broken


def _taken(piece: Piece, plain: PlainRows, taken: Mask) -> _Clean:
    columns = plain.columns if taken.all() else plain.columns.filter(taken)
    source = {
        "fingerprint": fingerprints(columns),
        "source_file": _repeated(piece.sheet.file, len(columns)),
        "source_sheet": _repeated(piece.sheet.sheet, len(columns)),
        "source_row": pa.array(piece.source_rows[taken].to_numpy(dtype=np.int64)),
    }
    everything = {name: columns[name] for name in columns.column_names} | source
    rows = pa.table({name: everything[name] for name in declared("submissions").column_names})
    return _Clean(rows, declared("rejects").empty(), count_clean_rows(_TABLE, rows["currency"].combine_chunks()))


def _repeated(text: str, times: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), times), pa.array([text]))


def _frame(rows: pa.Table) -> pd.DataFrame:
    """With texts in place of codes."""
    return arrow_to_frame(pa.table({n: decoded(rows[n].combine_chunks()) for n in rows.column_names}))
