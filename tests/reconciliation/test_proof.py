"""Whatever is dropped, doubled or changed between the sides is found, and the verdict does not hide it."""

import pandas as pd
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from atlas_lib.core.tables import declared
from atlas_lib.reconciliation import bridge_accounts, compare_settings, find_breaks, match_transactions, verdict_of
from tests.reconciliation.reconciliation_frames import balances_of, frame_of, line, payment, reconcile, settings

OURS = frame_of(
    "transactions", [payment(f"T{n}", 1_000 + 97 * n, "2026-10-05", reference=f"REF{n:03}") for n in range(8)]
)
BANK = frame_of("statement_lines", [line(str(n), 1_000 + 97 * n, "2026-10-06", end_to_end_id=f"REF{n:03}") for n in range(8)])  # fmt: skip
EMPTY = [declared(name).empty() for name in ("merchants", "counterparties", "fx_rates")]


def verdict(result):
    return verdict_of(result["bridges"], result["reconciliation_totals"], result["breaks"])


def dropped(frame, row, _):
    return frame.drop(index=row).reset_index(drop=True)


def doubled(frame, row, _):
    again = frame.loc[[row]].assign(line_id="again")
    return pd.concat([frame, again], ignore_index=True)


def changed(frame, row, amount):
    return frame.assign(amount_posted_minor=frame["amount_posted_minor"].where(frame.index != row, amount))


@trials(max_examples=12, deadline=None)
@given(st.sampled_from([dropped, doubled, changed]), st.integers(0, 7), st.integers(5_000, 9_000), st.booleans())
def test_every_perturbation_is_a_break_or_a_residual(perturb, row, amount, bank_restates):
    lines = perturb(BANK, row, amount)
    result = reconcile(OURS, lines, balances=balances_of(lines if bank_restates else BANK))
    assert verdict(result) == ("breaks" if bank_restates else "incomplete")
    assert result["breaks"]["is_open"].any()
    totals = result["reconciliation_totals"]
    assert totals[["difference_count", "difference_minor"]].eq(0).to_numpy().all()
    items = result["reconciliation_items"]
    assert not items.duplicated(["side", "transaction_id", "statement_id", "line_id"]).any()
    assert len(items) == len(OURS) + len(lines)


def test_both_sides_as_they_are_reconcile():
    assert verdict(reconcile(OURS, BANK)) == "reconciled"


def test_rows_lost_or_doubled_on_the_way_are_never_green():
    result = reconcile(OURS, BANK)
    items = result["reconciliation_items"]
    for wrong in (
        items.iloc[1:],
        pd.concat([items, items.tail(1)]),
        items.assign(amount_minor=items["amount_minor"] + 1),
    ):
        proof = bridge_accounts(OURS, BANK, balances_of(BANK), wrong)
        assert verdict_of(proof["bridges"], proof["reconciliation_totals"], result["breaks"]) == "incomplete"


def test_what_is_open_today_is_matched_by_a_line_of_tomorrow():
    first_days = BANK.iloc[:7]
    today = reconcile(OURS, first_days, settings(as_of="2026-10-06"))
    assert verdict(today) == "reconciled with pending"
    later = BANK.iloc[7:].assign(statement_id="S2", booking_date=pd.Timestamp("2026-10-07"))
    open_items = OURS[
        OURS["transaction_id"].isin(today["reconciliation_items"].query("state == 'pending'")["transaction_id"])
    ]
    found = match_transactions(open_items, later, *EMPTY, settings(as_of="2026-10-07"))
    found.pop("search_limits")
    broken = find_breaks(open_items, later, balances_of(later), **found, settings=settings(as_of="2026-10-07"))
    assert found["matches"]["transaction_id"].tolist() == ["T7"]
    assert broken["breaks"].empty


def test_what_if_shows_each_match_and_break_that_would_differ():
    lines = changed(BANK, 3, int(BANK["amount_posted_minor"][3]) - 9)
    sides, nothing = (OURS, lines, balances_of(lines)), declared("decisions").empty()
    differs = compare_settings(sides, tuple(EMPTY), nothing, settings(), {"amount_tolerance_minor": 9})[
        "what_if_differences"
    ]
    rows = [["break", "AMOUNT_MISMATCH", ""], ["match", "", "reference"]]
    assert differs[["what", "present", "trial"]].to_numpy().tolist() == rows
    assert compare_settings(sides, tuple(EMPTY), nothing, settings(), {})["what_if_differences"].empty
