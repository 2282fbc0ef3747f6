"""What is said about refused and noted cells, and how many rows there were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from atlas_lib.core.money import is_currency
from atlas_lib.core.tables import declared
from atlas_lib.ingest.cells import Mask
from atlas_lib.ingest.places import number_entries
from atlas_lib.ingest.recognition import NamedSheet, Note, left_range
from atlas_lib.ingest.rules import TEXTS, Rule

_SOURCE = ["source_file", "source_sheet", "source_row"]
_KEY_TEXTS = {
    "DUPLICATE_CONTRACT": ("a contract number that is there once", "the first row is kept; remove the repetition"),
    "DUPLICATE_KEY": ("a key that is there once", "the first row is kept; remove the repetition"),
    "CONFLICTING_KEY": ("one content per key", "the first row is taken, this one is held; if it is another row give it its own key, else correct the first and delete this one"),
    "CONFLICTING_STATEMENT": ("one content per statement", "another file has this statement with other lines, and those are taken; keep the right file and send it again"),
    "CONFLICTING_CONTRACT": ("one set of figures per contract number", "none of its rows is taken; keep the right one and send the file again"),
}  # fmt: skip
_KEY_TEXTS_OF = {
    ("counterparties", "CONFLICTING_KEY"): ("one row per counterparty, with its limit over all currencies", "the first row is taken, this one is held; a limit in one currency goes into the sheet counterparty_limits (counterparty_id, currency, currency_limit)"),
}  # fmt: skip


def reject_rows(
    table: str, found: pd.DataFrame, rows: pd.DataFrame, sheets: Sequence[NamedSheet], own: Sequence[Rule]
) -> pd.DataFrame:
    """One line per broken cell with file, sheet, cell, value, expectation and remedy.

    `found` has row (number in `rows`), column, rule, severity, and detail where there is more to say. A missing column is said once, by the sheet's notes.
    """
    found = found[found["rule"] != "MISSING_COLUMN"].reset_index(drop=True)
    if found.empty:
        return declared("rejects").empty()
    by_name = {rule.name + rule.column: rule for rule in own}
    source = rows.loc[found["row"], [*_SOURCE, "_sheet", "_position"]].reset_index(drop=True)
    entries = {number: number_entries(sheets[number].frame.index) for number in source["_sheet"].unique()}
    computed, details = _computed(found, rows, by_name), found["detail"].fillna("")
    lines: list[Note] = []
    shown = _shown(sheets, source, found["column"])
    columns = [
        *(found[c] for c in ("column", "rule", "severity")),
        shown,
        computed,
        details,
        *(source[c] for c in source),
    ]
    for column, name, severity, value, result, detail, file, sheet, row, number, position in zip(*columns, strict=True):
        rule = by_name.get(name + column)
        expected, remedy = (rule.expected, rule.remedy) if rule else _text_of(table, name)
        entry = int(entries[number][position]) if len(entries[number]) else 0
        place = sheets[number].place(row, column, _entry_name(sheets[number], position, entry))
        message = f"{place}: expected {expected}{result}, found {value or 'nothing'}{detail}. What to do: {remedy}."
        lines.append({
            "source_file": file, "source_sheet": sheet, "source_row": row, "source_entry": entry or None, "table": table,
            "column": column, "value": value, "rule": name, "severity": severity, "message": message,
        })  # fmt: skip
    return pd.DataFrame(lines)


def _entry_name(sheet: NamedSheet, position: int, entry: int) -> str:
    """Of several rows on a line of the file the id that the statement gives it (4.2 is the second detail of entry 4), else its number."""
    if not entry:
        return ""
    own = sheet.frame["line_id"].iloc[position] if "line_id" in sheet.frame else None
    return str(entry if pd.isna(own) else own)


def _text_of(table: str, name: str) -> tuple[str, str]:
    return TEXTS.get(name) or _KEY_TEXTS_OF.get((table, name)) or _KEY_TEXTS[name]


def _shown(sheets: Sequence[NamedSheet], source: pd.DataFrame, columns: pd.Series) -> pd.Series:
    """The broken cells as they came; empty where there is none."""
    texts = pd.Series("", index=source.index, dtype=object)
    for number, sheet in enumerate(sheets):
        here = source["_sheet"] == number
        for column in set(columns[here]) & set(sheet.frame.columns):
            places = source.index[here & (columns == column)]
            cells = sheet.frame[column].iloc[source.loc[places, "_position"]].astype(object)
            texts.loc[places] = cells.map(str).where(cells.notna(), "").to_numpy()
    return texts


def _computed(found: pd.DataFrame, rows: pd.DataFrame, by_name: Mapping[str, Rule]) -> pd.Series:
    """` = 1,624.20` for broken identities, empty for other rules."""
    texts = pd.Series("", index=found.index, dtype="str")
    for key, part in found.groupby(found["rule"] + found["column"], sort=False):
        rule = by_name.get(str(key))
        if rule and rule.computed:
            values = rule.computed(rows.loc[part["row"]])
            texts.loc[part.index] = values.map(" = {:.2f}".format).to_numpy()
    return texts


def join_rejects(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [p for p in parts if len(p)]
    if not filled:
        return declared("rejects").empty()
    everything = shape_rejects(pd.concat(filled, ignore_index=True))
    order = ["severity", *_SOURCE, "source_entry", "column", "rule"]
    return everything.sort_values(order, kind="stable", ignore_index=True)


def shape_rejects(rows: pd.DataFrame) -> pd.DataFrame:
    """`rejects` of rows that may not say which of the entries on their line they mean."""
    known = rows if "source_entry" in rows else rows.assign(source_entry=None)
    return declared("rejects").shaped(known)


def count_clean_rows(table: str, currency: pa.Array) -> pd.DataFrame:
    """Counts of rows that are all kept, from their currencies."""
    counted = pc.value_counts(currency)
    names = counted.field("values")
    names = names.dictionary_decode() if pa.types.is_dictionary(names.type) else names
    rows = pd.DataFrame({"currency": names.to_pylist(), "rows_in_count": counted.field("counts").to_numpy()})
    return rows.assign(rejected_count=0, duplicate_count=0, table=table)


def count_rows(table: str, rows: pd.DataFrame, refused: Mask, repeated: pd.DataFrame) -> pd.DataFrame:
    """Per currency (empty where it is none): rows in, rejected, duplicate."""
    is_conflict = repeated["rule"].str.startswith("CONFLICTING_")
    conflict = repeated.loc[is_conflict, "row"]
    duplicate = np.isin(np.arange(len(rows)), repeated.loc[~is_conflict, "row"])
    rejected = refused | np.isin(np.arange(len(rows)), conflict)
    codes, names = np.zeros(len(rows), dtype=np.int64), pd.Index([""], dtype="str")
    if "currency" in rows:
        known = rows["currency"].where(is_currency(rows["currency"]), "")
        codes, names = pd.factorize(known, sort=True)
    flags = {"rows_in_count": codes, "rejected_count": codes[rejected], "duplicate_count": codes[duplicate]}
    counts = {name: np.bincount(found, minlength=len(names)) for name, found in flags.items()}
    return pd.DataFrame({"currency": names, **counts, "table": table})


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
    """`input_sheets`: tables of one kind on one sheet, one below the other, are one line."""
    records = [
        {
            "source_file": s.file, "source_sheet": s.sheet, "table": s.table, "header_row": s.header_row, "area": s.raw.area,
            "rows_in_count": s.rows_in_count + sum(n["rule"] == "WRONG_FIELD_COUNT" for n in s.notes), "columns": ", ".join(s.headers), "extra_columns": ", ".join(s.extra),
        }
        for s in named
    ]  # fmt: skip
    sheets = pd.DataFrame(records).groupby(["source_file", "source_sheet", "table"], as_index=False, sort=False)
    joined = sheets.agg(
        header_row=("header_row", "first"), area=("area", _joined), rows_in_count=("rows_in_count", "sum"),
        columns=("columns", "first"), extra_columns=("extra_columns", _joined),
    )  # fmt: skip
    return declared("input_sheets").shaped(joined)


def _joined(texts: pd.Series) -> str:
    return "; ".join(dict.fromkeys(filter(None, texts)))


def describe_areas(named: Sequence[NamedSheet]) -> pd.DataFrame:
    """`sheet_areas`: per sheet what was taken as a table, and what was left and why."""
    taken = [
        (s.file, s.sheet, s.raw.area, "table", s.table, s.rows_in_count, "", "; ".join(filter(None, s.raw.header))[:120])
        for s in named if s.table
    ]  # fmt: skip
    left = [
        (s.file, s.sheet, left_range(item, s.raw), item.use, "", item.rows_count, item.reason, item.shown)
        for s in named for item in s.raw.left
    ]  # fmt: skip
    return declared("sheet_areas").shaped(pd.DataFrame([*taken, *left], columns=declared("sheet_areas").column_names))
