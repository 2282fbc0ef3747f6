"""Workbooks through calamine to raw sheets; nothing is interpreted yet."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from atlas_lib.core.errors import InputError
from atlas_lib.ingest.areas import Merged
from atlas_lib.ingest.cells import Uncalculated
from atlas_lib.ingest.far_cells import refuse_far
from atlas_lib.ingest.formulas import Unseen, look_behind
from atlas_lib.ingest.grid import Grid, with_cells
from atlas_lib.ingest.headers import RawSheet
from atlas_lib.ingest.older_formats import look_behind_ods, look_behind_xls
from atlas_lib.ingest.places import cell_position
from atlas_lib.ingest.recognition import raw_sheets

_COMPOUND_FILE = b"\xd0\xcf\x11\xe0"
_SAVE_AGAIN = "open it in Excel, save it again as .xlsx and send that file"


def read_workbook(path: Path, name: str) -> Iterator[RawSheet]:
    """The tables of every worksheet, hidden ones too; what values do not show is looked up in the file itself."""
    import python_calamine as calamine

    book, unseen = _open(path, name)
    for meta in book.sheets_metadata:
        if meta.typ != calamine.SheetTypeEnum.WorkSheet:
            continue
        behind = unseen.get(meta.name, Unseen())
        refuse_far(name, meta.name, behind.edges)
        rows, merged = _guarded(name, partial(_cells, book, meta.name))
        with_cells(rows, {cell_position(place): text for place, text in behind.padded.items()})
        with_cells(rows, {cell_position(place): Uncalculated(text) for place, text in behind.gaps.items()})
        grid = Grid.of_rows(rows)
        del rows
        is_hidden = meta.visible != calamine.SheetVisibleEnum.Visible
        yield from raw_sheets(
            grid,
            name,
            meta.name,
            merged or behind.merged,
            _hidden_notes(name, meta.name, behind, is_hidden),
            is_workbook=True,
        )


def _cells(book: Any, sheet_name: str) -> tuple[list[list[Any]], Merged]:
    """All cells from A1 on, and the merged ranges."""
    sheet = book.get_sheet_by_name(sheet_name)
    return sheet.to_python(skip_empty_area=False), tuple(sheet.merged_cell_ranges or ())


def _open(path: Path, name: str) -> tuple[Any, dict[str, Unseen]]:
    """The workbook, and per sheet what its values do not show."""
    import python_calamine as calamine

    with path.open("rb") as stream:
        start = stream.read(4)
    is_old = start == _COMPOUND_FILE
    if is_old and _is_encrypted(path):
        raise _protected(name)
    if not is_old and "xl/workbook.bin" in _guarded(name, partial(_parts, path)):
        raise InputError(
            "A binary workbook (.xlsb) is not read", where=name, expected="a workbook (.xlsx, .xlsm, .xls or .ods)",
            found="sheets in the binary format", remedy=_SAVE_AGAIN,
        )  # fmt: skip
    try:
        book = _guarded(name, partial(calamine.CalamineWorkbook.from_path, str(path)))
    except InputError as error:
        if isinstance(error.__cause__, calamine.PasswordError):
            raise _protected(name) from error
        raise
    return book, _guarded(name, partial(look_behind_xls if is_old else _look_into_archive, path))


def _guarded(name: str, read: Callable[[], Any]) -> Any:
    """What `read` gives; any failure of a reader, a panic of the Rust library too, is a damaged file."""
    try:
        return read()
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:
        raise InputError(
            "The workbook cannot be read", where=name, expected="a complete workbook (.xlsx, .xlsm, .xls or .ods)",
            found=f"a damaged or cut-off file ({str(error)[:200]})", remedy=_SAVE_AGAIN,
        ) from error  # fmt: skip


def _is_encrypted(path: Path) -> bool:
    """An encrypted .xlsx is a compound file that names its package (MS-OFFCRYPTO 2.3.4.4)."""
    content = path.read_bytes()
    streams = {name: name.encode("utf-16-le") in content for name in ("EncryptedPackage", "Workbook", "Book")}
    return streams["EncryptedPackage"] or not (streams["Workbook"] or streams["Book"])


def _parts(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def _look_into_archive(path: Path) -> dict[str, Unseen]:
    return look_behind_ods(path) if "content.xml" in _parts(path) else look_behind(path)


def _protected(name: str) -> InputError:
    return InputError(
        "The workbook is protected by a password", where=name, expected="a workbook that opens without one",
        found="an encrypted file", remedy="remove the password in Excel (File, Info, Protect Workbook) and send it again",
    )  # fmt: skip


def _hidden_notes(file: str, sheet: str, behind: Unseen, is_hidden: bool) -> list[tuple[int, str, str, str, str]]:
    """What a person looking at the sheet would not see, and is read all the same."""
    facts = [
        (is_hidden, "HIDDEN_SHEET", "the sheet is hidden; it is read like the others. Delete it if it is out of date."),
        (behind.hidden_rows, "HIDDEN_ROWS", f"{behind.hidden_rows} hidden rows are read like the others. Delete them if they are out of date."),
        (behind.hidden_columns, "HIDDEN_COLUMNS", f"{behind.hidden_columns} hidden columns (or groups of them) are read like the others."),
    ]  # fmt: skip
    return [(0, "", "", rule, f"{file}, sheet {sheet}: {text}") for given, rule, text in facts if given]
