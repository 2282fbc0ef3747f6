"""Files to raw sheets: the list of inputs, and workbooks through calamine; nothing is interpreted yet."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from atlas_lib.core.errors import InputError
from atlas_lib.core.provenance import input_files
from atlas_lib.ingest.cells import Uncalculated
from atlas_lib.ingest.flatfiles import read_parquet, read_text
from atlas_lib.ingest.formulas import cell_position, find_uncalculated
from atlas_lib.ingest.headers import RawSheet
from atlas_lib.ingest.sanctions import is_published_list, read_published_list
from atlas_lib.ingest.statements import read_camt

_EXCEL, _TEXT = (".xlsx", ".xlsm"), (".csv", ".tsv", ".txt")
_COMPOUND_FILE = b"\xd0\xcf\x11\xe0"
_SAVE_AGAIN = "open it in Excel, save it again as .xlsx and send that file"


def read_inputs(path: Path) -> list[RawSheet]:
    """Every sheet and file of the input, in the order of their names; a file of another kind is noted, not refused."""
    base = path if path.is_dir() else path.parent
    return [sheet for file in input_files(path) for sheet in _read_file(file, file.relative_to(base).as_posix())]


def _read_file(path: Path, name: str) -> Iterator[RawSheet]:
    kind = path.suffix.lower()
    if is_published_list(path):
        yield read_published_list(path, name)
    elif kind in _EXCEL:
        yield from _read_workbook(path, name)
    elif kind in _TEXT:
        yield read_text(path, name)
    elif kind == ".parquet":
        yield read_parquet(path, name)
    elif kind == ".xml":
        yield from read_camt(path, name)
    else:
        message = f"{name}: this kind of file is not read. Expected .xlsx, .xlsm, .csv, .parquet or a camt.053 .xml."
        yield RawSheet(name, "", pd.DataFrame(), notes=((0, "", kind, "UNKNOWN_FILE", message),))


def _read_workbook(path: Path, name: str) -> Iterator[RawSheet]:
    import python_calamine as calamine

    with path.open("rb") as stream:
        if stream.read(4) == _COMPOUND_FILE:
            raise InputError(
                "The workbook is protected by a password", where=name, expected="a workbook that opens without one",
                found="an encrypted file", remedy="remove the password in Excel (File, Info, Protect Workbook) and send it again",
            )  # fmt: skip
    try:
        book = calamine.CalamineWorkbook.from_path(str(path))
        sheets = [(s, book.get_sheet_by_name(s)) for s in book.sheet_names]
        grids = [(s, sheet.to_python(skip_empty_area=False), sheet.merged_cell_ranges or ()) for s, sheet in sheets]
    except Exception as error:
        raise InputError(
            "The workbook cannot be read", where=name, expected="a complete .xlsx file",
            found=f"a damaged or cut-off file ({error})", remedy=_SAVE_AGAIN,
        ) from error  # fmt: skip
    gaps = find_uncalculated(path)
    for sheet_name, rows, merged in grids:
        frame = _mark(_grid(rows), gaps.get(sheet_name, {}))
        yield RawSheet(name, sheet_name, frame, is_workbook=True, merged=tuple(merged))


def _grid(rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Typed cells as objects, empty ones missing; rows numbered as Excel shows them."""
    frame = pd.DataFrame(rows, dtype=object)
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    times = frame.map(type).isin([dt.time, dt.timedelta]) if len(frame) else frame
    return frame.mask(times, frame.astype(str)).mask(frame == "", None) if len(frame) else frame


def _mark(frame: pd.DataFrame, gaps: Mapping[str, str]) -> pd.DataFrame:
    """Cells that are empty only because a formula has no stored result, or an error one, say so."""
    if not gaps or frame.empty:
        return frame
    cells = frame.to_numpy(dtype=object, copy=True)
    for place, text in gaps.items():
        row, position = cell_position(place)
        if row < cells.shape[0] and position < cells.shape[1]:
            cells[row, position] = Uncalculated(text)
    return pd.DataFrame(cells, index=frame.index, columns=frame.columns, dtype=object)
