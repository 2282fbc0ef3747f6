from __future__ import annotations

from typing import Any

import pandas as pd

from atlas_lib.reserves_credit.controls import control_rounding, control_totals, rounding_in_minor
from atlas_lib.reserves_credit.payouts import contract_lines, sum_lines
from tests.reserves_credit.reserves_credit_frames import contracts, settings


def _line(**changed: Any) -> dict[str, Any]:
    """10 cents at 5 %: half a cent, rounded to even."""
    return {
        "valuation_sum_minor": 10, "purchase_rate": 0.05, "reserve_rate": 0.0, "receivable_minor": 100,
        "purchase_price_minor": 0, "merchant_reserve_minor": 0, "merchant_payout_minor": 0, "partner_margin_minor": 100,
    } | changed  # fmt: skip


def _control(*lines: dict[str, Any]) -> pd.DataFrame:
    return control_rounding(contract_lines(contracts(*lines), settings())).set_index("figure")


def test_rounding_control_explains_the_difference_between_the_sums() -> None:
    control = _control(_line(), _line())
    assert control.loc["purchase_price", "rounded_minor"] == 0
    assert control.loc["purchase_price", "difference_minor_e6"] == -1_000_000
    assert control.loc["purchase_price", "allowed_minor_e6"] == 1_000_000
    assert control["passed"].all()


def test_rounding_control_sees_a_line_that_rounding_cannot_explain() -> None:
    assert not _control(_line(merchant_reserve_minor=1))["passed"]["client_rr"]


def test_receivables_are_paid_blocked_held_or_the_partners_with_nothing_left() -> None:
    line = {
        "receivable_minor": 1_000_00,
        "merchant_payout_minor": 720_00,
        "merchant_reserve_minor": 80_00,
        "partner_margin_minor": 200_00,
    }
    book = contracts(line, line | {"merchant_id": "M2"}, line | {"currency": "JPY"})
    summary = sum_lines(contract_lines(book, settings())).assign(status=["Ready", "Ready", "Blocked"])
    totals = control_totals(book, summary).set_index("currency")
    assert totals.loc["EUR", ["ready_minor", "blocked_minor"]].tolist() == [720_00, 720_00]
    assert totals["difference_minor"].tolist() == [0, 0]


def test_a_contract_lost_on_the_way_is_a_difference() -> None:
    line = {
        "receivable_minor": 1_000_00,
        "merchant_payout_minor": 720_00,
        "merchant_reserve_minor": 80_00,
        "partner_margin_minor": 200_00,
    }
    book = contracts(line, line)
    summary = sum_lines(contract_lines(book.head(1), settings())).assign(status="Ready")
    assert control_totals(book, summary)["difference_minor"].tolist() == [1_000_00]


def test_rounding_is_shown_in_minor_units() -> None:
    shown = rounding_in_minor(_control(_line(), _line()).reset_index()).set_index("figure")
    assert shown.loc["purchase price", ["difference_in_minor_units", "allowed_in_minor_units"]].tolist() == [-1.0, 1.0]
