"""What the operator pays out: at most a share of what the merchant has due at that moment.

Due = sales taken - refunds - chargebacks - fees - payouts before, in the merchant's own currency, up to then.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from atlas_lib.example_data.parties import Parties
from atlas_lib.example_data.payments import DAYS, in_minor

SHARE = 0.6  # of what is due; the rest stays for what comes back
_LARGEST_MERCHANT = 0
_LEAST_EUROS = 5.0
_LATER = np.timedelta64(DAYS // 2, "D")


def fit_payouts(payments: pd.DataFrame, parties: Parties) -> pd.DataFrame:
    """`payments` with each PAYOUT no larger than SHARE of what is due; the amount drawn is the most.

    Where hardly anything is due the payout goes to the largest merchant, and where nothing is due to that one yet, half
    of the period later. Planted payouts keep their merchant and their time.
    """
    placed = _to_the_largest(payments, _has_little(payments, parties), parties)
    fitted = _later(placed, _has_little(placed, parties))
    is_payout = (fitted["type"] == "PAYOUT").to_numpy()
    most = _shared(fitted, np.minimum(fitted["amount_minor"].to_numpy(), _payable(fitted, parties)))
    tens = np.where(fitted["currency"].to_numpy() == 3, 10, 1)
    return fitted.assign(
        amount_minor=np.where(is_payout, np.maximum(most // tens * tens, tens), fitted["amount_minor"])
    )


def _shared(payments: pd.DataFrame, most: np.ndarray) -> np.ndarray:
    """Planted payouts of one morning share what they may come to together as their drawn amounts do."""
    of_case = payments.assign(most=most).groupby("case")[["most", "amount_minor"]].transform("sum")
    part = payments["amount_minor"] * (of_case["most"] / of_case["amount_minor"])
    is_planted = (payments["type"] == "PAYOUT") & (payments["case"] != "")
    return np.where(is_planted, np.floor(part), most).astype(np.int64)


def _has_little(payments: pd.DataFrame, parties: Parties) -> np.ndarray:
    """Ordinary payouts for which too little is due."""
    least = in_minor(np.full(len(payments), _LEAST_EUROS), payments["currency"].to_numpy())
    is_ordinary = (payments["type"] == "PAYOUT") & (payments["case"] == "")
    return np.asarray(is_ordinary.to_numpy() & (_payable(payments, parties) < least))


def _payable(payments: pd.DataFrame, parties: Parties) -> np.ndarray:
    """SHARE of what is due at each payout if every one before took its share; 0 for other payments.

    Paid(k) = (1 - SHARE) x Paid(k-1) + SHARE x Net(k), an exponential average of what came in net of what went back.
    """
    kind = payments["type"].to_numpy()
    at_home = payments["currency"].to_numpy() == parties.merchant_currency[payments["merchant"]]
    is_taken = at_home & payments["status"].isin(["APPROVED", "REFUNDED"]).to_numpy() & (kind != "PAYOUT")
    signed = np.where(is_taken, np.where(kind == "SALE", 1, -1) * payments["amount_minor"], 0)
    in_order = payments.assign(signed=signed).sort_values(["merchant", "created_at"], kind="stable")
    net = in_order["signed"].groupby(in_order["merchant"]).cumsum()[in_order["type"] == "PAYOUT"]
    of_merchant = net.groupby(in_order["merchant"][net.index])
    average = of_merchant.transform(lambda taken: taken.ewm(alpha=SHARE, adjust=False).mean())
    paid = average - (1 - SHARE) ** (of_merchant.cumcount() + 1) * of_merchant.transform("first")  # nothing at first
    payable = paid.groupby(in_order["merchant"][net.index]).diff().fillna(paid)
    return np.asarray(np.floor(payable.reindex(payments.index, fill_value=0)), dtype=np.int64)


def _to_the_largest(payments: pd.DataFrame, chosen: np.ndarray, parties: Parties) -> pd.DataFrame:
    currency = parties.merchant_currency[_LARGEST_MERCHANT]
    own = {
        "merchant": _LARGEST_MERCHANT, "counterparty": parties.merchant_counterparty[_LARGEST_MERCHANT],
        "currency": currency, "destination": currency,
    }  # fmt: skip
    return payments.assign(**{name: payments[name].mask(chosen, value) for name, value in own.items()})


def _later(payments: pd.DataFrame, chosen: np.ndarray) -> pd.DataFrame:
    created = payments["created_at"]
    return payments.assign(created_at=created.mask(chosen & (created < created.min() + _LATER), created + _LATER))
