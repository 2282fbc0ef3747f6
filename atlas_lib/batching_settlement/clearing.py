"""Obligation clearing: the largest amount that can be set off so that nobody's net position changes.

A set-off is a circulation in the network of obligations: what leaves a party's payables leaves its receivables too.
The largest one is a linear programme on a network, whose best corner is whole numbers; its dual proves it:
every price of the parties gives an upper bound, sum of amount x max(0, 1 + price of payee - price of payer).
Source: Fleischman, Dini and Littera, Liquidity-Saving through Obligation-Clearing and Mutual Credit, J. Risk
Financial Manag. 13(12), 2020 (the set-off there is the least cost flow of the net positions).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from atlas_lib.core.errors import AtlasError
from atlas_lib.core.money import Int64

_LARGEST_EXACT = 2**53  # a sum of whole numbers below is exact in the solver's floating point
OBLIGATION = ["currency", "payer", "payee"]


def clear_obligations(owed: pd.DataFrame) -> pd.DataFrame:
    """The obligations with `set_off_minor`, together the most that keeps every party's net position.

    0 <= set_off <= amount; per party and currency, set off as payer = set off as payee. Within a pair the rows
    are set off in their order. Input: payer, payee, currency, amount_minor (positive); columns and order stay.
    Raises AtlasError where the solver answers anything but a proven optimum.
    """
    pairs = owed.groupby(OBLIGATION, sort=True, as_index=False)["amount_minor"].sum()
    found = np.zeros(len(pairs), dtype=np.int64)
    for _, rows in pairs.groupby("currency", sort=True).indices.items():
        names = pd.concat([pairs["payer"].iloc[rows], pairs["payee"].iloc[rows]])
        codes = pd.factorize(names, sort=True)[0].astype(np.int64)
        amount = pairs["amount_minor"].to_numpy(dtype=np.int64)[rows]
        found[rows] = largest_circulation(codes[: len(rows)], codes[len(rows) :], amount)
    key = owed[OBLIGATION].merge(pairs.assign(found=found), on=OBLIGATION, how="left", validate="m:1")
    before = owed.groupby(OBLIGATION, sort=False)["amount_minor"].cumsum() - owed["amount_minor"]
    left = key["found"].to_numpy(dtype=np.int64) - before.to_numpy(dtype=np.int64)
    return owed.assign(set_off_minor=np.clip(left, 0, owed["amount_minor"].to_numpy(dtype=np.int64)))


def largest_circulation(payer: Int64, payee: Int64, amount: Int64) -> Int64:
    """Whole flow of each edge, in all as large as can be, with as much into every node as out of it."""
    flow = np.where(payer == payee, amount, 0)
    on_cycle = on_cycles(payer, payee) & (payer != payee)
    if on_cycle.any():
        nodes = np.unique(np.concatenate([payer[on_cycle], payee[on_cycle]]))
        ends = np.searchsorted(nodes, payer[on_cycle]), np.searchsorted(nodes, payee[on_cycle])
        flow[on_cycle] = _solved(*ends, amount[on_cycle], len(nodes))
    return flow


def on_cycles(payer: Int64, payee: Int64) -> NDArray[np.bool_]:
    """Debts within a strongly connected part, where everyone owes everyone in the end: only they can go round."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(payer):
        return np.zeros(0, dtype=bool)
    size = int(max(payer.max(), payee.max())) + 1
    graph = coo_array((np.ones(len(payer)), (payer, payee)), shape=(size, size))
    label = connected_components(graph, directed=True, connection="strong")[1]
    return np.asarray(label[payer] == label[payee])


def _solved(payer: Int64, payee: Int64, amount: Int64, size: int) -> Int64:
    if int(amount.sum()) >= _LARGEST_EXACT:
        raise AtlasError(
            "The obligations are too large to be cleared exactly",
            expected=f"a sum below {_LARGEST_EXACT:,} minor units", found=f"{int(amount.sum()):,}",
            remedy="clear them in parts",
        )  # fmt: skip
    solver = _highs(payer, payee, amount, size)
    solver.run()
    status = solver.modelStatusToString(solver.getModelStatus())
    answer = solver.getSolution()
    flow = np.rint(answer.col_value).astype(np.int64)
    price = np.rint(answer.row_dual).astype(np.int64)
    fault = f"solver says {status}" if status != "Optimal" else _fault(payer, payee, amount, flow, price)
    if fault:
        raise AtlasError("The largest set-off is not proven", expected="a proven optimum", found=fault)
    return np.asarray(flow)


def _fault(payer: Int64, payee: Int64, amount: Int64, flow: Int64, price: Int64) -> str:
    """What is wrong with a circulation, in whole numbers: limits, balance of every node, the dual bound."""
    balance = np.zeros(len(price), dtype=np.int64)
    np.add.at(balance, payer, flow)
    np.subtract.at(balance, payee, flow)
    if (flow < 0).any() or (flow > amount).any() or balance.any():
        return "a flow that breaks an amount or a net position"
    bound = int((amount * np.maximum(1 + price[payer] - price[payee], 0)).sum())
    return "" if bound == int(flow.sum()) else f"{int(flow.sum()):,} set off, at most {bound:,} possible"


def _highs(payer: Int64, payee: Int64, amount: Int64, size: int) -> Any:
    """The network as arrays; without presolve, which takes fifty times as long on it."""
    import highspy

    count, programme = len(amount), highspy.HighsLp()
    programme.num_col_, programme.num_row_ = count, size
    programme.col_cost_ = np.full(count, -1.0)
    programme.col_lower_, programme.col_upper_ = np.zeros(count), amount.astype(float)
    programme.row_lower_ = programme.row_upper_ = np.zeros(size)
    matrix = programme.a_matrix_
    matrix.format_ = highspy.MatrixFormat.kColwise
    matrix.start_ = np.arange(0, 2 * count + 1, 2)
    matrix.index_ = np.column_stack([payer, payee]).ravel()
    matrix.value_ = np.tile([1.0, -1.0], count)
    solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]
    for option, value in (("output_flag", False), ("threads", 1), ("presolve", "off"), ("random_seed", 0)):
        solver.setOptionValue(option, value)
    solver.passModel(programme)
    return solver
