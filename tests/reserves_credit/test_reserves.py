from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from atlas_lib.core.engine import Engine
from atlas_lib.core.tables import declared
from atlas_lib.reserves_credit.reserves import hold_reserves
from atlas_lib.reserves_credit.sales_days import _NAMES, _NEW_ONLY, DAILY
from tests.reserves_credit.reserves_credit_frames import contracts, merchants, settings, transactions

_NO_CONTRACTS = declared("contracts").empty()


def _roll(*rows: dict[str, Any], as_of: str, **policy: Any) -> dict[str, pd.DataFrame]:
    return hold_reserves(
        _NO_CONTRACTS, merchants({"merchant_id": "M1"}), transactions(*rows), settings(as_of, **policy)
    )


def test_the_hold_is_a_share_of_sales_after_fees_as_stripe_explains_it() -> None:
    """Stripe support, "Rolling reserves": at 25 %, 100 - 20 fee holds 20, 200 - 40 fee holds 40; both free up: 60."""
    days = [
        {"amount_minor": 100_00, "created_at": "2026-06-01T10:00"},
        {"amount_minor": 20_00, "created_at": "2026-06-01T10:00", "type": "FEE"},
        {"amount_minor": 200_00, "created_at": "2026-06-02T10:00"},
        {"amount_minor": 40_00, "created_at": "2026-06-02T10:00", "type": "FEE"},
    ]
    tables = _roll(*days, as_of="2026-08-31", reserve_percent=25, hold_days=90)
    tranches = tables["reserve_tranches"]
    assert tranches["held_minor"].tolist() == [20_00, 40_00]
    assert tranches["release_date"].dt.strftime("%Y-%m-%d").tolist() == ["2026-08-31", "2026-08-31"]
    assert tranches["released_minor"].sum() == 60_00


def test_ten_percent_for_ninety_days_releases_on_the_day_guesty_gives() -> None:
    """Guesty, "Rolling reserve": 640 on 29 August 2023, 10 % and 90 days: 64 held, released 27 November 2023."""
    tables = _roll({"amount_minor": 640_00, "created_at": "2023-08-29T12:00"}, as_of="2023-08-29")
    tranche = tables["reserve_tranches"].iloc[0]
    assert (tranche["held_minor"], tranche["release_date"]) == (64_00, pd.Timestamp("2023-11-27"))
    assert tables["reserve_ladder"]["month"].tolist() == [pd.Timestamp("2023-11-01")]


def test_a_release_on_a_closed_day_moves_to_the_next_business_day() -> None:
    tables = _roll({"amount_minor": 100_00, "created_at": "2026-09-26T12:00"}, as_of="2026-12-24", hold_days=90)
    assert tables["reserve_tranches"]["release_date"].tolist() == [pd.Timestamp("2026-12-28")]


def test_draws_take_the_oldest_tranche_first_and_the_rest_is_a_shortfall() -> None:
    tables = _roll(
        {"amount_minor": 100_00, "created_at": "2026-06-01T10:00"},
        {"amount_minor": 200_00, "created_at": "2026-06-02T10:00"},
        {"amount_minor": 12_00, "created_at": "2026-06-03T10:00", "type": "REFUND"},
        {"amount_minor": 25_00, "created_at": "2026-06-04T10:00", "type": "CHARGEBACK"},
        {"amount_minor": 99_00, "created_at": "2026-06-05T10:00", "type": "REFUND", "status": "PENDING"},
        as_of="2026-06-30",
    )
    assert tables["reserve_tranches"]["drawn_minor"].tolist() == [10_00, 20_00]
    draws = tables["reserve_movements"].query("movement == 'draw'")
    assert draws.sort_values(["movement_date", "tranche_id"])["amount_minor"].tolist() == [10_00, 2_00, 18_00]
    coverage = tables["reserve_coverage"].iloc[0]
    assert (coverage["claims_minor"], coverage["shortfall_minor"], coverage["balance_minor"]) == (37_00, 7_00, 0)


def test_a_merchant_has_its_own_rate_and_days() -> None:
    own = merchants({"merchant_id": "M1", "reserve_rate": 0.2, "hold_days": 7})
    sale = transactions({"amount_minor": 100_00, "created_at": "2026-06-01T10:00"})
    tranche = hold_reserves(_NO_CONTRACTS, own, sale, settings("2026-06-01"))["reserve_tranches"].iloc[0]
    assert (tranche["held_minor"], tranche["release_date"]) == (20_00, pd.Timestamp("2026-06-08"))


def test_a_contract_reserve_falls_due_after_its_term_and_waits_for_a_person() -> None:
    book = contracts(
        {"receivable_minor": 3360_00, "merchant_payout_minor": 2136_96, "merchant_reserve_minor": 237_44, "partner_margin_minor": 985_60},
        {"receivable_minor": 100_00, "merchant_payout_minor": 81_00, "merchant_reserve_minor": 9_00, "partner_margin_minor": 10_00,
         "start_date": "2023-08-31", "term_months": 1},
    )  # fmt: skip
    tables = hold_reserves(book, merchants({"merchant_id": "M1"}), transactions(), settings())
    tranches = tables["reserve_tranches"]
    assert tranches["status"].tolist() == ["held", "due"]
    assert tranches["release_date"].tolist() == [pd.Timestamp("2028-11-15"), pd.Timestamp("2023-10-02")]
    assert tranches["balance_minor"].sum() == 237_44 + 9_00
    ladder = tables["reserve_ladder"]
    assert ladder["month"].tolist() == [pd.Timestamp("2023-11-01"), pd.Timestamp("2028-11-01")]
    assert ladder["remaining_minor"].tolist() == [237_44, 0]


def test_no_input_gives_empty_tables() -> None:
    tables = hold_reserves(_NO_CONTRACTS, declared("merchants").empty(), declared("transactions").empty(), settings())
    assert {name: len(t) for name, t in tables.items()} == dict.fromkeys(tables, 0)


@pytest.mark.slow
def test_daily_sales_are_the_same_on_both_engines(duckdb_engine: Engine, spark_engine: Engine) -> None:
    rows = transactions(
        {"amount_minor": 100_00, "created_at": "2026-06-01T23:59:59"},
        {"amount_minor": 20_00, "created_at": "2026-06-01T10:00", "type": "FEE"},
        {"amount_minor": 5_00, "created_at": "2026-06-02T00:00", "type": "REFUND", "reference": "T1-R"},
        {"amount_minor": 7_00, "created_at": "2026-06-02T00:00", "status": "REFUNDED", "merchant_id": "M2"},
        {"amount_minor": 7_00, "created_at": "2026-06-03T00:00"},
    )
    both = [
        engine.run(DAILY, {"transactions": rows}, [name], {"as_of": "2026-06-02"})[name]
        .sort_values(["merchant_id", "currency", "day"], ignore_index=True)
        for name in ("given_days", "given_claims")
        for engine in (duckdb_engine, spark_engine)
    ]  # fmt: skip
    marks = "row_mark"  # a number of the engine's own: only compared with itself
    pd.testing.assert_frame_equal(both[0].drop(columns=marks), both[1].drop(columns=marks))
    pd.testing.assert_frame_equal(*both[2:])
    assert (len(both[0]), len(both[2])) == (3, 1)
    assert both[2]["own_day"].tolist() == [pd.Timestamp("2026-06-01")]


@pytest.mark.slow
def test_names_and_new_sales_are_the_same_on_both_engines(duckdb_engine: Engine, spark_engine: Engine) -> None:
    rows = transactions(
        {"amount_minor": 100_00, "created_at": "2026-06-01T23:59:59", "reference": "R1"},
        {"amount_minor": 20_00, "created_at": "2026-06-01T10:00", "status": "PENDING"},
        {"amount_minor": 7_00, "created_at": "2026-06-02T00:00"},
    )
    day = {"merchant_id": "M1", "currency": "EUR", "day": pd.Timestamp("2026-06-01")}
    names = [
        sorted(
            engine.run(_NAMES, {"transactions": rows, "days": pd.DataFrame([day])}, ["names"], {"as_of": "2026-06-02"})[
                "names"
            ]["name"]
        )
        for engine in (duckdb_engine, spark_engine)
    ]
    assert names[0] == names[1]
    assert [n[0] for n in names[0]] == ["-", "r", "s"]
    known = pd.DataFrame([day | {"name": n[1:]} for n in names[0] if n[0] != "r"])
    new = [
        engine.run((*_NEW_ONLY, *DAILY), {"submitted": rows, "known": known}, ["given_days"], {"as_of": "2026-06-02"})[
            "given_days"
        ]["sales_minor"].tolist()
        for engine in (duckdb_engine, spark_engine)
    ]
    assert new == [[7_00], [7_00]]
