"""Screening: what is known of each accepted payment the moment it arrives (the streaming index).

Fraud score in steps of 1/10,000: the newest outside signal where there is one, else the fitted model where labels are
given and it does better, else the sum of the points of our own `observations`. Policy flags and findings stand beside it.
Everything looks back from the payment, LOOK_BACK_DAYS at most: screened in batches as they arrive or all at once, a
payment gets the same points and flags.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from atlas_lib.core.bulk import sources
from atlas_lib.core.engine import Computed, Engine, Input, Output, Steps
from atlas_lib.core.settings import IngestSettings
from atlas_lib.core.tables import arrow_to_frame, declared
from atlas_lib.ingest import aml, fraud_model, observations, sanctions
from atlas_lib.ingest import policies as rules
from atlas_lib.ingest.findings import FINDING_SCHEMAS, FINDING_STEPS, list_findings

LOOK_BACK_DAYS = observations.LOOK_BACK_DAYS
_TABLES = ("streaming_index", "screening_findings")

# Of what came before, only what the look-back reaches; a row handed in twice is a new one.
_AFTER_HISTORY: Steps = [
    (
        "payments",
        """
        SELECT t.transaction_id, t.merchant_id, t.user_id, t.type, t.amount_minor, t.currency, t.source_account,
               t.destination_account, t.created_at FROM transactions t
        UNION ALL
        SELECT h.transaction_id, h.merchant_id, h.user_id, h.type, h.amount_minor, h.currency, h.source_account,
               h.destination_account, h.created_at
        FROM history h LEFT JOIN transactions t ON t.transaction_id = h.transaction_id
        WHERE t.transaction_id IS NULL
          AND epoch_micros(h.created_at) >= (SELECT MIN(epoch_micros(created_at)) FROM transactions) - :look_back_us
        """,
    ),
]

POINT_STEPS: Steps = [
    (
        "points",
        """
        SELECT transaction_id, CAST(speed + amount + border + pair + country + day + merchant + account AS BIGINT) AS points,
               concat_ws('; ',
                   CASE WHEN speed > 0 THEN concat(CAST(hour_count AS STRING), ' or more payments of the user within 60 minutes') END,
                   CASE WHEN day > 0 THEN '12 or more payments of the user within 24 hours, unlike before' END,
                   CASE WHEN amount > 0 THEN concat('amount ', CAST(CAST(FLOOR(times_usual) AS BIGINT) AS STRING), ' times what the user usually pays') END,
                   CASE WHEN border > 0 THEN 'amount among the highest of the currency' END,
                   CASE WHEN pair > 0 THEN 'first payment of the user to this merchant' END,
                   CASE WHEN country > 0 THEN concat('first payment of the user in ', new_country) END,
                   CASE WHEN merchant > 0 THEN concat('merchant unusually busy, ', CAST(merchant_burst AS STRING), ' payments in two hours') END,
                   CASE WHEN account > 0 THEN concat('account unusually busy, ', CAST(account_burst AS STRING), ' payments in two hours') END
               ) AS reasons
        FROM (
            SELECT *, CASE hour_count WHEN 8 THEN 6000 WHEN 6 THEN 3500 WHEN 4 THEN 1500 ELSE 0 END AS speed,
                   CASE WHEN spreads > 1 THEN FLOOR(LEAST(6000, 1000 * (spreads - 1))) ELSE 0 END AS amount,
                   CASE WHEN times_border > 1 THEN FLOOR(LEAST(5000, 2500 * times_border)) ELSE 0 END AS border,
                   CASE WHEN is_new_pair = 1 THEN 100 ELSE 0 END AS pair, CASE WHEN new_country IS NOT NULL THEN 300 ELSE 0 END AS country,
                   CASE WHEN is_busy_day = 1 THEN 1000 ELSE 0 END AS day,
                   CASE WHEN merchant_burst IS NOT NULL THEN 1000 ELSE 0 END AS merchant,
                   CASE WHEN account_burst IS NOT NULL THEN 1000 ELSE 0 END AS account
            FROM observations) o
        """,
    ),
]  # fmt: skip

_SCORED: Steps = [
    (
        "newest_signals",
        """
        SELECT transaction_id, FLOOR(fraud_score * 10000 + 0.5) / 10000 AS score, concat('outside signal ', model_version) AS reason
        FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY transaction_id ORDER BY inferred_at DESC, fraud_signal_id DESC) AS newest
              FROM signals) s
        WHERE newest = 1
        """,
    ),
    (
        "streaming_index",
        """
        SELECT t.transaction_id, t.status,
               COALESCE(s.score, m.score, LEAST(10000, COALESCE(p.points, 0) + t.night_points) / CAST(10000 AS DOUBLE)) AS fraud_score,
               CASE WHEN s.score IS NULL AND m.score IS NULL AND p.points IS NULL AND t.night_points = 0 THEN ''
                    ELSE concat_ws('; ', s.reason, CASE WHEN s.score IS NULL AND m.score IS NOT NULL THEN 'fitted model' END, NULLIF(p.reasons, ''),
                                   CASE WHEN t.night_points > 0 THEN 'between midnight and five (UTC)' END) END AS fraud_reasons,
               COALESCE(f.policy_flags, '') AS policy_flags, CAST(:ingested_at AS TIMESTAMP) AS ingested_at
        FROM (SELECT transaction_id, status,
                     CASE WHEN user_id <> '' AND type IN ('SALE', 'REFUND') AND epoch_micros(created_at) % 86400000000 <> 0
                           AND CAST(FLOOR(CAST(epoch_micros(created_at) AS DOUBLE) / 3600000000) AS BIGINT) % 24 < 5 THEN :night_points ELSE 0 END AS night_points
              FROM transactions) t
        LEFT JOIN points p ON p.transaction_id = t.transaction_id
        LEFT JOIN newest_signals s ON s.transaction_id = t.transaction_id
        LEFT JOIN fitted m ON m.transaction_id = t.transaction_id
        LEFT JOIN flagged f ON f.transaction_id = t.transaction_id
        ORDER BY t.transaction_id
        """,
    ),
]

_OBSERVED: Steps = [*observations.STEPS, *aml.STEPS]
_JUDGED: Steps = [*rules.FLAG_STEPS, *POINT_STEPS, *_SCORED, *FINDING_STEPS]


def screen_transactions(
    clean: SimpleNamespace, intake: SimpleNamespace, engine: Engine, settings: IngestSettings
) -> dict[str, Output]:
    """`streaming_index` (key transaction_id), `screening_findings` and `fraud_quality` of a whole input.

    Reads merchants, counterparties, contracts, statement_lines, fraud_signals, fraud_labels, policies and sanctions of
    `clean`, transactions and intake_results of `intake`. Transactions that come as a file give the index as a file.
    """
    given = sources(clean) | sources(intake)
    quality = fraud_model.judge_scores(given, engine, POINT_STEPS, settings)
    return _screen(given, given["transactions"], [], engine, settings, quality.fitted) | {
        "fraud_quality": quality.table
    }


def screen_arrivals(
    clean: SimpleNamespace, intake: SimpleNamespace, history: Input, engine: Engine, settings: IngestSettings
) -> dict[str, Output]:
    """`streaming_index` and `screening_findings` of the new rows alone: the rows they would have among all.

    `intake.transactions` are the new ones, `history` (same columns) the accepted ones of the LOOK_BACK_DAYS before them.
    Batches come in the order of created_at, then transaction_id; a late row is judged by what is older than itself, and
    rows judged before it stay as they are. A model is not fitted on a batch: without an outside signal the score is
    that of our own observations.
    """
    given = sources(clean) | sources(intake)
    return _screen(given | {"history": history}, None, _AFTER_HISTORY, engine, settings, None)


def _screen(
    given: Mapping[str, Input], payments: Input | None, before: Steps, engine: Engine, settings: IngestSettings, fitted: pd.DataFrame | None,
) -> dict[str, Output]:  # fmt: skip
    policies = _frame(given["policies"])
    if _count(given["transactions"]) == 0 and _count(given["intake_results"]) == 0:
        return {name: declared(name).empty() for name in _TABLES}
    inputs = _inputs(given, policies, engine) | {"fitted": fraud_model.no_scores() if fitted is None else fitted}
    if payments is not None:
        inputs["payments"] = payments
    if "history" in given:
        inputs["history"] = given["history"]
    parameters = aml.step_parameters(rules.aml_figures(policies)) | {
        "is_kyc_active": bool(rules.active(policies, "KYC")),
        "ingested_at": datetime.combine(settings.as_of, time(23, 59, 59)),
        "night_points": fraud_model.NIGHT_POINTS,
        "review_rate": settings.fraud_review_rate,
        "look_back_us": LOOK_BACK_DAYS * aml.DAY_US,
    }
    with ThreadPoolExecutor(1) as pool:  # names are compared while the payments are observed
        matching = pool.submit(_listed_names(given, policies, engine, settings.sanctions_match_rate))
        sanctioned = Computed((), lambda: _blocking(matching.result()))
        steps = [*before, *_OBSERVED, ("sanctioned", sanctioned), *_JUDGED]
        found = _made(steps, inputs, engine, parameters, as_file=isinstance(given["transactions"], Path))
        matches = matching.result()
    findings = list_findings(found["conflicts"], found["reviewed"], found["hits"], matches)
    return {"streaming_index": found["streaming_index"], "screening_findings": findings}


_OUTPUTS = ("conflicts", "reviewed", "hits")


def _made(
    steps: Steps, inputs: Mapping[str, Input], engine: Engine, parameters: Mapping[str, Any], as_file: bool
) -> dict[str, Any]:
    """The index (a frame, or a file where the transactions are one) and the rows that findings are made of."""
    index = declared("streaming_index")
    if not as_file:
        found = engine.run(steps, inputs, ["streaming_index", *_OUTPUTS], parameters)
        instant = (
            found["streaming_index"]["ingested_at"].dt.tz_localize("UTC")
            if found["streaming_index"]["ingested_at"].dt.tz is None
            else found["streaming_index"]["ingested_at"]
        )
        typed = found["streaming_index"].assign(ingested_at=instant)[index.column_names]
        return found | {"streaming_index": typed.astype({c.name: c.pandas_type for c in index.columns})}
    files = engine.write(steps, inputs, {"streaming_index": index.arrow_schema} | FINDING_SCHEMAS, parameters)
    return {name: arrow_to_frame(pq.read_table(files[name])) for name in _OUTPUTS} | {
        "streaming_index": files["streaming_index"]
    }


def _inputs(given: Mapping[str, Input], policies: pd.DataFrame, engine: Engine) -> dict[str, Input]:
    known = {name: given[name] for name in ("transactions", "history") if name in given}
    every = " UNION ALL ".join(f"SELECT currency FROM {name}" for name in known)  # noqa: S608 - the names are the two above
    steps = [("codes", f"SELECT DISTINCT currency FROM ({every}) used ORDER BY currency")]  # noqa: S608 - as above
    currencies = engine.run(steps, known, ["codes"])["codes"]["currency"].tolist()
    return {
        "transactions": given["transactions"],
        "intake_results": given["intake_results"],
        "merchants": _frame(given["merchants"])[["merchant_id", "merchant_name", "kyc_status", "country"]],
        "signals": given["fraud_signals"],
        "aml_limits": rules.aml_limits(policies, currencies),
        "regional_limits": rules.regional_limits(policies, currencies),
        "blacklist": rules.blacklist(policies),
        "day_offsets": rules.day_offsets(),
    }


_PARTIES: Steps = [
    (
        "parties",
        """
        SELECT 'merchant' AS kind, merchant_id AS key, merchant_name AS name FROM merchants
        UNION
        SELECT 'merchant', merchant_id, merchant_name FROM contracts
        UNION
        SELECT 'counterparty', counterparty_id, name FROM counterparties
        UNION
        SELECT 'other', counterparty_name, counterparty_name FROM statement_lines WHERE counterparty_name IS NOT NULL
        """,
    ),
    ("sorted", "SELECT * FROM parties WHERE name <> '' ORDER BY kind, key, name"),
]


def _listed_names(
    given: Mapping[str, Input], policies: pd.DataFrame, engine: Engine, match_rate: float
) -> Callable[[], pd.DataFrame]:
    """What finds the merchants, counterparties and names on statements that are like a listed one, and says of each what.

    The parties are asked for at once: an engine does one thing at a time.
    """
    names = rules.blacklist(policies)
    listed = sanctions.listed_spellings(_frame(given["sanctions"]), names[names["kind"] == "name"])
    inputs = {name: given[name] for name in ("merchants", "contracts", "counterparties", "statement_lines")}
    parties = listed if listed.empty else engine.run(_PARTIES, inputs, ["sorted"])["sorted"]
    return lambda: sanctions.describe(sanctions.match_names(parties, listed, match_rate))


def _blocking(matches: pd.DataFrame) -> pd.DataFrame:
    return matches.loc[~matches["is_weak"].astype(bool), ["kind", "key", "detail"]].astype("str")


def _frame(source: Input) -> pd.DataFrame:
    if isinstance(source, pd.DataFrame):
        return source
    return arrow_to_frame(pq.read_table(source) if isinstance(source, Path) else source)


def _count(source: Input) -> int:
    return pq.read_metadata(source).num_rows if isinstance(source, Path) else len(source)
