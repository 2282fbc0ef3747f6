"""What one table says about another: merchants that no list names."""

from __future__ import annotations

import pandas as pd

from atlas_lib.core.tables import declared
from atlas_lib.ingest.recognition import Note

_SOURCE = ["source_file", "source_sheet", "source_row"]


def complete_merchants(clean: dict[str, pd.DataFrame], in_payments: pd.DataFrame) -> tuple[pd.DataFrame, list[Note]]:
    """Merchants named only in contracts or transactions are listed, without details; the latter are noted.

    `in_payments`: the first row of each merchant in the transactions (merchant_id, currency, source).
    """
    listed, contracts = clean["merchants"], clean["contracts"]
    columns = ["merchant_id", "merchant_name", "currency", *_SOURCE]
    from_payments = in_payments.assign(merchant_name=lambda f: f["merchant_id"])
    known = pd.concat([listed["merchant_id"], contracts["merchant_id"]])
    unknown = from_payments[~from_payments["merchant_id"].isin(known)]
    found = pd.concat([contracts[columns], unknown[columns]]).drop_duplicates("merchant_id")
    added = found[~found["merchant_id"].isin(listed["merchant_id"])]
    empty = {c: None for c in listed.columns if c not in columns}
    filled = added.assign(**{**empty, "risk_level": "UNRATED", "kyc_status": "UNKNOWN", "is_blocked": False})
    notes: list[Note] = [
        {
            "source_file": file, "source_sheet": sheet, "source_row": row, "table": "transactions", "column": "merchant_id",
            "value": merchant, "rule": "UNKNOWN_MERCHANT", "severity": "warning",
            "message": f"{file}, row {row}: merchant {merchant} is in no list of merchants. What to do: add it to merchants; it is kept without details.",
        }
        for merchant, file, sheet, row in zip(*(unknown[c] for c in ["merchant_id", *_SOURCE]), strict=True)
    ]  # fmt: skip
    shaped = declared("merchants").shaped(filled) if len(filled) else listed.iloc[:0]
    both = pd.concat([listed, shaped], ignore_index=True) if len(listed) else shaped
    return declared("merchants").shaped(both), notes
