"""The bank's side: what our accounts' statements show of the payments."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

from atlas_lib.core.calendars import add_business_days
from atlas_lib.example_data.names import numbered
from atlas_lib.example_data.parties import CURRENCIES, Parties, own_iban

OPENING_UNITS = (412_380.15, 96_210.40, 58_744.90, 7_912_350.0)
NETTED = "netted"  # case of a line that is part of a payout's line
CUT_OFF_HOUR = 16  # 17:00 CET in UTC, winter time
_WINDOW_DAYS = {"RTGS": 0, "T0": 0, "T1": 1, "T2": 2}
_WORDS = {
    "SALE": "Umsatz",
    "REFUND": "Erstattung",
    "CHARGEBACK": "Rückbelastung",
    "FEE": "Gebühr",
    "PAYOUT": "Auszahlung",
}


def book_payments(payments: pd.DataFrame, parties: Parties, as_of: date, rng: np.random.Generator) -> pd.DataFrame:
    """One line per approved payment that the bank has booked by `as_of`; `payment` is its row.

    Booked 0 (RTGS, T0), 1 (T1) or 2 (T2) business days after the payment, sometimes one later; after the cut-off
    the next day counts. Value date = booking date.
    """
    settled = np.flatnonzero(payments["status"].isin(["APPROVED", "REFUNDED"]).to_numpy())
    frame = payments.iloc[settled]
    booking = booking_dates(frame, rng.random(len(frame)) < 0.08)
    kind = frame["type"].to_numpy()
    processor = parties.counterparties["name"].to_numpy(dtype=object)[frame["counterparty"]]
    merchant = parties.merchants["merchant_name"].to_numpy(dtype=object)[frame["merchant"]]
    lines = pd.DataFrame(
        {
            "payment": settled,
            "account": frame["currency"].to_numpy(),
            "booking_date": booking,
            "amount_posted_minor": frame["amount_minor"].to_numpy(),
            "fee_charged_minor": 0,
            "is_credit": kind == "SALE",
            "end_to_end_id": frame["reference"].to_numpy(dtype=object),
            "transaction_id": "",
            "remittance_text": frame["type"].map(_WORDS).to_numpy() + " " + frame["merchant_id"].to_numpy(),
            "counterparty_name": np.where(np.isin(kind, ["FEE", "PAYOUT"]), merchant, processor),
            "case": "",
        }
    ).astype({"transaction_id": object, "remittance_text": object, "case": object})
    return lines[booking <= np.datetime64(as_of, "D")].reset_index(drop=True)


def booking_dates(payments: pd.DataFrame, slow: np.ndarray) -> np.ndarray:
    created = payments["created_at"].to_numpy().astype("datetime64[s]")
    day = created.astype("datetime64[D]")
    day = day + ((created - day).astype(np.int64) >= CUT_OFF_HOUR * 3600)
    lag = payments["window"].map(_WINDOW_DAYS).to_numpy(dtype=np.int64) + slow
    booking = np.empty(len(payments), dtype="datetime64[D]")
    for number, currency in enumerate(CURRENCIES):
        here = payments["currency"].to_numpy() == number
        booking[here] = add_business_days(day[here], lag[here], currency)
    return booking


def number_lines(lines: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """One statement per account and month; lines counted from 1 within it, in order of booking, without netted ones."""
    order = np.lexsort((rng.permutation(len(lines)), lines["booking_date"], lines["account"]))
    frame = lines.iloc[order].assign(bank_reference=numbered("NTB", 26_080_000 + np.arange(len(lines)), 9).to_numpy())
    frame = frame[frame["case"] != NETTED]
    month = frame["booking_date"].to_numpy().astype("datetime64[M]")
    currency = np.array(CURRENCIES, dtype=object)[frame["account"]]
    statement = pd.Series(currency, index=frame.index) + "-" + pd.Series(month.astype(str), index=frame.index)
    line = frame.groupby(statement.to_numpy(), sort=False).cumcount() + 1
    return frame.assign(
        statement_id=statement,
        line_id=line.astype(str),
        account_iban=np.array([own_iban(c) for c in CURRENCIES], dtype=object)[frame["account"]],
        currency=currency,
    )


def make_balances(lines: pd.DataFrame, as_of: date) -> pd.DataFrame:
    """OPBD and CLBD of every statement: closing = opening + credits - debits, the next opens where this one closed.

    Columns: statement_id, account, balance_type, balance_date, balance_minor, currency.
    """
    signed = lines["amount_posted_minor"].where(lines["is_credit"], -lines["amount_posted_minor"])
    moved = signed.groupby(lines["statement_id"]).sum()
    first = np.datetime64(lines["booking_date"].min(), "M")
    months = np.arange(first, np.datetime64(as_of, "M") + 1)
    rows = []
    for currency, opening in zip(CURRENCIES, OPENING_UNITS, strict=True):
        balance = round(opening * (1 if currency == "JPY" else 100))
        for month in months:
            statement = f"{currency}-{month}"
            last = min((month + 1).astype("datetime64[D]") - 1, np.datetime64(as_of, "D"))
            rows.append((statement, own_iban(currency), "OPBD", month.astype("datetime64[D]"), balance, currency))
            balance += int(moved.get(statement, 0))
            rows.append((statement, own_iban(currency), "CLBD", last, balance, currency))
    names = ["statement_id", "account", "balance_type", "balance_date", "balance_minor", "currency"]
    return pd.DataFrame(rows, columns=names)
