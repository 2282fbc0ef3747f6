"""What identifies a person does not get into the ledger in the clear."""

from __future__ import annotations

import json
from collections.abc import Callable

import pandas as pd
import pytest

from atlas_lib.ledger.canonical import text_array
from atlas_lib.ledger.privacy import mask_details
from atlas_lib.ledger.store import Ledger

Make = Callable[..., pd.DataFrame]
# The examples of the IBAN registry (SWIFT, ISO 13616) for Germany, the United Kingdom and Norway.
GERMAN, BRITISH, NORWEGIAN = "DE89370400440532013000", "GB29NWBK60161331926819", "NO9386011117947"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"unknown account {GERMAN}", "unknown account DE**3000"),
        ("AC04 GB29 NWBK 6016 1331 9268 19", "AC04 GB**6819"),
        ("GB29 NWBK 6016 1331 9268 19 is closed", "GB**6819 is closed"),
        (f"{NORWEGIAN};{GERMAN}", "NO**7947;DE**3000"),
        ("ask ana.example+x@bank.example.org", "ask **@bank.example.org"),
        ("DE00370400440532013000 is no IBAN", "DE00370400440532013000 is no IBAN"),
        ("reference RF18539007547034, 4711", "reference RF18539007547034, 4711"),
        ("{}", "{}"),
    ],
)
def test_accounts_and_addresses_are_masked_and_other_references_stay(text: str, masked: str) -> None:
    assert mask_details(text_array([text, None])).to_pylist() == [masked, None]


def test_what_a_bank_said_is_masked_before_it_is_hashed_and_replays_all_the_same(ledger: Ledger, event: Make) -> None:
    said = event("payout:P-1", event_type="PAYOUT_FAILED", details=json.dumps({"said": f"AC04 {BRITISH}"}))
    ledger.append("a", said)
    assert json.loads(ledger.events()["details"].iloc[0]) == {"said": "AC04 GB**6819"}
    assert ledger.append("a", said).is_replay
    assert ledger.verify().empty
    tables = ("SELECT * FROM event", "SELECT * FROM txn", "SELECT * FROM block")
    assert not any(BRITISH in str(row) for sql in tables for row in ledger._db.rows(sql))
