"""What one table says about another: merchants that no list names, statements that do not add up."""

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


def unbalanced_statements(clean: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Warnings for statements whose opening balance + booked lines is not the closing balance."""
    lines, balances = clean["statement_lines"], clean["statement_balances"]
    booked = lines[lines["status"] == "BOOK"]
    signed = booked["amount_posted_minor"].where(
        booked["credit_debit_indicator"] == "CRDT", -booked["amount_posted_minor"]
    )
    moved = signed.groupby(booked["statement_id"]).sum()
    wide = balances.set_index("statement_id")
    opening = wide.loc[wide["balance_type"] == "OPBD", "balance_minor"]
    closing = wide[wide["balance_type"] == "CLBD"]
    expected = opening.reindex(closing.index).astype("Int64") + moved.reindex(closing.index).fillna(0).astype("Int64")
    wrong = closing.assign(expected=expected.to_numpy())
    wrong = wrong[(wrong["expected"] != wrong["balance_minor"]).fillna(False).to_numpy()].reset_index()
    text = (
        "statement "
        + wrong["statement_id"]
        + ": opening balance and lines give "
        + wrong["expected"].astype("str")
        + ", the closing balance is "
        + wrong["balance_minor"].astype("str")
        + " (minor units). What to do: ask the bank for the missing lines."
    )
    where = {c: wrong[c] for c in _SOURCE}
    return pd.DataFrame(where).assign(
        table="statement_balances", column="balance", value=wrong["balance_minor"].astype("str"),
        rule="STATEMENT_BALANCE", severity="warning", message=wrong["source_file"] + ", " + text,
    )  # fmt: skip
