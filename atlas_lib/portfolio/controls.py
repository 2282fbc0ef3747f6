"""The proof that the portfolio adds up to its contracts, and the checks of the stage."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pandas as pd

from atlas_lib.core.money import format_minor
from atlas_lib.core.settings import PortfolioSettings
from atlas_lib.core.tables import declared
from atlas_lib.core.wording import counted
from atlas_lib.portfolio.instalments import unrounded_interest
from atlas_lib.portfolio.loans import Whole
from atlas_lib.portfolio.schedules import period_lengths

_SCENARIO_TOLERANCE = 4  # four expected amounts, each rounded


def check_contracts(contracts: pd.DataFrame) -> pd.DataFrame:
    """What must hold before anything is computed; columns check, passed, is_blocking, detail."""
    premiums = contracts["premium_minor"] * contracts["term_months"]
    rows = [
        _check("Contract ids are unique", contracts["contract_id"], contracts["contract_id"].duplicated()),
        _check("Terms are one month or longer", contracts["contract_id"], contracts["term_months"] < 1),
        _check("No receivable, price or payment is negative", contracts["contract_id"], _negative(contracts)),
        _check(
            "Premium x term = receivable",
            contracts["contract_id"],
            premiums != contracts["receivable_minor"],
            is_blocking=False,
        ),
    ]
    return pd.DataFrame(rows, columns=["check", "passed", "is_blocking", "detail"])


def check_portfolio(
    contracts: pd.DataFrame, schedule: pd.DataFrame, payment_results: pd.DataFrame, portfolio_controls: pd.DataFrame,
    settings: PortfolioSettings,
) -> pd.DataFrame:  # fmt: skip
    """The checks of the contracts, then one row per control over all currencies; only exact ones block.

    `passed` is empty for a warning that this input gives nothing to evaluate.
    """
    if portfolio_controls.empty:
        return check_contracts(contracts)
    rows = [
        {
            "check": name,
            "passed": bool(part["passed"].all()),
            "is_blocking": bool((part["tolerance_minor"] == 0).all()),
            "detail": "; ".join(
                f"difference {format_minor(minor, code)} {code}"
                for minor, code in zip(part["difference_minor"], part["currency"], strict=True)
            ),
        }
        for name, part in portfolio_controls.groupby("control", sort=False)
    ]
    return pd.concat(
        [check_contracts(contracts), pd.DataFrame(rows), _warnings(schedule, payment_results, settings)],
        ignore_index=True,
    )


def control_portfolio(
    contracts: pd.DataFrame,
    schedule: pd.DataFrame,
    portfolio_monthly: pd.DataFrame,
    book_monthly: pd.DataFrame,
    contract_balances: pd.DataFrame,
    maturity_ladder: pd.DataFrame,
    payment_results: pd.DataFrame,
    expected_losses: pd.DataFrame,
    scenario_totals: pd.DataFrame,
    settings: PortfolioSettings,
) -> dict[str, pd.DataFrame]:
    """Each figure reached in two ways, per currency, with the difference in minor units.

    Principal must agree to the cent. Interest is rounded line by line, so it may differ from the unrounded
    formula: by half a minor unit a line from the same balances rounded once, and by one a line from the book
    taken as one loan per term (rounded principal moves the balances too; told where all periods are whole months).

    Returns: portfolio_controls (key currency, step), minor units.
    """
    if contracts.empty:
        return {"portfolio_controls": declared("portfolio_controls").empty()}
    parts = [
        _controls_of(
            str(currency),
            settings,
            *(
                frame[frame["currency"] == currency]
                for frame in (
                    contracts,
                    schedule,
                    portfolio_monthly,
                    book_monthly,
                    contract_balances,
                    maturity_ladder,
                    payment_results,
                    expected_losses,
                    scenario_totals,
                )
            ),
        )
        for currency in sorted(contracts["currency"].unique())
    ]
    controls = pd.concat(parts, ignore_index=True)
    difference = controls["found_minor"] - controls["expected_minor"]
    controls = controls.assign(difference_minor=difference, passed=difference.abs() <= controls["tolerance_minor"])
    return {"portfolio_controls": declared("portfolio_controls").shaped(controls)}


def _controls_of(
    currency: str,
    settings: PortfolioSettings,
    contracts: pd.DataFrame,
    schedule: pd.DataFrame,
    monthly: pd.DataFrame,
    book: pd.DataFrame,
    balances: pd.DataFrame,
    ladder: pd.DataFrame,
    payments: pd.DataFrame,
    losses: pd.DataFrame,
    scenarios: pd.DataFrame,
) -> pd.DataFrame:
    face, lines = int(contracts["receivable_minor"].sum()), len(schedule)
    principal, interest = int(schedule["principal_minor"].sum()), int(schedule["interest_minor"].sum())
    last = schedule.groupby("contract_id", sort=False)["outstanding_minor"].last()
    outstanding = int(balances["outstanding_minor"].sum())
    received, overpaid = int(balances["received_minor"].sum()), int(balances["overpaid_minor"].sum())
    rows = [
        ("Face value bought = principal scheduled", face, principal, 0),
        ("Principal of the contracts = principal of the months, by merchant", principal, int(monthly["principal_minor"].sum()), 0),
        ("Principal by merchant = principal of the book", int(monthly["principal_minor"].sum()), int(book["principal_minor"].sum()), 0),
        ("Interest of the contracts = interest of the book", interest, int(book["interest_minor"].sum()), 0),
        ("Outstanding after each contract's last instalment = 0", 0, int(last.abs().sum()), 0),
        ("Outstanding after the book's last month = 0", 0, int(book["outstanding_minor"].iloc[-1]), 0),
        ("Face value - received + overpaid = outstanding today", face - received + overpaid, outstanding, 0),
        ("Scheduled balance - paid ahead + not covered = outstanding today", _planned_balance(balances), outstanding, 0),
        ("Outstanding today = maturity ladder", outstanding, int(ladder["principal_minor"].sum()), 0),
        ("Dated payments = applied + credit + open", int(payments["amount_minor"].sum()), _placed(payments), 0),
        ("Outstanding today = exposure of the expected losses", outstanding, int(losses["outstanding_minor"].sum()), 0),
        *((f"Scenario {s.scenario}: outstanding = paid + recovered + lost", outstanding, _ended(s), _SCENARIO_TOLERANCE) for s in scenarios.itertuples()),
        ("Interest: same balances, rounded once", _interest_rounded_once(contracts, schedule, settings), interest, (lines + 1) // 2),
    ]  # fmt: skip
    if settings.day_count == "months" and settings.first_due_day == 0:
        one_loan = _interest_as_one_loan(contracts, settings)
        rows.append(("Interest: book as one loan per term, unrounded", one_loan, interest, lines))
    frame = pd.DataFrame(rows, columns=["control", "expected_minor", "found_minor", "tolerance_minor"])
    return frame.assign(currency=currency, step=range(1, len(rows) + 1))


def _warnings(schedule: pd.DataFrame, payments: pd.DataFrame, settings: PortfolioSettings) -> pd.DataFrame:
    """What a person should see: interest above a level instalment, payments that fit no contract."""
    ids, principal = schedule["contract_id"], schedule["principal_minor"]
    instalment = principal + schedule["interest_minor"]
    usual = instalment.groupby(ids).transform("median")
    is_repaid_by_instalments = (principal > 0).groupby(ids).transform("sum") > 1
    eaten_up = (principal == 0) & (schedule["outstanding_minor"] > 0) & (instalment > usual) & is_repaid_by_instalments
    level = "No interest above the level instalment (negative amortisation)"
    fit = "Every dated payment fits a contract"
    late = (principal > schedule["received_minor"]) & (schedule["due_date"] < pd.Timestamp(settings.as_of))
    return pd.DataFrame(
        [
            _check(level, ids, eaten_up, is_blocking=False),
            _check(fit, payments["contract_id"], payments["open_minor"] > 0, is_blocking=False)
            if len(payments)
            else {"check": fit, "passed": None, "is_blocking": False, "detail": "no dated payments in this input"},
            _check("What was due is received", ids, late, is_blocking=False),
        ]
    )


def _placed(payments: pd.DataFrame) -> int:
    return int(payments[["applied_minor", "credit_minor", "open_minor"]].to_numpy().sum())


def _ended(scenario: Any) -> int:
    return int(scenario.scheduled_minor + scenario.prepaid_minor + scenario.recovered_minor + scenario.loss_minor)


def _planned_balance(balances: pd.DataFrame) -> int:
    sums = balances[["receivable_minor", "due_to_date_minor", "paid_ahead_minor", "uncovered_minor"]].sum()
    face, due, ahead, uncovered = (int(v) for v in sums.to_numpy())
    return face - due - ahead + uncovered


def _interest_rounded_once(contracts: pd.DataFrame, schedule: pd.DataFrame, settings: PortfolioSettings) -> int:
    """sum(opening x period length) x rate, in whole numbers; the sum is taken in halves, which 64 bits hold."""
    length = period_lengths(contracts.sort_values("contract_id", kind="stable", ignore_index=True), settings)
    products: Whole = schedule["opening_minor"].to_numpy() * length.numerator
    balance_years = (int((products >> 31).sum()) << 31) + int((products & (2**31 - 1)).sum())
    return round(balance_years * Fraction(Decimal(str(settings.annual_rate))) / length.denominator)


def _interest_as_one_loan(contracts: pd.DataFrame, settings: PortfolioSettings) -> int:
    by_term = contracts.groupby("term_months")["receivable_minor"].sum()
    parts = [
        unrounded_interest(p, n, settings.annual_rate, settings.schedule_type, settings.balloon_rate)
        for n, p in zip(by_term.index.tolist(), by_term.tolist(), strict=True)
    ]
    return round(sum(parts, Fraction(0)))


def _check(name: str, ids: pd.Series, fails: pd.Series, *, is_blocking: bool = True) -> dict[str, object]:
    found = sorted(set(ids[fails].astype(str)))
    named = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
    detail = f"{counted(len(found), 'contract')}: {named}" if found else counted(len(ids), "contract")
    return {"check": name, "passed": not found, "is_blocking": is_blocking, "detail": detail}


def _negative(contracts: pd.DataFrame) -> pd.Series:
    amounts = ["receivable_minor", "purchase_price_minor", "premium_minor", "customer_payment_minor"]
    return (contracts[amounts] < 0).any(axis=1)
