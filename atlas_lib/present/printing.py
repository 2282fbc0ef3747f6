"""The pages of a run as PDF, printed by the browser that is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from atlas_lib.core.errors import AtlasError

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
_SECONDS = 120


def find_browser() -> str:
    """The first browser on the path that prints without a window."""
    found = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        raise AtlasError(
            "No browser to print with", expected="one of " + ", ".join(_BROWSERS), found="none on the path",
            remedy="install Chromium (Debian: chromium), or open the page and print it",
        )  # fmt: skip
    return found


def print_pages(html: Path, out: Path) -> list[Path]:
    """Every page of the folder `html` as a PDF in `out`, with page numbers, headers and drawn charts."""
    browser = find_browser()
    out.mkdir(parents=True, exist_ok=True)
    return [_print_page(browser, page, out / f"{page.stem}.pdf") for page in sorted(html.glob("*.html"))]


def _print_page(browser: str, page: Path, pdf: Path) -> Path:
    """Chromium's sandbox cannot start as root (containers); the page is ours and asks for nothing."""
    with tempfile.TemporaryDirectory() as profile:
        command = [
            browser, "--headless=new", "--disable-gpu", f"--user-data-dir={profile}", "--no-pdf-header-footer",
            "--virtual-time-budget=30000", f"--print-to-pdf={pdf.resolve()}", *(["--no-sandbox"] if os.geteuid() == 0 else []),
            page.resolve().as_uri(),
        ]  # fmt: skip
        pdf.unlink(missing_ok=True)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            raise AtlasError("The browser did not print in time", where=page.name, found=f"{_SECONDS} s") from error
    if not pdf.exists():
        raise AtlasError("The browser printed nothing", where=page.name, found=done.stderr.strip()[-300:])
    return pdf
