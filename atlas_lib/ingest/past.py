"""The payments accepted so far, in few files: what screening looks back on.

`<folder>/<delivery>.parquet` are the parts of `transactions` under a second name (a copy where the disk knows none); when
there are many, they are merged into one file that names its sources, and those go. A process killed between leaves
sources beside their merged file: `sweep` takes them away before anybody looks. Only the holder of the intake's lock
comes here.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from atlas_lib.ingest.parts import sync, write_durably, writing

MERGED_AFTER = 64
_MOST_ROWS = 1_000_000
_SOURCES = b"merged_from"


class Past:
    """The folder `past/` of an intake."""

    def __init__(self, folder: Path, merged_after: int = MERGED_AFTER) -> None:
        self.folder, self._merged_after = folder, merged_after

    @property
    def is_empty(self) -> bool:
        return next(self.folder.glob("*.parquet"), None) is None

    def add(self, part: Path) -> None:
        """A delivery's accepted payments, once; a delivery without any has no part."""
        place = self.folder / part.name
        if not part.exists() or place.exists() or part.name in self._merged_names():
            return
        with writing(self.folder):
            self.folder.mkdir(exist_ok=True)
            try:
                os.link(part, place)
            except OSError:  # many shares know no second name: the same content then
                write_durably(place, pq.read_table(part, partitioning=None))
            sync(self.folder)
            self._merge()

    def sweep(self) -> None:
        """Sources of a merged file that a killed process left."""
        for name in self._merged_names():
            (self.folder / name).unlink(missing_ok=True)

    def _merge(self) -> None:
        """Files of one level become one of the next, as long as that stays small enough to read at once."""
        level, files = 0, self._level(0)
        while len(files) >= self._merged_after and sum(pq.read_metadata(f).num_rows for f in files) <= _MOST_ROWS:
            joined = pa.concat_tables([pq.read_table(f, partitioning=None) for f in files])
            sources = [f.name for f in files] + [name for f in files for name in _sources(f)]
            marked = joined.replace_schema_metadata({_SOURCES: json.dumps(sources)})
            write_durably(self.folder / f"merged{level + 1}-{files[-1].stem[-20:]}.parquet", marked)
            sync(self.folder)
            for file in files:
                file.unlink()
            level, files = level + 1, self._level(level + 1)

    def _level(self, level: int) -> list[Path]:
        prefix = f"merged{level}-"
        found = sorted(self.folder.glob("*.parquet"))
        return [f for f in found if (f.name.startswith(prefix) if level else not f.name.startswith("merged"))]

    def _merged_names(self) -> set[str]:
        return {name for f in self.folder.glob("merged*.parquet") for name in _sources(f)}


def _sources(file: Path) -> list[str]:
    metadata = pq.read_schema(file).metadata or {}
    return list(json.loads(metadata.get(_SOURCES, b"[]")))
