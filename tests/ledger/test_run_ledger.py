"""A trial books into a copy of the ledger, whatever store the ledger is; the store itself stays as it is."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from atlas_lib.core.errors import LedgerError
from atlas_lib.core.given_settings import run_settings
from atlas_lib.core.opening import create_run, open_stage
from atlas_lib.core.settings import PortfolioSettings, ReservesCreditSettings
from atlas_lib.ledger.run_ledger import open_run_ledger


@pytest.fixture(autouse=True)
def opened_run(tmp_path, monkeypatch, ledger_url):
    monkeypatch.setenv("ATLAS_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("ATLAS_LEDGER_URL", ledger_url)
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "a.csv").write_text("currency\nEUR\n")
    return create_run(tmp_path / "input", run_settings({"as_of": "2026-10-30"}), tmp_path / "runs")


@pytest.fixture
def book(ledger, submission, event, transfer):
    """A life in the store: submitted, pending and posted, with a commitment."""
    ledger.intake("a", submission("t-1", "t-2", idempotency_key="k"))
    moved = transfer(1)
    ledger.append("b", event("t-1", batch_id="b-1"), moved.assign(kind="pending"))
    pending = int(ledger.transfers(open_only=True)["transfer_no"].item())
    ledger.append(
        "c",
        event("t-1", event_type="SETTLEMENT_CONFIRMED", batch_id="b-1"),
        moved.assign(kind="post", pending_no=pending),
    )
    ledger.commit_once("b-1", "root")
    return ledger


def test_a_trial_has_everything_that_the_store_holds(book):
    trial = open_stage("02_reserves_credit", ReservesCreditSettings(reserve_percent=20.0))
    with open_run_ledger(trial, "trial") as copy:
        assert copy.verify([book.head()]).empty
        assert copy.head() == book.head()
        for held in (lambda x: x.events(), lambda x: x.transfers(), lambda x: x.balances()):
            pd.testing.assert_frame_equal(held(copy), held(book))
        for about, name in (("batch", "b-1"), ("transaction", "t-1")):
            pd.testing.assert_frame_equal(copy.trail(about, name), book.trail(about, name))
        assert copy.committed(["b-1"]) == {"b-1": "root"}


def test_what_a_trial_books_is_in_no_other_ledger(book, submission, event, transfer):
    trial = open_stage("02_reserves_credit", ReservesCreditSettings(reserve_percent=20.0))
    head, booked = book.head(), book.balances()
    with open_run_ledger(trial, "trial") as copy:
        assert not copy.intake("again", submission("t-1", idempotency_key="k", fingerprint="other"))["is_new"].any()
        copy.append("mine", event("t-2"), transfer(1))
    assert book.head() == head
    pd.testing.assert_frame_equal(book.balances(), booked)
    with open_run_ledger(trial, "trial") as again:  # it is copied once
        assert again.receipt("mine") is not None
        assert again.verify([head]).empty


def test_two_notebooks_of_one_trial_have_one_copy_though_the_store_grows(book, event, transfer):
    trial = open_stage("02_reserves_credit", ReservesCreditSettings(reserve_percent=20.0))
    with open_run_ledger(trial, "one") as one:
        book.append("later", event("t-2"), transfer(1))
        with open_run_ledger(trial, "two") as two:
            one.append("mine", event("t-2"), transfer(1))
            assert two.receipt("mine") is not None
            assert two.receipt("later") is None
    start = threading.Barrier(4)
    again = open_stage("02_reserves_credit", ReservesCreditSettings(reserve_percent=30.0))

    def open_at_once(n: int) -> bool:
        start.wait()
        with open_run_ledger(again, "many") as copy:
            copy.append(f"writer {n}", event(f"w-{n}"))
            return bool(copy.verify().empty)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(open_at_once, range(4)))
    with open_run_ledger(again, "reader") as copy:
        assert all(copy.receipt(f"writer {n}") for n in range(4))


def test_a_trial_whose_trial_is_gone_says_so():
    first = open_stage("02_reserves_credit", ReservesCreditSettings(reserve_percent=20.0))
    nested = open_stage("03_portfolio", PortfolioSettings(annual_rate=0.05))
    shutil.rmtree(first.directory)
    with pytest.raises(LedgerError, match=r"made from is gone.*open the earlier notebook"):
        open_run_ledger(nested, "trial")


def test_a_trial_of_a_trial_goes_on_with_what_that_one_booked(book, event, transfer):
    first = open_stage("02_reserves_credit", ReservesCreditSettings(reserve_percent=20.0))
    with open_run_ledger(first, "trial") as copy:
        copy.append("first", event("t-2"), transfer(1))
    nested = open_stage("03_portfolio", PortfolioSettings(annual_rate=0.05))
    with open_run_ledger(nested, "trial") as copy:
        assert copy.receipt("first") is not None
    assert book.receipt("first") is None
