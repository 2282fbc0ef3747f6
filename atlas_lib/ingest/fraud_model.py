"""A fraud model of our own, where labelled history is given: fitted on the past, judged on what came later.

The labelled transactions are parted at the instant before which 70 % of them were made. Fitted is on those made before
it whose label was known by then; tested and scored are those made from it on. What a payment is judged by are its
amount and hour, the observations of its user's past, and the labels of its user's and merchant's payments that were known when it was made.
The model (histogram gradient boosting, scikit-learn) is fitted anew in each run and kept nowhere. It replaces our own
points only where its average precision on the later part is higher.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from atlas_lib.core.engine import Engine, Input, Steps
from atlas_lib.core.settings import IngestSettings
from atlas_lib.core.tables import declared
from atlas_lib.ingest import observations

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

_FITTED_SHARE = 0.7
_LEAST_FRAUD = 20  # labelled cases on either side, below which nothing can be fitted or told apart
_ALERTS_A_DAY = 100
_DAY_US = 86_400_000_000
NIGHT_POINTS = 200

# Past only, as the observations: amounts and counts of strictly earlier payments, labels known strictly before.
# A label is known once its payment was made; one of a bare date at the end of that day.
FEATURE_STEPS: Steps = [
    (
        "dated_labels",
        """
        SELECT p.transaction_id, p.user_id, p.merchant_id, l.is_fraud, GREATEST(epoch_micros(p.created_at), l.labelled_us) AS labelled_us
        FROM payments p
        JOIN (SELECT transaction_id, is_fraud,
                     epoch_micros(labelled_at) + CASE WHEN epoch_micros(labelled_at) % 86400000000 = 0 THEN 86399999999 ELSE 0 END AS labelled_us
              FROM labels) l ON l.transaction_id = p.transaction_id
        """,
    ),
    (
        "label_events",
        """
        SELECT p.transaction_id, p.user_id, p.merchant_id, epoch_micros(p.created_at) AS at_us, 0 AS fraud, 0 AS known, 1 AS is_payment
        FROM payments p WHERE p.type IN ('SALE', 'REFUND')
        UNION ALL
        SELECT transaction_id, user_id, merchant_id, labelled_us, CASE WHEN is_fraud THEN 1 ELSE 0 END, 1, 0 FROM dated_labels
        """,
    ),
    (
        "known_labels",
        """
        SELECT transaction_id, COALESCE(merchant_fraud, 0) AS merchant_fraud, COALESCE(merchant_known, 0) AS merchant_known,
               COALESCE(merchant_week_fraud, 0) AS merchant_week_fraud, COALESCE(user_fraud, 0) AS user_fraud, COALESCE(user_known, 0) AS user_known
        FROM (
            SELECT transaction_id, is_payment, SUM(fraud) OVER merchant_past AS merchant_fraud, SUM(known) OVER merchant_past AS merchant_known,
                   SUM(fraud) OVER merchant_week AS merchant_week_fraud, SUM(fraud) OVER user_past AS user_fraud, SUM(known) OVER user_past AS user_known
            FROM label_events
            WINDOW merchant_past AS (PARTITION BY merchant_id ORDER BY at_us RANGE BETWEEN 2592000000000 PRECEDING AND 1 PRECEDING),
                   merchant_week AS (PARTITION BY merchant_id ORDER BY at_us RANGE BETWEEN 604800000000 PRECEDING AND 1 PRECEDING),
                   user_past AS (PARTITION BY user_id ORDER BY at_us RANGE BETWEEN 2592000000000 PRECEDING AND 1 PRECEDING)) k
        WHERE is_payment = 1
        """,
    ),
    (
        "pasts",
        """
        SELECT transaction_id, created_us, root, day_number, COUNT(*) OVER month AS month_count, COUNT(*) OVER day AS day_count,
               AVG(root) OVER month AS month_root, MAX(root) OVER month AS month_top, AVG(root) OVER week AS week_root, AVG(root) OVER day AS day_root,
               created_us - LAG(created_us) OVER (PARTITION BY purse_key ORDER BY created_us, transaction_id) AS gap_us
        FROM spend
        WINDOW month AS (PARTITION BY purse_key ORDER BY created_us RANGE BETWEEN 2592000000000 PRECEDING AND 1 PRECEDING),
               week AS (PARTITION BY purse_key ORDER BY created_us RANGE BETWEEN 604800000000 PRECEDING AND 1 PRECEDING),
               day AS (PARTITION BY purse_key ORDER BY created_us RANGE BETWEEN 86400000000 PRECEDING AND 1 PRECEDING)
        """,
    ),
    (
        "features",
        """
        SELECT p.transaction_id, p.created_us, p.root, p.root / NULLIF(p.month_root, 0) AS times_month, p.root / NULLIF(p.month_top, 0) AS times_top,
               p.root / NULLIF(p.week_root, 0) AS times_week, p.root / NULLIF(p.day_root, 0) AS times_day, p.month_count, p.day_count, p.gap_us, p.month_root, p.week_root / NULLIF(p.month_root, 0) AS week_to_month,
               (p.created_us - p.day_number * 86400000000) / CAST(3600000000 AS DOUBLE) AS hour, p.day_number % 7 AS weekday,
               p.root / NULLIF(b.border_root, 0) AS times_border, COALESCE(w.points, 0) AS points, k.merchant_fraud, k.merchant_known, k.merchant_week_fraud,
               k.merchant_fraud / CAST(k.merchant_known + 5 AS DOUBLE) AS merchant_share, k.user_fraud, k.user_known,
               k.user_fraud / CAST(k.user_known + 5 AS DOUBLE) AS user_share, l.is_fraud, l.labelled_us
        FROM pasts p JOIN known_labels k ON k.transaction_id = p.transaction_id JOIN spend s ON s.transaction_id = p.transaction_id
        LEFT JOIN borders b ON b.currency = s.currency AND b.day_number = s.day_number
        LEFT JOIN points w ON w.transaction_id = p.transaction_id
        LEFT JOIN dated_labels l ON l.transaction_id = p.transaction_id
        ORDER BY p.created_us, p.transaction_id
        """,
    ),
]
_ABOUT = ("transaction_id", "created_us", "is_fraud", "labelled_us")


@dataclass(frozen=True)
class Quality:
    """`fraud_quality`, and the scores (transaction_id, score) of the later part where the model is used."""

    table: pd.DataFrame
    fitted: pd.DataFrame | None


def judge_scores(given: Mapping[str, Input], engine: Engine, point_steps: Steps, settings: IngestSettings) -> Quality:
    """Our own points and a fitted model on the later part of the labelled transactions; the better one is used.

    Reads transactions, merchants and fraud_labels of `given`; `point_steps` make `points` of the observations.
    """
    labels = given.get("fraud_labels")
    if labels is None or _is_empty(labels, engine):
        return Quality(declared("fraud_quality").empty(), None)
    inputs = {"payments": given["transactions"], "merchants": given["merchants"], "labels": labels}
    rows = engine.run([*observations.STEPS, *point_steps, *FEATURE_STEPS], inputs, ["features"])["features"]
    known = rows[rows["is_fraud"].notna()]
    if known.empty:
        return Quality(declared("fraud_quality").empty(), None)
    parted_us = int(known["created_us"].to_numpy()[int(_FITTED_SHARE * len(known))])
    return _judge(rows, known, parted_us, settings.fraud_precision_rate)


def _judge(rows: pd.DataFrame, known: pd.DataFrame, parted_us: int, precision: float) -> Quality:
    past = known[(known["created_us"] < parted_us) & (known["labelled_us"] < parted_us)]
    later = known[known["created_us"] >= parted_us]
    truth = later["is_fraud"].to_numpy(dtype=bool)
    days = max((int(later["created_us"].max()) - parted_us) / _DAY_US, 1.0)
    has_time = later["created_us"].to_numpy() % _DAY_US != 0
    night = np.where(has_time & (later["hour"].to_numpy() < 5), NIGHT_POINTS, 0)
    own = measure_scores(np.minimum(later["points"].to_numpy(dtype=np.float64) + night, 10_000), truth, days, precision)
    measured = {"own observations": own}
    fraud = past["is_fraud"].to_numpy(dtype=bool)
    scores = None
    if fraud.sum() >= _LEAST_FRAUD and truth.sum() >= _LEAST_FRAUD:
        scored = rows[rows["created_us"] >= parted_us]
        scores = scored[["transaction_id"]].assign(score=_fit(past, fraud, scored))
        of_later = scores["score"][scored["is_fraud"].notna().to_numpy()].to_numpy()
        measured["fitted model"] = measure_scores(of_later, truth, days, precision)
    is_better = scores is not None and measured["fitted model"]["average_precision"] > own["average_precision"]
    table = pd.DataFrame([{"score": name, **values} for name, values in measured.items()]).assign(
        is_used=[(name == "fitted model") == is_better for name in measured],
        tested_from=pd.Timestamp(parted_us, unit="us", tz="UTC"),
        fitted_count=[len(past) if name == "fitted model" else 0 for name in measured],
        fitted_fraud_count=[int(fraud.sum()) if name == "fitted model" else 0 for name in measured],
        tested_count=len(later), tested_fraud_count=int(truth.sum()),
    )  # fmt: skip
    return Quality(declared("fraud_quality").shaped(table), scores if is_better else None)


def _fit(past: pd.DataFrame, fraud: Flags, scored: pd.DataFrame) -> Floats:
    """Probabilities in steps of 1/10,000; the same input gives the same model."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    columns = [c for c in past.columns if c not in _ABOUT and past[c].notna().any()]
    model = HistGradientBoostingClassifier(
        max_iter=150, learning_rate=0.06, max_leaf_nodes=15, min_samples_leaf=40, l2_regularization=1.0, early_stopping=False, random_state=0,
    )  # fmt: skip
    model.fit(past[columns].to_numpy(dtype=np.float64), fraud)
    likely = model.predict_proba(scored[columns].to_numpy(dtype=np.float64))[:, 1]
    return np.asarray(np.round(likely, 4), dtype=np.float64)


def measure_scores(scores: Floats, truth: Flags, days: float, target: float) -> dict[str, float]:
    """How well scores rank the true cases, payments of one score taken together.

    average_precision = sum over scores (recall_n - recall_n-1) x precision_n, recall and precision among the 100
    highest a day, and the alerts a day and recall at the lowest score whose precision is not below `target`.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(truth[order])
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    caught, alerts, total = hits[last], last + 1.0, max(int(truth.sum()), 1)
    precision = caught / alerts
    average = float((np.diff(caught, prepend=0) / total * precision).sum())
    most = min(int(_ALERTS_A_DAY * days), len(ranked)) - 1
    enough = np.flatnonzero(precision >= target)
    reached = enough[-1] if len(enough) else None
    return {
        "average_precision": average,
        "recall_at_100_rate": float(hits[most] / total),
        "precision_at_100_rate": float(hits[most] / (most + 1)),
        "target_precision_rate": target,
        "alerts_per_day": 0.0 if reached is None else float(alerts[reached] / days),
        "recall_at_target_rate": 0.0 if reached is None else float(caught[reached] / total),
    }


def no_scores() -> pd.DataFrame:
    return pd.DataFrame({"transaction_id": pd.Series([], dtype="str"), "score": pd.Series([], dtype="float64")})


def _is_empty(labels: Input, engine: Engine) -> bool:
    if isinstance(labels, pd.DataFrame):
        return labels.empty
    counted = engine.run([("counted", "SELECT COUNT(*) AS rows_count FROM labels")], {"labels": labels}, ["counted"])
    return int(counted["counted"]["rows_count"].iloc[0]) == 0
