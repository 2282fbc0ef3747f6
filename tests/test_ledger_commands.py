"""`atlas ledger` and `atlas audit` on a small ledger."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from atlas_lib.cli import app
from atlas_lib.core.errors import InputError, LedgerError
from atlas_lib.core.signature import signature_fault, signed
from atlas_lib.ledger.store import open_ledger


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("ATLAS_LEDGER_URL", raising=False)
    event = {"transaction_id": ["T-1"], "event_type": "SETTLEMENT_CONFIRMED", "amount_minor": 1_234, "currency": "EUR"}
    move = {"event": [0], "debit_account": "assets:bank:EUR", "credit_account": "liabilities:client_rr:M-1"}
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", "tester") as ledger:
        ledger.append(
            "a", pd.DataFrame(event).assign(timestamp=pd.Timestamp("2026-10-30 09:00", tz="UTC")),
            pd.DataFrame(move).assign(amount_minor=1_234, currency="EUR"),
        )  # fmt: skip
    return tmp_path


def atlas(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_balances_stand_on_their_normal_side_at_the_time_asked_for(runs: Path) -> None:
    now = atlas("ledger", "balance", "--runs-dir", runs).output
    assert "Client_RR" in now
    assert now.count("1234") == 6
    assert "Nothing" in atlas("ledger", "balance", "--as-of", "2026-10-29", "--runs-dir", runs).output
    assert "Nothing" in atlas("ledger", "balance", "--as-of", "2026-10-30T09:00+01:00", "--runs-dir", runs).output
    assert isinstance(atlas("ledger", "balance", "--as-of", "yesterday", "--runs-dir", runs).exception, InputError)


def test_the_journal_is_written_in_the_form_that_its_name_ends_with(runs: Path) -> None:
    for name in ("books.csv", "books.beancount"):
        assert atlas("ledger", "export", runs / name, "--runs-dir", runs).exit_code == 0
        assert "12.34" in (runs / name).read_text()
    assert isinstance(atlas("ledger", "export", runs / "books.pdf", "--runs-dir", runs).exception, InputError)


def test_a_trail_is_shown_and_an_unknown_one_said_to_be_so(runs: Path) -> None:
    for about, name in (("transaction", "T-1"), ("merchant", "M-1"), ("actor", "tester")):
        assert "SETTLEMENT_CONFIRMED" in atlas("audit", about, name, "--runs-dir", runs).output
    assert "knows no batch B-9" in atlas("audit", "batch", "B-9", "--runs-dir", runs).output
    assert isinstance(atlas("audit", "batch", "B-9", "--runs-dir", runs / "nowhere").exception, InputError)
    assert not (runs / "nowhere").exists()
    (runs / "empty").mkdir()
    for command in (("audit", "batch", "B-9"), ("ledger", "balance"), ("ledger", "export", runs / "out.csv")):
        assert "no ledger yet" in str(atlas(*command, "--runs-dir", runs / "empty").exception)
    assert not any((runs / "empty").iterdir())
    assert isinstance(atlas("audit", "planet", "Mars", "--runs-dir", runs).exception, InputError)


def test_a_ledger_is_made_and_a_file_has_no_roles(runs: Path) -> None:
    assert "1 entries" in atlas("ledger", "init", "--runs-dir", runs).output
    assert isinstance(atlas("ledger", "init", "--roles", "--runs-dir", runs).exception, LedgerError)


def test_a_new_key_pair_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = dict(line.split("=", 1) for line in atlas("ledger", "new-key").output.split())
    monkeypatch.setenv("ATLAS_SIGNING_KEY", keys["ATLAS_SIGNING_KEY"])
    assert signature_fault(signed({"run_id": "r"}), keys["ATLAS_PUBLIC_KEY"]) == ""


def test_a_long_detail_ends_its_own_line_and_widens_no_other(runs: Path) -> None:
    event = {"transaction_id": ["T-1"], "event_type": "SETTLEMENT_FAILED", "amount_minor": 1, "currency": "EUR"}
    with open_ledger(f"sqlite:///{runs / 'ledger.sqlite'}", "tester") as ledger:
        ledger.append(
            "b",
            pd.DataFrame(event).assign(timestamp=pd.Timestamp("2026-10-30", tz="UTC"), details='"' + "x" * 900 + '"'),
        )
    head, *lines = atlas("audit", "transaction", "T-1", "--runs-dir", runs).output.splitlines()
    assert head.endswith("details")
    assert [len(line) > 900 for line in lines] == ["x" * 900 in line for line in lines]
    assert sum("x" * 900 in line for line in lines) == 1
