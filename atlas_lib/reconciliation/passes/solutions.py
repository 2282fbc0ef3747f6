"""Sums that were found in all passes, weighed against each other: which is taken, which is a person's to decide."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

SCORES = {"split": 0.98, "merge": 0.98, "day_sum": 0.85, "payout": 0.85, "one_to_many": 0.85, "many_to_many": 0.8}
_FOUND: dict[str, Any] = {
    "status": "str", "match_pass": "str", "group_key": "str", "transaction_id": "str", "line_key": "str",
    "amount_minor": "int64", "value_minor": "int64", "reserve_minor": "int64", "is_first": "int64", "rival": "str",
    "match_score": float, "bound": "str",
}  # fmt: skip
BEYOND = "more rows than are searched"


@dataclass(frozen=True)
class Solution:
    """Payments and lines whose amounts meet: keys, amounts relative to the line (same order), what is held back of each."""

    match_pass: str
    payments: tuple[str, ...]
    lines: tuple[str, ...]
    amounts: tuple[int, ...]
    values: tuple[int, ...]
    reserves: tuple[int, ...]
    lag_days: int
    is_named: bool = False  # a name says that they belong together, not the amount alone
    is_sure: bool = (
        False  # holds whatever else was not searched: all that has one name, or what chance can hardly have made
    )
    doubt: str = ""  # why it is not taken although nothing else was found

    @property
    def keys(self) -> frozenset[str]:
        return frozenset((*self.payments, *self.lines))

    @property
    def order(self) -> tuple[Any, ...]:
        size = len(self.payments) + len(self.lines)
        return (
            not (self.is_named or self.is_sure),
            list(SCORES).index(self.match_pass),
            self.lag_days,
            size,
            self.lines,
            self.payments,
            self.reserves,
        )


def weigh(found: Iterable[Solution], unsure: set[str], near: set[str]) -> pd.DataFrame:
    """One row per pair of the sums to take, and of those to suggest with what speaks against them.

    Taken is a sure sum without a rival, or a named one of which no line, and no payment of several lines, is `unsure` (a bound
    was met in the search for rivals of it); none of its rows has a `near` partner of its own. What touches such a row, or
    joins only two rows, is a rival only.
    """
    distinct: dict[tuple[Any, ...], Solution] = {}
    for one in sorted(found, key=lambda s: s.order):
        distinct.setdefault((frozenset(one.payments), frozenset(one.lines), sum(one.reserves)), one)
    claims: dict[str, list[Solution]] = {}
    for one in distinct.values():
        for key in one.keys:
            claims.setdefault(key, []).append(one)
    parts: list[dict[str, Any]] = []
    used = set(near)
    for one in distinct.values():
        if len(one.keys) == 2 or one.keys & used:
            continue
        used |= one.keys
        rivals = sorted({s for k in one.keys for s in claims[k] if s is not one}, key=lambda s: s.order)
        searched = one.lines if len(one.lines) == 1 else one.keys
        is_taken = not rivals and (one.is_sure or (one.is_named and unsure.isdisjoint(searched)))
        against = _words(rivals[0], one) if rivals else BEYOND if one.keys & unsure else one.doubt
        parts.append(_pairs(one, "taken" if is_taken else "suggested", len(rivals), "" if is_taken else against))
    return _stacked(parts)


def _stacked(parts: list[dict[str, Any]]) -> pd.DataFrame:
    """All parts under one another in one step: a table of each would cost more than all the sums."""
    sizes = [len(part["value_minor"]) for part in parts]
    return pd.DataFrame(
        {
            name: np.concatenate([part[name] for part in parts])
            if isinstance(first, np.ndarray)
            else np.repeat(np.array([part[name] for part in parts], dtype=object), sizes)
            for name, first in (parts[0] if parts else {}).items()
        }
    )


def _pairs(one: Solution, status: str, rival_count: int, rival: str) -> dict[str, Any]:
    """Columns of the pairs in which money meets; what holds for all of them once."""
    net, values = np.array(one.amounts) - np.array(one.reserves), np.array(one.values)
    largest, difference = int(net.argmax()), int(values.sum() - net.sum())  # within the tolerance
    net[largest] += difference
    payment, line, value = lay_along(net, values)
    reserve = np.array(one.reserves)[payment]
    amount = value.copy()
    amount[int((payment == largest).argmax())] -= difference
    key = one.lines[0] if len(one.lines) == 1 else min(one.payments)
    is_first = np.zeros(len(line), dtype=np.int64)
    is_first[np.unique(line, return_index=True)[1]] = 1
    return {
        "status": status, "match_pass": one.match_pass, "group_key": key,
        "transaction_id": np.array(one.payments, dtype=object)[payment],
        "line_key": np.array(one.lines, dtype=object)[line], "amount_minor": amount + reserve,
        "value_minor": value + reserve, "reserve_minor": reserve, "is_first": is_first,
        "match_score": SCORES[one.match_pass] / (1 + rival_count), "rival": rival,
    }  # fmt: skip


def lay_along(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which of both sides meet, and with how much, when amounts of the same total are laid along each other in order.

    A single row on one side meets every row of the other with that row's own amount, whatever its sign. Of several on
    both sides, what counts against the total meets the largest row of the other side, which has so much more to give;
    so does a row of 0, so that it belongs to the group.
    """
    if len(right) == 1:
        return np.arange(len(left)), np.zeros(len(left), dtype=np.int64), left
    if len(left) == 1:
        return np.zeros(len(right), dtype=np.int64), np.arange(len(right)), right
    largest = int(left.argmax()), int(right.argmax())
    short = np.flatnonzero(left <= 0), np.flatnonzero(right <= 0)
    rest = left.clip(0), right.clip(0)
    rest[0][largest[0]] -= right[short[1]].sum()
    rest[1][largest[1]] -= left[short[0]].sum()
    ends = np.unique(np.concatenate([[0], rest[0].cumsum(), rest[1].cumsum()]))
    first, second = (side.cumsum().searchsorted(ends[:-1], side="right") for side in rest)
    return (
        np.concatenate([first, short[0], np.full(len(short[1]), largest[0])]),
        np.concatenate([second, np.full(len(short[0]), largest[1]), short[1]]),
        np.concatenate([np.diff(ends), left[short[0]], right[short[1]]]),
    )


def _words(rival: Solution, one: Solution) -> str:
    """The rival by what it has and the other has not."""
    lines = [key.replace("\x1f", "/") for key in rival.lines if key not in one.lines]
    payments = [key for key in rival.payments if key not in one.payments]
    if lines:
        return "bank line " + " + ".join(lines)
    if rival.keys == one.keys:
        return "the same payments " + ("net of a reserve" if any(rival.reserves) else "without a reserve")
    if not payments:
        return "the same without transaction " + " + ".join(key for key in one.payments if key not in rival.payments)
    return "transaction " + " + ".join(payments)


def simple(groups: list[Solution], payouts: Sequence[Solution] = ()) -> list[Solution]:
    """The groups that are not made of smaller sums: two sums that hold say nothing more when they are added up."""
    by_line: dict[str, list[Solution]] = {}
    for one in (*payouts, *groups):
        by_line.setdefault(one.lines[0], []).append(one)
    return [
        g for g in groups
        if not any(s.keys < g.keys for line in g.lines for s in by_line.get(line, []))
    ]  # fmt: skip


def left_out(match_pass: str, bound: str, column: str, keys: Iterable[str]) -> pd.DataFrame:
    """Rows that a bound left out, by line_key or transaction_id."""
    return pd.DataFrame({column: sorted(set(keys))}).assign(status="limit", match_pass=match_pass, bound=bound)


def shaped(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """All parts under one another with all columns of a found sum; what a part does not say is blank or 0."""
    filled = [part for part in parts if len(part)] or [pd.DataFrame()]
    return pd.concat([_whole(part) for part in filled], ignore_index=True)


def _whole(part: pd.DataFrame) -> pd.DataFrame:
    blank = {"str": "", "int64": 0, float: 0.0}
    kept = {c: part[c] if c in part else pd.Series(blank[t], index=part.index) for c, t in _FOUND.items()}
    return pd.DataFrame(kept).astype(_FOUND)
