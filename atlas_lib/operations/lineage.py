"""Where a thing comes from and what became of it: source cell, every table of the run that names it, ledger entries, page.

A thing is anything with an id in a table: a transaction, contract, merchant, payout, batch, break, match, statement.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
import pyarrow.parquet as pq

from atlas_lib.core.errors import InputError
from atlas_lib.core.run import Run
from atlas_lib.core.settings import STAGES
from atlas_lib.core.tables import SOURCE_COLUMNS, declared
from atlas_lib.ledger.store import Ledger
from atlas_lib.ledger.trail import About

_MOST_ROWS = 1_000
_ABOUT: tuple[About, ...] = ("transaction", "batch", "merchant")
STEP_COLUMNS = ("stage", "table", "column", "row_count", "source", "page")


@dataclass(frozen=True)
class Lineage:
    """`steps`: one line per table and column that names the id; `rows`: the rows themselves; `events`: ledger entries."""

    subject_id: str
    steps: pd.DataFrame
    rows: dict[str, pd.DataFrame]
    events: pd.DataFrame


def trace(run: Run, ledger: Ledger, subject_id: str) -> Lineage:
    """Follow an id through a run, in the order of the stages, and through the ledger.

    Rows are read with the id pushed down to the file, at most 1,000 shown per table (row_count counts all). Entries are those
    of the transaction, batch or merchant of this id. Raises InputError when nothing names it.
    """
    found = list(_tables_with(run, subject_id))
    names = [_step(run, *hit) for hit in found]
    rows = {f"{table} by {column}": frame.head(_MOST_ROWS) for table, column, frame in found}
    trails = [ledger.trail(about, subject_id) for about in _ABOUT]
    events = pd.concat(trails).drop_duplicates("entry_id").sort_values("entry_id", ignore_index=True)
    if not names and events.empty:
        raise InputError(
            "Nothing in this run or its ledger has this id", where=run.run_id, found=subject_id,
            remedy="check the id; ids are case-sensitive and those of customers are not searched",
        )  # fmt: skip
    return Lineage(subject_id, pd.DataFrame(names, columns=pd.Index(STEP_COLUMNS)), rows, events)


def _tables_with(run: Run, subject_id: str) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """(table, column, rows) wherever a column of ids holds it; a customer's id names a person and is no way in."""
    order = {stage: number for number, stage in enumerate(STAGES)}
    for name in sorted(run.manifest["tables"], key=lambda n: (order[declared(n).stage], n)):
        table = declared(name)
        for column in table.columns:
            if column.type == "string" and column.name.endswith("_id") and column.name != "user_id":
                rows = pq.read_table(run.path(name), filters=[(column.name, "=", subject_id)], partitioning=None)
                if len(rows):
                    yield name, column.name, table.from_arrow(rows)


def _step(run: Run, table: str, column: str, rows: pd.DataFrame) -> tuple[str, str, str, int, str, str]:
    stage = declared(table).stage
    page = f"html/{stage}.html"
    known = set(SOURCE_COLUMNS) <= set(rows.columns)
    return (
        stage, table, column, len(rows), _sources(rows) if known else "",
        page if (run.directory / page).exists() else "",
    )  # fmt: skip


def _sources(rows: pd.DataFrame) -> str:
    """`book.xlsx, Sheet1, row 7`, up to three of them."""
    places = rows[list(SOURCE_COLUMNS)].drop_duplicates().head(4).to_dict("records")
    texts = [
        ", ".join(filter(None, (p["source_file"], p["source_sheet"], f"row {p['source_row']}"))) for p in places[:3]
    ]
    return "; ".join(texts) + ("; ..." if len(places) > 3 else "")
