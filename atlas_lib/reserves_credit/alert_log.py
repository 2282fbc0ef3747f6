"""Alerts over time: raised once when a fault begins, cleared when it ends, and the files that say so.

The ledger remembers (`alert:<alert_id>`, ALERT_RAISED and ALERT_CLEARED), so that neither a rerun nor another runs
folder raises an alert twice, and a rerun of an earlier day changes nothing.
"""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from atlas_lib.core import money
from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.core.tables import declared
from atlas_lib.ledger import keys
from atlas_lib.ledger.store import Ledger
from atlas_lib.reserves_credit.alerts import rank_alerts
from atlas_lib.reserves_credit.appending import Booking, append_decided
from atlas_lib.reserves_credit.purchases import day_end

_ACTOR = "02_reserves_credit"
_EVENT = {"raised": "ALERT_RAISED", "cleared": "ALERT_CLEARED"}


def track_alerts(alerts: pd.DataFrame, ledger: Ledger, settings: ReservesCreditSettings) -> dict[str, pd.DataFrame]:
    """The alerts of this run with the day each began, and what changed: tables alerts, alert_changes.

    What an earlier call with this as-of day changed is said again, and booked once.
    """

    def read() -> pd.DataFrame:
        return ledger.events(event_types=list(_EVENT.values()), id_prefix=keys.ALERT)

    def plan() -> Booking:
        changes = plan_changes(alerts, _standing(read()), settings)
        return _change_events(changes, settings), pd.DataFrame()

    append_decided(ledger, "alerts", plan)
    return _tables(alerts, read(), settings)


def plan_changes(alerts: pd.DataFrame, standing: pd.DataFrame, settings: ReservesCreditSettings) -> pd.DataFrame:
    """Alerts to be raised (new now) and cleared (standing before, gone now); nothing against a later day's word.

    `standing`: the last word on every alert (alert_id, change, severity, subject_name, detail, changed_on).
    """
    today = pd.Timestamp(settings.as_of)
    last = standing.set_index("alert_id")[["change", "changed_on"]].rename(columns={"change": "word"})
    known = alerts.join(last, on="alert_id", validate="one_to_one")
    word, on = known["word"], known["changed_on"]
    new = alerts[(word.fillna("cleared") == "cleared") & (on.isna() | (on <= today))].assign(change="raised")
    is_over = (standing["change"] == "raised") & ~standing["alert_id"].isin(alerts["alert_id"])
    over = standing[is_over & (standing["changed_on"] <= today)].assign(change="cleared")
    columns = ["alert_id", "change", "severity", "subject_name", "detail"]
    return pd.concat([new[columns], over[columns]], ignore_index=True).sort_values("alert_id", ignore_index=True)


def alerts_as_json(alerts: pd.DataFrame, changes: pd.DataFrame, settings: ReservesCreditSettings) -> str:
    """What a scheduler can send on: the changes of this day, and all that stands."""
    listed = {
        name: json.loads(t.to_json(orient="records", date_format="iso"))
        for name, t in (("changes", changes), ("alerts", alerts))
    }
    return json.dumps({"as_of": str(settings.as_of)} | listed, indent=1, sort_keys=True) + "\n"


def alerts_as_mail(alerts: pd.DataFrame, changes: pd.DataFrame, settings: ReservesCreditSettings) -> str:
    """The same as text for an e-mail: subject line, what is new, what has ended, what stands."""
    new, over = (changes[changes["change"] == c] for c in ("raised", "cleared"))
    high = int((alerts["severity"] == "high").sum())
    lines = [f"Subject: Alerts of {settings.as_of}: {len(new)} new, {len(over)} ended, {high} high", ""]
    for title, rows in (("New", new), ("Ended", over)):
        found = [f"- {r['severity']}: {_about_change(r)}, {r['detail']}" for r in rows.to_dict("records")]
        lines += [f"{title}:", *(found or ["- none"]), ""]
    standing = [_mail_line(row) for row in rank_alerts(alerts).to_dict("records")]
    return "\n".join([*lines, "Standing:", *(standing or ["- none"]), ""])


def _mail_line(row: dict[Any, Any]) -> str:
    amount = f"{money.format_minor(int(row['amount_minor']), row['currency'])} {row['currency']}"
    about = _about(str(row["alert"]), str(row["scope"]), str(row["subject_id"]), row["subject_name"])
    return f"- {row['severity']}: {about}, {amount}, {row['detail']}, since {row['since']:%Y-%m-%d}"


def _about(alert: str, scope: str, subject_id: str, name: Any) -> str:
    """`LIMIT_BREACH merchant 310110 Nordwind GmbH`; an id that is a name itself stands once."""
    known = "" if pd.isna(name) or name in ("", subject_id) else f" {name}"
    return f"{alert} {scope} {subject_id}{known}"


def _about_change(row: dict[Any, Any]) -> str:
    """The same of a change, and its currency, from the id of its alert."""
    alert, scope, rest = str(row["alert_id"]).split(":", 2)
    subject_id, _, currency = rest.rpartition(":")
    about = _about(alert, scope, subject_id, row["subject_name"])
    return about if subject_id == currency else f"{about}, {currency}"


def _standing(events: pd.DataFrame) -> pd.DataFrame:
    """The last word on every alert."""
    facts = [json.loads(d) for d in events["details"]]
    words = pd.DataFrame(
        {
            "alert_id": events["transaction_id"].str.removeprefix(keys.ALERT).astype("str"),
            "change": events["event_type"].map({v: k for k, v in _EVENT.items()}).astype("str"),
            "severity": pd.Series([f["severity"] for f in facts], index=events.index, dtype="str"),
            "subject_name": pd.Series([f.get("subject_name", "") for f in facts], index=events.index, dtype="str"),
            "detail": pd.Series([f["detail"] for f in facts], index=events.index, dtype="str"),
            "changed_on": pd.to_datetime(
                pd.Series([f["as_of"] for f in facts], index=events.index, dtype="str")
            ).astype("datetime64[us]"),
        }
    )
    return words.drop_duplicates("alert_id", keep="last").reset_index(drop=True)


def _change_events(changes: pd.DataFrame, settings: ReservesCreditSettings) -> pd.DataFrame:
    details = [
        json.dumps({"as_of": str(settings.as_of), "severity": s, "subject_name": n, "detail": d})
        for s, n, d in zip(changes["severity"], changes["subject_name"].fillna(""), changes["detail"], strict=True)
    ]
    return pd.DataFrame(
        {
            "transaction_id": keys.ALERT + changes["alert_id"],
            "batch_id": "",
            "event_type": changes["change"].map(_EVENT),
            "amount_minor": 0,
            "currency": "",
            "timestamp": day_end(settings),
            "actor": _ACTOR,
            "details": pd.Series(details, dtype=object),
        }
    )


def _tables(alerts: pd.DataFrame, events: pd.DataFrame, settings: ReservesCreditSettings) -> dict[str, pd.DataFrame]:
    facts = pd.Series([json.loads(d)["as_of"] for d in events["details"]], index=events.index, dtype="str")
    known = _standing(events)
    begun = events.assign(since=pd.to_datetime(facts).astype("datetime64[us]"))
    begun = begun[begun["event_type"] == "ALERT_RAISED"].drop_duplicates("transaction_id", keep="last")
    begun = begun.assign(alert_id=begun["transaction_id"].str.removeprefix(keys.ALERT))[["alert_id", "since"]]
    today = known[known["changed_on"] == pd.Timestamp(settings.as_of)]
    dated = alerts.drop(columns="since").merge(begun, on="alert_id", how="left", validate="one_to_one")
    dated = dated.assign(since=dated["since"].fillna(pd.Timestamp(settings.as_of)))
    return {
        "alerts": declared("alerts").checked(dated),
        "alert_changes": declared("alert_changes").checked(
            today.merge(begun, on="alert_id", how="left", validate="one_to_one")
        ),
    }
