"""Whether the rolling reserve covers what it is there for, per merchant and currency.

    exposure = refunds + chargebacks + what is not delivered yet
    coverage = balance / exposure

*Refunds* and *chargebacks* are those of the last hold_days days: as much is to be expected of the next ones. *Not
delivered* are the sales of the last delivery_days days, less what was refunded or charged back of them already: if the
merchant closes today, their buyers ask for their money back. So acquirers take it: the three parts are added up, and the
third is what is sold within the time of delivery (M. Abbey, "Potential Changes to Historical Exposure/Loss Relationships
in Acquiring", First Annapolis Navigator, January 2016; Coris, "Merchant Exposure Calculator": refund, chargeback and
non-delivery exposure). Where only monthly volumes are known, days to delivery x average daily volume is used for it; here
each day's sales are known, so they are added up.
"""

from __future__ import annotations

import pandas as pd

from atlas_lib.core import money
from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.core.tables import declared
from atlas_lib.reserves_credit.counted_days import ACCOUNT
from atlas_lib.reserves_credit.policies import apply_policies

EXPOSURES = ("recent_refunds_minor", "recent_chargebacks_minor", "undelivered_minor")


def measure_coverage(
    sales: pd.DataFrame,
    planned: pd.DataFrame,
    claims: pd.DataFrame,
    policies: pd.DataFrame,
    merchants: pd.DataFrame,
    settings: ReservesCreditSettings,
) -> pd.DataFrame:
    """The reserve of each account against its exposure, under the policy that holds on the as-of day: reserve_coverage.

    sales: the rolling reserve's tranches; planned: the days of sales as reserves.plan_holds gives them; claims: table
    reserve_claims. coverage_rate = balance / exposure_minor, empty without any.
    Steady state: steady_minor = reserve_rate x mean daily base of the last hold_days days x hold_days.
    """
    today = pd.Timestamp(settings.as_of)
    accounts = policies[ACCOUNT].drop_duplicates(ignore_index=True)
    terms = apply_policies(accounts.assign(day=today), policies)[[*ACCOUNT, "reserve_rate", "hold_days"]]
    terms = terms.join(merchants.set_index("merchant_id")[["merchant_name", "delivery_days"]], on="merchant_id")
    terms = terms.assign(merchant_name=terms["merchant_name"].fillna(terms["merchant_id"]))
    first = today - pd.to_timedelta(terms["hold_days"], unit="D")
    since = terms[ACCOUNT].assign(first=first)
    days = planned[[*ACCOUNT, "day", "sales_minor", "base_minor", "wanted_minor", "release_date"]]
    lately = days.merge(since, on=ACCOUNT, validate="many_to_one")
    recent = lately[lately["day"] > lately["first"]].groupby(ACCOUNT)["base_minor"].sum().rename("recent_base_minor")
    open_days = days[days["release_date"] > today].groupby(ACCOUNT)["wanted_minor"].sum()
    kept = ["held_minor", "released_minor", "drawn_minor", "balance_minor"]
    parts = [
        sales.groupby(ACCOUNT)[kept].sum(),
        recent,
        open_days.rename("undrawn_balance_minor"),
        _sum_claims(claims, since),
        measure_undelivered(days, claims, terms, today),
    ]
    full = terms.merge(pd.concat(parts, axis=1).reset_index(), on=ACCOUNT, how="left", validate="one_to_one")
    amounts = [c for c in full.columns if c.endswith("_minor")]
    full[amounts] = full[amounts].fillna(0).astype("int64")
    steady = money.round_product(full["recent_base_minor"], full["reserve_rate"], settings.rounding)
    covered = with_coverage(
        full.assign(shortfall_minor=full["claims_minor"] - full["drawn_minor"], steady_minor=steady)
    )
    return declared("reserve_coverage").checked(covered)


def with_coverage(rows: pd.DataFrame) -> pd.DataFrame:
    """Adds exposure_minor, the sum of EXPOSURES, and coverage_rate = balance_minor / exposure_minor."""
    exposure = rows[list(EXPOSURES)].sum(axis=1).astype("int64")
    return rows.assign(
        exposure_minor=exposure, coverage_rate=(rows["balance_minor"] / exposure.where(exposure > 0)).astype("float64")
    )


def measure_undelivered(
    days: pd.DataFrame, claims: pd.DataFrame, terms: pd.DataFrame, today: pd.Timestamp
) -> pd.Series:
    """What each account has sold and not delivered by the end of a day, in minor units: undelivered_minor.

    sum over the last delivery_days days of max(sales of the day - claims about them so far, 0)

    days: merchant_id, currency, day, sales_minor; claims: the same key, own_day, claims_minor (one that names no sale
    lowers nothing); terms: delivery_days per account (empty or 0: delivered at once).
    """
    late = terms[terms["delivery_days"].fillna(0) > 0]
    first = today - pd.to_timedelta(late["delivery_days"].astype("int64"), unit="D")
    earliest = first.min()  # NaT when nobody delivers later: then no day is after it
    lately = days.loc[(days["day"] > earliest) & (days["day"] <= today), [*ACCOUNT, "day", "sales_minor"]]
    sold = lately.merge(late[ACCOUNT].assign(first=first), on=ACCOUNT, validate="many_to_one")
    sold = sold[sold["day"] > sold["first"]]
    about = claims[claims["own_day"] > earliest]
    returned = about.groupby([*ACCOUNT, "own_day"])["claims_minor"].sum().rename("returned_minor")
    both = sold.join(returned, on=[*ACCOUNT, "day"])
    left = (both["sales_minor"] - both["returned_minor"].fillna(0).astype("int64")).clip(lower=0)
    return left.groupby([both[k] for k in ACCOUNT]).sum().rename("undelivered_minor")


def _sum_claims(claims: pd.DataFrame, since: pd.DataFrame) -> pd.DataFrame:
    """All claims of each account, and the refunds and chargebacks of the days after `first`."""
    dated = claims.merge(since, on=ACCOUNT, validate="many_to_one")
    recent = dated[["claims_minor", "chargebacks_minor"]].where(dated["day"] > dated["first"], 0)
    split = dated.assign(
        recent_refunds_minor=recent["claims_minor"] - recent["chargebacks_minor"],
        recent_chargebacks_minor=recent["chargebacks_minor"],
    )
    return split.groupby(ACCOUNT)[["claims_minor", *EXPOSURES[:2]]].sum()
