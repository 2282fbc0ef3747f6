"""Screening of what is new: scored over the past that counts for it, so that each score is that of one large batch.

The past of a delivery: every earlier payment of its users; those of its merchants and accounts in the eight days before
it (screening looks back a week and an hour); and the first one of each, which says how long they are known. A payment
that comes later than younger ones of the same user, merchant or account changes their scores in a run, not in the index.
"""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd

from atlas_lib.core.engine import Engine
from atlas_lib.core.settings import IngestSettings
from atlas_lib.core.tables import declared
from atlas_lib.ingest.consistency import complete_merchants
from atlas_lib.ingest.findings import list_findings
from atlas_lib.ingest.past import Past
from atlas_lib.ingest.screening import screen_transactions

LOOK_BACK_DAYS = 8
_FLAG_OF_RULE = {"AML_STRUCTURING": "AML_PENDING", "AML_RAPID_IN_OUT": "AML_PENDING"}

_PAST = [
    ("users", "SELECT DISTINCT user_id FROM arriving WHERE user_id <> ''"),
    ("merchants", "SELECT DISTINCT merchant_id FROM arriving"),
    ("accounts", "SELECT DISTINCT source_account FROM arriving"),
    (
        "merchant_starts",
        """
        SELECT k.merchant_id, MIN(k.created_at) AS first_at
        FROM kept k JOIN merchants m ON m.merchant_id = k.merchant_id GROUP BY k.merchant_id
        """,
    ),
    (
        "account_starts",
        """
        SELECT k.source_account, MIN(k.created_at) AS first_at
        FROM kept k JOIN accounts a ON a.source_account = k.source_account GROUP BY k.source_account
        """,
    ),
    (
        "past",
        """
        SELECT k.*
        FROM kept k
        LEFT JOIN users u ON u.user_id = k.user_id
        LEFT JOIN merchant_starts m ON m.merchant_id = k.merchant_id
        LEFT JOIN account_starts a ON a.source_account = k.source_account
        WHERE u.user_id IS NOT NULL
           OR (m.merchant_id IS NOT NULL AND (k.created_at >= :since OR k.created_at = m.first_at))
           OR (a.source_account IS NOT NULL AND (k.created_at >= :since OR k.created_at = a.first_at))
        ORDER BY k.transaction_id
        """,
    ),
]
_KEPT_BEFORE = [
    (
        "before",
        "SELECT k.transaction_id FROM kept k JOIN arriving a ON a.transaction_id = k.transaction_id ORDER BY 1",
    ),
]


def drop_known(arriving: pd.DataFrame, kept: Past, engine: Engine) -> pd.DataFrame:
    """Without the transactions that were accepted here already."""
    if arriving.empty or kept.is_empty:
        return arriving
    inputs = {"kept": kept.folder, "arriving": arriving[["transaction_id"]]}
    before = engine.run(_KEPT_BEFORE, inputs, ["before"])["before"]
    return arriving[~arriving["transaction_id"].isin(before["transaction_id"])].reset_index(drop=True)


def read_past(arriving: pd.DataFrame, kept: Past, engine: Engine) -> pd.DataFrame:
    """The earlier transactions that count for the scores of the arriving ones; columns of `transactions`."""
    if arriving.empty or kept.is_empty:
        return declared("transactions").empty()
    since = (arriving["created_at"].min() - pd.Timedelta(days=LOOK_BACK_DAYS)).to_pydatetime()
    parties = arriving[["user_id", "merchant_id", "source_account"]]
    past = engine.run(_PAST, {"kept": kept.folder, "arriving": parties}, ["past"], {"since": since})["past"]
    return declared("transactions").shaped(past[~past["transaction_id"].isin(arriving["transaction_id"])])


def screen_arriving(
    arriving: pd.DataFrame,
    past: pd.DataFrame,
    reference: SimpleNamespace,
    intake_results: pd.DataFrame,
    engine: Engine,
    settings: IngestSettings,
) -> dict[str, pd.DataFrame]:
    """`streaming_index` of the arriving transactions and the `screening_findings` that they give.

    `reference` has merchants, policies and fraud_signals as they are known. A policy finding is made when an arriving
    transaction carries its flag; its count then takes in the past.
    """
    both = pd.concat([past, arriving], ignore_index=True)
    listed = {"merchants": reference.merchants, "contracts": declared("contracts").empty()}
    clean = SimpleNamespace(
        merchants=complete_merchants(listed, both.drop_duplicates("merchant_id"))[0],
        fraud_signals=reference.fraud_signals,
        policies=reference.policies,
    )
    intake = SimpleNamespace(transactions=both, intake_results=declared("intake_results").empty())
    found = screen_transactions(clean, intake, engine, settings)
    index = found["streaming_index"]
    index = index[index["transaction_id"].isin(arriving["transaction_id"])].reset_index(drop=True)
    no_flags = pd.DataFrame(columns=["transaction_id", "rule", "subject", "detail"], dtype="str")
    own = list_findings(arriving, index, no_flags, intake_results, settings.fraud_review_rate)
    hits = _of_arriving(found["screening_findings"], arriving, index)
    joined = pd.concat([own, hits], ignore_index=True) if len(hits) else own
    return {"streaming_index": index, "screening_findings": declared("screening_findings").shaped(joined)}


def _of_arriving(findings: pd.DataFrame, arriving: pd.DataFrame, index: pd.DataFrame) -> pd.DataFrame:
    """The policy findings whose flag an arriving transaction of the same merchant or user carries."""
    policy = findings[~findings["rule"].isin(["FRAUD_REVIEW", "IDEMPOTENCY_CONFLICT"])]
    flagged = index.assign(flag=index["policy_flags"].str.split("; ")).explode("flag")
    parties = flagged.merge(
        arriving[["transaction_id", "merchant_id", "user_id"]], on="transaction_id", validate="many_to_one"
    )
    flag = policy["rule"].map(_FLAG_OF_RULE).fillna(policy["rule"]).astype("str")
    carried = pd.Series(False, index=policy.index)
    for party in ("merchant_id", "user_id"):
        carried |= pd.MultiIndex.from_arrays([flag, policy[party]]).isin(
            pd.MultiIndex.from_frame(parties[["flag", party]])
        )
    nobody = policy["merchant_id"].isna() & policy["user_id"].isna()
    return policy[carried | (nobody & flag.isin(parties["flag"]))]
