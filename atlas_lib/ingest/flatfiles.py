"""CSV of any delimiter and encoding, and Parquet, to raw sheets."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from atlas_lib.core.errors import InputError
from atlas_lib.core.tables import arrow_to_frame
from atlas_lib.ingest.dialects import SAMPLE_SIZE, Dialect, decode, find_dialect
from atlas_lib.ingest.grid import Grid
from atlas_lib.ingest.headers import Left, RawSheet, find_header, fit_row
from atlas_lib.ingest.parquet_columns import check_columns, check_texts, is_bytes, without_views
from atlas_lib.ingest.recognition import RawNote, raw_sheets

_LINE_WITHOUT_DIGIT = re.compile(r"^[^\d\r\n]{8,4000}$", re.MULTILINE)
Ragged = dict[int, list[str]]  # record or line number, and its fields
DAMAGED = (pa.ArrowException, OSError, ValueError, OverflowError)  # what reading a broken Parquet file ends with
_BLOCK = 8 * 1024 * 1024
_LAST_LINE = 2**62
_MANY_RAGGED = 0.2  # share of lines with another number of fields from which the file is more than one table


def read_parquet(path: Path, name: str) -> RawSheet:
    """A file of transactions is only opened, and read in pieces later; any other is loaded."""
    try:
        file = pq.ParquetFile(path)
        fit = find_header([file.schema_arrow.names], Path(name).stem, Path(name).parent.name)
        if fit is not None:
            check_columns(file, name, sorted(fit.positions.values()))
        rows = int(file.metadata.num_rows)
        in_pieces = fit is not None and fit.table == "transactions" and rows > 0
        table = without_views(file.read() if not in_pieces else _empty_row(file.schema_arrow))
        check_texts(table, name, 1)
        header = tuple(table.column_names)
        frame = arrow_to_frame(plain_types(table).rename_columns([str(i) for i in range(table.num_columns)]))
    except DAMAGED as error:
        raise damaged(name, error) from error
    frame.columns = pd.RangeIndex(frame.shape[1])
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    area = f"1:{rows}" if rows else ""
    return RawSheet(name, "", frame, header=header, area=area, path=path if in_pieces else None)


def _empty_row(schema: pa.Schema) -> pa.Table:
    return pa.table({str(place): pa.nulls(1, field.type) for place, field in enumerate(schema)}).rename_columns(
        schema.names
    )


def damaged(name: str, error: Exception) -> InputError:
    return InputError(
        "The Parquet file cannot be read", where=name, found=str(error)[:300], expected="a complete Parquet file",
        remedy="send it again",
    )  # fmt: skip


def plain_types(table: pa.Table) -> pa.Table:
    """Decimals, dictionaries and texts kept as bytes to what the parsers know; bytes that are no text stay as they are."""
    table = without_views(table)
    for i, column in enumerate(table.schema):
        if is_bytes(column.type):
            table = table.set_column(i, column.name, _as_text(table.column(i)))
        elif pa.types.is_decimal(column.type):
            table = table.set_column(i, column.name, table.column(i).cast(pa.float64()))
        elif pa.types.is_dictionary(column.type) or pa.types.is_large_string(column.type):
            table = table.set_column(i, column.name, table.column(i).cast(pa.string()))
        elif pa.types.is_timestamp(column.type) and column.type.unit == "ns":
            table = table.set_column(
                i, column.name, table.column(i).cast(pa.timestamp("us", tz=column.type.tz), safe=False)
            )
    return table


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        return column


def read_text(path: Path, name: str) -> Iterator[RawSheet]:
    """The tables of a CSV file of any delimiter: below one header in one go, else line by line."""
    text, encoding, remark = decode(path.read_bytes())
    text = text.replace("\r", "\n") if "\n" not in text else text
    notes: list[RawNote] = [(0, "", encoding, "TEXT_REPAIRED", f"{name}: {remark}.")] if remark else []
    if not text.strip():
        yield RawSheet(name, "", pd.DataFrame(), notes=tuple(notes))
        return
    names = (PurePosixPath(name).stem, PurePosixPath(name).parent.name)
    sample = text if len(text) <= SAMPLE_SIZE else text[:SAMPLE_SIZE].rpartition("\n")[0] or text[:SAMPLE_SIZE]
    try:
        dialect, rows = find_dialect(sample, *names)
        _refuse_open_quote(text, dialect, name)
        fit = find_header(rows, *names)
        if fit is None and not _later_header(text, dialect):
            yield _unknown(name, rows, text, notes)
            return
        read = _in_one_go(text, dialect, rows[: fit.row + 1]) if fit else None
        grid, ragged = read or _line_by_line(text, dialect)
    except (pa.ArrowException, csv.Error) as error:
        raise InputError(
            "The CSV file cannot be read", where=name, found=str(error)[:300], expected="a text table with a header row"
        ) from error
    sheets = list(raw_sheets(grid, name, "", (), notes, is_workbook=False))
    ends = [sheet.header_row for sheet in sheets[1:]] + [_LAST_LINE]
    for sheet, end in zip(sheets, ends, strict=True):
        yield _with_ragged(sheet, ragged, dialect, sheet.header_row + 1, end - 1)


def _refuse_open_quote(text: str, dialect: Dialect, name: str) -> None:
    """A quote that is opened and never closed would swallow every line after it."""
    quotes = text.count(dialect.quote) - (text.count("\\" + dialect.quote) if dialect.escape else 0)
    if dialect.quote == '"' and quotes % 2:
        starts = [m.start() for m in re.finditer(rf'(?:^|[{re.escape(dialect.delimiter)}])"', text, re.MULTILINE)]
        line = text.count("\n", 0, starts[-1]) + 1 if starts else 0
        if starts:
            raise InputError(
                "A quotation mark is opened and never closed", where=f"{name}, at the latest in line {line}",
                expected='an even number of "', found=f"{quotes:,}", remedy="close it, or double the one that stands inside a text",
            )  # fmt: skip


def _later_header(text: str, dialect: Dialect) -> bool:
    """A line further down that names the columns of a table."""
    lines = (m[0] for _, m in zip(range(400), _LINE_WITHOUT_DIGIT.finditer(text), strict=False))
    return any(fit is not None and fit.is_certain for line in lines for fit in [fit_row(dialect.rows(line)[0], 0, "")])


def _unknown(name: str, rows: Sequence[Sequence[str]], text: str, notes: Sequence[RawNote]) -> RawSheet:
    count = text.count("\n") + (not text.endswith("\n"))
    shown = "; ".join(next((r for r in rows if any(r)), []))[:120]
    left = Left(1, count, "unknown", "no row names the columns of a known table", shown, rows_count=count)
    return RawSheet(name, "", pd.DataFrame(), notes=tuple(notes), left=(left,))


def _in_one_go(text: str, dialect: Dialect, head: Sequence[list[str]]) -> tuple[Grid, Ragged] | None:
    """All rows, those below the header through Arrow; None where so many lines differ that there is another table."""
    width = len(head[-1])
    body, ragged = _read_body(text, dialect, len(head), width)
    size = len(head) + body.num_rows + len(ragged)
    if _is_more_than_one(ragged, size):
        return None
    known = {n: f for n, f in ragged.items() if len(f) <= 1 or (len(f) > width and not any(f[width:]))}
    rows = [*head, *known.values()]
    top = pa.table({str(c): pa.array([_cell(r, c) for r in rows], pa.string()) for c in range(width)})
    records = np.arange(1, size + 1)
    below = np.setdiff1d(records[len(head) :], np.array([*ragged], dtype=np.int64))
    numbers = np.concatenate([records[: len(head)], np.array([*known], dtype=np.int64), below])
    order = np.argsort(numbers, kind="stable")
    table = pa.concat_tables([top, body]).take(pa.array(order)) if known else pa.concat_tables([top, body])
    broken = {n: f for n, f in ragged.items() if n not in known}
    lines = _line_numbers(table, numbers[order], broken, size)
    return Grid.of_texts(table, lines[numbers[order] - 1]), {int(lines[n - 1]): f for n, f in broken.items()}


def _read_body(text: str, dialect: Dialect, skip: int, width: int) -> tuple[pa.Table, Ragged]:
    """The records below the header as text columns; those with another number of fields by their record number."""
    bad: Ragged = {}

    def note(row: Any) -> str:
        fields = dialect.rows(row.text)
        bad[int(row.number)] = fields[0] if fields else []
        return "skip"

    names = [str(i) for i in range(width)]
    empty = pa.table({name: pa.array([], pa.string()) for name in names})
    if not text.split("\n", skip)[-1].strip("\r\n") or text.count("\n") < skip:
        return empty, bad
    table = pyarrow.csv.read_csv(
        pa.BufferReader(text.encode("utf-8")),
        read_options=pyarrow.csv.ReadOptions(use_threads=False, column_names=names, skip_rows=skip, block_size=_BLOCK),
        parse_options=pyarrow.csv.ParseOptions(delimiter=dialect.delimiter, quote_char=dialect.quote, escape_char=dialect.escape or False, newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=note),
        convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""], quoted_strings_can_be_null=True),
    )  # fmt: skip
    return table, bad


def _cell(record: Sequence[str], column: int) -> str | None:
    return (record[column] or None) if column < len(record) else None


def _is_more_than_one(ragged: Ragged, size: int) -> bool:
    """A line of another length names columns, or so many differ that the header is not that of the file."""
    filled = [f for f in ragged.values() if len(f) > 1 and any(f)]
    return len(filled) > _MANY_RAGGED * size or any(fit_row(f, 0, "") for f in filled[:400])


def _line_numbers(table: pa.Table, numbers: Any, ragged: Ragged, size: int) -> Any:
    """Per record the line it starts in: a line break inside a quoted text moves what follows down."""
    breaks = np.zeros(size + 1, dtype=np.int64)
    for column in table.columns:
        breaks[numbers] += pc.fill_null(pc.count_substring(column, "\n"), 0).to_numpy()
    for number, fields in ragged.items():
        breaks[number] += sum(f.count("\n") for f in fields)
    return np.arange(1, size + 1) + np.cumsum(breaks[:-1])


def _line_by_line(text: str, dialect: Dialect) -> tuple[Grid, Ragged]:
    """Every record as it comes; which ones have another number of fields is judged against the header above them."""
    rows = dialect.rows(text)
    breaks = np.array([sum(f.count("\n") for f in row) for row in rows], dtype=np.int64)
    lines = np.arange(1, len(rows) + 1) + np.concatenate([[0], np.cumsum(breaks)[:-1]])
    grid = replace(Grid.of_rows(rows), rows=lines)
    return grid, {int(line): row for line, row in zip(lines, rows, strict=True)}


def _with_ragged(sheet: RawSheet, records: Ragged, dialect: Dialect, first: int, last: int) -> RawSheet:
    """Lines of the table with too few or too many fields are refused: which cell is missing cannot be known."""
    if not sheet.table:
        return sheet
    width = max((p for p in range(len(sheet.header)) if sheet.header[p]), default=0) + 1
    at_header = records.get(sheet.header_row)
    width = len(at_header) if at_header else width
    index = set(sheet.frame.index)
    wrong = {
        n: f for n, f in records.items()
        if first <= n <= last and (at_header is None or n in index) and any(f) and (len(f) < width or any(f[width:]))
    }  # fmt: skip
    expected = f"Expected {width} fields as in the header; correct the line or quote the text that holds the delimiter."
    notes = [
        (n, "", dialect.delimiter.join(f)[:200], "WRONG_FIELD_COUNT", f"{sheet.file}, line {n}: the line has another number of fields. {expected}")
        for n, f in wrong.items()
    ]  # fmt: skip
    kept = sheet.frame.drop(index=[n for n in wrong if n in index])
    broken = tuple((n, tuple(f)) for n, f in wrong.items())
    return replace(sheet, frame=kept, notes=(*sheet.notes, *notes), broken=broken)
