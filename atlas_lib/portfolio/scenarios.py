"""What the book brings when customers pay early, default, and pay back late: any number of scenarios side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from atlas_lib.core.settings import PortfolioSettings
from atlas_lib.core.tables import declared
from atlas_lib.portfolio.pools import Numbers, Scenario, project_pool, read_scenarios
from atlas_lib.portfolio.roots import solve_irr

_MOST_OVERDUE_RATE = 0.1


def project_scenarios(
    contracts: pd.DataFrame, schedule: pd.DataFrame, settings: PortfolioSettings
) -> dict[str, pd.DataFrame]:
    """The open book by month under every scenario of the settings, and its totals beside each other.

    Contracts of one currency and start month amortise together, so the projection is that of pools, not of
    single contracts. What was due and is not received counts in the as-of month. Interest follows the balance
    that still performs, at the configured rate + shift; it is no part of the yield. present value discounts
    scheduled + prepaid + recovered principal at that rate; effective_rate is what the purchase price of the
    outstanding (in proportion to the receivable) earns from the same cash; it is empty where more than a tenth of
    the outstanding was due before, since nobody can say when that comes. All figures are expectations.

    Parameters: contracts (key contract_id), schedule (key contract_id, period).
    Returns: scenarios (key scenario_no, currency, month_end_date), scenario_totals (key scenario_no, currency).
    """
    if contracts.empty:
        return {name: declared(name).empty() for name in ("scenarios", "scenario_totals")}
    lines, overdue = _open_lines(contracts, schedule, settings), _overdue_currencies(schedule, settings)
    monthly, totals = [], []
    for number, scenario in enumerate(read_scenarios(settings.scenarios), start=1):
        for currency in sorted(lines["currency"].unique()):
            months = _project(lines[lines["currency"] == currency], scenario, settings)
            months = months.assign(scenario_no=number, scenario=scenario.name, currency=currency)
            monthly.append(months)
            funded = _funded(contracts[contracts["currency"] == currency])
            total = _totals(months, funded, settings.annual_rate + scenario.shift)
            totals.append(total | ({"effective_rate": None} if currency in overdue else {}))
    return {
        "scenarios": declared("scenarios").shaped(pd.concat(monthly, ignore_index=True)),
        "scenario_totals": declared("scenario_totals").shaped(pd.DataFrame(totals)),
    }


def side_by_side(scenarios: pd.DataFrame, currency: str, column: str) -> pd.DataFrame:
    """A running figure of the scenarios of a currency, a column each, as `<name>_minor` by month; it stays at its last value."""
    shown = scenarios[scenarios["currency"] == currency]
    wide = shown.pivot_table(column, "month_end_date", "scenario", aggfunc="sum").ffill()
    wide = wide[shown["scenario"].drop_duplicates().tolist()]
    return wide.astype("int64").add_suffix("_minor").reset_index().rename_axis(columns=None)


def _open_lines(contracts: pd.DataFrame, schedule: pd.DataFrame, settings: PortfolioSettings) -> pd.DataFrame:
    """Open principal and interest by currency, month of purchase and month from the as-of month (0)."""
    now = np.datetime64(settings.as_of, "M").astype(np.int64)
    started = contracts.set_index("contract_id")["start_date"].to_numpy().astype("datetime64[M]").astype(np.int64)
    row = pd.Index(contracts["contract_id"]).get_indexer(schedule["contract_id"])
    due = schedule["due_date"].to_numpy().astype("datetime64[M]").astype(np.int64)
    later = (schedule["due_date"] > pd.Timestamp(settings.as_of)).to_numpy()
    lines = pd.DataFrame(
        {
            "currency": schedule["currency"].to_numpy(),
            "age": now - started[row],
            "month": np.maximum(due - now, 0),
            "principal": (schedule["principal_minor"] - schedule["received_minor"]).to_numpy(),
            "interest": np.where(later, schedule["interest_minor"], 0),
        }
    )
    return lines.groupby(["currency", "age", "month"], as_index=False)[["principal", "interest"]].sum()


def _overdue_currencies(schedule: pd.DataFrame, settings: PortfolioSettings) -> set[str]:
    """Currencies with more than a tenth of their outstanding due before the as-of day and not received."""
    left = schedule["principal_minor"] - schedule["received_minor"]
    late = left.where(schedule["due_date"] < pd.Timestamp(settings.as_of), 0)
    sums = pd.DataFrame({"left": left, "late": late}).groupby(schedule["currency"]).sum()
    return set(sums.index[sums["late"] > _MOST_OVERDUE_RATE * sums["left"]])


def _project(lines: pd.DataFrame, scenario: Scenario, settings: PortfolioSettings) -> pd.DataFrame:
    count = int(lines["month"].max()) + 1 + scenario.lag
    ages, pool = np.unique(lines["age"].to_numpy(), return_inverse=True)
    due, interest = np.zeros((len(ages), count)), np.zeros((len(ages), count))
    due[pool, lines["month"]], interest[pool, lines["month"]] = lines["principal"], lines["interest"]
    balance = np.concatenate([due[:, ::-1].cumsum(axis=1)[:, ::-1], np.zeros((len(ages), 1))], axis=1)
    month = np.arange(1, count + 1, dtype=np.float64)
    age = np.maximum(ages[:, None] + month - 1, 1)
    flows = project_pool(balance, scenario.smm(age), scenario.mdr(age, month), scenario.severity, scenario.lag)
    staying = flows["performing"] - flows["defaulted"]
    survival = np.divide(staying, balance[:, :-1], out=np.zeros_like(staying), where=balance[:, :-1] > 0)
    rate = settings.annual_rate
    priced = interest * (rate + scenario.shift) / rate if rate else balance[:, :-1] * scenario.shift / 12
    flows["interest"] = priced * survival
    first = np.datetime64(settings.as_of, "M")
    ends = (first + np.arange(1, count + 1)).astype("datetime64[D]") - np.timedelta64(1, "D")
    whole = {f"{name}_minor": _whole(values.sum(axis=0)) for name, values in flows.items() if name != "performing"}
    opening = np.rint(flows["performing"].sum(axis=0)).astype(np.int64)
    cash = whole["scheduled_minor"] + whole["prepaid_minor"] + whole["recovered_minor"]
    months = pd.DataFrame({"month_end_date": ends, "performing_minor": opening, **whole})
    return months.assign(cash_minor=cash, cash_to_date_minor=cash.cumsum())


def _whole(values: Numbers) -> NDArray[np.int64]:
    """Rounded so that the sum up to any month is the rounded sum."""
    return np.asarray(np.diff(np.rint(np.cumsum(values)).astype(np.int64), prepend=0), dtype=np.int64)


def _funded(contracts: pd.DataFrame) -> float:
    """Purchase price of what is outstanding, in proportion to the receivable."""
    face = contracts["receivable_minor"].to_numpy(np.float64)
    left = np.maximum(face - contracts["customer_payment_minor"], 0)
    return float((contracts["purchase_price_minor"] * left / np.maximum(face, 1)).sum())


def _totals(months: pd.DataFrame, funded: float, rate: float) -> dict[str, Any]:
    sums = months.filter(like="_minor").drop(columns=["performing_minor", "cash_to_date_minor"]).sum()
    outstanding = int(months["performing_minor"].iloc[0])
    cash, year = months["cash_minor"].to_numpy(np.float64), np.arange(len(months)) / 12
    monthly = solve_irr(np.concatenate([[cash[0] - funded], cash[1:]])).rate
    paid = max(float(cash.sum()), 1.0)
    named = {name: months[name].iloc[0] for name in ("scenario_no", "scenario", "currency")}
    return named | {str(name): total for name, total in sums.items()} | {
        "outstanding_minor": outstanding,
        "loss_rate": sums["loss_minor"] / max(outstanding, 1),
        "discount_rate": rate,
        "present_value_minor": round(float((cash * (1 + rate) ** -year).sum())),
        "average_life_years": float((cash * year).sum()) / paid,
        "effective_rate": None if monthly is None else (1 + monthly) ** 12 - 1,
    }  # fmt: skip
