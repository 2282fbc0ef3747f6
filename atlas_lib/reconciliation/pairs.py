"""Payments and bank lines that people name together: how they are written down."""

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
