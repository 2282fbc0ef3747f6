"""Open items of the run before come into this one, although its input no longer holds them.

Carried is every payment and bank line that the earlier run left open (and nobody wrote off), whether or not this input
has a statement; and of its matches, whole, those whose fee is still claimed, whose line this input books again under another statement, and
whose payment an open one may repeat (equal in amount, merchant, reference and day). Matches of all runs of the last `look_back_days` come back, whole, when this input still holds a part of
them, when an open line of now names their payment again (so that a second booking is found), and when a person undid them
since; for what a person undid every run that is still there is looked through. A row counts as the newest run has it. A row that the input holds is never carried: the input's counts; nor is
a line that this input's statements book again.
Statements cover from the day on from which each opens where the one before closed, run after run: so a payment of before
this input's statements is a break when no line came, and is without a statement only where one is lacking. Statements
that reach back over earlier ones go on from them when their balance of that day is the one that was closed with.
A carried line is part of the balance at which this run's statements open, so the bridge leaves it out; it is matched,
aged and counted like any other, and its break keeps its id.
"""

from __future__ import annotations

import pandas as pd

from atlas_lib.core.engine import Engine, Input, open_engine
from atlas_lib.core.run import Run
from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.core.tables import declared
from atlas_lib.reconciliation.carried_rows import carried_steps
from atlas_lib.reconciliation.predecessor import runs_back

_OF_EACH = (
    "transactions", "carried_transactions", "statement_lines", "carried_lines", "reconciliation_items", "matches",
)  # fmt: skip
_OF_NEWEST = {
    "states_before": "break_states", "breaks_before": "breaks", "coverage_before": "statement_coverage",
    "decisions_before": "decisions", "findings_before": "decision_findings",
}  # fmt: skip
Carried = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]  # the tables of carry_forward
_NAMES = ("carried_transactions", "carried_lines", "statement_coverage", "applied_decisions")
_WORDS_IN_TEXT = 100


def states_before(before: Run | None) -> pd.DataFrame:
    """break_states of the run before, with the rows of each break (side, transaction_id, statement_id, line_id)."""
    if before is None:
        return declared("break_states").empty()
    rows = before.read("breaks")[["break_id", "side", "transaction_id", "statement_id", "line_id"]]
    return before.read("break_states").merge(rows, on="break_id", how="left", validate="one_to_one")


def carry_forward(
    before: Run | None,
    transactions: Input,
    statement_lines: Input,
    statement_balances: pd.DataFrame,
    settings: ReconciliationSettings,
    decisions: pd.DataFrame | None = None,
) -> dict[str, pd.DataFrame]:
    """carried_transactions and carried_lines, statement_coverage, and applied_decisions (those that the run before applied).

    previous_state: break, pending, uncovered, or matched (a match that has to be seen again). `decisions`: what people
    decided so far; a match undone since the run before comes back, so that both its sides can be open.
    """
    decided = declared("decisions").empty() if decisions is None else decisions
    runs = runs_back(before, settings, decided)
    known: dict[str, Input] = {name: _table(before, table) for name, table in _OF_NEWEST.items()}
    known |= {f"{t}_{age}": _table(run, t) for age, run in enumerate(runs or [None]) for t in _OF_EACH}
    inputs = known | {
        "transactions": transactions, "statement_lines": statement_lines, "statement_balances": statement_balances,
        "decisions": decided,
        "counting": pd.DataFrame({"number": range(1, _WORDS_IN_TEXT + 1)}),
    }  # fmt: skip
    made = open_engine(settings.engine).run(carried_steps(max(len(runs), 1)), inputs, _NAMES)
    return {name: declared(name).shaped(made[name]) for name in _NAMES}


def _table(run: Run | None, name: str) -> Input:
    return run.path(name) if run and run.has(name) else declared(name).empty()


def add_carried(transactions: Input, statement_lines: Input, carried: Carried, engine: Engine) -> tuple[Input, Input]:
    """Both sides with what was carried: a file stays the file that it is where nothing was, else it is one of the engine's."""
    names = ("transactions", "statement_lines")
    whole = zip(names, (transactions, statement_lines), carried[:2], strict=True)
    return tuple(_with_carried(*side, engine) for side in whole)  # type: ignore[return-value]


def _with_carried(name: str, given: Input, carried: pd.DataFrame, engine: Engine) -> Input:
    table, added = declared(name), carried.drop(columns="previous_state")
    if isinstance(given, pd.DataFrame):
        return table.shaped(pd.concat([given, added]))
    if carried.empty:
        return given
    columns, key = ", ".join(table.column_names), ", ".join(table.key)
    both = f"SELECT {columns} FROM given UNION ALL SELECT {columns} FROM added ORDER BY {key}"  # noqa: S608
    return engine.write([(name, both)], {"given": given, "added": added}, {name: table.arrow_schema})[name]


def follows_a_run(carried: Carried | None) -> bool:
    """Whether there was a run before with statements: what left the input was dealt with there."""
    return carried is not None and bool((carried[2]["continuity"] != "first").any())


def known_before(carried: Carried | None) -> dict[str, pd.DataFrame]:
    """What breaks need to know of before: `broken_before` (transaction_id), `covered_before` (currency, day), `payments_carried`, `lines_carried`."""
    ours, lines, coverage, _ = carried or tuple(declared(name).empty() for name in _NAMES)
    days = coverage.melt("currency", ["covered_from", "covered_to"], value_name="day")
    return {
        "broken_before": ours.loc[ours["previous_state"] == "break", ["transaction_id"]].reset_index(drop=True),
        "covered_before": days[["currency", "day"]],
        "payments_carried": ours[["transaction_id"]],
        "lines_carried": lines[["statement_id", "line_id"]],
    }
