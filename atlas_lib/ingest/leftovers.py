"""Rows below a header that are no data: empty ones, totals, repeated headers, notes, other blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from atlas_lib.core.money import currency_codes
from atlas_lib.ingest.grid import TEXT, Grid, Rows
from atlas_lib.ingest.headers import Fit, Left
from atlas_lib.ingest.parsing import parse_amount
from atlas_lib.ingest.vocabulary import fields

Mask = NDArray[np.bool_]
_WORD = r"(?i)^\W*((grand|sub|zwischen|end|gesamt|net)[\s-]*)?(total|totals|summe|sum|gesamt|insgesamt|übertrag|carried forward|brought forward)\b"
_TOTAL = _WORD + r".{0,24}$"
_SUMMED = "of|the|der|all|alle|credits?|debits?|amounts?|balance|fees?|charges|payments|transactions|items|lines|rows|page|net|gross|haben|soll|betrag|beträge|saldo|gebühren|gutschriften|lastschriften|eingänge|ausgänge|umsätze|buchungen|posten|seite|netto|brutto"
_PROSE = r"(\s|:$|.{20})"
_HALF_CENT = 0.005  # what a stated total is rounded by; and once more for every amount above it that is unrounded
_FLOAT_ERROR = 1e-12


@dataclass(frozen=True)
class _Below:
    """The rows below a header: `filled` over the band's columns, `mapped` over those that are named."""

    grid: Grid
    fit: Fit
    rows: Rows
    columns: Sequence[int]
    filled: Mask
    mapped: Mask

    @property
    def is_empty(self) -> Mask:
        return np.asarray(~self.filled.any(axis=1))


def set_aside(grid: Grid, fit: Fit, rows: Rows, columns: Sequence[int]) -> tuple[Rows, list[Left]]:
    """(data rows, the other filled rows with what they are). Empty rows after the last data are not mentioned."""
    filled, mapped = (grid.filled[np.ix_(rows, np.asarray(c))] for c in (columns, list(fit.positions.values())))
    below = _Below(grid, fit, rows, columns, filled, mapped)
    uses, is_empty = np.zeros(len(rows), dtype=np.int8), below.is_empty
    for number, test in enumerate((_repeated, _notes, _other_blocks), start=1):
        open_rows = ~is_empty & (uses == 0)
        uses[open_rows & test(below, open_rows)] = number
    data = ~is_empty & (uses == 0)
    totals, stated = _totals(below, data)
    kept = data & ~totals
    left = [_row(grid, rows[i], columns, "totals", text) for i, text in stated]
    for number, (use, reason) in enumerate(_REASONS, start=1):
        left += _runs(grid, rows, uses == number, columns, use, reason)
    return rows[kept], left + _inner_gaps(grid, rows, is_empty, kept, columns)


_REASONS = (
    ("repeated header", "repeats the column names"),
    ("note", "holds a remark, no row of the table"),
    ("other rows", "stands apart and lacks most of the table's columns"),
)


def _repeated(below: _Below, open_rows: Mask) -> Mask:
    """Rows that say in two or more columns, and in all they fill, what the header says."""
    same = np.zeros(len(below.rows), dtype=np.int64)
    places = np.flatnonzero(open_rows)
    for column in below.fit.positions.values():
        texts = below.grid.texts[column]
        head = below.grid.row(below.fit.row)[column]
        if texts is not None and isinstance(head, str):
            found = pc.equal(pc.utf8_trim_whitespace(texts.take(below.rows[places])), head.strip()).fill_null(False)
            same[places] += found.to_numpy(zero_copy_only=False)
    return np.asarray((same >= 2) & (same >= below.mapped.sum(axis=1)))


def _notes(below: _Below, open_rows: Mask) -> Mask:
    """A single text in a row of a table of three columns or more, when it reads as prose or stands by itself."""
    stray: Mask = np.asarray(below.filled.any(axis=1) & ~below.mapped.any(axis=1))
    single: Mask = np.asarray(open_rows & (below.filled.sum(axis=1) == 1))
    if len(below.fit.positions) < 3 or not single.any():
        return stray
    is_text = np.asarray(below.grid.kinds[np.ix_(below.rows, np.asarray(below.columns))] == TEXT).any(axis=1)
    places = np.flatnonzero(single & is_text)
    prose = np.zeros(len(below.rows), dtype=bool)
    for column in below.columns:
        prose[places] |= below.grid.matches(column, below.rows[places], _PROSE)
    alone = np.concatenate([[False], below.is_empty[:-1]])
    return np.asarray(stray | (single & is_text & (prose | alone)))


def _other_blocks(below: _Below, open_rows: Mask) -> Mask:
    """Rows after an empty one, down to the next, when each lacks most required columns, or any figure where one belongs."""
    required = [f.name for f in fields(below.fit.table, "") if f.is_required and f.name in below.fit.positions]
    places = [list(below.fit.positions).index(name) for name in required]
    if not places:
        return np.zeros(len(below.rows), dtype=bool)
    thin = (below.mapped[:, places].mean(axis=1) < 0.5) | ~_has_figure(below)
    block = np.cumsum(~below.filled.any(axis=1))
    solid = np.unique(block[open_rows & ~thin])
    return np.asarray((block > 0) & ~np.isin(block, solid))


def _has_figure(below: _Below) -> Mask:
    """A number, a date or a text with a digit in a column that takes nothing else."""
    kinds = {f.name: f.kind for f in fields(below.fit.table, "")}
    columns = [c for name, c in below.fit.positions.items() if kinds[name] not in ("text", "bool")]
    found = np.full(len(below.rows), not columns)
    for column in columns:
        found |= np.asarray(below.grid.kinds[below.rows, column] > TEXT) | below.grid.matches(
            column, below.rows, "[0-9]"
        )
    return found


def _totals(below: _Below, data: Mask) -> tuple[Mask, list[tuple[int, str]]]:
    """Rows that say total and lack other cells, or that have no key and the sum of the rows above, with what they state.

    `TOTAL ENERGIES 61.30` may be somebody's name: with an amount that is no sum of the rows above it is data, and is
    refused for what it lacks.
    """
    found, told = np.zeros(len(below.rows), dtype=bool), []
    names = [f.name for f in fields(below.fit.table, "") if f.kind == "amount" and f.name in below.fit.positions]
    key, *others = _identifying(below.fit) or [""]
    if not names or not key:
        return found, []
    worded, keyless, may_name = _total_words(below, data & ~_is_whole(below, others), key)
    candidates = np.flatnonzero(worded | keyless)
    if not len(candidates):
        return found, []
    amounts = np.column_stack(
        [parse_amount(below.grid.series(below.fit.positions[n], below.rows)).result.to_numpy() for n in names]
    )
    sums = _Sums(np.where(data[:, None], amounts, np.nan))
    mixes = _mixes_currencies(below, data & ~worded & ~keyless)
    for place in candidates.tolist():
        is_named = may_name[place] and not np.isnan(amounts[place]).all()
        if sums.agrees(place) or (worded[place] and not is_named):
            found[place] = True
            text = f"row {below.grid.rows[below.rows[place]]} is a totals row and is left out of the data"
            told.append((place, text if mixes else text + _differences(names, amounts[place], sums, place)))
            sums.close(place)
    return found, told


def _identifying(fit: Fit) -> list[str]:
    """The required columns that hold no amount, the one that names the row first: a text where there is one."""
    required = [f for f in fields(fit.table, "") if f.is_required and f.kind != "amount" and f.name in fit.positions]
    return [f.name for f in sorted(required, key=lambda f: f.kind != "text")]


def _is_whole(below: _Below, others: Sequence[str]) -> Mask:
    """Rows that lack nothing required but perhaps their key: bookings, whatever they say or sum to."""
    spots = [list(below.fit.positions).index(name) for name in others]
    return np.asarray(below.mapped[:, spots].all(axis=1) & bool(spots))


def _mixes_currencies(below: _Below, data: Mask) -> bool:
    """Whether a column names several currencies, whose sum means nothing."""
    columns = [c for name, c in below.fit.positions.items() if name in ("currency", "source_currency")]
    found = (below.grid.series(c, below.rows[data]).dropna().astype(str) for c in columns)
    return any(len(codes.str.strip().str.upper().unique()) > 1 for codes in found)


@lru_cache(maxsize=1)
def _names_no_one() -> str:
    """A total of what can be summed, of a currency or of a number."""
    of = f"{_SUMMED}|{'|'.join(sorted(currency_codes()))}"
    return _WORD + rf"([\W\d_]*\b({of})\b)*[\W\d_]*$"


def _total_words(below: _Below, data: Mask, key: str) -> tuple[Mask, Mask, Mask]:
    """(rows that say total in place of their key, rows without a key, rows whose word may be part of a name)."""
    spot = list(below.fit.positions).index(key)
    is_sparse = below.mapped.mean(axis=1) <= 0.7
    keyless = data & ~below.mapped[:, spot]
    places = np.flatnonzero(data & is_sparse | keyless)
    says, in_key, may_name = (np.zeros(len(below.rows), dtype=bool) for _ in range(3))
    for column in below.columns:
        hit = below.grid.matches(column, below.rows[places], _TOTAL)
        says[places] |= hit
        may_name[places] |= hit & ~below.grid.matches(column, below.rows[places], _names_no_one())
        if column == below.fit.positions[key]:
            in_key[places] = hit
    keyless &= is_sparse | says  # a row that lacks its key alone, and says no total, is a booking whatever it sums to
    return says & is_sparse & (in_key | keyless), keyless, may_name


class _Sums:
    """Running sums of the amounts above a row: since the top, and since the last totals row."""

    def __init__(self, amounts: NDArray[np.float64]) -> None:
        self.given = amounts.copy()
        self.amounts = np.nan_to_num(amounts)
        self.from_top = np.cumsum(self.amounts, axis=0)
        is_unrounded = np.abs(self.amounts - self.amounts.round(2)) > _FLOAT_ERROR * np.abs(self.amounts)
        self.limits = _HALF_CENT * (1 + np.cumsum(is_unrounded, axis=0))
        self.limits += _FLOAT_ERROR * (1 + np.cumsum(np.abs(self.amounts), axis=0))
        self.taken_out = np.zeros(amounts.shape[1])
        self.last = -1
        self.at_last = np.zeros(amounts.shape[1])

    def above(self, place: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        whole = self.from_top[place] - self.amounts[place] - self.taken_out
        return whole, whole - self.at_last

    def agrees(self, place: int) -> bool:
        """Every amount of the row is the sum of at least two rows above it."""
        stated = self.given[place]
        given = ~np.isnan(stated)
        whole, part = self.above(place)
        enough = ((whole, place >= 2), (part, place - self.last > 2))
        limit = self.limits[place]
        return bool(given.any()) and any(
            counts and bool((np.abs(total - stated) <= limit)[given].all()) for total, counts in enough
        )

    def close(self, place: int) -> None:
        """The row is a totals row: it is not counted again."""
        self.taken_out += self.amounts[place]
        self.at_last = self.from_top[place] - self.taken_out
        self.last = place


def _differences(names: Sequence[str], stated: NDArray[np.float64], sums: _Sums, place: int) -> str:
    """What a totals row states where it differs from the rows above it."""
    whole, part = sums.above(place)
    text = ""
    for name, value, top, since, limit in zip(names, stated, whole, part, sums.limits[place], strict=True):
        if not np.isnan(value) and min(abs(value - top), abs(value - since)) > limit:
            text += f"; it states {value:,.2f} for {name}, the rows above it sum to {since:,.2f}"
    return text


def _runs(grid: Grid, rows: Rows, mask: Mask, columns: Sequence[int], use: str, reason: str) -> list[Left]:
    """One entry per run of rows."""
    places = np.flatnonzero(mask)
    runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1) if len(places) else []
    return [_row(grid, rows[run[0]], columns, use, reason, int(grid.rows[rows[run[-1]]]), len(run)) for run in runs]


def _inner_gaps(grid: Grid, rows: Rows, is_empty: Mask, kept: Mask, columns: Sequence[int]) -> list[Left]:
    """Empty rows between the data, said once."""
    last = int(np.flatnonzero(kept)[-1]) if kept.any() else 0
    gaps = rows[np.flatnonzero(is_empty[:last])]
    if not len(gaps):
        return []
    numbers = [str(n) for n in grid.rows[gaps[:10]]]
    text = (
        f"{len(gaps)} empty rows between the data are left out: {', '.join(numbers)}{', ...' if len(gaps) > 10 else ''}"
    )
    return [
        Left(int(grid.rows[gaps[0]]), int(grid.rows[gaps[-1]]), "empty", text, "", columns[0], columns[-1], len(gaps))
    ]


def _row(grid: Grid, row: int, columns: Sequence[int], use: str, reason: str, last: int = 0, count: int = 1) -> Left:
    shown = "; ".join(str(v) for c, v in enumerate(grid.row(row)) if v is not None and c in set(columns))[:120]
    number = int(grid.rows[row])
    return Left(number, last or number, use, reason, shown, columns[0], columns[-1], count)
