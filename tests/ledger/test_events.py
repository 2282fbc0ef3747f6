"""The bytes that are hashed for an event: every field counts, and no two rows run together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas_lib.core.errors import LedgerError
from atlas_lib.ledger.canonical import fingerprint_columns, framed_text
from atlas_lib.ledger.events import event_leaves, shape_events

Make = Callable[..., pd.DataFrame]
OTHER = {
    "transaction_id": "T-2",
    "batch_id": "B-2",
    "event_type": "SETTLEMENT_FAILED",
    "amount_minor": 101,
    "currency": "USD",
    "timestamp": pd.Timestamp("2026-10-30 23:59:59.000001", tz="UTC"),
    "actor": "else",
    "details": "{ }",
}


@pytest.mark.parametrize("column", OTHER)
def test_every_field_changes_the_leaf(event: Make, column: str) -> None:
    one, other = event("T-1"), event("T-1").assign(**{column: [OTHER[column]]})
    assert event_leaves([1], shape_events(one, "w")) != event_leaves([1], shape_events(other, "w"))


def test_the_position_changes_the_leaf_and_an_absent_text_differs_from_any_text(event: Make) -> None:
    shaped = shape_events(event("T-1"), "w")
    assert event_leaves([1], shaped) != event_leaves([2], shaped)
    assert framed_text(None) == b"\xff\xff\xff\xff"
    assert framed_text("ä") == b"\x00\x00\x00\x02\xc3\xa4"


def test_a_leaf_is_the_sha256_of_its_framed_fields(event: Make) -> None:
    shaped = shape_events(event("T-1", timestamp=pd.Timestamp(0, tz="UTC")), "w")
    numbers = b"".join(n.to_bytes(8, "big") for n in (7, 100, 0))
    texts = b"".join(map(framed_text, ["T-1", "B-1", "SETTLEMENT_INITIATED", "EUR", "w", "{}"]))
    assert event_leaves([7], shaped) == hashlib.sha256(b"\x00" + numbers + texts).digest()


def test_an_event_without_a_time_is_refused(event: Make) -> None:
    with pytest.raises(LedgerError, match="timestamp"):
        shape_events(event("T-1", timestamp=pd.NaT), "w")


@given(st.lists(st.lists(st.none() | st.text(max_size=3), min_size=2, max_size=2), max_size=4))
def test_two_columns_have_one_fingerprint_only_when_they_are_equal(rows: list[list[str | None]]) -> None:
    left, right = [r[0] for r in rows], [r[1] for r in rows]
    assert (fingerprint_columns(left) == fingerprint_columns(right)) == (left == right)
    assert (fingerprint_columns(left, right) == fingerprint_columns(right, left)) == (left == right)


def test_the_bytes_of_the_chain_never_change() -> None:
    """Leaves and fingerprints of chains written before must stay what they are: these were taken from version 1."""
    texts = {
        "transaction_id": ["T-1", "T-2"], "batch_id": [None, "B"], "event_type": ["TRANSACTION_SUBMITTED"] * 2,
        "currency": ["EUR", "JPY"], "actor": ["ä", None], "details": ["{}", "x" * 2000],
    }  # fmt: skip
    events = pd.DataFrame(texts, dtype=object).assign(amount_minor=[100, -5], ts_us=[0, 1])
    assert event_leaves([1, 2], events).hex() == (
        "fce33fa581e97621991833768b5948993c276b6f2bec9eb57b67a12ca76fc864"
        "d39254f2ce7d065b8709c07803970e3c2b6bc31f6e435660815f32ede15b8ab7"
    )
    assert (
        fingerprint_columns(["T-1", None, 'ä"', ""], [1, 22, -3, 0])
        == "ebebc847980347d5280f7419aa7f0b4164cca4a535122a47b5e32555769edcba"
    )
