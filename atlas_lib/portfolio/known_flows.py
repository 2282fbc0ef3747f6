"""Cash flows that are known before they come: instalments, payouts and reserve releases, on open days."""

from __future__ import annotations

import pandas as pd

from atlas_lib.core import calendars
from atlas_lib.core.settings import PortfolioSettings
from atlas_lib.core.tables import declared


def collect_known_flows(
    schedule: pd.DataFrame, payouts: pd.DataFrame, reserve_tranches: pd.DataFrame, settings: PortfolioSettings
) -> dict[str, pd.DataFrame]:
    """What contracts, payouts and reserves say will flow, per currency, open day and source, past days included.

    In: instalments (before the as-of day as planned, from it on what is not yet received). Out: payouts that are
    Ready or at the bank, reserve releases. What falls on a closed day moves to the next open one. Principal only: the interest of
    the projection is not charged to customers.

    Parameters: schedule (key contract_id, period), payouts (key payout_id), reserve_tranches (key tranche_id).
    Returns: known_flows (key currency, flow_date, source).
    """
    as_of = pd.Timestamp(settings.as_of)
    left = schedule["principal_minor"] - schedule["received_minor"]
    due = schedule.assign(amount=left.where(schedule["due_date"] >= as_of, schedule["principal_minor"]))
    ready = payouts[payouts["status"].isin(["Ready", "Requested"])]
    freed = reserve_tranches.assign(
        amount=reserve_tranches["balance_minor"].where(
            reserve_tranches["release_date"] >= as_of, reserve_tranches["released_minor"]
        )
    )
    parts = [
        _flows(due, "due_date", "amount", "instalments", 1),
        _flows(ready, "due_date", "amount_minor", "payouts", -1),
        _flows(freed, "release_date", "amount", "reserve releases", -1),
    ]
    flows = pd.concat([p for p in parts if len(p)] or parts[:1], ignore_index=True)
    days = [open_days(part["flow_date"], str(code)) for code, part in flows.groupby("currency", sort=False)]
    flows = flows.assign(flow_date=pd.concat(days)) if days else flows
    sums = flows.groupby(["currency", "flow_date", "source"], as_index=False)[
        ["in_minor", "out_minor", "item_count"]
    ].sum()
    return {"known_flows": declared("known_flows").shaped(sums)}


def _flows(frame: pd.DataFrame, day: str, amount: str, source: str, sign: int) -> pd.DataFrame:
    moving = frame[frame[amount] > 0]
    size = moving[amount].to_numpy()
    return pd.DataFrame({
        "currency": moving["currency"].to_numpy(), "flow_date": moving[day].to_numpy(), "source": source,
        "in_minor": size if sign > 0 else 0, "out_minor": size if sign < 0 else 0, "item_count": 1,
    })  # fmt: skip


def open_days(dates: pd.Series, currency: str) -> pd.Series:
    """The same day where the currency settles on it, else the next open one."""
    rolled = calendars.roll_to_business_day(dates.to_numpy(), currency)
    return pd.Series(rolled.astype("datetime64[us]"), index=dates.index)
