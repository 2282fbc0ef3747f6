"""The dashboard in Chromium, as people use it: behind a login header, with nothing to be had from any network."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from atlas_lib.core.run import Run
from atlas_lib.core.settings import STAGES
from atlas_lib.ledger.store import open_ledger
from tests.finished_run import PUSHED_SIDEWAYS, ROOT
from tests.reserves_credit.reserves_credit_frames import DEBTOR

CHROMIUM = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
PEOPLE = (
    "olga: settlement_ops\ncarl: credit_manager\nrita: risk_analyst\nmert: {role: merchant, merchant_id: '310147'}\n"
)
TOKEN = "only-the-proxy-knows"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: chromium)"),
]


@pytest.fixture(scope="module")
def run(finished_run, tmp_path_factory) -> Run:
    """A copy of the run with an account to pay from, and an older run beside it to compare with."""
    folder = shutil.copytree(finished_run.directory.parent, tmp_path_factory.mktemp("served") / "runs")
    directory = folder / finished_run.run_id
    older = shutil.copytree(directory, folder / "2026-10-29-older")
    for path, changed in (
        (older, {"run_id": older.name, "as_of": "2026-10-29"}),
        (directory, {"previous": {"run_id": older.name}}),
    ):
        manifest = json.loads((path / "manifest.json").read_text()) | changed
        manifest["settings"]["02_reserves_credit"] |= {**DEBTOR, "four_eyes_amount": 10_000.0}
        if path == older:
            manifest["stages"]["05_reconciliation"]["figures"][1]["value"] = "30"
        (path / "manifest.json").write_text(json.dumps(manifest))
    (folder / "latest").write_text(finished_run.run_id)
    (folder / "people.yaml").write_text(PEOPLE, encoding="utf-8")
    return Run(directory)


@pytest.fixture(scope="module")
def address(run, tmp_path_factory) -> Iterator[str]:
    """`atlas dashboard` on a free port, waiting for a proxy's header; stopped, it leaves nothing beside."""
    aside = tmp_path_factory.mktemp("aside")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = run.directory.parent
    environment = os.environ | {
        "ATLAS_RUNS_DIR": str(folder), "ATLAS_LOGIN_HEADER": "X-Forwarded-User", "ATLAS_PEOPLE": str(folder / "people.yaml"),
        "ATLAS_DASHBOARD_TOKEN": TOKEN, "TMPDIR": str(aside),
    }  # fmt: skip
    command = [sys.executable, "-m", "atlas_lib.cli", "dashboard", f"--port={port}", "--no-open-browser"]
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(f"http://127.0.0.1:{port}/assets/style.css")
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait(30)
    assert list(aside.iterdir()) == []


def wait_for(url: str) -> None:
    for _ in range(240):
        try:
            urllib.request.urlopen(url, timeout=5)  # noqa: S310
            return
        except OSError:
            time.sleep(0.25)
    raise AssertionError(f"no answer from {url}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


class Person:
    """One person's window: every request that leaves this machine is cut off, every complaint is kept."""

    def __init__(self, browser: Any, address: str, name: str, **look: Any) -> None:
        headers = {"X-Forwarded-User": name, "Authorization": f"token {TOKEN}"}  # as the proxy adds them
        self.context = browser.new_context(
            extra_http_headers=headers, **({"viewport": {"width": 1300, "height": 1000}} | look)
        )
        self.page, self.address = self.context.new_page(), address
        self.complaints: list[str] = []
        self.context.route("**/*", self._only_here)
        self.page.on(
            "console",
            lambda m: self.complaints.append(f"{m.type}: {m.text}") if m.type in {"error", "warning"} else None,
        )
        self.page.on("pageerror", lambda e: self.complaints.append(f"error: {e}"))
        self.page.on("requestfailed", self._note_failed)

    def _only_here(self, route: Any) -> None:
        if route.request.url.startswith((self.address, "data:", "blob:")):
            route.continue_()
        else:
            route.abort()

    def _note_failed(self, request: Any) -> None:
        if request.failure != "net::ERR_ABORTED":  # the reader went on before it was there
            self.complaints.append(f"failed: {request.url}")

    def open(self, path: str) -> int:
        answer = self.page.goto(self.address + path, timeout=60_000)
        return int(answer.status)

    def decide(self, title: str, line: str, button: str, reason: str = "") -> str:
        """Tick the line, press the button, confirm; what the page then says."""
        self.open("desk")
        section = self.page.locator("section", has=self.page.get_by_role("heading", name=title, exact=True))
        section.locator("tbody tr", has_text=line).first.locator("input[type=checkbox]").check()
        section.get_by_role("button", name=button, exact=True).click()
        self.page.get_by_role("heading", name=f"{button}?").wait_for()
        if reason:
            self.page.locator("input[name=said]").fill(reason)
        self.page.get_by_role("button", name=button, exact=True).click()
        said = self.page.locator("main > .atlas-note").first
        return f"{said.get_attribute('role')}: {said.inner_text()}"


@pytest.fixture
def person(browser, address) -> Iterator[Any]:
    opened: list[Person] = []

    def open_as(name: str, **look: Any) -> Person:
        opened.append(Person(browser, address, name, **look))
        return opened[-1]

    yield open_as
    for one in opened:
        one.context.close()


def events(run: Run) -> list[list[str]]:
    with open_ledger(run.ledger_url, "test") as ledger:
        found: pd.DataFrame = ledger.events()
    is_of_a_person = found["event_type"].str.startswith(("PAYOUT_", "MERCHANT_")) & (
        found["event_type"] != "PAYOUT_JUDGED"
    )
    kept = found[is_of_a_person]
    return kept[["event_type", "actor"]].to_numpy().tolist()


def test_every_page_is_whole_without_any_network_and_draws_its_charts(person):
    olga = person("olga")
    for path in ("", "desk", "customers", "compliance", "merchant/310147", *(f"page/{s}" for s in STAGES)):
        assert olga.open(path) == 200
        if path.startswith("page/"):
            olga.page.wait_for_selector("html[data-charts=drawn]", timeout=60_000)
            assert olga.page.locator(".charts .main-svg").count()
        if path.endswith("05_reconciliation"):  # who may see account numbers sees them in full, and ids are no numbers
            assert olga.page.get_by_text(re.compile(r"^DE\d{20}$")).count()
            assert "** ****" not in olga.page.content()
            assert olga.page.locator(".listing tbody tr").count()
    assert olga.complaints == []
    olga.open("")
    assert "+7" in olga.page.locator(".atlas-card", has_text="Open breaks").inner_text()
    assert "2026-10-29-older" in olga.page.locator("main").inner_text()


def test_every_table_of_every_page_fits_a_window_of_1200_pixels(person):
    rita = person("rita", viewport={"width": 1200, "height": 1000})
    pages = ("desk", "daily", "fraud", "customers", "compliance", "operations", *(f"page/{s}" for s in STAGES))
    wide = {}
    for path in pages:
        assert rita.open(path) == 200
        wide |= {path: found} if (found := rita.page.evaluate(PUSHED_SIDEWAYS)) else {}
    rita.open("page/05_reconciliation")
    assert wide == {}
    assert rita.page.locator("#final_index").get_by_text("with 6 more columns").count()


def test_filters_go_into_the_address_and_along_and_tables_turn_in_place(person, run):
    olga = person("olga")
    olga.open("page/05_reconciliation")
    index = run.read("final_index")
    merchant, code = index.query("currency == 'USD'").groupby(["merchant_id", "currency"]).size().idxmax()
    own = index.query("merchant_id == @merchant and currency == @code")
    assert len(own) > 20
    olga.page.locator("form.filters select[name=merchant]").select_option(merchant)
    olga.page.wait_for_url(f"**merchant={merchant}*")
    olga.page.locator("form.filters select[name=currency]").select_option(code)
    olga.page.wait_for_url(f"**currency={code}*")
    table = olga.page.locator("#final_index")
    assert f"{len(own)} rows" in table.locator(".count").inner_text()
    table.get_by_role("link", name="Amount").click()
    olga.page.wait_for_selector("#final_index th[aria-sort=ascending] >> text=Amount")
    table.get_by_role("link", name="Amount").click()
    olga.page.wait_for_selector("#final_index th[aria-sort=descending] >> text=Amount")
    assert (
        table.locator("tbody tr").first.inner_text().split("\t")[2].replace(",", "")
        == f"{own['amount_minor'].max() / 100:.2f}"
    )
    table.get_by_role("link", name="Next").click()
    olga.page.wait_for_selector("#final_index .pages >> text=11 to 20")
    assert {f"merchant={merchant}", f"currency={code}", "final_index.sort=-amount_minor", "final_index.page=2"} <= set(
        olga.page.url.split("?")[1].split("#")[0].split("&")
    )
    colleague = person("rita")
    colleague.page.goto(olga.page.url)
    assert colleague.page.locator("#final_index tbody").inner_text() == table.locator("tbody").inner_text()
    olga.page.get_by_role("navigation", name="Pages", exact=True).get_by_role("link", name="Ingest").click()
    olga.page.wait_for_url(f"**/page/01_ingest*merchant={merchant}*")
    olga.page.keyboard.press("/")
    assert olga.page.evaluate("document.activeElement.type") == "search"
    olga.page.keyboard.type("zzz")
    olga.page.keyboard.press("Enter")
    olga.page.get_by_text("No row fits these filters.").first.wait_for()
    export = olga.page.locator(".listing .exports a", has_text="Excel").last.get_attribute("href")
    told = olga.context.request.get(olga.address.rstrip("/") + export)
    assert (told.status, told.headers["content-disposition"][-5:-1]) == (200, "xlsx")
    assert olga.complaints + colleague.complaints == []


def test_a_reader_goes_from_the_merchant_down_to_the_cell(person):
    rita = person("rita")
    rita.open("merchant/310147")
    rita.page.locator("#subaccounts").get_by_role("link", name="Rolling Reserve").first.click()
    rita.page.wait_for_selector("#subaccount_movements td >> text=hold")
    rita.open("merchant/310147?currency=EUR")
    rita.page.locator("#contract_balances tbody a").first.click()
    rita.page.get_by_text("Read from").wait_for()
    assert "Merchant_Data.xlsx" in rita.page.locator(".source").inner_text()
    assert "CONTRACT_PURCHASED" in rita.page.locator("#events").inner_text()
    assert rita.complaints == []


def test_decisions_are_confirmed_shown_and_in_the_ledger_and_a_second_person_approves(person, run):
    olga, carl, rita = person("olga"), person("carl"), person("rita")
    assert "status: 1 payout prepared in 1 payment file: PAY-" in olga.decide("Payouts", "310184", "Prepare")
    assert olga.page.locator("section", has_text="Payment files").first.locator("tbody tr").count() == 1
    assert (
        "second person" in olga.decide("Payment files", "PAY-", "Approve").lower()
        or "You may not" in olga.page.locator("main > .atlas-note").inner_text()
    )
    assert carl.page.goto(f"{carl.address}") is not None
    carl.page.get_by_role("link", name="payment file to approve").click()
    assert "status: PAY-" in carl.decide("Payment files", "PAY-", "Approve")
    assert "alert: Cannot approve" in carl.decide("Payment files", "PAY-", "Approve")
    assert "outbox" in olga.decide("Payment files", "PAY-", "Request")
    assert "blocked" in rita.decide("Payouts", "310221", "Block merchant", "chargebacks <rise>")
    assert rita.page.get_by_role("button", name="Prepare").count() == 0
    assert events(run) == [["PAYOUT_PREPARED", "olga"], ["PAYOUT_APPROVED", "carl"], ["PAYOUT_REQUESTED", "olga"], ["MERCHANT_BLOCKED", "rita"]]  # fmt: skip
    assert len(list((run.directory.parent / "payments" / "outbox").glob("PAY-*.xml"))) == 1
    assert olga.complaints + carl.complaints + rita.complaints == []


def test_a_decision_that_the_page_does_not_offer_is_refused(person, run):
    rita, before = person("rita"), events(run)
    rita.open("desk")
    token = rita.page.locator("input[name=_xsrf]").first.get_attribute("value")
    ready = rita.page.locator("tbody tr", has_text="Ready").first.locator("input[type=checkbox]").get_attribute("value")
    form = {"_xsrf": token, "act": "prepare", "chosen": ready, "confirmed": "yes"}
    told = rita.context.request.post(f"{rita.address}decide", form=form).text()
    assert "You may not put payouts into a payment file" in told
    forged = rita.context.request.post(f"{rita.address}decide", form=form | {"_xsrf": "guessed"})
    assert forged.status == 403
    assert events(run) == before


def test_a_merchant_sees_its_own_figures_and_no_notebook_and_a_stranger_nothing(person, run):
    mert = person("mert")
    assert mert.open("") == 200
    text = mert.page.content()
    assert "Sonnenhof" in mert.page.locator("h1").inner_text()
    assert "310184" not in text
    assert mert.page.get_by_role("link", name="Decide").count() == 0
    assert mert.complaints == []
    for closed in ("desk", "voila/render/05_reconciliation.ipynb", "voila/tree", f"files/{run.run_id}/html/index.html"):
        assert mert.open(closed) == 403, closed
    assert person("eve").open("") == 403
    stranger = person("olga")
    assert stranger.open("page/nothing") == 400
    assert "No such page" in stranger.page.locator("[role=alert]").inner_text()
    assert stranger.open("nowhere") == 404
    assert "Traceback" not in stranger.page.content()


def test_without_the_token_nobody_is_let_in_whatever_the_header_says(address):
    for path in ("", "desk", "export/breaks.csv", "voila/render/05_reconciliation.ipynb"):
        request = urllib.request.Request(address + path, headers={"X-Forwarded-User": "olga"})  # noqa: S310
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request, timeout=60)  # noqa: S310


def test_the_dark_theme_and_a_phone_break_nothing(person, run):
    phone = person("olga", viewport={"width": 380, "height": 780}, color_scheme="dark")
    for path in (
        "",
        "desk",
        "page/02_reserves_credit",
        f"transaction/{run.read('final_index')['transaction_id'].iloc[0]}",
    ):
        phone.open(path)
        assert phone.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
        assert phone.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 24, 32)"
    phone.open("page/02_reserves_credit")
    phone.page.wait_for_selector("html[data-charts=drawn]")
    paper = phone.page.locator(".chart .main-svg").first.evaluate("e => getComputedStyle(e).backgroundColor")
    phone.page.get_by_role("button", name="Use the light theme").click()
    phone.page.wait_for_function(
        "getComputedStyle(document.querySelector('.chart .main-svg')).backgroundColor == 'rgb(255, 255, 255)'"
    )
    assert paper == "rgb(22, 32, 42)"
    phone.open("")
    assert phone.page.evaluate("document.documentElement.dataset.theme") == "light"
    assert phone.complaints == []


def test_the_widgets_of_a_notebook_work_behind_the_same_login(person):
    olga = person("olga", color_scheme="dark")
    olga.open("voila/render/02_reserves_credit.ipynb")
    olga.page.get_by_text("You are olga, settlement ops.").wait_for(timeout=120_000)
    chosen = olga.page.locator("select").filter(has_text="Blocked").first
    chosen.select_option("Blocked")
    olga.page.wait_for_function(
        "[...document.querySelectorAll('.jp-OutputArea-output')].some(e => e.innerText.includes('Blocked') && !e.innerText.includes('Ready'))"
    )
    olga.page.wait_for_selector(".js-plotly-plot .main-svg")
    assert olga.page.locator(".jp-OutputArea-output[data-mime-type*=error], [role=alert]").count() == 0
    assert olga.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 24, 32)"
    assert [c for c in olga.complaints if not c.startswith("warning:")] == []
