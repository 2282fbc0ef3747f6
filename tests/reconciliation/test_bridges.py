import pandas as pd
import pytest

from atlas_lib.core.tables import declared
from atlas_lib.reconciliation import (
    age_breaks,
    bridge_accounts,
    bridge_steps,
    check_completeness,
    check_statements,
    sum_breaks,
    sum_passes,
    summarise_stage,
    verdict_of,
    worst_breaks,
)
from tests.reconciliation.reconciliation_frames import balances_of, frame_of, line, payment, reconcile, settings

SALE = payment("T1", 10_000, "2026-10-05", reference="REF-1")
BOOKED = line("1", 10_000, "2026-10-06", end_to_end_id="REF1")


def result_of(ours, bank, **given):
    return reconcile(frame_of("transactions", ours), frame_of("statement_lines", bank), **given)


def verdict(result):
    return verdict_of(result["bridges"], result["reconciliation_totals"], result["breaks"])


def summary_of(result):
    return summarise_stage(result["bridges"], result["reconciliation_totals"], result["breaks"], settings())


def test_opening_plus_matched_plus_breaks_is_closing():
    result = result_of([SALE], [BOOKED, line("2", 333, "2026-10-07", credit_debit_indicator="DBIT")])
    columns = ["opening_minor", "matched_minor", "break_minor", "closing_minor", "residual_minor", "status"]
    assert result["bridges"].iloc[0][columns].tolist() == [100_000, 10_000, -333, 109_667, 0, "balanced"]


@pytest.mark.parametrize(
    "ours, bank, expected, status",
    [
        ([SALE], [BOOKED], "reconciled", "passed"),
        ([SALE, payment("T2", 5, "2026-10-29")], [BOOKED], "reconciled with pending", "passed"),
        ([SALE], [BOOKED, line("2", 5, "2026-10-07")], "breaks", "attention"),
        ([SALE, payment("T2", 5, "2026-10-05", currency="GBP")], [BOOKED], "incomplete", "attention"),
    ],
)
def test_the_verdict_is_the_worst_that_is_true(ours, bank, expected, status):
    result = result_of(ours, bank)
    assert verdict(result) == expected
    assert summary_of(result).status == status


def test_a_residual_of_one_cent_makes_the_verdict_incomplete():
    statement_lines = frame_of("statement_lines", [BOOKED])
    balances = balances_of(statement_lines)
    balances.loc[balances["balance_type"] == "CLBD", "balance_minor"] += 1
    result = result_of([SALE], [BOOKED], balances=balances)
    assert result["bridges"].iloc[0][["residual_minor", "status"]].tolist() == [1, "residual"]
    assert verdict(result) == "incomplete"
    assert not check_completeness(result["bridges"], result["reconciliation_totals"])["passed"].all()


def test_an_account_without_balances_makes_the_verdict_incomplete():
    result = result_of([SALE], [BOOKED], balances=declared("statement_balances").empty())
    assert result["bridges"].iloc[0]["status"] == "no balance"
    assert verdict(result) == "incomplete"


def test_a_row_lost_on_the_way_shows_as_a_difference():
    result = result_of([SALE], [BOOKED])
    transactions, lines = frame_of("transactions", [SALE]), frame_of("statement_lines", [BOOKED])
    kept = result["reconciliation_items"].query("side == 'ledger'")
    proof = bridge_accounts(transactions, lines, balances_of(lines), kept)
    totals = proof["reconciliation_totals"].set_index("side")
    assert totals.loc["bank", ["difference_count", "difference_minor"]].tolist() == [1, 10_000]
    assert verdict_of(proof["bridges"], proof["reconciliation_totals"], result["breaks"]) == "incomplete"


@pytest.mark.parametrize("ours, bank", [([], [BOOKED]), ([SALE], []), ([], [])])
def test_with_one_side_missing_the_stage_is_skipped_in_one_friendly_line(ours, bank):
    summary = summary_of(result_of(ours, bank))
    assert summary.status == "skipped"
    assert "no transactions or no bank statements" in summary.verdict


def test_a_statement_that_does_not_add_up_is_named():
    lines = frame_of("statement_lines", [BOOKED])
    balances = balances_of(lines).assign(statement_id="S1")
    assert check_statements(lines, balances)["passed"].all()
    balances.loc[balances["balance_type"] == "CLBD", "balance_minor"] -= 7
    wrong = check_statements(lines, balances).set_index("check").loc["every statement adds up from opening to closing"]
    assert (wrong["passed"], wrong["detail"]) == (False, "S1")


def test_a_statement_that_opens_elsewhere_than_the_last_one_closed_is_named():
    rows = [
        {"statement_id": s, "account": "A", "currency": "EUR", "balance_type": kind, "balance_minor": amount}
        | {"balance_date": pd.Timestamp(day)}
        for s, kind, day, amount in [
            ("S1", "OPBD", "2026-09-01", 10), ("S1", "CLBD", "2026-09-30", 10),
            ("S2", "OPBD", "2026-10-01", 11), ("S2", "CLBD", "2026-10-31", 11),
        ]
    ]  # fmt: skip
    checks = check_statements(declared("statement_lines").empty(), frame_of("statement_balances", rows))
    assert checks["passed"].tolist() == [True, False]
    assert checks["detail"].iloc[1] == "S2"


def test_views_of_breaks_count_every_break_once():
    bank = [
        BOOKED,
        line("2", 200_000, "2026-10-07"),
        line("3", 50, "2026-10-29"),
        line("4", 50, "2026-10-28", currency="JPY"),
    ]
    result = result_of([SALE], bank)
    assert sum_breaks(result["breaks"])["break_count"].sum() == len(result["breaks"]) == 3
    assert age_breaks(result["breaks"]).drop(columns="break_type").iloc[0].tolist() == [1, 1, 1, 0, 3]
    assert worst_breaks(result["breaks"])["severity"].iloc[0] == "high"
    assert sum_passes(result["matches"])[["match_pass", "transaction_count"]].to_numpy().tolist() == [["reference", 1]]
    steps = bridge_steps(result["bridges"], "EUR").set_index("label")["amount_minor"]
    assert steps["Closing"] == steps.drop("Closing").sum()


def test_views_of_nothing_are_empty():
    names = "transactions statement_lines statement_balances reconciliation_items".split()
    proof = bridge_accounts(*(declared(n).empty() for n in names))
    breaks = declared("breaks").empty()
    assert proof["bridges"].empty and proof["reconciliation_totals"].empty
    assert all(f.empty for f in (age_breaks(breaks), sum_breaks(breaks), worst_breaks(breaks)))
    assert sum_passes(declared("matches").empty()).empty and bridge_steps(proof["bridges"], "EUR").empty
    assert check_completeness(proof["bridges"], proof["reconciliation_totals"])["passed"].all()
    checks = check_statements(declared("statement_lines").empty(), declared("statement_balances").empty())
    assert checks["passed"].all()


def statements(*rows):
    """Balances of statements (id, closing day, opening, closing) of the account OUR-EUR, in the order given."""
    made = [
        {"statement_id": s, "account": "OUR-EUR", "currency": "EUR", "balance_type": kind, "balance_minor": amount}
        | {"balance_date": pd.Timestamp(f"2026-10-{day}")}
        for s, day, opening, closing in rows
        for kind, amount in (("OPBD", opening), ("CLBD", closing))
    ]
    return frame_of("statement_balances", made)


@pytest.mark.parametrize(
    "balances, named",
    [
        ([("S1", "06", 0, 10_000), ("S3", "08", 40_000, 40_000), ("S5", "30", 10_000, 10_000)], ["S3", "S5"]),
        ([("S1", "06", 0, 99), ("S3", "30", 99, 10_000)], ["S1", "S3"]),
        ([("S1", "06", 0, 10_000), ("S2", "07", 5, 6), ("S3", "07", 6, 5), ("S4", "08", 10_000, 10_000)], ["S2", "S4"]),
    ],
    ids=["statements missing that net to nothing", "two wrong that net to nothing", "a circle that nothing leads to"],
)
def test_errors_of_statements_that_cancel_out_are_never_green(balances, named):
    result = result_of([SALE], [BOOKED], balances=statements(*balances))
    bridge = result["bridges"].iloc[0]
    assert (bridge["residual_minor"], bridge["status"], verdict(result)) == (0, "gap", "incomplete")
    assert all(f"statement {s} does not" in bridge["note"] for s in named)
    assert summary_of(result).status == "attention" and "do not go on from those before" in summary_of(result).verdict
    proof = check_completeness(result["bridges"], result["reconciliation_totals"]).set_index("check")
    assert named[0] in proof.loc["every account bridges to its closing balance", "detail"]


@pytest.mark.parametrize(
    "balances",
    [
        [("S1", "06", 0, 10_000), ("S2", "09", 10_000, 10_000), ("S3", "30", 10_000, 10_000)],
        [("S1", "05", 10_000, 0), ("A", "06", 10_000, 20_000), ("S0", "05", 0, 10_000)],
    ],
    ids=["days without statements", "a day that ends where it began"],
)
def test_statements_that_follow_each_other_are_whole(balances):
    bank = [line("1", 10_000, "2026-10-06", end_to_end_id="REF1", statement_id="A")]
    if balances[1][0] == "S2":
        bank = [BOOKED]
    else:
        bank += [
            line("2", 10_000, "2026-10-05", credit_debit_indicator="DBIT"),
            line("3", 10_000, "2026-10-05", statement_id="S0"),
        ]
    result = result_of([SALE], bank, balances=statements(*balances))
    assert result["bridges"].iloc[0][["residual_minor", "status", "note"]].tolist() == [0, "balanced", ""]


@pytest.mark.parametrize("names", [("A", "B", "C"), ("B", "A", "C"), ("C", "B", "A"), ("B", "C", "A")])
def test_statements_of_one_day_bridge_in_whatever_order_they_are_named(names):
    one, two, three = names
    bank = [
        line("1", 10_000, "2026-10-06", end_to_end_id="REF1", statement_id=one),
        line("2", 50, "2026-10-06", statement_id=two),
        line("3", 70, "2026-10-06", statement_id=three, credit_debit_indicator="DBIT"),
    ]
    day = statements((one, "06", 7, 10_007), (two, "06", 10_007, 10_057), (three, "06", 10_057, 9_987))
    bridge = result_of([SALE], bank, balances=day)["bridges"].iloc[0]
    assert bridge[["opening_minor", "closing_minor", "residual_minor", "status"]].tolist() == [7, 9_987, 0, "balanced"]


def test_money_that_arrives_for_payments_not_due_is_never_nothing_to_reconcile():
    ours = [
        payment("T1", 10_000, "2026-10-05", reference="REF-1", status="PENDING"),
        payment("T2", 900_000, "2026-10-05", status="DECLINED"),
    ]
    result = result_of(ours, [BOOKED, line("2", 900_000, "2026-10-06", end_to_end_id="T2")])
    assert verdict(result) == "breaks" and summary_of(result).status == "attention"
    totals = result["reconciliation_totals"].set_index("side")
    assert totals.loc["ledger", ["rows_in_count", "amount_in_minor", "difference_count"]].tolist() == [0, 0, 0]
    assert totals.loc["bank", "break_count"] == 2
    assert verdict(result_of(ours, [])) == "nothing to reconcile"
