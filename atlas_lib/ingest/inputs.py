"""The files of an input and who reads each: told by content first, by the end of the name second."""

from __future__ import annotations

import csv
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from atlas_lib.core.errors import InputError
from atlas_lib.core.provenance import input_files
from atlas_lib.core.settings import IngestSettings
from atlas_lib.ingest.archives import ZIP_START, check_size, unpack
from atlas_lib.ingest.flatfiles import read_parquet, read_text
from atlas_lib.ingest.headers import RawSheet
from atlas_lib.ingest.sanctions import is_published_list, read_published_list
from atlas_lib.ingest.statements.bai2 import read_bai2
from atlas_lib.ingest.statements.camt import read_camt
from atlas_lib.ingest.statements.downloads import Copies, join_downloads
from atlas_lib.ingest.statements.exports import find_layout, read_export
from atlas_lib.ingest.statements.layouts import LAYOUTS_FILE, Layout, read_layouts
from atlas_lib.ingest.statements.mt940 import read_mt940
from atlas_lib.ingest.statements.ofx import read_ofx
from atlas_lib.ingest.statements.sheets import distinguish_accounts, join_id, left_out
from atlas_lib.ingest.workbook import read_workbook

_MAX_FILE_MB: int = IngestSettings.model_fields["max_file_mb"].default
_SAMPLE_BYTES = 64 * 1024
_TEXT = (".csv", ".tsv", ".txt", ".asc", ".tab", ".dat")
_WORKBOOK = (".xlsx", ".xlsm", ".xls", ".ods")
_MT940 = (".sta", ".mt940", ".mt942", ".940", ".942")
_BAI2 = (".bai", ".bai2")
_OFX = (".ofx", ".qfx")
_COMPOUND_FILE = b"\xd0\xcf\x11\xe0"
_SWIFT_TAG = re.compile(r"^:(20|25P?|28C?|60[FM]|61|62[FM]|34F|13D):", re.MULTILINE)
_BAI2_HEADER = re.compile(r"\A01,[^,\n]*,[^,\n]*,\d{6},")
_EXPECTED = (
    "this kind of file is not read. Expected a workbook, CSV, Parquet, or a bank statement (camt, MT940, OFX, BAI2)"
)


@dataclass(frozen=True)
class _Reading:
    """What holds for every file of one input."""

    layouts: tuple[Layout, ...]
    max_file_mb: int
    copies: Copies = field(default_factory=Copies)


def read_inputs(path: Path, max_file_mb: int = _MAX_FILE_MB) -> list[RawSheet]:
    """Every sheet and file of the input, in the order of their names; a file of another kind is noted, not refused.

    A folder may hold `layouts.yaml` with layouts of its own (docs/statement_formats.md). Raises InputError for a file
    over `max_file_mb`, packed or unpacked, and for one that is damaged; all such files are named at once.
    """
    base = path if path.is_dir() else path.parent
    own = base / LAYOUTS_FILE
    reading = _Reading(read_layouts(own if path.is_dir() and own.is_file() else None), max_file_mb)
    sheets: list[RawSheet] = []
    unreadable: list[InputError] = []
    for file in input_files(path):
        try:
            sheets += [] if file == own else _read(file, file.relative_to(base).as_posix(), reading)
        except InputError as error:
            unreadable.append(error)
    if len(unreadable) == 1:
        raise unreadable[0]
    if unreadable:
        texts = (f"({number}) {error}" for number, error in enumerate(unreadable, start=1))
        raise InputError(f"{len(unreadable)} files cannot be read", found=" ".join(texts)) from unreadable[0]
    return distinguish_accounts(join_downloads(_titled(sheets)))


def _titled(sheets: Sequence[RawSheet]) -> list[RawSheet]:
    """Sheets of one workbook with the same table: rows without ids are told apart by the sheet they stand on."""
    places = {(s.file, s.table, s.sheet) for s in sheets if s.is_workbook and s.table}
    count = Counter((file, table) for file, table, _ in places)
    return [
        replace(s, title=join_id(PurePosixPath(s.file).stem, s.sheet)) if count[s.file, s.table] > 1 else s
        for s in sheets
    ]


def _read(path: Path, name: str, reading: _Reading) -> list[RawSheet]:
    check_size(path, name, reading.max_file_mb)
    return reading.copies.read(path, name, lambda known: _read_file(path, known, reading))


def _read_file(path: Path, name: str, reading: _Reading) -> Iterator[RawSheet]:
    with path.open("rb") as stream:
        start = stream.read(_SAMPLE_BYTES)
    kind = file_kind(start, Path(name).suffix.lower())
    if not start.strip():
        yield left_out(name, "an empty file", "nothing is in it: send it again, or leave it out")
    elif is_published_list(path):
        yield read_published_list(path, name)
    elif kind == "zip":
        yield from _read_archive(path, name, reading)
    elif kind == "text":
        yield from _read_text(path, name, start, reading.layouts)
    elif kind in _READERS:
        yield from _READERS[kind](path, name)
    else:
        yield left_out(name, Path(name).suffix.lower() or "a file without an ending", _EXPECTED)


def file_kind(start: bytes, suffix: str) -> str:
    """workbook, zip, parquet, xml, ofx, mt940, bai2, text, or empty for none of them."""
    if start.startswith(ZIP_START):
        return "workbook" if suffix in _WORKBOOK or (suffix != ".zip" and _holds_workbook(start)) else "zip"
    if start.startswith(_COMPOUND_FILE) or suffix in _WORKBOOK:
        return "workbook"
    if start.startswith(b"PAR1") or suffix == ".parquet":
        return "parquet"
    return _text_kind(_readable(start), suffix)


def _text_kind(text: str, suffix: str) -> str:
    stripped = text.lstrip("\ufeff \t\r\n")
    if stripped.startswith("OFXHEADER") or "<OFX>" in text.upper() or suffix in _OFX:
        return "ofx"
    if stripped.startswith("<") or suffix == ".xml":
        return "xml"
    if suffix in _MT940 or len({m[1] for m in _SWIFT_TAG.finditer(text)}) > 1:
        return "mt940"
    if suffix in _BAI2 or _BAI2_HEADER.match(stripped):
        return "bai2"
    return "text" if suffix in _TEXT else ""


def _readable(start: bytes) -> str:
    """The sample as text, good enough to tell what it is."""
    encoding = "utf-16" if start.startswith((b"\xff\xfe", b"\xfe\xff")) else "latin-1"
    return start.decode(encoding, errors="replace").removeprefix("\u00ef\u00bb\u00bf")


def _holds_workbook(start: bytes) -> bool:
    """The first names of the archive are those of an Office Open XML or OpenDocument file."""
    return b"[Content_Types].xml" in start or b"mimetypeapplication/vnd.oasis.opendocument" in start


def _read_text(path: Path, name: str, start: bytes, layouts: tuple[Layout, ...]) -> Iterator[RawSheet]:
    layout = find_layout(layouts, name, start)
    if layout is not None:
        yield from read_export(path, name, layout)
        return
    try:
        yield from read_text(path, name)
    except csv.Error as error:
        raise InputError(
            "The CSV file cannot be read", where=name, expected="a text table with a header row", found=str(error),
            remedy="save it again as CSV",
        ) from error  # fmt: skip


def _read_archive(path: Path, name: str, reading: _Reading) -> Iterator[RawSheet]:
    """The files inside, named `archive.zip/member`; an archive within is not opened, and Parquet, read later, not kept."""
    with tempfile.TemporaryDirectory(prefix="atlas-") as folder:
        for member, inner in unpack(path, name, Path(folder)):
            with member.open("rb") as stream:
                kind = file_kind(stream.read(_SAMPLE_BYTES), member.suffix)
            if kind in ("zip", "parquet"):
                yield left_out(
                    inner, f"a {kind} file within an archive", "expected statements, tables of text or workbooks"
                )
            elif not Path(inner).name.startswith((".", "~$", "_")) and "__MACOSX/" not in inner:
                yield from _read(member, inner, reading)


_READERS = {
    "workbook": read_workbook,
    "parquet": lambda path, name: [read_parquet(path, name)],
    "xml": read_camt,
    "ofx": read_ofx,
    "mt940": read_mt940,
    "bai2": read_bai2,
}
