"""The rolling reserve, day by day: releases, then holds, then draws, for all accounts of a day at once.

    hold    = min(wanted, max(cap - balance, 0))
    release = what is due, oldest first, as long as the balance stays at or above the floor
    draw    = a claim takes its own tranche (of the day of the sale it is about) first, then the oldest, never below zero

so that per tranche and account, on every day, balance = holds - releases - draws. A tranche that is released by hand
waits when it is due; so does what the floor keeps back.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from atlas_lib.core import calendars

Int64 = NDArray[np.int64]
_ACCOUNT = ["merchant_id", "currency"]
_NO_DAY, _DAYS = pd.Timestamp("1900-01-01"), 1 << 20  # days from 1970 on fit below, for thousands of years
_NONE = np.zeros(0, np.int64)
_KINDS = ("draw", "hold", "release")  # by their first letters, as the table of movements is sorted
_DRAW, _HOLD, _RELEASE = range(3)
_STATUSES = ("held", "due", "released", "drawn")


def roll_reserve(holds: pd.DataFrame, claims: pd.DataFrame, as_of: date) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tranches of the rolling reserve with what was released and drawn, and every movement, both by account and day.

    holds: merchant_id, currency, day, base_minor, wanted_minor, release_date, release_rule, cap_minor (empty: none),
    floor_minor; one row per account and day. claims: merchant_id, currency, day, own_day (may be empty), claims_minor.
    """
    wanted = holds[holds["wanted_minor"] > 0].reset_index(drop=True)
    account = _account_numbers(wanted)
    if (np.diff(account * _DAYS + _day_numbers(wanted["day"])) <= 0).any() or not _are_in_order(wanted):
        wanted = wanted.sort_values([*_ACCOUNT, "day"], ignore_index=True)
        account = _account_numbers(wanted)
    book = _Book(wanted, account)
    book.load_claims(claims, wanted)
    for day in book.days_until(int(np.datetime64(as_of, "D").astype(np.int64))):
        book.release(day)
        book.hold(day)
        book.draw(day)
    tranches = _tranches(wanted, book, as_of)
    movements = book.movements(tranches)
    is_held = tranches["held_minor"] > 0
    return tranches if is_held.all() else tranches[is_held].reset_index(drop=True), movements


class _Book:
    """Balances of all tranches, one position each, ordered by account and day."""

    def __init__(self, wanted: pd.DataFrame, account: Int64) -> None:
        self.account, self.accounts = account, int(account.max(initial=-1)) + 1
        self.day, self.release_day = _day_numbers(wanted["day"]), _day_numbers(wanted["release_date"])
        self.wanted = wanted["wanted_minor"].to_numpy("int64")
        self.cap = wanted["cap_minor"].astype("Int64").fillna(np.iinfo("int64").max).to_numpy("int64")
        self.floor_of = wanted["floor_minor"].to_numpy("int64")
        self.is_manual = (wanted["release_rule"] == "manual").to_numpy()
        self.held, self.left = np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.int64)
        self.balance, self.floor = np.zeros(self.accounts, np.int64), np.zeros(self.accounts, np.int64)
        first = np.searchsorted(account, np.arange(self.accounts))
        self.low, self.high = first.copy(), first.copy()  # tranches from low on may be open; those before high are held
        self.by_day, self.by_release = np.argsort(self.day, kind="stable"), np.argsort(self.release_day, kind="stable")
        self.kept = np.zeros(self.accounts, bool)  # accounts where the floor keeps back what is due
        self._moves: list[tuple[Int64, Int64, int, int]] = []

    def load_claims(self, claims: pd.DataFrame, wanted: pd.DataFrame) -> None:
        """Claims by day, each with the position of its account and of its own tranche (-1: none)."""
        accounts = pd.MultiIndex.from_frame(wanted[_ACCOUNT].drop_duplicates())
        account = accounts.get_indexer(pd.MultiIndex.from_frame(claims[_ACCOUNT])).astype(np.int64)
        own_day = _day_numbers(claims["own_day"].fillna(_NO_DAY))
        keys, wanted_key = self.account * _DAYS + self.day, account * _DAYS + own_day
        at = np.minimum(np.searchsorted(keys, wanted_key), max(len(keys) - 1, 0))
        own = np.where(keys[at] == wanted_key, at, -1) if len(keys) else np.full(len(claims), -1)
        day, amount = _day_numbers(claims["day"]), claims["claims_minor"].to_numpy("int64")
        order = np.lexsort((own_day, account, day))
        order = order[(account[order] >= 0) & (amount[order] > 0)]
        self.claim_day, self.claim_account = day[order], account[order]
        self.claim_own, self.claim_amount = own[order], amount[order]

    def days_until(self, last: int) -> list[int]:
        """The days on which something happens, and with a floor every day from the first (it may let go on any)."""
        days = np.unique(np.concatenate([self.day, self.release_day, self.claim_day]))
        if days.size and (self.floor_of > 0).any():
            days = np.arange(days[0], last + 1)
        return [int(d) for d in days[days <= last]]

    def release(self, day: int) -> None:
        due = _on_day(self.release_day, self.by_release, day)
        due = due[~self.is_manual[due] & (self.left[due] > 0)]
        has_floor = self.floor[self.account[due]] > 0
        parts = [self._take(due[~has_floor], self.left[due[~has_floor]])]
        self.kept[self.account[due[has_floor]]] = True
        waiting = np.flatnonzero(self.kept)
        if waiting.size and calendars.is_business_day(np.datetime64(day, "D"))[()]:
            free = np.maximum(self.balance[waiting] - self.floor[waiting], 0)
            parts.append(self._take_oldest(waiting, free, day))
        self._note(parts, day, _RELEASE)

    def hold(self, day: int) -> None:
        new = _on_day(self.day, self.by_day, day)
        account = self.account[new]
        amount = np.minimum(self.wanted[new], np.maximum(self.cap[new] - self.balance[account], 0))
        self.held[new] = self.left[new] = amount
        self.balance[account] += amount
        self.floor[account], self.high[account] = self.floor_of[new], new + 1

    def draw(self, day: int) -> None:
        begin, end = np.searchsorted(self.claim_day, [day, day + 1])
        account, own, amount = (c[begin:end].copy() for c in (self.claim_account, self.claim_own, self.claim_amount))
        has_own = np.flatnonzero((own >= 0) & (own < self.high[account]))
        taken = np.minimum(amount[has_own], self.left[own[has_own]])
        parts = [self._take(own[has_own], taken)]
        amount[has_own] -= taken
        rest = np.zeros(self.accounts, np.int64)
        np.add.at(rest, account, amount)
        short = np.flatnonzero((rest > 0) & (self.balance > 0)) if amount.any() else np.zeros(0, np.int64)
        parts.append(self._take_oldest(short, rest[short]))
        self._note(parts, day, _DRAW)

    def movements(self, tranches: pd.DataFrame) -> pd.DataFrame:
        held = np.flatnonzero(self.held > 0)
        count = [len(held), *(len(m[0]) for m in self._moves)]
        at = np.concatenate([held, *(m[0] for m in self._moves)])
        amount = np.concatenate([self.held[held], *(m[1] for m in self._moves)])
        day = np.concatenate([self.day[held], np.repeat(np.array([m[2] for m in self._moves], np.int64), count[1:])])
        kind = np.repeat(np.array([_HOLD, *(m[3] for m in self._moves)], np.int64), count)
        order = np.argsort((at * _DAYS + day) * len(_KINDS) + kind, kind="stable")
        of_tranche = tranches[["tranche_id", *_ACCOUNT]].take(at[order]).reset_index(drop=True)
        return of_tranche.assign(
            source=_named(("sales",), np.zeros(len(order), np.int64)),
            movement_date=day[order].astype("datetime64[D]").astype("datetime64[us]"),
            movement=_named(_KINDS, kind[order]),
            amount_minor=amount[order],
        )

    def totals(self, kind: int) -> Int64:
        total = np.zeros(len(self.held), np.int64)
        for at, amount, _, move in self._moves:
            if move == kind:
                total[at] += amount
        return total

    def _take(self, at: Int64, amount: Int64) -> tuple[Int64, Int64]:
        """Take amounts from tranches, each at most once; returns what was taken where."""
        real = amount > 0
        at, amount = at[real], amount[real]
        self.left[at] -= amount
        np.subtract.at(self.balance, self.account[at], amount)
        return at, amount

    def _take_oldest(self, accounts: Int64, amounts: Int64, due_on: int | None = None) -> tuple[Int64, Int64]:
        """Take an amount from each account's open tranches, oldest first; with a day only from those due by then."""
        if not accounts.size:
            return _NONE, _NONE
        begin, count = self.low[accounts], self.high[accounts] - self.low[accounts]
        starts = np.r_[0, np.cumsum(count)[:-1]]
        at = np.repeat(begin - starts, count) + np.arange(int(count.sum()))
        open_units = self.left[at]
        self._advance(accounts, at, open_units, count)
        if due_on is not None:
            open_units = np.where((self.release_day[at] <= due_on) & ~self.is_manual[at], open_units, 0)
        reached = np.cumsum(open_units)
        base = np.repeat(np.r_[0, reached][starts], count)
        return self._take(at, np.clip(np.repeat(amounts, count) - (reached - open_units - base), 0, open_units))

    def _note(self, parts: list[tuple[Int64, Int64]], day: int, kind: int) -> None:
        """One movement per tranche, day and kind, also when it was taken from twice."""
        at, amount = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
        if at.size:
            tranche, place = np.unique(at, return_inverse=True)
            total = np.zeros(len(tranche), np.int64)
            np.add.at(total, place, amount)
            self._moves.append((tranche, total, day, kind))

    def _advance(self, accounts: Int64, at: Int64, open_units: Int64, count: Int64) -> None:
        """Leave out from now on what is empty at the front of each account."""
        is_open = np.flatnonzero(open_units > 0)
        owner = np.repeat(np.arange(len(accounts)), count)[is_open]
        seen, first = np.unique(owner, return_index=True)
        self.low[accounts[seen]] = at[is_open[first]]


def _on_day(days: Int64, order: Int64, day: int) -> Int64:
    begin, end = np.searchsorted(days, [day, day + 1], sorter=order)
    return order[begin:end]


def _account_numbers(wanted: pd.DataFrame) -> Int64:
    """0, 1, 2 ... by account, where the rows of an account are together."""
    is_new = np.zeros(len(wanted), bool)
    for name in _ACCOUNT:
        texts = wanted[name].array
        is_new[1:] |= np.asarray(texts[1:] != texts[:-1], dtype=bool)
    return np.cumsum(is_new).astype(np.int64)


def _are_in_order(wanted: pd.DataFrame) -> bool:
    """Whether accounts ascend; one look at neighbours."""
    (merchant, currency) = (wanted[name].array for name in _ACCOUNT)
    is_less = np.asarray(merchant[:-1] < merchant[1:], dtype=bool)
    is_same = np.asarray(merchant[:-1] == merchant[1:], dtype=bool)
    return bool((is_less | (is_same & np.asarray(currency[:-1] <= currency[1:], dtype=bool))).all())


def _named(names: Sequence[str], numbers: Int64) -> pd.Series:
    """The name of each number, without a Python text per row."""
    return pd.Series(pd.array(list(names), dtype="str").take(numbers))


def _tranches(wanted: pd.DataFrame, book: _Book, as_of: date) -> pd.DataFrame:
    days, place = np.unique(book.day, return_inverse=True)
    day = _named([str(d) for d in days.astype("datetime64[D]")] or ("",), place.astype(np.int64))
    released, drawn = book.totals(_RELEASE), book.totals(_DRAW)
    is_due = (wanted["release_date"] <= pd.Timestamp(as_of)).to_numpy()
    status = np.select([is_due & (book.left > 0), book.left > 0, released > 0], [1, 0, 2], 3).astype(np.int64)
    return wanted.assign(
        tranche_id="sales:" + wanted["merchant_id"] + ":" + wanted["currency"] + ":" + day,
        source=_named(("sales",), np.zeros(len(wanted), np.int64)),
        contract_id=pd.Series(pd.array([None], dtype="str").take(np.zeros(len(wanted), np.int64))),
        held_on=wanted["day"],
        held_minor=book.held,
        released_minor=released,
        drawn_minor=drawn,
        balance_minor=book.left,
        status=_named(_STATUSES, status),
    )


def _day_numbers(days: pd.Series) -> Int64:
    return days.to_numpy("datetime64[D]").astype(np.int64)
