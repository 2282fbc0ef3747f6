"""Bridges, breaks and passes as people look at them: in steps, worst first, by type, by age, by pass."""

from __future__ import annotations

import pandas as pd

from atlas_lib.core.money import to_units


def add_standing(breaks: pd.DataFrame, break_states: pd.DataFrame) -> pd.DataFrame:
    """Breaks with standing (new or persisting), dispute_state and is_recheck_asked."""
    names = ["break_id", "standing", "dispute_state", "is_recheck_asked"]
    return breaks.merge(break_states[names], on="break_id", how="left", validate="one_to_one")


def bridge_steps(bridges: pd.DataFrame, currency: str) -> pd.DataFrame:
    """The accounts of one currency as steps from opening to closing: label, amount_minor, is_total."""
    own = bridges[(bridges["currency"] == currency) & (bridges["status"] != "no balance")]
    if own.empty:
        return pd.DataFrame({"label": [], "amount_minor": [], "is_total": []})
    names = {
        "opening": "Opening",
        "matched": "Matched",
        "break": "Breaks",
        "residual": "Residual",
        "closing": "Closing",
    }
    sums = [int(own[f"{name}_minor"].sum()) for name in names]
    is_total = [name in ("opening", "closing") for name in names]
    return pd.DataFrame({"label": list(names.values()), "amount_minor": sums, "is_total": is_total})


def worst_breaks(breaks: pd.DataFrame) -> pd.DataFrame:
    """Open breaks, most severe first, then largest in units of their own currency, then oldest.

    `found_in` is added: our transaction, or statement/line where only the bank has it.
    """
    is_open = breaks[breaks["is_open"]]
    at_bank = is_open["statement_id"] + "/" + is_open["line_id"]
    order = is_open.assign(
        grade=is_open["severity"].map({"high": 0, "medium": 1, "low": 2}),
        size=-abs(to_units(is_open["discrepancy_minor"], is_open["currency"])),
        age=-is_open["break_age_days"],
        found_in=is_open["transaction_id"].where(is_open["side"] != "bank", at_bank),
    )
    return order.sort_values(["grade", "size", "age", "break_id"], ignore_index=True)[[*breaks.columns, "found_in"]]


def sum_breaks(breaks: pd.DataFrame) -> pd.DataFrame:
    """Breaks by type and currency: break_count, absolute discrepancy and how many are still open."""
    amount = breaks["discrepancy_minor"].abs()
    grouped = breaks.assign(discrepancy_minor=amount, break_count=1, open_count=breaks["is_open"].astype("int64"))
    by = ["break_type", "currency"]
    return grouped.groupby(by, as_index=False)[["break_count", "open_count", "discrepancy_minor"]].sum()


def age_breaks(breaks: pd.DataFrame) -> pd.DataFrame:
    """Open breaks per type, one count column per age bucket, most frequent type first."""
    buckets = {"0-1": "days_0_1_count", "2-7": "days_2_7_count", "8-30": "days_8_30_count", "over 30": "over_30_count"}
    is_open = breaks[breaks["is_open"]]
    counts = {name: (is_open["age_bucket"] == bucket).astype("int64") for bucket, name in buckets.items()}
    table = is_open[["break_type"]].assign(**counts, break_count=1).groupby("break_type", as_index=False).sum()
    return table.sort_values(["break_count", "break_type"], ascending=[False, True], ignore_index=True)


def sum_passes(matches: pd.DataFrame) -> pd.DataFrame:
    """Matches per pass and currency: transactions, bank lines, amount, lowest score."""
    lines = matches["statement_id"] + "\x1f" + matches["line_id"]
    grouped = matches.assign(line=lines).groupby(["match_pass", "currency"], as_index=False)
    return grouped.agg(
        transaction_count=("transaction_id", "nunique"),
        line_count=("line", "nunique"),
        amount_minor=("amount_minor", "sum"),
        lowest_score=("match_score", "min"),
    )
