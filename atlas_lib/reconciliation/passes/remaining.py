"""The last pass: what no name, amount and day settled is scored and assigned as a whole (`scoring`, docs/matching.md).

Taken without a person is a pair of the tier auto that is within the rule `scored` (tolerances.py) in amount and days, and
whose line names neither another payment's reference nor another merchant; every other pair of the assignment is suggested
with its rival. So what is matched ties out as in the passes before, and a larger difference is a person's to judge.

Bound: the newest whole days with at most 10,000 open rows of either side; within them, blocks of more than 200 lines that
nothing tells apart are left out (blocking.py). What is older is not tried, and a warning says how much it was. Among fewer
than 50 rows the shares of the model are expected and not estimated (decision 21): nothing is taken, all is suggested.
"""

# ruff: noqa: S608 - the pieces put together are constants of this room
from __future__ import annotations

import logging
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from atlas_lib.core.engine import Computed
from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.reconciliation.pairs import SEPARATOR
from atlas_lib.reconciliation.passes.references import WITHIN_AMOUNT

MOST_ROWS = 10_000  # of either side
_MOST_LINES_IN_BLOCK = 200
_FEWEST_ROWS = 50  # of either side, from which pairs are taken without a person
_FEWEST_LABELS = 5  # of either answer: of one answer alone a model would learn only that answer
_PAIR: dict[str, Any] = {
    "left_key": "str",
    "right_key": "str",
    "probability": float,
    "margin_rate": float,
    "rival": "str",
    "is_auto": "int64",
}
_LOGGER = logging.getLogger("atlas_lib.reconciliation")

# Placeholders as in `passes`. Days are whole, so that no order among equal rows decides what is tried.
_RECORDS = [
    (
        "rest_ours",
        """
        SELECT t.*, days_between(DATE '1970-01-01', t.transaction_date) AS day FROM open_ours t
        WHERE NOT EXISTS (SELECT 1 FROM {taken} x WHERE x.transaction_id = t.transaction_id)""",
    ),
    (
        "rest_lines",
        """
        SELECT b.* FROM open_lines b
        WHERE b.gross_minor >= 0 AND NOT EXISTS (SELECT 1 FROM {taken} x WHERE x.line_key = b.line_key)""",
    ),
    (
        "rest_days",
        """
        SELECT side, day, SUM(row_count) OVER (PARTITION BY side ORDER BY day DESC) AS row_count
        FROM (SELECT 'ledger' AS side, day, COUNT(*) AS row_count FROM rest_ours GROUP BY day
              UNION ALL SELECT 'bank', day, COUNT(*) FROM rest_lines GROUP BY day) d""",
    ),
    (
        "rest_scope",
        """
        SELECT CAST(COALESCE(MAX(CASE WHEN row_count > :scored_rows THEN day + 1 END), -1000000) AS BIGINT) AS first_day,
               CAST(COALESCE(MAX(CASE WHEN side = 'ledger' THEN row_count END), 0) AS BIGINT) AS our_count,
               CAST(COALESCE(MAX(CASE WHEN side = 'bank' THEN row_count END), 0) AS BIGINT) AS line_count
        FROM rest_days""",
    ),
    (
        "our_records",
        """
        SELECT r.transaction_id AS key, r.transaction_date AS day, r.amount_minor, r.currency, r.direction,
               COALESCE(r.reference, '') || ' ' || r.merchant_id AS reference_text,
               COALESCE(m.merchant_name, '') || ' ' || COALESCE(c.name, '') AS name_text
        FROM rest_ours r
        JOIN rest_scope s ON r.day >= s.first_day
        LEFT JOIN merchants m ON m.merchant_id = r.merchant_id
        LEFT JOIN counterparties c ON c.counterparty_id = r.counterparty_id""",
    ),
    (
        "line_records",
        """
        SELECT r.line_key AS key, r.booking_date AS day, r.gross_minor AS amount_minor, r.currency, r.direction,
               CASE WHEN r.reference_key IS NULL THEN '' ELSE r.end_to_end_id || ' ' END || COALESCE(r.text, '')
                   AS reference_text,
               COALESCE(r.counterparty_name, '') AS name_text
        FROM rest_lines r JOIN rest_scope s ON r.day >= s.first_day""",
    ),
]

_TAKEN = [
    (
        "scored_pairs",
        f"""
        SELECT t.transaction_id, b.line_key, s.probability, s.margin_rate, s.rival, t.amount_minor,
               b.gross_minor AS value_minor,
               CASE WHEN s.is_auto = 1 AND {WITHIN_AMOUNT.format(value="b.gross_minor", amount="t.amount_minor")}
                         AND b.day - t.day BETWEEN -r.days_before AND r.days_after
                         AND (t.reference_key IS NULL OR b.reference_key IS NULL
                              OR text_distance(t.reference_key, b.reference_key) <= 3)
                         AND (k.name_key IS NULL OR k.name_key IN (t.merchant_key, t.counterparty_key))
                    THEN 1 ELSE 0 END AS is_taken
        FROM scored s
        JOIN rest_ours t ON t.transaction_id = s.left_key
        JOIN rest_lines b ON b.line_key = s.right_key
        JOIN tolerances r ON r.currency = t.currency AND r.match_pass = 'scored'
        LEFT JOIN known_names k ON k.name_key = b.name_key""",
    ),
    (
        "{after}",
        """
        SELECT * FROM {taken} UNION ALL
        SELECT transaction_id, line_key, 'scored', CAST(0 AS BIGINT), CAST(NULL AS BIGINT), amount_minor, value_minor, 1
        FROM scored_pairs WHERE is_taken = 1""",
    ),
]


def remaining_steps(
    tolerances: pd.DataFrame, settings: ReconciliationSettings, decisions: pd.DataFrame | None
) -> list[tuple[str, str | Computed]]:
    """From {taken} to `scored_pairs` and {after}. `decisions`: what people decided so far, as labels."""
    score = partial(_score, own=tolerances.query("match_pass == 'scored'"), settings=settings, decisions=decisions)
    return [*_RECORDS, ("scored", Computed(("our_records", "line_records", "rest_scope"), score)), *_TAKEN]


def _score(
    ours: pd.DataFrame,
    lines: pd.DataFrame,
    scope: pd.DataFrame,
    own: pd.DataFrame,
    settings: ReconciliationSettings,
    decisions: pd.DataFrame | None,
) -> pd.DataFrame:
    """left_key, right_key, probability, margin_rate, rival (in words), is_auto (1 or 0) of every assigned pair."""
    _warn_of_untried(ours, lines, scope.iloc[0])
    if ours.empty or lines.empty:
        return pd.DataFrame(columns=list(_PAIR)).astype(_PAIR)
    from atlas_lib.reconciliation.scored.scoring import ScoringSettings, score_candidates

    usual = ScoringSettings.model_validate({})
    wanted = {
        "auto_precision": settings.auto_precision,
        "suggest_precision": settings.suggest_precision,
        "days_before": int(min(max(own["days_before"].max(), usual.days_before), 366)),
        "days_after": int(min(max(own["days_after"].max(), usual.days_after), 366)),
        "crowded_rows": _MOST_LINES_IN_BLOCK,
    }
    labels = _labels(decisions, lines["key"])
    found = score_candidates(ours, lines, ScoringSettings.model_validate(wanted), labels)
    enough = min(len(ours), len(lines)) >= _FEWEST_ROWS
    shown = found.assign(rival=_rival(found), is_auto=(found["tier"].eq("auto") & enough).astype("int64"))
    return shown[list(_PAIR)].astype(_PAIR)


def _warn_of_untried(ours: pd.DataFrame, lines: pd.DataFrame, scope: pd.Series) -> None:
    untried = int(scope["our_count"]) - len(ours), int(scope["line_count"]) - len(lines)
    if any(untried):
        first = pd.Timestamp(0) + pd.Timedelta(days=int(scope["first_day"]))
        _LOGGER.warning(
            "Scored pass: %d payments and %d bank lines before %s were not tried (at most %d rows of either side are)",
            *untried, f"{first:%Y-%m-%d}", MOST_ROWS,
        )  # fmt: skip


def _rival(found: pd.DataFrame) -> np.ndarray:
    """The likeliest other pair shares one of the two rows: the rival is its other row."""
    line = "bank line " + found["rival_right_key"].astype("str").str.replace("\x1f", "/")
    payment = "transaction " + found["rival_left_key"].astype("str")
    none, same = found["rival_left_key"].isna(), found["rival_left_key"] == found["left_key"]
    return np.select([none, same], ["", line], payment)


def _labels(decisions: pd.DataFrame | None, line_keys: pd.Series) -> pd.DataFrame | None:
    """Pairs that people forced or undid, the last word about each; None where they are too few to learn from."""
    if decisions is None or decisions.empty:
        return None
    is_single = ~decisions["transaction_ids"].str.contains(SEPARATOR, regex=False)
    said = decisions[decisions["action"].isin(["force", "unmatch"]) & is_single]
    known = dict(zip(line_keys.str.replace("\x1f", "/"), line_keys, strict=True))
    labels = pd.DataFrame(
        {
            "left_key": said["transaction_ids"],
            "right_key": said["line_keys"].map(known),
            "is_match": said["action"] == "force",
        }
    )
    labels = labels.dropna().drop_duplicates(["left_key", "right_key"], keep="last")
    counts = labels["is_match"].value_counts().reindex([True, False], fill_value=0)
    return labels if counts.min() >= _FEWEST_LABELS else None
