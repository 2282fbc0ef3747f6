"""How each payout comes about: from the receivables bought down to what is payable, in columns and as steps.

payable = receivables - partner margin - Client_RR - not split - paid already - at the bank
          - fees - refunds - chargebacks + prior balance
"""

from __future__ import annotations

import pandas as pd

from atlas_lib.core.tables import declared

_KEY = ["merchant_id", "currency"]
STEPS = (
    ("Receivables", "receivables_minor", 1),
    ("Partner margin", "partner_payout_minor", -1),
    ("Reserve held (Client_RR)", "client_rr_minor", -1),
    ("Not split", "residual_minor", -1),
    ("Paid already", "paid_minor", -1),
    ("At the bank", "under_way_minor", -1),
    ("Fees", "fees_minor", -1),
    ("Refunds", "refunds_minor", -1),
    ("Chargebacks", "chargebacks_minor", -1),
    ("Prior balance", "prior_balance_minor", 1),
    ("Payable to merchant", "payable_minor", 1),
)
_ALWAYS = ("Partner margin", "Reserve held (Client_RR)", "Fees", "Refunds", "Chargebacks", "Prior balance")


def spread_payouts(summary: pd.DataFrame, payout_positions: pd.DataFrame, contracts: pd.DataFrame) -> pd.DataFrame:
    """Every payout with its steps side by side and the source rows of its contracts: table payout_waterfall.

    `summary`: sums of the contracts with paid_minor, under_way_minor, open_minor (after the set-off). What the parts of
    contracts lack to their receivables is a step of its own (not split).
    """
    charged = [c for c in payout_positions.columns if c not in summary]
    full = summary.merge(payout_positions[[*_KEY, *charged]], on=_KEY, validate="one_to_one")
    parts = full["partner_payout_minor"] + full["client_rr_minor"] + full["merchant_payout_minor"]
    full = full.assign(residual_minor=full["receivables_minor"] - parts, payable_minor=full["open_minor"])
    return declared("payout_waterfall").checked(full.join(_source_rows(contracts), on=_KEY, validate="one_to_one"))


def explain_payouts(payout_waterfall: pd.DataFrame) -> pd.DataFrame:
    """The same as steps: merchant_id, currency, sequence, label, amount_minor, is_total; the last is their sum."""
    steps = [
        payout_waterfall[_KEY].assign(
            sequence=n, label=label, amount_minor=sign * payout_waterfall[column], is_total=column == "payable_minor"
        )
        for n, (label, column, sign) in enumerate(STEPS, 1)
    ]
    return pd.concat(steps, ignore_index=True).sort_values([*_KEY, "sequence"], ignore_index=True)


def waterfall_of(steps: pd.DataFrame, merchant_id: str, currency: str) -> pd.DataFrame:
    """The steps of one payout; of those that are 0 only the usual ones stay."""
    own = steps[(steps["merchant_id"] == merchant_id) & (steps["currency"] == currency)]
    kept = (own["amount_minor"] != 0) | own["is_total"] | own["label"].isin(_ALWAYS)
    return own[kept].reset_index(drop=True)


def _source_rows(contracts: pd.DataFrame) -> pd.Series:
    """`Merchant_Data.xlsx, Sheet1, rows 2-9; ...` per merchant and currency: where its contracts were read from."""
    place = ["source_file", "source_sheet"]
    rows = contracts.groupby([*_KEY, *place], sort=True)["source_row"].agg(["min", "max"]).reset_index()
    span = rows["min"].astype("str") + "-" + rows["max"].astype("str")
    sheet = rows["source_sheet"].where(rows["source_sheet"] == "", ", " + rows["source_sheet"])
    text = rows["source_file"] + sheet + ", rows " + span
    return rows.assign(source=text).groupby(_KEY)["source"].agg("; ".join)
