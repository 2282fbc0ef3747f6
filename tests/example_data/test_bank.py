"""Statements: balances, calendar, structure, and the true pairs."""

from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from atlas_lib.core.calendars import business_calendar
from atlas_lib.example_data import generate
from atlas_lib.example_data.plants import BANK_CASES, BANK_ONLY_CASES
from tests.example_data.folder_files import read_balances, read_lines


def residual(folder) -> pd.Series:
    """closing - opening - signed lines, per statement."""
    lines = read_lines(folder)
    signed = lines["amount"].where(lines["credit_debit_indicator"] == "CRDT", -lines["amount"])
    moved = signed.groupby(lines["statement_id"]).sum()
    wide = read_balances(folder).set_index(["statement_id", "balance_type"])["balance"].unstack()  # noqa: PD010
    return wide["CLBD"] - wide["OPBD"] - moved.reindex(wide.index).fillna(Decimal(0))


def test_opening_plus_lines_is_closing_on_every_statement(folder):
    assert len(residual(folder)) == 12
    assert (residual(folder) == 0).all()


def test_a_statement_opens_where_the_one_before_closed(folder):
    wide = read_balances(folder).set_index(["statement_id", "balance_type"])["balance"].unstack()  # noqa: PD010
    same_account = wide.index.str[:3] == np.roll(wide.index.str[:3], 1)
    before = wide["CLBD"].shift()
    assert (wide["OPBD"][same_account] == before[same_account]).all()


def test_lines_are_numbered_within_their_statement_and_bank_references_are_unique(lines):
    number = lines["line_id"].astype(int)
    assert (number == lines.groupby("statement_id").cumcount() + 1).all()
    assert lines["bank_reference"].is_unique


def test_the_bank_books_on_open_days_up_to_the_day_of_the_figures(lines):
    for currency, booked in lines.groupby("currency")["booking_date"]:
        days = pd.to_datetime(booked).to_numpy().astype("datetime64[D]")
        late = [d for d in days if not np.is_busday(d, busdaycal=business_calendar("EUR"))]
        own = [d for d in days if not np.is_busday(d, busdaycal=business_calendar(str(currency)))]
        assert min(len(late), len(own)) == 0
        assert days.max() <= np.datetime64("2026-10-30")


def test_plain_lines_agree_with_their_payment_to_the_cent(lines, pairs, accepted):
    plain = pairs[pairs["case"].isin(["", "lost_end_to_end_id", "late_posting"])]
    both = plain.merge(lines, on=["statement_id", "line_id"], validate="one_to_one")
    ours = accepted.loc[both["transaction_id"]].reset_index()
    assert (both["amount"] == ours["value"]).all()
    assert (both["currency"] == ours["source_currency"]).all()
    assert (both["credit_debit_indicator"] == np.where(ours["type"] == "SALE", "CRDT", "DBIT")).all()
    kept = (both["case"] != "lost_end_to_end_id").to_numpy()
    assert (both["end_to_end_id"][kept] == ours["reference"][kept]).all()


@pytest.mark.parametrize(("case", "one"), [("split_payment", "transaction_id"), ("merged_payout", "line_id")])
def test_parts_add_up_to_the_whole(case, one, lines, pairs, accepted):
    both = pairs[pairs["case"] == case].merge(lines, on=["statement_id", "line_id"], validate="many_to_one")
    both = both.assign(ours=accepted.loc[both["transaction_id"], "value"].to_numpy())
    groups = both.groupby(["statement_id", one] if one == "line_id" else one)
    assert (groups.size() >= 2).all()
    many, single = ("ours", "amount") if case == "merged_payout" else ("amount", "ours")
    assert (groups[many].sum() == groups[single].first()).all()


def test_a_processor_payout_is_its_sales_less_what_went_back_the_fees_and_the_reserve_of_each_sale(
    lines, pairs, accepted, folder
):
    rates = pd.read_excel(folder / "reference.xlsx", sheet_name="merchants", engine="calamine", dtype=str).set_index(
        "merchant_id"
    )
    own = pairs[pairs["case"] == "processor_payout"]
    both = own.merge(accepted.reset_index(), on="transaction_id", validate="one_to_one")
    rate = both["merchant_id"].map(rates["reserve_rate"].map(Decimal))
    is_sale = both["type"] == "SALE"
    reserve = (
        (both["value"] * rate)
        .map(lambda held: held.quantize(Decimal("0.01"), ROUND_HALF_EVEN))
        .where(is_sale, Decimal(0))
    )
    net = (both["value"].where(is_sale, -both["value"]) - reserve).groupby(both["line_id"]).sum()
    booked = own.drop_duplicates("line_id").merge(lines, on=["statement_id", "line_id"]).set_index("line_id")
    assert (booked["amount"] == net.reindex(booked.index)).all()
    types = both.groupby("line_id")["type"].agg(set)
    assert {"SALE", "REFUND", "CHARGEBACK", "FEE"} in types.to_list()
    text = both["line_id"].map(booked["remittance_text"])
    is_listed = pd.Series([own in told for own, told in zip(both["reference"], text, strict=True)], index=both.index)
    assert sorted(is_listed.groupby(both["line_id"]).all()) == [False, True]  # a prior balance is not listed


def test_a_fee_variance_is_net_of_its_fee(lines, pairs, accepted):
    both = pairs[pairs["case"] == "fee_variance"].merge(lines, on=["statement_id", "line_id"], validate="one_to_one")
    assert (both["fee"] > 0).all()
    assert (both["amount"] + both["fee"] == accepted.loc[both["transaction_id"], "value"].to_numpy()).all()


def test_a_lost_id_leaves_an_amount_that_is_unique_on_its_account(lines, pairs):
    lost = pairs[pairs["case"] == "lost_end_to_end_id"].merge(lines, on=["statement_id", "line_id"])
    assert lost["end_to_end_id"].isin(["", "NOTPROVIDED"]).all()
    alike = lines[lines["credit_debit_indicator"] == "CRDT"].groupby(["currency", "amount"]).size()
    assert (alike.loc[list(zip(lost["currency"], lost["amount"], strict=True))] == 1).all()


def test_every_line_is_a_true_pair_or_a_planted_stranger(lines, pairs, planted):
    paired = set(pairs["statement_id"] + "/" + pairs["line_id"])
    strangers = set(planted.loc[planted["case"].isin([*BANK_ONLY_CASES, "duplicate_bank_line"]), "row_id"])
    assert not paired & strangers
    assert paired | strangers == set(lines["statement_id"] + "/" + lines["line_id"])


def test_a_due_payment_without_line_is_planted_or_a_few_days_old(accepted, pairs, planted):
    due = accepted[accepted["status"].isin(["APPROVED", "REFUNDED"])]
    open_ = due[~due.index.isin(pairs["transaction_id"])]
    missing = planted.loc[planted["case"] == "missing_bank_line", "row_id"]
    recent = open_[~open_.index.isin(missing)]
    assert set(missing) <= set(open_.index)
    assert len(recent) > 0
    assert recent["created_at"].min() >= "2026-10-25"


def test_camt_entries_follow_the_order_of_the_schema(folder):
    """ISO 20022 camt.053.001.08: ReportEntry10, EntryTransaction10 and AccountStatement9, element order."""
    entry_order = "NtryRef Amt CdtDbtInd Sts BookgDt ValDt AcctSvcrRef BkTxCd Chrgs NtryDtls".split()
    root = etree.parse(folder / "statements" / "camt053_EUR-2026-10.xml").getroot()
    assert etree.QName(root).namespace == "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"
    statement = root.find("{*}BkToCstmrStmt/{*}Stmt")
    tags = [etree.QName(e).localname for e in statement]
    assert list(dict.fromkeys(tags)) == ["Id", "CreDtTm", "Acct", "Bal", "Ntry"]
    for entry in statement.findall("{*}Ntry"):
        found = [etree.QName(e).localname for e in entry]
        assert found == [tag for tag in entry_order if tag in found]
        details = [etree.QName(e).localname for e in entry.find("{*}NtryDtls/{*}TxDtls")]
        assert details == ["Refs", "RltdPties", "RmtInf"]
        assert all(len(text.text) <= 140 for text in entry.findall(".//{*}Ustrd"))  # Max140Text


@settings(max_examples=6)
@given(seed=st.integers(0, 10_000), rows=st.integers(400, 900))
def test_any_seed_balances_and_has_every_break(tmp_path_factory, seed, rows):
    out = tmp_path_factory.mktemp("seed") / "data"
    generate(rows, seed, out)
    assert (residual(out) == 0).all()
    cases = set(pd.read_csv(out / "_truth" / "planted.csv")["case"])
    assert cases >= {*BANK_CASES, *BANK_ONLY_CASES, "merged_payout"}
