"""A model judged on what came later, and the measures it is judged by."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas_lib.core.engine import open_engine
from atlas_lib.core.settings import IngestSettings
from atlas_lib.core.tables import declared
from atlas_lib.ingest.fraud_model import judge_scores, measure_scores
from atlas_lib.ingest.screening import POINT_STEPS

ENGINE = open_engine("duckdb")
START = pd.Timestamp("2026-01-01", tz="UTC")


def history(count: int = 4000, days: int = 40, seed: int = 1) -> pd.DataFrame:
    """Payments of plain amounts; two merchants are bad on half of the days, which no amount shows."""
    random = np.random.default_rng(seed)
    at = np.sort(random.integers(0, days * 86_400, count))
    merchant = random.integers(0, 20, count)
    is_fraud = (merchant < 2) & (random.random(count) < 0.8)
    return pd.DataFrame(
        {
            "transaction_id": [f"T{i:05}" for i in range(count)], "user_id": [f"U{i}" for i in random.integers(0, 200, count)],
            "merchant_id": [f"M{i}" for i in merchant], "type": "SALE", "amount_minor": random.integers(500, 1500, count), "currency": "EUR",
            "source_account": "A", "destination_account": "B", "created_at": START + pd.to_timedelta(at, unit="s"), "is_fraud": is_fraud,
        }
    )  # fmt: skip


def judge(rows: pd.DataFrame, delay_days: float = 1.0, labels: pd.DataFrame | None = None):
    known = rows[["transaction_id", "is_fraud"]].assign(labelled_at=rows["created_at"] + pd.Timedelta(days=delay_days))
    given = {
        "transactions": rows.drop(columns="is_fraud"), "merchants": declared("merchants").empty(),
        "fraud_labels": known if labels is None else labels,
    }  # fmt: skip
    return judge_scores(given, ENGINE, POINT_STEPS, IngestSettings.model_validate({}))


def test_a_model_that_finds_more_later_fraud_is_used_for_the_later_payments_alone():
    rows = history()
    quality = judge(rows)
    table = quality.table.set_index("score")
    assert table["is_used"].to_dict() == {"fitted model": True, "own observations": False}
    assert table.loc["fitted model", "average_precision"] > 0.7 > table.loc["own observations", "average_precision"]
    cut = table["tested_from"].iloc[0]
    assert set(quality.fitted["transaction_id"]) == set(rows.loc[rows["created_at"] >= cut, "transaction_id"])
    assert table.loc["fitted model", "tested_count"] == 1200


def test_the_same_input_gives_the_same_scores():
    pd.testing.assert_frame_equal(judge(history()).fitted, judge(history()).fitted)


def test_a_model_no_better_than_our_own_points_is_not_used():
    random = np.random.default_rng(2)
    rows = history().assign(is_fraud=random.random(4000) < 0.05)
    big = rows["is_fraud"] & (rows["created_at"] >= rows["created_at"].iloc[2800])
    rows = rows.assign(amount_minor=rows["amount_minor"].where(~big, 500_000))
    quality = judge(rows)
    assert quality.fitted is None
    assert quality.table.set_index("score")["is_used"].to_dict() == {"fitted model": False, "own observations": True}


def test_labels_that_were_not_known_in_time_teach_nothing():
    quality = judge(history(), delay_days=60)
    assert quality.table["score"].tolist() == ["own observations"]
    assert quality.fitted is None


@pytest.mark.parametrize("known", ["the day of the payment", "before the payment"])
def test_a_payment_is_never_judged_by_its_own_label(known):
    """Fraud by chance: what finds it was told the answer."""
    rows = history().assign(is_fraud=np.random.default_rng(3).random(4000) < 0.05)
    at = rows["created_at"].dt.floor("D") if known.startswith("the") else rows["created_at"] - pd.Timedelta("1s")
    table = judge(rows, labels=rows[["transaction_id", "is_fraud"]].assign(labelled_at=at)).table.set_index("score")
    assert table.loc["fitted model", "average_precision"] < 0.1


def test_a_label_of_a_bare_date_is_known_at_the_end_of_that_day():
    rows = history().assign(user_id=[f"U{i}" for i in range(4000)])
    rows = rows.assign(created_at=rows["created_at"].dt.floor("D") + pd.Timedelta("10h"))
    evening = rows[["transaction_id", "is_fraud"]].assign(
        labelled_at=rows["created_at"].dt.floor("D") + pd.Timedelta("1D") - pd.Timedelta("1us")
    )
    bare = evening.assign(labelled_at=rows["created_at"].dt.floor("D"))
    pd.testing.assert_frame_equal(judge(rows, labels=bare).fitted, judge(rows, labels=evening).fitted)


def test_a_later_label_changes_no_earlier_score():
    rows = history()
    known = rows[["transaction_id", "is_fraud"]].assign(labelled_at=rows["created_at"] + pd.Timedelta(days=1))
    turned = known.assign(
        is_fraud=known["is_fraud"].where(known["labelled_at"] < START + pd.Timedelta(days=35), ~known["is_fraud"])
    )
    before, after = (judge(rows, labels=labels).fitted.merge(rows) for labels in (known, turned))
    early = before["created_at"] < START + pd.Timedelta(days=35)
    pd.testing.assert_frame_equal(before[early], after[early])
    assert (before.loc[~early, "score"] != after.loc[~early, "score"]).any()


def test_without_labels_there_is_nothing_to_judge():
    quality = judge(history(200), labels=declared("fraud_labels").empty())
    assert quality.table.empty
    assert quality.fitted is None


def test_measures_of_a_ranking_computed_by_hand():
    found = measure_scores(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False]), days=2.0, target=0.6)
    assert found["average_precision"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert (found["alerts_per_day"], found["recall_at_target_rate"]) == (1.5, 1.0)
    assert (found["recall_at_100_rate"], found["precision_at_100_rate"]) == (1.0, 0.5)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=60).filter(
        lambda rows: any(t for _, t in rows)
    )
)
def test_average_precision_is_that_of_scikit_learn(rows):
    from sklearn.metrics import average_precision_score

    scores, truth = np.array([float(s) for s, _ in rows]), np.array([t for _, t in rows])
    ours = measure_scores(scores, truth, 1.0, 0.5)["average_precision"]
    assert ours == pytest.approx(average_precision_score(truth, scores))
