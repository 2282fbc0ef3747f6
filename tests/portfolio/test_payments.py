"""Dated payments: what they cover, what is late, and that no cent is lost."""

from __future__ import annotations

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_lib.core.settings import PortfolioSettings
from atlas_lib.core.tables import declared
from atlas_lib.portfolio.payments import age_arrears, credit_payments, place_payments
from atlas_lib.portfolio.schedules import plan_schedule
from tests.portfolio.portfolio_frames import contracts_of, small_contract

# As of 20 April 2024: 15 January to 15 April are due (15 January being the first).
PLAN = PortfolioSettings(as_of="2024-04-20")
FOUR_DUE = small_contract(120_000, 12, start_date="2023-12-15")


def payments_of(*rows):
    columns = ["contract_id", "payment_date", "amount_minor", "currency"]
    frame = pd.DataFrame([dict(zip(columns, (*r, "EUR")[:4], strict=True)) for r in rows], columns=columns)
    frame = frame.assign(
        payment_id=[f"P{i:03d}" for i in range(len(frame))], reference=None, source_file="p.csv", source_sheet="",
        source_row=range(2, len(frame) + 2), payment_date=pd.to_datetime(frame["payment_date"]),
    )  # fmt: skip
    return declared("customer_payments").checked(frame)


def aged(contracts, *rows):
    placed = declared("payment_results").checked(place_payments(contracts, payments_of(*rows), PLAN)["payment_results"])
    credited = credit_payments(contracts, placed)
    tables = age_arrears(credited, plan_schedule(credited, PLAN)["schedule"], placed, PLAN)
    return placed, *(declared(n).checked(tables[n]) for n in ("arrears", "ageing"))


def test_a_missed_instalment_is_overdue_since_its_due_date():
    _, arrears, ageing = aged(contracts_of(FOUR_DUE), ("C001", "2024-01-15", 10_000), ("C001", "2024-02-15", 10_000))
    one = arrears.iloc[0]
    assert (one["overdue_minor"], one["overdue_count"]) == (20_000, 2)
    assert one["days_past_due"] == 36  # since 15 March
    assert one["bucket"] == "31-60 days"
    assert ageing.set_index("bucket")["overdue_minor"].to_dict() == {
        "not past due": 0, "1-30 days": 10_000, "31-60 days": 10_000, "61-90 days": 0, "over 90 days": 0,
    }  # fmt: skip
    assert ageing["outstanding_minor"].tolist() == [0, 0, 100_000, 0, 0]


def test_an_instalment_due_today_is_not_past_due():
    contracts = contracts_of(small_contract(120_000, 12, start_date="2024-03-20"))  # due on 22 April
    _, arrears, _ = aged(contracts, ("C001", "2024-04-20", 1))
    assert arrears["days_past_due"].tolist() == [0]
    assert arrears["prepaid_minor"].tolist() == [1]


def test_a_payment_that_came_late_counts_late_and_is_no_longer_overdue():
    _, arrears, _ = aged(
        contracts_of(FOUR_DUE), ("C001", "2024-01-15", 10_000), ("C001", "2024-03-01", 10_000), ("C001", "2024-04-19", 20_000)
    )  # fmt: skip
    assert arrears[["overdue_minor", "days_past_due", "late_count"]].iloc[0].tolist() == [0, 0, 3]


def test_a_prepayment_covers_the_next_instalments_and_an_overpayment_is_a_credit():
    contracts = contracts_of(FOUR_DUE, small_contract(20_000, 2, start_date="2024-01-15"))
    placed, arrears, _ = aged(contracts, ("C001", "2024-02-01", 65_000), ("C002", "2024-02-01", 20_500))
    assert arrears["prepaid_minor"].tolist() == [25_000, 0]
    assert arrears["credit_minor"].tolist() == [0, 500]
    assert arrears["outstanding_minor"].tolist() == [55_000, 0]
    assert placed["credit_minor"].tolist() == [0, 500]


def test_a_payment_that_fits_no_contract_stays_open_with_its_reason():
    placed, *_ = aged(
        contracts_of(FOUR_DUE), ("X", "2024-01-15", 5), ("C001", "2024-01-15", 7, "USD"), ("C001", "2024-04-21", 9)
    )
    assert placed["status"].tolist() == ["unknown contract", "other currency", "after the as-of day"]
    assert placed["open_minor"].tolist() == [5, 7, 9]


def test_what_was_received_at_the_purchase_is_never_late():
    contracts = contracts_of(FOUR_DUE | {"customer_payment_minor": 30_000})
    _, arrears, _ = aged(contracts, ("C001", "2024-04-18", 10_000))
    assert arrears[["overdue_minor", "late_count"]].iloc[0].tolist() == [0, 1]


def test_without_dated_payments_arrears_are_not_told():
    _, arrears, ageing = aged(contracts_of(FOUR_DUE))
    assert arrears.empty
    assert ageing.empty


payment = st.tuples(
    st.sampled_from(["C001", "C002", "C003"]),
    st.dates(pd.Timestamp("2023-12-01").date(), pd.Timestamp("2024-05-30").date()).map(str),
    st.integers(1, 90_000),
    st.sampled_from(["EUR", "EUR", "USD"]),
)


@settings(max_examples=15)
@given(st.lists(payment, min_size=1, max_size=12), st.integers(0, 50_000))
def test_every_cent_received_repays_is_a_credit_or_stays_open(rows, at_purchase):
    contracts = contracts_of(
        FOUR_DUE | {"customer_payment_minor": at_purchase}, small_contract(20_000, 2, start_date="2024-01-31")
    )
    placed, arrears, ageing = aged(contracts, *rows)
    parts = placed[["applied_minor", "credit_minor", "open_minor"]]
    assert (parts.sum(axis=1) == placed["amount_minor"]).all()
    assert (parts >= 0).all(axis=None)
    assert placed["amount_minor"].sum() == sum(r[2] for r in rows)
    applied = placed["applied_minor"].sum() + at_purchase
    assert arrears["outstanding_minor"].sum() == 140_000 - applied
    assert ageing["overdue_minor"].sum() == arrears["overdue_minor"].sum()
    assert ageing["outstanding_minor"].sum() == arrears["outstanding_minor"].sum()
    assert (arrears["late_count"] == late_by_hand(contracts, placed)).all()


def late_by_hand(contracts, placed):
    """Instalment by instalment, payment by payment."""
    counts = []
    for c in contracts.itertuples():
        plan = plan_schedule(contracts[contracts["contract_id"] == c.contract_id], PLAN)["schedule"]
        mine = placed[placed["contract_id"] == c.contract_id].sort_values(["payment_date", "payment_id"])
        late, due = 0, 0
        for line in plan.itertuples():
            due += line.principal_minor
            received = c.customer_payment_minor
            for p in mine.itertuples():
                if received >= due:
                    break
                received += p.applied_minor
                if received >= due:
                    late += int(p.payment_date > line.due_date)
        counts.append(late)
    return counts
