import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from atlas_lib.batching_settlement.batching import plan_settlement
from atlas_lib.core.settings import BatchingSettlementSettings
from atlas_lib.core.tables import declared
from tests.batching_settlement.planning_frames import (
    books,
    counterparties,
    counterparty_limits,
    currency_limits,
    fx_rates,
    items_of,
    liquidity,
    scarce_cash,
    scarce_limits,
    settings,
    transactions,
)

SALE = {"payer": "P", "payee": "M", "amount_minor": 1_000}


def plan(
    items: pd.DataFrame,
    chosen: BatchingSettlementSettings | None = None,
    cash: pd.DataFrame | None = None,
    parties: pd.DataFrame | None = None,
    by_currency: pd.DataFrame | None = None,
) -> dict[str, pd.DataFrame]:
    return plan_settlement(
        items,
        counterparties() if parties is None else parties,
        liquidity() if cash is None else cash,
        fx_rates(),
        chosen or settings(),
        counterparty_limits=by_currency,
    )


def test_a_batch_holds_at_most_as_many_transactions_as_the_setting_says() -> None:
    made = plan(items_of(transactions(*[SALE] * 7)), settings(max_batch_count=3))
    assert sorted(made["batches"]["transaction_count"]) == [1, 3, 3]
    # Three direct wires would cost 13.50; two legs of the pool carry all seven, whatever their batch, for 8.50.
    assert made["instructions"]["transaction_count"].tolist() == [7, 7]
    assert made["cost_comparison"]["total_cost_minor"].tolist() == [3_500, 1_350, 850, 850, 850]


def test_one_leg_of_the_pool_serves_several_batches() -> None:
    rows = [{"payer": p, "payee": m, "amount_minor": 1_000} for p in "PQ" for m in "MN" for _ in range(2)]
    made = plan(items_of(transactions(*rows)), settings(max_batch_count=5))
    assert made["batches"]["mode"].tolist() == ["netted", "netted"]
    assert len(made["instructions"]) == 4
    assert made["instructions"]["amount_minor"].tolist() == [4_000] * 4
    assert set(made["instructions"]["batch_id"]) <= set(made["batches"]["batch_id"])


def test_a_net_of_zero_sends_nothing_and_its_lines_say_so() -> None:
    rows = [{"payer": a, "payee": b, "amount_minor": 500} for a, b in ("AB", "BC", "CA", "AB", "BC", "CA")]
    made = plan(items_of(transactions(*rows)))
    assert made["instructions"].empty
    assert made["batch_lines"]["payer_instruction_id"].isna().all()
    assert made["batches"]["net_minor"].tolist() == [0]


def test_ids_follow_from_the_content() -> None:
    accepted = transactions(SALE, {**SALE, "payee": "N"}, {**SALE, "settlement_window": "RTGS"})
    first, again = plan(items_of(accepted)), plan(items_of(accepted.iloc[::-1]))
    for name, table in first.items():
        pd.testing.assert_frame_equal(table, again[name])
    other = plan(items_of(accepted.assign(amount_minor=accepted["amount_minor"] + 1)))
    assert not set(first["instructions"]["instruction_id"]) & set(other["instructions"]["instruction_id"])


def test_held_unroutable_and_short_payments_are_deferred_with_their_reason() -> None:
    accepted = transactions(
        SALE, {**SALE, "counterparty_id": "CP9"}, {**SALE, "currency": "SEK", "destination_currency": "EUR"},
        {**SALE, "type": "PAYOUT", "amount_minor": 900_000},
    )  # fmt: skip
    parties = counterparties({"counterparty_id": "CP9", "is_available": False})
    items = items_of(accepted, counterparties=parties, flags={"T000": "BLACKLISTED"})
    deferrals = plan(items, cash=liquidity(EUR=0), parties=parties)["deferrals"]
    assert deferrals["reason"].tolist() == [
        "COMPLIANCE_HOLD", "COUNTERPARTY_DOWN", "FX_RATE_MISSING", "LIQUIDITY_SHORTFALL"
    ]  # fmt: skip
    assert deferrals["next_window"].tolist() == ["next run", "next run", "next run", "T1"]


def test_a_payment_kept_back_by_a_limit_says_what_its_alternate_route_could_do() -> None:
    rows = [{**SALE, "counterparty_id": name} for name in ("CP1", "CP2", "CP3", "CP1")]
    parties = counterparties(
        {"counterparty_id": "CP1", "limit_minor": 0, "alternate_counterparty_id": "CP4"},
        {"counterparty_id": "CP2", "limit_minor": 0, "alternate_counterparty_id": "CP5"},
        {"counterparty_id": "CP3"},
        {"counterparty_id": "CP4", "limit_minor": 1_500},
        {"counterparty_id": "CP5", "is_available": False},
    )
    items = items_of(transactions(*rows), counterparties=parties)
    made = plan(items, parties=parties, by_currency=counterparty_limits(("CP3", "EUR", 999)))["deferrals"]
    assert set(made["reason"]) == {"COUNTERPARTY_LIMIT"}
    assert made["detail"].tolist() == [
        "CP1 would owe 10.00 EUR more, 0.00 left under its total limit in T0; its alternate CP4 has room in T0",
        "CP2 would owe 10.00 EUR more, 0.00 left under its total limit in T0; it has no alternate that is available",
        "CP3 would owe 10.00 EUR more, 9.99 left under its EUR limit in T0; it has no alternate that is available",
        "CP1 would owe 10.00 EUR more, 0.00 left under its total limit in T0; its alternate CP4 could not take it either",
    ]


def test_the_comparison_shows_every_plan_on_the_same_input() -> None:
    # Four payments P -> M, N: gross 4 x 5.00; grouped 2 x 4.25; nothing nets, so grouping is already best.
    rows = [{"payer": "P", "payee": m, "amount_minor": 100_000} for m in "MMNN"]
    shown = plan(items_of(transactions(*rows)))["cost_comparison"].set_index("plan")
    assert shown["total_cost_minor"].to_dict() == {
        "gross": 2_000, "simple grouping": 850, "hub netting": 1_275, "optimised": 850, "optimised, FX kept gross": 850
    }  # fmt: skip
    assert shown["saved_rate"].loc["optimised"] == pytest.approx(0.575)
    assert shown["lower_bound_minor"].loc["optimised"] in (849, 850)


def test_conversions_of_the_pool_are_listed_by_quoted_pair_with_their_cost() -> None:
    # 100,000.00 EUR at 2.5 bps is 25.00 EUR.
    rows = [{"payer": "P", "payee": m, "amount_minor": 5_000_000, "destination_currency": "USD"} for m in "MN"]
    made = plan(items_of(transactions(*rows)))["fx_conversions"]
    assert made[
        ["sold_currency", "bought_currency", "value_minor", "spread_bps", "cost_minor"]
    ].to_numpy().tolist() == [["EUR", "USD", 10_000_000, 2.5, 2_500]]


def test_nothing_due_gives_empty_tables_and_keeps_the_holds() -> None:
    none = plan(declared("settlement_items").empty())
    assert all(table.empty for table in none.values())
    held = plan(items_of(transactions(SALE), flags={"T000": "SANCTIONS_MATCH"}))
    assert held["deferrals"]["reason"].tolist() == ["COMPLIANCE_HOLD"]
    assert held["batches"].empty


@hypothesis_settings(max_examples=15)
@given(books(), scarce_cash, scarce_limits, currency_limits, st.sampled_from([1, 2, 1000]))
def test_every_due_transaction_is_once_in_a_batch_or_deferred_and_the_plan_passes_its_check(
    accepted: pd.DataFrame, cash: pd.DataFrame, parties: pd.DataFrame, by_currency: pd.DataFrame, batch: int
) -> None:
    made = plan(items_of(accepted), settings(max_batch_count=batch), cash, parties, by_currency)
    seen = [*made["batch_lines"]["transaction_id"], *made["deferrals"]["transaction_id"]]
    assert sorted(seen) == sorted(accepted["transaction_id"])
    assert made["plan_checks"]["passed"].all()
    assert (made["batches"]["transaction_count"] <= batch).all()
    comparison = made["cost_comparison"]
    assert (
        comparison["wire_cost_minor"] + comparison["fx_cost_minor"] + comparison["deferral_cost_minor"]
        == comparison["total_cost_minor"]
    ).all()
