"""Reserves: what is held back, when it frees up, what refunds and chargebacks use of it.

Two kinds of *tranche*. A purchased contract's Client_RR (base: purchase price) is held until the
contract's term ends and then falls due; a person releases it, because arrears decide. The rolling
reserve on sales is one tranche per merchant, currency and day, released on schedule on the first
business day on or after `held_on + hold_days` (rolling.py), under the policy of that day (policies.py).
"""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

from atlas_lib.core import calendars, money
from atlas_lib.core.engine import Input
from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.core.tables import declared
from atlas_lib.ledger import keys
from atlas_lib.ledger.store import Ledger
from atlas_lib.reserves_credit.counted_days import DAY
from atlas_lib.reserves_credit.coverage import measure_coverage
from atlas_lib.reserves_credit.policies import apply_policies, read_policies, usual_terms
from atlas_lib.reserves_credit.rolling import roll_reserve
from atlas_lib.reserves_credit.sales_days import SalesDays, count_days, give_days, is_on

_ACCOUNT = ["merchant_id", "currency"]


def hold_reserves(
    contracts: pd.DataFrame,
    merchants: pd.DataFrame,
    transactions: Input,
    settings: ReservesCreditSettings,
    ledger: Ledger | None = None,
) -> dict[str, pd.DataFrame]:
    """Tranches, movements, ladder and coverage of both kinds of reserve, up to the as-of day.

    hold = round(percent x base); balance = holds - releases - draws, per tranche and in total.
    `transactions` is the table or the path of its Parquet file (it may be large); the ledger holds decided policies and
    the days of sales that the input does not repeat (sales_days.py).
    Gives reserve_flows, reserve_claims, reserve_policies, reserve_tranches, reserve_movements, reserve_ladder,
    reserve_coverage.
    """
    given = give_days(transactions, settings)
    return hold_days(contracts, merchants, count_days(given, transactions, ledger, settings), settings, ledger)


def hold_days(
    contracts: pd.DataFrame,
    merchants: pd.DataFrame,
    sales_days: SalesDays,
    settings: ReservesCreditSettings,
    ledger: Ledger | None,
) -> dict[str, pd.DataFrame]:
    """The same for days of sales that are counted already.

    The large tables are shaped and sorted here; what their declaration asks for is checked when they are written.
    """
    days, claims = sales_days.days, sales_days.claims
    has_flow = days["sales_minor"] + days["fees_minor"] > 0
    flows = days[has_flow].reset_index(drop=True)[list(declared("reserve_flows").column_names)]
    telling = usual_terms(_telling_days(days, flows, claims), merchants, settings)
    policies = read_policies(telling, merchants, ledger)
    planned = plan_holds(flows, policies, settings)
    sales, moved = roll_reserve(planned, claims, settings.as_of)
    bought = hold_contracts(contracts, settings.as_of)
    names = declared("reserve_tranches").column_names
    tranches = pd.concat([bought[names], sales[names]], ignore_index=True)
    holds = bought.rename(columns={"held_on": "movement_date", "held_minor": "amount_minor"}).assign(movement="hold")
    columns = declared("reserve_movements").column_names
    movements = pd.concat([holds[columns], moved[columns]], ignore_index=True)
    return {
        "reserve_flows": declared("reserve_flows").shaped(flows),
        "reserve_claims": declared("reserve_claims").shaped(claims),
        "reserve_policies": policies,
        "reserve_tranches": declared("reserve_tranches").shaped(tranches),
        "reserve_movements": declared("reserve_movements").shaped(movements),
        "reserve_ladder": build_ladder(tranches, settings.as_of),
        "reserve_coverage": measure_coverage(sales, planned, claims, policies, merchants, settings),
    }


def _telling_days(days: pd.DataFrame, flows: pd.DataFrame, claims: pd.DataFrame) -> pd.DataFrame:
    """Days on which the usual policy of an account may change: all where the ledger has counted some, else one each."""
    if (days["source"] != "input").any():
        used = pd.concat([flows[DAY], claims[DAY]])
        return days[is_on(days, used)]
    is_same = (flows["merchant_id"] == flows["merchant_id"].shift()) & (flows["currency"] == flows["currency"].shift())
    first = pd.concat([flows.loc[~is_same, DAY], claims[DAY]])
    return first.drop_duplicates(_ACCOUNT).assign(source="input")


def plan_holds(flows: pd.DataFrame, policies: pd.DataFrame, settings: ReservesCreditSettings) -> pd.DataFrame:
    """What each merchant's day asks to hold: wanted = round(reserve_rate x base), with its release date.

    base = sales - fees of the day (never below 0), or the sales, by the policy of that day.
    Adds its terms, base_minor, wanted_minor, release_date.
    """
    days = apply_policies(flows, policies)
    fees = days["fees_minor"].where(days["reserve_base"] == "net_of_fees", 0)
    base = (days["sales_minor"] - fees).clip(lower=0)
    free = days["day"] + pd.to_timedelta(days["hold_days"], unit="D")
    return days.assign(
        base_minor=base,
        wanted_minor=money.round_product(base, days["reserve_rate"], settings.rounding),
        release_date=_next_business_day(free, days["currency"]),
    )


def hold_contracts(contracts: pd.DataFrame, as_of: date) -> pd.DataFrame:
    """One tranche per purchased contract with a reserve: Client_RR, held until the term ends.

    release_date = first business day on or after start_date + term_months; from then on its status is
    `due` and its balance stays until a person releases it.
    """
    held = contracts[contracts["merchant_reserve_minor"] > 0]
    ends = pd.Series(calendars.add_months(held["start_date"].to_numpy(), held["term_months"]), index=held.index)
    release = _next_business_day(ends.astype("datetime64[us]"), held["currency"])
    zero = np.zeros(len(held), dtype=np.int64)
    return pd.DataFrame(
        {
            "tranche_id": keys.CONTRACT + held["contract_id"],
            "source": "contract",
            "contract_id": held["contract_id"],
            **{c: held[c] for c in _ACCOUNT},
            "base_minor": held["purchase_price_minor"],
            "held_minor": held["merchant_reserve_minor"],
            "held_on": held["start_date"],
            "release_date": release,
            "released_minor": zero,
            "drawn_minor": zero,
            "balance_minor": held["merchant_reserve_minor"],
            "status": np.where(release <= pd.Timestamp(as_of), "due", "held"),
        }
    ).reset_index(drop=True)


def build_ladder(tranches: pd.DataFrame, as_of: date) -> pd.DataFrame:
    """What frees up by currency, source and month: open balances by month of release, and what then remains."""
    open_ones = tranches[tranches["balance_minor"] > 0]
    today = pd.Timestamp(as_of)
    falls = open_ones["release_date"].where(open_ones["release_date"] > today, today)
    month = falls.dt.to_period("M").dt.to_timestamp() if len(falls) else falls
    keys = ["currency", "source", "month"]
    ladder = (
        open_ones.assign(month=month)
        .groupby(keys, sort=True)
        .agg(tranche_count=("tranche_id", "size"), release_minor=("balance_minor", "sum"))
        .reset_index()
    )
    rung = ladder.groupby(["currency", "source"], sort=False)["release_minor"]
    return declared("reserve_ladder").checked(ladder.assign(remaining_minor=rung.transform("sum") - rung.cumsum()))


def ladder_by_month(ladder: pd.DataFrame, currency: str) -> pd.DataFrame:
    """The ladder of one currency with its sources side by side (columns month, sales_minor, contract_minor)."""
    own = ladder[ladder["currency"] == currency]
    wide = own.pivot_table(index="month", columns="source", values="release_minor", aggfunc="sum")
    wide = wide.reindex(columns=["sales", "contract"]).fillna(0).astype("int64")
    return wide.rename(columns="{}_minor".format).rename_axis(columns=None).reset_index()


def _next_business_day(days: pd.Series, currency: pd.Series) -> pd.Series:
    """Each date rolled forward on its currency's own calendar."""
    rolled = pd.Series(pd.NaT, index=days.index, dtype="datetime64[us]")
    for code in sorted(currency.unique()):
        here = currency == code
        rolled[here] = calendars.roll_to_business_day(days[here].to_numpy(), code).astype("datetime64[us]")
    return rolled
