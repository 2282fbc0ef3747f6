"""A payment file as a person must see it before approving it: whom it pays, how much, and which bytes it is."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from atlas_lib.core.errors import Refused
from atlas_lib.core.wording import counted
from atlas_lib.present.tables import format_value

# The amount and what became of it stand first, so that they are seen on a phone beside the button.
FILE_COLUMNS = (
    "payment_id", "amount_minor", "currency", "status", "payout_count", "execution_date", "prepared_by", "approved_by",
    "is_four_eyes", "sha256",
)  # fmt: skip
_LINE_COLUMNS = ("merchant_name", "amount_minor", "currency", "iban", "merchant_id", "due_date", "status", "payout_id", "payment_id")  # fmt: skip


def line_columns(files: int) -> list[str]:
    """Columns of the payouts in so many payment files; of one file each line need not name it."""
    return [c for c in _LINE_COLUMNS if c != "payment_id" or files > 1]


def lines_of(payouts: pd.DataFrame, payment_ids: Sequence[str]) -> pd.DataFrame:
    """The payouts in these payment files; not those of a file that was sent back."""
    held = payouts["payment_id"].isin(list(payment_ids)) & (payouts["live_status"] != "Ready")
    return payouts[held].sort_values(["payment_id", "amount_minor"], ascending=[True, False], ignore_index=True)


def file_of(orders: pd.DataFrame, payment_id: str) -> pd.DataFrame:
    """The payment file as one row; Refused when this run knows none of this name."""
    found = orders[orders["payment_id"] == payment_id]
    if found.empty:
        raise Refused("There is no such payment file", found=payment_id, expected="one of the list", remedy="go to it")
    return found.reset_index(drop=True)


def totals_of(payouts: pd.DataFrame) -> list[str]:
    """`3 payouts to 2 payees: 1,234.50 EUR`, a line per currency."""
    grouped = payouts.groupby("currency", sort=True).agg(
        lines=("payout_id", "size"), payees=("merchant_id", "nunique"), total=("amount_minor", "sum")
    )
    return [
        f"{counted(int(n), 'payout')} to {counted(int(payees), 'payee')}: {format_value('amount_minor', int(total), str(code))} {code}"
        for code, n, payees, total in grouped.itertuples()
    ]


def hashes_of(orders: pd.DataFrame) -> list[str]:
    """`PAY-1: SHA-256 ...` in full, a line per file."""
    return [f"{p}: SHA-256 {s}" for p, s in zip(orders["payment_id"], orders["sha256"], strict=True)]
