"""What others say is in outside statements and reports, read without the readers under trial.

| collection | expectation |
|---|---|
| camt_genkgo, mt940_wolph | the parse of another library, stored beside the file (.json, .yml) |
| bank_csv_bank2ynab | days and amounts by the column list of bank2ynab.conf |
| psp_reports_wikimedia | count of rows and sum of the amount columns |
| oca_bank_statement, ofx_ofxparse, bai2_moov | count of lines in the raw text |
"""

from __future__ import annotations

import base64
import configparser
import csv
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from atlas_lib.core.money import exponent

Line = tuple[str, Decimal]
Balance = tuple[str, str, Decimal]


@dataclass(frozen=True)
class Expected:
    """What another source says; a count alone where it knows no more. `source` names it.

    `balances` are all there are, `among` some of them; `texts` are accounts and references that must have been read.
    """

    source: str
    lines: tuple[Line, ...] | None = None
    balances: tuple[Balance, ...] | None = None
    among: tuple[Balance, ...] = ()
    texts: tuple[str, ...] = ()
    count: int | None = None
    total: Decimal | None = None


def _genkgo(file: Path) -> Expected | None:
    """The objects another parser printed; an object it met before it printed as a mark only, so the lists may be short."""
    beside = file.with_suffix(".json")
    beside = beside if beside.is_file() else file.parent / file.name.replace(".xml", ".json")
    if not beside.is_file():
        return None
    objects = list(_objects(json.loads(beside.read_text(encoding="utf-8"))))
    entries = [o for o in objects if o["__CLASS__"].endswith("DTO\\Entry")]
    balances = [o for o in objects if o["__CLASS__"].endswith("DTO\\Balance")]
    kinds = {"opening": "OPBD", "closing": "CLBD"}
    return Expected(
        beside.name,
        tuple((_day(e["getBookingDate"] or e["getValueDate"]), _money(e["getAmount"])) for e in entries),
        tuple(
            (kinds[b["getType"]], _day(b["getDate"]), _money(b["getAmount"])) for b in balances if b["getType"] in kinds
        ),
        texts=_genkgo_texts(objects, entries),
    )


def _genkgo_texts(objects: list[dict[str, Any]], entries: list[dict[str, Any]]) -> tuple[str, ...]:
    """Accounts of the statements, the bank's references, and end-to-end ids where an entry is a single payment."""
    accounts = [o["getAccount"]["getIdentification"] for o in objects if "getBalances" in o and o.get("getAccount")]
    found = [*accounts, *(e["getAccountServicerReference"] for e in entries)]
    if all(len(e.get("getTransactionDetails") or []) < 2 for e in entries):
        found += [o["getEndToEndId"] for o in objects if "getEndToEndId" in o]
    return tuple(dict.fromkeys(t for t in found if t))


def _objects(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if "__CLASS__" in node:
            yield node
        for value in node.values():
            yield from _objects(value)
    elif isinstance(node, list):
        for value in node:
            yield from _objects(value)


def _money(node: dict[str, Any]) -> Decimal:
    return Decimal(node["getAmount"]).scaleb(-exponent(node["getCurrency"]["getCode"])).normalize()


def _day(node: dict[str, Any] | None) -> str:
    return node["0"][:10] if node else ""


def _wolph(file: Path) -> Expected | None:
    """The parse that the MT940 library stores beside its own files, read as plain data: nothing in it is built or run."""
    beside = file.with_suffix(".yml")
    if not beside.is_file():
        return Expected("the tags :61:", count=len(re.findall("^:61:", file.read_text(), re.MULTILINE)))
    import yaml

    stored = yaml.compose(beside.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    found = [_child(t, "data") for t in _child(stored, "transactions").value]
    booked = [data for data in found if _child(data, "amount") is not None]
    whole = _child(stored, "data")
    kinds = {"final_opening_balance": "OPBD", "final_closing_balance": "CLBD"}
    balances = [(kind, node) for name, kind in kinds.items() if (node := _child(whole, name)) is not None]
    references = [
        r.value for data in booked if (r := _child(data, "bank_reference")) is not None and r.tag.endswith(":str")
    ]
    account = _child(whole, "account_identification") if balances or booked else None
    return Expected(
        beside.name,
        tuple(map(_stored_line, booked)),
        among=tuple((kind, _stored_day(_child(node, "date")), _stored_amount(node)) for kind, node in balances),
        texts=tuple(r for r in [*references, account.value if account is not None else ""] if r not in ("", "NONREF")),
    )


def _child(node: Any, key: str) -> Any:
    """The node under a key of a YAML mapping; none if there is none."""
    return next((value for name, value in node.value if name.value == key), None)


def _stored_line(data: Any) -> Line:
    amount = Decimal(_child(_child(data, "amount"), "amount").value[0].value)
    day = next(d for k in ("guessed_entry_date", "entry_date", "date") if (d := _child(data, k)) is not None)
    return _stored_day(day), amount.normalize()


def _stored_day(node: Any) -> str:
    packed = base64.b64decode(node.value[0].value)  # as `datetime.date` packs itself: year in two bytes, month, day
    return date(packed[0] * 256 + packed[1], packed[2], packed[3]).isoformat()


def _stored_amount(balance: Any) -> Decimal:
    return Decimal(_child(_child(balance, "amount"), "amount").value[0].value).normalize()


def _bank2ynab(file: Path) -> Expected | None:
    """Days and amounts as the section of bank2ynab.conf says whose file name pattern fits."""
    settings = configparser.RawConfigParser()
    settings.read(file.parent / "bank2ynab.conf", encoding="utf-8")
    section = next((s for s in settings.sections() if _is_named(file.stem, settings[s])), None)
    if section is None:
        return Expected("the rows of the file", count=len(_rows(file, "\t" if "tab" in file.name else ";")))
    conf = settings[section]
    rows = _rows(file, conf.get("Source CSV Delimiter", ",") or ",")
    body = rows[int(conf["Header Rows"]) : len(rows) - int(conf["Footer Rows"])]
    columns = [c.strip() for c in conf["Input Columns"].split(",")]
    lines = [_ynab_line(row, columns, conf.get("Date Format", "")) for row in body]
    return Expected(f"bank2ynab.conf [{section}]", tuple(lines))


def _is_named(stem: str, conf: configparser.SectionProxy) -> bool:
    pattern = conf.get("Source Filename Pattern", "")
    if conf.get("Use Regex for Filename", "False") == "True":
        return re.fullmatch(pattern, stem) is not None
    return bool(pattern) and stem == pattern


def _ynab_line(row: list[str], columns: list[str], form: str) -> Line:
    cells = {c: v for c, v in zip(columns, row, strict=False) if v.strip()}
    day = datetime.strptime(cells["Date"].strip(), form or "%d/%m/%Y").date()  # noqa: DTZ007
    return day.isoformat(), (
        _plain_number(cells.get("Inflow", "0")) - _plain_number(cells.get("Outflow", "0"))
    ).normalize()


def _plain_number(text: str) -> Decimal:
    bare = text.strip()
    return Decimal(bare.replace(".", "").replace(",", ".") if re.search(r",\d\d$", bare) else bare.replace(",", ""))


def _rows(file: Path, delimiter: str) -> list[list[str]]:
    text = file.read_bytes().decode("utf-8-sig", errors="replace")
    return [r for r in csv.reader(io.StringIO(text), delimiter="\t" if delimiter == "\\t" else delimiter) if any(r)]


# header that tells a report: columns added, columns taken off; a first field that marks the rows, where one does
_REPORTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Net Credit (NC)": (("Net Credit (NC)",), ("Net Debit (NC)",)),
    "NET_AMOUNT": (("NET_AMOUNT",), ()),
    "Net Amount (local)": (("Net Amount (local)",), ()),
}


def _processor(file: Path) -> Expected | None:
    rows = _rows(file, ";" if file.parent.name == "dlocal" and "_" not in file.name else ",")
    if file.parent.name == "Trustly":
        marked = [r for r in rows if r[0] in ("I", "T")]
        fun = [r for r in marked if r[0] == "I"]
        total = sum((Decimal(r[15]) + Decimal(r[22] or 0) for r in fun), Decimal(0))
        return Expected("the rows marked I or T", count=len(marked), total=total.normalize() if fun else None)
    if "Record Type" in rows[0]:
        booked = [
            d
            for r in rows[1:]
            if (d := dict(zip(rows[0], r, strict=False)))["Record Type"] in ("Settled", "Chargeback")
        ]
        total = sum((Decimal(d["Payable (SC)"]) for d in booked), Decimal(0))
        return Expected("Payable (SC) of Settled and Chargeback", count=len(booked), total=total)
    for mark, (plus, minus) in _REPORTS.items():
        at = next((i for i, r in enumerate(rows) if mark in r), None)
        if at is not None:
            body = [dict(zip(rows[at], r, strict=False)) for r in rows[at + 1 :]]
            total = sum((_column(r, plus) - _column(r, minus) for r in body), Decimal(0))
            is_refund = file.stem in ("refund", "chargebacks")
            return Expected(
                "the sum of " + ", ".join((*plus, *minus)), count=len(body), total=-total if is_refund else total
            )
    return None


def _column(row: dict[str, str], names: tuple[str, ...]) -> Decimal:
    return sum((Decimal(row[n] or 0) for n in names), Decimal(0))


def _counted(file: Path) -> Expected | None:
    """Lines counted in the raw text: transactions in OFX, detail records in BAI2, rows below the header in CSV."""
    text = file.read_bytes().decode("latin-1")
    if "<OFX>" in text:
        return Expected(
            "the tags STMTTRN", count=len(re.findall("<STMTTRN>", re.sub("<!--.*?-->", "", text, flags=re.DOTALL)))
        )
    if text.startswith("01,"):
        return Expected("the records 16", count=len(re.findall(r"(?:^|/\s+)16,", text, re.MULTILINE)))
    if file.suffix == ".csv":
        return Expected(
            "the rows that begin with a day",
            count=sum(re.match(r"\d\d/\d\d/", r[0]) is not None for r in _rows(file, ",")),
        )
    if zipfile.is_zipfile(file) and file.suffix == ".zip":
        with zipfile.ZipFile(file) as archive:
            return Expected(
                "the elements Ntry", count=sum(archive.read(n).count(b"<Ntry>") for n in archive.namelist())
            )
    return None


COLLECTIONS: dict[str, Callable[[Path], Expected | None]] = {
    "camt_genkgo": _genkgo,
    "mt940_wolph": _wolph,
    "oca_bank_statement": _counted,
    "ofx_ofxparse": _counted,
    "bai2_moov": _counted,
    "bank_csv_bank2ynab": _bank2ynab,
    "psp_reports_wikimedia": _processor,
}
