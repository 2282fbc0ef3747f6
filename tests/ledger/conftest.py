"""A new ledger per test, and small frames to put into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from atlas_lib.ledger.store import Ledger, open_ledger

DAY = pd.Timestamp("2026-10-30 23:59:59", tz="UTC")


@pytest.fixture
def ledger_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.sqlite'}"


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with open_ledger(ledger_url, "tester", clock_ns=lambda: 1_000_000) as opened:
        yield opened


@pytest.fixture
def submission() -> Callable[..., pd.DataFrame]:
    def make(*ids: str, origin: str = "book.xlsx", fingerprint: str = "f", **columns: object) -> pd.DataFrame:
        frame = pd.DataFrame({"transaction_id": pd.Series(ids, dtype="str")})
        row = {"idempotency_key": "", "origin": origin, "currency": "EUR", "amount_minor": 100, "timestamp": DAY}
        return frame.assign(fingerprint=[f"{fingerprint}-{i}" for i in ids], **{**row, **columns})

    return make


@pytest.fixture
def event() -> Callable[..., pd.DataFrame]:
    def make(*ids: str, event_type: str = "SETTLEMENT_INITIATED", **columns: object) -> pd.DataFrame:
        row = {"batch_id": "B-1", "amount_minor": 100, "currency": "EUR", "timestamp": DAY, "details": "{}"}
        return pd.DataFrame({"transaction_id": list(ids)}).assign(event_type=event_type, **{**row, **columns})

    return make


@pytest.fixture
def transfer() -> Callable[..., pd.DataFrame]:
    def make(count: int, **columns: object) -> pd.DataFrame:
        row = {"debit_account": "assets:bank:EUR", "credit_account": "liabilities:settlement_payable:M-1"}
        return pd.DataFrame({"event": range(count)}).assign(
            **{"amount_minor": 100, "currency": "EUR", **row, **columns}
        )

    return make
