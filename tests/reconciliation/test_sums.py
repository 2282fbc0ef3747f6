"""Sums without a name: exact, the only one, and no coincidence; else suggested, or said to be beyond the bound."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from atlas_lib.reconciliation.subset_sums import exact_subsets, expected_by_chance
from tests.reconciliation.reconciliation_frames import frame_of, line, match, payment, reconcile, settings

AMOUNTS = [31_317, 52_919, 42_118, 77_003]


def found(ours, bank, **values):
    return match(frame_of("transactions", ours), frame_of("statement_lines", bank), settings(**values))


def pairs(result):
    rows = result["matches"][["transaction_id", "line_id", "match_pass", "amount_minor"]]
    return sorted(map(tuple, rows.to_numpy().tolist()))


def test_two_lines_that_add_up_to_one_open_payment_are_taken():
    bank = [line("1", 30_001, "2026-10-06"), line("2", 47_002, "2026-10-07"), line("3", 9_999, "2026-10-07")]
    result = found([payment("T1", 77_003, "2026-10-05"), payment("T2", 50_000, "2026-10-05")], bank)
    assert pairs(result) == [("T1", "1", "one_to_many", 30_001), ("T1", "2", "one_to_many", 47_002)]
    assert len(set(result["matches"]["match_id"])) == 1


def test_lines_out_of_the_days_or_of_the_other_direction_do_not_add_up():
    late = [line("1", 30_001, "2026-10-06"), line("2", 47_002, "2026-10-13")]
    turned = [line("1", 30_001, "2026-10-06"), line("2", 47_002, "2026-10-07", credit_debit_indicator="DBIT")]
    for bank in (late, turned):
        assert found([payment("T1", 77_003, "2026-10-05")], bank)["matches"].empty


def test_several_payments_are_taken_against_several_lines():
    ours = [payment(f"T{n}", amount, "2026-10-05") for n, amount in enumerate(AMOUNTS[:3])]
    bank = [line("1", 60_000, "2026-10-06"), line("2", sum(AMOUNTS[:3]) - 60_000, "2026-10-07")]
    result = found(ours, bank)
    assert {p for _, _, p, _ in pairs(result)} == {"many_to_many"}
    assert result["matches"]["amount_minor"].sum() == sum(AMOUNTS[:3])
    assert result["matches"].groupby("line_id")["amount_minor"].sum().tolist() == [60_000, sum(AMOUNTS[:3]) - 60_000]
    assert len(set(result["matches"]["match_id"])) == 1


def test_a_sum_that_two_pairs_of_lines_fit_is_suggested_with_the_rival():
    bank = [line(str(n), amount, "2026-10-06") for n, amount in enumerate([30_001, 47_002, 20_002, 57_001])]
    result = found([payment("T1", 77_003, "2026-10-05")], bank)
    assert result["matches"].empty
    suggested = result["suggestions"]
    assert suggested["line_id"].tolist() == ["0", "1"] and len(set(suggested["group_id"])) == 1
    assert set(suggested["rival"]) == {"bank line S1/2 + S1/3"}


@pytest.mark.parametrize("most_parts, taken", [(2, 0), (3, 3)])
def test_no_more_rows_are_added_up_than_the_setting_allows(most_parts, taken):
    bank = [line(str(n), amount, "2026-10-06") for n, amount in enumerate([30_001, 40_002, 7_000])]
    assert len(found([payment("T1", 77_003, "2026-10-05")], bank, most_parts=most_parts)["matches"]) == taken


def test_more_lines_than_the_bound_are_not_searched_and_it_is_said():
    bank = [line(f"{n:02}", 10_001 + 137 * n * n, "2026-10-06") for n in range(6)]
    result = found([payment("T1", 20_139, "2026-10-05")], bank, most_candidates=5)
    assert result["matches"].empty
    limits = result["search_limits"].set_index("match_pass").loc["one_to_many"]
    assert limits[["bound", "transaction_count", "line_count", "amount_minor"]].tolist() == ["candidates", 1, 0, 20_139]
    assert len(found([payment("T1", 20_139, "2026-10-05")], bank)["matches"]) == 2


@trials(max_examples=60, deadline=None)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=9), st.integers(-12, 12))
def test_the_subsets_found_are_all_that_there_are(values, target):
    every = [s for size in range(len(values) + 1) for s in combinations(range(len(values)), size) if sum(values[i] for i in s) == target]  # fmt: skip
    total, subsets = exact_subsets(np.array(values, dtype=np.int64), target, 10_000)
    assert total == len(every)
    assert sorted(tuple(map(int, s)) for s in subsets) == sorted(every)


def test_what_chance_gives_is_about_what_is_counted():
    rng = np.random.default_rng(5)
    values = rng.integers(1_000, 9_000, 16)
    target = int(values.sum()) // 2
    near = [exact_subsets(values, target + d, 100_000)[0] for d in range(-200, 200)]
    assert np.mean(near) == pytest.approx(expected_by_chance(values, target), rel=0.15)


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
        line("1", 105_004, "2026-10-06", end_to_end_id="PO1"), line("2", 81_713 - 7_301 - 8_171, "2026-10-08"),
        line("3", 31_317 + 42_118, "2026-10-21", counterparty_name="Shop 3"), line("4", 30_001, "2026-10-13", currency="USD"),
        line("5", 47_002, "2026-10-13", currency="USD"), line("6", 40_000, "2026-10-25", currency="USD"),
        line("7", 44_236, "2026-10-25", currency="USD"),
    ]  # fmt: skip
    sides = frame_of("transactions", ours), frame_of("statement_lines", bank)
    assert spark_engine.name == "spark"
    one, other = (reconcile(*sides, settings(engine=e), merchants=shops) for e in ("duckdb", "spark"))
    assert set(one["matches"]["match_pass"]) == {"payout", "one_to_many", "many_to_many"}
    assert one["payout_waterfalls"]["status"].tolist() == ["matched", "matched", "suggested"]
    assert one["payout_parts"]["is_prior"].sum() == 1
    for name in one:
        pd.testing.assert_frame_equal(one[name], other[name])
