"""The dashboard in a browser: first paint and whole page, cold and warm; twenty viewers at once with their memory.

The peer is the same notebook as a plain Voilà page of the same run: a kernel per viewer. Ratios are peer / ours.
`ATLAS_RUNS_DIR` names runs to serve; else example_data is run first.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from atlas_lib.core.settings import STAGES

ROOT = Path(__file__).parents[1]
VIEWERS, ROUNDS = 20, 2
PAGES = [
    "",
    *(f"page/{s}" for s in STAGES),
    "merchant/310147",
    "page/05_reconciliation?breaks.severity=high&breaks.sort=-amount_minor",
]
CORES = 2


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@contextmanager
def served(*options: str) -> Iterator[tuple[str, int]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "atlas_lib.cli", "dashboard", f"--port={port}", "--no-open-browser", *options]
    started = time.perf_counter()
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}/"
        while True:
            try:
                urllib.request.urlopen(address + "assets/style.css", timeout=5).close()  # noqa: S310
                break
            except OSError:
                time.sleep(0.05)
        say(f"server up after {time.perf_counter() - started:.1f} s {' '.join(options)}")
        yield address, server.pid
    finally:
        server.terminate()
        server.wait(30)


def family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(g for c in children for g in family(int(c)))]


def memory_mb(pid: int) -> float:
    """Proportional set size of the process and all below it (shared pages counted once)."""
    total = 0
    for one in family(pid):
        try:
            text = Path(f"/proc/{one}/smaps_rollup").read_text()
        except OSError:
            continue
        total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total / 1024


def cpu_seconds(pid: int) -> float:
    fields = [Path(f"/proc/{one}/stat").read_text().rsplit(") ", 1)[1].split() for one in family(pid)]
    return sum(int(f[11]) + int(f[12]) for f in fields) / os.sysconf("SC_CLK_TCK")


def load(browser: Any, url: str, ready: str, *, again: bool) -> list[tuple[float, float]]:
    """First paint and whole page in seconds: of a fresh profile, and (again) of the same one."""
    context, out = browser.new_context(viewport={"width": 1300, "height": 1000}), []
    for _ in range(1 + again):
        page = context.new_page()
        started = time.perf_counter()
        page.goto(url, timeout=120_000, wait_until="commit")
        page.wait_for_selector(ready, timeout=120_000)
        whole = time.perf_counter() - started
        page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
        paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        out.append((paint / 1000, whole))
        page.close()
    context.close()
    return out


def in_browser(address: str, browser: Any) -> float:
    whole = 0.0
    for path, ready in (("", "footer"), *((f"page/{s}", "html[data-charts=drawn]") for s in STAGES)):
        (cold, warm) = load(browser, address + path, ready, again=True)
        say(
            f"  {path or 'front':28} first paint {cold[0]:.2f} s cold, {warm[0]:.2f} s warm; whole page with charts {cold[1]:.2f} s cold, {warm[1]:.2f} s warm"
        )
        whole = warm[1] if path == "page/02_reserves_credit" else whole
    return whole


def crowd(address: str, pid: int) -> float:
    """Every viewer opens every page, without a pause; the memory of the server afterwards."""
    taken: list[float] = []

    def view(number: int) -> None:
        for path in PAGES[number % len(PAGES) :] + PAGES[: number % len(PAGES)]:
            started = time.perf_counter()
            with urllib.request.urlopen(address + path, timeout=300) as answer:  # noqa: S310
                assert answer.status == 200  # noqa: S101
                answer.read()
            taken.append(time.perf_counter() - started)

    before, busy = memory_mb(pid), cpu_seconds(pid)
    started = time.perf_counter()
    for _ in range(ROUNDS):
        threads = [threading.Thread(target=view, args=(n,)) for n in range(VIEWERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    spent, cpu = time.perf_counter() - started, cpu_seconds(pid) - busy
    ordered = sorted(taken)
    say(
        f"  {VIEWERS} viewers at once, {len(taken)} pages without a pause: {len(taken) / spent:.1f} pages/s, median {statistics.median(taken):.2f} s, 95 % below {ordered[int(len(ordered) * 0.95)]:.2f} s"
    )
    say(
        f"  {1000 * cpu / len(taken):.0f} ms of CPU a page; memory {before:.0f} MB before, {memory_mb(pid):.0f} MB after"
    )
    return memory_mb(pid)


def peer(address: str, browser: Any, pid: int) -> tuple[float, float]:
    """The widget page of the same notebook by Voilà: whole page, and memory that one more viewer takes."""
    before = memory_mb(pid)
    ((paint, whole),) = load(
        browser,
        address + "voila/render/02_reserves_credit.ipynb",
        "#rendered_cells:not([style*=none]) .jp-OutputArea-output select",
        again=False,
    )
    taken = memory_mb(pid) - before
    say(
        f"  Voilà page of 02_reserves_credit: first paint {paint:.2f} s, whole page {whole:.2f} s, {taken:.0f} MB a viewer"
    )
    return whole, taken


def measure() -> None:
    from playwright.sync_api import sync_playwright

    chromium = next(p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n)))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        with served() as (address, pid):
            ours = in_browser(address, browser)
            held = crowd(address, pid)
            theirs, taken = peer(address, browser, pid)
        with served("--preheat") as (address, pid):
            time.sleep(25)  # the kernels run their notebooks ahead of anybody asking
            preheated, _ = peer(address, browser, pid)
        browser.close()
    say(f"whole page, Voilà / ours: {theirs / ours:.1f} x ({preheated / ours:.1f} x with kernels started ahead)")
    say(f"memory for {VIEWERS} viewers, Voilà / ours: {(held + VIEWERS * taken) / held:.1f} x")


if __name__ == "__main__":
    if "ATLAS_RUNS_DIR" in os.environ:
        measure()
    else:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["ATLAS_RUNS_DIR"] = folder
            subprocess.run(
                [sys.executable, "-m", "atlas_lib.cli", "run", "--quiet"],
                cwd=ROOT,
                check=True,
                stdout=subprocess.DEVNULL,
            )
            measure()
