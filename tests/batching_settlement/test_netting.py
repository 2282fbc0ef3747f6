from typing import Any

import pandas as pd
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from atlas_lib.batching_settlement.netting import net_due_items, pool_flows
from atlas_lib.core.tables import declared
from tests.batching_settlement.planning_frames import books, items_of, transactions


def test_a_triangle_of_debts_nets_to_one_payment() -> None:
    # A owes B 100, B owes C 90, C owes A 80: pairwise nothing offsets, multilaterally 20 in all moves.
    accepted = transactions(
        {"payer": "A", "payee": "B", "amount_minor": 10_000},
        {"payer": "B", "payee": "C", "amount_minor": 9_000},
        {"payer": "C", "payee": "A", "amount_minor": 8_000},
    )
    found = net_due_items(items_of(accepted))
    positions = found["net_positions"].set_index("account")
    assert positions["net_minor"].to_dict() == {"A": -2_000, "B": 1_000, "C": 1_000}
    effect = found["netting_effect"].iloc[0]
    # All three wait for each other; 3 x 80 go round without any cash; A pays in the 20 that B and C get.
    assert (effect["set_off_minor"], effect["cycle_account_count"]) == (24_000, 3)
    assert (effect["largest_pay_in_minor"], round(effect["funding_rate"], 4)) == (2_000, 0.0741)
    assert (effect["gross_minor"], effect["bilateral_minor"], effect["multilateral_minor"]) == (27_000, 27_000, 2_000)


def test_two_debts_between_a_pair_offset_bilaterally() -> None:
    accepted = transactions(
        {"payer": "A", "payee": "B", "amount_minor": 10_000}, {"payer": "B", "payee": "A", "amount_minor": 4_000}
    )
    positions = net_due_items(items_of(accepted))["net_positions"].set_index("account")
    assert positions.loc["A", ["bilateral_in_minor", "bilateral_out_minor", "net_minor"]].tolist() == [0, 6_000, -6_000]


def test_a_conversion_leaves_the_pool_long_in_one_currency_and_short_in_the_other() -> None:
    accepted = transactions({"payer": "A", "payee": "B", "amount_minor": 10_000, "destination_currency": "USD"})
    positions = net_due_items(items_of(accepted))["net_positions"].set_index(["account", "currency"])["net_minor"]
    assert positions.to_dict() == {
        ("A", "EUR"): -10_000, ("NETTING-POOL", "EUR"): 10_000, ("B", "USD"): 12_500, ("NETTING-POOL", "USD"): -12_500
    }  # fmt: skip


@hypothesis_settings(max_examples=25)
@given(books())
def test_netting_changes_nobodys_position_and_every_currency_sums_to_zero(accepted: pd.DataFrame) -> None:
    found = net_due_items(items_of(accepted))
    positions = found["net_positions"]
    for kind in ("bilateral", "multilateral"):
        assert (positions[f"{kind}_in_minor"] - positions[f"{kind}_out_minor"] == positions["net_minor"]).all()
    assert (positions.groupby("currency")["net_minor"].sum() == 0).all()
    effect = found["netting_effect"]
    assert (effect["multilateral_minor"] <= effect["bilateral_minor"]).all()
    assert (effect["bilateral_minor"] <= effect["gross_minor"]).all()
    assert (effect["gross_minor"] - effect["set_off_minor"] >= effect["multilateral_minor"]).all()


def test_a_ring_of_debts_without_the_first_payment_is_a_gridlock() -> None:
    # A owes B 100, B owes C 90, C owes A 80. A pays in its net, 20: not enough for its 100, so all three wait.
    ring = [
        {"payer": "A", "payee": "B", "amount_minor": 10_000},
        {"payer": "B", "payee": "C", "amount_minor": 9_000},
        {"payer": "C", "payee": "A", "amount_minor": 8_000},
    ]
    found = net_due_items(items_of(transactions(*ring)))
    effect = found["netting_effect"].iloc[0]
    assert (effect["gridlock_count"], effect["gridlock_minor"]) == (3, 27_000)
    assert not found["payment_queue"]["goes_alone"].any()
    # With A's debt in parts of 20 and 80 the first part goes; B holds 20, which is less than its 90: the rest waits.
    parts = [ring[0] | {"amount_minor": 2_000}, ring[0] | {"amount_minor": 8_000}, *ring[1:]]
    queue = net_due_items(items_of(transactions(*parts)))["payment_queue"]
    assert queue.set_index("amount_minor")["goes_alone"].groupby(level=0).all().to_dict() == {
        2_000: True, 8_000: False, 9_000: False
    }  # fmt: skip


def test_what_moves_after_netting_is_each_net_through_the_pool() -> None:
    found = net_due_items(items_of(transactions(
        {"payer": "A", "payee": "B", "amount_minor": 10_000}, {"payer": "B", "payee": "C", "amount_minor": 9_000}
    )))  # fmt: skip
    flows = pool_flows(found["net_positions"])
    assert list(zip(flows["payer"], flows["payee"], flows["remaining_minor"], strict=True)) == [
        ("A", "NETTING-POOL", 10_000), ("NETTING-POOL", "B", 1_000), ("NETTING-POOL", "C", 9_000)
    ]  # fmt: skip


@hypothesis_settings(max_examples=12)
@given(books(), st.randoms(use_true_random=False))
def test_what_goes_one_by_one_is_paid_from_cash_at_hand_whatever_the_order_of_the_accounts(
    accepted: pd.DataFrame, chance: Any
) -> None:
    queue = net_due_items(items_of(accepted))["payment_queue"].sort_values("queue_no")
    # A clerk who serves the accounts in any order, one payment at a time, ends with the same payments paid.
    cash: dict[tuple[str, str], int] = {}
    for row in queue.itertuples():
        cash[row.currency, row.payer] = cash.get((row.currency, row.payer), 0) - row.amount_minor
        cash[row.currency, row.payee] = cash.get((row.currency, row.payee), 0) + row.amount_minor
    cash = {account: max(-net, 0) for account, net in cash.items()}
    left, paid = list(queue.itertuples()), set()
    while True:
        heads = {(r.currency, r.payer): r for r in reversed(left)}
        able = [r for account, r in sorted(heads.items()) if r.amount_minor <= cash[account]]
        if not able:
            break
        row = chance.choice(able)
        cash[row.currency, row.payer] -= row.amount_minor
        cash[row.currency, row.payee] += row.amount_minor
        left.remove(row)
        paid.add(row.Index)
    assert set(queue.index[queue["goes_alone"]]) == paid


def test_nothing_due_gives_empty_tables() -> None:
    found = net_due_items(declared("settlement_items").empty())
    assert found["net_positions"].empty
    assert found["netting_effect"].empty
