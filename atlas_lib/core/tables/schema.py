"""How a table that crosses between notebooks is declared, checked, typed and written.

A table is declared once, as text a person can read: one column a line, `name type unit about`.
From it come the Arrow schema of the Parquet file, the pandera check on write, an empty frame for a
stage without input, and the data dictionary in `docs/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from atlas_lib.core.errors import TableError

if TYPE_CHECKING:
    import pandera.pandas as pandera

_ARROW = {
    "string": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "instant": pa.timestamp("us", tz="UTC"),
}
_PANDAS = {
    "string": "str",
    "int": "int64",
    "float": "float64",
    "bool": "bool",
    "date": "datetime64[us]",
    "instant": "datetime64[us, UTC]",
}


# Where a row was read from, and how a table of such rows declares it.
SOURCE_COLUMNS = ("source_file", "source_sheet", "source_row")
SOURCE = """
source_file string - input file the row was read from, relative to the input
source_sheet string - sheet of the workbook; empty for other files
source_row int count row in the sheet or line in the file, counted from 1 as Excel shows it
"""


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    nullable: bool
    unit: str
    about: str

    @property
    def pandas_type(self) -> str:
        nullable_number = {"int": "Int64", "bool": "boolean"}
        return nullable_number.get(self.type, _PANDAS[self.type]) if self.nullable else _PANDAS[self.type]


@dataclass(frozen=True)
class Table:
    """One named table: which notebook makes it, its key, one line about it, its columns."""

    name: str
    stage: str
    key: tuple[str, ...]
    about: str
    columns: tuple[Column, ...]

    @property
    def arrow_schema(self) -> pa.Schema:
        return pa.schema([pa.field(c.name, _ARROW[c.type], nullable=c.nullable) for c in self.columns])

    @property
    def column_names(self) -> list[str]:
        return [c.name for c in self.columns]

    def pandera_schema(self) -> pandera.DataFrameSchema:
        import pandera.pandas as pandera

        columns = {c.name: pandera.Column(c.pandas_type, nullable=c.nullable) for c in self.columns}
        return pandera.DataFrameSchema(columns, unique=list(self.key) or None, strict=True, name=self.name)

    def empty(self) -> pd.DataFrame:
        return self._empty.copy()

    @cached_property
    def _empty(self) -> pd.DataFrame:
        return pd.DataFrame({c.name: pd.Series([], dtype=c.pandas_type) for c in self.columns})

    def shaped(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The declared columns in the declared order and types, sorted by the key."""
        missing = [c for c in self.column_names if c not in frame.columns]
        if missing:
            raise TableError(
                f"Table {self.name} lacks columns",
                expected=", ".join(self.column_names),
                found="without " + ", ".join(missing),
            )
        if frame.empty:  # a text column without any chunk cannot be joined on
            return self.empty()
        typed = self._typed(frame[self.column_names])
        if not self.key or _is_in_order(typed, self.key):
            return typed.reset_index(drop=True)
        return typed.sort_values(list(self.key), kind="stable", ignore_index=True)

    def _typed(self, frame: pd.DataFrame) -> pd.DataFrame:
        """In the declared types; only what has another is cast, one column at a time: a cast of the frame copies all."""
        found = {str(name): str(kind) for name, kind in frame.dtypes.items()}
        other = [c for c in self.columns if found[c.name] != c.pandas_type]
        whole = {
            c.name: frame[c.name].astype("Int64") for c in other if c.type == "int"
        }  # refuses 1.5, int64 would cut it
        kinds: dict[str, Any] = {c.name: c.pandas_type for c in other}
        return frame.assign(**{name: whole.get(name, frame[name]).astype(kind) for name, kind in kinds.items()})

    def checked(self, frame: pd.DataFrame) -> pd.DataFrame:
        """`shaped`, then validated by pandera: types, nulls, unique key."""
        import pandera.errors

        try:
            shaped = self.shaped(frame)
            self.pandera_schema().validate(shaped, lazy=True)
            return shaped
        except (pandera.errors.SchemaErrors, ValueError, TypeError) as error:
            cases = getattr(error, "failure_cases", None)
            found = str(error) if cases is None else cases.head(5).to_string(index=False)
            raise TableError(
                f"Table {self.name} breaks its declaration",
                where=f"made by {self.stage}",
                expected=f"unique key {', '.join(self.key)}, declared types, no empty required cell",
                found=found,
                remedy="correct the stage that makes it, or the declaration in core/tables",
            ) from error

    def to_arrow(self, frame: pd.DataFrame) -> pa.Table:
        return pa.Table.from_pandas(frame, schema=self.arrow_schema, preserve_index=False).replace_schema_metadata(None)

    def from_arrow(self, table: pa.Table) -> pd.DataFrame:
        """The declared columns, typed; one that may be empty and that an earlier version did not write is empty.

        TableError for a file that another version has written without some of the others.
        """
        for field in self.arrow_schema:
            if field.nullable and field.name not in table.column_names:
                table = table.append_column(field, pa.nulls(len(table), field.type))
        lacking = [name for name in self.column_names if name not in table.column_names]
        if lacking:
            raise TableError(
                f"Table {self.name} is of another version", expected="columns " + ", ".join(self.column_names),
                found="without " + ", ".join(lacking), remedy="make the run anew with this version",
            )  # fmt: skip
        return self._typed(arrow_to_frame(table.select(self.column_names)))


def _is_in_order(frame: pd.DataFrame, key: tuple[str, ...]) -> bool:
    """Whether the rows ascend by the key already: one look at neighbours, where a sort would copy the whole table."""
    is_equal = np.ones(max(len(frame) - 1, 0), dtype=bool)
    for name in key:
        column = frame[name]
        if column.hasnans:
            return False
        before, after = column.array[:-1], column.array[1:]
        if (is_equal & np.asarray(before > after, dtype=bool)).any():
            return False
        is_equal &= np.asarray(before == after, dtype=bool)
    return True


def arrow_to_frame(table: pa.Table) -> pd.DataFrame:
    """Arrow to pandas with calendar days as datetime64[us] and nullable integers kept integers."""
    for i, field in enumerate(table.schema):
        if pa.types.is_date32(field.type):
            table = table.set_column(i, field.name, table.column(i).cast(pa.timestamp("us")))
    nullable = {pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype(), pa.bool_(): pd.BooleanDtype()}
    has_gaps = any(column.null_count for column in table.columns if column.type in nullable)
    frame: pd.DataFrame = table.to_pandas(types_mapper=nullable.get if has_gaps else None)
    if frame.empty:  # a text column without any chunk cannot be joined on
        frame = frame.assign(**{str(n): pd.Series([], dtype="str") for n in frame if frame[n].dtype == "str"})
    plain: dict[str, Any] = {"Int64": "int64", "Int32": "int32", "boolean": "bool"}
    full = {str(n): plain[str(t)] for n, t in frame.dtypes.items() if str(t) in plain and not frame[n].hasnans}
    return frame.assign(**{name: frame[name].astype(kind) for name, kind in full.items()})


def table(name: str, stage: str, key: str, about: str, columns: str) -> Table:
    """Declare a table. Each line: `column type unit about`; `type?` may be empty, unit `-` is none."""
    parsed = []
    for line in filter(None, columns.splitlines()):
        column, kind, unit, text = line.split(None, 3)
        nullable = kind.endswith("?")
        parsed.append(Column(column, kind.rstrip("?"), nullable, "" if unit == "-" else unit, text.strip()))
    declared = Table(name, stage, tuple(key.split()), about, tuple(parsed))
    unknown = set(declared.key) - set(declared.column_names)
    if unknown:
        raise TableError(f"Table {name} names a key that is no column", found=", ".join(sorted(unknown)))
    return declared
