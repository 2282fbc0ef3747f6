"""Outside statements and reports read and compared with what others say is in them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pandas as pd

from atlas_lib.core.errors import AtlasError
from atlas_lib.core.settings import IngestSettings
from atlas_lib.evaluation.reader_expectations import COLLECTIONS, Balance, Expected, Line
from atlas_lib.ingest.headers import RawSheet
from atlas_lib.ingest.inputs import read_inputs
from atlas_lib.ingest.recognition import name_sheet
from atlas_lib.ingest.validation import clean_inputs
from atlas_lib.ingest.vocabulary import fields

_TEXTS = {"statement_lines": ("account", "bank_reference", "end_to_end_id"), "statement_balances": ("account",)}
_NO_STATEMENT = (".json", ".yml", ".conf", ".md", ".py")


def try_readers(data: Path, layouts: Path | None) -> pd.DataFrame:
    """One row per file: folder, file, lines read, result (agrees, differs, refused, unread, untested), detail."""
    rows = [
        _try_file(file, folder, layouts, find) for folder, find in COLLECTIONS.items() for file in _files(data / folder)
    ]
    return pd.DataFrame(rows, columns=["folder", "file", "lines", "result", "detail"])


def _files(folder: Path) -> list[Path]:
    found = (f for f in sorted(folder.rglob("*")) if f.is_file() and f.suffix not in _NO_STATEMENT)
    return [f for f in found if f.stem != "LICENSE"]


def _try_file(
    file: Path, folder: str, layouts: Path | None, find: Callable[[Path], Expected | None]
) -> tuple[str, str, int, str, str]:
    parts = file.parts
    name = "/".join(parts[parts.index(folder) + 1 :])
    with tempfile.TemporaryDirectory(prefix="atlas-trial-") as place:
        shutil.copy(file, Path(place) / file.name)
        if layouts:
            shutil.copy(layouts, Path(place) / "layouts.yaml")
        try:
            sheets = read_inputs(Path(place))
        except AtlasError as error:
            return folder, name, 0, "refused", str(error)
    lines, balances = _lines(sheets), _balances(sheets)
    if not any(s.table for s in sheets):
        return (
            folder,
            name,
            0,
            "unread",
            "; ".join(n[4] for s in sheets for n in s.notes) or "fits no layout and no table",
        )
    expected = find(file)
    refused = sum(n[3] == "WRONG_FIELD_COUNT" for s in sheets for n in s.notes)
    differences = _differences(expected, lines, balances, refused) if expected else ["no expectation beside it"]
    known = {str(row[c]) for table, columns in _TEXTS.items() for row in _records(sheets, table) for c in columns}
    differences += [f"not read: {text}" for text in (expected.texts if expected else ()) if text not in known]
    result = "untested" if not expected else "differs" if differences else "agrees"
    said = "; ".join(differences) or f"with {expected.source if expected else ''}"
    return folder, name, len(lines), result, said + _findings(sheets)


def _lines(sheets: list[RawSheet]) -> list[Line]:
    return [
        (_text(row["booking_date"]), _signed(row["amount_posted"], row["credit_debit_indicator"]))
        for row in _records(sheets, "statement_lines")
    ]


def _balances(sheets: list[RawSheet]) -> list[Balance]:
    return [
        (row["balance_type"], _text(row["balance_date"]), _signed(row["balance"], "CRDT"))
        for row in _records(sheets, "statement_balances")
    ]


def _records(sheets: list[RawSheet], table: str) -> Iterator[dict[str, Any]]:
    """Rows under the table's column names, with every column: a table in a workbook may lack some."""
    columns = [field.name for field in fields(table, "")]
    for sheet in sheets:
        if sheet.table == table:
            rows = name_sheet(sheet).frame.reindex(columns=columns).to_dict("records")
            yield from ({str(name): value for name, value in row.items()} for row in rows)


def _signed(value: object, side: object) -> Decimal:
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    return (-amount if side == "DBIT" else amount).normalize()


def _text(value: object) -> str:
    return "" if pd.isna(value) else str(value)  # type: ignore[call-overload]


def _differences(expected: Expected, lines: list[Line], balances: list[Balance], refused: int) -> list[str]:
    found = []
    if expected.lines is not None:
        found += _listed("line", sorted(expected.lines), sorted(lines))
    if expected.balances is not None:
        found += _listed("balance", sorted(expected.balances), sorted(balances))
    found += [f"balance not read: {b}" for b in expected.among if b not in balances]
    if expected.count is not None and expected.count != len(lines) + refused:
        found.append(f"{expected.count} lines expected by {expected.source}, {len(lines)} read and {refused} refused")
    total = sum((amount for _, amount in lines), Decimal(0))
    if expected.total is not None and expected.total != total:
        found.append(f"sum {expected.total} expected by {expected.source}, {total} read")
    return found


def _listed(what: str, expected: list[Any], found: list[Any]) -> list[str]:
    lacking, surplus = list(expected), list(found)
    for item in expected:
        if item in surplus:
            surplus.remove(item)
            lacking.remove(item)
    said = [(f"{len(lacking)} {what} only expected", lacking), (f"{len(surplus)} {what} only read", surplus)]
    return [f"{text}: {' '.join(map(str, items[0]))}" for text, items in said if items]


def _findings(sheets: list[RawSheet]) -> str:
    """What a run would report: findings per rule."""
    try:
        rejects: Any = clean_inputs(sheets, IngestSettings.model_validate({}))["rejects"]
    except AtlasError as error:
        return f"; the run: {error.what}"
    rules = rejects["rule"].value_counts()
    return "; reported: " + ", ".join(f"{n} {rule}" for rule, n in rules.items()) if len(rules) else ""
