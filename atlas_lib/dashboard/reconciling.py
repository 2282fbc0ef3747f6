"""Decisions about breaks, suggestions and matches: what the ledger says of them now, and the actions for chosen rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pandas as pd

from atlas_lib.core.errors import Refused
from atlas_lib.core.run import Run
from atlas_lib.ledger.run_ledger import open_run_ledger
from atlas_lib.reconciliation.decisions import (
    DISPUTE_AFTER,
    REASON_CODES,
    DecisionDesk,
    open_decision_desk,
    read_decisions,
)
from atlas_lib.reconciliation.standing import dispute_states, standing_of_breaks, standing_of_pairs
from atlas_lib.reserves_credit.decisions import act_on_each
from atlas_lib.reserves_credit.roles import at_run, identify, require

_STAGE = "05_reconciliation"


def add_standing(run: Run, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with `standing_decision`: what people decided about each so far, as the ledger has it at this moment."""
    decisions = _decisions(run)
    counted = set(run.read("decisions")["entry_id"]) if run.has("decisions") else set()
    if "break_id" in rows:
        known, keys = standing_of_breaks(decisions, counted), rows["break_id"]
    else:
        known, keys = standing_of_pairs(decisions, counted), pair_keys(rows)
    return rows.assign(standing_decision=[known.get(str(key), "") for key in keys])


def pair_keys(rows: pd.DataFrame) -> pd.Series:
    """`transaction statement/line` of suggestions and matches."""
    texts = rows[["transaction_id", "statement_id", "line_id"]].astype("str")
    return texts["transaction_id"] + " " + texts["statement_id"] + "/" + texts["line_id"]


def options_of(run: Run, name: str, rows: pd.DataFrame) -> list[str]:
    """What can be chosen for an action about these rows: reason codes, or the states that a dispute can go to."""
    if name != "dispute":
        return list(REASON_CODES)
    states = dispute_states(_decisions(run))
    following = [set(DISPUTE_AFTER[states.get(break_id, "")]) for break_id in rows["break_id"]]
    common = set.intersection(*following) if following else set()
    return [s for s in ("open", "pending evidence", "won", "lost") if s in common]


def rows_chosen(run: Run, table: str, rows: pd.DataFrame) -> pd.DataFrame:
    """The chosen rows of the table as the run holds them."""
    whole = run.read(table)
    keys, wanted = (
        (whole["break_id"], rows["break_id"])
        if table == "breaks"
        else (pair_keys(whole), rows["transaction_id"] + " " + rows["line_key"])
    )
    return whole[keys.isin(wanted)].reset_index(drop=True)


def decide(
    run: Run, environment: Mapping[str, str], name: str, rows: pd.DataFrame, said: str, option: str
) -> str:  # fmt: skip
    """Do it for the chosen rows; the first refusal stops, and says what was done before."""
    with _desk(run, environment) as desk:
        if name == "force":
            return _force(desk, _unchanged(run, rows), said)
        if name == "accept":
            return accept(desk, rows_chosen(run, "suggestions", rows), run.read("suggestions"), said)
        if name == "unmatch":
            return _unmatch(desk, rows, said)
        _unchanged(run, rows)
        acts: dict[str, tuple[Callable[[str], object], str]] = {
            "dispute": (lambda one: desk.dispute(one, option, said), f"dispute {option}"),
            "recheck": (lambda one: desk.recheck(one, said), "another look is asked for"),
            "approve_break": (
                lambda one: desk.write_off(one, option, said),
                f"approved: written off as {option} and booked",
            ),
            "write_off": (lambda one: desk.write_off(one, option, said), f"written off as {option} and booked"),
        }
        act, done = acts[name]
        return act_on_each(rows, "break_id", act, f"{done}; the figures follow at the next run")


def _force(desk: DecisionDesk, breaks: pd.DataFrame, said: str) -> str:
    matched = breaks[breaks["is_matched"]]
    if len(matched):
        raise Refused(
            "A row of it is matched already", found=", ".join(matched["break_id"]), remedy="undo that match first"
        )
    lines = breaks[breaks["line_id"].notna()]
    keys = (lines["statement_id"].astype("str") + "/" + lines["line_id"].astype("str")).drop_duplicates().tolist()
    ids = breaks["transaction_id"].dropna().drop_duplicates().tolist()
    desk.force(ids, keys, said)
    return f"{', '.join(ids)} matched by hand with {', '.join(keys)}; the figures follow at the next run."


def accept(desk: DecisionDesk, chosen: pd.DataFrame, suggestions: pd.DataFrame, said: str) -> str:
    """Pairs one by one; of a sum all that it adds up, once."""
    alone = chosen[chosen["group_id"] == ""].assign(group=lambda rows: pair_keys(rows))
    sums = suggestions[(suggestions["group_id"] != "") & suggestions["group_id"].isin(chosen["group_id"])]
    rows = pd.concat([alone, sums.assign(group=sums["group_id"])], ignore_index=True)

    def act(group: str) -> None:
        own = rows[rows["group"] == group]
        keys = own["statement_id"].astype("str") + "/" + own["line_id"].astype("str")
        desk.force(list(own["transaction_id"].unique()), list(keys.unique()), said)

    each = rows.drop_duplicates("group")
    return act_on_each(each, "group", act, "matched by hand; the figures follow at the next run")


def _unmatch(desk: DecisionDesk, rows: pd.DataFrame, said: str) -> str:
    pairs = rows.assign(pair=rows["transaction_id"] + " " + rows["line_key"])

    def act(pair: str) -> None:
        for one in pairs[pairs["pair"] == pair].itertuples():
            desk.unmatch(str(one.transaction_id), str(one.line_key), said)

    return act_on_each(pairs, "pair", act, "match undone; the figures follow at the next run")


def _unchanged(run: Run, rows: pd.DataFrame) -> pd.DataFrame:
    """The breaks of the run, which must be worth what stood on the page when they were chosen."""
    breaks = rows_chosen(run, "breaks", rows)
    now = dict(zip(breaks["break_id"], breaks["discrepancy_minor"].astype("str"), strict=True))
    for break_id, shown in zip(rows["break_id"], rows["discrepancy_minor"], strict=True):
        if now.get(break_id) != shown:
            raise Refused(
                "The break is not what it was on the page", where=break_id, remedy="look at the list of breaks again"
            )
    return breaks


@contextmanager
def _desk(run: Run, environment: Mapping[str, str]) -> Iterator[DecisionDesk]:
    actor = at_run(identify(environment), run)
    with open_run_ledger(run, _STAGE) as ledger:
        yield open_decision_desk(run, ledger, actor.name, lambda action: require(actor, action))


def _decisions(run: Run) -> pd.DataFrame:
    with open_run_ledger(run, "dashboard") as ledger:
        return read_decisions(ledger)
