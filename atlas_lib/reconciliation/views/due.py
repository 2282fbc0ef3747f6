"""What is due when: settlements and payouts of the next days beside the cash that is expected."""

from __future__ import annotations

import numpy as np
import pandas as pd

from atlas_lib.core.calendars import roll_to_business_day
from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.core.tables import declared

WHEN = ("overdue", "today", "next business day", "within a week", "later")
_WEEK = pd.Timedelta(days=7)


def list_due(
    settlement_schedule: pd.DataFrame,
    payouts: pd.DataFrame,
    liquidity_forecast: pd.DataFrame,
    settings: ReconciliationSettings,
) -> dict[str, pd.DataFrame]:
    """settlements_due: open settlements and payouts per currency and moment, with what is left of the cash after them.

    Open: Pending or Delayed settlements, and Ready or Blocked payouts (a blocked one is counted as held), each once. Cash: the lowest
    expected position up to the end of the moment, from the liquidity forecast (known flows where there is no interval); empty
    where no forecast reaches. pay and collect are positive; net_minor = collect - pay.
    """
    as_of = pd.Timestamp(settings.as_of)
    is_payout = settlement_schedule["batch_id"].isin(payouts["payout_id"])  # the schedule lists payouts as well
    settled = settlement_schedule[~is_payout & settlement_schedule["status"].isin(["Pending", "Delayed"])]
    moves = settled.assign(net_minor=-settled["net_minor"], is_held=settled["status"] == "Delayed")
    open_payouts = payouts[payouts["status"].isin(["Ready", "Blocked"])]
    paid = open_payouts.assign(net_minor=-open_payouts["amount_minor"], is_held=open_payouts["status"] == "Blocked")
    columns = ["currency", "due_date", "net_minor", "is_held"]
    both = pd.concat([moves[columns], paid[columns]], ignore_index=True)
    if both.empty:
        return {"settlements_due": declared("settlements_due").empty()}
    both["when"] = _when(both["due_date"], both["currency"], as_of)
    both["pay_minor"] = (-both["net_minor"]).clip(lower=0)
    both["collect_minor"] = both["net_minor"].clip(lower=0)
    both["held_minor"] = both["pay_minor"].where(both["is_held"], 0)
    both["item_count"] = 1
    sums = both.groupby(["currency", "when"], as_index=False)[
        ["item_count", "pay_minor", "collect_minor", "net_minor", "held_minor"]
    ].sum()
    sums["until_date"] = _until(sums, as_of)
    sums["expected_position_minor"] = _lowest_positions(sums, liquidity_forecast)
    sums["moment"] = sums["when"].map({when: number for number, when in enumerate(WHEN, start=1)})
    return {"settlements_due": declared("settlements_due").shaped(sums)}


def _when(due: pd.Series, currency: pd.Series, as_of: pd.Timestamp) -> np.ndarray:
    following = _next_business_days(currency, as_of)
    tests = [due < as_of, due == as_of, due <= following, due <= as_of + _WEEK]
    return np.select(tests, WHEN[:-1], default=WHEN[-1])


def _until(sums: pd.DataFrame, as_of: pd.Timestamp) -> pd.Series:
    """The last day of each moment; empty for what is later than a week."""
    ends = sums["when"].map({"overdue": as_of, "today": as_of, "within a week": as_of + _WEEK})
    return ends.where(sums["when"] != "next business day", _next_business_days(sums["currency"], as_of))


def _next_business_days(currency: pd.Series, as_of: pd.Timestamp) -> pd.Series:
    tomorrow = np.datetime64(as_of.date(), "D") + 1
    return currency.map({c: pd.Timestamp(str(roll_to_business_day(tomorrow, c))) for c in currency.unique()})


def _lowest_positions(sums: pd.DataFrame, forecast: pd.DataFrame) -> pd.Series:
    """Per row the lowest expected position from the end of the as-of day up to its last day."""
    first = forecast.sort_values("flow_date").drop_duplicates("currency")
    opening = first.assign(flow_date=pd.Timestamp.min, position_minor=first["position_minor"] - first["flow_minor"])
    forecast = pd.concat([opening, forecast], ignore_index=True)
    pairs = sums[["currency", "until_date"]].reset_index().merge(
        forecast[["currency", "flow_date", "position_minor"]], on="currency", how="inner", validate="many_to_many"
    )  # fmt: skip
    reached = pairs[pairs["flow_date"] <= pairs["until_date"]]
    return reached.groupby("index")["position_minor"].min().reindex(sums.index)
