"""Sums that were found, weighed against each other: which is alone, which is a person's to decide."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from atlas_lib.core.settings import ReconciliationSettings

SCORES = {"payout": 0.85, "one_to_many": 0.85, "many_to_many": 0.8}


@dataclass(frozen=True)
class Solution:
    """Payments and lines whose amounts meet: keys, amounts relative to the line (same order), what is held back of each."""

    payments: tuple[str, ...]
    lines: tuple[str, ...]
    amounts: tuple[int, ...]
    values: tuple[int, ...]
    reserves: tuple[int, ...]
    lag_days: int
    chance: float  # sums that chance alone would give

    @property
    def order(self) -> tuple[Any, ...]:
        return self.lag_days, len(self.payments) + len(self.lines), self.lines, self.payments


@dataclass(frozen=True)
class Solutions:
    """All sums that one pass found; `crowded` are rows with more rivals than are listed."""

    match_pass: str
    found: list[Solution]
    crowded: frozenset[str] = field(default_factory=frozenset)

    @property
    def transactions(self) -> set[str]:
        return {key for s in self.found for key in s.payments} | set(self.crowded)

    @property
    def lines(self) -> set[str]:
        return {key for s in self.found for key in s.lines}

    def rows(self, settings: ReconciliationSettings) -> pd.DataFrame:
        """One row per pair of the sums to take, and of those to suggest with their rival."""
        claims: dict[str, list[Solution]] = {}
        for one in sorted(self.found, key=lambda s: s.order):
            for key in (*one.payments, *one.lines):
                claims.setdefault(key, []).append(one)
        parts, used = [], set(self.crowded)
        for one in sorted(self.found, key=lambda s: s.order):
            keys = {*one.payments, *one.lines}
            if keys & used:
                continue
            used |= keys
            rivals = sorted((s for k in keys for s in claims[k] if s is not one), key=lambda s: s.order)
            sure = not rivals and one.chance <= 1 - settings.auto_precision
            parts.append(self._pairs(one, "taken" if sure else "suggested", rivals))
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def _pairs(self, one: Solution, status: str, rivals: list[Solution]) -> pd.DataFrame:
        laid = lay_along(np.array(one.amounts) - np.array(one.reserves), np.array(one.values))
        payment, line, amount = laid
        reserve = np.array(one.reserves)[payment]
        key = one.lines[0] if len(one.lines) == 1 else min(one.payments)
        ids = np.array(one.payments, dtype=object)
        keys = np.array(one.lines, dtype=object)
        return pd.DataFrame(
            {
                "status": status, "match_pass": self.match_pass, "group_key": key, "transaction_id": ids[payment],
                "line_key": keys[line], "amount_minor": amount + reserve, "reserve_minor": reserve,
                "is_first": (~pd.Index(line).duplicated()).astype("int64"),
                "match_score": SCORES[self.match_pass] / (1 + len({s.order for s in rivals})),
                "rival": _words(rivals[0], one) if rivals else "",
            }
        )  # fmt: skip


def lay_along(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which of both sides meet, and with how much, when amounts of the same total are laid along each other in order.

    A single row on one side meets every row of the other with that row's own amount, whatever its sign.
    """
    if len(right) == 1:
        return np.arange(len(left)), np.zeros(len(left), dtype=np.int64), left
    if len(left) == 1:
        return np.zeros(len(right), dtype=np.int64), np.arange(len(right)), right
    ends = np.unique(np.concatenate([[0], left.cumsum(), right.cumsum()]))
    return (
        left.cumsum().searchsorted(ends[:-1], side="right"),
        right.cumsum().searchsorted(ends[:-1], side="right"),
        np.diff(ends),
    )


def _words(rival: Solution, one: Solution) -> str:
    """The rival by what it has and the other has not."""
    lines = [key.replace("\x1f", "/") for key in rival.lines if key not in one.lines]
    payments = [key for key in rival.payments if key not in one.payments] or list(rival.payments)
    if lines:
        return "bank line " + " + ".join(lines)
    return "transaction " + " + ".join(payments)
