"""How far the cells of a worksheet reach: a reader sets aside every cell of the rectangle they span, filled or not.

One stray cell in the last corner of a sheet spans 17 thousand million. A plain search shows for nearly every sheet
that it stays within bounds; only the others are parsed (ECMA-376, part 1, section 18.3.1.4: cell `c`, its place `r`).
"""

from __future__ import annotations

import io
import re

from atlas_lib.core.errors import InputError
from atlas_lib.ingest.places import cell_position, column_letter

MOST_CELLS = 50_000_000  # about 2.3 GB while they are read; a sheet of all 1,048,576 rows may hold 47 columns
# columns and digits of the row that together stay below: A:Z (most sheets, and quickest to see), A:AU of any row, A:BZ, A:RZ, A:FZZ, all columns
_BOUNDS = (
    rb"[A-Z][0-9]{1,6}",
    rb"(?:[A-Z]|A[A-U])(?:10[0-4][0-9]{4}|[0-9]{1,6})",
    rb"(?:[A-Z]|[AB][A-Z])[1-5]?[0-9]{1,5}",
    rb"(?:[A-Z]|[A-R][A-Z])[0-9]{1,5}",
    rb"(?:[A-Z]{1,2}|[A-F][A-Z]{2})[0-9]{1,4}",
    rb"[A-Z]{1,3}[0-9]{1,3}",
)
_OUTSIDE = [re.compile(rb'<c(?! r="(?:' + bound + rb')"|[a-zA-Z])') for bound in _BOUNDS]
_OUTSIDE_PREFIXED = [re.compile(rb'<(?:\w+:)?c(?! r="(?:' + bound + rb')"|[a-zA-Z])') for bound in _BOUNDS]

Edges = tuple[tuple[int, int], tuple[int, int]]


def far_edges(xml: bytes, is_prefixed: bool) -> Edges | None:
    """(row, column) of the lowest filled cell and of the one furthest right, counted from 0; None within the bounds.

    `is_prefixed`: the names of elements may carry a prefix, as in `<x:c>`.
    """
    patterns = _OUTSIDE_PREFIXED if is_prefixed else _OUTSIDE
    if not all(pattern.search(xml) for pattern in patterns):
        return None
    return _edges(xml)


def refuse_far(file: str, sheet: str, edges: Edges | None) -> None:
    """Raises InputError when the cells from A1 on are more than can be read."""
    if edges is None:
        return
    lowest, rightmost = edges
    rows, columns = lowest[0] + 1, rightmost[1] + 1
    if rows * columns > MOST_CELLS:
        names = dict.fromkeys((f"{column_letter(column)}{row + 1}" for row, column in edges))
        raise InputError(
            "The sheet reaches too far to be read", where=f"{file}, sheet {sheet}, cell {' and cell '.join(names)}",
            expected=f"at most {MOST_CELLS:,} cells from A1 to the last filled row and column",
            found=f"{rows:,} rows of {columns:,} columns",
            remedy="delete the stray cell with its row or column in Excel, save the workbook again and send that file",
        )  # fmt: skip


def _edges(xml: bytes) -> Edges:
    """As a reader counts: a cell without a place follows the one before it, and one without content does not count."""
    from lxml import etree

    lowest = rightmost = (0, 0)
    row, column = -1, 0
    events = etree.iterparse(
        io.BytesIO(xml), events=("start", "end"), tag=("{*}row", "{*}c"), resolve_entities=False, no_network=True
    )
    for event, element in events:
        is_row, place = etree.QName(element).localname == "row", element.get("r")
        if event == "start" and is_row:
            row, column = int(place) - 1 if place else row + 1, 0
        elif event == "start":
            row, column = cell_position(place.upper()) if place else (row, column)
        elif is_row:
            element.clear()
        else:
            if any(part.text or len(part) for part in element):
                lowest = max(lowest, (row, column))
                rightmost = max(rightmost, (row, column), key=lambda at: at[1])
            column += 1
            element.clear()
    return lowest, rightmost
