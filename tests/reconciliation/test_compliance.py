"""Status of merchants and customers from flags, findings and identity checks."""

import pandas as pd

from atlas_lib.core.customers import mask_users
from atlas_lib.reconciliation import judge_compliance, pending_compliance
from tests.reconciliation.reconciliation_frames import frame_of, payment, settings
from tests.reconciliation.test_final_index import index_of, screened


def status_of(*ours, flags=(), merchants=(), findings=()):
    index = index_of(*ours, streaming_index=[screened(t, 0.0, f) for t, f in flags])
    tables = frame_of("merchants", list(merchants)), frame_of("screening_findings", list(findings))
    return judge_compliance(index, *tables, settings())["compliance_status"].set_index(["scope", "subject_id"])


def shop(merchant_id, kyc="COMPLETE"):
    return {"merchant_id": merchant_id, "merchant_name": f"Shop {merchant_id}", "kyc_status": kyc}


def test_flags_of_transactions_decide_for_merchant_and_customer():
    ours = [
        payment("T1", 1, "2026-10-05"),
        payment("T2", 1, "2026-10-05", user_id="U2"),
        payment("T3", 1, "2026-10-05", merchant_id="M2"),
    ]
    flags = [("T1", "AML_PENDING; REGIONAL_LIMIT"), ("T2", "SANCTIONS_MATCH")]
    found = status_of(*ours, flags=flags, merchants=[shop("M1"), shop("M2")])
    assert found["status"].to_dict() == {
        ("merchant", "M1"): "stop",
        ("merchant", "M2"): "clear",
        ("user", "U1"): "review",
        ("user", "U2"): "stop",
    }
    assert found.loc[("merchant", "M1"), ["rules", "transaction_count", "flagged_count"]].tolist() == [
        "AML_PENDING; REGIONAL_LIMIT; SANCTIONS_MATCH",
        2,
        2,
    ]
    assert found.loc[
        ("user", "U1"), ["aml_status", "sanctions_status", "transaction_count", "flagged_count"]
    ].tolist() == ["pending", "clear", 2, 1]


def test_a_merchant_without_a_finished_identity_check_is_reviewed_also_without_transactions():
    found = status_of(payment("T1", 1, "2026-10-05"), merchants=[shop("M1"), shop("M9", "EXPIRED")])
    assert found.loc[("merchant", "M9"), ["status", "kyc_status", "transaction_count"]].tolist() == [
        "review",
        "EXPIRED",
        0,
    ]
    assert found.loc[("merchant", "M1"), "status"] == "clear"
    assert pd.isna(found.loc[("user", "U1"), "kyc_status"])


def test_a_high_finding_counts_and_a_conflict_of_keys_does_not():
    findings = [
        {"finding_id": "F1", "rule": "FRAUD_REVIEW", "severity": "high", "user_id": "U1"},
        {"finding_id": "F2", "rule": "IDEMPOTENCY_CONFLICT", "severity": "high", "merchant_id": "M1"},
        {"finding_id": "F3", "rule": "KYC_REQUIRED", "severity": "warning", "merchant_id": "M1"},
    ]
    found = status_of(payment("T1", 1, "2026-10-05"), merchants=[shop("M1")], findings=findings)
    assert found["status"].to_dict() == {("merchant", "M1"): "clear", ("user", "U1"): "review"}


def test_those_to_decide_about_come_stops_first_and_customers_are_masked():
    ours = [payment("T1", 1, "2026-10-05"), payment("T2", 1, "2026-10-05", user_id="U2")]
    found = status_of(
        *ours, flags=[("T1", "KYC_REQUIRED"), ("T2", "BLACKLISTED")], merchants=[shop("M1")]
    ).reset_index()
    shown = mask_users(pending_compliance(found), "key")
    assert shown["status"].tolist() == ["stop", "stop", "review"]
    assert shown["subject_id"].iloc[0] == "M1"
    assert not shown["subject_id"].isin(["U1", "U2"]).any()


def test_without_transactions_there_are_only_merchants():
    assert status_of(merchants=[shop("M1")]).index.tolist() == [("merchant", "M1")]
    assert status_of().empty
