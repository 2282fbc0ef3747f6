from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from atlas_lib.core.tables import declared
from atlas_lib.reserves_credit.alerts import raise_alerts
from atlas_lib.reserves_credit.exposure import fx_factor, measure_exposure
from atlas_lib.reserves_credit.reserves import hold_contracts
from tests.reserves_credit.reserves_credit_frames import contracts, merchants, settings

_NO_RATES = declared("fx_rates").empty()
_NO_COVERAGE = declared("reserve_coverage").empty()


def _line(receivable: int, **more: Any) -> dict[str, Any]:
    """A contract bought at 80 % of its face value with a tenth of the price held back."""
    price = receivable * 8 // 10
    return {
        "receivable_minor": receivable,
        "merchant_reserve_minor": price // 10,
        "merchant_payout_minor": price - price // 10,
        "partner_margin_minor": receivable - price,
    } | more


def _measure(book: pd.DataFrame, known: pd.DataFrame, rates: pd.DataFrame = _NO_RATES, **policy: Any) -> dict[str, Any]:
    chosen = settings(**policy)
    return measure_exposure(book, known, rates, hold_contracts(book, chosen.as_of), chosen)


def _rates(**per_eur: float) -> pd.DataFrame:
    rows = [{"date": pd.Timestamp("2023-11-29"), "currency": c, "rate": r} for c, r in per_eur.items()]
    late = [{"date": pd.Timestamp("2023-12-01"), "currency": c, "rate": 99.0} for c in per_eur]
    source = {"source_file": "fx.csv", "source_sheet": "", "source_row": 2}
    return declared("fx_rates").checked(pd.DataFrame([r | source for r in rows + late]))


def test_gross_falls_with_payments_funded_in_proportion_and_the_reserve_is_subtracted_once() -> None:
    row = _measure(
        contracts(_line(1_000_00, customer_payment_minor=250_00)), merchants({"merchant_id": "M1"})
    )["exposures"].query("scope == 'merchant'").iloc[0]  # fmt: skip
    assert (row["receivables_minor"], row["gross_minor"], row["funded_minor"]) == (1_000_00, 750_00, 600_00)
    assert (row["reserve_minor"], row["effective_minor"]) == (80_00, 520_00)


def test_an_overpaid_contract_has_no_negative_exposure() -> None:
    book = contracts(_line(1_000_00, customer_payment_minor=1_200_00))
    row = _measure(book, merchants({"merchant_id": "M1"}))["exposures"].iloc[0]
    assert (row["gross_minor"], row["funded_minor"]) == (0, 0)


@pytest.mark.parametrize(
    ("limit_minor", "level", "headroom_minor"),
    [
        (1_300_00, "ok", 300_00),
        (1_250_00, "watch", 250_00),
        (1_111_11, "warn", 111_11),
        (1_000_00, "warn", 0),
        (999_99, "breach", -1),
        (0, "breach", -1_000_00),
    ],
)
def test_levels_turn_at_80_and_90_percent_and_above_100(limit_minor: int, level: str, headroom_minor: int) -> None:
    known = merchants({"merchant_id": "M1", "credit_limit_minor": limit_minor})
    row = _measure(contracts(_line(1_000_00)), known)["exposures"].query("scope == 'merchant'").iloc[0]
    assert (row["level"], row["headroom_minor"], row["limit_source"]) == (level, headroom_minor, "input")


def test_a_merchant_without_limit_gets_the_default_one() -> None:
    row = _measure(contracts(_line(76_456_50)), merchants({"merchant_id": "M1"}))["exposures"].query(
        "scope == 'merchant'"
    )
    assert row[["limit_minor", "limit_source"]].to_numpy().tolist() == [[250_000_00, "default"]]
    assert row["utilisation_rate"].round(6).tolist() == [0.305826]


def test_two_currencies_share_one_limit_converted_at_the_last_rate_known() -> None:
    book = contracts(_line(600_00), _line(88_000, currency="JPY"))
    known = merchants({"merchant_id": "M1", "credit_limit_minor": 1_000_00})
    rows = _measure(book, known, _rates(JPY=160.0))["exposures"].query("scope == 'merchant'").set_index("currency")
    assert rows.loc["JPY", "limit_minor"] == 160_000
    assert rows["utilisation_rate"].round(4).to_dict() == {"EUR": 0.6, "JPY": 0.55}
    assert rows["level"].tolist() == ["breach", "breach"]


def test_no_rate_is_needed_within_one_currency() -> None:
    currency = pd.Series(["XYZ"])
    assert fx_factor(currency, currency, _NO_RATES, settings().as_of).tolist() == [1.0]


def test_the_hhi_of_a_real_book_of_fifteen_clients() -> None:
    """Receivables per client of the workbook that this project was built for: HHI 1,364.5, effective number 7.33."""
    receivables = [1974000, 501600, 4752000, 2383800, 1044000, 612000, 2964000, 1507500, 75600, 7645650, 189000, 720000, 840000, 2538578, 888000]  # fmt: skip
    book = contracts(*(_line(r, merchant_id=f"M{i}") for i, r in enumerate(receivables)))
    tables = _measure(book, declared("merchants").empty())
    totals = tables["concentration_totals"].iloc[0]
    assert totals["exposure_minor"] == 286_357_28
    assert round(totals["hhi_points"], 1) == 1364.5
    assert round(totals["effective_count"], 2) == 7.33
    largest = tables["exposures"].query("scope == 'merchant'")["utilisation_rate"].max()
    assert f"{largest:.2%}" == "30.58%"
    assert tables["concentration"].sort_values("rank")["merchant_id"].head(2).tolist() == ["M9", "M2"]


def test_exposures_are_marked_from_10_and_25_percent_of_own_capital() -> None:
    book = contracts(*(_line(r, merchant_id=m) for m, r in {"A": 9_999, "B": 10_000, "C": 25_000}.items()))
    tables = _measure(book, declared("merchants").empty(), own_capital=1_000)
    assert dict(tables["concentration"][["merchant_id", "mark"]].to_numpy()) == {"A": "", "B": "large", "C": "over"}


def test_no_contracts_give_empty_tables() -> None:
    tables = _measure(contracts(), merchants({"merchant_id": "M1"}))
    assert all(t.empty for t in tables.values())
    assert raise_alerts(tables["exposures"], tables["concentration"], _NO_COVERAGE, settings())["alerts"].empty


@given(
    st.lists(st.tuples(st.sampled_from("ABC"), st.integers(1, 10**12), st.integers(0, 10**12)), min_size=1, max_size=12)
)
@hypothesis_settings(max_examples=20)
def test_every_scope_adds_up_to_the_book_and_no_measure_grows(rows: list[tuple[str, int, int]]) -> None:
    book = contracts(*(_line(r, merchant_id=m, customer_payment_minor=p) for m, r, p in rows))
    known = merchants(*({"merchant_id": m, "counterparty_id": "P1"} for m in "ABC"))
    exposures = _measure(book, known)["exposures"]
    sums = exposures.groupby("scope")[["receivables_minor", "gross_minor", "funded_minor", "effective_minor"]].sum()
    assert all(len(set(sums[measure])) == 1 for measure in sums)
    assert sums["receivables_minor"].iloc[0] == book["receivable_minor"].sum()
    assert (exposures["receivables_minor"] >= exposures["gross_minor"]).all()
    assert (exposures["gross_minor"] >= exposures["funded_minor"]).all()
