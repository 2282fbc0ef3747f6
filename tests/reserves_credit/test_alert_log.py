"""An alert is raised once when a fault begins and cleared when it ends, however often a run is made."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pandas as pd
import pytest

from atlas_lib.core.tables import declared
from atlas_lib.ledger.store import Ledger, open_ledger
from atlas_lib.reserves_credit.alert_log import alerts_as_json, alerts_as_mail, track_alerts
from tests.reserves_credit.reserves_credit_frames import settings


@pytest.fixture
def ledger(tmp_path) -> Iterator[Ledger]:
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", "test") as opened:
        yield opened


def alerts(*subjects: str) -> pd.DataFrame:
    rows = pd.DataFrame({"subject_id": list(subjects)}).astype("str")
    return declared("alerts").checked(
        rows.assign(
            alert_id="LIMIT_BREACH:merchant:" + rows["subject_id"] + ":EUR", severity="high", alert="LIMIT_BREACH",
            scope="merchant", subject_name="Firma " + rows["subject_id"], currency="EUR", amount_minor=1_234_56, detail="120.00 % of the limit used",
            since=pd.Timestamp("1999-01-01"),
        )
    )  # fmt: skip


def changes(ledger: Ledger, day: str, *subjects: str) -> list[tuple[str, str]]:
    found = track_alerts(alerts(*subjects), ledger, settings(day))["alert_changes"]
    return [(r.change, r.alert_id.split(":")[2]) for r in found.itertuples()]


def test_a_breach_is_raised_once_and_cleared_once(ledger):
    assert changes(ledger, "2026-10-28", "A", "B") == [("raised", "A"), ("raised", "B")]
    assert changes(ledger, "2026-10-29", "A", "B") == []
    assert changes(ledger, "2026-10-30", "B") == [("cleared", "A")]
    assert changes(ledger, "2026-10-31", "B") == []
    assert changes(ledger, "2026-11-02", "A", "B") == [("raised", "A")]
    assert ledger.events()["event_type"].value_counts().to_dict() == {"ALERT_RAISED": 3, "ALERT_CLEARED": 1}


def test_the_same_day_again_says_the_same_and_books_nothing(ledger):
    first = changes(ledger, "2026-10-28", "A")
    before = len(ledger.events())
    assert changes(ledger, "2026-10-28", "A") == first
    assert len(ledger.events()) == before


def test_a_rerun_of_an_earlier_day_changes_nothing(ledger):
    changes(ledger, "2026-10-28", "A")
    changes(ledger, "2026-10-30")
    before = len(ledger.events())
    assert changes(ledger, "2026-10-29", "A", "B") == [("raised", "B")]
    assert len(ledger.events()) == before + 1


def test_a_standing_alert_keeps_the_day_it_began(ledger):
    track_alerts(alerts("A"), ledger, settings("2026-10-28"))
    found = track_alerts(alerts("A"), ledger, settings("2026-10-30"))["alerts"]
    assert found["since"].tolist() == [pd.Timestamp("2026-10-28")]


def test_the_files_say_what_is_new_what_has_ended_and_what_stands(ledger):
    track_alerts(alerts("A", "B"), ledger, settings("2026-10-28"))
    chosen = settings("2026-10-30")
    found = track_alerts(alerts("B", "C"), ledger, chosen)
    mail = alerts_as_mail(found["alerts"], found["alert_changes"], chosen)
    assert mail.splitlines()[0] == "Subject: Alerts of 2026-10-30: 1 new, 1 ended, 2 high"
    lines = mail.splitlines()
    assert lines[lines.index("New:") + 1] == "- high: LIMIT_BREACH merchant C Firma C, EUR, 120.00 % of the limit used"
    assert (
        lines[lines.index("Ended:") + 1] == "- high: LIMIT_BREACH merchant A Firma A, EUR, 120.00 % of the limit used"
    )
    assert "- high: LIMIT_BREACH merchant B Firma B, 1,234.56 EUR, 120.00 % of the limit used, since 2026-10-28" in mail
    told = json.loads(alerts_as_json(found["alerts"], found["alert_changes"], chosen))
    assert [(c["change"], c["alert_id"].split(":")[2]) for c in told["changes"]] == [("cleared", "A"), ("raised", "C")]
    assert (told["as_of"], len(told["alerts"])) == ("2026-10-30", 2)
    assert [c["subject_name"] for c in told["changes"]] == ["Firma A", "Firma C"]


def test_an_alert_that_an_earlier_version_raised_ends_without_the_name_it_did_not_keep(ledger):
    track_alerts(alerts("A"), ledger, settings("2026-10-28"))
    raised = ledger.events(event_types=["ALERT_RAISED"])
    details = [json.dumps({k: v for k, v in json.loads(d).items() if k != "subject_name"}) for d in raised["details"]]
    ledger.append("earlier", raised.assign(transaction_id="alert:LIMIT_BREACH:currency:EUR:EUR", details=details))
    chosen = settings("2026-10-30")
    found = track_alerts(alerts("A"), ledger, chosen)
    mail = alerts_as_mail(found["alerts"], found["alert_changes"], chosen)
    assert "- high: LIMIT_BREACH currency EUR, 120.00 % of the limit used\n" in mail


def test_no_alerts_are_no_work(ledger):
    found = track_alerts(alerts(), ledger, settings("2026-10-30"))
    assert all(t.empty for t in found.values())
    assert "- none" in alerts_as_mail(found["alerts"], found["alert_changes"], settings("2026-10-30"))
