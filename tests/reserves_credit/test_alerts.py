from __future__ import annotations

from typing import Any

import pandas as pd

from atlas_lib.core.tables import declared
from atlas_lib.reserves_credit.alerts import raise_alerts
from atlas_lib.reserves_credit.exposure import measure_exposure
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


def test_the_same_fault_has_the_same_alert_in_every_run() -> None:
    known = merchants({"merchant_id": "M1", "credit_limit_minor": 500_00})
    short = {"merchant_id": "M1", "merchant_name": "One", "currency": "EUR", "shortfall_minor": 7_00}
    coverage = pd.DataFrame([short])
    seen = []
    for day in ("2023-11-30", "2023-12-01"):
        tables = _measure(contracts(_line(1_000_00)), known, as_of=day)
        seen.append(raise_alerts(tables["exposures"], tables["concentration"], coverage, settings(day))["alerts"])
    assert seen[0]["alert_id"].tolist() == ["LIMIT_BREACH:merchant:M1:EUR", "RESERVE_SHORTFALL:merchant:M1:EUR"]
    assert seen[0]["alert_id"].tolist() == seen[1]["alert_id"].tolist()
    assert seen[0]["subject_name"].tolist() == ["Merchant One", "One"]
    assert seen[0]["detail"].tolist()[0] == "200.00 % of the limit used"


def test_without_a_rate_the_limit_stays_open_and_an_alert_says_so() -> None:
    tables = _measure(contracts(_line(600_00, currency="USD")), merchants({"merchant_id": "M1"}))
    assert tables["exposures"].query("scope == 'merchant'")[["level", "limit_source"]].to_numpy().tolist() == [
        ["none", "no rate"]
    ]
    assert tables["concentration_totals"]["unconverted_count"].tolist() == [1]
    alerts = raise_alerts(tables["exposures"], tables["concentration"], _NO_COVERAGE, settings())["alerts"]
    assert alerts["alert_id"].tolist() == ["FX_RATE_MISSING:merchant:M1:USD"]
