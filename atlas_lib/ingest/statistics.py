"""What was read per column: how much is filled, refused and different, and between which values it lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from atlas_lib.core.engine import Output
from atlas_lib.core.money import format_minor
from atlas_lib.core.tables import declared
from atlas_lib.ingest.recognition import NamedSheet
from atlas_lib.ingest.vocabulary import Field, fields


def describe_columns(named: Sequence[NamedSheet], clean: Mapping[str, Output], rejects: pd.DataFrame) -> pd.DataFrame:
    """`column_statistics`, for the columns that the input has; values are those of the clean rows.

    rows and filled count what was read, refused the cells in error; a text's lowest and highest are its shortest and
    longest. A mean over amounts of several currencies is left empty. A table of a file that is read in pieces is not
    described: that would take another pass over it.
    """
    errors = rejects[rejects["severity"] == "error"].groupby(["table", "column"]).size()
    lines = []
    for table in dict.fromkeys(s.table for s in named if s.table):
        sheets, values = [s for s in named if s.table == table], clean[table]
        if isinstance(values, Path) or any(s.path for s in sheets):
            continue
        rows = sum(len(s.frame) for s in sheets)
        for field in fields(table, ""):
            own = [s.frame[field.name] for s in sheets if field.name in s.frame]
            if own:
                lines.append({
                    "table": table, "column": field.name, "rows_count": rows,
                    "filled_count": sum(int(column.notna().sum()) for column in own),
                    "refused_count": int(errors.get((table, field.name), 0)), **_values(field, values),
                })  # fmt: skip
    return declared("column_statistics").shaped(pd.DataFrame(lines, columns=declared("column_statistics").column_names))


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
        sizes = pc.utf8_length(given)
        low, high = (given[pc.index(sizes, bound).as_py()].as_py() for bound in pc.min_max(sizes).as_py().values())
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
