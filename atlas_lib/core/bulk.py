"""Tables that stay files: checked and totalled where they lie, loaded only when somebody looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from atlas_lib.core.duckdb_engine import DuckDBEngine
from atlas_lib.core.engine import Input
from atlas_lib.core.errors import TableError
from atlas_lib.core.tables import Table, arrow_to_frame


class StepTables(SimpleNamespace):
    """The tables of a step under their names, each loaded when it is first asked for.

    `files` holds the same names as paths, for stage functions that work on files.
    """

    def __init__(self, paths: Mapping[str, Path], read: Callable[[str], pd.DataFrame]) -> None:
        super().__init__(files=SimpleNamespace(**paths))
        self._read = read

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in vars(self.files):
            raise AttributeError(f"no table {name} in this step; it made {', '.join(vars(self.files))}")
        setattr(self, name, self._read(name))
        return getattr(self, name)


def sources(tables: SimpleNamespace) -> dict[str, Input]:
    """Tables as inputs for the engine: the files of a step, else the frames themselves."""
    return dict(vars(getattr(tables, "files", tables)))


def loaded(source: Input, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """The rows of a table that may still be a file, or some columns of them."""
    if isinstance(source, pd.DataFrame):
        return source if columns is None else source[list(columns)]
    if isinstance(source, Path):
        source = pq.read_table(source, columns=columns, partitioning=None)
    return arrow_to_frame(source)


def check_file(table: Table, path: Path) -> dict[str, Any]:
    """Rows and control totals of a Parquet file that holds the declared columns, types and key.

    Raises TableError where it does not. Empty required cells cannot be in a file of the declared schema.
    """
    found = pq.read_schema(path)
    if not found.equals(table.arrow_schema):
        raise _broken(table, str(table.arrow_schema), str(found))
    amounts = [c for c in table.column_names if c.endswith("_minor")] if "currency" in table.column_names else []
    sums = ", ".join(f"CAST(COALESCE(SUM({c}), 0) AS BIGINT) AS {c}" for c in amounts)
    key = ", ".join(table.key)
    # The names inserted are those of the declaration.
    steps = [
        ("repeated", f"SELECT {key}, COUNT(*) AS times FROM rows_in GROUP BY {key} HAVING COUNT(*) > 1 LIMIT 5"),  # noqa: S608
        ("totals", f"SELECT currency, {sums} FROM rows_in GROUP BY currency ORDER BY currency"),  # noqa: S608
    ]
    wanted = [s for s in steps if (s[0] == "repeated" and key) or (s[0] == "totals" and amounts)]
    made = DuckDBEngine().run(wanted, {"rows_in": path}, [name for name, _ in wanted])
    if len(made.get("repeated", ())):
        raise _broken(table, f"unique key {key}", made["repeated"].to_string(index=False))
    totals = made["totals"].set_index("currency") if amounts else None
    kept = (
        {} if totals is None or totals.empty else {c: {str(k): int(v) for k, v in totals[c].items()} for c in amounts}
    )
    return {"rows": pq.read_metadata(path).num_rows, "control_totals": kept}


def _broken(table: Table, expected: str, found: str) -> TableError:
    return TableError(
        f"Table {table.name} breaks its declaration", where=f"made by {table.stage}", expected=expected, found=found,
        remedy="correct the stage that makes it, or the declaration in core/tables",
    )  # fmt: skip
