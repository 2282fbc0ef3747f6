"""The same booking downloaded twice, from a copied file or for overlapping days: it gets one id, so that it counts once.

Two downloads of an account are two statements to their ids. What tells that a line is the same: the whole file is, byte
for byte; or the sender numbers every line for ever (OFX, element STMTTRN: FITID; the ids of Stripe, PayPal and the like)
and all the line says is the same. Whatever is alike without such an id may be a second booking: it is only noted
(`balances.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pandas as pd

from atlas_lib.core.provenance import file_sha256
from atlas_lib.ingest.headers import RawSheet
from atlas_lib.ingest.statements.sheets import join_id

_TABLES = ("statement_lines", "statement_balances")
_IDS = ["statement_id", "line_id"]


class Copies:
    """The files of statements that were read so far, by size and content; a copy is read under the first one's name."""

    def __init__(self) -> None:
        self._known: dict[int, dict[str, str]] = {}

    def read(self, path: Path, name: str, read: Callable[[str], Iterable[RawSheet]]) -> list[RawSheet]:
        """The sheets of a file; `read` reads it under the name it is given."""
        size = path.stat().st_size
        first = self._known[size].get(file_sha256(path), "") if size in self._known else ""
        if first:
            return [_copy(sheet, first, name) for sheet in read(first)]
        sheets = list(read(name))
        if sheets and all(sheet.table in _TABLES for sheet in sheets):
            self._known.setdefault(size, {})[file_sha256(path)] = name
        return sheets


def _copy(sheet: RawSheet, first: str, name: str) -> RawSheet:
    """What was read under the name of the first file, as it stands in the copy."""
    notes = tuple((*note[:4], note[4].replace(first, name, 1)) for note in sheet.notes)
    title = sheet.title or join_id(PurePosixPath(first).stem)
    return replace(sheet, file=name, notes=notes, title=title)


def join_downloads(sheets: Sequence[RawSheet]) -> list[RawSheet]:
    """Lines with an id of the sender's own that an older download has, too, get the ids they have there.

    Paired one to one: of a line that stands twice in both, each is paired with its turn. The older download keeps them
    all, so that the closing balance of each follows from that of the one before.
    """
    own = {n: _named(s) for n, s in enumerate(sheets) if s.unique and len(s.frame)}
    if len(own) < 2:
        return list(sheets)
    by_age = sorted(own, key=lambda n: (str(own[n]["booking_date"].min()), n))
    lines = pd.concat([own[n].assign(_sheet=n) for n in by_age], ignore_index=True)
    said = [c for c in lines if c not in (*_IDS, "_sheet")]
    turn = lines.groupby([*said, "_sheet", "statement_id"], dropna=False, sort=False).cumcount()
    same = lines.assign(_turn=turn).groupby([*said, "_turn"], dropna=False, sort=False)[_IDS].transform("first")
    joined = lines.assign(**{c: lines[c].where(lines["_own"].isna(), same[c]) for c in _IDS})
    return [_with_ids(s, joined[joined["_sheet"] == n]) if n in own else s for n, s in enumerate(sheets)]


def _named(sheet: RawSheet) -> pd.DataFrame:
    frame = sheet.frame.set_axis(list(sheet.header), axis=1)
    return frame.assign(_own=frame[sheet.unique])


def _with_ids(sheet: RawSheet, joined: pd.DataFrame) -> RawSheet:
    places = [sheet.header.index(c) for c in _IDS]
    frame = sheet.frame.copy()
    for place, column in zip(places, _IDS, strict=True):
        frame[place] = pd.Series(joined[column].to_numpy(), index=frame.index, dtype="str")
    return replace(sheet, frame=frame)
