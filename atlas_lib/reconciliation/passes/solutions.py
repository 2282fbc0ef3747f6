"""Sums that were found in all passes, weighed against each other: which is taken, which is a person's to decide."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

SCORES = {"day_sum": 0.85, "payout": 0.85, "one_to_many": 0.85, "many_to_many": 0.8}
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
    is_named: bool = False  # the line names whose days these are: not the amount alone says that they belong together
    is_sure: bool = False  # whole days of an amount that chance can hardly have made, whatever else was not searched

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

    Taken is a sure sum without a rival, or a named one whose line is not `unsure` (a bound was met in the search for rivals
    of it); none of its rows has a `near` partner of its own. What touches such a row, or joins only two rows, is a rival only.
    """
    distinct: dict[tuple[Any, ...], Solution] = {}
    for one in sorted(found, key=lambda s: s.order):
        distinct.setdefault((frozenset(one.payments), frozenset(one.lines), sum(one.reserves)), one)
    claims: dict[str, list[Solution]] = {}
    for one in distinct.values():
        for key in one.keys:
            claims.setdefault(key, []).append(one)
    parts: list[pd.DataFrame] = []
    used = set(near)
    for one in distinct.values():
        if len(one.keys) == 2 or one.keys & used:
            continue
        used |= one.keys
        rivals = sorted({s for k in one.keys for s in claims[k] if s is not one}, key=lambda s: s.order)
        is_taken = not rivals and (one.is_sure or (one.is_named and unsure.isdisjoint(one.lines)))
        against = _words(rivals[0], one) if rivals else BEYOND if one.keys & unsure else ""
        parts.append(_pairs(one, "taken" if is_taken else "suggested", len(rivals), "" if is_taken else against))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _pairs(one: Solution, status: str, rival_count: int, rival: str) -> pd.DataFrame:
    payment, line, amount = lay_along(np.array(one.amounts) - np.array(one.reserves), np.array(one.values))
    reserve = np.array(one.reserves)[payment]
    key = one.lines[0] if len(one.lines) == 1 else min(one.payments)
    return pd.DataFrame(
        {
            "status": status, "match_pass": one.match_pass, "group_key": key,
            "transaction_id": np.array(one.payments, dtype=object)[payment],
            "line_key": np.array(one.lines, dtype=object)[line], "amount_minor": amount + reserve,
            "reserve_minor": reserve, "is_first": (~pd.Index(line).duplicated()).astype("int64"),
            "match_score": SCORES[one.match_pass] / (1 + rival_count), "rival": rival,
        }
    )  # fmt: skip


def lay_along(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which of both sides meet, and with how much, when amounts of the same total are laid along each other in order.

    A single row on one side meets every row of the other with that row's own amount, whatever its sign. Of several on
    both sides, what counts against the total meets the largest row of the other side, which has so much more to give.
    """
    if len(right) == 1:
        return np.arange(len(left)), np.zeros(len(left), dtype=np.int64), left
    if len(left) == 1:
        return np.zeros(len(right), dtype=np.int64), np.arange(len(right)), right
    largest = int(left.argmax()), int(right.argmax())
    short = np.flatnonzero(left < 0), np.flatnonzero(right < 0)
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
