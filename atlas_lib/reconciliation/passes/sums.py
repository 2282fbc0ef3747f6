"""Sums without a name: part of a merchant's open payments in one line, one payment in several lines, several in several.

| pass | what adds up, to the cent | bound |
|---|---|---|
| payout | some of the payments that may belong to a line, signed, with or without the reserve agreed | at most `most_candidates` payments, all subsets |
| one_to_many | up to `most_parts` lines to one payment | at most `most_candidates` rows within the days |
| many_to_many | up to `most_parts` payments to as many lines | the same on either side |

A sum of amounts alone is never taken, only suggested with its rival named: that it is exact and the only one found says
too little. Taken are whole days (`payouts`) and what lines that name a party are together (`group_sums`), where no sum of
these passes explains a row of it as well.
What is beyond a bound is not searched, and is a row of `search_limits`; a suggestion that it concerns says so.
Only lines without a near partner of their own are tried, and those that name a party only with its payments. A line
that has a reference of its own is not added up with others: what it names is not ours. Lines are added up within a bank account.
"""

# ruff: noqa: S608 - the pieces put together are constants of this room
from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import groupby
from operator import itemgetter

import pandas as pd

from atlas_lib.core.engine import Computed
from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.reconciliation.passes.group_sums import CHANCE, MOST_CHANCE, search_groups, whole_by_chance
from atlas_lib.reconciliation.passes.solutions import Solution, left_out, shaped, simple, weigh
from atlas_lib.reconciliation.passes.subset_sums import search_payouts

_LEFT = "NOT EXISTS (SELECT 1 FROM {taken} x WHERE x."
_ROWS = [
    (
        "sum_ours",
        f"""
        SELECT t.transaction_id, t.currency, days_between(DATE '1970-01-01', t.transaction_date) AS day,
               CASE WHEN t.direction = 'CRDT' THEN t.amount_minor ELSE -t.amount_minor END AS signed_minor,
               t.reserve_minor, t.merchant_key, t.counterparty_key
        FROM open_ours t
        WHERE {_LEFT}transaction_id = t.transaction_id)""",
    ),
    (
        "sum_lines",
        f"""
        SELECT b.line_key, b.currency, b.day, b.account, COALESCE(k.name_key, '') AS name,
               CASE WHEN b.reference_key IS NULL THEN 0 ELSE 1 END AS has_reference,
               CASE WHEN b.direction = 'CRDT' THEN b.gross_minor ELSE -b.gross_minor END AS signed_minor
        FROM open_lines b
        LEFT JOIN known_names k ON k.name_key = b.name_key
        WHERE {_LEFT}line_key = b.line_key)
          AND NOT EXISTS (SELECT 1 FROM candidates c WHERE c.line_key = b.line_key)""",
    ),
    (
        "sum_payments",
        """
        SELECT n.name, t.transaction_id, t.currency, t.day, t.signed_minor, t.reserve_minor
        FROM sum_ours t
        JOIN (SELECT DISTINCT name FROM sum_lines) n
             ON n.name = '' OR n.name = t.merchant_key OR n.name = t.counterparty_key""",
    ),
    (
        "sum_reach",
        """
        SELECT l.line_key, l.currency, l.day, l.name, l.signed_minor,
               CAST(COALESCE(SUM(c.row_count), 0) AS BIGINT) AS candidate_count
        FROM sum_lines l
        JOIN tolerances r ON r.currency = l.currency AND r.match_pass = 'payout'
        LEFT JOIN (SELECT name, currency, day, COUNT(*) AS row_count FROM sum_payments GROUP BY name, currency, day) c
             ON c.name = l.name AND c.currency = l.currency AND l.day - c.day BETWEEN -r.days_before AND r.days_after
        GROUP BY l.line_key, l.currency, l.day, l.name, l.signed_minor""",
    ),
    (
        "sum_pairs",
        """
        SELECT l.line_key, p.transaction_id, p.day, p.signed_minor, p.reserve_minor
        FROM sum_reach l
        JOIN tolerances r ON r.currency = l.currency AND r.match_pass = 'payout'
        JOIN sum_payments p ON p.name = l.name AND p.currency = l.currency
                           AND l.day - p.day BETWEEN -r.days_before AND r.days_after
        WHERE l.candidate_count BETWEEN 2 AND :most_candidates""",
    ),
    (
        "sum_targets",
        """
        SELECT name, transaction_id, currency, day, signed_minor, MAX(line_count) AS line_count
        FROM (SELECT p.name, p.transaction_id, p.currency, p.day, p.signed_minor, c.account,
                     CAST(SUM(c.row_count) AS BIGINT) AS line_count
              FROM sum_payments p
              JOIN tolerances r ON r.currency = p.currency AND r.match_pass = 'one_to_many'
              JOIN (SELECT name, currency, account, day, COUNT(*) AS row_count FROM sum_lines
                    WHERE has_reference = 0 GROUP BY name, currency, account, day) c
                   ON c.name = p.name AND c.currency = p.currency AND c.day - p.day BETWEEN -r.days_before AND r.days_after
              GROUP BY p.name, p.transaction_id, p.currency, p.day, p.signed_minor, c.account) a
        GROUP BY name, transaction_id, currency, day, signed_minor HAVING MAX(line_count) >= 2""",
    ),
    ("near_ours", "SELECT DISTINCT transaction_id FROM candidates"),
    # Of the sums under a reference that nothing decides between: those of which no pass took a row since.
    (
        "named_left",
        """
        SELECT n.* FROM named_sums n
        WHERE n.status <> 'taken' AND n.group_key NOT IN (
            SELECT m.group_key FROM named_sums m JOIN {taken} x ON x.transaction_id = m.transaction_id
            WHERE m.status = 'suggested')""",
    ),
]


_TAKEN = [
    (
        "{after}",
        """
        SELECT * FROM {taken} UNION ALL
        SELECT transaction_id, line_key, match_pass, 60, CAST(NULL AS BIGINT), amount_minor, value_minor, is_first
        FROM found_sums WHERE status = 'taken'""",
    ),
]
_SEARCHED = ("sum_reach", "sum_pairs", "sum_targets", "sum_lines", "day_sums", "day_limits", "near_ours", "named_left")


def sum_steps(tolerances: pd.DataFrame, settings: ReconciliationSettings) -> list[tuple[str, str | Computed]]:
    """From {taken} to `found_sums` (taken, suggested and limit rows) and {after}."""
    search = partial(find_sums, tolerances=tolerances, settings=settings)
    return [*_ROWS, ("found_sums", Computed(_SEARCHED, search)), *_TAKEN]


def find_sums(
    reach: pd.DataFrame,
    pairs: pd.DataFrame,
    targets: pd.DataFrame,
    lines: pd.DataFrame,
    days: pd.DataFrame,
    day_limits: pd.DataFrame,
    near: pd.DataFrame,
    named: pd.DataFrame,
    tolerances: pd.DataFrame,
    settings: ReconciliationSettings,
) -> pd.DataFrame:
    """Every sum found, as one row per pair that it joins, and one row per row beyond a bound."""
    if lines.empty and days.empty:
        return shaped([named])
    wide = set(reach.loc[reach["candidate_count"] > settings.most_candidates, "line_key"])
    payouts, beyond = search_payouts(reach, pairs)
    rows = pairs.merge(reach[["line_key", "name", "currency"]], on="line_key", validate="many_to_one")
    free = lines[lines["has_reference"] == 0]
    groups, limits = search_groups(free, targets, rows, wide, tolerances, settings)
    for bound, own in day_limits.groupby("bound")["line_key"]:
        beyond[str(bound)] += own.to_list()
    limits += [("payout", bound, "line_key", set(keys)) for bound, keys in (beyond | {"candidates": [*wide]}).items()]
    unsure = set().union(*(keys for _, bound, _, keys in limits if bound != "parts"))
    found = weigh([*_days(days), *payouts, *simple(groups, payouts)], unsure, set(near["transaction_id"]))
    return shaped([found, _not_in(named, found), *(left_out(*limit) for limit in limits)])


def _not_in(named: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Without the sums under a reference of which a row is in a sum that was found since."""
    if found.empty:
        return named
    is_used = named["transaction_id"].isin(found["transaction_id"]) & (named["status"] == "suggested")
    return named[(named["status"] != "suggested") | ~named["group_key"].isin(named.loc[is_used, "group_key"])]


def _days(rows: pd.DataFrame) -> list[Solution]:
    """The whole days that are a line, each as a solution; named or sure are only those that chance can hardly have made."""
    found, ordered = [], rows.sort_values(["line_key", "choice", "transaction_id"])
    for _, group in groupby(ordered.to_dict("records"), key=itemgetter("line_key", "choice")):
        own = list(group)
        one = Solution(
            match_pass=own[0]["match_pass"], payments=tuple(r["transaction_id"] for r in own), lines=(own[0]["line_key"],),
            amounts=tuple(r["amount_minor"] for r in own), values=(own[0]["gross_minor"],),
            reserves=tuple(r["reserve_minor"] for r in own), lag_days=sum(r["lag_days"] for r in own),
        )  # fmt: skip
        is_proof = whole_by_chance(one, tried=own[0]["tried"]) <= MOST_CHANCE
        is_named, is_sure = (bool(own[0][name]) and is_proof for name in ("is_named", "is_sure"))
        found.append(replace(one, is_named=is_named, is_sure=is_sure, doubt="" if is_proof else CHANCE))
    return found
