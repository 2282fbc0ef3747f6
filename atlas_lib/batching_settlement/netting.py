"""Bilateral and multilateral netting: less moves, nobody's net position changes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from atlas_lib.core.tables import declared

POOL = "NETTING-POOL"
_KEY = ["account", "currency"]


def net_due_items(settlement_items: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Net positions per account and currency over the due transactions, and how much netting saves moving.

    net = in - out. Bilateral: each pair of accounts offsets, the smaller side vanishes. Multilateral: an
    account pays or receives its net, through the pool. A transaction that converts is two obligations, payer
    to pool in the source currency and pool to payee in the destination currency; so per currency the net
    positions, the pool's included, sum to 0. Input: settlement_items. Output: net_positions, netting_effect.
    """
    owed = obligations(settlement_items[settlement_items["standing"] == "due"])
    gross = _positions(owed, "in_minor", "out_minor")
    pairs = _positions(offset_pairs(owed), "bilateral_in_minor", "bilateral_out_minor")
    positions = gross.merge(pairs, on=_KEY, how="left", validate="1:1").fillna(
        {"bilateral_in_minor": 0, "bilateral_out_minor": 0}
    )
    net = (positions["in_minor"] - positions["out_minor"]).astype("int64")
    positions = positions.merge(_counts(owed), on=_KEY, how="left", validate="1:1").assign(
        net_minor=net, multilateral_in_minor=net.clip(lower=0), multilateral_out_minor=(-net).clip(lower=0)
    )
    return {
        "net_positions": declared("net_positions").shaped(positions),
        "netting_effect": declared("netting_effect").shaped(_effect(positions, owed)),
    }


def obligations(items: pd.DataFrame) -> pd.DataFrame:
    """Who owes whom how much, one currency a row: transaction_id, payer, payee, currency, amount_minor."""
    converts = items["currency"] != items["destination_currency"]
    paying = pd.DataFrame(
        {
            "transaction_id": items["transaction_id"],
            "payer": items["payer_account"],
            "payee": items["payee_account"].where(~converts, POOL),
            "currency": items["currency"],
            "amount_minor": items["amount_minor"],
        }
    )
    across = items[converts]
    receiving = pd.DataFrame(
        {
            "transaction_id": across["transaction_id"],
            "payer": np.full(len(across), POOL, dtype=object),
            "payee": across["payee_account"],
            "currency": across["destination_currency"],
            "amount_minor": across["destination_minor"],
        }
    )
    return pd.concat([paying, receiving], ignore_index=True)


def offset_pairs(owed: pd.DataFrame) -> pd.DataFrame:
    """Each pair of accounts and currency with what is left to pay, by the side that owes more."""
    turned = (owed["payer"] > owed["payee"]).to_numpy()
    pairs = pd.DataFrame(
        {
            "first": np.where(turned, owed["payee"], owed["payer"]),
            "second": np.where(turned, owed["payer"], owed["payee"]),
            "currency": owed["currency"],
            "amount_minor": np.where(turned, -owed["amount_minor"], owed["amount_minor"]),
        }
    )
    left = pairs.groupby(["first", "second", "currency"], sort=True, as_index=False)["amount_minor"].sum()
    back = (left["amount_minor"] < 0).to_numpy()
    return pd.DataFrame(
        {
            "payer": np.where(back, left["second"], left["first"]),
            "payee": np.where(back, left["first"], left["second"]),
            "currency": left["currency"],
            "amount_minor": left["amount_minor"].abs(),
        }
    )


def _positions(owed: pd.DataFrame, received: str, paid: str) -> pd.DataFrame:
    coming = pd.DataFrame(
        {"account": owed["payee"], "currency": owed["currency"], received: owed["amount_minor"], paid: 0}
    )
    going = pd.DataFrame(
        {"account": owed["payer"], "currency": owed["currency"], received: 0, paid: owed["amount_minor"]}
    )
    both = pd.concat([coming, going], ignore_index=True)
    return both.groupby(_KEY, sort=True, as_index=False)[[received, paid]].sum()


def _counts(owed: pd.DataFrame) -> pd.DataFrame:
    sides = [
        owed[["transaction_id", side, "currency"]].rename(columns={side: "account"}) for side in ("payer", "payee")
    ]
    once = pd.concat(sides, ignore_index=True).drop_duplicates()
    return once.groupby(_KEY, sort=True, as_index=False).agg(transaction_count=("transaction_id", "size"))


def _effect(positions: pd.DataFrame, owed: pd.DataFrame) -> pd.DataFrame:
    sums = positions.groupby("currency", sort=True, as_index=False).agg(
        gross_minor=("out_minor", "sum"),
        bilateral_minor=("bilateral_out_minor", "sum"),
        multilateral_minor=("multilateral_out_minor", "sum"),
        net_sum_minor=("net_minor", "sum"),
    )
    counts = owed.groupby("currency", as_index=False).agg(transaction_count=("transaction_id", "nunique"))
    saved = 1 - sums["multilateral_minor"] / sums["gross_minor"].where(sums["gross_minor"] > 0, 1)
    return sums.assign(netted_rate=saved.astype(float)).merge(counts, on="currency", how="left", validate="1:1")
