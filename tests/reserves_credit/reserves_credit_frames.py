"""Literal frames of this room's tests: a row is written with what matters, the rest has a plain default."""

from __future__ import annotations

from typing import Any

import pandas as pd

from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.core.tables import declared

_SOURCE = {"source_file": "book.xlsx", "source_sheet": "Sheet1"}
_CONTRACT = {
    "merchant_id": "M1", "merchant_name": "Merchant One", "start_date": "2023-11-15", "term_months": 60, "premium_minor": 0,
    "valuation_sum_minor": None, "purchase_rate": None, "max_purchase_rate": None, "reserve_rate": 0.1,
    "customer_payment_minor": 0, "currency": "EUR",
}  # fmt: skip
_MERCHANT = {
    "merchant_name": "Merchant One", "credit_limit_minor": None, "currency": "EUR", "iban": None, "bic": None, "country": None,
    "town": None, "risk_level": "UNRATED", "kyc_status": "UNKNOWN", "onboarding_date": None, "reserve_rate": None,
    "hold_days": None, "is_blocked": False, "counterparty_id": None,
}  # fmt: skip
_TRANSACTION = {
    "merchant_id": "M1", "user_id": "U1", "type": "SALE", "currency": "EUR", "destination_currency": "EUR",
    "source_account": "processor", "destination_account": "merchant", "counterparty_id": "P1", "settlement_window": "T1",
    "status": "APPROVED", "reference": None,
}  # fmt: skip


def settings(as_of: str = "2023-11-30", **values: Any) -> ReservesCreditSettings:
    return ReservesCreditSettings.model_validate({"as_of": as_of, **values})


def contracts(*rows: dict[str, Any]) -> pd.DataFrame:
    """Rows need receivable_minor, merchant_payout_minor, merchant_reserve_minor, partner_margin_minor."""
    full = [_CONTRACT | _SOURCE | {"contract_id": f"C{i}", "source_row": i + 1} | row for i, row in enumerate(rows, 1)]
    for row in full:
        row.setdefault("purchase_price_minor", row["merchant_payout_minor"] + row["merchant_reserve_minor"])
    return _frame("contracts", full)


def merchants(*rows: dict[str, Any]) -> pd.DataFrame:
    return _frame("merchants", [_MERCHANT | _SOURCE | {"source_row": i + 1} | row for i, row in enumerate(rows, 1)])


def transactions(*rows: dict[str, Any]) -> pd.DataFrame:
    """Rows need amount_minor and created_at."""
    keyed = [
        _TRANSACTION | _SOURCE | {"transaction_id": f"T{i}", "idempotency_key": f"K{i}", "source_row": i + 1} | row
        for i, row in enumerate(rows, 1)
    ]
    for row in keyed:
        row["created_at"] = pd.Timestamp(row["created_at"], tz="UTC")
    return _frame("transactions", keyed)


def _frame(name: str, rows: list[dict[str, Any]]) -> pd.DataFrame:
    table = declared(name)
    if not rows:
        return table.empty()
    frame = pd.DataFrame(rows)
    dates = [c.name for c in table.columns if c.type == "date"]
    return table.checked(frame.assign(**{d: pd.to_datetime(frame[d]) for d in dates}))
