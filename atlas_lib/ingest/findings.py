"""Findings of intake and screening in words: one per subject and rule, each with a stable id."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

import pandas as pd
import pyarrow as pa

from atlas_lib.core.bulk import sources
from atlas_lib.core.engine import Engine, Steps
from atlas_lib.core.tables import declared

_SEVERITY = {
    "KYC_REQUIRED": "warning", "REGIONAL_LIMIT": "warning", "AML_RAPID_IN_OUT": "warning", "AML_SPLIT": "warning",
    "AML_FAN_IN": "warning", "AML_FAN_OUT": "warning", "AML_DORMANT": "warning", "WEAK_ALIAS_MATCH": "info",
}  # fmt: skip

# What the findings are made of, small however many the payments are: a subject is counted and its first payment named.
FINDING_STEPS: Steps = [
    (
        "conflicts",
        """
        SELECT transaction_id, first_transaction_id, first_source, source_file, source_row
        FROM intake_results WHERE status = 'conflict' ORDER BY source_file, source_row, transaction_id
        """,
    ),
    (
        "reviewed",
        """
        SELECT transaction_id, subject, merchant_id, user_id, fraud_score, fraud_reasons, payments_count FROM (
            SELECT *, COUNT(*) OVER (PARTITION BY subject) AS payments_count,
                   ROW_NUMBER() OVER (PARTITION BY subject ORDER BY fraud_score DESC, transaction_id) AS number
            FROM (SELECT s.transaction_id, CASE WHEN t.user_id <> '' THEN t.user_id ELSE s.transaction_id END AS subject,
                         t.merchant_id, t.user_id, s.fraud_score, s.fraud_reasons
                  FROM streaming_index s JOIN transactions t ON t.transaction_id = s.transaction_id
                  WHERE s.fraud_score >= :review_rate) r) n
        WHERE number = 1 ORDER BY subject
        """,
    ),
    (
        "hits",
        """
        SELECT transaction_id, rule, subject, detail, merchant_id, user_id, payments_count FROM (
            SELECT *, COUNT(*) OVER (PARTITION BY rule, subject) AS payments_count,
                   ROW_NUMBER() OVER (PARTITION BY rule, subject ORDER BY created_at, transaction_id) AS number
            FROM (SELECT f.transaction_id, f.rule, f.subject, MIN(f.detail) AS detail, MIN(f.merchant_id) AS merchant_id,
                         MIN(f.user_id) AS user_id, MIN(f.created_at) AS created_at
                  FROM flags f GROUP BY f.transaction_id, f.rule, f.subject) h) n
        WHERE number = 1 ORDER BY rule, subject
        """,
    ),
]
_TEXTS = {
    "conflicts": "transaction_id first_transaction_id first_source source_file",
    "reviewed": "transaction_id subject merchant_id user_id fraud_reasons",
    "hits": "transaction_id rule subject detail merchant_id user_id",
}
_FIGURES = {
    "conflicts": {"source_row": pa.int64()},
    "reviewed": {"fraud_score": pa.float64(), "payments_count": pa.int64()},
    "hits": {"payments_count": pa.int64()},
}
FINDING_SCHEMAS = {
    name: pa.schema([(c, pa.string()) for c in texts.split()] + list(_FIGURES[name].items()))
    for name, texts in _TEXTS.items()
}


def list_findings(
    conflicts: pd.DataFrame, reviewed: pd.DataFrame, hits: pd.DataFrame, matches: pd.DataFrame
) -> pd.DataFrame:
    """`screening_findings` from the rows of FINDING_STEPS and the names that are like listed ones (`sanctions.describe`)."""
    parts = [_conflicts(conflicts), _reviews(reviewed), _policy_hits(hits), _names(matches, hits)]
    found = pd.concat([p for p in parts if len(p)] or [declared("screening_findings").empty()], ignore_index=True)
    return declared("screening_findings").shaped(found)


def _conflicts(rows: pd.DataFrame) -> pd.DataFrame:
    """The same key or id with another body: held back, never replayed."""
    place = rows["source_file"] + ", row " + rows["source_row"].astype("str")
    detail = (
        rows["transaction_id"] + " (" + place + ") has the id or key of " + rows["first_transaction_id"]
        + " (" + rows["first_source"] + ") with another content; it is held back until a person decides"
    )  # fmt: skip
    return _shape("IDEMPOTENCY_CONFLICT", rows["transaction_id"], place, detail)


def _reviews(first: pd.DataFrame) -> pd.DataFrame:
    """Users (or single payments without a user) with scores from the review rate on."""
    number = first["payments_count"].astype("str")
    score = first["fraud_score"].map("{:.4f}".format).astype("str")
    who = ("user " + first["user_id"]).where(first["user_id"] != "", "transaction " + first["transaction_id"])
    detail = who + ": " + number + " transactions to review, highest score " + score + ": " + first["fraud_reasons"]
    shaped = _shape("FRAUD_REVIEW", first["transaction_id"], first["subject"], detail)
    return shaped.assign(merchant_id=first["merchant_id"].to_numpy(), user_id=first["user_id"].to_numpy())


def _policy_hits(first: pd.DataFrame) -> pd.DataFrame:
    """One finding per rule and subject with the number of its transactions."""
    number = first["payments_count"].astype("str")
    payments = (number + " transactions").where(number != "1", "1 transaction")
    detail = first["detail"] + " (" + payments + ", first " + first["transaction_id"] + ")"
    shaped = _shape(first["rule"], first["transaction_id"], first["subject"], detail)
    return shaped.assign(
        merchant_id=first["merchant_id"].where(first["subject"] == first["merchant_id"]).to_numpy(),
        user_id=first["user_id"].where(first["subject"] == first["user_id"]).to_numpy(),
    )


def _names(matches: pd.DataFrame, hits: pd.DataFrame) -> pd.DataFrame:
    """Listed names that no payment carries, and weak aliases, which flag none."""
    flagged = set(hits.loc[hits["rule"] == "SANCTIONS_MATCH", "subject"])
    rest = matches[~matches["key"].isin(flagged) | matches["is_weak"].astype(bool)]
    if rest.empty:
        return rest
    rule = rest["is_weak"].map({True: "WEAK_ALIAS_MATCH", False: "SANCTIONS_MATCH"})
    shaped = _shape(
        rule,
        pd.Series(None, index=rest.index, dtype="str"),
        rest["kind"] + " " + rest["key"] + rest["name"],
        rest["detail"],
    )
    return shaped.assign(merchant_id=rest["key"].where(rest["kind"] == "merchant").to_numpy())


def _shape(rule: str | pd.Series, transaction_id: pd.Series, subject: pd.Series, detail: pd.Series) -> pd.DataFrame:
    frame = pd.DataFrame({"transaction_id": transaction_id, "subject": subject, "detail": detail}).assign(rule=rule)
    named = (frame["rule"] + "\x1f" + frame["subject"] + "\x1f" + frame["transaction_id"].fillna("")).astype("str")
    ids = named.map(lambda text: "F-" + hashlib.sha256(text.encode()).hexdigest()[:12]).astype("str")
    severity = frame["rule"].map(_SEVERITY).fillna("high").astype("str")
    return frame.assign(finding_id=ids, severity=severity, merchant_id=None, user_id=None).drop(columns="subject")


def rank_findings(findings: pd.DataFrame) -> pd.DataFrame:
    """The same rows, the most severe first: high, warning, info; then by rule and what is said."""
    rank = findings["severity"].map({"high": 0, "warning": 1, "info": 2})
    return findings.assign(rank=rank).sort_values(["rank", "rule", "detail"], ignore_index=True).drop(columns="rank")


_RANKED: Steps = [
    (
        "ranked",
        """
        SELECT s.*, t.merchant_id, t.user_id, t.type, t.amount_minor, t.currency
        FROM streaming_index s JOIN transactions t ON t.transaction_id = s.transaction_id
        ORDER BY s.fraud_score DESC, s.transaction_id LIMIT :most
        """,
    )
]
_BANDS: Steps = [
    (
        "bands",
        """
        SELECT CAST(LEAST(FLOOR(fraud_score * 10 + 0.000000001), 9) AS BIGINT) AS tenth, COUNT(*) AS transactions_count
        FROM streaming_index GROUP BY CAST(LEAST(FLOOR(fraud_score * 10 + 0.000000001), 9) AS BIGINT)
        """,
    )
]


def rank_scores(screening: SimpleNamespace, intake: SimpleNamespace, engine: Engine, most: int = 1_000) -> pd.DataFrame:
    """The highest scores of the streaming index with merchant, user, type and amount, `most` at most."""
    inputs = {"streaming_index": sources(screening)["streaming_index"], "transactions": sources(intake)["transactions"]}
    return engine.run(_RANKED, inputs, ["ranked"], {"most": most})["ranked"]


def count_scores(screening: SimpleNamespace, engine: Engine) -> pd.DataFrame:
    """Transactions per score band of a tenth, from 0.1 on (columns score_band, transactions_count)."""
    inputs = {"streaming_index": sources(screening)["streaming_index"]}
    counts = engine.run(_BANDS, inputs, ["bands"])["bands"].set_index("tenth")["transactions_count"]
    bands = [f"{band / 10:.1f} to {(band + 1) / 10:.1f}" for band in range(1, 10)]
    return pd.DataFrame(
        {"score_band": bands, "transactions_count": counts.reindex(range(1, 10), fill_value=0).to_numpy()}
    )
