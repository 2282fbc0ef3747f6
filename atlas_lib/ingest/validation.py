"""Raw sheets to clean tables: every cell parsed, every rule checked, every refused row kept in `rejects`.

Rows in = clean + refused + duplicate, per table and currency (`received_counts`, `control_totals`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from atlas_lib.core.errors import InputError
from atlas_lib.core.money import currency_codes, to_minor
from atlas_lib.core.settings import IngestSettings
from atlas_lib.core.tables import declared
from atlas_lib.ingest.headers import Field, RawSheet, fields, tables
from atlas_lib.ingest.parsing import PARSERS, Mask, Parsed
from atlas_lib.ingest.recognition import NamedSheet, Note, name_sheet
from atlas_lib.ingest.rules import TEXTS, Rule, normalise, rules

_SOURCE = ["source_file", "source_sheet", "source_row"]
_FINGERPRINT = "merchant_id user_id type amount_minor currency destination_currency source_account destination_account counterparty_id settlement_window reference".split()
_LARGEST = 9e12  # units; above it an amount does not fit int64 in every currency


class _Faults:
    """Broken cells of one table: row number in the table, column, rule."""

    def __init__(self) -> None:
        self.rows: list[pd.DataFrame] = []

    def add(self, column: str, rule: str, mask: Mask, severity: str = "error") -> None:
        if mask.any():
            found = pd.DataFrame({"row": np.flatnonzero(mask)})
            self.rows.append(found.assign(column=column, rule=rule, severity=severity))

    def frame(self) -> pd.DataFrame:
        empty = pd.DataFrame({"row": pd.Series([], dtype="int64"), "column": "", "rule": "", "severity": ""})
        return pd.concat([empty, *self.rows], ignore_index=True)


def clean_inputs(sheets: Sequence[RawSheet], settings: IngestSettings) -> dict[str, pd.DataFrame]:
    """All clean tables of 01_ingest up to the submissions, with rejects, sheets and counts.

    Raises InputError when no sheet fits any table.
    """
    named = [name_sheet(sheet) for sheet in sheets]
    if not any(sheet.table for sheet in named):
        found = "; ".join(f"{s.file} {s.sheet}".strip() for s in named[:8])
        raise InputError(
            "Nothing in the input is a known table", expected="at least one of " + ", ".join(tables()), found=found,
            remedy="name the sheets and files after the tables, with the column names in one row",
        )  # fmt: skip
    parts = {table: [s for s in named if s.table == table] for table in tables()}
    cleaned = {table: _clean_table(table, found, settings) for table, found in parts.items()}
    clean = {table: result[0] for table, result in cleaned.items()}
    clean["merchants"], unlisted = _complete_merchants(clean)
    notes = [note for sheet in named for note in sheet.notes] + unlisted
    rejects = [result[1] for result in cleaned.values()]
    submissions = clean.pop("transactions")
    return clean | {
        "submissions": submissions,
        "rejects": _rejects([pd.DataFrame(notes), *rejects, _unbalanced(clean)]),
        "input_sheets": _describe(named),
        "received_counts": _counts([result[2] for result in cleaned.values()]),
    }


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
    repeated = _repeated_keys(table, rows, refused)
    if table == "transactions":
        rows = rows.assign(fingerprint=_fingerprints(rows))
    clean = rows[~(refused | np.isin(np.arange(len(rows)), repeated["row"]))]
    rejects = _reject_rows(table, pd.concat([found, repeated]), rows, sheets, own)
    return declared(name).shaped(clean), rejects, _count(table, rows, refused, repeated)


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
            faults.add(name, rule, mask)
    rows = rows.assign(
        source_file=sheet.file, source_sheet=sheet.sheet, source_row=sheet.frame.index.to_numpy(dtype=np.int64)
    )
    rows = _fill(table, sheet, rows, parsed, settings, faults)
    rows = normalise(table, rows)
    minor = {f.column.name: _minor(rows, f.name, settings) for f in fields(table, "") if f.kind == "amount"}
    return rows.assign(**minor)


def _parse_column(field: Field, sheet: NamedSheet, settings: IngestSettings) -> Parsed:
    """The column's values and faults; a column that is not there is empty throughout."""
    cells = sheet.frame.get(field.name)
    if cells is None:
        cells = pd.Series(pd.NA, index=sheet.frame.index, dtype="str")
    if field.kind == "amount":
        return PARSERS["amount"](cells, settings.decimal_mark)  # type: ignore[no-any-return]
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
        broken = np.logical_or.reduce(list(parsed[field.name].faults.values()))
        empty = rows[field.name].isna().to_numpy() & ~broken
        if field.is_required:
            faults.add(field.name, "EMPTY_CELL" if field.name in sheet.frame else "MISSING_COLUMN", empty)
        elif field.has_default and empty.any():
            rows = _default(rows, field, empty)
    return rows


def _fill_currency(rows: pd.DataFrame, parsed: dict[str, Parsed], faults: _Faults) -> pd.DataFrame:
    """A currency sign in an amount names the row's currency where no column does; another than the row's is a fault."""
    for name, p in parsed.items():
        if p.currency is not None and "currency" in rows:
            sign = p.currency.reset_index(drop=True)
            rows = rows.assign(currency=rows["currency"].where(rows["currency"].notna(), sign))
            faults.add(
                name, "CURRENCY_MISMATCH", (sign.notna() & (sign != rows["currency"].str.upper())).to_numpy(dtype=bool)
            )
    return rows


def _default(rows: pd.DataFrame, field: Field, empty: Mask) -> pd.DataFrame:
    value = field.default
    if value == "@sign":
        given = rows["amount_posted"]
        side = pd.Series(np.where(given < 0, "DBIT", "CRDT"), index=rows.index)
        return rows.assign(
            **{field.name: rows[field.name].where(~empty, side), "amount_posted": given.where(~empty, given.abs())}
        )
    if value == "@file":
        filler = rows["source_file"].map(lambda f: PurePosixPath(f).stem)
    elif value == "@row":
        filler = rows["source_row"].astype(str)
    else:
        filler = (
            rows[value[1:]] if isinstance(value, str) and value.startswith("=") else pd.Series(value, index=rows.index)
        )
    return rows.assign(**{field.name: rows[field.name].where(~empty, filler.astype(rows[field.name].dtype))})


def _minor(rows: pd.DataFrame, name: str, settings: IngestSettings) -> pd.Series:
    """Minor units of the row's currency; empty where the cell is empty or refused."""
    units = rows[name].astype("float64")
    unusable = (units.isna() | (units.abs() > _LARGEST)).to_numpy()
    codes = rows["currency"].where(rows["currency"].isin(list(currency_codes())), "EUR")
    minor = to_minor(np.where(unusable, 0.0, units), codes, settings.rounding)
    return pd.Series(minor, index=rows.index).astype("Int64").mask(unusable)


def _repeated_keys(table: str, rows: pd.DataFrame, refused: Mask) -> pd.DataFrame:
    """Rows whose key was there before. A contract number with other figures refuses all its rows: which one is true is not ours to guess."""
    key = [c for c in declared(table).key if c in rows]
    kept = rows[~refused]
    if table == "transactions" or not key:
        return _Faults().frame()
    faults = _Faults()
    again = kept.duplicated(key)
    if table == "contracts":
        business = [c.name for c in declared(table).columns if c.name not in _SOURCE]
        differs = kept.duplicated(key, keep=False) & ~kept.duplicated(business, keep=False)
        conflicting = kept[key[0]].isin(kept.loc[differs, key[0]])
        faults.add(key[0], "CONFLICTING_CONTRACT", _spread(conflicting, len(rows)))
        again &= ~conflicting
    faults.add(key[-1], "DUPLICATE_" + ("CONTRACT" if table == "contracts" else "KEY"), _spread(again, len(rows)))
    return faults.frame()


def _spread(mask: pd.Series, size: int) -> Mask:
    out = np.zeros(size, dtype=bool)
    out[mask.index[mask.to_numpy()]] = True
    return out


_KEY_TEXTS = {
    "DUPLICATE_CONTRACT": ("a contract number that is there once", "the first row is kept; remove the repetition"),
    "DUPLICATE_KEY": ("a key that is there once", "the first row is kept; remove the repetition"),
    "CONFLICTING_CONTRACT": ("one set of figures per contract number", "none of its rows is taken; keep the right one and send the file again"),
}  # fmt: skip


def _reject_rows(
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


def _rejects(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [p for p in parts if len(p)]
    if not filled:
        return declared("rejects").empty()
    everything = pd.concat(filled, ignore_index=True)
    order = ["severity", "source_file", "source_sheet", "source_row", "column", "rule"]
    return declared("rejects").shaped(everything.sort_values(order, kind="stable"))


def _count(table: str, rows: pd.DataFrame, refused: Mask, repeated: pd.DataFrame) -> pd.DataFrame:
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


def _counts(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return declared("received_counts").shaped(
        pd.concat([declared("received_counts").empty(), *parts], ignore_index=True)
    )


def _describe(named: Sequence[NamedSheet]) -> pd.DataFrame:
    records = [
        {
            "source_file": s.file, "source_sheet": s.sheet, "table": s.table, "header_row": s.header_row,
            "rows_in_count": len(s.frame), "columns": ", ".join(s.headers), "extra_columns": ", ".join(s.extra),
        }
        for s in named
    ]  # fmt: skip
    return declared("input_sheets").shaped(pd.DataFrame(records))


def _complete_merchants(clean: dict[str, pd.DataFrame]) -> tuple[pd.DataFrame, list[Note]]:
    """Merchants named only in contracts or transactions are listed, without details; the latter are noted."""
    listed, contracts, payments = clean["merchants"], clean["contracts"], clean["transactions"]
    columns = ["merchant_id", "merchant_name", "currency", *_SOURCE]
    from_payments = payments.drop_duplicates("merchant_id").assign(merchant_name=lambda f: f["merchant_id"])
    known = pd.concat([listed["merchant_id"], contracts["merchant_id"]])
    unknown = from_payments[~from_payments["merchant_id"].isin(known)]
    found = pd.concat([contracts[columns], unknown[columns]]).drop_duplicates("merchant_id")
    added = found[~found["merchant_id"].isin(listed["merchant_id"])]
    empty = {c: None for c in listed.columns if c not in columns}
    filled = added.assign(**{**empty, "risk_level": "UNRATED", "kyc_status": "UNKNOWN", "is_blocked": False})
    notes: list[Note] = [
        {
            "source_file": file, "source_sheet": sheet, "source_row": row, "table": "transactions", "column": "merchant_id",
            "value": merchant, "rule": "UNKNOWN_MERCHANT", "severity": "warning",
            "message": f"{file}, row {row}: merchant {merchant} is in no list of merchants. What to do: add it to merchants; it is kept without details.",
        }
        for merchant, file, sheet, row in zip(*(unknown[c] for c in ["merchant_id", *_SOURCE]), strict=True)
    ]  # fmt: skip
    shaped = declared("merchants").shaped(filled) if len(filled) else listed.iloc[:0]
    both = pd.concat([listed, shaped], ignore_index=True) if len(listed) else shaped
    return declared("merchants").shaped(both), notes


def _unbalanced(clean: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Warnings for statements whose opening balance + booked lines is not the closing balance."""
    lines, balances = clean["statement_lines"], clean["statement_balances"]
    booked = lines[lines["status"] == "BOOK"]
    signed = booked["amount_posted_minor"].where(
        booked["credit_debit_indicator"] == "CRDT", -booked["amount_posted_minor"]
    )
    moved = signed.groupby(booked["statement_id"]).sum()
    wide = balances.set_index("statement_id")
    opening = wide.loc[wide["balance_type"] == "OPBD", "balance_minor"]
    closing = wide[wide["balance_type"] == "CLBD"]
    expected = opening.reindex(closing.index).astype("Int64") + moved.reindex(closing.index).fillna(0).astype("Int64")
    wrong = closing.assign(expected=expected.to_numpy())
    wrong = wrong[(wrong["expected"] != wrong["balance_minor"]).fillna(False).to_numpy()].reset_index()
    text = (
        "statement "
        + wrong["statement_id"]
        + ": opening balance and lines give "
        + wrong["expected"].astype("str")
        + ", the closing balance is "
        + wrong["balance_minor"].astype("str")
        + " (minor units). What to do: ask the bank for the missing lines."
    )
    where = {c: wrong[c] for c in _SOURCE}
    return pd.DataFrame(where).assign(
        table="statement_balances", column="balance", value=wrong["balance_minor"].astype("str"),
        rule="STATEMENT_BALANCE", severity="warning", message=wrong["source_file"] + ", " + text,
    )  # fmt: skip


def _fingerprints(rows: pd.DataFrame) -> pd.Series:
    """SHA-256 over the business columns; id, key, status and time of the submission do not count."""
    texts = rows[_FINGERPRINT].astype("str").fillna("")
    joined = texts[_FINGERPRINT[0]].str.cat(texts[_FINGERPRINT[1:]], sep="\x1f")
    return joined.map(lambda text: hashlib.sha256(text.encode()).hexdigest()).astype("str")
