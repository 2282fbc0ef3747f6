"""The best assignment of candidate pairs, each row of either side used at most once.

A pair's odds say how much likelier it is that the two rows are one payment than that they have nothing to do with each
other. What its probability is, given that each row belongs to one other row at most, follows from the odds of all its
rivals: `pair_probabilities`. The assignment maximises the sum of the probabilities, which is the number of right
matches to be expected; it is never first come, first served.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_LARGEST_LOG_ODDS = 60.0
_NEGLIGIBLE_LOG_ODDS = -16.0  # a pair below is improbable by itself, and no rival to any other


def pair_probabilities(left: Ints, right: Ints, log_odds: Floats, rounds: int = 40) -> Floats:
    """Probability of each pair when each row has one partner at most.

    Sum-product messages on the graph of candidate pairs: exact where it has no circles, and always convergent, because
    a row's message is 1 / (1 + the weight of its other pairs). Input: `left`, `right` row numbers of each pair and the
    natural logarithm of its odds. Source: Bayati, Shah, Sharma (2008), Max-product for maximum weight matching, and
    Zdeborová, Mézard (2006), The number of matchings in random graphs, eq. 6.
    """
    odds = np.exp(np.clip(log_odds, -_LARGEST_LOG_ODDS, _LARGEST_LOG_ODDS))
    probability = odds / (1 + odds)
    weighty = np.flatnonzero(log_odds > _NEGLIGIBLE_LOG_ODDS)
    if len(weighty):
        probability[weighty] = _messages(left[weighty], right[weighty], odds[weighty], rounds)
    return np.asarray(probability)


def _messages(left: Ints, right: Ints, odds: Floats, rounds: int) -> Floats:
    left_side, right_side = _Side.of(left), _Side.of(right)
    from_right = np.ones(len(odds))
    for _ in range(rounds):
        from_left = left_side.free_share(odds * from_right)
        before, from_right = from_right, right_side.free_share(odds * from_left)
        if np.abs(from_right - before).max() < 1e-9:
            break
    taken = odds * from_left * from_right
    return np.asarray(taken / (1 + taken))


@dataclass(frozen=True)
class _Side:
    """The pairs of one side in the order of its rows."""

    order: Ints
    first: Ints
    group: Ints

    @classmethod
    def of(cls, rows: Ints) -> _Side:
        order = np.argsort(rows, kind="stable")
        is_first = np.diff(rows[order], prepend=-1) != 0
        return cls(order, np.flatnonzero(is_first), np.cumsum(is_first) - 1)

    def free_share(self, weights: Floats) -> Floats:
        """1 / (1 + weight of the row's other pairs), per pair.

        Subtracting a weight from a sum that it dominates would leave rounding noise: the largest is kept apart.
        """
        ordered = weights[self.order]
        largest = np.maximum.reduceat(ordered, self.first)[self.group]
        is_largest = ordered == largest
        small = np.add.reduceat(np.where(is_largest, 0.0, ordered), self.first)[self.group]
        ties = np.add.reduceat(is_largest.astype(np.float64), self.first)[self.group]
        others = np.where(is_largest, small + (ties - 1) * largest, small - ordered + ties * largest)
        share = np.empty(len(weights))
        share[self.order] = 1 / (1 + np.maximum(others, 0.0))
        return share


def best_assignment(left: Ints, right: Ints, value: Floats) -> npt.NDArray[np.bool_]:
    """Which pairs are taken so that the sum of their (positive) values is the largest; the first of equal optima.

    A pair whose two rows are in no other pair of positive value is taken; the others are solved together by scipy,
    which takes a quarter of a second to load and is not loaded for pairs without a rival.
    """
    pairs = np.flatnonzero(value > 0)
    taken = np.zeros(len(left), dtype=bool)
    is_alone = (np.bincount(left[pairs])[left[pairs]] == 1) & (np.bincount(right[pairs])[right[pairs]] == 1)
    taken[pairs[is_alone]] = True
    rest = pairs[~is_alone]
    if len(rest):
        # A stored zero would count as no pair: all costs are moved up by the same amount.
        nothing = float(value.max()) + 1
        taken[rest] = _solved(left[rest], right[rest], nothing - value[rest], nothing)
    return taken


def _solved(left: Ints, right: Ints, cost: Floats, nothing: float) -> npt.NDArray[np.bool_]:
    """By scipy's sparse Jonker-Volgenant. Each left row also has a stand-in of its own, at the cost of `nothing`: so a
    full matching always exists, and a row stays without partner where that is better."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    lefts, left_at = np.unique(left, return_inverse=True)
    rights, right_at = np.unique(right, return_inverse=True)
    rows = np.concatenate([left_at, np.arange(len(lefts))])
    columns = np.concatenate([right_at, len(rights) + np.arange(len(lefts))])
    costs = np.concatenate([cost, np.full(len(lefts), nothing)])
    graph = csr_array((costs, (rows, columns)), shape=(len(lefts), len(rights) + len(lefts)))
    chosen_rows, chosen = min_weight_full_bipartite_matching(graph)
    partner = np.full(len(lefts), -1)
    partner[chosen_rows] = chosen
    return np.asarray(partner[left_at] == right_at)


def best_rivals(pairs: pd.DataFrame, taken: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """For each taken pair the likeliest other pair of either of its rows.

    Input: pairs with left_row, right_row, probability. Returns the taken pairs with rival_left_row, rival_right_row
    (-1 where there is none) and rival_probability (0 there). Of equal ones the lowest row numbers.
    """
    chosen = pairs[taken].reset_index(drop=True)
    sides = [_next_best(pairs, chosen, side) for side in ("left_row", "right_row")]
    both = pd.concat(sides).sort_values(
        ["at", "probability", "left_row", "right_row"], ascending=[True, False, True, True], kind="stable"
    )
    rivals = both.drop_duplicates("at").set_index("at").reindex(chosen.index)
    return chosen.assign(
        rival_left_row=rivals["left_row"].fillna(-1).astype("int64"),
        rival_right_row=rivals["right_row"].fillna(-1).astype("int64"),
        rival_probability=rivals["probability"].fillna(0.0),
    )


def _next_best(pairs: pd.DataFrame, chosen: pd.DataFrame, side: str) -> pd.DataFrame:
    """Per taken pair (`at`) the other pairs of the same row of one side."""
    own = chosen[["left_row", "right_row"]].assign(at=chosen.index)
    other = "right_row" if side == "left_row" else "left_row"
    found = pairs[["left_row", "right_row", "probability"]].merge(
        own.rename(columns={other: "own"}), on=side, validate="many_to_one"
    )
    return found[found[other] != found["own"]][["at", "left_row", "right_row", "probability"]]
