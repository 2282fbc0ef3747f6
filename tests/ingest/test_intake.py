"""Accepted once: within a file, across files, across runs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_lib.core.engine import open_engine
from atlas_lib.core.tables import declared
from atlas_lib.ingest.intake import accept_submissions, find_holders
from atlas_lib.ledger.intake import decide, shape_submissions
from atlas_lib.ledger.store import open_ledger

START = pd.Timestamp("2026-10-01 10:00", tz="UTC")
ENGINE = open_engine("duckdb")


def submissions(*rows: tuple[str, str, str, float], file: str = "transactions.csv") -> pd.DataFrame:
    """(transaction id, key, body, hours after the start) as submissions; the body is the amount."""
    frame = pd.DataFrame(
        [
            {
                "transaction_id": number, "idempotency_key": key, "fingerprint": body, "merchant_id": "M1", "user_id": "U1",
                "type": "SALE", "amount_minor": len(body) * 100, "currency": "EUR", "destination_currency": "EUR",
                "source_account": "A", "destination_account": "B", "counterparty_id": "C", "settlement_window": "T1",
                "status": "APPROVED", "created_at": START + pd.Timedelta(hours=hours), "reference": None,
                "source_file": file, "source_sheet": "", "source_row": line,
            }
            for line, (number, key, body, hours) in enumerate(rows, start=2)
        ]
    )  # fmt: skip
    return declared("submissions").shaped(frame)


def outcome(tables: dict[str, pd.DataFrame]) -> dict[int, tuple[str, str]]:
    """Source row to (status, first transaction)."""
    accepted = tables["transactions"].assign(status="accepted", first_transaction_id=lambda f: f["transaction_id"])
    rows = pd.concat([accepted, tables["intake_results"]]).sort_values("source_row")
    return {
        int(r): (s, f) for r, s, f in zip(rows["source_row"], rows["status"], rows["first_transaction_id"], strict=True)
    }


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", "test") as opened:
        yield opened


def test_the_first_is_accepted_the_same_body_a_duplicate_another_a_conflict(ledger):
    tables = accept_submissions(
        submissions(("T1", "K1", "a", 0), ("T2", "K1", "a", 1), ("T3", "K1", "bb", 2), ("T4", "K4", "a", 3)),
        ENGINE,
        ledger,
        24,
    )
    assert outcome(tables) == {
        2: ("accepted", "T1"),
        3: ("duplicate", "T1"),
        4: ("conflict", "T1"),
        5: ("accepted", "T4"),
    }
    assert tables["transactions"]["transaction_id"].tolist() == ["T1", "T4"]
    assert tables["intake_results"].set_index("source_row")["first_source"].loc[3] == "transactions.csv, row 2"


def test_the_earlier_moment_holds_the_key_whatever_the_order_of_the_rows(ledger):
    tables = accept_submissions(submissions(("T2", "K1", "a", 5), ("T1", "K1", "a", 1)), ENGINE, ledger, 24)
    assert outcome(tables) == {2: ("duplicate", "T1"), 3: ("accepted", "T1")}


def test_a_key_holds_for_its_time_to_live_only(ledger):
    rows = submissions(
        ("T1", "K1", "a", 0),
        ("T2", "K1", "a", 23.9),
        ("T3", "K1", "a", 24),
        ("T4", "K1", "a", 40),
        ("T5", "K1", "a", 48),
    )
    assert [s for s, _ in outcome(accept_submissions(rows, ENGINE, ledger, 24)).values()] == [
        "accepted",
        "duplicate",
        "accepted",
        "duplicate",
        "accepted",
    ]


def test_a_transaction_id_is_taken_for_ever(ledger):
    rows = submissions(("T1", "K1", "a", 0), ("T1", "K9", "a", 500), ("T1", "K8", "bb", 501))
    assert [s for s, _ in outcome(accept_submissions(rows, ENGINE, ledger, 24)).values()] == [
        "accepted",
        "duplicate",
        "conflict",
    ]


def test_the_same_file_again_stays_accepted_and_writes_nothing(ledger):
    rows = submissions(("T1", "K1", "a", 0), ("T2", "K1", "a", 1))
    first = accept_submissions(rows, ENGINE, ledger, 24)
    events = len(ledger.events())
    again = accept_submissions(rows, ENGINE, ledger, 24)
    assert len(ledger.events()) == events
    pd.testing.assert_frame_equal(first["transactions"], again["transactions"])
    pd.testing.assert_frame_equal(first["intake_results"], again["intake_results"])


def test_a_file_that_grew_books_only_its_new_rows(ledger):
    accept_submissions(submissions(("T1", "K1", "a", 0)), ENGINE, ledger, 24)
    tables = accept_submissions(submissions(("T1", "K1", "a", 0), ("T2", "K2", "a", 1)), ENGINE, ledger, 24)
    assert [s for s, _ in outcome(tables).values()] == ["accepted", "accepted"]
    assert ledger.events()["event_type"].tolist() == ["TRANSACTION_SUBMITTED"] * 2


def test_another_file_with_the_same_payment_is_a_duplicate_of_the_earlier_run(ledger):
    accept_submissions(submissions(("T1", "K1", "a", 0), file="monday.csv"), ENGINE, ledger, 24)
    tables = accept_submissions(
        submissions(("T7", "K1", "a", 2), ("T8", "K1", "bb", 3), file="tuesday.csv"), ENGINE, ledger, 24
    )
    assert outcome(tables) == {2: ("duplicate", "T1"), 3: ("conflict", "T1")}
    assert tables["intake_results"]["first_source"].tolist() == ["earlier run, monday.csv"] * 2
    assert tables["transactions"].empty


def test_events_tell_submitted_from_deduplicated(ledger):
    accept_submissions(submissions(("T1", "K1", "a", 0), ("T2", "K1", "a", 1)), ENGINE, ledger, 24)
    assert ledger.events()[["transaction_id", "event_type"]].to_numpy().tolist() == [
        ["T1", "TRANSACTION_SUBMITTED"],
        ["T1", "TRANSACTION_DEDUPED"],
    ]


def test_the_same_file_with_other_keys_is_the_same_submission(ledger):
    accept_submissions(submissions(("T1", "K1", "a", 0)), ENGINE, ledger, 24)
    again = accept_submissions(submissions(("T1", "K9", "a", 0)), ENGINE, ledger, 24)
    assert again["transactions"]["transaction_id"].tolist() == ["T1"]
    assert len(ledger.events()) == 1


def test_without_transactions_there_is_nothing_to_do(ledger):
    tables = accept_submissions(declared("submissions").empty(), ENGINE, ledger, 24)
    assert all(frame.empty for frame in tables.values())


ROWS = st.lists(
    st.tuples(st.sampled_from(["T1", "T2", "T3", "T4"]), st.sampled_from(["K1", "K2", "K3"]), st.sampled_from(["a", "bb"]), st.integers(0, 60)),
    min_size=1,
    max_size=9,
)  # fmt: skip


@settings(max_examples=25)
@given(ROWS)
def test_the_statement_and_the_ledger_store_decide_alike(rows):
    frame = submissions(*rows).sort_values(["created_at", "source_row"], kind="stable", ignore_index=True)
    holder = find_holders(frame, ENGINE, 24).to_numpy()
    submitted = shape_submissions(frame.assign(origin="f", timestamp=frame["created_at"]))
    decided = decide(submitted, submitted.rename(columns={"ts_us": "submitted_us"}).iloc[:0], 24)
    assert decided["is_new"].tolist() == (holder == np.arange(len(frame))).tolist()
    assert decided["first_transaction_id"].tolist() == frame["transaction_id"].iloc[holder].tolist()


@pytest.mark.slow
def test_both_engines_find_the_same_holders(spark_engine):
    random = np.random.default_rng(7)
    rows = [
        (f"T{random.integers(60)}", f"K{random.integers(40)}", "a", float(random.integers(200))) for _ in range(300)
    ]
    frame = submissions(*rows).sort_values(["created_at", "source_row"], kind="stable", ignore_index=True)
    assert find_holders(frame, ENGINE, 24).tolist() == find_holders(frame, spark_engine, 24).tolist()
