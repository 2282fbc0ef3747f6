"""`atlas verify`: tables, signatures and the ledger against the heads that the manifests keep."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from atlas_lib.core.errors import AtlasError, LedgerError, SettingsError, TableError
from atlas_lib.core.given_settings import run_settings
from atlas_lib.core.opening import create_run
from atlas_lib.core.run import Run
from atlas_lib.core.signature import new_key_pair, signature_fault, signed
from atlas_lib.ledger.store import open_ledger
from atlas_lib.pipeline import anchor_ledger
from atlas_lib.verification import verify_run

LIQUIDITY = {
    "currency": ["USD", "EUR"], "opening_balance_minor": [5, 100], "minimum_balance_minor": [1, 2],
    "source_file": "a.xlsx", "source_sheet": "liquidity", "source_row": [3, 2],
}  # fmt: skip


def append(runs: Path, name: str) -> None:
    event = {
        "transaction_id": [f"T-{name}"],
        "event_type": "SETTLEMENT_INITIATED",
        "amount_minor": 1,
        "currency": "EUR",
    }
    with open_ledger(f"sqlite:///{runs / 'ledger.sqlite'}", "tester") as ledger:
        ledger.append(name, pd.DataFrame(event).assign(timestamp=pd.Timestamp("2026-10-30", tz="UTC")))


def make_run(folder: Path, as_of: str) -> Run:
    """A run with one table and one entry in the ledger, anchored."""
    made = create_run(folder / "input", run_settings({"as_of": as_of}), folder / "runs")
    run = Run(made.directory, "01_ingest")
    run.step(read_liquidity)
    append(folder / "runs", as_of)
    anchor_ledger(run)
    return run


def read_liquidity() -> dict[str, pd.DataFrame]:
    return {"liquidity": pd.DataFrame(LIQUIDITY)}


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    private, public = new_key_pair()
    monkeypatch.setenv("ATLAS_SIGNING_KEY", private)
    return private, public


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("ATLAS_LEDGER_URL", raising=False)
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "a.csv").write_text("currency\nEUR\n")
    return tmp_path


def test_two_signed_runs_are_as_they_were_written(folder: Path, keys: tuple[str, str]) -> None:
    first, _ = make_run(folder, "2026-10-29"), make_run(folder, "2026-10-30")
    lines = " ".join(verify_run(first.directory, keys[1]))
    assert "2 of 2 manifests are signed" in lines
    assert "2 entries, 2 head(s)" in lines
    assert "not checked" in " ".join(verify_run(first.directory))


def test_a_run_without_a_key_is_unsigned_and_said_so(folder: Path) -> None:
    run = make_run(folder, "2026-10-30")
    assert "0 of 1 are signed" in " ".join(verify_run(run.directory))
    with pytest.raises(AtlasError, match="unsigned"):
        verify_run(run.directory, new_key_pair()[1])


def test_an_older_unsigned_run_is_named_and_its_head_is_not_trusted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = make_run(folder, "2026-10-29")
    private, public = new_key_pair()
    monkeypatch.setenv("ATLAS_SIGNING_KEY", private)
    lines = " ".join(verify_run(make_run(folder, "2026-10-30").directory, public))
    assert old.run_id in lines
    assert "2 entries, 1 head(s)" in lines


@pytest.mark.parametrize("change", ["head", "table", "other key"])
def test_a_manifest_changed_after_it_was_signed_is_found(folder: Path, keys: tuple[str, str], change: str) -> None:
    run = make_run(folder, "2026-10-30")
    path = run.directory / "manifest.json"
    manifest = json.loads(path.read_text())
    if change == "head":
        manifest["ledger"]["entries"] = 0
    if change == "table":
        manifest["tables"]["liquidity"]["rows"] = 3
    path.write_text(json.dumps(manifest))
    with pytest.raises(AtlasError, match="not signed by the given key"):
        verify_run(run.directory, new_key_pair()[1] if change == "other key" else keys[1])


def test_a_changed_byte_anywhere_in_a_table_is_found(folder: Path) -> None:
    run = make_run(folder, "2026-10-30")
    path = run.path("liquidity")
    whole = path.read_bytes()
    for at in range(0, len(whole), len(whole) // 40):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(TableError, match="liquidity"):
            verify_run(run.directory)
    path.write_bytes(whole)
    verify_run(run.directory)


def test_a_ledger_whose_tail_was_cut_is_found_by_a_later_run(folder: Path) -> None:
    runs = folder / "runs"
    first = make_run(folder, "2026-10-29")
    with open_ledger(f"sqlite:///{runs / 'ledger.sqlite'}", "tester") as ledger:
        ledger._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = shutil.copy(runs / "ledger.sqlite", folder / "before.sqlite")
    make_run(folder, "2026-10-30")
    for file in runs.glob("ledger.sqlite*"):
        file.unlink()
    shutil.copy(before, runs / "ledger.sqlite")
    with pytest.raises(LedgerError, match="tail cut"):
        verify_run(first.directory)


def test_a_ledger_written_anew_is_found(folder: Path) -> None:
    run = make_run(folder, "2026-10-30")
    for file in (folder / "runs").glob("ledger.sqlite*"):
        file.unlink()
    append(folder / "runs", "2026-10-30")
    with pytest.raises(LedgerError, match="another ledger"):
        verify_run(run.directory)


def test_signing_again_gives_the_same_bytes_and_a_change_without_the_key_drops_the_signature(
    keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = signed({"run_id": "r", "tables": {}})
    assert signed(manifest) == manifest
    assert signature_fault(manifest, keys[1]) == ""
    monkeypatch.delenv("ATLAS_SIGNING_KEY")
    assert signed(manifest) == manifest
    assert signature_fault(signed(manifest | {"run_id": "s"}), keys[1]) == "unsigned"
    monkeypatch.setenv("ATLAS_SIGNING_KEY", "short")
    with pytest.raises(SettingsError, match="Ed25519"):
        signed(manifest)
