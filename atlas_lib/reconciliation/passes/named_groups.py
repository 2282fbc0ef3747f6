"""Several payments and several lines that go by the same names: the whole of them, or the one part that meets.

A group is all open payments and lines that name each other, directly or through others of it: a reference that several
rows of both sides carry, or lists of references that overlap. Amounts are signed, so a correction counts against what it
corrects. Where all of a group adds up to the same on both sides, within the rule `many_to_many` in amount and days (so that what is
wrong in one month and in another is not netted), all of it is taken; it is only suggested where its lines are of several bank
accounts, or where several merchants have the reference and chance may well have made the sum; so is one payment in several
lines, or several in one, under such a reference. Else up to `most_parts` rows of a side that meet to the cent are taken, where no
others do and chance can hardly have made them (`by_chance`); where others do, they are suggested with the rival.
A group of more than `most_candidates` rows on a side is only looked at as a whole, and said in `search_limits`. So is what has
a name that too many rows share to be paired by it (`crowded_names`); its whole is taken only where it is of one merchant and
hardly chance.
"""

# ruff: noqa: S608 - the pieces put together are constants of this room
from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from atlas_lib.core.engine import Computed
from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.reconciliation.passes.group_sums import (
    CHANCE,
    MOST_CHANCE,
    Limit,
    Side,
    in_more_parts,
    meet,
    picker,
    singles,
    solution,
    whole_by_chance,
)
from atlas_lib.reconciliation.passes.solutions import Solution, left_out, shaped, simple, weigh
from atlas_lib.reconciliation.passes.subset_sums import listed_sums

_ANY_WIDTH = 10**5
_CROWDED = "crowded "  # groups by a name that too many rows share begin so; the others are numbers
_COLUMNS = ["key", "name", "currency", "account", "merchant", "day", "sign", "amount"]
_OPEN = " AND ".join(
    f"NOT EXISTS (SELECT 1 FROM {used} x WHERE x.{key} = p.{key})"
    for used in ("{taken}", "agreed_parts")
    for key in ("transaction_id", "line_key")
)
_ROW = """p.transaction_id, p.line_key, p.currency, b.account, COALESCE(t.merchant_id, '') AS merchant,
                   CASE WHEN b.direction = 'CRDT' THEN p.signed_minor ELSE -p.signed_minor END AS our_minor,
                   CASE WHEN b.direction = 'CRDT' THEN b.gross_minor ELSE -b.gross_minor END AS line_minor,
                   days_between(DATE '1970-01-01', p.transaction_date) AS our_day,
                   days_between(DATE '1970-01-01', p.booking_date) AS line_day"""
_SHAPES = {(True, False): "split", (False, True): "merge", (False, False): "many_to_many"}


def named_group_steps(tolerances: pd.DataFrame, settings: ReconciliationSettings) -> list[tuple[str, str | Computed]]:
    """From {taken} to `named_sums` (taken, suggested and limit rows) and {after}."""
    search = partial(find_named_groups, tolerances=tolerances, settings=settings)
    return [
        (
            "group_rows",
            f"""
            SELECT {_ROW}
            FROM open_named p
            JOIN booked b ON b.line_key = p.line_key
            JOIN ours t ON t.transaction_id = p.transaction_id
            WHERE (p.line_count >= 2 OR p.transaction_count >= 2) AND {_OPEN}
              AND NOT EXISTS (SELECT 1 FROM payout_chosen c WHERE c.line_key = p.line_key)""",
        ),
        (
            "shared_parts",
            f"""
            SELECT a.match_pass, a.group_key, {_ROW}
            FROM agreed_parts a
            JOIN open_named p ON p.transaction_id = a.transaction_id AND p.line_key = a.line_key
            JOIN booked b ON b.line_key = p.line_key
            JOIN ours t ON t.transaction_id = p.transaction_id
            WHERE a.is_shared = 1""",
        ),
        (
            "crowded_rows",
            """
            SELECT 1 AS is_ours, t.transaction_id AS key, c.name, t.currency, '' AS account, COALESCE(t.merchant_id, '') AS merchant,
                   CASE WHEN t.direction = 'CRDT' THEN t.amount_minor ELSE -t.amount_minor END AS amount,
                   days_between(DATE '1970-01-01', t.transaction_date) AS day
            FROM ours t JOIN crowded_names c ON c.name = t.reference_key
            WHERE t.is_due = 1 AND NOT EXISTS (SELECT 1 FROM {taken} x WHERE x.transaction_id = t.transaction_id)
            UNION ALL
            SELECT 0, b.line_key, c.name, b.currency, b.account, '',
                   CASE WHEN b.direction = 'CRDT' THEN b.gross_minor ELSE -b.gross_minor END,
                   days_between(DATE '1970-01-01', b.booking_date)
            FROM booked b JOIN crowded_names c ON c.name = COALESCE(b.quoted_key, b.reference_key)
            WHERE NOT EXISTS (SELECT 1 FROM {taken} x WHERE x.line_key = b.line_key)
              AND NOT EXISTS (SELECT 1 FROM payout_chosen p WHERE p.line_key = b.line_key)""",
        ),
        ("named_sums", Computed(("group_rows", "crowded_rows", "shared_parts"), search)),
        (
            "{after}",
            """
            SELECT * FROM {taken} UNION ALL
            SELECT transaction_id, line_key, match_pass, 8, CAST(NULL AS BIGINT), amount_minor, value_minor, is_first
            FROM named_sums WHERE status = 'taken'""",
        ),
    ]


def find_named_groups(
    rows: pd.DataFrame,
    crowded: pd.DataFrame,
    shared: pd.DataFrame,
    tolerances: pd.DataFrame,
    settings: ReconciliationSettings,
) -> pd.DataFrame:
    """Every sum found, as one row per pair that it joins, and one row per row of a group beyond the bound.

    `shared`: splits and merges that agree, under a reference that several merchants have.
    """
    agreed = _shared_parts(shared, tolerances)
    known = [*_sides(rows)] if len(rows) else []
    both = [*zip(*(sides for sides in (known, _crowded_sides(crowded)) if sides), strict=True)]
    ours, bank = (pd.concat(parts, ignore_index=True) for parts in both) if both else (rows, rows)
    if ours.empty:
        return shaped([weigh(agreed, set(), set())])
    rule = tolerances.query("match_pass == 'many_to_many'").set_index("currency")
    whole = _wholes(ours, bank, rule)
    sizes = pd.concat([side.groupby("name").size() for side in (ours, bank)], axis=1).max(axis=1)
    large = set(sizes.index[sizes > settings.most_candidates]) - set(whole)
    large |= {n for n in sizes.index[sizes.index.str.startswith(_CROWDED)] if n not in whole or not whole[n].is_sure}
    rest = [side[~side["name"].isin({*whole, *large})].reset_index(drop=True) for side in (ours, bank)]
    parts, limits = _parts(rest[0], rest[1], rule, settings)
    limits += in_more_parts(rest[0], rest[1], parts, settings.most_parts)
    limits += [
        ("many_to_many", "candidates", column, set(side.loc[side["name"].isin(large), "key"]))
        for column, side in (("transaction_id", ours), ("line_key", bank))
    ]
    found = weigh([*whole.values(), *parts, *agreed], set(), set())
    return shaped([found, *(left_out(*limit) for limit in limits)])


def _shared_parts(rows: pd.DataFrame, tolerances: pd.DataFrame) -> list[Solution]:
    """Each split and merge as a whole; sure where chance can hardly have made it."""
    rules = tolerances.set_index(["match_pass", "currency"])[["below_minor", "above_minor"]].sum(axis=1).to_dict()
    found = []
    for (shape, _, currency), own in rows.groupby(["match_pass", "group_key", "currency"]):
        sides = [
            own.rename(columns={key: "key", f"{side}_minor": "amount", f"{side}_day": "day"}).drop_duplicates("key")
            for key, side in (("transaction_id", "our"), ("line_key", "line"))
        ]
        one = solution(str(shape), *(picker(side)(np.arange(len(side))) for side in sides))
        is_sure = whole_by_chance(one, rules[shape, currency]) <= MOST_CHANCE
        found.append(replace(one, is_sure=is_sure, doubt="" if is_sure else CHANCE))
    return found


def _sides(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Payments and lines (key, name, currency, account, day, sign, amount) of the groups that have several of both."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    (pay, payments), (line, lines) = (pd.factorize(rows[key]) for key in ("transaction_id", "line_key"))
    size = len(payments) + len(lines)
    graph = coo_array((np.ones(len(rows), dtype=np.int8), (pay, line + len(payments))), shape=(size, size))
    group = connected_components(graph, directed=False)[1][pay]
    named = rows.assign(name=pd.Series(group, index=rows.index).astype("str"), sign=0)
    counts = named.groupby("name")[["transaction_id", "line_key"]].transform("nunique")
    named = named[counts.min(axis=1) >= 2]
    ours, bank = (
        named.rename(columns={key: "key", f"{side}_minor": "amount", f"{side}_day": "day"})
        .drop_duplicates("key")[_COLUMNS]
        .reset_index(drop=True)
        for key, side in (("transaction_id", "our"), ("line_key", "line"))
    )
    return ours.assign(account=""), bank


def _crowded_sides(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """The same of what goes by a name that too many rows share to be paired by it; a currency of a name is a group."""
    if rows.empty:
        return []
    named = rows.assign(name=_CROWDED + rows["name"] + " " + rows["currency"], sign=0)
    counts = named.groupby("name")["is_ours"].agg(["sum", "size"])
    shared = counts.index[(counts["sum"] > 0) & (counts["size"] > counts["sum"])]
    named = named[named["name"].isin(shared)]
    return [named.loc[named["is_ours"] == side, _COLUMNS].reset_index(drop=True) for side in (1, 0)]


def _wholes(ours: pd.DataFrame, bank: pd.DataFrame, rule: pd.DataFrame) -> dict[str, Solution]:
    """By group, where all its payments are all its lines; sure unless something speaks against it (`_doubt`)."""
    totals = [
        s.groupby("name").agg(total=("amount", "sum"), first=("day", "min"), last=("day", "max")) for s in (ours, bank)
    ]
    both = totals[0].join(totals[1].add_suffix("_bank")).join(ours.groupby("name")["currency"].first())
    both = both.join(rule, on="currency")
    size, more = both["total"].abs(), (both["total_bank"] - both["total"]) * np.sign(both["total"])
    holds = more <= np.maximum(both["above_minor"], size * both["above_ppm"] // 10**6)
    holds &= -more <= np.maximum(both["below_minor"], size * both["below_ppm"] // 10**6)
    holds &= both["last_bank"] - both["first"] <= both["days_after"]
    holds &= both["first_bank"] - both["last"] >= -both["days_before"]
    both["accounts"] = bank.groupby("name")["account"].nunique()
    both["merchants"] = ours.groupby("name")["merchant"].nunique()
    sides = [(side.groupby("name").indices, picker(side)) for side in (ours, bank)]
    found = {}
    for whole in both[holds & (both["total"] != 0)].itertuples():
        name = str(whole.Index)
        one = solution("many_to_many", *(pick(np.asarray(at[name])) for at, pick in sides))
        doubt = _doubt(one, whole, is_crowded=name.startswith(_CROWDED))
        found[name] = replace(one, is_sure=not doubt, doubt=doubt)
    return found


def _doubt(one: Solution, whole: Any, *, is_crowded: bool) -> str:
    """What a reference does not settle: a word that many use, lines of several accounts, round amounts of several merchants."""
    is_shared = whole.merchants > 1
    if whole.accounts > 1:
        return "the lines are of several bank accounts"
    if is_crowded and is_shared:
        return "very many rows of several merchants share the reference"
    slack = int(whole.above_minor + whole.below_minor)
    return CHANCE if (is_crowded or is_shared) and whole_by_chance(one, slack) > MOST_CHANCE else ""


def _parts(
    ours: pd.DataFrame, bank: pd.DataFrame, rule: pd.DataFrame, settings: ReconciliationSettings
) -> tuple[list[Solution], list[Limit]]:
    """Up to `most_parts` rows of either side that meet, named by their shape; a pair of rows alone is none."""
    sides = [
        Side(side, pd.concat([singles(side), listed_sums(side, _ANY_WIDTH, settings)[0]], ignore_index=True))
        for side in (ours, bank)
    ]
    found, limits = meet("many_to_many", sides[0], sides[1], rule[["days_before", "days_after"]])
    shapes = [replace(o, match_pass=_SHAPES[len(o.payments) == 1, len(o.lines) == 1]) for o in found if len(o.keys) > 2]
    return simple(shapes), limits
