"""Alerts: what needs attention today, each with an id that stays the same from run to run."""

from __future__ import annotations

import numpy as np
import pandas as pd

from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.core.tables import declared

_LEVELS = {"watch": "LIMIT_WATCH", "warn": "LIMIT_WARN", "breach": "LIMIT_BREACH"}
_SUBJECT = {"merchant_id": "subject_id", "merchant_name": "subject_name"}
_SEVERITY = {"LIMIT_WATCH": "info", "LIMIT_WARN": "warning", "LIMIT_BREACH": "high"}


def raise_alerts(
    exposures: pd.DataFrame,
    concentration: pd.DataFrame,
    reserve_coverage: pd.DataFrame,
    settings: ReservesCreditSettings,
) -> dict[str, pd.DataFrame]:
    """What needs attention: limits reached, large exposures, reserve shortfalls, exposures without an FX rate.

    `alert_id` is made of what and whom it is about, so the same fault has the same id in every run.
    """
    exposure = f"{settings.exposure_basis}_minor"
    merchant = exposures[exposures["scope"] == "merchant"]
    no_rate = merchant[merchant["limit_source"] == "no rate"]
    large = concentration[concentration["mark"] != ""].rename(columns=_SUBJECT)
    short = reserve_coverage[reserve_coverage["shortfall_minor"] > 0].rename(columns=_SUBJECT)
    parts = [
        _limit_alerts(exposures, exposure),
        large.assign(
            alert="LARGE_EXPOSURE",
            severity=np.where(large["mark"] == "over", "high", "warning"),
            amount_minor=large["exposure_minor"],
            detail=_percent(large["capital_rate"]) + " of own capital",
        ),
        short.assign(
            alert="RESERVE_SHORTFALL",
            severity="info",
            amount_minor=short["shortfall_minor"],
            detail="refunds and chargebacks beyond the reserve",
        ),
        no_rate.assign(
            alert="FX_RATE_MISSING",
            severity="warning",
            amount_minor=no_rate[exposure],
            detail="no FX rate on or before the as-of day: its limit is not checked in this currency",
        ),
    ]
    keys = ["alert", "scope", "subject_id", "currency"]
    columns = [*keys, "subject_name", "severity", "amount_minor", "detail"]
    alerts = pd.concat([p.assign(scope="merchant")[columns] if "scope" not in p else p[columns] for p in parts])
    ids = alerts["alert"] + ":" + alerts["scope"] + ":" + alerts["subject_id"] + ":" + alerts["currency"]
    return {"alerts": declared("alerts").checked(alerts.assign(alert_id=ids, since=pd.Timestamp(settings.as_of)))}


def rank_alerts(alerts: pd.DataFrame) -> pd.DataFrame:
    """High alerts first, then warnings, then what is for the record."""
    weight = alerts["severity"].map({"high": 0, "warning": 1, "info": 2})
    return alerts.assign(weight=weight).sort_values(["weight", "alert_id"], ignore_index=True).drop(columns="weight")


def _limit_alerts(exposures: pd.DataFrame, exposure: str) -> pd.DataFrame:
    hit = exposures[exposures["level"].isin(list(_LEVELS))]
    alert = hit["level"].map(_LEVELS)
    ratio = _percent(hit["combined_rate"]).where(hit["combined_rate"].notna(), "more than all")
    return hit.assign(
        alert=alert,
        severity=alert.map(_SEVERITY),
        amount_minor=hit[exposure],
        detail=ratio + " of the limit used",
    )


def _percent(rate: pd.Series) -> pd.Series:
    return (rate * 100).map("{:,.2f} %".format).astype("str")
