"""Weights of evidence: what expectation maximisation finds without labels, and what kept decisions change."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from atlas_lib.reconciliation.scored.features import Pairs, Usual, amount_feature, usual_differences
from atlas_lib.reconciliation.scored.weights import Feature, correct_by_labels, estimate_weights


def paired(count, seed):
    """Each of `count` left rows with its partner and nine others; agreement in a text on 9 of 10 partners and 1 of 10
    others, in a day on 7 of 10 and 2 of 10."""
    random = np.random.default_rng(seed)
    left = np.repeat(np.arange(count), 10)
    right = np.concatenate([np.r_[i, random.choice(count, 9, replace=False)] for i in range(count)])
    kept = pd.DataFrame({"left": left, "right": right}).drop_duplicates().to_numpy()
    left, right = kept[:, 0], kept[:, 1]
    is_match = left == right
    text = (random.random(len(left)) < np.where(is_match, 0.9, 0.1)).astype(np.int64)
    day = (random.random(len(left)) < np.where(is_match, 0.7, 0.2)).astype(np.int64)
    return (
        left,
        right,
        is_match,
        [Feature("text", text, np.array([0.3, 0.7])), Feature("day", day, np.array([0.4, 0.6]))],
    )


def test_shares_of_matches_and_others_are_found_without_labels():
    left, right, _, features = paired(2_000, seed=4)
    found = estimate_weights(left, right, features, (2_000, 2_000), np.full(len(left), 10.0), np.full(len(left), 0.1))
    gain = {f.name: np.exp(found.evidence[f.name][f.level == 1][0]) for f in features}
    assert gain["text"] == pytest.approx(0.9 / 0.1, rel=0.2)
    assert gain["day"] == pytest.approx(0.7 / 0.2, rel=0.2)


def test_probabilities_hold_where_the_weights_are_estimated():
    left, right, is_match, features = paired(2_000, seed=4)
    found = estimate_weights(left, right, features, (2_000, 2_000), np.full(len(left), 10.0), np.full(len(left), 0.1))
    for low, high in ((0.0, 0.3), (0.3, 0.7), (0.7, 1.0)):
        band = (found.probability >= low) & (found.probability < high)
        assert is_match[band].mean() == pytest.approx(found.probability[band].mean(), abs=0.08)


def test_a_level_that_is_not_observed_is_no_evidence():
    left, right, _, _ = paired(200, seed=1)
    hidden = Feature("text", np.full(len(left), -1), np.array([0.3, 0.7]))
    found = estimate_weights(left, right, [hidden], (200, 200), np.full(len(left), 10.0), np.full(len(left), 0.1))
    assert (found.evidence["text"] == 0).all()


def test_few_decisions_hardly_change_the_weights_and_many_rule():
    left, right, is_match, features = paired(600, seed=2)
    misled = [features[0], Feature("day", 1 - features[1].level, np.array([0.5, 0.5]))]
    found = estimate_weights(left, right, misled, (600, 600), np.full(len(left), 10.0), np.full(len(left), 0.1))
    few, many = np.arange(4), np.arange(len(left))
    small = correct_by_labels(found, few, is_match[few])[1]
    assert max(abs(change) for change in small.values()) < 1
    log_odds, _ = correct_by_labels(found, many, is_match)

    def loss(score):
        return np.logaddexp(0, np.where(is_match, -score, score)).mean()

    assert loss(log_odds) < loss(found.log_odds)


def test_decisions_turn_evidence_round_that_speaks_the_wrong_way():
    left, right, is_match, features = paired(600, seed=2)
    found = estimate_weights(left, right, features, (600, 600), np.full(len(left), 10.0), np.full(len(left), 0.1))
    change = correct_by_labels(found, np.arange(len(left)), ~is_match)[1]
    assert 1 + change["text"] < 0


def records(amounts):
    return pd.DataFrame({"book": 0, "day": 0, "amount_minor": np.asarray(amounts, dtype=np.int64)})


def test_a_fee_that_many_matches_share_becomes_a_level_of_its_own():
    ours = np.arange(10_000, 60_000, 500)
    theirs = np.where(np.arange(100) < 40, ours - 45, np.rint(ours * 0.985))
    pairs = Pairs(
        np.arange(100), np.arange(100), np.ones(100, dtype=np.int64), records(ours), records(theirs), 1, 5, 0.15
    )
    usual = usual_differences(pairs, np.ones(100))
    assert usual == Usual((-150,), (-45,))
    plain, known = amount_feature(pairs), amount_feature(pairs, usual)
    assert len(set(known.level[:40])) == 1
    assert len(set(known.level[40:])) == 1
    assert not set(known.level) & set(plain.level)
    assert (known.log_u < plain.log_u).all()


def test_prices_that_recur_prove_less_than_amounts_that_do_not():
    amounts = np.r_[np.full(50, 999), 12_345, 23_456, np.arange(400, 40_000, 900)]
    same = np.arange(len(amounts))
    pairs = Pairs(same, same, np.ones(len(same), dtype=np.int64), records(amounts), records(amounts), 1, 5, 0.15)
    log_u = amount_feature(pairs).log_u
    assert np.exp(log_u[0]) == pytest.approx(49 / len(amounts), rel=0.05)
    assert log_u[50] < log_u[0] - 4
