"""Which payments cannot go one by one although all of them can go together."""

from __future__ import annotations

from collections import deque

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from atlas_lib.core.money import Int64


def find_gridlock(owed: pd.DataFrame) -> pd.DataFrame:
    """The obligations with `goes_alone`: whether it can be paid by itself, with just the cash that netting needs.

    Every account starts with its net pay-in of the currency, max(out - in, 0): enough to settle all of them at once.
    One by one, each account pays its obligations whole and in their order, as soon as it has the cash; what it is
    paid it may pay on. What is left then waits for the others and goes only together with them (gridlock). The
    outcome is the same in whatever order the accounts are served, because being paid never takes a payment away.

    Input: payer, payee, currency, amount_minor (positive), in the order of the queue; columns and order stay.
    Source: Bech and Soramaki, Gridlock Resolution in Interbank Payment Systems, Bank of Finland Discussion Paper
    9/2001 (there the queue is the same, first in first out by payer).
    """
    names = [owed["currency"] + " " + owed[side] for side in ("payer", "payee")]
    codes = pd.factorize(pd.concat(names, ignore_index=True))[0].astype(np.int64)
    payer, payee = codes[: len(owed)], codes[len(owed) :]
    amount = owed["amount_minor"].to_numpy(dtype=np.int64)
    return owed.assign(goes_alone=_paid_one_by_one(payer, payee, amount))


def _paid_one_by_one(payer: Int64, payee: Int64, amount: Int64) -> NDArray[np.bool_]:
    # A queue whose every payment decides whether the next one can go is a loop by nature, so on plain numbers.
    size = int(max(payer.max(initial=-1), payee.max(initial=-1))) + 1
    net = np.zeros(size, dtype=np.int64)
    np.add.at(net, payee, amount)
    np.subtract.at(net, payer, amount)
    cash = np.maximum(-net, 0).tolist()
    order = np.argsort(payer, kind="stable")
    edges = np.searchsorted(payer[order], np.arange(size + 1)).tolist()
    queue, following, due, goes_to = order.tolist(), edges[:-1], amount.tolist(), payee.tolist()
    paid = np.zeros(len(amount), dtype=bool)
    waiting = deque(range(size))
    while waiting:
        account = waiting.popleft()
        while following[account] < edges[account + 1] and due[queue[following[account]]] <= cash[account]:
            row = queue[following[account]]
            following[account] += 1
            cash[account] -= due[row]
            cash[goes_to[row]] += due[row]
            paid[row] = True
            waiting.append(goes_to[row])
    return paid
