import pytest

from atlas_lib.core.tables import declared
from atlas_lib.reconciliation import main_currency, merchant_performance, rank_merchants
from tests.reconciliation.reconciliation_frames import payment, settings
from tests.reconciliation.test_final_index import index_of


def kpis_of(*ours, **rows):
    return merchant_performance(index_of(*ours, **rows), settings())["merchant_kpis"]


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
