"""A listing as the person sees it, all pages of it, as CSV or as an Excel workbook with a cover."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from atlas_lib.core.errors import Refused
from atlas_lib.core.money import exponent
from atlas_lib.core.tables import declared
from atlas_lib.dashboard.listings import SUMS, Listing
from atlas_lib.present.excel import Sheet, write_workbook

EXCEL_ROWS = 100_000  # a sheet holds a million, but writing it holds a core for a minute and a gigabyte
PART_ROWS = 5_000
_BUSY, _WAIT_SECONDS = threading.Lock(), 3.0
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_csv(parts: Iterable[pd.DataFrame], columns: list[str]) -> Iterator[bytes]:
    """UTF-8 with a mark (Excel reads it), amounts in units of their currency with a point, instants in ISO 8601.

    Text that a spreadsheet would take for a formula gets an apostrophe in front. The head line comes first, then the
    rows part by part.
    """
    yield (",".join(columns) + "\r\n").encode("utf-8-sig")
    for part in parts:
        out = part[columns].copy()
        for name in columns:
            if name.endswith("_minor"):
                out[name] = in_units(part[name], part["currency"])
            elif pd.api.types.is_string_dtype(out[name]):
                is_formula = out[name].str.startswith(_FORMULA, na=False)
                out[name] = out[name].where(~is_formula, "'" + out[name].astype("str"))
        yield out.to_csv(index=False, header=False, lineterminator="\r\n").encode("utf-8")


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """An export takes a core: the next one waits a moment, then is asked to come back."""
    if not _BUSY.acquire(timeout=_WAIT_SECONDS):
        raise Refused("Another export is being made", expected="one at a time", remedy="try again in a minute")
    try:
        yield
    finally:
        _BUSY.release()


def in_units(amounts: pd.Series, currencies: pd.Series) -> pd.Series:
    """Whole minor units as decimal text, exact: -12345 EUR is -123.45, 5 JPY is 5; a missing one is empty."""
    out = pd.Series("", index=amounts.index, dtype="object")
    for code in currencies.dropna().unique():
        here = (currencies == code) & amounts.notna()
        whole, digits = amounts[here].astype("int64"), exponent(str(code))
        size = whole.abs()
        text = (size // 10**digits).astype("str")
        if digits:
            text = text + "." + (size % 10**digits).astype("str").str.zfill(digits)
        out[here] = text.where(whole >= 0, "-" + text)
    return out


def to_excel(listing: Listing, frame: pd.DataFrame, columns: list[str], cover: Mapping[str, str]) -> bytes:
    """A cover with where the rows come from and how they were filtered, then the rows with totals as formulas."""
    totals = [n for n in SUMS.get(listing.table, "").split() if n in columns]
    sheet = Sheet(listing.title[:31], frame, declared(listing.table).about, columns, totals)
    with tempfile.TemporaryDirectory() as folder:
        return write_workbook(Path(folder) / "export.xlsx", [sheet], {"title": listing.title, **cover}).read_bytes()
