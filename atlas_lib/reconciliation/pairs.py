"""Payments and bank lines that people name together: how they are written down, and which found rows hold both."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

SEPARATOR = (
    " \x1f "  # ids may hold any blank, none holds the unit separator; the blanks keep it legible where it is shown
)


def joined(names: Iterable[str]) -> str:
    """Ids as one text of the table `decisions`."""
    return SEPARATOR.join(names)


def split(texts: pd.Series) -> pd.Series:
    """The ids of each text that `joined` made, as lists."""
    return texts.str.split(SEPARATOR, regex=False)


def pairs_of(decision: Any) -> pd.DataFrame:
    """Each payment with each line of one row of `decisions`: transaction_id, line_key."""
    ids, keys = split(pd.Series([decision.transaction_ids, decision.line_keys]))
    return pd.DataFrame({"transaction_id": ids}).merge(pd.DataFrame({"line_key": keys}), how="cross")


def line_keys(rows: pd.DataFrame) -> pd.Series:
    """`statement/line` of each row."""
    return rows["statement_id"] + "/" + rows["line_id"]


def holding(rows: pd.DataFrame, id_column: str, pairs: pd.DataFrame) -> pd.Series[bool]:
    """Whether each of `rows` is of a match or a suggested group (`id_column`) that holds both sides of one of `pairs`.

    Of several payments and several lines the rows list only the pairs in which money happens to meet; all the payments
    and all the lines of one id belong together. A row without an id is alone. `pairs`: transaction_id, line_key.
    """
    ids = rows[id_column].mask(rows[id_column] == "", SEPARATOR + rows.index.astype("str"))
    own = pd.DataFrame({"id": ids, "transaction_id": rows["transaction_id"], "line_key": line_keys(rows)})
    wanted = pairs.astype("str")
    for side in ("transaction_id", "line_key"):
        named = own.loc[own[side].isin(wanted[side]), ["id", side]].drop_duplicates()
        wanted = wanted.merge(named, on=[name for name in ("id", side) if name in wanted])
    return own["id"].isin(wanted["id"])
