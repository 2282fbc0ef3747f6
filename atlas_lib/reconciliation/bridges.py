"""Proof of completeness: every account bridges from opening to closing, every row is somewhere exactly once."""

from __future__ import annotations

import pandas as pd

from atlas_lib.core.bulk import loaded
from atlas_lib.core.engine import Input
from atlas_lib.core.statement_chain import STATEMENT, booked_lines, chained, edge_balances, statement_ends
from atlas_lib.core.tables import declared

_BY = ["account", "currency"]
_RUN_GAP = "does not open where the run before closed, or that is not known"
MOST_NOTES = 5  # statements named per account
_STATES = ("matched", "break", "pending", "uncovered")


def bridge_accounts(
    transactions: Input,
    statement_lines: Input,
    statement_balances: pd.DataFrame,
    reconciliation_items: pd.DataFrame,
    statement_coverage: pd.DataFrame | None = None,
) -> dict[str, pd.DataFrame]:
    """bridges: residual = closing - opening - matched - breaks; reconciliation_totals: in = all states.

    The amounts in come from the inputs, the states from `reconciliation_items`: a row lost, counted twice
    or changed on the way shows as a difference. Carried lines are in the totals; the balance that the statements open
    with holds them already, so they are in no bridge. An account has the status gap, even where the whole adds up, if one
    of its statements does not, or does not open where another closed, or if they do not go on from those of the run before
    (`statement_coverage`): lines may be missing. `note` says which.
    """
    bridges = _bridges(statement_balances, reconciliation_items)
    return {
        "bridges": bridges if statement_coverage is None else _with_gaps(bridges, statement_coverage),
        "reconciliation_totals": _totals(_rows_in(transactions, statement_lines), reconciliation_items),
    }


def _bridges(balances: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
    bank = items[(items["side"] == "bank") & ~items["is_carried"]]
    ends = statement_ends(bank, balances)
    sums = _sums_by_state(bank, _BY)
    sums["line_count"] = bank.groupby(_BY).size()
    bridge = sums.join(edge_balances(ends), how="outer").join(_flaws(ends, bank)).reset_index()
    counted = ["matched_minor", "break_minor", "line_count"]
    bridge[counted] = bridge[counted].fillna(0).astype("int64")
    whole = bridge[["opening_minor", "closing_minor"]].astype("Int64")
    bridge["residual_minor"] = (
        whole["closing_minor"] - whole["opening_minor"] - bridge["matched_minor"] - bridge["break_minor"]
    )
    bridge["status"] = "balanced"
    bridge["status"] = bridge["status"].mask((bridge["residual_minor"] != 0).fillna(False), "residual")
    bridge["status"] = bridge["status"].mask(bridge["residual_minor"].isna(), "no balance")
    bridge["note"] = bridge["note"].fillna("")
    bridge["status"] = bridge["status"].mask(bridge["status"].eq("balanced") & bridge["note"].ne(""), "gap")
    return declared("bridges").shaped(bridge)


def _flaws(ends: pd.DataFrame, bank: pd.DataFrame) -> pd.Series:
    """`note` per account: its statements that do not add up, or do not open where another closed.

    Where no line of an account is in a statement with balances, lines cannot be told apart by statement: the account as a
    whole is judged by its residual.
    """
    chain = chained(ends)
    is_told = pd.MultiIndex.from_frame(bank[STATEMENT]).isin(pd.MultiIndex.from_frame(chain[STATEMENT]))
    told = bank[_BY].assign(is_told=is_told).groupby(_BY)["is_told"].any()
    is_apart = pd.MultiIndex.from_frame(chain[_BY]).isin(told.index[~told])
    where = "statement " + chain["statement_id"].astype("str")
    flaws = {
        " does not open where another closed": chain["is_gap"],
        " does not add up from opening to closing": chain["is_unbalanced"] & ~is_apart,
    }
    notes = pd.concat([chain.loc[wrong, _BY].assign(note=where[wrong] + text) for text, wrong in flaws.items()])
    first = notes[notes.groupby(_BY).cumcount() < MOST_NOTES]
    return first.groupby(_BY)["note"].agg("; ".join)


def _with_gaps(bridges: pd.DataFrame, statement_coverage: pd.DataFrame) -> pd.DataFrame:
    broken = statement_coverage[statement_coverage["continuity"].isin(["gap", "unknown"])]
    has_gap = pd.MultiIndex.from_frame(bridges[_BY]).isin(pd.MultiIndex.from_frame(broken[_BY]))
    has_gap &= bridges["status"].isin(["balanced", "gap"])
    note = (_RUN_GAP + "; " + bridges["note"]).str.removesuffix("; ")
    return bridges.assign(status=bridges["status"].mask(has_gap, "gap"), note=bridges["note"].mask(has_gap, note))


def _sums_by_state(items: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """`<state>_minor` per group."""
    amounts = {f"{s}_minor": items["amount_minor"].where(items["state"] == s, 0) for s in _STATES}
    return items[by].assign(**amounts).groupby(by, sort=True).sum()


def _rows_in(ours: Input, bank: Input) -> pd.DataFrame:
    """Booked lines and every transaction; one that is not due counts nothing, but its side is there."""
    transactions = loaded(ours, ["type", "status", "currency", "amount_minor"])
    statement_lines = loaded(bank, ["status", "currency", "credit_debit_indicator", "amount_posted_minor"])
    is_due = (transactions["status"] == "APPROVED") | (
        (transactions["status"] == "REFUNDED") & (transactions["type"] == "SALE")
    )
    amount = transactions["amount_minor"]
    signed = amount.where(transactions["type"] == "SALE", -amount).where(is_due, 0)
    lines = booked_lines(statement_lines)
    ledger_side = pd.DataFrame(
        {
            "side": "ledger",
            "currency": transactions["currency"],
            "rows_in_count": is_due.astype("int64"),
            "amount_in_minor": signed,
        }
    )
    bank_side = pd.DataFrame(
        {"side": "bank", "currency": lines["currency"], "rows_in_count": 1, "amount_in_minor": lines["amount_minor"]}
    )
    return pd.concat([ledger_side, bank_side], ignore_index=True)


def _totals(rows_in: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
    by = ["side", "currency"]
    counts = {f"{s}_count": (items["state"] == s).astype("int64") for s in _STATES}
    seen = items[by].assign(**counts).groupby(by).sum().join(_sums_by_state(items, by))
    came = rows_in.groupby(by).sum()
    both = came.join(seen, how="outer").fillna(0).astype("int64").reset_index()
    both["difference_count"] = both["rows_in_count"] - both[[f"{s}_count" for s in _STATES]].sum(axis=1)
    both["difference_minor"] = both["amount_in_minor"] - both[[f"{s}_minor" for s in _STATES]].sum(axis=1)
    return declared("reconciliation_totals").shaped(both)
