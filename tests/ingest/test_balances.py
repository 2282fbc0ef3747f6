"""Each statement adds up, opens where the one before closed, and counts once."""

from __future__ import annotations

import pandas as pd
import pytest

from atlas_lib.core.tables import declared
from atlas_lib.ingest.balances import differing_deliveries, set_aside_reported, statement_findings

MADE = {"source_file": "f", "source_sheet": "", "source_row": 1}


def shaped(table, rows):
    filled = [{c.name: None for c in declared(table).columns} | MADE | row for row in rows]
    return declared(table).shaped(pd.DataFrame(filled)) if rows else declared(table).empty()


def line(statement="S1", number="1", amount=100, side="CRDT", day="2026-10-02", currency="EUR", **other):
    return {
        "statement_id": statement, "account": "A", "line_id": number, "booking_date": pd.Timestamp(day), "amount_posted_minor": amount,
        "fee_charged_minor": 0, "currency": currency, "credit_debit_indicator": side, "status": "BOOK",
    } | other  # fmt: skip


def balance(kind, amount, statement="S1", day="2026-10-02", currency="EUR"):
    return {
        "statement_id": statement, "account": "A", "balance_type": kind, "balance_date": pd.Timestamp(day),
        "balance_minor": amount, "currency": currency,
    }  # fmt: skip


def tables(lines, balances):
    return {
        "statement_lines": shaped("statement_lines", lines),
        "statement_balances": shaped("statement_balances", balances),
    }


def rules(lines, balances):
    found = statement_findings(tables(lines, balances))
    return found["rule"].tolist(), found["message"].tolist()


def ends(opening, closing, **where):
    return [balance("OPBD", opening, **where), balance("CLBD", closing, **where)]


def test_a_statement_that_adds_up_is_not_mentioned():
    assert rules([line(), line(number="2", amount=30, side="DBIT")], ends(0, 70))[0] == []


def test_pending_lines_do_not_move_the_balance():
    assert rules([line(status="PDNG")], ends(5, 5))[0] == []


def test_a_statement_without_lines_still_has_to_add_up():
    assert rules([], ends(0, 70))[0] == ["STATEMENT_BALANCE"]


def test_a_report_without_closing_balance_is_not_judged():
    assert rules([line()], [balance("OPBD", 7)])[0] == []


def test_a_missing_statement_shows_as_a_gap_and_days_twice_as_an_overlap():
    first = ends(0, 100, day="2026-10-02")
    gap, said = rules([line()], [*first, *ends(150, 150, statement="S3", day="2026-10-04")])
    assert gap == ["STATEMENT_GAP"]
    assert (
        "S3: opens with 150, S1 before it closed with 100 (minor units); a statement between them is missing" in said[0]
    )
    later = [balance("OPBD", 50, "S2", "2026-10-01"), balance("CLBD", 50, "S2", "2026-10-05")]
    overlap, said = rules([line()], [*first, *later])
    assert overlap == ["STATEMENT_GAP"]
    assert "the two overlap" in said[0]


def test_statements_of_one_day_may_come_in_any_order():
    day = [line("B", amount=100), line("A", amount=50)]
    balances = [*ends(0, 100, statement="B"), *ends(100, 150, statement="A")]
    assert rules(day, [*balances, *ends(150, 150, statement="C", day="2026-10-03")])[0] == []
    found, said = rules(day, [*balances, *ends(151, 151, statement="C", day="2026-10-03")])
    assert found == ["STATEMENT_GAP"]
    assert "statement C: opens with 151" in said[0]


def test_two_currencies_in_one_statement_are_not_added_up():
    found, said = rules([line()], [balance("OPBD", 0), balance("CLBD", 100, currency="SEK")])
    assert "MIXED_CURRENCY" in found
    assert any("EUR, SEK" in text for text in said)


def test_a_line_of_a_report_that_a_balanced_statement_has_too_is_counted_once():
    made = tables([line("S1"), line("R1"), line("R1", number="2")], ends(0, 100))
    kept, notes, counts = set_aside_reported(made)
    assert kept[["statement_id", "line_id"]].to_numpy().tolist() == [["R1", "2"], ["S1", "1"]]
    assert notes["rule"].tolist() == ["REPORTED_AND_BOOKED"]
    assert counts[["table", "currency", "duplicate_count"]].to_numpy().tolist() == [["statement_lines", "EUR", 1]]


@pytest.mark.parametrize(
    ("reported", "booked", "rule"),
    [
        ("B-1", "B-1", "REPORTED_AND_BOOKED"),
        ("B-1", "B-2", "REPORT_WITHOUT_ACCOUNT"),
        (None, None, "REPORT_WITHOUT_ACCOUNT"),
    ],
)
def test_a_report_and_a_statement_without_account_are_one_only_where_their_references_say_so(reported, booked, rule):
    lines = [line("R1", account="R1", bank_reference=reported), line("S1", account="S1", bank_reference=booked)]
    made = tables(lines, [row | {"account": "S1"} for row in ends(0, 100)])
    kept, notes, counts = set_aside_reported(made)
    is_one = rule == "REPORTED_AND_BOOKED"
    assert kept["statement_id"].tolist() == ["R1", "S1"][is_one:]
    assert notes[["rule", "value"]].to_numpy().tolist() == [[rule, "R1"]]
    assert counts["duplicate_count"].sum() == is_one
    assert list(kept.columns) == list(made["statement_lines"].columns)


def test_a_payment_in_two_reports_and_in_their_statement_is_counted_once():
    """As a bank tells of it: during the day (camt.052), as an advice (camt.054) and in the statement (camt.053)."""
    made = tables([line("R1"), line("R2"), line("R2", number="2"), line("S1")], ends(0, 100))
    kept, notes, _ = set_aside_reported(made)
    assert kept[["statement_id", "line_id"]].to_numpy().tolist() == [["R2", "2"], ["S1", "1"]]
    assert notes["value"].tolist() == ["R1", "R2"]


@pytest.mark.parametrize(
    "differs", [{"amount": 101}, {"side": "DBIT"}, {"day": "2026-10-03"}, {"currency": "USD"}, {"account": "B"}]
)
def test_a_line_of_a_report_that_differs_in_anything_is_kept(differs):
    made = tables([line("S1"), line("R1", **differs)], ends(0, 100))
    assert len(set_aside_reported(made)[0]) == 2


def test_a_statement_that_does_not_add_up_sets_nothing_aside():
    made = tables([line("S1"), line("R1")], ends(0, 90))
    assert len(set_aside_reported(made)[0]) == 2


def test_the_same_statement_with_other_content_in_a_second_file_is_a_conflict():
    rows = shaped("statement_lines", [line()])
    again = rows.assign(source_file="g")
    other = rows.assign(source_file="h", amount_posted_minor=101)
    both = pd.concat([rows, again, other], ignore_index=True)
    assert differing_deliveries(both).tolist() == [False, False, True]
