"""The streaming index and the findings, case by case."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from atlas_lib.core.engine import open_engine
from atlas_lib.core.settings import IngestSettings
from atlas_lib.core.tables import declared
from atlas_lib.ingest.screening import screen_transactions

NOON = pd.Timestamp("2026-10-01 12:00", tz="UTC")
SETTINGS = IngestSettings(as_of=date(2026, 10, 30))
ENGINE = open_engine("duckdb")


def payments(*rows: dict[str, object]) -> pd.DataFrame:
    plain = {
        "merchant_id": "M1",
        "user_id": "U1",
        "type": "SALE",
        "amount_minor": 1000,
        "currency": "EUR",
        "minutes": 0.0,
    }
    frame = pd.DataFrame([plain | r for r in rows])
    frame = frame.assign(
        transaction_id=[f"T{i:03}" for i in range(len(frame))], idempotency_key="", destination_currency="EUR", source_account="P",
        destination_account="A", counterparty_id="C", settlement_window="T1", status="APPROVED", reference=None,
        created_at=NOON + pd.to_timedelta(frame["minutes"], unit="min"), source_file="t.csv", source_sheet="", source_row=range(2, len(frame) + 2),
    )  # fmt: skip
    return declared("transactions").shaped(frame)


def merchants(kyc_status: str = "COMPLETE", country: str = "DE", name: str = "Shop") -> pd.DataFrame:
    row = dict.fromkeys(declared("merchants").column_names) | {
        "merchant_id": "M1", "merchant_name": name, "currency": "EUR", "risk_level": "LOW", "kyc_status": kyc_status,
        "country": country, "is_blocked": False, "source_file": "", "source_sheet": "", "source_row": 1,
    }  # fmt: skip
    return declared("merchants").shaped(pd.DataFrame([row]))


def policies(*rows: tuple[str, str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["policy_type", "parameters"]).assign(
        policy_id=[f"P{i}" for i in range(len(rows))],
        rule_description="",
        is_active=True,
        source_file="",
        source_sheet="",
        source_row=1,
    )
    return declared("policies").shaped(frame)


def signals(*rows: tuple[str, float, int]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["transaction_id", "fraud_score", "hour"])
    frame = frame.assign(
        fraud_signal_id=[f"S{i}" for i in range(len(rows))], model_version="m1", inferred_at=NOON + pd.to_timedelta(frame["hour"], unit="h"),
        source_file="", source_sheet="", source_row=1,
    )  # fmt: skip
    return declared("fraud_signals").shaped(frame)


def screen(transactions, *, engine=ENGINE, who=None, rules=None, outside=None, results=None):
    clean = SimpleNamespace(
        merchants=merchants() if who is None else who,
        policies=declared("policies").empty() if rules is None else rules,
        fraud_signals=declared("fraud_signals").empty() if outside is None else outside,
    )
    intake = SimpleNamespace(
        transactions=transactions, intake_results=declared("intake_results").empty() if results is None else results
    )
    tables = screen_transactions(clean, intake, engine, SETTINGS)
    for name, frame in tables.items():
        declared(name).checked(frame)
    return SimpleNamespace(**tables)


def scores(result) -> list[float]:
    return result.streaming_index["fraud_score"].tolist()


def test_a_quiet_payment_scores_nothing_and_says_nothing():
    index = screen(payments({})).streaming_index
    assert index[["fraud_score", "fraud_reasons", "policy_flags"]].to_numpy().tolist() == [[0.0, "", ""]]
    assert index["ingested_at"].iloc[0] == pd.Timestamp("2026-10-30 23:59:59", tz="UTC")


def test_the_newest_outside_signal_is_the_score():
    result = screen(payments({}), outside=signals(("T000", 0.9, 1), ("T000", 0.25, 3), ("T000", 0.8, 2)))
    assert scores(result) == [0.25]
    assert result.streaming_index["fraud_reasons"].tolist() == ["outside signal m1"]


def test_speed_counts_the_last_sixty_minutes_of_the_user_only():
    rows = [{"minutes": m} for m in (0, 61, 62, 63, 64, 65, 66, 67, 68)] + [{"user_id": "U2", "minutes": 66}]
    assert scores(screen(payments(*rows))) == [0, 0, 0, 0, 0.25, 0.25, 0.45, 0.45, 0.6, 0]


def test_an_amount_far_above_the_last_five_is_seen_and_a_first_one_is_not():
    usual = [{"minutes": 60.0 * 24 * d, "amount_minor": a} for d, a in enumerate((1000, 1100, 900, 1050, 950))]
    last = {"minutes": 60.0 * 24 * 6}
    assert scores(screen(payments(*usual, last | {"amount_minor": 1500})))[-1] == 0
    assert scores(screen(payments(*usual, last | {"amount_minor": 1700})))[-1] == 0.2
    assert scores(screen(payments(*usual, last | {"amount_minor": 5000})))[-1] == 0.35
    assert scores(screen(payments(*usual[:4], last | {"amount_minor": 5000})))[-1] == 0


def test_history_in_another_currency_is_another_history():
    usual = [{"minutes": 60.0 * 24 * d, "currency": "JPY"} for d in range(5)]
    assert scores(screen(payments(*usual, {"minutes": 9000.0, "amount_minor": 50_000})))[-1] == 0


def test_a_new_merchant_and_the_night_hours_add_a_little():
    usual = [{"minutes": 60.0 * 24 * d} for d in range(5)]
    night = {"minutes": 60.0 * (24 * 6 + 15), "merchant_id": "M2"}
    result = screen(payments(*usual, night))
    assert scores(result)[-1] == 0.15
    assert (
        result.streaming_index["fraud_reasons"].iloc[-1]
        == "first payment of the user to this merchant; between midnight and five (UTC)"
    )


def test_a_burst_at_a_merchant_is_judged_against_its_own_last_week():
    calm = [{"user_id": f"C{h}", "minutes": 60.0 * h} for h in range(0, 72, 8)]
    burst = [{"user_id": f"B{i}", "minutes": 60.0 * 72 + i} for i in range(12)]
    reasons = screen(payments(*calm, *burst)).streaming_index["fraud_reasons"]
    assert (
        reasons.iloc[-1]
        == "merchant unusually busy, 12 payments in two hours; account unusually busy, 12 payments in two hours"
    )
    assert not reasons.iloc[:-3].str.contains("busy").any()


def test_scores_from_the_review_rate_on_become_one_finding_per_user():
    result = screen(payments({}, {"minutes": 5}), outside=signals(("T000", 0.7, 1), ("T001", 0.95, 1)))
    assert result.screening_findings[["rule", "transaction_id", "user_id", "severity"]].to_numpy().tolist() == [
        ["FRAUD_REVIEW", "T001", "U1", "high"]
    ]
    assert "2 transactions to review, highest score 0.9500" in result.screening_findings["detail"].iloc[0]


def test_kyc_is_asked_for_only_under_an_active_kyc_policy():
    who, row = merchants("PENDING"), payments({})
    assert screen(row, who=who).streaming_index["policy_flags"].tolist() == [""]
    assert screen(row, who=who, rules=policies(("KYC", ""))).streaming_index["policy_flags"].tolist() == [
        "KYC_REQUIRED"
    ]
    assert screen(row, rules=policies(("KYC", ""))).streaming_index["policy_flags"].tolist() == [""]


def test_three_payments_just_under_the_threshold_within_a_week_are_structuring():
    day = 60.0 * 24
    near = [{"minutes": day * d, "amount_minor": 950_000} for d in (0, 3, 6)]
    other = {"minutes": day, "amount_minor": 899_999}
    flags = screen(payments(*near, other)).streaming_index.set_index("transaction_id")["policy_flags"].to_dict()
    assert flags == {"T000": "AML_PENDING", "T001": "AML_PENDING", "T002": "AML_PENDING", "T003": ""}
    apart = [{"minutes": day * d, "amount_minor": 950_000} for d in (0, 4, 8)]
    assert screen(payments(*apart)).screening_findings.empty
    strict = policies(("AML", "threshold=9600; currency=EUR; window_days=9; min_count=3; margin_rate=0.02"))
    assert screen(payments(*apart), rules=strict).screening_findings["rule"].tolist() == ["AML_STRUCTURING"]


def test_a_large_sale_refunded_within_a_day_is_rapid_in_and_out():
    rows = [{"amount_minor": 300_000}, {"amount_minor": 295_000, "type": "REFUND", "minutes": 600}]
    assert screen(payments(*rows)).streaming_index["policy_flags"].tolist() == ["AML_PENDING", "AML_PENDING"]
    rows[1]["minutes"] = 1500
    assert screen(payments(*rows)).streaming_index["policy_flags"].tolist() == ["", ""]


def test_a_regional_limit_holds_for_its_country_and_currency():
    rules = policies(("REGIONAL_LIMIT", "country=AT; limit=4000; currency=EUR"))
    rows = payments(
        {"amount_minor": 400_000},
        {"amount_minor": 400_001},
        {"amount_minor": 900_000, "currency": "JPY", "minutes": 600},
    )
    assert screen(rows, who=merchants(country="AT"), rules=rules).streaming_index["policy_flags"].tolist() == [
        "",
        "REGIONAL_LIMIT",
        "",
    ]
    assert screen(rows, rules=rules).streaming_index["policy_flags"].tolist() == ["", "", ""]


@pytest.mark.parametrize("parameters", ["user_id=U9, U1", "merchant_id=M1", "account=P"])
def test_listed_users_merchants_and_accounts_are_flagged(parameters):
    result = screen(payments({}), rules=policies(("BLACKLIST", parameters)))
    assert result.streaming_index["policy_flags"].tolist() == ["BLACKLISTED"]
    assert result.screening_findings["severity"].tolist() == ["high"]


def test_a_listed_name_is_found_in_another_spelling():
    rules = policies(("BLACKLIST", "name=Orlow Maritime; alias=Orlov Maritime Trading"))
    result = screen(payments({}), who=merchants(name="ORLÓV Maritime-Trading"), rules=rules)
    assert result.streaming_index["policy_flags"].tolist() == ["SANCTIONS_MATCH"]
    assert "listed name Orlov Maritime Trading" in result.screening_findings["detail"].iloc[0]
    assert screen(payments({}), who=merchants(name="Orion Marine"), rules=rules).screening_findings.empty


def test_a_conflict_of_intake_becomes_a_finding():
    conflict = pd.DataFrame([{"transaction_id": "T9", "idempotency_key": "K", "status": "conflict", "first_transaction_id": "T000", "first_source": "t.csv, row 2", "amount_minor": 1, "currency": "EUR", "source_file": "t.csv", "source_sheet": "", "source_row": 9}])  # fmt: skip
    findings = screen(payments({}), results=declared("intake_results").shaped(conflict)).screening_findings
    assert findings[["rule", "transaction_id", "severity"]].to_numpy().tolist() == [
        ["IDEMPOTENCY_CONFLICT", "T9", "high"]
    ]


def test_without_transactions_there_is_nothing_to_screen():
    result = screen(declared("transactions").empty())
    assert result.streaming_index.empty
    assert result.screening_findings.empty


@pytest.mark.slow
def test_both_engines_give_identical_rows(spark_engine):
    random = np.random.default_rng(3)
    rows = [
        {"user_id": f"U{random.integers(4)}", "merchant_id": f"M{random.integers(1, 3)}", "amount_minor": int(random.integers(100, 980_000)),
         "type": str(random.choice(["SALE", "SALE", "REFUND", "PAYOUT"])), "minutes": float(random.integers(0, 9000))}
        for _ in range(150)
    ]  # fmt: skip
    rules = policies(("KYC", ""), ("BLACKLIST", "user_id=U1; name=Schop"), ("REGIONAL_LIMIT", "country=DE; limit=8000"), ("AML", "threshold=5000; margin_rate=0.5"))  # fmt: skip
    options = {"who": merchants("EXPIRED"), "rules": rules, "outside": signals(("T003", 0.7, 1), ("T003", 0.8, 1))}
    ours, theirs = (screen(payments(*rows), engine=e, **options) for e in (ENGINE, spark_engine))
    pd.testing.assert_frame_equal(ours.streaming_index, theirs.streaming_index)
    pd.testing.assert_frame_equal(ours.screening_findings, theirs.screening_findings)
    assert ours.streaming_index["policy_flags"].nunique() > 3
