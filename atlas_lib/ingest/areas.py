"""Where the tables stand in a sheet: each one's header and data rows, and what every other filled row is.

A sheet is cut into bands by its empty columns where that finds more tables than the sheet as a whole. Down a band,
every row that names columns of a known table starts one; rows that cannot be data are set aside with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from atlas_lib.ingest.grid import EMPTY, TEXT, Grid, Rows
from atlas_lib.ingest.headers import Fit, Left, fit_row, is_scale, is_unit, split_unit, unit_currency
from atlas_lib.ingest.leftovers import set_aside
from atlas_lib.ingest.vocabulary import vocabulary

Merged = Sequence[tuple[tuple[int, int], tuple[int, int]]]
_BROAD_ROWS = 40  # rows from the top in which any row with two texts may be the header
_MOST_HEADERS = 400
_DEEPEST = 3  # rows a header may be spread over


@dataclass(frozen=True)
class Area:
    """One table of a sheet; rows and columns count from 0, `header` holds a text per column of the sheet."""

    fit: Fit
    top: int
    header: tuple[str, ...]
    columns: tuple[int, ...]
    rows: Rows
    units: tuple[tuple[int, str], ...] = ()


def find_areas(grid: Grid, expected: str, merged: Merged = ()) -> tuple[list[Area], list[Left]]:
    """The known tables, from the top and from the left, and the filled rows that belong to none of them."""
    used = np.flatnonzero(grid.filled.any(axis=0))
    if not len(used):
        return [], []
    bands = np.split(used, np.flatnonzero(np.diff(used) > 1) + 1)
    whole, left = _areas_in(grid, used, expected, merged)
    if len(bands) == 1:
        return whole, left
    parts = [_areas_in(grid, band, expected, merged) for band in bands]
    apart = [area for areas, _ in parts for area in areas]
    if sum(len(a.fit.positions) for a in apart) <= sum(len(a.fit.positions) for a in whole):
        return whole, left
    found, beside = _one_each(grid, apart)
    return found, [*beside, *(item for _, items in parts for item in items)]


def _one_each(grid: Grid, areas: list[Area]) -> tuple[list[Area], list[Left]]:
    """Two tables of one kind beside each other would share their row numbers: the right one is left."""
    found: list[Area] = []
    beside = []
    for area in areas:
        rival = next((a for a in found if a.fit.table == area.fit.table and np.isin(area.rows, a.rows).any()), None)
        if rival is None:
            found.append(area)
        else:
            reason = (
                f"a second table of {area.fit.table} beside the first. Put it below the first, or on a sheet of its own"
            )
            beside.append(
                _left(grid, area.top, int(area.rows.max(initial=area.fit.row)), area.columns, "second table", reason)
            )
    return found, beside


def _areas_in(grid: Grid, columns: Rows, expected: str, merged: Merged) -> tuple[list[Area], list[Left]]:
    """The tables down one band, and the other filled rows of that band."""
    starts = _starts(grid, columns, expected, merged)
    filled = np.flatnonzero(grid.filled[:, columns].any(axis=1))
    places = tuple(columns.tolist())
    if not starts:
        reason = "no row names the columns of a known table"
        return [], [_left(grid, int(filled[0]), int(filled[-1]), places, "unknown", reason, len(filled))] if len(
            filled
        ) else []
    above = filled[filled < starts[0][1]]
    left = (
        [
            _left(
                grid,
                int(above[0]),
                int(above[-1]),
                places,
                "above the header",
                "stands above the column names",
                len(above),
            )
        ]
        if len(above)
        else []
    )
    areas = []
    ends = [top for _, top, _ in starts[1:]] + [len(grid.rows)]
    for (fit, top, header), end in zip(starts, ends, strict=True):
        area, aside = _area(grid, fit, top, header, places, end)
        areas.append(area)
        left += aside
    return areas, left


def _area(
    grid: Grid, fit: Fit, top: int, header: tuple[str, ...], columns: tuple[int, ...], end: int
) -> tuple[Area, list[Left]]:
    units, first, left = dict(_header_units(fit, header)), fit.row + 1, []
    below = grid.row(first) if first < end else []
    if _is_units_row(below, columns):
        found = {c: str(below[c]) for c in columns if below[c] is not None}
        left.append(_left(grid, first, first, columns, "units", "says the units of the columns"))
        units |= found
        first += 1
    scaled = [name for name, c in fit.positions.items() if is_scale(units.get(c, ""))]
    kept = replace(fit, positions={n: c for n, c in fit.positions.items() if n not in scaled})
    if scaled:
        reason = (
            f"{', '.join(scaled)} in thousands or millions is not multiplied out and is kept out. Send the full figures"
        )
        left.append(_left(grid, fit.row, fit.row, columns, "scaled units", reason))
    rows, aside = set_aside(grid, kept, np.arange(first, end), columns)
    named = tuple((c, unit) for c, unit in units.items() if unit_currency(unit) or unit == "%")
    return Area(kept, top, header, columns, rows, named), left + aside


def _header_units(fit: Fit, header: Sequence[str]) -> list[tuple[int, str]]:
    known = vocabulary()[1][fit.table]
    return [(c, unit) for c in fit.positions.values() if (unit := split_unit(header[c], known)[1])]


def _is_units_row(cells: Sequence[object], columns: Sequence[int]) -> bool:
    """Every filled cell is a unit, and at least one is."""
    texts = [cells[c] for c in columns if cells[c] is not None] if cells else []
    return bool(texts) and all(isinstance(t, str) and (is_unit(t) or is_scale(t)) for t in texts)


def _starts(grid: Grid, columns: Rows, expected: str, merged: Merged) -> list[tuple[Fit, int, tuple[str, ...]]]:
    """Per table down the band: the fit, the first row of its header, the header's texts.

    Of headers with no data between them the best counts: a title that happens to name two columns is no table.
    """
    chosen: list[tuple[Fit, int, tuple[str, ...]]] = []
    for row in _candidates(grid, columns).tolist():
        found = _read_header(grid, row, columns, expected, merged)
        if found is None or (chosen and found[2] == chosen[-1][2]):
            continue
        if not chosen:
            chosen.append(found)
        elif not _has_data(grid, chosen[-1][0], found[1]):
            if found[0].weight > chosen[-1][0].weight:
                chosen[-1] = found
        elif found[0].is_certain:
            chosen.append(found)
    return chosen


def _has_data(grid: Grid, fit: Fit, end: int) -> bool:
    """A row between the header and `end` fills half of the columns."""
    cells = grid.filled[fit.row + 1 : end, list(fit.positions.values())]
    return bool((cells.sum(axis=1) >= max(2, len(fit.positions) / 2)).any())


def _candidates(grid: Grid, columns: Rows) -> Rows:
    """Rows that may be a header: at the top two texts are enough; below, all texts and hardly a digit in them."""
    kinds = grid.kinds[:, columns]
    texts = (kinds == TEXT).sum(axis=1)
    first = int(np.argmax(texts > 0)) if len(texts) else 0
    top = np.arange(len(texts)) < first + _BROAD_ROWS
    others = (kinds != EMPTY).sum(axis=1) - texts
    below = np.flatnonzero(~top & (texts >= 2) & (others == 0))
    digits = np.zeros(len(texts), dtype=np.int64)
    for column in columns.tolist():
        below = below[digits[below] <= 0.3 * texts[below]]
        digits[below] += grid.matches(column, below, "[0-9]")
    below = below[digits[below] <= 0.3 * texts[below]]
    return np.concatenate([np.flatnonzero(top & (texts >= 2)), below[:_MOST_HEADERS]])


def _read_header(
    grid: Grid, row: int, columns: Rows, expected: str, merged: Merged
) -> tuple[Fit, int, tuple[str, ...]] | None:
    """The row as a header, alone or joined with the texts above it, whichever names more columns."""
    best: tuple[Fit, int, tuple[str, ...]] | None = None
    last = _texts(grid.row(row), columns)
    joined = dict.fromkeys(("merged", "onwards") if merged else ("onwards", "merged"), last)
    for top in range(row, max(row - _DEEPEST, -1), -1):
        if top < row:
            cells = grid.row(top)
            if any(cells[c] is not None and not isinstance(cells[c], str) for c in columns.tolist()):
                break
            joined = {way: _stacked(_texts(cells, columns), lower, top, merged, way) for way, lower in joined.items()}
        for texts in joined.values():
            fit = fit_row(texts, row, expected)
            if fit and (best is None or len(fit.positions) > len(best[0].positions)):
                best = (fit, top, tuple(texts))
    return best


def _texts(cells: Sequence[object], columns: Rows) -> list[str]:
    inside = set(columns.tolist())
    return [v.strip() if isinstance(v, str) and c in inside else "" for c, v in enumerate(cells)]


def _stacked(upper: list[str], lower: list[str], row: int, merged: Merged, way: str) -> list[str]:
    """Two header rows as one. A name above holds for all columns of its merged range, or onwards to the next name."""
    if way == "onwards":
        named = np.maximum.accumulate([c if text else 0 for c, text in enumerate(upper)])
        upper = [upper[c] for c in named]
    else:
        upper = list(upper)
        for (top, left), (bottom, right) in merged:
            if top <= row <= bottom and left < len(upper):
                stop = min(right + 1, len(upper))
                upper[left:stop] = [upper[left]] * (stop - left)
    return [a if a == b else f"{a} {b}".strip() for a, b in zip(upper, lower, strict=True)]


def _left(grid: Grid, first: int, last: int, columns: Sequence[int], use: str, reason: str, count: int = 1) -> Left:
    shown = "; ".join(str(v) for v in grid.row(first) if v is not None)[:120]
    return Left(int(grid.rows[first]), int(grid.rows[last]), use, reason, shown, columns[0], columns[-1], count)
