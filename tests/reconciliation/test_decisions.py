import pandas as pd
import pytest

from atlas_lib.core.errors import Refused
from atlas_lib.core.tables import declared
from atlas_lib.dashboard.reconciling import accept
from atlas_lib.ledger.store import open_ledger
from atlas_lib.reconciliation import bridge_accounts
from atlas_lib.reconciliation.decisions import DecisionDesk, read_decisions
from atlas_lib.reconciliation.replay import reconcile_decided, replay_matches
from tests.reconciliation.reconciliation_frames import balances_of, frame_of, line, match, payment, settings

OURS = [payment("T1", 10_000, "2026-10-05", reference="REF-1"), payment("T2", 7_000, "2026-10-05")]
BANK = [
    line("1", 10_000, "2026-10-06", end_to_end_id="REF1"),
    line("2", 4_000, "2026-10-07", end_to_end_id="EXT9000002"),  # a person knows better
    line("3", 3_000, "2026-10-08", end_to_end_id="EXT9000003"),
]


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", "test") as opened:
        yield opened


def run(ledger, ours=OURS, bank=BANK, before=None):
    transactions, lines = frame_of("transactions", ours), frame_of("statement_lines", bank)
    before = declared("break_states").empty() if before is None else before
    given = (transactions, lines, balances_of(lines))
    result = reconcile_decided(*given, match(transactions, lines), read_decisions(ledger), before, settings())
    return result | bridge_accounts(*given, result["reconciliation_items"])


def desk(result, ledger, allow=lambda action: None, **more):  # noqa: ARG005
    return DecisionDesk(result["breaks"], ledger, "anna", allow, lambda: 1_790_000_000_000_000_000, **more)


def states(result):
    items = result["reconciliation_items"]
    names = (items["transaction_id"] + items["line_id"]).tolist()
    return dict(zip(names, items["state"], strict=True))


def test_a_forced_match_of_one_payment_with_two_lines_is_replayed_on_every_run(ledger):
    desk(run(ledger), ledger).force(["T2"], ["S1/2", "S1/3"], "two instalments")
    for result in (run(ledger), run(ledger)):
        manual = result["matches"].query("match_pass == 'manual'")
        assert manual[["transaction_id", "line_id", "amount_minor"]].to_numpy().tolist() == [["T2", "2", 4_000], ["T2", "3", 3_000]]  # fmt: skip
        assert set(states(result).values()) == {"matched"}
        assert result["decision_findings"].empty
        assert result["reconciliation_totals"][["difference_count", "difference_minor"]].eq(0).to_numpy().all()


def test_a_forced_payout_keeps_the_sign_of_its_refund(ledger):
    ours = [payment("A", 30_001, "2026-10-05"), payment("B", 10_007, "2026-10-05", type="REFUND")]
    bank = [line("1", 19_994, "2026-10-06", end_to_end_id="EXT9000001")]
    desk(run(ledger, ours, bank), ledger).force(["A", "B"], ["S1/1"], "payout")
    forced = run(ledger, ours, bank)["matches"]
    assert dict(forced[["transaction_id", "amount_minor"]].to_numpy().tolist()) == {"A": 30_001, "B": -10_007}
    assert forced["value_minor"].sum() == 19_994


def test_undoing_a_match_opens_both_sides(ledger):
    desk(run(ledger), ledger).unmatch("T1", "S1/1", "another customer")
    result = run(ledger)
    assert states(result)["T1"] == states(result)["1"] == "break"
    assert {"MISSING_AT_BANK", "MISSING_IN_LEDGER"} <= set(result["breaks"]["break_type"])


def test_a_forced_match_that_does_not_add_up_or_whose_rows_are_gone_is_a_finding(ledger):
    desk(run(ledger), ledger).force(["T2"], ["S1/2"], "wrong")
    assert "differs from ours by -3000" in run(ledger)["decision_findings"].iloc[0]["finding"]
    assert states(run(ledger))["T2"] == "break"
    assert "not in this run" in run(ledger, ours=OURS[:1])["decision_findings"].iloc[0]["finding"]


def test_an_undone_pair_whose_line_is_gone_is_a_finding(ledger):
    desk(run(ledger), ledger).unmatch("T1", "S1/1", "wrong")
    (finding,) = run(ledger, bank=BANK[1:])["decision_findings"]["finding"]
    assert "bank line of it is not in this run" in finding


def lines_known(result):
    pairs = pd.concat([result["matches"], result["suggestions"]])
    return lambda payment_id: [[f"{s}/{n}" for t, s, n in pairs[["transaction_id", "statement_id", "line_id"]].to_numpy() if t == payment_id]]  # fmt: skip


@pytest.mark.parametrize(
    "pair, found",
    [
        (("T1", "S1/2"), "T1 is matched with or suggested for S1/1"),
        (("T2", "S1/1"), "no match or suggestion of T2"),
        (("NOBODY", "S1/1"), "no match or suggestion of NOBODY"),
    ],
)
def test_what_never_was_a_pair_cannot_be_undone_and_leaves_no_trace(ledger, pair, found):
    result = run(ledger)
    own = desk(result, ledger, lines_of=lines_known(result))
    with pytest.raises(Refused) as refused:
        own.unmatch(*pair, "by mistake")
    assert (found in str(refused.value), pair[1] in str(refused.value)) == (True, True)
    assert "take both ids from" in str(refused.value) and read_decisions(ledger).empty


def test_a_match_a_suggestion_and_what_was_just_forced_can_be_undone(ledger):
    bank = [line("1", 1_234, "2026-10-07"), line("2", 5, "2026-10-07"), line("3", 10_000, "2026-10-06", end_to_end_id="REF1")]  # fmt: skip
    ours = [*TWINS, payment("T3", 10_000, "2026-10-05", reference="REF-1")]
    result = run(ledger, ours, bank)
    own = desk(result, ledger, lines_of=lines_known(result))
    own.force(["T2"], ["S1/2"], "before the next run")
    for pair in (("T3", "S1/3"), ("T1", "S1/1"), ("T2", "S1/2")):
        own.unmatch(*pair, "no")
    assert read_decisions(ledger)["action"].tolist() == ["force", "unmatch", "unmatch", "unmatch"]


TWINS = [payment("T1", 1_234, "2026-10-05"), payment("T2", 1_234, "2026-10-05")]


def test_a_rejected_suggestion_is_not_suggested_again_and_is_no_finding(ledger):
    bank = [line("1", 1_234, "2026-10-07")]
    assert run(ledger, TWINS, bank)["suggestions"]["transaction_id"].tolist() == ["T1", "T2"]
    desk(run(ledger, TWINS, bank), ledger).unmatch("T1", "S1/1", "paid in cash")
    result = run(ledger, TWINS, bank)
    assert result["suggestions"]["transaction_id"].tolist() == ["T2"]
    assert result["decision_findings"].empty


def test_an_undone_pair_that_the_passes_no_longer_find_still_holds(ledger):
    desk(run(ledger), ledger).unmatch("T1", "S1/1", "another customer")
    elsewhere = [line("1", 10_000, "2026-10-06", end_to_end_id="EXT9000011"), *BANK[1:]]
    assert run(ledger, bank=elsewhere)["decision_findings"].empty


def test_who_forces_what_was_rejected_has_the_last_word(ledger):
    bank = [line("1", 1_234, "2026-10-07")]
    desk(run(ledger, TWINS, bank), ledger).unmatch("T1", "S1/1", "paid in cash")
    desk(run(ledger, TWINS, bank), ledger).force(["T1"], ["S1/1"], "it was not")
    assert run(ledger, TWINS, bank)["matches"]["transaction_id"].tolist() == ["T1"]


def test_a_write_off_is_booked_to_the_cent_and_settles_the_break_until_it_changes(ledger):
    bank = [line("1", 9_700, "2026-10-06", end_to_end_id="REF1")]
    result = run(ledger, OURS[:1], bank)
    (found,) = result["breaks"]["break_id"]
    desk(result, ledger).write_off(found, "BANK_FEE", "not worth a letter")
    balance = ledger.trial_balance().set_index("account")["balance_minor"].to_dict()
    assert balance == {"assets:bank:EUR": -300, "expenses:write_off:bank_fee": 300}
    state = run(ledger, OURS[:1], bank)["break_states"].iloc[0]
    assert (state["write_off_reason"], state["is_settled"]) == ("BANK_FEE", True)
    changed = run(ledger, OURS[:1], [line("1", 9_600, "2026-10-06", end_to_end_id="REF1")])
    assert not changed["break_states"]["is_settled"].any()
    assert "not what it was" in changed["decision_findings"].iloc[0]["finding"]
    with pytest.raises(Refused, match="nothing to write off"):
        desk(result, ledger).write_off(found, "BANK_FEE", "again")


def test_a_dispute_goes_through_its_states_and_ends(ledger):
    result = run(ledger)
    found = result["breaks"]["break_id"].iloc[0]
    with pytest.raises(Refused, match="cannot go there"):
        desk(result, ledger).dispute(found, "won", "")
    for state in ("open", "pending evidence", "won"):
        desk(result, ledger).dispute(found, state, "as the bank wrote")
    stated = run(ledger)["break_states"].set_index("break_id").loc[found]
    assert (stated["dispute_state"], stated["is_settled"]) == ("won", False)  # until the bank has booked it
    with pytest.raises(Refused, match="it is decided"):
        desk(result, ledger).dispute(found, "open", "")


def test_breaks_are_new_then_persisting_then_resolved_and_keep_their_first_day(ledger):
    first = run(ledger)["break_states"]
    assert set(first["standing"]) == {"new"}
    second = run(ledger, before=first)["break_states"]
    assert set(second["standing"]) == {"persisting"}
    desk(run(ledger), ledger).force(["T2"], ["S1/2", "S1/3"], "two instalments")
    third = run(ledger, before=second)["break_states"]
    assert set(third["standing"]) == {"resolved"}
    assert run(ledger, before=third)["break_states"].empty
    assert set(third["first_seen_date"]) == {pd.Timestamp("2026-10-30")}


def test_who_may_not_decide_leaves_no_trace(ledger):
    def refuse(action):
        raise Refused("You may not", found=action)

    result = run(ledger)
    with pytest.raises(Refused):
        desk(result, ledger, refuse).write_off(result["breaks"]["break_id"].iloc[0], "BANK_FEE", "")
    assert read_decisions(ledger).empty


def test_accepting_one_row_of_a_suggested_sum_matches_the_whole_of_it(ledger):
    bank = [line(n, amount, "2026-10-06") for n, amount in zip("1234", (3_001, 3_999, 2_002, 4_998), strict=True)]
    suggested = run(ledger, OURS[1:], bank)["suggestions"]
    assert suggested["line_id"].tolist() == ["1", "2"]
    said = accept(desk(run(ledger, OURS[1:], bank), ledger), suggested.head(1), suggested, "two instalments")
    assert said.endswith("matched by hand; the figures follow at the next run.")
    result = run(ledger, OURS[1:], bank)
    assert result["matches"]["line_id"].tolist() == ["1", "2"] and result["decision_findings"].empty


def test_rejecting_one_row_of_a_suggested_sum_rejects_the_sum(ledger):
    bank = [line(n, amount, "2026-10-06") for n, amount in zip("1234", (3_001, 3_999, 2_002, 4_998), strict=True)]
    desk(run(ledger, OURS[1:], bank), ledger).unmatch("T2", "S1/1", "another customer")
    result = run(ledger, OURS[1:], bank)
    assert result["suggestions"].empty and result["decision_findings"].empty


GROUP = [payment(n, amount, "2026-10-05", reference="R77X") for n, amount in (("T1", 10_003), ("T2", 5_004))]
GROUP_BANK = [line(n, amount, "2026-10-06", end_to_end_id="R77X") for n, amount in (("1", 8_001), ("2", 7_006))]


def test_an_undone_pair_of_a_group_stays_undone_when_the_group_grows_and_its_money_no_longer_meets(ledger):
    desk(run(ledger), ledger).unmatch("T1", "S1/2", "another order")
    assert run(ledger, GROUP, GROUP_BANK)["matches"].empty
    more = [*GROUP, payment("T3", 4_000, "2026-10-05", reference="R77X")]
    bank = [line(n, amount, "2026-10-06", end_to_end_id="R77X") for n, amount in (("0a", 1_500), ("0b", 2_500))]
    result = run(ledger, more, [*bank, *GROUP_BANK])
    assert (len(result["matches"]), len(result["decision_findings"])) == (0, 0)
    assert set(states(result).values()) == {"break"}


def test_a_pair_of_a_suggested_group_is_rejected_though_its_money_does_not_meet(ledger):
    ours = [payment(n, amount, "2026-10-05") for n, amount in (("T1", 3_001), ("T2", 5_003))]
    bank = [line(n, amount, "2026-10-06") for n, amount in (("1", 2_002), ("2", 6_002))]
    lines, transactions = frame_of("statement_lines", bank), frame_of("transactions", ours)
    pairs = [("T1", "1"), ("T1", "2"), ("T2", "2")]
    group = {"group_id": "S-1", "statement_id": "S1", "match_pass": "sum", "currency": "EUR"}
    apart = {"group_id": "", "statement_id": "S1", "match_pass": "amount_date", "currency": "EUR"}
    rows = [group | {"transaction_id": t, "line_id": n} for t, n in pairs] + [apart | {"transaction_id": "T2", "line_id": "3"}]  # fmt: skip
    desk(run(ledger), ledger).unmatch("T2", "S1/1", "no")
    none = [declared(name).empty() for name in ("matches", "links")]
    result = replay_matches(transactions, lines, *none, frame_of("suggestions", rows), read_decisions(ledger))
    assert result["suggestions"][["transaction_id", "line_id"]].to_numpy().tolist() == [["T2", "3"]]


@pytest.mark.parametrize(
    "ids, keys, said",
    [
        (["T1", "T2"], ["S1/1", "S1/2"], []),
        (["T1", "T2"], ["S1/1"], ["A payment or a bank line of it is matched otherwise."]),
        (["T1"], ["S1/1", "S1/2"], ["A payment or a bank line of it is matched otherwise."]),
    ],
)
def test_forcing_the_whole_group_that_the_pass_took_changes_nothing(ledger, ids, keys, said):
    desk(run(ledger), ledger).force(ids, keys, "checked")
    result = run(ledger, GROUP, GROUP_BANK)
    assert result["decision_findings"]["finding"].tolist() == said
    assert len(set(result["matches"]["match_id"])) == 1 and len(result["matches"]) == 3


def test_one_forced_match_over_two_that_the_pass_took_is_a_finding(ledger):
    ours = [payment(n, 10_000 + k, "2026-10-05", reference=f"REF-{k}") for k, n in enumerate(("T1", "T2"))]
    bank = [line(str(k), 10_000 + k, "2026-10-06", end_to_end_id=f"REF{k}") for k in range(2)]
    desk(run(ledger), ledger).force(["T1", "T2"], ["S1/0", "S1/1"], "as one")
    assert "matched otherwise" in run(ledger, ours, bank)["decision_findings"].iloc[0]["finding"]


@pytest.mark.parametrize("payment_id, statement, number", [("T1", "STMT 10", "1"), ("T1", "S1", "NTRY 1"), ("PAY 1", "S1", "1")])  # fmt: skip
def test_decisions_on_ids_with_blanks_hold(ledger, payment_id, statement, number):
    ours = [payment(payment_id, 10_000, "2026-10-05", reference="REF-1"), payment("T 2", 7_000, "2026-10-05")]
    bank = [line(number, 10_000, "2026-10-06", end_to_end_id="REF1", statement_id=statement)]
    bank += [line(f"x {n}", 3_500, "2026-10-07", end_to_end_id=f"EXT9{n}", statement_id=statement) for n in range(2)]
    own = desk(run(ledger, ours, bank), ledger, lines_of=lambda payment_id: [[]])  # noqa: ARG005
    own.force(["T 2"], [f"{statement}/x 0", f"{statement}/x 1"], "two instalments")
    assert run(ledger, ours, bank)["matches"].query("match_pass == 'manual'")["line_id"].tolist() == ["x 0", "x 1"]
    own.unmatch("T 2", f"{statement}/x 1", "forced in error")  # what was forced is known before the next run
    desk(run(ledger, ours, bank), ledger).unmatch(payment_id, f"{statement}/{number}", "another customer")
    result = run(ledger, ours, bank)
    assert result["matches"].empty and result["decision_findings"].empty
    desk(result, ledger).unmatch("GONE 1", f"{statement}/{number}", "no")
    assert run(ledger, ours, bank)["decision_findings"]["subject"].tolist() == [f"GONE 1 {statement}/{number}"]
