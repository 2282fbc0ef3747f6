"""The verdict: whether everything ties out, by which checks, and in one sentence with its figures."""

from __future__ import annotations

import pandas as pd

from atlas_lib.core.run import StageSummary
from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.core.statement_chain import STATEMENT, booked_lines, chained, statement_ends
from atlas_lib.core.wording import counted
from atlas_lib.reconciliation.bridges import MOST_NOTES


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
    return ", ".join(wrong["statement_id"][:MOST_NOTES]) or "all do"


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
