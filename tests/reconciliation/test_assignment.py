"""The best assignment and the probabilities behind it, against enumeration of every matching."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_lib.reconciliation.scored.assignment import best_assignment, best_rivals, pair_probabilities

SIZE = 4


def matchings(pairs):
    """Every set of pairs in which no row is used twice."""
    for chosen in itertools.chain.from_iterable(itertools.combinations(pairs, n) for n in range(len(pairs) + 1)):
        if len({a for a, _ in chosen}) == len(chosen) == len({b for _, b in chosen}):
            yield chosen


pair_sets = st.dictionaries(
    st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1)), st.integers(1, 1000), min_size=1, max_size=9
)


@given(pair_sets)
@settings(max_examples=30, deadline=None)
def test_no_other_matching_is_worth_more_and_no_row_is_used_twice(found):
    pairs = sorted(found)
    left, right = (np.array([pair[side] for pair in pairs]) for side in (0, 1))
    value = np.array([found[pair] / 1000 for pair in pairs])
    taken = best_assignment(left, right, value)
    assert len(set(left[taken])) == len(set(right[taken])) == taken.sum()
    best = max(sum(found[pair] for pair in chosen) for chosen in matchings(pairs))
    assert value[taken].sum() == pytest.approx(best / 1000)


def test_the_best_pair_is_given_up_where_two_others_are_worth_more():
    left, right = np.array([0, 0, 1]), np.array([0, 1, 0])
    assert best_assignment(left, right, np.array([0.9, 0.8, 0.8])).tolist() == [False, True, True]


def test_a_pair_without_a_rival_is_taken_beside_contested_ones_and_one_of_no_value_is_none():
    left, right = np.array([0, 0, 1, 2, 3, 3]), np.array([0, 1, 0, 2, 3, 2])
    value = np.array([0.9, 0.8, 0.8, 0.3, 0.4, 0.0])
    assert best_assignment(left, right, value).tolist() == [False, True, True, True, True, False]


def test_nothing_to_assign_is_no_error():
    none = np.zeros(0, dtype=np.int64)
    assert best_assignment(none, none, np.zeros(0)).tolist() == []


@given(st.lists(st.floats(-6, 6), min_size=1, max_size=7), st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_on_a_graph_without_circles_the_probabilities_are_those_of_all_matchings(log_odds, seed):
    """A tree: each new pair joins one known row to a new one; the weight of a matching is the product of its odds."""
    random = np.random.default_rng(seed)
    pairs = [(0, 0)]
    for _ in log_odds[1:]:
        known = pairs[random.integers(len(pairs))]
        fresh = (known[0], max(b for _, b in pairs) + 1), (max(a for a, _ in pairs) + 1, known[1])
        pairs.append(fresh[random.integers(2)])
    odds = dict(zip(pairs, np.exp(log_odds), strict=True))
    weights = {chosen: float(np.prod([odds[pair] for pair in chosen])) for chosen in matchings(pairs)}
    exact = [sum(w for chosen, w in weights.items() if pair in chosen) / sum(weights.values()) for pair in pairs]
    left, right = (np.array([pair[side] for pair in pairs]) for side in (0, 1))
    assert pair_probabilities(left, right, np.array(log_odds)) == pytest.approx(exact, rel=1e-6)


def test_twins_share_the_probability_and_name_each_other():
    pairs = pd.DataFrame({"left_row": [0, 0], "right_row": [0, 1]})
    probability = pair_probabilities(np.array([0, 0]), np.array([0, 1]), np.array([8.0, 8.0]))
    assert probability[0] == probability[1] == pytest.approx(0.5, abs=0.001)
    found = best_rivals(pairs.assign(probability=probability), np.array([True, False]))
    assert found[["rival_left_row", "rival_right_row"]].to_numpy().tolist() == [[0, 1]]
    assert found["rival_probability"].tolist() == [probability[1]]


def test_the_rival_is_the_likelier_of_both_sides_and_may_be_missing():
    pairs = pd.DataFrame({"left_row": [0, 0, 1, 2], "right_row": [0, 1, 0, 2], "probability": [0.7, 0.1, 0.2, 0.9]})
    found = best_rivals(pairs, np.array([True, False, False, True]))
    assert found["rival_left_row"].tolist() == [1, -1]
    assert found["rival_right_row"].tolist() == [0, -1]
    assert found["rival_probability"].tolist() == [0.2, 0.0]


def test_weights_of_any_size_leave_probabilities_between_nothing_and_one():
    left, right = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    probability = pair_probabilities(left, right, np.array([500.0, -500.0, 30.0, 29.0]))
    assert ((probability >= 0) & (probability <= 1)).all()
    assert probability[0] > 0.99
    assert probability[3] > 0.99
