"""Files as they come into a folder: which are complete and not taken yet.

A file is complete when its size, its times and its inode have stood still for `settle_seconds`, whether it was written
in place or renamed into it. Names that programs give to files under way, hidden ones and empty ones are passed over; so
are subfolders. Plain polling: it works on every file system, network shares too, where notifications do not.
The time is a count of seconds that never goes back (a monotonic clock), so a clock that is set back changes nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

from atlas_lib.core.errors import InputError

_UNDER_WAY = (".tmp", ".temp", ".part", ".partial", ".crdownload", ".filepart", ".download", ".swp", "~")
_HIDDEN = (".", "~$", "_")
_NO_INPUT = ("settings.yaml",)
RETRY_SECONDS = 60.0
Stamp = tuple[int, int, int, int]


class Arrivals:
    """What `poll` saw of one folder so far."""

    def __init__(self, folder: Path, settle_seconds: float) -> None:
        self._folder, self._settle_seconds = folder, settle_seconds
        self._standing: dict[str, tuple[Stamp, float]] = {}
        self._taken: dict[str, Stamp] = {}

    def poll(self, now: float) -> list[Path]:
        """The complete files that were not marked as taken, in the order of their names."""
        present = self._present()
        open_names = [name for name in sorted(present) if self._taken.get(name) != present[name]]
        standing = {}
        for name in open_names:
            before = self._standing.get(name)
            standing[name] = before if before and before[0] == present[name] else (present[name], now)
        self._standing = standing
        return [self._folder / n for n in open_names if now - standing[n][1] >= self._settle_seconds]

    def took(self, path: Path) -> None:
        """The file as last polled is done with; it comes again only when it changes."""
        self._taken[path.name] = self._standing[path.name][0]

    def postpone(self, path: Path, now: float) -> None:
        """The file as last polled could not be read: it comes again in RETRY_SECONDS, or when it changes."""
        self._standing[path.name] = (self._standing[path.name][0], now + RETRY_SECONDS - self._settle_seconds)

    @property
    def has_open_files(self) -> bool:
        """Whether the last poll saw files that are not taken yet."""
        return any(self._taken.get(name) != stamp for name, (stamp, _) in self._standing.items())

    def _present(self) -> dict[str, Stamp]:
        try:
            with os.scandir(self._folder) as entries:
                found = {e.name: _stamp(e) for e in entries if not is_under_way(e.name)}
        except OSError as error:
            raise InputError(
                "The folder to follow cannot be read", where=str(self._folder), found=str(error),
                expected="a folder that exists", remedy="check the path and its permissions",
            ) from error  # fmt: skip
        return {name: stamp for name, stamp in found.items() if stamp is not None}


def is_under_way(name: str) -> bool:
    """Whether a name says that the file is hidden, temporary or settings, and so no input."""
    return name.startswith(_HIDDEN) or name.lower().endswith(_UNDER_WAY) or name in _NO_INPUT


def stamp_of(path: Path) -> Stamp:
    """Size, times of content and inode, and inode number: another stamp may mean another content."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def _stamp(entry: os.DirEntry[str]) -> Stamp | None:
    """None for what is no file, is empty or has gone meanwhile."""
    try:
        stamp = stamp_of(Path(entry.path)) if entry.is_file() else None
    except OSError:
        return None
    return stamp if stamp and stamp[0] else None
