"""Who may be dealt with: identity, money-laundering and sanctions status per merchant and customer, from what screening found."""

from __future__ import annotations

import numpy as np
import pandas as pd

from atlas_lib.core.engine import Input, open_engine
from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.core.tables import declared

# Flags that forbid dealing with somebody until a person has decided; any other flag asks for a look.
_STOPPING = ("SANCTIONS_MATCH", "BLACKLISTED")
_STEPS = [
    (
        "flagged",
        """
        SELECT 'merchant' AS scope, merchant_id AS subject_id, policy_flags, COUNT(*) AS transaction_count
        FROM final_index GROUP BY merchant_id, policy_flags
        UNION ALL
        SELECT 'user', user_id, policy_flags, COUNT(*) FROM final_index WHERE user_id <> '' GROUP BY user_id, policy_flags""",
    ),
]


def judge_compliance(
    final_index: Input, merchants: pd.DataFrame, screening_findings: pd.DataFrame, settings: ReconciliationSettings
) -> dict[str, pd.DataFrame]:
    """compliance_status: one row per merchant, and per customer with transactions (scope user).

    stop: a sanctions or blacklist flag on a transaction, or such a finding about the subject itself. review: any other flag, a
    finding of severity high, or a merchant whose identity check is not COMPLETE. clear: none of these. A customer's flags are
    those of the transactions, so those of a listed merchant show on the customers who paid it.
    """
    counted = open_engine(settings.engine).run(_STEPS, {"final_index": final_index}, ["flagged"])["flagged"]
    subjects = _subjects(counted, merchants)
    flags = counted.assign(flag=counted["policy_flags"].str.split("; ")).explode("flag")
    flags = pd.concat([flags[flags["flag"] != ""][["scope", "subject_id", "flag"]], _found(screening_findings)])
    flags = flags.drop_duplicates().sort_values(["scope", "subject_id", "flag"])
    grouped = flags.groupby(["scope", "subject_id"])["flag"].agg("; ".join).rename("rules")
    joined = subjects.merge(grouped, on=["scope", "subject_id"], how="left", validate="1:1").fillna({"rules": ""})
    stops = joined["rules"].str.contains("|".join(_STOPPING))
    is_unidentified = joined["kyc_status"].notna() & (joined["kyc_status"] != "COMPLETE")
    joined["status"] = np.select([stops, (joined["rules"] != "") | is_unidentified], ["stop", "review"], "clear")
    joined["aml_status"] = np.where(joined["rules"].str.contains("AML_"), "pending", "clear")
    joined["sanctions_status"] = np.where(joined["rules"].str.contains("SANCTIONS_MATCH"), "hit", "clear")
    return {"compliance_status": declared("compliance_status").shaped(joined)}


def _subjects(counted: pd.DataFrame, merchants: pd.DataFrame) -> pd.DataFrame:
    """Everybody with their counts; merchants without transactions too."""
    is_flagged = counted["policy_flags"] != ""
    sums = counted.assign(flagged_count=counted["transaction_count"].where(is_flagged, 0))
    sums = sums.groupby(["scope", "subject_id"], as_index=False)[["transaction_count", "flagged_count"]].sum()
    known = merchants[["merchant_id", "merchant_name", "kyc_status"]].rename(columns={"merchant_id": "subject_id"})
    everybody = sums.merge(known.assign(scope="merchant"), on=["scope", "subject_id"], how="outer", validate="1:1")
    counts = ["transaction_count", "flagged_count"]
    everybody[counts] = everybody[counts].fillna(0).astype("int64")
    return everybody.rename(columns={"merchant_name": "subject_name"}).fillna({"subject_name": ""})


def _found(findings: pd.DataFrame) -> pd.DataFrame:
    """High findings as flags of the merchant and of the customer they name."""
    high = findings[(findings["severity"] == "high") & (findings["rule"] != "IDEMPOTENCY_CONFLICT")]
    parts = [
        high.dropna(subset=[f"{scope}_id"])
        .rename(columns={f"{scope}_id": "subject_id", "rule": "flag"})
        .assign(scope=scope)
        for scope in ("merchant", "user")
    ]
    return pd.concat(parts)[["scope", "subject_id", "flag"]]


def pending_compliance(compliance_status: pd.DataFrame) -> pd.DataFrame:
    """Whom a person has to decide about: stops first, then by transactions flagged."""
    own = compliance_status[compliance_status["status"] != "clear"].assign(
        place=lambda t: (t["status"] != "stop").astype(int)
    )
    order = own.sort_values(["place", "scope", "flagged_count", "subject_id"], ascending=[True, True, False, True])
    return order.drop(columns="place").reset_index(drop=True)
