"""The schedule of every purchased contract, and its balance on the as-of day."""

from __future__ import annotations

import numpy as np
import pandas as pd

from atlas_lib.core import calendars
from atlas_lib.core.settings import PortfolioSettings
from atlas_lib.core.tables import declared
from atlas_lib.portfolio.instalments import plan_instalments
from atlas_lib.portfolio.loans import Whole


def plan_schedule(contracts: pd.DataFrame, settings: PortfolioSettings) -> dict[str, pd.DataFrame]:
    """What each contract repays in each month, at the configured rate and kind of schedule.

    Instalment k falls due k months after `start_date` (anchored, then ModifiedFollowing on the currency's
    settlement calendar); month = 1/12 year (30/360). `received_minor` puts the customer's payments on the
    first instalments' principal.

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
        rounding=settings.rounding,
    )
    row, period = contract_periods(term)
    names = book[["contract_id", "merchant_id", "currency"]].take(row).reset_index(drop=True)
    schedule = names.assign(
        period=period,
        due_date=due_dates(book).astype("datetime64[us]"),
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


def due_dates(contracts: pd.DataFrame) -> calendars.Dates:
    """Due date of every contract and period, flat in the contracts' order.

    Start days are few and contracts many: the dates are made once per start day and currency, then handed out.
    """
    term = contracts["term_months"].to_numpy(dtype=np.int64)
    row, period = contract_periods(term)
    starts = contracts[["start_date", "currency"]].drop_duplicates(ignore_index=True)
    number = contracts.groupby(["start_date", "currency"], sort=False).ngroup().to_numpy()
    day = starts["start_date"].to_numpy().astype("datetime64[D]")
    due = calendars.add_months(day[:, None], np.arange(1, int(term.max()) + 1))
    for currency in starts["currency"].unique():
        mine = (starts["currency"] == currency).to_numpy()
        due[mine] = calendars.roll_to_business_day(due[mine], str(currency), "modifiedfollowing")
    return np.asarray(due[number[row], period - 1])


def _received(book: pd.DataFrame, row: Whole, principal: Whole, outstanding: Whole) -> Whole:
    """Customer payments laid on the instalments in order: clip(received - principal due before, 0, principal)."""
    received = book["customer_payment_minor"].to_numpy(dtype=np.int64)[row]
    due_before = book["receivable_minor"].to_numpy(dtype=np.int64)[row] - outstanding - principal
    return np.asarray(np.clip(received - due_before, 0, principal))
