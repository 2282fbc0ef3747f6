"""Intake: which submitted transactions are new, for a whole file at once."""

from __future__ import annotations

import json
from collections.abc import Callable

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from atlas_lib.core.errors import LedgerError
from atlas_lib.ledger.intake import decide, intake_events, shape_submissions
from atlas_lib.ledger.store import Ledger

Make = Callable[..., pd.DataFrame]
HELD = ["transaction_id", "idempotency_key", "fingerprint", "origin", "submitted_us"]


def test_new_transactions_are_registered_with_one_event_each(ledger: Ledger, submission: Make) -> None:
    decided = ledger.intake("a", submission("T-1", "T-2"))
    assert decided["is_new"].tolist() == [True, True]
    assert decided["outcome"].tolist() == ["new", "new"]
    assert decided["first_transaction_id"].tolist() == ["T-1", "T-2"]
    assert decided["first_fingerprint"].tolist() == ["f-T-1", "f-T-2"]
    assert ledger.events()["event_type"].tolist() == ["TRANSACTION_SUBMITTED"] * 2


def test_the_same_file_in_another_run_is_accepted_and_books_nothing(ledger: Ledger, submission: Make) -> None:
    ledger.intake("run 1", submission("T-1", "T-2"))
    head = ledger.head()
    decided = ledger.intake("run 2", submission("T-2", "T-1"))
    assert decided["is_new"].tolist() == [False, False]
    assert decided["outcome"].tolist() == ["again", "again"]
    assert decided["first_origin"].tolist() == ["book.xlsx", "book.xlsx"]
    assert ledger.head() == head


def test_an_id_that_came_by_an_append_is_held_against_a_submission(
    ledger: Ledger, event: Make, submission: Make
) -> None:
    ledger.append("a", event("T-1"))
    assert ledger.intake("b", submission("T-1", "T-2"))["outcome"].tolist()[1] == "new"
    assert ledger.intake("c", submission("T-1"))["is_new"].tolist() == [False]
    assert ledger.verify().empty


def test_the_same_transaction_from_another_file_is_a_duplicate(ledger: Ledger, submission: Make) -> None:
    ledger.intake("a", submission("T-1"))
    decided = ledger.intake("b", submission("T-1", origin="copy.csv"))
    assert decided[["outcome", "first_origin"]].to_numpy().tolist() == [["duplicate", "book.xlsx"]]
    assert ledger.events()["event_type"].tolist() == ["TRANSACTION_SUBMITTED", "TRANSACTION_DEDUPED"]


def test_the_same_id_with_another_body_is_a_conflict(ledger: Ledger, submission: Make) -> None:
    ledger.intake("a", submission("T-1"))
    decided = ledger.intake("b", submission("T-1", fingerprint="other"))
    assert decided[["outcome", "first_fingerprint"]].to_numpy().tolist() == [["conflict", "f-T-1"]]


def test_the_same_key_under_another_id_points_to_the_first_holder(ledger: Ledger, submission: Make) -> None:
    rows = submission("T-1", "T-2", "T-3", idempotency_key="K").assign(fingerprint=["f", "f", "g"])
    decided = ledger.intake("a", rows)
    assert decided["outcome"].tolist() == ["new", "duplicate", "conflict"]
    assert decided["first_transaction_id"].tolist() == ["T-1"] * 3
    assert ledger.events(["T-1"])["event_type"].tolist() == [
        "TRANSACTION_SUBMITTED",
        "TRANSACTION_DEDUPED",
        "TRANSACTION_DEDUPED",
    ]
    assert ledger.events(["T-2"]).empty


def test_a_row_repeated_in_one_file_is_a_duplicate_in_every_run(ledger: Ledger, submission: Make) -> None:
    rows = submission("T-1", "T-1", "T-1")
    assert ledger.intake("run 1", rows)["outcome"].tolist() == ["new", "duplicate", "duplicate"]
    head = ledger.head()
    assert ledger.intake("run 2", rows)["outcome"].tolist() == ["again", "duplicate", "duplicate"]
    assert ledger.head() == head


def test_a_repeated_intake_answers_as_it_did_the_first_time(ledger: Ledger, submission: Make) -> None:
    rows = submission("T-1", "T-2", "T-1")
    first = ledger.intake("a", rows)
    pd.testing.assert_frame_equal(ledger.intake("a", rows), first)
    assert ledger.head().entries == 3
    with pytest.raises(LedgerError, match="other content"):
        ledger.intake("a", submission("T-1", "T-9", "T-1"))


def test_a_key_is_free_again_after_its_time_to_live_but_an_id_never_is(ledger: Ledger, submission: Make) -> None:
    morning = pd.Timestamp("2026-10-29 08:00", tz="UTC")
    hours = pd.Series([0, 23, 24, 47, 48])
    rows = submission("T-1", "T-2", "T-3", "T-4", "T-1", idempotency_key="K")
    rows = rows.assign(fingerprint="f", timestamp=morning + pd.to_timedelta(hours, unit="h"))
    decided = ledger.intake("a", rows, ttl_hours=24)
    assert decided["first_transaction_id"].tolist() == ["T-1", "T-1", "T-3", "T-3", "T-1"]
    assert decided["is_new"].tolist() == [True, False, True, False, False]
    later = rows.tail(1).assign(transaction_id="T-9", timestamp=morning + pd.Timedelta(hours=40))
    assert ledger.intake("b", later, ttl_hours=24)["first_transaction_id"].tolist() == ["T-3"]


def test_an_empty_file_is_no_work(ledger: Ledger, submission: Make) -> None:
    decided = ledger.intake("a", submission())
    assert decided.empty
    assert decided.columns.tolist()[:2] == ["transaction_id", "is_new"]
    assert ledger.head().entries == 0


ROWS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 1), st.integers(0, 1), st.integers(0, 72)),
    max_size=12,
)


@given(ROWS, st.integers(0, 12), st.sampled_from([None, 24]))
@settings(max_examples=60)
def test_the_bulk_decision_equals_reading_row_by_row(rows: list[tuple[int, ...]], before: int, ttl: int | None) -> None:
    names = ["transaction_id", "idempotency_key", "fingerprint", "origin"]
    frame = pd.DataFrame([[str(v) for v in r[:4]] for r in rows], columns=pd.Index(names), dtype=object)
    hours = pd.to_timedelta(pd.Series([r[4] for r in rows], dtype="int64"), unit="h")
    frame = frame.assign(amount_minor=1, currency="EUR", timestamp=pd.Timestamp("2026-10-01", tz="UTC") + hours)
    shaped = shape_submissions(frame)
    held: list[int] = []
    expected = []
    for i, row in enumerate(shaped.itertuples()):
        by_key = [
            h
            for h in held
            if shaped["idempotency_key"][h] == row.idempotency_key
            and (ttl is None or abs(shaped["ts_us"][h] - row.ts_us) < ttl * 3_600_000_000)
        ]
        by_id = [h for h in held if shaped["transaction_id"][h] == row.transaction_id]
        first = (by_key or by_id or [i])[0]
        held += [i] if first == i else []
        expected.append(first)
    stored = [h for h in held if h < before]
    earlier = shaped.iloc[stored].rename(columns={"ts_us": "submitted_us"})[HELD]
    later = shaped.iloc[min(before, len(rows)) :].reset_index(drop=True)
    decided = decide(later, earlier, ttl)
    assert decided["first_transaction_id"].tolist() == [shaped["transaction_id"][e] for e in expected[before:]]
    assert decided["is_new"].tolist() == [e == i for i, e in enumerate(expected)][before:]


ODD = ['say "hi"', "back\\slash\\", "tab\tline\nbell\x07", "nul\x00in", "\x7f\u2028 Zürich ß \U0001f600", "plain"]


@example([(text, None, text) for text in ODD] + [(None, text, "plain") for text in ODD])
@given(st.lists(st.tuples(*[st.none() | st.text()] * 2, st.text(min_size=1)), min_size=1, max_size=4))
def test_details_are_the_json_that_an_encoder_writes(rows: list[tuple[str | None, str | None, str]]) -> None:
    columns = dict(zip(["fingerprint", "origin", "transaction_id"], map(list, zip(*rows, strict=True)), strict=True))
    frame = pd.DataFrame(columns, dtype=object).assign(
        idempotency_key=columns["transaction_id"], currency="EUR", amount_minor=1, ts_us=0
    )
    outcomes = ["new" if number % 2 else "conflict" for number in range(len(rows))]
    decided = frame.assign(outcome=outcomes, is_new=True, first_transaction_id=frame["transaction_id"])
    expected = [
        {"fingerprint": f, "idempotency_key": i, "origin": o}
        | ({} if what == "new" else {"outcome": what, "transaction_id": i})
        for (f, o, i), what in zip(rows, outcomes, strict=True)
    ]
    written = intake_events(frame, decided, "tester")["details"].tolist()
    assert written == [json.dumps(e, ensure_ascii=False, sort_keys=True) for e in expected]


def test_what_json_writes_in_another_way_comes_back_from_the_store(ledger: Ledger, submission: Make) -> None:
    odd = [text for text in ODD if "\x00" not in text]  # intake refuses those: see the rules of ingest
    ledger.intake("a", submission(*odd, idempotency_key=odd))
    ledger.intake("b", submission(*odd, idempotency_key=odd, origin='another "file"'))
    details = [json.loads(text) for text in ledger.events()["details"]]
    assert [d["idempotency_key"] for d in details] == odd * 2
    assert [d.get("transaction_id") for d in details] == [None] * len(odd) + odd
    assert {d["origin"] for d in details[len(odd) :]} == {'another "file"'}


def test_a_shorter_life_of_keys_takes_in_what_a_longer_one_held_back(ledger: Ledger, submission: Make) -> None:
    hours = pd.to_timedelta(pd.Series([0, 30]), unit="h")
    rows = submission("T-1", "T-2", idempotency_key="K").assign(
        fingerprint="f", timestamp=pd.Timestamp("2026-10-29", tz="UTC") + hours
    )
    assert ledger.intake("a", rows, ttl_hours=48)["outcome"].tolist() == ["new", "duplicate"]
    assert ledger.intake("a", rows, ttl_hours=24)["outcome"].tolist() == ["again", "new"]
    assert ledger.events(event_types=["TRANSACTION_SUBMITTED"])["transaction_id"].tolist() == ["T-1", "T-2"]
    assert ledger.intake("a", rows, ttl_hours=48)["outcome"].tolist() == ["new", "duplicate"]


def test_a_later_holder_of_the_key_does_not_change_what_a_repeated_intake_answers(
    ledger: Ledger, submission: Make
) -> None:
    start = pd.Timestamp("2026-10-29", tz="UTC")
    rows = submission("T-1", "T-2", idempotency_key="K").assign(
        fingerprint="f", timestamp=start + pd.to_timedelta(pd.Series([0, 12]), unit="h")
    )
    first = ledger.intake("a", rows, ttl_hours=24)
    later = submission("T-3", idempotency_key="K", timestamp=start + pd.Timedelta(hours=30))
    assert ledger.intake("b", later, ttl_hours=24)["outcome"].tolist() == ["new"]
    pd.testing.assert_frame_equal(ledger.intake("a", rows, ttl_hours=24), first)


def test_what_is_written_together_stands_together_or_not_at_all(ledger: Ledger, submission: Make) -> None:
    with pytest.raises(ZeroDivisionError), ledger.together():
        ledger.intake("a", submission("T-1"))
        ledger.commit_once("offset/0000000000", "1")
        raise ZeroDivisionError
    assert ledger.head().entries == 0
    assert ledger.last_committed("offset/") is None
    with ledger.together():
        ledger.intake("a", submission("T-1"))
        ledger.commit_once("offset/0000000000", "1")
        ledger.commit_once("offset/0000000001", "9")
    ledger.commit_once("offseu", "none of ours")
    assert (ledger.head().entries, ledger.last_committed("offset/")) == (1, "9")
    assert ledger.verify().empty
