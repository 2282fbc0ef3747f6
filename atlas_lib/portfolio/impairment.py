"""Expected credit losses of the open book by stage, and the provision matrix by days past due."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from atlas_lib.core.errors import SettingsError
from atlas_lib.core.money import round_product
from atlas_lib.core.settings import PortfolioSettings
from atlas_lib.core.tables import declared
from atlas_lib.portfolio.payments import AGEING_BUCKETS

_STAGE_2_DAYS, _STAGE_3_DAYS = 30, 90


def expect_losses(
    contracts: pd.DataFrame,
    merchants: pd.DataFrame,
    schedule: pd.DataFrame,
    arrears: pd.DataFrame,
    yields: pd.DataFrame,
    settings: PortfolioSettings,
) -> dict[str, pd.DataFrame]:
    """Expected credit loss of every contract: sum over its open months of marginal PD x LGD x EAD x DF.

    - stage 1 up to 30 days past due: defaults of the next 12 months; stage 2: of the whole life; stage 3 over 90
      days: in default, EAD x LGD. Without dated payments no contract is known to be past due.
    - PD by the merchant's risk level, at a constant hazard: survival(t) = (1 - pd)^t
    - EAD: what is outstanding before the instalment; DF = (1 + effective yield of the contract)^-t, or the
      configured rate where it has none

    Parameters: contracts (key contract_id), merchants (key merchant_id), schedule (key contract_id, period),
    arrears (key contract_id; may be empty), yields (key level, key, currency).
    Returns: expected_losses (key contract_id). Source: IFRS 9, 5.5.3 to 5.5.5, 5.5.17, B5.5.28 and B5.5.44.
    """
    if contracts.empty:
        return {"expected_losses": declared("expected_losses").empty()}
    book = _rated(contracts, merchants, arrears, yields, settings)
    cells = _open_cells(book, schedule, settings)
    lifetime = cells.groupby("contract_id")["loss"].sum()
    year = cells[cells["begin"] < 1].groupby("contract_id")["loss_in_year"].sum()
    book = book.merge(lifetime.rename("lifetime"), left_on="contract_id", right_index=True, how="left")
    book = book.merge(year.rename("in_year"), left_on="contract_id", right_index=True, how="left")
    exposed = book["outstanding_minor"].to_numpy(np.float64)
    # Nothing falls due any more, yet something is open: it is at risk for a year.
    overdue = exposed * book["pd_rate"] * settings.lgd_rate
    lifetime_loss, year_loss = book["lifetime"].fillna(overdue), book["in_year"].fillna(overdue)
    chosen = np.select(
        [book["stage_no"] == 3, book["stage_no"] == 2], [exposed * settings.lgd_rate, lifetime_loss], year_loss
    )
    losses = book.assign(
        loss_12m_minor=_whole(year_loss), loss_lifetime_minor=_whole(lifetime_loss), expected_loss_minor=_whole(chosen)
    )
    return {"expected_losses": declared("expected_losses").shaped(losses)}


def provide_by_age(
    balances: pd.DataFrame, ageing: pd.DataFrame, settings: PortfolioSettings
) -> dict[str, pd.DataFrame]:
    """Provision matrix: provision = outstanding of the bucket x its loss rate.

    Parameters: balances (contract_balances, key contract_id), ageing (key currency, step; where it is empty,
    nothing is known to be past due). Returns: provisions (key currency, step).
    Source: IFRS 9, B5.5.35 and illustrative example 12.
    """
    rates = _percents(settings.provision_rates, len(AGEING_BUCKETS))
    if ageing.empty:
        ageing = _nothing_past_due(balances)
    rate = rates[ageing["step"].to_numpy()] if len(ageing) else np.zeros(0)
    provision = round_product(ageing["outstanding_minor"], rate, settings.rounding)
    return {"provisions": declared("provisions").shaped(ageing.assign(loss_rate=rate, provision_minor=provision))}


def stage_losses(expected_losses: pd.DataFrame) -> pd.DataFrame:
    """Expected losses by currency and stage; columns outstanding, 12 months, lifetime, expected loss, coverage."""
    amounts = ["outstanding_minor", "loss_12m_minor", "loss_lifetime_minor", "expected_loss_minor"]
    sums = expected_losses.assign(contract_count=1).groupby(["currency", "stage_no"], as_index=False)[
        ["contract_count", *amounts]
    ].sum()  # fmt: skip
    return sums.assign(coverage_rate=sums["expected_loss_minor"] / sums["outstanding_minor"].clip(lower=1))


def _rated(
    contracts: pd.DataFrame,
    merchants: pd.DataFrame,
    arrears: pd.DataFrame,
    yields: pd.DataFrame,
    settings: PortfolioSettings,
) -> pd.DataFrame:
    by_level = _pd_by_level(settings.pd_by_risk)
    level = (
        contracts["merchant_id"]
        .map(merchants.set_index("merchant_id")["risk_level"])
        .astype("object")
        .fillna("UNRATED")
    )
    own = yields[yields["level"] == "contract"].set_index("key")["effective_rate"]
    days = contracts["contract_id"].map(arrears.set_index("contract_id")["days_past_due"]).fillna(0).astype("int64")
    left = contracts["receivable_minor"] - contracts["customer_payment_minor"]
    return contracts.assign(
        risk_level=level,
        pd_rate=level.map(by_level).fillna(by_level["UNRATED"]).astype("float64"),
        lgd_rate=settings.lgd_rate,
        discount_rate=contracts["contract_id"].map(own).fillna(settings.annual_rate).astype("float64"),
        days_past_due=days,
        stage_no=1 + (days > _STAGE_2_DAYS) + (days > _STAGE_3_DAYS),
        outstanding_minor=left.clip(lower=0),
    )


def _open_cells(book: pd.DataFrame, schedule: pd.DataFrame, settings: PortfolioSettings) -> pd.DataFrame:
    """Periods still to come with their exposure, in years from the as-of day, and the loss expected in each."""
    years = (schedule["due_date"] - pd.Timestamp(settings.as_of)).dt.days / 365
    open_minor = (schedule["principal_minor"] - schedule["received_minor"]).where(years > 0, 0)
    cells = schedule[["contract_id"]].assign(end=years, open_minor=open_minor)[years > 0]
    keyed = book.set_index("contract_id")[["outstanding_minor", "pd_rate", "discount_rate"]]
    cells = cells.join(keyed, on="contract_id", validate="many_to_one")
    by = cells.groupby("contract_id", sort=False)
    before = by["open_minor"].cumsum() - cells["open_minor"]
    begin = by["end"].shift(fill_value=0.0)
    exposed = cells["outstanding_minor"] - before
    scale = exposed * settings.lgd_rate * (1 + cells["discount_rate"]) ** -cells["end"]
    alive = 1 - cells["pd_rate"]
    return cells.assign(
        begin=begin,
        loss=scale * (alive**begin - alive ** cells["end"]),
        loss_in_year=scale * (alive**begin - alive ** cells["end"].clip(upper=1)),
    )


def _pd_by_level(text: str) -> dict[str, float]:
    try:
        found = {name: float(value) / 100 for name, value in (part.split() for part in text.split(";"))}
    except ValueError:
        found = {}
    if "UNRATED" not in found or not all(0 <= v < 1 for v in found.values()):
        raise SettingsError(
            "Default rates cannot be read", where="pd_by_risk", found=text,
            expected="percent by risk level, UNRATED among them: LOW 1; MEDIUM 2; HIGH 5; UNRATED 3",
        )  # fmt: skip
    return found


def _percents(text: str, count: int) -> NDArray[np.float64]:
    try:
        found = [float(part) / 100 for part in text.split(";")]
    except ValueError:
        found = []
    if len(found) != count or not all(0 <= v <= 1 for v in found):
        raise SettingsError(
            "Provision rates cannot be read", where="provision_rates", found=text, expected=f"{count} percentages, by ;"
        )
    return np.array(found)


def _nothing_past_due(balances: pd.DataFrame) -> pd.DataFrame:
    sums = balances.assign(contract_count=1).groupby("currency")[["contract_count", "outstanding_minor"]].sum()
    return sums.reset_index().assign(step=0, bucket=AGEING_BUCKETS[0])


def _whole(values: pd.Series | NDArray[np.float64]) -> NDArray[np.int64]:
    return np.asarray(np.rint(values), dtype=np.int64)
