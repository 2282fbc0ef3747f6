"""Breaks, matches and fraud alerts decided from a page: by HTTP as a browser sends it, and by who may and may not."""

from __future__ import annotations

import http.cookiejar
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from html import unescape

import pandas as pd
import pytest

from atlas_lib.core.errors import Refused, SettingsError
from atlas_lib.core.run import Run
from atlas_lib.dashboard.access import hide_accounts
from atlas_lib.dashboard.actions import desk_of
from atlas_lib.dashboard.reconciling import pair_keys
from atlas_lib.dashboard.requests import Asked, answer, decide_and_say, result_of
from atlas_lib.ledger.store import open_ledger
from atlas_lib.reconciliation.decisions import read_decisions
from atlas_lib.reconciliation.views.fraud_console import read_judgements
from atlas_lib.reserves_credit.roles import Actor
from atlas_lib.reserves_credit.workflow import name_payout
from tests.finished_run import ROOT

pytestmark = pytest.mark.slow
PEOPLE = "olga: settlement_ops\nfrida: finance_controller\nrita: risk_analyst\ncarl: credit_manager\nmert: {role: merchant, merchant_id: '310147'}\n"
ROLE = {"olga": "settlement_ops", "frida": "finance_controller", "rita": "risk_analyst", "carl": "credit_manager"}
PAGE = "page/05_reconciliation"


@pytest.fixture(scope="module")
def kept(finished_run, tmp_path_factory) -> Run:
    copy = shutil.copytree(finished_run.directory.parent, tmp_path_factory.mktemp("decided") / "runs")
    (copy / "latest").write_text(finished_run.run_id)
    (copy / "people.yaml").write_text(PEOPLE, encoding="utf-8")
    return Run(copy / finished_run.run_id, "05_reconciliation")


@pytest.fixture
def run(kept, tmp_path, monkeypatch) -> Run:
    """The run with a ledger of its own for each test."""
    for file in kept.directory.parent.glob("ledger.sqlite*"):
        shutil.copy(file, tmp_path / file.name)
    monkeypatch.setenv("ATLAS_RUNS_DIR", str(kept.directory.parent))
    monkeypatch.setenv("ATLAS_LEDGER_URL", f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    return kept


def asked(path: str, name: str, **arguments: str) -> Asked:
    environment = {"ATLAS_ACTOR": name, "ATLAS_ROLE": ROLE[name]}
    return Asked(path, {k.replace("__", "."): v for k, v in arguments.items()}, Actor(name, ROLE[name]), environment)


def page(path: str, name: str, **arguments: str) -> str:
    return str(answer(asked(path, name, **arguments)).body)


def act(name: str, what: str, chosen: list[str], option: str = "", said: str = "as agreed") -> tuple[str, str]:
    return decide_and_say(asked(PAGE, name), what, chosen, said, option)


def value_of(row: pd.Series) -> str:
    return f"{row['break_id']} {row['discrepancy_minor']}"


def decisions(run: Run) -> pd.DataFrame:
    with open_ledger(run.ledger_url, "test") as ledger:
        return read_decisions(ledger)


def open_break(run: Run, *, is_bank: bool = True) -> pd.Series:
    breaks = run.read("breaks").query("is_open and not is_matched and discrepancy_minor != 0")
    return breaks[
        breaks["line_id"].notna() & breaks["transaction_id"].isna() if is_bank else breaks["line_id"].isna()
    ].iloc[0]


def test_a_break_goes_through_its_dispute_and_the_list_says_where_it_stands_now(run):
    row = open_break(run)
    for state in ("open", "pending evidence", "won"):
        told = str(answer(asked(PAGE, "olga"), ("dispute", [value_of(row)], "")).body)
        assert f"<option>{state}</option>" in told
        assert row["break_id"] in told
        tone, text = act("olga", "dispute", [value_of(row)], state)
        assert (tone, row["break_id"] in text, f"dispute {state}" in text) == ("good", True, True)
    listed = page(PAGE, "rita", breaks__q=row["break_id"], only="breaks")
    assert "dispute won (olga, " in listed
    assert "from the next run on" in listed
    assert 'name="act"' not in listed  # a risk analyst decides nothing in this list
    assert act("olga", "dispute", [value_of(row)], "open")[0] == "bad"
    with pytest.raises(Refused, match="No state fits"):
        answer(asked(PAGE, "olga"), ("dispute", [value_of(row)], ""))


def test_a_write_off_needs_the_controller_a_code_and_a_reason_and_is_booked_once(run):
    row = open_break(run)
    assert "You may not write a break off" in act("olga", "write_off", [value_of(row)], "BANK_FEE")[1]
    assert "A reason is missing" in act("frida", "write_off", [value_of(row)], "BANK_FEE", said=" ")[1]
    assert "No such reason code" in act("frida", "write_off", [value_of(row)], "")[1]
    stale = f"{row['break_id']} {row['discrepancy_minor'] + 1}"
    assert "not what it was on the page" in act("frida", "write_off", [stale], "BANK_FEE")[1]
    assert decisions(run).empty
    assert act("frida", "write_off", [value_of(row)], "BANK_FEE")[0] == "good"
    assert "nothing to write off" in act("frida", "write_off", [value_of(row)], "BANK_FEE")[1]
    with open_ledger(run.ledger_url, "test") as ledger:
        balances = ledger.trial_balance().set_index("account")["balance_minor"]
    expenses = balances[balances.index.str.startswith("expenses:write_off:bank_fee")]
    assert abs(int(expenses.sum())) == abs(int(row["discrepancy_minor"]))
    assert "written off as BANK_FEE (frida, " in page(PAGE, "olga", breaks__q=row["break_id"], only="breaks")


def test_two_open_sides_are_matched_by_hand_and_one_side_alone_is_refused(run):
    bank, ours = open_break(run), open_break(run, is_bank=False)
    assert "needs both sides" in act("olga", "force", [value_of(bank)])[1]
    matched = run.read("breaks").query("is_matched").iloc[0]
    assert "matched already" in act("olga", "force", [value_of(matched)])[1]
    assert act("olga", "force", [value_of(bank), value_of(ours)])[0] == "good"
    (made,) = decisions(run).to_dict("records")
    assert made["transaction_ids"] == ours["transaction_id"]
    assert made["line_keys"] == f"{bank['statement_id']}/{bank['line_id']}"


def test_matches_are_undone_each_and_the_list_says_so(run):
    rows = run.read("matches").head(2)
    chosen = [f"{r.transaction_id} {r.statement_id}/{r.line_id}" for r in rows.itertuples()]
    assert act("olga", "unmatch", chosen)[0] == "good"
    assert decisions(run)["transaction_ids"].tolist() == rows["transaction_id"].tolist()
    listed = page(PAGE, "olga", matches__q=str(rows["transaction_id"].iloc[0]), only="matches")
    assert "match undone (olga, " in listed
    assert "Undo match" in listed


def test_a_match_whose_ids_hold_spaces_is_undone(run, tmp_path, monkeypatch):
    runs = shutil.copytree(run.directory.parent, tmp_path / "runs")
    own = Run(runs / run.run_id, "05_reconciliation")
    matches = own.read("matches")
    named = {"transaction_id": "order 17 of May", "statement_id": "May 2026"}
    own.write("matches", matches.assign(**{c: matches[c].mask(matches.index == 0, v) for c, v in named.items()}))
    monkeypatch.setenv("ATLAS_RUNS_DIR", str(runs))
    listed = page(PAGE, "olga", matches__q=named["transaction_id"], only="matches")
    (value,) = re.findall(r'type="checkbox" name="chosen" value="([^"]*)"', listed)
    assert "Undo match?" in str(answer(asked(PAGE, "olga"), ("unmatch", [unescape(value)], "")).body)
    told = act("olga", "unmatch", [unescape(value)])
    line_key = f"May 2026/{matches['line_id'].iloc[0]}"
    assert told == ("good", f"order 17 of May {line_key}: match undone; the figures follow at the next run.")
    assert decisions(run)[["transaction_ids", "line_keys"]].to_numpy().tolist() == [["order 17 of May", line_key]]
    assert "match undone (olga, " in page(PAGE, "olga", matches__q=named["transaction_id"], only="matches")


def test_the_question_before_an_action_is_for_those_who_may_do_it_and_hides_account_numbers(run):
    matches = run.read("matches")
    pair = pair_keys(matches).iloc[0]
    for actor, words in (
        (Actor("rita", "risk_analyst"), "You may not"),
        (Actor("carl", "credit_manager"), "You may not"),
    ):
        with pytest.raises(Refused, match=words):
            answer(Asked("page/05_reconciliation", {}, actor, {}), ("unmatch", [pair], ""))
    with_account = matches[:1].assign(statement_id="DE89370400440532013000-2026-10")
    assert hide_accounts(Actor("rita", "risk_analyst"), with_account)["statement_id"].tolist() == [
        "DE** **** 3000-2026-10"
    ]
    assert "Undo match?" in str(
        answer(Asked("page/05_reconciliation", {}, Actor("olga", "settlement_ops"), {}), ("unmatch", [pair], "")).body
    )


def test_an_action_leads_back_to_where_it_was_chosen_and_nowhere_else():
    there = Asked("page/05_reconciliation", {"breaks.severity": "high", "currency": "EUR"}, Actor("", ""), {})
    assert result_of(there, "recheck") == "/page/05_reconciliation?breaks.severity=high&currency=EUR#breaks"
    assert result_of(Asked("/evil.example", {}, Actor("", ""), {}), "recheck") == "/page/05_reconciliation#breaks"
    assert result_of(Asked("/evil.example", {}, Actor("", ""), {}), "confirmed") == "/fraud"
    with pytest.raises(SettingsError):
        result_of(Asked("x", {}, Actor("", ""), {}), "delete")


def test_alerts_are_filtered_opened_judged_and_shown_as_they_stand_with_users_in_clear_for_some(run):
    listed = page("fraud", "rita", state="open")
    alerts = re.findall(r'name="chosen" value="([^"]+)"', listed)
    index = run.read("streaming_index").set_index("transaction_id")["fraud_score"]
    assert set(alerts) == set(index[index >= 0.7].index)
    assert "No delivery has come since" in listed
    users = run.read("transactions").set_index("transaction_id")["user_id"]
    told = page(f"fraud/{alerts[0]}", "carl")
    for text in (page("fraud", "carl", state="open"), told):
        assert not [u for u in users.unique() if u in text]
    assert "Newest payments of user-" in told
    assert f"Newest payments of {users[alerts[0]]}" in page(f"fraud/{alerts[0]}", "rita")
    assert decide_and_say(asked("fraud", "rita"), "escalated", alerts[:1], "odd")[0] == "good"
    assert "another person" in decide_and_say(asked("fraud", "rita"), "confirmed", alerts[:1], "odd")[1]
    assert decide_and_say(asked("fraud", "carl"), "confirmed", alerts[:1], "customer called")[0] == "good"
    assert decide_and_say(asked("fraud", "rita"), "false_positive", alerts[1:], "known customer")[0] == "good"
    assert "You may not say whether" in decide_and_say(asked("fraud", "olga"), "confirmed", alerts[:1], "x")[1]
    assert page("fraud", "rita", state="open").count('name="chosen"') == 0
    assert alerts[0] in page("fraud", "rita", state="confirmed")
    assert "customer called" in page(f"fraud/{alerts[0]}", "rita")
    assert "FRAUD_JUDGED" in page(f"transaction/{alerts[0]}", "olga")
    merchant = Actor("mert", "merchant", "310147")
    own = next(i for i in run.read("transactions").query("merchant_id == '310147'")["transaction_id"] if i in alerts)
    assert "FRAUD_JUDGED" not in str(answer(Asked(f"transaction/{own}", {}, merchant, {})).body)
    for path in ("fraud", f"fraud/{own}"):
        with pytest.raises(Refused):
            answer(Asked(path, {}, merchant, {}))


def test_alerts_go_out_as_csv_and_excel_filtered_as_shown_and_masked(run):
    import openpyxl

    def read(path: str, **arguments: str) -> bytes:
        given = answer(asked(path, "carl", **arguments))
        return b"".join([given.body if isinstance(given.body, bytes) else given.body.encode(), *given.parts])

    listed = page("fraud", "rita", state="open")
    assert "export/fraud_alerts.csv?state=open" in listed
    alerts = re.findall(r'name="chosen" value="([^"]+)"', listed)
    table = pd.read_csv(io.BytesIO(read("export/fraud_alerts.csv", state="open")))
    assert table["transaction_id"].tolist() == alerts
    assert table["user_id"].str.startswith("user-").all()
    amounts = run.read("transactions").set_index("transaction_id")["amount_minor"]
    first = table[table["currency"] != "JPY"].iloc[0]
    assert round(first["amount_minor"] * 100) == amounts[first["transaction_id"]]
    worst = table["fraud_score"].max()
    filtered = pd.read_csv(io.BytesIO(read("export/fraud_alerts.csv", score=str(worst))))
    assert len(filtered) == int((table["fraud_score"] >= worst).sum())
    book = openpyxl.load_workbook(io.BytesIO(read("export/fraud_alerts.xlsx", state="open")))
    assert book["Fraud alerts"].max_row == 1 + len(alerts)
    with pytest.raises(Refused):
        answer(Asked("export/fraud_alerts.csv", {}, Actor("mert", "merchant", "310147"), {}))


def test_the_front_page_counts_alerts_nobody_has_judged(run):
    assert run.has("streaming_index")
    alerts = re.findall(r'name="chosen" value="([^"]+)"', page("fraud", "rita"))
    assert f"<strong>{len(alerts)}</strong> fraud alerts to judge" in page("", "rita")
    decide_and_say(asked("fraud", "rita"), "false_positive", alerts[:-1], "tests of the shop")
    assert "<strong>1</strong> fraud alert to judge" in page("", "rita")


def test_payments_that_came_since_stand_first_with_their_delay_and_appear_without_a_new_server(
    run, monkeypatch, tmp_path
):
    from atlas_lib.core.tables import declared

    runs = shutil.copytree(run.directory.parent, tmp_path / "runs")
    monkeypatch.setenv("ATLAS_RUNS_DIR", str(runs))
    assert "T-NEW" not in page("fraud", "rita")
    came = pd.Timestamp("2026-11-02 10:00", tz="UTC")
    row = (
        run.read("transactions")
        .head(1)
        .assign(transaction_id="T-NEW", amount_minor=123_456, currency="EUR", created_at=came)
    )
    score = run.read("streaming_index").head(1).assign(
        transaction_id="T-NEW", fraud_score=0.95, fraud_reasons="fast", ingested_at=came, delivery_id="D", arrived_at=came, delay_seconds=2.25
    )  # fmt: skip
    record = {c: 0 for c in declared("deliveries").column_names} | {
        "delivery_id": "D", "source_file": "new.csv", "delay_seconds": 2.25, "indexed_at": came, "arrived_at": came, "accepted_count": 1,
    }  # fmt: skip
    for table, frame in (("transactions", row), ("deliveries", pd.DataFrame([record])), ("followed_index", score)):
        (runs / "intake" / table).mkdir(parents=True)
        frame.to_parquet(runs / "intake" / table / "D.parquet")
    listed = page("fraud", "rita", only="alerts")
    assert listed.lstrip().startswith("<section")
    assert re.findall(r'name="chosen" value="([^"]+)"', listed)[0] == "T-NEW"
    assert "new.csv" in listed
    assert "delay 2.25 s" in listed
    assert "T-NEW" in page("fraud", "rita", amount="1234.56", score="0.95", reason="fast")
    assert "No alert fits" in page("fraud", "rita", amount="1234.57", reason="fast")
    with pytest.raises(SettingsError, match="no figure"):
        page("fraud", "rita", amount="much")


def test_alerts_are_judged_and_labels_written_on_the_command_line(run, monkeypatch, tmp_path):
    from typer.testing import CliRunner

    from atlas_lib.cli import app

    def atlas(*arguments: str):
        return CliRunner().invoke(app, ["decide", *arguments, "--run-dir", str(run.directory)])

    first, second = re.findall(r'name="chosen" value="([^"]+)"', page("fraud", "rita"))[:2]
    monkeypatch.setenv("ATLAS_ACTOR", "rita")
    monkeypatch.setenv("ATLAS_ROLE", "settlement_ops")
    assert isinstance(atlas("fraud", first, "confirmed").exception, Refused)
    monkeypatch.setenv("ATLAS_ROLE", "risk_analyst")
    assert "confirmed as fraud" in atlas("fraud", first, "confirmed", "--reason", "customer called").output
    assert "escalated" in atlas("fraud", second, "escalated").output
    assert isinstance(atlas("fraud", second, "perhaps").exception, Refused)
    assert "1 label written" in atlas("fraud-labels", str(tmp_path / "fraud_labels.csv")).output
    assert pd.read_csv(tmp_path / "fraud_labels.csv")[["transaction_id", "is_fraud"]].to_numpy().tolist() == [
        [first, True]
    ]


@pytest.fixture
def served(run) -> Iterator[str]:
    """The dashboard on a free port, behind a login header."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    people = str(run.directory.parent / "people.yaml")
    login = {"ATLAS_LOGIN_HEADER": "X-Forwarded-User", "ATLAS_PEOPLE": people, "ATLAS_DASHBOARD_WITHOUT_TOKEN": "yes"}
    environment = os.environ | login
    command = [sys.executable, "-m", "atlas_lib.cli", "dashboard", f"--port={port}", "--no-open-browser"]
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(480):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/assets/style.css", timeout=5)
                break
            except OSError:
                time.sleep(0.25)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait(30)


def test_a_decision_by_http_is_confirmed_done_told_and_in_the_ledger(served, run):
    row = open_break(run)
    jar = http.cookiejar.CookieJar()
    client = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    client.addheaders = [("X-Forwarded-User", "olga")]

    def read(path: str, **form: str) -> str:
        data = urllib.parse.urlencode(form).encode() if form else None
        return client.open(served + path, data=data, timeout=60).read().decode("utf-8")

    form = read(f"{PAGE}?breaks.q={row['break_id']}")
    token = re.search(r'name="_xsrf"[^>]*value="([^"]+)"', form)
    assert token is not None
    sent = {"_xsrf": unescape(token[1]), "back": PAGE, "act": "recheck", "chosen": value_of(row), "said": "bank called"}
    assert "Ask for another look?" in read("decide", **sent)
    assert decisions(run).empty
    told = read(f"decide?breaks.q={row['break_id']}", **sent, confirmed="yes")
    assert f"{row['break_id']}: another look is asked for; the figures follow at the next run." in told
    assert "another look asked for (olga, " in told
    assert decisions(run)[["action", "actor", "said"]].to_numpy().tolist() == [["recheck", "olga", "bank called"]]
    with pytest.raises(urllib.error.HTTPError) as refused:
        read("decide", **{**sent, "_xsrf": "forged"}, confirmed="yes")
    assert refused.value.code == 403
    with open_ledger(run.ledger_url, "test") as ledger:
        assert read_judgements(ledger).empty
    assert len(decisions(run)) == 1


def test_the_daily_page_has_both_amounts_by_day_account_and_merchant_and_the_address_keeps_what_was_chosen(run):
    rows = run.read("daily_reconciliation")
    row = rows[rows["is_open"] & (rows["side"] == "payment") & (rows["account"] != "")].iloc[0]
    day, code = f"{row['date']:%Y-%m-%d}", row["currency"]
    told = page("daily", "frida", daily_reconciliation__date=day, currency=code, by="account")
    same = rows[(rows["date"] == row["date"]) & (rows["currency"] == code)]
    assert f"{len(same)} row" in told
    assert f"{same['is_open'].sum()} row" in told
    assert row["account"] in told
    assert "by=merchant_id&amp;" in told or "&amp;by=merchant_id" in told
    assert told.count('class="off"') >= 1
    assert f"daily_totals.date={day}" in told  # the export of the totals has the day too
    assert row["account"] not in page("daily", "rita", by="account")  # may not see account numbers
    merchant = page("daily", "olga", merchant=row["merchant_id"], by="merchant_id")
    others = set(rows["merchant_id"]) - {row["merchant_id"], ""}
    listed = merchant.split('id="totals"')[1]
    assert not [m for m in others if f">{m}<" in listed]
    exported = answer(asked("export/daily_totals.csv", "frida", daily_totals__date=day, currency=code))
    assert len(b"".join([exported.body, *exported.parts]).splitlines()) == 1 + len(
        run.read("daily_totals").query("date == @row.date and currency == @code")
    )


def test_a_day_is_approved_disputed_and_looked_at_again_in_place_by_who_may(run):
    rows = run.read("daily_reconciliation").query("is_open and discrepancy_minor != 0")
    first, second = rows.iloc[0], rows.iloc[1]
    there = {"daily_reconciliation__date": f"{first['date']:%Y-%m-%d}"}
    listed = page("daily", "frida", daily_reconciliation__is_open="true", daily_reconciliation__size="100")
    assert value_of(first) in listed
    assert ">Approve</button>" in listed
    assert ">Approve</button>" not in page("daily", "olga")
    assert ">Dispute</button>" in page("daily", "olga")
    assert 'name="act"' not in page("daily", "rita")
    told = str(answer(asked("daily", "frida", **there), ("approve_break", [value_of(first)], "")).body)
    assert "<option>BANK_FEE</option>" in told
    assert f"1 break: {first['discrepancy_minor'] / 100:,.2f} {first['currency']}" in told or first["currency"] == "JPY"
    assert "You may not" in act("olga", "approve_break", [value_of(first)], "BANK_FEE")[1]
    assert act("frida", "approve_break", [value_of(first)], "BANK_FEE")[0] == "good"
    assert act("olga", "dispute", [value_of(second)], "open")[0] == "good"
    assert act("olga", "recheck", [value_of(second)])[0] == "good"
    made = decisions(run)
    assert made["action"].tolist() == ["write_off", "dispute", "recheck"]
    now = page("daily", "olga", daily_reconciliation__size="100", daily_reconciliation__is_open="true")
    assert "written off as BANK_FEE (frida, " in now
    assert "dispute open (olga, " in now
    back = result_of(asked("daily", "frida", **there), "approve_break")
    assert back == f"/daily?daily_reconciliation.date={first['date']:%Y-%m-%d}#daily_reconciliation"


def test_a_merchant_is_refused_the_daily_page(run):
    assert run.has("daily_reconciliation")
    for path in ("daily", "export/daily_reconciliation.csv", "export/daily_totals.csv"):
        with pytest.raises(Refused):
            answer(Asked(path, {}, Actor("mert", "merchant", "310147"), {}))


def test_a_contract_that_moved_is_decided_on_the_desk_by_who_may_and_its_merchant_is_no_longer_blocked(
    kept, tmp_path, monkeypatch
):
    """Its former merchant has been paid for it; until somebody decides, the new one is blocked."""
    folder = shutil.copytree(kept.directory.parent, tmp_path / "runs")
    monkeypatch.setenv("ATLAS_RUNS_DIR", str(folder))
    run = Run(folder / kept.run_id, "02_reserves_credit")
    payments, payouts = run.read("contract_payments"), run.read("payouts")
    former, moved = payments[["merchant_id", "contract_id"]].iloc[0]
    new = payouts.query("status == 'Ready' and merchant_id != @former")["merchant_id"].iloc[0]
    payout_id = name_payout(former, "EUR", 1)
    facts = {"payment_id": "PAY-1", "contracts": json.dumps({moved: 100_00}), "merchant_id": former}
    events = {"transaction_id": f"payout:{payout_id}", "event_type": ["PAYOUT_PREPARED", "PAYOUT_EXECUTED"]}
    events |= {"amount_minor": 100_00, "currency": "EUR", "details": json.dumps(facts)}
    with open_ledger(run.ledger_url, "test") as ledger:
        ledger.append("paid", pd.DataFrame(events).assign(timestamp=pd.Timestamp("2026-10-30", tz="UTC")))
    is_moved = payments["contract_id"] == moved
    run.write("contract_payments", payments.assign(
        merchant_id=payments["merchant_id"].mask(is_moved, new), move=payments["move"].mask(is_moved, "open")
    ))  # fmt: skip
    is_new = payouts["merchant_id"] == new
    run.write("payouts", payouts.assign(
        status=payouts["status"].mask(is_new, "Blocked"), reasons=payouts["reasons"].mask(is_new, "CONTRACT_MOVED")
    ))  # fmt: skip
    run.save()
    assert "contract that moved to another merchant, to decide" in page("", "carl")
    shown = page("desk", "carl")
    assert "Contracts that moved" in shown
    assert moved in shown
    assert "Accept move" in shown
    assert "Accept move" not in page("desk", "olga")
    assert "You may not" in act("olga", "accept_move", [f"{new} {moved}"])[1]
    assert "reason" in act("carl", "accept_move", [f"{new} {moved}"], said="")[1]
    assert "may be paid to its new merchant" in act("carl", "accept_move", [f"{new} {moved}"])[1]
    with open_ledger(run.ledger_url, "test") as ledger:
        (event,) = ledger.events(event_types=["CONTRACT_MOVE_ACCEPTED"]).to_dict("records")
    assert (event["transaction_id"], event["actor"]) == (f"contract:{moved}", "carl")
    assert "to another merchant, to decide" not in page("", "carl")
    with desk_of(run, {"ATLAS_ACTOR": "carl", "ATLAS_ROLE": "credit_manager"}) as desk:
        assert desk.payouts().set_index("merchant_id").loc[new, "status"] == "Ready"
