from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from atlas_lib.batching_settlement.scenarios import PlanInputs, changed_settings, compare_change, plan_scenarios
from tests.batching_settlement.planning_frames import (
    counterparties,
    counterparty_limits,
    fx_rates,
    liquidity,
    settings,
    settled_before,
    streaming_index,
    transactions,
)

PAYOUTS = [{"payer": "OP", "payee": m, "type": "PAYOUT", "amount_minor": 60_000} for m in "MN"]


def inputs(*rows: dict[str, Any], cash: int = 100_000, **limit: int) -> PlanInputs:
    accepted = transactions(*rows)
    parties = counterparties(*({"counterparty_id": name, "limit_minor": value} for name, value in limit.items()))
    return PlanInputs(accepted, streaming_index(accepted), parties, liquidity(EUR=cash), fx_rates(), settled_before())


def scenario(made: pd.DataFrame, name: str) -> pd.Series:
    return made.set_index("scenario").loc[name]


def test_more_cash_settles_what_waited_and_the_difference_is_to_the_present_plan() -> None:
    made = plan_scenarios(inputs(*PAYOUTS), settings())["plan_scenarios"]
    assert (scenario(made, "present")["deferred_count"], scenario(made, "present")["difference_minor"]) == (1, 0)
    assert (scenario(made, "cash doubled")["deferred_count"], scenario(made, "cash doubled")["t0_count"]) == (0, 2)
    assert scenario(made, "cash halved")["deferred_count"] == 2
    assert scenario(made, "cash doubled")["difference_minor"] == 1_000 - 1_500


def test_an_earlier_cut_off_sends_the_late_payment_to_the_next_day() -> None:
    late = {"payer": "P", "payee": "M", "amount_minor": 700, "created_at": "2026-10-30T15:30:00Z"}  # 16:30 CET
    shown = compare_change(inputs(late), settings(), cut_off_hours=-2.0).set_index("measure")
    assert shown.loc["t1", ["present", "changed"]].tolist() == ["0", "1"]


def test_a_tighter_limit_leaves_a_sale_behind() -> None:
    sales = [{"payer": "P", "payee": "M", "amount_minor": 400}] * 2
    shown = compare_change(inputs(*sales, CP1=800), settings(), limit_percent=50.0).set_index("measure")
    assert shown.loc["settled", ["present", "changed"]].tolist() == ["2", "1"]


def test_limits_in_one_currency_are_changed_with_the_others() -> None:
    given = inputs(*[{"payer": "P", "payee": "M", "amount_minor": 400}] * 2)
    given = replace(given, counterparty_limits=counterparty_limits(("CP1", "EUR", 800)))
    shown = compare_change(given, settings(), limit_percent=50.0).set_index("measure")
    assert shown.loc["settled", ["present", "changed"]].tolist() == ["2", "1"]


def test_discount_and_spreads_change_the_settings_and_nothing_else() -> None:
    changed = changed_settings(settings(), {"discount_percent": 200.0, "spread_percent": 50.0})
    assert changed.consolidation_discount_rate == pytest.approx(0.3)
    assert "EUR-USD 1.25" in changed.fx_spreads
    assert changed_settings(settings(), {}).model_dump(exclude={"fx_spreads"}) == settings().model_dump(
        exclude={"fx_spreads"}
    )
    assert changed_settings(settings(cut_off_time="01:00"), {"cut_off_hours": -2.0}).cut_off_time == "00:00"


def test_a_persons_change_stands_beside_the_present_plan() -> None:
    shown = compare_change(inputs(*PAYOUTS), settings(), cash_percent=200.0).set_index("measure")
    assert shown.loc["settled"].tolist() == ["1", "2", "1"]
    assert shown.loc["total cost (EUR)"].tolist() == ["15.00", "10.00", "-5.00"]


def test_nothing_due_gives_scenarios_without_cost() -> None:
    made = plan_scenarios(inputs(), settings())["plan_scenarios"]
    assert (made["total_cost_minor"] == 0).all()
