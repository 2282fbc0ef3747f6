"""Bilateral and multilateral netting, and what could be set off: less moves, nobody's net position changes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from atlas_lib.batching_settlement.clearing import OBLIGATION, clear_obligations, on_cycles
from atlas_lib.batching_settlement.gridlock import find_gridlock
from atlas_lib.core.tables import declared

POOL = "NETTING-POOL"
_KEY = ["account", "currency"]


def net_due_items(settlement_items: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Net positions per account and currency over the due transactions, and how much netting saves moving.

    net = in - out. Bilateral: each pair of accounts offsets, the smaller side vanishes. Multilateral: an
    account pays or receives its net, through the pool. A transaction that converts is two obligations, payer
    to pool in the source currency and pool to payee in the destination currency; so per currency the net
    positions, the pool's included, sum to 0. Set off: what goes round in cycles and needs no cash at all, even where
    everybody waits for somebody else (gridlock). Funding, as in a multilateral settlement system: the sum of what
    accounts pay in, = multilateral; its rate is funding / gross. Gridlock: payments that with this funding cannot go
    one by one, in the order they were made, but go together.
    Input: settlement_items. Output: net_positions, netting_effect, obligation_set_off, payment_queue.
    """
    due = settlement_items[settlement_items["standing"] == "due"]
    owed = obligations(due.sort_values(["created_at", "transaction_id"], kind="stable"))
    queue = find_gridlock(owed).assign(queue_no=range(1, len(owed) + 1))
    gross = _positions(owed, "in_minor", "out_minor")
    pairs = _positions(offset_pairs(owed), "bilateral_in_minor", "bilateral_out_minor")
    positions = gross.merge(pairs, on=_KEY, how="left", validate="1:1").fillna(
        {"bilateral_in_minor": 0, "bilateral_out_minor": 0}
    )
    net = (positions["in_minor"] - positions["out_minor"]).astype("int64")
    positions = positions.merge(_counts(owed), on=_KEY, how="left", validate="1:1").assign(
        net_minor=net, multilateral_in_minor=net.clip(lower=0), multilateral_out_minor=(-net).clip(lower=0)
    )
    pairs_left = _set_off(owed)
    return {
        "net_positions": declared("net_positions").shaped(positions),
        "netting_effect": declared("netting_effect").shaped(
            _effect(positions, owed).merge(_cycles(pairs_left), on="currency").merge(_stuck(queue), on="currency")
        ),
        "obligation_set_off": declared("obligation_set_off").shaped(pairs_left),
        "payment_queue": declared("payment_queue").shaped(queue),
    }


def pool_flows(net_positions: pd.DataFrame) -> pd.DataFrame:
    """What moves after multilateral netting, as obligations: each account pays its net into the pool or gets it there."""
    ends = net_positions[["currency", "account"]]
    pays, gets = net_positions["multilateral_out_minor"], net_positions["multilateral_in_minor"]
    flows = pd.concat(
        [
            ends.rename(columns={"account": "payer"}).assign(payee=POOL, remaining_minor=pays),
            ends.rename(columns={"account": "payee"}).assign(payer=POOL, remaining_minor=gets),
        ],
        ignore_index=True,
    )
    moving = (flows["remaining_minor"] > 0) & (flows["payer"] != flows["payee"])
    return flows[moving].assign(set_off_minor=0).reset_index(drop=True)


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


def _set_off(owed: pd.DataFrame) -> pd.DataFrame:
    pairs = (
        clear_obligations(owed)
        .groupby(OBLIGATION, sort=True, as_index=False)
        .agg(owed_minor=("amount_minor", "sum"), set_off_minor=("set_off_minor", "sum"))
    )
    return pairs.assign(remaining_minor=pairs["owed_minor"] - pairs["set_off_minor"])


def _stuck(queue: pd.DataFrame) -> pd.DataFrame:
    """Per currency how many payments go only together, and their amount."""
    waits = ~queue["goes_alone"]
    return (
        queue.assign(gridlock_count=waits.astype("int64"), gridlock_minor=queue["amount_minor"].where(waits, 0))
        .groupby("currency", as_index=False)[["gridlock_count", "gridlock_minor"]]
        .sum()
    )


def _cycles(pairs: pd.DataFrame) -> pd.DataFrame:
    """Per currency what goes round, and how many accounts are part of a cycle."""
    names = pd.factorize(pd.concat([pairs["currency"] + " " + pairs[side] for side in ("payer", "payee")]))[0].astype(
        "int64"
    )
    payer, payee = names[: len(pairs)], names[len(pairs) :]
    turning = on_cycles(payer, payee)
    sums = pairs.groupby("currency", as_index=False).agg(set_off_minor=("set_off_minor", "sum"))
    counts = pairs.assign(account=payer)[turning].groupby("currency")["account"].nunique()
    return sums.assign(cycle_account_count=sums["currency"].map(counts).fillna(0).astype("int64"))


def _effect(positions: pd.DataFrame, owed: pd.DataFrame) -> pd.DataFrame:
    sums = positions.groupby("currency", sort=True, as_index=False).agg(
        gross_minor=("out_minor", "sum"),
        bilateral_minor=("bilateral_out_minor", "sum"),
        multilateral_minor=("multilateral_out_minor", "sum"),
        largest_pay_in_minor=("multilateral_out_minor", "max"),
        net_sum_minor=("net_minor", "sum"),
    )
    counts = owed.groupby("currency", as_index=False).agg(transaction_count=("transaction_id", "nunique"))
    funding = sums["multilateral_minor"] / sums["gross_minor"].where(sums["gross_minor"] > 0, 1)
    rates = {"netted_rate": (1 - funding).astype(float), "funding_rate": funding.astype(float)}
    return sums.assign(**rates).merge(counts, on="currency", how="left", validate="1:1")
