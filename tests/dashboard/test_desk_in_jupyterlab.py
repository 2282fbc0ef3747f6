"""The payout desk in JupyterLab: people run the notebook and click, and the ledger holds who clicked what."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from atlas_lib.core.run import Run
from atlas_lib.ledger.store import open_ledger
from tests.dashboard.test_pages_in_browser import CHROMIUM, wait_for
from tests.finished_run import ROOT
from tests.reserves_credit.reserves_credit_frames import DEBTOR

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: chromium)"),
]
PEOPLE = {"olga": "settlement_ops", "carl": "credit_manager"}
DESK_ALONE = ("code-02", "code-03", "code-04", "code-44", "code-45")  # the cells of notebook 02 that open the desk


@pytest.fixture
def run(finished_run, tmp_path) -> Run:
    """A copy of the run with an account to pay from."""
    folder = shutil.copytree(finished_run.directory.parent, tmp_path / "runs")
    path = folder / finished_run.run_id / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["settings"]["02_reserves_credit"] |= {**DEBTOR, "four_eyes_amount": 10_000.0}
    path.write_text(json.dumps(manifest))
    (folder / "latest").write_text(finished_run.run_id)
    return Run(path.parent)


def lay_out(project: Path, data: Path) -> None:
    """Each person's notebook with a kernel whose environment names the person, as their own machine would."""
    (project / "notebooks").mkdir(parents=True)
    for name, role in PEOPLE.items():
        book = nbformat.read(ROOT / "notebooks" / "02_reserves_credit.ipynb", as_version=4)
        book.cells = [c for c in book.cells if c["id"] in DESK_ALONE]
        assert len(book.cells) == len(DESK_ALONE)
        book.metadata["kernelspec"] = {"name": name, "display_name": name, "language": "python"}
        nbformat.write(book, project / "notebooks" / f"{name}.ipynb")
        spec = data / "kernels" / name / "kernel.json"
        spec.parent.mkdir(parents=True)
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        person = {"ATLAS_ACTOR": name, "ATLAS_ROLE": role}
        spec.write_text(json.dumps({"argv": command, "display_name": name, "language": "python", "env": person}))


def set_up_lab(config: Path) -> None:
    """The whole notebook in the page, whatever the window shows of it, and no question about news."""
    for name, wanted in {
        "notebook-extension/tracker": {"windowingMode": "none"},
        "apputils-extension/notification": {"fetchNews": "false"},
    }.items():
        path = config / "lab" / "user-settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(wanted))


@pytest.fixture
def address(run, tmp_path) -> Iterator[str]:
    """JupyterLab at a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    project, data = tmp_path / "project", tmp_path / "data"
    lay_out(project, data)
    set_up_lab(tmp_path / "config")
    own = {"HOME": tmp_path, "JUPYTER_CONFIG_DIR": tmp_path / "config", "JUPYTER_DATA_DIR": data, "PYTHONPATH": ROOT}
    own |= {"ATLAS_RUNS_DIR": run.directory.parent}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ATLAS_")}
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--allow-root",
        "--ServerApp.port_retries=0", "--IdentityProvider.token=", f"--ServerApp.root_dir={project}",
    ]  # fmt: skip
    with (tmp_path / "lab.log").open("w") as log:
        server = subprocess.Popen(
            command, env=environment | {k: str(v) for k, v in own.items()}, cwd=project, stdout=log, stderr=log
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/api")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


class Operator:
    """One person's JupyterLab with the notebook; nothing is asked of any other machine.

    A page does not wait for what it opens, so that those of two people load side by side.
    """

    def __init__(self, browser: Any, address: str, name: str) -> None:
        from playwright.sync_api import expect

        self.page = browser.new_page(viewport={"width": 1500, "height": 1000})
        self.page.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        self.page.route("**/*", lambda r: r.continue_() if r.request.url.startswith(address) else r.abort())
        self.name = name
        self.page.goto(f"{address}/lab/workspaces/{name}/tree/notebooks/{name}.ipynb", wait_until="commit")

    def run_all(self) -> None:
        """Run the notebook; its cells go on while the next person's begin."""
        from playwright.sync_api import expect

        expect(self.page.get_by_text(f"{self.name} | Idle")).to_be_visible()
        started = self.page.locator(".jp-InputPrompt", has_text=re.compile(r"\[(\*|\d+)\]")).first
        for _ in range(20):  # Lab drops what is asked before it has heard from the kernel
            self.page.get_by_role("menuitem", name="Run", exact=True).click()
            self.page.get_by_text("Run All Cells", exact=True).click()
            self.page.wait_for_timeout(500)
            if started.count():
                break

    def panel(self, title: str) -> Any:
        return self.page.locator(".widget-vbox", has=self.page.locator(f"h3:has-text('{title}')")).last

    def refresh(self, title: str, outcome: str) -> None:
        """Read the list again, and wait for what it says of other people's actions."""
        from playwright.sync_api import expect

        self.panel(title).get_by_role("button", name="Refresh", exact=True).click()
        expect(self.panel(title).get_by_text(re.compile(rf"Read again\. {outcome}"))).to_be_visible()

    def act(self, title: str, line: str, button: str, outcome: str) -> None:
        """Choose the first line that fits, press the button, confirm, and wait for what the desk says."""
        from playwright.sync_api import expect

        panel = self.panel(title)
        choice = panel.locator("select[multiple]")
        wanted = choice.locator("option", has_text=re.compile(line)).first
        wanted.wait_for(state="attached")
        choice.select_option(label=wanted.inner_text())
        panel.get_by_role("button", name=button, exact=True).click()
        expect(panel.get_by_text(re.compile(rf"{button}\? 1 line, [\d,.]+ EUR"))).to_be_visible()
        panel.get_by_role("button", name="Confirm", exact=True).click()
        expect(panel.get_by_text(re.compile(outcome))).to_be_visible()


def test_one_person_prepares_and_requests_and_another_approves_in_jupyterlab(run, address):
    """What the preparer is refused keeps nobody from going on, and each sees what the other has done."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        olga, carl = Operator(browser, address, "olga"), Operator(browser, address, "carl")
        for person in (olga, carl):
            person.run_all()
        carl.panel("Payment files").wait_for()
        olga.act("Payouts", r"[1-9]\d,\d{3}\.\d\d\b.*Ready", "Prepare", "1 payout prepared in 1 payment file")
        olga.act("Payment files", "Prepared", "Approve", "You may not approve any payment file")
        carl.refresh("Payment files", "New: PAY-")
        carl.act("Payment files", "Prepared", "Approve", "approved")
        olga.refresh("Payment files", "Changed: PAY-.*Approved")
        olga.act("Payment files", "PAY-", "Request", "its file is in the outbox")
        browser.close()
    with open_ledger(run.ledger_url, "test") as ledger:
        made = ledger.events(event_types=["PAYOUT_PREPARED", "PAYOUT_APPROVED", "PAYOUT_REQUESTED"]).tail(3)
        assert ledger.verify().empty
    assert made["event_type"].tolist() == ["PAYOUT_PREPARED", "PAYOUT_APPROVED", "PAYOUT_REQUESTED"]
    assert made["actor"].tolist() == ["olga", "carl", "olga"]
    assert json.loads(made["details"].iloc[0])["is_four_eyes"]
    assert [json.loads(d)["role"] for d in made["details"]] == [PEOPLE[name] for name in made["actor"]]
    sent = Path(run.directory.parent / "payments" / "outbox").glob("*.xml")
    assert [path.stem for path in sent] == [made["batch_id"].iloc[-1]]
