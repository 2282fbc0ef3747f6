import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_lib.core.tables import declared
from tests.reconciliation.reconciliation_frames import balances_of, frame_of, line, match, payment, reconcile
from tests.reconciliation.reconciliation_frames import settings as chosen


def payments(*rows):
    return frame_of("transactions", list(rows))


def lines(*rows):
    return frame_of("statement_lines", list(rows))


def pairs(found):
    names = ["transaction_id", "line_id", "match_pass"]
    return sorted(map(tuple, found["matches"][names].to_numpy().tolist()))


def test_a_line_that_quotes_the_reference_is_matched_however_it_is_written():
    found = match(
        payments(payment("T1", 1000, "2026-10-05", reference="Bestellung 17/B")),
        lines(line("1", 1000, "2026-10-07", end_to_end_id="BESTELLUNG-17-B")),
    )
    assert pairs(found) == [("T1", "1", "reference")]


def test_a_line_that_quotes_our_transaction_id_is_matched():
    found = match(
        payments(payment("T-1", 1000, "2026-10-05")), lines(line("1", 1000, "2026-10-20", transaction_id="T1"))
    )
    assert pairs(found) == [("T-1", "1", "reference")]


def test_a_sale_is_matched_net_of_the_fee_the_bank_kept():
    found = match(
        payments(payment("T1", 1000, "2026-10-05", reference="R1")),
        lines(line("1", 986, "2026-10-05", end_to_end_id="R1", fee_charged_minor=14)),
    )
    row = found["matches"].iloc[0]
    assert (row["value_minor"], row["fee_minor"]) == (1000, 14)


@pytest.mark.parametrize("difference, matched", [(-2, 1), (2, 1), (-3, 0), (3, 0)])
def test_a_named_line_is_matched_only_within_the_tolerance(difference, matched):
    found = match(
        payments(payment("T1", 1000, "2026-10-05", reference="R1")),
        lines(line("1", 1000 + difference, "2026-10-05", end_to_end_id="R1")),
    )
    assert len(found["matches"]) == matched
    assert len(found["links"]) == 1 - matched


def test_a_named_line_in_the_wrong_direction_stays_linked_and_is_not_matched():
    found = match(
        payments(payment("T1", 1000, "2026-10-05", reference="R1")),
        lines(line("1", 1000, "2026-10-05", end_to_end_id="R1", credit_debit_indicator="DBIT")),
    )
    assert found["matches"].empty
    assert found["links"].iloc[0]["kind"] == "mismatch"
    assert not found["links"].iloc[0]["same_direction"]


def test_two_lines_that_add_up_to_one_payment_are_a_split():
    found = match(
        payments(payment("T1", 1000, "2026-10-05", reference="R1")),
        lines(line("1", 600, "2026-10-05", end_to_end_id="R1"), line("2", 400, "2026-10-06", end_to_end_id="R1")),
    )
    assert pairs(found) == [("T1", "1", "split"), ("T1", "2", "split")]
    assert set(found["matches"]["match_id"]) == {"MP-T1"}
    assert found["matches"]["amount_minor"].sum() == 1000


def test_a_line_that_lists_several_payouts_is_a_merge():
    payouts = [payment(f"P{i}", 100 * i, "2026-10-05", type="PAYOUT", reference=f"PAY-00{i}") for i in (1, 2, 3)]
    text = "Sammelauszahlung 3 Posten PAY-001, PAY-002 PAY-003"
    found = match(
        payments(*payouts), lines(line("1", 600, "2026-10-06", credit_debit_indicator="DBIT", remittance_text=text))
    )
    assert pairs(found) == [("P1", "1", "merge"), ("P2", "1", "merge"), ("P3", "1", "merge")]


def test_a_refund_netted_off_in_the_same_line_counts_against_the_sales():
    found = match(
        payments(
            payment("T1", 900, "2026-10-05", reference="DAY05"),
            payment("T2", 300, "2026-10-05", reference="DAY05"),
            payment("R1", 200, "2026-10-05", type="REFUND", reference="DAY05"),
        ),
        lines(line("1", 1000, "2026-10-06", end_to_end_id="DAY05")),
    )
    assert pairs(found) == [("R1", "1", "merge"), ("T1", "1", "merge"), ("T2", "1", "merge")]
    assert found["matches"]["value_minor"].sum() == 1000


ODD, ROUND, PRICES = [31_317, 52_919, 42_118], [31_000, 52_000, 42_000], [1_999, 2_999, 4_999]


@pytest.mark.parametrize("name", ["Shop 1", None])
@pytest.mark.parametrize("amounts, is_taken", [(ODD, True), (ROUND, False), (PRICES, False)])
def test_a_merchants_day_in_one_line_is_matched_when_chance_is_small_and_else_suggested(name, amounts, is_taken):
    merchants = frame_of("merchants", [{"merchant_id": "M1", "merchant_name": "Shop 1"}])
    payouts = [payment(f"P{a}", a, "2026-10-05", type="PAYOUT", reference=f"PAY-{a}") for a in amounts]
    bank = [line("1", sum(amounts), "2026-10-06", credit_debit_indicator="DBIT", counterparty_name=name)]
    found = match(payments(*payouts), lines(*bank), merchants=merchants)
    assert [p for _, _, p in pairs(found)] == ["day_sum"] * 3 * is_taken
    assert found["suggestions"]["match_pass"].tolist() == ["day_sum"] * 3 * (not is_taken)
    assert set(found["suggestions"]["rival"]) <= {"amounts so round may agree by chance"}


def test_a_line_without_reference_is_matched_by_amount_and_date_when_nothing_else_fits():
    found = match(
        payments(payment("T1", 1234, "2026-10-05", reference="R1"), payment("T2", 1234, "2026-09-01", reference="R2")),
        lines(line("1", 1234, "2026-10-07", end_to_end_id="NOTPROVIDED")),
    )
    assert pairs(found) == [("T1", "1", "amount_date")]


def test_two_payments_that_fit_one_line_are_suggested_with_the_rival_named():
    found = match(
        payments(payment("T1", 1234, "2026-10-05"), payment("T2", 1234, "2026-10-05")),
        lines(line("1", 1234, "2026-10-07")),
    )
    assert found["matches"].empty
    rivals = dict(found["suggestions"][["transaction_id", "rival"]].to_numpy().tolist())
    assert rivals == {"T1": "transaction T2", "T2": "transaction T1"}


def test_two_lines_that_fit_one_payment_are_suggested_with_the_rival_named():
    found = match(
        payments(payment("T1", 1234, "2026-10-05")), lines(line("1", 1234, "2026-10-06"), line("2", 1234, "2026-10-07"))
    )
    assert found["matches"].empty
    assert found["suggestions"].iloc[0][["line_id", "rival"]].tolist() == ["1", "bank line S1/2"]


def test_the_known_name_on_the_line_decides_between_two_payments():
    merchants = frame_of("merchants", [{"merchant_id": f"M{i}", "merchant_name": f"Händler {i}"} for i in (1, 2)])
    found = match(
        payments(payment("T1", 1234, "2026-10-05"), payment("T2", 1234, "2026-10-05", merchant_id="M2")),
        lines(line("1", 1234, "2026-10-06", counterparty_name="HANDLER 2")),
        merchants=merchants,
    )
    assert pairs(found) == [("T2", "1", "amount_date")]


@pytest.mark.parametrize("day, matched", [("2026-10-04", 1), ("2026-10-03", 0), ("2026-10-12", 1), ("2026-10-13", 0)])
def test_the_date_window_counts_both_of_its_ends(day, matched):
    found = match(payments(payment("T1", 1234, "2026-10-05")), lines(line("1", 1234, day)))
    assert len(found["matches"]) == matched


def test_a_line_with_another_full_reference_is_never_taken_by_amount():
    found = match(
        payments(payment("T1", 1234, "2026-10-05", reference="AS261005-0000001")),
        lines(line("1", 1234, "2026-10-06", end_to_end_id="EXT8000013")),
    )
    assert found["matches"].empty and found["suggestions"].empty


def test_a_payment_booked_in_its_destination_currency_is_matched_at_the_days_rate():
    rates = frame_of("fx_rates", [{"date": pd.Timestamp("2026-10-01"), "currency": "JPY", "rate": 160.0}])
    found = match(
        payments(payment("T1", 1000, "2026-10-05", destination_currency="JPY", reference="R1")),
        lines(line("1", 1600, "2026-10-06", currency="JPY", end_to_end_id="R1")),
        fx_rates=rates,
    )
    assert found["matches"].iloc[0]["value_minor"] == 1000


def test_days_late_counts_open_days_from_the_cut_off_on():
    # 2 October 2026 is a Friday; after 17:00 CET the payment counts for Monday.
    booked = lines(line("1", 1000, "2026-10-08", end_to_end_id="R1"), line("2", 1000, "2026-10-08", end_to_end_id="R2"))
    found = match(
        payments(
            payment("T1", 1000, "2026-10-02", reference="R1", time="10:00"),
            payment("T2", 1000, "2026-10-02", reference="R2", time="17:30"),
        ),
        booked,
    )
    assert dict(found["matches"][["transaction_id", "days_late"]].to_numpy().tolist()) == {"T1": 4, "T2": 3}


def test_declined_and_pending_payments_are_not_matched():
    found = match(
        payments(payment("T1", 1000, "2026-10-05", status="DECLINED", reference="R1")),
        lines(line("1", 1000, "2026-10-05", end_to_end_id="R1"), line("2", 5, "2026-10-05", status="PDNG")),
    )
    assert found["matches"].empty
    assert found["links"]["kind"].tolist() == ["not_due"]


@pytest.mark.parametrize("empty", ["transactions", "statement_lines"])
def test_without_one_side_there_is_nothing_to_match(empty):
    sides = {
        "transactions": payments(payment("T1", 1000, "2026-10-05")),
        "statement_lines": lines(line("1", 1000, "2026-10-05")),
    }
    found = match(**(sides | {empty: declared(empty).empty()}))
    assert all(frame.empty for frame in found.values())


AMOUNTS = st.sampled_from([1000, 1001, 1500, 2500])
DAYS = st.sampled_from(["2026-10-05", "2026-10-06", "2026-10-09", "2026-10-29"])
NAMES = st.sampled_from([None, "REF-A1", "REF-B2", "REF-C3", "NOTPROVIDED"])


@st.composite
def books(draw):
    """Few amounts, days and references, so that rivals, splits, merges and duplicates all occur."""
    ours = [
        payment(
            f"T{i}",
            draw(AMOUNTS),
            draw(DAYS),
            reference=draw(NAMES),
            type=draw(st.sampled_from(["SALE", "SALE", "PAYOUT"])),
            status=draw(st.sampled_from(["APPROVED", "APPROVED", "REFUNDED", "DECLINED"])),
        )
        for i in range(draw(st.integers(1, 7)))
    ]
    bank = [
        line(
            str(i),
            draw(AMOUNTS),
            draw(DAYS),
            end_to_end_id=draw(NAMES),
            remittance_text=draw(st.sampled_from([None, "REF-A1 REF-B2"])),
            credit_debit_indicator=draw(st.sampled_from(["CRDT", "CRDT", "DBIT"])),
            fee_charged_minor=draw(st.sampled_from([0, 0, 1])),
            status=draw(st.sampled_from(["BOOK", "BOOK", "BOOK", "PDNG"])),
        )
        for i in range(draw(st.integers(1, 7)))
    ]
    return payments(*ours), lines(*bank)


@given(books())
@settings(max_examples=15)
def test_every_row_of_both_sides_is_somewhere_exactly_once_and_every_account_bridges(book):
    transactions, statement_lines = book
    result = reconcile(transactions, statement_lines, balances=balances_of(statement_lines))
    items = result["reconciliation_items"]
    is_due = transactions["status"].eq("APPROVED") | (
        transactions["status"].eq("REFUNDED") & transactions["type"].eq("SALE")
    )
    assert sorted(items.loc[items["side"] == "ledger", "transaction_id"]) == sorted(
        transactions.loc[is_due, "transaction_id"]
    )
    booked = statement_lines.loc[statement_lines["status"] == "BOOK", "line_id"]
    assert sorted(items.loc[items["side"] == "bank", "line_id"]) == sorted(booked)
    assert (items["group_id"].eq("") == items["state"].isin(["pending", "uncovered"])).all()
    assert result["reconciliation_totals"][["difference_count", "difference_minor"]].eq(0).all(axis=None)
    assert result["bridges"].loc[result["bridges"]["line_count"] > 0, "residual_minor"].eq(0).all()
    groups = result["matches"].groupby("match_id")[["amount_minor", "value_minor"]].sum()
    assert (groups["amount_minor"] - groups["value_minor"]).abs().le(2).all()
    per_line = result["matches"].groupby(["statement_id", "line_id"])["match_id"].nunique()
    per_payment = result["matches"].groupby("transaction_id")["match_id"].nunique()
    assert per_line.eq(1).all() and per_payment.eq(1).all()


@given(books(), st.randoms(use_true_random=False))
@settings(max_examples=6)
def test_the_order_of_the_input_does_not_matter(book, random):
    transactions, statement_lines = book
    shuffled = [f.sample(frac=1, random_state=random.randint(0, 9999)) for f in (transactions, statement_lines)]
    one, other = match(transactions, statement_lines), match(*shuffled)
    for name in one:
        pd.testing.assert_frame_equal(one[name], other[name])


@pytest.mark.slow
def test_spark_finds_the_same_rows_as_duckdb(spark_engine):
    payouts = [payment(f"P{i}", 100 * i, "2026-10-05", type="PAYOUT", reference=f"PAY-00{i}") for i in (1, 2)]
    ours = payments(
        *payouts,
        payment("T1", 1000, "2026-10-05", reference="R-1"),
        payment("T2", 2000, "2026-10-05", reference="R-2"),
        payment("T3", 1234, "2026-10-05"),
        payment("T4", 777, "2026-10-05"),
        payment("T5", 777, "2026-10-05"),
        payment("T6", 900, "2026-10-02", reference="R6", time="17:30"),
        payment("T7", 500, "2026-10-05", reference="R7", status="DECLINED"),
        payment("T8", 3210, "2026-10-06"),
        payment("T9", 60, "2026-10-29", destination_currency="JPY", reference="R9"),
    )
    bank = lines(
        line("1", 990, "2026-10-06", end_to_end_id="R1", fee_charged_minor=10),
        line("2", 1200, "2026-10-06", end_to_end_id="R2"),
        line("3", 800, "2026-10-07", end_to_end_id="r2"),
        line("4", 300, "2026-10-06", credit_debit_indicator="DBIT", remittance_text="PAY-001 PAY-002"),
        line("5", 1234, "2026-10-08"),
        line("6", 777, "2026-10-06"),
        line("7", 850, "2026-10-14", end_to_end_id="R6"),
        line("8", 500, "2026-10-14", end_to_end_id="R7"),
        line("9", 990, "2026-10-14", end_to_end_id="R1"),
        line("10", 96, "2026-10-29", end_to_end_id="R9", currency="JPY"),
    )
    rates = frame_of("fx_rates", [{"date": pd.Timestamp("2026-10-01"), "currency": "JPY", "rate": 160.0}])
    assert spark_engine.name == "spark"
    one, other = (reconcile(ours, bank, chosen(engine=e), fx_rates=rates) for e in ("duckdb", "spark"))
    assert set(one["matches"]["match_pass"]) == {"reference", "split", "merge", "amount_date"}
    assert len(one["suggestions"]) == 2 and len(one["breaks"]) >= 6
    for name in one:
        pd.testing.assert_frame_equal(one[name], other[name])
