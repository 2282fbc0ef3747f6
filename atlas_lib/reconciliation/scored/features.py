"""What is observed on a pair of records: amount, days, how it was found, and each text; each as levels.

| feature | levels | u (share among pairs that do not belong together) |
|---|---|---|
| amount | equal; within 2 minor units; usual differences found in the data (a flat fee, a percentage); relative difference in steps; beyond the window | known: density of the right side's amounts around this one |
| days | each day of the window | known: share of the right side's rows booked on that day |
| found_by | equal amount only; text; both without text | known: pairs found / pairs that lie within amount and date window |
| texts | bits shared x what only the left says x what only the right says (with a split by likeness where both say more) | estimated |
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from atlas_lib.reconciliation.scored.weights import Feature
from atlas_lib.reconciliation.scored.words import Words, compare_words

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_STEPS = (0.0025, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.06, 0.07, 0.085, 0.1, 0.12, 0.15, 0.2, 0.3, 0.5)
_TOLERANCE_MINOR = 2
_LARGEST_USUAL = 3  # usual differences of each kind
_USUAL_SHARE = 0.02  # of the matches, from which a difference is usual
_BITS_STEP, _BITS_LEVELS = 2.0, 21
_REST_EDGES = (1e-9, 4.0)  # bits of one side's own words: none, little, much
_LIKENESS_EDGES = (60.0, 80.0)


@dataclass(frozen=True)
class Pairs:
    """Candidate pairs with the records behind them, all in the same order of pairs."""

    left_row: Ints
    right_row: Ints
    found_by: Ints
    left: pd.DataFrame
    right: pd.DataFrame
    days_before: int
    days_after: int
    width: float

    def of_left(self, column: str) -> Ints:
        return np.asarray(self.left[column].to_numpy()[self.left_row])

    def of_right(self, column: str) -> Ints:
        return np.asarray(self.right[column].to_numpy()[self.right_row])

    def log_ratio(self) -> Floats:
        """ln(right amount / left amount)."""
        ours, theirs = np.maximum(self.of_left("amount_minor"), 1), np.maximum(self.of_right("amount_minor"), 1)
        return np.asarray(np.log(theirs / ours))

    def is_near(self) -> npt.NDArray[np.bool_]:
        return np.abs(self.log_ratio()) <= self.width + 1e-9


def book_sizes(pairs: Pairs) -> Floats:
    """Rows of the right side in the pair's book: each could have been the partner."""
    books = pairs.right["book"].to_numpy(np.int64)
    return np.bincount(books, minlength=int(books.max(initial=0)) + 1)[pairs.of_right("book")].astype(np.float64)


def amount_feature(pairs: Pairs, usual: Usual | None = None) -> Feature:
    """Levels of the amount difference; `usual` are differences that many matches share."""
    known = usual or Usual((), ())
    edges = _edges(pairs.width)
    ratio, theirs = pairs.log_ratio(), np.maximum(pairs.of_right("amount_minor"), 1).astype(np.float64)
    difference = pairs.of_right("amount_minor") - pairs.of_left("amount_minor")
    step = np.clip(np.searchsorted(edges, ratio, side="right") - 1, 0, len(edges) - 2)
    level = np.where(pairs.is_near(), 2 + step, 1 + len(edges))
    density, equal_share, near_share = _right_amounts(pairs)
    u = np.where(pairs.is_near(), density * np.diff(edges)[step], 1 - near_share)
    kinds: list[tuple[npt.NDArray[np.bool_], Floats]] = [(_bps(pairs) == bps, density * 1e-4) for bps in known.bps]
    kinds += [(difference == minor, density / theirs) for minor in known.minor]
    for number, (shows, share) in enumerate(kinds):
        level, u = np.where(shows, 2 + len(edges) + number, level), np.where(shows, share, u)
    close = (np.abs(difference) <= _TOLERANCE_MINOR) & (difference != 0)
    level, u = np.where(close, 1, level), np.where(close, density * 2 * _TOLERANCE_MINOR / theirs, u)
    level, u = np.where(difference == 0, 0, level), np.where(difference == 0, equal_share, u)
    prior = _amount_prior(edges, len(kinds))
    return Feature("amount", level, prior, np.log(np.clip(u, 1e-12, 1.0)))


@dataclass(frozen=True)
class Usual:
    """Differences that many matches share: basis points kept of the left amount, and flat minor units."""

    bps: tuple[int, ...]
    minor: tuple[int, ...]


def usual_differences(pairs: Pairs, probability: Floats) -> Usual:
    """The fee patterns of probable matches: each value that at least 2 % of them show, three of a kind at most."""
    difference = pairs.of_right("amount_minor") - pairs.of_left("amount_minor")
    other = (np.abs(difference) > _TOLERANCE_MINOR) & pairs.is_near()
    enough = max(_USUAL_SHARE * float(probability.sum()), 5.0)
    minor = _modes(difference[other], probability[other], enough)
    is_flat = np.isin(difference, minor)
    return Usual(_modes(_bps(pairs)[other & ~is_flat], probability[other & ~is_flat], enough), minor)


def _modes(values: Ints, weight: Floats, enough: float) -> tuple[int, ...]:
    found, at = np.unique(values, return_inverse=True)
    total = np.bincount(at, weight, len(found)) if len(found) else np.zeros(0)
    order = np.argsort(-total, kind="stable")[:_LARGEST_USUAL]
    return tuple(int(found[i]) for i in order if total[i] >= enough)


def _bps(pairs: Pairs) -> Ints:
    ours = np.maximum(pairs.of_left("amount_minor"), 1)
    return np.asarray(np.rint((pairs.of_right("amount_minor") - ours) / ours * 1e4), dtype=np.int64)


def _edges(width: float) -> Floats:
    inner = [step for step in _STEPS if step < width]
    return np.array([-width, *(-step for step in reversed(inner)), 0.0, *inner, width])


def _amount_prior(edges: Floats, kinds: int) -> Floats:
    """Half of the matches are expected to be equal, the rest the rarer the further apart."""
    middle = (edges[1:] + edges[:-1]) / 2
    spread = np.diff(edges) * np.exp(-np.abs(middle) / 0.03)
    return np.concatenate([[0.5, 0.05], 0.4 * spread / spread.sum(), [0.02], np.full(kinds, 0.03 / max(kinds, 1))])


def _right_amounts(pairs: Pairs) -> tuple[Floats, Floats, Floats]:
    """Per pair: right rows of the book per unit of ln(amount) near the right amount, at exactly the left amount, and
    within the window of the left amount; each as a share of the book, the right row itself not counted.
    """
    size = np.maximum(book_sizes(pairs), 1.0)
    books, amounts = pairs.right["book"].to_numpy(np.float64), np.maximum(pairs.right["amount_minor"].to_numpy(), 1)
    stacked = np.sort(books * 100 + np.log(amounts))

    def count(center: Floats, half: float) -> Floats:
        book = pairs.of_right("book") * 100.0
        high = np.searchsorted(stacked, book + center + half, side="right")
        return np.asarray(high - np.searchsorted(stacked, book + center - half, side="left"), dtype=np.float64)

    half = 0.15
    theirs = np.log(np.maximum(pairs.of_right("amount_minor"), 1))
    ours = np.log(np.maximum(pairs.of_left("amount_minor"), 1))
    density = (np.maximum(count(theirs, half) - 1, 0) + 0.5) / size / (2 * half)
    equal = np.maximum(count(theirs, 1e-12) - 1, 0) / size + density / np.exp(theirs)
    return density, equal, np.minimum((count(ours, pairs.width) + 0.5) / (size + 1), 0.999)


def days_feature(pairs: Pairs) -> Feature:
    """Each day of the window is a level; before the left row's day is expected to be rare, later rarer by the day."""
    days = pairs.of_right("day") - pairs.of_left("day")
    window = np.arange(-pairs.days_before, pairs.days_after + 1)
    prior = np.where(window < 0, 0.3 ** np.abs(window) * 0.2, 0.7 ** np.maximum(window, 0))
    key = pairs.right["book"].to_numpy(np.int64) * 1_000_000 + pairs.right["day"].to_numpy(np.int64)
    known, counts = np.unique(key, return_counts=True)
    on_day = counts[np.searchsorted(known, pairs.of_right("book") * 1_000_000 + pairs.of_right("day"))]
    log_u = np.log(on_day / np.maximum(book_sizes(pairs), 1.0))
    return Feature("days", days + pairs.days_before, prior / prior.sum(), log_u)


def found_feature(pairs: Pairs, region: float) -> Feature:
    """How the pair was found; `region` is the number of pairs within amount and date window, found or not."""
    near = np.bincount(pairs.found_by[pairs.is_near()], minlength=3).astype(np.float64)
    share = np.clip((near + 0.5) / max(region, near.sum() + 1), 1e-9, 0.999)
    share[0] = max(1 - share[1] - share[2], 1e-3)
    return Feature("found_by", pairs.found_by, np.array([0.05, 0.9, 0.05]), np.log(share)[pairs.found_by], strength=5.0)


def region_size(pairs: Pairs) -> float:
    """Pairs to be expected within amount and date window if amounts and days had nothing to do with each other."""
    total = 0.0
    for book, ours in pairs.left.groupby("book"):
        theirs = pairs.right[pairs.right["book"] == book]
        log_theirs = np.sort(np.log(np.maximum(theirs["amount_minor"].to_numpy(), 1)))
        log_ours = np.log(np.maximum(ours["amount_minor"].to_numpy(), 1))
        near = np.searchsorted(log_theirs, log_ours + pairs.width) - np.searchsorted(log_theirs, log_ours - pairs.width)
        day_theirs, day_ours = np.sort(theirs["day"].to_numpy()), ours["day"].to_numpy()
        due = np.searchsorted(day_theirs, day_ours + pairs.days_after, side="right")
        due = due - np.searchsorted(day_theirs, day_ours - pairs.days_before)
        total += float((near * (due / max(len(theirs), 1))).sum())
    return total


def text_feature(name: str, pairs: Pairs, words: Words, left_text: pd.Series, right_text: pd.Series) -> Feature:
    """Bits shared, and what either side says beyond it; no evidence where one text is missing."""
    shared, ours, theirs = compare_words(words, pairs.left_row, pairs.right_row)
    rest = np.digitize(ours, _REST_EDGES) * 3 + np.digitize(theirs, _REST_EDGES)
    kind = _split_by_likeness(rest, pairs, left_text, right_text)
    bits = np.minimum(shared / _BITS_STEP, _BITS_LEVELS - 1).astype(np.int64)
    has_both = (left_text != "").to_numpy()[pairs.left_row] & (right_text != "").to_numpy()[pairs.right_row]
    by = (pairs.found_by == 1).astype(np.int64)
    kinds = len(_KIND_PRIOR)
    level = np.where(has_both, (by * _BITS_LEVELS + bits) * kinds + kind, -1)
    rarity = 2.0 ** (-_BITS_STEP * np.arange(_BITS_LEVELS))
    prior = np.outer(np.full(_BITS_LEVELS, 1 / _BITS_LEVELS), _KIND_PRIOR).ravel()
    other = np.outer(rarity / rarity.sum(), np.full(kinds, 1 / kinds)).ravel()
    return Feature(name, level, np.tile(prior, 2) / 2, None, np.tile(other, 2) / 2, slices=2)


# Kinds 0 to 8: rest of the left x rest of the right (none, little, much); then the four with both, by likeness.
_KIND_PRIOR = np.array([0.4, 0.15, 0.1, 0.15, 0.01, 0.01, 0.1, 0.01, 0.01, *np.full(4, 0.02), *np.full(4, 0.02)])
_KIND_PRIOR = _KIND_PRIOR / _KIND_PRIOR.sum()
_BOTH_SAY_MORE = np.array([4, 5, 7, 8])


def _split_by_likeness(rest: Ints, pairs: Pairs, left_text: pd.Series, right_text: pd.Series) -> Ints:
    """Where each side says something the other does not, spelling decides: misspelt, or another text."""
    from rapidfuzz import fuzz, process

    at = np.flatnonzero(np.isin(rest, _BOTH_SAY_MORE))
    if not len(at):
        return rest
    ours = left_text.to_numpy(object)[pairs.left_row[at]]
    theirs = right_text.to_numpy(object)[pairs.right_row[at]]
    likeness = process.cpdist(ours, theirs, scorer=fuzz.ratio, workers=1)
    kind = rest.copy()
    grade = np.digitize(likeness, _LIKENESS_EDGES)
    place = np.searchsorted(_BOTH_SAY_MORE, rest[at])
    kind[at] = np.where(grade == 0, rest[at], 9 + (grade - 1) * 4 + place)
    return kind
