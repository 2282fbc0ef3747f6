import pandas as pd

from atlas_lib.core.tables import declared
from atlas_lib.reconciliation.pairs import joined
from atlas_lib.reconciliation.standing import dispute_states, standing_of_breaks, standing_of_pairs

AT = pd.Timestamp("2026-11-02 09:15", tz="UTC")


def decided(*rows):
    frame = pd.DataFrame([{"entry_id": 10 + n, **row} for n, row in enumerate(rows)])
    texts = {c: "" for c in ("transaction_ids", "line_keys", "break_id", "state", "reason_code", "said", "currency")}
    full = frame.assign(**{c: frame[c].fillna("") if c in frame else v for c, v in texts.items()})
    return declared("decisions").shaped(full.assign(amount_minor=0, actor="olga", decided_at=AT))


def test_the_last_decision_of_each_kind_stands_and_says_whether_the_run_has_counted_it():
    decisions = decided(
        {"action": "dispute", "break_id": "B-1", "state": "open"},
        {"action": "dispute", "break_id": "B-1", "state": "won"},
        {"action": "write_off", "break_id": "B-2", "reason_code": "BANK_FEE"},
        {"action": "recheck", "break_id": "B-1"},
    )
    assert standing_of_breaks(decisions, counted={11, 12}) == {
        "B-1": "dispute won (olga, 2026-11-02 09:15); another look asked for (olga, 2026-11-02 09:15, from the next run on)",
        "B-2": "written off as BANK_FEE (olga, 2026-11-02 09:15)",
    }
    assert dispute_states(decisions) == {"B-1": "won"}


def test_every_pair_of_a_forced_match_stands_until_it_is_undone():
    decisions = decided(
        {"action": "force", "transaction_ids": joined(["T1", "T2"]), "line_keys": joined(["S/1", "S/2"])},
        {"action": "unmatch", "transaction_ids": "T2", "line_keys": "S/1"},
    )
    standing = standing_of_pairs(decisions, counted=set())
    assert sorted(standing) == ["T1 S/1", "T1 S/2", "T2 S/1", "T2 S/2"]
    assert standing["T1 S/1"].startswith("matched by hand (olga")
    assert standing["T2 S/1"].startswith("match undone (olga")


def test_nothing_stands_where_nothing_was_decided():
    nothing = declared("decisions").empty()
    assert standing_of_breaks(nothing, set()) == standing_of_pairs(nothing, set()) == dispute_states(nothing) == {}
