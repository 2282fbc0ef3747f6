"""Statements of an account in their order: what each opens and closes with, which add up, which follow another."""

from __future__ import annotations

import pandas as pd

_OWNER = ["account", "currency"]
STATEMENT = [*_OWNER, "statement_id"]


def booked_lines(lines: pd.DataFrame) -> pd.DataFrame:
    """Booked lines with `amount_minor`: money in positive, money out negative."""
    booked = lines[lines["status"] == "BOOK"]
    posted = booked["amount_posted_minor"]
    return booked.assign(amount_minor=posted.where(booked["credit_debit_indicator"] == "CRDT", -posted))


def statement_ends(moved: pd.DataFrame, balances: pd.DataFrame) -> pd.DataFrame:
    """One row per statement with a balance: opening_minor, closing_minor, their _date, and moved_minor.

    `moved`: account, currency, statement_id and amount_minor (signed) of the booked lines.
    """
    wide = []
    for kind, name in {"OPBD": "opening", "CLBD": "closing"}.items():
        part = balances[balances["balance_type"] == kind].set_index(STATEMENT)[["balance_minor", "balance_date"]]
        wide.append(part.rename(columns={"balance_minor": f"{name}_minor", "balance_date": f"{name}_date"}))
    sums = moved.groupby(STATEMENT)["amount_minor"].sum().rename("moved_minor")
    ends = wide[0].join(wide[1], how="outer").join(sums, how="left").reset_index()
    whole = {c: "Int64" for c in ("opening_minor", "closing_minor", "moved_minor")}
    return ends.astype(whole).fillna({"moved_minor": 0})


def chained(ends: pd.DataFrame) -> pd.DataFrame:
    """Statements with a closing balance, beside each the one before it (before_...), and what is wrong with it.

    expected_minor = opening (where there is none, the closing before) + moved; is_unbalanced: the closing is another;
    is_gap: no statement of the day before, or of the same day, closed with its opening.
    """
    closed = ends[ends["closing_minor"].notna()]
    order = [*_OWNER, "closing_date", "opening_date", "statement_id"]
    ordered = closed.sort_values(order, kind="stable", ignore_index=True)
    before = ordered.groupby(_OWNER)[["statement_id", "closing_minor", "closing_date"]].shift()
    chain = ordered.join(before.add_prefix("before_"))
    expected = chain["opening_minor"].fillna(chain["before_closing_minor"]) + chain["moved_minor"]
    is_known = chain["opening_minor"].notna() & chain["before_closing_minor"].notna()
    return chain.assign(
        expected_minor=expected,
        is_unbalanced=(expected != chain["closing_minor"]).fillna(False).astype(bool),
        is_gap=(is_known & ~_follows(chain)).astype(bool),
    )


def _follows(chain: pd.DataFrame) -> pd.Series:
    """Whether another statement of the account, closing on the same or the last day before, closed with the opening.

    Several statements of one day have no order but this one. The first of an account follows none: where none of the
    first day does, the one that another follows is it. Of every later day one must open where the day before closed:
    statements that only follow each other hang in the air.
    """
    day = chain.groupby(_OWNER)["closing_date"].rank("dense").astype("int64")
    own = chain[_OWNER].assign(day=day, row=chain.index)
    opened = own.assign(level=chain["opening_minor"])
    closed = own.assign(level=chain["closing_minor"]).rename(columns={"row": "before_row"})
    either = pd.concat([closed.assign(is_next=False), closed.assign(day=closed["day"] + 1, is_next=True)])
    pairs = opened.merge(either, on=[*_OWNER, "day", "level"])
    others = pairs[pairs["row"] != pairs["before_row"]]
    follows = pd.Series(chain.index.isin(others["row"]), index=chain.index)
    loose = own[(day == 1) & ~follows].assign(is_followed=lambda f: f["row"].isin(others["before_row"]))
    first = loose.sort_values("is_followed", ascending=False, kind="stable").drop_duplicates(_OWNER)
    enters = chain.index.isin(pairs.loc[pairs["is_next"], "row"]) | chain["opening_minor"].isna() | (day == 1)
    of_day = [*_OWNER, "day"]
    hangs = ~own.assign(enters=enters).groupby(of_day)["enters"].transform("any") & ~own.duplicated(of_day)
    return (follows & ~hangs) | chain.index.isin(first["row"])


def edge_balances(ends: pd.DataFrame) -> pd.DataFrame:
    """Per account and currency: opening_minor and opening_date of its first statement, closing_... of its last.

    Of several statements of one day the first is the one that opens with what none closed with, the last the one that
    closes with what none opened with.
    """
    own = ends.assign(day=ends["closing_date"].fillna(ends["opening_date"]))
    picked = _edge(own, "opening", 1, "first")
    return picked.join(
        _edge(own.join(picked["opening_minor"].rename("start"), on=_OWNER), "closing", -1, "last"), how="outer"
    )


def _edge(own: pd.DataFrame, name: str, sign: int, position: str) -> pd.DataFrame:
    level = f"{name}_minor"
    rows = own[own[level].notna()]
    surplus = {f"surplus_{len(by)}": sign * _surplus(own, rows, by, level) for by in (_OWNER, [*_OWNER, "day"])}
    # levels that go round in a circle have no surplus: such an account closes where it opened
    is_round = rows[level].eq(rows["start"]).fillna(False) if "start" in rows else False
    ranked = rows.assign(**{c: s.gt(0).ne(sign == 1) for c, s in surplus.items()}, is_round=is_round)
    order = ["day", *surplus, "is_round", f"{name}_date", "statement_id"]
    return ranked.sort_values(order, kind="stable").groupby(_OWNER)[[f"{name}_date", level]].agg(position)


def _surplus(own: pd.DataFrame, rows: pd.DataFrame, by: list[str], level: str) -> pd.Series:
    """Statements that open with the level of each row, less those that close with it."""
    both = [own[by].assign(level=own[f"{end}_minor"], net=net) for end, net in (("opening", 1), ("closing", -1))]
    net = pd.concat(both).dropna(subset="level").groupby([*by, "level"])["net"].sum().reset_index()
    found = rows[by].assign(level=rows[level]).merge(net, how="left", on=[*by, "level"], validate="many_to_one")["net"]
    return found.set_axis(rows.index)
