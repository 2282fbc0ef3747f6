"""Several lines of one account that add up to one payment, and several payments to several lines.

Under a name the amounts are signed, so that a correction counts against what it corrects; without one only rows of one
direction are added up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.reconciliation.passes.solutions import Solution
from atlas_lib.reconciliation.passes.subset_sums import Ints, by_chance, listed_sums

MOST_CHANCE = 0.001  # sums by chance, up to which a name makes the one that was found sure
CHANCE = "amounts so round may agree by chance"
_ALIKE_ENDING = 100  # what amounts of one side lie apart, from which their ending is no accident
_MOST_ALIKE = 25  # pairs of sums of one amount, beyond which none of them says anything
_SAME = ["name", "currency", "sign", "total"]
_PARTY = ["name", "currency"]
Limit = tuple[str, str, str, set[str]]
Rows = tuple[np.ndarray[Any, np.dtype[np.object_]], Ints, Ints]  # key, amount and day


@dataclass(frozen=True)
class Side:
    """Rows of one side (key, name, currency, day, amount) and the sums listed of them (`members` are positions in the rows)."""

    rows: pd.DataFrame
    sums: pd.DataFrame

    def keys_of(self, sums: pd.DataFrame) -> set[str]:
        at = np.unique(np.concatenate(sums["members"].to_list())) if len(sums) else np.empty(0, dtype=np.int64)
        return set(self.rows["key"].to_numpy()[at[at >= 0]])


def search_groups(
    lines: pd.DataFrame,
    targets: pd.DataFrame,
    pairs: pd.DataFrame,
    wide: set[str],
    tolerances: pd.DataFrame,
    settings: ReconciliationSettings,
) -> tuple[list[Solution], list[Limit]]:
    """one_to_many and many_to_many; what was beyond a bound as (pass, bound, column, keys).

    lines: name, currency, account, day, signed_minor of each line; targets: the payments with two or more of them within
    the days; pairs: the payments that few lines reach (with the line's name and currency); wide: lines that many reach.
    """
    rules = tolerances.set_index(["match_pass", "currency"])[["days_before", "days_after"]]
    width = int(rules.loc[["one_to_many", "many_to_many"]].sum(axis=1).max())
    booked = _rows(lines, "line_key")
    sums, crowded = listed_sums(booked, width, settings)
    bank = Side(booked, sums)
    wanted = _rows(targets.assign(account=""), "transaction_id")
    few = wanted[wanted["line_count"] <= settings.most_candidates].reset_index(drop=True)
    one, limits = meet("one_to_many", Side(few, singles(few)), bank, pd.DataFrame(rules.loc["one_to_many"]))
    unsure = set(wanted["key"]) - set(few["key"]) | _near(few, crowded, width)
    limits.append(("one_to_many", "candidates", "transaction_id", unsure))
    free = _rows(pairs.drop_duplicates(["name", "transaction_id"]).assign(account=""), "transaction_id")
    several, wider = listed_sums(free, width, settings)
    many, more = meet("many_to_many", Side(free, several), bank, pd.DataFrame(rules.loc["many_to_many"]))
    if len(sums) or len(crowded):
        unlisted = set(crowded["key"]) | wide & bank.keys_of(sums)
        more += [("many_to_many", "candidates", "transaction_id", set(wider["key"]))]
        more += [("many_to_many", "candidates", "line_key", unlisted)]
    ours = pd.concat([free, wanted[free.columns]]).drop_duplicates(["name", "key"])
    searched = booked[~booked["key"].isin(wide)]
    found = [*whole_of_names(ours, searched, rules), *one, *many]
    return found, limits + more + in_more_parts(ours, searched, found, settings.most_parts)


def whole_of_names(ours: pd.DataFrame, bank: pd.DataFrame, rules: pd.DataFrame) -> list[Solution]:
    """All open payments of a party with all lines of an account that name it, where both are the same in sum.

    Each is judged by itself (`whole_by_chance`), whatever other parties have: one that chance may well have made is suggested.
    """
    named = [side[side["name"] != ""] for side in (ours, bank)]
    sides = [side.groupby(_PARTY) for side in named]
    parts = [
        s.agg(total=("amount", "sum"), rows=("key", "size"), first=("day", "min"), last=("day", "max")) for s in sides
    ]
    lines = parts[1].add_suffix("_bank").join(sides[1]["account"].nunique())
    both = parts[0].join(lines, how="inner").reset_index()
    both = both[(both["rows_bank"] >= 2) & (both["account"] == 1) & (both["total_bank"] != 0)]
    both["match_pass"] = np.where(both["rows"] == 1, "one_to_many", "many_to_many")
    days = both.join(rules, on=["match_pass", "currency"])
    timely = days["last_bank"] - days["first"] <= days["days_after"]
    timely &= days["first_bank"] - days["last"] >= -days["days_before"]
    met = both[timely & (both["total"] == both["total_bank"])]
    at = [side.indices for side in sides]
    names = zip(met["match_pass"].astype("str"), met[_PARTY].itertuples(index=False, name=None), strict=True)
    pick = [picker(side) for side in named]
    found = [
        solution(shape, pick[0](np.asarray(at[0][name])), pick[1](np.asarray(at[1][name]))) for shape, name in names
    ]
    return [_judged(one, whole_by_chance(one) <= MOST_CHANCE) for one in found]


def whole_by_chance(one: Solution, slack: int = 0, tried: int = 1) -> float:
    """How surely unrelated wholes of such amounts come to the same: the places within `slack` times step / total.

    `tried`: how many wholes of about this size the one might have been.
    """
    step = grid_step(np.array(one.amounts), np.array(one.values))
    return min(tried * (slack // step + 1) * step / max(abs(sum(one.amounts)), 1), 1.0)


def grid_step(ours: Ints, bank: Ints) -> int:
    """The greatest common divisor of what the amounts differ by: prices that all end in .99 lie 100 apart, not 1.

    A line that is the sum of such prices has another ending. So what both sides have in common within themselves counts
    as well where it is hundreds, thousands and so on: that two unrelated amounts end alike is then rare.
    """
    amounts = np.concatenate([ours, bank])
    step = int(np.gcd.reduce(np.abs(amounts - amounts[0]))) or abs(int(amounts[0])) or 1
    within = np.gcd.reduce(np.abs(np.concatenate([ours - ours[0], bank - bank[0]])))
    ending = int(np.gcd(within, 10**9)) if within else 1
    return max(step, ending) if ending >= _ALIKE_ENDING else step


def _judged(one: Solution, is_proof: bool) -> Solution:
    return replace(one, is_named=is_proof, doubt="" if is_proof else CHANCE)


def in_more_parts(ours: pd.DataFrame, bank: pd.DataFrame, found: list[Solution], most_parts: int) -> list[Limit]:
    """What has one name on both sides and more than `most_parts` rows on one, and is in no sum: larger ones were not tried."""
    used = {key for one in found for key in one.keys}
    sides = [side[side["name"] != ""] for side in (ours, bank)]
    counts = pd.concat([side.groupby(_PARTY).size() for side in sides], axis=1, join="inner")
    names = counts.index[(counts.min(axis=1) >= 2) & (counts.max(axis=1) > most_parts)]
    return [
        (
            "many_to_many",
            "parts",
            column,
            set(side.loc[pd.MultiIndex.from_frame(side[_PARTY]).isin(names), "key"]) - used,
        )
        for column, side in zip(("transaction_id", "line_key"), sides, strict=True)
    ]


def _rows(frame: pd.DataFrame, key: str) -> pd.DataFrame:
    signed, is_named = frame["signed_minor"], frame["name"] != ""
    rows = frame.assign(
        key=frame[key], amount=signed.where(is_named, signed.abs()), sign=np.sign(signed).mask(is_named, 0)
    )
    return rows.loc[
        signed != 0, ["key", "name", "currency", "account", "day", "amount", "sign", *_given(frame)]
    ].reset_index(drop=True)


def _given(frame: pd.DataFrame) -> list[str]:
    return ["line_count"] if "line_count" in frame else []


def singles(rows: pd.DataFrame) -> pd.DataFrame:
    """Each row as a sum of its own."""
    members = pd.Series(list(np.arange(len(rows)).reshape(-1, 1)), index=rows.index, dtype=object)
    return rows.assign(total=rows["amount"], first_day=rows["day"], last_day=rows["day"], members=members)


def _near(rows: pd.DataFrame, crowded: pd.DataFrame, width: int) -> set[str]:
    """Keys of rows within the days of a line whose sums were not listed."""
    same = ["name", "currency", "sign"]
    near = rows[[*same, "day", "key"]].merge(crowded[[*same, "day"]].drop_duplicates(), on=same, suffixes=("", "_line"))
    return set(near.loc[(near["day_line"] - near["day"]).abs() <= width, "key"])


def meet(match_pass: str, ours: Side, bank: Side, days: pd.DataFrame) -> tuple[list[Solution], list[Limit]]:
    """Sums of both sides that are equal and within the days (by currency); named is what chance can hardly have made."""
    sizes = [side.sums.groupby(_SAME).size() for side in (ours, bank)]
    counts = (sizes[0] * sizes[1]).dropna()
    alike = pd.MultiIndex.from_tuples(counts.index[counts > _MOST_ALIKE].to_list(), names=_SAME)
    vague = [side.sums[pd.MultiIndex.from_frame(side.sums[_SAME]).isin(alike)] for side in (ours, bank)]
    clear = [side.sums.drop(index=v.index) for side, v in zip((ours, bank), vague, strict=True)]
    met = clear[0][clear[0]["total"] != 0].merge(clear[1], on=_SAME, suffixes=("", "_bank"))
    met = met.join(days, on="currency")
    timely = met["last_day_bank"] - met["first_day"] <= met["days_after"]
    timely &= met["first_day_bank"] - met["last_day"] >= -met["days_before"]
    met = met[timely]
    pick = [picker(side.rows) for side in (ours, bank)]
    found = [
        replace(solution(match_pass, pick[0](left), pick[1](right)), is_named=is_named)
        for left, right, is_named in zip(
            met["members"], met["members_bank"], _hardly_chance(met, ours, bank), strict=True
        )
    ]
    return found, [(match_pass, "solutions", "transaction_id", ours.keys_of(vague[0]))]


def _hardly_chance(met: pd.DataFrame, ours: Side, bank: Side) -> list[bool]:
    """Of each, whether it has a name and chance can hardly have made two sums of that name that are equal."""
    totals: dict[tuple[str, str], tuple[int, Ints, Ints]] = {}
    for name, currency in met.loc[met["name"] != "", _PARTY].drop_duplicates().itertuples(index=False):
        sides = [[f[(f["name"] == name) & (f["currency"] == currency)] for f in (s.rows, s.sums)] for s in (ours, bank)]
        step = grid_step(*(rows["amount"].to_numpy() for rows, _ in sides))
        left, right = (np.sort(sums["total"].to_numpy()) for _, sums in sides)
        totals[name, currency] = (step, left, right)
    sums = zip(*(met[c].to_list() for c in (*_PARTY, "total")), strict=True)
    return [name != "" and by_chance(total, *totals[name, currency]) <= MOST_CHANCE for name, currency, total in sums]


def picker(rows: pd.DataFrame) -> Callable[[Ints], Rows]:
    """What gives key, amount and day of the rows at some positions (-1 is none), in the order of the keys.

    The columns are taken out of the table once: a table of each of many groups would cost more than all the sums.
    """
    keys, amounts, days = (rows[name].to_numpy() for name in ("key", "amount", "day"))

    def pick(at: Ints) -> Rows:
        own = at[at >= 0]
        ordered = own[np.argsort(keys[own], kind="stable")]
        return keys[ordered], amounts[ordered], days[ordered]

    return pick


def solution(match_pass: str, payments: Rows, lines: Rows) -> Solution:
    """These rows as one sum, amounts relative to what the lines come to."""
    (ours, amounts, days), (bank, values, booked) = payments, lines
    sign = -1 if values.sum() < 0 else 1
    return Solution(
        match_pass=match_pass, payments=tuple(ours), lines=tuple(bank), amounts=tuple((amounts * sign).tolist()),
        values=tuple((values * sign).tolist()), reserves=(0,) * len(ours), lag_days=_lag(days, booked),
    )  # fmt: skip


def _lag(ours: Ints, bank: Ints) -> int:
    """Days between every payment and every line, in all: by running totals, as a whole may have very many of both."""
    bank = np.sort(bank).astype(np.int64)
    earlier, sums = np.searchsorted(bank, ours), np.concatenate([[0], bank.cumsum()])
    return int((ours * (2 * earlier - len(bank)) + sums[-1] - 2 * sums[earlier]).sum())
