"""Tiny contracts for the portfolio tests; amounts in cents."""

from __future__ import annotations

from typing import Any

import pandas as pd

from atlas_lib.core.tables import declared

# CONTRACT-001 of the user's workbook (docs: purchase price 2,374.40, premium 56.00, 60 months from 2023-11-15).
CONTRACT_001 = {
    "contract_id": "CONTRACT-001",
    "merchant_id": "310100",
    "merchant_name": "ABC",
    "start_date": "2023-11-15",
    "term_months": 60,
    "premium_minor": 5_600,
    "receivable_minor": 336_000,
    "valuation_sum_minor": 4_480_000,
    "purchase_rate": 0.053,
    "max_purchase_rate": 0.075,
    "reserve_rate": 0.1,
    "customer_payment_minor": 0,
    "purchase_price_minor": 237_440,
    "partner_margin_minor": 98_560,
    "merchant_reserve_minor": 23_744,
    "merchant_payout_minor": 213_696,
    "obligor_id": None,
    "contra_minor": None,
    "currency": "EUR",
    "source_file": "book.xlsx",
    "source_sheet": "Sheet1",
    "source_row": 2,
}


def contracts_of(*rows: dict[str, Any]) -> pd.DataFrame:
    """CONTRACT-001 with the given cells changed, one row each; ids are made unique unless given."""
    filled = [CONTRACT_001 | {"contract_id": f"C{i:03d}"} | row for i, row in enumerate(rows, start=1)]
    frame = pd.DataFrame(filled)
    return declared("contracts").shaped(frame.assign(start_date=pd.to_datetime(frame["start_date"])))


def small_contract(receivable_minor: int, term_months: int, **cells: Any) -> dict[str, Any]:
    """A contract of equal premiums bought at 80 % of its face value."""
    return {
        "receivable_minor": receivable_minor,
        "term_months": term_months,
        "premium_minor": receivable_minor // term_months,
        "purchase_price_minor": receivable_minor * 8 // 10,
    } | cells
