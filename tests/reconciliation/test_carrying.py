"""Open items of the run before: carried into the next run, aged on, and resolved when their other side comes."""

import json
from pathlib import Path

import pandas as pd
import pytest

from atlas_lib.core.bulk import loaded
from atlas_lib.core.engine import open_engine
from atlas_lib.core.parquet import write_parquet
from atlas_lib.core.run import Run
from atlas_lib.core.tables import declared
from atlas_lib.reconciliation import (
    add_carried,
    bridge_accounts,
    carry_forward,
    reconcile,
    run_before,
    states_before,
    summarise_stage,
    verdict_of,
)
from atlas_lib.reconciliation.predecessor import lines_of
from tests.reconciliation.reconciliation_frames import frame_of, line, payment, settings

EMPTY = tuple(declared(name).empty() for name in ("merchants", "counterparties", "fx_rates"))


@pytest.fixture
def run_day(tmp_path):
    """A day's run as notebook 05 makes it, over frames: `run_day(as_of, payments, lines, opening_minor)`."""

    def run(as_of, ours, bank, opening_minor=0, decisions=None, balances=None, name=None, look_back_days=30, **more):
        directory = tmp_path / (name or as_of)
        directory.mkdir()
        manifest = {"run_id": name or as_of, "as_of": as_of, "tables": {}, "stages": {}} | more
        (directory / "manifest.json").write_text(json.dumps(manifest))
        opened, chosen = Run(directory, "05_reconciliation"), settings(as_of=as_of, look_back_days=look_back_days)
        given = frame_of("transactions", ours), frame_of("statement_lines", bank)
        balances = balances_on(given[1], as_of, opening_minor) if balances is None else frame_of("statement_balances", balances)  # fmt: skip
        for name, frame in zip(("transactions", "statement_lines", "statement_balances"), (*given, balances), strict=True):  # fmt: skip
            opened.write(name, frame)
        before = run_before(opened)
        decided = declared("decisions").empty() if decisions is None else decisions
        kept = carry_forward(before, *given, balances, chosen, decided)
        carried = tuple(kept.values())
        sides = (*add_carried(*given, carried, open_engine("duckdb")), balances)
        done = reconcile(sides, EMPTY, decided, states_before(before), chosen, carried)
        proof = bridge_accounts(*sides, done["reconciliation_items"], kept["statement_coverage"])
        for name, frame in (kept | done | proof).items():
            opened.write(name, frame)
        opened.save()
        return kept | done | proof

    return run


def balances_on(lines, as_of, opening_minor):
    """The first statement reaches back to the first of the month, each other is of its day."""
    sign = lines["credit_debit_indicator"].map({"CRDT": 1, "DBIT": -1})
    closing = opening_minor + int((lines["amount_posted_minor"] * sign.astype("int64")).sum())
    own = {"statement_id": f"S-{as_of}", "account": min(lines["account"], default="OUR-EUR"), "currency": "EUR"}
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


def test_a_payment_that_repeats_one_settled_days_ago_becomes_a_duplicate_of_it(run_day):
    ours = [payment(t, 10_000, "2026-10-05", reference="REF-1") for t in ("T1", "T2")]
    run_day("2026-10-06", ours, [booked("1", 10_000, "2026-10-06", end_to_end_id="REF1")])
    for opening, day in enumerate(("2026-10-09", "2026-10-12", "2026-10-13"), start=10_000):
        result = run_day(day, [], [booked(day, 1, day)], opening)
        assert result["batch_index"]["transaction_id"].tolist() == ["T1", "T2"]
    breaks = result["breaks"].query("side == 'ledger'")
    assert breaks[["break_type", "transaction_id"]].to_numpy().tolist() == [["DUPLICATE", "T2"]]
    assert "It repeats T1" in breaks["reason"].iloc[0]


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


def decision(action, transaction_ids, line_keys):
    row = {"entry_id": 1, "action": action, "transaction_ids": transaction_ids, "line_keys": line_keys, "actor": "anna", "decided_at": pd.Timestamp("2026-10-17", tz="UTC")}  # fmt: skip
    return frame_of("decisions", [row])


@pytest.mark.parametrize("balances, said", [(None, "breaks"), ([], "incomplete")], ids=["quiet", "late"])
def test_a_day_without_bank_lines_keeps_every_open_item(run_day, balances, said):
    ours = [payment("T1", 1_000, "2026-10-05", reference="R1"), payment("T2", 2_000, "2026-10-15")]
    run_day("2026-10-16", ours, [booked("9", 777, "2026-10-16")])
    quiet = run_day("2026-10-17", [payment("T3", 3_000, "2026-10-17", reference="R3")], [], 777, balances=balances)
    assert set(quiet["carried_transactions"]["transaction_id"]) == {"T1", "T2"}
    assert standing(quiet) == [("MISSING_AT_BANK", "persisting"), ("MISSING_IN_LEDGER", "persisting")]
    assert verdict(quiet) == said
    bank = [booked("1", 1_000, "2026-10-18", end_to_end_id="R1"), booked("2", 3_000, "2026-10-18", end_to_end_id="R3")]
    third = run_day("2026-10-18", [], bank, 777)
    assert set(third["matches"]["transaction_id"]) == {"T1", "T3"}
    assert third["statement_coverage"]["continuity"].tolist() == ["follows"]


def cumulative(line_id, amount, day, **more):
    return line(line_id, amount, day, statement_id="S-MTD", **more)


@pytest.mark.parametrize("names", [{"bank_reference": "BR9"}, {}], ids=["named", "unnamed"])
def test_a_booking_that_a_cumulative_statement_repeats_counts_once(run_day, names):
    run_day("2026-10-16", [], [booked("9", 777, "2026-10-16", **names)])
    ours = [payment("T1", 777, "2026-10-15", reference="RA"), payment("T2", 700, "2026-10-15"), payment("T3", 77, "2026-10-15")]  # fmt: skip
    bank = [cumulative("1", 777, "2026-10-16", end_to_end_id="RA", **names), cumulative("2", 40, "2026-10-19")]
    second = run_day("2026-10-19", ours, bank, 0)
    assert second["carried_lines"].empty
    assert second["matches"]["transaction_id"].tolist() == ["T1"]
    assert second["statement_coverage"]["continuity"].tolist() == ["restates"]
    assert ("MISSING_IN_LEDGER", "not in this run") in standing(second)
    assert ("MISSING_IN_LEDGER", "resolved") not in standing(second)


def test_a_settled_payment_meets_its_booking_again_when_the_statement_repeats_it(run_day):
    run_day("2026-10-16", [payment("T1", 777, "2026-10-15")], [booked("9", 777, "2026-10-16")])
    second = run_day("2026-10-19", [], [cumulative("1", 777, "2026-10-16"), cumulative("2", 40, "2026-10-19")], 0)
    assert second["matches"][["transaction_id", "statement_id"]].to_numpy().tolist() == [["T1", "S-MTD"]]


def test_two_bookings_of_one_amount_stay_two_where_the_statements_follow_each_other(run_day):
    run_day("2026-10-16", [], [booked("9", 777, "2026-10-16")])
    second = run_day("2026-10-17", [], [cumulative("1", 777, "2026-10-16")], 777)
    assert len(second["breaks"]) == 2 and second["carried_lines"]["line_id"].tolist() == ["9"]


def test_statements_that_open_elsewhere_than_the_run_before_closed_leave_the_verdict_incomplete(run_day):
    run_day("2026-10-16", [payment("T1", 5, "2026-10-15")], [booked("9", 5, "2026-10-16")])
    second = run_day("2026-10-17", [payment("T2", 6, "2026-10-16")], [booked("1", 6, "2026-10-17")], 99)
    assert second["bridges"]["status"].tolist() == ["gap"] and verdict(second) == "incomplete"
    told = summarise_stage(second["bridges"], second["reconciliation_totals"], second["breaks"], settings())
    assert "1 account with statements that do not go on from those before" in told.verdict


def test_an_undone_match_opens_both_sides_although_the_input_no_longer_holds_them(run_day):
    run_day("2026-10-16", [payment("T1", 1_000, "2026-10-15")], [booked("1", 1_000, "2026-10-16")])
    undo = decision("unmatch", "T1", "S-2026-10-16/1")
    for as_of, opening in (("2026-10-17", 1_000), ("2026-10-18", 1_005)):
        after = run_day(as_of, [], [booked("1", 5, as_of)], opening, undo)
        assert after["matches"].empty and after["decision_findings"].empty
        assert after["reconciliation_items"].query("is_carried and amount_minor == 1000")["side"].tolist() == ["bank", "ledger"]  # fmt: skip


def test_a_decision_that_no_run_has_applied_stays_a_finding(run_day):
    undo = decision("unmatch", "T0", "S-2026-09-16/1")
    run_day("2026-10-16", [payment("T1", 5, "2026-10-15")], [booked("1", 5, "2026-10-16")])
    for as_of, opening in (("2026-10-17", 5), ("2026-10-18", 6)):
        assert len(run_day(as_of, [], [booked("1", 1, as_of)], opening, undo)["decision_findings"]) == 1


@pytest.mark.parametrize("text", [{"end_to_end_id": "R1"}, {"remittance_text": "ORDER R1-77/OCT"}], ids=["field", "text"])  # fmt: skip
def test_a_second_booking_on_a_later_day_is_a_duplicate_and_settles_no_other_payment(run_day, text):
    reference = {"end_to_end_id": "R1", "remittance_text": "R1-77/OCT"}["end_to_end_id" if "end_to_end_id" in text else "remittance_text"]  # fmt: skip
    run_day("2026-10-16", [payment("T1", 1_000, "2026-10-15", reference=reference)], [booked("1", 1_000, "2026-10-16", end_to_end_id=reference)])  # fmt: skip
    ours = [payment("T9", 1_000, "2026-10-16")]
    for as_of, bank, opening in (("2026-10-17", [booked("1", 1_000, "2026-10-17", **text)], 1_000), ("2026-10-18", [], 2_000)):  # fmt: skip
        later = run_day(as_of, ours, bank, opening)
        assert later["matches"]["transaction_id"].tolist() == ["T1"]
        assert later["breaks"].query("is_open")["break_type"].tolist() == ["DUPLICATE"]
        ours = []


@pytest.mark.parametrize("look_back_days, kind", [(30, "DUPLICATE"), (1, "MISSING_IN_LEDGER")])
def test_a_second_booking_is_known_for_as_many_days_as_chosen(run_day, look_back_days, kind):
    ours, far = [payment("T1", 1_000, "2026-10-15", reference="R1")], {"look_back_days": look_back_days}
    run_day("2026-10-16", ours, [booked("1", 1_000, "2026-10-16", end_to_end_id="R1")], **far)
    run_day("2026-10-17", [], [booked("1", 5, "2026-10-17")], 1_000, **far)
    run_day("2026-10-18", [], [booked("1", 6, "2026-10-18")], 1_005, **far)
    again = run_day("2026-10-19", [], [booked("1", 1_000, "2026-10-19", end_to_end_id="R1")], 1_011, **far)
    assert again["breaks"].query("line_id == '1' and statement_id == 'S-2026-10-19'")["break_type"].tolist() == [kind]
    assert set(again["matches"]["transaction_id"]) == ({"T1"} if look_back_days > 1 else set())
    after = run_day("2026-10-20", [], [booked("1", 7, "2026-10-20")], 2_011, **far)
    assert (kind, "persisting") in standing(after)
    assert after["bridges"]["residual_minor"].eq(0).all()


def test_a_match_of_some_runs_ago_can_be_undone_and_stays_open_in_every_run_after(run_day):
    run_day("2026-10-16", [payment("T1", 1_000, "2026-10-15", reference="R1")], [booked("1", 1_000, "2026-10-16", end_to_end_id="R1")], look_back_days=0)  # fmt: skip
    run_day("2026-10-17", [], [booked("1", 5, "2026-10-17")], 1_000, look_back_days=0)
    undo = decision("unmatch", "T1", "S-2026-10-16/1")
    for as_of, opening in (("2026-10-19", 1_005), ("2026-10-20", 1_010), ("2026-10-21", 1_015)):
        after = run_day(as_of, [], [booked("1", 5, as_of)], opening, undo, look_back_days=0)
        assert after["matches"].empty and after["decision_findings"].empty
        assert after["reconciliation_items"].query("is_carried and amount_minor == 1000")["side"].tolist() == ["bank", "ledger"]  # fmt: skip
        assert after["reconciliation_totals"][["difference_count", "difference_minor"]].eq(0).all(axis=None)


def test_an_old_match_does_not_come_back_once_its_payment_was_settled_otherwise(run_day):
    run_day("2026-10-16", [payment("T1", 1_000, "2026-10-15", reference="R1")], [booked("1", 1_000, "2026-10-16", end_to_end_id="R1")])  # fmt: skip
    undo = decision("unmatch", "T1", "S-2026-10-16/1")
    force = decision("force", "T1", "S-2026-10-17/1").assign(entry_id=2)
    decided = frame_of("decisions", pd.concat([undo, force]).to_dict("records"))
    second = run_day("2026-10-17", [], [booked("1", 1_000, "2026-10-17")], 1_000, decided)
    assert second["matches"][["transaction_id", "statement_id"]].to_numpy().tolist() == [["T1", "S-2026-10-17"]]
    third = run_day("2026-10-18", [], [booked("1", 1_000, "2026-10-18", end_to_end_id="R1")], 2_000, decided)
    assert third["matches"][["transaction_id", "statement_id"]].to_numpy().tolist() == [["T1", "S-2026-10-17"]]
    kinds = third["breaks"].query("is_open").set_index("statement_id")["break_type"].to_dict()
    assert set(kinds) == {"S-2026-10-16", "S-2026-10-18"}
    assert third["bridges"]["residual_minor"].eq(0).all()


@pytest.fixture
def made(tmp_path):
    """A finished run with one line and its coverage, and nothing else: `made(name, as_of, account, previous)`."""

    def make(name, as_of, account="OUR-EUR", previous=None, opening=0, **more):
        directory = tmp_path / name
        directory.mkdir()
        manifest = {"run_id": name, "as_of": as_of, "tables": {}, "stages": {}} | more
        manifest["previous"] = previous and {"run_id": previous, "manifest_sha256": ""}
        (directory / "manifest.json").write_text(json.dumps(manifest))
        run, ends = Run(directory, "05_reconciliation"), {"account": account, "currency": "EUR"}
        day = pd.Timestamp(as_of)
        run.write("statement_lines", frame_of("statement_lines", [line("1", 5, as_of, statement_id=name, account=account)]))  # fmt: skip
        run.write("statement_balances", frame_of("statement_balances", [ends | {"statement_id": name, "balance_type": "OPBD", "balance_date": day, "balance_minor": opening}]))  # fmt: skip
        run.write("statement_coverage", frame_of("statement_coverage", [ends | {"covered_from": day, "covered_to": day, "closing_minor": opening + 5, "run_count": 1}]))  # fmt: skip
        run.write("break_states", declared("break_states").empty())
        run.save()
        return run

    return make


def test_the_run_before_is_of_the_same_book_and_no_trial_whatever_was_written_last(made):
    made("b-real", "2026-10-16", opening=0)
    made("c-fork", "2026-10-16", opening=0, forked_from="b-real")
    made("a-trial", "2026-10-16", opening=50)
    made("d-other-book", "2026-10-17", account="OTHER-BOOK")
    assert run_before(made("e", "2026-10-18", opening=5)).run_id == "b-real"


def test_a_run_of_the_same_day_comes_before_where_its_statement_was_closed(made):
    made("morning", "2026-10-16", opening=0)
    evening = made("evening", "2026-10-16", opening=5, previous="morning")
    assert run_before(evening).run_id == "morning"
    assert run_before(made("corrected", "2026-10-16", opening=0, previous="evening")) is None
    assert run_before(made("next", "2026-10-17", opening=10, previous="corrected")).run_id == "evening"


def test_a_run_that_has_carried_keeps_its_run_before(made):
    made("a", "2026-10-16")
    run = made("c", "2026-10-18", opening=5)
    assert run_before(run).run_id == "a"
    run.manifest["stages"]["05_reconciliation"]["steps"]["carry_forward"] = []
    made("b", "2026-10-17", opening=5)
    assert run_before(run).run_id == "a"


def test_files_give_the_tables_that_frames_give_with_what_was_carried(tmp_path):
    names = ("transactions", "statement_lines")
    ours, bank = ([payment(f"T{n}", 1_000 + n, "2026-10-20", reference=f"R{n}") for n in range(4)], [line(str(n), 1_000 + n, "2026-10-21", end_to_end_id=f"R{n}") for n in range(3)])  # fmt: skip
    given = [frame_of(*side) for side in zip(names, (ours, bank), strict=True)]
    old = [payment("T9", 777, "2026-10-19", reference="R9")], [line("9", 888, "2026-10-20", statement_id="S-1")]
    carried = [frame_of(n, rows).assign(previous_state="break") for n, rows in zip(names, old, strict=True)]
    carried += [declared("statement_coverage").empty(), declared("applied_decisions").empty()]
    engine, files = open_engine("duckdb"), []
    for name, frame in zip(names, given, strict=True):
        table = declared(name)
        files.append(write_parquet(tmp_path / name, table.arrow_schema, table.to_arrow(frame).to_batches()))
    balances = balances_on(given[1], "2026-10-30", 0)
    results = []
    for sides in (given, files):
        whole = (*add_carried(*sides, carried, engine), balances)
        results.append(reconcile(whole, EMPTY, declared("decisions").empty(), declared("break_states").empty(), settings(as_of="2026-10-30"), tuple(carried), engine))  # fmt: skip
    assert results[0]["reconciliation_items"]["is_carried"].sum() == 2
    assert {name for name, table in results[1].items() if isinstance(table, Path)} == {"matches", "reconciliation_items", "batch_index"}  # fmt: skip
    for name, frame in results[0].items():
        pd.testing.assert_frame_equal(declared(name).shaped(loaded(results[1][name])), frame)


def test_a_pair_of_a_group_can_be_undone_and_brings_the_whole_group_back_though_its_money_does_not_meet(
    run_day, tmp_path
):
    ours = [payment(n, amount, "2026-10-05", reference="R77X") for n, amount in (("T1", 10_003), ("T2", 5_004))]
    bank = [booked(n, amount, "2026-10-06", end_to_end_id="R77X") for n, amount in (("1", 8_001), ("2", 7_006))]
    first = run_day("2026-10-06", ours, bank)
    met = first["matches"].query("transaction_id == 'T2'")["line_id"]
    assert met.tolist() == ["2"]
    known = [sorted(keys) for keys in lines_of(Run(tmp_path / "2026-10-06"), "T2")]
    assert known == [["S-2026-10-06/1", "S-2026-10-06/2"]]
    undone = decision("unmatch", "T2", "S-2026-10-06/1")
    second = run_day("2026-10-17", [], [booked("9", 5, "2026-10-17")], 15_007, undone)
    assert set(second["carried_transactions"]["transaction_id"]) == {"T1", "T2"}
    assert set(second["carried_lines"]["line_id"]) == {"1", "2"}
    assert second["matches"].empty and second["decision_findings"].empty
