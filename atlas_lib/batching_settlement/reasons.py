"""Why a payment is not in the plan: the limit that is in its way, and what it would have needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from atlas_lib.batching_settlement.book import DEFERRED, Book, read_book
from atlas_lib.batching_settlement.items import SLOTS
from atlas_lib.batching_settlement.limits import Limits, cash_left, debit_left, place, taken_room
from atlas_lib.core.money import Int64, format_minor


def why_deferred(book: Book, slot: Int64, limits: Limits) -> pd.DataFrame:
    """Reason and detail of every deferred item: the limit that its latest window has no room under."""
    left = np.flatnonzero(slot == DEFERRED)
    cash, debit = cash_left(book, slot, limits), debit_left(book, slot, limits)
    columns = [book.column(c)[left].tolist() for c in ("latest_slot", "cash_out_minor")]
    takes = taken_room(limits.debits(book), left)
    reasons = []
    for i, latest, needed, taken in zip(left.tolist(), *columns, takes, strict=True):
        currency, route = book.currencies[book.cash_currency[i]], book.counterparties[book.route[i]]
        room = int(cash[book.cash_currency[i], latest:].min())
        full = [(limit, owed) for limit, owed in taken if owed > max(int(debit[limit, latest]), 0)]
        if needed > max(room, 0) or not taken:
            needs, has = format_minor(needed, currency), format_minor(room, currency)
            reasons.append(("LIQUIDITY_SHORTFALL", f"{needs} {currency} needed, {has} left in {SLOTS[latest]}"))
        else:
            told = [_told(limits, book, limit, owed, int(debit[limit, latest])) for limit, owed in full or taken[:1]]
            detail = f"{route} would owe {' and '.join(told)} in {SLOTS[latest]}"
            reasons.append(("COUNTERPARTY_LIMIT", detail))
    return pd.DataFrame(reasons, columns=["reason", "detail"], index=left)


def tell_alternates(
    why: pd.DataFrame, book: Book, slot: Int64, alternates: Mapping[str, str], limits_of: Callable[[Book], Limits]
) -> pd.DataFrame:
    """The same, with what the alternate route could do for payments that their counterparty's limit keeps back.

    All of them are tried there at once, first in, first out, beside the plan as it is. They stay where they are: a
    payment changes its counterparty by itself only where that is unavailable; for a limit it is a person's decision.
    """
    rows = why.index[why["reason"] == "COUNTERPARTY_LIMIT"]
    if not len(rows):
        return why
    names = pd.Series([alternates.get(n, "") for n in book.items.loc[rows, "counterparty_id"]], rows, dtype="str")
    asked = names[names != ""]
    route = book.items["counterparty_id"].copy()
    route.loc[asked.index] = asked
    other = read_book(book.items.assign(counterparty_id=route))
    taken = pd.Series(place(other, slot, limits_of(other))).loc[rows]
    told = pd.Series("; it has no alternate that is available", index=rows)
    told.update("; its alternate " + asked + " could not take it either")
    fits = asked[taken.loc[asked.index] != DEFERRED]
    told.update("; its alternate " + fits + " has room in " + taken.loc[fits.index].map(dict(enumerate(SLOTS))))
    return why.assign(detail=why["detail"].add(told.reindex(why.index, fill_value="")))


def _told(limits: Limits, book: Book, limit: int, owed: int, room: int) -> str:
    name, currency = limits.unit_of(limit, book)
    owes, has = format_minor(owed, currency), format_minor(room, currency)
    return f"{owes} {currency} more, {has} left under its {name} limit"
