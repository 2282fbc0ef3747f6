"""The fraud console: alerts of the run and of the payments that came since, what people say of them, and labels from it.

An alert is an accepted transaction whose fraud score reaches a least score. What a person says of it is an event
`FRAUD_JUDGED` of the ledger, kept for good: confirmed, false_positive or escalated; the last one counts. The event is
about `fraud:<transaction_id>`, so that who reads the events of a payment of its own is told nothing of a suspicion
(Directive (EU) 2015/849, article 39). Who may judge is asked of `allow`, which the caller gives (`roles.require`).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from atlas_lib.core.engine import Input, open_engine
from atlas_lib.core.errors import Refused
from atlas_lib.core.money import scale_of
from atlas_lib.core.tables import declared
from atlas_lib.ledger import keys
from atlas_lib.ledger.store import Ledger
from atlas_lib.reconciliation.final_index import NEWEST_ROWS

VERDICTS = ("confirmed", "false_positive", "escalated")
SUBJECT = keys.FRAUD
_PAYMENT = "transaction_id, merchant_id, user_id, type, amount_minor, currency, created_at"
_SCORE = "transaction_id, status, fraud_score, fraud_reasons, policy_flags, ingested_at"
_KNOWN_MERCHANTS = (
    "known_merchants",
    """
    SELECT merchant_id, merchant_name, country FROM (
        SELECT *, row_number() OVER (PARTITION BY merchant_id ORDER BY delivery_number DESC) AS place FROM (
            SELECT merchant_id, merchant_name, country, 1000000000000 AS delivery_number FROM run_merchants
            UNION ALL SELECT merchant_id, merchant_name, country, delivery_number FROM followed_merchants
            WHERE country IS NOT NULL) AS named) AS ranked
    WHERE place = 1
    """,
)
# A payment that was followed and then came into a run stands in both; the newer score counts.
_SCORED = (
    "scored",
    f"""
    SELECT * FROM (
        SELECT *, row_number() OVER (PARTITION BY transaction_id ORDER BY ingested_at DESC, source DESC) AS place FROM (
            SELECT {_SCORE}, 'run' AS source, CAST(NULL AS DOUBLE) AS delay_seconds FROM run_index WHERE %(which)s
            UNION ALL SELECT {_SCORE}, 'intake' AS source, delay_seconds FROM followed_index WHERE %(which)s) AS both_indexes
        ) AS ranked
    WHERE place = 1
    """,  # noqa: S608
)
_PAYMENTS = (
    "payments",
    f"""
    SELECT * FROM (
        SELECT *, row_number() OVER (PARTITION BY transaction_id ORDER BY source DESC) AS place FROM (
            SELECT {_PAYMENT}, 'run' AS source FROM run_transactions WHERE %(which)s
            UNION ALL SELECT {_PAYMENT}, 'intake' AS source FROM followed_transactions WHERE %(which)s) AS both_sources
        ) AS ranked
    WHERE place = 1
    """,  # noqa: S608
)
_JOINED = """
    SELECT s.transaction_id, p.merchant_id, m.merchant_name, m.country, p.user_id, p.type, p.amount_minor, p.currency,
           s.status, s.fraud_score, s.fraud_reasons, s.policy_flags, p.created_at, s.ingested_at, s.source, s.delay_seconds
    FROM scored s JOIN payments p ON p.transaction_id = s.transaction_id
    LEFT JOIN known_merchants m ON m.merchant_id = p.merchant_id
"""
_IS_SCORED = "transaction_id IN (SELECT transaction_id FROM scored)"
_ALERTS = [
    (_SCORED[0], _SCORED[1] % {"which": "fraud_score >= :least_score"}),
    (_PAYMENTS[0], _PAYMENTS[1] % {"which": _IS_SCORED}),
    _KNOWN_MERCHANTS,
    ("alerts", _JOINED),
]
# What a history needs of a row of the Final Index.
HISTORY_COLUMNS = (*_PAYMENT.split(", "), "status", "fraud_score", "fraud_reasons", "policy_flags")


def _history_of(who: str) -> list[tuple[str, str]]:
    """The statements that make one history, of the "user" or the "merchant" that the parameter of this name names."""
    newest = f"WHERE {who}_id = :{who} ORDER BY created_at DESC, transaction_id LIMIT {NEWEST_ROWS}"
    return [
        (f"{who}_came", f"SELECT {_PAYMENT} FROM followed_transactions {newest}"),  # noqa: S608
        (
            f"{who}_scores",
            f"SELECT transaction_id, ingested_at FROM run_index WHERE transaction_id IN (SELECT transaction_id FROM {who}_came)",  # noqa: S608
        ),
        (
            f"{who}_newest",
            f"""
            SELECT r.transaction_id, r.merchant_id, r.user_id, r.type, r.amount_minor, r.currency, r.status, r.fraud_score,
                   r.fraud_reasons, r.policy_flags, r.created_at, i.ingested_at, 'run' AS source, CAST(NULL AS DOUBLE) AS delay_seconds
            FROM {who}_of_run r LEFT JOIN {who}_scores i ON i.transaction_id = r.transaction_id
            UNION ALL
            SELECT c.transaction_id, c.merchant_id, c.user_id, c.type, c.amount_minor, c.currency, s.status, s.fraud_score,
                   s.fraud_reasons, s.policy_flags, c.created_at, s.ingested_at, 'intake', s.delay_seconds
            FROM {who}_came c JOIN followed_index s ON s.transaction_id = c.transaction_id""",  # noqa: S608
        ),
        (
            who,
            f"""
            SELECT b.*, m.merchant_name, m.country
            FROM (SELECT *, row_number() OVER (PARTITION BY transaction_id ORDER BY ingested_at DESC, source DESC) AS place
                  FROM {who}_newest) b
            LEFT JOIN known_merchants m ON m.merchant_id = b.merchant_id
            WHERE place = 1 ORDER BY b.created_at DESC, b.transaction_id LIMIT {NEWEST_ROWS}""",  # noqa: S608
        ),
    ]


_WHOSE = ("user", "merchant")
_HISTORIES = [_KNOWN_MERCHANTS, *(step for who in _WHOSE for step in _history_of(who))]


def alert_sources(run_tables: Mapping[str, Path], intake: Path) -> dict[str, Input]:
    """What the console reads: the run's streaming_index, transactions and merchants (those that it has), and the parts
    of the intake folder, where it exists.
    """
    named = {
        "run_index": "streaming_index",
        "run_transactions": "transactions",
        "run_merchants": "merchants",
    }
    given: dict[str, Input] = {k: run_tables.get(t, _none_of(t)) for k, t in named.items()}
    parts = {
        "followed_index": "followed_index", "followed_transactions": "transactions", "followed_merchants": "merchants",
        "deliveries": "deliveries",
    }  # fmt: skip
    return given | {name: _parts(intake / table, table) for name, table in parts.items()}


def _parts(folder: Path, table: str) -> Input:
    if any(folder.glob("*.parquet")):
        return folder
    none, number = _none_of(table), "delivery_number"  # which every part has
    return none if number in none.column_names else none.append_column(number, pa.array([], "int64"))


def _none_of(table: str) -> pa.Table:
    return declared(table).arrow_schema.empty_table()


def find_alerts(sources: Mapping[str, Input], least_score: float, engine: str = "duckdb") -> pd.DataFrame:
    """Every accepted transaction with fraud_score >= `least_score`, newest first.

    Columns: transaction_id (key), merchant_id, merchant_name, country (of the merchant, where known), user_id, type,
    amount_minor, currency, status, fraud_score, fraud_reasons, policy_flags, created_at, ingested_at, source (run or
    intake), delay_seconds (intake only).
    """
    made = open_engine(engine).run(_ALERTS, sources, ["alerts"], {"least_score": least_score})["alerts"]
    return _newest_first(made, ["ingested_at", "created_at"])


def read_histories(
    of_run: Mapping[str, pd.DataFrame],
    sources: Mapping[str, Input],
    subjects: Mapping[str, str | None],
    engine: str = "duckdb",
) -> dict[str, pd.DataFrame]:
    """The newest accepted transactions, NEWEST_ROWS at most, of the "user" and of the "merchant" that `subjects` names:
    of the run, whose newest rows of the Final Index are given, and of the intake. Columns as in `find_alerts`,
    ingested_at only of what is in the intake.
    """
    given = {**sources, **{f"{who}_of_run": of_run[who][list(HISTORY_COLUMNS)] for who in _WHOSE}}
    made = open_engine(engine).run(_HISTORIES, given, _WHOSE, {who: subjects[who] for who in _WHOSE})
    return {who: _newest_first(made[who].drop(columns="place"), ["created_at"]) for who in _WHOSE}


def _newest_first(found: pd.DataFrame, newest: list[str]) -> pd.DataFrame:
    return found.sort_values([*newest, "transaction_id"], ascending=[*(False for _ in newest), True], ignore_index=True)


def add_state(alerts: pd.DataFrame, judgements: pd.DataFrame) -> pd.DataFrame:
    """With what people said last of each: state (open, or the verdict), judged_by, judged_at, said."""
    last = judgements.drop_duplicates("transaction_id", keep="last")
    said = last.rename(columns={"verdict": "state", "actor": "judged_by"})
    said = said[["transaction_id", "state", "judged_by", "judged_at", "said"]]
    joined = alerts.merge(said, on="transaction_id", how="left", validate="one_to_one")
    return joined.assign(state=joined["state"].fillna("open"))


def filter_alerts(
    alerts: pd.DataFrame, asked: Mapping[str, str], least_score: float, least_amount: float
) -> pd.DataFrame:
    """The alerts that fit: equal `merchant_id`, `currency`, `country`, `state` where `asked` names one, one of whose reasons
    is `reason`, score >= `least_score`, and amount >= `least_amount` in units of the row's own currency.
    """  # fmt: skip
    fits = (alerts["fraud_score"] >= least_score) & (
        alerts["amount_minor"] >= least_amount * scale_of(alerts["currency"].astype("str"))
    )
    for column in ("merchant_id", "currency", "country", "state"):
        if asked.get(column):
            fits &= alerts[column] == asked[column]
    if asked.get("reason"):
        named = "; " + alerts["fraud_reasons"].astype("str") + "; "
        fits &= named.str.contains(f"; {asked['reason']}; ", regex=False)
    return alerts[fits].reset_index(drop=True)


def reasons_of(alerts: pd.DataFrame) -> list[str]:
    """Every reason that some alert has."""
    found = alerts["fraud_reasons"].dropna().str.split("; ").explode()
    return sorted(set(found[found != ""].astype("str")))


def newest_delivery(sources: Mapping[str, Input]) -> dict[str, Any] | None:
    """The newest delivery of the intake: source_file, arrived_at, indexed_at, delay_seconds, accepted_count; None if none."""
    sql = "SELECT source_file, arrived_at, indexed_at, delay_seconds, accepted_count FROM deliveries ORDER BY indexed_at DESC, delivery_id LIMIT 1"
    found = open_engine("duckdb").run([("newest", sql)], {"deliveries": sources["deliveries"]}, ["newest"])["newest"]
    return None if found.empty else {str(k): v for k, v in found.iloc[0].to_dict().items()}


def read_judgements(ledger: Ledger) -> pd.DataFrame:
    """All that was said of alerts, oldest first: entry_id, transaction_id, verdict, fraud_score, actor, judged_at, said."""
    events = ledger.events(event_types=["FRAUD_JUDGED"])
    details = [json.loads(text) for text in events["details"]]
    return pd.DataFrame(
        {
            "entry_id": events["entry_id"].astype("int64"),
            "transaction_id": pd.Series([d["transaction_id"] for d in details], dtype="str"),
            "verdict": pd.Series([d["verdict"] for d in details], dtype="str"),
            "fraud_score": pd.Series([d["fraud_score"] for d in details], dtype="float64"),
            "actor": events["actor"],
            "judged_at": events["timestamp"],
            "said": pd.Series([d["said"] for d in details], dtype="str"),
        }
    )


def labels_of(judgements: pd.DataFrame) -> pd.DataFrame:
    """The table `fraud_labels`, as 01_ingest reads it: the last verdict of each transaction, while it is a decided one.

    is_fraud = confirmed; labelled_at = when that was said; source_row = the ledger entry. Who escalates labels nothing.
    """
    last = judgements.drop_duplicates("transaction_id", keep="last")
    decided = last[last["verdict"] != "escalated"].sort_values("transaction_id", ignore_index=True)
    labels = decided.assign(
        is_fraud=decided["verdict"] == "confirmed", labelled_at=decided["judged_at"], source_file="ledger",
        source_sheet="", source_row=decided["entry_id"],
    )  # fmt: skip
    return declared("fraud_labels").shaped(labels)


class FraudDesk:
    """What one person says of alerts."""

    def __init__(
        self,
        alerts: pd.DataFrame,
        ledger: Ledger,
        actor: str,
        allow: Callable[[str], None],
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._alerts, self._ledger, self._actor, self._allow = alerts.set_index("transaction_id"), ledger, actor, allow
        self._clock_ns = clock_ns

    def judge(self, transaction_id: str, verdict: str, said: str) -> None:
        """Confirmed, false_positive or escalated; a later word replaces an earlier one, and both are kept.

        Refused: no such alert or verdict, nothing new, or the alert was escalated by the same person: another decides.
        """
        self._allow("judge_fraud")
        if verdict not in VERDICTS:
            raise Refused("No such verdict", found=verdict, expected=", ".join(VERDICTS))
        if transaction_id not in self._alerts.index:
            raise Refused("There is no such alert", where=transaction_id, remedy="look at the list of alerts again")
        head = self._ledger.head()
        self._check_new(transaction_id, verdict)
        alert = self._alerts.loc[[transaction_id]].iloc[0]
        details = json.dumps(
            {"transaction_id": transaction_id, "verdict": verdict, "said": said, "fraud_score": float(alert["fraud_score"])},
            sort_keys=True,
        )  # fmt: skip
        event = pd.DataFrame(
            {
                "transaction_id": [SUBJECT + transaction_id],
                "event_type": ["FRAUD_JUDGED"],
                "amount_minor": [int(alert["amount_minor"])],
                "currency": [alert["currency"]],
                "timestamp": [pd.Timestamp(self._clock_ns(), tz="UTC")],
                "actor": [self._actor],
                "details": [details],
            }
        )
        digest = hashlib.sha256(f"{head.entries}|{head.block_hash}|{details}".encode()).hexdigest()[:32]
        self._ledger.append(f"judge fraud:{digest}", event, expected_head=head)

    def _check_new(self, transaction_id: str, verdict: str) -> None:
        known = read_judgements(self._ledger)
        own = known[known["transaction_id"] == transaction_id]
        if own.empty:
            return
        last = own.iloc[-1]
        if last["verdict"] == verdict:
            raise Refused("That was said already", where=transaction_id, found=f"{verdict} by {last['actor']}")
        if last["verdict"] == "escalated" and last["actor"] == self._actor:
            raise Refused(
                "Who escalates an alert does not decide it", where=transaction_id, expected="another person",
                found=self._actor,
            )  # fmt: skip
