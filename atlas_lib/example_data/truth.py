"""The planted truth: which rows are wrong on purpose, and which payment belongs to which bank line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from atlas_lib.example_data.plants import BANK_CASES, BANK_ONLY_CASES, NOT_PROVIDED

_PLANTED = ["case", "table", "row_id", "file", "source_row", "expected", "detail"]
_MERCHANT_TRUTH = {
    "limit_breach": ("LIMIT_BREACH", "receivables are twice the limit"),
    "near_limit_watch": ("watch", "receivables are 84 % of the limit"),
    "near_limit_warn": ("warn", "receivables are 94 % of the limit"),
    "kyc_pending": ("KYC_INCOMPLETE", "kyc_status PENDING"),
    "blocked": ("MERCHANT_BLOCKED", "blocked by a person"),
    "invalid_iban": ("INVALID_IBAN", "last two digits changed"),
    "sanctioned_name": ("SANCTIONS_MATCH", "name within one letter of an alias in policy POL-05"),
}
_PAYMENT_TRUTH = {
    "fraud_burst": ("FRAUD_REVIEW", "many high sales of one user at night"),
    "scarce_liquidity": ("deferred", "at least one of them: too little cash in the currency"),
    "structuring": ("AML_PENDING", "several purchases just under 10,000 EUR"),
}
_LINE_TRUTH = {case: break_type or "MATCHED" for case, (_, _, break_type) in (BANK_CASES | BANK_ONLY_CASES).items()} | {
    "merged_payout": "MATCHED",
    "processor_payout": "MATCHED",
}
_GROUPS = ("merged_payout", "processor_payout")  # one line for several payments


def find_pairs(payments: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    """payment (its row), statement_id, line_id, case of every true pair, splits and merges included."""
    single = lines[lines["pair"] >= 0].assign(payment=lines["pair"])
    names = ["payment", "statement_id", "line_id", "case"]
    groups = payments["payout"].where(payments["payout"] != "", payments["case"])
    merged = lines.loc[lines["case"].str.startswith(_GROUPS), ["case", "statement_id", "line_id"]]
    group = pd.DataFrame({"payment": payments.index, "case": groups})[groups.str.startswith(_GROUPS)]
    many = group.merge(merged, on="case", how="inner", validate="many_to_one")
    many = many.assign(case=many["case"].str.partition(":")[0])
    pairs = pd.concat([single[names], many[names]], ignore_index=True)
    return pairs.sort_values(names[:3], kind="stable").reset_index(drop=True)


def name_pairs(payments: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs with transaction ids: transaction_id, statement_id, line_id, case."""
    ids = payments["transaction_id"].iloc[pairs["payment"].to_numpy()].reset_index(drop=True)
    return pd.DataFrame({"transaction_id": ids, **pairs.drop(columns="payment")})


def join_planted(pieces: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One row per planted row: case, table, row_id, file, source_row (0: not counted), expected, detail."""
    planted = pd.concat(pieces, ignore_index=True).fillna({"file": "", "source_row": 0})
    return planted.astype({"source_row": "int64"})[_PLANTED]


def of_submissions(submitted: pd.DataFrame) -> pd.DataFrame:
    rows = submitted[submitted["is_extra"]]
    return pd.DataFrame(
        {
            "case": rows["case"],
            "table": "transactions",
            "row_id": rows["transaction_id"],
            "file": "transactions",
            "source_row": rows.index + 2,
            "expected": rows["expected"],
            "detail": "",
        }
    )


def of_payments(payments: pd.DataFrame, blacklisted_user: str) -> pd.DataFrame:
    frames = [
        _rows(case, "transactions", payments.loc[payments["case"].str.startswith(case), "transaction_id"], *truth)
        for case, truth in _PAYMENT_TRUTH.items()
    ]
    listed = payments.loc[payments["user_id"] == blacklisted_user, "transaction_id"]
    return pd.concat([*frames, _rows("blacklisted_user", "transactions", listed, "BLACKLISTED", "policy POL-04")])


def of_missing(payments: pd.DataFrame, booked: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """What the bank should have booked by now and has not: booked before planting, in no true pair after it."""
    missing = payments["transaction_id"].iloc[np.setdiff1d(booked["payment"], pairs["payment"])]
    return _rows("missing_bank_line", "transactions", missing, "MISSING_AT_BANK", "no bank line")


def of_lines(payments: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    """Cases of bank lines; row_id is statement_id/line_id, `detail` names the transaction where there is one."""
    rows = lines[lines["case"] != ""]
    case = rows["case"].str.partition(":")[0]
    ours = payments["transaction_id"].to_numpy(dtype=object)[rows["payment"].clip(lower=0)]
    return pd.DataFrame(
        {
            "case": case,
            "table": "statement_lines",
            "row_id": rows["statement_id"] + "/" + rows["line_id"],
            "expected": case.map(_LINE_TRUTH),
            "detail": pd.Series(ours, index=rows.index).where(rows["payment"] >= 0, ""),
        }
    )


def of_reference(merchants: pd.DataFrame) -> pd.DataFrame:
    frames = [
        _rows(role, "merchants", merchants.loc[merchants["role"] == role, "merchant_id"], *truth)
        for role, truth in _MERCHANT_TRUTH.items()
    ]
    closed = _rows("unavailable_counterparty", "counterparties", pd.Series(["CP-06"]), "rerouted", "alternate CP-02")
    return pd.concat([*frames, closed])


def _rows(case: str, table: str, row_id: pd.Series, expected: str, detail: str) -> pd.DataFrame:
    frame = pd.DataFrame({"row_id": row_id.to_numpy(dtype=object)})
    return frame.assign(case=case, table=table, expected=expected, detail=detail)


DESCRIPTION = f"""# What is planted

`planted.csv` lists every row that is unusual on purpose; `pairs.csv` lists which transaction truly belongs to
which bank line, and under which case. Nothing in this folder is an input: folders that begin with `_` are not read.

- `case` is the kind, `table` and `row_id` say where, `expected` what the workbook should make of it.
- For rows of the transactions file and of the contract sheet `source_row` is the row as Excel shows it.
- `row_id` of a bank line is `statement_id/line_id`; `detail` then names the transaction.
- A split payment has two lines with the same end-to-end id; an incomplete one has only the first.
- A merged payout is one line for three payouts; every other one lists their references in its text.
- A processor payout is one line for a merchant's days, less refunds, chargebacks, fees and the reserve held back of
  each sale, and lists their references. One has payments of every type; of the other, the sales of the day before are
  not listed: they are the prior balance.
- `booked_in_destination` and `fx_difference`: a cross-currency payment booked in the currency it arrives in, at the
  day's rate or 2 % below it.
- A lost end-to-end id reads {NOT_PROVIDED}; its amount occurs only once on its account.
- A fee variance is a fee taken on the line (posted = amount - fee); fees are otherwise billed as FEE transactions.
- Approved payments of the last days without a bank line and without an entry here are not late: not booked yet.
"""
