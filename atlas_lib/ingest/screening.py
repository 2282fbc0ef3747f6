"""Screening: what is known of each accepted payment the moment it arrives (the streaming index).

Fraud score in steps of 1/10,000: the newest outside signal where there is one, else the sum of our own observations,
each from the past of the payment only:

| observation | points |
|---|---|
| 4 / 6 / 8 or more payments of the user within 60 minutes | 2,500 / 4,500 / 6,000 |
| amount more than 6 / 12 spreads above the median of the user's last five in that currency | 2,000 / 3,500 |
| first payment of a user with history to this merchant | 500 |
| between 00:00 and 05:00 UTC | 1,000 |
| merchant, account: this and the previous clock hour 6 times busier than its last week, 10 payments at least | 1,000 each |

Spread: the larger of the median absolute deviation and a tenth of the median (a robust z-score).
"""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd

from atlas_lib.core.engine import Engine
from atlas_lib.core.settings import IngestSettings
from atlas_lib.core.tables import declared
from atlas_lib.ingest import policies as rules
from atlas_lib.ingest.findings import list_findings


def _median5(a: str, b: str, c: str, d: str, e: str) -> str:
    """The median of five by least and greatest: no sort, the same on both engines."""
    low = f"GREATEST(LEAST({a}, {b}), LEAST({c}, {d}))"
    high = f"LEAST(GREATEST({a}, {b}), GREATEST({c}, {d}))"
    return f"GREATEST(LEAST({low}, {high}), LEAST(GREATEST({low}, {high}), {e}))"


_LAST = [f"last{i}" for i in range(1, 6)]
_LAGS = ", ".join(f"LAG(amount_minor, {i}) OVER by_amount AS last{i}" for i in range(1, 6))
_DEVIATION = _median5(*(f"ABS({lag} - usual_minor)" for lag in _LAST))

_OBSERVED = [
    (
        "user_payments",
        f"""
        SELECT transaction_id, amount_minor, {_LAGS},
               COUNT(*) OVER (PARTITION BY user_id ORDER BY created_us
                              RANGE BETWEEN 3600000000 PRECEDING AND CURRENT ROW) AS user_hour_count,
               ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY created_us, transaction_id) AS user_number,
               ROW_NUMBER() OVER (PARTITION BY user_id, merchant_id ORDER BY created_us, transaction_id) AS pair_number
        FROM payments
        WHERE user_id <> '' AND type IN ('SALE', 'REFUND')
        WINDOW by_amount AS (PARTITION BY user_id, currency ORDER BY created_us, transaction_id)
        """,  # noqa: S608 - the text inserted is made above
    ),
    (
        "user_usual",
        f"SELECT *, CASE WHEN last5 IS NOT NULL THEN {_median5(*_LAST)} END AS usual_minor FROM user_payments",  # noqa: S608
    ),
    (
        "user_observed",
        f"""
        SELECT transaction_id, amount_minor, user_hour_count, user_number, pair_number, usual_minor,
               GREATEST(10 * {_DEVIATION}, usual_minor, 10) AS spread_tenths
        FROM user_usual
        """,  # noqa: S608
    ),
    (
        "activity",
        """
        SELECT 'merchant' AS kind, merchant_id AS party, hour_number, created_us, transaction_id FROM payments
        UNION ALL
        SELECT 'account' AS kind, source_account AS party, hour_number, created_us, transaction_id FROM payments
        """,
    ),
    (
        "hourly",
        "SELECT kind, party, hour_number, COUNT(*) AS hour_count FROM activity GROUP BY kind, party, hour_number",
    ),
    (
        "hourly_before",
        """
        SELECT kind, party, hour_number,
               hour_number - MIN(hour_number) OVER (PARTITION BY kind, party) AS hours_known,
               COALESCE(SUM(hour_count) OVER (PARTITION BY kind, party ORDER BY hour_number
                                              RANGE BETWEEN 1 PRECEDING AND 1 PRECEDING), 0) AS previous_count,
               COALESCE(SUM(hour_count) OVER (PARTITION BY kind, party ORDER BY hour_number
                                              RANGE BETWEEN 168 PRECEDING AND 1 PRECEDING), 0) AS week_count
        FROM hourly
        """,
    ),
    (
        "counted",
        """
        SELECT a.transaction_id, a.kind, b.hours_known, b.week_count,
               b.previous_count + ROW_NUMBER() OVER (PARTITION BY a.kind, a.party, a.hour_number
                                                     ORDER BY a.created_us, a.transaction_id) AS two_hour_count
        FROM activity a JOIN hourly_before b
          ON b.kind = a.kind AND b.party = a.party AND b.hour_number = a.hour_number
        """,
    ),
    (
        "bursts",
        """
        SELECT transaction_id,
               MAX(CASE WHEN kind = 'merchant' THEN two_hour_count END) AS merchant_burst,
               MAX(CASE WHEN kind = 'account' THEN two_hour_count END) AS account_burst
        FROM counted
        WHERE hours_known >= 24 AND two_hour_count >= 10 AND two_hour_count * LEAST(hours_known, 168) > 12 * week_count
        GROUP BY transaction_id
        """,
    ),
]

_SCORED = [
    (
        "newest_signals",
        """
        SELECT transaction_id, score_steps, model_version FROM (
            SELECT *, ROW_NUMBER() OVER (PARTITION BY transaction_id ORDER BY inferred_us DESC, fraud_signal_id DESC) AS newest
            FROM signals) s
        WHERE newest = 1
        """,
    ),
    (
        "points",
        """
        SELECT p.transaction_id, p.status, s.score_steps AS outside_steps, s.model_version, u.user_hour_count, u.usual_minor,
               b.merchant_burst, b.account_burst, f.policy_flags,
               CASE WHEN u.user_hour_count >= 8 THEN 6000 WHEN u.user_hour_count >= 6 THEN 4500
                    WHEN u.user_hour_count >= 4 THEN 2500 ELSE 0 END AS velocity_points,
               CASE WHEN (u.amount_minor - u.usual_minor) * 10 > 12 * u.spread_tenths THEN 3500
                    WHEN (u.amount_minor - u.usual_minor) * 10 > 6 * u.spread_tenths THEN 2000 ELSE 0 END AS amount_points,
               CASE WHEN u.pair_number = 1 AND u.user_number > 5 THEN 500 ELSE 0 END AS pair_points,
               CASE WHEN u.user_number IS NOT NULL AND p.hour_number % 24 < 5 THEN 1000 ELSE 0 END AS hour_points,
               CASE WHEN b.merchant_burst IS NOT NULL THEN 1000 ELSE 0 END AS merchant_points,
               CASE WHEN b.account_burst IS NOT NULL THEN 1000 ELSE 0 END AS account_points
        FROM payments p
        LEFT JOIN user_observed u ON u.transaction_id = p.transaction_id
        LEFT JOIN bursts b ON b.transaction_id = p.transaction_id
        LEFT JOIN newest_signals s ON s.transaction_id = p.transaction_id
        LEFT JOIN flagged f ON f.transaction_id = p.transaction_id
        """,
    ),
    (
        "screened",
        """
        SELECT transaction_id, status,
               CAST(COALESCE(outside_steps, LEAST(10000, velocity_points + amount_points + pair_points + hour_points
                                                         + merchant_points + account_points)) AS BIGINT) AS score_steps,
               concat_ws('; ',
                   CASE WHEN outside_steps IS NOT NULL THEN concat('outside signal ', model_version) END,
                   CASE WHEN velocity_points > 0 THEN concat(CAST(user_hour_count AS STRING), ' payments of the user within 60 minutes') END,
                   CASE WHEN amount_points > 0 THEN 'amount far above what the user usually pays' END,
                   CASE WHEN pair_points > 0 THEN 'first payment of the user to this merchant' END,
                   CASE WHEN hour_points > 0 THEN 'between midnight and five (UTC)' END,
                   CASE WHEN merchant_points > 0 THEN concat('merchant unusually busy, ', CAST(merchant_burst AS STRING), ' payments in two hours') END,
                   CASE WHEN account_points > 0 THEN concat('account unusually busy, ', CAST(account_burst AS STRING), ' payments in two hours') END
               ) AS fraud_reasons,
               COALESCE(policy_flags, '') AS policy_flags
        FROM points ORDER BY transaction_id
        """,
    ),
]  # fmt: skip


def screen_transactions(
    clean: SimpleNamespace, intake: SimpleNamespace, engine: Engine, settings: IngestSettings
) -> dict[str, pd.DataFrame]:
    """`streaming_index` (key transaction_id) and `screening_findings` (conflicts, fraud reviews, policy hits in words).

    Reads `merchants`, `fraud_signals` and `policies` of `clean`, `transactions` and `intake_results` of `intake`.
    """
    transactions, intake_results, policies = intake.transactions, intake.intake_results, clean.policies
    if transactions.empty and intake_results.empty:
        return {name: declared(name).empty() for name in ("streaming_index", "screening_findings")}
    currencies = sorted(transactions["currency"].unique())
    inputs = {
        "payments": _payments(transactions),
        "merchants": clean.merchants[["merchant_id", "merchant_name", "kyc_status", "country"]],
        "signals": _signals(clean.fraud_signals),
        "aml_limits": rules.aml_limits(policies, currencies),
        "regional_limits": rules.regional_limits(policies, currencies),
        "blacklist": rules.blacklist(policies),
    }
    parameters = {"is_kyc_active": bool(rules.active(policies, "KYC"))}
    found = engine.run([*_OBSERVED, *rules.FLAG_STEPS, *_SCORED], inputs, ["screened", "flags"], parameters)
    screened = found["screened"]
    index = screened.assign(
        fraud_score=screened["score_steps"] / 10_000,
        ingested_at=pd.Timestamp(settings.as_of, tz="UTC") + pd.Timedelta(hours=23, minutes=59, seconds=59),
    )
    index = declared("streaming_index").shaped(index)
    findings = list_findings(transactions, index, found["flags"], intake_results, settings.fraud_review_rate)
    return {"streaming_index": index, "screening_findings": findings}


def _payments(transactions: pd.DataFrame) -> pd.DataFrame:
    columns = [
        "transaction_id",
        "user_id",
        "merchant_id",
        "type",
        "amount_minor",
        "currency",
        "source_account",
        "destination_account",
        "status",
    ]
    created = transactions["created_at"].astype("int64")
    return transactions[columns].assign(created_us=created, hour_number=created // 3_600_000_000)


def _signals(signals: pd.DataFrame) -> pd.DataFrame:
    steps = (signals["fraud_score"] * 10_000).round().astype("int64")
    inferred = signals["inferred_at"].astype("int64")
    return signals[["fraud_signal_id", "transaction_id", "model_version"]].assign(
        score_steps=steps, inferred_us=inferred
    )
