"""The journal for accounting systems, read back by the programs it is for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from atlas_lib.core import money
from atlas_lib.ledger.export import beancount_account, write_beancount, write_csv
from atlas_lib.ledger.store import Ledger

Make = Callable[..., pd.DataFrame]


@pytest.fixture
def booked(ledger: Ledger, event: Make, transfer: Make) -> Ledger:
    """Three currencies, a reversal, a pending transfer that must not appear, and names that need quoting."""
    days = pd.to_datetime(pd.Series(["2026-10-29", "2026-10-30", "2026-10-31"]), utc=True)
    events = event('T "1"', "T-2", "T\\3").assign(timestamp=days)
    moves = transfer(3).assign(
        amount_minor=[12_345, 500, 1_001], currency=["EUR", "JPY", "BHD"],
        debit_account=["assets:bank:EUR", "assets:bank:JPY", "suspense"],
        credit_account=["liabilities:client_rr:310110", "liabilities:settlement_payable:Bäcker & Söhne", "equity:fx"],
    )  # fmt: skip
    ledger.append("a", events, moves)
    first = ledger.transfers().head(1)
    back = first.assign(
        event=0, kind="reversal", pending_no=1, debit_account=first["credit_account"], credit_account=first["debit_account"]
    )  # fmt: skip
    ledger.append("b", event('T "1"', event_type="SETTLEMENT_REVERSED"), back)
    ledger.append("c", event("T-9"), transfer(1, kind="pending"))
    return ledger


def test_beancount_reads_the_file_and_finds_our_trial_balance(booked: Ledger, tmp_path: Path) -> None:
    loader = pytest.importorskip("beancount.loader")
    path = tmp_path / "books.beancount"
    assert write_beancount(booked, path) == 4
    entries, errors, _ = loader.load_file(str(path))
    assert errors == []
    sums: dict[tuple[str, str], Decimal] = {}
    for posting in (p for e in entries if type(e).__name__ == "Transaction" for p in e.postings):
        key = (posting.account, posting.units.currency)
        sums[key] = sums.get(key, Decimal(0)) + posting.units.number
    ours = {
        (beancount_account(r.account), r.currency): Decimal(int(r.balance_minor)) / 10 ** money.exponent(r.currency)
        for r in booked.trial_balance().itertuples()
    }
    assert sums == ours
    for currency in ("EUR", "JPY", "BHD"):
        assert sum(v for (_, c), v in sums.items() if c == currency) == 0


def test_bean_check_passes_and_fails_when_an_amount_is_changed(booked: Ledger, tmp_path: Path) -> None:
    pytest.importorskip("beancount")
    path = tmp_path / "books.beancount"
    write_beancount(booked, path)
    check = [sys.executable, "-m", "beancount.scripts.check", "--no-cache", str(path)]
    assert subprocess.run(check, check=False, capture_output=True, text=True).stderr == ""
    path.write_text(path.read_text().replace("500 JPY", "501 JPY", 1).replace("-500 JPY", "-501 JPY", 1))
    assert subprocess.run(check, check=False, capture_output=True).returncode != 0


def test_the_csv_journal_balances_and_equals_the_trial_balance(booked: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "journal.csv"
    assert write_csv(booked, path) == 8
    rows = pd.read_csv(path, dtype="str", keep_default_na=False)
    assert rows["transaction_id"].tolist()[:2] == ['T "1"'] * 2
    assert rows.loc[rows["currency"] == "BHD", ["debit", "credit"]].to_numpy().tolist() == [
        ["1.001", ""],
        ["", "1.001"],
    ]
    minor = {
        side: money.to_minor(rows[side].replace("", "0").astype("float64"), rows["currency"]) for side in ("debit", "credit")
    }  # fmt: skip
    found = rows.assign(**minor).groupby(["account", "currency"], as_index=False)[["debit", "credit"]].sum()
    ours = booked.trial_balance()[["account", "currency", "debit_minor", "credit_minor"]]
    assert found.to_numpy().tolist() == ours.to_numpy().tolist()


def test_an_empty_ledger_gives_files_that_can_be_read(ledger: Ledger, tmp_path: Path) -> None:
    assert write_csv(ledger, tmp_path / "a.csv") == 0
    assert write_beancount(ledger, tmp_path / "a.beancount") == 0


def test_two_names_that_beancount_cannot_spell_stay_two_accounts() -> None:
    names = ["liabilities:client_rr:a b", "liabilities:client_rr:a-b", "liabilities:client_rr:310110", "suspense", "equity:fx"]  # fmt: skip
    found = [beancount_account(n) for n in names]
    assert len(set(found)) == len(names)
    assert found[2:] == ["Liabilities:Client-Rr:310110", "Equity:Suspense", "Equity:Fx"]
