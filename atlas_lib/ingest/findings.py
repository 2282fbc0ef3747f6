"""Findings of intake and screening in words: one per subject and rule, each with a stable id."""

from __future__ import annotations

import hashlib

import pandas as pd

from atlas_lib.core.tables import declared

_SEVERITY = {"KYC_REQUIRED": "warning", "REGIONAL_LIMIT": "warning", "AML_RAPID_IN_OUT": "warning"}


def list_findings(
    transactions: pd.DataFrame,
    index: pd.DataFrame,
    flags: pd.DataFrame,
    intake_results: pd.DataFrame,
    review_rate: float,
) -> pd.DataFrame:
    """`screening_findings` from conflicts, scores from `review_rate` on, and policy flags.

    `flags` has transaction_id, rule, subject, detail. A subject's transactions are counted and the first one is named.
    """
    parts = [
        _conflicts(intake_results),
        _reviews(transactions, index, review_rate),
        _policy_hits(transactions, flags),
    ]
    found = pd.concat([p for p in parts if len(p)] or [declared("screening_findings").empty()], ignore_index=True)
    return declared("screening_findings").shaped(found)


def _conflicts(intake_results: pd.DataFrame) -> pd.DataFrame:
    """The same key or id with another body: held back, never replayed."""
    rows = intake_results[intake_results["status"] == "conflict"]
    place = rows["source_file"] + ", row " + rows["source_row"].astype("str")
    detail = (
        rows["transaction_id"] + " (" + place + ") has the id or key of " + rows["first_transaction_id"]
        + " (" + rows["first_source"] + ") with another content; it is held back until a person decides"
    )  # fmt: skip
    return _shape("IDEMPOTENCY_CONFLICT", rows["transaction_id"], place, detail)


def _reviews(transactions: pd.DataFrame, index: pd.DataFrame, review_rate: float) -> pd.DataFrame:
    """Users (or single payments without a user) with scores from the review rate on."""
    high = index[index["fraud_score"] >= review_rate].merge(
        transactions[["transaction_id", "merchant_id", "user_id"]], on="transaction_id", validate="one_to_one"
    )
    subject = high["user_id"].where(high["user_id"] != "", high["transaction_id"])
    ranked = high.assign(subject=subject).sort_values(
        ["subject", "fraud_score", "transaction_id"], ascending=[True, False, True], kind="stable"
    )
    counts = ranked.groupby("subject")["transaction_id"].size()
    first = ranked.drop_duplicates("subject")
    number = first["subject"].map(counts).astype("str")
    score = first["fraud_score"].map("{:.4f}".format).astype("str")
    who = ("user " + first["user_id"]).where(first["user_id"] != "", "transaction " + first["transaction_id"])
    detail = who + ": " + number + " transactions to review, highest score " + score + ": " + first["fraud_reasons"]
    shaped = _shape("FRAUD_REVIEW", first["transaction_id"], first["subject"], detail)
    return shaped.assign(merchant_id=first["merchant_id"].to_numpy(), user_id=first["user_id"].to_numpy())


def _policy_hits(transactions: pd.DataFrame, flags: pd.DataFrame) -> pd.DataFrame:
    """One finding per rule and subject with the number of its transactions."""
    hits = flags.merge(
        transactions[["transaction_id", "merchant_id", "user_id", "created_at"]],
        on="transaction_id",
        validate="many_to_one",
    )
    hits = hits.sort_values(["rule", "subject", "created_at", "transaction_id"], kind="stable")
    counts = (
        hits.drop_duplicates(["rule", "subject", "transaction_id"]).groupby(["rule", "subject"], as_index=False).size()
    )
    first = hits.drop_duplicates(["rule", "subject"]).merge(counts, on=["rule", "subject"], validate="one_to_one")
    detail = (
        first["detail"] + " (" + first["size"].astype("str") + " transactions, first " + first["transaction_id"] + ")"
    )
    shaped = _shape(first["rule"], first["transaction_id"], first["subject"], detail)
    return shaped.assign(
        merchant_id=first["merchant_id"].where(first["subject"] == first["merchant_id"]).to_numpy(),
        user_id=first["user_id"].where(first["subject"] == first["user_id"]).to_numpy(),
    )


def _shape(rule: str | pd.Series, transaction_id: pd.Series, subject: pd.Series, detail: pd.Series) -> pd.DataFrame:
    frame = pd.DataFrame({"transaction_id": transaction_id, "subject": subject, "detail": detail}).assign(rule=rule)
    named = (frame["rule"] + "\x1f" + frame["subject"] + "\x1f" + frame["transaction_id"]).astype("str")
    ids = named.map(lambda text: "F-" + hashlib.sha256(text.encode()).hexdigest()[:12]).astype("str")
    severity = frame["rule"].map(_SEVERITY).fillna("high").astype("str")
    return frame.assign(finding_id=ids, severity=severity, merchant_id=None, user_id=None).drop(columns="subject")


def rank_scores(streaming_index: pd.DataFrame, transactions: pd.DataFrame) -> pd.DataFrame:
    """The streaming index with merchant, user, type and amount, highest score first."""
    columns = ["transaction_id", "merchant_id", "user_id", "type", "amount_minor", "currency"]
    shown = streaming_index.merge(transactions[columns], on="transaction_id", validate="one_to_one")
    return shown.sort_values(["fraud_score", "transaction_id"], ascending=[False, True], ignore_index=True)


def count_scores(streaming_index: pd.DataFrame) -> pd.DataFrame:
    """Transactions per score band of a tenth, from 0.1 on (columns score_band, transactions_count)."""
    tenth = (streaming_index["fraud_score"] * 10 + 1e-9).astype("int64").clip(upper=9)
    counts = tenth.value_counts().reindex(range(1, 10), fill_value=0)
    bands = [f"{band / 10:.1f} to {(band + 1) / 10:.1f}" for band in range(1, 10)]
    return pd.DataFrame({"score_band": bands, "transactions_count": counts.to_numpy()})
