"""Rows whose key was there before: the same content again is a repetition, other content a conflict."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from atlas_lib.core.tables import declared
from atlas_lib.ingest.balances import differing_deliveries
from atlas_lib.ingest.cells import Mask
from atlas_lib.ingest.vocabulary import fields

_COLUMNS = ["row", "column", "rule", "severity", "detail"]
# Public lists repeat an entry for each address and programme; what is screened are its names.
_NOT_COMPARED = {"sanctions": ("country", "programme")}


def find_repeated(table: str, rows: pd.DataFrame, refused: Mask) -> pd.DataFrame:
    """Rows that are not taken for their key: row (number in `rows`), column, rule, severity, detail (what differs).

    The first row of a key stands. A later one is a DUPLICATE_ where it says the same, else CONFLICTING_ and held for a
    person. A contract number with other figures holds all its rows: which one is true is not ours to guess.
    """
    key = [c for c in declared(table).key if c in rows]
    if table == "transactions" or not key:
        return _found(rows.index[:0], key, "")
    kept = rows[~refused]
    other = kept.index[differing_deliveries(kept)] if table == "statement_lines" else kept.index[:0]
    kept = kept.drop(other)
    many = kept[kept.duplicated(key, keep=False)]
    parts = [
        _found(other, ["statement_id"], "CONFLICTING_STATEMENT"),
        *(_compared(table, many, key) if len(many) else ()),
    ]
    found: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return found


def _compared(table: str, many: pd.DataFrame, key: list[str]) -> list[pd.DataFrame]:
    """Rows that share their key: which say something else than the first, and which say the same again."""
    before = _first_of_key(many, key)
    differing = _differing(table, many, before)
    differs = pd.DataFrame(differing).any(axis=1)
    detail = _told(many[differs], before[differs], {name: mask[differs] for name, mask in differing.items()})
    kind = "CONTRACT" if table == "contracts" else "KEY"
    if table == "contracts":
        differs = many[key[0]].isin(many.loc[differs, key[0]])
    again = ~differs & (many.index != before["_first"])
    return [
        _found(many.index[differs], key, f"CONFLICTING_{kind}", detail),
        _found(many.index[again], key, f"DUPLICATE_{kind}", "; " + _place(before[again]) + " says the same"),
    ]


def _found(index: pd.Index, key: list[str], rule: str, detail: pd.Series | None = None) -> pd.DataFrame:
    told = detail.reindex(index).fillna("").to_numpy() if detail is not None else ""
    made = pd.DataFrame({"row": index.to_numpy(dtype=np.int64)})
    return made.assign(column=key[-1] if key else "", rule=rule, severity="error", detail=told)[_COLUMNS]


def _first_of_key(many: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """Beside each row the first one of its key; `_first` is that row's number."""
    of_key = many.groupby(key, dropna=False, sort=False, observed=True).ngroup()
    first = many.index.to_series().groupby(of_key).transform("first")
    before: pd.DataFrame = many.loc[first].set_axis(many.index)
    return before.assign(_first=first)


def _differing(table: str, many: pd.DataFrame, before: pd.DataFrame) -> dict[str, pd.Series]:
    """Per input column where the row says something else than the first of its key; both empty is the same."""
    compared = {f.name: f.column.name for f in fields(table, "") if f.name not in _NOT_COMPARED.get(table, ())}
    return {
        name: ~((many[c] == before[c]).fillna(False).astype(bool) | (many[c].isna() & before[c].isna()))
        for name, c in compared.items()
    }


def _told(rows: pd.DataFrame, before: pd.DataFrame, differing: Mapping[str, pd.Series]) -> pd.Series:
    """`; row 2 of a.csv has rate 1.085, here 1.09`: both values of every column that differs."""
    parts = pd.Series("", index=rows.index, dtype="str")
    for name, mask in differing.items():
        had, has = (part[name].astype("str").where(part[name].notna(), "nothing") for part in (before, rows))
        parts = parts.where(~mask, parts + ", " + name + " " + had + " (here " + has + ")")
    return "; " + _place(before) + " has" + parts.str.removeprefix(",")


def _place(rows: pd.DataFrame) -> pd.Series:
    of_sheet = ("sheet " + rows["source_sheet"] + " of ").where(rows["source_sheet"] != "", "")
    place: pd.Series = "row " + rows["source_row"].astype("str") + " of " + of_sheet + rows["source_file"]
    return place
