"""A cost that no plan can undercut, proven from prices alone, whoever found them.

Weak duality: put a price on every condition that ties payments together (currencies of the pool balance, an open
leg serves all its payments, a wire its bundle, a limit holds). Then each payment takes its cheapest way by itself,
and the sum is a lower bound of every plan, for any prices whatever; good prices make it a high one.

bound = legs of the backbone + sum over pieces of min(pool, direct, gross, unsettled) - sum of overpaid legs and wires
        - sum limit x price
pool = value x (price of source - price of target) + leg prices;  direct = own conversion + wire price;
either one + cash out x price of cash + net debit x price of the limit in its window, for the limit in total and the one
in its currency. A limit that has no price is left out of the bound, which stays valid and may be lower for it.

Currency prices are first brought within the spreads, so that no conversion can earn money.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from atlas_lib.batching_settlement.backbone import Backbone
from atlas_lib.batching_settlement.costs import MICRO, Prices
from atlas_lib.batching_settlement.items import SLOTS
from atlas_lib.batching_settlement.limits import Limits
from atlas_lib.batching_settlement.pieces import Pieces
from atlas_lib.core.money import Int64

Floats = NDArray[np.float64]
_SAFE = 1e-10  # of all terms added: far more than floating point can lose
_SHARING_ROUNDS = 3
_ROUND_UP = 1e-9  # units of the largest payment: a hair less than a whole shortfall is not rounded up


@dataclass(frozen=True)
class Multipliers:
    """The prices, in minor units of EUR.

    `currency` (slot, currency) per EUR minor unit; `leg` (piece, slot, side) and `wire` (piece) of the pieces in
    `core`; `cash` (currency, slot) per minor unit, summed over later windows; `debit` (limit on net debit, slot);
    `cover` (currency) of the cover row.
    """

    core: Int64
    currency: Floats
    leg: Floats
    wire: Floats
    cash: Floats
    debit: Floats
    cover: Floats


@dataclass(frozen=True)
class Cover:
    """At least `least` (currency) of the payments under a cash limit stay unsettled, each counted as its `weight`.

    Over all windows the payments out exceed cash and payments in by a shortfall S, so those left unsettled make up
    S. Mixed-integer rounding of that, with the largest payment g as unit: sum min(1, amount / g / frac(S / g)) >=
    ceil(S / g). Source: Nemhauser and Wolsey, Integer and Combinatorial Optimization, 1988, section II.1.7.
    """

    weight: Floats  # piece
    least: Floats  # currency


def cover_shortfalls(pieces: Pieces, limits: Limits) -> Cover:
    left = np.zeros(len(limits.cash), dtype=np.int64)
    np.add.at(left, pieces.cash_currency, pieces.cash_out_minor)
    cash = limits.cash[:, -1]  # over all windows
    is_short = limits.is_cash_limited & (left > cash)
    largest = np.zeros(len(left), dtype=np.int64)
    np.maximum.at(largest, pieces.cash_currency, np.where(pieces.is_tight, pieces.cash_out_minor, 0))
    units = np.where(is_short, (left - cash) / np.maximum(largest, 1), 0.0)
    least = np.ceil(units - _ROUND_UP)
    part = np.maximum(units - least + 1, _ROUND_UP)
    amount = np.maximum(pieces.cash_out_minor, 0) / np.maximum(largest, 1)[pieces.cash_currency]
    weight = np.minimum(1.0, amount / part[pieces.cash_currency])
    return Cover(np.where(pieces.is_tight & is_short[pieces.cash_currency], weight, 0.0), least)


@dataclass(frozen=True)
class Fares:
    """What legs and wires cost at least: the single price where only one transaction could ever use it."""

    leg: Floats  # account, slot
    wire: Floats  # bundle


def least_fares(pieces: Pieces, accounts: int, prices: Prices) -> Fares:
    users = np.zeros((accounts, len(SLOTS)))
    for slot in range(len(SLOTS)):
        here = pieces.can_take[:, slot] & ~pieces.is_gross
        for side in (pieces.payer, pieces.payee):
            users[:, slot] += np.bincount(side[here], weights=pieces.count[here], minlength=accounts)
    in_bundle = np.bincount(pieces.bundle, weights=pieces.count)
    is_single = prices.batch_limit == 1
    return Fares(
        np.where(users == 1, prices.single_minor, prices.shared_minor).astype(float),
        np.where((in_bundle == 1) | is_single, prices.single_minor, prices.shared_minor).astype(float),
    )


def prove_bound(
    pieces: Pieces,
    backbone: Backbone,
    fares: Fares,
    cover: Cover,
    limits: Limits,
    prices: Prices,
    found: Multipliers,
) -> tuple[int, Floats]:
    """The bound in millionths of a minor unit, and per piece what it lost for want of a price on its legs."""
    rows, found = _that_matter(pieces, backbone, found)
    missed = np.zeros(len(pieces))
    free, counted = backbone.is_free[rows], backbone.is_counted[rows]
    of_rows = pieces.only(rows), replace(backbone, is_free=free, is_counted=counted), fares
    bound, missed[rows] = _summed_up(*of_rows, replace(cover, weight=cover.weight[rows]), limits, prices, found)
    return bound, missed


def _summed_up(
    pieces: Pieces,
    backbone: Backbone,
    fares: Fares,
    cover: Cover,
    limits: Limits,
    prices: Prices,
    found: Multipliers,
) -> tuple[int, Floats]:
    currency = (found.currency[:, None, :] + prices.cheapest / MICRO).min(axis=2)
    outside = np.ones(len(pieces), dtype=bool)
    outside[found.core] = False
    moved = _limit_prices(pieces, found)
    own = pieces.value_minor * prices.cheapest[pieces.source, pieces.target] / MICRO
    wire, overpaid_wires = _wire_prices(pieces, fares, found, outside)
    apart = np.where(pieces.can_take, moved, np.inf).min(axis=1) + np.where(
        pieces.is_gross, pieces.count * float(prices.single_minor), wire
    ) + own  # fmt: skip
    unsettled = _unsettled(pieces, backbone, fares, prices) - found.cover[pieces.cash_currency] * cover.weight
    apart = np.minimum(apart, unsettled)
    pool = pieces.value_minor[:, None] * (currency[:, pieces.source] - currency[:, pieces.target]).T + moved
    pool[found.core] += found.leg.sum(axis=2)
    pool[~pieces.can_take | pieces.is_gross[:, None]] = np.inf
    unpriced = outside[:, None] & pieces.can_take & ~backbone.is_free & ~pieces.is_gross[:, None]
    priced = np.minimum(apart, np.where(unpriced, np.inf, pool).min(axis=1))
    gain = np.where(unpriced, priced[:, None] - pool, 0.0).clip(min=0)
    load = _loads(pieces, found, len(fares.leg))
    missed = _shared(pieces, backbone, fares, load, gain).max(axis=1)
    terms = [
        (priced - missed),
        fares.leg[backbone.is_open],
        np.minimum(fares.leg - load, 0)[~backbone.is_open],
        overpaid_wires,
        -_limit_worth(limits, found),
        found.cover * cover.least,
    ]
    size = sum(float(np.abs(t).sum()) for t in terms)
    return max(int((sum(float(t.sum()) for t in terms) - _SAFE * size) * MICRO), 0), missed


def _that_matter(pieces: Pieces, backbone: Backbone, found: Multipliers) -> tuple[Int64, Multipliers]:
    """All pieces but those that may go through open legs at no cost at all: each would add 0 to the bound.

    Nothing to convert, no price of its own, no limit that has a price: the pool costs 0, nothing else less.
    """
    has_price = np.asarray((found.cash != 0).any(axis=1)), np.asarray((found.debit != 0).any(axis=1))
    is_priced = has_price[0][pieces.cash_currency] & (pieces.cash_out_minor != 0)
    for limit, owed in pieces.debits:
        is_priced |= has_price[1][limit] & (owed != 0)
    adds = ~backbone.is_free.any(axis=1) | pieces.converts | pieces.is_tight | pieces.is_gross | is_priced
    adds[found.core] = True
    place = np.cumsum(adds) - 1
    return np.flatnonzero(adds), replace(found, core=place[found.core])


def _limit_prices(pieces: Pieces, found: Multipliers) -> Floats:
    """(piece, slot): what a piece pays for the room it takes under limits."""
    if not (found.cash.any() or found.debit.any()):
        return np.zeros((len(pieces), len(SLOTS)))
    paid = pieces.cash_out_minor[:, None] * found.cash[pieces.cash_currency]
    for limit, owed in pieces.debits:
        paid = paid + owed[:, None] * found.debit[limit]
    return np.asarray(paid)


def _limit_worth(limits: Limits, found: Multipliers) -> Floats:
    """Limit x price of each row; prices of cash are sums over later windows, so a row's own is the difference."""
    own = found.cash - np.concatenate([found.cash[:, 1:], np.zeros((len(found.cash), 1))], axis=1)
    return np.concatenate([(own * limits.cash).ravel(), (found.debit * limits.debit[:, None]).ravel()])


def _unsettled(pieces: Pieces, backbone: Backbone, fares: Fares, prices: Prices) -> Floats:
    """Deferral and later conversion of what a limit could bind, less the leg of the backbone it may have paid for."""
    later = pieces.value_minor * prices.quoted[pieces.source, pieces.target] / MICRO
    slot = pieces.first_slot
    legs = [np.where(backbone.is_open[side, slot], fares.leg[side, slot], 0) for side in (pieces.payer, pieces.payee)]
    saved = np.where(backbone.is_counted, np.maximum(*legs), 0)
    return np.where(pieces.is_tight, prices.deferral_minor[pieces.kind] + later - saved, np.inf)


def _wire_prices(pieces: Pieces, fares: Fares, found: Multipliers, outside: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Price per piece, those outside the core sharing what its pieces leave of the wire; and what is overpaid."""
    wire = np.zeros(len(pieces))
    wire[found.core] = found.wire
    paid = np.bincount(pieces.bundle, weights=wire, minlength=len(fares.wire))
    sharers = np.bincount(pieces.bundle[outside], minlength=len(fares.wire))
    share = np.maximum(fares.wire - paid, 0) / np.maximum(sharers, 1)
    wire[outside] = share[pieces.bundle[outside]]
    return wire, len(SLOTS) * np.minimum(fares.wire - paid, 0)


def _loads(pieces: Pieces, found: Multipliers, accounts: int) -> Floats:
    """(account, slot): what the core's pieces pay for a leg, in all."""
    load = np.zeros((accounts, len(SLOTS)))
    for side, ends in enumerate((pieces.payer, pieces.payee)):
        np.add.at(load, ends[found.core], found.leg[:, :, side])
    return load


def _shared(pieces: Pieces, backbone: Backbone, fares: Fares, load: Floats, gain: Floats) -> Floats:
    """(piece, slot): gains left once what is unpaid of closed legs is shared out among those who would use them."""
    rows = np.flatnonzero(gain.any(axis=1))
    left, ends = gain[rows], [side[rows] for side in (pieces.payer, pieces.payee)]
    closed = [~backbone.is_open[side] for side in ends]
    spare = np.maximum(fares.leg - load, 0)
    for _ in range(_SHARING_ROUNDS if len(rows) else 0):
        asked = left / np.maximum(closed[0].astype(float) + closed[1], 1)
        wanted = np.zeros_like(spare)
        for side, shut in zip(ends, closed, strict=True):
            np.add.at(wanted, side, np.where(shut, asked, 0))
        rate = np.minimum(1, spare / np.maximum(wanted, 1e-9))
        for side, shut in zip(ends, closed, strict=True):
            left = left - np.where(shut, asked * rate[side], 0)
        spare = spare - wanted * rate
    unpaid = np.zeros_like(gain)
    unpaid[rows] = np.maximum(left, 0)
    return unpaid
