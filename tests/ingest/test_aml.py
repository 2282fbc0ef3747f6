"""Each pattern at the transfer that completes it, and its nearest harmless neighbour."""

from __future__ import annotations

import pandas as pd
import pytest

from atlas_lib.core.engine import open_engine
from atlas_lib.ingest import aml
from atlas_lib.ingest.policies import aml_figures, aml_limits, day_offsets

ENGINE = open_engine("duckdb")
START = pd.Timestamp("2026-01-01", tz="UTC")


def hits(
    *transfers: tuple[float, str, str, int], parameters: str = "threshold=10000", is_active: bool = True
) -> list[tuple[str, str]]:
    """(day, sender, receiver, minor amount) each; gives (transaction, rule) of the completed patterns."""
    frame = pd.DataFrame(transfers, columns=["day", "source_account", "destination_account", "amount_minor"])
    payments = frame.assign(
        transaction_id=[f"T{i:03}" for i in range(len(frame))], user_id="", merchant_id="", type="SALE", currency="EUR",
        created_at=(START + pd.to_timedelta(frame["day"], unit="D")).astype("datetime64[us, UTC]"),
    ).drop(columns="day")  # fmt: skip
    policy = pd.DataFrame(
        {"policy_id": ["P"], "policy_type": ["AML"], "parameters": [parameters], "is_active": [is_active]}
    )
    inputs = {"payments": payments, "aml_limits": aml_limits(policy, ["EUR"]), "day_offsets": day_offsets()}
    found = ENGINE.run(aml.STEPS, inputs, ["aml_hits"], aml.step_parameters(aml_figures(policy)))["aml_hits"]
    return sorted(zip(found["transaction_id"], found["rule"], strict=True))


def test_the_third_like_transfer_between_two_accounts_within_a_day_is_a_split():
    assert hits((0, "A", "B", 300), (0.3, "A", "B", 350), (0.6, "A", "B", 320)) == [("T002", "AML_SPLIT")]
    assert hits((0, "A", "B", 300), (0.6, "A", "B", 350), (1.2, "A", "B", 320)) == []
    assert hits((0, "A", "B", 300), (0.3, "A", "B", 350), (0.6, "A", "B", 900)) == []


def test_many_new_senders_within_a_week_are_a_fan_in_and_many_new_receivers_a_fan_out():
    before = [(0, "X", "Y", 100)]
    fan = [(40 + i, f"S{i}", "HUB", 100) for i in range(4)]
    assert hits(*before, *fan, parameters="threshold=1e4; fan_count=4") == [("T004", "AML_FAN_IN")]
    out = [(day, "HUB", sender, amount) for day, sender, _, amount in fan]
    assert hits(*before, *out, parameters="threshold=1e4; fan_count=4") == [("T004", "AML_FAN_OUT")]


@pytest.mark.parametrize(
    "fan",
    [
        [(10 + i, f"S{i}", "HUB", 100) for i in range(4)],  # the data knows less than 30 days before
        [(40 + 3 * i, f"S{i}", "HUB", 100) for i in range(4)],  # over more than a week
        [(40 + i, f"S{i % 2}", "HUB", 100) for i in range(4)],  # two senders only
    ],
)
def test_no_fan_where_senders_are_few_slow_or_of_unknown_past(fan):
    assert hits((0, "X", "Y", 100), *fan, parameters="threshold=1e4; fan_count=4") == []


def test_an_account_that_gains_partners_all_the_time_is_no_fan_after_its_first():
    steady = [(40 + i, f"S{i}", "SHOP", 100) for i in range(20)]
    found = hits((0, "X", "Y", 100), *steady, parameters="threshold=1e4; fan_count=4")
    assert [t for t, _ in found] == ["T004", "T005", "T006", "T007"]


def test_money_that_comes_back_in_order_and_in_nearly_full_amount_closes_a_circle():
    circle = [(0, "A", "B", 1000), (0.5, "B", "C", 950), (1, "C", "A", 930)]
    assert hits(*circle) == [("T002", "AML_CYCLE")]
    assert hits(*circle[:2], (1, "C", "D", 930), (1.5, "D", "A", 920)) == [("T003", "AML_CYCLE")]
    assert hits(circle[1], (0, "A", "B", 1000), circle[2]) == [("T002", "AML_CYCLE")]
    assert hits((0.7, "A", "B", 1000), *circle[1:]) == []  # B had sent it on before it came
    assert hits(*circle[:2], (1, "C", "A", 500)) == []
    assert hits(*circle[:2], (5, "C", "A", 930)) == []


def test_an_account_that_sends_on_what_it_got_is_rapid_in_and_out():
    got = [(0, "A", "MULE", 100_000), (0.5, "B", "MULE", 100_000)]
    assert hits(*got, (1, "MULE", "C", 95_000), (1.5, "MULE", "D", 90_000)) == [("T003", "AML_RAPID_IN_OUT")]
    assert hits(*got, (1, "MULE", "C", 95_000)) == []
    assert hits(*got, (4, "MULE", "C", 190_000)) == []


def test_transfers_of_bare_dates_come_in_the_order_of_their_ids():
    circle = [(0, "A", "B", 1000), (0, "B", "C", 950), (0, "C", "A", 930)]
    assert hits(*circle) == [("T002", "AML_CYCLE")]
    assert hits(*reversed(circle)) == []
    assert hits((0, "A", "MULE", 100_000), (0, "MULE", "C", 95_000)) == [("T001", "AML_RAPID_IN_OUT")]
    assert hits((0, "MULE", "C", 95_000), (0, "A", "MULE", 100_000)) == []
    assert hits((0, "A", "MULE", 100_000), (0, "MULE", "C", 95_000), (0, "MULE", "D", 4_000)) == [
        ("T001", "AML_RAPID_IN_OUT")
    ]


def test_a_payer_silent_for_two_months_that_pays_large_amounts_again_was_dormant():
    again = [(70 + i, "A", f"R{i}", 200_000) for i in range(3)]
    assert hits((0, "A", "B", 50), *again) == [("T003", "AML_DORMANT")]
    assert hits((0, "A", "B", 50), (40, "A", "B", 50), *again) == []
    assert hits(*again) == []  # a new payer, not a silent one
    assert hits((0, "A", "B", 50), *((d, s, r, 5_000) for d, s, r, _ in again)) == []


def test_with_no_active_policy_no_pattern_is_looked_for():
    split = [(0, "A", "B", 300), (0.3, "A", "B", 350), (0.6, "A", "B", 320)]
    assert hits(*split, is_active=False) == []


def test_a_policy_that_states_no_threshold_looks_for_the_patterns_with_the_usual_one():
    assert hits((0, "A", "B", 300), (0.3, "A", "B", 350), parameters="split_count=2") == [("T001", "AML_SPLIT")]
