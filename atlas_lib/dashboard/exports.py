"""A listing as the person sees it, all pages of it, as CSV or as an Excel workbook with a cover."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from atlas_lib.core.errors import Refused
from atlas_lib.core.money import odd_exponents
from atlas_lib.present.excel import Sheet, write_workbook

EXCEL_ROWS = 100_000  # a sheet holds a million, but writing it holds a core for a minute and a gigabyte
PART_ROWS = 20_000
_BUSY, _WAIT_SECONDS = threading.Lock(), 3.0


def csv_head(columns: Sequence[str]) -> bytes:
    """The head line, with the mark by which Excel knows UTF-8."""
    return (",".join(columns) + "\r\n").encode("utf-8-sig")


def csv_line(columns: Sequence[str], types: Mapping[str, str]) -> str:
    """An expression: a row as a line of CSV. Amounts are in units of their currency with a point, exact, instants in ISO 8601
    with their offset; a text that a spreadsheet would take for a formula gets an apostrophe in front.

    `types`: the declared type of each column.
    """
    return (
        " || ',' || ".join(f"coalesce({_cell(name, types[name])}, '')" for name in columns) + " || chr(13) || chr(10)"
    )


def _cell(name: str, kind: str) -> str:
    if name.endswith("_minor"):
        return in_units(f'"{name}"')
    if kind == "instant":
        return f"CAST(make_timestamp(epoch_us(\"{name}\")) AS VARCHAR) || '+00:00'"
    if kind == "string":
        return _text(f'"{name}"')
    return f'CAST("{name}" AS VARCHAR)'


def _text(value: str) -> str:
    """As it is, unless something in it means something in CSV or to a spreadsheet."""
    guarded = f"regexp_replace({value}, '^([=+@\\t\\r-])', chr(39) || '\\1')"
    quoted = f"chr(34) || replace({guarded}, chr(34), chr(34) || chr(34)) || chr(34)"
    written = f"CASE WHEN regexp_matches({value}, '[,\"\\r\\n]') THEN {quoted} ELSE {guarded} END"
    return f"CASE WHEN regexp_matches({value}, '^[=+@\\t-]|[,\"\\r\\n]') THEN {written} ELSE {value} END"


def in_units(amount: str) -> str:
    """An expression: whole minor units as text, exact: -12345 EUR is -123.45, 5 JPY is 5."""
    odd = odd_exponents()
    cases = "".join(
        f' WHEN "currency" IN ({", ".join(repr(c) for c, n in odd.items() if n == digits)}) THEN {_scaled(amount, digits)}'
        for digits in sorted(set(odd.values()))
    )
    return f"CASE{cases} ELSE {_scaled(amount, 2)} END"


def _scaled(amount: str, digits: int) -> str:
    unit = f" * {10**-digits:.{digits}f}" if digits else ""
    return f"CAST(CAST({amount} AS DECIMAL(19, 0)){unit} AS VARCHAR)"


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """An export takes a core: the next one waits a moment, then is asked to come back."""
    if not _BUSY.acquire(timeout=_WAIT_SECONDS):
        raise Refused("Another export is being made", expected="one at a time", remedy="try again in a minute")
    try:
        yield
    finally:
        _BUSY.release()


def csv_of(frame: pd.DataFrame, columns: Sequence[str]) -> bytes:
    """The rows of a frame as lines; instants, amounts and texts as in `csv_line`."""
    import duckdb

    kinds = {"datetime64": "instant", "float": "float", "int": "int"}
    types = {
        c: next((k for d, k in kinds.items() if str(frame[c].dtype).lower().startswith(d)), "string") for c in columns
    }
    rows = frame[list(dict.fromkeys([*columns, "currency"]))]
    with duckdb.connect(config={"threads": 1}) as connection:
        lines = connection.from_df(rows).project(f"{csv_line(columns, types)} AS line").fetchall()
    return "".join(line for (line,) in lines).encode("utf-8")


def to_excel(sheet: Sheet, cover: Mapping[str, str]) -> bytes:
    """A cover with where the rows come from and how they were filtered, then the rows with totals as formulas."""
    with tempfile.TemporaryDirectory() as folder:
        return write_workbook(Path(folder) / "export.xlsx", [sheet], cover).read_bytes()
