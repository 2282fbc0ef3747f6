"""The payout desk in a real browser: the dashboard behind a login header, and what a click leaves in the ledger."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from atlas_lib.ledger.store import open_ledger
from tests.reserves_credit.reserves_credit_frames import DEBTOR

ROOT = Path(__file__).parents[2]
CHROMIUM = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
PEOPLE = "olga: settlement_ops\ncarl: credit_manager\nclea: credit_manager\nrita: risk_analyst\nmert: {role: merchant, merchant_id: '310184'}\n"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: chromium)"),
]


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory) -> Path:
    """A run of the first two notebooks on the example data, with an account to pay from."""
    import papermill

    folder = tmp_path_factory.mktemp("runs")
    old = os.environ.get("ATLAS_RUNS_DIR")
    os.environ["ATLAS_RUNS_DIR"] = str(folder)
    try:
        for name, values in (("01_ingest", {}), ("02_reserves_credit", {**DEBTOR, "four_eyes_amount": 10_000.0})):
            papermill.execute_notebook(
                ROOT / "notebooks" / f"{name}.ipynb", folder / f"{name}.ipynb", values, cwd=ROOT, progress_bar=False,
                kernel_name="python3",
            )  # fmt: skip
    finally:
        os.environ.pop("ATLAS_RUNS_DIR") if old is None else os.environ.update(ATLAS_RUNS_DIR=old)
    return folder


@pytest.fixture(scope="module")
def address(runs_dir) -> Iterator[str]:
    """The dashboard as `atlas dashboard` serves it, waiting for a proxy's header."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    people = runs_dir / "people.yaml"
    people.write_text(PEOPLE, encoding="utf-8")
    environment = os.environ | {
        "ATLAS_RUNS_DIR": str(runs_dir), "ATLAS_LOGIN_HEADER": "X-Forwarded-User", "ATLAS_PEOPLE": str(people),
    }  # fmt: skip
    command = [sys.executable, "-m", "atlas_lib.cli", "dashboard", f"--port={port}", "--no-open-browser"]
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(f"http://127.0.0.1:{port}/")
        yield f"http://127.0.0.1:{port}/voila/render/02_reserves_credit.ipynb"
    finally:
        server.terminate()
        server.wait(30)


def wait_for(url: str) -> None:
    for _ in range(240):
        try:
            urllib.request.urlopen(url, timeout=5)  # noqa: S310
            return
        except OSError:
            time.sleep(0.25)
    raise AssertionError(f"no answer from {url}")


class Page:
    """The desk as one person sees it."""

    def __init__(self, browser, address: str, person: str) -> None:
        self._context = browser.new_context(
            extra_http_headers={"X-Forwarded-User": person}, viewport={"width": 1300, "height": 1000}
        )
        self.page = self._context.new_page()
        self.page.goto(address, timeout=180_000)

    def panel(self, title: str):
        return self.page.locator(".widget-vbox", has=self.page.locator(f"h3:text-is('{title}')")).last

    def act(self, title: str, line: str, button: str, reason: str = "") -> str:
        """Choose the line that holds a text, give a reason, click; the answer that the page gives."""
        panel = self.panel(title)
        panel.locator("select[multiple] option", has_text=line).first.wait_for(state="attached", timeout=180_000)
        label = panel.locator("select[multiple] option", has_text=line).first.inner_text()
        panel.locator("select[multiple]").select_option(label=label)
        panel.get_by_placeholder("why, in a few words").fill(reason)
        answer = panel.locator("[role=status], [role=alert]")
        before = answer.last.inner_text() if answer.count() else ""
        panel.get_by_role("button", name=button, exact=True).click()
        for _ in range(600):
            if answer.count() and answer.last.inner_text() not in ("", before):
                return f"{answer.last.get_attribute('role')}: {answer.last.inner_text()}"
            self.page.wait_for_timeout(100)
        raise AssertionError(f"{button} on {line}: the page gave no answer")

    def close(self) -> None:
        self._context.close()


def events(runs_dir: Path) -> pd.DataFrame:
    with open_ledger(f"sqlite:///{runs_dir / 'ledger.sqlite'}", "test") as ledger:
        found = ledger.events()
    return found[found["event_type"].str.startswith(("PAYOUT_", "MERCHANT_"))]


def test_people_decide_in_the_browser_and_every_decision_is_in_the_ledger(runs_dir, address):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        olga = Page(browser, address, "olga")
        assert "1 payout prepared in 1 payment file: PAY-" in olga.act("Payouts", "310184", "Prepare")
        assert olga.act("Payment files", "PAY-", "Approve").startswith("alert: You may not approve any payment file")
        assert olga.act("Payouts", "310221", "Block merchant", "x").startswith("alert: You may not stop the payouts")
        assert events(runs_dir)["event_type"].tolist() == ["PAYOUT_PREPARED"]
        carl = Page(browser, address, "carl")
        assert "approved" in carl.act("Payment files", "PAY-", "Approve")
        assert "alert: Cannot approve" in carl.act("Payment files", "PAY-", "Approve")
        olga.close()
        olga = Page(browser, address, "olga")
        assert "outbox" in olga.act("Payment files", "PAY-", "Request")
        rita = Page(browser, address, "rita")
        assert rita.act("Payouts", "310221", "Block merchant").startswith("alert: A reason is needed")
        assert "blocked" in rita.act("Payouts", "310221", "Block merchant", "chargebacks rise")
        mert = Page(browser, address, "mert")
        mert.page.wait_for_timeout(3_000)
        assert mert.panel("Payouts").count() == 0
        assert "310221" not in mert.page.content()
        browser.close()
    found = events(runs_dir)
    assert found[["event_type", "actor"]].to_numpy().tolist() == [
        ["PAYOUT_PREPARED", "olga"], ["PAYOUT_APPROVED", "carl"], ["PAYOUT_REQUESTED", "olga"], ["MERCHANT_BLOCKED", "rita"],
    ]  # fmt: skip
    assert len(list((runs_dir / "payments" / "outbox").glob("PAY-*.xml"))) == 1
