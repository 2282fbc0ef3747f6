"""Scored candidates: which of two lists of records belong together, how probable it is, and what speaks against it.

Candidate pairs by blocking (`blocking`), evidence as levels (`features`), weights estimated without labels or corrected
by the decisions kept so far (`weights`), then the best global assignment (`assignment`). docs/matching.md tells it in
full. A record's key is never evidence; it only orders what is otherwise equal.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from atlas_lib.core.engine import EngineName, open_engine
from atlas_lib.core.errors import InputError
from atlas_lib.reconciliation.scored import features
from atlas_lib.reconciliation.scored.assignment import best_assignment, best_rivals, pair_probabilities
from atlas_lib.reconciliation.scored.blocking import find_pairs
from atlas_lib.reconciliation.scored.features import Pairs, Usual
from atlas_lib.reconciliation.scored.weights import Feature, Weights, correct_by_labels, estimate_weights
from atlas_lib.reconciliation.scored.words import fold_texts, read_words

_LEAST_PROBABILITY = 0.1  # from which a pair is possible at all
_TEXTS = ("reference_text", "name_text")


class ScoringSettings(BaseModel):
    """What an analyst may change about scored candidates."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    auto_precision: float = Field(
        0.995, gt=0.5, lt=1, description="share of the automatic matches that must be expected to be right"
    )
    suggest_precision: float = Field(
        0.97, gt=0.5, lt=1, description="share of automatic and suggested matches together expected to be right"
    )
    min_margin_rate: float = Field(
        0.9, ge=0, lt=1, description="probability by which an automatic match must be ahead of its best rival"
    )
    min_suggest_rate: float = Field(
        0.5, ge=0, lt=1, description="probability from which a pair is suggested; below it is only possible"
    )
    days_before: int = Field(3, ge=0, le=366, description="days the right record may lie before the left one")
    days_after: int = Field(30, ge=0, le=366, description="days the right record may lie after the left one")
    amount_rate: float = Field(
        0.15, gt=0, le=2, description="share by which amounts may differ where no rare word is shared"
    )
    crowded_rows: int = Field(
        2_000, ge=10, description="right records in one block above which it is looked up by more letters"
    )
    engine: EngineName = Field("duckdb", description="engine of the blocking")


def score_candidates(
    left: pd.DataFrame, right: pd.DataFrame, settings: ScoringSettings, labels: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The best assignment of left to right records, each used once, with probability, rival, margin and tier.

    Input of either side: key (unique text), day (date), amount_minor (not negative), currency, direction,
    reference_text, name_text (missing where unknown). A record without day or amount has no candidates. `labels`:
    left_key, right_key, is_match: decisions kept so far.

    Output, one row per assigned pair, sorted by left_key: left_key, right_key, probability, rival_left_key,
    rival_right_key (the likeliest other pair of either record; missing where there is none), rival_probability,
    margin_rate (probability - rival_probability), tier (auto, suggested, possible), evidence (log odds) of
    amount, days, found_by and each text, amount_difference_minor, lag_days.
    """
    return assign_pairs(score_pairs(left, right, settings, labels), settings)


class ScoredPairs:
    """All candidate pairs with evidence and probability; records in the order of their keys."""

    def __init__(self, left: pd.DataFrame, right: pd.DataFrame, pairs: pd.DataFrame, weights: Weights) -> None:
        self.left, self.right, self.weights = left, right, weights
        self.records = {"left": left, "right": right}
        self.pairs = pairs.assign(**{f"{name}_evidence": found for name, found in weights.evidence.items()})
        self.left_row = pairs["left_row"].to_numpy(np.int64)
        self.right_row = pairs["right_row"].to_numpy(np.int64)
        self.probability = weights.probability


def score_pairs(
    left: pd.DataFrame, right: pd.DataFrame, settings: ScoringSettings, labels: pd.DataFrame | None = None
) -> ScoredPairs:
    """Every candidate pair with its probability."""
    ours, theirs = _prepared(left, right)
    texts = _texts(ours, theirs)
    words = read_words(*_all_text(texts, len(ours), len(theirs)))
    limits = {name: getattr(settings, name) for name in ("days_before", "days_after", "amount_rate", "crowded_rows")}
    found = find_pairs(open_engine(settings.engine), ours, theirs, words, limits)
    pairs = Pairs(
        found["left_row"].to_numpy(np.int64), found["right_row"].to_numpy(np.int64),
        found["found_by"].to_numpy(np.int64), ours, theirs,
        settings.days_before, settings.days_after, float(np.log1p(settings.amount_rate)),
    )  # fmt: skip
    observed = [features.days_feature(pairs), features.found_feature(pairs, features.region_size(pairs))]
    for name, (left_text, right_text) in texts.items():
        own = read_words(left_text, right_text) if len(texts) > 1 else words
        observed.append(features.text_feature(name, pairs, own, left_text, right_text))
    weights = _estimated(pairs, observed)
    if labels is not None and len(labels):
        weights = _corrected(weights, pairs, labels)
    return ScoredPairs(ours, theirs, found, weights)


def assign_pairs(scored: ScoredPairs, settings: ScoringSettings) -> pd.DataFrame:
    """The best assignment of scored pairs, as `score_candidates` gives it."""
    pairs = scored.pairs.assign(probability=scored.probability)
    value = np.where(scored.probability >= _LEAST_PROBABILITY, scored.probability, 0.0)
    taken = best_assignment(scored.left_row, scored.right_row, value)
    return _named(_tiered(best_rivals(pairs, taken), settings), scored)


def _prepared(left: pd.DataFrame, right: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Records that can have candidates, in the order of their keys; currency and direction become a book's number."""
    sides = []
    for name, records in (("left", left), ("right", right)):
        if records["key"].duplicated().any():
            twice = records["key"][records["key"].duplicated()].iloc[0]
            raise InputError(
                "A key names two records", where=f"{name} records", expected="unique keys", found=str(twice)
            )
        usable = records[records["day"].notna() & records["amount_minor"].notna()]
        sides.append(usable.sort_values("key", ignore_index=True))
    both = pd.concat(sides)
    book = both.groupby(["currency", "direction"], dropna=False).ngroup().to_numpy()
    days = (pd.to_datetime(both["day"]) - pd.Timestamp(0)).dt.days.to_numpy()
    both = both.assign(book=book, day=days, amount_minor=both["amount_minor"].astype("int64"))
    return both.iloc[: len(sides[0])], both.iloc[len(sides[0]) :]


def _texts(left: pd.DataFrame, right: pd.DataFrame) -> dict[str, tuple[pd.Series, pd.Series]]:
    """The texts to compare: each by itself where both sides have it, otherwise all of a side's texts as one."""
    folded = {name: (fold_texts(left[name]), fold_texts(right[name])) for name in _TEXTS}
    has = {name: tuple(bool((text != "").any()) for text in both) for name, both in folded.items()}
    if all(one == other for one, other in has.values()):
        return {name: both for name, both in folded.items() if has[name][0]}
    joined = tuple(_side_by_side([both[side] for both in folded.values()]) for side in (0, 1))
    return {"text": (joined[0], joined[1])} if all((text != "").any() for text in joined) else {}


def _all_text(
    texts: dict[str, tuple[pd.Series, pd.Series]], left_count: int, right_count: int
) -> tuple[pd.Series, pd.Series]:
    """What blocking goes by."""
    if not texts:
        return tuple(pd.Series([""] * count, dtype="str") for count in (left_count, right_count))  # type: ignore[return-value]
    left, right = (_side_by_side([both[side] for both in texts.values()]) for side in (0, 1))
    return left, right


def _side_by_side(texts: list[pd.Series]) -> pd.Series:
    joined = texts[0].reset_index(drop=True)
    for text in texts[1:]:
        joined = joined.str.cat(text.reset_index(drop=True), sep=" ").str.strip()
    return joined


def _estimated(pairs: Pairs, observed: list[Feature]) -> Weights:
    """Twice: first without, then with the differences in amount that probable matches turned out to share."""
    sizes, counts = features.book_sizes(pairs), (len(pairs.left), len(pairs.right))
    amount = features.amount_feature(pairs)
    start = _first_guess(pairs, [amount, *observed])
    first = estimate_weights(pairs.left_row, pairs.right_row, [amount, *observed], counts, sizes, start)
    usual = features.usual_differences(pairs, first.probability)
    if usual == Usual((), ()):
        return first
    amount = features.amount_feature(pairs, usual)
    return estimate_weights(pairs.left_row, pairs.right_row, [amount, *observed], counts, sizes, first.probability)


def _first_guess(pairs: Pairs, observed: list[Feature]) -> np.ndarray:
    """By what the features are expected to show, before any has been estimated."""
    log_odds = -np.log(features.book_sizes(pairs))
    for feature in observed:
        level = np.maximum(feature.level, 0)
        log_m = np.log(feature.prior * feature.slices)[level]
        log_u = (
            feature.log_u if feature.log_u is not None else np.log(feature.expected_otherwise() * feature.slices)[level]
        )
        log_odds = log_odds + np.where(feature.level >= 0, log_m - log_u, 0.0)
    return pair_probabilities(pairs.left_row, pairs.right_row, log_odds, rounds=15)


def _corrected(weights: Weights, pairs: Pairs, labels: pd.DataFrame) -> Weights:
    keys = pd.DataFrame({"left_key": pairs.of_left("key"), "right_key": pairs.of_right("key")})
    known = keys.assign(at=keys.index).merge(labels, on=["left_key", "right_key"], validate="one_to_one")
    log_odds, corrections = correct_by_labels(weights, known["at"].to_numpy(np.int64), known["is_match"].to_numpy(bool))
    probability = pair_probabilities(pairs.left_row, pairs.right_row, log_odds)
    return replace(weights, log_odds=log_odds, probability=probability, corrections=corrections)


def _tiered(chosen: pd.DataFrame, settings: ScoringSettings) -> pd.DataFrame:
    """auto: the most pairs whose mean probability is the wanted precision, each ahead of its rival by the margin."""
    rated = chosen.assign(margin_rate=chosen["probability"] - chosen["rival_probability"])
    clear = rated["margin_rate"] >= settings.min_margin_rate
    is_auto = clear & _within_precision(rated["probability"].where(clear, -1), settings.auto_precision)
    is_likely = rated["probability"] >= settings.min_suggest_rate
    listed = is_auto | is_likely
    is_suggested = listed & _within_precision(rated["probability"].where(listed, -1), settings.suggest_precision)
    tier = np.select([is_auto, is_suggested], ["auto", "suggested"], "possible")
    return rated.assign(tier=tier)


def _within_precision(probability: pd.Series, precision: float) -> pd.Series:
    """The likeliest pairs, as many as keep their mean probability at the precision; negative ones never."""
    order = np.argsort(-probability.to_numpy(), kind="stable")
    ranked = probability.to_numpy()[order]
    mean = np.cumsum(np.maximum(ranked, 0)) / np.arange(1, len(ranked) + 1)
    enough = np.flatnonzero((mean >= precision) & (ranked >= 0))
    # All pairs as likely as the last one are in or out together: the order of equal ones must not decide.
    least = ranked[enough[-1]] if len(enough) else 2.0
    if len(enough) and (ranked == least).sum() > (ranked[: enough[-1] + 1] == least).sum():
        above = ranked[ranked > least]
        least = above[-1] if len(above) else 2.0
    return probability >= least


def _named(chosen: pd.DataFrame, scored: ScoredPairs) -> pd.DataFrame:
    """Row numbers become keys."""
    keys = {side: np.array([*records["key"], None], dtype=object) for side, records in scored.records.items()}
    left_row, right_row = chosen["left_row"], chosen["right_row"]
    left, right = scored.left.iloc[left_row], scored.right.iloc[right_row]
    named = pd.DataFrame(
        {
            "left_key": left["key"].to_numpy(object),
            "right_key": right["key"].to_numpy(object),
            "probability": chosen["probability"],
            "rival_left_key": keys["left"][chosen["rival_left_row"]],
            "rival_right_key": keys["right"][chosen["rival_right_row"]],
            "rival_probability": chosen["rival_probability"],
            "margin_rate": chosen["margin_rate"],
            "tier": chosen["tier"],
            "amount_difference_minor": right["amount_minor"].to_numpy() - left["amount_minor"].to_numpy(),
            "lag_days": right["day"].to_numpy() - left["day"].to_numpy(),
        }
    )
    evidence = scored.pairs.filter(like="_evidence").columns.tolist()
    found = chosen[["left_row", "right_row"]].merge(
        scored.pairs[["left_row", "right_row", *evidence]], on=["left_row", "right_row"], validate="one_to_one"
    )
    named[evidence] = found[evidence].to_numpy()
    return named.sort_values("left_key", ignore_index=True)
