"""The schedule of every purchased contract, and its balance on the as-of day."""

from __future__ import annotations

import numpy as np
import pandas as pd

from atlas_lib.core import calendars
from atlas_lib.core.settings import PortfolioSettings
from atlas_lib.core.tables import declared
from atlas_lib.portfolio.daycounts import year_fractions
from atlas_lib.portfolio.instalments import plan_instalments
from atlas_lib.portfolio.loans import MONTHLY, Whole, YearFractions


def plan_schedule(contracts: pd.DataFrame, settings: PortfolioSettings) -> dict[str, pd.DataFrame]:
    """What each contract repays in each month, at the configured rate and kind of schedule.

    Instalment k falls due k months after `start_date`, or on the k-th `first_due_day` after it (anchored: day =
    min(day, month end)), and is paid on an open day of the currency's settlement calendar. Interest is opening
    x rate x length of the period under `day_count`. `received_minor` puts the customer's payments on the first
    instalments' principal.

    Parameters: contracts (key contract_id). Returns: schedule (key contract_id, period), minor units, e.g.
    `CONTRACT-001, 1, 2023-12-15, opening 336000, principal 5600, interest 1960, outstanding 330400`.
    Raises AtlasError for a negative receivable or a term below one month.
    """
    if contracts.empty:
        return {"schedule": declared("schedule").empty()}
    book = contracts.sort_values("contract_id", kind="stable", ignore_index=True)
    term = book["term_months"].to_numpy(dtype=np.int64)
    plan = plan_instalments(
        book["receivable_minor"],
        term,
        settings.annual_rate,
        settings.schedule_type,
        balloon_rate=settings.balloon_rate,
        fractions=period_lengths(book, settings),
        rounding=settings.rounding,
    )
    row, period = contract_periods(term)
    names = book[["contract_id", "merchant_id", "currency"]].take(row).reset_index(drop=True)
    schedule = names.assign(
        period=period,
        due_date=due_dates(book, settings).astype("datetime64[us]"),
        opening_minor=plan.outstanding_minor + plan.principal_minor,
        principal_minor=plan.principal_minor,
        interest_minor=plan.interest_minor,
        outstanding_minor=plan.outstanding_minor,
        received_minor=_received(book, row, plan.principal_minor, plan.outstanding_minor),
    )
    # Made in the order of its key; sorting 60,000,000 rows again would take longer than planning them.
    return {"schedule": schedule[declared("schedule").column_names]}


def balance_contracts(
    contracts: pd.DataFrame, schedule: pd.DataFrame, settings: PortfolioSettings
) -> dict[str, pd.DataFrame]:
    """What is still to be collected on each contract on the as-of day.

    outstanding = max(receivable - customer payment, 0); overpaid = max(customer payment - receivable, 0), so
    receivable + overpaid = received + outstanding. Against the plan: outstanding = (receivable - due to date)
    - paid ahead + uncovered. Arrears are not told: they need dated payments.

    Parameters: contracts (key contract_id), schedule (key contract_id, period). Returns: contract_balances.
    """
    if contracts.empty:
        return {"contract_balances": declared("contract_balances").empty()}
    reached = schedule["due_date"] <= pd.Timestamp(settings.as_of)
    due = schedule.assign(
        due_to_date_minor=schedule["principal_minor"].where(reached, 0), remaining_count=(~reached).astype("int64")
    )
    by_contract = due.groupby("contract_id", sort=False).agg(
        due_to_date_minor=("due_to_date_minor", "sum"),
        first_due_date=("due_date", "min"),
        final_due_date=("due_date", "max"),
        remaining_count=("remaining_count", "sum"),
    )
    open_minor = contracts["receivable_minor"] - contracts["customer_payment_minor"]
    balances = contracts.assign(
        received_minor=contracts["customer_payment_minor"],
        outstanding_minor=open_minor.clip(lower=0),
        overpaid_minor=(-open_minor).clip(lower=0),
    ).merge(by_contract, left_on="contract_id", right_index=True, how="left", validate="one_to_one")
    covered = balances["received_minor"] - balances["overpaid_minor"] - balances["due_to_date_minor"]
    balances = balances.assign(paid_ahead_minor=covered.clip(lower=0), uncovered_minor=(-covered).clip(lower=0))
    return {"contract_balances": declared("contract_balances").shaped(balances)}


def contract_periods(term: Whole) -> tuple[Whole, Whole]:
    """For every contract and period, flat: the contract's row and the period counted from 1."""
    row = np.repeat(np.arange(len(term)), term)
    return row, np.arange(len(row)) - np.repeat(np.cumsum(term) - term, term) + 1


def due_dates(contracts: pd.DataFrame, settings: PortfolioSettings) -> calendars.Dates:
    """Payment date of every contract and period, flat in the contracts' order: the contractual date, adjusted.

    Start days are few and contracts many: the dates are made once per start day and currency, then handed out.
    """
    starts, number, ends = _contract_dates(contracts, settings)
    if settings.business_day_rule != "unadjusted":
        for currency in starts["currency"].unique():
            mine = (starts["currency"] == currency).to_numpy()
            ends[mine] = calendars.roll_to_business_day(ends[mine], str(currency), settings.business_day_rule)
    row, period = contract_periods(contracts["term_months"].to_numpy(dtype=np.int64))
    return np.asarray(ends[number[row], period - 1])


def period_lengths(contracts: pd.DataFrame, settings: PortfolioSettings) -> YearFractions:
    """Length of every contract's periods in years, flat; interest runs between contractual dates, not adjusted ones."""
    if settings.day_count == "months" and settings.first_due_day == 0:
        return MONTHLY
    starts, number, ends = _contract_dates(contracts, settings)
    begins = np.concatenate([starts["start_date"].to_numpy().astype("datetime64[D]")[:, None], ends[:, :-1]], axis=1)
    length = year_fractions(begins, ends, settings.day_count)
    row, period = contract_periods(contracts["term_months"].to_numpy(dtype=np.int64))
    return YearFractions(np.asarray(length.numerator)[number[row], period - 1], length.denominator)


def _contract_dates(
    contracts: pd.DataFrame, settings: PortfolioSettings
) -> tuple[pd.DataFrame, Whole, calendars.Dates]:
    """Distinct start days, each contract's number among them, and their contractual dates by period."""
    by = ["start_date", "currency"]
    starts = contracts[by].drop_duplicates(ignore_index=True)
    number = contracts.groupby(by, sort=False).ngroup().to_numpy()
    day = starts["start_date"].to_numpy().astype("datetime64[D]")
    steps = np.arange(1, int(contracts["term_months"].max()) + 1)
    if settings.first_due_day == 0:
        return starts, number, calendars.add_months(day[:, None], steps)
    january = day.astype("datetime64[Y]").astype("datetime64[M]")
    anchor = january.astype("datetime64[D]") + (settings.first_due_day - 1)
    ahead = (day.astype("datetime64[M]") - january).astype(np.int64)
    ahead += calendars.add_months(anchor, ahead) <= day
    if settings.first_period == "long":
        ahead += calendars.add_months(anchor, ahead) < calendars.add_months(day, 1)
    return starts, number, calendars.add_months(anchor[:, None], ahead[:, None] + steps - 1)


def _received(book: pd.DataFrame, row: Whole, principal: Whole, outstanding: Whole) -> Whole:
    """Customer payments laid on the instalments in order: clip(received - principal due before, 0, principal)."""
    received = book["customer_payment_minor"].to_numpy(dtype=np.int64)[row]
    due_before = book["receivable_minor"].to_numpy(dtype=np.int64)[row] - outstanding - principal
    return np.asarray(np.clip(received - due_before, 0, principal))
