"""The words and codes that a column may hold, and how people also write them."""

from __future__ import annotations

import pandas as pd

from atlas_lib.ingest.vocabulary import fields

ALLOWED: dict[tuple[str, str], tuple[str, ...]] = {
    ("merchants", "risk_level"): ("LOW", "MEDIUM", "HIGH", "UNRATED"),
    ("merchants", "kyc_status"): ("COMPLETE", "PENDING", "EXPIRED", "UNKNOWN"),
    ("transactions", "type"): ("SALE", "REFUND", "CHARGEBACK", "FEE", "PAYOUT"),
    ("transactions", "status"): ("PENDING", "APPROVED", "DECLINED", "REFUNDED"),
    ("transactions", "settlement_window"): ("RTGS", "T0", "T1", "T2"),
    ("statement_lines", "credit_debit_indicator"): ("CRDT", "DBIT"),
    ("statement_lines", "status"): ("BOOK", "PDNG"),
    ("statement_balances", "balance_type"): ("OPBD", "CLBD"),
    ("policies", "policy_type"): ("KYC", "AML", "REGIONAL_LIMIT", "BLACKLIST"),
}
_SYNONYMS: dict[tuple[str, str], dict[str, str]] = {
    ("transactions", "settlement_window"): {"T+0": "T0", "T+1": "T1", "T+2": "T2"},
    ("statement_lines", "credit_debit_indicator"): dict.fromkeys(("C", "CR", "CREDIT", "H", "HABEN", "GUTSCHRIFT"), "CRDT")
    | dict.fromkeys(("D", "DR", "DEBIT", "S", "SOLL", "LASTSCHRIFT"), "DBIT"),
    ("statement_lines", "status"): {"BOOKED": "BOOK", "PENDING": "PDNG"},
    ("statement_balances", "balance_type"): {"OPENING": "OPBD", "CLOSING": "CLBD", "PRCD": "OPBD"},
    ("merchants", "kyc_status"): {"COMPLETED": "COMPLETE", "VERIFIED": "COMPLETE"},
    ("policies", "policy_type"): {"REGIONAL LIMIT": "REGIONAL_LIMIT", "REGIONALLIMIT": "REGIONAL_LIMIT"},
}  # fmt: skip


def normalise(table: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Words and codes in their canonical spelling, before the rules are checked."""
    changed: dict[str, pd.Series] = {}
    for field in fields(table, ""):
        name, known = field.name, synonyms(table, field.name)
        if known is not None:
            changed[name] = rows[name].str.upper().replace(known)
        elif name in ("iban", "bic"):
            changed[name] = rows[name].str.upper().str.replace(" ", "", regex=False)
    return rows.assign(**changed)


def synonyms(table: str, name: str) -> dict[str, str] | None:
    """Other spellings of a column whose words are compared in upper case; None for free text."""
    if (table, name) in ALLOWED:
        return _SYNONYMS.get((table, name), {})
    return {} if name.endswith("currency") else None
