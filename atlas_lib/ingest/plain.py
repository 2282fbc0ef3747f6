"""Cells in their plain form, read a column at a time: what a machine writes leaves no question.

`12.50`, `2026-10-30T09:15:00Z`, a code without blanks around it are read here, to the same values as `parsing.py`
(a property test holds the two equal). A row with any other cell is marked and read cell by cell there, with the
messages that a person needs. What is not taken here is never wrong, only slower.
Of a column that comes as a dictionary each different value is read once, and it stays a dictionary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from atlas_lib.core.money import scale_of
from atlas_lib.core.settings import IngestSettings
from atlas_lib.ingest.allowed_words import synonyms
from atlas_lib.ingest.cells import Mask
from atlas_lib.ingest.moments import FIRST_YEAR, LAST_YEAR
from atlas_lib.ingest.vocabulary import Field, fields

# Up to nine figures, and one or two more behind a mark that cannot be a thousands separator.
_AMOUNT = {"auto": r"^\d{1,9}([.,]\d{1,2})?$", ".": r"^\d{1,9}([.]\d{1,2})?$", ",": r"^\d{1,9}(,\d{1,2})?$"}
_DAY = r"(19|20|21)\d\d-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8]))"
_TIME = r"[T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?"
_UTC, _ZONED = rf"^{_DAY}({_TIME}Z?)?$", rf"^{_DAY}{_TIME}[+-](0\d|1[0-4]):[0-5]\d$"
_LARGEST, _WHOLE = 1e9, 1e-5
_INSTANT = pa.timestamp("us", tz="UTC")
CODED = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True)
class PlainRows:
    """The columns of a table as read, and which rows hold plain cells only; the other rows' values mean nothing."""

    columns: pa.Table
    is_plain: Mask


def has_plain_form(table: str, cells: pa.Schema) -> bool:
    """Whether every column of the table is of a kind, and every given one of a type, that can be read here."""
    kinds = {f.name: f.kind for f in fields(table, "")}
    return all(kind in _READERS for kind in kinds.values()) and all(
        _is_known(kinds[column.name], column.type) for column in cells if column.name in kinds
    )


def read_plain(table: str, cells: pa.Table, settings: IngestSettings) -> PlainRows:
    """`cells` has the columns under their input names; defaults are filled in, words in their canonical spelling."""
    cells = cells.combine_chunks()
    is_plain = np.ones(cells.num_rows, dtype=bool)
    made: dict[str, pa.Array] = {}
    wanted = fields(table, settings.default_currency)
    for field in sorted(wanted, key=lambda f: f.kind == "amount"):  # the currency says how many decimals
        given = (
            cells[field.name].combine_chunks()
            if field.name in cells.column_names
            else pa.nulls(len(cells), pa.string())
        )
        made[field.name], fits = _read(field, given, made, settings)
        is_plain &= fits
    for field in wanted:
        made[field.name] = _spell(table, field, _fill(field, made))
        if field.is_required:
            is_plain &= _mask(pc.is_valid(made[field.name]))
    return PlainRows(pa.table({f.column.name: made[f.name] for f in wanted}), is_plain)


def _read(
    field: Field, given: pa.Array, made: Mapping[str, pa.Array], settings: IngestSettings
) -> tuple[pa.Array, Mask]:
    if not pa.types.is_dictionary(given.type) or field.kind == "amount":  # the currency of its row decides
        return _READERS[field.kind](given, made, settings)
    values, fits = _READERS[field.kind](given.dictionary, made, settings)
    codes = given.indices.fill_null(len(values)).to_numpy()
    return coded(given.indices, values), np.append(fits, True)[codes]


def coded(codes: pa.Array, values: pa.Array) -> pa.Array:
    """Values by their codes: a dictionary of texts, or plain where values are missing, repeated or no texts."""
    is_dictionary = pa.types.is_string(values.type) and not values.null_count and len(values.unique()) == len(values)
    return pa.DictionaryArray.from_arrays(codes, values) if is_dictionary else values.take(codes)


def _mask(values: pa.Array) -> Mask:
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), dtype=bool)


def _is_known(kind: str, cell: pa.DataType) -> bool:
    if pa.types.is_dictionary(cell):
        return bool(cell == CODED)
    if pa.types.is_string(cell) or pa.types.is_large_string(cell):
        return True
    numeric = (pa.types.is_integer(cell) and cell != pa.uint64()) or (pa.types.is_floating(cell) and kind == "amount")
    return numeric if kind != "instant" else pa.types.is_timestamp(cell) or pa.types.is_date(cell)


def _read_text(cells: pa.Array, made: Mapping[str, pa.Array], settings: IngestSettings) -> tuple[pa.Array, Mask]:
    """No white space before or after it; whole numbers become their digits."""
    del made, settings
    if pa.types.is_integer(cells.type):
        return cells.cast(pa.string()), _mask(pc.less(pc.abs(cells.cast(pa.int64())), 10**15)) | _mask(
            pc.is_null(cells)
        )
    texts = cells.cast(pa.string())
    is_empty = pc.equal(texts, "")
    given = pc.if_else(is_empty, pa.scalar(None, pa.string()), texts) if pc.any(is_empty).as_py() else texts
    return given, ~_mask(pc.not_equal(texts, pc.utf8_trim_whitespace(texts)))


def _read_amount(cells: pa.Array, made: Mapping[str, pa.Array], settings: IngestSettings) -> tuple[pa.Array, Mask]:
    """Whole minor units of the row's currency; what has to be rounded is left to the cell-by-cell reading."""
    units = _figures(cells, settings)
    minor = np.nan_to_num(units, nan=0.0, posinf=0.0, neginf=0.0) * _scales(made["currency"])
    whole = np.rint(minor)
    readable = np.isfinite(units) & (np.abs(units) <= _LARGEST) & (np.abs(minor - whole) < _WHOLE)
    return pa.array(np.where(readable, whole, 0).astype(np.int64), mask=~readable), readable | _mask(pc.is_null(cells))


def _figures(cells: pa.Array, settings: IngestSettings) -> NDArray[np.float64]:
    """Units of currency, NaN where they cannot be read here; of a dictionary each different figure is read once."""
    if pa.types.is_dictionary(cells.type):
        figures = np.append(_figures(cells.dictionary, settings), np.nan)
        return np.asarray(figures[cells.indices.fill_null(len(figures) - 1).to_numpy()], dtype=np.float64)
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
        fits = pc.match_substring_regex(cells, _AMOUNT[settings.decimal_mark])
        cells = pc.if_else(fits, pc.replace_substring(cells, ",", "."), pa.scalar(None, cells.type))
    return np.asarray(pc.cast(cells, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _scales(currency: pa.Array) -> NDArray[np.int64]:
    """Minor units in one unit of each row's currency."""
    codes = currency.dictionary_encode()
    known = scale_of(pd.Series(pc.utf8_upper(codes.dictionary.cast(pa.string())).to_pandas()))
    return np.asarray(np.append(known, 100)[codes.indices.fill_null(len(known)).to_numpy()], dtype=np.int64)


def _read_instant(cells: pa.Array, made: Mapping[str, pa.Array], settings: IngestSettings) -> tuple[pa.Array, Mask]:
    """ISO 8601; a moment without a zone is UTC."""
    del made, settings
    if not (pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)):
        moments = cells if pa.types.is_timestamp(cells.type) else cells.cast(pa.timestamp("us"))
        moments = moments.cast(pa.timestamp("us", tz=moments.type.tz), safe=False).cast(_INSTANT)
        is_known = pc.and_(pc.greater_equal(pc.year(moments), FIRST_YEAR), pc.less_equal(pc.year(moments), LAST_YEAR))
        return moments, _mask(pc.is_null(cells)) | _mask(is_known)
    return _read_usual_moments(cells) or _read_moments(cells)


def _read_usual_moments(cells: pa.Array) -> tuple[pa.Array, Mask] | None:
    """`2026-10-30T09:15:00Z`: twenty characters with a Z at the end that Arrow reads are of this form, checked in a
    fifth of the time; None where some of that length are no moment. The others are read with all forms."""
    is_usual = pc.fill_null(pc.and_(pc.equal(pc.binary_length(cells), 20), pc.ends_with(cells, "Z")), False)
    try:
        moments = pc.if_else(is_usual, cells, pa.scalar(None, cells.type)).cast(_INSTANT)
    except pa.ArrowInvalid:
        return None
    ends = pc.min_max(pc.year(moments)).as_py()
    if ends["min"] is None or ends["min"] < FIRST_YEAR or ends["max"] > LAST_YEAR:
        return None
    fits = _mask(is_usual)
    if fits.all():
        return moments, fits
    others, fits[~fits] = _read_moments(cells.filter(pc.invert(is_usual)))
    return pc.replace_with_mask(moments, pc.invert(is_usual), others), fits


def _read_moments(cells: pa.Array) -> tuple[pa.Array, Mask]:
    in_utc = pc.match_substring_regex(cells, _UTC)
    nothing = pa.scalar(None, cells.type)
    moments = pc.utf8_rtrim(pc.if_else(in_utc, cells, nothing), "Z").cast(pa.timestamp("us")).cast(_INSTANT)
    if not pc.all(in_utc).as_py():
        zoned = pc.match_substring_regex(cells, _ZONED)
        moments = pc.coalesce(moments, pc.if_else(zoned, cells, nothing).cast(_INSTANT))
    return moments, _mask(pc.is_null(cells)) | _mask(pc.is_valid(moments))


_Reader = Callable[[pa.Array, Mapping[str, pa.Array], IngestSettings], tuple[pa.Array, Mask]]
_READERS: dict[str, _Reader] = {"text": _read_text, "amount": _read_amount, "instant": _read_instant}


def _fill(field: Field, made: Mapping[str, pa.Array]) -> pa.Array:
    """What stands in for an empty cell: a value, or another column."""
    values, default = made[field.name], field.default
    if not field.has_default or not values.null_count:
        return values
    values = decoded(values)
    if isinstance(default, str) and default.startswith("="):
        return pc.coalesce(values, decoded(made[default[1:]]))
    return pc.coalesce(values, pa.scalar(default, values.type))


def decoded(values: pa.Array) -> pa.Array:
    """A column as plain values."""
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _spell(table: str, field: Field, values: pa.Array) -> pa.Array:
    known = synonyms(table, field.name)
    if known is None:
        return values
    if pa.types.is_dictionary(values.type):
        return coded(values.indices, _spell(table, field, values.dictionary))
    words = pc.utf8_upper(values)
    for word, meant in known.items():
        words = pc.if_else(pc.equal(words, word), meant, words)
    return words
