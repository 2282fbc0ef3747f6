"""Statements against each other: each adds up, each opens where the one before closed, none counts twice.

A statement is checked where it says enough: opening + booked lines = closing. Without an opening balance (OFX) the
closing of the statement before stands in for it. A report without a closing balance (camt.052, camt.054, MT942) is
checked against the statement that follows: a line that this one has too is a repetition.
"""

from __future__ import annotations

import pandas as pd

from atlas_lib.core.tables import declared

_SOURCE = ["source_file", "source_sheet", "source_row"]
_OWNER = ["account", "currency"]
_KEY = [*_OWNER, "statement_id"]
_LINE = [*_OWNER, "booking_date", "credit_debit_indicator", "amount_posted_minor"]
_ASK = "What to do: ask the bank for the missing lines."


def statement_findings(clean: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Warnings (columns of `rejects`) on statements that do not add up or do not follow from the one before."""
    if clean["statement_balances"].empty:
        return declared("rejects").empty()
    ends = _ends(clean["statement_lines"], clean["statement_balances"])
    parts = [_unbalanced(ends), _gaps(ends), _mixed(clean["statement_lines"], clean["statement_balances"])]
    return pd.concat(parts, ignore_index=True)


def _ends(lines: pd.DataFrame, balances: pd.DataFrame) -> pd.DataFrame:
    """Per statement: opening, closing, their days, the sum of its booked lines, and where its last balance stands."""
    kinds = {"OPBD": "opening", "CLBD": "closing"}
    wide = []
    for kind, name in kinds.items():
        part = balances[balances["balance_type"] == kind].set_index(_KEY)[["balance_minor", "balance_date"]]
        wide.append(part.rename(columns={"balance_minor": f"{name}_minor", "balance_date": f"{name}_date"}))
    ends = wide[0].join(wide[1], how="outer")
    moved = _signed(lines).groupby(_KEY)["signed"].sum().rename("moved_minor")
    places = balances.sort_values(["statement_id", "balance_type"]).drop_duplicates(_KEY).set_index(_KEY)[_SOURCE]
    joined = ends.join(moved, how="left").join(places).reset_index()
    whole = {c: "Int64" for c in ("opening_minor", "closing_minor", "moved_minor")}
    return joined.astype(whole).fillna({"moved_minor": 0})


def _signed(lines: pd.DataFrame) -> pd.DataFrame:
    booked = lines[lines["status"] == "BOOK"]
    amount = booked["amount_posted_minor"]
    return booked.assign(signed=amount.where(booked["credit_debit_indicator"] == "CRDT", -amount))


def _chain(ends: pd.DataFrame) -> pd.DataFrame:
    """Statements with a closing balance in their order, beside each what the one before closed with."""
    closed = ends[ends["closing_minor"].notna()]
    ordered = closed.sort_values([*_OWNER, "closing_date", "opening_date", "statement_id"], kind="stable")
    before = ordered.groupby(_OWNER)[["statement_id", "closing_minor", "closing_date"]].shift()
    return ordered.join(before.add_prefix("before_"))


def _unbalanced(ends: pd.DataFrame) -> pd.DataFrame:
    chain = _chain(ends)
    start = chain["opening_minor"].fillna(chain["before_closing_minor"])
    expected = start + chain["moved_minor"]
    wrong = chain.assign(expected=expected)[(expected != chain["closing_minor"]).fillna(False)]
    from_opening = wrong["opening_minor"].notna()
    origin = (
        ("the closing balance of " + wrong["before_statement_id"]).astype("str").mask(from_opening, "opening balance")
    )
    text = (
        "statement " + wrong["statement_id"] + ": " + origin + " and lines give " + wrong["expected"].astype("str")
        + ", the closing balance is " + wrong["closing_minor"].astype("str") + " (minor units). " + _ASK
    )  # fmt: skip
    return _findings(wrong, "STATEMENT_BALANCE", wrong["closing_minor"].astype("str"), text)


def _gaps(ends: pd.DataFrame) -> pd.DataFrame:
    """Openings that no statement of the day before, or of the same day, closed with."""
    chain = _chain(ends)
    wrong = chain[chain["opening_minor"].notna() & chain["before_closing_minor"].notna() & ~_follows(chain)]
    overlap = (wrong["opening_date"] < wrong["before_closing_date"]).astype(bool)
    why = pd.Series("a statement between them is missing", index=wrong.index, dtype="str")
    why = why.mask(overlap, "the two overlap: lines of the same days may be there twice")
    text = (
        "statement " + wrong["statement_id"] + ": opens with " + wrong["opening_minor"].astype("str") + ", "
        + wrong["before_statement_id"] + " before it closed with " + wrong["before_closing_minor"].astype("str")
        + " (minor units); " + why + ". What to do: ask the bank for the statements of these days."
    )  # fmt: skip
    return _findings(wrong, "STATEMENT_GAP", wrong["opening_minor"].astype("str"), text)


def _follows(chain: pd.DataFrame) -> pd.Series:
    """Whether another statement of the account, closing on the same or the last day before, closed with the opening.

    Several statements of one day have no order but this one. The first of an account follows none: where none of the
    first day does, the one that another follows is it.
    """
    day = chain.groupby(_OWNER)["closing_date"].rank("dense").astype("int64")
    opened = chain[[*_OWNER, "statement_id"]].assign(day=day, level=chain["opening_minor"])
    closed = chain[[*_OWNER]].assign(day=day, level=chain["closing_minor"], before_id=chain["statement_id"])
    either = pd.concat([closed, closed.assign(day=closed["day"] + 1)])
    pairs = opened.merge(either, on=[*_OWNER, "day", "level"])
    others = pairs[pairs["statement_id"] != pairs["before_id"]]
    follows = chain["statement_id"].isin(others["statement_id"])
    loose = chain[(day == 1) & ~follows].assign(is_followed=lambda f: f["statement_id"].isin(others["before_id"]))
    first = loose.sort_values("is_followed", ascending=False, kind="stable").drop_duplicates(_OWNER)
    return follows | chain.index.isin(first.index)


def _mixed(lines: pd.DataFrame, balances: pd.DataFrame) -> pd.DataFrame:
    """A statement has one currency: balances, or lines and balances, in several cannot be added up."""
    both = pd.concat([balances[["statement_id", "currency"]], lines[["statement_id", "currency"]]]).drop_duplicates()
    named = both.sort_values(["statement_id", "currency"]).groupby("statement_id")["currency"].agg(["size", ", ".join])
    place = balances.drop_duplicates("statement_id").merge(
        named, left_on="statement_id", right_index=True, validate="one_to_one"
    )
    wrong = place[place["size"] > 1]
    text = (
        "statement " + wrong["statement_id"] + ": its lines and balances are in " + wrong["join"]
        + " and are not added up. What to do: ask the bank for one statement per currency."
    )  # fmt: skip
    return _findings(wrong, "MIXED_CURRENCY", wrong["join"], text)


def _findings(wrong: pd.DataFrame, rule: str, value: pd.Series, text: pd.Series) -> pd.DataFrame:
    where = {c: wrong[c] for c in _SOURCE}
    return pd.DataFrame(where).assign(
        table="statement_balances", column="balance", value=value, rule=rule, severity="warning",
        message=wrong["source_file"] + ", " + text,
    )  # fmt: skip


def set_aside_reported(
    clean: dict[str, pd.DataFrame],
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """(lines kept, notes, counts): lines of reports without a closing balance that a balanced statement has too.

    Each report is paired with the statements one to one by account, currency, booking day, direction and amount; several
    reports may repeat one line. A statement that adds up is complete for what it holds, so its own line is kept and the
    report's is the repetition.
    """
    lines = clean["statement_lines"]
    if lines.empty or clean["statement_balances"].empty:
        return lines, declared("rejects").empty(), declared("received_counts").empty()
    ends = _ends(lines, clean["statement_balances"])
    is_balanced = (ends["opening_minor"] + ends["moved_minor"] == ends["closing_minor"]).fillna(False)
    balanced = set(ends.loc[is_balanced, "statement_id"])
    closed = set(ends.loc[ends["closing_minor"].notna(), "statement_id"])
    of_statement = lines["statement_id"].isin(balanced)
    of_report = ~lines["statement_id"].isin(closed)
    counted_in = lines["statement_id"].where(of_report, "")  # a report by itself, all statements together
    numbered = lines.assign(turn=lines.assign(counted_in=counted_in).groupby([*_LINE, "counted_in"]).cumcount())
    known = numbered.loc[of_statement, [*_LINE, "turn", "statement_id"]].rename(columns={"statement_id": "booked_in"})
    known = known.drop_duplicates([*_LINE, "turn"])
    found = numbered.merge(known, how="left", on=[*_LINE, "turn"], validate="many_to_one")["booked_in"]
    repeated = (of_report & found.notna()).to_numpy()
    return (
        lines[~repeated].reset_index(drop=True),
        _reported(lines[repeated], found[repeated]),
        _counts(lines[repeated]),
    )


def _reported(lines: pd.DataFrame, booked_in: pd.Series) -> pd.DataFrame:
    place = lines["source_file"] + ", line " + lines["source_row"].astype("str") + ": "
    text = place + "this line of a report is in statement " + booked_in.to_numpy() + " too; it is counted there."
    return lines[_SOURCE].assign(
        table="statement_lines", column="", value=lines["statement_id"], rule="REPORTED_AND_BOOKED", severity="error",
        message=text,
    )  # fmt: skip


def _counts(lines: pd.DataFrame) -> pd.DataFrame:
    per_currency = lines.groupby("currency").size().rename("duplicate_count").reset_index()
    made = per_currency.assign(table="statement_lines", rows_in_count=0, rejected_count=0)
    return declared("received_counts").shaped(made)


def differing_deliveries(rows: pd.DataFrame) -> pd.Series:
    """Lines of a statement that came before from another file with other content: which is right is not ours to guess."""
    table = declared("statement_lines")
    business = [c.name for c in table.columns if c.name not in _SOURCE]
    differs = rows.duplicated(list(table.key)) & ~rows.duplicated(business)
    first = rows.groupby("statement_id")["source_file"].transform("first")
    pair = rows["statement_id"] + "\x1f" + rows["source_file"]
    return pair.isin(pair[differs]) & (rows["source_file"] != first)
