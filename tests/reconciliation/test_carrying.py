"""Open items of the run before: carried into the next run, aged on, and resolved when their other side comes."""

import json

import pandas as pd
import pytest

from atlas_lib.core.run import Run
from atlas_lib.core.tables import declared
from atlas_lib.reconciliation import (
    add_carried,
    bridge_accounts,
    carry_forward,
    reconcile,
    run_before,
    states_before,
    verdict_of,
)
from tests.reconciliation.reconciliation_frames import frame_of, line, payment, settings

EMPTY = tuple(declared(name).empty() for name in ("merchants", "counterparties", "fx_rates"))


@pytest.fixture
def run_day(tmp_path):
    """A day's run as notebook 05 makes it, over frames: `run_day(as_of, payments, lines, opening_minor)`."""

    def run(as_of, ours, bank, opening_minor=0, decisions=None):
        directory = tmp_path / as_of
        directory.mkdir()
        manifest = {"run_id": as_of, "as_of": as_of, "tables": {}, "stages": {}}
        (directory / "manifest.json").write_text(json.dumps(manifest))
        opened, chosen = Run(directory, "05_reconciliation"), settings(as_of=as_of)
        given = frame_of("transactions", ours), frame_of("statement_lines", bank)
        balances = balances_on(given[1], as_of, opening_minor)
        for name, frame in zip(("transactions", "statement_lines", "statement_balances"), (*given, balances), strict=True):  # fmt: skip
            opened.write(name, frame)
        before = run_before(opened)
        kept = carry_forward(before, *given, balances, chosen)
        carried = tuple(kept.values())
        sides = (*add_carried(*given, carried), balances)
        decided = declared("decisions").empty() if decisions is None else decisions
        done = reconcile(sides, EMPTY, decided, states_before(before), chosen, carried)
        proof = bridge_accounts(*sides, done["reconciliation_items"])
        for name, frame in (kept | done | proof).items():
            opened.write(name, frame)
        opened.save()
        return kept | done | proof

    return run


def balances_on(lines, as_of, opening_minor):
    """The first statement reaches back to the first of the month, each other is of its day."""
    sign = lines["credit_debit_indicator"].map({"CRDT": 1, "DBIT": -1})
    closing = opening_minor + int((lines["amount_posted_minor"] * sign).sum())
    own = {"statement_id": f"S-{as_of}", "account": "OUR-EUR", "currency": "EUR"}
    opened = "2026-10-01" if opening_minor == 0 else as_of
    return frame_of("statement_balances", [own | {"balance_type": t, "balance_minor": b, "balance_date": pd.Timestamp(d)} for t, b, d in (("OPBD", opening_minor, opened), ("CLBD", closing, as_of))])  # fmt: skip


def standing(result):
    states = result["break_states"]
    return sorted(zip(states["break_type"], states["standing"], strict=True))


def verdict(result):
    return verdict_of(result["bridges"], result["reconciliation_totals"], result["breaks"])


def booked(line_id, amount, day, **more):
    return line(line_id, amount, day, statement_id=f"S-{day}", **more)


def test_a_pending_payment_is_matched_by_the_line_of_a_later_input_that_no_longer_holds_it(run_day):
    ours = [payment("T1", 1_000, "2026-10-05", reference="R1"), payment("T2", 2_000, "2026-10-05", reference="R2")]
    first = run_day("2026-10-06", ours, [booked("1", 1_000, "2026-10-06", end_to_end_id="R1")])
    assert verdict(first) == "reconciled with pending"
    second = run_day("2026-10-07", [], [booked("1", 2_000, "2026-10-07", end_to_end_id="R2")], 1_000)
    assert second["carried_transactions"][["transaction_id", "previous_state"]].to_numpy().tolist() == [["T2", "pending"]]  # fmt: skip
    assert second["matches"][["transaction_id", "match_pass"]].to_numpy().tolist() == [["T2", "reference"]]
    assert verdict(second) == "reconciled"


def test_open_items_of_both_sides_age_on_over_many_days_and_are_then_resolved(run_day):
    day_1 = run_day("2026-10-16", [payment("T1", 1_000, "2026-10-05", reference="R1")], [booked("9", 777, "2026-10-16")])  # fmt: skip
    assert standing(day_1) == [("MISSING_AT_BANK", "new"), ("MISSING_IN_LEDGER", "new")]
    day_2 = run_day("2026-10-19", [], [booked("1", 40, "2026-10-19")], 777)
    assert standing(day_2) == [("MISSING_AT_BANK", "persisting"), ("MISSING_IN_LEDGER", "new"), ("MISSING_IN_LEDGER", "persisting")]  # fmt: skip
    day_3 = run_day("2026-10-20", [payment("T3", 777, "2026-10-15")], [booked("1", 1_000, "2026-10-20", end_to_end_id="R1")], 817)  # fmt: skip
    ages = day_2["breaks"].set_index("break_type")["break_age_days"].to_dict() | {"again": 0}
    assert ages["MISSING_AT_BANK"] == 14
    assert day_3["carried_lines"]["line_id"].tolist() == ["9", "1"]  # from both days before
    assert dict(day_3["matches"][["transaction_id", "match_pass"]].to_numpy().tolist()) == {"T1": "reference", "T3": "amount_date"}  # fmt: skip
    assert standing(day_3) == [("LATE_POSTING", "new"), ("MISSING_AT_BANK", "resolved"), ("MISSING_IN_LEDGER", "persisting"), ("MISSING_IN_LEDGER", "resolved")]  # fmt: skip
    for day in (day_1, day_2, day_3):
        assert day["bridges"]["residual_minor"].eq(0).all() and day["bridges"]["line_count"].eq(1).all()
        assert day["reconciliation_totals"][["difference_count", "difference_minor"]].eq(0).all(axis=None)
        assert verdict(day) == "breaks"


@pytest.mark.parametrize("opening_minor, state", [(5, "break"), (6, "uncovered")])
def test_a_pending_payment_becomes_a_break_where_the_statements_follow_each_other(run_day, opening_minor, state):
    run_day("2026-10-06", [payment("T1", 1_000, "2026-10-05")], [booked("1", 5, "2026-10-06")])
    later = run_day("2026-10-19", [], [booked("1", 1, "2026-10-19")], opening_minor)
    items = later["reconciliation_items"].set_index("transaction_id")
    assert items.loc["T1", ["state", "is_carried"]].tolist() == [state, True]
    assert verdict(later) == {"break": "breaks", "uncovered": "incomplete"}[state]


def test_a_row_that_the_new_input_holds_is_not_carried(run_day):
    ours = [payment("T1", 1_000, "2026-10-05", reference="R1")]
    run_day("2026-10-06", ours, [booked("1", 5, "2026-10-06")])
    changed = [payment("T1", 1_000, "2026-10-05", reference="R1", status="DECLINED")]
    second = run_day("2026-10-07", changed, [booked("1", 6, "2026-10-07")], 5)
    assert second["carried_transactions"].empty and second["carried_lines"]["line_id"].tolist() == ["1"]
    assert "MISSING_AT_BANK" not in set(second["breaks"]["break_type"])


def test_the_line_of_a_matched_payment_comes_along_while_the_input_still_holds_the_payment(run_day):
    ours = [payment("T1", 1_000, "2026-10-05", reference="R1")]
    run_day("2026-10-06", ours, [booked("1", 1_000, "2026-10-06", end_to_end_id="R1")])
    for as_of in ("2026-10-19", "2026-10-20"):
        again = run_day(as_of, ours, [booked("1", 5, as_of)], 1_000 if as_of == "2026-10-19" else 1_005)
        assert again["matches"]["transaction_id"].tolist() == ["T1"]
        assert "MISSING_AT_BANK" not in set(again["breaks"]["break_type"])
        assert again["bridges"]["residual_minor"].eq(0).all()


def test_what_was_written_off_is_not_carried_and_is_no_finding(run_day):
    first = run_day("2026-10-16", [payment("T1", 1_000, "2026-10-05")], [booked("1", 5, "2026-10-16")])
    lost = first["breaks"].set_index("break_type").loc["MISSING_AT_BANK"]
    decided = frame_of("decisions", [{"entry_id": 1, "action": "write_off", "break_id": lost["break_id"], "reason_code": "GOODWILL", "amount_minor": -1_000, "currency": "EUR", "actor": "anna", "decided_at": pd.Timestamp("2026-10-17", tz="UTC")}])  # fmt: skip
    second = run_day("2026-10-19", [], [booked("1", 6, "2026-10-19")], 5, decided)
    assert second["break_states"].set_index("break_id").loc[lost["break_id"], "is_settled"]
    third = run_day("2026-10-20", [], [booked("1", 7, "2026-10-20")], 11, decided)
    assert third["carried_transactions"].empty and third["decision_findings"].empty
    assert run_day("2026-10-21", [], [booked("1", 8, "2026-10-21")], 18, decided)["decision_findings"].empty


def test_a_forced_match_whose_rows_all_left_the_input_is_done_with(run_day):
    decided = frame_of("decisions", [{"entry_id": 1, "action": "force", "transaction_ids": "T1", "line_keys": "S-2026-10-06/1", "actor": "anna", "decided_at": pd.Timestamp("2026-10-05", tz="UTC")}])  # fmt: skip
    first = run_day("2026-10-06", [payment("T1", 5, "2026-10-05", reference="ORDER-77")], [booked("1", 5, "2026-10-06", end_to_end_id="EXT9000001")], 0, decided)  # fmt: skip
    assert first["matches"]["match_pass"].tolist() == ["manual"]
    second = run_day("2026-10-07", [], [booked("1", 6, "2026-10-07")], 5, decided)
    assert second["decision_findings"].empty and second["carried_lines"].empty


def test_a_claimed_fee_stays_open_after_its_rows_left_the_input(run_day):
    bank = [booked("1", 980, "2026-10-06", end_to_end_id="R1", fee_charged_minor=20)]
    run_day("2026-10-06", [payment("T1", 1_000, "2026-10-05", reference="R1")], bank)
    second = run_day("2026-10-07", [], [booked("1", 5, "2026-10-07")], 980)
    assert ("FEE_VARIANCE", "persisting") in standing(second)


def test_books_that_share_no_account_do_not_mix(run_day):
    run_day("2026-10-16", [payment("T1", 1_000, "2026-10-05")], [booked("1", 5, "2026-10-16", account="OTHER-BOOK")])
    second = run_day("2026-10-19", [], [booked("1", 5, "2026-10-19")])
    assert second["carried_transactions"].empty and second["carried_lines"].empty
