"""What stands now about breaks and pairs: the last decisions in the ledger, in words, beside the figures of a run."""

from __future__ import annotations

import pandas as pd

from atlas_lib.reconciliation.pairs import split


def standing_of_breaks(decisions: pd.DataFrame, counted: set[int]) -> dict[str, str]:
    """Per break what was decided last of each kind, by whom and when.

    `decisions`: the table of that name, as `read_decisions` gives it now. `counted`: entries that the run replayed; any
    other takes effect in the figures at the next run, and says so.
    """
    about = decisions[decisions["break_id"] != ""]
    last = about.groupby(["break_id", "action"], sort=False).tail(1)
    return _joined(last.assign(subject=last["break_id"]), counted)


def standing_of_pairs(decisions: pd.DataFrame, counted: set[int]) -> dict[str, str]:
    """Per `transaction statement/line` the last word about the pair: matched by hand, or undone."""
    about = decisions[decisions["action"].isin(["force", "unmatch"])]
    pairs = about.assign(
        transaction_id=split(about["transaction_ids"]), line_key=split(about["line_keys"])
    ).explode("transaction_id").explode("line_key")  # fmt: skip
    pairs = pairs.assign(subject=pairs["transaction_id"].astype("str") + " " + pairs["line_key"].astype("str"))
    return _joined(pairs.groupby("subject", sort=False).tail(1), counted)


def dispute_states(decisions: pd.DataFrame) -> dict[str, str]:
    """Per disputed break how its dispute stands now."""
    last = decisions[decisions["action"] == "dispute"].groupby("break_id").tail(1)
    return dict(zip(last["break_id"], last["state"], strict=True))


def _joined(last: pd.DataFrame, counted: set[int]) -> dict[str, str]:
    if last.empty:
        return {}
    ordered = last.sort_values("entry_id")
    effect = ordered["entry_id"].isin(counted).map({True: "", False: ", from the next run on"})
    day = ordered["decided_at"].dt.strftime("%Y-%m-%d %H:%M")
    text = _words(ordered) + " (" + ordered["actor"] + ", " + day + effect + ")"
    grouped = text.groupby(ordered["subject"], sort=False).agg("; ".join)
    return dict(zip(grouped.index.astype("str"), grouped, strict=True))


def _words(decisions: pd.DataFrame) -> pd.Series:
    words = decisions["action"].map(
        {
            "force": "matched by hand",
            "unmatch": "match undone",
            "recheck": "another look asked for",
            "dispute": "dispute ",
            "write_off": "written off as ",
        }
    )
    return words.astype("str") + decisions["state"] + decisions["reason_code"]
