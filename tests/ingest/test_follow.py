"""Micro-batches: files as they come, each row once, the same scores as all at once."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pandas as pd
import pytest

from atlas_lib.core.engine import open_engine
from atlas_lib.core.errors import AtlasError, InputError
from atlas_lib.core.settings import IngestSettings
from atlas_lib.ingest import accept_submissions, clean_inputs, deliveries, read_inputs, screen_transactions
from atlas_lib.ingest.arrivals import Arrivals
from atlas_lib.ingest.follow import Intake, follow_folder
from atlas_lib.ledger.store import Ledger, open_ledger
from benchmarks.intake_kills import payments, put

SETTINGS = IngestSettings()
ENGINE = open_engine("duckdb")
HOUR_NS = 3_600_000_000_000
OUT = ["accepted_count", "again_count", "duplicate_count", "conflict_count", "rejected_count"]
Make = Callable[..., Intake]


@pytest.fixture
def kept(runs: Path) -> Path:
    return runs / "intake"


@pytest.fixture
def ledger(runs: Path) -> Iterator[Ledger]:
    with open_ledger(f"sqlite:///{runs / 'ledger.sqlite'}", "test") as opened:
        yield opened


@pytest.fixture
def make(kept: Path, ledger: Ledger) -> Make:
    return lambda clock_ns=lambda: 2_000_000_000 * 10**9: Intake(
        kept, ledger, ENGINE, SETTINGS, clock_ns, itertools.count().__next__
    )


def counts(records: list[dict[str, Any]]) -> list[list[int]]:
    return [[r[c] for c in OUT] for r in records]


def take_all(intake: Intake, drop: Path) -> list[dict[str, Any]]:
    return [record for path in sorted(drop.iterdir()) for record in intake.take_file(path)]


def test_every_row_of_a_file_is_counted_once_and_the_accepted_are_in_the_index(make: Make, drop: Path, kept: Path):
    put(drop, "a.csv", payments(0, 20))
    assert counts(make().take_file(drop / "a.csv")) == [[18, 0, 0, 0, 2]]
    index = pd.read_parquet(kept / "followed_index")
    assert index["transaction_id"].tolist() == [f"T{n:06d}" for n in range(20) if n % 10 != 9]
    rejects = pd.read_parquet(kept / "rejects")
    assert rejects.loc[rejects["rule"] == "NOT_A_NUMBER", ["source_file", "source_row"]].to_numpy().tolist() == [["a.csv", 11], ["a.csv", 21]]  # fmt: skip
    assert pd.read_parquet(kept / "deliveries")[["rows_in_count", *OUT]].to_numpy().tolist() == [[20, 18, 0, 0, 0, 2]]


def test_a_file_taken_before_is_not_taken_again(make: Make, drop: Path):
    put(drop, "a.csv", payments(0, 5))
    assert len(make().take_file(drop / "a.csv")) == 1
    assert make().take_file(drop / "a.csv") == []


def test_a_copy_gives_duplicates_a_grown_file_its_new_rows_another_body_conflicts(make: Make, drop: Path, kept: Path):
    put(drop, "a.csv", payments(0, 5))
    put(drop, "b-copy.csv", payments(0, 5))
    put(drop, "c-other.csv", payments(0, 3, cents=99))
    assert counts(take_all(make(), drop)) == [[5, 0, 0, 0, 0], [0, 0, 5, 0, 0], [0, 0, 0, 3, 0]]
    put(drop, "a.csv", payments(0, 8))
    assert counts(make().take_file(drop / "a.csv")) == [[3, 5, 0, 0, 0]]
    assert len(pd.read_parquet(kept / "followed_index")) == 8
    findings = pd.read_parquet(kept / "screening_findings")
    assert (findings["rule"] == "IDEMPOTENCY_CONFLICT").sum() == 3
    results = pd.read_parquet(kept / "intake_results")
    first = results.loc[results["status"] == "duplicate", "first_source"].unique().tolist()
    assert first == ["earlier run, a.csv"]


def test_the_scores_are_those_of_one_large_batch(make: Make, drop: Path, tmp_path: Path, kept: Path, root: Path):
    """The example's payments, cut into files of 18 days each, against all of them at once."""
    everything = pd.read_csv(root / "example_data" / "transactions.csv", dtype="str")
    everything = everything.sort_values("created_at", kind="stable")
    day = everything["created_at"].str[:10]
    whole = tmp_path / "whole"
    whole.mkdir()
    for name in ("reference.xlsx", "fraud_signals.csv"):
        for folder in (drop, whole):
            (folder / name).write_bytes((root / "example_data" / name).read_bytes())
    everything.to_csv(whole / "transactions.csv", index=False)
    days = sorted(day.unique())
    for number, start in enumerate(range(0, len(days), 18)):
        put(drop, f"transactions-{number:03d}.csv", everything[day.isin(days[start : start + 18])])
    take_all(make(), drop)
    clean = clean_inputs(read_inputs(whole), SETTINGS)
    with open_ledger(f"sqlite:///{tmp_path / 'other.sqlite'}", "test") as other:
        intake = accept_submissions(clean["submissions"], ENGINE, other, 24)
    at_once = screen_transactions(SimpleNamespace(**clean), SimpleNamespace(**intake), ENGINE, SETTINGS)
    expected = at_once["streaming_index"].set_index("transaction_id").drop(columns="ingested_at")
    found = pd.read_parquet(kept / "followed_index").set_index("transaction_id").loc[expected.index]
    scored = ["status", "fraud_score", "fraud_reasons", "policy_flags"]
    pd.testing.assert_frame_equal(found[scored], expected[scored])
    assert (expected["fraud_score"] > 0).sum() > 100
    rules = pd.read_parquet(kept / "screening_findings")["rule"]
    assert set(rules) == set(at_once["screening_findings"]["rule"])


def test_a_run_afterwards_agrees_with_what_was_followed(make: Make, drop: Path, kept: Path, ledger: Ledger):
    put(drop, "a.csv", payments(0, 9))
    put(drop, "b.csv", payments(5, 15))
    take_all(make(), drop)
    events = ledger.head().entries
    run = accept_submissions(clean_inputs(read_inputs(drop), SETTINGS)["submissions"], ENGINE, ledger, 24)
    assert sorted(run["transactions"]["transaction_id"]) == sorted(
        pd.read_parquet(kept / "transactions")["transaction_id"]
    )
    assert run["intake_results"]["status"].value_counts().to_dict() == {"duplicate": 4}
    assert ledger.head().entries == events


def test_what_a_run_accepted_first_is_indexed_all_the_same(make: Make, drop: Path, kept: Path, ledger: Ledger):
    put(drop, "a.csv", payments(0, 5))
    accept_submissions(clean_inputs(read_inputs(drop), SETTINGS)["submissions"], ENGINE, ledger, 24)
    assert counts(take_all(make(), drop)) == [[5, 0, 0, 0, 0]]
    put(drop, "a.csv", payments(0, 6))
    accept_submissions(clean_inputs(read_inputs(drop), SETTINGS)["submissions"], ENGINE, ledger, 24)
    assert counts(take_all(make(), drop)) == [[1, 5, 0, 0, 0]]
    assert pd.read_parquet(kept / "followed_index")["transaction_id"].is_unique


def test_a_file_that_no_reader_understands_is_refused_with_its_reason_and_the_next_is_taken(
    make: Make, drop: Path, kept: Path
):
    (drop / "a.xlsx").write_bytes(b"PK\x03\x04 cut off")
    (drop / "b.pdf").write_bytes(b"%PDF")
    put(drop, "c.csv", payments(0, 5))
    records = take_all(make(), drop)
    assert [r["status"] for r in records] == ["refused", "refused", "taken"]
    rejects = pd.read_parquet(kept / "rejects").query("rule == 'UNREADABLE_FILE'").sort_values("source_file")
    assert rejects["source_file"].tolist() == ["a.xlsx", "b.pdf"]
    assert "cut-off" in rejects["message"].iloc[0]
    assert take_all(make(), drop) == []


def failing_once(real: Callable[..., Any], name: str, error: Exception) -> Callable[..., Any]:
    """`real`, but the first call for the file `name` meets what a machine may raise."""
    left = [error]

    def call(path: Path, *rest: Any) -> Any:
        if left and Path(path).name == name:
            raise left.pop()
        return real(path, *rest)

    return call


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), PermissionError(13, "denied"), MemoryError()]
)
@pytest.mark.parametrize("where", ["file_sha256", "read_inputs"])
def test_a_file_that_the_machine_cannot_read_is_said_and_taken_another_time(
    make: Make, drop: Path, kept: Path, monkeypatch: pytest.MonkeyPatch, where: str, error: Exception
):
    put(drop, "a.csv", payments(0, 5))
    put(drop, "b.csv", payments(5, 9))
    real = getattr(deliveries, where)
    monkeypatch.setattr(deliveries, where, failing_once(real, "a.csv", error))
    seen: list[dict[str, Any]] = []
    arrivals, now = Arrivals(drop, 0), lambda: 0.0
    follow_folder(make(), arrivals, seen.append, lambda: None, lambda: False, now, is_endless=False)
    assert [(r["source_file"], r["status"]) for r in seen] == [("a.csv", "unread"), ("b.csv", "taken")]
    assert counts(make().take_file(drop / "a.csv")) == [[5, 0, 0, 0, 0]]
    assert "UNREADABLE_FILE" not in pd.read_parquet(kept / "rejects")["rule"].tolist()


def test_a_disk_that_fails_inside_a_reader_is_no_fault_of_the_file(make: Make, drop: Path, monkeypatch):
    """The reader of Parquet says so in its own error; the disk's is behind it."""
    payments(0, 3).to_parquet(drop / "a.parquet")
    monkeypatch.setattr("pyarrow.parquet.ParquetFile", lambda *_: (_ for _ in ()).throw(OSError(5, "I/O error")))
    assert [r["status"] for r in make().take_file(drop / "a.parquet")] == ["unread"]
    monkeypatch.undo()
    assert [r["status"] for r in make().take_file(drop / "a.parquet")] == ["taken"]


def test_a_file_that_cannot_be_read_is_said_once_and_tried_again_after_a_minute(make: Make, drop: Path, monkeypatch):
    put(drop, "a.csv", payments(0, 5))
    tries, seen, clock = [], [], itertools.count(0, 20)

    def locked(path: Path) -> str:
        tries.append(path.name)
        raise PermissionError(13, "denied")

    monkeypatch.setattr(deliveries, "file_sha256", locked)
    looks = itertools.count()
    follow_folder(
        make(), Arrivals(drop, 0), seen.append, lambda: None, lambda: next(looks) > 20, lambda: float(next(clock)), True
    )
    assert [r["status"] for r in seen] == ["unread"]
    assert 2 <= len(tries) <= 7


@pytest.mark.parametrize("table", ["transactions", "followed_index", "deliveries"])
def test_a_delivery_interrupted_before_any_part_is_finished_from_what_was_put_aside(
    make: Make, drop: Path, kept: Path, ledger: Ledger, table: str
):
    """The part's place is taken by a file, so that the disk refuses it; the source goes before the restart."""
    put(drop, "a.csv", payments(0, 20))
    intake = make()
    (kept / table).write_text("in the way")
    with pytest.raises(AtlasError, match="cannot be written"):
        intake.take_file(drop / "a.csv")
    assert not list(kept.glob("*/.*"))
    (kept / table).unlink()
    (drop / "a.csv").unlink()
    assert counts(make().finish()) == [[18, 0, 0, 0, 2]]
    assert len(pd.read_parquet(kept / "followed_index")) == 18
    assert len(ledger.events(event_types=["TRANSACTION_SUBMITTED"])) == 18
    assert list((kept / "staged").iterdir()) == []


def test_merchants_that_an_earlier_file_lists_are_known(make: Make, drop: Path, kept: Path):
    merchants = pd.DataFrame({"merchant_id": ["M0", "M1"], "merchant_name": ["Zero", "One"], "kyc_status": ["COMPLETE", "PENDING"], "currency": "EUR"})  # fmt: skip
    put(drop, "merchants.csv", merchants)
    put(drop, "policies.csv", pd.DataFrame({"policy_id": ["P1"], "policy_type": ["KYC"], "rule_description": ["-"], "parameters": ["-"], "active": ["yes"]}))  # fmt: skip
    put(drop, "transactions.csv", payments(0, 3))
    records = take_all(make(), drop)
    assert [r["other_count"] for r in records] == [2, 1, 0]
    index = pd.read_parquet(kept / "followed_index").set_index("transaction_id")
    assert index["policy_flags"].tolist() == ["", "KYC_REQUIRED", "KYC_REQUIRED"]
    unknown = pd.read_parquet(kept / "rejects").query("rule == 'UNKNOWN_MERCHANT'")
    assert unknown["value"].tolist() == ["M2"]


def test_a_clock_that_is_set_back_changes_nothing_but_the_time_written_down(make: Make, drop: Path, kept: Path):
    back = iter(range(900_000 * HOUR_NS, 0, -HOUR_NS))
    intake = make(clock_ns=back.__next__)
    for number in range(3):
        put(drop, f"{number}.csv", payments(number * 5, number * 5 + 5))
    assert counts(take_all(intake, drop)) == [[5, 0, 0, 0, 0], [4, 0, 0, 0, 1], [5, 0, 0, 0, 0]]
    deliveries = pd.read_parquet(kept / "deliveries").sort_values("delivery_number")
    assert deliveries["source_file"].tolist() == ["0.csv", "1.csv", "2.csv"]
    assert deliveries["indexed_at"].is_monotonic_decreasing
    assert pd.read_parquet(kept / "followed_index")["transaction_id"].is_unique


def test_one_glob_reads_the_index_with_its_delay(make: Make, drop: Path, kept: Path):
    for number in range(2):
        put(drop, f"{number}.csv", payments(number * 5, number * 5 + 5))
        os.utime(drop / f"{number}.csv", (1_999_999_990, 1_999_999_990))
    take_all(make(), drop)
    sql = f"SELECT count(*), count(DISTINCT delivery_id), max(delay_seconds) FROM '{kept / 'followed_index' / '*.parquet'}'"  # noqa: S608
    assert duckdb.sql(sql).fetchall() == [(9, 2, 10.0)]


def test_a_file_is_complete_when_it_has_stood_still(drop: Path):
    arrivals = Arrivals(drop, settle_seconds=2)
    (drop / "b.csv").write_text("half")
    (drop / "a.csv").write_text("whole")
    assert arrivals.poll(0) == []
    (drop / "b.csv").write_text("half and the rest")
    assert arrivals.poll(2) == [drop / "a.csv"]
    arrivals.took(drop / "a.csv")
    assert arrivals.poll(4) == [drop / "b.csv"]
    assert arrivals.has_open_files
    arrivals.took(drop / "b.csv")
    assert arrivals.poll(9) == []
    assert not arrivals.has_open_files


@pytest.mark.parametrize("name", [".hidden.csv", "~$book.xlsx", "_notes.csv", "x.csv.part", "x.TMP", "x.csv~", "settings.yaml"])  # fmt: skip
def test_names_of_files_under_way_are_passed_over(drop: Path, name: str):
    (drop / name).write_text("x")
    (drop / "sub").mkdir()
    (drop / "empty.csv").touch()
    assert Arrivals(drop, settle_seconds=0).poll(0) == []


def test_a_renamed_file_comes_under_its_last_name(drop: Path):
    arrivals = Arrivals(drop, settle_seconds=0)
    put(drop, "a.csv", payments(0, 2))
    arrivals.poll(0)
    arrivals.took(drop / "a.csv")
    (drop / "a.csv").rename(drop / "b.csv")
    assert arrivals.poll(1) == [drop / "b.csv"]


def test_following_ends_after_the_delivery_under_way_when_told_to(make: Make, drop: Path):
    for number in range(3):
        put(drop, f"{number}.csv", payments(number * 5, number * 5 + 5))
    seen: list[dict[str, Any]] = []
    follow_folder(
        make(), Arrivals(drop, 0), seen.append, lambda: None, lambda: len(seen) == 2, lambda: 0.0, is_endless=True
    )
    assert [r["source_file"] for r in seen] == ["0.csv", "1.csv"]


def test_a_folder_that_is_not_there_is_said(tmp_path: Path):
    with pytest.raises(InputError, match="cannot be read"):
        Arrivals(tmp_path / "none", 0).poll(0)


def test_the_lines_of_a_delivery_for_people_and_for_log_collectors(make: Make, drop: Path, capsys):
    from atlas_lib.progress import DeliveryLines

    put(drop, "a.csv", payments(0, 20))
    record = make().take_file(drop / "a.csv")[0]
    DeliveryLines()(record)
    DeliveryLines(is_json=True)(record)
    DeliveryLines(quiet=True)(record)
    text, as_json = capsys.readouterr().out.splitlines()
    assert text.startswith("a.csv: 20 rows: 18 accepted, 2 rejected")
    assert text.endswith(f"; to correct: {record['rejects_workbook']}")
    assert json.loads(as_json)["accepted_count"] == 18


def test_the_refused_rows_of_a_delivery_come_back_as_a_workbook_that_is_taken_when_corrected(make: Make, drop: Path):
    import openpyxl

    put(drop, "a.csv", payments(0, 20).assign(amount=["oops", *["5"] * 19]))
    first = make().take_file(drop / "a.csv")[0]
    book = openpyxl.load_workbook(first["rejects_workbook"])
    page = book.active
    column = next(c for c in page[4] if c.value == "amount").column
    for row in range(5, page.max_row + 1):
        page.cell(row, column).value = 7
    book.save(drop / "corrected.xlsx")
    second = make().take_file(drop / "corrected.xlsx")[0]
    assert first["rejected_count"] == second["rows_in_count"]
    assert second["accepted_count"] >= 1


def test_the_past_in_few_files_is_the_past(drop: Path, kept: Path, ledger: Ledger):
    """Merged after three parts, and the sources of a merged file back as a killed process leaves them."""
    intake = Intake(kept, ledger, ENGINE, SETTINGS, itertools.count().__next__, itertools.count().__next__, 3)
    for number in range(5):
        put(drop, f"{number}.csv", payments(number * 5, number * 5 + 5))
    take_all(intake, drop)
    merged = list((kept / "past").glob("merged*.parquet"))
    assert len(merged) == 1
    assert len(list((kept / "past").glob("*.parquet"))) == 3
    for part in (kept / "transactions").glob("*.parquet"):
        if not (kept / "past" / part.name).exists():
            os.link(part, kept / "past" / part.name)
    intake.finish()
    past, parts = (pd.read_parquet(kept / name) for name in ("past", "transactions"))
    assert sorted(past["transaction_id"]) == sorted(parts["transaction_id"])
    assert past["transaction_id"].is_unique


def test_where_the_disk_knows_no_second_names_the_past_is_a_copy(make: Make, drop: Path, kept: Path, monkeypatch):
    def refuse(*_: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    put(drop, "a.csv", payments(0, 5))
    put(drop, "b.csv", payments(3, 8))
    assert counts(take_all(make(), drop)) == [[5, 0, 0, 0, 0], [3, 0, 2, 0, 0]]
    past, parts = (pd.read_parquet(kept / name) for name in ("past", "transactions"))
    pd.testing.assert_frame_equal(past, parts)
    assert [p.name for p in (kept / "past").iterdir() if p.name.startswith(".")] == []
