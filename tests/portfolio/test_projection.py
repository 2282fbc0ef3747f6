"""The book by month and by maturity."""

from __future__ import annotations

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_lib.core.settings import PortfolioSettings
from atlas_lib.core.tables import declared
from atlas_lib.portfolio.projection import active_months, fit_workbook, ladder_maturities, project_months
from atlas_lib.portfolio.schedules import plan_schedule
from tests.portfolio.portfolio_frames import contracts_of, small_contract

SETTINGS = PortfolioSettings(as_of="2024-02-15")
TWO_MERCHANTS = contracts_of(
    small_contract(30_000, 3, start_date="2024-01-10", merchant_id="A", merchant_name="Alpha"),
    small_contract(8_000, 2, start_date="2024-02-20", merchant_id="B", merchant_name="Beta", customer_payment_minor=4_000),
)  # fmt: skip


def schedule_of(contracts):
    return plan_schedule(contracts, SETTINGS)["schedule"]


def test_the_book_rises_with_purchases_and_falls_with_principal():
    book = project_months(TWO_MERCHANTS, schedule_of(TWO_MERCHANTS))["book_monthly"]
    assert book["month_end_date"].dt.strftime("%Y-%m-%d").tolist() == [
        "2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30",
    ]  # fmt: skip
    assert book["purchased_minor"].tolist() == [30_000, 8_000, 0, 0]
    assert book["principal_minor"].tolist() == [0, 10_000, 14_000, 14_000]
    assert book["outstanding_minor"].tolist() == [30_000, 28_000, 14_000, 0]
    assert book["instalment_count"].tolist() == [0, 1, 2, 2]
    assert book["interest_to_date_minor"].iloc[-1] == book["interest_minor"].sum()


def test_every_merchant_has_a_row_in_every_month():
    monthly = project_months(TWO_MERCHANTS, schedule_of(TWO_MERCHANTS))["portfolio_monthly"]
    assert monthly.groupby("month_end_date")["merchant_id"].apply(list).tolist() == [["A", "B"]] * 4
    beta = monthly[monthly["merchant_id"] == "B"]
    assert beta["outstanding_minor"].tolist() == [0, 8_000, 4_000, 0]


def test_quiet_months_are_left_out_of_the_workbook_without_losing_a_cent():
    monthly = project_months(TWO_MERCHANTS, schedule_of(TWO_MERCHANTS))["portfolio_monthly"]
    active = active_months(monthly)
    assert len(active) == len(monthly) - 1  # Beta has nothing in January
    assert active["instalment_minor"].sum() == monthly["instalment_minor"].sum()


def test_a_table_too_long_for_excel_is_named_and_not_cut():
    fitted, note = fit_workbook({"short": pd.DataFrame({"a": [1]}), "long": pd.DataFrame({"a": range(200_001)})})
    assert [len(frame) for frame in fitted.values()] == [1, 0]
    assert note == "Too long for Excel, see the run's Parquet tables: long (200,001 rows)"
    assert fit_workbook({})[1] == ""


def test_the_ladder_shows_what_is_left_to_collect_by_time_to_its_due_date():
    # As of 15 February: 12 February is due, 11 and 20 March lie within 60 days, 10 April 55 days ahead, 22 April 67.
    ladder = ladder_maturities(schedule_of(TWO_MERCHANTS), SETTINGS)["maturity_ladder"]
    shown = ladder[ladder["instalment_count"] > 0].set_index("bucket")
    assert shown["principal_minor"].to_dict() == {"due to date": 10_000, "1-30 days": 10_000, "31-90 days": 14_000}
    assert shown["instalment_count"].to_dict() == {"due to date": 1, "1-30 days": 1, "31-90 days": 3}
    assert ladder["share_rate"].sum() == 1


def test_an_instalment_already_received_leaves_the_ladder_once_it_is_due():
    paid = contracts_of(small_contract(20_000, 2, start_date="2024-01-10", customer_payment_minor=10_000))
    ladder = ladder_maturities(schedule_of(paid), SETTINGS)["maturity_ladder"]
    assert ladder["instalment_count"].sum() == 1
    assert ladder["interest_minor"].sum() == 58  # 100.00 x 7 % / 12; the 1.17 of the first month has gone


def test_nothing_outstanding_gives_shares_of_zero():
    paid = contracts_of(small_contract(1_000, 2, customer_payment_minor=1_000))
    ladder = ladder_maturities(schedule_of(paid), SETTINGS)["maturity_ladder"]
    assert ladder["principal_minor"].sum() == 0
    assert (ladder["share_rate"] == 0).all()


def test_no_contracts_give_empty_tables():
    contracts, schedule = declared("contracts").empty(), declared("schedule").empty()
    tables = project_months(contracts, schedule) | ladder_maturities(schedule, SETTINGS)
    assert [name for name, frame in tables.items() if not frame.empty] == []


rows = st.builds(
    small_contract,
    st.integers(0, 1_000_000),
    st.integers(1, 30),
    merchant_id=st.sampled_from(["A", "B", "C"]),
    currency=st.sampled_from(["EUR", "JPY"]),
    customer_payment_minor=st.integers(0, 1_000_000),
    start_date=st.dates(pd.Timestamp("2020-01-01").date(), pd.Timestamp("2026-12-31").date()).map(str),
)


@settings(max_examples=25)
@given(st.lists(rows, min_size=1, max_size=8))
def test_merchants_add_up_to_the_book_and_the_book_to_its_contracts(book_rows):
    contracts = contracts_of(*book_rows)
    schedule = schedule_of(contracts)
    tables = project_months(contracts, schedule)
    monthly, book = (declared(n).checked(tables[n]) for n in ("portfolio_monthly", "book_monthly"))
    columns = ["purchased_minor", "principal_minor", "interest_minor", "outstanding_minor", "instalment_count"]
    by_month = monthly.groupby(["month_end_date", "currency"])[columns].sum().reset_index()
    key = ["month_end_date", "currency"]
    pd.testing.assert_frame_equal(by_month, book.sort_values(key, ignore_index=True)[key + columns])
    face = contracts.groupby("currency")["receivable_minor"].sum()
    assert book.groupby("currency")["principal_minor"].sum().to_dict() == face.to_dict()
    assert (book.groupby("currency")["outstanding_minor"].last() == 0).all()
    assert (monthly["outstanding_minor"] >= 0).all()
