"""Lineage of an id through tables and ledger, and the archive for an external auditor."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import openpyxl
import pandas as pd
import pytest

from atlas_lib.core.errors import InputError, SettingsError
from atlas_lib.core.run import Run
from atlas_lib.ledger.store import Ledger, open_ledger
from atlas_lib.operations.audit_pack import Wanted, write_audit_pack
from atlas_lib.operations.lineage import trace
from tests.operations.operations_run import NEWEST, filled, make_run

FACTS = {"amount_minor": 1, "currency": "EUR", "timestamp": NEWEST}
EVENTS = [
    {"transaction_id": "T1", "batch_id": "", "event_type": "TRANSACTION_SUBMITTED"},
    {"transaction_id": "", "batch_id": "B1", "event_type": "CONSENSUS_ACHIEVED"},
    {"transaction_id": "T1", "batch_id": "B1", "event_type": "SETTLEMENT_CONFIRMED"},
    {"transaction_id": "T3", "batch_id": "B1", "event_type": "SETTLEMENT_CONFIRMED"},
]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = make_run(tmp_path / "runs", "2026-10-30")
    row = {
        "transaction_id": "T1",
        "user_id": "U-secret",
        "batch_id": "B1",
        "source_file": "t.csv",
        "source_row": 7,
        "currency": "EUR",
    }
    made.write("final_index", filled("final_index", [row]))
    made.save()
    (made.directory / "html").mkdir()
    (made.directory / "html" / "05_reconciliation.html").write_text("<p>page</p>")
    (made.directory / "exports").mkdir()
    (made.directory / "exports" / "rejects.xlsx").write_bytes(b"rows as they came")
    return made


@pytest.fixture
def ledger(run: Run) -> Iterator[Ledger]:
    with open_ledger(run.ledger_url, "test") as opened:
        opened.append("a", pd.DataFrame([e | FACTS for e in EVENTS]))
        yield opened


def test_a_transaction_leads_to_its_source_cell_its_tables_its_page_and_its_entries(run: Run, ledger: Ledger):
    found = trace(run, ledger, "T1")
    steps = found.steps.set_index("table")
    assert steps.index.tolist() == ["transactions", "settlement_results", "final_index"]  # in the order of the stages
    assert steps.loc["final_index", ["source", "page"]].tolist() == ["t.csv, row 7", "html/05_reconciliation.html"]
    assert found.events["event_type"].tolist() == [
        "TRANSACTION_SUBMITTED",
        "CONSENSUS_ACHIEVED",
        "SETTLEMENT_CONFIRMED",
    ]


def test_a_batch_leads_to_everything_it_settled(run: Run, ledger: Ledger):
    found = trace(run, ledger, "B1")
    assert found.steps.set_index("table")["row_count"].to_dict() == {
        "settlement_results": 2,
        "breaks": 1,
        "final_index": 1,
    }
    assert len(found.events) == 3


def test_a_customer_s_id_is_no_way_in_and_an_unknown_one_is_said(run: Run, ledger: Ledger):
    for name in ("U-secret", "T99"):
        with pytest.raises(InputError, match=name):
            trace(run, ledger, name)


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {n: archive.read(n) for n in archive.namelist()}


def test_the_pack_holds_pages_lineage_entries_and_the_hash_of_each_and_is_the_same_twice(
    run: Run, ledger: Ledger, tmp_path: Path
):
    first, second = (write_audit_pack(run, ledger, tmp_path / f"{n}.zip", Wanted(["T1"], "key", True)) for n in "ab")
    assert first.read_bytes() == second.read_bytes()
    files = contents(first)
    sums = dict(reversed(line.split("  ")) for line in files.pop("SHA256SUMS").decode().splitlines())
    assert sums == {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    assert {
        "00_read_me.html",
        "manifest.json",
        "reports/05_reconciliation.html",
        "T1.xlsx",
        "ledger_entries.csv",
        "tables/breaks.parquet",
    } <= set(files)
    assert "exports/rejects.xlsx" not in files
    assert "The ledger is as it was written" in files["00_read_me.html"].decode()
    assert len(files["ledger_entries.csv"].decode().splitlines()) == 1 + 3


def test_customers_are_masked_in_the_pack(run: Run, ledger: Ledger, tmp_path: Path):
    files = contents(write_audit_pack(run, ledger, tmp_path / "p.zip", Wanted(["T1"], "key")))
    book = openpyxl.load_workbook(io.BytesIO(files["T1.xlsx"]))
    cells = {str(cell) for page in book for row in page.iter_rows(values_only=True) for cell in row}
    assert "U-secret" not in cells
    assert any(cell.startswith("user-") for cell in cells)


def test_what_was_changed_is_said_in_the_pack(run: Run, ledger: Ledger, tmp_path: Path):
    path = run.path("breaks")
    path.write_bytes(path.read_bytes() + b" ")
    text = contents(write_audit_pack(run, ledger, tmp_path / "p.zip", Wanted([], "key")))["00_read_me.html"].decode()
    assert "Table breaks is not as it was written" in text
    assert "is as it was written:" not in text


@pytest.mark.parametrize(("wanted", "error"), [(Wanted([], ""), SettingsError), (Wanted(["T99"], "key"), InputError)])
def test_without_a_key_or_with_an_unknown_id_nothing_is_written(
    run: Run, ledger: Ledger, tmp_path: Path, wanted: Wanted, error: type[Exception]
):
    with pytest.raises(error):
        write_audit_pack(run, ledger, tmp_path / "p.zip", wanted)
    assert not list(tmp_path.glob("*.zip*"))
    assert not list(tmp_path.glob(".*.partial"))
