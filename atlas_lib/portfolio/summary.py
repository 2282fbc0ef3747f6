"""What the stage says of itself: verdict, status and key figures."""

from __future__ import annotations

from typing import Literal

import pandas as pd

from atlas_lib.core.money import format_minor
from atlas_lib.core.run import StageSummary
from atlas_lib.core.settings import PortfolioSettings
from atlas_lib.core.wording import counted


def main_currency(contracts: pd.DataFrame) -> str:
    """The currency with the most contracts, which charts show; empty when there are none."""
    if contracts.empty:
        return ""
    counts = contracts["currency"].value_counts()
    return str(min(counts[counts == counts.max()].index))


def summarise_stage(
    contracts: pd.DataFrame,
    book_monthly: pd.DataFrame,
    contract_balances: pd.DataFrame,
    yields: pd.DataFrame,
    expected_losses: pd.DataFrame,
    liquidity_outlook: pd.DataFrame,
    portfolio_controls: pd.DataFrame,
    checks: pd.DataFrame,
    settings: PortfolioSettings,
) -> StageSummary:
    """Verdict, status and key figures of the stage, each amount per currency; `checks` are those of check_portfolio."""
    if contracts.empty:
        nothing = "No contracts in this input, so there is no schedule and no yield to show."
        return StageSummary(nothing, "skipped", pd.DataFrame({"label": [], "value": []}))
    book = yields[yields["level"] == "book"]
    outstanding = _amounts(contract_balances, "outstanding_minor")
    interest = _amounts(book_monthly, "interest_minor")
    effective = _rates(book, "effective_rate")
    is_told = liquidity_outlook["opening_minor"].notna()
    at_highest = liquidity_outlook[is_told & (liquidity_outlook["level_rate"] == liquidity_outlook["level_rate"].max())]
    alert = _alert(liquidity_outlook)
    missed = int((~portfolio_controls["passed"]).sum())
    flagged = int(yields["status"].isin(["several_roots", "no_yield"]).sum())
    figures = {
        "Contracts": f"{len(contracts):,} of {contracts['merchant_id'].nunique():,} merchants",
        f"Outstanding on {settings.as_of:%Y-%m-%d}": outstanding,
        f"Interest at {settings.annual_rate * 100:g} %, {settings.schedule_type.replace('_', ' ')}": interest,
        "Yield, nominal / effective": f"{_rates(book, 'nominal_rate')} / {effective}",
        "Expected credit loss": _amounts(expected_losses, "expected_loss_minor"),
        f"Lowest cash in {settings.forecast_days} open days": _amounts(at_highest, "lowest_minor") or "not told",
    }
    proof = (
        "principal ties out to the cent"
        if not missed
        else f"{missed} of {len(portfolio_controls)} controls do not tie out"
    )
    doubt = f"; {counted(flagged, 'yield')} to look at" if flagged else ""
    warning = _warning(checks[~checks["check"].isin(portfolio_controls["control"])])
    last = contract_balances["final_due_date"].max()
    verdict = f"{outstanding} outstanding, repaid by {last:%Y-%m-%d}, yields {effective} effective a year; {proof}{doubt}{warning}{alert}."
    status: Literal["attention", "passed"] = "attention" if missed or flagged or warning or alert else "passed"
    return StageSummary(verdict, status, pd.DataFrame(figures.items(), columns=["label", "value"]))


def _warning(checks: pd.DataFrame) -> str:
    """The checks that failed without stopping the run, each with the contracts it found."""
    failed = checks[checks["passed"].eq(False)]
    found = (f"{row['check']} ({row['detail']})" for row in failed.to_dict("records"))
    return "".join(f"; check failed: {text}" for text in found)


def _alert(outlook: pd.DataFrame) -> str:
    """The first day on which cash may fall below its minimum, of the currencies where it may."""
    alerts = outlook[outlook["status"] == "alert"]
    if alerts.empty:
        return ""
    first = alerts.groupby("currency", sort=True)["crossing_date"].min()
    return "; cash may fall below its minimum: " + ", ".join(f"{code} on {day:%Y-%m-%d}" for code, day in first.items())


def _amounts(frame: pd.DataFrame, column: str) -> str:
    sums = frame.groupby("currency", sort=True)[column].sum()
    return "; ".join(f"{format_minor(int(v), str(k))} {k}" for k, v in sums.items())


def _rates(book: pd.DataFrame, column: str) -> str:
    shown = ["none" if pd.isna(v) else f"{v:.2%}".replace("%", " %") for v in book[column]]
    codes = [f" in {c}" if len(book) > 1 else "" for c in book["currency"]]
    return "; ".join(f"{rate}{code}" for rate, code in zip(shown, codes, strict=True))
