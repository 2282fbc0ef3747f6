"""Alerts of a run and of the payments that came since, each once; what is said of them; labels that ingest reads."""

import pandas as pd
import pytest

from atlas_lib.core.errors import LedgerError, Refused
from atlas_lib.core.settings import IngestSettings
from atlas_lib.core.tables import declared
from atlas_lib.ingest import clean_inputs, read_inputs
from atlas_lib.ledger.store import open_ledger
from atlas_lib.reconciliation.views.fraud_console import (
    FraudDesk,
    add_state,
    alert_sources,
    filter_alerts,
    find_alerts,
    labels_of,
    newest_delivery,
    read_histories,
    read_judgements,
    reasons_of,
)

NOW = pd.Timestamp("2026-11-02 12:00", tz="UTC")


def payment(name, user, merchant, amount, minute, currency="EUR"):
    return {
        "transaction_id": name, "user_id": user, "merchant_id": merchant, "amount_minor": amount, "currency": currency,
        "type": "SALE", "created_at": NOW + pd.Timedelta(minutes=minute),
    }  # fmt: skip


def score(name, value, reasons, minute, **more):
    return {
        "transaction_id": name, "fraud_score": value, "fraud_reasons": reasons, "status": "APPROVED", "policy_flags": "",
        "ingested_at": NOW + pd.Timedelta(minutes=minute), **more,
    }  # fmt: skip


def put(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_parquet(path)
    return path


@pytest.fixture
def sources(tmp_path):
    """T1 is in the run, T3 came after it; T2 was followed first, then came into the run with a higher score."""
    run = {
        "transactions": [payment("T1", "U1", "M1", 5_000, 1), payment("T2", "U1", "M2", 900_000, 2), payment("T0", "U2", "M1", 100, 0)],
        "streaming_index": [score("T1", 0.8, "night", 5), score("T2", 0.9, "night; fast", 5), score("T0", 0.1, "", 5)],
        "merchants": [{"merchant_id": "M1", "merchant_name": "One", "country": "DE"}],
    }  # fmt: skip
    came = {
        "transactions": [payment("T2", "U1", "M2", 900_000, 2), payment("T3", "U2", "M1", 6_000, 9, "JPY")],
        "followed_index": [
            score("T2", 0.75, "fast", 3, delay_seconds=4.0, delivery_id="D1"),
            score("T3", 0.7, "fast", 10, delay_seconds=2.5, delivery_id="D2"),
        ],
        "merchants": [
            {"merchant_id": "M2", "merchant_name": "Two", "country": c, "delivery_number": n} for c, n in (("AT", 1), ("FR", 2))
        ],
        "deliveries": [
            {"delivery_id": f"D{n}", "source_file": f"d{n}.csv", "arrived_at": NOW, "indexed_at": NOW + pd.Timedelta(seconds=n), "delay_seconds": float(n), "accepted_count": 1}
            for n in (1, 2)
        ],
    }  # fmt: skip
    tables = {name: put(tmp_path / "run" / f"{name}.parquet", rows) for name, rows in run.items()}
    for name, rows in came.items():
        put(tmp_path / "intake" / name / "part.parquet", rows)
    return alert_sources(tables, tmp_path / "intake")


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", "test") as opened:
        yield opened


def history_of(sources, column, subject, engine="duckdb"):
    who = column.removesuffix("_id")
    index = pd.read_parquet(sources["run_transactions"]).merge(
        pd.read_parquet(sources["run_index"]), on="transaction_id"
    )
    of_run = {"user": index[:0], "merchant": index[:0], who: index[index[column] == subject]}
    subjects = {"user": None, "merchant": None, who: subject}
    return read_histories(of_run, sources, subjects, engine)[who]


def desk(alerts, ledger, actor="rita", allow=lambda action: None, seconds=0):  # noqa: ARG005
    return FraudDesk(alerts, ledger, actor, allow, lambda: NOW.value + seconds * 10**9)


def test_alerts_come_from_run_and_intake_once_each_with_the_newest_score_and_the_newest_first(sources):
    found = find_alerts(sources, 0.7)
    assert found[["transaction_id", "fraud_score", "source", "country"]].to_numpy().tolist() == [
        ["T3", 0.7, "intake", "DE"], ["T2", 0.9, "run", "FR"], ["T1", 0.8, "run", "DE"],
    ]  # fmt: skip
    assert found["delay_seconds"].tolist()[0] == 2.5
    assert newest_delivery(sources)["source_file"] == "d2.csv"


def test_without_a_run_or_without_an_intake_there_are_simply_fewer_alerts(sources, tmp_path):
    assert len(find_alerts(sources, 0.7)) == 3
    none = alert_sources({}, tmp_path / "nowhere")
    assert find_alerts(none, 0.0).empty
    assert newest_delivery(none) is None
    run_alone = alert_sources(
        {n: tmp_path / "run" / f"{n}.parquet" for n in ("streaming_index", "transactions")}, tmp_path
    )
    assert find_alerts(run_alone, 0.7)["transaction_id"].tolist() == ["T2", "T1"]
    assert find_alerts(run_alone, 0.7)["country"].isna().all()


def test_both_engines_find_the_same_alerts_and_histories(sources, spark_engine):  # noqa: ARG001
    for made in (lambda e: find_alerts(sources, 0.7, e), lambda e: history_of(sources, "user_id", "U1", e)):
        pd.testing.assert_frame_equal(made("duckdb"), made("spark"), check_dtype=False)


@pytest.mark.parametrize(
    ("asked", "score", "amount", "left"),
    [
        ({}, 0, 0, ["T3", "T2", "T1"]),
        ({"merchant_id": "M1"}, 0, 0, ["T3", "T1"]),
        ({"country": "FR"}, 0, 0, ["T2"]),
        ({"reason": "night"}, 0, 0, ["T2", "T1"]),
        ({"reason": "nigh"}, 0, 0, []),
        ({}, 0.8, 0, ["T2", "T1"]),
        ({}, 0, 100, ["T3", "T2"]),  # 6,000 JPY, 9,000.00 EUR; not 50.00 EUR
        ({"state": "confirmed"}, 0, 0, []),
    ],
)
def test_filters(sources, ledger, asked, score, amount, left):
    alerts = add_state(find_alerts(sources, 0.7), read_judgements(ledger))
    assert filter_alerts(alerts, asked, score, amount)["transaction_id"].tolist() == left
    assert reasons_of(alerts) == ["fast", "night"]


def test_the_history_of_a_user_and_of_a_merchant_is_newest_first_whatever_the_score(sources):
    assert history_of(sources, "user_id", "U2")["transaction_id"].tolist() == ["T3", "T0"]
    assert history_of(sources, "merchant_id", "M1")["transaction_id"].tolist() == ["T3", "T1", "T0"]
    both = history_of(sources, "user_id", "U1").set_index("transaction_id")
    assert both["fraud_score"].to_dict() == {"T2": 0.9, "T1": 0.8}  # T2 as the run scored it, which was later
    assert history_of(sources, "merchant_id", "' OR 1=1 --").empty


def test_a_later_word_replaces_an_earlier_one_and_both_are_kept(sources, ledger):
    alerts = find_alerts(sources, 0.7)
    desk(alerts, ledger).judge("T1", "escalated", "not sure")
    with pytest.raises(Refused, match="does not decide it"):
        desk(alerts, ledger).judge("T1", "confirmed", "")
    desk(alerts, ledger, "carl", seconds=60).judge("T1", "confirmed", "the customer called")
    with pytest.raises(Refused, match="said already"):
        desk(alerts, ledger, "rita").judge("T1", "confirmed", "")
    assert read_judgements(ledger)[["verdict", "actor", "fraud_score"]].to_numpy().tolist() == [["escalated", "rita", 0.8], ["confirmed", "carl", 0.8]]  # fmt: skip
    stated = add_state(alerts, read_judgements(ledger)).set_index("transaction_id")
    assert stated["state"].to_dict() == {"T3": "open", "T2": "open", "T1": "confirmed"}
    assert stated.loc["T1", "judged_by"] == "carl"


def test_who_may_not_judge_or_judges_what_is_no_alert_leaves_no_trace(sources, ledger):
    def refuse(action):
        raise Refused("You may not", found=action)

    alerts = find_alerts(sources, 0.7)
    for wrong in (
        lambda: desk(alerts, ledger, allow=refuse).judge("T1", "confirmed", ""),
        lambda: desk(alerts, ledger).judge("T0", "confirmed", ""),
        lambda: desk(alerts, ledger).judge("T1", "maybe", ""),
    ):
        with pytest.raises(Refused):
            wrong()
    assert read_judgements(ledger).empty


def test_of_two_words_at_once_the_second_is_refused(sources, ledger, monkeypatch):
    alerts = find_alerts(sources, 0.7)
    slow = desk(alerts, ledger, "carl")
    check = slow._check_new

    def overtaken(*about):
        check(*about)
        desk(alerts, ledger, "rita").judge("T1", "false_positive", "")

    monkeypatch.setattr(slow, "_check_new", overtaken)
    with pytest.raises(LedgerError, match="faster"):
        slow.judge("T1", "confirmed", "")
    assert read_judgements(ledger)["verdict"].tolist() == ["false_positive"]


def test_decided_alerts_are_labels_and_ingest_reads_them_back_from_a_file(sources, ledger, tmp_path):
    alerts = find_alerts(sources, 0.7)
    desk(alerts, ledger).judge("T1", "confirmed", "")
    desk(alerts, ledger).judge("T2", "confirmed", "")
    desk(alerts, ledger, seconds=5).judge("T2", "false_positive", "her own card after all")
    desk(alerts, ledger).judge("T3", "escalated", "")
    labels = labels_of(read_judgements(ledger))
    assert labels[["transaction_id", "is_fraud"]].to_numpy().tolist() == [["T1", True], ["T2", False]]
    assert labels["labelled_at"].tolist() == [NOW, NOW + pd.Timedelta(seconds=5)]
    folder = tmp_path / "input"
    folder.mkdir()
    labels[["transaction_id", "is_fraud", "labelled_at"]].to_csv(folder / "fraud_labels.csv", index=False)
    read = clean_inputs(read_inputs(folder), IngestSettings())["fraud_labels"]
    columns = ["transaction_id", "is_fraud", "labelled_at"]
    pd.testing.assert_frame_equal(read[columns], labels[columns])
    assert list(read) == list(declared("fraud_labels").column_names)
