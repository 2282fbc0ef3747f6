"""Opening and closing balances of an export: from its running balance column, or as stated beside a label."""

from __future__ import annotations

import numpy as np
import pandas as pd

from atlas_lib.ingest.headers import RawSheet
from atlas_lib.ingest.parsing import parse_amount
from atlas_lib.ingest.statements.layouts import Layout
from atlas_lib.ingest.statements.sheets import Note, note
from atlas_lib.ingest.vocabulary import fields

_TOLERANCE = 5e-5


def balances_of(
    lines: pd.DataFrame, frame: pd.DataFrame, layout: Layout, stated: dict[str, float | str | None], name: str
) -> tuple[RawSheet, list[Note]]:
    """(balances, notes) per statement; a running balance that does not follow its lines is noted and not used."""
    records: list[dict[str, object]] = []
    notes: list[Note] = []
    if layout.running_balance in frame:
        texts = frame[layout.running_balance]
        after = parse_amount(texts, layout.decimal_mark).result
        for _, part in lines[lines["status"] == "BOOK"].groupby("statement_id", sort=True):
            found, row = _edges(part, after.loc[part.index])
            records += found
            if row:
                text = "the running balance does not follow the lines from here on; no balance is taken. Ask for the missing lines."
                notes.append(note(name, row, str(texts.loc[row]), "RUNNING_BALANCE", text, "balance"))
    elif len(lines):
        first, last = _ends(lines)
        records += [_record(first if kind == "OPBD" else last, kind, value) for kind, value in stated.items()]
    header = tuple(f.name for f in fields("statement_balances", ""))
    sheet = pd.DataFrame([[r.get(h) for h in header] for r in records], columns=range(len(header)), dtype=object)
    sheet = sheet.astype({i: "str" for i, h in enumerate(header) if h != "balance"})
    sheet.index = pd.Index([r["source_row"] for r in records], dtype="int64")
    return RawSheet(name, "", sheet, header=header, table="statement_balances"), notes


def _edges(part: pd.DataFrame, after: pd.Series) -> tuple[list[dict[str, object]], int]:
    """Balances before the first and after the last line, oldest or newest line first; else the row of the break."""
    moved = pd.to_numeric(part["amount_posted"], errors="coerce").to_numpy(dtype=float)
    level = after.to_numpy(dtype=float)
    if not len(part) or np.isnan(moved).any() or np.isnan(level).any():
        return [], 0
    oldest_first = np.abs(level[:-1] + moved[1:] - level[1:]) <= _TOLERANCE
    newest_first = np.abs(level[1:] + moved[:-1] - level[:-1]) <= _TOLERANCE
    if not (oldest_first.all() or newest_first.all()):
        steps = oldest_first if oldest_first.sum() >= newest_first.sum() else newest_first
        return [], int(part.index[int(np.argmin(steps)) + 1])
    first, last = (0, -1) if oldest_first.all() else (-1, 0)
    opening = float(np.round(level[first] - moved[first], 8))
    return [_record(part.iloc[first], "OPBD", opening), _record(part.iloc[last], "CLBD", float(level[last]))], 0


def _ends(lines: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """The lines booked first and last."""
    by_day = lines.sort_values("booking_date", kind="stable")
    return by_day.iloc[0], by_day.iloc[-1]


def _record(line: pd.Series, kind: str, value: object) -> dict[str, object]:
    own = {k: None if pd.isna(line[k]) else line[k] for k in ("statement_id", "account", "currency")}
    return own | {
        "balance_type": kind, "balance_date": line["booking_date"], "balance": value, "source_row": int(str(line.name))
    }  # fmt: skip
