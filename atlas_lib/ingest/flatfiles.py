"""CSV of any delimiter and encoding, and Parquet, to raw sheets."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from atlas_lib.core.errors import InputError
from atlas_lib.core.tables import arrow_to_frame
from atlas_lib.ingest import headers
from atlas_lib.ingest.headers import RawSheet

_SAMPLE_BYTES = 64 * 1024


def read_parquet(path: Path, name: str) -> RawSheet:
    """A file of transactions is only opened, and read in pieces later; any other is loaded."""
    try:
        file = pq.ParquetFile(path)
        fit = headers.find_header([file.schema_arrow.names], Path(name).stem, Path(name).parent.name)
        in_pieces = fit is not None and fit.table == "transactions" and file.metadata.num_rows > 0
        table = file.read() if not in_pieces else pa.Table.from_batches([next(file.iter_batches(1))])
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            "The Parquet file cannot be read", where=name, found=str(error), expected="a complete Parquet file"
        ) from error
    header = tuple(table.column_names)
    frame = arrow_to_frame(plain_types(table).rename_columns([str(i) for i in range(table.num_columns)]))
    frame.columns = pd.RangeIndex(frame.shape[1])
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    return RawSheet(name, "", frame, header=header, path=path if in_pieces else None)


def plain_types(table: pa.Table) -> pa.Table:
    """Decimals and dictionaries to what the parsers know; nested columns to their text."""
    for i, column in enumerate(table.schema):
        if pa.types.is_decimal(column.type):
            table = table.set_column(i, column.name, table.column(i).cast(pa.float64()))
        elif pa.types.is_dictionary(column.type) or pa.types.is_large_string(column.type):
            table = table.set_column(i, column.name, table.column(i).cast(pa.string()))
        elif pa.types.is_timestamp(column.type) and column.type.unit == "ns":
            table = table.set_column(
                i, column.name, table.column(i).cast(pa.timestamp("us", tz=column.type.tz), safe=False)
            )
    return table


def read_text(path: Path, name: str) -> RawSheet:
    """CSV of any delimiter: the one under which a header is recognised, else the most frequent."""
    encoding = _encoding(path)
    with path.open("rb") as stream:
        sample = stream.read(_SAMPLE_BYTES).decode(encoding, errors="replace")
    lines = {d: list(csv.reader(io.StringIO(sample), delimiter=d)) for d in ",;\t|"}
    fits = {d: headers.find_header(rows, Path(name).stem, Path(name).parent.name) for d, rows in lines.items()}
    best = {d: len(f.positions) for d, f in fits.items() if f}
    if not best:
        frame = pd.DataFrame(max(lines.values(), key=lambda rows: max(map(len, rows), default=0)), dtype="str")
        frame.index = pd.RangeIndex(1, len(frame) + 1)
        return RawSheet(name, "", frame)
    delimiter = max(best, key=lambda d: best[d])
    fit = fits[delimiter]
    return _read_delimited(
        path, name, encoding, delimiter, fit.row if fit else 0, tuple(lines[delimiter][fit.row if fit else 0])
    )


def _encoding(path: Path) -> str:
    with path.open("rb") as stream:
        start = stream.read(_SAMPLE_BYTES)
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        io.TextIOWrapper(path.open("rb"), encoding="utf-8-sig").read()
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig"


def _read_delimited(
    path: Path, name: str, encoding: str, delimiter: str, header_index: int, header: tuple[str, ...]
) -> RawSheet:
    """The rows below the header, all as text; a line with too few or too many fields is noted, never dropped in silence."""
    bad: list[tuple[int, str]] = []

    def note(row: Any) -> str:
        bad.append((int(row.number), row.text))
        return "skip"

    names = [str(i) for i in range(len(header))]
    try:
        table = pyarrow.csv.read_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(use_threads=False, column_names=names, skip_rows=header_index + 1, encoding=encoding.removesuffix("-sig")),
            parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=note),
            convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""], quoted_strings_can_be_null=True),
        )  # fmt: skip
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(
            "The CSV file cannot be read", where=name, found=str(error), expected="a text table with a header row"
        ) from error
    frame = table.to_pandas()
    frame.columns = pd.RangeIndex(len(names))
    rows = np.arange(1, len(frame) + len(bad) + 1)
    broken = np.array([number - header_index - 1 for number, _ in bad], dtype=np.int64)
    frame.index = pd.Index(np.setdiff1d(rows, broken) + header_index + 1)
    filled = [(n, t) for n, t in bad if t.strip(" \r\n" + delimiter)]
    expected = (
        f"Expected {len(header)} fields as in the header; correct the line or quote the text that holds the delimiter."
    )
    notes = tuple(
        (n, "", t[:200], "WRONG_FIELD_COUNT", f"{name}, line {n}: the line has another number of fields. {expected}")
        for n, t in filled
    )
    return replace(RawSheet(name, "", frame, header=header, header_row=header_index + 1), notes=notes)
