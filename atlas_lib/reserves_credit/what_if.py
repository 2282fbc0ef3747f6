"""What another reserve policy would mean, side by side with the present one, before anybody decides it.

All cases are held against one exposure, that of the present policy on the as-of day (table reserve_coverage): a trial
changes what is held, not what has to be covered. So a shorter hold does not look better because it looks back less.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.reserves_credit.coverage import EXPOSURES, with_coverage
from atlas_lib.reserves_credit.policies import ReservePolicy
from atlas_lib.reserves_credit.reserves import plan_holds
from atlas_lib.reserves_credit.rolling import roll_reserve

_HELD = ["held_minor", "released_minor", "drawn_minor", "balance_minor"]
COLUMNS = ("case", "currency", "payout_minor", *_HELD, "shortfall_minor", *EXPOSURES, "exposure_minor", "coverage_rate")


def compare_policies(
    reserve_flows: pd.DataFrame,
    reserve_claims: pd.DataFrame,
    reserve_policies: pd.DataFrame,
    reserve_coverage: pd.DataFrame,
    trials: Mapping[str, ReservePolicy],
    settings: ReservesCreditSettings,
) -> pd.DataFrame:
    """The reserve of these sales up to the as-of day, as it is and as it would be had each trial always held.

    payout = sales - fees - refunds - chargebacks - reserve balance: what the merchants have or could get of their sales;
    shortfall = refunds + chargebacks - draws; coverage_rate = balance / exposure, the exposure being the present one.
    Output: COLUMNS, one row per case and currency, `present` first; differences to it are the effect of the trial.
    """
    cases = {"present": reserve_policies} | {name: _always(reserve_policies, p) for name, p in trials.items()}
    net = (reserve_flows["sales_minor"] - reserve_flows["fees_minor"]).groupby(reserve_flows["currency"]).sum()
    claimed = reserve_claims.groupby("currency")["claims_minor"].sum()
    owed = reserve_coverage.groupby("currency", sort=True)[list(EXPOSURES)].sum()
    known = (
        pd.concat([owed, net.rename("net_minor"), claimed], axis=1)
        .fillna(0)
        .astype("int64")
        .reset_index(names="currency")
    )
    rows = [_outcome(reserve_flows, reserve_claims, p, known, settings).assign(case=name) for name, p in cases.items()]
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
    flows: pd.DataFrame,
    claims: pd.DataFrame,
    policies: pd.DataFrame,
    known: pd.DataFrame,
    settings: ReservesCreditSettings,
) -> pd.DataFrame:
    tranches, _ = roll_reserve(plan_holds(flows, policies, settings), claims, settings.as_of)
    held = tranches.groupby("currency")[_HELD].sum().reset_index()
    sums = known.merge(held, on="currency", how="left", validate="one_to_one")
    sums[_HELD] = sums[_HELD].fillna(0).astype("int64")
    return with_coverage(
        sums.assign(
            payout_minor=sums["net_minor"] - sums["claims_minor"] - sums["balance_minor"],
            shortfall_minor=sums["claims_minor"] - sums["drawn_minor"],
        )
    )
