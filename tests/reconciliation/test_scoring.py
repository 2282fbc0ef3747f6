"""Scored candidates on generated books of payments whose partners are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from atlas_lib.core.errors import InputError
from atlas_lib.reconciliation.scored.scoring import ScoringSettings, score_candidates

SYLLABLES = np.array("al ba cor den el fir gor han ist jur kal lim mor nad os pet qui rom sal tur".split())
START = pd.Timestamp("2026-03-01")


def names(random, count):
    parts = random.choice(SYLLABLES, (count, 5))
    return pd.Series(["".join(row[:2]) + " " + "".join(row[2:]) for row in parts])


def book(count, seed, alone=0):
    """Two sides of `count` payments: lag, truncated text, some amounts off by up to 3 %; `alone` more on either side."""
    random = np.random.default_rng(seed)
    days, lag = random.integers(0, 90, count + alone), 1 + random.poisson(1.5, count + alone)
    amount = np.exp(random.normal(9, 1.5, count + alone)).astype(np.int64) + 100
    off = np.where(random.random(count + alone) < 0.4, np.exp(random.normal(0, 0.012, count + alone)), 1)
    text, other = names(random, count + alone), names(random, count + alone)
    is_pair = np.arange(count + alone) < count
    left = frame("L", days, amount, text.str[:14])
    right = frame(
        "R", np.where(is_pair, days + lag, random.integers(0, 95, count + alone)),
        np.where(is_pair, np.rint(amount * off), random.permutation(amount)), text.where(is_pair, other).str[:12],
    )  # fmt: skip
    return left, right


def frame(side, days, amount, text):
    return pd.DataFrame(
        {
            "key": [f"{side}{i:05d}" for i in range(len(amount))], "day": START + pd.to_timedelta(days, unit="D"),
            "amount_minor": np.asarray(amount, dtype=np.int64), "currency": "EUR", "direction": "CRDT",
            "reference_text": text, "name_text": None,
        }
    )  # fmt: skip


def is_right(found):
    return found["left_key"].str[1:] == found["right_key"].str[1:]


@pytest.fixture(scope="module")
def scored():
    left, right = book(600, seed=11, alone=150)
    return score_candidates(left, right, ScoringSettings())


def test_automatic_matches_are_right_and_most_pairs_are_found(scored):
    in_truth = scored["left_key"].str[1:].astype(int) < 600
    auto, listed = scored["tier"] == "auto", scored["tier"] != "possible"
    assert (is_right(scored) & in_truth)[auto].mean() >= 0.995
    assert (is_right(scored) & in_truth)[auto].sum() >= 0.85 * 600
    assert (is_right(scored) & in_truth)[listed].mean() >= 0.97
    assert (is_right(scored) & in_truth)[listed].sum() >= 0.95 * 600


def test_each_record_is_used_once(scored):
    assert scored["left_key"].is_unique
    assert scored["right_key"].is_unique


def test_probabilities_hold_on_average(scored):
    right = is_right(scored) & (scored["left_key"].str[1:].astype(int) < 600)
    assert right.mean() == pytest.approx(scored["probability"].mean(), abs=0.03)


def test_an_automatic_match_is_ahead_of_its_rival_by_the_margin(scored):
    auto = scored[scored["tier"] == "auto"]
    assert (auto["margin_rate"] >= 0.9).all()
    assert (scored["margin_rate"] - (scored["probability"] - scored["rival_probability"])).abs().max() < 1e-12
    assert auto["probability"].mean() >= 0.995
    named = scored["rival_left_key"].notna()
    own = scored[named]
    assert ((own["rival_left_key"] == own["left_key"]) ^ (own["rival_right_key"] == own["right_key"])).all()


def test_the_order_of_the_input_does_not_matter():
    left, right = book(150, seed=3, alone=30)
    first = score_candidates(left, right, ScoringSettings())
    again = score_candidates(
        left.sample(frac=1, random_state=1), right.sample(frac=1, random_state=2), ScoringSettings()
    )
    pd.testing.assert_frame_equal(first, again)


def test_twins_are_never_matched_automatically_and_the_rival_is_named():
    left, right = book(200, seed=5)
    twin = right.iloc[[0]].assign(key="R99999")
    found = score_candidates(left, pd.concat([right, twin]), ScoringSettings())
    row = found[found["left_key"] == "L00000"].iloc[0]
    assert row["tier"] != "auto"
    assert {row["right_key"], row["rival_right_key"]} == {"R00000", "R99999"}
    assert row["margin_rate"] == pytest.approx(0, abs=1e-6)


def test_unrelated_lists_give_no_automatic_match():
    left, _ = book(0, seed=1, alone=300)
    right, _ = book(0, seed=2, alone=300)
    found = score_candidates(left, right.assign(key=right["key"].str.replace("L", "R")), ScoringSettings())
    assert not (found["tier"] == "auto").any()


def test_a_higher_wanted_precision_matches_less_automatically():
    left, right = (side.assign(reference_text=side["reference_text"].str[:3]) for side in book(300, seed=9, alone=80))
    wanted = [ScoringSettings(auto_precision=p, min_margin_rate=0.5) for p in (0.9, 0.9999)]
    counts = [(score_candidates(left, right, settings)["tier"] == "auto").sum() for settings in wanted]
    assert counts[0] > counts[1] > 0


def test_currency_and_direction_are_never_crossed():
    left, right = book(200, seed=7)
    right.loc[:99, "currency"] = "USD"
    right.loc[100:149, "direction"] = "DBIT"
    found = score_candidates(left, right, ScoringSettings())
    assert found["left_key"].str[1:].astype(int).min() >= 150


def test_records_without_day_or_text_and_empty_sides_are_taken_as_they_are():
    left, right = book(120, seed=13)
    left.loc[:9, "day"] = pd.NaT
    right.loc[10:19, "reference_text"] = None
    found = score_candidates(left, right, ScoringSettings())
    assert not found["left_key"].isin(left["key"][:10]).any()
    assert score_candidates(left.iloc[:0], right, ScoringSettings()).empty
    without = [side.assign(reference_text=None) for side in (left, right)]
    assert is_right(score_candidates(*without, ScoringSettings())).mean() > 0.9


def test_a_key_given_twice_is_refused():
    left, right = book(20, seed=1)
    with pytest.raises(InputError, match="L00003"):
        score_candidates(pd.concat([left, left.iloc[[3]]]), right, ScoringSettings())
