from dataclasses import replace

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from atlas_lib.batching_settlement.backbone import find_backbone
from atlas_lib.batching_settlement.book import Book
from atlas_lib.batching_settlement.bound import Multipliers, cover_shortfalls, least_fares, prove_bound
from atlas_lib.batching_settlement.costs import Prices
from atlas_lib.batching_settlement.formulation import Formulation
from atlas_lib.batching_settlement.items import SLOTS
from atlas_lib.batching_settlement.limits import Limits, is_within
from atlas_lib.batching_settlement.pieces import Pieces, cut_pieces
from atlas_lib.batching_settlement.relaxation import Relaxation
from atlas_lib.batching_settlement.solving import solve_book
from tests.batching_settlement.planning_frames import (
    books,
    currency_limits,
    items_of,
    liquidity,
    planned,
    scarce_cash,
    scarce_limits,
    settings,
    transactions,
)
from tests.batching_settlement.test_solving import cheapest_by_trying

SIDES = 2


def bound_with(book: Book, limits: Limits, prices: Prices, found: Multipliers, pieces: Pieces) -> int:
    backbone = find_backbone(pieces, len(book.accounts), np.ones(len(pieces), dtype=bool))
    fares, cover = least_fares(pieces, len(book.accounts), prices), cover_shortfalls(pieces, limits)
    return prove_bound(pieces, backbone, fares, cover, limits, prices, found)[0]


def any_prices(book: Book, limits: Limits, pieces: Pieces, seed: int) -> Multipliers:
    """Prices drawn without any sense, for a core of every other piece; legs of the backbone cost nothing."""
    rng = np.random.default_rng(seed)
    core = np.arange(0, len(pieces), 2)
    backbone = find_backbone(pieces, len(book.accounts), np.ones(len(pieces), dtype=bool))
    leg = rng.uniform(0, 900, (len(core), len(SLOTS), SIDES)) * rng.integers(0, 2, (len(core), len(SLOTS), SIDES))
    for side, ends in enumerate((pieces.payer, pieces.payee)):
        leg[:, :, side][backbone.is_open[ends[core]]] = 0
    own = rng.uniform(0, 1e-2, (len(limits.cash), len(SLOTS))) * limits.is_cash_limited[:, None]
    return Multipliers(
        core=core,
        currency=rng.uniform(-1e-3, 1e-3, (len(SLOTS), len(book.currencies))),
        leg=leg,
        wire=rng.uniform(0, 700, len(core)),
        cash=np.cumsum(own[:, ::-1], axis=1)[:, ::-1],
        debit=rng.uniform(0, 1e-2, (len(limits.debit), len(SLOTS))) * limits.is_debit_limited[:, None],
        cover=rng.uniform(0, 2_000, len(limits.cash)) * limits.is_cash_limited,
    )


@hypothesis_settings(max_examples=30)
@given(books(most=3), scarce_cash, scarce_limits, currency_limits, st.integers(0, 2**32 - 1))
def test_no_plan_costs_less_than_the_bound_whatever_the_prices(
    accepted: pd.DataFrame, cash: pd.DataFrame, parties: pd.DataFrame, by_currency: pd.DataFrame, seed: int
) -> None:
    book, limits, prices = planned(items_of(accepted), settings(), cash, parties, by_currency=by_currency)
    pieces = cut_pieces(book, limits)
    bound = bound_with(book, limits, prices, any_prices(book, limits, pieces, seed), pieces)
    assert bound <= cheapest_by_trying(book, limits, prices)


@hypothesis_settings(max_examples=10)
@given(books(), scarce_cash)
def test_good_prices_raise_the_bound_and_halving_them_never_does(accepted: pd.DataFrame, cash: pd.DataFrame) -> None:
    book, limits, prices = planned(items_of(accepted), settings(), cash)
    pieces = cut_pieces(book, limits)
    backbone = find_backbone(pieces, len(book.accounts), np.ones(len(pieces), dtype=bool))
    fares, cover = least_fares(pieces, len(book.accounts), prices), cover_shortfalls(pieces, limits)
    core = ~backbone.is_free.any(axis=1) & ~pieces.is_gross
    found = Relaxation(pieces, backbone, fares, cover, limits, prices, core).solve("HiGHS", 20)
    halved = replace(found, leg=found.leg / 2, wire=found.wire / 2)
    assert bound_with(book, limits, prices, halved, pieces) <= bound_with(book, limits, prices, found, pieces) + 2


@hypothesis_settings(max_examples=15)
@given(books(most=3), scarce_cash, scarce_limits, st.randoms(use_true_random=False))
def test_no_plan_costs_less_than_the_search_whichever_payments_the_backbone_counts(
    accepted: pd.DataFrame, cash: pd.DataFrame, parties: pd.DataFrame, random: object
) -> None:
    book, limits, prices = planned(items_of(accepted), settings(), cash, parties)
    pieces = cut_pieces(book, limits)
    counted = ~pieces.is_tight | np.array([random.random() < 0.7 for _ in range(len(pieces))])  # type: ignore[attr-defined]
    model = Formulation(book, pieces, find_backbone(pieces, len(book.accounts), counted), limits, prices)
    if model.is_exact:
        assert model.solve("HiGHS", 20, whole=True) <= cheapest_by_trying(book, limits, prices)
    assert is_within(book, model.plan().slot, limits)


def test_a_counted_payment_that_cannot_be_paid_takes_its_leg_with_it() -> None:
    # A and B are pooled in any case; C only while its payout is: the sales bring in too little for that.
    rows = [{"payer": p, "payee": q, "amount_minor": 10} for p, q in ("AB", "BA")]
    payout = {"payer": "B", "payee": "C", "amount_minor": 900, "type": "PAYOUT"}
    book, limits, prices = planned(items_of(transactions(*rows, payout)), settings(), liquidity(EUR=0))
    pieces = cut_pieces(book, limits)
    backbone = find_backbone(pieces, len(book.accounts), np.ones(len(pieces), dtype=bool))
    assert backbone.is_open.sum() == 3
    model = Formulation(book, pieces, backbone, limits, prices)
    best, bound = cheapest_by_trying(book, limits, prices), model.solve("HiGHS", 20, whole=True)
    assert best == 1_850 * 1_000_000  # two legs and the deferral
    assert best - 10_000 <= bound <= best


def test_a_shortfall_that_no_single_payment_covers_leaves_two_unsettled() -> None:
    rows = [
        {"payer": "OP", "payee": m, "amount_minor": a, "type": "PAYOUT"}
        for m, a in zip("MNO", (50, 40, 9), strict=True)
    ]
    book, limits, prices = planned(items_of(transactions(*rows)), settings(deferral_cost=100.0), liquidity(EUR=29))
    pieces = cut_pieces(book, limits)
    assert cover_shortfalls(pieces, limits).least.tolist() == [2]  # 70 too much, the largest payment is 50
    solution = solve_book(book, limits, prices)
    assert solution.cost.deferred == 2
    assert solution.bound_micro >= 20_000 * 1_000_000  # two deferrals of 100.00 at least


@hypothesis_settings(max_examples=8)
@given(books(), st.integers(0, 200_000), st.integers(0, 200_000))
def test_more_cash_never_raises_the_bound(accepted: pd.DataFrame, cash: int, more: int) -> None:
    scarce = solve_book(*planned(items_of(accepted), settings(), liquidity(EUR=cash)))
    ample = solve_book(*planned(items_of(accepted), settings(), liquidity(EUR=cash + more)))
    assert ample.bound_micro <= scarce.bound_micro * (1 + 2e-5) + 2
