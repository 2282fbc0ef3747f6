"""Schedules exact to the cent, against the unrounded NumPy closed form and numpy-financial called loan by loan.

All figures of one line come from the same process. The closed form gives the same three arrays, but in floats
that do not add up to the principal. Yields are compared with pyxirr called once per contract.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

import numpy as np
import numpy_financial as npf
import pandas as pd
import pyxirr

from atlas_lib.core.settings import PortfolioSettings
from atlas_lib.portfolio.instalments import plan_instalments
from atlas_lib.portfolio.schedules import contract_periods, due_dates, plan_schedule
from atlas_lib.portfolio.yields import solve_yields

LOANS, PERIODS, SAMPLE = 100_000, 36, 300
SETTINGS = PortfolioSettings(as_of="2026-10-30", schedule_type="annuity")


def best(work: Callable[[], object], repeats: int = 5) -> float:
    """Least CPU time of a few runs: other load on the machine does not count."""
    taken = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return min(taken)


def line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def closed_form(principal: np.ndarray, rate: np.ndarray, periods: int) -> tuple[np.ndarray, ...]:
    step = (rate / 12)[:, None]
    level = (principal * (rate / 12) / (1 - (1 + rate / 12) ** -periods))[:, None]
    growth = (1 + step) ** np.arange(1, periods + 1)
    outstanding = principal[:, None] * growth - level * (growth - 1) / step
    opening = np.concatenate([principal[:, None], outstanding[:, :-1]], axis=1)
    interest = opening * step
    return level - interest, interest, outstanding


def loan_by_loan(principal: np.ndarray, rate: np.ndarray, periods: int) -> None:
    period = np.arange(1, periods + 1)
    for amount, yearly in zip(principal.tolist(), rate.tolist(), strict=True):
        level = npf.pmt(yearly / 12, periods, -amount)
        npf.ppmt(yearly / 12, period, periods, -amount)
        npf.ipmt(yearly / 12, period, periods, -amount)
        npf.fv(yearly / 12, period, level, -amount)


def period_by_period(principal: np.ndarray, rate: np.ndarray, periods: int) -> None:
    for amount, yearly in zip(principal.tolist(), rate.tolist(), strict=True):
        for period in range(1, periods + 1):
            npf.ppmt(yearly / 12, period, periods, -amount)
            npf.ipmt(yearly / 12, period, periods, -amount)


def book(count: int, periods: int) -> pd.DataFrame:
    """Contracts with what schedules and yields read, random but always the same."""
    random = np.random.default_rng(7)
    premium = random.integers(1_000, 50_000, count)
    day = np.datetime64("2026-01-01") + random.integers(0, 300, count)
    return pd.DataFrame(
        {
            "contract_id": pd.Series(np.arange(count)).map("C{:07d}".format).astype("str"),
            "merchant_id": pd.Series(random.integers(0, 20, count)).map("M{:04d}".format).astype("str"),
            "merchant_name": "Merchant",
            "currency": "EUR",
            "start_date": day.astype("datetime64[us]"),
            "term_months": periods,
            "premium_minor": premium,
            "receivable_minor": premium * periods,
            "purchase_price_minor": premium * periods * random.integers(60, 90, count) // 100,
            "customer_payment_minor": 0,
        }
    )


def pyxirr_by_contract(contracts: pd.DataFrame) -> None:
    row, _ = contract_periods(contracts["term_months"].to_numpy())
    dates = np.split(due_dates(contracts, SETTINGS), np.flatnonzero(np.diff(row)) + 1)
    starts = contracts["start_date"].to_numpy().astype("datetime64[D]")
    columns = ("purchase_price_minor", "premium_minor", "term_months")
    for start, due, price, premium, term in zip(starts, dates, *(contracts[c].tolist() for c in columns), strict=True):
        flow = np.concatenate([[-price], np.full(term, premium)]).astype(float)
        pyxirr.xirr(np.concatenate([[start], due]), flow)
        pyxirr.irr(flow)


def main() -> None:
    random = np.random.default_rng(1)
    principal, rate = random.integers(10_000, 5_000_000, LOANS), random.integers(100, 2_500, LOANS) / 1e4
    term = np.full(LOANS, PERIODS)
    closed = best(lambda: closed_form(principal, rate, PERIODS))
    loop = best(lambda: loan_by_loan(principal[:SAMPLE], rate[:SAMPLE], PERIODS), 2) * LOANS / SAMPLE
    single = best(lambda: period_by_period(principal[:20], rate[:20], PERIODS), 2) * LOANS / 20
    line(
        f"{LOANS:,} loans x {PERIODS}: closed form {closed:.3f} s; numpy-financial loan by loan {loop:.0f} s (from "
        f"{SAMPLE} loans), period by period {single:.0f} s (from 20)"
    )
    for kind in ("annuity", "linear"):
        ours = best(lambda kind=kind: plan_instalments(principal, term, rate, kind))
        line(
            f"  {kind} to the cent {ours:.3f} s: {ours / closed:.2f} x the closed form, {loop / ours:,.0f} and "
            f"{single / ours:,.0f} x faster than the loops"
        )

    contracts = book(LOANS, PERIODS)
    table = best(lambda: plan_schedule(contracts, SETTINGS), 2)
    line(f"  the schedule table with dates and names, {LOANS * PERIODS:,} rows: {table:.1f} s")
    ours, theirs = best(lambda: solve_yields(contracts, SETTINGS), 1), best(lambda: pyxirr_by_contract(contracts), 1)
    line(
        f"  yields of {LOANS:,} contracts, their 20 merchants, vintages and book: {ours:.1f} s; "
        f"a bare pyxirr loop over the contracts alone {theirs:.1f} s ({ours / theirs:.2f} x)"
    )

    large, periods = 1_000_000, 60
    principal, rate = random.integers(10_000, 5_000_000, large), random.integers(100, 2_500, large) / 1e4
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    taken = best(lambda: plan_instalments(principal, np.full(large, periods), rate, "annuity"), 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    line(
        f"{large:,} loans x {periods}: {taken:.1f} s, {peak:.1f} GiB at most ({before:.1f} before); the result itself is {large * periods * 24 / 2**30:.1f}"
    )


if __name__ == "__main__":
    main()
