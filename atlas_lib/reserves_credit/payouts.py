"""What each merchant is owed for its purchased contracts, and whether it may be paid.

Per contract and summed, in minor units:

    receivable = merchant_payout + merchant_reserve (Client_RR) + partner_margin
    Partner_RR = sum over contracts of (round(receivable x reserve_rate) - merchant_reserve)

Every line is rounded, then lines are summed; a mean rate times a sum is never used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from atlas_lib.core import calendars, money
from atlas_lib.core.engine import Input
from atlas_lib.core.run import StageSummary
from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.core.tables import declared
from atlas_lib.core.wording import counted
from atlas_lib.reserves_credit.controls import control_rounding
from atlas_lib.reserves_credit.gates import check_gates, joined_codes, review_sales
from atlas_lib.reserves_credit.moves import OPEN, REJECTED
from atlas_lib.reserves_credit.waterfall import spread_payouts

_KEYS = ["merchant_id", "currency"]
_SUMS = {
    "receivables_minor": "receivable_minor",
    "merchant_payout_minor": "merchant_payout_minor",
    "client_rr_minor": "merchant_reserve_minor",
    "partner_payout_minor": "partner_margin_minor",
    "partner_rr_minor": "partner_rr_minor",
    "purchase_price_minor": "purchase_price_minor",
}


def summarise_payouts(
    contracts: pd.DataFrame,
    merchants: pd.DataFrame,
    transactions: Input,
    streaming_index: Input,
    exposures: pd.DataFrame,
    reserve_coverage: pd.DataFrame,
    rejects: pd.DataFrame,
    screening_findings: pd.DataFrame,
    contract_payments: pd.DataFrame,
    payout_positions: pd.DataFrame,
    settings: ReservesCreditSettings,
) -> dict[str, pd.DataFrame]:
    """The payout summary per merchant and currency, its payouts, and why some of them are blocked.

    Gives payout_summary, payouts, payout_waterfall, payout_gates, rounding_control. `transactions` and `streaming_index`
    are tables or paths of their Parquet files.
    """
    lines = contract_lines(contracts, settings)
    summary = _with_limits(sum_lines(lines), exposures)
    summary = _with_payments(summary, contract_payments, payout_positions)
    reviewed = review_sales(transactions, streaming_index, settings)
    gates = check_gates(
        summary, contracts, merchants, exposures, reviewed, reserve_coverage, rejects, screening_findings, settings
    )
    reasons = joined_codes(gates, summary, is_blocking=True)
    summary = summary.assign(
        status=_status_of(summary, reasons),
        reasons=reasons,
        remarks=joined_codes(gates, summary, is_blocking=False),
    )
    return {
        "payout_summary": declared("payout_summary").checked(summary),
        "payouts": _payouts(summary, merchants, settings),
        "payout_waterfall": spread_payouts(summary, payout_positions, contracts),
        "payout_gates": gates,
        "rounding_control": control_rounding(lines),
    }


def contract_lines(contracts: pd.DataFrame, settings: ReservesCreditSettings) -> pd.DataFrame:
    """The contracts with Partner_RR of each: round(receivable x reserve_rate) - merchant_reserve."""
    policy = money.round_product(contracts["receivable_minor"], contracts["reserve_rate"], settings.rounding)
    return contracts.assign(partner_rr_minor=policy - contracts["merchant_reserve_minor"])


def sum_lines(lines: pd.DataFrame) -> pd.DataFrame:
    """Exact sums of the rounded lines per merchant and currency, and the rates that follow from the sums."""
    sums = lines.groupby(_KEYS, sort=True).agg(
        merchant_name=("merchant_name", "first"),
        contract_count=("contract_id", "size"),
        **{name: (column, "sum") for name, column in _SUMS.items()},
    )
    return _with_rates(sums.reset_index())


def total_row(summary: pd.DataFrame) -> pd.DataFrame:
    """One Total row per currency: every column is the sum of its own column, every rate follows from the sums."""
    amounts = ["contract_count", *_SUMS, "credit_limit_minor"]
    blocked = summary["status"].eq("Blocked")
    totals = (
        summary.assign(blocked=blocked, credit_limit_minor=summary["credit_limit_minor"].astype("Int64"))
        .groupby("currency", sort=True)[[*amounts, "blocked"]]
        .sum()
        .reset_index()
    )
    words = totals["blocked"].map("{} blocked".format).where(totals["blocked"] > 0, "all Ready")
    full = _with_rates(totals).assign(merchant_id="Total", merchant_name="", status="", reasons=words, remarks="")
    return _with_ratio(full)[declared("payout_summary").column_names]


def total_of(summary: pd.DataFrame, currency: str) -> dict[str, Any]:
    """The Total row of one currency as cells by column name; empty when there is none."""
    totals = total_row(summary)
    rows = totals[totals["currency"] == currency].to_dict("records")
    return {str(k): v for k, v in rows[0].items()} if rows else {}


def main_currency(contracts: pd.DataFrame, settings: ReservesCreditSettings) -> str:
    """The currency of most contracts; the reporting currency when there are none."""
    counts = contracts.groupby("currency").size().sort_values(ascending=False, kind="stable")
    return str(counts.index[0]) if len(counts) else settings.reporting_currency


def trace_contracts(contracts: pd.DataFrame, settings: ReservesCreditSettings) -> pd.DataFrame:
    """The drill-down from a summary row: its contracts with every amount and the cell they were read from."""
    lines = contract_lines(contracts, settings).sort_values(["merchant_id", "contract_id"], ignore_index=True)
    amounts = [c for c in dict.fromkeys(_SUMS.values())]
    source = ["source_file", "source_sheet", "source_row"]
    return lines[["merchant_id", "contract_id", "start_date", "currency", *amounts, "reserve_rate", *source]]


def summarise_stage(
    payout_summary: pd.DataFrame, payouts: pd.DataFrame, alerts: pd.DataFrame, concentration_totals: pd.DataFrame
) -> StageSummary:
    """The verdict of the stage and its key figures, per currency where there are several."""
    if payout_summary.empty:
        words = "This input has no purchased contracts, so there is nothing to pay out."
        return StageSummary(words, "skipped", pd.DataFrame({"label": [], "value": []}))
    totals = total_row(payout_summary)
    blocked = int((payout_summary["status"] == "Blocked").sum())
    ready = payouts[payouts["status"] == "Ready"]
    payable = ready.groupby("currency")["amount_minor"].sum().reset_index(name="payable_minor")
    high = int((alerts["severity"] == "high").sum())
    due = f"{_amounts(payable, 'payable_minor')} ready to be paid in {counted(len(ready), 'payout')}"
    verdict = (
        f"{due if len(ready) else 'No payout is ready to be paid'}; {blocked} blocked, {counted(high, 'high alert')}."
    )
    figures = [
        ("Receivables bought", _amounts(totals, "receivables_minor")),
        ("Merchant payout", _amounts(totals, "merchant_payout_minor")),
        ("Client_RR", _amounts(totals, "client_rr_minor")),
        ("Partner margin", _amounts(totals, "partner_payout_minor")),
        ("Partner_RR", _amounts(totals, "partner_rr_minor")),
        ("HHI of clients", _hhi(concentration_totals)),
    ]
    return StageSummary(
        verdict, "attention" if blocked or len(alerts) else "passed", pd.DataFrame(figures, columns=["label", "value"])
    )


def _with_rates(sums: pd.DataFrame) -> pd.DataFrame:
    return sums.assign(
        reserve_rate=_ratio(sums["client_rr_minor"], sums["purchase_price_minor"]),
        rolling_reserve_rate=_ratio(sums["client_rr_minor"], sums["receivables_minor"]),
    )


def _with_limits(sums: pd.DataFrame, exposures: pd.DataFrame) -> pd.DataFrame:
    limits = exposures[exposures["scope"] == "merchant"][["subject_id", "currency", "limit_minor"]]
    limits = limits.rename(columns={"subject_id": "merchant_id", "limit_minor": "credit_limit_minor"})
    joined = sums.merge(limits, on=_KEYS, how="left", validate="one_to_one")
    return _with_ratio(joined.assign(credit_limit_minor=joined["credit_limit_minor"].astype("Int64")))


def _with_ratio(sums: pd.DataFrame) -> pd.DataFrame:
    return sums.assign(credit_limit_ratio=_ratio(sums["receivables_minor"], sums["credit_limit_minor"]))


def _ratio(part: pd.Series, whole: pd.Series) -> pd.Series:
    """part / whole, empty where the whole is missing or 0."""
    divisor = whole.astype("Int64").astype("float64")
    return part.astype("float64") / divisor.where(divisor != 0)


def _with_payments(
    summary: pd.DataFrame, contract_payments: pd.DataFrame, payout_positions: pd.DataFrame
) -> pd.DataFrame:
    """Adds what payouts have covered already, the set-off, and open_minor: what the next payout would pay.

    Of a contract outside the input only what was paid too much counts as paid.
    """
    known = contract_payments
    too_much = known["paid_minor"] - known["merchant_payout_minor"]
    sums = (
        known.assign(paid_minor=known["paid_minor"].where(known["is_in_input"], too_much))
        .groupby(_KEYS)[["paid_minor", "under_way_minor", "open_minor"]]
        .sum()
    )
    positions = payout_positions[[*_KEYS, "payout_id", "requested_minor", "set_off_minor", "is_stopped"]]
    is_moved = known["move"].isin([OPEN, REJECTED])
    sums = sums.assign(moved_count=is_moved.groupby([known[k] for k in _KEYS]).sum())
    full = summary.join(sums, on=_KEYS, validate="one_to_one").merge(positions, on=_KEYS, validate="one_to_one")
    return full.assign(owed_minor=full["open_minor"], open_minor=full["open_minor"] - full["set_off_minor"])


def _status_of(summary: pd.DataFrame, reasons: pd.Series) -> pd.Series:
    """Requested while a payout is at the bank; Executed when nothing is owed any more; else what the gates say."""
    is_paid = (summary["owed_minor"] == 0) & (summary["paid_minor"] != 0)
    words = np.select(
        [summary["requested_minor"] > 0, is_paid, reasons != ""], ["Requested", "Executed", "Blocked"], "Ready"
    )
    return pd.Series(words, index=summary.index, dtype="str")


def _payouts(summary: pd.DataFrame, merchants: pd.DataFrame, settings: ReservesCreditSettings) -> pd.DataFrame:
    """The payouts to come or at the bank: one per row of the summary that is not fully paid."""
    bank = merchants[["merchant_id", "iban", "bic"]]
    due_rows = summary[summary["status"] != "Executed"]
    full = due_rows.merge(bank, on="merchant_id", how="left", validate="many_to_one")
    due = {c: calendars.roll_to_business_day(np.datetime64(settings.as_of), c) for c in full["currency"].unique()}
    return declared("payouts").checked(
        full.assign(
            payable_minor=full["merchant_payout_minor"],
            amount_minor=full["requested_minor"].where(full["status"] == "Requested", full["open_minor"]),
            due_date=full["currency"].map(due).astype("datetime64[us]"),
        )
    )


def _amounts(totals: pd.DataFrame, column: str) -> str:
    pairs = zip(totals[column], totals["currency"], strict=True)
    return ", ".join(f"{money.format_minor(int(a), c)} {c}" for a, c in pairs) or "nothing"


def _hhi(concentration_totals: pd.DataFrame) -> str:
    if concentration_totals.empty:
        return "none"
    row = concentration_totals.iloc[0]
    return f"{row['hhi_points']:,.1f} (as {row['effective_count']:.2f} equal clients)"
