"""What a file may weigh, packed and unpacked, before anything reads it.

A .zip and the zip inside .xlsx, .xlsm and .ods are judged by what they declare and by what really comes out of them:
a bomb declares little and inflates to gigabytes. Refused with an error; nothing of the file is read.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from atlas_lib.core.errors import InputError

ZIP_START = b"PK\x03\x04"
_MEGABYTE = 1024 * 1024
_CHUNK = 256 * 1024
_MAX_RATIO = 200  # text deflates 3 to 20 times, sheets full of zeros up to about 100
_HARMLESS = 16 * _MEGABYTE  # below this no ratio is judged: a few blank pages deflate well
_MAX_MEMBERS = 10_000
_HEADER_SIZE = 30  # local file header, before name and extra field (PKWARE APPNOTE 4.3.7)


def check_size(path: Path, name: str, max_file_mb: int) -> None:
    """Refuse a file over the limit; of a zip, what it declares and what really inflates count too."""
    size = path.stat().st_size
    if size > max_file_mb * _MEGABYTE:
        raise _too_large(name, f"{size / _MEGABYTE:,.1f} MB", max_file_mb)
    with path.open("rb") as stream:
        is_zip = stream.read(4) == ZIP_START
    if is_zip and zipfile.is_zipfile(path):
        _check_zip(path, name, max_file_mb)


def unpack(path: Path, name: str, folder: Path) -> Iterator[tuple[Path, str]]:
    """The files of a checked zip, written to `folder` under numbers; their names stay `archive.zip/member`."""
    with _open(path, name) as archive:
        for number, member in enumerate(m for m in archive.infolist() if not m.is_dir()):
            place = folder / f"{number}{Path(member.filename).suffix.lower()[:12]}"
            try:
                with archive.open(member) as packed, place.open("wb") as out:
                    while chunk := packed.read(_CHUNK):
                        out.write(chunk)
            except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError) as error:
                raise _damaged(f"{name}/{member.filename}", error) from error
            yield place, f"{name}/{member.filename}"


def _check_zip(path: Path, name: str, max_file_mb: int) -> None:
    limit = max_file_mb * _MEGABYTE
    with _open(path, name) as archive, path.open("rb") as stream:
        members = archive.infolist()
        if len(members) > _MAX_MEMBERS:
            raise _bomb(name, f"at most {_MAX_MEMBERS:,} files inside", f"{len(members):,}")
        if any(m.flag_bits & 1 for m in members):
            raise InputError(
                "The archive is protected by a password", where=name, expected="one that opens without a password",
                found="an encrypted file inside", remedy="unpack it and send the files",
            )  # fmt: skip
        if sum(m.file_size for m in members) > limit:
            raise _too_large(name, f"{sum(m.file_size for m in members) / _MEGABYTE:,.1f} MB unpacked", max_file_mb)
        total = sum(_inflated(stream, m, name, limit) for m in members)
    packed = path.stat().st_size
    if total > limit:
        raise _too_large(name, f"{total / _MEGABYTE:,.1f} MB unpacked", max_file_mb)
    if total > max(_HARMLESS, _MAX_RATIO * packed):
        raise _bomb(name, f"at most {_MAX_RATIO} times its packed size", f"{total / packed:,.0f} times")


def _inflated(stream: IO[bytes], member: zipfile.ZipInfo, name: str, limit: int) -> int:
    """Bytes that really come out, counted without keeping them; the declared size must be theirs."""
    if member.compress_type == zipfile.ZIP_STORED:
        return member.compress_size
    if member.compress_type != zipfile.ZIP_DEFLATED:
        raise InputError(
            "The archive is packed in an unusual way", where=f"{name}/{member.filename}", expected="stored or deflated files",
            found=f"method {member.compress_type}", remedy="pack it again as an ordinary zip",
        )  # fmt: skip
    inflater, left, out = zlib.decompressobj(-zlib.MAX_WBITS), member.compress_size, 0
    try:
        stream.seek(member.header_offset)  # a damaged directory may place it before the file
        header = stream.read(_HEADER_SIZE)
        stream.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), 1)
        while left > 0 and not inflater.eof and (chunk := stream.read(min(_CHUNK, left))):
            left -= len(chunk)
            while chunk and out <= min(limit, member.file_size):
                out += len(inflater.decompress(chunk, _CHUNK * 4))
                chunk = inflater.unconsumed_tail
            if out > min(limit, member.file_size):
                raise _bomb(f"{name}/{member.filename}", f"{member.file_size:,} bytes as the archive declares", "more")
    except (zlib.error, OSError) as error:
        raise _damaged(f"{name}/{member.filename}", error) from error
    return out


def _open(path: Path, name: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError) as error:
        raise _damaged(name, error) from error


def _too_large(name: str, found: str, max_file_mb: int) -> InputError:
    return InputError(
        "The file is too large", where=name, expected=f"at most {max_file_mb:,} MB", found=found,
        remedy="split it, or raise max_file_mb in the settings if its sender is known",
    )  # fmt: skip


def _bomb(name: str, expected: str, found: str) -> InputError:
    return InputError(
        "The archive inflates beyond measure", where=name, expected=expected, found=found,
        remedy="ask its sender for the files themselves",
    )  # fmt: skip


def _damaged(name: str, error: Exception) -> InputError:
    return InputError(
        "The archive cannot be read",
        where=name,
        expected="a complete zip file",
        found=str(error),
        remedy="send it again",
    )
