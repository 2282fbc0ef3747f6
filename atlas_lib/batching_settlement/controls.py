"""What the stage proves and says of itself: input checks, control totals, verdict."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from atlas_lib.batching_settlement.items import COST_CURRENCY, SLOTS, rates_on, settlement_dates
from atlas_lib.batching_settlement.limits import cash_by_window
from atlas_lib.core.money import format_minor
from atlas_lib.core.run import StageSummary
from atlas_lib.core.settings import BatchingSettlementSettings
from atlas_lib.core.tables import declared

_STANDINGS = {"settled before": "settled_before", "not due": "not_due", "not eligible": "not_eligible"}
_PARTS = ("settled", "deferred", *_STANDINGS.values())
_OLDEST_RATE_DAYS = 5


def check_inputs(
    transactions: pd.DataFrame,
    streaming_index: pd.DataFrame,
    counterparties: pd.DataFrame,
    liquidity: pd.DataFrame,
    fx_rates: pd.DataFrame,
    settings: BatchingSettlementSettings,
) -> pd.DataFrame:
    """One row per check with `passed`; only unscreened transactions stop the run, the rest is told."""
    rates = rates_on(fx_rates, settings.as_of)
    currencies = {*transactions["currency"], *transactions["destination_currency"]}
    unscreened = set(transactions["transaction_id"]) - set(streaming_index["transaction_id"])
    oldest = pd.Timestamp(settings.as_of) - pd.Timedelta(days=_OLDEST_RATE_DAYS)
    old = set(rates.index[rates["date"] < oldest]) & currencies
    unlisted = set(transactions["counterparty_id"]) - set(counterparties["counterparty_id"])
    rows = [
        ("every transaction is screened", unscreened, True, "not in the streaming index"),
        ("every currency has a rate", currencies - set(rates.index), False, "conversions wait"),
        (f"no rate is older than {_OLDEST_RATE_DAYS} days", old, False, "taken as it is"),
        ("cash at hand is given for every currency", currencies - set(liquidity["currency"]), False, "not limited"),
        ("every counterparty is listed", unlisted, False, "taken as available, without a limit"),
    ]
    return pd.DataFrame(
        [
            {"check": c, "passed": not missing, "is_blocking": stops, "detail": _told(missing, so)}
            for c, missing, stops, so in rows
        ]
    )


def total_controls(
    settlement_items: pd.DataFrame,
    batch_lines: pd.DataFrame,
    settlement_results: pd.DataFrame,
    deferrals: pd.DataFrame,
) -> dict[str, pd.DataFrame]:
    """Accepted = settled + deferred + settled before + not due + not eligible, per currency; the difference is 0.

    Settled and deferred are counted from their own tables, so that a lost or doubled transaction shows.
    """
    settled = settlement_results[settlement_results["status"] == "settled"]
    standing = settlement_items["standing"].map(_STANDINGS)
    parts = {
        "accepted": settlement_items,
        "planned": batch_lines,
        "settled": settled[settled["transaction_id"].isin(batch_lines["transaction_id"])],
        "deferred": deferrals,
        **{part: settlement_items[standing == part] for part in _STANDINGS.values()},
    }
    currencies = sorted(set(settlement_items["currency"]) | set(deferrals["currency"]))
    frame = pd.DataFrame({"currency": pd.Series(currencies, dtype="str")})
    for name, rows in parts.items():
        amounts = rows.groupby("currency")["amount_minor"]
        frame[f"{name}_count"] = amounts.size().reindex(currencies, fill_value=0).to_numpy()
        frame[f"{name}_minor"] = amounts.sum().reindex(currencies, fill_value=0).to_numpy()
    for unit in ("count", "minor"):
        frame[f"difference_{unit}"] = frame[f"accepted_{unit}"] - frame[[f"{p}_{unit}" for p in _PARTS]].sum(axis=1)
    return {"settlement_controls": declared("settlement_controls").shaped(frame)}


def check_outcome(
    checked: pd.DataFrame,
    plan_checks: pd.DataFrame,
    settlement_controls: pd.DataFrame,
    trial_balance: pd.DataFrame,
    ledger_findings: pd.DataFrame,
    commit_checks: pd.DataFrame,
) -> pd.DataFrame:
    """All checks of the stage: input, the plan recomputed, totals, the ledger's two proofs, and the commitments."""
    lost = settlement_controls.loc[
        (settlement_controls["difference_count"] != 0) | (settlement_controls["difference_minor"] != 0), "currency"
    ]
    sums = trial_balance.groupby("currency")["balance_minor"].sum()
    rows = [
        ("nothing is lost: control totals are zero", set(lost), "differ"),
        ("debits equal credits in every currency", set(sums.index[sums != 0]), "out of balance"),
        (
            "the ledger's hash chain is intact",
            {str(len(ledger_findings))} if len(ledger_findings) else set(),
            "findings",
        ),
    ]
    own = pd.DataFrame(
        [{"check": c, "passed": not bad, "is_blocking": True, "detail": _told(bad, so)} for c, bad, so in rows]
    )
    columns = ["check", "passed", "is_blocking", "detail"]
    found = [f[columns] for f in (checked, plan_checks, own, commit_checks) if len(f)]
    return pd.concat(found, ignore_index=True).astype({"passed": bool, "is_blocking": bool})


def show_cash(
    liquidity: pd.DataFrame, liquidity_forecast: pd.DataFrame | None, settings: BatchingSettlementSettings
) -> pd.DataFrame:
    """Per currency: opening and minimum balance, and what payments may use until each window (cash_by_window)."""
    cash = cash_by_window(liquidity, liquidity_forecast, settlement_dates(settings.as_of))
    names = {slot: f"{name.lower()}_minor" for slot, name in enumerate(SLOTS)}
    columns = ["currency", "opening_balance_minor", "minimum_balance_minor"]
    return liquidity[columns].join(cash.rename(columns=names), on="currency")


def show_limits(counterparties: pd.DataFrame, counterparty_limits: pd.DataFrame) -> pd.DataFrame:
    """Every limit on a counterparty: over all currencies first, then those in one currency; each in its own currency.

    Columns counterparty_id, name, limit_for, limit_minor (empty: none), currency, is_available,
    alternate_counterparty_id; key counterparty_id, limit_for.
    """
    columns = "counterparty_id name limit_for limit_minor currency is_available alternate_counterparty_id".split()
    total = counterparties.assign(limit_for="all currencies", limit_no=0)
    known = counterparties[["counterparty_id", "name", "is_available", "alternate_counterparty_id"]]
    single = counterparty_limits[["counterparty_id", "currency", "currency_limit_minor"]].merge(
        known, on="counterparty_id", how="left", validate="m:1"
    )
    single = single.assign(
        limit_for=single["currency"] + " only", limit_no=1, limit_minor=single["currency_limit_minor"]
    )
    both = pd.concat([total, single], ignore_index=True) if len(single) else total
    return both.sort_values(["counterparty_id", "limit_no", "currency"], kind="stable", ignore_index=True)[columns]


def count_standings(settlement_items: pd.DataFrame) -> pd.DataFrame:
    """Number and sum of transactions per standing, reason and currency; an alternate route taken says why."""
    asked, taken = settlement_items["asked_counterparty_id"], settlement_items["counterparty_id"]
    rerouted = (settlement_items["standing"] == "due") & (asked != taken)
    detour = "COUNTERPARTY_DOWN: " + asked + " by way of " + taken
    told = settlement_items.assign(reason=settlement_items["reason"].where(~rerouted, detour))
    groups = told.groupby(["standing", "reason", "currency"], sort=True)["amount_minor"]
    return groups.agg(transaction_count="size", amount_minor="sum").reset_index()


def count_deferrals(deferrals: pd.DataFrame) -> pd.DataFrame:
    """Number and sum of what waits per reason and currency."""
    groups = deferrals.groupby(["reason", "currency"], sort=True)["amount_minor"]
    return groups.agg(transaction_count="size", amount_minor="sum").reset_index()


def main_currency(netting_effect: pd.DataFrame) -> str:
    """The currency with the most due transactions, for charts that show one; EUR when nothing is due."""
    ordered = netting_effect.sort_values(["transaction_count", "currency"], ascending=[False, True])
    return str(ordered["currency"].iloc[0]) if len(ordered) else COST_CURRENCY


def group_accounts(trial_balance: pd.DataFrame) -> pd.DataFrame:
    """The trial balance by kind of account (the code without the party's name)."""
    kind = trial_balance["account"].str.split(":").str[:2].str.join(":")
    sums = ["debit_minor", "credit_minor", "balance_minor"]
    return trial_balance.assign(account=kind).groupby(["currency", "account"], sort=True)[sums].sum().reset_index()


def span_schedule(settlement_schedule: pd.DataFrame) -> pd.DataFrame:
    """The schedule for a timeline: one bar per merchant, day and status, the worst on top."""
    days = settlement_schedule[["merchant_id", "due_date", "status"]].drop_duplicates()
    end = days["due_date"] + pd.Timedelta(days=1)
    worst = days["status"].map({"Completed": 0, "Pending": 1, "Delayed": 2})
    return days.assign(end_date=end, worst=worst).sort_values(["merchant_id", "due_date", "worst"], ignore_index=True)


def count_events(ledger_entries: pd.DataFrame) -> pd.DataFrame:
    """Number of ledger entries per event type; columns event_type, entry_count."""
    return ledger_entries.groupby("event_type", sort=True).agg(entry_count=("entry_id", "size")).reset_index()


def summarise_stage(
    settlement_items: pd.DataFrame,
    cost_comparison: pd.DataFrame,
    settlement_results: pd.DataFrame,
    deferrals: pd.DataFrame,
    settlement_controls: pd.DataFrame,
) -> StageSummary:
    """Verdict, status and key figures of the stage."""
    before = int((settlement_items["standing"] == "settled before").sum())
    if settlement_items.empty:
        return _nothing("No transactions in this input, so there is nothing to settle.", "skipped")
    if cost_comparison.empty:
        held = f"; {len(deferrals):,} wait with a reason" if len(deferrals) else ""
        text = f"Nothing new is due: {before:,} of {len(settlement_items):,} transactions are in a batch already{held}."
        return _nothing(text, "attention" if len(deferrals) else "passed")
    due = settlement_items.loc[settlement_items["standing"] == "due", "transaction_id"]
    settled = settlement_results.loc[settlement_results["status"] == "settled", "transaction_id"].isin(due).sum()
    plan = {str(r["plan"]): r for r in cost_comparison.to_dict("records")}
    best, gross = plan["optimised"], plan["gross"]
    cost = int(best["wire_cost_minor"]) + int(best["fx_cost_minor"])
    lost = int(settlement_controls[["difference_count", "difference_minor"]].abs().to_numpy().sum())
    figures = {
        "Settled": f"{settled:,} of {len(due):,} due",
        "Wires": f"{best['wires_count']:,} instead of {gross['wires_count']:,}",
        "Cost of wires and conversions": f"{format_minor(cost, COST_CURRENCY)} {COST_CURRENCY}",
        "Saved against gross": f"{best['saved_rate'] * 100:.1f} %",
        "Saved against simple grouping": f"{best['saved_simple_rate'] * 100:.1f} %",
        "At most above the optimum": f"{np.ceil(best['gap_rate'] * 10_000) / 100:.2f} %",
    }
    solver = f" NO SOLVER ANSWERED: {best['solver']}." if best["is_fallback"] else ""
    earlier = f"{before:,} settled by an earlier run; " if before else ""
    proof = "nothing is lost" if not lost else "control totals do NOT tie out"
    verdict = (
        f"{earlier}{settled:,} of {len(due):,} due payments settle over {best['wires_count']:,} wires, "
        f"{best['saved_rate'] * 100:.0f} % cheaper than each on its own; {_waiting(deferrals)}; {proof}.{solver}"
    )
    is_calm = not (len(deferrals) or lost or best["is_fallback"])
    return StageSummary(
        verdict, "passed" if is_calm else "attention", pd.DataFrame(figures.items(), columns=["label", "value"])
    )


def _waiting(deferrals: pd.DataFrame) -> str:
    if deferrals.empty:
        return "none waits"
    words = {"COMPLIANCE_HOLD": "held by compliance", "LIQUIDITY_SHORTFALL": "short of cash"}
    counts = deferrals["reason"].map(words).fillna("wait for another reason").value_counts().sort_index()
    return ", ".join(f"{n:,} {word}" for word, n in counts.items())


def _nothing(text: str, status: Literal["passed", "attention", "skipped"]) -> StageSummary:
    return StageSummary(text, status, pd.DataFrame({"label": [], "value": []}))


def _told(names: set[str], consequence: str) -> str:
    if not names:
        return "holds"
    first = sorted(names)
    more = f" and {len(first) - 3:,} more" if len(first) > 3 else ""
    return f"{', '.join(first[:3])}{more}: {consequence}"
