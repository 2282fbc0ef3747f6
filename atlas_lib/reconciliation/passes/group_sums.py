"""Several lines of one account that add up to one payment, and several payments to several lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.reconciliation.passes.solutions import Solution
from atlas_lib.reconciliation.passes.subset_sums import listed_sums

_MOST_ALIKE = 25  # pairs of sums of one amount, beyond which none of them says anything
_SAME = ["name", "currency", "sign", "total"]
Limit = tuple[str, str, str, set[str]]


@dataclass(frozen=True)
class _Side:
    """Rows of one side (key, day, amount) and the sums listed of them (`members` are positions in the rows)."""

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
    bank = _Side(booked, sums)
    wanted = _rows(targets.assign(account=""), "transaction_id")
    few = wanted[wanted["line_count"] <= settings.most_candidates].reset_index(drop=True)
    one, limits = _meet("one_to_many", _Side(few, _each(few)), bank, rules)
    unsure = set(wanted["key"]) - set(few["key"]) | _near(few, crowded, width)
    limits.append(("one_to_many", "candidates", "transaction_id", unsure))
    free = _rows(pairs.drop_duplicates(["name", "transaction_id"]).assign(account=""), "transaction_id")
    several, wider = listed_sums(free, width, settings)
    many, more = _meet("many_to_many", _Side(free, several), bank, rules)
    if len(sums) or len(crowded):
        unlisted = set(crowded["key"]) | wide & bank.keys_of(sums)
        more += [("many_to_many", "candidates", "transaction_id", set(wider["key"]))]
        more += [("many_to_many", "candidates", "line_key", unlisted)]
    return one + many, limits + more


def _rows(frame: pd.DataFrame, key: str) -> pd.DataFrame:
    signed = frame["signed_minor"]
    rows = frame.assign(key=frame[key], amount=signed.abs(), sign=np.sign(signed))
    return rows[rows["sign"] != 0].reset_index(drop=True)


def _each(rows: pd.DataFrame) -> pd.DataFrame:
    members = pd.Series(list(np.arange(len(rows)).reshape(-1, 1)), index=rows.index, dtype=object)
    return rows.assign(total=rows["amount"], first_day=rows["day"], last_day=rows["day"], members=members)


def _near(rows: pd.DataFrame, crowded: pd.DataFrame, width: int) -> set[str]:
    """Keys of rows within the days of a line whose sums were not listed."""
    same = ["name", "currency", "sign"]
    near = rows[[*same, "day", "key"]].merge(crowded[[*same, "day"]].drop_duplicates(), on=same, suffixes=("", "_line"))
    return set(near.loc[(near["day_line"] - near["day"]).abs() <= width, "key"])


def _meet(match_pass: str, ours: _Side, bank: _Side, rules: pd.DataFrame) -> tuple[list[Solution], list[Limit]]:
    """Sums of both sides that are equal and within the days of the pass."""
    sizes = [side.sums.groupby(_SAME).size() for side in (ours, bank)]
    counts = (sizes[0] * sizes[1]).dropna()
    alike = pd.MultiIndex.from_tuples(counts.index[counts > _MOST_ALIKE].to_list(), names=_SAME)
    vague = [side.sums[pd.MultiIndex.from_frame(side.sums[_SAME]).isin(alike)] for side in (ours, bank)]
    clear = [side.sums.drop(index=v.index) for side, v in zip((ours, bank), vague, strict=True)]
    met = clear[0].merge(clear[1], on=_SAME, suffixes=("", "_bank"))
    days = met.join(rules.loc[match_pass], on="currency")
    timely = met["last_day_bank"] - met["first_day"] <= days["days_after"]
    timely &= met["first_day_bank"] - met["last_day"] >= -days["days_before"]
    found = [_solution(match_pass, row, ours.rows, bank.rows) for row in met[timely].itertuples()]
    return found, [(match_pass, "solutions", "transaction_id", ours.keys_of(vague[0]))]


def _solution(match_pass: str, met: Any, ours: pd.DataFrame, bank: pd.DataFrame) -> Solution:
    left, right = met.members[met.members >= 0], met.members_bank[met.members_bank >= 0]
    payments, lines = ours.iloc[left].sort_values("key"), bank.iloc[right].sort_values("key")
    lag = np.abs(payments["day"].to_numpy()[:, None] - lines["day"].to_numpy()).sum()
    return Solution(
        match_pass=match_pass, payments=tuple(payments["key"]), lines=tuple(lines["key"]), amounts=tuple(map(int, payments["amount"])),
        values=tuple(map(int, lines["amount"])), reserves=(0,) * len(payments), lag_days=int(lag),
    )  # fmt: skip
