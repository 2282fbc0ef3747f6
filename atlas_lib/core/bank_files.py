"""What banks and others send about payments: pain.001 files, pain.002 answers, camt.053 and camt.054 entries.

Answers become *replies*, one row each (REPLY_COLUMNS):

| reply | says |
|---|---|
| accepted | the bank has taken it; no proof of payment |
| rejected | it will not be paid |
| duplicate | the bank refuses it because it has it already: the first copy may well be paid |
| booked, returned | the money has left our account, has come back |
| unclear | a return that was taken back: a person has to look |

An empty `end_to_end_id` means every payment of the file `payment_id`; only a pain.002 speaks of a whole file. A payment
for which the bank states no EndToEndId is NOT_PROVIDED, whatever file it names. A file may hold one document, or several
in an envelope. Files with a document type are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from atlas_lib.core import money
from atlas_lib.core.documents import REPORTS, child_text, children, local_name, messages_in, outline, parse_document
from atlas_lib.core.errors import InputError

REPLY_COLUMNS = (
    "reply", "payment_id", "end_to_end_id", "amount_minor", "currency", "reason_code", "reason_text", "bank_reference",
    "source",
)  # fmt: skip
NOT_PROVIDED = "NOTPROVIDED"  # what SEPA writes where there is no EndToEndId
_DUPLICATE = {"AM05", "DU01", "DU02", "DU03", "DU04", "DU05"}  # ISO 20022 external status reasons: duplication
_STATUS_REPORT, _INITIATIONS = "CstmrPmtStsRpt", ("CstmrCdtTrfInitn", "pain.001.001.02")
_PAYMENT_COLUMNS = (
    "end_to_end_id", "amount_minor", "currency", "creditor_name", "creditor_account", "execution_date", "debtor_account",
)  # fmt: skip


def read_replies(path: Path) -> pd.DataFrame:
    """The replies in a pain.002, camt.053, camt.054 or camt.052 file; booked entries only.

    Raises InputError for a file that is none of them.
    """
    root = parse_document(path, path.name, "file")
    messages = messages_in(root, (_STATUS_REPORT, *REPORTS))
    if not messages:
        raise InputError(
            "Not an answer of a bank", where=path.name, expected="pain.002 or camt.052, .053, .054", found=outline(root)
        )
    rows = [row for message in messages for row in _message_replies(message, path.name)]
    return shape_replies(pd.DataFrame(rows, columns=pd.Index(REPLY_COLUMNS)))


def replies_of_lines(statement_lines: pd.DataFrame) -> pd.DataFrame:
    """The booked statement lines that quote an EndToEndId as replies: a debit pays, a credit comes back."""
    lines = statement_lines[(statement_lines["status"] == "BOOK") & statement_lines["end_to_end_id"].notna()]
    is_debit = lines["credit_debit_indicator"] == "DBIT"
    return shape_replies(
        lines.assign(
            reply=is_debit.map({True: "booked", False: "returned"}),
            payment_id="",
            amount_minor=lines["amount_posted_minor"],
            reason_code="",
            reason_text=lines["remittance_text"].fillna("").where(~is_debit, ""),
            bank_reference=lines["bank_reference"].fillna(lines["statement_id"] + "/" + lines["line_id"]),
            source=lines["source_file"],
        )
    )


def shape_replies(replies: pd.DataFrame) -> pd.DataFrame:
    """REPLY_COLUMNS with texts as texts and whole amounts (0 where the bank states none)."""
    texts = {c: replies[c].astype(object).fillna("").astype("str") for c in REPLY_COLUMNS if c != "amount_minor"}
    amount = replies["amount_minor"].astype("Int64").fillna(0).astype("int64")
    return replies.assign(**texts, amount_minor=amount)[list(REPLY_COLUMNS)].reset_index(drop=True)


def read_pain001(path: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    """A payment initiation file of any version: its header, and its payments (one row per transaction).

    Header: version, message_id, count and control_sum as stated (None where absent), and as found in the payments.
    """
    root = parse_document(path, path.name, "file")
    messages = messages_in(root, _INITIATIONS)
    if len(messages) != 1:
        found = f"{len(messages)} of them" if messages else outline(root)
        raise InputError("Not a payment initiation", where=path.name, expected="one pain.001", found=found)
    message = messages[0]
    rows = [row for group in message.findall("{*}PmtInf") for row in _payments(group, path.name)]
    header = {
        "version": str(message.tag).partition("}")[0].rpartition(":")[2],
        "message_id": child_text(message, "GrpHdr/MsgId") or "",
        "stated_count": child_text(message, "GrpHdr/NbOfTxs"),
        "stated_sum": child_text(message, "GrpHdr/CtrlSum"),
    }
    payments = pd.DataFrame([row for row, _ in rows], columns=pd.Index(_PAYMENT_COLUMNS))
    return header | {"found_count": len(rows), "found_sum": _sum(a for _, a in rows)}, payments


def _payments(group: Any, source: str) -> list[tuple[dict[str, Any], str]]:
    debtor = _account(group, "DbtrAcct")
    day = (
        child_text(group, "ReqdExctnDt/Dt")
        or (child_text(group, "ReqdExctnDt/DtTm") or child_text(group, "ReqdExctnDt") or "")[:10]
    )
    found = []
    for one in group.findall("{*}CdtTrfTxInf"):
        amount = one.find("{*}Amt/{*}InstdAmt")
        amount = one.find("{*}Amt/{*}EqvtAmt/{*}Amt") if amount is None else amount
        amount_minor, code, text = _amount(amount, source)
        row = {
            "end_to_end_id": child_text(one, "PmtId/EndToEndId"),
            "amount_minor": amount_minor,
            "currency": code,
            "creditor_name": child_text(one, "Cdtr/Nm"),
            "creditor_account": _account(one, "CdtrAcct"),
            "execution_date": day,
            "debtor_account": debtor,
        }
        found.append((row, text))
    return found


def _account(parent: Any, tag: str) -> str | None:
    return child_text(parent, f"{tag}/Id/IBAN") or child_text(parent, f"{tag}/Id/Othr/Id")


def _message_replies(message: Any, source: str) -> list[dict[str, Any]]:
    kind = local_name(message)
    if kind == _STATUS_REPORT:
        return _status_replies(message, source)
    return [row for report in children(message, REPORTS[kind]) for row in _entry_replies(report, source)]


def _status_replies(message: Any, source: str) -> list[dict[str, Any]]:
    """What is said of the whole file, of a payment group, and of single payments.

    Of a file or group refused as a duplicate every refusal is one: nothing in it speaks of the first copy.
    """
    payment_id = child_text(message, "OrgnlGrpInfAndSts/OrgnlMsgId") or ""
    rows = [_status(message.find("{*}OrgnlGrpInfAndSts"), "GrpSts", payment_id, "", source)]
    for group in message.findall("{*}OrgnlPmtInfAndSts"):
        told = _within(_status(group, "PmtInfSts", payment_id, "", source), rows[0])
        singles = [
            _status(one, "TxSts", payment_id, child_text(one, "OrgnlEndToEndId") or NOT_PROVIDED, source)
            for one in group.findall("{*}TxInfAndSts")
        ]
        rows += [told, *(_within(one, told if told["reply"] else rows[0]) for one in singles)]
    return [r for r in rows if r["reply"]]


def _within(row: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    is_copy = whole["reply"] == "duplicate" and row["reply"] == "rejected"
    return row | {"reply": "duplicate"} if is_copy else row


def _status(element: Any, tag: str, payment_id: str, end_to_end_id: str, source: str) -> dict[str, Any]:
    """PART (some were rejected) and PDNG say nothing of any one payment."""
    code = child_text(element, tag) or ""
    reply = "rejected" if code == "RJCT" else "accepted" if code.startswith("AC") else ""
    reasons = [] if element is None else [r.text for r in element.findall("{*}StsRsnInf/{*}Rsn/*") if r.text]
    copies = [r for r in reasons if r.strip() in _DUPLICATE]
    return {
        "reply": "duplicate" if reply == "rejected" and copies else reply,
        "payment_id": payment_id,
        "end_to_end_id": end_to_end_id,
        "reason_code": (copies or reasons or [""])[0].strip(),
        "reason_text": child_text(element, "StsRsnInf/AddtlInf") or "",
        "source": source,
    }


def _entry_replies(report: Any, source: str) -> list[dict[str, Any]]:
    booked = [e for e in report.findall("{*}Ntry") if (child_text(e, "Sts/Cd") or child_text(e, "Sts")) == "BOOK"]
    return [_entry_reply(e, d, source) for e in booked for d in e.findall("{*}NtryDtls/{*}TxDtls")]


def _entry_reply(entry: Any, detail: Any, source: str) -> dict[str, Any]:
    amount_minor, code = _detail_amount(entry, detail, source)
    return {
        "reply": _direction(entry, detail),
        "payment_id": child_text(detail, "Refs/MsgId") or "",
        "end_to_end_id": child_text(detail, "Refs/EndToEndId") or NOT_PROVIDED,
        "amount_minor": amount_minor,
        "currency": code,
        "reason_code": child_text(detail, "RtrInf/Rsn/Cd") or child_text(detail, "RtrInf/Rsn/Prtry") or "",
        "reason_text": child_text(detail, "RtrInf/AddtlInf") or "",
        "bank_reference": child_text(detail, "Refs/AcctSvcrRef")
        or child_text(entry, "AcctSvcrRef")
        or child_text(entry, "NtryRef")
        or "",
        "source": source,
    }


def _direction(entry: Any, detail: Any) -> str:
    """A debit of ours pays, a credit with its id comes back; a reversed credit is a return taken back."""
    if (child_text(detail, "CdtDbtInd") or child_text(entry, "CdtDbtInd")) == "CRDT":
        return "returned"
    return "unclear" if child_text(entry, "RvslInd") in ("true", "1") else "booked"


def _detail_amount(entry: Any, detail: Any, source: str) -> tuple[int, str]:
    """Amt since version 03, AmtDtls/TxAmt/Amt before; the entry's own only where it is of this one payment."""
    found = [a for path in ("{*}Amt", "{*}AmtDtls/{*}TxAmt/{*}Amt") if (a := detail.find(path)) is not None]
    whole = entry.find("{*}Amt")
    if not found and len(entry.findall("{*}NtryDtls/{*}TxDtls")) > 1 and whole is not None:
        return 0, str(whole.get("Ccy"))
    amount_minor, code, _ = _amount(found[0] if found else whole, source)
    return amount_minor, code


def _amount(element: Any, source: str) -> tuple[int, str, str]:
    """Minor units, currency and text of an amount element."""
    if element is None:
        raise InputError(
            "A payment without its amount", where=source, expected="Amt with Ccy", found="no Amt",
            remedy="fetch the file from the bank again",
        )  # fmt: skip
    text, code = (element.text or "").strip(), str(element.get("Ccy"))
    return _minor(text, code, source), code, text


def _minor(text: str, currency: str, source: str) -> int:
    from decimal import Decimal, InvalidOperation

    try:
        scaled = Decimal(text).scaleb(money.exponent(currency))
    except InvalidOperation as error:
        raise InputError("Not an amount", where=source, expected="digits and a point", found=text) from error
    if scaled != scaled.to_integral_value():
        raise InputError("An amount has more digits than its currency", where=source, found=f"{text} {currency}")
    return int(scaled)


def _sum(texts: Any) -> str:
    from decimal import Decimal

    return str(sum((Decimal(t) for t in texts), Decimal(0)))
