"""Weights of evidence: how much likelier each observation is on two records of one payment than on two others.

Fellegi and Sunter (1969): log odds = log prior odds + sum over features of log(m / u), where m is the share of true
pairs that show a feature's level and u the share of other pairs. u of amount and day is known from the records
themselves; the rest is estimated without labels by expectation maximisation, in which the probability of a pair
already allows for its rivals (`pair_probabilities`). Kept decisions correct the result by logistic regression.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from atlas_lib.reconciliation.scored.assignment import pair_probabilities

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_ROUNDS = 40
_LARGEST_SHARE = 0.995  # of the rows with a partner; at 1 the prior odds would be infinite


@dataclass(frozen=True)
class Feature:
    """One observation per pair.

    `level`: the level each pair shows (-1: nothing observed, no evidence); `prior`: expected shares of the levels
    among true pairs, counted as `strength` pairs; `log_u`: logarithm of u per pair where it is known; otherwise u is
    estimated, with `other_prior` as its own expectation. `slices`: levels in one slice add up to 1.
    """

    name: str
    level: Ints
    prior: Floats
    log_u: Floats | None = None
    other_prior: Floats | None = None
    strength: float = 20.0
    slices: int = 1

    def expected_otherwise(self) -> Floats:
        """Expected shares of the levels among pairs that do not belong together."""
        return self.prior if self.other_prior is None else self.other_prior


@dataclass(frozen=True)
class Weights:
    """log odds of each pair, its probability, and the evidence each feature gives."""

    log_odds: Floats
    probability: Floats
    evidence: dict[str, Floats]
    share: float
    corrections: dict[str, float] = field(default_factory=dict)


def estimate_weights(
    left: Ints, right: Ints, features: list[Feature], counts: tuple[int, int], choices: Floats, start: Floats
) -> Weights:
    """Weights without labels. `counts`: rows of the left and right side; `choices`: right rows among which a pair's
    right row was one; `start`: first guess of the probabilities. Ends when no probability changes by more than 0.001,
    or after 40 rounds.

    Prior odds of one pair, against both of its rows being alone: share / (choices x (1 - share) x (1 - right share)),
    where the shares are those of the rows that have a partner: then random pairs between n rows on either side have
    share x n partners in all.
    """
    probability = start
    for _ in range(_ROUNDS):
        evidence = {f.name: _evidence(f, probability) for f in features}
        share, right_share = (min(max(float(probability.sum()) / max(n, 1), 0.001), _LARGEST_SHARE) for n in counts)
        log_odds = np.log(share) - np.log(1 - share) - np.log(1 - right_share) - np.log(choices)
        for found in evidence.values():
            log_odds = log_odds + found
        before, probability = probability, pair_probabilities(left, right, log_odds, rounds=15)
        if len(before) and np.abs(before - probability).max() < 0.001:
            break
    return Weights(log_odds, pair_probabilities(left, right, log_odds), evidence, share)


def _evidence(feature: Feature, probability: Floats) -> Floats:
    seen = feature.level >= 0
    level = np.where(seen, feature.level, 0)
    log_m = np.log(_shares(level, probability * seen, feature.prior, feature))[level]
    if feature.log_u is not None:
        log_u = feature.log_u
    else:
        log_u = np.log(_shares(level, (1 - probability) * seen, feature.expected_otherwise(), feature))[level]
    return np.where(seen, log_m - log_u, 0.0)


def _shares(level: Ints, weight: Floats, expected: Floats, feature: Feature) -> Floats:
    """Weighted shares of the levels, each slice adding up to 1; the expectation counts as so many pairs."""
    counts = np.bincount(level, weight, len(expected)) + feature.strength * expected
    slices = counts.reshape(feature.slices, -1)
    return np.asarray((slices / slices.sum(axis=1, keepdims=True)).ravel())


def correct_by_labels(
    weights: Weights, labelled: Ints, is_match: npt.NDArray[np.bool_], strength: float = 5.0
) -> tuple[Floats, dict[str, float]]:
    """log odds after the decisions kept so far: logistic regression on the evidence, pulled towards no correction.

    Minimises log loss + strength / 2 x ((factor of each feature - 1)^2 + constant^2): with few decisions the estimated
    weights stay, with many the decisions rule. Returns the new log odds of all pairs and the factors by feature.
    """
    from scipy.optimize import minimize

    names = list(weights.evidence)
    table = np.column_stack([np.ones(len(weights.log_odds)), *(weights.evidence[name] for name in names)])
    known, answers = table[labelled], is_match.astype(np.float64)
    rest = weights.log_odds[labelled] - known[:, 1:].sum(axis=1)

    def loss(change: Floats) -> tuple[float, Floats]:
        score = rest + known @ (change + np.r_[0.0, np.ones(len(names))])
        miss = 1 / (1 + np.exp(-np.clip(score, -50, 50))) - answers
        value = float(np.logaddexp(0, np.where(answers > 0, -score, score)).sum() + strength / 2 * (change @ change))
        return value, known.T @ miss + strength * change

    change = minimize(loss, np.zeros(table.shape[1]), jac=True, method="L-BFGS-B").x
    return weights.log_odds + table @ change, dict(zip(["constant", *names], change, strict=True))
