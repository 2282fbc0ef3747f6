import pandas as pd
import pytest

from atlas_lib.core.tables import declared
from atlas_lib.reconciliation import (
    main_currency,
    merchant_performance,
    outstanding_merchants,
    rank_merchants,
    volumes_by_month,
)
from tests.reconciliation.reconciliation_frames import frame_of, payment, settings
from tests.reconciliation.test_final_index import index_of


def performance_of(*ours, coverage=(), exposures=(), **rows):
    parts = frame_of("reserve_coverage", list(coverage)), frame_of("exposures", list(exposures))
    return merchant_performance(index_of(*ours, **rows), *parts, settings())


def kpis_of(*ours, **rows):
    return performance_of(*ours, **rows)["merchant_kpis"]


BOOK = (
    payment("T1", 1000, "2026-10-05"),
    payment("T2", 2001, "2026-10-05", status="REFUNDED"),
    payment("T3", 9999, "2026-10-05", status="DECLINED"),
    payment("R1", 300, "2026-10-06", type="REFUND"),
    payment("C1", 150, "2026-10-06", type="CHARGEBACK"),
    payment("F1", 50, "2026-10-06", type="FEE"),
    payment("P1", 2500, "2026-10-06", type="PAYOUT"),
    payment("T4", 70, "2026-10-05", currency="USD"),
)


def test_net_settlement_is_sales_less_refunds_chargebacks_and_fees():
    reconciled = [
        {"transaction_id": "T1", "reconciled_status": "MATCHED", "fee_minor": 14},
        {"transaction_id": "T2", "reconciled_status": "PARTIAL", "discrepancy_minor": -40},
    ]
    row = kpis_of(*BOOK, batch_index=reconciled).set_index("currency").loc["EUR"]
    assert row[["sale_count", "volume_minor", "average_ticket_minor"]].tolist() == [2, 3001, 1501]
    assert row[["refund_minor", "chargeback_minor", "fee_minor"]].tolist() == [300, 150, 64]
    assert row["net_settlement_minor"] == 3001 - 300 - 150 - 64
    assert row[["matched_count", "due_count", "open_discrepancy_minor"]].tolist() == [1, 6, 40]
    assert row["refund_rate"] == pytest.approx(300 / 3001)
    assert row["chargeback_rate"] == 0.5


def test_currencies_are_never_added_together():
    assert kpis_of(*BOOK).set_index("currency")["volume_minor"].to_dict() == {"EUR": 3001, "USD": 70}


def test_a_merchant_without_sales_has_no_rates():
    row = kpis_of(payment("P1", 2500, "2026-10-06", type="PAYOUT")).iloc[0]
    assert row[["average_ticket_minor", "refund_rate", "chargeback_rate"]].isna().all()


def test_the_league_table_is_of_one_currency_largest_first():
    kpis = kpis_of(payment("T1", 10, "2026-10-05"), payment("T2", 20, "2026-10-05", merchant_id="M2"), BOOK[-1])
    assert rank_merchants(kpis, "EUR")["merchant_id"].tolist() == ["M2", "M1"]


def test_the_main_currency_has_the_most_transactions():
    assert main_currency(index_of(*BOOK)) == "EUR"
    assert main_currency(index_of(BOOK[0], BOOK[-1])) == "EUR"
    assert main_currency(declared("final_index").empty()) == ""


def test_an_empty_index_gives_no_merchants():
    assert kpis_of().empty


def sales(merchant_id, count, chargebacks, prefix=""):
    made = [payment(f"{prefix}{merchant_id}S{i}", 100, "2026-10-05", merchant_id=merchant_id) for i in range(count)]
    back = {"merchant_id": merchant_id, "type": "CHARGEBACK"}
    return made + [payment(f"{prefix}{merchant_id}C{i}", 100, "2026-10-06", **back) for i in range(chargebacks)]


def test_rates_have_the_interval_that_statsmodels_gives():
    from statsmodels.stats.proportion import proportion_confint

    row = kpis_of(*sales("M1", 40, 3)).iloc[0]
    expected = proportion_confint(3, 40, alpha=0.05, method="wilson")
    assert row[["chargeback_low_rate", "chargeback_high_rate"]].tolist() == pytest.approx(expected, abs=1e-12)
    assert row["fraud_low_rate"] == 0
    assert 0 < row["fraud_high_rate"] < 0.1


def test_one_chargeback_of_two_sales_does_not_stand_out_but_many_do():
    kpis = kpis_of(*sales("M1", 400, 4), *sales("M2", 2, 1), *sales("M3", 100, 20)).set_index("merchant_id")
    assert kpis["chargeback_peer_rate"].to_dict() == pytest.approx({"M1": 21 / 102, "M2": 24 / 500, "M3": 5 / 402})
    assert kpis["stands_out"].to_dict() == {"M1": "", "M2": "", "M3": "chargebacks"}
    assert kpis.loc["M2", "chargeback_low_rate"] > kpis.loc["M2", "chargeback_peer_rate"]  # one case, though
    assert outstanding_merchants(kpis.reset_index())["merchant_id"].iloc[0] == "M3"


def test_a_merchant_alone_in_its_currency_has_no_peers():
    row = kpis_of(*sales("M1", 4, 1)).iloc[0]
    assert pd.isna(row["chargeback_peer_rate"])
    assert row["stands_out"] == ""


def test_reserve_and_exposure_stand_beside_the_figures():
    coverage = [{"merchant_id": "M1", "currency": "EUR", "balance_minor": 77}]
    exposures = [
        {"scope": "merchant", "subject_id": "M1", "currency": "EUR", "effective_minor": 55},
        {"scope": "counterparty", "subject_id": "M1", "currency": "EUR", "effective_minor": 1},
    ]
    row = kpis_of(BOOK[0], coverage=coverage, exposures=exposures).iloc[0]
    assert row[["reserve_minor", "exposure_minor"]].tolist() == [77, 55]
    assert kpis_of(BOOK[0]).iloc[0][["reserve_minor", "exposure_minor"]].isna().all()


def test_a_month_is_compared_with_the_three_before_once_it_is_over():
    amounts = {"2026-06-10": 100, "2026-07-10": 200, "2026-09-10": 300, "2026-10-10": 999}
    found = performance_of(*(payment(day, a, day) for day, a in amounts.items()))["merchant_months"]
    assert found["month"].dt.strftime("%m").tolist() == ["06", "07", "09", "10"]
    assert found["usual_volume_minor"].astype(object).where(found["usual_volume_minor"].notna(), None).tolist() == [
        None,
        33,
        100,
        167,
    ]
    assert found["volume_change_rate"].isna().tolist() == [True, True, False, True]  # October is under way on the 30th
    assert found["volume_change_rate"].iloc[2] == 2.0
    assert found["is_under_way"].tolist() == [False, False, False, True]
    assert volumes_by_month(found, "EUR")["month"].tolist() == ["2026-06", "2026-07", "2026-09", "2026-10, under way"]
    assert list(volumes_by_month(found, "USD").columns) == ["month"]
    assert volumes_by_month(found, "EUR")["M1_minor"].tolist() == [100, 200, 300, 999]


def test_months_add_up_to_the_whole():
    tables = performance_of(*BOOK, *sales("M2", 7, 2))
    months = tables["merchant_months"].groupby(["merchant_id", "currency"])
    kpis = tables["merchant_kpis"].set_index(["merchant_id", "currency"])
    for column in (
        "sale_count",
        "volume_minor",
        "refund_minor",
        "chargeback_count",
        "fee_minor",
        "net_settlement_minor",
    ):
        assert months[column].sum().to_dict() == kpis[column].to_dict()
