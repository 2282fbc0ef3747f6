"""Open items of the run before come into this one, although its input no longer holds them.

Carried is every payment and bank line that the earlier run left open (and nobody wrote off); both sides of a match
whose fee is still claimed; and the other side of a match of which this input still holds only one. A row that the input
holds is never carried: the input's counts. Nothing is carried between books that share no bank account.
Statements cover from the day on from which each opens where the one before closed, run after run: so a payment of before
this input's statements is a break when no line came, and is without a statement only where one is lacking.
A carried line is part of the balance at which this run's statements open, so the bridge leaves it out; it is matched,
aged and counted like any other, and its break keeps its id.
"""

from __future__ import annotations

import pandas as pd

from atlas_lib.core.engine import Input, open_engine
from atlas_lib.core.run import Run
from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.core.tables import declared

_OURS = ", ".join(declared("transactions").column_names)
_LINES = ", ".join(declared("statement_lines").column_names)
_LINE = "{0}.statement_id = {1}.statement_id AND {0}.line_id = {1}.line_id"

_COVERED = """
        SELECT a.account, a.currency, a.first_day, a.last_day, o.balance_minor AS opening_minor, c.balance_minor AS closing_minor
        FROM (SELECT account, currency, MIN(day) AS first_day, MAX(day) AS last_day
              FROM (SELECT account, currency, booking_date AS day FROM statement_lines
                    UNION ALL SELECT account, currency, balance_date FROM statement_balances) d
              GROUP BY account, currency) a
        LEFT JOIN (SELECT account, currency, balance_minor,
                          ROW_NUMBER() OVER (PARTITION BY account, currency ORDER BY balance_date, statement_id) AS place
                   FROM statement_balances WHERE balance_type = 'OPBD') o
               ON o.account = a.account AND o.currency = a.currency AND o.place = 1
        LEFT JOIN (SELECT account, currency, balance_minor,
                          ROW_NUMBER() OVER (PARTITION BY account, currency ORDER BY balance_date DESC, statement_id DESC) AS place
                   FROM statement_balances WHERE balance_type = 'CLBD') c
               ON c.account = a.account AND c.currency = a.currency AND c.place = 1"""

# ruff: noqa: S608 - the pieces put together are the columns of declared tables
_STEPS = [
    ("known_ours", f"SELECT {_OURS} FROM transactions_before UNION ALL SELECT {_OURS} FROM carried_before"),
    ("known_lines", f"SELECT {_LINES} FROM lines_before UNION ALL SELECT {_LINES} FROM carried_lines_before"),
    (
        "shared_accounts",
        "SELECT DISTINCT k.account FROM known_lines k WHERE k.account IN (SELECT account FROM statement_lines)",
    ),
    (
        "open_before",
        """
        SELECT i.side, i.transaction_id, i.statement_id, i.line_id, i.state
        FROM items_before i
        WHERE i.state <> 'matched' AND (SELECT COUNT(*) FROM shared_accounts) > 0
          AND i.group_id NOT IN (SELECT break_id FROM states_before WHERE is_settled)""",
    ),
    (
        "kept_matches",
        f"""
        SELECT m.match_id FROM matches_before m
        LEFT JOIN transactions t ON t.transaction_id = m.transaction_id
        LEFT JOIN statement_lines l ON {_LINE.format("l", "m")}
        LEFT JOIN (SELECT DISTINCT transaction_id FROM breaks_before WHERE is_open AND is_matched) b
               ON b.transaction_id = m.transaction_id
        WHERE (SELECT COUNT(*) FROM shared_accounts) > 0
        GROUP BY m.match_id
        HAVING COUNT(b.transaction_id) > 0
            OR COUNT(t.transaction_id) + COUNT(l.line_id) BETWEEN 1 AND 2 * COUNT(*) - 1""",
    ),
    (
        "carried_transactions",
        """
        SELECT k.*, o.state AS previous_state
        FROM known_ours k
        JOIN (SELECT transaction_id, MIN(state) AS state
              FROM (SELECT transaction_id, state FROM open_before WHERE side = 'ledger'
                    UNION ALL SELECT m.transaction_id, 'matched' FROM matches_before m
                    WHERE m.match_id IN (SELECT match_id FROM kept_matches)) u
              GROUP BY transaction_id) o ON o.transaction_id = k.transaction_id
        WHERE NOT EXISTS (SELECT 1 FROM transactions t WHERE t.transaction_id = k.transaction_id)""",
    ),
    (
        "carried_lines",
        f"""
        SELECT k.*, o.state AS previous_state
        FROM known_lines k
        JOIN (SELECT statement_id, line_id, MIN(state) AS state
              FROM (SELECT statement_id, line_id, state FROM open_before WHERE side = 'bank'
                    UNION ALL SELECT m.statement_id, m.line_id, 'matched' FROM matches_before m
                    WHERE m.match_id IN (SELECT match_id FROM kept_matches)) u
              GROUP BY statement_id, line_id) o ON {_LINE.format("o", "k")}
        WHERE NOT EXISTS (SELECT 1 FROM statement_lines l WHERE {_LINE.format("l", "k")})""",
    ),
    ("covered_now", _COVERED),
    (
        "statement_coverage",
        """
        SELECT n.account, n.currency, n.last_day AS covered_to, n.closing_minor,
               CASE WHEN b.closing_minor = n.opening_minor THEN LEAST(b.covered_from, n.first_day) ELSE n.first_day END AS covered_from,
               CASE WHEN b.closing_minor = n.opening_minor THEN b.run_count + 1 ELSE 1 END AS run_count
        FROM covered_now n LEFT JOIN coverage_before b ON b.account = n.account AND b.currency = n.currency
        UNION ALL
        SELECT b.account, b.currency, b.covered_to, b.closing_minor, b.covered_from, b.run_count
        FROM coverage_before b
        WHERE NOT EXISTS (SELECT 1 FROM covered_now n WHERE n.account = b.account AND n.currency = b.currency)""",
    ),
]
_BEFORE = {
    "transactions_before": "transactions", "carried_before": "carried_transactions", "lines_before": "statement_lines",
    "carried_lines_before": "carried_lines", "items_before": "reconciliation_items", "states_before": "break_states",
    "matches_before": "matches", "breaks_before": "breaks", "coverage_before": "statement_coverage",
}  # fmt: skip
Carried = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]  # the tables of carry_forward
_NAMES = ("carried_transactions", "carried_lines", "statement_coverage")


def run_before(run: Run) -> Run | None:
    """The newest run of an earlier as-of day in the same runs directory that finished matching."""
    earlier: dict[str, Run] = {}
    for path in sorted(run.directory.parent.glob("*/manifest.json"), key=lambda p: (p.stat().st_mtime_ns, p)):
        other = Run(path.parent)
        if other.manifest["as_of"] < run.manifest["as_of"] and other.has("break_states"):
            earlier[str(other.manifest["as_of"])] = other
    return earlier[max(earlier)] if earlier else None


def states_before(before: Run | None) -> pd.DataFrame:
    """break_states of the run before; empty where there is none."""
    return before.read("break_states") if before else declared("break_states").empty()


def carry_forward(
    before: Run | None,
    transactions: pd.DataFrame,
    statement_lines: pd.DataFrame,
    statement_balances: pd.DataFrame,
    settings: ReconciliationSettings,
) -> dict[str, pd.DataFrame]:
    """carried_transactions, carried_lines (what the run before left open and this input does not hold), statement_coverage.

    previous_state: break, pending, uncovered, or matched (a fee still claimed, or only one side in this input).
    """
    if statement_lines.empty:
        return {name: declared(name).empty() for name in _NAMES}
    known: dict[str, Input] = {
        name: before.path(table) if before and before.has(table) else declared(table).empty()
        for name, table in _BEFORE.items()
    }
    inputs = known | {
        "transactions": transactions, "statement_lines": statement_lines, "statement_balances": statement_balances,
    }  # fmt: skip
    made = open_engine(settings.engine).run(_STEPS, inputs, _NAMES)
    return {name: declared(name).shaped(made[name]) for name in _NAMES}


def add_carried(
    transactions: pd.DataFrame, statement_lines: pd.DataFrame, carried: Carried
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both sides with what was carried."""
    ours, lines = (frame.drop(columns="previous_state") for frame in carried[:2])
    whole = (pd.concat([transactions, ours]), pd.concat([statement_lines, lines]))
    return declared("transactions").shaped(whole[0]), declared("statement_lines").shaped(whole[1])


def mark_carried(reconciliation_items: pd.DataFrame, carried: Carried | None) -> pd.DataFrame:
    """is_carried: the row is not of this run's input."""
    items = reconciliation_items
    if carried is None:
        return items.assign(is_carried=False)
    ours, lines, _ = carried
    keys = pd.MultiIndex.from_frame(lines[["statement_id", "line_id"]])
    at_bank = pd.MultiIndex.from_frame(items[["statement_id", "line_id"]]).isin(keys) & items["side"].eq("bank")
    return items.assign(is_carried=at_bank | items["transaction_id"].isin(ours["transaction_id"]))


def follows_a_run(carried: Carried | None) -> bool:
    """Whether the statements go on from those of a run before: what left the input was dealt with there."""
    return carried is not None and bool((carried[2]["run_count"] > 1).any())


def known_before(carried: Carried | None) -> dict[str, pd.DataFrame]:
    """What breaks need to know of before: `broken_before` (transaction_id), `covered_before` (currency, day), `lines_carried`."""
    ours, lines, coverage = carried or tuple(declared(name).empty() for name in _NAMES)
    return {
        "broken_before": ours.loc[ours["previous_state"] == "break", ["transaction_id"]].reset_index(drop=True),
        "covered_before": coverage[["currency", "covered_from"]].rename(columns={"covered_from": "day"}),
        "lines_carried": lines[["statement_id", "line_id"]],
    }
