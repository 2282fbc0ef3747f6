"""What a funder would lend: ineligible, cross-aged and excess receivables, availability, dilution, DSO."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas_lib.core.errors import SettingsError
from atlas_lib.core.tables import declared
from atlas_lib.reserves_credit.eligibility import (
    age_contracts,
    measure_eligibility,
    share_availability,
    total_eligibility,
)
from atlas_lib.reserves_credit.exposure import measure_exposure
from atlas_lib.reserves_credit.reserves import hold_reserves
from tests.reserves_credit.reserves_credit_frames import contracts, merchants, settings, transactions


def line(receivable: int, **more: Any) -> dict[str, Any]:
    price = receivable * 8 // 10
    return {
        "receivable_minor": receivable, "merchant_reserve_minor": price // 10, "merchant_payout_minor": price - price // 10,
        "partner_margin_minor": receivable - price,
    } | more  # fmt: skip


def sums(*rows: tuple[str, int, int, int, int]) -> pd.DataFrame:
    """merchant, outstanding, old, reserve, drawn."""
    columns = ["merchant_id", "outstanding_minor", "old_minor", "reserve_minor", "drawn_minor"]
    return pd.DataFrame(rows, columns=columns).assign(currency="EUR", owed_back_minor=0)


def test_the_availability_of_a_book_with_one_large_obligor_as_published():
    """komfiacademy, "Concentration limits": AR 100, one obligor 40, cap 25 %, advance 85 %, drawn 70: 72.25 and 2.25 left."""
    book = sums(("A", 40_00, 0, 0, 70_00), *((m, 20_00, 0, 0, 0) for m in "BCD"))
    found = share_availability(book, settings(concentration_cap_rate=0.25, advance_rate=0.85))
    assert (found["excess_minor"].sum(), found["base_minor"].sum(), found["availability_minor"].sum()) == (
        15_00,
        72_25,
        2_25,
    )


def test_old_receivables_above_a_tenth_make_all_of_the_merchant_ineligible():
    found = share_availability(sums(("A", 100, 10, 0, 0), ("B", 100, 11, 0, 0)), settings(concentration_cap_rate=1.0))
    assert found["eligible_minor"].tolist() == [90, 0]
    assert found["cross_aged_minor"].tolist() == [0, 89]


@given(st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 100), st.integers(0, 10**6)), min_size=1, max_size=8))
def test_every_receivable_is_old_cross_aged_excess_or_lent_against(rows):
    book = sums(*((f"M{i}", a, a * p // 100, r, r) for i, (a, p, r) in enumerate(rows)))
    found = share_availability(book, settings(advance_rate=1.0))
    parts = found[["old_minor", "cross_aged_minor", "excess_minor", "base_minor"]].sum(axis=1)
    assert parts.tolist() == book["outstanding_minor"].tolist()
    assert (found["availability_minor"] == found["base_minor"] - book["reserve_minor"] - book["drawn_minor"]).all()


def test_age_counts_from_the_oldest_instalment_that_is_not_covered():
    """120 a year from 31 January, 30 paid: the instalments of February to April are covered, 31 May is the oldest open one."""
    book = contracts(
        line(120_00, start_date="2023-01-31", term_months=12, premium_minor=10_00, customer_payment_minor=30_00),
        line(120_00, start_date="2023-09-15", term_months=12, premium_minor=10_00, customer_payment_minor=10_00),
    )
    found = age_contracts(book, settings("2023-11-30"))
    assert found["past_due_days"].tolist() == [183, 15]
    assert found["old_minor"].tolist() == [90_00, 0]


def test_without_any_customer_payment_the_input_tells_no_age():
    book = contracts(line(120_00, start_date="2020-01-31", term_months=12, premium_minor=10_00))
    assert age_contracts(book, settings("2023-11-30"))["old_minor"].tolist() == [0]


def measured(book: pd.DataFrame, sales: pd.DataFrame, **policy: Any) -> dict[str, pd.DataFrame]:
    chosen, known = settings("2023-11-30", **policy), merchants({"merchant_id": "M1", "counterparty_id": "CP-1"})
    held = hold_reserves(book, known, sales, chosen)
    exposed = measure_exposure(book, known, declared("fx_rates").empty(), held["reserve_tranches"], chosen)
    flows = [held["reserve_flows"], held["reserve_claims"]]
    return exposed | measure_eligibility(book, exposed["exposures"], *flows, chosen)


def test_dilution_and_days_outstanding_of_a_merchant():
    sales = transactions(
        {"amount_minor": 200_00, "created_at": "2023-11-01T10:00"},
        {"amount_minor": 5_00, "created_at": "2023-11-02T10:00", "type": "REFUND"},
        {"amount_minor": 50_00, "created_at": "2023-01-02T10:00", "type": "REFUND"},
    )
    book = contracts(line(1_000_00, customer_payment_minor=400_00, premium_minor=100_00, term_months=10))
    row = measured(book, sales)["eligibility"].iloc[0]
    assert (row["dilution_rate"], row["dso_days"]) == (0.025, 0.6 * 365)
    assert (row["drawn_minor"] + row["reserve_minor"], row["is_aged"]) == (480_00, True)


def test_the_totals_are_the_sums_of_the_merchants():
    found = measured(contracts(line(100_00), line(300_00)), transactions())["eligibility"]
    assert total_eligibility(found)["outstanding_minor"].tolist() == [400_00]


def test_limits_of_counterparties_currencies_and_obligors_come_from_the_settings():
    book = contracts(line(900_00, obligor_id="D1"), line(100_00, obligor_id="D2"))
    limits = "counterparty CP-1 EUR 1000; currency EUR EUR 5000; obligor * EUR 950"
    found = measured(book, transactions(), other_limits=limits)["exposures"].set_index(["scope", "subject_id"])
    assert found["level"].to_dict() == {
        ("merchant", "M1"): "ok", ("counterparty", "CP-1"): "warn", ("currency", "EUR"): "ok", ("obligor", "D1"): "warn", ("obligor", "D2"): "ok",
    }  # fmt: skip
    assert found.loc[("counterparty", "CP-1"), "headroom_minor"] == 0
    assert found.loc[("counterparty", "CP-1"), "limit_source"] == "settings"


@pytest.mark.parametrize(
    "entry", ["counterparty CP-1 EUR", "client M1 EUR 5", "currency EUR EUR -5", "currency EUR EUR x"]
)
def test_a_limit_that_is_not_understood_is_named(entry):
    with pytest.raises(SettingsError, match="other_limits"):
        measured(contracts(line(1)), transactions(), other_limits=entry)
