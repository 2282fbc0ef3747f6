"""Two files of records and a file of the pairs that belong together, whatever their columns are called.

A column of ids is named by an option, or recognised by the truth file's values; ids are names only, never evidence. The
others: `recognised_columns`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from atlas_lib.core.errors import InputError
from atlas_lib.core.money import exponent
from atlas_lib.evaluation.recognised_columns import (
    DEBIT,
    Columns,
    column_of,
    names_of,
    read_amounts,
    read_dates,
    recognise,
)
from atlas_lib.ingest.dialects import decode, find_dialect

_LOOKED_AT_LINES = 30  # of a text file, by which delimiter and quote are recognised


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
        chosen = recognise(table, wanted, own_id, f"{name} file", day_first)
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
    return table.assign(**{name: table[name].str.strip().replace("", None) for name in names_of(table)})


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
    values = {c: set(truth[c].dropna().astype("str")) for c in names_of(truth)}
    for column in filter(None, pair):
        column_of(truth, column, str(path))
    ids = [
        [wanted.id] if wanted.id else [c for c in names_of(table) if table[c].is_unique]
        for table, wanted in zip(tables.values(), columns, strict=True)
    ]
    met = [
        {(c, t): sum(v in values[t] for v in table[column_of(table, c, name)].astype("str")) / max(len(values[t]), 1) + (c == t) * 1e-6
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
    for column in names_of(table):
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


def _records(table: pd.DataFrame, chosen: dict[str, str], where: str, day_first: bool | None) -> pd.DataFrame:
    """key, day, signed_minor, currency, reference_text; a cell that cannot be read is missing."""
    currency = table[chosen["currency"]].fillna("") if chosen["currency"] else pd.Series("", index=table.index)
    places = currency.map({c: exponent(c) if c else 2 for c in currency.unique()})
    amount = read_amounts(table[chosen["amount"]]).reindex(table.index)
    minor = (amount * 10.0**places).round()
    if chosen["direction"]:
        is_debit = table[chosen["direction"]].astype("str").str.upper().isin(DEBIT)
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
        {"key": key, "day": read_dates(table[chosen["date"]], day_first).reindex(table.index), "signed_minor": minor, "currency": currency, "reference_text": text, "name_text": None}
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
