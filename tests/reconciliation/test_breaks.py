import pandas as pd
import pytest

from atlas_lib.core.tables import declared
from atlas_lib.reconciliation import find_breaks
from tests.reconciliation.reconciliation_frames import balances_of, frame_of, line, payment, reconcile, settings


def result_of(ours, bank, **given):
    return reconcile(frame_of("transactions", ours), frame_of("statement_lines", bank), **given)


def types(result):
    return sorted(result["breaks"]["break_type"])


SALE = payment("T1", 10_000, "2026-10-05", reference="REF-1")
OTHER = line("99", 5, "2026-10-30", end_to_end_id="UNKNOWN-99")  # keeps the statement covered to the as-of day


@pytest.mark.parametrize(
    "bank, break_type, discrepancy",
    [
        ({"amount_posted_minor": 9_800}, "AMOUNT_MISMATCH", -200),
        ({"amount_posted_minor": 10_200}, "AMOUNT_MISMATCH", 200),
        ({"amount_posted_minor": 6_000}, "SPLIT_INCOMPLETE", -4_000),
        ({"credit_debit_indicator": "DBIT"}, "WRONG_SIGN", -20_000),
        ({"credit_debit_indicator": "DBIT", "amount_posted_minor": 9_800}, "AMOUNT_MISMATCH", -19_800),
        ({"currency": "USD"}, "CURRENCY_MISMATCH", -10_000),
    ],
)
def test_a_named_line_that_disagrees_is_one_break_on_both_sides(bank, break_type, discrepancy):
    result = result_of([SALE], [line("1", 10_000, "2026-10-06", end_to_end_id="REF1") | bank])
    row = result["breaks"].iloc[0]
    assert types(result) == [break_type]
    assert (row["side"], row["discrepancy_minor"], row["transaction_id"], row["line_id"]) == (
        "both",
        discrepancy,
        "T1",
        "1",
    )
    assert result["batch_index"].iloc[0]["reconciled_status"] == "PARTIAL"
    assert set(result["reconciliation_items"]["group_id"]) == {row["break_id"]}


def test_two_parts_that_do_not_add_up_are_an_incomplete_split():
    bank = [line("1", 4_000, "2026-10-06", end_to_end_id="REF1"), line("2", 4_500, "2026-10-06", end_to_end_id="REF1")]
    result = result_of([SALE], bank)
    assert types(result) == ["SPLIT_INCOMPLETE"]
    assert result["breaks"].iloc[0][["line_count", "value_minor"]].tolist() == [2, 8_500]


def test_a_converted_amount_off_the_days_rate_is_an_fx_difference():
    rates = frame_of("fx_rates", [{"date": pd.Timestamp("2026-10-01"), "currency": "USD", "rate": 1.25}])
    sale = payment("T1", 10_000, "2026-10-05", destination_currency="USD", reference="REF-1")
    result = result_of([sale], [line("1", 12_250, "2026-10-06", currency="USD", end_to_end_id="REF1")], fx_rates=rates)
    assert types(result) == ["FX_DIFFERENCE"]
    assert result["breaks"].iloc[0][["value_minor", "discrepancy_minor"]].tolist() == [9_800, -200]


@pytest.mark.parametrize(
    "currency, break_type, reason",
    [("USD", "FX_DIFFERENCE", "rate of the day is missing"), ("GBP", "CURRENCY_MISMATCH", "in which it was not due")],
)
def test_without_a_rate_the_currency_due_is_told_from_another(currency, break_type, reason):
    sale = payment("T1", 10_000, "2026-10-05", destination_currency="USD", reference="REF-1")
    result = result_of([sale], [line("1", 12_500, "2026-10-06", currency=currency, end_to_end_id="REF1")])
    assert types(result) == [break_type] and reason in result["breaks"]["reason"].iloc[0]
    assert result["batch_index"]["amount_posted_minor"].isna().all()


def test_a_figure_carried_into_another_currency_is_a_currency_mismatch_even_where_that_is_the_destination():
    rates = frame_of("fx_rates", [{"date": pd.Timestamp("2026-10-01"), "currency": "USD", "rate": 1.25}])
    sale = payment("T1", 10_000, "2026-10-05", destination_currency="USD", reference="REF-1")
    result = result_of([sale], [line("1", 10_000, "2026-10-06", currency="USD", end_to_end_id="REF1")], fx_rates=rates)
    assert types(result) == ["CURRENCY_MISMATCH"]


@pytest.mark.parametrize("rate, break_type", [(1.25, "WRONG_SIGN"), (1.4, "FX_DIFFERENCE")])
def test_a_converted_amount_has_the_wrong_sign_only_when_it_is_the_amount(rate, break_type):
    rates = frame_of("fx_rates", [{"date": pd.Timestamp("2026-10-01"), "currency": "USD", "rate": rate}])
    sale = payment("T1", 10_000, "2026-10-05", destination_currency="USD", reference="REF-1")
    sent = line("1", 12_500, "2026-10-06", currency="USD", end_to_end_id="REF1", credit_debit_indicator="DBIT")
    assert types(result_of([sale], [sent], fx_rates=rates)) == [break_type]


def test_two_lines_of_both_directions_that_do_not_come_to_the_amount_have_no_wrong_sign():
    bank = [line("1", 12_000, "2026-10-06", end_to_end_id="REF1"), line("2", 5_000, "2026-10-06", end_to_end_id="REF1", credit_debit_indicator="DBIT")]  # fmt: skip
    result = result_of([SALE], bank)
    assert result["breaks"][["break_type", "discrepancy_minor"]].to_numpy().tolist() == [["SPLIT_INCOMPLETE", -3_000]]


ALONE = {"user_id": "", "counterparty_id": None}


@pytest.mark.parametrize(
    "changed, ours_too, lines, break_types",
    [
        ({}, {}, ["REF1"], ["DUPLICATE"]),
        ({}, {}, ["REF1", "REF1"], []),
        ({}, {}, [], ["MISSING_AT_BANK", "MISSING_AT_BANK"]),
        ({"reference": "REF-2"}, {}, ["REF1"], ["MISSING_AT_BANK"]),
        ({"user_id": "U2"}, {}, ["REF1"], ["MISSING_AT_BANK"]),
        ({"counterparty_id": "C2"}, {}, ["REF1"], ["MISSING_AT_BANK"]),
        ({"amount_minor": 9_999}, {}, ["REF1"], ["MISSING_AT_BANK"]),
        ({"reference": None}, {"reference": None}, [None], ["DUPLICATE", "MISSING_AT_BANK", "MISSING_IN_LEDGER"]),
        ({"reference": None} | ALONE, {"reference": None} | ALONE, [None], ["MISSING_AT_BANK", "MISSING_AT_BANK", "MISSING_IN_LEDGER"]),
        ({"reference": "NOTPROVIDED"} | ALONE, {"reference": "NOTPROVIDED"} | ALONE, [None], ["MISSING_AT_BANK", "MISSING_AT_BANK", "MISSING_IN_LEDGER"]),
        ({"reference": None} | ALONE | {"user_id": "  "}, {"reference": None} | ALONE | {"user_id": "  "}, [None], ["MISSING_AT_BANK", "MISSING_AT_BANK", "MISSING_IN_LEDGER"]),
        ({"reference": None}, {"reference": None}, [None, None], ["MISSING_AT_BANK", "MISSING_AT_BANK", "MISSING_IN_LEDGER", "MISSING_IN_LEDGER"]),
    ],
)  # fmt: skip
def test_a_payment_that_repeats_another_more_often_than_the_bank_is_a_duplicate(changed, ours_too, lines, break_types):
    again = payment("T2", 10_000, "2026-10-05", reference="REF-1", time="12:05") | changed
    bank = [line(str(n), 10_000, "2026-10-06", end_to_end_id=name) for n, name in enumerate(lines)]
    result = result_of([SALE | ours_too, again], [*bank, OTHER])
    found = result["breaks"].query("line_id != '99'")
    assert sorted(found["break_type"]) == break_types
    told = found[found["break_type"] == "DUPLICATE"]
    assert told["transaction_id"].tolist() == ["T2"] * len(told) and told["reason"].str.contains("It repeats T1 ").all()


def test_of_three_alike_of_which_the_bank_has_two_one_is_a_duplicate():
    ours = [payment(f"T{n}", 10_000, "2026-10-05", reference="REF-1") for n in (1, 2, 3)]
    result = result_of(ours, [line(str(n), 10_000, "2026-10-06", end_to_end_id="REF1") for n in (1, 2)])
    assert result["breaks"][["break_type", "side", "transaction_id"]].to_numpy().tolist() == [
        ["DUPLICATE", "ledger", "T3"]
    ]
    assert "has 2 of them only" in result["breaks"]["reason"].iloc[0]
    assert result["batch_index"].set_index("transaction_id").loc["T3", "break_type"] == "DUPLICATE"


def test_a_second_line_for_a_matched_payment_is_a_duplicate():
    bank = [line(str(i), 10_000, f"2026-10-0{5 + i}", end_to_end_id="REF1") for i in (1, 2)]
    result = result_of([SALE], bank)
    assert types(result) == ["DUPLICATE"]
    assert result["breaks"].iloc[0][["side", "line_id", "discrepancy_minor"]].tolist() == ["bank", "2", 10_000]


@pytest.mark.parametrize(
    "more, break_type",
    [
        ({}, "MISSING_IN_LEDGER"),
        ({"credit_debit_indicator": "DBIT", "remittance_text": "Erstattung 4711"}, "ORPHAN_REFUND"),
        ({"credit_debit_indicator": "DBIT", "remittance_text": "Chargeback"}, "ORPHAN_REFUND"),
        ({"credit_debit_indicator": "DBIT"}, "MISSING_IN_LEDGER"),
    ],
)
def test_a_line_we_know_nothing_about(more, break_type):
    result = result_of([payment("T9", 3, "2026-10-29")], [line("1", 777, "2026-10-06", **more)])
    assert types(result) == [break_type]


def test_money_sent_back_under_the_reference_of_a_matched_sale_is_an_orphan_refund():
    bank = [
        line("1", 10_000, "2026-10-06", end_to_end_id="REF1"),
        line("2", 10_000, "2026-10-08", end_to_end_id="REF1", credit_debit_indicator="DBIT"),
    ]
    assert types(result_of([SALE], bank)) == ["ORPHAN_REFUND"]


def test_a_booking_for_a_declined_payment_says_so():
    declined = payment("T1", 10_000, "2026-10-05", reference="REF-1", status="DECLINED")
    result = result_of([declined], [line("1", 10_000, "2026-10-06", end_to_end_id="REF1")])
    assert types(result) == ["MISSING_IN_LEDGER"]
    assert "DECLINED" in result["breaks"].iloc[0]["reason"]
    assert result["batch_index"].iloc[0]["reconciled_status"] == "NOT_EXPECTED"


@pytest.mark.parametrize(
    "day, state",
    [("2026-10-23", "pending"), ("2026-10-22", "break"), ("2026-10-30", "pending"), ("2026-10-01", "break")],
)
def test_a_payment_without_a_line_is_pending_until_the_grace_period_is_over(day, state):
    result = result_of([payment("T1", 10_000, day)], [OTHER])
    items = result["reconciliation_items"].set_index("side")
    assert items.loc["ledger", "state"] == state
    expected = {"pending": "PENDING", "break": "UNMATCHED"}[state]
    assert result["batch_index"].iloc[0]["reconciled_status"] == expected
    assert ("MISSING_AT_BANK" in types(result)) == (state == "break")


def test_a_payment_that_no_statement_covers_is_not_called_missing():
    early, foreign = payment("T1", 1, "2026-08-01"), payment("T2", 1, "2026-10-05", currency="GBP")
    statement_lines = frame_of("statement_lines", [OTHER])
    result = result_of([early, foreign], [OTHER], balances=balances_of(statement_lines))
    assert set(result["batch_index"]["reconciled_status"]) == {"NO_STATEMENT"}
    assert "MISSING_AT_BANK" not in types(result)


def test_a_payment_after_the_last_statement_is_not_called_missing():
    last = line("1", 5, "2026-10-10", end_to_end_id="UNKNOWN-1")
    result = result_of([payment("T1", 1, "2026-10-08")], [last], balances=declared("statement_balances").empty())
    assert result["batch_index"].iloc[0]["reconciled_status"] == "NO_STATEMENT"


def test_a_late_posting_is_matched_and_only_noted():
    result = result_of([SALE], [line("1", 10_000, "2026-10-13", end_to_end_id="REF1")])
    row = result["breaks"].iloc[0]
    assert (row["break_type"], row["is_open"], row["discrepancy_minor"]) == ("LATE_POSTING", False, 0)
    assert "6 open banking days" in row["reason"]
    assert result["batch_index"].iloc[0]["reconciled_status"] == "MATCHED"


@pytest.mark.parametrize("agreed, discrepancy", [(0.0, -140), (140.0, None), (200.0, 60)])
def test_a_fee_other_than_agreed_is_matched_and_left_open_for_a_claim(agreed, discrepancy):
    bank = [line("1", 9_860, "2026-10-06", end_to_end_id="REF1", fee_charged_minor=140)]
    result = result_of([SALE], bank, chosen=settings(agreed_fee_bps=agreed))
    if discrepancy is None:
        assert result["breaks"].empty
    else:
        row = result["breaks"].iloc[0]
        assert (row["break_type"], row["is_open"], row["is_matched"]) == ("FEE_VARIANCE", True, True)
        assert row["discrepancy_minor"] == discrepancy
    assert result["batch_index"].iloc[0][["reconciled_status", "amount_posted_minor"]].tolist() == ["MATCHED", 9_860]


@pytest.mark.parametrize(
    "day, bucket, age", [("2026-10-30", "0-1", 0), ("2026-10-28", "2-7", 2), ("2026-10-22", "8-30", 8), ("2026-09-29", "over 30", 31)]
)  # fmt: skip
def test_breaks_age_in_calendar_days(day, bucket, age):
    result = result_of([payment("T9", 3, "2026-10-29")], [line("1", 777, day)])
    assert result["breaks"].iloc[0][["age_bucket", "break_age_days"]].tolist() == [bucket, age]


@pytest.mark.parametrize(
    "amount, currency, severity",
    [(9_999, "EUR", "low"), (10_000, "EUR", "medium"), (100_000, "EUR", "high"), (999, "JPY", "medium"), (1_000, "JPY", "high")],
)  # fmt: skip
def test_severity_is_by_units_of_the_currency(amount, currency, severity):
    result = result_of([payment("T9", 3, "2026-10-29")], [line("1", amount, "2026-10-29", currency=currency)])
    assert result["breaks"].iloc[0]["severity"] == severity


def test_a_break_keeps_its_id_from_day_to_day():
    one, next_day = (
        result_of([SALE], [OTHER], chosen=settings(as_of=day))["breaks"].set_index("break_type")["break_id"]
        for day in ("2026-10-30", "2026-10-31")
    )
    assert one["MISSING_AT_BANK"] == next_day["MISSING_AT_BANK"]


def test_without_any_row_there_is_no_break():
    names = "transactions statement_lines statement_balances matches links suggestions payout_parts".split()
    found = find_breaks(*(declared(n).empty() for n in names), settings())
    assert all(frame.empty for frame in found.values())


def test_a_break_says_whether_money_came_in_or_went_out():
    bank = [line("1", 777, "2026-10-06", credit_debit_indicator="DBIT"), line("2", 888, "2026-10-06")]
    payout = payment("P1", 5, "2026-10-05", type="PAYOUT")
    breaks = result_of([payout], bank)["breaks"].set_index("discrepancy_minor")["credit_debit_indicator"]
    assert breaks.to_dict() == {777: "DBIT", 888: "CRDT", -5: "DBIT"}
