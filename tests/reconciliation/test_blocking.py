"""Candidate pairs: what each rule finds, what bounds it, and the same pairs from both engines."""

from __future__ import annotations

import numpy as np
import pandas as pd

from atlas_lib.core.engine import open_engine
from atlas_lib.reconciliation.scored.blocking import find_pairs
from atlas_lib.reconciliation.scored.words import compare_words, fold_texts, read_words

LIMITS = {"days_before": 1, "days_after": 5, "amount_rate": 0.15, "crowded_rows": 50}


def found(left, right, engine="duckdb", **limits):
    """Pairs of (day, amount, text) rows."""
    sides = [pd.DataFrame(rows, columns=["day", "amount_minor", "text"]).assign(book=0) for rows in (left, right)]
    words = read_words(*(fold_texts(side["text"]) for side in sides))
    pairs = find_pairs(open_engine(engine), *sides, words, LIMITS | limits)
    return list(pairs.itertuples(index=False, name=None))


def test_equal_amounts_need_no_common_word():
    assert found([(10, 5000, "ALBA")], [(12, 5000, "COREN")]) == [(0, 0, 0)]


def test_close_amounts_need_words_that_begin_alike():
    left = [(10, 5000, "WENZEL ELFIR")]
    right = [
        (12, 5200, "W E"),
        (12, 5200, "E WENZ"),
        (12, 5200, "MORNA OSPET"),
        (12, 6000, "WENZEL ELFIR KAL"),
        (16, 5200, "W E"),
    ]
    assert [pair[1] for pair in found(left, right) if pair[1] != 3] == [0, 1]  # fmt: skip


def test_a_rare_word_finds_any_amount_but_no_other_time():
    left = [(10, 5000, "A RF1234567")]
    assert found(left, [(12, 900, "B RF1234567"), (30, 900, "B RF1234567")]) == [(0, 0, 1)]


def test_rows_without_text_meet_by_amount():
    assert found([(10, 5000, None)], [(11, 5100, ""), (11, 5100, "MORNA")]) == [(0, 0, 2)]


def test_a_crowded_block_is_looked_up_by_more_letters():
    random = np.random.default_rng(1)
    letters = np.array(list("ABCDEFGHIJKLMNOPQRSTU"))
    names = ["W" + "".join(random.choice(letters, 4)) + " E" + "".join(random.choice(letters, 4)) for _ in range(300)]
    left = [(10, 5000 + i, name) for i, name in enumerate(names)]
    right = [(11, 5003 + i, name) for i, name in enumerate(names)]
    pairs = found(left, right, crowded_rows=20)
    text = [pair for pair in pairs if pair[2] == 1]
    assert {(i, i, 1) for i in range(300)} <= set(text)
    assert len(text) < 300 * 20


def test_both_engines_find_the_same_pairs(spark_engine):
    assert spark_engine.name == "spark"
    random = np.random.default_rng(3)
    names = ["".join(row) for row in random.choice(list("ABC"), (40, 3))]
    left = [
        (int(d), int(a), f"{n} {n[::-1]}")
        for d, a, n in zip(random.integers(0, 9, 40), random.integers(900, 1200, 40), names, strict=True)
    ]
    right = [
        (int(d), int(a), n if a % 7 else "")
        for d, a, n in zip(random.integers(0, 9, 40), random.integers(900, 1200, 40), names, strict=True)
    ]
    assert found(left, right, "spark", crowded_rows=6) == found(left, right, crowded_rows=6)  # fmt: skip


def bits(left, right):
    words = read_words(fold_texts(pd.Series(left)), fold_texts(pd.Series(right)))
    rows = np.arange(len(left))
    return [np.round(part, 3).tolist() for part in compare_words(words, rows, rows)]


def test_initials_truncation_and_accents_are_agreement_and_rare_words_weigh_more():
    shared, ours, theirs = bits(
        ["Wenzel Elfir", "WENZEL PAYM", "Müller", "ALBA COREN"], ["W E", "WENZEL PAYMENT", "MULLER", "ALBA MORNA"]
    )
    assert ours == [0, 0, 0, 3.0]
    assert theirs == [0, 0, 0, 3.0]
    assert shared[1] > shared[0] > 0
    assert shared[2] == 2.0


def test_repeated_initials_are_two_words():
    shared, ours, _ = bits(["H H", "H K", "X Y", "Z Z"], ["H H", "H H", "X Y", "Q Q"])
    assert shared[0] > shared[1]
    assert ours[1] > 0
