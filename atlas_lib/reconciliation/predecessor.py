"""Which run is the one before: of the same book, of the newest earlier day, the same whenever it is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from atlas_lib.core.engine import Input, open_engine
from atlas_lib.core.run import Run
from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.core.tables import declared
from atlas_lib.reconciliation.pairs import line_keys

_TABLES = {"": ("transactions", "statement_lines", "statement_balances"),
           "_before": ("transactions", "statement_lines", "carried_transactions", "carried_lines", "statement_coverage")}  # fmt: skip
_RELATION = [
    ("accounts_now", "SELECT account FROM statement_lines UNION SELECT account FROM statement_balances"),
    (
        "accounts_before",
        """
        SELECT account FROM statement_lines_before UNION SELECT account FROM carried_lines_before
        UNION SELECT account FROM statement_coverage_before""",
    ),
    (
        "merchants_before",
        "SELECT merchant_id FROM transactions_before UNION SELECT merchant_id FROM carried_transactions_before",
    ),
    (
        "relation",
        """
        SELECT (SELECT COUNT(*) FROM accounts_now) AS account_count,
               (SELECT COUNT(*) FROM accounts_before) AS account_before_count,
               (SELECT COUNT(*) FROM accounts_now WHERE account IN (SELECT account FROM accounts_before)) AS shared_account_count,
               (SELECT COUNT(*) FROM merchants_before WHERE merchant_id IN (SELECT merchant_id FROM transactions))
                   AS shared_merchant_count,
               (SELECT COUNT(*) FROM transactions_before
                WHERE transaction_id IN (SELECT transaction_id FROM transactions))
                   + (SELECT COUNT(*) FROM statement_lines_before
                      WHERE statement_id IN (SELECT statement_id FROM statement_lines)) AS shared_row_count,
               (SELECT COUNT(*) FROM statement_balances o JOIN statement_coverage_before c
                ON c.account = o.account AND c.currency = o.currency AND c.closing_minor = o.balance_minor
                WHERE o.balance_type = 'OPBD') AS following_count""",
    ),
]


def run_before(run: Run) -> Run | None:
    """The run before in the same runs directory: of the same book and the newest earlier as-of day that finished matching.

    Same book: an account or a merchant in common, or one of the two without a statement. A run of the same day counts too
    when it was made before this one, holds other rows, and this one's statements open where its closed. Of several of a
    day: the one from which the statements go on, then the one made last before this one. A trial is never taken. A run that has carried keeps the one it had.
    """
    record = run.manifest["stages"].setdefault(run.stage, {"steps": {}})
    if "carry_forward" in record.get("steps", {}) and "run_before" in record:
        return _kept_before(run)
    found = _newest(run)
    record["run_before"] = found.directory.name if found else ""
    return found


def runs_back(before: Run | None, settings: ReconciliationSettings, decisions: pd.DataFrame) -> list[Run]:
    """The run before, and each one's run before, newest first: those of the last `look_back_days`, or all that are still
    there while a match that was undone has not been seen by one of them.
    """
    first_day = pd.Timestamp(settings.as_of) - pd.Timedelta(days=settings.look_back_days)
    everything = before is not None and _has_unseen_undoing(before, decisions)
    found: list[Run] = []
    for run in back_from(before):
        if found and not everything and pd.Timestamp(run.manifest["as_of"]) < first_day:
            break
        found.append(run)
    return found


def back_from(run: Run | None) -> Iterator[Run]:
    """The run and each one's run before, newest first, as far as they are still there."""
    seen = set()
    while run and run.directory not in seen:
        yield run
        seen.add(run.directory)
        run = _kept_before(run)


def lines_of(run: Run, transaction_id: str) -> Iterator[list[str]]:
    """The bank lines (`statement/line`) of the matches and suggested groups that hold a payment, of this run and each before it."""
    held_by = (("matches", "match_id"), ("suggestions", "group_id"))
    for one in back_from(run):
        rows = [_held_with(one.path(name), column, transaction_id) for name, column in held_by if one.has(name)]
        yield list(dict.fromkeys(line_keys(pd.concat(rows)))) if rows else []


def _held_with(path: Path, id_column: str, transaction_id: str) -> pd.DataFrame:
    """The lines of the payment's rows and of all other rows of their ids: those of one id need not meet in one row."""
    columns = ["statement_id", "line_id"]
    is_own = [("transaction_id", "=", transaction_id)]
    own: pd.DataFrame = pq.read_table(path, columns=[*columns, id_column], filters=is_own).to_pandas()
    ids = sorted(set(own[id_column]) - {""})
    if not ids:
        return own[columns]
    rest: pd.DataFrame = pq.read_table(path, columns=columns, filters=[(id_column, "in", ids)]).to_pandas()
    return pd.concat([own[columns], rest])


def _has_unseen_undoing(before: Run, decisions: pd.DataFrame) -> bool:
    tables = [before.read(name) if before.has(name) else declared(name).empty() for name in ("decisions", "decision_findings")]  # fmt: skip
    seen = set(tables[0]["entry_id"]) - set(tables[1]["entry_id"])
    return not set(decisions.loc[decisions["action"] == "unmatch", "entry_id"]) <= seen


def _kept_before(run: Run) -> Run | None:
    name = run.manifest["stages"].get("05_reconciliation", {}).get("run_before", "")
    path = run.directory.parent / name
    return Run(path) if name and (path / "manifest.json").exists() else None


def _newest(run: Run) -> Run | None:
    made_before = _made_before(run)
    earlier: dict[str, list[Run]] = {}
    for path in sorted(run.directory.parent.glob("*/manifest.json")):
        other = Run(path.parent)
        day = str(other.manifest["as_of"])
        is_earlier = day < run.manifest["as_of"] or (day == run.manifest["as_of"] and path.parent.name in made_before)
        if is_earlier and not other.is_trial and other.has("break_states"):
            earlier.setdefault(day, []).append(other)
    for day in sorted(earlier, reverse=True):
        related = [(_rank(other, relation, made_before), other) for other in earlier[day]
                   if _goes_on(relation := _relation(run, other), is_same_day=day == run.manifest["as_of"])]  # fmt: skip
        if related:
            return max(related, key=lambda pair: pair[0])[1]
    return None


def _made_before(run: Run) -> list[str]:
    """The runs that were the latest when this one, and each of them, was made: last first."""
    names: list[str] = []
    manifest: dict[str, Any] = run.manifest
    while (previous := manifest.get("previous")) and previous["run_id"] not in names:
        names.append(previous["run_id"])
        path = run.directory.parent / previous["run_id"] / "manifest.json"
        manifest = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return names


def _relation(run: Run, other: Run) -> dict[str, int]:
    inputs: dict[str, Input] = {}
    for ending, names in _TABLES.items():
        holder = other if ending else run
        inputs |= {f"{n}{ending}": _path(holder, n) or declared(n).empty() for n in names}
    row = open_engine("duckdb").run(_RELATION, inputs, ["relation"])["relation"].iloc[0]
    return {str(name): int(value) for name, value in row.items()}


def _path(run: Run, name: str) -> Path | None:
    return run.path(name) if run.has(name) else None


def _goes_on(relation: dict[str, int], *, is_same_day: bool) -> bool:
    if is_same_day and (
        relation["shared_row_count"] or (relation["account_count"] and not relation["following_count"])
    ):
        return False
    has_accounts = relation["account_count"] and relation["account_before_count"]
    return not has_accounts or bool(relation["shared_account_count"] or relation["shared_merchant_count"])


def _rank(other: Run, relation: dict[str, int], made_before: list[str]) -> tuple[int, int, str]:
    name = other.directory.name
    place = made_before.index(name) if name in made_before else len(made_before)
    return relation["following_count"], -place, name
