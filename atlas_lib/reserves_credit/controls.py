"""Control totals of the room: nothing is lost between receivables and payouts, and rounding is explained."""

from __future__ import annotations

import pandas as pd

from atlas_lib.core import money
from atlas_lib.core.tables import declared

_RATE_UNIT = 10**12  # rates in whole 10^-12 parts: every rate a person types is exact
_ROUNDED = {
    "purchase_price": "purchase_price_minor",
    "client_rr": "merchant_reserve_minor",
    "merchant_payout": "merchant_payout_minor",
    "partner_payout": "partner_margin_minor",
    "partner_rr": "partner_rr_minor",
}


def control_totals(contracts: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """Receivables in = payouts ready, blocked, at the bank and executed + reserve held + partner margin; difference 0."""
    paid, status = summary["merchant_payout_minor"], summary["status"]
    by_status = {
        f"{s.lower()}_minor": paid.where(status == s, 0) for s in ("Ready", "Blocked", "Requested", "Executed")
    }
    split = summary.assign(**by_status)
    parts = [*by_status, "client_rr_minor", "partner_payout_minor"]
    out = split.groupby("currency", sort=True)[parts].sum()
    received = contracts.groupby("currency", sort=True)["receivable_minor"].sum().rename("receivables_in_minor")
    both = pd.concat([received, out], axis=1).fillna(0).astype("int64").reset_index(names="currency")
    return both.assign(difference_minor=both["receivables_in_minor"] - both[parts].sum(axis=1))


def control_rounding(lines: pd.DataFrame) -> pd.DataFrame:
    """Rounded sums against exact unrounded ones, per currency and figure: table rounding_control.

    Unrounded lines follow from the figures one step before, in exact whole-number arithmetic:
    price = valuation_sum x purchase_rate, reserve = purchase_price x reserve_rate, payout = purchase_price -
    reserve, margin = receivable - price, Partner_RR = receivable x reserve_rate - reserve. What lies between
    the sums must be explained by half a unit per rounding (Partner_RR is rounded twice per line).
    """
    receivable, paid = _exact(lines["receivable_minor"]), _exact(lines["purchase_price_minor"])
    has_price = lines["valuation_sum_minor"].notna() & lines["purchase_rate"].notna()
    price = _exact(lines["valuation_sum_minor"].fillna(0)) * _parts(lines["purchase_rate"].fillna(0))
    price = price.where(has_price, paid * _RATE_UNIT)
    reserve = paid * _parts(lines["reserve_rate"])
    unrounded = {
        "purchase_price": price,
        "client_rr": reserve,
        "merchant_payout": paid * _RATE_UNIT - reserve,
        "partner_payout": receivable * _RATE_UNIT - price,
        "partner_rr": receivable * _parts(lines["reserve_rate"]) - reserve,
    }
    rows = [_control_of(lines, figure, exact) for figure, exact in unrounded.items()]
    return declared("rounding_control").checked(pd.concat(rows, ignore_index=True))


def rounding_in_minor(control: pd.DataFrame) -> pd.DataFrame:
    """The rounding control to be read by a person: difference and allowance in minor units with decimals."""
    fractions = {f"{n}_in_minor_units": control[f"{n}_minor_e6"] / 1e6 for n in ("difference", "allowed")}
    columns = ["currency", "figure", "line_count", "rounded_minor", *fractions, "passed"]
    return control.assign(**fractions, figure=control["figure"].str.replace("_", " "))[columns]


def _control_of(lines: pd.DataFrame, figure: str, exact: pd.Series) -> pd.DataFrame:
    column = _ROUNDED[figure]
    roundings = 2 if figure == "partner_rr" else 1
    gap = _exact(lines[column]) * _RATE_UNIT - exact
    control = (
        lines.assign(gap=gap)
        .groupby("currency", sort=True)
        .agg(line_count=("contract_id", "size"), rounded_minor=(column, "sum"), gap=("gap", "sum"))
        .reset_index()
    )
    difference = (control["gap"] // (_RATE_UNIT // 10**6)).astype("int64")
    allowed = control["line_count"] * roundings * 500_000
    return control.assign(
        figure=figure,
        difference_minor_e6=difference,
        allowed_minor_e6=allowed,
        passed=difference.abs() <= allowed,
    )


def _exact(amount: pd.Series) -> pd.Series:
    """Whole numbers of any size."""
    return amount.astype("int64").astype(object)


def _parts(rate: pd.Series) -> pd.Series:
    """A rate in whole 10^-12 parts."""
    return pd.Series(money.round_product(rate.astype("float64"), _RATE_UNIT), index=rate.index).astype(object)
