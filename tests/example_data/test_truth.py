"""The planted truth points at rows that are there."""

import openpyxl
import pandas as pd

CASES = """
amount_mismatch bad_currency bank_line_without_transaction blacklisted_user blocked booked_in_destination
conflicting_submission contract_european_decimal contract_text_date currency_mismatch duplicate_bank_line
duplicate_contract duplicate_submission european_decimal fee_variance fraud_burst fx_difference german_date
invalid_iban kyc_pending late_posting limit_breach long_id lost_end_to_end_id merged_payout missing_bank_line missing_id
near_limit_warn near_limit_watch negative_amount negative_premium orphan_refund processor_payout same_account sanctioned_name
scarce_liquidity split_incomplete split_payment structuring text_amount unavailable_counterparty unknown_status
unknown_type wrong_sign zero_amount
""".split()


def test_every_case_occurs(planted):
    assert sorted(set(planted["case"])) == CASES


def test_every_planted_row_exists(folder, planted, submitted, lines):
    sheet = openpyxl.load_workbook(folder / "Merchant_Data.xlsx", data_only=True)["Sheet1"]
    reference = pd.read_excel(
        folder / "reference.xlsx", engine="calamine", sheet_name=["merchants", "counterparties"], dtype=str
    )
    known = {
        "transactions": set(submitted["transaction_id"]),
        "statement_lines": set(lines["statement_id"] + "/" + lines["line_id"]),
        "contracts": {row[0] for row in sheet.iter_rows(min_row=2, values_only=True)},
        "merchants": set(reference["merchants"]["merchant_id"]),
        "counterparties": set(reference["counterparties"]["counterparty_id"]),
    }
    assert set(planted["table"]) == set(known)
    for table, rows in planted.groupby("table"):
        assert set(rows["row_id"]) <= known[str(table)]


def test_source_rows_are_counted_as_excel_shows_them(folder, planted, submitted):
    rows = planted[planted["file"] == "transactions"]
    assert (submitted["transaction_id"].iloc[rows["source_row"].astype(int) - 2].to_numpy() == rows["row_id"]).all()
    sheet = openpyxl.load_workbook(folder / "Merchant_Data.xlsx", data_only=True)["Sheet1"]
    contracts = planted[planted["file"] == "Merchant_Data.xlsx"]
    assert [sheet.cell(int(n), 1).value for n in contracts["source_row"]] == contracts["row_id"].tolist()


def test_the_row_a_bank_case_names_is_the_payment_of_its_pair(planted, pairs):
    named = planted[(planted["table"] == "statement_lines") & (planted["detail"] != "")]
    named = named[named["case"] != "duplicate_bank_line"]
    pair = pairs[~pairs["case"].isin(["merged_payout", "processor_payout"])]
    pair = pair.assign(row_id=pair["statement_id"] + "/" + pair["line_id"])
    both = named.merge(pair, on="row_id", validate="one_to_one")
    assert len(both) == len(named)
    assert (both["detail"] == both["transaction_id"]).all()


def test_a_fraud_burst_is_one_user_within_half_an_hour(planted, accepted):
    burst = accepted.loc[planted.loc[planted["case"] == "fraud_burst", "row_id"]]
    groups = burst.assign(day=burst["created_at"].str[:10]).groupby(["user_id", "day"])
    at = pd.to_datetime(burst["created_at"], utc=True)
    assert (groups.size() >= 8).all()
    assert (
        at.groupby([burst["user_id"], burst["created_at"].str[:10]]).agg(lambda t: t.max() - t.min())
        <= pd.Timedelta(minutes=30)
    ).all()


def test_the_scarce_currency_has_less_cash_than_its_planted_payouts(folder, planted, accepted):
    payouts = accepted.loc[planted.loc[planted["case"] == "scarce_liquidity", "row_id"]]
    liquidity = pd.read_excel(folder / "reference.xlsx", engine="calamine", sheet_name="liquidity").set_index(
        "currency"
    )
    assert set(payouts["source_currency"]) == {"JPY"}
    assert liquidity.loc["JPY", "opening_balance"] < payouts["value"].sum()
