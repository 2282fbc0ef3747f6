"""The streaming index and the findings, case by case."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_lib.core.engine import open_engine
from atlas_lib.core.settings import IngestSettings
from atlas_lib.core.tables import declared
from atlas_lib.ingest.findings import rank_findings
from atlas_lib.ingest.screening import LOOK_BACK_DAYS, screen_arrivals, screen_transactions

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
        "source_account": "P",
        "destination_account": "A",
    }
    frame = pd.DataFrame([plain | r for r in rows])
    frame = frame.assign(
        transaction_id=[f"T{i:03}" for i in range(len(frame))], idempotency_key="", destination_currency="EUR", counterparty_id="C", settlement_window="T1", status="APPROVED", reference=None,
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


def screen(transactions, *, engine=ENGINE, who=None, rules=None, outside=None, results=None, history=None, **more):
    empty = {
        name: declared(name).empty()
        for name in ("contracts", "counterparties", "statement_lines", "sanctions", "fraud_labels")
    }
    chosen = {"merchants": who, "policies": rules, "fraud_signals": outside, **more}
    default = empty | {
        "merchants": merchants(),
        "policies": declared("policies").empty(),
        "fraud_signals": declared("fraud_signals").empty(),
    }
    clean = SimpleNamespace(**default | {name: frame for name, frame in chosen.items() if frame is not None})
    intake = SimpleNamespace(
        transactions=transactions, intake_results=declared("intake_results").empty() if results is None else results
    )
    if history is None:
        tables = screen_transactions(clean, intake, engine, SETTINGS)
    else:
        tables = screen_arrivals(clean, intake, history, engine, SETTINGS)
    for name, frame in tables.items():
        if isinstance(frame, pd.DataFrame):
            pd.testing.assert_frame_equal(declared(name).checked(frame), frame)
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
    assert scores(screen(payments(*rows))) == [0, 0, 0, 0, 0.15, 0.15, 0.35, 0.35, 0.6, 0]


def test_an_amount_far_above_the_last_five_is_seen_and_a_first_one_is_not():
    usual = [{"minutes": 60.0 * 24 * d, "amount_minor": 1000} for d in range(5)]
    last = {"minutes": 60.0 * 24 * 6}
    # Half the mean root is the least spread: 2.25 x the usual is z = 1, 9 x is z = 4, 64 x is z = 14 and capped.
    assert scores(screen(payments(*usual, last | {"amount_minor": 2200})))[-1] == 0
    found = screen(payments(*usual, last | {"amount_minor": 9000}))
    assert 0.29 < scores(found)[-1] < 0.31
    assert found.streaming_index["fraud_reasons"].iloc[-1] == "amount 9 times what the user usually pays"
    assert scores(screen(payments(*usual, last | {"amount_minor": 64_000})))[-1] == 0.6
    assert scores(screen(payments(*usual[:4], last | {"amount_minor": 64_000})))[-1] == 0


def test_a_user_of_changing_amounts_needs_a_larger_one():
    steady = [{"minutes": 60.0 * 24 * d, "amount_minor": 10_000} for d in range(5)]
    changing = [{"minutes": 60.0 * 24 * d, "amount_minor": a} for d, a in enumerate((100, 40_000, 400, 30_000, 900))]
    last = {"minutes": 60.0 * 24 * 6, "amount_minor": 90_000}
    assert scores(screen(payments(*steady, last)))[-1] > scores(screen(payments(*changing, last)))[-1] > 0


def test_the_last_twenty_payments_count_where_they_are_not_older_than_90_days():
    early = [{"minutes": 60.0 * 24 * d, "amount_minor": 100} for d in range(15)]
    late = [{"minutes": 60.0 * 24 * (15 + d), "amount_minor": 10_000} for d in range(5)]
    assert scores(screen(payments(*early, *late, {"minutes": 60.0 * 24 * 30, "amount_minor": 20_000})))[-1] > 0.1
    assert scores(screen(payments(*early, *late, {"minutes": 60.0 * 24 * 95, "amount_minor": 20_000})))[-1] == 0


def test_a_bare_date_tells_nothing_of_the_hour():
    usual = [{"minutes": 60.0 * 24 * d} for d in range(5)]
    assert scores(screen(payments(*usual, {"minutes": 60.0 * (24 * 6 + 12)})))[-1] == 0
    assert scores(screen(payments(*usual, {"minutes": 60.0 * (24 * 6 + 12) + 1})))[-1] == 0.02


def test_history_in_another_currency_is_another_history():
    usual = [{"minutes": 60.0 * 24 * d, "currency": "JPY"} for d in range(5)]
    assert scores(screen(payments(*usual, {"minutes": 9000.0, "amount_minor": 50_000})))[-1] == 0


def test_a_new_merchant_and_the_night_hours_add_a_little():
    usual = [{"minutes": 60.0 * 24 * d} for d in range(5)]
    night = {"minutes": 60.0 * (24 * 6 + 15), "merchant_id": "M2"}
    result = screen(payments(*usual, night))
    assert scores(result)[-1] == 0.03
    assert (
        result.streaming_index["fraud_reasons"].iloc[-1]
        == "first payment of the user to this merchant; between midnight and five (UTC)"
    )


def test_an_observation_too_small_for_a_point_leaves_no_empty_reason_before_the_next():
    usual = [{"minutes": 60.0 * 24 * d, "amount_minor": 8_801} for d in range(5)]  # z of the last: 1.0007, no point yet
    at_night = {"minutes": 60.0 * (24 * 6 + 15), "amount_minor": 19_811}
    index = screen(payments(*usual, at_night)).streaming_index
    assert index["fraud_reasons"].iloc[-1] == "between midnight and five (UTC)"
    assert index["fraud_score"].iloc[-1] == 0.02


def test_a_first_payment_in_a_country_adds_to_a_new_merchant():
    usual = [{"minutes": 60.0 * 24 * d} for d in range(5)]
    rows = payments(
        *usual, {"minutes": 60.0 * 24 * 6, "merchant_id": "M2"}, {"minutes": 60.0 * 24 * 7, "merchant_id": "M3"}
    )
    who = pd.concat(
        [merchants(), *(merchants(country="AT").assign(merchant_id=m) for m in ("M2", "M3"))], ignore_index=True
    )
    result = screen(rows, who=who)
    assert scores(result)[-2:] == [0.04, 0.01]
    assert result.streaming_index["fraud_reasons"].iloc[-2].endswith("first payment of the user in AT")


def test_an_amount_above_the_highest_of_the_currency_needs_no_history_of_the_user():
    many = [{"user_id": f"C{i % 500}", "minutes": i / 2, "amount_minor": 1000 + i % 1000} for i in range(6000)]
    next_day = {"minutes": 60.0 * 24 * 3.0, "user_id": "NEW"}
    result = screen(payments(*many, next_day | {"amount_minor": 1500}, next_day | {"amount_minor": 8000}))
    of_last = result.streaming_index.set_index("transaction_id").loc[["T6000", "T6001"]]
    assert of_last["fraud_score"].tolist() == [0, 0.5]
    assert of_last["fraud_reasons"].tolist() == ["", "amount among the highest of the currency"]


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


def test_the_third_payment_just_under_the_threshold_within_a_week_is_structuring():
    day = 60.0 * 24
    near = [{"minutes": day * d, "amount_minor": 950_000} for d in (0, 3, 6)]
    other = {"minutes": day, "amount_minor": 899_999}
    result = screen(payments(*near, other))
    flags = result.streaming_index.set_index("transaction_id")["policy_flags"].to_dict()
    assert flags == {"T000": "", "T001": "", "T002": "AML_PENDING", "T003": ""}
    apart = [{"minutes": day * d, "amount_minor": 950_000} for d in (0, 4, 8)]
    assert screen(payments(*apart)).screening_findings.empty
    strict = policies(("AML", "threshold=9600; currency=EUR; window_days=9; min_count=3; margin_rate=0.02"))
    assert screen(payments(*apart), rules=strict).screening_findings["rule"].tolist() == ["AML_STRUCTURING"]


def test_a_large_sale_refunded_within_a_day_is_rapid_in_and_out():
    rows = [{"amount_minor": 300_000}, {"amount_minor": 295_000, "type": "REFUND", "minutes": 600}]
    assert screen(payments(*rows)).streaming_index["policy_flags"].tolist() == ["", "AML_PENDING"]
    rows[1]["minutes"] = 0
    assert screen(payments(*rows)).streaming_index["policy_flags"].tolist() == ["", "AML_PENDING"]
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


def test_a_regional_limit_is_named_in_its_currency():
    rules = policies(("REGIONAL_LIMIT", "country=DE; limit=4000"))
    row = payments({"amount_minor": 4_000_001, "currency": "BHD"})
    found = screen(row, who=merchants(country="de"), rules=rules).screening_findings
    assert "single payment above 4,000.000 BHD, the limit of policy P0 (" in found["detail"].iloc[0]


@pytest.mark.parametrize("parameters", ["user_id=U9, U1", "merchant_id=M1", "counterparty_id=C", "account=P"])
def test_listed_parties_and_accounts_are_flagged(parameters):
    result = screen(payments({}), rules=policies(("BLACKLIST", parameters)))
    assert result.streaming_index["policy_flags"].tolist() == ["BLACKLISTED"]
    assert result.screening_findings["severity"].tolist() == ["high"]


def test_a_listed_name_is_found_in_another_spelling():
    rules = policies(("BLACKLIST", "name=Orlow Maritime; alias=Orlov Maritime Trading"))
    result = screen(payments({}), who=merchants(name="ORLÓV Maritime-Trading"), rules=rules)
    assert result.streaming_index["policy_flags"].tolist() == ["SANCTIONS_MATCH"]
    assert "spelled" not in result.screening_findings["detail"].iloc[0]
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


def random_rows(random: np.random.Generator, count: int, days: int = 6) -> list[dict[str, object]]:
    """Payments of few users and accounts, on whole hours now and then, some without a user."""
    accounts = [f"X{i}" for i in range(6)]
    return [
        {"user_id": str(random.choice(["U0", "U1", "U2", "U3", "", ""])), "merchant_id": f"M{random.integers(1, 3)}", "amount_minor": int(random.choice([100, 2_000, 40_000, 300_000, 490_000]) + random.integers(0, 3)),
         "type": str(random.choice(["SALE", "SALE", "SALE", "REFUND", "PAYOUT"])), "minutes": float(random.choice([random.integers(0, 1440 * days), 60 * random.integers(0, 24 * days)])),
         "source_account": str(random.choice(accounts)), "destination_account": str(random.choice(accounts))}
        for _ in range(count)
    ]  # fmt: skip


@pytest.mark.slow
def test_both_engines_give_identical_rows(spark_engine):
    random = np.random.default_rng(3)
    rules = policies(("KYC", ""), ("BLACKLIST", "user_id=U1; name=Schop"), ("REGIONAL_LIMIT", "country=DE; limit=4000"), ("AML", "threshold=5000; margin_rate=0.5; fan_count=2; dormant_days=1"))  # fmt: skip
    options = {"who": merchants("EXPIRED"), "rules": rules, "outside": signals(("T003", 0.7, 1), ("T003", 0.8, 1))}
    rows = payments(*random_rows(random, 300, days=60))
    ours, theirs = (screen(rows, engine=e, **options) for e in (ENGINE, spark_engine))
    pd.testing.assert_frame_equal(ours.streaming_index, theirs.streaming_index)
    pd.testing.assert_frame_equal(ours.screening_findings, theirs.screening_findings)
    assert ours.streaming_index["policy_flags"].nunique() > 3
    assert set(ours.screening_findings["rule"]) >= {"AML_STRUCTURING", "AML_DORMANT", "FRAUD_REVIEW"}


@given(st.data())
@settings(max_examples=5)
def test_batches_in_order_of_time_get_the_rows_they_get_all_at_once(data):
    random = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    rows = payments(*random_rows(random, 160, days=int(data.draw(st.sampled_from([3, 40, 250])))))
    options = {
        "who": merchants("EXPIRED"),
        "rules": policies(("KYC", ""), ("AML", "threshold=5000; margin_rate=0.5; fan_count=3; dormant_days=20")),
    }
    whole = screen(rows, **options).streaming_index
    ordered = rows.sort_values(["created_at", "transaction_id"], ignore_index=True)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(ordered) - 1), min_size=1, max_size=4)))
    parts = [ordered.iloc[a:b] for a, b in zip([0, *cuts], [*cuts, len(ordered)], strict=True)]
    seen, found = rows.iloc[:0], []
    for part in parts:
        since = part["created_at"].min() - pd.Timedelta(days=LOOK_BACK_DAYS)
        found.append(screen(part, history=seen[seen["created_at"] >= since], **options).streaming_index)
        seen = pd.concat([seen, part])
    joined = declared("streaming_index").shaped(pd.concat(found))
    pd.testing.assert_frame_equal(joined, whole)


def sparse_transfers(random: np.random.Generator) -> list[dict[str, object]]:
    """Months with few transfers or none, then partners that are new to one of two hubs, in two currencies."""
    quiet = [(float(random.integers(0, 60)), f"S{random.integers(0, 12)}") for _ in range(random.integers(1, 12))]
    start = float(random.integers(60, 140))
    busy = [(start + float(random.uniform(0, 40)), f"S{random.integers(0, 12)}") for _ in range(40)]
    return [
        {"user_id": "", "minutes": 1440 * day, "source_account": partner, "destination_account": f"HUB{random.integers(0, 2)}",
         "currency": str(random.choice(["EUR", "EUR", "USD"])), "amount_minor": int(random.integers(1, 100) * 100)}
        for day, partner in quiet + busy
    ]  # fmt: skip


def what_is_said(*results: SimpleNamespace) -> set[tuple[str, str]]:
    """Without the number of payments, which every delivery counts for itself."""
    found = pd.concat([result.screening_findings for result in results])
    return {(rule, detail.partition(" (")[0]) for rule, detail in zip(found["rule"], found["detail"], strict=True)}


@given(st.data())
@settings(max_examples=4)
def test_transfers_split_into_any_deliveries_give_the_patterns_of_the_whole(data):
    random = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    rows = payments(*sparse_transfers(random)).sort_values(["created_at", "transaction_id"], ignore_index=True)
    rules = policies(("AML", "threshold=5000; fan_count=2; fan_days=7"))
    whole = screen(rows, rules=rules)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(rows) - 1), min_size=1, max_size=2)))
    parts = [
        screen(rows.iloc[a:b].reset_index(drop=True), history=rows.iloc[:a], rules=rules)
        for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)
    ]
    joined = declared("streaming_index").shaped(pd.concat([part.streaming_index for part in parts]))
    pd.testing.assert_frame_equal(joined, whole.streaming_index)
    assert what_is_said(*parts) == what_is_said(whole)


@pytest.mark.parametrize(("last_before", "is_seen"), [(100, True), (125, False)])
def test_a_fan_after_months_with_few_transfers_is_the_same_in_a_delivery(last_before, is_seen):
    old = [{"minutes": 1440.0 * day} for day in (0, last_before)]
    fan = [{"minutes": 1440 * (150.0 + i), "source_account": f"S{i}", "destination_account": "HUB"} for i in range(4)]
    rows = payments(*({"user_id": ""} | row for row in old + fan))
    rules = policies(("AML", "threshold=1e4; fan_count=4"))
    whole = what_is_said(screen(rows, rules=rules))
    assert ("AML_FAN_IN" in {rule for rule, _ in whole}) == is_seen
    assert whole == what_is_said(screen(rows.iloc[4:].reset_index(drop=True), history=rows.iloc[:4], rules=rules))


def test_a_file_of_transactions_gives_the_index_as_a_file_with_the_same_rows(tmp_path):
    rows = payments(*random_rows(np.random.default_rng(5), 120))
    path = tmp_path / "transactions.parquet"
    pq.write_table(declared("transactions").to_arrow(rows), path)
    made = screen(path)
    table = declared("streaming_index")
    pd.testing.assert_frame_equal(table.from_arrow(pq.read_table(made.streaming_index)), screen(rows).streaming_index)


def test_findings_are_ranked_by_severity():
    said = [
        ("info", "WEAK_ALIAS_MATCH"),
        ("warning", "KYC_REQUIRED"),
        ("high", "BLACKLISTED"),
        ("warning", "AML_SPLIT"),
    ]
    ranked = rank_findings(pd.DataFrame(said, columns=["severity", "rule"]).assign(detail="-"))
    assert ranked["rule"].tolist() == ["BLACKLISTED", "AML_SPLIT", "KYC_REQUIRED", "WEAK_ALIAS_MATCH"]
