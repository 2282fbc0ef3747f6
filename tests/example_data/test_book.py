"""Contracts and reference sheets."""

from decimal import Decimal

import openpyxl
import pandas as pd
import pytest
import yaml
from schwifty import BIC, IBAN

from atlas_lib.core.settings import ReservesCreditSettings

HEADERS = (
    "Vertragsnummer Vertrieb_ID Vertrieb_Name Beginn Tilgdauer Prämie Barzahlungspreis Check_BWS BWS Kaufpreissatz "
    "max_Kaufpreissatz Sicherheitensatz Kundenzahlung_Brutto Kaufpreis Marge_CY Sicherheitseinbehalt Broker_Payout"
).split()
OBLIGORS = ["Debitor_ID", "Gegenforderung"]


def exact(cell: object) -> Decimal:
    text = str(cell)
    return Decimal(text.replace(".", "").replace(",", ".") if isinstance(cell, str) else text)


@pytest.fixture(scope="module")
def contracts(folder) -> pd.DataFrame:
    sheet = openpyxl.load_workbook(folder / "Merchant_Data.xlsx", data_only=True)["Sheet1"]
    rows = list(sheet.iter_rows(values_only=True))
    return pd.DataFrame(rows[1:], columns=[*HEADERS, "extra", *OBLIGORS])


@pytest.fixture(scope="module")
def merchants(folder) -> pd.DataFrame:
    return pd.read_excel(
        folder / "reference.xlsx", engine="calamine", sheet_name="merchants", dtype={"merchant_id": str}
    )


def test_the_sheet_has_the_shape_of_the_clients_workbook(folder):
    book = openpyxl.load_workbook(folder / "Merchant_Data.xlsx")
    sheet = book["Sheet1"]
    assert book.sheetnames == ["Sheet1"]
    assert [c.value for c in sheet[1]] == [*HEADERS, None, *OBLIGORS]
    assert [sheet.cell(2, column).value for column in (16, 17, 18)] == ["=L2*N2", "=N2-P2", "=J2/K2"]


def test_every_usable_contract_keeps_its_identities_to_the_cent(contracts):
    usable = contracts.iloc[:-2]
    cells = [usable[name].map(exact) for name in HEADERS[4:7] + HEADERS[8:12] + HEADERS[13:17]]
    term, premium, receivable, valuation, rate, highest, reserve_rate, price, margin, reserve, payout = cells
    assert (receivable == premium * term).all()
    assert (price == valuation * rate).all()
    assert (rate <= highest).all()
    assert (reserve == price * reserve_rate).all()
    assert (payout == price - reserve).all()
    assert (receivable == payout + reserve + margin).all()
    assert (margin > 0).all()


def test_no_customer_has_paid_more_than_is_due(contracts):
    usable = contracts.iloc[:-2]
    assert (usable["Kundenzahlung_Brutto"].map(exact) <= usable["Barzahlungspreis"].map(exact)).all()


def test_contracts_and_reference_share_their_merchants(contracts, merchants):
    assert set(contracts["Vertrieb_ID"].astype(str)) == set(merchants["merchant_id"])


def test_ibans_are_valid_but_the_planted_one(merchants, planted):
    invalid = merchants.loc[[not IBAN(i, allow_invalid=True).is_valid for i in merchants["iban"]], "merchant_id"]
    assert invalid.tolist() == planted.loc[planted["case"] == "invalid_iban", "row_id"].tolist()
    assert all(BIC(bic, allow_invalid=True).is_valid for bic in merchants["bic"])


def test_our_own_accounts_have_valid_ibans(lines):
    assert all(IBAN(account).is_valid for account in lines["account"].unique())


def test_limits_are_used_as_planted(contracts, merchants, planted):
    usable = contracts.iloc[:-2]
    face = usable["Barzahlungspreis"].map(exact).astype(float).groupby(usable["Vertrieb_ID"].astype(str)).sum()
    used = face / merchants.set_index("merchant_id")["credit_limit"]
    level = pd.cut(used, [0, 0.8, 0.9, 1.0, 99], labels=["", "watch", "warn", "LIMIT_BREACH"]).astype(str)
    expected = planted[planted["case"].isin(["limit_breach", "near_limit_watch", "near_limit_warn"])]
    assert level[level != ""].to_dict() == expected.set_index("row_id")["expected"].to_dict()


def test_an_unavailable_counterparty_names_one_that_is_available(folder):
    sheet = pd.read_excel(folder / "reference.xlsx", engine="calamine", sheet_name="counterparties").set_index(
        "counterparty_id"
    )
    closed = sheet[~sheet["available"]]
    assert len(closed) == 1
    assert sheet.loc[closed["alternate_counterparty_id"], "available"].all()


def test_rates_move_smoothly(folder):
    rates = pd.read_csv(folder / "fx_rates.csv").pivot_table("rate", "date", "currency")
    assert set(rates.columns) == {"USD", "GBP", "JPY", "CHF"}
    assert rates.pct_change().abs().max().max() < 0.01


def test_every_contract_names_its_debtor_and_some_are_owed_something_in_turn(contracts):
    usable = contracts.iloc[:-2]
    assert usable["Debitor_ID"].str.fullmatch(r"DEB-\d{4}").all()
    assert usable["Debitor_ID"].nunique() < len(usable)
    assert (usable["Gegenforderung"] >= 0).all()
    assert usable["Gegenforderung"].gt(0).any()


def test_payouts_are_paid_from_an_account_that_stands_in_the_statements(folder, lines):
    chosen = yaml.safe_load((folder / "settings.yaml").read_text(encoding="utf-8"))
    assert IBAN(chosen["debtor_iban"]).is_valid
    assert chosen["debtor_iban"] in set(lines["account"])
    assert BIC(chosen["debtor_bic"], allow_invalid=True).is_valid
    ReservesCreditSettings.model_validate({k: v for k, v in chosen.items() if k in ReservesCreditSettings.model_fields})
