"""Exact sums of few rows: all subsets of a line's candidates (meet in the middle), and sums of up to k rows on a side.

Source of the first: Horowitz and Sahni, "Computing Partitions with Applications to the Knapsack Problem", 1974: both
halves' sums are listed, and one is looked up in the other, so 2^(n/2) sums stand for 2^n.
"""

from __future__ import annotations

from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import pandas as pd

from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.reconciliation.passes.payouts import HOPELESS_RATE, MOST_SHOWN
from atlas_lib.reconciliation.passes.solutions import Solution

MOST_LINES = 2_000  # searched one by one
MOST_SUMS = 500_000  # listed on a side
Ints = np.ndarray[Any, np.dtype[np.int64]]


def subset_totals(values: Ints) -> Ints:
    """The sum of every subset; bit i of its position says whether value i is in it."""
    totals = np.zeros(1, dtype=np.int64)
    for value in values:
        totals = np.concatenate([totals, totals + value])
    return totals


def exact_subsets(values: Ints, target: int, most: int) -> tuple[int, list[Ints]]:
    """How many subsets sum to the target, and the positions of the first `most` of them."""
    half = len(values) // 2
    left, right = subset_totals(values[:half]), subset_totals(values[half:])
    order = np.argsort(right, kind="stable")
    first = np.searchsorted(right[order], target - left, "left")
    counts = np.searchsorted(right[order], target - left, "right") - first
    where = np.repeat(np.arange(len(left)), counts)[:most]
    nth = (np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts))[:most]
    masks = where + (order[first[where] + nth] << half)
    return int(counts.sum()), [np.flatnonzero((mask >> np.arange(len(values))) & 1) for mask in masks]


def expected_by_chance(values: Ints, target: int) -> float:
    """How many of the 2^n sums would meet the target by chance: those within a tenth of it, spread evenly over it.

    The sums are counted, not supposed to be spread in some way: one large amount parts them into two heaps.
    """
    step = int(np.gcd.reduce(np.abs(values))) or 1
    band = max(abs(target) // 10 // step, 1) * step
    if target % step:
        return 0.0
    left, right = subset_totals(values[: len(values) // 2]), np.sort(subset_totals(values[len(values) // 2 :]))
    ends = [np.searchsorted(right, target + side * band - left, how) for side, how in ((-1, "left"), (1, "right"))]  # type: ignore[call-overload]
    return float((ends[1] - ends[0]).sum()) / (2 * band // step + 1)


def by_chance(target: int, step: int, left: Ints, right: Ints) -> float:
    """How many pairs of sums would meet at the target by chance: of those (sorted) within a tenth of it, spread evenly over it."""
    band = max(abs(target) // 10 // step, 1) * step
    near = [
        np.searchsorted(side, target + band, "right") - np.searchsorted(side, target - band, "left")
        for side in (left, right)
    ]
    return float(near[0] * near[1]) / (2 * band // step + 1)


def search_payouts(reach: pd.DataFrame, pairs: pd.DataFrame) -> tuple[list[Solution], dict[str, list[str]]]:
    """Subsets of each line's candidates that sum to it, gross or net of the reserve; lines beyond a bound, by bound."""
    found: list[Solution] = []
    beyond: dict[str, list[str]] = {"lines": [], "chance": [], "solutions": []}
    lines = reach.set_index("line_key")[["day", "signed_minor", "name"]].to_dict("index")
    for number, (key, own) in enumerate(pairs.sort_values(["line_key", "transaction_id"]).groupby("line_key")):
        if number >= MOST_LINES:
            beyond["lines"].append(str(key))
            continue
        line = lines[str(key)]
        bound, solutions = _search_line(str(key), int(line["day"]), int(line["signed_minor"]), own, line["name"] != "")
        if bound:
            beyond[bound].append(str(key))
        found += solutions
    return found, beyond


def _search_line(key: str, day: int, signed: int, own: pd.DataFrame, is_named: bool) -> tuple[str, list[Solution]]:
    """The bound it meets (or none), and its solutions; a payment that is the line alone is one.

    What chance may well have made is none, but all that is open of the party that the line names.
    """
    sign = 1 if signed > 0 else -1
    amounts, held = own["signed_minor"].to_numpy() * sign, own["reserve_minor"].to_numpy() * sign
    variants = [(amounts, np.zeros_like(held))] + ([(amounts - held, held)] if held.any() else [])
    by_chance_alone = sum(expected_by_chance(values, abs(signed)) for values, _ in variants) > HOPELESS_RATE
    if signed == 0 or (by_chance_alone and not is_named):
        return "chance", []
    solutions, count = [], 0
    for number, (values, reserves) in enumerate(variants):
        total, subsets = exact_subsets(values, abs(signed), 10 * MOST_SHOWN)
        kept = [s for s in subsets if number == 0 or reserves[s].any()]
        count += total if total > len(subsets) else len(kept)
        solutions += [_solution(key, day, own, s, amounts, reserves, abs(signed)) for s in kept]
    is_whole = count == 1 and len(solutions[0].payments) == len(own)
    if count and by_chance_alone and not is_whole:
        return "chance", []
    return ("solutions", []) if count > MOST_SHOWN else ("", solutions)


def _solution(key: str, day: int, own: pd.DataFrame, at: Ints, amounts: Ints, reserves: Ints, total: int) -> Solution:
    return Solution(
        "payout", payments=tuple(own["transaction_id"].iloc[at]), lines=(key,), amounts=tuple(map(int, amounts[at])),
        values=(total,), reserves=tuple(map(int, reserves[at])), lag_days=int(np.abs(day - own["day"].to_numpy()[at]).sum()),
    )  # fmt: skip


def listed_sums(rows: pd.DataFrame, width: int, settings: ReconciliationSettings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Sums of 2 to `most_parts` rows of one block (name, currency, account, sign) within `width` days, and rows beyond the bound.

    Columns of the sums: block columns, total, first_day, last_day, members (positions in `rows`, -1 fills up). A row
    is beyond the bound when it has more than `most_candidates` with it in the days from its own on, or when enough sums
    are listed already.
    """
    block = rows.groupby(["name", "currency", "account", "sign"], sort=True).ngroup().to_numpy()
    order = np.lexsort((rows["key"].to_numpy().astype("str"), rows["day"].to_numpy(), block))
    place = block[order].astype(np.int64) * 10**6 + rows["day"].to_numpy()[order]
    reach = np.searchsorted(place, place + width, "right") - np.arange(len(order)) - 1
    per_row = np.array([_sums_of(m, settings.most_parts) for m in range(settings.most_candidates)])
    fits = reach < settings.most_candidates
    fits &= np.where(fits, per_row[np.where(fits, reach, 0)], 0).cumsum() <= MOST_SUMS
    members = [_members(int(i), int(reach[i]), settings.most_parts) for i in np.flatnonzero(fits & (reach > 0))]
    at = order[np.concatenate(members)] if members else np.empty((0, settings.most_parts), dtype=np.int64)
    if members:
        at = np.where(np.concatenate(members) < 0, -1, at)
    amount, day = np.append(rows["amount"].to_numpy(), 0), rows["day"].to_numpy()
    first = at[:, 0]
    last = np.where(at < 0, -(10**9), day[at]).max(axis=1) if len(at) else first
    sums = rows.loc[first, ["name", "currency", "sign"]].reset_index(drop=True)
    sums = sums.assign(total=amount[at].sum(axis=1), first_day=day[first], last_day=last, members=list(at))
    return sums, rows.iloc[order[~fits]]


def _sums_of(followers: int, parts: int) -> int:
    return sum(comb(followers, s) for s in range(1, parts))


def _members(anchor: int, followers: int, parts: int) -> Ints:
    """The row and every choice of up to `parts` - 1 of those that follow it, by position in the order."""
    chosen = [c for size in range(1, parts) for c in combinations(range(anchor + 1, anchor + 1 + followers), size)]
    table = np.full((len(chosen), parts), -1, dtype=np.int64)
    table[:, 0] = anchor
    for number, choice in enumerate(chosen):
        table[number, 1 : 1 + len(choice)] = choice
    return table
