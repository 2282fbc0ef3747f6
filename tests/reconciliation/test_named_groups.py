"""Several payments and several lines under one reference or one party's name: matched whole, or the one part that meets."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from tests.reconciliation.reconciliation_frames import frame_of, line, payment, reconcile, settings

DAY, NEXT = "2026-10-05", "2026-10-06"
SHOPS = frame_of("merchants", [{"merchant_id": f"M{i}", "merchant_name": f"Shop {i}"} for i in range(1, 31)])
PARTIES = frame_of("counterparties", [{"counterparty_id": "C1", "name": "Nordbank Clearing"}])


def found(ours, bank, **values):
    sides = frame_of("transactions", ours), frame_of("statement_lines", bank)
    return reconcile(*sides, settings(**values), merchants=SHOPS, counterparties=PARTIES)


def matched(result):
    """The groups that were matched: (pass, payments, lines)."""
    groups = result["matches"].groupby("match_id")
    return sorted((g["match_pass"].iloc[0], " ".join(sorted(set(g["transaction_id"]))), " ".join(sorted(set(g["line_id"])))) for _, g in groups)  # fmt: skip


def ties_out(result):
    items, sums = result["reconciliation_items"], result["matches"].groupby("match_id")[["amount_minor", "value_minor"]].sum()  # fmt: skip
    assert (sums["amount_minor"] - sums["value_minor"]).abs().le(2).all()
    assert result["reconciliation_totals"][["difference_count", "difference_minor"]].eq(0).all(axis=None)
    return set(items["state"])


BY = {
    "reference": ({"reference": "REF-7"}, {"end_to_end_id": "ref 7"}),
    "list": ({}, {"remittance_text": "Sammler T1XYZ, T2XYZ"}),
    "merchant": ({}, {"counterparty_name": "SHOP 1"}),
    "counterparty": ({"counterparty_id": "C1"}, {"counterparty_name": "Nordbank Clearing"}),
}


def rows(by, payments, lines, day=NEXT):
    """T1XYZ, T2XYZ ... and lines 1, 2 ... of one name; negative is a refund, or money that the bank took."""
    our_name, bank_name = BY[by]
    ours = [payment(f"T{n}XYZ", abs(a), DAY, type="SALE" if a > 0 else "REFUND", **our_name) for n, a in enumerate(payments, 1)]  # fmt: skip
    bank = [line(str(n), abs(a), day, credit_debit_indicator="CRDT" if a > 0 else "DBIT", **bank_name) for n, a in enumerate(lines, 1)]  # fmt: skip
    return ours, bank


@pytest.mark.parametrize("by", list(BY))
@pytest.mark.parametrize("lines", [[8_001, 7_006], [9_002, 6_005], [16_008, -1_001]])
def test_two_payments_and_two_lines_of_one_name_are_matched_with_each_other(by, lines):
    result = found(*rows(by, [10_003, 5_004], lines))
    assert matched(result) == [("many_to_many", "T1XYZ T2XYZ", "1 2")]
    assert ties_out(result) == {"matched"} and result["breaks"].empty
    by_line = result["matches"].groupby("line_id")["value_minor"].sum()
    assert by_line.tolist() == lines


@pytest.mark.parametrize("by", ["reference", "merchant", "counterparty"])
@pytest.mark.parametrize(
    "payments, lines, shape",
    [
        ([12_004, -2_001], [10_003], ("T1XYZ T2XYZ", "1")),
        ([10_003], [12_004, -2_001], ("T1XYZ", "1 2")),
        ([-10_003], [-12_004, 2_001], ("T1XYZ", "1 2")),
        ([-12_004, 2_001], [-10_003], ("T1XYZ T2XYZ", "1")),
        ([12_004, -2_001], [7_001, 3_002], ("T1XYZ T2XYZ", "1 2")),
    ],
)
def test_a_correction_counts_against_what_it_corrects(by, payments, lines, shape):
    result = found(*rows(by, payments, lines))
    assert [shape_of[1:] for shape_of in matched(result)] == [shape]
    assert ties_out(result) == {"matched"} and result["breaks"].empty
    index = result["batch_index"].set_index("transaction_id")
    assert index["amount_posted_minor"].tolist() == [abs(a) if len(payments) == 1 else a * (1 if sum(payments) > 0 else -1) for a in payments]  # fmt: skip


@pytest.mark.parametrize(
    "payments, lines", [([10_003, 5_004, 0], [8_001, 7_006]), ([10_003, 5_004], [0, 8_001, 7_006])]
)
def test_a_row_of_nothing_belongs_to_the_group_that_it_is_named_with(payments, lines):
    result = found(*rows("reference", payments, lines))
    assert len(matched(result)) == 1 and ties_out(result) == {"matched"} and result["breaks"].empty


@pytest.mark.parametrize("by", ["reference", "merchant"])
def test_where_two_payments_fit_as_well_all_is_suggested_with_the_rival(by):
    result = found(*rows(by, [10_000, 5_000, 5_000], [8_000, 7_000]))
    assert matched(result) == []
    shown = result["suggestions"]
    assert (set(shown["match_pass"]), len(set(shown["group_id"])), set(shown["rival"])) == ({"many_to_many"}, 1, {"transaction T3XYZ"})  # fmt: skip
    assert ties_out(result) == {"break"} and "DUPLICATE" not in set(result["breaks"]["break_type"])


@pytest.mark.parametrize("by", ["reference", "merchant"])
def test_the_one_part_that_meets_is_matched_where_chance_can_hardly_have_made_it(by):
    odd = found(*rows(by, [10_003, 5_004, 3_311], [8_001, 7_006]))
    assert matched(odd) == [("many_to_many", "T1XYZ T2XYZ", "1 2")]
    even = found(*rows(by, [10_000, 5_000, 4_000], [8_000, 7_000]))
    assert matched(even) == [] and set(even["suggestions"]["transaction_id"]) == {"T1XYZ", "T2XYZ"}


def test_parts_under_a_reference_are_splits_and_merges_as_well():
    result = found(*rows("reference", [1_500_007, 331_123, 800_545, 12_345], [800_123, 699_884, 1_131_668]))
    assert matched(result) == [("merge", "T2XYZ T3XYZ", "3"), ("split", "T1XYZ", "1 2")]
    assert result["breaks"]["transaction_id"].tolist() == ["T4XYZ"]
    assert result["payout_waterfalls"]["line_id"].tolist() == ["3"]


def test_a_group_under_a_reference_may_differ_by_the_tolerance_but_not_by_more():
    close, off = (found(*rows("reference", [10_000, 5_000], [8_000, a])) for a in (7_002, 7_003))
    assert matched(close) == [("many_to_many", "T1XYZ T2XYZ", "1 2")] and ties_out(close) == {"matched"}
    assert close["matches"]["value_minor"].sum() - close["matches"]["amount_minor"].sum() == 2
    assert matched(off) == [] and ties_out(off) == {"break"}


def test_lists_of_references_that_overlap_are_one_group():
    ours = [payment(f"T{n}", a, DAY, reference=f"REF-00{n}") for n, a in ((1, 10_000), (2, 7_000), (3, 4_000))]
    bank = [line("1", 13_500, NEXT, remittance_text="REF-001 REF-002"), line("2", 7_500, NEXT, remittance_text="REF-002 REF-003")]  # fmt: skip
    assert matched(found(ours, bank)) == [("many_to_many", "T1 T2 T3", "1 2")]


@pytest.mark.parametrize("by", ["reference", "merchant"])
def test_beyond_the_days_nothing_is_netted_unless_a_rule_says_so(by):
    late = rows(by, [10_003, 5_004], [8_001, 7_006], day="2026-10-20")
    assert matched(found(*late)) == []
    rule = {"match_pass": "many_to_many", "days_before": 0, "days_after": 15}
    more = {"match_pass": "payout", "days_before": 0, "days_after": 15}
    assert matched(found(*late, tolerances=(rule, more))) == [("many_to_many", "T1XYZ T2XYZ", "1 2")]


@pytest.mark.parametrize("by", ["reference", "merchant"])
def test_more_parts_than_are_added_up_are_matched_as_a_whole_or_said(by):
    payments = [1_003_001, 2_011_017, 3_019_203, 4_027_005, 5_039_777]
    assert matched(found(*rows(by, payments, [8_001_234, 7_098_769]))) == [("many_to_many", "T1XYZ T2XYZ T3XYZ T4XYZ T5XYZ", "1 2")]  # fmt: skip
    result = found(*rows(by, [*payments, 977_003], [8_001_234, 7_098_769]))
    assert matched(result) == []
    limits = result["search_limits"].set_index("bound").loc["parts"]
    assert limits[["match_pass", "transaction_count", "line_count"]].tolist() == ["many_to_many", 6, 2]
    assert len(matched(found(*rows(by, [*payments, 977_003], [8_001_234, 7_098_769]), most_parts=5))) == 1


def test_more_rows_under_a_reference_than_are_searched_are_said():
    payments = [1_003_001, 2_011_017, 3_019_203, 4_027_005, 5_039_777, 977_003]
    ours, bank = rows("reference", payments, [2_014_018, 1_000_000])
    assert matched(found(ours, bank)) == [("many_to_many", "T1XYZ T2XYZ", "1 2")]
    result = found(ours, bank, most_candidates=5)
    assert matched(result) == []
    limits = result["search_limits"]
    assert limits[["match_pass", "bound", "transaction_count", "line_count"]].to_numpy().tolist() == [["many_to_many", "candidates", 6, 2]]  # fmt: skip


ROUND, ACCOUNTS = "amounts so round may agree by chance", "the lines are of several bank accounts"


@pytest.mark.parametrize(
    "payments, lines",
    [([3_000, 5_000], [2_000, 6_000]), ([1_999, 2_999], [999, 3_999]), ([4_000], [1_000, 3_000])],
)  # fmt: skip
def test_a_whole_of_round_amounts_of_a_party_is_suggested_and_says_why(payments, lines):
    result = found(*rows("merchant", payments, lines))
    assert matched(result) == [] and ties_out(result) == {"break"}
    assert set(result["suggestions"]["rival"]) == {ROUND}


def test_a_whole_is_judged_by_its_own_amounts_whatever_other_parties_have():
    rng = np.random.default_rng(3)
    payments, lines = [1_003_001, 2_011_017, 3_019_203, 4_027_005, 5_039_777], [8_001_234, 7_098_769]
    ours, bank = rows("merchant", payments, lines)
    for n in range(2, 31):
        ours += [payment(f"M{n}-{k}", 1_000 * int(rng.integers(3, 12)), DAY, merchant_id=f"M{n}") for k in range(2)]
        bank += [line(f"M{n}-{k}", 1_000 * int(rng.integers(3, 12)), NEXT, counterparty_name=f"Shop {n}") for k in range(2)]  # fmt: skip
    result = found(ours, bank)
    many = [one for one in matched(result) if one[0] in {"one_to_many", "many_to_many"}]
    assert many == [("many_to_many", "T1XYZ T2XYZ T3XYZ T4XYZ T5XYZ", "1 2")]


@pytest.mark.parametrize(
    "merchants, payments, lines, account, rival",
    [
        (3, [3_000, 5_000, 2_000], [4_000, 6_000], "OUR-EUR", ROUND),
        (1, [3_000, 5_000, 2_000], [4_000, 6_000], "OUR-EUR", ""),
        (3, [30_013, 50_021, 20_002], [41_011, 59_025], "OUR-EUR", ""),
        (1, [30_013, 50_021, 20_002], [41_011, 59_025], "OUR-2", ACCOUNTS),
    ],
)
def test_a_reference_of_several_merchants_or_accounts_is_no_proof_by_itself(merchants, payments, lines, account, rival):
    ours, bank = rows("reference", payments, lines)
    ours = [row | {"merchant_id": f"M{1 + n % merchants}"} for n, row in enumerate(ours)]
    bank[1] |= {"account": account, "statement_id": "S1" if account == "OUR-EUR" else "S2"}
    result = found(ours, bank)
    assert matched(result) == ([] if rival else [("many_to_many", "T1XYZ T2XYZ T3XYZ", "1 2")])
    assert set(result["suggestions"]["rival"]) == ({rival} if rival else set())
    ties_out(result)


@pytest.mark.parametrize("shape", ["merge", "split"])
@pytest.mark.parametrize(
    "merchants, parts, is_taken", [(2, [3_000, 5_000], False), (1, [3_000, 5_000], True), (2, [30_013, 50_021], True)]
)
def test_a_merge_or_split_under_a_reference_of_several_merchants_is_no_proof_by_itself(
    merchants, parts, is_taken, shape
):
    # of the split the other payment of the reference is booked by itself
    whole = [sum(parts)]
    ours, bank = rows("reference", *((parts, whole) if shape == "merge" else ([*whole, 77], [*parts, 77])))
    ours[1]["merchant_id"] = f"M{merchants}"
    result = found(ours, bank)
    groups = {one for one in matched(result) if one[0] != "reference"}
    assert groups == (
        {("merge", "T1XYZ T2XYZ", "1") if shape == "merge" else ("split", "T1XYZ", "1 2")} if is_taken else set()
    )
    shown = result["suggestions"][["match_pass", "rival"]].drop_duplicates().to_numpy().tolist()
    assert shown == [[shape, ROUND]] * (not is_taken)
    ties_out(result)


@pytest.mark.parametrize("merchants, off, is_taken", [(1, 0, True), (1, 700, False), (2, 0, False)])
def test_a_reference_that_very_many_rows_share_is_looked_at_as_a_whole_or_said(merchants, off, is_taken):
    rng = np.random.default_rng(5)
    payments, lines = rng.integers(1_000, 90_000, 120).tolist(), rng.integers(100_000, 110_000, 89).tolist()
    lines.append(sum(payments) - sum(lines) + off)
    ours, bank = rows("reference", payments, lines)
    result = found([row | {"merchant_id": f"M{1 + n % merchants}"} for n, row in enumerate(ours)], bank)
    groups = [one for one in matched(result) if one[0] == "many_to_many"]
    assert [(len(one[1].split()), len(one[2].split())) for one in groups] == [(120, 90)] * is_taken
    limits = result["search_limits"].query("match_pass == 'many_to_many'")
    assert limits[["bound", "transaction_count", "line_count"]].to_numpy().tolist() == [["candidates", 120, 90]] * (not is_taken)  # fmt: skip
    ties_out(result)


@trials(max_examples=6, deadline=None)
@given(st.sampled_from(["reference", "merchant"]), st.data())
def test_every_group_ties_out_and_every_row_stays_accounted_for(by, data):
    amounts = st.lists(st.sampled_from([-2_000, 1_000, 2_001, 5_003, 7_002, 9_004]), min_size=1, max_size=5)
    result = found(*rows(by, data.draw(amounts), data.draw(amounts)))
    ties_out(result)
    assert result["bridges"]["residual_minor"].eq(0).all()
    per_line = result["matches"].groupby("line_id")["match_id"].nunique()
    assert per_line.le(1).all() and result["matches"].groupby("transaction_id")["match_id"].nunique().le(1).all()


@pytest.mark.slow
def test_spark_matches_the_same_groups_as_duckdb(spark_engine):
    ours, bank = rows("reference", [10_000, 5_000], [8_000, 7_000])
    more = rows("merchant", [12_003, -2_001], [7_001, 3_001])
    ours += [row | {"transaction_id": row["transaction_id"] + "P", "currency": "USD", "destination_currency": "USD"} for row in more[0]]  # fmt: skip
    bank += [row | {"line_id": "2" + row["line_id"], "currency": "USD", "account": "OUR-USD"} for row in more[1]]
    ours += [payment(t, 333, DAY, reference="TWICE") for t in ("D1", "D2")]
    bank += [line("30", 333, NEXT, end_to_end_id="TWICE"), line("31", 50, NEXT, end_to_end_id="D9")]
    ours += [payment("N1", 4_000, DAY, reference="NET-1")]
    ours += [
        payment(t, a, DAY, reference="INVOICE", merchant_id=m) for t, a, m in (("I1", 4_000, "M1"), ("I2", 6_000, "M2"))
    ]
    bank.append(line("50", 10_000, NEXT, end_to_end_id="INVOICE"))
    bank += [line("40", 4_500, NEXT, end_to_end_id="NET1"), line("41", 500, NEXT, end_to_end_id="NET1", credit_debit_indicator="DBIT")]  # fmt: skip
    sides = frame_of("transactions", ours), frame_of("statement_lines", bank)
    assert spark_engine.name == "spark"
    one, other = (reconcile(*sides, settings(engine=e), merchants=SHOPS) for e in ("duckdb", "spark"))
    assert set(one["matches"]["match_pass"]) == {"many_to_many", "reference", "split"}
    assert "DUPLICATE" in set(one["breaks"]["break_type"])
    assert one["suggestions"]["match_pass"].tolist() == ["merge", "merge"]
    for name in one:
        pd.testing.assert_frame_equal(one[name], other[name])
