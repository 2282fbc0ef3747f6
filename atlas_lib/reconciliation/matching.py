"""Matching our transactions with bank statement lines, most certain pass first, each side used once.

| pass | a pair is taken when |
|---|---|
| reference | the line names the transaction, and currency, direction and amount agree |
| split | several lines name one transaction and their (signed) sum agrees |
| merge | one line names several transactions and their (signed) sum agrees |
| payout | a line is a payout batch: sales - refunds - chargebacks - fees - reserve +- prior balance (payouts.py) |
| amount_date | currency, direction, amount and date window agree and no rival comes near |
| day_sum | one line is exactly a merchant's day of one type, hardly by chance, and nothing else fits |
| many_to_many | several payments and several lines name each other and come to the same in sum (named_groups.py) |
| one_to_many, many_to_many | few open lines that name a party are exactly one open payment of it, or few of them (group_sums.py) |
| scored | of all that is left, the best assignment holds it with near certainty (remaining.py) |

A line that names a transaction but disagrees stays linked to it (`links`) and becomes a break. Where a
rival comes near, nothing is taken: the pair is suggested with the rival named (`suggestions`).
Cost of a pair: 20 per edit between references (40 when one is missing), 4 per minor unit (20 at most), 2 per day,
10 when the name proves nothing; score = 1 - 0.0025 x cost. The score of a scored pair is its probability.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from atlas_lib.core.calendars import is_business_day
from atlas_lib.core.engine import Computed, Engine, Input, as_input, open_engine
from atlas_lib.core.money import exponent
from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.core.tables import declared
from atlas_lib.reconciliation.passes.candidates import CANDIDATES, RESULTS
from atlas_lib.reconciliation.passes.named import GROUPS, LINKS, NAMED, ROUND
from atlas_lib.reconciliation.passes.named_groups import named_group_steps
from atlas_lib.reconciliation.passes.payouts import MOST_DAYS, NAMED_PAYOUTS, WHOLE_DAYS
from atlas_lib.reconciliation.passes.references import reference_steps
from atlas_lib.reconciliation.passes.remaining import MOST_ROWS, remaining_steps
from atlas_lib.reconciliation.passes.sums import sum_steps
from atlas_lib.reconciliation.tolerances import amount_scales, tolerance_table

_EXTENT = [
    (
        "extent",
        """
        SELECT 'ledger' AS side, currency, utc_day(MIN(created_at)) AS first_day,
               utc_day(MAX(created_at)) AS last_day
        FROM transactions GROUP BY currency
        UNION ALL
        SELECT 'bank', currency, MIN(booking_date), MAX(booking_date) FROM statement_lines GROUP BY currency""",
    )
]
OUTPUTS = ("matches", "links", "suggestions", "payout_parts", "search_limits")
_CROWDED_PAIRS = 10_000  # what so many pairs share as a name identifies nothing
_WORDS_IN_TEXT = 100
_ROUNDS = 3
_REFERENCE = {"name": "reference", "pairs": "named_pairs", "condition": "p.agrees = 1", "margin": "1 = 1"}
_AMOUNT_DATE = {
    "name": "amount_date",
    "pairs": "candidates",
    "condition": "1 = 1",
    "margin": "COALESCE(LEAST(our_rival_cost, next_cost), 400) - cost >= :margin_cost",
}


def matching_steps(
    tolerances: pd.DataFrame, settings: ReconciliationSettings, decisions: pd.DataFrame | None
) -> list[tuple[str, str | Computed]]:
    """All passes in order; the table of taken pairs grows from `taken_0` on."""
    steps: list[tuple[str, str | Computed]] = [*reference_steps(), *NAMED]
    passes: list[tuple[Any, dict[str, str]]] = [(ROUND, _REFERENCE)] * _ROUNDS + [
        (GROUPS, {}),
        (NAMED_PAYOUTS, {}),
        (named_group_steps(tolerances, settings), {}),
        (LINKS + CANDIDATES, {}),
    ]
    passes += [(ROUND, _AMOUNT_DATE)] * _ROUNDS
    remaining = remaining_steps(tolerances, settings, decisions)
    passes += [(part, {}) for part in (WHOLE_DAYS, sum_steps(tolerances, settings), remaining, RESULTS)]
    number = 0
    for statements, words in passes:
        names = {"taken": f"taken_{number}", "after": f"taken_{number + 1}"}
        filled = [
            (name.format(**names), sql.format(**names, **words) if isinstance(sql, str) else sql)
            for name, sql in statements
        ]
        steps += filled
        number += any(name == names["after"] for name, _ in filled)
    return steps


def match_transactions(
    transactions: Input,
    statement_lines: Input,
    merchants: Input,
    counterparties: Input,
    fx_rates: pd.DataFrame,
    settings: ReconciliationSettings,
    engine: Engine | None = None,
    decisions: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """matches, links, suggestions, payout_parts and search_limits of transactions due at the bank and booked statement lines.

    Due: status APPROVED, and sales with status REFUNDED. A sale agrees with its line when posted + fee = amount,
    within the tolerance rules (tolerances.py); the order of the input does not matter. With transactions in a Parquet
    file the tables are files too, in the folder of the engine given; with a frame they are frames. `decisions`: what
    people decided so far, from which the scored pass learns; they are replayed elsewhere (`replay`).
    """
    tables = [declared(name) for name in OUTPUTS]
    engine = engine or open_engine(settings.engine)
    sides = {"transactions": as_input(transactions), "statement_lines": as_input(statement_lines)}
    extent = engine.run(_EXTENT, sides, ["extent"])["extent"]
    if set(extent["side"]) != {"ledger", "bank"}:
        return {table.name: table.empty() for table in tables}
    known = _reference_tables(extent, fx_rates, settings)
    inputs = sides | {"merchants": merchants, "counterparties": counterparties} | known
    parameters = _parameters(known["tolerances"], settings)
    steps = matching_steps(known["tolerances"], settings, decisions)
    if isinstance(transactions, Path):
        return dict(engine.write(steps, inputs, {t.name: t.arrow_schema for t in tables}, parameters))
    found = engine.run(steps, inputs, [t.name for t in tables], parameters)
    return {table.name: table.shaped(found[table.name]) for table in tables}


def _parameters(tolerances: pd.DataFrame, settings: ReconciliationSettings) -> dict[str, int | float]:
    dated = tolerances.query("match_pass == 'amount_date'")
    return {
        "cut_off_hour": settings.cut_off_hour,
        "day_width": int(dated[["days_before", "days_after"]].to_numpy().max()) + 1,
        "fx_ppm": round(settings.fx_tolerance_bps * 100),
        "margin_cost": int(np.ceil(settings.min_margin_rate * 400 - 1e-9)),
        "crowded_pairs": _CROWDED_PAIRS,
        "crowded_side": int(_CROWDED_PAIRS**0.5),
        "scored_rows": MOST_ROWS,
        "half_up": int(settings.rounding == "half_up"),
        "most_days": MOST_DAYS,
        "most_candidates": settings.most_candidates,
    }


def _reference_tables(
    extent: pd.DataFrame, fx_rates: pd.DataFrame, settings: ReconciliationSettings
) -> dict[str, pd.DataFrame]:
    days = pd.date_range(extent["first_day"].min(), extent["last_day"].max(), freq="D", unit="us")
    ours = sorted(set(extent.loc[extent["side"] == "ledger", "currency"]))
    tolerances = tolerance_table(settings, ours)
    return {
        "fx_days": _fx_days(fx_rates, days, set(extent["currency"])),
        "open_days": _open_days(days, ours),
        "counting": pd.DataFrame({"number": range(1, _WORDS_IN_TEXT + 1)}),
        "tolerances": tolerances,
        "amount_scales": amount_scales(tolerances),
    }


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
