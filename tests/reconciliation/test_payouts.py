"""Payout batches: sales - refunds - chargebacks - fees - reserve +- prior balance = the amount on the line."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from atlas_lib.core.tables import declared
from atlas_lib.present.charts import plot_waterfall
from atlas_lib.reconciliation import reconcile as reconcile_whole
from atlas_lib.reconciliation.pairs import SEPARATOR, joined
from atlas_lib.reconciliation.waterfalls import largest_payouts, waterfall_steps
from tests.reconciliation.reconciliation_frames import balances_of, frame_of, line, payment, reconcile, settings

MERCHANTS = frame_of("merchants", [{"merchant_id": f"M{i}", "merchant_name": f"Shop {i}", "reserve_rate": 0.1} for i in (1, 2)])  # fmt: skip
WATERFALL = "sale_minor refund_minor chargeback_minor fee_minor payout_minor reserve_minor prior_minor difference_minor net_minor".split()
DAY = "2026-10-05"


def found(ours, bank, **given_tables):
    sides = frame_of("transactions", ours), frame_of("statement_lines", bank)
    return reconcile(*sides, **({"merchants": MERCHANTS} | given_tables))


def waterfall(result):
    return result["payout_waterfalls"][WATERFALL].to_numpy().tolist()


def matched(result):
    rows = result["matches"][["transaction_id", "line_id", "match_pass"]]
    return sorted(map(tuple, rows.to_numpy().tolist()))


def named(transaction_id, amount, day=DAY, **more):
    return payment(transaction_id, amount, day, reference="PO-77", **more)


BATCH = [
    named("S1", 90_005), named("S2", 30_000), named("R1", 20_000, type="REFUND"), named("C1", 5_000, type="CHARGEBACK"),
    named("F1", 1_500, type="FEE"),
]  # fmt: skip


def test_a_payout_with_its_id_is_a_group_sum_shown_as_a_waterfall():
    result = found(BATCH, [line("1", 93_505, "2026-10-07", end_to_end_id="PO77")])
    assert {p for _, _, p in matched(result)} == {"merge"}
    assert waterfall(result) == [[120_005, 20_000, 5_000, 1_500, 0, 0, 0, 0, 93_505]]


@pytest.mark.parametrize("rounding, held", [("half_even", 12_000), ("half_up", 12_001)])
def test_the_reserve_agreed_with_the_merchant_explains_what_is_missing(rounding, held):
    # 10 % of 900.05 is 90.005: half a cent, rounded per sale as the run rounds; the tolerance is none here
    net = 120_005 - held - 26_500
    bank = [line("1", net, "2026-10-07", end_to_end_id="PO77")]
    result = found(BATCH, bank, chosen=settings(rounding=rounding, amount_tolerance_minor=0))
    assert {p for _, _, p in matched(result)} == {"payout"}
    assert waterfall(result) == [[120_005, 20_000, 5_000, 1_500, 0, held, 0, 0, net]]
    index = result["batch_index"].set_index("transaction_id")
    assert index.loc["S2", ["amount_posted_minor", "discrepancy_minor", "reconciled_status"]].tolist() == [27_000, 0, "MATCHED"]  # fmt: skip
    assert index["amount_posted_minor"][["S1", "S2"]].sum() - 26_500 == net
    assert not result["breaks"]["is_open"].any()


def test_what_earlier_payouts_left_open_is_the_prior_balance():
    before = [payment("R0", 3_000, "2026-09-30", type="REFUND"), payment("X0", 1_000, "2026-09-30", merchant_id="M2")]
    result = found([*BATCH, *before], [line("1", 90_505, "2026-10-07", end_to_end_id="PO77")])
    assert waterfall(result) == [[120_005, 20_000, 5_000, 1_500, 0, 0, -3_000, 0, 90_505]]
    assert ("R0", "1", "payout") in matched(result) and "X0" not in set(result["matches"]["transaction_id"])


def test_reserve_and_prior_balance_together_explain_a_payout():
    before = [payment("R0", 3_000, "2026-09-30", type="REFUND")]
    result = found([*BATCH, *before], [line("1", 78_505, "2026-10-07", end_to_end_id="PO77")])
    assert waterfall(result) == [[120_005, 20_000, 5_000, 1_500, 0, 12_000, -3_000, 0, 78_505]]


def test_a_named_payout_that_two_explanations_fit_stays_a_break():
    before = [payment("R0", 12_000, "2026-09-30", type="REFUND")]  # as much as the reserve
    result = found([*BATCH, *before], [line("1", 81_505, "2026-10-07", end_to_end_id="PO77")])
    assert result["matches"].empty
    assert {"AMOUNT_MISMATCH", "SPLIT_INCOMPLETE"} & set(result["breaks"]["break_type"])
    shown = result["suggestions"]
    assert set(shown["transaction_id"]) == {"S1", "S2", "R1", "C1", "F1"} and len(set(shown["group_id"])) == 1
    assert set(shown["rival"]) == {"transaction R0"}
    assert waterfall(result) == [[120_005, 20_000, 5_000, 1_500, 0, 12_000, 0, 0, 81_505]]


def decided(ours, bank, decisions):
    """The whole reconciliation with a person's decisions."""
    lines = frame_of("statement_lines", bank)
    given = (MERCHANTS, declared("counterparties").empty(), declared("fx_rates").empty())
    sides = (frame_of("transactions", ours), lines, balances_of(lines))
    return reconcile_whole(sides, given, decisions, declared("break_states").empty(), settings())


def accept(result):
    """The suggested group, accepted by a person."""
    rows = result["suggestions"]
    return frame_of("decisions", [{
        "entry_id": 1, "action": "force", "transaction_ids": joined(rows["transaction_id"]), "actor": "anna",
        "line_keys": joined(sorted(set(rows["statement_id"] + "/" + rows["line_id"]))),
        "decided_at": pd.Timestamp("2026-10-08", tz="UTC"),
    }])  # fmt: skip


@pytest.mark.parametrize("prior", [True, False], ids=["ambiguous", "days"])
def test_a_person_accepts_a_suggested_payout_net_of_its_reserve(prior):
    if prior:
        ours = [*BATCH, payment("R0", 12_000, "2026-09-30", type="REFUND")]
        bank = [line("1", 81_505, "2026-10-07", end_to_end_id="PO77")]
    else:
        ours, bank = shop_days(), [line("1", 142_438 - 8_171 - 5_512 - 1_291, "2026-10-08")]
    before = found(ours, bank)
    result = decided(ours, bank, accept(before))
    assert result["decision_findings"].empty and result["suggestions"].empty
    assert set(result["matches"]["match_pass"]) == {"manual"}
    assert set(result["matches"]["transaction_id"]) == set(before["suggestions"]["transaction_id"])
    told = before["payout_waterfalls"].assign(**{"status": "matched", "match_pass": "manual", "rival": ""})
    pd.testing.assert_frame_equal(result["payout_waterfalls"], told)
    index = result["batch_index"].set_index("transaction_id").loc[sorted(set(result["matches"]["transaction_id"]))]
    sign = result["matches"].groupby("transaction_id")["amount_minor"].sum().gt(0).map({True: 1, False: -1})
    assert (index["amount_posted_minor"].abs() * sign).sum() == bank[0]["amount_posted_minor"]


def test_payments_that_a_person_joins_otherwise_have_no_reserve_of_a_suggested_payout():
    ours = [*BATCH, payment("R0", 12_000, "2026-09-30", type="REFUND")]
    bank = [line("1", 81_505, "2026-10-07", end_to_end_id="PO77")]
    accepted = accept(found(ours, bank))
    accepted["transaction_ids"] += SEPARATOR + "R0"
    result = decided(ours, bank, accepted)
    assert set(result["matches"]["transaction_id"]) == {"S1", "S2", "R1", "C1", "F1", "R0"}
    assert result["payout_parts"].empty
    assert result["payout_waterfalls"]["reserve_minor"].tolist() == [0]


def test_the_fee_on_the_line_is_part_of_the_waterfall():
    bank = [line("1", 93_105, "2026-10-07", end_to_end_id="PO77", fee_charged_minor=400)]
    assert waterfall(found(BATCH, bank)) == [[120_005, 20_000, 5_000, 1_900, 0, 0, 0, 0, 93_105]]


def shop_days(merchant_id="M1"):
    kinds = [("2026-10-05", "SALE", 81_713), ("2026-10-05", "REFUND", 7_301), ("2026-10-06", "SALE", 55_119), ("2026-10-06", "SALE", 12_907)]  # fmt: skip
    return [payment(f"{merchant_id}-{n}", amount, day, type=kind, merchant_id=merchant_id) for n, (day, kind, amount) in enumerate(kinds)]  # fmt: skip


@pytest.mark.parametrize("held", [0, 8_171 + 5_512 + 1_291])
def test_whole_days_of_a_named_merchant_are_a_payout_without_any_id(held):
    other = [payment(f"X{n}", 10_000 + 7 * n, "2026-10-06", merchant_id="M2") for n in range(30)]
    bank = [line("1", 142_438 - held, "2026-10-08", counterparty_name="SHOP 1")]
    result = found([*shop_days(), *other], bank)
    assert matched(result) == [(f"M1-{n}", "1", "payout") for n in range(4)]
    assert waterfall(result) == [[149_739, 7_301, 0, 0, 0, held, 0, 0, 142_438 - held]]
    assert result["payout_waterfalls"]["merchant_id"].tolist() == ["M1"]


@pytest.mark.parametrize(("cents", "passes"), [(37, {"day_sum"}), (0, set())])
def test_a_day_that_nobody_names_is_taken_only_where_chance_can_hardly_have_made_its_amount(cents, passes):
    # 20 sales, more than parts of a day are searched among; whole tens of euros fit a line a thousand times as often
    sales = [payment(f"S{n:02d}", 50_000 + 13_000 * n + cents * (n + 1), DAY) for n in range(20)]
    total = sum(s["amount_minor"] for s in sales)
    result = found(sales, [line("1", total, "2026-10-06")], chosen=settings(amount_tolerance_minor=0))
    assert set(result["matches"]["match_pass"]) == passes
    assert len(result["matches"]) == (20 if passes else 0)


def test_a_day_of_prices_that_end_alike_is_taken_only_where_it_is_large_enough():
    # 20 sales at 20.99, 21.99 ...: what such prices come to lies a euro apart, so a hundred times as many days fit it
    for least, passes in ((21, set()), (1_000, {"day_sum"})):
        sales = [payment(f"S{n:02d}", (least + n * n % 37) * 100 - 1, DAY) for n in range(20)]
        result = found(sales, [line("1", sum(s["amount_minor"] for s in sales), "2026-10-06")])
        assert set(result["matches"]["match_pass"]) == passes


@pytest.mark.parametrize("days, is_taken", [(1, True), (6, False)])
def test_a_named_day_counts_the_days_of_its_party_that_it_might_have_been(days, is_taken):
    # 30.11 by chance: once in 3,011 for a day alone, but for the other days of about this size and two in a row as well
    sales = [payment(f"S{n}", 3_011 + 37 * n * n, f"2026-10-{5 + n:02}", type="CHARGEBACK") for n in range(days)]
    sales.append(payment("S9", 101, DAY, type="CHARGEBACK"))
    bank = [line("1", 3_112, "2026-10-10", credit_debit_indicator="DBIT", counterparty_name="SHOP 1")]
    result = found(sales, bank, chosen=settings(amount_tolerance_minor=0))
    assert matched(result) == [("S0", "1", "day_sum"), ("S9", "1", "day_sum")] * is_taken
    assert set(result["suggestions"]["rival"]) == (set() if is_taken else {"amounts so round may agree by chance"})


def test_days_that_two_lines_fit_are_suggested_with_the_rival_named():
    bank = [line(n, 142_438, "2026-10-08", counterparty_name="SHOP 1") for n in ("1", "2")]
    result = found(shop_days(), bank)
    assert result["matches"].empty
    assert set(result["suggestions"]["rival"]) == {"bank line S1/2"}
    assert result["payout_waterfalls"]["status"].tolist() == ["suggested"]


def test_whole_days_of_nobody_named_are_only_suggested():
    result = found(shop_days(), [line("1", 142_438, "2026-10-08")])
    assert result["matches"].empty and len(result["suggestions"]) == 4


@pytest.mark.parametrize("others", [[120_05, 180_05, 77_77], [1_000_000 + 7_919 * n for n in range(15)]])
def test_a_named_day_is_only_suggested_when_part_of_another_fits_or_may_fit(others):
    ours = [payment("A", 100_03, DAY), payment("B", 200_07, DAY)]
    ours += [payment(f"T{n:02}", amount, "2026-10-06") for n, amount in enumerate(others)]
    result = found(ours, [line("L", 300_10, "2026-10-07", counterparty_name="Shop 1")])
    assert result["matches"].empty
    assert set(result["suggestions"]["transaction_id"]) == {"A", "B"}
    assert set(result["suggestions"]["rival"]) <= {"transaction T00 + T01", "more rows than are searched"}


def test_a_day_is_not_whole_while_a_payment_of_it_has_a_doubtful_line():
    ours = [payment(t, a, DAY) for t, a in (("A", 10_003), ("B", 20_007), ("C", 5_555))]
    bank = [line("L", 30_010, "2026-10-07", counterparty_name="Shop 1"), line("X", 5_555, "2026-10-06"), line("Y", 5_555, "2026-10-06")]  # fmt: skip
    assert found(ours, bank)["matches"].empty


def test_part_of_a_merchants_payments_is_suggested():
    bank = [line("1", 81_713 - 7_301 + 12_907, "2026-10-08", counterparty_name="SHOP 1")]
    result = found(shop_days(), bank)
    assert result["matches"].empty
    assert result["suggestions"]["transaction_id"].tolist() == [f"M1-{n}" for n in (0, 1, 3)]
    assert result["payout_waterfalls"]["difference_minor"].tolist() == [0]


def test_of_two_sums_that_fit_one_is_suggested_and_the_other_named():
    ours = [payment(f"T{n}", amount, DAY) for n, amount in enumerate([31_317, 52_919, 42_118, 42_118, 77_000])]
    result = found(ours, [line("1", 31_317 + 42_118, "2026-10-07", counterparty_name="SHOP 1")])
    assert result["matches"].empty
    suggested = result["suggestions"]
    assert suggested["transaction_id"].tolist() == ["T0", "T2"] and len(set(suggested["group_id"])) == 1
    assert set(suggested["rival"]) == {"transaction T3"}
    assert suggested["match_score"].tolist() == [0.425, 0.425]


def test_a_search_beyond_the_bound_is_said_and_not_made():
    ours = [payment(f"T{n:02}", 10_000 + 137 * n * n, f"2026-10-{1 + n % 7:02}") for n in range(17)]
    bank = [
        line(
            "1",
            sum(int(o["amount_minor"]) for o in (ours[2], ours[5], ours[11])),
            "2026-10-08",
            counterparty_name="SHOP 1",
        )
    ]
    limits = found(ours, bank)["search_limits"]
    assert limits[["match_pass", "bound", "line_count", "amount_minor"]].to_numpy().tolist() == [["payout", "candidates", 1, bank[0]["amount_posted_minor"]]]  # fmt: skip
    within = found(ours, bank, chosen=settings(most_candidates=17))
    assert within["search_limits"]["bound"].tolist() in ([], ["chance"])


def test_small_amounts_that_chance_would_give_are_not_suggested():
    ours = [payment(f"T{n:02}", 100 + 7 * n, "2026-10-05") for n in range(14)]
    result = found(ours, [line("1", 800, "2026-10-08", counterparty_name="SHOP 1")])
    assert result["matches"].empty
    assert result["search_limits"]["bound"].tolist() == ["chance"]


@trials(max_examples=4, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["SALE", "SALE", "REFUND", "CHARGEBACK", "FEE"]), st.integers(1_001, 99_999)), min_size=2, max_size=9), st.booleans())  # fmt: skip
def test_every_waterfall_adds_up_and_every_row_stays_accounted_for(parts, with_reserve):
    ours = [named(f"T{n}", amount, type=kind) for n, (kind, amount) in enumerate(parts)]
    signed = [amount if kind == "SALE" else -amount for kind, amount in parts]
    held = sum(round(a / 10) for kind, a in parts if kind == "SALE") if with_reserve else 0
    net = sum(signed) - held
    bank = [line("1", abs(net), "2026-10-07", end_to_end_id="PO77", credit_debit_indicator="CRDT" if net > 0 else "DBIT")]  # fmt: skip
    result = found(ours, bank)
    table = result["payout_waterfalls"]
    total = table["sale_minor"] + table["prior_minor"] + table["difference_minor"] - table[["refund_minor", "chargeback_minor", "fee_minor", "payout_minor", "reserve_minor"]].sum(axis=1)  # fmt: skip
    assert (total == table["net_minor"]).all() and table["difference_minor"].abs().le(2).all()
    assert result["reconciliation_totals"][["difference_count", "difference_minor"]].eq(0).all(axis=None)
    assert result["bridges"]["residual_minor"].eq(0).all()


def test_the_largest_payout_is_drawn_without_its_empty_steps():
    result = found(BATCH, [line("1", 81_505, "2026-10-07", end_to_end_id="PO77")])
    steps = waterfall_steps(largest_payouts(result["payout_waterfalls"], "EUR"))
    assert steps["label"].tolist() == ["Sales", "Refunds", "Chargebacks", "Fees", "Reserve", "Amount booked"]
    assert steps["amount_minor"].iloc[:-1].sum() == steps["amount_minor"].iloc[-1] == 81_505
    assert waterfall_steps(pd.DataFrame()).empty


def test_a_payout_of_everything_is_drawn_with_every_step():
    ours = [*BATCH, named("P1", 2_000, type="PAYOUT"), payment("R0", 3_000, "2026-09-30", type="REFUND")]
    bank = [line("1", 76_006, "2026-10-07", end_to_end_id="PO77", fee_charged_minor=500)]
    result = found(ours, bank)
    steps = waterfall_steps(largest_payouts(result["payout_waterfalls"], "EUR"))
    assert dict(steps[["label", "amount_minor"]].to_numpy().tolist()) == {
        "Sales": 120_005, "Refunds": -20_000, "Chargebacks": -5_000, "Fees": -2_000, "Payouts": -2_000, "Reserve": -12_000,
        "Prior balance": -3_000, "Difference": 1, "Amount booked": 76_006,
    }  # fmt: skip
    figure = plot_waterfall(steps, title="The payout with most parts", currency="EUR").figure
    (drawn,) = figure["data"]
    assert list(drawn["x"]) == steps["label"].tolist()
    assert [round(float(y) * 100) for y in drawn["y"][:-1]] == steps["amount_minor"].tolist()[:-1]


def test_the_waterfall_drawn_is_of_the_payout_with_most_parts_and_of_these_the_largest():
    ours = [payment(f"R{n}", n * 40_000, DAY, type="REFUND", reference="PO-1") for n in (1, 2)]
    for payout, amount in (("PO-2", 30_000), ("PO-3", 50_000)):
        ours.append(payment(f"{payout}S", amount, DAY, reference=payout))
        ours.append(payment(f"{payout}R", 5_000, DAY, type="REFUND", reference=payout))
    bank = [line("1", 120_000, "2026-10-07", end_to_end_id="PO-1", credit_debit_indicator="DBIT")]
    bank += [line("2", 25_000, "2026-10-07", end_to_end_id="PO-2"), line("3", 45_000, "2026-10-07", end_to_end_id="PO-3")]  # fmt: skip
    steps = waterfall_steps(largest_payouts(found(ours, bank)["payout_waterfalls"], "EUR"))
    assert steps["amount_minor"].tolist() == [50_000, -5_000, 45_000]
