"""Proof of completeness: every account bridges from opening to closing, every row is somewhere exactly once."""

from __future__ import annotations

import pandas as pd

from atlas_lib.core.bulk import loaded
from atlas_lib.core.engine import Input
from atlas_lib.core.money import to_units
from atlas_lib.core.run import StageSummary
from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.core.statement_chain import STATEMENT, booked_lines, chained, edge_balances, statement_ends
from atlas_lib.core.tables import declared
from atlas_lib.core.wording import counted

_BY = ["account", "currency"]
_RUN_GAP = "does not open where the run before closed, or that is not known"
_MOST_NOTES = 5  # statements named per account
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
    first = notes[notes.groupby(_BY).cumcount() < _MOST_NOTES]
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


def verdict_of(bridges: pd.DataFrame, totals: pd.DataFrame, breaks: pd.DataFrame) -> str:
    """incomplete, breaks, reconciled with pending, reconciled, or nothing to reconcile; the worst that is true."""
    if not totals[["rows_in_count", "difference_count"]].to_numpy().any() or _lacks_a_side(bridges, totals, breaks):
        return "nothing to reconcile"
    differs = totals[["difference_count", "difference_minor", "uncovered_count"]].ne(0).to_numpy().any()
    if differs or bridges.empty or (bridges["status"] != "balanced").any():
        return "incomplete"
    if breaks["is_open"].any():
        return "breaks"
    return "reconciled with pending" if totals["pending_count"].sum() else "reconciled"


def _lacks_a_side(bridges: pd.DataFrame, totals: pd.DataFrame, breaks: pd.DataFrame) -> bool:
    """Only one side came, and nothing of the run before stands against it or is open still."""
    sides = set(totals["side"])
    if sides == {"bank"}:
        return int(totals["rows_in_count"].sum()) == int(bridges["line_count"].sum())  # no line is carried
    return sides == {"ledger"} and bridges.empty and not breaks["is_open"].any()


def check_statements(statement_lines: pd.DataFrame, statement_balances: pd.DataFrame) -> pd.DataFrame:
    """One row per check of the statements themselves: each adds up, and each opens where the one before closed.

    None blocks: what is wrong gives the bridge of its account the status gap or residual, and the verdict is incomplete.
    """
    moved = booked_lines(statement_lines)
    ends = statement_ends(moved, statement_balances)
    chain = chained(ends)
    whole = ends.merge(moved[STATEMENT].drop_duplicates(), how="outer", on=STATEMENT, validate="one_to_one")
    adds_up = whole["opening_minor"] + whole["moved_minor"] == whole["closing_minor"]
    wrong, broken = whole[~adds_up.fillna(False).astype(bool)], chain[chain["is_gap"]]
    names = [
        ("every statement adds up from opening to closing", wrong.empty, _statements(wrong)),
        ("every statement opens where the one before closed", broken.empty, _statements(broken)),
    ]
    return _checks(names)


def _statements(wrong: pd.DataFrame) -> str:
    return ", ".join(wrong["statement_id"][:_MOST_NOTES]) or "all do"


def _checks(rows: list[tuple[str, bool, str]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["check", "passed", "detail"])
    return frame.assign(is_blocking=False)[["check", "passed", "is_blocking", "detail"]]


def check_completeness(bridges: pd.DataFrame, totals: pd.DataFrame) -> pd.DataFrame:
    """One row per proof: columns check, passed, is_blocking, detail. None blocks: the verdict says it."""
    lost = totals[["difference_count", "difference_minor"]].ne(0).to_numpy().any(axis=1)
    unbalanced = bridges[bridges["status"] != "balanced"]
    uncovered = totals[totals["uncovered_count"] > 0]
    rows = [
        ("every row of both sides is in exactly one state", not lost.any(), f"{int(lost.sum())} totals differ"),
        (
            "every account bridges to its closing balance",
            unbalanced.empty,
            ", ".join((unbalanced["account"] + ": " + unbalanced["note"]).str.removesuffix(": ")) or "all do",
        ),
        ("every currency and day has a statement", uncovered.empty, ", ".join(uncovered["currency"]) or "all have"),
    ]
    return _checks(rows)


def check_decisions(decision_findings: pd.DataFrame) -> pd.DataFrame:
    """One row: whether every decision of a person still applies; the first that does not is named."""
    first = decision_findings.head(1)
    detail = "all do" if first.empty else f"{first['subject'].iloc[0]}: {first['finding'].iloc[0]}"
    return _checks([("every decision so far applies", decision_findings.empty, detail)])


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


def summarise_stage(
    bridges: pd.DataFrame, totals: pd.DataFrame, breaks: pd.DataFrame, settings: ReconciliationSettings
) -> StageSummary:
    """Verdict in one sentence with its figures; only `reconciled` passes without a look."""
    verdict = verdict_of(bridges, totals, breaks)
    if verdict == "nothing to reconcile":
        text = "Nothing to reconcile: this input has no transactions or no bank statements."
        return StageSummary(text, "skipped", pd.DataFrame({"label": ["Reconciliation"], "value": ["not applicable"]}))
    ours = totals[totals["side"] == "ledger"]
    due, matched = int(ours["rows_in_count"].sum()), int(ours["matched_count"].sum())
    open_breaks, pending = int(breaks["is_open"].sum()), int(ours["pending_count"].sum())
    residual = int(bridges["status"].isin(["residual", "no balance"]).sum())
    gaps = int((bridges["status"] == "gap").sum())
    lack = "this input has no statement; " if bridges.empty else ""
    if gaps:
        lack += f"{counted(gaps, 'account')} with statements that do not go on from those before or do not add up (lines may be missing or booked twice); "
    uncovered = int(ours["uncovered_count"].sum())
    lack += f"{counted(residual, 'account')} without a bridge; " if residual else ""
    lack += f"{counted(uncovered, 'payment')} without a statement; " if uncovered else ""
    oldest = int(breaks.loc[breaks["is_open"], "break_age_days"].max()) if open_breaks else 0
    share = f"{matched:,} of {due:,} transactions due are proven at the bank"
    because = {
        "incomplete": f"Incomplete: {lack or 'the totals differ; '}{share}.",
        "breaks": f"Every cent is accounted for, with {open_breaks:,} open breaks; {share}, {pending:,} are pending.",
        "reconciled with pending": f"Reconciled: {share}, {pending:,} are within the {settings.days_after} days of grace.",
        "reconciled": f"Reconciled: {share}.",
    }
    figures = [
        ("Matched", f"{matched / max(due, 1):.2%}"),
        ("Open breaks", f"{open_breaks:,}"),
        ("High severity", f"{int((breaks['severity'] == 'high').sum()):,}"),
        ("Pending", f"{pending:,}"),
        ("Accounts bridged", f"{int((bridges['status'] == 'balanced').sum())} of {len(bridges)}"),
        ("Oldest open break", f"{oldest:,} days" if open_breaks else "none"),
    ]
    cards = pd.DataFrame(figures, columns=["label", "value"])
    return StageSummary(because[verdict], "passed" if verdict.startswith("reconciled") else "attention", cards)
