"""The payments that really move: legs of the pool, direct wires, gross payments."""

from __future__ import annotations

import numpy as np
import pandas as pd

from atlas_lib.batching_settlement.netting import POOL
from atlas_lib.batching_settlement.packing import content_id

_LEG = ["slot", "account_no"]


def make_instructions(lines: pd.DataFrame, accounts: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Instructions, and the lines with payer_instruction_id and payee_instruction_id.

    A leg of the pool pays an account's net over all netted lines of its window, whatever their batch; it
    belongs to the batch with most of its transactions (a paying leg: of the same currency). A net of zero
    needs no instruction. A wire pays all it carries; where it converts, `arriving_*` says what the payee gets.
    """
    legs, leg_ids = _legs(lines[lines["mode"] == "netted"], accounts)
    wires, wire_ids = _wires(lines[lines["mode"] != "netted"], accounts)
    made = [part for part in (legs, wires) if len(part)]
    instructions = pd.concat(made, ignore_index=True) if made else legs
    own = lines["wire"].map(wire_ids)
    linked = lines.assign(
        payer_instruction_id=own.where(own.notna(), _looked_up(lines, "payer", leg_ids)),
        payee_instruction_id=own.where(own.notna(), _looked_up(lines, "payee", leg_ids)),
    )
    return instructions, linked


def _legs(lines: pd.DataFrame, accounts: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    common = ["transaction_id", "slot", "window", "settlement_date", "batch_id", "counterparty_id", "currency"]
    going = lines[common].assign(account_no=lines["payer"], moved=-lines["amount_minor"])
    coming = lines[common].assign(account_no=lines["payee"], moved=lines["arriving_minor"])
    sides = pd.concat([going, coming], ignore_index=True)
    sides = sides.assign(leg_currency=accounts["currency"].to_numpy()[sides["account_no"]])
    sides = sides.assign(is_own_currency=sides["leg_currency"] == sides["currency"])
    net = sides.groupby(_LEG, sort=True, as_index=False).agg(
        net_minor=("moved", "sum"),
        transaction_count=("transaction_id", "size"),
        window=("window", "first"),
        settlement_date=("settlement_date", "first"),
        transactions=("transaction_id", _joined),
    )
    net = net[net["net_minor"] != 0]
    legs = net.merge(_most_of(sides, "batch_id", ["is_own_currency"]), on=_LEG, how="left", validate="1:1").merge(
        _most_of(sides, "counterparty_id", []), on=_LEG, how="left", validate="1:1"
    )
    pays = (legs["net_minor"] < 0).to_numpy()
    name = accounts["account"].to_numpy()[legs["account_no"]]
    currency = accounts["currency"].to_numpy()[legs["account_no"]]
    amount = legs["net_minor"].abs()
    legs = legs.assign(
        payer_account=np.where(pays, name, POOL),
        payee_account=np.where(pays, POOL, name),
        amount_minor=amount,
        currency=currency,
        arriving_minor=amount,
        arriving_currency=currency,
    )
    legs = legs.assign(instruction_id=_instruction_ids(legs))
    return legs, legs.set_index(_LEG)["instruction_id"]


def _wires(lines: pd.DataFrame, accounts: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    wires = lines.groupby("wire", sort=True, as_index=False).agg(
        transaction_count=("transaction_id", "size"),
        transactions=("transaction_id", _joined),
        amount_minor=("amount_minor", "sum"),
        arriving_minor=("arriving_minor", "sum"),
        **{c: (c, "first") for c in _OF_WIRE},
    )
    names = accounts["account"].to_numpy()
    wires = wires.assign(payer_account=names[wires["payer"]], payee_account=names[wires["payee"]])
    wires = wires.assign(instruction_id=_instruction_ids(wires))
    return wires, wires.set_index("wire")["instruction_id"]


_OF_WIRE = "batch_id window settlement_date counterparty_id currency arriving_currency payer payee".split()


def _most_of(sides: pd.DataFrame, column: str, first_by: list[str]) -> pd.DataFrame:
    """Per leg the value of the column that most of its transactions have; ties in order of name."""
    counts = sides.groupby([*_LEG, *first_by, column], sort=True, as_index=False).agg(n=("transaction_id", "size"))
    best = counts.sort_values(
        [*_LEG, *first_by, "n", column], ascending=[True, True, *[False] * (len(first_by) + 1), True], kind="stable"
    )
    return best.drop_duplicates(_LEG)[[*_LEG, column]]


def _instruction_ids(payments: pd.DataFrame) -> list[str]:
    columns = [
        "settlement_date",
        "window",
        "payer_account",
        "payee_account",
        "currency",
        "amount_minor",
        "transactions",
    ]
    return [content_id("I", *(str(v) for v in row)) for row in payments[columns].itertuples(index=False)]


def _joined(ids: pd.Series) -> str:
    return " ".join(sorted(ids))


def _looked_up(lines: pd.DataFrame, side: str, leg_ids: pd.Series) -> pd.Series:
    keys = pd.MultiIndex.from_arrays([lines["slot"], lines[side]])
    return pd.Series(leg_ids.reindex(keys).to_numpy(), index=lines.index)
