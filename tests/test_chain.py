"""The whole chain as a user starts it: command in, run directory and reports out."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from html import unescape
from pathlib import Path

import pandas as pd
import papermill
import pytest

from atlas_lib.core.errors import Refused
from atlas_lib.core.opening import create_run, latest_run_of
from atlas_lib.core.run import Run
from atlas_lib.core.settings import STAGES
from atlas_lib.ledger.run_ledger import open_run_ledger
from atlas_lib.ledger.store import open_ledger
from atlas_lib.present.printing import print_pages
from atlas_lib.reserves_credit.desk import open_desk
from tests.finished_run import PUSHED_SIDEWAYS, ROOT, atlas, run_dir_of

pytestmark = pytest.mark.slow
CHROMIUM = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)


def event_counts(run: Run) -> dict[str, int]:
    # Closed at once: a copy of the file made while this process has it open would let go of SQLite's locks on it.
    with open_ledger(run.ledger_url, writer="test") as ledger:
        events = ledger.events()
    return {str(k): int(v) for k, v in events["event_type"].value_counts().items()}


def paid_in(run: Run) -> pd.DataFrame:
    """The events that confirm a settled transaction."""
    with open_ledger(run.ledger_url, writer="test") as ledger:
        events = ledger.events()
    return events[(events["event_type"] == "SETTLEMENT_CONFIRMED") & (events["transaction_id"] != "")]


@pytest.fixture(scope="module")
def run(finished_run) -> Run:
    return finished_run


@pytest.fixture(scope="module")
def runs_dir(run) -> Path:
    return run.directory.parent


@pytest.fixture(scope="module")
def contracts_only(tmp_path_factory) -> Path:
    """The user's kind of input: one workbook with contracts and nothing else."""
    path = tmp_path_factory.mktemp("input") / "Merchant_Data.xlsx"
    shutil.copy(ROOT / "example_data" / "Merchant_Data.xlsx", path)
    return path


def test_every_stage_has_work_on_the_example_data(run):
    assert {s: r["status"] for s, r in run.manifest["stages"].items() if r["status"] == "skipped"} == {}
    assert list(run.manifest["stages"]) == list(STAGES)
    blocking = [c for r in run.manifest["stages"].values() for c in r["checks"] if c["is_blocking"]]
    assert blocking
    assert all(c["passed"] for c in blocking)


def test_nothing_is_lost_on_the_way(run):
    totals = run.read("control_totals")
    assert (totals["difference_count"] == 0).all()
    assert (totals["rows_in_count"] == totals[["clean_count", "rejected_count", "duplicate_count"]].sum(axis=1)).all()


def test_the_same_run_again_changes_no_byte_and_books_nothing(run, runs_dir):
    before = {
        p: p.read_bytes()
        for p in run.directory.rglob("*")
        if p.is_file() and p.suffix in {".parquet", ".html", ".xlsx"}
    }
    manifest, events = (run.directory / "manifest.json").read_bytes(), event_counts(run)
    assert run_dir_of(atlas("run", "--quiet", "--runs-dir", runs_dir)) == run.directory
    assert (run.directory / "manifest.json").read_bytes() == manifest
    assert {p: p.read_bytes() for p in before} == before
    assert event_counts(run) == events


def test_the_same_run_elsewhere_gives_the_same_bytes_and_leaves_nothing_beside(run, tmp_path, monkeypatch):
    aside = tmp_path / "aside"
    aside.mkdir()
    monkeypatch.setenv("TMPDIR", str(aside))
    other = Run(run_dir_of(atlas("run", "--quiet", "--runs-dir", tmp_path / "runs")))
    assert (other.run_id, list(aside.iterdir())) == (run.run_id, [])
    assert {n: t["sha256"] for n, t in other.manifest["tables"].items()} == {
        n: t["sha256"] for n, t in run.manifest["tables"].items()
    }
    exports = sorted(p.relative_to(run.directory) for p in run.directory.rglob("*.xlsx"))
    assert exports
    assert [(other.directory / p).read_bytes() == (run.directory / p).read_bytes() for p in exports] == [True] * len(
        exports
    )


def test_a_run_that_broke_while_paying_resumes_there_and_pays_nothing_twice(run, runs_dir, tmp_path):
    """As after a crash between the last payment and the record of the step: the plan is kept, the rest is not."""
    copy = shutil.copytree(runs_dir, tmp_path / "runs") / run.run_id
    broken, events = json.loads((copy / "manifest.json").read_text()), event_counts(run)
    del broken["stages"]["05_reconciliation"]
    settlement = broken["stages"]["04_batching_settlement"]
    planned = {"select_items", "net_due_items", "plan_settlement", "plan_scenarios"}
    settlement["steps"] = {name: tables for name, tables in settlement["steps"].items() if name in planned}
    del settlement["verdict"]
    (copy / "manifest.json").write_text(json.dumps(broken))
    kept = (copy / "notebooks" / "02_reserves_credit.ipynb").stat().st_mtime_ns
    assert run_dir_of(atlas("run", "--quiet", "--runs-dir", tmp_path / "runs")) == copy
    assert (copy / "notebooks" / "02_reserves_credit.ipynb").stat().st_mtime_ns == kept
    again = Run(copy)
    assert event_counts(again) == events
    assert again.manifest["tables"] == run.manifest["tables"]


def test_reserves_that_another_run_changed_after_this_one_broke_off_are_decided_again(run, runs_dir, tmp_path):
    """As after a run that broke between its reserves and their proof, while another booked further sales."""
    copy = shutil.copytree(runs_dir, tmp_path / "runs") / run.run_id
    broken = json.loads((copy / "manifest.json").read_text())
    for stage in list(STAGES)[2:]:
        del broken["stages"][stage]
    reserves = broken["stages"]["02_reserves_credit"]
    reserves["steps"] = {"keep_reserves": reserves["steps"]["keep_reserves"]}
    del reserves["verdict"]
    (copy / "manifest.json").write_text(json.dumps(broken))
    later = tmp_path / "later"
    later.mkdir()
    for name in ("transactions.csv", "reference.xlsx", "fx_rates.csv", "settings.yaml"):
        shutil.copy(ROOT / "example_data" / name, later)
    sales = pd.read_csv(later / "transactions.csv", dtype="str")
    more = sales[(sales["type"] == "SALE") & (sales["status"] == "APPROVED")].tail(40)
    again = more.assign(transaction_id="X" + more["transaction_id"], idempotency_key="X" + more["transaction_id"])
    again.to_csv(later / "transactions.csv", index=False)
    other = create_run(later, {s: Run(run.directory, s).settings for s in STAGES}, copy.parent)
    assert other.directory != copy
    for stage in list(STAGES)[:2]:  # up to the reserves; what it would settle is of no matter here
        given = other.manifest["settings"][stage] | {"run_dir": str(other.directory)}
        given |= {"input_path": str(later)} if stage == "01_ingest" else {}
        papermill.execute_notebook(
            ROOT / "notebooks" / f"{stage}.ipynb", tmp_path / f"{stage}.ipynb", given, cwd=ROOT, progress_bar=False
        )
    with open_ledger(other.ledger_url, writer="test") as ledger:
        assert ledger.events()["transaction_id"].str.startswith("X").any()
    assert run_dir_of(atlas("run", "--quiet", "--runs-dir", tmp_path / "runs")) == copy


def test_another_setting_pays_nothing_twice(run, runs_dir, tmp_path):
    """But what was short of cash before the sales of the day came in: that may be paid by a second run of the day."""
    settings = tmp_path / "settings.yaml"
    own = (ROOT / "example_data" / "settings.yaml").read_text(encoding="utf-8")
    settings.write_text(f"{own}reserve_percent: 12.5\n")  # all else as it was: another limit would clear its alert
    deferrals = run.read("deferrals")
    short = set(deferrals.loc[deferrals["reason"] == "LIQUIDITY_SHORTFALL", "transaction_id"])
    before, paid_before = event_counts(run), set(paid_in(run)["transaction_id"])
    other = Run(run_dir_of(atlas("run", "--quiet", "--runs-dir", runs_dir, "--settings", settings)))
    assert other.run_id != run.run_id
    paid = paid_in(run)
    assert len(paid) > 1_000
    assert not paid["transaction_id"].duplicated().any()
    assert set(paid["transaction_id"]) - paid_before <= short
    # It was opened too, and its verdict on payouts is another one and is kept: what settled in between is set off.
    settling = {kind: 0 for kind in before if kind.startswith(("BATCH_", "CONSENSUS_", "SETTLEMENT_"))}
    own_events = {"PAYOUT_JUDGED": 0, "RUN_OPENED": 0} | settling
    assert event_counts(run) | own_events == before | own_events
    assert (other.read("settlement_items")["standing"] == "settled before").sum() > 1_000
    status = ["transaction_id", "settlement_status", "batch_id"]
    was, now = (made.read("final_index")[status].set_index("transaction_id").drop(list(short)) for made in (run, other))
    assert now.equals(was)


def test_a_setting_tried_in_a_notebook_books_nothing_and_nobody_decides_there(run, runs_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("ATLAS_RUNS_DIR", str(runs_dir))
    monkeypatch.chdir(ROOT / "notebooks")
    (runs_dir / "latest").write_text(run.run_id)
    with open_ledger(run.ledger_url, writer="test") as store:
        before = store.head()
        tried = {"reserve_base": "gross"}
        papermill.execute_notebook("02_reserves_credit.ipynb", tmp_path / "02.ipynb", tried, progress_bar=False)
        assert store.head() == before
    trial = Run(runs_dir / (runs_dir / "latest_trial").read_text())
    with open_run_ledger(trial, "test") as copy:
        assert copy.head().entries > before.entries
        assert copy.verify([before]).empty
    held = trial.read("reserve_coverage"), run.read("reserve_coverage")
    assert held[0]["balance_minor"].sum() > held[1]["balance_minor"].sum()
    desk = open_desk(
        Run(trial.directory, "02_reserves_credit"), {"ATLAS_ACTOR": "olga", "ATLAS_ROLE": "settlement_ops"}
    )
    with pytest.raises(Refused, match="Nothing is decided in a trial"):
        desk.prepare(desk.payouts()["payout_id"])
    assert latest_run_of(runs_dir) == run.directory
    create_run(ROOT / "example_data", {s: Run(run.directory, s).settings for s in STAGES}, runs_dir)  # and that ends it
    assert not (runs_dir / "latest_trial").exists()


def test_the_store_and_the_tables_verify(run):
    done = atlas("verify", run.directory)
    assert done.returncode == 0, done.stderr
    with open_ledger(run.ledger_url, writer="test") as ledger:
        trial = ledger.trial_balance()
    assert (
        trial.groupby("currency")[["debit_minor", "credit_minor"]]
        .sum()
        .pipe(lambda s: s["debit_minor"] - s["credit_minor"])
        == 0
    ).all()


@pytest.mark.skipif(
    importlib.util.find_spec("pyspark") is None or shutil.which("java") is None,
    reason="needs pyspark and a Java 17 runtime (Debian: openjdk-17-jre-headless)",
)
def test_spark_gives_every_table_of_the_run_with_the_same_bytes(run, tmp_path):
    on_spark = Run(run_dir_of(atlas("run", "--quiet", "--engine", "spark", "--runs-dir", tmp_path)))
    hashes = [{n: t["sha256"] for n, t in r.manifest["tables"].items()} for r in (run, on_spark)]
    assert hashes[0] == hashes[1]


def test_a_workbook_with_contracts_only_still_completes(contracts_only, tmp_path):
    made = Run(
        run_dir_of(atlas("run", "--quiet", "--input", contracts_only, "--as-of", "2026-10-30", "--runs-dir", tmp_path))
    )
    status = {s: r["status"] for s, r in made.manifest["stages"].items()}
    assert status["04_batching_settlement"] == status["05_reconciliation"] == "skipped"
    assert all(r["verdict"] for r in made.manifest["stages"].values())
    assert len(made.read("payout_summary")) > 0


def test_pages_are_small_without_code_and_without_addresses(run):
    pages = sorted((run.directory / "html").glob("*.html"))
    assert [p.stem for p in pages] == [*STAGES, "index"]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert page.stat().st_size < 2_000_000
        assert text.count('id="plotly-gzip"') <= 1
        assert "import " not in re.sub(r"<script.*?</script>", "", text, flags=re.S)
        assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=\"https?:", text)


def test_every_download_on_the_index_is_there(run):
    page = (run.directory / "html" / "index.html").read_text(encoding="utf-8")
    links = re.findall(r'href="(\.\./[^"]+)"', page)
    assert len(links) > 10
    assert [link for link in links if not (run.directory / "html" / link).resolve().is_file()] == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--input", "nowhere.xlsx"], 2, "does not exist"),
        (["--settings", "nowhere.yaml"], 3, "does not exist"),
        (["--engine", "ibis"], 3, "engine"),
        (["--as-of", "tomorrow"], 3, "as_of"),
        (["--runs-dir", str(ROOT / "Makefile")], 1, "Where: "),
    ],
)
def test_a_wrong_call_has_its_exit_code_and_one_clear_line(arguments, code, message, tmp_path):
    done = atlas("run", "--quiet", "--runs-dir", tmp_path, *arguments)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unreadable_input_stops_with_exit_code_two_a_page_that_says_so_and_a_command_told_of_it(tmp_path):
    (tmp_path / "broken.xlsx").write_bytes(b"PK\x03\x04 cut off")
    told = tmp_path / "told.txt"
    hook = f"{sys.executable} -c \"import sys; open(sys.argv[1], 'w').write(sys.stdin.read())\" {told}"
    asked = ["--input", tmp_path / "broken.xlsx", "--as-of", "2026-10-30", "--runs-dir", tmp_path / "runs"]
    done = atlas("run", "--quiet", *asked, "--on-failure", hook)
    assert done.returncode == 2
    assert "broken.xlsx" in done.stderr
    (index,) = (tmp_path / "runs").glob("*/html/index.html")
    assert "broken.xlsx" in index.read_text(encoding="utf-8")
    assert told.read_text(encoding="utf-8").startswith("Subject: Settlement run of 2026-10-30: FAILED")
    assert "broken.xlsx" in told.read_text(encoding="utf-8")


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: chromium)")
def test_pages_open_from_a_file_draw_their_charts_and_ask_nothing_of_the_network(run):
    from playwright.sync_api import sync_playwright

    requests, complaints, charts, wide = [], [], {}, []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1200, "height": 1000})
        page.on("request", lambda r: requests.append(r.url))
        page.on("console", lambda m: complaints.append(m.text) if m.type in {"error", "warning"} else None)
        page.on("pageerror", lambda e: complaints.append(str(e)))
        for stage in STAGES:
            page.goto((run.directory / "html" / f"{stage}.html").as_uri())
            page.wait_for_selector("html[data-charts=drawn]", timeout=60_000)
            charts[stage] = page.locator(".chart .main-svg").count()
            wide += page.evaluate(PUSHED_SIDEWAYS)
        browser.close()
    assert wide == []
    assert [u for u in requests if not u.startswith(("file:", "data:", "blob:"))] == []
    assert complaints == []
    assert all(charts.values())


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: chromium)")
def test_a_page_is_printed_with_its_charts_and_several_sheets(run, tmp_path):
    (tmp_path / "html").mkdir()
    shutil.copy(run.directory / "html" / "05_reconciliation.html", tmp_path / "html")
    (printed,) = print_pages(tmp_path / "html", tmp_path / "pdf")
    content = printed.read_bytes()
    assert content.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) > 3


def test_links_between_pages_and_figures_lead_somewhere(run):
    pages = {p.name: p.read_text(encoding="utf-8") for p in (run.directory / "html").glob("*.html")}
    anchors = {name: set(re.findall(r'\bid="([^"]+)"', text)) for name, text in pages.items()}
    links = [
        (name, target or name, anchor)
        for name, text in pages.items()
        for target, anchor in re.findall(r'href="([\w]*\.html|)#([^"]+)"', text)
    ]
    assert len([link for link in links if "figure-" in link[2]]) > 20
    assert [link for link in links if unescape(link[2]) not in {unescape(a) for a in anchors[link[1]]}] == []


def test_a_page_ends_with_the_facts_of_its_run(run):
    for stage in STAGES:
        text = (run.directory / "html" / f"{stage}.html").read_text(encoding="utf-8")
        assert all(item["sha256"] in text for item in run.manifest["inputs"])
        assert all(f"<code>{name}</code>" in text for name in run.manifest["settings"][stage])
        assert all(f"{name} {number}" in text for name, number in run.manifest["versions"].items())


def test_a_run_leaves_its_summary_for_a_scheduler(run):
    facts = json.loads((run.directory / "summary.json").read_text(encoding="utf-8"))
    assert facts["status"] == "attention"
    assert [s["verdict"] for s in facts["stages"]] == [r["verdict"] for r in run.manifest["stages"].values()]
    assert (
        (run.directory / "summary.txt")
        .read_text(encoding="utf-8")
        .startswith("Subject: Settlement run of 2026-10-30: needs attention")
    )


def test_tables_are_what_the_manifest_counts(run):
    for name, item in run.manifest["tables"].items():
        assert len(pd.read_parquet(run.path(name))) == item["rows"]


def test_a_newcomer_prepares_approves_and_requests_a_payout_of_the_example(run, runs_dir):
    def desk(person: str, role: str, *arguments: str) -> str:
        acting = {"ATLAS_RUNS_DIR": str(runs_dir), "ATLAS_ACTOR": person, "ATLAS_ROLE": role}
        done = atlas("payouts", *arguments, "--run-dir", run.directory, **acting)
        assert done.returncode == 0, done.stderr
        return done.stdout

    # Other tests have made newer runs in this folder; some payouts are set off there and may not be paid any more.
    listed = desk("olga", "settlement_ops", "list").splitlines()
    open_ids = [line.split()[0] for line in listed if " Ready " in line]
    payouts = run.read("payouts")
    ready = payouts[payouts["payout_id"].isin(open_ids) & (payouts["currency"] == "EUR")].iloc[0]
    payment_id, sha256, *amount = desk("olga", "settlement_ops", "prepare", ready["payout_id"]).split()
    assert amount == [f"{ready['amount_minor'] / 100:,.2f}", "EUR"]
    assert "approved" in desk("carl", "credit_manager", "approve", payment_id, sha256)
    outbox = Path(desk("olga", "settlement_ops", "request", payment_id).strip())
    text = outbox.read_text(encoding="utf-8")
    assert f"{ready['amount_minor'] / 100:.2f}" in text
    assert Run(run.directory, "02_reserves_credit").settings.debtor_iban in text
