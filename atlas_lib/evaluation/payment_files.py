"""Payment files of other markets read back: count and sum as stated against those found in the payments."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from atlas_lib.core.bank_files import read_pain001
from atlas_lib.core.errors import AtlasError, InputError


def read_back(data: Path) -> list[str]:
    """A line per pain.001 file below the folder that is unreadable or differs, and one on all."""
    paths = sorted(p for p in data.rglob("*.xml") if "pain.001" in p.name)
    if not paths:
        raise InputError("No payment files", where=str(data), expected="*pain.001*.xml")
    lines: list[str] = []
    read, wrong, payments_count = 0, 0, 0
    for path in paths:
        try:
            header, found = read_pain001(path)
        except AtlasError as error:
            lines.append(f"unreadable  {path.name}: {error}")
            continue
        read, payments_count = read + 1, payments_count + len(found)
        is_count = header["stated_count"] in (None, str(header["found_count"]))
        is_sum = header["stated_sum"] is None or Decimal(header["stated_sum"]) == Decimal(header["found_sum"])
        if not (is_count and is_sum):
            wrong += 1
            lines.append(f"differs     {path.name}: {header}")
    lines.append(f"{read} of {len(paths)} files read, {payments_count} payments; count or sum differs in {wrong}.")
    return lines
