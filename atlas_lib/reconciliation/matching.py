"""Matching our transactions with bank statement lines, most certain pass first, each side used once.

| pass | a pair is taken when |
|---|---|
| reference | the line names the transaction, and currency, direction and amount agree |
| split | several lines name one transaction and their sum agrees |
| merge | one line names several transactions and their (signed) sum agrees |
| amount_date | currency, direction, amount and date window agree and no rival comes near |
| day_sum | one line is exactly a merchant's day of one type, and nothing else fits |

A line that names a transaction but disagrees stays linked to it (`links`) and becomes a break. Where a
rival comes near, nothing is taken: the pair is suggested with the rival named (`suggestions`).
Cost of a pair: 20 per edit between references (40 when one is missing), 4 per minor unit, 2 per day,
10 when the name proves nothing; score = 1 - 0.0025 x cost.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from atlas_lib.core.calendars import is_business_day
from atlas_lib.core.engine import open_engine
from atlas_lib.core.money import exponent
from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.core.tables import declared
from atlas_lib.reconciliation.candidates import CANDIDATES, DAY_SUMS, RESULTS
from atlas_lib.reconciliation.passes import GROUPS, LINKS, NAMED, ROUND, SIDES

# A reference that so many rows share identifies nothing; it would also pair every row with every other.
_CROWDED_PAIRS = 10_000
_WORDS_IN_TEXT = 100
_ROUNDS = 3
_REFERENCE = {"name": "reference", "pairs": "named_pairs", "condition": "p.agrees = 1", "margin": "1 = 1"}
_AMOUNT_DATE = {
    "name": "amount_date",
    "pairs": "candidates",
    "condition": "1 = 1",
    "margin": "COALESCE(LEAST(our_rival_cost, next_cost), 400) - cost >= :margin_cost",
}


def matching_steps() -> list[tuple[str, str]]:
    """All passes in order; the table of taken pairs grows from `taken_0` to `taken_8`."""
    steps = [*SIDES, *NAMED]
    passes = [(ROUND, _REFERENCE)] * _ROUNDS + [(GROUPS, {}), (LINKS + CANDIDATES, {})]
    passes += [(ROUND, _AMOUNT_DATE)] * _ROUNDS + [(DAY_SUMS, {}), (RESULTS, {})]
    number = 0
    for statements, words in passes:
        names = {"taken": f"taken_{number}", "after": f"taken_{number + 1}", "ranked": f"ranked_{number + 1}"}
        filled = [(name.format(**names), sql.format(**names, **words)) for name, sql in statements]
        steps += filled
        number += any(name == names["after"] for name, _ in filled)
    return steps


def match_transactions(
    transactions: pd.DataFrame,
    statement_lines: pd.DataFrame,
    merchants: pd.DataFrame,
    counterparties: pd.DataFrame,
    fx_rates: pd.DataFrame,
    settings: ReconciliationSettings,
) -> dict[str, pd.DataFrame]:
    """matches, links and suggestions of transactions due at the bank and booked statement lines.

    Due: status APPROVED, and sales with status REFUNDED. A sale agrees with its line when
    posted + fee = amount, within `amount_tolerance_minor`; the order of the input does not matter.
    """
    names = ("matches", "links", "suggestions")
    if transactions.empty or statement_lines.empty:
        return {name: declared(name).empty() for name in names}
    days = _days_covered(transactions, statement_lines)
    inputs = {
        "transactions": transactions,
        "statement_lines": statement_lines,
        "merchants": merchants,
        "counterparties": counterparties,
        "fx_days": _fx_days(fx_rates, days, set(transactions["currency"]) | set(statement_lines["currency"])),
        "open_days": _open_days(days, sorted(set(transactions["currency"]))),
        "counting": pd.DataFrame({"number": range(1, _WORDS_IN_TEXT + 1)}),
    }
    parameters = {
        "tolerance": settings.amount_tolerance_minor,
        "amount_width": settings.amount_tolerance_minor + 1,
        "cut_off_hour": settings.cut_off_hour,
        "days_before": settings.days_before,
        "days_after": settings.days_after,
        "day_width": max(settings.days_before, settings.days_after) + 1,
        "fx_ppm": round(settings.fx_tolerance_bps * 100),
        "margin_cost": int(np.ceil(settings.min_margin_rate * 400 - 1e-9)),
        "crowded_pairs": _CROWDED_PAIRS,
    }
    tables = open_engine(settings.engine).run(matching_steps(), inputs, names, parameters)
    return {name: declared(name).shaped(frame) for name, frame in tables.items()}


def _days_covered(transactions: pd.DataFrame, statement_lines: pd.DataFrame) -> pd.DatetimeIndex:
    created = transactions["created_at"].dt.tz_convert("UTC").dt.tz_localize(None).dt.normalize()
    both = pd.concat([created, statement_lines["booking_date"]])
    return pd.date_range(both.min(), both.max(), freq="D", unit="us")


def _open_days(days: pd.DatetimeIndex, currencies: list[str]) -> pd.DataFrame:
    """Open banking days before each day, and before the next one: differences count the days a posting took."""
    parts = []
    for currency in currencies:
        is_open = is_business_day(days, currency)
        after = np.cumsum(is_open)
        parts.append(pd.DataFrame({"currency": currency, "day": days, "number": after - is_open, "next_number": after}))
    return pd.concat(parts, ignore_index=True)


def _fx_days(fx_rates: pd.DataFrame, days: pd.DatetimeIndex, currencies: set[str]) -> pd.DataFrame:
    """Minor units of one currency per minor unit of another, on every day by the latest rate known then."""
    wide = fx_rates[fx_rates["currency"].isin(currencies)].pivot_table("rate", "date", "currency")
    wide = wide.reindex(wide.index.union(days)).ffill().reindex(days).assign(EUR=1.0)
    long = wide.rename_axis("day").rename_axis(columns=None).reset_index().melt("day", var_name="currency").dropna()
    long["value"] = long["value"] * 10.0 ** long["currency"].map(exponent)  # minor units per EUR
    both = long.merge(long, on="day", suffixes=("_from", "_to"), validate="many_to_many")
    both["factor"] = both["value_to"] / both["value_from"]
    both = both[both["currency_from"] != both["currency_to"]]
    named = both.rename(columns={"currency_from": "from_currency", "currency_to": "to_currency"})
    return named[["from_currency", "to_currency", "day", "factor"]].reset_index(drop=True)
