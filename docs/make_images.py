"""Pictures for the README, taken in Chromium from a run of example_data: `make images`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"


def main() -> None:
    chromium = next(p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n)))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        command = [sys.executable, "-m", "atlas_lib.cli", "run", "--quiet", "--runs-dir", folder]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        pages = Path(done.stdout.strip().splitlines()[-1]) / "html"
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        IMAGES.mkdir(exist_ok=True)
        picture(page, pages / "index.html", "main", 0, "index.png")
        picture(page, pages / "03_portfolio.html", "#The-book-by-month", 620, "report.png")
        browser.close()


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
