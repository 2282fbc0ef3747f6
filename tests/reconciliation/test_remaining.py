"""The last pass: scored pairs of what the passes before leave, on generated books whose partners are known."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest

from atlas_lib.reconciliation.pairs import joined
from atlas_lib.reconciliation.passes import remaining
from atlas_lib.reconciliation.scored.scoring import score_candidates
from tests.reconciliation.reconciliation_frames import frame_of, line, match, payment, reconcile
from tests.reconciliation.reconciliation_frames import settings as chosen

SYLLABLES = np.array("al ba cor den el fir gor han ist jur kal lim mor nad os pet qui rom sal tur".split())
PAIR = ["transaction_id", "line_id"]


def book(count, amounts=(9_900, 19_900, 29_900), off=0, seed=4):
    """Prices that recur, no reference at the bank; only a customer's name in the texts tells the payments apart."""
    random = np.random.default_rng(seed)
    names = [
        "".join(a).title() + " " + "".join(b) for a, b in zip(*random.choice(SYLLABLES, (2, count, 3)), strict=True)
    ]
    days = 5 + random.integers(0, 10, count)
    sums = random.choice(amounts, count)
    ours = [
        payment(f"T{i:03d}", int(s), f"2026-10-{d:02d}", reference=n)
        for i, (s, d, n) in enumerate(zip(sums, days, names, strict=True))
    ]
    bank = [
        line(f"{i:03d}", int(s) + off, f"2026-10-{d + 2:02d}", remittance_text=f"Zahlung {n[:11].upper()}")
        for i, (s, d, n) in enumerate(zip(sums, days, names, strict=True))
    ]
    return frame_of("transactions", ours), frame_of("statement_lines", bank)


@pytest.fixture(scope="module")
def sides():
    return book(80)


@pytest.fixture(scope="module")
def result(sides):
    return reconcile(*sides)


def is_right(frame):
    return frame["transaction_id"].str[1:] == frame["line_id"]


def test_names_tell_apart_what_amount_and_day_do_not(result):
    scored = result["matches"].query("match_pass == 'scored'")
    assert len(scored) >= 60
    assert is_right(scored).all()
    assert scored["match_score"].between(0.9, 1).all()
    assert (scored["rival_margin"] >= 0.9).all()


def test_each_side_is_used_once_and_nothing_taken_is_also_suggested(result):
    matches, suggested = result["matches"], result["suggestions"]
    assert matches["transaction_id"].is_unique and matches["line_id"].is_unique
    assert suggested["transaction_id"].is_unique
    assert not suggested["transaction_id"].isin(matches["transaction_id"]).any()
    assert not suggested["line_id"].isin(matches["line_id"]).any()


def test_every_row_is_in_the_proof_once_and_the_accounts_bridge(sides, result):
    items = result["reconciliation_items"]
    assert len(items) == len(sides[0]) + len(sides[1])
    assert (result["bridges"]["residual_minor"] == 0).all()
    assert (result["reconciliation_totals"][["difference_count", "difference_minor"]] == 0).all(axis=None)


def test_an_amount_beyond_the_tolerance_is_suggested_and_never_taken():
    found = reconcile(*book(80, amounts=np.arange(10_000, 90_000, 17), off=-250))
    assert found["matches"].empty
    assert len(found["suggestions"]) >= 60
    assert is_right(found["suggestions"]).mean() >= 0.97
    assert (found["bridges"]["residual_minor"] == 0).all()
    assert set(found["breaks"]["break_type"]) == {"MISSING_AT_BANK", "MISSING_IN_LEDGER"}


def test_a_rule_of_the_scored_pass_says_what_difference_may_be_taken():
    rule = {"match_pass": "scored", "below_minor": 250, "above_minor": 0}
    ours, bank = book(80, amounts=np.arange(10_000, 90_000, 17), off=-250)
    matches = match(ours, bank, chosen(tolerances=[rule]))["matches"].query("match_pass == 'scored'")
    assert len(matches) >= 40
    assert (matches["value_minor"] - matches["amount_minor"] == -250).all()


def test_among_few_rows_nothing_is_taken_and_the_rival_is_named():
    ours, bank = (side.head(20) for side in book(80, amounts=(9_900,)))
    found = match(ours, bank)
    assert found["matches"].query("match_pass == 'scored'").empty
    assert found["suggestions"]["rival"].str.match("(bank line|transaction) ").any()


def test_a_name_of_another_merchant_keeps_a_pair_from_being_taken(sides):
    ours, bank = sides
    merchants = frame_of(
        "merchants", [{"merchant_id": m, "merchant_name": n} for m, n in (("M1", "Own"), ("M2", "Other"))]
    )
    ours = ours.assign(merchant_id=["M2", *["M1"] * (len(ours) - 1)])
    found = match(ours, bank.assign(counterparty_name="Other"), merchants=merchants)
    assert set(found["matches"]["transaction_id"]) <= {"T000"}


def test_the_wanted_precisions_of_the_run_are_those_of_the_scoring(sides, monkeypatch):
    asked = []

    def spy(ours, lines, scoring, labels):
        asked.append(scoring)
        return score_candidates(ours, lines, scoring, labels)

    monkeypatch.setattr("atlas_lib.reconciliation.scored.scoring.score_candidates", spy)
    match(*sides, chosen(auto_precision=0.98, suggest_precision=0.9))
    assert [(s.auto_precision, s.suggest_precision) for s in asked] == [(0.98, 0.9)]


def test_the_order_of_the_input_does_not_matter(sides, result):
    again = match(*(side.sample(frac=1, random_state=3) for side in sides))
    for name in again:
        pd.testing.assert_frame_equal(again[name], result[name])


def test_the_oldest_whole_days_are_left_out_above_the_bound_and_said_so(monkeypatch, caplog):
    ours, bank = book(160)
    monkeypatch.setattr("atlas_lib.reconciliation.matching.MOST_ROWS", 130)
    with caplog.at_level(logging.WARNING, "atlas_lib.reconciliation"):
        scored = match(ours, bank)["matches"].query("match_pass == 'scored'")
    assert 50 <= len(scored) <= 130
    assert scored["transaction_date"].min() > ours["created_at"].min().tz_localize(None).normalize()
    assert "were not tried" in caplog.text


def test_labels_are_the_last_words_about_single_pairs_once_there_are_enough_of_either_answer():
    def said(number, action, transaction, key):
        return {"entry_id": number, "action": action, "transaction_ids": transaction, "line_keys": key}

    forced = [said(i, "force", f"T{i}", f"S1/{i}") for i in range(6)]
    undone = [said(10 + i, "unmatch", f"T{i}", f"S1/{i + 1}") for i in range(5)]
    keys = pd.Series([f"S1\x1f{i}" for i in range(9)])
    many = frame_of(
        "decisions",
        [*forced, *undone, said(20, "unmatch", "T5", "S1/5"), said(21, "force", joined(["T7", "T8"]), "S1/7")],
    )
    labels = remaining._labels(many, keys).set_index(["left_key", "right_key"])["is_match"]
    assert labels.sum() == 5 and len(labels) == 11
    assert not labels[("T5", "S1\x1f5")]
    assert remaining._labels(many.head(8), keys) is None


@pytest.mark.slow
def test_spark_takes_and_suggests_the_same_as_duckdb(sides, result, spark_engine):
    other = match(*sides, chosen(engine=spark_engine.name))
    for name in other:
        pd.testing.assert_frame_equal(other[name], result[name])
