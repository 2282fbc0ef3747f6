"""Statements against each other: each adds up, each opens where the one before closed, none counts twice.

A statement is checked where it says enough: opening + booked lines = closing. Without an opening balance (OFX) the
closing of the statement before stands in for it. A report without a closing balance (camt.052, camt.054, MT942) is
checked against the statement that follows: a line that this one has too is a repetition.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from atlas_lib.core.statement_chain import STATEMENT, booked_lines, chained, statement_ends
from atlas_lib.core.tables import declared
from atlas_lib.ingest.places import number_entries
from atlas_lib.ingest.recognition import NamedSheet

_SOURCE = ["source_file", "source_sheet", "source_row"]
_SAID = ["currency", "booking_date", "credit_debit_indicator", "amount_posted_minor"]
_PAIR = ["owner", *_SAID]
_ASK = "What to do: ask the bank for the missing lines."


def statement_findings(clean: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Warnings (columns of `rejects`) on statements that do not add up or do not follow from the one before."""
    lines, balances = clean["statement_lines"], clean["statement_balances"]
    alike = _alike(lines[~lines["statement_id"].isin(balances.loc[balances["balance_type"] == "OPBD", "statement_id"])])
    if balances.empty:
        return alike
    chain = chained(_ends(lines, balances))
    return pd.concat([_unbalanced(chain), _gaps(chain), _mixed(lines, balances), alike], ignore_index=True)


def _ends(lines: pd.DataFrame, balances: pd.DataFrame) -> pd.DataFrame:
    """`statement_ends`, and where the last balance of each stands."""
    places = balances.sort_values(["statement_id", "balance_type"]).drop_duplicates(STATEMENT)[[*STATEMENT, *_SOURCE]]
    return statement_ends(booked_lines(lines), balances).merge(places, on=STATEMENT, validate="one_to_one")


def _unbalanced(chain: pd.DataFrame) -> pd.DataFrame:
    wrong = chain[chain["is_unbalanced"]]
    from_opening = wrong["opening_minor"].notna()
    origin = (
        ("the closing balance of " + wrong["before_statement_id"]).astype("str").mask(from_opening, "opening balance")
    )
    text = (
        "statement " + wrong["statement_id"] + ": " + origin + " and lines give " + wrong["expected_minor"].astype("str")
        + ", the closing balance is " + wrong["closing_minor"].astype("str") + " (minor units). " + _ASK
    )  # fmt: skip
    return _findings(wrong, "STATEMENT_BALANCE", wrong["closing_minor"].astype("str"), text)


def _gaps(chain: pd.DataFrame) -> pd.DataFrame:
    """Openings that no statement of the day before, or of the same day, closed with."""
    wrong = chain[chain["is_gap"]]
    overlap = (wrong["opening_date"] < wrong["before_closing_date"]).astype(bool)
    why = pd.Series("a statement between them is missing", index=wrong.index, dtype="str")
    why = why.mask(overlap, "the two overlap: lines of the same days may be there twice")
    text = (
        "statement " + wrong["statement_id"] + ": opens with " + wrong["opening_minor"].astype("str") + ", "
        + wrong["before_statement_id"] + " before it closed with " + wrong["before_closing_minor"].astype("str")
        + " (minor units); " + why + ". What to do: ask the bank for the statements of these days."
    )  # fmt: skip
    return _findings(wrong, "STATEMENT_GAP", wrong["opening_minor"].astype("str"), text)


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


def _alike(lines: pd.DataFrame) -> pd.DataFrame:
    """Lines that say all the same as one of an earlier statement, among those that no opening balance proves.

    Two downloads of overlapping days, or two bookings: without a number of the bank's own that is not ours to guess.
    """
    likely = lines[lines.duplicated(["account", *_SAID], keep=False)]
    if likely.empty:
        return declared("rejects").empty()
    said = [c for c in likely if c not in ("statement_id", "line_id", *_SOURCE)]
    turn = likely.groupby([*said, "statement_id"], dropna=False, sort=False).cumcount()
    groups = likely.assign(turn=turn).groupby([*said, "turn"], dropna=False, sort=False)
    other = groups[["statement_id", "source_file"]].transform("first").add_prefix("other_")
    later = likely.join(other)[likely["statement_id"] != other["other_statement_id"]]
    pairs = later.groupby(["statement_id", "other_statement_id"], sort=True)
    wrong = pairs.agg(
        **{c: (c, "first") for c in (*_SOURCE, "other_source_file")}, count=("line_id", "size"),
        first=("booking_date", "min"), last=("booking_date", "max"),
    ).reset_index()  # fmt: skip
    days = wrong["first"].dt.strftime("%Y-%m-%d") + " to " + wrong["last"].dt.strftime("%Y-%m-%d")
    text = (
        "statement " + wrong["statement_id"] + ": " + wrong["count"].astype("str") + " of its lines (" + days + ") say all the same as lines of "
        + wrong["other_statement_id"] + " (" + wrong["other_source_file"] + "), and count in both. What to do: "
        + "if both are downloads of the same days, take one of them out."
    )  # fmt: skip
    return _findings(wrong, "LINES_ALIKE", wrong["count"].astype("str"), text).assign(
        table="statement_lines", column=""
    )


def _findings(wrong: pd.DataFrame, rule: str, value: pd.Series, text: pd.Series) -> pd.DataFrame:
    where = {c: wrong[c] for c in _SOURCE}
    return pd.DataFrame(where).assign(
        table="statement_balances", column="balance", value=value, rule=rule, severity="warning",
        message=wrong["source_file"] + ", " + text,
    )  # fmt: skip


def set_aside_reported(
    clean: dict[str, pd.DataFrame], named: Sequence[NamedSheet] = ()
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """(lines kept, notes, counts): lines of reports without a closing balance that a balanced statement has too.

    Each report is paired with the statements one to one by account, currency, booking day, direction and amount; several
    reports may repeat one line. A statement that adds up is complete for what it holds, so its own line is kept and the
    report's is the repetition. Where the bank names no account (the statement's id then stands for it), the two are of one
    account only if their references say so; lines that are alike but for that are noted.
    `named`: the sheets of the lines, from which the notes know which of several on a line of the file they mean.
    """
    given = clean["statement_lines"]
    if given.empty or clean["statement_balances"].empty:
        return given, declared("rejects").empty(), declared("received_counts").empty()
    lines, ends = _keyed(given), _ends(given, clean["statement_balances"])
    is_balanced = (ends["opening_minor"] + ends["moved_minor"] == ends["closing_minor"]).fillna(False)
    balanced = set(ends.loc[is_balanced, "statement_id"])
    closed = set(ends.loc[ends["closing_minor"].notna(), "statement_id"])
    of_statement = lines["statement_id"].isin(balanced)
    of_report = ~lines["statement_id"].isin(closed)
    found = _paired(lines, of_report, of_statement, [*_PAIR, *({"reference"} & set(lines))])
    repeated = (of_report & found.notna()).to_numpy()
    rest = lines[~repeated & (lines["owner"] == "")]
    alike = _paired(rest, of_report[rest.index], of_statement[rest.index], _PAIR).dropna()
    return (
        given[~repeated].reset_index(drop=True),
        pd.concat([_reported(lines[repeated], found[repeated], named), _unsure(rest.loc[alike.index], alike)]),
        _counts(lines[repeated]),
    )


def _keyed(lines: pd.DataFrame) -> pd.DataFrame:
    """With whose they are: the account, or nothing and the reference that the bank gives; without one the statement is its own."""
    no_account = lines["account"] == lines["statement_id"]
    if not no_account.any():
        return lines.assign(owner=lines["account"])
    given = ("bank " + lines["bank_reference"]).fillna("payment " + lines["end_to_end_id"])
    reference = given.fillna(lines["statement_id"]).where(no_account, "")
    return lines.assign(owner=lines["account"].mask(no_account, ""), reference=reference)


def _paired(lines: pd.DataFrame, of_report: pd.Series, of_statement: pd.Series, key: list[str]) -> pd.Series:
    """The statement that has each line of a report too, one to one; empty for all others."""
    counted_in = lines["statement_id"].where(of_report, "")  # a report by itself, all statements together
    numbered = lines.assign(turn=lines.assign(counted_in=counted_in).groupby([*key, "counted_in"]).cumcount())
    known = numbered.loc[of_statement, [*key, "turn", "statement_id"]].rename(columns={"statement_id": "booked_in"})
    known = known.drop_duplicates([*key, "turn"])
    found = numbered.merge(known, how="left", on=[*key, "turn"], validate="many_to_one")["booked_in"]
    return found.set_axis(lines.index).where(of_report)


def _unsure(lines: pd.DataFrame, booked_in: pd.Series) -> pd.DataFrame:
    """Per report without an account what a statement without one may have too."""
    each = lines.assign(booked_in=booked_in).groupby(["statement_id", "booked_in"], as_index=False)
    first = each.agg(**{c: (c, "first") for c in _SOURCE}, count=("line_id", "size"))
    text = (
        first["source_file"] + ": report " + first["statement_id"] + " and statement " + first["booked_in"] + " name no account, and "
        + first["count"].astype("str") + " of its lines are alike but for the reference; of one account, they are counted twice. "
        "What to do: leave the report out if it is, or ask the bank to name the account."
    )  # fmt: skip
    return first[_SOURCE].assign(
        table="statement_lines", column="account", value=first["statement_id"], rule="REPORT_WITHOUT_ACCOUNT",
        severity="warning", message=text,
    )  # fmt: skip


def _reported(lines: pd.DataFrame, booked_in: pd.Series, named: Sequence[NamedSheet]) -> pd.DataFrame:
    place = lines["source_file"] + ", line " + lines["source_row"].astype("str") + ", entry " + lines["line_id"] + ": "
    text = (
        place
        + "this line of a report is in statement "
        + booked_in.to_numpy()
        + " too; it is counted there. What to do: nothing."
    )
    return lines[_SOURCE].assign(
        table="statement_lines", column="", value=lines["statement_id"], rule="REPORTED_AND_BOOKED", severity="error",
        message=text, source_entry=_entries(lines, named).to_numpy(),
    )  # fmt: skip


def _entries(lines: pd.DataFrame, named: Sequence[NamedSheet]) -> pd.Series:
    """Which of the rows on its line of the file each is; empty where it stands alone."""
    key = ["source_file", "source_row", "statement_id", "line_id"]
    parts = [lines[key].iloc[:0].assign(source_entry=0)]
    for sheet in named:
        numbers = number_entries(sheet.frame.index)
        if len(numbers) and {"statement_id", "line_id"} <= set(sheet.frame):
            own = sheet.frame[["statement_id", "line_id"]].assign(
                source_file=sheet.file, source_row=sheet.frame.index, source_entry=numbers
            )
            parts.append(own)
    known = pd.concat(parts, ignore_index=True).drop_duplicates(key)
    return lines[key].merge(known, how="left", on=key)["source_entry"].replace(0, None)


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
