"""The tables of the intake: one Parquet part per delivery and table, whole or not there.

`<folder>/<table>/<delivery id>.parquet`; a table is read with one glob, `<folder>/<table>/*.parquet`. A part is written
under a hidden name, put down on the disk and renamed; a part that stands is never written again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from atlas_lib.core.errors import AtlasError
from atlas_lib.core.tables import arrow_to_frame, declared

_NO_MARKS: Mapping[str, int] = MappingProxyType({})


class Parts:
    """The parts under one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, table: str, delivery_id: str) -> Path:
        return self.folder / table / f"{delivery_id}.parquet"

    def has(self, table: str, delivery_id: str) -> bool:
        return self.path(table, delivery_id).exists()

    def count(self, table: str) -> int:
        return sum(1 for _ in self._files(table))

    def sweep(self) -> None:
        """Without what a killed process was writing; only while no other one writes."""
        with writing(self.folder):
            for leftover in self.folder.glob("*/.*.parquet.*"):
                leftover.unlink()

    def write(self, table: str, delivery_id: str, frame: pd.DataFrame, marks: Mapping[str, int] = _NO_MARKS) -> None:
        """One part, validated against the table's declaration; `marks` become further columns. Without rows: none."""
        path = self.path(table, delivery_id)
        if path.exists() or frame.empty:
            return
        content = to_part(table, frame)
        for name, value in marks.items():
            content = content.append_column(name, pa.array([value] * len(content)))
        with writing(self.folder):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(path, content)
            sync(path.parent)

    def read(self, table: str, delivery_id: str = "", only: tuple[str, Sequence[str]] | None = None) -> pd.DataFrame:
        """All parts of a table, or that of one delivery; `only`: a column and the values it may have."""
        files = [self.path(table, delivery_id)] if delivery_id else list(self._files(table))
        chosen = None if only is None else pc.field(only[0]).isin(pa.array(list(only[1]), pa.string()))
        found = [pq.read_table(f, partitioning=None, filters=chosen) for f in files if f.exists()]
        if not found:
            return declared(table).empty()
        joined = pa.concat_tables(found)
        marks = [c for c in joined.column_names if c not in declared(table).column_names]
        return declared(table).from_arrow(joined).assign(**{c: arrow_to_frame(joined.select([c]))[c] for c in marks})

    def _files(self, table: str) -> Iterator[Path]:
        return iter(sorted((self.folder / table).glob("[!.]*.parquet")))


def to_part(table: str, frame: pd.DataFrame) -> pa.Table:
    """A frame as its declaration writes it; TableError where it breaks that."""
    return declared(table).to_arrow(declared(table).checked(frame))


def write_durably(path: Path, content: pa.Table) -> None:
    """The whole file under its name, or nothing."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        pq.write_table(content, partial, compression="zstd")
        sync(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """A file's content, or a folder's names, put down on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """What the disk refuses (full, read-only, too large) as one clear error; nothing half-written stays."""
    try:
        yield
    except OSError as error:
        raise AtlasError(
            "The intake folder cannot be written", where=str(folder), found=str(error),
            expected="a folder on a disk with room that this user may write",
            remedy="make room or give the permission, and start again: it goes on where it stopped",
        ) from error  # fmt: skip


def stage(folder: Path, delivery_id: str, tables: Mapping[str, pa.Table], record: str) -> None:
    """`<folder>/<delivery id>/` with its tables and `delivery.json`, all of it or nothing."""
    import shutil

    partial = folder / f".{delivery_id}.{os.getpid()}"
    with writing(folder):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            for name, content in tables.items():
                write_durably(partial / f"{name}.parquet", content)
            (partial / "delivery.json").write_text(record, encoding="utf-8")
            sync(partial / "delivery.json")
            sync(partial)
            partial.rename(folder / delivery_id)
            sync(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
