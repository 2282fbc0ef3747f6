"""Raw sheets to clean tables: every cell parsed, every rule checked, every refused row kept in `rejects`.

Rows in = clean + refused + duplicate, per table and currency (`received_counts`, `control_totals`).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa

from atlas_lib.core.engine import Engine, Output
from atlas_lib.core.errors import InputError
from atlas_lib.core.money import is_currency, scale_of, to_minor
from atlas_lib.core.settings import IngestSettings
from atlas_lib.core.tables import declared
from atlas_lib.ingest.allowed_words import normalise
from atlas_lib.ingest.balances import set_aside_reported, statement_findings
from atlas_lib.ingest.cells import Mask, Parsed
from atlas_lib.ingest.consistency import complete_merchants
from atlas_lib.ingest.headers import RawSheet
from atlas_lib.ingest.parsing import PARSERS
from atlas_lib.ingest.recognition import NamedSheet, name_sheet
from atlas_lib.ingest.refused import list_refused_cells
from atlas_lib.ingest.rejects import (
    count_broken_lines,
    count_rows,
    describe_areas,
    describe_sheets,
    join_counts,
    join_rejects,
    reject_rows,
)
from atlas_lib.ingest.repeated import find_repeated
from atlas_lib.ingest.rules import rules
from atlas_lib.ingest.statistics import describe_columns
from atlas_lib.ingest.submissions import clean_submissions, fingerprints
from atlas_lib.ingest.vocabulary import Field, fields, tables

_SOURCE = ["source_file", "source_sheet", "source_row"]
_LEFT_EMPTY = ("delivery_days",)  # a text there ("at once") costs the figure, not the merchant
_PAYMENTS = ("transactions", "customer_payments")
_LARGEST = 1e12  # units; refused by the rules, kept out of the arithmetic here


class _Faults:
    """Broken cells of one table: row number in the table, column, rule."""

    def __init__(self) -> None:
        self.rows: list[pd.DataFrame] = []

    def add(self, column: str, rule: str, mask: Mask, severity: str = "error") -> None:
        if mask.any():
            found = pd.DataFrame({"row": np.flatnonzero(mask)})
            self.rows.append(found.assign(column=column, rule=rule, severity=severity))

    def frame(self) -> pd.DataFrame:
        if not self.rows:
            return pd.DataFrame({"row": pd.Series([], dtype="int64"), "column": "", "rule": "", "severity": ""})
        return pd.concat(self.rows, ignore_index=True)


def clean_inputs(
    sheets: Sequence[RawSheet], settings: IngestSettings, engine: Engine | None = None
) -> dict[str, Output]:
    """All clean tables of 01_ingest up to the submissions, with rejects, sheets and counts.

    With an engine the submissions of a Parquet file stay a file in the engine's folder. Raises InputError when no sheet fits any table.
    """
    named = [name_sheet(sheet) for sheet in sheets]
    if not any(sheet.table for sheet in named):
        found = "; ".join(f"{s.file} {s.sheet}".strip() for s in named[:8])
        raise InputError(
            "Nothing in the input is a known table", expected="at least one of " + ", ".join(tables()), found=found,
            remedy="name the sheets and files after the tables, with the column names in one row",
        )  # fmt: skip
    parts = {table: [s for s in named if s.table == table] for table in tables()}
    transactions = parts.pop("transactions")
    with ThreadPoolExecutor(1) as pool:  # the large table and the others have nothing to say to each other
        taking = pool.submit(clean_submissions, transactions, settings, partial(_clean_sheet, settings), engine)
        cleaned = {table: _clean_table(table, found, settings) for table, found in parts.items()}
        described = {"input_sheets": describe_sheets(named), "sheet_areas": describe_areas(named)}
        payments = taking.result()
    clean = {table: result[0] for table, result in cleaned.items()}
    clean["merchants"], unlisted = complete_merchants(clean, payments.merchants)
    clean["statement_lines"], reported, reported_counts = set_aside_reported(clean, parts["statement_lines"])
    notes = pd.DataFrame([note for sheet in named for note in sheet.notes] + unlisted)
    rejects = [
        notes,
        *(result[1] for result in cleaned.values()),
        *payments.rejects,
        reported,
        statement_findings(clean),
    ]
    counts = [*(result[2] for result in cleaned.values()), *payments.counts, count_broken_lines(named), reported_counts]
    told = join_rejects(rejects)
    return (
        clean
        | described
        | {
            "submissions": payments.rows,
            "rejects": told,
            "refused_cells": list_refused_cells(named, told, payments.refused),
            "column_statistics": describe_columns(named, clean | {"transactions": payments.rows}, told, engine),
            "received_counts": join_counts(counts),
        }
    )


def _clean_sheet(settings: IngestSettings, sheet: NamedSheet) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    return _clean_table("transactions", [sheet], settings)


def _clean_table(
    table: str, sheets: Sequence[NamedSheet], settings: IngestSettings
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """(clean rows, rejects, counts) of one table over all its sheets."""
    name = "submissions" if table == "transactions" else table
    sheets = [s for s in sheets if len(s.frame)]
    if not sheets:
        return declared(name).empty(), declared("rejects").empty(), declared("received_counts").empty()
    faults = _Faults()
    rows = _parse_sheets(table, sheets, settings, faults)
    own = rules(table, settings.max_amount)
    for rule in own:
        faults.add(rule.column, rule.name, rule.broken(rows), rule.severity)
    found = faults.frame()
    refused = np.zeros(len(rows), dtype=bool)
    refused[found.loc[found["severity"] == "error", "row"].to_numpy(dtype=np.int64)] = True
    repeated = find_repeated(table, rows, refused)
    clean = rows[~(refused | np.isin(np.arange(len(rows)), repeated["row"]))]
    if table == "transactions":
        clean = clean.assign(fingerprint=fingerprints(pa.Table.from_pandas(clean)).to_pandas().to_numpy())
    rejects = reject_rows(table, pd.concat([found, repeated]), rows, sheets, own)
    return declared(name).shaped(clean), rejects, count_rows(table, rows, refused, repeated)


def _parse_sheets(table: str, sheets: Sequence[NamedSheet], settings: IngestSettings, faults: _Faults) -> pd.DataFrame:
    """The rows of all sheets under their declared columns, amounts also in units under their input name."""
    frames, start = [], 0
    for number, sheet in enumerate(sheets):
        own = _Faults()
        frames.append(_parse_sheet(table, sheet, settings, own).assign(_sheet=number))
        faults.rows += [f.assign(row=f["row"] + start) for f in own.rows]
        start += len(sheet.frame)
    return pd.concat(frames, ignore_index=True)


def _parse_sheet(table: str, sheet: NamedSheet, settings: IngestSettings, faults: _Faults) -> pd.DataFrame:
    parsed = {f.name: _parse_column(f, sheet, settings) for f in fields(table, settings.default_currency)}
    rows = pd.DataFrame({name: p.result.reset_index(drop=True) for name, p in parsed.items()})
    for name, p in parsed.items():
        for rule, mask in p.faults.items():
            faults.add(name, rule, mask, "warning" if name in _LEFT_EMPTY else "error")
        for rule, mask in p.inferred.items():
            faults.add(name, rule, mask, "warning")
    rows = rows.assign(
        source_file=sheet.file,
        source_sheet=sheet.sheet,
        source_row=sheet.frame.index.to_numpy(dtype=np.int64),
        _position=np.arange(len(rows)),
    )
    rows = _fill(table, sheet, rows, parsed, settings, faults)
    rows = normalise(table, rows)
    minor = {f.column.name: _minor(rows, f.name, settings) for f in fields(table, "") if f.kind == "amount"}
    if table in _PAYMENTS:
        off = (rows["amount"] * scale_of(rows["currency"]) - minor["amount_minor"].astype("float64")).abs() > 1e-6
        faults.add("amount", "ROUNDED_AMOUNT", off.to_numpy(dtype=bool), "warning")
    return rows.assign(**minor)


def _parse_column(field: Field, sheet: NamedSheet, settings: IngestSettings) -> Parsed:
    """The column's values and faults; a column that is not there is empty throughout."""
    cells = sheet.frame.get(field.name)
    if cells is None:
        cells = pd.Series(pd.NA, index=sheet.frame.index, dtype="str")
    if field.kind == "amount":
        return PARSERS["amount"](cells, settings.decimal_mark, may_infer=not sheet.is_part)  # type: ignore[no-any-return]
    if field.kind in ("date", "instant"):
        return PARSERS[field.kind](cells, may_infer=not sheet.is_part)  # type: ignore[no-any-return]
    return PARSERS[field.kind](cells)  # type: ignore[no-any-return]


def _fill(
    table: str,
    sheet: NamedSheet,
    rows: pd.DataFrame,
    parsed: dict[str, Parsed],
    settings: IngestSettings,
    faults: _Faults,
) -> pd.DataFrame:
    """Defaults for empty cells; an empty cell that has none is a fault."""
    rows = _fill_currency(rows, parsed, faults)
    for field in fields(table, settings.default_currency):
        broken = parsed[field.name].refused
        empty = rows[field.name].isna().to_numpy() & ~broken
        if field.is_required or (field.default == "@sign" and not empty.all()):  # told apart for some: not by the sign
            faults.add(field.name, "EMPTY_CELL" if field.name in sheet.frame else "MISSING_COLUMN", empty)
        elif field.has_default and empty.any():
            rows = _default(rows, field, empty, sheet.title)
    return rows


def _fill_currency(rows: pd.DataFrame, parsed: dict[str, Parsed], faults: _Faults) -> pd.DataFrame:
    """A currency sign in an amount names the row's currency where no column does; another than the row's is a fault."""
    for name, p in parsed.items():
        if p.currency is not None and "currency" in rows:
            is_read = p.result.notna().to_numpy(dtype=bool)  # "oops" is no amount in a currency "OOP"
            sign = p.currency.reset_index(drop=True).where(is_read)
            rows = rows.assign(currency=rows["currency"].where(rows["currency"].notna(), sign))
            faults.add(
                name, "CURRENCY_MISMATCH", (sign.notna() & (sign != rows["currency"].str.upper())).to_numpy(dtype=bool)
            )
    return rows


def _default(rows: pd.DataFrame, field: Field, empty: Mask, title: str) -> pd.DataFrame:
    value = field.default
    if value == "@sign":
        given = rows["amount_posted"]
        side = pd.Series(np.where(given < 0, "DBIT", "CRDT"), index=rows.index)
        return rows.assign(
            **{field.name: rows[field.name].where(~empty, side), "amount_posted": given.where(~empty, given.abs())}
        )
    if value == "@file":
        filler = rows.assign(title=title)["title"]
    elif value == "@row":
        # among given ones a bare number may be one of theirs
        filler = ("" if empty.all() else "row ") + rows["source_row"].astype("str")
    else:
        filler = (
            rows[value[1:]] if isinstance(value, str) and value.startswith("=") else pd.Series(value, index=rows.index)
        )
    return rows.assign(**{field.name: rows[field.name].where(~empty, filler.astype(rows[field.name].dtype))})


def _minor(rows: pd.DataFrame, name: str, settings: IngestSettings) -> pd.Series:
    """Minor units of the row's currency; empty where the cell is empty or refused."""
    units = rows[name].astype("float64")
    unusable = (units.isna() | (units.abs() > _LARGEST)).to_numpy()
    codes = rows["currency"].where(is_currency(rows["currency"]), "EUR")
    minor = to_minor(np.where(unusable, 0.0, units), codes, settings.rounding)
    return pd.Series(minor, index=rows.index).astype("Int64").mask(unusable)
