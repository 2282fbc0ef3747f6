"""What is said about refused and noted cells, and how many rows there were."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from atlas_lib.core.money import currency_codes
from atlas_lib.core.tables import declared
from atlas_lib.ingest.cells import Mask
from atlas_lib.ingest.recognition import NamedSheet, Note
from atlas_lib.ingest.rules import TEXTS, Rule

_SOURCE = ["source_file", "source_sheet", "source_row"]
_KEY_TEXTS = {
    "DUPLICATE_CONTRACT": ("a contract number that is there once", "the first row is kept; remove the repetition"),
    "DUPLICATE_KEY": ("a key that is there once", "the first row is kept; remove the repetition"),
    "CONFLICTING_CONTRACT": ("one set of figures per contract number", "none of its rows is taken; keep the right one and send the file again"),
}  # fmt: skip


def reject_rows(
    table: str, found: pd.DataFrame, rows: pd.DataFrame, sheets: Sequence[NamedSheet], own: Sequence[Rule]
) -> pd.DataFrame:
    """One line per broken cell with file, sheet, cell, value, expectation and remedy."""
    found = found[found["rule"] != "MISSING_COLUMN"]
    texts = {name: (r.expected, r.remedy) for name, r in ((r.name + r.column, r) for r in own)}
    source = rows.loc[found["row"], [*_SOURCE, "_sheet"]]
    lines: list[Note] = []
    for column, rule, severity, file, sheet, row, number in zip(
        found["column"], found["rule"], found["severity"], *(source[c] for c in source), strict=True
    ):
        expected, remedy = texts.get(rule + column) or TEXTS.get(rule) or _KEY_TEXTS[rule]
        frame = sheets[number].frame
        value = frame[column].get(row) if column in frame else None
        shown = "" if value is None or pd.isna(value) else str(value)
        message = f"{sheets[number].place(row, column)}: expected {expected}, found {shown or 'nothing'}. What to do: {remedy}."
        lines.append({
            "source_file": file, "source_sheet": sheet, "source_row": row, "table": table, "column": column,
            "value": shown, "rule": rule, "severity": severity, "message": message,
        })  # fmt: skip
    return pd.DataFrame(lines) if lines else declared("rejects").empty()


def join_rejects(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [p for p in parts if len(p)]
    if not filled:
        return declared("rejects").empty()
    everything = pd.concat(filled, ignore_index=True)
    order = ["severity", "source_file", "source_sheet", "source_row", "column", "rule"]
    return declared("rejects").shaped(everything.sort_values(order, kind="stable"))


def count_rows(table: str, rows: pd.DataFrame, refused: Mask, repeated: pd.DataFrame) -> pd.DataFrame:
    currency = rows["currency"] if "currency" in rows else pd.Series("", index=rows.index)
    known = currency.where(currency.isin(list(currency_codes())), "")
    conflict = repeated.loc[repeated["rule"] == "CONFLICTING_CONTRACT", "row"]
    duplicate = np.isin(np.arange(len(rows)), repeated.loc[repeated["rule"] != "CONFLICTING_CONTRACT", "row"])
    rejected = refused | np.isin(np.arange(len(rows)), conflict)
    flags = pd.DataFrame(
        {
            "currency": known,
            "rows_in_count": 1,
            "rejected_count": rejected.astype(int),
            "duplicate_count": duplicate.astype(int),
        }
    )
    return flags.groupby("currency", as_index=False).sum().assign(table=table)


def count_broken_lines(named: Sequence[NamedSheet]) -> pd.DataFrame:
    """Lines of a CSV that could not be split into the header's fields: read, and refused."""
    broken = {
        s.table: sum(n["rule"] == "WRONG_FIELD_COUNT" for s2 in named if s2.table == s.table for n in s2.notes)
        for s in named
    }
    rows = [(table, "", count, count, 0) for table, count in broken.items() if table and count]
    return pd.DataFrame(rows, columns=declared("received_counts").column_names)


def join_counts(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """`received_counts` from the counts of all tables."""
    joined = pd.concat([declared("received_counts").empty(), *(p for p in parts if len(p))], ignore_index=True)
    return declared("received_counts").shaped(joined.groupby(["table", "currency"], as_index=False).sum())


def describe_sheets(named: Sequence[NamedSheet]) -> pd.DataFrame:
    records = [
        {
            "source_file": s.file, "source_sheet": s.sheet, "table": s.table, "header_row": s.header_row,
            "rows_in_count": len(s.frame) + sum(n["rule"] == "WRONG_FIELD_COUNT" for n in s.notes), "columns": ", ".join(s.headers), "extra_columns": ", ".join(s.extra),
        }
        for s in named
    ]  # fmt: skip
    return declared("input_sheets").shaped(pd.DataFrame(records))
