"""What one camt entry or transaction detail says: dates, references, parties, remittance, charges."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from atlas_lib.core.documents import child_text, children
from atlas_lib.ingest.statements.sheets import Record, reference


def read_line(entry: Any, details: list[Any], direction: str | None) -> Record:
    """Everything but the amounts; references and party only where the line stands for a single payment."""
    only = details[0] if len(details) == 1 else None
    return {
        "transaction_id": reference(child_text(only, "Refs/TxId")),
        "end_to_end_id": reference(child_text(only, "Refs/EndToEndId")),
        "booking_date": _day(entry, "BookgDt"),
        "value_date": _day(entry, "ValDt"),
        "credit_debit_indicator": direction,
        "bank_reference": child_text(only, "Refs/AcctSvcrRef") or child_text(entry, "AcctSvcrRef"),
        "remittance_text": _remittance(entry, details),
        "counterparty_name": _counterparty(entry, only, direction),
        "source_row": entry.sourceline if only is None or len(children(entry, "NtryDtls/TxDtls")) < 2 else only.sourceline,
    }  # fmt: skip


def read_fees(parent: Any, currency: str | None) -> str | None:
    """Charges in the line's currency: the stated total, else debits less credits of the records; none if there are none."""
    records = children(parent, "Chrgs/Rcrd") or children(parent, "Chrgs")
    totals = children(parent, "Chrgs/TtlChrgsAndTaxAmt")
    amounts = [(t, False) for t in totals]
    if not amounts:
        amounts = [(a, child_text(r, "CdtDbtInd") == "CRDT") for r in records for a in children(r, "Amt")]
    own = [(a.text, is_back) for a, is_back in amounts if a.get("Ccy") in (None, currency)]
    try:
        fees = [-Decimal(text or "") if is_back else Decimal(text or "") for text, is_back in own]
    except InvalidOperation:
        return str(own[0][0])
    return str(sum(fees, Decimal(0))) if fees else None


def _counterparty(entry: Any, only: Any, direction: str | None) -> str | None:
    """The payer of a credit, the payee of a debit; in a reversal the sides of the first payment are swapped."""
    is_reversal = child_text(entry, "RvslInd") in ("true", "1")
    party = "Dbtr" if (direction == "CRDT") != is_reversal else "Cdtr"
    return child_text(only, f"RltdPties/{party}/Nm") or child_text(only, f"RltdPties/{party}/Pty/Nm")


def _remittance(entry: Any, details: list[Any]) -> str | None:
    """Unstructured text and creditor references of the details, else what the bank adds to the entry."""
    found = [t for d in details for t in children(d, "RmtInf/Ustrd") + children(d, "RmtInf/Strd/CdtrRefInf/Ref")]
    texts = found or [t for d in details for t in children(d, "AddtlTxInf")] or children(entry, "AddtlNtryInf")
    return " ".join(filter(None, ((t.text or "").strip() for t in texts))) or None


def _day(parent: Any, tag: str) -> str | None:
    return (child_text(parent, f"{tag}/Dt") or child_text(parent, f"{tag}/DtTm") or "")[:10] or None
