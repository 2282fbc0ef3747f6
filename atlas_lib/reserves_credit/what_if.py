"""What another reserve policy would mean, side by side with the present one, before anybody decides it."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.reserves_credit.policies import ReservePolicy
from atlas_lib.reserves_credit.reserves import measure_coverage, plan_holds
from atlas_lib.reserves_credit.rolling import roll_reserve

_SUMS = ["held_minor", "released_minor", "drawn_minor", "balance_minor", "shortfall_minor", "recent_claims_minor"]
COLUMNS = ("case", "currency", "payout_minor", *_SUMS, "coverage_rate")


def compare_policies(
    reserve_flows: pd.DataFrame,
    reserve_claims: pd.DataFrame,
    reserve_policies: pd.DataFrame,
    trials: Mapping[str, ReservePolicy],
    settings: ReservesCreditSettings,
) -> pd.DataFrame:
    """The reserve of these sales up to the as-of day, as it is and as it would be had each trial always held.

    payout = sales - fees - refunds - chargebacks - reserve balance: what the merchants have or could get of their sales.
    Output: COLUMNS, one row per case and currency, `present` first; differences to it are the effect of the trial.
    """
    cases = {"present": reserve_policies} | {name: _always(reserve_policies, p) for name, p in trials.items()}
    rows = [_outcome(reserve_flows, reserve_claims, p, settings).assign(case=name) for name, p in cases.items()]
    return pd.concat(rows, ignore_index=True)[list(COLUMNS)]


def of_merchant(table: pd.DataFrame, merchant_id: str) -> pd.DataFrame:
    """The rows of one merchant."""
    return table[table["merchant_id"] == merchant_id].reset_index(drop=True)


def _always(policies: pd.DataFrame, policy: ReservePolicy) -> pd.DataFrame:
    """The policy for every account, since ever."""
    first = policies.sort_values("applies_from").drop_duplicates(["merchant_id", "currency"])
    terms = policy.terms() | {"cap_minor": pd.array([policy.cap_minor] * len(first), dtype="Int64")}
    return first.assign(**terms).sort_values(["merchant_id", "currency"], ignore_index=True)


def _outcome(
    flows: pd.DataFrame, claims: pd.DataFrame, policies: pd.DataFrame, settings: ReservesCreditSettings
) -> pd.DataFrame:
    planned = plan_holds(flows, policies, settings)
    tranches, _ = roll_reserve(planned, claims, settings.as_of)
    coverage = measure_coverage(tranches, planned, claims, policies, settings)
    sums = coverage.groupby("currency", sort=True)[[*_SUMS, "claims_minor"]].sum().reset_index()
    net = (flows["sales_minor"] - flows["fees_minor"]).groupby(flows["currency"]).sum()
    earned = sums["currency"].map(net).fillna(0).astype("int64") - sums["claims_minor"]
    recent = sums["recent_claims_minor"]
    return sums.assign(
        payout_minor=earned - sums["balance_minor"],
        coverage_rate=(sums["balance_minor"] / recent.where(recent > 0)).astype("float64"),
    )
