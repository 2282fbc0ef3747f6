"""CSV exports of processors and banks read by their declared layouts, and layouts of the user's own."""

from __future__ import annotations

import pytest
import yaml

from atlas_lib.core.errors import InputError
from atlas_lib.ingest import read_inputs

ADYEN = (
    "Company Account,Merchant Account,Psp Reference,Merchant Reference,Payment Method,Creation Date,TimeZone,Type,"
    "Modification Reference,Gross Currency,Gross Debit (GC),Gross Credit (GC),Exchange Rate,Net Currency,Net Debit (NC),"
    "Net Credit (NC),Commission (NC),Markup (NC),Scheme Fees (NC),Interchange (NC),Batch Number\n"
    "Shop,ShopEU,P1,O-1,visa,2026-10-02 10:00:00,CET,Settled,M1,EUR,,100.00,1,EUR,,98.20,,1.00,0.30,0.50,7\n"
    "Shop,ShopEU,P2,O-2,visa,2026-10-03 10:00:00,CET,Chargeback,M2,EUR,40.00,,1,EUR,45.00,,5.00,,,,7\n"
    "Shop,ShopEU,,,,2026-10-04 10:00:00,CET,MerchantPayout,TX1,EUR,,,,EUR,53.20,,,,,,7\n"
)
STRIPE = (
    "id,Type,Source,Amount,Fee,Net,Currency,Created (UTC),Available On (UTC),Description\n"
    "txn_1,charge,ch_1,120.00,3.78,116.22,usd,2026-09-01 14:03,2026-09-03 00:00,Course\n"
    "txn_2,payout,po_1,-116.22,0.00,-116.22,usd,2026-09-05 14:03,2026-09-05 00:00,STRIPE PAYOUT\n"
)
PAYOUTS = (
    "automatic_payout_id,automatic_payout_effective_at,balance_transaction_id,created_utc,available_on_utc,currency,gross,"
    "fee,net,reporting_category,description,charge_id,payment_intent_id\n"
    "po_1,2026-09-05 00:00:00,txn_1,2026-09-01 14:03:09,2026-09-03 00:00:00,eur,50.00,1.75,48.25,charge,Order 9,ch_1,pi_1\n"
)
PAYPAL_STL = (
    '"RH",2026/08/21 02:44:19 -0700,"A","MERCHANT1",009\n"FH",01\n"SH",2026/08/20 00:00:00 -0700,2026/08/20 23:59:59 -0700,"MERCHANT1",""\n'
    '"CH","Transaction ID","Invoice ID","PayPal Reference ID","PayPal Reference ID Type","Transaction Event Code",'
    '"Transaction Initiation Date","Transaction Completion Date","Transaction Debit or Credit","Gross Transaction Amount",'
    '"Gross Transaction Currency","Fee Debit or Credit","Fee Amount","Fee Currency"\n'
    '"SB","T1","INV-1","","","T0006",2026/08/20 00:01:17 -0700,2026/08/20 00:01:17 -0700,"CR",10000,"USD","DR",320,"USD"\n'
    '"SB","T2","","","","T0400",2026/08/20 05:01:17 -0700,2026/08/20 05:01:17 -0700,"DR",9680,"USD","",,""\n'
    '"SB","T3","","","","T1107",2026/08/20 06:01:17 -0700,2026/08/20 06:01:17 -0700,"DR",500,"JPY","CR",10,"JPY"\n'
    '"SF","USD",0\n"SC",3\n"RF","USD",0\n"RC",3\n"FF",3\n'
)
PAYPAL = (
    '"Date","Time","TimeZone","Name","Type","Status","Currency","Gross","Fee","Net","Transaction ID","Subject"\n'
    '"13/05/2026","10:00:00","PDT","A","Payment","Completed","EUR","50.00","-1.80","48.20","1A",""\n'
    '"02/05/2026","10:00:00","PDT","B","Payment","Denied","EUR","9.00","0.00","9.00","1B",""\n'
    '"03/05/2026","10:00:00","PDT","C","Payment","Pending","EUR","7.00","0.00","7.00","1C",""\n'
)
SHOWN = ["booking_date", "amount_posted_minor", "fee_charged_minor", "credit_debit_indicator"]


def lines_of(clean, folder, text, name="report.csv"):
    (folder / name).write_text(text)
    return clean(folder)["statement_lines"]


def shown(lines):
    return lines.assign(booking_date=lines["booking_date"].dt.strftime("%m-%d"))[SHOWN].to_numpy().tolist()


def test_adyen_lines_move_the_balance_by_the_net_amount_and_end_with_the_payout(tmp_path, clean):
    lines = lines_of(clean, tmp_path, ADYEN)
    assert shown(lines) == [["10-02", 9820, 180, "CRDT"], ["10-03", 4500, 500, "DBIT"], ["10-04", 5320, 0, "DBIT"]]
    assert set(lines["statement_id"]) == {"ShopEU 7"}
    assert lines["transaction_id"].tolist()[:2] == ["O-1", "O-2"]
    assert lines["source_row"].tolist() == [2, 3, 4]


def test_stripe_balance_transactions_and_payout_reconciliation(tmp_path, clean):
    lines = lines_of(clean, tmp_path, STRIPE)
    assert shown(lines) == [["09-01", 11622, 378, "CRDT"], ["09-05", 11622, 0, "DBIT"]]
    assert set(lines["currency"]) == {"USD"}
    lines = lines_of(clean, tmp_path, PAYOUTS)
    assert lines[["line_id", "transaction_id", "end_to_end_id", "bank_reference"]].to_numpy().tolist() == [
        ["txn_1", "ch_1", "pi_1", "po_1"]
    ]


def test_a_paypal_settlement_report_has_minor_units_and_fees_still_to_be_taken_off(tmp_path, clean):
    lines = lines_of(clean, tmp_path, PAYPAL_STL)
    assert lines[["line_id", "amount_posted_minor", "fee_charged_minor", "credit_debit_indicator", "currency"]].to_numpy().tolist() == [
        ["T3", 490, -10, "DBIT", "JPY"],
        ["T1", 9680, 320, "CRDT", "USD"],
        ["T2", 9680, 0, "DBIT", "USD"],
    ]  # fmt: skip
    assert set(lines["account"]) == {"MERCHANT1"}


def test_a_denied_paypal_line_is_noted_and_a_pending_one_is_not_booked(tmp_path, clean):
    (tmp_path / "p.csv").write_text(PAYPAL)
    tables = clean(tmp_path)
    assert tables["statement_lines"]["status"].tolist() == ["BOOK", "PDNG"]
    assert tables["statement_lines"]["fee_charged_minor"].tolist() == [180, 0]
    assert tables["rejects"]["rule"].tolist() == ["BOOKS_NOTHING"]


def test_days_and_months_that_the_file_does_not_tell_apart_are_refused(tmp_path, clean):
    text = PAYPAL.replace("13/05/2026", "03/05/2026")
    (tmp_path / "p.csv").write_text(text)
    (tmp_path / "Umsaetze.csv").write_text("Buchungstag;Betrag;Währung;Verwendungszweck\n01.10.2026;1,00;EUR;x\n")
    tables = clean(tmp_path)
    assert tables["rejects"].loc[tables["rejects"]["severity"] == "error", "rule"].tolist() == ["NOT_A_DATE"] * 2


OWN = {
    "name": "Our bank",
    "recognised_by": ["Day", "Money", "What"],
    "delimiter": ";",
    "date_format": "%d.%m.%Y",
    "decimal_mark": ",",
    "account": {"label": "Account"},
    "currency": {"label": "Currency", "position": 1},
    "booking_date": "Day",
    "amount": {"column": "Money"},
    "opening_balance": {"label": "Old balance"},
    "closing_balance": {"label": "New balance"},
    "remittance_text": "What",
}
EXPORT = "Account: 4711;;\nCurrency;CHF;\n\nDay;Money;What\n01.10.2026;-10,50;rent\n03.10.2026;1.000,00;sale\nOld balance;;5,00\nNew balance;;994,50\n"


def own_layout(folder, **changes):
    kept = {k: v for k, v in (OWN | changes).items() if v is not None}
    (folder / "layouts.yaml").write_text(yaml.safe_dump({"layouts": [kept]}))


def test_a_layout_in_the_input_folder_reads_preamble_lines_and_balances(tmp_path, clean):
    own_layout(tmp_path)
    (tmp_path / "export.csv").write_text(EXPORT)
    tables = clean(tmp_path)
    lines = tables["statement_lines"]
    assert lines[["account", "currency", "amount_posted_minor", "credit_debit_indicator", "source_row"]].to_numpy().tolist() == [
        ["4711", "CHF", 1050, "DBIT", 5],
        ["4711", "CHF", 100000, "CRDT", 6],
    ]  # fmt: skip
    assert tables["statement_balances"].set_index("balance_type")["balance_minor"].to_dict() == {
        "OPBD": 500,
        "CLBD": 99450,
    }
    assert tables["rejects"].empty


def test_a_stated_balance_that_the_lines_do_not_reach_is_noted(tmp_path, clean):
    own_layout(tmp_path)
    (tmp_path / "export.csv").write_text(EXPORT.replace("994,50", "995,50"))
    assert clean(tmp_path)["rejects"]["rule"].tolist() == ["STATEMENT_BALANCE"]


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_running_balance_gives_opening_and_closing_whatever_the_order(tmp_path, clean, newest_first):
    own_layout(tmp_path, account=None, currency=None, fixed_account="A", fixed_currency="EUR", running_balance="After", opening_balance=None, closing_balance=None)  # fmt: skip
    rows = ["01.10.2026;-10,00;a;90,00", "02.10.2026;5,00;b;95,00", "03.10.2026;-1,00;c;94,00"]
    (tmp_path / "e.csv").write_text("\n".join(["Day;Money;What;After", *(rows[::-1] if newest_first else rows)]))
    tables = clean(tmp_path)
    assert tables["statement_balances"].set_index("balance_type")["balance_minor"].to_dict() == {
        "OPBD": 10000,
        "CLBD": 9400,
    }
    (tmp_path / "e.csv").write_text("\n".join(["Day;Money;What;After", rows[0], rows[2]]))
    tables = clean(tmp_path)
    assert tables["statement_balances"].empty
    assert tables["rejects"][["rule", "source_row"]].to_numpy().tolist() == [["RUNNING_BALANCE", 3]]


def test_a_word_that_says_neither_debit_nor_credit_is_refused(tmp_path, clean):
    own_layout(tmp_path, amount={"column": "Money", "direction": "Side", "debit_words": "S", "credit_words": "H"})
    text = EXPORT.replace("What\n", "What;Side\n").replace("rent", "rent;S").replace("sale", "sale;X")
    (tmp_path / "e.csv").write_text(text)
    tables = clean(tmp_path)
    assert tables["statement_lines"]["credit_debit_indicator"].tolist() == ["DBIT"]
    assert "neither debit nor credit: X" in tables["rejects"]["value"].tolist()


def test_separate_columns_of_debits_that_are_negative_already(tmp_path, clean):
    own_layout(tmp_path, amount={"credit": "In", "debit": "Money", "debit_is": "negative"})
    text = EXPORT.replace("What\n", "What;In\n").replace("rent", "rent;").replace("1.000,00;sale", ";sale;1.000,00")
    (tmp_path / "e.csv").write_text(text)
    assert clean(tmp_path)["rejects"].empty


def test_a_line_with_another_number_of_fields_is_refused_with_its_number(tmp_path, clean):
    own_layout(tmp_path)
    (tmp_path / "e.csv").write_text(EXPORT.replace("rent", "rent;surplus"))
    rejects = clean(tmp_path)["rejects"]
    assert rejects[["rule", "source_row", "severity"]].to_numpy().tolist()[0] == ["WRONG_FIELD_COUNT", 5, "error"]


def test_a_quote_that_is_never_closed_does_not_swallow_the_rest_of_the_file(tmp_path):
    own_layout(tmp_path)
    (tmp_path / "e.csv").write_text(EXPORT.replace(";rent", ';"rent'))
    with pytest.raises(InputError, match=r"e\.csv, line 5.*never closed"):
        read_inputs(tmp_path)


def test_figures_finer_than_the_currency_are_rounded_and_counted(tmp_path, clean):
    own_layout(tmp_path, opening_balance=None, closing_balance=None)
    (tmp_path / "e.csv").write_text(EXPORT.split("Old")[0].replace("-10,50", "-10,504"))
    tables = clean(tmp_path)
    assert tables["statement_lines"]["amount_posted_minor"].tolist() == [1050, 100000]
    assert (
        "1 amounts have more decimals than their currency; each is rounded, together by -0.004000"
        in tables["rejects"]["message"].iloc[0]
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"booking_date": None}, "booking_date: Field required"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"delimiter": "::"}, "delimiter: Input should be"),
        ({"amount": {"column": "Money", "credit": "In"}}, "give either `column`"),
        ({"amount": {"column": "Money", "direction": "Side"}}, "belong together"),
        ({"recognised_by": None}, "give `recognised_by`"),
        ({"status": "State"}, "`status` needs"),
    ],
)
def test_a_layout_that_is_wrong_is_refused_with_the_key_and_what_is_expected(tmp_path, changes, said):
    own_layout(tmp_path, **changes)
    (tmp_path / "e.csv").write_text(EXPORT)
    with pytest.raises(InputError, match=r"layouts are not valid.*layouts\.yaml.*docs/statement_formats") as error:
        read_inputs(tmp_path)
    assert said in str(error.value)


@pytest.mark.parametrize("text", ["layouts: [", "!!python/object/apply:os.system ['true']", "- a", ""])
def test_a_layout_file_that_is_no_mapping_of_layouts_is_refused(tmp_path, text):
    (tmp_path / "layouts.yaml").write_text(text)
    (tmp_path / "e.csv").write_text(EXPORT)
    with pytest.raises(InputError, match=r"layouts (are not valid|cannot be read).*layouts\.yaml"):
        read_inputs(tmp_path)


def test_signed_amounts_without_an_indicator_give_the_direction(tmp_path, clean):
    text = "Buchungstag;Valuta;Betrag;Währung;Verwendungszweck\n01.10.2026;01.10.2026;-12,50;EUR;Miete\n02.10.2026;;7,00;EUR;Eingang\n"
    (tmp_path / "Umsaetze.csv").write_text(text, encoding="cp1252")
    lines = clean(tmp_path)["statement_lines"]
    assert lines[["line_id", "amount_posted_minor", "credit_debit_indicator"]].to_numpy().tolist() == [
        ["2", 1250, "DBIT"],
        ["3", 700, "CRDT"],
    ]
