"""Two files of records and a file of the pairs that belong together, whatever their columns are called.

A column is named by an option, or recognised: the ids by the truth file's values, dates and amounts by being readable
as such, currency by its codes, free text by its name, otherwise by being text. Ids are names only, never evidence.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd

from atlas_lib.core.errors import InputError
from atlas_lib.core.money import exponent
from atlas_lib.ingest.dialects import decode, find_dialect
from atlas_lib.ingest.moments import parse_date
from atlas_lib.ingest.parsing import parse_amount

_TEXT_NAMES = "memo text description descr narrative reference remittance purpose details payee payer name counterparty verwendungszweck buchungstext empfaenger libelle concepto merchant".split()
_AMOUNT_NAMES = "amount betrag gross value sum total montant importe umsatz".split()
_DATE_NAMES = "date datum day posted booked occurred captured fecha at".split()
_LOOKED_AT_LINES = 30  # of a text file, by which delimiter and quote are recognised
_LOOKED_AT_ROWS = 2_000  # spread over the file, by which columns are recognised
_READABLE_RATE = 0.8  # of a column's filled cells, from which it counts as dates or amounts
_DEBIT = {"DBIT", "DEBIT", "D", "DR", "S", "SOLL"}
_CREDIT = {"CRDT", "CREDIT", "C", "CR", "H", "HABEN"}


@dataclass(frozen=True)
class Columns:
    """Columns named by the user; an empty one is recognised."""

    id: str = ""
    date: str = ""
    amount: str = ""
    currency: str = ""
    text: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True)
class Labelled:
    """Both sides as `score_candidates` takes them, the true pairs (left_key, right_key), and what was understood."""

    left: pd.DataFrame
    right: pd.DataFrame
    truth: pd.DataFrame
    notes: list[str]


def read_labelled(
    left: Path,
    right: Path,
    truth: Path,
    columns: tuple[Columns, Columns],
    pair: tuple[str, str],
    day_first: bool | None,
) -> Labelled:
    """Read the three files. Raises InputError for what cannot be read or recognised."""
    tables = {"left": read_table(left), "right": read_table(right)}
    answers = read_table(truth)
    ids, pair = _recognise_ids(tables, answers, columns, pair, truth)
    sides, notes = {}, []
    for (name, table), wanted, own_id in zip(tables.items(), columns, ids, strict=True):
        chosen = _recognise(table, wanted, own_id, f"{name} file", day_first)
        notes.append(f"{name}: {len(table):,} rows; " + ", ".join(f"{k} {v}" for k, v in chosen.items() if v))
        sides[name] = _records(table, chosen, f"{name} file", day_first)
    known = pd.DataFrame({"left_key": answers[pair[0]], "right_key": answers[pair[1]]}).dropna().astype("str")
    known = known.drop_duplicates()
    is_there = known["left_key"].isin(sides["left"]["key"]) & known["right_key"].isin(sides["right"]["key"])
    notes.append(f"truth: {len(known):,} pairs ({pair[0]}, {pair[1]})")
    if not is_there.all():
        notes.append(f"{(~is_there).sum():,} pairs of the truth name a record that is in neither file: left out")
    one, other = _comparable(sides["left"], sides["right"], notes)
    return Labelled(one, other, known[is_there].reset_index(drop=True), notes)


def read_table(path: Path) -> pd.DataFrame:
    """CSV (any delimiter, encoding, quote), Parquet, or JSON (a list of objects); CSV and JSON cells as text."""
    try:
        if path.suffix.lower() == ".parquet":
            return pd.DataFrame(pd.read_parquet(path)).rename(columns=str)
        text = decode(path.read_bytes())[0]
        if path.suffix.lower() == ".json":
            return pd.DataFrame(json.loads(text)).astype("str")
        rows = find_dialect("\n".join(text.splitlines()[:_LOOKED_AT_LINES]))[0].rows(text)
    except (OSError, ValueError) as error:
        raise InputError(
            "The file cannot be read", where=str(path), found=str(error), expected="CSV, Parquet or JSON"
        ) from error
    rows = [row for row in rows if any(row)]
    if len(rows) < 2:
        raise InputError("The file has no rows", where=str(path), expected="a header and rows")
    width = len(rows[0])
    table = pd.DataFrame(
        [(row + [""] * width)[:width] for row in rows[1:]], columns=[cell.strip() for cell in rows[0]], dtype="str"
    )
    return table.assign(**{name: table[name].str.strip().replace("", None) for name in _names(table)})


def read_labels(path: Path) -> pd.DataFrame:
    """Kept decisions: left_key, right_key and whether the pair is a match, in this order of columns."""
    table = read_table(path)
    words = table.iloc[:, 2].astype("str").str.lower() if table.shape[1] > 2 else pd.Series("true", index=table.index)
    yes, no = words.isin(["true", "1", "yes", "match"]), words.isin(["false", "0", "no"])
    if not (yes | no).all() or table.shape[1] < 2:
        raise InputError(
            "The file of decisions cannot be understood", where=str(path), found=", ".join(map(str, table.columns)),
            expected="left id, right id and true or false",
        )  # fmt: skip
    named = pd.DataFrame({"left_key": table.iloc[:, 0].astype("str"), "right_key": table.iloc[:, 1].astype("str")})
    return named.assign(is_match=yes).drop_duplicates(["left_key", "right_key"], keep="last")


def _recognise_ids(
    tables: dict[str, pd.DataFrame],
    truth: pd.DataFrame,
    columns: tuple[Columns, Columns],
    pair: tuple[str, str],
    path: Path,
) -> tuple[list[str], tuple[str, str]]:
    """The id column of each file and the truth column that holds it: those whose values meet most often."""
    best: tuple[float, list[str], tuple[str, str]] = (0.0, [], ("", ""))
    values = {c: set(truth[c].dropna().astype("str")) for c in _names(truth)}
    for column in filter(None, pair):
        _known(truth, column, str(path))
    ids = [
        [wanted.id] if wanted.id else [c for c in _names(table) if table[c].is_unique]
        for table, wanted in zip(tables.values(), columns, strict=True)
    ]
    met = [
        {(c, t): sum(v in values[t] for v in table[_known(table, c, name)].astype("str")) / max(len(values[t]), 1) + (c == t) * 1e-6
         for c in own for t in ([p] if p else values)}
        for (name, table), own, p in zip(tables.items(), ids, pair, strict=True)
    ]  # fmt: skip
    for (left, left_at), left_rate in met[0].items():
        for (right, right_at), right_rate in met[1].items():
            if left_at != right_at and min(left_rate, right_rate) > 0.01 and left_rate + right_rate > best[0] + 1e-9:
                best = (left_rate + right_rate, [left, right], (left_at, right_at))
    if not best[1]:
        for name, table in tables.items():
            _refuse_repeated_ids(name, table, values)
        raise InputError(
            "No column of ids is known to the truth file", where=str(path), found=", ".join(map(str, truth.columns)),
            expected="two columns whose values are the ids of the left and of the right file",
            remedy="name them by --left-id, --right-id, --truth-left and --truth-right",
        )  # fmt: skip
    return best[1], best[2]


def _refuse_repeated_ids(name: str, table: pd.DataFrame, truth_values: dict[str, set[str]]) -> None:
    """Raises InputError for a column whose values the truth knows, most of them once, but some several times."""
    for column in _names(table):
        cells = table[column].dropna().astype("str")
        repeated = cells[cells.duplicated()]
        if (
            repeated.empty
            or len(repeated) * 2 > len(cells)
            or not any(cells.isin(v).mean() > 0.5 for v in truth_values.values())
        ):
            continue
        raise InputError(
            "An id names two records", where=f"{name} file, column {column}",
            found=f"{repeated.iloc[0]} ({len(repeated):,} of {len(cells):,} rows repeat an id)",
            expected="a column in which every id stands once", remedy="take out the repeated rows, or name the column of ids",
        )  # fmt: skip


def _known(table: pd.DataFrame, column: str, where: str) -> str:
    if column not in table:
        raise InputError("No such column", where=where, found=column, expected=", ".join(map(str, table.columns)))
    return column


def _recognise(whole: pd.DataFrame, wanted: Columns, own_id: str, where: str, day_first: bool | None) -> dict[str, str]:
    table = whole.iloc[:: max(len(whole) // _LOOKED_AT_ROWS, 1)]
    for column in filter(None, [wanted.date, wanted.amount, wanted.currency, *wanted.text]):
        _known(table, column, where)
    rest = [c for c in _names(table) if c != own_id]
    date = wanted.date or _first(c for c in _by_name(rest, _DATE_NAMES) if _readable(_dates(table[c], day_first)))
    rest = [c for c in rest if c != date]
    currency = wanted.currency or _first(c for c in rest if _is_currency(table[c]))
    rest = [c for c in rest if c != currency]
    amount = wanted.amount or _first(c for c in _by_name(rest, _AMOUNT_NAMES) if _readable(_amounts(table[c])))
    for what, column in (("date", date), ("amount", amount)):
        if not column:
            raise InputError(
                f"No column of {what}s was recognised", where=where, found=", ".join(map(str, table.columns)),
                remedy=f"name it by --left-{what} or --right-{what}" + ("; --day-first or --month-first says how 03/04/2026 is meant" if what == "date" else ""),
            )  # fmt: skip
    rest = [c for c in rest if c != amount]
    direction = _first(c for c in rest if _is_direction(table[c]))
    texts = list(wanted.text) or _texts(table, [c for c in rest if c != direction])
    return {
        "id": own_id,
        "date": date,
        "amount": amount,
        "currency": currency,
        "direction": direction,
        "text": " + ".join(texts),
    }


def _names(table: pd.DataFrame) -> list[str]:
    return [str(column) for column in table.columns]


def _first(columns: Iterable[str]) -> str:
    return next(iter(columns), "")


def _by_name(columns: list[str], names: list[str]) -> list[str]:
    """Columns whose name says what they are come first, in the order of the names."""
    rank = {c: next((i for i, name in enumerate(names) if name in str(c).lower()), len(names)) for c in columns}
    return sorted(columns, key=lambda c: rank[c])


def _texts(table: pd.DataFrame, columns: list[str]) -> list[str]:
    """Columns named as free text; else the texts in which letters stand and which are no ids."""
    named = [
        c for c in columns if any(name in str(c).lower() for name in _TEXT_NAMES) and not str(c).lower().endswith("id")
    ]
    if named:
        return named
    is_text = [c for c in columns if table[c].dropna().astype("str").str.contains("[A-Za-z]").mean() > 0.5]
    return [c for c in is_text if not str(c).lower().endswith("id") and len(table[c].unique()) > 1]


def _readable(values: pd.Series) -> bool:
    return bool(len(values) and values.notna().mean() >= _READABLE_RATE)


def _dates(cells: pd.Series, day_first: bool | None) -> pd.Series:
    """Days; the filled cells only. Slashes whose order no cell tells are read as `day_first` says."""
    filled = cells.dropna()
    if pd.api.types.is_datetime64_any_dtype(filled):
        days: pd.Series = filled.dt.tz_localize(None).dt.normalize()
        return days
    text = filled.astype("str").str.strip()
    iso = text.str.match(r"\d{4}-\d{2}-\d{2}(?:[T ]|$)")
    read = pd.Series(pd.NaT, index=filled.index, dtype="datetime64[us]")
    read[iso] = pd.to_datetime(text[iso].str[:10], format="%Y-%m-%d", errors="coerce")
    if not iso.all():
        read[~iso] = pd.to_datetime(parse_date(text[~iso].astype(object)).result).astype("datetime64[us]")
    open_ = read.isna()
    if day_first is not None and open_.any():
        order = "%d/%m/%Y" if day_first else "%m/%d/%Y"
        read[open_] = pd.to_datetime(text[open_].str.replace("[.-]", "/", regex=True), format=order, errors="coerce")
    return read


def _amounts(cells: pd.Series) -> pd.Series:
    filled = cells.dropna()
    if pd.api.types.is_numeric_dtype(filled) or filled.map(lambda cell: isinstance(cell, Decimal)).all():
        return filled.astype("float64")
    read: pd.Series = parse_amount(filled.astype(object)).result
    return read


def _is_currency(cells: pd.Series) -> bool:
    from pycountry import currencies

    codes = cells.dropna().astype("str").unique()
    return bool(0 < len(codes) <= 60 and all(currencies.get(alpha_3=code) for code in codes))


def _is_direction(cells: pd.Series) -> bool:
    words = set(cells.dropna().astype("str").str.upper().unique())
    return bool(words) and words <= (_DEBIT | _CREDIT)


def _records(table: pd.DataFrame, chosen: dict[str, str], where: str, day_first: bool | None) -> pd.DataFrame:
    """key, day, signed_minor, currency, reference_text; a cell that cannot be read is missing."""
    currency = table[chosen["currency"]].fillna("") if chosen["currency"] else pd.Series("", index=table.index)
    places = currency.map({c: exponent(c) if c else 2 for c in currency.unique()})
    amount = _amounts(table[chosen["amount"]]).reindex(table.index)
    minor = (amount * 10.0**places).round()
    if chosen["direction"]:
        is_debit = table[chosen["direction"]].astype("str").str.upper().isin(_DEBIT)
        minor = minor.abs().where(~is_debit, -minor.abs())
    texts = [c for c in chosen["text"].split(" + ") if c]
    text = (
        table[texts].astype("str").where(table[texts].notna(), "").agg(" ".join, axis=1).str.strip() if texts else None
    )
    key = table[chosen["id"]].astype("str")
    if key.duplicated().any():
        raise InputError(
            "An id names two records",
            where=where,
            found=key[key.duplicated()].iloc[0],
            expected=f"unique {chosen['id']}",
        )
    return pd.DataFrame(
        {"key": key, "day": _dates(table[chosen["date"]], day_first).reindex(table.index), "signed_minor": minor, "currency": currency, "reference_text": text, "name_text": None}
    )  # fmt: skip


def _comparable(left: pd.DataFrame, right: pd.DataFrame, notes: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Amounts without sign; the sign is a direction where both sides have both, turned over where that fits better."""
    both = [{-1.0, 1.0} <= set(np.sign(side["signed_minor"].dropna())) for side in (left, right)]
    turned = 1.0
    if all(both):
        ours = left["signed_minor"].value_counts()
        same, opposite = (ours.reindex(sign * right["signed_minor"]).notna().sum() for sign in (1, -1))
        turned = -1.0 if opposite > same else 1.0
        notes.append("the sign of the amounts is a direction" + (", opposite on the two sides" if turned < 0 else ""))
    has_currency = all((side["currency"] != "").any() for side in (left, right))
    sides = []
    for side, turn in ((left, 1.0), (right, turned)):
        sign = np.where(side["signed_minor"] * turn < 0, "DBIT", "CRDT") if all(both) else ""
        sides.append(
            side.assign(
                amount_minor=side["signed_minor"].abs().astype("Int64"), direction=sign,
                currency=side["currency"] if has_currency else "",
            ).drop(columns="signed_minor")
        )  # fmt: skip
        missing = int((side["day"].isna() | side["signed_minor"].isna()).sum())
        if missing:
            notes.append(f"{missing:,} rows of one side have no readable date or amount: they stay without partner")
    return sides[0], sides[1]
