"""Files of the example folder; the same tables give the same bytes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from atlas_lib.core.errors import AtlasError
from atlas_lib.example_data.camt import render_statement
from atlas_lib.example_data.submissions import COLUMNS, decimal_text

LINE_COLUMNS = (
    "statement_id account line_id transaction_id end_to_end_id booking_date value_date amount_posted fee_charged "
    "currency credit_debit_indicator status bank_reference remittance_text counterparty_name"
).split()

_MADE = {
    "Merchant_Data.xlsx", "reference.xlsx", "transactions.csv", "transactions.parquet", "statements",
    "statement_lines.parquet", "statement_balances.csv", "fraud_signals.csv", "fx_rates.csv", "settings.yaml", "_truth",
}  # fmt: skip


def clear_folder(out: Path) -> None:
    """An empty folder to write to: what an earlier run of the generator made goes, any other file stops it."""
    found = {entry.name for entry in out.iterdir()} if out.exists() else set()
    if found - _MADE:
        raise AtlasError(
            "The folder holds other files",
            where=str(out),
            expected="an empty folder, or one made by this generator",
            found=", ".join(sorted(found - _MADE)[:5]),
            remedy="name another folder",
        )
    for entry in sorted(found):
        if (out / entry).is_dir():
            shutil.rmtree(out / entry)
        else:
            (out / entry).unlink()
    out.mkdir(parents=True, exist_ok=True)


def write_moves(
    submitted: pd.DataFrame, lines: pd.DataFrame, balances: pd.DataFrame, out: Path, *, in_parquet: bool
) -> None:
    """Transactions and statements: CSV and camt.053, or Parquet with the very same text cells."""
    if in_parquet:
        write_parquet(submitted[list(COLUMNS)], out / "transactions.parquet")
        write_parquet(as_text(lines), out / "statement_lines.parquet")
        write_csv(balances_as_text(balances), out / "statement_balances.csv")
    else:
        write_csv(submitted[list(COLUMNS)], out / "transactions.csv")
        write_statements(lines, balances, out / "statements")


def write_truth(planted: pd.DataFrame, pairs: pd.DataFrame, description: str, folder: Path) -> None:
    folder.mkdir()
    write_csv(planted, folder / "planted.csv")
    write_csv(pairs, folder / "pairs.csv")
    write_text(description, folder / "description.md")


def write_text(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    frame.to_csv(path, index=False, lineterminator="\n", encoding="utf-8")


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    frame.to_parquet(path, index=False, compression="zstd")


def write_statements(lines: pd.DataFrame, balances: pd.DataFrame, folder: Path) -> None:
    """camt.053 per month for the EUR account; lines and balances as CSV for each other currency."""
    folder.mkdir()
    for statement, of_statement in balances[balances["currency"] == "EUR"].groupby("statement_id", sort=True):
        text = render_statement(str(statement), lines[lines["statement_id"] == statement], of_statement)
        write_text(text, folder / f"camt053_{statement}.xml")
    for currency in balances["currency"].unique():
        if currency != "EUR":
            write_csv(as_text(lines[lines["currency"] == currency]), folder / f"statement_lines_{currency}.csv")
            here = balances[balances["currency"] == currency]
            write_csv(balances_as_text(here), folder / f"statement_balances_{currency}.csv")


def as_text(lines: pd.DataFrame) -> pd.DataFrame:
    """Bank lines in the canonical columns, amounts in units as text."""
    lost = lines["end_to_end_id"] == "NOTPROVIDED"
    day = np.datetime_as_string(lines["booking_date"].to_numpy().astype("datetime64[D]"))
    return lines.assign(
        account=lines["account_iban"],
        end_to_end_id=lines["end_to_end_id"].where(~lost, ""),
        booking_date=day,
        value_date=day,
        amount_posted=decimal_text(lines["amount_posted_minor"], lines["currency"]),
        fee_charged=decimal_text(lines["fee_charged_minor"], lines["currency"]),
        credit_debit_indicator=lines["is_credit"].map({True: "CRDT", False: "DBIT"}),
        status="BOOK",
    )[LINE_COLUMNS]


def balances_as_text(balances: pd.DataFrame) -> pd.DataFrame:
    """Balances in units as text, an overdraft with a minus."""
    sign = (balances["balance_minor"] < 0).map({True: "-", False: ""}).astype("str")
    amount = sign + decimal_text(balances["balance_minor"].abs(), balances["currency"])
    columns = ["statement_id", "account", "balance_type", "balance_date", "balance", "currency"]
    return balances.assign(balance=amount, balance_date=balances["balance_date"].dt.strftime("%Y-%m-%d"))[columns]
