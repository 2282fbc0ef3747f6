"""Payouts of a processor: a merchant's days in one line, less refunds, chargebacks, fees and the reserve held back.

Nothing is drawn and no payment is added or changed: payments that were booked one by one are booked together instead, and
the line lists their references, as a processor's report does. Where the days of no merchant allow it, there is none.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from atlas_lib.core.calendars import add_business_days
from atlas_lib.example_data.bank import CUT_OFF_HOUR, NETTED
from atlas_lib.example_data.parties import Parties

CASE = "processor_payout"
_TYPES = ("SALE", "REFUND", "CHARGEBACK", "FEE")
_OPEN_DAYS = 3  # to the payout; later than that a payment counts as posted late
_FEWEST_SALES, _MOST = 3, 100
_GROUP = ["merchant", "paid_on"]


def pay_out(payments: pd.DataFrame, lines: pd.DataFrame, parties: Parties) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two payouts in EUR: one of payments of every type, and one with the sales of the day before as prior balance.

    `payout` of a payment is its group or empty. A payout stands in the place of its last line; its other lines are
    `netted`, and go when the lines are numbered.
    """
    payments = payments.assign(payout="").astype({"payout": object})
    chances = _chances(payments, lines)
    whole = _smallest(chances[_is_of_every_type(chances)]).assign(is_prior=False)
    rest = _with_prior(chances[~chances["payment"].isin(whole["payment"])], _first_strays(payments, lines))
    for number, group in enumerate((whole, _smallest(rest))):
        if len(group):
            payments, lines = _book_together(payments, lines, group, f"{CASE}:{number}", parties)
    return payments, lines


def _chances(payments: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    """Every line that could be part of a payout, once per day on which it could: line, payment, merchant, type, day, paid_on."""
    once = ~lines["payment"].duplicated(keep=False) & (lines["pair"] >= 0) & (lines["case"] == "")
    line = np.flatnonzero((once & (lines["account"] == 0)).to_numpy())
    frame = payments.iloc[lines["payment"].to_numpy()[line]]
    plain = (frame["case"] == "") & frame["type"].isin(_TYPES) & (frame["currency"] == 0) & (frame["destination"] == 0)
    frame = frame.assign(line=line, payment=frame.index, booked_on=lines["booking_date"].to_numpy()[line])[plain]
    created = frame["created_at"].to_numpy().astype("datetime64[s]")
    day = created.astype("datetime64[D]")
    counted = day + ((created - day).astype(np.int64) >= CUT_OFF_HOUR * 3600)
    names = ["line", "payment", "merchant", "type", "amount_minor", "booked_on"]
    parts = [frame[names].assign(day=day, paid_on=add_business_days(counted, n)) for n in range(_OPEN_DAYS + 1)]
    every = pd.concat(parts, ignore_index=True)
    every = every[every["paid_on"] >= every["booked_on"]].drop_duplicates(["line", "paid_on"])
    signed = every["amount_minor"].where(every["type"] == "SALE", -every["amount_minor"])
    return every.assign(signed_minor=signed).reset_index(drop=True)


def _is_of_every_type(chances: pd.DataFrame) -> pd.Series:
    """Whether the merchant's payments of that payout are of every type, and most of the sales is left."""
    groups = chances.groupby(_GROUP)
    sales = chances["amount_minor"].where(chances["type"] == "SALE", 0)
    sold = sales.groupby([chances[name] for name in _GROUP]).transform("sum")
    return (groups["type"].transform("nunique") == len(_TYPES)) & (groups["signed_minor"].transform("sum") * 2 > sold)


def _with_prior(chances: pd.DataFrame, first_strays: pd.Series) -> pd.DataFrame:
    """Groups whose first day is one of sales and can be the prior balance (`is_prior`): before the others nothing is open."""
    keys = [chances[name] for name in _GROUP]
    is_prior = chances["day"] == chances.groupby(_GROUP)["day"].transform("min")
    is_sale = chances["type"] == "SALE"
    begins = chances["day"].mask(is_prior).groupby(keys).transform("min")
    fits = ~(is_prior & ~is_sale).groupby(keys).transform("any") & (
        (~is_prior & is_sale).groupby(keys).transform("sum") >= _FEWEST_SALES
    )
    known = chances["merchant"].map(first_strays).fillna(begins)
    return chances.assign(is_prior=is_prior)[fits & (known >= begins)]


def _first_strays(payments: pd.DataFrame, lines: pd.DataFrame) -> pd.Series:
    """By merchant, the first day of a payment in EUR that no line names: such a payment would be prior balance as well."""
    due = payments[payments["status"].isin(["APPROVED", "REFUNDED"]) & (payments["currency"] == 0)]
    strays = due[~due["reference"].isin(lines["end_to_end_id"])]
    first: pd.Series = strays["created_at"].dt.normalize().groupby(strays["merchant"]).min()
    return first


def _smallest(chances: pd.DataFrame) -> pd.DataFrame:
    """The rows of the group with the fewest, the earliest of these; none where there is no group."""
    sizes = chances.groupby(_GROUP, as_index=False).size()
    sizes = sizes[sizes["size"].between(_FEWEST_SALES + 1, _MOST)].sort_values(["size", "paid_on", "merchant"])
    return chances.merge(sizes.head(1)[_GROUP], on=_GROUP, validate="many_to_one").sort_values(
        "line", ignore_index=True
    )


def _book_together(
    payments: pd.DataFrame, lines: pd.DataFrame, group: pd.DataFrame, case: str, parties: Parties
) -> tuple[pd.DataFrame, pd.DataFrame]:
    merchant, paid_on = int(group["merchant"].iloc[0]), group["paid_on"].iloc[0]
    who = parties.merchants.iloc[merchant]
    payout_id = f"PO-{who['merchant_id']}-{paid_on:%y%m%d}"
    sold = group["amount_minor"].where(group["type"] == "SALE", 0)
    net = int(group["signed_minor"].sum() - held_back(sold.to_numpy(), float(who["reserve_rate"])).sum())
    listed = " ".join(payments.loc[group.loc[~group["is_prior"], "payment"], "reference"])
    payments, lines = payments.copy(), lines.copy()
    payments.loc[group["payment"], "payout"] = case
    at = lines.index[group["line"]]
    lines.loc[at[:-1], "case"] = NETTED
    processor = parties.counterparties["name"].iloc[int(parties.merchant_counterparty[merchant])]
    booked = {
        "payment": -1, "pair": -1, "case": case, "booking_date": paid_on, "amount_posted_minor": net, "is_credit": True,
        "end_to_end_id": payout_id, "remittance_text": f"Abrechnung {who['merchant_id']} {listed}", "counterparty_name": processor,
    }  # fmt: skip
    for name, value in booked.items():
        lines.loc[at[-1], name] = value
    return payments, lines


def held_back(amounts: np.ndarray, rate: float) -> np.ndarray:
    """The reserve of each sale, rounded by itself, half to even."""
    whole, rest = np.divmod(amounts * round(rate * 1_000_000), 1_000_000)
    return np.asarray(whole + ((rest > 500_000) | ((rest == 500_000) & (whole % 2 == 1))))
