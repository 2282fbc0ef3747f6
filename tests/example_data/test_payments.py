"""Transactions as submitted."""

from decimal import Decimal

import pandas as pd
import pytest

from atlas_lib.example_data import generate
from tests.example_data.folder_files import read_text


def test_references_fit_an_end_to_end_id_and_are_unique(accepted):
    assert accepted["reference"].is_unique
    assert accepted["reference"].str.len().max() <= 35


def test_ids_and_keys_are_unique_among_fresh_rows(accepted):
    assert accepted.index.is_unique
    assert accepted["idempotency_key"].is_unique


def test_money_moves_between_the_accounts_its_type_says(accepted):
    processor, merchant = "ACC-" + accepted["counterparty_id"], "ACC-" + accepted["merchant_id"]
    moved = {
        "SALE": (processor, merchant),
        "REFUND": (merchant, processor),
        "CHARGEBACK": (merchant, processor),
        "FEE": (merchant, "ACC-ATLAS"),
        "PAYOUT": ("ACC-ATLAS", merchant),
    }
    for kind, (source, destination) in moved.items():
        rows = accepted["type"] == kind
        assert rows.any()
        assert (accepted["source_account"] == source)[rows].all()
        assert (accepted["destination_account"] == destination)[rows].all()


def test_a_return_follows_its_sale_and_never_exceeds_it(accepted):
    sales = accepted[accepted["type"] == "SALE"].set_index("reference")
    back = accepted[accepted["type"].isin(["REFUND", "CHARGEBACK"])]
    sale = sales.loc[back["reference"].str[:-2]]
    assert (back["value"].to_numpy() <= sale["value"].to_numpy()).all()
    assert (back["created_at"].to_numpy() > sale["created_at"].to_numpy()).all()
    for column in ("merchant_id", "user_id", "source_currency", "counterparty_id"):
        assert (back[column].to_numpy() == sale[column].to_numpy()).all()


def test_a_sale_is_refunded_exactly_if_its_whole_amount_came_back(accepted):
    refunds = accepted[accepted["type"] == "REFUND"].set_index("reference")["value"]
    sales = accepted[accepted["type"] == "SALE"].set_index("reference")
    returned = refunds.rename(lambda reference: reference[:-2])
    whole = returned.index[returned == sales.loc[returned.index, "value"]]
    assert set(sales.index[sales["status"] == "REFUNDED"]) == set(whole)


def test_yen_have_no_decimals_and_the_others_two(accepted):
    decimals = accepted["amount"].str.partition(".")[2].str.len()
    assert (decimals == accepted["source_currency"].map({"JPY": 0}).fillna(2)).all()


def test_sales_look_like_retail_and_payouts_gather_them(accepted, planted):
    structured = planted.loc[planted["case"] == "structuring", "row_id"]
    euros = accepted[(accepted["source_currency"] == "EUR") & ~accepted.index.isin(structured)]
    assert euros.loc[euros["type"] == "SALE", "value"].between(5, 900).all()
    assert euros.loc[euros["type"] == "PAYOUT", "value"].between(5, 16_000).all()
    typical = euros.groupby("type")["value"].apply(lambda values: values.astype(float).median())
    assert typical["PAYOUT"] > 4 * typical["SALE"]


@pytest.mark.parametrize(("rows", "seed"), [(400, 1), (1200, 7), (3000, 5)])
def test_no_payout_is_more_than_the_merchant_has_due(tmp_path, rows, seed):
    """Sales less refunds, chargebacks, fees and payouts before, in the currency of the payout; repeated rows aside."""
    generate(rows, seed, tmp_path / "data")
    submitted = read_text(tmp_path / "data" / "transactions.csv")
    planted = read_text(tmp_path / "data" / "_truth" / "planted.csv")
    extra = planted.loc[planted["file"] == "transactions", "source_row"].astype(int) - 2
    taken = submitted.drop(index=extra).sort_values("created_at", kind="stable")
    taken = taken[taken["status"].isin(["APPROVED", "REFUNDED"])]
    cents = (taken["amount"].map(Decimal) * 100).astype("int64")
    signed = cents.where(taken["type"] == "SALE", -cents)
    due_after = signed.groupby([taken["merchant_id"], taken["source_currency"]]).cumsum()
    payouts = taken["type"] == "PAYOUT"
    assert payouts.sum() > 20
    assert due_after[payouts].min() >= 0


def test_everything_happens_in_the_ninety_days_up_to_the_day_of_the_figures(accepted):
    created = pd.to_datetime(accepted["created_at"], utc=True)
    assert created.min() >= pd.Timestamp("2026-08-01", tz="UTC")
    assert created.max() < pd.Timestamp("2026-10-31", tz="UTC")


def test_repeated_submissions_have_key_and_body_of_an_earlier_row(submitted, planted):
    rows = planted.loc[planted["case"] == "duplicate_submission", "source_row"].astype(int) - 2
    body = [c for c in submitted.columns if c != "transaction_id"]
    assert submitted.duplicated(body, keep="first")[rows].all()


def test_conflicting_submissions_have_a_key_of_an_earlier_row_and_another_amount(submitted, planted):
    rows = submitted.loc[planted.loc[planted["case"] == "conflicting_submission", "source_row"].astype(int) - 2]
    first = submitted.drop_duplicates("idempotency_key").set_index("idempotency_key").loc[rows["idempotency_key"]]
    assert (first.index.to_numpy() == rows["idempotency_key"].to_numpy()).all()
    assert (first["amount"].to_numpy() != rows["amount"].to_numpy()).all()


def test_high_outside_scores_are_about_fraud_bursts(folder, planted):
    signals = pd.read_csv(folder / "fraud_signals.csv")
    burst = set(planted.loc[planted["case"] == "fraud_burst", "row_id"])
    high = set(signals.loc[signals["fraud_score"] >= 0.7, "transaction_id"])
    assert high
    assert high < burst
