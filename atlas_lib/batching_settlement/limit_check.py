"""Counterparties above a limit, recomputed from the settled payments' own amounts, as exact fractions.

In total: sum of amounts owed / rate <= limit / its rate, without any rounding. The planner rounds to the safe side, so
what it allows must hold here; nothing that it has computed is used.
"""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

import pandas as pd

from atlas_lib.batching_settlement.items import SLOTS
from atlas_lib.core.money import format_minor, scale_of

_SIGN = {"SALE": 1, "REFUND": -1, "CHARGEBACK": -1}


def over_limits(
    settled: pd.DataFrame, counterparties: pd.DataFrame, counterparty_limits: pd.DataFrame | None, rates: pd.DataFrame
) -> list[str]:
    """Every limit that the settled payments break: in total, then in one currency."""
    in_one = [] if counterparty_limits is None else _over_currency_limit(settled, counterparty_limits)
    return [*_over_total_limit(settled, counterparties, rates), *in_one]


def _over_total_limit(settled: pd.DataFrame, counterparties: pd.DataFrame, rates: pd.DataFrame) -> list[str]:
    """Counterparty, currency of its limit and by how much, in every window where its net debit over all is above."""
    owed = _owed(settled, "currency", "amount_minor")
    held: dict[tuple[str, int], list[tuple[str, int]]] = defaultdict(list)
    keys = (owed.index.get_level_values(level).tolist() for level in range(3))
    for name, slot, currency, amount in zip(*keys, owed.tolist(), strict=True):
        # A counterparty with a limit has no payment in a currency without a rate: those wait.
        held[name, slot].append((currency, amount))
    faults = []
    limited = counterparties[counterparties["limit_minor"].notna() & counterparties["currency"].isin(rates.index)]
    for name, limit, unit in zip(limited["counterparty_id"], limited["limit_minor"], limited["currency"], strict=True):
        for slot in range(len(SLOTS)):
            position = sum((a / _per_euro(c, rates) for c, a in held.get((name, slot), [])), Fraction(0))
            over = position * _per_euro(unit, rates) - int(limit)
            if over > 0:
                faults.append(f"{name} {format_minor(-(-over // 1), unit)} {unit} over in {SLOTS[slot]}")
    return faults


def _over_currency_limit(settled: pd.DataFrame, counterparty_limits: pd.DataFrame) -> list[str]:
    """The same for limits in one currency: what a counterparty's sales bring of it less what goes back in it."""
    is_sale = settled["type"] == "SALE"
    moved = settled.assign(
        arriving=settled["destination_currency"].where(is_sale, settled["currency"]),
        moved_minor=settled["destination_minor"].where(is_sale, settled["amount_minor"]),
    )
    owed = _owed(moved, "arriving", "moved_minor")
    keys = zip(counterparty_limits["counterparty_id"], counterparty_limits["currency"], strict=True)
    return [
        f"{name} {format_minor(owed[name, slot, unit] - limit, unit)} {unit} over in {SLOTS[slot]}"
        for (name, unit), limit in zip(keys, counterparty_limits["currency_limit_minor"].tolist(), strict=True)
        for slot in range(len(SLOTS))
        if owed.get((name, slot, unit), 0) > limit
    ]


def slots_of(settled: pd.DataFrame) -> pd.Series:
    """A gross payment is made in its only slot, whatever its window is called."""
    named = settled["window"].map({name: i for i, name in enumerate(SLOTS)})
    return named.where(~settled["is_gross"], settled["earliest_slot"]).astype("int64")


def _owed(settled: pd.DataFrame, currency: str, amount: str) -> pd.Series:
    """Signed sum by counterparty, slot and currency."""
    sign = settled["type"].map(_SIGN).fillna(0).astype("int64")
    key = [settled["counterparty_id"], slots_of(settled), settled[currency]]
    return (sign * settled[amount]).groupby(key).sum()


def _per_euro(currency: str, rates: pd.DataFrame) -> Fraction:
    """Minor units of a currency for one EUR, the rate as its shortest decimal text."""
    return Fraction(str(rates.loc[currency, "rate"])) * int(scale_of(currency))
