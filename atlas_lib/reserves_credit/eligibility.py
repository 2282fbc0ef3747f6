"""What a funder would lend against the book: eligible receivables, concentration excess, availability, dilution, DSO.

    eligible     = receivables outstanding - those of contracts unpaid for more than 90 days - cross-aged ones - contra
    excess       = what a merchant's receivables have above 20 % of all receivables of the currency
    base         = (eligible - excess) x advance_rate
    availability = base - reserves - drawn          negative: more is drawn than the base carries

A merchant whose old receivables are more than 10 % of its book is *cross-aged*: all of it is ineligible. Rates and
days are settings. Age counts from the oldest instalment that the customer's payments do not cover; an input in which
no customer has paid anything tells no age (`is_aged` is false, and nothing is ineligible for it). *Contra* is what the merchant owes
the same debtor in turn: the debtor may set it off. The same by account debtor is in obligors.py.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from atlas_lib.core import calendars, money
from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.core.tables import declared

_KEY = ["merchant_id", "currency"]
_YEAR_DAYS, _DILUTION_DAYS = 365, 90


def measure_eligibility(
    contracts: pd.DataFrame,
    exposures: pd.DataFrame,
    reserve_flows: pd.DataFrame,
    reserve_claims: pd.DataFrame,
    settings: ReservesCreditSettings,
) -> dict[str, pd.DataFrame]:
    """Eligibility per merchant and currency, in minor units: table eligibility.

    drawn = effective exposure (what was paid out and is not repaid), reserves = Client_RR held; so both together are
    the funded exposure. dilution = refunds and chargebacks / sales of the last 90 days; DSO = outstanding / receivables
    bought in the last 365 days x 365.
    """
    lines = age_contracts(contracts, settings)
    sums = (
        lines.groupby(_KEY, sort=True)[["outstanding_minor", "old_minor", "owed_back_minor", "bought_minor"]]
        .sum()
        .reset_index()
    )
    known = exposures[exposures["scope"] == "merchant"].rename(columns={"subject_id": "merchant_id"})
    sums = sums.merge(known[[*_KEY, "reserve_minor", "effective_minor"]], on=_KEY, validate="one_to_one")
    full = share_availability(sums.rename(columns={"effective_minor": "drawn_minor"}), settings)
    outstanding, bought = full["outstanding_minor"], full["bought_minor"]
    return {
        "eligibility": declared("eligibility").checked(
            full.assign(
                is_aged=bool((contracts["customer_payment_minor"] > 0).any()),
                dso_days=(outstanding / bought.where(bought > 0) * _YEAR_DAYS).astype("float64"),
                dilution_rate=_dilution(full, reserve_flows, reserve_claims, settings),
            )
        )
    }


def age_contracts(contracts: pd.DataFrame, settings: ReservesCreditSettings) -> pd.DataFrame:
    """Per contract what is outstanding, of it old (unpaid for more than `ineligible_after_days`), and days past due.

    The n-th instalment falls due n months after the start; customer payments cover the oldest first.
    Adds outstanding_minor, past_due_days, old_minor, owed_back_minor (contra, at most what is outstanding and not old),
    bought_minor (receivable, when bought within a year).
    """
    today = np.datetime64(settings.as_of)
    premium = contracts["premium_minor"].where(contracts["premium_minor"] > 0)
    covered = (contracts["customer_payment_minor"] // premium).fillna(contracts["term_months"]).astype("int64")
    outstanding = (contracts["receivable_minor"] - contracts["customer_payment_minor"]).clip(lower=0)
    first_unpaid = calendars.add_months(contracts["start_date"].to_numpy(), covered + 1)
    past_due = np.maximum((today - first_unpaid).astype("int64"), 0)
    is_open = (outstanding > 0) & (covered < contracts["term_months"])
    has_ages = bool((contracts["customer_payment_minor"] > 0).any())
    days = pd.Series(past_due, index=contracts.index).where(is_open & has_ages, 0)
    bought = contracts["start_date"] > pd.Timestamp(settings.as_of) - pd.Timedelta(days=_YEAR_DAYS)
    old = outstanding.where(days > settings.ineligible_after_days, 0)
    contra = contracts["contra_minor"].astype("Int64").fillna(0).astype("int64").clip(lower=0)
    return contracts.assign(
        outstanding_minor=outstanding,
        past_due_days=days,
        old_minor=old,
        owed_back_minor=contra.where(contra < outstanding - old, outstanding - old),
        bought_minor=contracts["receivable_minor"].where(bought, 0),
    )


def share_availability(sums: pd.DataFrame, settings: ReservesCreditSettings) -> pd.DataFrame:
    """Adds cross_aged_minor, contra_minor, eligible_minor, excess_minor, base_minor, availability_minor.

    Input: merchant_id, currency, outstanding_minor, old_minor, owed_back_minor, reserve_minor, drawn_minor.
    """
    full = share_eligible(sums, settings)
    lent = full["eligible_minor"] - full["excess_minor"]
    base = pd.Series(money.round_product(lent, settings.advance_rate, settings.rounding), index=sums.index)
    return full.assign(base_minor=base, availability_minor=base - sums["reserve_minor"] - sums["drawn_minor"])


def share_eligible(sums: pd.DataFrame, settings: ReservesCreditSettings) -> pd.DataFrame:
    """Adds cross_aged_minor, contra_minor, eligible_minor, excess_minor to rows of merchants or obligors.

    Input: currency, outstanding_minor, old_minor, owed_back_minor.
    """
    outstanding, old = sums["outstanding_minor"], sums["old_minor"]
    is_cross_aged = old > outstanding * settings.cross_ageing_rate
    cross_aged = (outstanding - old).where(is_cross_aged, 0)
    contra = sums["owed_back_minor"].where(~is_cross_aged, 0)
    eligible = outstanding - old - cross_aged - contra
    whole = outstanding.groupby(sums["currency"]).transform("sum")
    cap = pd.Series(money.round_product(whole, settings.concentration_cap_rate, settings.rounding), index=sums.index)
    return sums.assign(
        cross_aged_minor=cross_aged,
        contra_minor=contra,
        eligible_minor=eligible,
        excess_minor=(eligible - cap).clip(lower=0),
    )


def total_eligibility(eligibility: pd.DataFrame) -> pd.DataFrame:
    """The book per currency: every amount added up."""
    amounts = [c for c in eligibility.columns if c.endswith("_minor")]
    return eligibility.groupby("currency", sort=True)[amounts].sum().reset_index()


def _dilution(
    rows: pd.DataFrame, flows: pd.DataFrame, claims: pd.DataFrame, settings: ReservesCreditSettings
) -> pd.Series:
    since = pd.Timestamp(settings.as_of) - pd.Timedelta(days=_DILUTION_DAYS)
    sold = flows[flows["day"] > since].groupby(_KEY)["sales_minor"].sum().rename("sold")
    claimed = claims[claims["day"] > since].groupby(_KEY)["claims_minor"].sum().rename("claimed")
    both = rows[_KEY].join(sold, on=_KEY).join(claimed, on=_KEY)
    both = both.astype({"sold": "float64", "claimed": "float64"})
    return both["claimed"].fillna(0.0).where(both["sold"] > 0) / both["sold"]
