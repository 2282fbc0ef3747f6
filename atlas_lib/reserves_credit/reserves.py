"""Reserves: what is held back, when it frees up, what refunds and chargebacks use of it.

Two kinds of *tranche*. A purchased contract's Client_RR (base: purchase price) is held until the
contract's term ends and then falls due; a person releases it, because arrears decide. The rolling
reserve on sales is one tranche per merchant, currency and day, released on schedule on the first
business day on or after `held_on + hold_days`.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd

from atlas_lib.core import calendars, money
from atlas_lib.core.engine import Input, Steps, open_engine
from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.core.tables import declared
from atlas_lib.reserves_credit.rolling import roll_reserve

_ACCOUNT = ["merchant_id", "currency"]
_DAILY: Steps = (
    (
        "daily_sales",
        """
SELECT merchant_id, currency, CAST(created_at AS DATE) AS day,
       CAST(SUM(CASE WHEN type = 'SALE' THEN amount_minor ELSE 0 END) AS BIGINT) AS sales_minor,
       CAST(SUM(CASE WHEN type = 'FEE' THEN amount_minor ELSE 0 END) AS BIGINT) AS fees_minor,
       CAST(SUM(CASE WHEN type IN ('REFUND', 'CHARGEBACK') THEN amount_minor ELSE 0 END) AS BIGINT) AS claims_minor
FROM transactions
WHERE (status = 'APPROVED' OR (type = 'SALE' AND status = 'REFUNDED'))
  AND type IN ('SALE', 'FEE', 'REFUND', 'CHARGEBACK')
  AND CAST(created_at AS DATE) <= CAST(:as_of AS DATE)
GROUP BY merchant_id, currency, CAST(created_at AS DATE)
""",
    ),
)


def hold_reserves(
    contracts: pd.DataFrame, merchants: pd.DataFrame, transactions: Input, settings: ReservesCreditSettings
) -> dict[str, pd.DataFrame]:
    """Tranches, movements, ladder and coverage of both kinds of reserve, up to the as-of day.

    hold = round(percent x base); balance = holds - releases - draws, per tranche and in total.
    `transactions` is the table or the path of its Parquet file (it may be large).
    Gives reserve_tranches, reserve_movements, reserve_ladder, reserve_coverage.
    """
    flows = daily_sales(transactions, settings)
    sales, draws = roll_reserve(plan_holds(flows, merchants, settings), flows, settings.as_of)
    tranches = pd.concat([hold_contracts(contracts, settings.as_of), sales], ignore_index=True)
    holds = tranches.rename(columns={"held_on": "movement_date", "held_minor": "amount_minor"}).assign(movement="hold")
    columns = declared("reserve_movements").column_names
    movements = pd.concat([holds[holds["amount_minor"] > 0][columns], draws[columns]], ignore_index=True)
    return {
        "reserve_tranches": declared("reserve_tranches").checked(tranches),
        "reserve_movements": declared("reserve_movements").checked(movements),
        "reserve_ladder": build_ladder(tranches, settings.as_of),
        "reserve_coverage": measure_coverage(sales, flows, merchants, settings),
    }


def daily_sales(transactions: Input, settings: ReservesCreditSettings) -> pd.DataFrame:
    """Sales, fees and claims (refunds, chargebacks) per merchant, currency and UTC day; settled statuses only."""
    engine = open_engine(settings.engine)
    result = engine.run(_DAILY, {"transactions": transactions}, ["daily_sales"], {"as_of": settings.as_of.isoformat()})
    return result["daily_sales"].sort_values([*_ACCOUNT, "day"], ignore_index=True)


def plan_holds(flows: pd.DataFrame, merchants: pd.DataFrame, settings: ReservesCreditSettings) -> pd.DataFrame:
    """The hold of each merchant's day: hold = round(reserve_rate x base), with its release date.

    base = sales - fees of the day (never below 0), or the sales; the merchant's own rate and days
    come before the settings'. Adds base_minor, reserve_rate, hold_days, held_minor, release_date.
    """
    own = merchants.set_index("merchant_id")[["reserve_rate", "hold_days"]]
    days = flows.join(own, on="merchant_id", validate="many_to_one")
    usual_rate = float(Decimal(str(settings.reserve_percent)) / 100)
    rate = days["reserve_rate"].astype("float64").fillna(usual_rate)
    hold_days = days["hold_days"].astype("Int64").fillna(settings.hold_days).astype("int64")
    fees = days["fees_minor"] if settings.reserve_base == "net_of_fees" else 0
    base = (days["sales_minor"] - fees).clip(lower=0)
    held = money.round_product(base, rate, settings.rounding)
    free = days["day"] + pd.to_timedelta(hold_days, unit="D")
    return days.assign(
        base_minor=base,
        reserve_rate=rate,
        hold_days=hold_days,
        held_minor=held,
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
            "tranche_id": "contract:" + held["contract_id"],
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


def measure_coverage(
    sales: pd.DataFrame, flows: pd.DataFrame, merchants: pd.DataFrame, settings: ReservesCreditSettings
) -> pd.DataFrame:
    """Whether the rolling reserve covers what it is there for.

    coverage_rate = balance / (refunds + chargebacks of the last hold_days days); exposure from goods not
    yet delivered is left out, because no input tells delivery dates.
    """
    days = plan_holds(flows, merchants, settings)
    recent = days["day"] > pd.Timestamp(settings.as_of) - pd.to_timedelta(days["hold_days"], unit="D")
    undrawn = days["held_minor"].where(days["release_date"] > pd.Timestamp(settings.as_of), 0)
    days = days.assign(recent_claims_minor=days["claims_minor"].where(recent, 0), undrawn_balance_minor=undrawn)
    amounts = ["claims_minor", "recent_claims_minor", "undrawn_balance_minor"]
    policy = {"reserve_rate": ("reserve_rate", "first"), "hold_days": ("hold_days", "first")}
    per_account = days.groupby(_ACCOUNT, sort=True).agg(**policy, **{a: (a, "sum") for a in amounts}).reset_index()
    kept = ["held_minor", "released_minor", "drawn_minor", "balance_minor"]
    sums = sales.groupby(_ACCOUNT, sort=True)[kept].sum().reset_index()
    coverage = per_account.merge(sums, on=_ACCOUNT, how="left", validate="one_to_one")
    coverage[kept] = coverage[kept].fillna(0).astype("int64")
    claims = coverage["recent_claims_minor"]
    return declared("reserve_coverage").checked(
        coverage.assign(
            shortfall_minor=coverage["claims_minor"] - coverage["drawn_minor"],
            coverage_rate=(coverage["balance_minor"] / claims.where(claims > 0)).astype("float64"),
        )
    )


def _next_business_day(days: pd.Series, currency: pd.Series) -> pd.Series:
    """Each date rolled forward on its currency's own calendar."""
    rolled = pd.Series(pd.NaT, index=days.index, dtype="datetime64[us]")
    for code in sorted(currency.unique()):
        here = currency == code
        rolled[here] = calendars.roll_to_business_day(days[here].to_numpy(), code).astype("datetime64[us]")
    return rolled
