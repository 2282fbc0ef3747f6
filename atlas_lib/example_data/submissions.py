"""The transactions as submitted: text cells, with repeated submissions, conflicts and unusable rows among them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from atlas_lib.core.money import exponent
from atlas_lib.example_data.payments import utc_text

COLUMNS = (
    "transaction_id idempotency_key merchant_id user_id type amount source_currency destination_currency "
    "source_account destination_account counterparty_id settlement_window status created_at reference"
).split()

# case, column, value, what 01_ingest makes of it
BAD_CELLS: tuple[tuple[str, str, str, str], ...] = (
    ("negative_amount", "amount", "-48.90", "rejected"),
    ("zero_amount", "amount", "0.00", "rejected"),
    ("text_amount", "amount", "12,3x", "rejected"),
    ("unknown_status", "status", "SETTLING", "rejected"),
    ("unknown_type", "type", "GIFT", "rejected"),
    ("bad_currency", "source_currency", "EUX", "rejected"),
    ("missing_id", "transaction_id", "", "rejected"),
    ("long_id", "transaction_id", "T" + "0123456789" * 5, "rejected"),
    ("same_account", "destination_account", "ACC-ATLAS", "rejected"),
    ("german_date", "created_at", "15.10.2026", "accepted"),
    ("european_decimal", "amount", "1.249,50", "accepted"),
)


def decimal_text(minor: pd.Series, currency: pd.Series) -> pd.Series:
    """Minor units as text in units: 123456 EUR is 1234.56, 1200 JPY is 1200."""
    whole = minor.astype("int64")
    text = pd.Series("", index=minor.index, dtype="str")
    for code in currency.unique():
        here = (currency == code).to_numpy()
        digits = exponent(str(code))
        part = pa.array(whole[here].to_numpy())
        units = pc.cast(pc.divide(part, 10**digits), pa.string())
        if digits:
            cents = pc.subtract(part, pc.multiply(pc.divide(part, 10**digits), 10**digits))
            units = pc.binary_join_element_wise(units, pc.utf8_lpad(pc.cast(cents, pa.string()), digits, "0"), ".")
        text[here] = units.to_pandas().to_numpy(dtype=object)
    return text


def extra_counts(rows: int) -> dict[str, int]:
    """How many of the submitted rows are not fresh payments."""
    return {
        "duplicate_submission": max(6, rows // 200),
        "conflicting_submission": max(3, rows // 1000),
        "bad": len(BAD_CELLS) * max(1, rows // 20_000),
    }


def submit(payments: pd.DataFrame, rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """All rows of the transactions file in order, as text, with `case` and `expected`."""
    fresh = payments.assign(
        amount=decimal_text(payments["amount_minor"], payments["source_currency"]),
        settlement_window=payments["window"],
        created_at=utc_text(payments["created_at"].to_numpy()),
        expected="accepted",
        is_extra=False,
        place=np.arange(len(payments), dtype=float),
    )[[*COLUMNS, "case", "expected", "is_extra", "place"]]
    counts = extra_counts(rows)
    plain = np.flatnonzero(((payments["case"] == "") & (payments["type"] == "SALE")).to_numpy())
    chosen = rng.permutation(plain)[: sum(counts.values())]
    again, conflict, spoil = np.split(chosen, np.cumsum(list(counts.values()))[:-1])
    pieces = [
        fresh,
        _sent_again(fresh.iloc[again], rng),
        _repeated(_other_body(fresh.iloc[conflict]), rng).assign(case="conflicting_submission", expected="conflict"),
        _spoiled(fresh.iloc[spoil], rng),
    ]
    return pd.concat(pieces, ignore_index=True).sort_values("place", kind="stable").reset_index(drop=True)


def _repeated(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The same row a few lines further down."""
    return rows.assign(is_extra=True, place=rows["place"] + rng.integers(1, 9, len(rows)) + 0.5)


def _sent_again(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The same key and body; every other one under an id of its own, as a client that retries may do."""
    renamed = np.arange(len(rows)) % 2 == 1
    ids = rows["transaction_id"].where(~renamed, rows["transaction_id"] + "D")
    return _repeated(rows.assign(transaction_id=ids), rng).assign(case="duplicate_submission", expected="duplicate")


def _other_body(rows: pd.DataFrame) -> pd.DataFrame:
    """The same key with an id and an amount of its own."""
    return rows.assign(transaction_id=rows["transaction_id"] + "X", amount="9" + rows["amount"])


def _spoiled(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """New rows with one unusual cell each; those that can be read are pending, so that no bank line is due."""
    rows = _repeated(rows, rng).reset_index(drop=True)
    turn = np.arange(len(rows)) % len(BAD_CELLS)
    rows = rows.assign(
        transaction_id=rows["transaction_id"] + "B",
        idempotency_key=rows["idempotency_key"] + "b",
        reference=rows["reference"] + "-B",
        case=[BAD_CELLS[i][0] for i in turn],
        expected=[BAD_CELLS[i][3] for i in turn],
    )
    for number, (case, column, value, expected) in enumerate(BAD_CELLS):
        here = turn == number
        rows.loc[here, column] = value
        if expected == "accepted":
            rows.loc[here, "status"] = "PENDING"
        if case == "same_account":
            rows.loc[here, "source_account"] = value
        if case == "european_decimal":
            rows.loc[here, ["source_currency", "destination_currency"]] = "EUR"
    return rows
