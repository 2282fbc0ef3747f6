"""Pictures for the README, taken in Chromium from a run of example_data: `make images`."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
DASHBOARD: dict[str, tuple[str, str, dict[str, Any]]] = {
    "dashboard.png": ("", "footer", {}),
    "reserves.png": ("page/02_reserves_credit", "html[data-charts=drawn]", {"height": 1500}),
    "breaks_dark.png": ("page/05_reconciliation?merchant=310147", "#breaks", {"color_scheme": "dark"}),
    "trail.png": ("transaction/T0000550", "#events", {}),
    "phone.png": ("", "footer", {"width": 390, "height": 844}),
}


def main() -> None:
    chromium = next(p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n)))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        command = [sys.executable, "-m", "atlas_lib.cli", "run", "--quiet", "--runs-dir", folder]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        pages = Path(done.stdout.strip().splitlines()[-1]) / "html"
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        IMAGES.mkdir(exist_ok=True)
        report = browser.new_page(viewport={"width": 1280, "height": 900})
        picture(report, pages / "index.html", "main", 0, "index.png")
        picture(report, pages / "03_portfolio.html", "#The-book-by-month", 620, "report.png")
        with served(folder) as address:
            for name, (path, ready, look) in DASHBOARD.items():
                view(browser, address + path, ready, IMAGES / name, **look)
        browser.close()


@contextmanager
def served(runs_dir: str) -> Iterator[str]:
    """The dashboard on a free port, with a person who may decide."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"ATLAS_RUNS_DIR": runs_dir, "ATLAS_ACTOR": "Carla", "ATLAS_ROLE": "credit_manager"}
    command = [sys.executable, "-m", "atlas_lib.cli", "dashboard", f"--port={port}", "--no-open-browser"]
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(address + "assets/style.css", timeout=5).close()  # noqa: S310
                break
            except OSError:
                time.sleep(0.25)
        yield address
    finally:
        server.terminate()
        server.wait(30)


def view(
    browser: Browser,
    url: str,
    ready: str,
    path: Path,
    *,
    width: int = 1280,
    height: int = 1000,
    color_scheme: str = "light",
) -> None:
    """A page of the dashboard once `ready` is there."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=color_scheme)
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector(ready, state="attached")
    page.wait_for_timeout(300)
    page.screenshot(path=path)
    context.close()


def picture(page: Page, source: Path, anchor: str, below: int, name: str) -> None:
    """The window as a reader sees it after going to the anchor and a little further."""
    page.goto(source.as_uri())
    if source.name != "index.html":
        page.wait_for_selector("html[data-charts=drawn]")
    top = page.locator(anchor).first.bounding_box()["y"] if below else 0
    page.evaluate("y => window.scrollTo(0, y)", top + below)
    page.screenshot(path=IMAGES / name)


if __name__ == "__main__":
    main()
