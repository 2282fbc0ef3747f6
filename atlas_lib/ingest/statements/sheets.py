"""What every statement reader gives: raw sheets of lines and balances under known column names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from atlas_lib.core.money import scale_of
from atlas_lib.ingest.code_pages import code_page
from atlas_lib.ingest.headers import RawSheet
from atlas_lib.ingest.vocabulary import fields

Record = dict[str, Any]
Note = tuple[int, str, str, str, str]
Known = dict[str, dict[bytes, int]]  # id of a statement: turn of each content it came with

NO_CURRENCY = "(none)"  # a statement without a currency is refused: the default is for the user's own tables
_TABLES = ("statement_lines", "statement_balances")
IDS = ("line_id", "transaction_id", "end_to_end_id")
_FINER = 1e-7
_AMOUNTS = ("amount_posted", "fee_charged", "balance")
_DECIMAL = re.compile(r"[-+]?(?:\d{1,15}(?:\.\d*)?|\.\d+)")
_LONGEST_ID = 50
_NO_REFERENCE = ("", "NONREF", "NOTPROVIDED", "NOT PROVIDED")


def statement_sheets(
    name: str, lines: Sequence[Record], balances: Sequence[Record], notes: Iterable[Note] = ()
) -> list[RawSheet]:
    """Records (column name to text, `source_row` = line of the file) as one sheet of lines and one of balances."""
    sheet = _sheet(name, "statement_lines", lines)
    amount, currency = (sheet.frame[sheet.header.index(c)] for c in ("amount_posted", "currency"))
    every = (*notes, *rounding_notes(name, amount, currency))
    if not (lines or balances or every):
        every = (note(name, 0, "", "EMPTY_STATEMENT", "the file holds no statement lines and no balances."),)
    return [replace(sheet, notes=every), _sheet(name, "statement_balances", balances)]


def distinguish_accounts(sheets: Sequence[RawSheet]) -> list[RawSheet]:
    """Two banks may give the same number to their statements: where they do, the account goes before it."""
    own = [s for s in sheets if _is_statement(s)]
    pairs = [
        s.frame[[s.header.index("statement_id"), s.header.index("account")]].set_axis(["id", "account"], axis=1)
        for s in own
    ]
    known = pd.concat([*pairs, pd.DataFrame({"id": [], "account": []})]).dropna().drop_duplicates()
    shared = set(known.loc[known.duplicated("id"), "id"])
    return [_with_accounts(s, shared) if shared and _is_statement(s) else s for s in sheets]


def _is_statement(sheet: RawSheet) -> bool:
    """Made by a reader of statements; a table that a person sends names its statements itself."""
    return sheet.table in _TABLES and not sheet.positions and {"statement_id", "account"} <= set(sheet.header)


def _with_accounts(sheet: RawSheet, shared: set[str]) -> RawSheet:
    at, account = sheet.header.index("statement_id"), sheet.header.index("account")
    ids, accounts = sheet.frame[at], sheet.frame[account].fillna("")
    names = [join_id(a, i) if i in shared else i for i, a in zip(ids, accounts, strict=True)]
    frame = sheet.frame.copy()
    frame[at] = pd.Series(names, index=frame.index, dtype="str").to_numpy()
    return replace(sheet, frame=frame)


def short_ids(texts: pd.Series) -> pd.Series:
    """Ids of more than 50 characters shortened as in `join_id`: none of ours is that long, and the line is kept."""
    is_long = texts.str.len() > _LONGEST_ID
    return texts.where(~is_long.fillna(False), texts[is_long.fillna(False)].map(join_id)) if is_long.any() else texts


def rounding_notes(name: str, amounts: pd.Series, currency: pd.Series) -> list[Note]:
    """Figures finer than their currency: each is rounded when it is stored; said once, with what that comes to."""
    figures = pd.to_numeric(amounts.where(~amounts.map(lambda v: isinstance(v, str))), errors="coerce").fillna(0.0)
    scale = scale_of(currency.fillna(NO_CURRENCY))
    rest = figures - np.round(figures * scale) / scale
    finer = amounts.index[rest.abs() > _FINER]
    if not len(finer):
        return []
    text = (
        f"{len(finer)} amounts have more decimals than their currency; each is rounded, together by {rest.sum():.6f}."
    )
    return [note(name, int(finer[0]), str(len(finer)), "ROUNDED_AMOUNT", text, "amount_posted")]


def note(name: str, row: int, value: str, rule: str, text: str, column: str = "") -> Note:
    """A finding about the file, said with file and line."""
    where = f"{name}, line {row}" if row else name
    return (row, column, value[:200], rule, f"{where}: {text}")


def left_out(name: str, found: str, expected: str) -> RawSheet:
    """A file that is no statement we read: noted, never refused."""
    text = f"{name}: {expected}, found {found}; the file is left out."
    return RawSheet(name, "", pd.DataFrame(), notes=((0, "", found[:200], "UNKNOWN_FILE", text),))


def join_id(*parts: str | None) -> str:
    """Parts joined by spaces, at most 50 characters: a longer id keeps its start and ends with its own SHA-256."""
    text = " ".join(p for p in parts if p)
    if len(text) <= _LONGEST_ID:
        return text
    return text[: _LONGEST_ID - 13] + "~" + hashlib.sha256(text.encode()).hexdigest()[:12]


def own_id(known: Known, content: object, *parts: str | None) -> str:
    """`join_id`, with `#2`, `#3` where the file has that id, and what else `known` goes by, with another content.

    The same content again keeps the id, and its rows are found to be repetitions.
    """
    name = join_id(*parts)
    before = known.setdefault(name, {})
    turn = before.setdefault(hashlib.sha256(repr(content).encode()).digest(), len(before) + 1)
    return name if turn == 1 else join_id(*parts, f"#{turn}")


def said_in(records: Iterable[Record]) -> list[list[Any]]:
    """What records say, wherever they stand."""
    return [[value for name, value in record.items() if name != "source_row"] for record in records]


def reference(text: str | None) -> str | None:
    """A reference that says there is none is none."""
    stripped = (text or "").strip()
    return None if stripped.upper() in _NO_REFERENCE else stripped


def read_characters(path: Path) -> str:
    """The text of the file: UTF-8 or UTF-16 with or without mark, else the likeliest code page; never refused."""
    content = path.read_bytes()
    utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1" if utf16 else code_page(content))


def _sheet(name: str, table: str, records: Sequence[Record]) -> RawSheet:
    header = [f.name for f in fields(table, "")]
    columns = {i: _cells([r.get(h) for r in records], h) for i, h in enumerate(header)}
    frame = pd.DataFrame(columns, index=range(len(records)))
    frame.index = pd.Index([r["source_row"] for r in records], dtype="int64")
    return RawSheet(name, "", frame, header=tuple(header), table=table)


def _cells(values: list[str | None], column: str) -> pd.Series:
    """A decimal of a statement is a number, even with three decimals; anything else stays the text it is."""
    if column == "currency":
        return pd.Series([v or NO_CURRENCY for v in values], dtype="str")
    if column not in _AMOUNTS:
        texts = pd.Series(values, dtype="str")
        return short_ids(texts) if column in IDS else texts
    return pd.Series([_number(v) for v in values], dtype=object)


def _number(text: str | None) -> float | str | None:
    stripped = (text or "").strip()
    return float(stripped) if _DECIMAL.fullmatch(stripped) else stripped or None
