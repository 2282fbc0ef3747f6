"""Payment files: valid against the official schema in every case, exact sums, and what SEPA cannot carry is refused."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib import resources

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from schwifty import IBAN

from atlas_lib.core.bank_files import read_pain001
from atlas_lib.core.errors import AtlasError
from atlas_lib.core.sepa import Debtor, to_sepa_text, write_pain001

DEBTOR = Debtor("Müller & Söhne Factoring GmbH", "DE89 3704 0044 0532 0130 00", "COBADEFFXXX", "München", "DE")
MONDAY, MADE = date(2026, 11, 2), datetime(2026, 10, 30, 9, 30, tzinfo=UTC)
SEPA_SET = re.compile(r"[A-Za-z0-9/\-?:().,'+ ]+")
_PAYMENT = {
    "end_to_end_id": "PO-1-1", "amount_minor": 123456, "currency": "EUR", "creditor_name": "Åse Ørsted ApS",
    "creditor_iban": "DE89370400440532013000", "creditor_bic": None, "creditor_town": None, "creditor_country": None,
    "remittance_text": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def schema() -> etree.XMLSchema:
    """The official schema, which the package sepaxml carries."""
    return etree.XMLSchema(etree.fromstring((resources.files("sepaxml") / "schemas/pain.001.001.09.xsd").read_bytes()))


def payments(*rows: dict) -> pd.DataFrame:
    return pd.DataFrame([_PAYMENT | row for row in rows])


def written(frame: pd.DataFrame, day: date = MONDAY) -> etree._Element:
    return etree.fromstring(write_pain001(frame, DEBTOR, day, "PAY-1", MADE))


def texts(root: etree._Element, tag: str) -> list[str]:
    return [e.text for e in root.iter("{*}" + tag)]


names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=200)
ibans = st.integers(0, 10**10 - 1).map(lambda n: str(IBAN.generate("DE", "37040044", f"{n:010d}")))
rows = st.fixed_dictionaries(
    {
        "amount_minor": st.integers(1, 99_999_999_999),
        "creditor_name": st.tuples(st.sampled_from("AzÄöß9"), names).map("".join),
        "creditor_iban": ibans,
        "creditor_bic": st.sampled_from([None, "COBADEFF", "COBADEFFXXX"]),
        "creditor_town": st.one_of(st.none(), names),
        "creditor_country": st.sampled_from([None, "DE", "AT", "de", ""]),
        "remittance_text": st.one_of(st.none(), st.text(max_size=300)),
    }
)


@given(st.lists(rows, min_size=1, max_size=8))
def test_every_file_is_valid_and_its_count_and_sum_are_exact(schema, cases):
    frame = payments(*(case | {"end_to_end_id": f"PO-{i}-1"} for i, case in enumerate(cases)))
    root = written(frame)
    schema.assertValid(root)
    total = Decimal(int(frame["amount_minor"].sum())) / 100
    assert {Decimal(t) for t in texts(root, "CtrlSum")} == {total}
    assert set(texts(root, "NbOfTxs")) == {str(len(cases))}
    for tag in ("Nm", "TwnNm", "Ustrd", "EndToEndId"):
        assert all(SEPA_SET.fullmatch(t) and not t.startswith("/") and "//" not in t for t in texts(root, tag))


def test_a_file_says_who_pays_whom_what_and_when(schema):
    bank = {
        "creditor_bic": "DABADKKK",
        "creditor_town": "København",
        "creditor_country": "DK",
        "remittance_text": "Ware für 3 €",
    }
    root = written(payments(bank))
    schema.assertValid(root)
    assert texts(root, "Nm") == ["Mueller + Soehne Factoring GmbH"] * 2 + ["Ase Orsted ApS"]
    assert (texts(root, "BICFI"), texts(root, "TwnNm")) == (["COBADEFFXXX", "DABADKKK"], ["Muenchen", "Kobenhavn"])
    assert (texts(root, "Ctry"), texts(root, "Ustrd")) == (["DE", "DK"], ["Ware fuer 3 EUR"])
    assert texts(root, "InstdAmt") == ["1234.56"]
    assert [e.text for e in root.findall(".//{*}ReqdExctnDt/{*}Dt")] == ["2026-11-02"]


def test_without_town_or_country_there_is_no_address_rather_than_half_of_one(schema):
    root = written(payments({"creditor_town": "Lyon"}, {"creditor_country": "FR", "end_to_end_id": "PO-2-1"}))
    schema.assertValid(root)
    assert root.findall(".//{*}Cdtr/{*}PstlAdr") == []


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"currency": "JPY"}, "no cents"),
        ({"currency": "KRW"}, "no cents"),
        ({"currency": "USD"}, "not the euro"),
        ({"amount_minor": 0}, "not positive"),
        ({"amount_minor": 100_000_000_000}, "above"),
        ({"creditor_iban": "DE88370400440532013000"}, "account number"),
        ({"creditor_iban": None}, "account number"),
        ({"creditor_iban": "BR1800360305000010009795493C1"}, "outside SEPA"),
        ({"creditor_bic": "nonsense"}, "BIC"),
        ({"creditor_name": "株式会社"}, "no letter"),
        ({"end_to_end_id": "X" * 36}, "EndToEndId"),
        ({"end_to_end_id": "é1"}, "EndToEndId"),
    ],
)
def test_what_sepa_cannot_carry_is_refused_with_its_payment(row, fault):
    with pytest.raises(AtlasError, match=fault):
        written(payments(row))


def test_two_payments_with_one_id_are_refused():
    with pytest.raises(AtlasError, match="comes twice"):
        written(payments({}, {}))


@pytest.mark.parametrize("day", [date(2026, 11, 1), date(2026, 12, 25), date(2026, 4, 3)])
def test_a_sunday_or_a_target_closing_day_is_no_execution_date(day):
    with pytest.raises(AtlasError, match="TARGET"):
        written(payments({}), day)


def test_an_unknown_debtor_account_is_refused_before_anything_is_written():
    with pytest.raises(AtlasError, match="account to pay from"):
        write_pain001(payments({}), Debtor("We", "", "", "Berlin", "DE"), MONDAY, "PAY-1", MADE)


def test_long_text_is_cut_at_what_the_scheme_allows():
    root = written(payments({"creditor_name": "Ä" * 100, "remittance_text": "x" * 500}))
    assert [len(t) for t in texts(root, "Nm")][-1] == 70
    assert [len(t) for t in texts(root, "Ustrd")] == [140]


def test_a_character_without_counterpart_becomes_a_full_stop():
    assert to_sepa_text("A*B\n#1//2/", 140) == "A.B .1/2"


def test_the_same_payments_give_the_same_bytes_and_are_read_back_to_the_cent(tmp_path):
    frame = payments({}, {"end_to_end_id": "PO-2-1", "amount_minor": 1})
    first = write_pain001(frame, DEBTOR, MONDAY, "PAY-1", MADE)
    assert first == write_pain001(frame, DEBTOR, MONDAY, "PAY-1", MADE)
    path = tmp_path / "out.xml"
    path.write_bytes(first)
    header, back = read_pain001(path)
    assert header == {
        "version": "pain.001.001.09", "message_id": "PAY-1", "stated_count": "2", "stated_sum": "1234.57", "found_count": 2,
        "found_sum": "1234.57",
    }  # fmt: skip
    assert back["amount_minor"].tolist() == [123456, 1]
    assert back["execution_date"].tolist() == ["2026-11-02"] * 2
    document = first.decode().partition("?>")[2]
    path.write_text(f"<Envelope>{document}</Envelope>", encoding="utf-8")
    assert read_pain001(path)[0] == header
    path.write_text(f"<Envelope>{document}{document}</Envelope>", encoding="utf-8")
    with pytest.raises(AtlasError, match="Found: 2 of them"):
        read_pain001(path)
