"""SEPA credit transfer files: ISO 20022 pain.001.001.09, one file per debtor account and execution date.

Texts are brought into the character set of the European Payments Council (EPC217-08, section 1.1):
letters, digits and `/ - ? : ( ) . , ' +`. German umlauts become two letters, other accents are left off,
what has no counterpart becomes a full stop. SEPA moves euro only.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd

from atlas_lib.core import calendars, money
from atlas_lib.core.errors import AtlasError

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
_PREFIXES: Any = {None: NAMESPACE}  # the default namespace has no prefix
INSTRUCTION_COLUMNS = (
    "end_to_end_id", "amount_minor", "currency", "creditor_name", "creditor_iban", "creditor_bic", "creditor_town",
    "creditor_country", "remittance_text",
)  # fmt: skip
_MAX_NAME, _MAX_ID, _MAX_TEXT, _MAX_TOWN = 70, 35, 140, 35
_MAX_AMOUNT_MINOR = 99_999_999_999  # EPC115-06: 999,999,999.99 EUR
_LETTERS = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE"}
    | {"œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th"}
    | {"Þ": "TH", "ı": "i", "&": "+", "€": "EUR", "’": "'", "‘": "'", "–": "-", "—": "-", "_": "-", "@": "(at)"}
)
_FOREIGN = re.compile(r"[^A-Za-z0-9/\-?:().,'+ ]")
_BIC = re.compile(r"[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?")
_ID = re.compile(r"[A-Za-z0-9+?:().,'\-]([A-Za-z0-9+?:().,'/\- ]{0,33}[A-Za-z0-9+?:().,'\-])?")


@dataclass(frozen=True)
class Debtor:
    """The account that is debited, with its owner."""

    name: str
    iban: str
    bic: str
    town: str
    country: str


def write_pain001(
    instructions: pd.DataFrame, debtor: Debtor, execution_date: date, message_id: str, created_at: datetime
) -> bytes:
    """The payment file of these instructions (INSTRUCTION_COLUMNS), every byte of it decided by the arguments.

    NbOfTxs and CtrlSum are the count and the exact sum; ReqdExctnDt is a TARGET day. Raises AtlasError for what SEPA
    cannot carry: another currency, an amount of 0 or too much, an invalid account, a name without any letter, an
    EndToEndId that is too long or comes twice.
    """
    from lxml import etree

    check_instructions(instructions, debtor, execution_date, message_id)
    root = etree.Element(f"{{{NAMESPACE}}}Document", nsmap=_PREFIXES)
    message = etree.SubElement(root, "CstmrCdtTrfInitn")
    total = _amount(int(instructions["amount_minor"].sum()))
    count = str(len(instructions))
    header = _add(message, "GrpHdr")
    stamp = created_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    for tag, text in (("MsgId", message_id), ("CreDtTm", stamp), ("NbOfTxs", count), ("CtrlSum", total)):
        _add(header, tag, text)
    _add(_add(header, "InitgPty"), "Nm", to_sepa_text(debtor.name, _MAX_NAME))
    payment = _add(message, "PmtInf")
    for tag, text in (("PmtInfId", message_id), ("PmtMtd", "TRF"), ("BtchBookg", "false"), ("NbOfTxs", count)):
        _add(payment, tag, text)
    _add(payment, "CtrlSum", total)
    _add(payment, "PmtTpInf/SvcLvl/Cd", "SEPA")
    _add(payment, "ReqdExctnDt/Dt", execution_date.isoformat())
    _party(payment, "Dbtr", debtor.name, debtor.town, debtor.country)
    _add(payment, "DbtrAcct/Id/IBAN", _compact(debtor.iban))
    _agent(payment, "DbtrAgt", debtor.bic)
    _add(payment, "ChrgBr", "SLEV")
    for row in instructions.to_dict("records"):
        _transaction(payment, {str(k): v for k, v in row.items()})
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True))


def check_instructions(instructions: pd.DataFrame, debtor: Debtor, execution_date: date, message_id: str) -> None:
    """AtlasError naming the first instruction that SEPA cannot carry, and why."""
    missing = [n for n in ("name", "iban", "town", "country") if not getattr(debtor, n)]
    if missing or not _is_iban(debtor.iban) or (debtor.bic and not _BIC.fullmatch(debtor.bic)):
        raise AtlasError(
            "The account to pay from is not known", expected="settings debtor_name, debtor_iban, debtor_town, debtor_country",
            found="without " + ", ".join(missing) if missing else f"debtor_iban {debtor.iban}, debtor_bic {debtor.bic}",
            remedy="give the account in the settings of the run",
        )  # fmt: skip
    if not calendars.is_business_day(np.datetime64(execution_date))[()]:
        raise AtlasError("The execution date is no TARGET day", found=execution_date.isoformat())
    if not _ID.fullmatch(message_id) or instructions.empty:
        raise AtlasError("Not a payment file", expected="an id of at most 35 characters, a payment", found=message_id)
    for fault, wrong in _faults(instructions).items():
        if wrong.any():
            row = instructions[wrong].iloc[0]
            raise AtlasError(
                f"SEPA cannot carry a payment: {fault}", where=str(row["end_to_end_id"]),
                found=f"{row['creditor_name']}, {row['creditor_iban']}, {row['amount_minor']} minor units {row['currency']}",
                remedy="correct the merchant's data, or pay it in another way",
            )  # fmt: skip


def to_sepa_text(text: str, length: int) -> str:
    """The text in the SEPA character set, at most `length` characters, without slashes where SEPA forbids them."""
    plain = unicodedata.normalize("NFKD", str(text).translate(_LETTERS))
    plain = "".join(c for c in plain.translate(_LETTERS) if not unicodedata.combining(c))
    kept = re.sub(r"\s+", " ", _FOREIGN.sub(".", re.sub(r"\s", " ", plain)))
    return re.sub(r"/{2,}", "/", kept).strip(" /")[:length].strip(" /")


def _faults(instructions: pd.DataFrame) -> dict[str, pd.Series]:
    amount, ids = instructions["amount_minor"], instructions["end_to_end_id"].astype("str")
    names = instructions["creditor_name"].fillna("").map(lambda n: to_sepa_text(n, _MAX_NAME))
    digits = instructions["currency"].map(money.exponent)
    return {
        "its currency has no cents": digits == 0,
        "its currency is not the euro": instructions["currency"] != "EUR",
        "its amount is not positive": amount <= 0,
        "its amount is above 999,999,999.99": amount > _MAX_AMOUNT_MINOR,
        "its account number is missing, invalid or outside SEPA": ~instructions["creditor_iban"]
        .map(_is_iban)
        .astype(bool),
        "its bank code is no BIC": ~instructions["creditor_bic"].map(
            lambda b: not _given(b) or bool(_BIC.fullmatch(b))
        ),
        "its name has no letter that SEPA knows": ~names.str.contains("[A-Za-z0-9]"),
        "its EndToEndId is empty, too long or has other characters": ids.map(_ID.fullmatch).isna(),
        "its EndToEndId comes twice": ids.duplicated(keep=False),
    }


def _is_iban(text: Any) -> bool:
    from schwifty import IBAN

    if not isinstance(text, str):
        return False
    iban = IBAN(text, allow_invalid=True)
    return bool(iban.is_valid and iban.in_sepa_zone)


def _transaction(payment: Any, row: dict[str, Any]) -> None:
    one = _add(payment, "CdtTrfTxInf")
    _add(one, "PmtId/EndToEndId", str(row["end_to_end_id"]))
    _add(one, "Amt/InstdAmt", _amount(int(row["amount_minor"]))).set("Ccy", "EUR")
    if _given(row["creditor_bic"]):
        _agent(one, "CdtrAgt", str(row["creditor_bic"]))
    _party(one, "Cdtr", str(row["creditor_name"]), row["creditor_town"], row["creditor_country"])
    _add(one, "CdtrAcct/Id/IBAN", _compact(str(row["creditor_iban"])))
    text = to_sepa_text(row["remittance_text"], _MAX_TEXT) if _given(row["remittance_text"]) else ""
    if text:
        _add(one, "RmtInf/Ustrd", text)


def _party(parent: Any, tag: str, name: str, town: Any, country: Any) -> None:
    """Name and structured address; without both town and country there is no address (EPC115-06)."""
    party = _add(parent, tag)
    _add(party, "Nm", to_sepa_text(name, _MAX_NAME))
    place = to_sepa_text(town, _MAX_TOWN) if _given(town) else ""
    if place and _given(country) and re.fullmatch("[A-Z]{2}", str(country)):
        address = _add(party, "PstlAdr")
        _add(address, "TwnNm", place)
        _add(address, "Ctry", str(country))


def _agent(parent: Any, tag: str, bic: str) -> None:
    if bic:
        _add(parent, f"{tag}/FinInstnId/BICFI", bic)
    else:
        _add(parent, f"{tag}/FinInstnId/Othr/Id", "NOTPROVIDED")


def _add(parent: Any, path: str, text: str | None = None) -> Any:
    """The element at the end of the path below the parent, made with every step of the path."""
    from lxml import etree

    for tag in path.split("/"):
        parent = etree.SubElement(parent, f"{{{NAMESPACE}}}{tag}")
    parent.text = text
    return parent


def _compact(iban: str) -> str:
    return re.sub(r"\s", "", iban).upper()


def _amount(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02d}"


def _given(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
