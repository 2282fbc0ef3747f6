"""Rules on rows, and that nothing is lost."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_lib.core.settings import IngestSettings
from atlas_lib.core.tables import declared
from atlas_lib.ingest import clean_inputs, read_inputs
from atlas_lib.ingest.headers import RawSheet

GOOD = {
    "transaction_id": "T1", "idempotency_key": "K1", "merchant_id": "M1", "user_id": "U1", "type": "SALE", "amount": "12.50",
    "source_currency": "EUR", "destination_currency": "EUR", "source_account": "A", "destination_account": "B",
    "counterparty_id": "C", "settlement_window": "T1", "status": "APPROVED", "created_at": "2026-10-01T10:00:00Z", "reference": "r",
}  # fmt: skip
SETTINGS = IngestSettings(as_of=date(2026, 10, 30))


def sheet(rows: list[dict[str, object]], name: str = "transactions") -> RawSheet:
    frame = pd.DataFrame(rows, dtype=object)
    return RawSheet(f"{name}.csv", "", frame.set_axis(range(frame.shape[1]), axis=1).set_axis(range(2, len(rows) + 2)), header=tuple(frame.columns), header_row=1)  # fmt: skip


def rules_of(rows: list[dict[str, object]], name: str = "transactions") -> list[str]:
    rejects = clean_inputs([sheet(rows, name)], SETTINGS)["rejects"]
    return sorted(rejects.loc[~rejects["rule"].isin(["UNKNOWN_MERCHANT", "EXTRA_COLUMN"]), "rule"])


def test_a_word_where_an_amount_belongs_is_one_fault_and_names_no_currency():
    assert rules_of([GOOD | {"amount": "oops"}]) == ["NOT_A_NUMBER"]


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("status", "SETTLING", "UNKNOWN_STATUS"),
        ("type", "GIFT", "UNKNOWN_TYPE"),
        ("settlement_window", "T9", "UNKNOWN_SETTLEMENT_WINDOW"),
        ("source_currency", "EUX", "UNKNOWN_CURRENCY"),
        ("destination_currency", "XYZ", "UNKNOWN_CURRENCY"),
        ("amount", "-1.00", "AMOUNT_NOT_POSITIVE"),
        ("amount", "0", "AMOUNT_NOT_POSITIVE"),
        ("amount", "50000000.01", "AMOUNT_TOO_LARGE"),
        ("amount", "1e300", "NOT_A_NUMBER"),
        ("amount", 1e300, "AMOUNT_TOO_LARGE"),
        ("destination_account", "A", "SAME_ACCOUNT"),
        ("transaction_id", "", "EMPTY_CELL"),
        ("transaction_id", "T" * 51, "ID_TOO_LONG"),
        ("transaction_id", "1.23457E+15", "DIGITS_LOST"),
        ("idempotency_key", "1,2E+015", "DIGITS_LOST"),
        ("merchant_id", "1.2345678901234568e+16", "DIGITS_LOST"),
        ("created_at", "03/04/2026", "AMBIGUOUS_DATE"),
    ],
)
def test_a_broken_cell_refuses_the_row_under_its_rule(column, value, rule):
    assert rules_of([GOOD | {column: value}]) == [rule]


@pytest.mark.parametrize(
    ("amount", "currency"), [("0.004", "EUR"), ("0.005", "EUR"), ("0.4", "JPY"), ("0.0004", "BHD")]
)
def test_an_amount_that_rounds_to_nothing_is_no_payment(amount, currency):
    row = {"amount": amount, "source_currency": currency, "destination_currency": currency}
    assert "AMOUNT_NOT_POSITIVE" in rules_of([GOOD | row])


def test_two_payments_whose_ids_a_spreadsheet_rounded_alike_are_no_repetition(tmp_path):
    rows = [GOOD | {"transaction_id": number} for number in ("1.23457E+15", "1.23457E+15", "1E+5", "A+1")]
    pd.DataFrame(rows).to_csv(tmp_path / "transactions.csv", index=False)
    tables = clean_inputs(read_inputs(tmp_path), IngestSettings())
    assert tables["submissions"]["transaction_id"].tolist() == ["1E+5", "A+1"]
    errors = tables["rejects"].query("severity == 'error'")
    assert errors[["rule", "column", "source_row"]].to_numpy().tolist() == [
        ["DIGITS_LOST", "transaction_id", 2], ["DIGITS_LOST", "transaction_id", 3],
    ]  # fmt: skip


BANK_LINE = {"account": "DE1", "booking_date": "2026-10-03", "amount_posted": "1.50", "currency": "EUR"}


def test_a_side_left_empty_among_others_is_refused_and_not_taken_from_the_sign():
    with_side = [BANK_LINE | {"credit_debit_indicator": side} for side in ("S", "Haben", "")]
    assert rules_of(with_side, "statement_lines") == ["EMPTY_CELL"]
    by_sign = [BANK_LINE | {"credit_debit_indicator": "", "amount_posted": amount} for amount in ("1.50", "-2.00")]
    lines = clean_inputs([sheet(by_sign, "statement_lines")], SETTINGS)["statement_lines"]
    assert lines["credit_debit_indicator"].tolist() == ["CRDT", "DBIT"]


def test_a_line_without_a_number_does_not_take_that_of_another():
    numbered = [BANK_LINE | {"line_id": number} for number in ("", "2", "1")]
    tables = clean_inputs([sheet(numbered, "statement_lines")], SETTINGS)
    assert tables["statement_lines"]["line_id"].tolist() == ["1", "2", "row 2"]
    assert tables["rejects"].empty


@pytest.mark.parametrize(("text", "rules"), [("Endsaldo", ["BALANCE_ROW"]), ("Opening balance", ["BALANCE_ROW"]), ("Saldo der Rechnung 7", [])])  # fmt: skip
def test_a_line_that_may_be_the_balance_counts_and_is_noted(text, rules):
    rows = [BANK_LINE, BANK_LINE | {"remittance_text": text}]
    assert rules_of(rows, "statement_lines") == rules
    assert len(clean_inputs([sheet(rows, "statement_lines")], SETTINGS)["statement_lines"]) == 2


@pytest.mark.parametrize(
    ("column", "value"),
    [("settlement_window", "T+1"), ("status", "approved"), ("source_currency", "eur"), ("transaction_id", "T" * 50)],
)
def test_codes_are_read_without_regard_to_case_and_by_their_other_words(column, value):
    assert rules_of([GOOD | {column: value}]) == []


def test_without_an_idempotency_key_the_transaction_id_is_the_key():
    assert clean_inputs([sheet([GOOD | {"idempotency_key": ""}])], SETTINGS)["submissions"][
        "idempotency_key"
    ].tolist() == ["T1"]


def test_yen_have_no_minor_unit_and_dinars_three():
    rows = [
        GOOD | {"source_currency": "JPY", "amount": "1200"},
        GOOD | {"transaction_id": "T2", "source_currency": "BHD", "amount": "1.2345"},
    ]
    amounts = clean_inputs([sheet(rows)], SETTINGS)["submissions"].set_index("currency")["amount_minor"].to_dict()
    assert amounts == {"JPY": 1200, "BHD": 1234}  # half to even


def test_the_fingerprint_is_the_body_not_the_submission():
    other = GOOD | {
        "transaction_id": "T2",
        "created_at": "2026-10-02T10:00:00Z",
        "status": "PENDING",
        "idempotency_key": "K2",
    }
    changed = GOOD | {"transaction_id": "T3", "amount": "12.51"}
    prints = clean_inputs([sheet([GOOD, other, changed])], SETTINGS)["submissions"]["fingerprint"]
    assert prints.nunique() == 2


def test_an_unknown_merchant_is_kept_and_noted_once():
    tables = clean_inputs([sheet([GOOD, GOOD | {"transaction_id": "T2"}])], SETTINGS)
    assert tables["merchants"]["merchant_id"].tolist() == ["M1"]
    assert tables["rejects"][["rule", "severity", "value"]].to_numpy().tolist() == [
        ["UNKNOWN_MERCHANT", "warning", "M1"]
    ]


def test_an_invalid_iban_is_a_warning_that_keeps_the_merchant():
    rows = [
        {
            "merchant_id": "M1",
            "merchant_name": "A",
            "iban": "DE89 3704 0044 0532 0130 01",
            "bic": "COBADEFFXXX",
            "credit_limit": 1000,
        }
    ]
    tables = clean_inputs([sheet(rows, "merchants")], SETTINGS)
    assert tables["merchants"]["iban"].tolist() == ["DE89370400440532013001"]
    assert tables["rejects"][["rule", "severity"]].to_numpy().tolist() == [["INVALID_IBAN", "warning"]]


@pytest.mark.parametrize(
    ("second", "rule", "counts"), [("1.0850", "DUPLICATE_KEY", [2, 0, 1]), ("1.090", "CONFLICTING_KEY", [2, 1, 0])]
)
def test_the_first_row_of_a_key_stands_and_another_content_is_held_not_a_repetition(second, rule, counts):
    rows = [
        {"date": "2026-10-01", "currency": "USD", "rate": "1.085"},
        {"date": "2026-10-01", "currency": "USD", "rate": second},
    ]
    tables = clean_inputs([sheet(rows, "fx_rates")], SETTINGS)
    assert tables["fx_rates"]["rate"].tolist() == [1.085]
    assert tables["rejects"]["rule"].tolist() == [rule]
    found = tables["received_counts"][["rows_in_count", "rejected_count", "duplicate_count"]]
    assert found.to_numpy().tolist() == [counts]
    is_held = rule == "CONFLICTING_KEY"
    assert ("has rate 1.085 (here 1.09)" in tables["rejects"]["message"].iloc[0]) == is_held
    assert tables["refused_cells"]["value"].dropna().tolist() == ["2026-10-01", "USD", "1.090"] * is_held


def test_lines_payments_and_merchants_of_one_key_with_other_content_are_held(tmp_path):
    files = {
        "statement_lines": ["statement_id,line_id,booking_date,amount_posted,currency,end_to_end_id", "S,1,2026-10-01,10.00,EUR,", "S,1,2026-10-01,20.00,EUR,", "S,1,2026-10-01,20.00,EUR,", "S,1,2026-10-01,10,EUR,"],
        "customer_payments": ["payment_id,contract_id,payment_date,amount,currency", "P,C,2026-10-01,10.00,EUR", "P,C,2026-10-02,10.00,EUR"],
        "merchants": ["merchant_id,merchant_name,town", "M,One,", "M,One,Bonn"],
    }  # fmt: skip
    for name, lines in files.items():
        (tmp_path / f"{name}.csv").write_text("\n".join(lines), encoding="utf-8")
    tables = clean_inputs(read_inputs(tmp_path), SETTINGS)
    assert [len(tables[name]) for name in files] == [1, 1, 1]
    told = tables["rejects"].query("rule == 'CONFLICTING_KEY'").set_index("table")["message"]
    assert sorted(told.index) == ["customer_payments", "merchants", "statement_lines", "statement_lines"]
    assert "amount_posted 10.0 (here 20.0)" in told["statement_lines"].iloc[0]
    assert "payment_date 2026-10-01 (here 2026-10-02)" in told["customer_payments"]
    assert "has town nothing (here Bonn)" in told["merchants"]
    assert tables["rejects"].query("rule == 'DUPLICATE_KEY'")["source_row"].tolist() == [5]
    held = tables["refused_cells"][["table", "source_row"]].drop_duplicates().to_numpy().tolist()
    assert sorted(held) == [["customer_payments", 3], ["merchants", 3], ["statement_lines", 3], ["statement_lines", 4]]


def test_a_policy_whose_figure_is_no_number_is_refused():
    rows = [{"policy_id": "P1", "policy_type": "AML", "parameters": "threshold=ten thousand", "active": "yes"}]
    assert rules_of(rows, "policies") == ["UNREADABLE_PARAMETER"]


def test_a_policy_that_can_meet_nobody_is_kept_and_noted():
    rows = [{"policy_id": "P1", "policy_type": "Regional limit", "parameters": "limit=4000", "active": "yes"}]
    assert rules_of(rows, "policies") == ["PARAMETER_WITHOUT_EFFECT"]


CONTRACT = {
    "contract_id": "V-1", "merchant_id": "M1", "start_date": "2023-11-15", "term_months": 60, "premium": 56.0, "receivable": 3360.0,
    "valuation_sum": 44800.0, "purchase_rate": 0.053, "max_purchase_rate": 0.075, "reserve_rate": 0.1, "purchase_price": 2374.4,
    "partner_margin": 985.6, "merchant_reserve": 237.44, "merchant_payout": 2136.96,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "rules"),
    [
        ({}, []),
        ({"premium": 56.005}, ["PREMIUM_X_TERM"]),
        ({"merchant_payout": 2136.963}, []),
        ({"merchant_payout": 2136.97}, ["PAYOUT", "RECEIVABLE_SPLIT"]),
        ({"merchant_reserve": 237.45, "merchant_payout": 2136.95}, ["RESERVE"]),
        ({"valuation_sum": 44801.0}, ["PURCHASE_PRICE"]),
        ({"valuation_sum": None}, []),
        ({"purchase_rate": 0.0531, "max_purchase_rate": 0.053, "valuation_sum": None}, ["PURCHASE_RATE_ABOVE_MAX"]),
        ({"partner_margin": 985.61, "merchant_payout": 2136.95, "merchant_reserve": 237.44}, ["MARGIN", "PAYOUT"]),
        ({"term_months": 0}, ["PREMIUM_X_TERM", "TERM_OUT_OF_RANGE"]),
        ({"reserve_rate": -0.1, "merchant_reserve": 0, "merchant_payout": 2374.4}, ["RATE_OUT_OF_RANGE", "RESERVE"]),
    ],
)
def test_the_identities_of_a_purchase_are_checked_to_half_a_cent(changes, rules):
    assert rules_of([CONTRACT | changes], "contracts") == sorted(rules)


def test_premium_times_term_only_warns():
    tables = clean_inputs([sheet([CONTRACT | {"premium": 56.005}], "contracts")], SETTINGS)
    assert len(tables["contracts"]) == 1
    assert (
        "line 2, column receivable: expected receivable = premium x term_months = 3360.30, found 3360.0."
        in tables["rejects"]["message"].iloc[0]
    )


CELLS = st.one_of(st.none(), st.text(max_size=6), st.integers(-5, 5), st.floats(allow_nan=False, width=32), st.sampled_from(["EUR", "12,50", "1.234", "T1", "A", "SALE"]))  # fmt: skip


@settings(max_examples=12)
@given(st.lists(st.dictionaries(st.sampled_from(sorted(GOOD)), CELLS, max_size=3), min_size=1, max_size=8))
def test_whatever_is_typed_every_row_is_kept_or_refused_with_a_reason(changes):
    rows = [GOOD | {"transaction_id": f"T{i}"} | change for i, change in enumerate(changes)]
    tables = clean_inputs([sheet(rows)], SETTINGS)
    for name in ("submissions", "rejects", "received_counts", "merchants"):
        declared(name).checked(tables[name])
    counts = tables["received_counts"]
    errors = tables["rejects"].query("severity == 'error'")
    assert counts["rows_in_count"].sum() == len(rows) - sum(
        not any(str(v).strip() for v in r.values() if v is not None) for r in rows
    )
    assert counts["rejected_count"].sum() == errors["source_row"].nunique()
    assert len(tables["submissions"]) + counts["rejected_count"].sum() == counts["rows_in_count"].sum()


def test_dated_customer_payments_are_read_from_a_german_list(tmp_path):
    lines = ["Zahlungs_ID;Vertragsnummer;Zahlungsdatum;Betrag", "Z1;V-1;31.10.2026;56,00", "Z2;V-1;30.11.2026;-56,00"]
    (tmp_path / "Kundenzahlungen.csv").write_text("\n".join(lines), encoding="utf-8")
    tables = clean_inputs(read_inputs(tmp_path), SETTINGS)
    kept = tables["customer_payments"][["payment_id", "contract_id", "amount_minor", "currency"]]
    assert kept.to_numpy().tolist() == [["Z1", "V-1", 5600, "EUR"]]
    assert tables["rejects"].query("severity == 'error'")["rule"].tolist() == ["AMOUNT_NOT_POSITIVE"]


def test_limits_of_a_counterparty_in_several_currencies_are_a_sheet_of_their_own_beside_its_total(tmp_path):
    banks = ["counterparty_id,total_limit,total_limit_currency", "CP-1,250000,USD", "CP-2,,EUR"]
    limits = ["Bank,ccy,limit", "CP-1,EUR,100000.50", "CP-1,JPY,9000000", "CP-1,EUR,5", "CP-2,GBP,-1", "CP-2,,7"]
    (tmp_path / "counterparties.csv").write_text("\n".join(banks), encoding="utf-8")
    (tmp_path / "counterparty_limits.csv").write_text("\n".join(limits), encoding="utf-8")
    tables = clean_inputs(read_inputs(tmp_path), SETTINGS)
    kept = tables["counterparty_limits"][["counterparty_id", "currency", "currency_limit_minor"]]
    assert kept.to_numpy().tolist() == [["CP-1", "EUR", 10_000_050], ["CP-1", "JPY", 9_000_000]]
    assert tables["counterparties"]["currency"].tolist() == ["USD", "EUR"]
    assert tables["counterparties"]["limit_minor"].fillna(-1).tolist() == [25_000_000, -1]
    errors = tables["rejects"].query("severity == 'error'")
    assert sorted(errors["rule"]) == ["CONFLICTING_KEY", "EMPTY_CELL", "NEGATIVE_AMOUNT"]


def test_a_counterparty_with_a_row_per_currency_is_told_where_such_limits_belong(tmp_path):
    rows = ["counterparty_id,limit,currency", "CP-1,250000,EUR", "CP-1,90000,USD"]
    (tmp_path / "counterparties.csv").write_text("\n".join(rows), encoding="utf-8")
    tables = clean_inputs(read_inputs(tmp_path), SETTINGS)
    assert tables["counterparties"]["currency"].tolist() == ["EUR"]
    (told,) = tables["rejects"].query("rule == 'CONFLICTING_KEY'")["message"]
    assert "one row per counterparty" in told
    assert "sheet counterparty_limits" in told


@pytest.mark.parametrize(("days", "broken"), [(0, True), (2, True), (3, False), (180, False), (181, True)])
def test_hold_days_outside_3_to_180_are_refused(days, broken):
    rows = [{"merchant_id": "M1", "merchant_name": "A", "hold_days": days}]
    assert rules_of(rows, "merchants") == (["DAYS_OUT_OF_RANGE"] if broken else [])


@pytest.mark.parametrize(("days", "broken"), [(-1, True), (0, False), (28, False), (3650, False), (3651, True)])
def test_delivery_days_are_none_or_some_and_never_below(days, broken):
    rows = [{"merchant_id": "M1", "merchant_name": "A", "delivery_days": days}]
    assert rules_of(rows, "merchants") == (["DAYS_OUT_OF_RANGE"] if broken else [])


@pytest.mark.parametrize("text", ["sofort", "3-5 Tage", "2026-10-30"])
def test_a_text_for_the_time_of_delivery_costs_the_figure_and_not_the_merchant(tmp_path, text):
    (tmp_path / "merchants.csv").write_text(
        f"Händler_ID;Händlername;Lieferzeit\nM1;A;{text}\nM2;B;28\n", encoding="utf-8"
    )
    clean = clean_inputs(read_inputs(tmp_path), SETTINGS)
    assert clean["merchants"]["delivery_days"].isna().tolist() == [True, False]
    told = clean["rejects"]
    assert told[["column", "severity"]].to_numpy().tolist() == [["delivery_days", "warning"]]


@pytest.mark.parametrize("header", ["Lieferfrist", "delivery days", "Lieferzeit", "Days to delivery"])
def test_the_time_of_delivery_is_read_under_its_usual_headers(tmp_path, header):
    (tmp_path / "merchants.csv").write_text(f"Händler_ID;Händlername;{header}\nM1;A;28\nM2;B;\n", encoding="utf-8")
    merchants = clean_inputs(read_inputs(tmp_path), SETTINGS)["merchants"]
    assert merchants["delivery_days"].tolist()[0] == 28
    assert merchants["delivery_days"].isna().tolist() == [False, True]
