"""Decisions replayed over what the passes found: forced pairs in, undone pairs out, and what no longer applies named."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from atlas_lib.core.bulk import loaded
from atlas_lib.core.engine import Engine, Input
from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.core.tables import declared
from atlas_lib.reconciliation.breaks import find_breaks
from atlas_lib.reconciliation.carrying import Carried, follows_a_run
from atlas_lib.reconciliation.pairs import SEPARATOR, holding, pairs_of, split
from atlas_lib.reconciliation.pairs import line_keys as _keys
from atlas_lib.reconciliation.passes.solutions import lay_along
from atlas_lib.reconciliation.waterfalls import build_waterfalls

_MATCHING = ("force", "unmatch")


def replay_matches(
    transactions: pd.DataFrame,
    statement_lines: pd.DataFrame,
    matches: pd.DataFrame,
    links: pd.DataFrame,
    suggestions: pd.DataFrame,
    decisions: pd.DataFrame,
    payout_parts: pd.DataFrame | None = None,
) -> dict[str, pd.DataFrame]:
    """matches, links, suggestions and payout_parts after the decisions, oldest first; decision_findings of those that do
    not apply.

    An undone match takes its whole group apart: every payment and line of it is open. What was undone is not suggested
    again either, and is no finding while both its rows are in the run, whatever became of them: so a suggestion can be
    rejected. A forced match holds when all its rows exist, are due or booked, are open, and both sides sum to the same
    in one currency; of a payout that was suggested net of a reserve, to the same without that reserve.
    """
    parts = declared("payout_parts").empty() if payout_parts is None else payout_parts
    ours, bank = _our_side(transactions), _bank_side(statement_lines)
    findings: list[dict[str, Any]] = []
    undone: dict[tuple[str, ...], bool] = {}
    for decision in decisions[decisions["action"].isin(_MATCHING)].itertuples():
        pairs = pairs_of(decision)
        undone |= dict.fromkeys(map(tuple, pairs.to_numpy()), decision.action == "unmatch")
        if decision.action == "unmatch":
            matches, fault = _undo(matches, pairs, ours, bank)
        else:
            matches, fault = _force(matches, pairs, ours, bank, decision, parts)
        if fault:
            findings.append(_finding(decision, fault))
    taken = pd.MultiIndex.from_frame(matches[["statement_id", "line_id"]])
    free = [~pd.MultiIndex.from_frame(t[["statement_id", "line_id"]]).isin(taken) for t in (links, suggestions)]
    known = matches["transaction_id"]
    apart = pd.DataFrame(
        [pair for pair, is_apart in undone.items() if is_apart], columns=["transaction_id", "line_key"]
    )
    rejected = holding(suggestions, "group_id", apart)
    links = links[free[0]]
    gone = ~free[1] | suggestions["transaction_id"].isin(known) | rejected
    suggestions = suggestions[~gone & ~suggestions["group_id"].isin(set(suggestions.loc[gone, "group_id"]) - {""})]
    kind = links["kind"].mask((links["kind"] == "mismatch") & links["transaction_id"].isin(known), "further")
    return {
        "matches": declared("matches").shaped(matches),
        "links": declared("links").shaped(links.assign(kind=kind)),
        "suggestions": declared("suggestions").shaped(suggestions),
        "payout_parts": declared("payout_parts").shaped(_parts_that_hold(parts, matches, suggestions)),
        "decision_findings": _as_findings(findings),
    }


def _not_done_with(
    decisions: pd.DataFrame, applied: pd.DataFrame, transactions: pd.DataFrame, statement_lines: pd.DataFrame
) -> pd.DataFrame:
    known = [set(transactions["transaction_id"]), set(_keys(statement_lines))]
    named = [split(decisions["transaction_ids"]), split(decisions["line_keys"])]
    here = [not (known[0].isdisjoint(ids) and known[1].isdisjoint(keys)) for ids, keys in zip(*named, strict=True)]
    return decisions[np.array(here, dtype=bool) | ~decisions["entry_id"].isin(applied["entry_id"])]


def _our_side(transactions: pd.DataFrame) -> pd.DataFrame:
    is_due = transactions["status"].eq("APPROVED") | (
        transactions["status"].eq("REFUNDED") & transactions["type"].eq("SALE")
    )
    due = transactions[is_due]
    day = due["created_at"].dt.tz_convert("UTC").dt.tz_localize(None).dt.normalize()
    signed = due["amount_minor"].where(due["type"] == "SALE", -due["amount_minor"])
    return due.assign(transaction_date=day, signed_minor=signed).set_index("transaction_id")


def _bank_side(statement_lines: pd.DataFrame) -> pd.DataFrame:
    booked = statement_lines[statement_lines["status"] == "BOOK"]
    is_credit = booked["credit_debit_indicator"] == "CRDT"
    gross = booked["amount_posted_minor"] + booked["fee_charged_minor"].where(is_credit, 0)
    keys = booked["statement_id"] + "/" + booked["line_id"]
    return booked.assign(line_key=keys, gross_minor=gross, signed_minor=gross.where(is_credit, -gross)).set_index(
        "line_key"
    )


def _undo(
    matches: pd.DataFrame, pairs: pd.DataFrame, ours: pd.DataFrame, bank: pd.DataFrame
) -> tuple[pd.DataFrame, str]:
    pair = pairs.iloc[0]
    if pair["transaction_id"] not in ours.index or pair["line_key"] not in bank.index:
        return matches, "The payment or the bank line of it is not in this run, or not due any more."
    return matches[~holding(matches, "match_id", pairs)], ""


def _parts_that_hold(parts: pd.DataFrame, matches: pd.DataFrame, suggestions: pd.DataFrame) -> pd.DataFrame:
    """Parts of payouts that are matched or suggested, whole: what somebody joined otherwise has no reserve of theirs."""
    key = ["statement_id", "line_id", "transaction_id"]
    standing = pd.concat([
        matches.loc[matches["match_pass"].isin(["payout", "manual"]), key],
        suggestions.loc[suggestions["match_pass"].eq("payout"), key],
    ])  # fmt: skip
    is_part = pd.MultiIndex.from_frame(parts[key]).isin(pd.MultiIndex.from_frame(standing))
    other = standing[~pd.MultiIndex.from_frame(standing).isin(pd.MultiIndex.from_frame(parts[key]))]
    broken = set(_keys(parts[~is_part])) | set(_keys(other))
    return parts[~_keys(parts).isin(broken)]


def _held_back(parts: pd.DataFrame, ids: Collection[str], keys: Collection[str]) -> pd.Series:
    """What the suggested payout that is exactly these payments and this line holds back of each payment; else nothing."""
    own = parts[_keys(parts).isin(keys)] if len(keys) == 1 else parts.iloc[:0]
    held = own.set_index("transaction_id")["reserve_minor"] if set(own["transaction_id"]) == set(ids) else pd.Series(dtype="int64")  # fmt: skip
    return held.reindex(pd.Index(list(ids)), fill_value=0)


def _force(
    matches: pd.DataFrame,
    pairs: pd.DataFrame,
    ours: pd.DataFrame,
    bank: pd.DataFrame,
    decision: Any,
    parts: pd.DataFrame,
) -> tuple[pd.DataFrame, str]:
    ids, keys = pairs["transaction_id"].unique(), pairs["line_key"].unique()
    if not set(ids) <= set(ours.index) or not set(keys) <= set(bank.index):
        return matches, "A payment or a bank line of it is not in this run, or not due any more."
    named = matches["transaction_id"].isin(ids) | _keys(matches).isin(keys)
    if named.any():
        held = matches[matches["match_id"].isin(matches.loc[named, "match_id"])]
        sides = set(held["transaction_id"]), set(_keys(held))
        is_same = sides == (set(ids), set(keys)) and len(set(held["match_id"])) == 1
        return matches, "" if is_same else "A payment or a bank line of it is matched otherwise."
    own, lines = ours.loc[ids], bank.loc[keys]
    if len(set(own["currency"]) | set(lines["currency"])) > 1:
        return matches, "The two sides are in different currencies."
    reserve = _held_back(parts, ids, keys)
    difference = int(lines["signed_minor"].sum() + reserve.sum() - own["signed_minor"].sum())
    if difference:
        return matches, f"The bank's side differs from ours by {difference} minor units: write that off instead."
    return pd.concat([matches, _forced(own, lines, reserve, decision)], ignore_index=True), ""


def _forced(own: pd.DataFrame, lines: pd.DataFrame, held: pd.Series, decision: Any) -> pd.DataFrame:
    """One row per pair in which money meets: both sides are laid along each other in order, signs as the bank's total."""
    sign = -1 if lines["signed_minor"].sum() < 0 else 1
    net = (sign * (own["signed_minor"] - held)).to_numpy()
    left, right, amount = lay_along(net, (sign * lines["signed_minor"]).to_numpy())
    amount = amount + sign * held.to_numpy()[left]
    ours, bank = own.iloc[left], lines.iloc[right]
    first = ~pd.Index(bank.index).duplicated()
    late = (bank["booking_date"].to_numpy() - ours["transaction_date"].to_numpy()).astype("timedelta64[D]")
    return pd.DataFrame(
        {
            "match_id": f"M-manual-{decision.entry_id}", "transaction_id": ours.index, "statement_id": bank["statement_id"].to_numpy(),
            "line_id": bank["line_id"].to_numpy(), "match_pass": "manual", "match_score": 1.0, "rival_margin": 1.0,
            "currency": ours["currency"].to_numpy(), "amount_minor": amount, "value_minor": amount,
            "fee_minor": bank["fee_charged_minor"].where(first, 0).to_numpy(),
            "transaction_date": ours["transaction_date"].to_numpy(), "booking_date": bank["booking_date"].to_numpy(),
            "days_late": late.astype("int64").clip(min=0),
        }
    )  # fmt: skip


def state_breaks(
    breaks: pd.DataFrame, before: pd.DataFrame, decisions: pd.DataFrame, as_of: pd.Timestamp, *, follows: bool
) -> dict[str, pd.DataFrame]:
    """break_states of this run's breaks and the earlier run's `break_states`; decision_findings about breaks.

    `follows`: there was a run before with statements. A write-off counts while the break's discrepancy is what it was when it was written off.
    `is_here` of `before` says whether the rows of its break are in this run; where they are not, and nobody wrote it off,
    the break is not resolved.
    """
    earlier = before[~before["standing"].isin(["resolved", "not in this run"])].set_index("break_id")
    present = breaks[["break_id", "break_type", "currency", "discrepancy_minor"]]
    gone = earlier.loc[~earlier.index.isin(breaks["break_id"]), ["break_type", "currency", "discrepancy_minor"]]
    both = pd.concat([present, gone.reset_index()], ignore_index=True)
    is_present, is_known = both["break_id"].isin(breaks["break_id"]), both["break_id"].isin(earlier.index)
    standing = (
        pd.Series("new", index=both.index, dtype="str").mask(is_known, "persisting").mask(~is_present, "resolved")
    )
    lost = earlier.index[~earlier["is_here"] & ~earlier["is_settled"]]
    standing = standing.mask(~is_present & both["break_id"].isin(lost), "not in this run")
    first = both[["break_id"]].join(earlier["first_seen_date"], on="break_id")["first_seen_date"].fillna(as_of)
    last = {a: decisions[decisions["action"] == a].groupby("break_id").tail(1).set_index("break_id") for a in ("dispute", "recheck", "write_off")}  # fmt: skip
    dispute = _texts(both["break_id"], last["dispute"]["state"])
    holds = both["break_id"].map(last["write_off"]["amount_minor"]) == both["discrepancy_minor"]
    reason = _texts(both["break_id"], last["write_off"]["reason_code"]).where(holds, "")
    states = both.assign(
        standing=standing, first_seen_date=first, dispute_state=dispute, write_off_reason=reason,
        is_recheck_asked=both["break_id"].isin(last["recheck"].index),
        is_settled=reason != "",
    )  # fmt: skip
    about = decisions[~decisions["action"].isin(_MATCHING)].groupby(["break_id", "action"]).tail(1)
    changed = set(last["write_off"].index) & set(both.loc[is_present & ~holds, "break_id"])
    # What was settled or resolved in runs before may be gone; what the run before still had open may not.
    closed = set(about["break_id"]) - set(earlier.index[~earlier["is_settled"]]) if follows else set()
    here = set(breaks["break_id"]) | closed
    findings = [_finding(d, "The break is not in this run.") for d in about.itertuples() if d.break_id not in here]
    findings += [_finding(d, "The difference is not what it was when it was written off.") for d in about.itertuples() if d.action == "write_off" and d.break_id in changed]  # fmt: skip
    return {"break_states": declared("break_states").shaped(states), "decision_findings": _as_findings(findings)}


def _is_here(before: pd.DataFrame, transactions: Input, statement_lines: Input) -> pd.Series[bool]:
    """Whether the row that each earlier break is about is in this run; true where `before` does not tell the row."""
    if "side" not in before:
        return pd.Series(True, index=before.index)
    ours = before["transaction_id"].isin(loaded(transactions, ["transaction_id"])["transaction_id"])
    lines = loaded(statement_lines, ["statement_id", "line_id"])
    return ours.mask(before["side"] == "bank", _keys(before).isin(_keys(lines))).astype("bool")


def _texts(keys: pd.Series, by_key: pd.Series) -> pd.Series:
    known = dict(zip(by_key.index, by_key, strict=True))
    return pd.Series([known.get(key, "") for key in keys], index=keys.index, dtype="str")


def reconcile_decided(
    transactions: Input,
    statement_lines: Input,
    statement_balances: pd.DataFrame,
    found: dict[str, Any],
    decisions: pd.DataFrame,
    before: pd.DataFrame,
    settings: ReconciliationSettings,
    carried: Carried | None = None,
    engine: Engine | None = None,
) -> dict[str, Any]:
    """Everything after the passes: decisions replayed, breaks of what is left, and where each break stands.

    A decision that the run before had applied is done with when none of its rows is here any more.

    A break that is written off is no longer open; one in dispute is, until the bank has booked what was agreed.
    """
    follows = follows_a_run(carried)
    applied = declared("applied_decisions").empty() if carried is None else carried[3]
    sides = (transactions, statement_lines)
    small = {n: declared(n).shaped(loaded(found[n])) for n in ("links", "suggestions", "payout_parts", "search_limits")}
    played = _replayed(sides, found | small, decisions, applied)
    findings = played.pop("decision_findings")
    broken = find_breaks(*sides, statement_balances, **played, settings=settings, carried=carried, engine=engine)
    payouts = build_waterfalls(*sides, played["matches"], played["suggestions"], played["payout_parts"], settings)
    seen = before.assign(is_here=_is_here(before, transactions, statement_lines))
    stated = state_breaks(broken["breaks"], seen, decisions, pd.Timestamp(settings.as_of), follows=follows)
    settled = stated["break_states"].query("is_settled")["break_id"]
    broken["breaks"] = broken["breaks"].assign(
        is_open=broken["breaks"]["is_open"] & ~broken["breaks"]["break_id"].isin(settled)
    )
    said = pd.concat([findings, stated["decision_findings"]], ignore_index=True)
    findings = declared("decision_findings").shaped(said)
    decided = {"decisions": decisions, "decision_findings": findings}
    return {"search_limits": small["search_limits"]} | played | broken | payouts | stated | decided


def _replayed(
    sides: tuple[Input, Input], found: dict[str, Any], decisions: pd.DataFrame, applied: pd.DataFrame
) -> dict[str, Any]:
    """What the passes found after the decisions about it; as it is where there are none, without loading both sides."""
    names = ("matches", "links", "suggestions", "payout_parts")
    if not decisions["action"].isin(_MATCHING).any():
        return {name: found[name] for name in names} | {"decision_findings": _as_findings([])}
    ours, lines, matches = (
        declared(name).shaped(loaded(source))
        for name, source in zip(("transactions", "statement_lines", "matches"), (*sides, found["matches"]), strict=True)
    )
    given = {name: found[name] for name in names} | {"matches": matches}
    return replay_matches(ours, lines, **given, decisions=_not_done_with(decisions, applied, ours, lines))


def _finding(decision: Any, fault: str) -> dict[str, Any]:
    named = filter(None, (decision.break_id, decision.transaction_ids, decision.line_keys))
    subject = " ".join(named).replace(SEPARATOR, " ")
    return {
        "entry_id": decision.entry_id, "action": decision.action, "subject": subject, "actor": decision.actor, "finding": fault,
    }  # fmt: skip


def _as_findings(rows: list[dict[str, Any]]) -> pd.DataFrame:
    table = declared("decision_findings")
    return table.shaped(pd.DataFrame(rows).drop_duplicates("entry_id")) if rows else table.empty()
