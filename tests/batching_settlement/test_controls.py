from types import SimpleNamespace

import pandas as pd
import pytest

from atlas_lib.batching_settlement.batching import plan_settlement
from atlas_lib.batching_settlement.controls import (
    check_inputs,
    check_outcome,
    count_standings,
    main_currency,
    show_limits,
    span_schedule,
    summarise_stage,
    total_controls,
)
from atlas_lib.core.tables import declared
from tests.batching_settlement.planning_frames import (
    counterparties,
    counterparty_limits,
    fx_rates,
    items_of,
    liquidity,
    settings,
    settled_before,
    streaming_index,
    transactions,
)

SALE = {"payer": "P", "payee": "M", "amount_minor": 1_000}
PAYOUT = {"payer": "OP", "payee": "M", "amount_minor": 900_000, "type": "PAYOUT"}


@pytest.fixture(scope="module")
def stage() -> SimpleNamespace:
    """Three of seven are planned and settled; one lacks cash, one is held, one declined, one settled before."""
    rows = [SALE, SALE, {**SALE, "currency": "USD"}, PAYOUT, SALE, {**SALE, "status": "DECLINED"}, SALE]
    items = items_of(transactions(*rows), flags={"T004": "BLACKLISTED"}, settled_before=settled_before(T006="B-1"))
    plan = plan_settlement(items, counterparties(), liquidity(EUR=0), fx_rates(), settings())
    lines = plan["batch_lines"]
    results = declared("settlement_results").shaped(lines.assign(status="settled", reason="", detail=""))
    return SimpleNamespace(items=items, plan=plan, lines=lines, results=results, deferrals=plan["deferrals"])


def totals_of(stage: SimpleNamespace, **changed: pd.DataFrame) -> pd.DataFrame:
    tables = {"lines": stage.lines, "results": stage.results, "deferrals": stage.deferrals} | changed
    totals = total_controls(stage.items, tables["lines"], tables["results"], tables["deferrals"])
    return totals["settlement_controls"].set_index("currency")


def test_controls_show_a_zero_per_currency_whatever_became_of_a_transaction(stage: SimpleNamespace) -> None:
    totals = totals_of(stage)
    assert (totals[["difference_count", "difference_minor"]] == 0).all(axis=None)
    counts = "accepted planned settled deferred settled_before not_due not_eligible".split()
    assert totals.loc["EUR", [f"{c}_count" for c in counts]].tolist() == [6, 2, 2, 2, 1, 0, 1]


def test_a_lost_or_doubled_transaction_shows_as_a_difference(stage: SimpleNamespace) -> None:
    assert totals_of(stage, results=stage.results.iloc[1:])["difference_count"].tolist() == [1, 0]
    doubled = pd.concat([stage.deferrals, stage.deferrals.iloc[:1]])
    assert totals_of(stage, deferrals=doubled)["difference_minor"].tolist() == [-900_000, 0]


def test_the_verdict_tells_what_settles_what_waits_and_what_it_costs(stage: SimpleNamespace) -> None:
    # One wire for two payments (4.25) and one for the third (5.00), instead of three (15.00).
    totals = totals_of(stage).reset_index()
    summary = summarise_stage(stage.items, stage.plan["cost_comparison"], stage.results, stage.deferrals, totals)
    assert summary.verdict == (
        "1 settled by an earlier run; 3 of 4 due payments settle over 2 wires, 23 % cheaper than each on its own; "
        "1 held by compliance, 1 short of cash; nothing is lost."
    )
    assert summary.status == "attention"
    assert summary.figures.set_index("label")["value"]["Cost of wires and conversions"] == "9.25 EUR"


def test_a_fallback_is_said_loudly(stage: SimpleNamespace) -> None:
    fallen = stage.plan["cost_comparison"].assign(is_fallback=True, solver="no solver answered: hub netting")
    summary = summarise_stage(stage.items, fallen, stage.results, stage.deferrals, totals_of(stage).reset_index())
    assert "NO SOLVER ANSWERED" in summary.verdict


def test_without_transactions_the_stage_is_skipped_and_with_all_settled_it_is_done() -> None:
    none = {
        n: declared(n).empty() for n in ("cost_comparison", "settlement_results", "deferrals", "settlement_controls")
    }
    assert summarise_stage(declared("settlement_items").empty(), *none.values()).status == "skipped"
    done = items_of(transactions(SALE), settled_before=settled_before(T000="B-1"))
    summary = summarise_stage(done, *none.values())
    assert summary.status == "passed"
    assert summary.verdict == "Nothing new is due: 1 of 1 transactions are in a batch already."


def test_input_checks_name_what_is_missing_and_only_screening_stops_the_run() -> None:
    accepted = transactions(SALE, {**SALE, "currency": "SEK"})
    screened = streaming_index(accepted.iloc[:1])
    old = fx_rates("2026-10-01")
    checks = check_inputs(accepted, screened, counterparties(), liquidity(EUR=1), old, settings())
    assert checks["detail"].tolist() == [
        "T001: not in the streaming index",
        "SEK: conversions wait",
        "holds",
        "SEK: not limited",
        "CP1: taken as available, without a limit",
    ]
    assert checks["is_blocking"].tolist() == [True, False, False, False, False]


def test_the_outcome_fails_on_an_unbalanced_ledger_and_on_a_broken_chain(stage: SimpleNamespace) -> None:
    balance = pd.DataFrame({"account": ["a", "b"], "currency": "EUR", "balance_minor": [5, -4]})
    findings = pd.DataFrame({"finding": ["changed"]})
    checks = check_outcome(
        pd.DataFrame(), stage.plan["plan_checks"], totals_of(stage).reset_index(), balance, findings, pd.DataFrame()
    )
    assert checks["passed"].tolist() == [True] * 11 + [False, False]
    assert checks["detail"].tolist()[-2:] == ["EUR: out of balance", "1: findings"]


def test_views_are_empty_on_empty_input() -> None:
    assert count_standings(declared("settlement_items").empty()).empty
    assert span_schedule(declared("settlement_schedule").empty()).empty
    assert main_currency(declared("netting_effect").empty()) == "EUR"


def test_limits_in_one_currency_stand_under_the_one_over_all_currencies() -> None:
    banks = counterparties(
        {"counterparty_id": "B", "limit_minor": 900},
        {"counterparty_id": "A", "limit_minor": None, "alternate_counterparty_id": "B"},
    )
    shown = show_limits(banks, counterparty_limits(("A", "USD", 70), ("A", "JPY", 8)))
    told = (
        shown[["counterparty_id", "limit_for", "currency", "alternate_counterparty_id"]].fillna("").to_numpy().tolist()
    )
    assert told == [
        ["A", "all currencies", "EUR", "B"], ["A", "JPY only", "JPY", "B"], ["A", "USD only", "USD", "B"],
        ["B", "all currencies", "EUR", ""],
    ]  # fmt: skip
    assert shown["limit_minor"].fillna(-1).tolist() == [-1, 8, 70, 900]
    assert show_limits(banks, counterparty_limits())["limit_for"].unique().tolist() == ["all currencies"]
    assert show_limits(counterparties(), counterparty_limits()).empty
