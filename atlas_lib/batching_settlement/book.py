"""The transactions to be planned as arrays, the plan over them, and the two plans that need no solver."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from atlas_lib.batching_settlement.items import SLOTS
from atlas_lib.core.money import Int64

NETTED, DIRECT, GROSS = 0, 1, 2
MODES = ("netted", "direct", "gross")
TYPES = ("SALE", "REFUND", "CHARGEBACK", "FEE", "PAYOUT")
OWING = (0, 1, 2)  # of them, those that a counterparty owes for or is owed for
DEFERRED = -1


@dataclass(frozen=True)
class Book:
    """Due items in order of transaction_id, names replaced by numbers; an account is (name, currency).

    A bundle is what one direct wire can carry: same payer, payee and counterparty.
    """

    items: pd.DataFrame
    accounts: pd.DataFrame  # account, currency
    currencies: tuple[str, ...]
    counterparties: tuple[str, ...]
    payer: Int64
    payee: Int64
    source: Int64
    target: Int64
    cash_currency: Int64
    route: Int64
    bundle: Int64
    kind: Int64  # index into TYPES
    _columns: dict[str, Int64] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.items)

    def column(self, name: str) -> Int64:
        """A whole-number column of the items; kept, because it is asked for many times."""
        if name not in self._columns:
            self._columns[name] = self.items[name].to_numpy(dtype=np.int64)
        return self._columns[name]

    @property
    def is_gross(self) -> NDArray[np.bool_]:
        return self.column("is_gross").astype(bool)


@dataclass(frozen=True)
class Plan:
    """Slot (index into SLOTS, -1 deferred) and mode of every item of a book."""

    slot: Int64
    mode: Int64


def read_book(items: pd.DataFrame) -> Book:
    """The due rows of settlement_items; any order of the input gives the same book."""
    due = items[items["standing"] == "due"].sort_values("transaction_id", kind="stable", ignore_index=True)
    names = pd.concat([due["payer_account"], due["payee_account"]], ignore_index=True)
    held_in = pd.concat([due["currency"], due["destination_currency"]], ignore_index=True)
    account, accounts = _numbered(pd.DataFrame({"account": names, "currency": held_in}))
    currencies = tuple(sorted({*held_in, *due["cash_currency"]}))
    counterparties = tuple(sorted(set(due["counterparty_id"])))
    payer, payee = account[: len(due)], account[len(due) :]
    route = _coded(due["counterparty_id"], counterparties)
    bundle, _ = _numbered(pd.DataFrame({"payer": payer, "payee": payee, "route": route}))
    return Book(
        items=due,
        accounts=accounts,
        currencies=currencies,
        counterparties=counterparties,
        payer=payer,
        payee=payee,
        source=_coded(due["currency"], currencies),
        target=_coded(due["destination_currency"], currencies),
        cash_currency=_coded(due["cash_currency"], currencies),
        route=route,
        bundle=bundle,
        kind=_coded(due["type"], TYPES),
    )


def requested_slots(book: Book) -> Int64:
    """The latest slot allowed: what the payer asked for."""
    return book.column("latest_slot")


def earliest_slots(book: Book) -> Int64:
    return book.column("earliest_slot")


def grouped_plan(book: Book, slot: Int64) -> Plan:
    """Simple grouping: per window, payer, payee and counterparty one wire, nothing netted."""
    return Plan(slot, np.where(book.is_gross, GROSS, DIRECT))


def pooled_plan(book: Book, slot: Int64) -> Plan:
    """Hub netting: everything but RTGS through the pool."""
    return Plan(slot, np.where(book.is_gross, GROSS, NETTED))


def single_plan(book: Book, slot: Int64) -> Plan:
    """Gross: every transaction its own wire and its own conversion."""
    return Plan(slot, np.full(len(book), GROSS, dtype=np.int64))


def slot_names(slot: Int64, is_gross: NDArray[np.bool_]) -> NDArray[np.object_]:
    """Window as it is called: a gross payment is RTGS on whatever day it is made."""
    names = np.array(SLOTS, dtype=object)[np.maximum(slot, 0)]
    return np.where(is_gross, "RTGS", names)


def _coded(column: pd.Series, names: tuple[str, ...]) -> Int64:
    return np.asarray(pd.Categorical(column, categories=list(names)).codes, dtype=np.int64)


def _numbered(keys: pd.DataFrame) -> tuple[Int64, pd.DataFrame]:
    """Number the distinct rows in sorted order."""
    grouping = keys.groupby(list(keys.columns), sort=True)
    distinct = keys.drop_duplicates().sort_values(list(keys.columns), kind="stable", ignore_index=True)
    return np.asarray(grouping.ngroup(), dtype=np.int64), distinct
