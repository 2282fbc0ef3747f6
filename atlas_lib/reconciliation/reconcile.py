"""The whole reconciliation of a run in one call, and what another choice of tolerances would change."""

from __future__ import annotations

from typing import Any

import pandas as pd

from atlas_lib.core.bulk import loaded
from atlas_lib.core.engine import Engine, Input, open_engine
from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.core.tables import declared
from atlas_lib.reconciliation.carrying import Carried
from atlas_lib.reconciliation.matching import match_transactions
from atlas_lib.reconciliation.replay import reconcile_decided

Sides = tuple[Input, Input, pd.DataFrame]
References = tuple[Input, Input, pd.DataFrame]


def reconcile(
    sides: Sides,
    references: References,
    decisions: pd.DataFrame,
    before: pd.DataFrame,
    settings: ReconciliationSettings,
    carried: Carried | None = None,
    engine: Engine | None = None,
) -> dict[str, Any]:
    """matches, links, suggestions, payout_parts, payout_waterfalls, search_limits, breaks, reconciliation_items, batch_index, break_states, decisions, decision_findings.

    sides: transactions, statement_lines, statement_balances; references: merchants, counterparties, fx_rates;
    `before`: the break_states of the run before (`states_before`). `carried`: what of the sides was carried over from it.
    With transactions in a Parquet file matches, items and batch index are files too, in the folder of the engine given.
    """
    transactions, statement_lines, statement_balances = sides
    found = match_transactions(transactions, statement_lines, *references, settings, engine, decisions)
    return reconcile_decided(
        transactions, statement_lines, statement_balances, found, decisions, before, settings, carried, engine
    )


def compare_settings(
    sides: Sides,
    references: References,
    decisions: pd.DataFrame,
    settings: ReconciliationSettings,
    changes: dict[str, Any],
) -> dict[str, pd.DataFrame]:
    """what_if_differences: the same input under changed settings, row by row where the outcome differs.

    Present and trial are the pass or the break's type under the settings as they are and with `changes`; empty for none.
    """
    tried = type(settings).model_validate(settings.model_dump() | changes)
    none = declared("break_states").empty()
    engine = open_engine(settings.engine)
    one, other = (_outcomes(reconcile(sides, references, decisions, none, s, engine=engine)) for s in (settings, tried))
    both = one.merge(other, on=["what", "subject"], how="outer", suffixes=("_present", "_trial"), validate="one_to_one")
    shown = both.rename(columns={"outcome_present": "present", "outcome_trial": "trial"}).fillna("")
    differs = shown[shown["present"] != shown["trial"]]
    return {"what_if_differences": declared("what_if_differences").shaped(differs)}


def _outcomes(result: dict[str, Any]) -> pd.DataFrame:
    matches = loaded(result["matches"], ["transaction_id", "statement_id", "line_id", "match_pass"])
    breaks = result["breaks"]
    pairs = matches["transaction_id"] + " " + matches["statement_id"] + "/" + matches["line_id"]
    parts = [("match", pairs, matches["match_pass"]), ("break", breaks["break_id"], breaks["break_type"])]
    frames = [pd.DataFrame({"what": what, "subject": subject, "outcome": out}) for what, subject, out in parts]
    return pd.concat(frames, ignore_index=True).astype("str")
