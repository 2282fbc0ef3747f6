"""Rules as data: what a row must satisfy, per table; each is one vectorised test over all its rows.

Identities of the purchase workbook (DOMAIN.md, section 3) are checked on the amounts as typed, in units, with a
tolerance of half a cent (0.005; half a minor unit in other currencies).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from atlas_lib.core.money import currency_codes, scale_of
from atlas_lib.ingest.allowed_words import ALLOWED
from atlas_lib.ingest.policies import unreadable, without_effect
from atlas_lib.ingest.vocabulary import Field, fields
from atlas_lib.ledger import keys

Mask = NDArray[np.bool_]
Test = Callable[[pd.DataFrame], Mask]
Values = Callable[[pd.DataFrame], pd.Series]
_LONGEST_ID = 50
_LIMITED = (
    "contracts",
    "customer_payments",
    "transactions",
)  # balances, limits and statement totals may well be larger
_LARGEST = 1e12  # units; more does not fit whole minor units of every currency

_BALANCE = r"(?i)(opening|closing|previous|new|starting|ending) balance|balance (carried|brought) forward|((anfangs|end|schluss|eröffnungs)saldo|(alter|neuer) (saldo|kontostand)|saldovortrag|kontostand)|solde (initial|final|précédent|ancien|nouveau)|saldo (inicial|final|anterior|iniziale|finale)|(begin|eind)saldo"

# rule: what was expected, what to do
TEXTS: dict[str, tuple[str, str]] = {
    "EMPTY_CELL": ("a value", "fill the cell"),
    "FORMULA_WITHOUT_VALUE": ("a stored result", "open the workbook in Excel, correct the formula if it shows an error, and save it"),
    "NOT_A_NUMBER": ("a number such as 1234.50 or 1.234,50", "correct the cell"),
    "AMBIGUOUS_NUMBER": ("a number that can be read in one way only", "type it with two decimals, as a number cell, or set decimal_mark"),
    "AMBIGUOUS_RATE": ("a rate such as 0.10, 10 % or 10,0", "write the percent sign, or the fraction"),
    "NOT_WHOLE": ("a whole number", "correct the cell"),
    "NOT_A_FLAG": ("yes or no", "correct the cell"),
    "NOT_A_DATE": ("a date such as 2026-10-30 or 30.10.2026", "correct the cell"),
    "AMBIGUOUS_DATE": ("a date whose day and month cannot be mixed up", "type it as 2026-04-03 or as a date cell"),
    "DATE_ORDER_INFERRED": ("a date whose day and month cannot be mixed up; this and the like are read in the order that the other cells of the column leave no doubt of", "check them, or type them as 2026-04-03"),
    "DECIMAL_MARK_INFERRED": ("a number that can be read in one way only; this and the like are read with the decimal mark that the other cells of the column leave no doubt of", "check them, or set decimal_mark"),
    "DATE_AS_NUMBER": ("a date", "format the cell as a date, or type it as 2026-04-03"),
    "DIGITS_LOST": ("an id typed as text", "Excel keeps 15 digits of a number: enter the id as text"),
    "ROUNDED_AMOUNT": ("an amount in whole minor units of its currency", "it was rounded; correct the cell if another amount was meant"),
    "CURRENCY_MISMATCH": ("an amount in the currency of its row", "keep one currency per row"),
}  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """`broken(rows)` marks the rows that break it; an error refuses the row, a warning keeps it.

    `computed(rows)` is what an identity gives, for the message.
    """

    name: str
    column: str
    broken: Test
    expected: str
    remedy: str = "correct the cell"
    severity: Literal["error", "warning"] = "error"
    computed: Values | None = None


def rules(table: str, max_amount: float) -> list[Rule]:
    """The general rules of a table's columns, then its own."""
    general = [rule for field in fields(table, "") for rule in _general(table, field, max_amount)]
    return general + _OWN.get(table, [])


def _general(table: str, field: Field, max_amount: float) -> list[Rule]:
    name = field.name
    if field.kind == "amount":
        limit = max_amount if table in _LIMITED else _LARGEST
        return [
            Rule(
                "AMOUNT_TOO_LARGE",
                name,
                lambda r: _above(r[name].abs(), limit),
                f"at most {limit:,.0f}",
                "check the amount, or raise max_amount",
            )
        ]
    if field.kind == "rate" or name == "fraud_score":
        return [Rule("RATE_OUT_OF_RANGE", name, lambda r: _outside(r[name], 0, 1), "a rate from 0 to 1")]
    if (table, name) in ALLOWED:
        allowed = ALLOWED[table, name]
        return [Rule(f"UNKNOWN_{name.upper()}", name, lambda r: _not_in(r[name], allowed), ", ".join(allowed))]
    if name.endswith("currency"):
        return [
            Rule("UNKNOWN_CURRENCY", name, lambda r: _not_in(r[name], currency_codes()), "an ISO 4217 code such as EUR")
        ]
    if name.endswith("_id"):
        too_long = f"at most {_LONGEST_ID} characters"
        return [
            Rule("ID_TOO_LONG", name, lambda r: _mask(r[name].str.len() > _LONGEST_ID), too_long),
            _with_all_digits(name),
        ]
    return []


def _above(values: pd.Series, limit: float) -> Mask:
    return _mask(values > limit)


def _outside(values: pd.Series, low: float, high: float) -> Mask:
    return _mask((values < low) | (values > high))


def _below(column: str, limit: float, *, or_equal: bool = False) -> Test:
    return lambda r: _mask(r[column] <= limit if or_equal else r[column] < limit)


def _rounds_to_none(rows: pd.DataFrame) -> Mask:
    """Nothing or less in whole minor units: 0.004 EUR would be booked as a payment of nothing."""
    return _mask(rows["amount_minor"] <= 0)


def _not_in(values: pd.Series, allowed: tuple[str, ...] | frozenset[str]) -> Mask:
    return _mask(values.notna() & ~values.isin(_words(allowed)))


@lru_cache(maxsize=64)
def _words(allowed: tuple[str, ...] | frozenset[str]) -> pd.Series:
    """Made once: as a list they are converted for every column that is compared."""
    return pd.Series(sorted(allowed), dtype="str")


def _same(left: pd.Series, right: pd.Series) -> Mask:
    """Where both hold the same text; columns of codes are compared by their codes."""
    if not (isinstance(left.dtype, pd.CategoricalDtype) and isinstance(right.dtype, pd.CategoricalDtype)):
        return _mask(left.astype("str") == right.astype("str"))
    place = left.cat.categories.get_indexer(right.cat.categories)
    in_left = np.append(np.where(place < 0, -2, place), -2)[right.cat.codes.to_numpy()]
    return np.asarray(left.cat.codes.to_numpy() == in_left)


def _mask(condition: pd.Series) -> Mask:
    return condition.fillna(False).to_numpy(dtype=bool)


def _identity(
    name: str,
    column: str,
    formula: str,
    computed: Values,
    remedy: str = "correct the cells, or ask who made the workbook",
    severity: Literal["error", "warning"] = "error",
) -> Rule:
    """|column - computed| up to half a minor unit; a row that lacks one of the figures is not judged."""

    def broken(rows: pd.DataFrame) -> Mask:
        tolerance = 0.5 / scale_of(rows["currency"]) + 1e-9
        return _mask((rows[column] - computed(rows)).abs() > tolerance)

    return Rule(name, column, broken, f"{column} = {formula}", remedy, severity, computed)


def _mixed_currency(rows: pd.DataFrame) -> Mask:
    first = rows.groupby("merchant_id")["currency"].transform("first")
    return _mask(rows["currency"] != first)


def _invalid_iban(rows: pd.DataFrame) -> Mask:
    from schwifty import IBAN

    return _invalid(rows["iban"], lambda text: IBAN(text, allow_invalid=True).is_valid)


def _invalid_bic(rows: pd.DataFrame) -> Mask:
    from schwifty import BIC

    return _invalid(rows["bic"], lambda text: BIC(text, allow_invalid=True).is_valid)


def _invalid(values: pd.Series, is_valid: Callable[[str], bool]) -> Mask:
    """Each distinct value is judged once."""
    verdicts = {text: not is_valid(text) for text in values.dropna().unique()}
    return _mask(values.map(verdicts).astype("boolean"))


def _found(values: pd.Series, letter: bytes, pattern: str) -> Mask:
    """Texts that the pattern, which needs the letter, fits: most columns lack it, which is told of all letters at once."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        hits = _found(values.cat.categories.to_series(), letter, pattern)
        return np.append(hits, False)[values.cat.codes.to_numpy()]
    texts = pa.array(values, pa.large_string(), from_pandas=True)
    letters = (chunk.buffers()[2] for chunk in (texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]))
    if not any(letter in bytes(found) for found in letters if found is not None):
        return np.zeros(len(values), dtype=bool)
    return _mask(values.str.contains(pattern, regex=True))


def _with_all_digits(name: str, default: str = "") -> Rule:
    """A spreadsheet exports a long number as `1.23457E+15`: many ids become one, and payments repetitions."""

    def is_rounded(rows: pd.DataFrame) -> Mask:
        found = _found(rows[name], b"+", r"^[0-9](?:[.,][0-9]+)?[eE]\+[0-9]{2,3}$")
        return found & ~_same(rows[name], rows[default]) if default and found.any() else found

    return Rule(
        "DIGITS_LOST", name, is_rounded,
        "an id with all its digits",
        "a spreadsheet rounded it: format the column as text where the id is entered, and export it again",
    )  # fmt: skip


def _without_nul(name: str) -> Rule:
    """Databases end a text at the character NUL, or refuse it: the ledger would not find the id again."""
    return Rule(
        "NUL_CHARACTER", name, lambda r: _found(r[name], b"\x00", "\x00"),
        "a text without the character NUL", "take it out, and ask who wrote the file: something in it may be lost",
    )  # fmt: skip


_OWN: dict[str, list[Rule]] = {
    "contracts": [
        Rule("NEGATIVE_PREMIUM", "premium", _below("premium", 0), "a premium of 0 or more"),
        Rule("AMOUNT_NOT_POSITIVE", "receivable", _below("receivable", 0, or_equal=True), "a face value above 0"),
        Rule("TERM_OUT_OF_RANGE", "term_months", lambda r: _outside(r["term_months"], 1, 600), "1 to 600 months"),
        Rule("NEGATIVE_AMOUNT", "merchant_reserve", _below("merchant_reserve", 0), "a reserve of 0 or more"),
        Rule("NEGATIVE_AMOUNT", "customer_payment", _below("customer_payment", 0), "a payment of 0 or more"),
        _identity("PREMIUM_X_TERM", "receivable", "premium x term_months", lambda r: r["premium"] * r["term_months"].astype("Float64").astype(float), "check whether the instalment was rounded", "warning"),
        _identity("RECEIVABLE_SPLIT", "receivable", "merchant_payout + merchant_reserve + partner_margin", lambda r: r["merchant_payout"] + r["merchant_reserve"] + r["partner_margin"]),
        _identity("PURCHASE_PRICE", "purchase_price", "valuation_sum x purchase_rate", lambda r: r["valuation_sum"] * r["purchase_rate"]),
        Rule("PURCHASE_RATE_ABOVE_MAX", "purchase_rate", lambda r: _mask(r["purchase_rate"] > r["max_purchase_rate"] + 1e-12), "a purchase rate up to max_purchase_rate"),
        _identity("RESERVE", "merchant_reserve", "purchase_price x reserve_rate", lambda r: r["purchase_price"] * r["reserve_rate"]),
        _identity("PAYOUT", "merchant_payout", "purchase_price - merchant_reserve", lambda r: r["purchase_price"] - r["merchant_reserve"]),
        _identity("MARGIN", "partner_margin", "receivable - purchase_price", lambda r: r["receivable"] - r["purchase_price"]),
        Rule("MIXED_CURRENCY", "currency", _mixed_currency, "one currency per merchant", "check the currency; the amounts are kept apart by currency", "warning"),
    ],
    "customer_payments": [
        Rule("AMOUNT_NOT_POSITIVE", "amount", _rounds_to_none, "an amount above 0", "a payment that went back is no payment: leave it out"),
    ],
    "merchants": [
        Rule("NEGATIVE_AMOUNT", "credit_limit", _below("credit_limit", 0), "a limit of 0 or more"),
        Rule("DAYS_OUT_OF_RANGE", "hold_days", lambda r: _outside(r["hold_days"], 3, 180), "3 to 180 days"),
        Rule("DAYS_OUT_OF_RANGE", "delivery_days", lambda r: _outside(r["delivery_days"], 0, 3650), "0 (delivered at once) to 3650 days"),
        Rule("INVALID_IBAN", "iban", _invalid_iban, "a valid IBAN", "correct it; payouts to this merchant are blocked until then", "warning"),
        Rule("INVALID_BIC", "bic", _invalid_bic, "a valid BIC", "correct it", "warning"),
    ],
    "transactions": [
        Rule(
            "RESERVED_ID", "transaction_id", lambda r: keys.is_own(r["transaction_id"]).to_numpy(dtype=bool),
            "an id that does not begin with a name the ledger keeps for itself (" + " ".join(keys.OWN) + ")",
            "give the payment another id, such as the sender's own name before it",
        ),
        _without_nul("transaction_id"),
        _without_nul("idempotency_key"),
        _with_all_digits("idempotency_key", default="transaction_id"),
        Rule("AMOUNT_NOT_POSITIVE", "amount", _rounds_to_none, "an amount above 0", "the type says the direction; amounts are positive"),
        Rule("SAME_ACCOUNT", "destination_account", lambda r: _same(r["source_account"], r["destination_account"]), "another account than source_account"),
    ],
    "statement_lines": [
        Rule("NEGATIVE_AMOUNT", "amount_posted", _below("amount_posted", 0), "an amount of 0 or more", "the credit_debit_indicator says the direction"),
        Rule(
            "BALANCE_ROW", "remittance_text", lambda r: _mask(r["remittance_text"].str.strip().str.fullmatch(_BALANCE)), "a booking",
            "it counts as one; if it is the balance, take the row out and put it into statement_balances", "warning",
        ),
    ],
    "policies": [
        Rule(
            "UNREADABLE_PARAMETER", "parameters", lambda r: r["parameters"].map(unreadable).to_numpy(dtype=bool),
            "figures such as threshold=10000; window_days=7, without thousands separators, a rate below 1",
        ),
        Rule(
            "PARAMETER_WITHOUT_EFFECT", "parameters",
            lambda r: _mask(pd.Series(map(without_effect, r["policy_type"], r["parameters"]), index=r.index, dtype=bool)),
            "AML: threshold, currency and figures of the patterns; REGIONAL_LIMIT: country and limit; BLACKLIST: user_id, merchant_id, counterparty_id, account or name; as key=value; key=value",
            "correct the name, or give what is missing: what is not understood is passed over", "warning",
        ),
    ],
    "counterparties": [Rule("NEGATIVE_AMOUNT", "limit", _below("limit", 0), "a limit of 0 or more")],
    "counterparty_limits": [Rule("NEGATIVE_AMOUNT", "currency_limit", _below("currency_limit", 0), "a limit of 0 or more")],
    "fx_rates": [Rule("RATE_NOT_POSITIVE", "rate", _below("rate", 0, or_equal=True), "a rate above 0")],
}  # fmt: skip
