"""Sums without a name: exact, suggested with what speaks against them and never taken, or said to be beyond the bound."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from atlas_lib.core.engine import open_engine
from atlas_lib.reconciliation.passes.candidates import RESULTS
from atlas_lib.reconciliation.passes.solutions import lay_along
from atlas_lib.reconciliation.passes.subset_sums import exact_subsets, expected_by_chance
from tests.reconciliation.reconciliation_frames import frame_of, line, match, payment, reconcile, settings

AMOUNTS = [31_317, 52_919, 42_118, 77_003]


def found(ours, bank, **values):
    return match(frame_of("transactions", ours), frame_of("statement_lines", bank), settings(**values))


def pairs(result):
    """Pairs suggested; sums of amounts alone are never matched."""
    assert result["matches"].empty
    rows = result["suggestions"][["transaction_id", "line_id", "match_pass", "amount_minor"]]
    return sorted(map(tuple, rows.to_numpy().tolist()))


def test_two_lines_that_add_up_to_one_open_payment_are_suggested():
    bank = [line("1", 30_001, "2026-10-06"), line("2", 47_002, "2026-10-07"), line("3", 9_999, "2026-10-07")]
    result = found([payment("T1", 77_003, "2026-10-05"), payment("T2", 50_000, "2026-10-05")], bank)
    assert pairs(result) == [("T1", "1", "one_to_many", 30_001), ("T1", "2", "one_to_many", 47_002)]
    assert len(set(result["suggestions"]["group_id"])) == 1 and set(result["suggestions"]["rival"]) == {""}


def test_lines_out_of_the_days_or_of_the_other_direction_do_not_add_up():
    late = [line("1", 30_001, "2026-10-06"), line("2", 47_002, "2026-10-13")]
    turned = [line("1", 30_001, "2026-10-06"), line("2", 47_002, "2026-10-07", credit_debit_indicator="DBIT")]
    for bank in (late, turned):
        assert pairs(found([payment("T1", 77_003, "2026-10-05")], bank)) == []


def test_lines_of_two_bank_accounts_do_not_add_up():
    bank = [line("1", 30_001, "2026-10-06"), line("2", 47_002, "2026-10-07", account="OTHER", statement_id="S2")]
    assert pairs(found([payment("T1", 77_003, "2026-10-05")], bank)) == []


def test_several_payments_are_suggested_against_several_lines():
    ours = [payment(f"T{n}", amount, "2026-10-05") for n, amount in enumerate(AMOUNTS[:3])]
    bank = [line("1", 60_000, "2026-10-06"), line("2", sum(AMOUNTS[:3]) - 60_000, "2026-10-07")]
    result = found(ours, bank)
    assert {p for _, _, p, _ in pairs(result)} == {"many_to_many"}
    suggested = result["suggestions"]
    assert suggested["amount_minor"].sum() == sum(AMOUNTS[:3])
    assert suggested.groupby("line_id")["amount_minor"].sum().tolist() == [60_000, sum(AMOUNTS[:3]) - 60_000]
    assert len(set(suggested["group_id"])) == 1


def test_two_sums_added_up_are_no_rival_of_either():
    ours = [
        payment("T1", 77_003, "2026-10-05", merchant_id="M1"),
        payment("T2", 52_919, "2026-10-05", merchant_id="M2"),
    ]
    bank = [line(str(n), amount, "2026-10-06") for n, amount in enumerate([30_001, 47_002, 20_017, 32_902])]
    suggested = found(ours, bank)["suggestions"]
    assert set(suggested["match_pass"]) == {"one_to_many"} and set(suggested["rival"]) == {""}


def test_a_sum_that_two_pairs_of_lines_fit_is_suggested_with_the_rival():
    bank = [line(str(n), amount, "2026-10-06") for n, amount in enumerate([30_001, 47_002, 20_002, 57_001])]
    result = found([payment("T1", 77_003, "2026-10-05")], bank)
    assert result["matches"].empty
    suggested = result["suggestions"]
    assert suggested["line_id"].tolist() == ["0", "1"] and len(set(suggested["group_id"])) == 1
    assert set(suggested["rival"]) == {"bank line S1/2 + S1/3"}


@pytest.mark.parametrize("most_parts, rows", [(2, 0), (3, 3)])
def test_no_more_rows_are_added_up_than_the_setting_allows(most_parts, rows):
    bank = [line(str(n), amount, "2026-10-06") for n, amount in enumerate([30_001, 40_002, 7_000])]
    assert len(pairs(found([payment("T1", 77_003, "2026-10-05")], bank, most_parts=most_parts))) == rows


def test_more_lines_than_the_bound_are_not_searched_and_it_is_said():
    bank = [line(f"{n:02}", 10_001 + 137 * n * n, "2026-10-06") for n in range(6)]
    result = found([payment("T1", 20_139, "2026-10-05")], bank, most_candidates=5)
    assert pairs(result) == []
    limits = result["search_limits"].set_index("match_pass").loc["one_to_many"]
    assert limits[["bound", "transaction_count", "line_count", "amount_minor"]].tolist() == ["candidates", 1, 0, 20_139]
    assert len(pairs(found([payment("T1", 20_139, "2026-10-05")], bank))) == 2


def test_a_sum_whose_rival_may_lie_beyond_the_bound_says_so():
    bank = [line("a1", 30_001, "2026-10-10"), line("a2", 47_002, "2026-10-10"), line("b1", 20_002, "2026-10-12"), line("b2", 57_001, "2026-10-12")]  # fmt: skip
    bank += [line(f"n{n:02}", 100_003 + 7_919 * n, "2026-10-18") for n in range(14)]
    result = found([payment("T1", 77_003, "2026-10-09")], bank)
    assert {p for _, _, p, _ in pairs(result)} == {"one_to_many"}
    assert set(result["suggestions"]["rival"]) == {"more rows than are searched"}


def test_payments_that_no_line_reaches_within_the_bound_are_said_for_several_to_several_too():
    ours = [payment(f"T{n:02}", 10_000_019 + 1_371_117 * n, "2026-10-05") for n in range(20)]
    bank = [line("1", 9_000_001, "2026-10-06"), line("2", 12_371_154, "2026-10-06")]
    limits = found(ours, bank)["search_limits"].set_index(["match_pass", "bound"])
    assert limits["line_count"].to_dict() == {("many_to_many", "candidates"): 2, ("payout", "candidates"): 2}


def test_a_sum_of_another_pass_is_a_rival():
    ours = [payment("A", 30_001, "2026-10-05"), payment("B", 10_007, "2026-10-05", type="REFUND")]
    result = found(ours, [line("L1", 19_994, "2026-10-06"), line("L2", 10_007, "2026-10-06")])
    assert {(t, b) for t, b, _, _ in pairs(result)} == {("A", "L1"), ("B", "L1")}
    assert set(result["suggestions"]["rival"]) == {"bank line S1/L2"}


def test_a_payment_with_a_doubtful_line_of_its_own_is_still_a_rival():
    ours = [payment(t, a, "2026-10-05") for t, a in (("A", 10_003), ("B", 15_000), ("D", 5_007), ("C1", 20_007), ("C2", 20_007))]  # fmt: skip
    suggested = found(ours, [line("L", 30_010, "2026-10-06"), line("X", 20_007, "2026-10-06")])["suggestions"]
    assert set(suggested.loc[suggested["line_id"] == "L", "rival"]) == {"transaction C1"}


@pytest.mark.parametrize("step", [100, 1_000])
def test_unrelated_round_amounts_are_never_taken_as_a_sum(step):
    rng = np.random.default_rng(1)
    shops = frame_of("merchants", [{"merchant_id": f"M{n}", "merchant_name": f"Shop {n:02}"} for n in range(30)])
    ours = [payment(f"T{n:02}", int(rng.integers(3_000, 20_000)) // step * step, "2026-10-05", merchant_id=f"M{n}") for n in range(30)]  # fmt: skip
    bank = [line(f"{n:02}-{k}", int(rng.integers(1_000, 12_000)) // step * step, "2026-10-06", counterparty_name=f"Shop {n:02}") for n in range(30) for k in range(3)]  # fmt: skip
    result = match(frame_of("transactions", ours), frame_of("statement_lines", bank), merchants=shops)
    assert set(result["matches"]["match_pass"]) <= {"amount_date"}
    assert "one_to_many" in set(result["suggestions"]["match_pass"])


def test_a_sum_of_which_the_scored_pass_claims_a_row_is_dropped_whole():
    steps = [step for step in RESULTS if step[0] in ("broken_sums", "suggested_groups")]
    rows = [
        ("A", "T1", "L1"),
        ("A", "T2", "L1"),
        ("B", "T3", "L2"),
        ("B", "T4", "L2"),
        ("C", "T5", "L3"),
        ("C", "T5", "L4"),
    ]
    sums = pd.DataFrame(rows, columns=["group_key", "transaction_id", "line_key"])
    same = {"status": "suggested", "match_pass": "payout", "amount_minor": 1, "reserve_minor": 0, "match_score": 0.85}
    sums = sums.assign(rival="", **same)
    scored = pd.DataFrame({"transaction_id": ["T2", "T9"], "line_key": ["L9", "L4"]})
    kept = open_engine("duckdb").run(steps, {"found_sums": sums, "scored_pairs": scored}, ["suggested_groups"])
    assert kept["suggested_groups"]["group_key"].tolist() == ["B", "B"]


@trials(max_examples=60, deadline=None)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=9), st.integers(-12, 12))
def test_the_subsets_found_are_all_that_there_are(values, target):
    every = [s for size in range(len(values) + 1) for s in combinations(range(len(values)), size) if sum(values[i] for i in s) == target]  # fmt: skip
    total, subsets = exact_subsets(np.array(values, dtype=np.int64), target, 10_000)
    assert total == len(every)
    assert sorted(tuple(map(int, s)) for s in subsets) == sorted(every)


@pytest.mark.parametrize("large", [0, 1_000_000, 50_000_000])
def test_what_chance_gives_is_about_what_is_counted_with_one_large_payment_too(large):
    rng = np.random.default_rng(5)
    values = rng.integers(1_000, 9_000, 16)
    target = int(values.sum()) // 2
    values[0] += large
    near = [exact_subsets(values, target + d, 100_000)[0] for d in range(-200, 200)]
    assert np.mean(near) == pytest.approx(expected_by_chance(values, target), rel=0.15)


@trials(max_examples=60, deadline=None)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=5), st.lists(st.integers(-9, 9), min_size=0, max_size=4))
def test_amounts_laid_along_each_other_keep_every_row(left, right):
    right = [*right, sum(left) - sum(right)]
    first, second, amount = lay_along(np.array(left), np.array(right))
    for rows, at in ((left, first), (right, second)):
        assert np.bincount(at, amount, len(rows)).tolist() == rows
        assert set(at) == set(range(len(rows)))


@pytest.mark.slow
def test_spark_finds_the_same_payouts_and_sums_as_duckdb(spark_engine):
    shops = frame_of("merchants", [{"merchant_id": f"M{i}", "merchant_name": f"Shop {i}", "reserve_rate": 0.1} for i in (1, 2, 3)])  # fmt: skip
    ours = [
        payment("P1", 90_005, "2026-10-05", reference="PO-1"), payment("P2", 30_000, "2026-10-05", reference="PO-1"),
        payment("P0", 3_000, "2026-10-01", type="REFUND"),
        payment("D1", 81_713, "2026-10-05", merchant_id="M2"), payment("D2", 7_301, "2026-10-06", merchant_id="M2", type="REFUND"),
        *(payment(f"E{n}", amount, "2026-10-20", merchant_id="M3") for n, amount in enumerate([31_317, 52_919, 42_118, 42_118, 77_000])),
        payment("G1", 77_003, "2026-10-12", currency="USD"), payment("H1", 31_317, "2026-10-24", currency="USD"),
        payment("H2", 52_919, "2026-10-24", currency="USD"),
    ]  # fmt: skip
    bank = [
        line("1", 105_004, "2026-10-06", end_to_end_id="PO1"), line("2", 81_713 - 7_301 - 8_171, "2026-10-08", counterparty_name="Shop 2"),
        line("3", 31_317 + 42_118, "2026-10-21", counterparty_name="Shop 3"), line("4", 30_001, "2026-10-13", currency="USD"),
        line("5", 47_002, "2026-10-13", currency="USD"), line("6", 40_000, "2026-10-25", currency="USD"),
        line("7", 44_236, "2026-10-25", currency="USD"),
    ]  # fmt: skip
    sides = frame_of("transactions", ours), frame_of("statement_lines", bank)
    assert spark_engine.name == "spark"
    one, other = (reconcile(*sides, settings(engine=e), merchants=shops) for e in ("duckdb", "spark"))
    assert set(one["matches"]["match_pass"]) == {"payout"}
    assert set(one["suggestions"]["match_pass"]) == {"payout", "one_to_many", "many_to_many"}
    assert one["payout_waterfalls"]["status"].tolist() == ["matched", "matched", "suggested"]
    assert one["payout_parts"]["is_prior"].sum() == 1
    for name in one:
        pd.testing.assert_frame_equal(one[name], other[name])
