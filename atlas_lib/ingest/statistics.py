"""What was read per column: how much is filled, refused and different, and between which values it lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from atlas_lib.core.duckdb_engine import DuckDBEngine
from atlas_lib.core.engine import Engine, Output
from atlas_lib.core.money import format_minor
from atlas_lib.core.tables import arrow_to_frame, declared
from atlas_lib.ingest.recognition import NamedSheet
from atlas_lib.ingest.vocabulary import Field, fields


def describe_columns(
    named: Sequence[NamedSheet], clean: Mapping[str, Output], rejects: pd.DataFrame, engine: Engine | None = None
) -> pd.DataFrame:
    """`column_statistics`, for the columns that the input has; values are those of the clean rows.

    rows and filled count what was read, refused the cells in error; a text's lowest and highest are the first and the
    last in the order of the alphabet. A mean over amounts of several currencies is left empty. Of a table in a file the
    number of different values is estimated (HyperLogLog, within a few percent).
    """
    errors = rejects[rejects["severity"] == "error"].groupby(["table", "column"]).size()
    lines = []
    for table in dict.fromkeys(s.table for s in named if s.table):
        sheets = [s for s in named if s.table == table]
        rows = sum(s.rows_in_count for s in sheets)
        given = [f for f in fields(table, "") if any(f.name in s.headers for s in sheets)]
        filled = [_filled(s) for s in sheets]
        values = _values_of(given, clean[table], engine)
        for field in given:
            lines.append({
                "table": table, "column": field.name, "rows_count": rows,
                "filled_count": sum(counts.get(field.name, 0) for counts in filled),
                "refused_count": int(errors.get((table, field.name), 0)), **values[field.name],
            })  # fmt: skip
    return declared("column_statistics").shaped(pd.DataFrame(lines, columns=declared("column_statistics").column_names))


def _filled(sheet: NamedSheet) -> dict[str, int]:
    """Cells of each column that are not empty; of a file in pieces as its own statistics say."""
    if sheet.path is None:
        return {name: int(sheet.frame[name].notna().sum()) for name in sheet.headers}
    said = pq.read_metadata(sheet.path)
    names, groups = said.schema.names, [said.row_group(number) for number in range(said.num_row_groups)]
    return {name: said.num_rows - _empty(groups, names.index(header)) for name, header in sheet.headers.items()}


def _empty(groups: Sequence[pq.RowGroupMetaData], place: int) -> int:
    found = (group.column(place).statistics for group in groups)
    return sum(statistics.null_count or 0 for statistics in found if statistics is not None)


def _values_of(given: Sequence[Field], table: Output, engine: Engine | None) -> dict[str, dict[str, object]]:
    if isinstance(table, pd.DataFrame):
        return {field.name: _values(field, table) for field in given}
    steps = [(name, f"SELECT {', '.join(parts)} FROM cells") for name, parts in _aggregates(given).items() if parts]  # noqa: S608 - the names are those of the declaration
    own = engine if isinstance(engine, DuckDBEngine) else DuckDBEngine()
    made = own.run(steps, {"cells": table}, [name for name, _ in steps])
    found = pd.concat([frame.iloc[0] for frame in made.values()])
    first = next(pq.ParquetFile(table).iter_batches(10_000), None)
    start = arrow_to_frame(pa.Table.from_batches([first])) if first is not None else pd.DataFrame()
    return {field.name: _values_found(field, found, start) for field in given}


def _aggregates(given: Sequence[Field]) -> dict[str, list[str]]:
    """By statement: alone, lowest and highest values are answered by the file's own statistics, without its rows."""
    names = [field.column.name for field in given]
    amounts = [field.column.name for field in given if field.kind == "amount"]
    ends = [f"{end}({name}) AS {name}_{word}" for name in names for end, word in (("MIN", "low"), ("MAX", "high"))]
    within = [
        part
        for name in amounts
        for part in (
            f"arg_min(currency, {name}) AS {name}_low_in",
            f"arg_max(currency, {name}) AS {name}_high_in",
            f"CASE WHEN MIN(currency) = MAX(currency) THEN CAST(round(AVG({name})) AS BIGINT) END AS {name}_mean",
        )
    ]
    return {
        "ends": ends,
        "amounts": within,
        "counts": [f"approx_count_distinct({name}) AS {name}_count" for name in names],
    }


def _values_found(field: Field, found: pd.Series, start: pd.DataFrame) -> dict[str, object]:
    """As `_values`, of the lowest and highest value, with the first given one among the first rows as example."""
    name = field.column.name
    if start.empty or pd.isna(found[f"{name}_low"]):
        return _values(field, start.iloc[:0].reindex(columns=[name]))
    examples = start[name].dropna()
    shown = [examples.iloc[0] if len(examples) else found[f"{name}_low"], found[f"{name}_low"], found[f"{name}_high"]]
    codes = [start["currency"].iloc[0], found.get(f"{name}_low_in"), found.get(f"{name}_high_in")]
    ends = pd.DataFrame({name: pd.Series(shown, dtype=start[name].dtype), "currency": codes})
    mean = found.get(f"{name}_mean")
    said = None if pd.isna(mean) else f"{format_minor(int(mean), str(codes[1]))} {codes[1]}"
    return _values(field, ends) | {"distinct_count": int(found[f"{name}_count"]), "mean": said}


def _values(field: Field, frame: pd.DataFrame) -> dict[str, object]:
    """distinct_count, lowest, highest, mean and example of one clean column."""
    column = frame[field.column.name]
    array = pa.array(column, from_pandas=True)
    given = array.drop_null() if isinstance(array, pa.Array) else array.combine_chunks().drop_null()
    if not len(given):
        return {"distinct_count": 0, "lowest": None, "highest": None, "mean": None, "example": None}
    first = int(column.notna().to_numpy().argmax())
    found: dict[str, object] = {"distinct_count": pc.count_distinct(given).as_py(), "mean": None}
    if field.kind == "text":
        low, high = pc.min_max(given).as_py().values()
        return found | {"lowest": low, "highest": high, "example": given[0].as_py()}
    places = [int(column.argmin()), int(column.argmax()), first] if field.kind != "bool" else [first] * 3
    low, high, example = (_shown(field, frame, place) for place in places)
    return found | {"lowest": low, "highest": high, "example": example, "mean": _mean(field, frame)}


def _shown(field: Field, frame: pd.DataFrame, place: int) -> str:
    value = frame[field.column.name].iloc[place]
    if field.kind == "amount":
        currency = str(frame["currency"].iloc[place])
        return f"{format_minor(int(value), currency)} {currency}"
    return str(value.date()) if field.kind == "date" else str(value)


def _mean(field: Field, frame: pd.DataFrame) -> str | None:
    """In units of the one currency for amounts, else as it is; none for dates and flags."""
    column = frame[field.column.name]
    if field.kind == "amount":
        currencies = frame["currency"].unique()
        whole = round(column.mean())
        return f"{format_minor(whole, str(currencies[0]))} {currencies[0]}" if len(currencies) == 1 else None
    return f"{column.mean():.6g}" if field.kind in ("rate", "ratio", "whole") else None
