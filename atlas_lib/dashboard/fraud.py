"""The fraud console: alerts of the run and of what came since, what was said of them, and saying it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from atlas_lib.core.customers import mask_users
from atlas_lib.core.errors import Refused, SettingsError
from atlas_lib.core.run import Run
from atlas_lib.dashboard.access import customers_key, may_see_customers
from atlas_lib.dashboard.rows import read_newest
from atlas_lib.ledger.run_ledger import open_run_ledger
from atlas_lib.reconciliation.views.fraud_console import (
    HISTORY_COLUMNS,
    FraudDesk,
    add_state,
    alert_sources,
    filter_alerts,
    find_alerts,
    newest_delivery,
    read_histories,
    read_judgements,
    reasons_of,
)
from atlas_lib.reserves_credit.decisions import act_on_each
from atlas_lib.reserves_credit.roles import Actor, at_run, identify, require

PAGE_SIZE = 25
FRAUD_EXPORT = "fraud_alerts"
_WHOSE = ("user", "merchant")
_DONE = {"confirmed": "confirmed as fraud", "false_positive": "no fraud"}
ALERT_COLUMNS = (
    "transaction_id", "state", "fraud_score", "amount_minor", "currency", "fraud_reasons", "merchant_id", "country", "user_id",
    "created_at", "ingested_at", "delay_seconds", "judged_by",
)  # fmt: skip


@dataclass(frozen=True)
class Alerts:
    """One page of alerts that fit, with the values of the filters; users as the person may know them."""

    frame: pd.DataFrame
    total: int
    open_count: int
    page: int
    reasons: list[str]
    countries: list[str]
    least_score: float
    delivery: dict[str, Any] | None


def alerts_of(run: Run, asked: Mapping[str, str], actor: Actor) -> Alerts:
    """The alerts that fit what was asked: `score`, `amount`, `reason`, `country`, `state`, `p` (page), merchant, currency."""
    least, known = _least_score(run), _known(run)
    fits = _fitting(known, asked, least)
    last = max(1, -(-len(fits) // PAGE_SIZE))
    page = min(max(1, int(_figure("p", asked.get("p", "")))), last)
    shown = fits.iloc[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
    countries = sorted(set(known["country"].dropna().astype("str")))
    return Alerts(
        _shown(shown, actor), len(fits), int((known["state"] == "open").sum()), page, reasons_of(known), countries, least,
        newest_delivery(_sources(run)),
    )  # fmt: skip


def all_alerts(run: Run, asked: Mapping[str, str], actor: Actor) -> pd.DataFrame:
    """Every alert that fits, on all pages, as the list shows it."""
    return _shown(_fitting(_known(run), asked, _least_score(run)), actor)


def _fitting(known: pd.DataFrame, asked: Mapping[str, str], least: float) -> pd.DataFrame:
    score, amount = (_figure(name, asked.get(name, "")) for name in ("score", "amount"))
    wanted = {k: asked.get(k, "") for k in ("currency", "country", "state", "reason")}
    return filter_alerts(known, wanted | {"merchant_id": asked.get("merchant", "")}, max(score, least), amount)


def open_alerts(run: Run) -> int:
    """How many alerts nobody has judged yet."""
    return int((_known(run)["state"] == "open").sum()) if run.has("streaming_index") else 0


def alert_of(run: Run, transaction_id: str, actor: Actor) -> dict[str, pd.DataFrame]:
    """One alert with what was said of it, and the newest payments of its user and its merchant.

    Refused where there is no such alert.
    """
    known, sources, judged = _known(run), _sources(run), _judgements(run)
    alert = known[known["transaction_id"] == transaction_id]
    if alert.empty:
        raise Refused("There is no such alert", found=transaction_id, expected="one of the list of alerts")
    out = {"alert": _shown(alert, actor), "judgements": judged[judged["transaction_id"] == transaction_id]}
    subjects = {who: None if pd.isna(alert[f"{who}_id"].iloc[0]) else str(alert[f"{who}_id"].iloc[0]) for who in _WHOSE}
    of_run = {who: read_newest(run, who, subjects[who], HISTORY_COLUMNS) for who in _WHOSE}
    for who, history in read_histories(of_run, sources, subjects).items():
        found = add_state(history, judged)
        # Only an alert has a state.
        state = found["state"].where((found["fraud_score"] >= _least_score(run)) | (found["state"] != "open"), "")
        out[who] = _shown(found.assign(state=state), actor)
    return out


def chosen_alerts(run: Run, rows: pd.DataFrame, actor: Actor) -> pd.DataFrame:
    """The chosen alerts as they stand now."""
    known = _known(run)
    return _shown(known[known["transaction_id"].isin(rows["transaction_id"])], actor)


def judge(run: Run, environment: Mapping[str, str], verdict: str, rows: pd.DataFrame, said: str) -> str:
    """Say it of the chosen alerts; the first refusal stops, and says what was done before."""
    actor = at_run(identify(environment), run)
    with open_run_ledger(run, "05_reconciliation") as ledger:
        desk = FraudDesk(_known(run), ledger, actor.name, lambda action: require(actor, action))
        done = _DONE.get(verdict, verdict)
        return act_on_each(rows, "transaction_id", lambda one: desk.judge(one, verdict, said), done)


def _known(run: Run) -> pd.DataFrame:
    parts = run.directory.parent / "intake" / "followed_index"
    written = parts.stat().st_mtime_ns if parts.exists() else 0
    index = run.manifest["tables"].get("streaming_index", {}).get("sha256", "")
    return add_state(_found(str(run.directory), index, written, _least_score(run)), _judgements(run))


@lru_cache(maxsize=4)
def _found(directory: str, index: str, written_ns: int, least_score: float) -> pd.DataFrame:  # noqa: ARG001  # a new delivery is read anew
    return find_alerts(_sources(Run(Path(directory))), least_score)


def _sources(run: Run) -> dict[str, Any]:
    tables = {t: run.path(t) for t in ("streaming_index", "transactions", "merchants") if run.has(t)}
    return alert_sources(tables, run.directory.parent / "intake")


def _judgements(run: Run) -> pd.DataFrame:
    with open_run_ledger(run, "dashboard") as ledger:
        return read_judgements(ledger)


def _least_score(run: Run) -> float:
    return float(Run(run.directory, "01_ingest").settings.fraud_review_rate)


def _shown(frame: pd.DataFrame, actor: Actor) -> pd.DataFrame:
    """With the customers as the person may know them; nobody is the empty text."""
    named = frame.assign(user_id=frame["user_id"].fillna(""))
    return named if may_see_customers(actor) else mask_users(named, customers_key())


def _figure(name: str, text: str) -> float:
    try:
        value = float(text or 0)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e12:
        raise SettingsError("This is no figure to filter by", where=name, expected="a figure from 0 on", found=text)
    return value
