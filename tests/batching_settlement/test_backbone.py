import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from atlas_lib.batching_settlement.backbone import find_backbone
from atlas_lib.batching_settlement.costs import MICRO
from atlas_lib.batching_settlement.formulation import Formulation
from atlas_lib.batching_settlement.pieces import cut_pieces
from tests.batching_settlement.planning_frames import (
    books,
    items_of,
    planned,
    scarce_cash,
    scarce_limits,
    settings,
    transactions,
)


def payments(*pairs: str, **common: str) -> list[dict[str, object]]:
    return [{"payer": p[0], "payee": p[1], "amount_minor": 700, **common} for p in pairs]


def test_a_ring_is_pooled_and_a_chain_is_left_to_the_solver() -> None:
    # Three bundles among A, B, C; two among D, E, F.
    book, limits, _ = planned(items_of(transactions(*payments("AB", "BC", "CA", "DE", "EF"))), settings())
    pieces = cut_pieces(book, limits)
    backbone = find_backbone(pieces, len(book.accounts), ~pieces.is_tight)
    assert book.accounts["account"][backbone.is_open[:, 1]].tolist() == ["A", "B", "C"]
    assert backbone.sure_count[:3, 1].tolist() == [2, 2, 2]
    assert backbone.is_settled.sum() == 3


def test_a_branch_of_a_ring_is_pooled_with_it() -> None:
    book, limits, _ = planned(items_of(transactions(*payments("AB", "BC", "CA", "CX"))), settings())
    pieces = cut_pieces(book, limits)
    backbone = find_backbone(pieces, len(book.accounts), ~pieces.is_tight)
    assert backbone.is_settled.all()
    assert backbone.sure_count[:, 1].tolist() == [2, 2, 3, 1]


def test_what_may_choose_its_window_between_open_legs_is_decided_by_currency_only() -> None:
    ring = payments("AB", "BC", "CA")
    late = payments("AB", "BC", "CA", created_at="2026-10-30T17:30:00Z")
    free = payments("AC", settlement_window="T2")
    book, limits, _ = planned(items_of(transactions(*ring, *late, *free)), settings())
    pieces = cut_pieces(book, limits)
    backbone = find_backbone(pieces, len(book.accounts), ~pieces.is_tight)
    assert (backbone.is_settled.sum(), (backbone.is_free.sum(axis=1) > 1).sum()) == (6, 1)


@hypothesis_settings(max_examples=15)
@given(books(), scarce_cash, scarce_limits)
def test_the_backbone_leaves_the_bound_as_it_is(
    accepted: pd.DataFrame, cash: pd.DataFrame, parties: pd.DataFrame
) -> None:
    book, limits, prices = planned(items_of(accepted), settings(), cash, parties)
    pieces = cut_pieces(book, limits)
    found = find_backbone(pieces, len(book.accounts), ~pieces.is_tight)
    nothing = find_backbone(pieces, len(book.accounts), np.zeros(len(pieces), dtype=bool))
    assert not nothing.is_open.any()
    whole = [Formulation(book, pieces, b, limits, prices) for b in (found, nothing)]
    best = [model.solve("HiGHS", 20, whole=True) for model in whole]
    assert abs(best[0] - best[1]) <= 2 * MICRO
