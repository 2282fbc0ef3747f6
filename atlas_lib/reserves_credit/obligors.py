"""Account debtors: who owes the purchased receivables, how concentrated that is, and what a funder would leave out.

The input names them in the contracts (`obligor_id`, and `contra` for what the merchant owes the debtor in turn). Where it
does not, nothing is known: the checks say `not evaluated` and never `passed`.
"""

from __future__ import annotations

import pandas as pd

from atlas_lib.core import money
from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.core.tables import declared
from atlas_lib.reserves_credit.eligibility import age_contracts, share_eligible
from atlas_lib.reserves_credit.exposure import read_limits

NOT_EVALUATED = "not evaluated"
_KEY = ["obligor_id", "currency"]
_CONCENTRATED = 2_500  # HHI points, US merger guidelines of 2010


def measure_obligors(
    contracts: pd.DataFrame, exposures: pd.DataFrame, settings: ReservesCreditSettings
) -> dict[str, pd.DataFrame]:
    """What each account debtor owes and its weight in the currency's book: tables obligors, obligor_checks.

    Cross-ageing and the concentration cap as in eligibility.py, here per debtor over all merchants; share = outstanding /
    outstanding of all contracts with a debtor, HHI = sum(share^2) x 10,000.
    """
    lines = age_contracts(contracts, settings)
    named = lines[lines["obligor_id"].notna()]
    sums = named.groupby(_KEY, sort=True).agg(
        merchant_count=("merchant_id", "nunique"),
        contract_count=("contract_id", "size"),
        **{c: (c, "sum") for c in ("outstanding_minor", "old_minor", "owed_back_minor")},
    )
    full = share_eligible(sums.reset_index(), settings)
    currency = full.groupby("currency")["outstanding_minor"]
    whole = currency.transform("sum").astype("float64")
    share = (full["outstanding_minor"] / whole.where(whole > 0)).fillna(0.0)
    rank = currency.rank(method="first", ascending=False).astype("int64")
    obligors = declared("obligors").checked(full.assign(rank=rank, share_rate=share, hhi_points=share**2 * 10_000))
    checks = [
        _checks_of(str(code), lines, obligors, exposures, settings) for code in sorted(contracts["currency"].unique())
    ]
    found = pd.DataFrame([row for rows in checks for row in rows], columns=declared("obligor_checks").column_names)
    return {"obligors": obligors, "obligor_checks": declared("obligor_checks").checked(found)}


def _checks_of(
    currency: str,
    lines: pd.DataFrame,
    obligors: pd.DataFrame,
    exposures: pd.DataFrame,
    settings: ReservesCreditSettings,
) -> list[dict[str, str]]:
    own = lines[lines["currency"] == currency]
    known = obligors[obligors["currency"] == currency]
    unnamed = int(own["obligor_id"].isna().sum())
    rows = {
        "Obligor limits": _limits(currency, exposures, settings),
        "Obligor concentration": _concentration(known, currency),
        "Cross-ageing by obligor": _cross_ageing(own, known, currency),
    }
    if unnamed == len(own):
        rows = dict.fromkeys(rows, (NOT_EVALUATED, "no obligors given"))
    elif unnamed:
        rows = {
            name: (_weaker(v), f"{d}; {unnamed} of {len(own)} contracts name no obligor")
            for name, (v, d) in rows.items()
        }
    rows["Contra accounts"] = _contra(own, currency)
    return [{"currency": currency, "check": n, "verdict": v, "detail": d} for n, (v, d) in rows.items()]


def _weaker(verdict: str) -> str:
    """What holds for the contracts that name a debtor is not said of the others."""
    return "attention" if verdict == "passed" else verdict


def _limits(currency: str, exposures: pd.DataFrame, settings: ReservesCreditSettings) -> tuple[str, str]:
    limits = read_limits(settings)
    if not ((limits["scope"] == "obligor") & (limits["currency"] == currency)).any():
        return NOT_EVALUATED, "no limit for obligors in the setting other_limits"
    own = exposures[(exposures["scope"] == "obligor") & (exposures["currency"] == currency)]
    reached = own["level"].isin(["watch", "warn", "breach"])
    counts = own.loc[reached, "level"].value_counts().sort_index()
    words = ", ".join(f"{n} {level}" for level, n in counts.items())
    without = int((own["level"] == "none").sum())
    detail = (words or f"{len(own) - without} obligors within their limit") + (
        f"; {without} without a limit" if without else ""
    )
    return ("attention" if reached.any() else "passed"), detail


def _concentration(known: pd.DataFrame, currency: str) -> tuple[str, str]:
    points, over = float(known["hhi_points"].sum()), known[known["excess_minor"] > 0]
    detail = f"HHI {points:,.1f}, largest {known['share_rate'].max() * 100:.2f} %"
    if len(over):
        detail += f"; {money.format_minor(int(over['excess_minor'].sum()), currency)} {currency} above the cap"
    return ("attention" if len(over) or points > _CONCENTRATED else "passed"), detail


def _cross_ageing(lines: pd.DataFrame, known: pd.DataFrame, currency: str) -> tuple[str, str]:
    if not (lines["customer_payment_minor"] > 0).any():
        return NOT_EVALUATED, "no customer has paid anything, so no receivable has an age"
    aged = known[known["cross_aged_minor"] > 0]
    amount = f"{money.format_minor(int(aged['cross_aged_minor'].sum()), currency)} {currency}"
    return ("attention" if len(aged) else "passed"), f"{len(aged)} obligors cross-aged, {amount}"


def _contra(lines: pd.DataFrame, currency: str) -> tuple[str, str]:
    if lines["contra_minor"].isna().all():
        return NOT_EVALUATED, "no contra amounts given"
    amount = f"{money.format_minor(int(lines['owed_back_minor'].sum()), currency)} {currency} owed back to debtors"
    missing = int(lines["contra_minor"].isna().sum())
    if missing:
        amount += f"; {missing} of {len(lines)} contracts do not tell"
    return ("attention" if missing or lines["owed_back_minor"].any() else "passed"), amount
