import pandas as pd
import pytest

from atlas_lib.reconciliation import profile_spending
from tests.reconciliation.reconciliation_frames import frame_of, payment, settings
from tests.reconciliation.test_final_index import index_of
from tests.reserves_credit.reserves_credit_frames import merchants


def spending_of(*ours, **chosen):
    return profile_spending(index_of(*ours), SHOPS, settings(**chosen))


SHOPS = merchants(
    *({"merchant_id": m, "category": c} for m, c in (("M1", "food"), ("M2", "food"), ("M3", "books"), ("M4", None)))
)


BOOK = (
    payment("T1", 1000, "2026-09-05", merchant_id="M2"),
    payment("T2", 3000, "2026-10-05", merchant_id="M1"),
    payment("T3", 2000, "2026-10-06", merchant_id="M2"),
    payment("T4", 9000, "2026-10-07", merchant_id="M3", status="REFUNDED"),
    payment("T5", 7777, "2026-10-07", status="DECLINED"),
    payment("R4", 9000, "2026-10-08", merchant_id="M3", type="REFUND"),
)


def test_a_profile_tells_monthly_spend_typical_amount_and_favourites():
    row = spending_of(*BOOK)["spend_profiles"].iloc[0]
    assert row[["purchase_count", "spend_minor", "active_month_count"]].tolist() == [4, 15_000, 2]
    assert row["monthly_spend_minor"] == 7_500
    assert row["typical_amount_minor"] == 2_000  # the lower one of the two in the middle
    assert row["favourite_merchants"] == "M2, M3, M1"
    assert row["favourite_categories"] == "food, books"
    assert row[["largest_amount_minor", "refund_count"]].tolist() == [9_000, 1]
    assert row["last_purchase_date"] == pd.Timestamp("2026-10-07")


def test_the_typical_hour_is_the_one_with_most_purchases_and_no_category_is_said_so():
    hours = ("09:10", "21:00", "21:59", "09:30", "22:00", "21:30")
    ours = [payment(f"T{i}", 100, "2026-10-05", time=hour, merchant_id="M4") for i, hour in enumerate(hours)]
    row = spending_of(*ours)["spend_profiles"].iloc[0]
    assert row[["typical_hour_no", "favourite_categories"]].tolist() == [21, ""]


def habit(amounts):
    return [payment(f"T{i}", amount, f"2026-10-{i + 1:02d}") for i, amount in enumerate(amounts)]


def test_a_purchase_far_above_the_habit_is_an_anomaly():
    # Median 1005 or 1000; a spread is at least a tenth, and four typical purchases are asked for.
    found = spending_of(*habit([990, 1000, 1010, 1005, 4019]))["spend_anomalies"]
    assert found.empty
    found = spending_of(*habit([990, 1000, 1010, 1000, 4000]))["spend_anomalies"]
    assert found[["transaction_id", "typical_amount_minor", "spread_minor"]].to_numpy().tolist() == [["T4", 1000, 100]]
    assert found.iloc[0]["times_spread"] == pytest.approx(14.5451, abs=1e-4)  # ln 4 / ln 1.1


def weekly(amounts):
    """One purchase a week in the morning, from 2 March 2026 (a Monday)."""
    days = pd.date_range("2026-03-02", periods=len(amounts), freq="7D").strftime("%Y-%m-%d")
    return [payment(f"T{i:02d}", a, day, time="09:00") for i, (a, day) in enumerate(zip(amounts, days, strict=True))]


def test_who_buys_for_very_different_amounts_is_measured_by_that():
    # Median 1000, and half or double of it as a rule: five spreads are 2 ** 5 times the typical purchase.
    varied = [500, 500, 1000, 2000, 2000]
    assert spending_of(*habit([*varied, 31_999]))["spend_anomalies"].empty
    assert spending_of(*habit([*varied, 32_001]))["spend_anomalies"]["kind"].tolist() == ["LARGE_PURCHASE"]


def test_a_week_far_above_the_usual_one_is_a_spike_shown_at_its_largest_purchase():
    spree = [payment(f"X{i}", 900, "2026-04-15") for i in range(12)]
    found = spending_of(*weekly([1000] * 20), *spree)["spend_anomalies"]
    spike = found[found["kind"] == "SPEND_SPIKE"].iloc[0]
    assert len(found) == 1
    assert spike[["transaction_id", "amount_minor", "typical_amount_minor"]].tolist() == ["T06", 11_800, 1000]
    assert spike["times_spread"] == pytest.approx(10.8)


def test_weeks_without_purchases_count_as_nothing_spent():
    found = spending_of(*weekly([1000] * 20)[::5])["spend_anomalies"]
    assert found.empty  # one purchase in five weeks: the usual week is 0, a purchase of the usual size is no spike
    few = spending_of(*weekly([1000] * 7), *(payment(f"X{i}", 900, "2026-03-18") for i in range(30)))["spend_anomalies"]
    assert few.empty  # seven weeks make no habit


def test_a_large_purchase_at_an_hour_the_customer_never_buys_at_is_noted():
    days = weekly([1000] * 60)
    night = payment("N1", 1001, "2026-05-06", time="03:00")
    found = spending_of(*days, night)["spend_anomalies"]
    assert found[["kind", "transaction_id"]].to_numpy().tolist() == [["UNUSUAL_HOUR", "N1"]]
    assert (
        found["reason"].iloc[0]
        == "The customer hardly ever buys at this hour: 0 of 60 other purchases lie within two hours of it."
    )
    assert spending_of(*days, night | {"amount_minor": 1000})["spend_anomalies"].empty
    assert spending_of(*days[:28], night)["spend_anomalies"].empty


def test_hours_around_midnight_are_neighbours():
    late = [payment(f"L{i}", 1000, f"2026-0{3 + i // 28}-{i % 28 + 1:02d}", time="23:30") for i in range(60)]
    assert spending_of(*late, payment("N1", 1500, "2026-05-06", time="00:30"))["spend_anomalies"].empty


def test_four_purchases_make_no_habit():
    assert spending_of(*habit([100, 100, 100, 99_999]))["spend_anomalies"].empty


def test_without_purchases_there_are_no_profiles():
    assert all(f.empty for f in spending_of().values())
    assert all(f.empty for f in spending_of(payment("P1", 5, "2026-10-05", type="PAYOUT")).values())


@pytest.mark.slow
def test_spark_makes_the_same_index_kpis_and_profiles(spark_engine):
    from atlas_lib.reconciliation import merchant_performance

    ours = [
        *BOOK,
        *(payment(f"H{i}", a, "2026-10-20", user_id="U2") for i, a in enumerate([990, 1000, 1010, 1000, 4000])),
        *(row | {"user_id": "U3", "transaction_id": "W" + row["transaction_id"]} for row in weekly([1000] * 60)),
        *(payment(f"X{i}", 900, "2026-04-15", user_id="U3") for i in range(12)),
        payment("N1", 1500, "2026-05-06", time="03:00", user_id="U3"),
    ]
    assert spark_engine.name == "spark"
    one, other = ({"final_index": index_of(*ours, chosen=settings(engine=e))} for e in ("duckdb", "spark"))
    for tables, engine in ((one, "duckdb"), (other, "spark")):
        parts = frame_of("reserve_coverage", []), frame_of("exposures", [])
        tables |= merchant_performance(tables["final_index"], *parts, settings(engine=engine))
        tables |= profile_spending(tables["final_index"], SHOPS, settings(engine=engine))
    assert set(one["spend_anomalies"]["kind"]) == {"LARGE_PURCHASE", "UNUSUAL_HOUR", "SPEND_SPIKE"}
    for name in one:
        pd.testing.assert_frame_equal(one[name], other[name])
