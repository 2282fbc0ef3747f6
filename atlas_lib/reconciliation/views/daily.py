"""The daily reconciliation: what was expected beside what the bank posted, by day, account and merchant.

Payments come from the Final Reconciliation Index; bank lines that no payment explains stand beside them, from the breaks.
A payment is on its own day, a line on that of its booking. Nothing counts as posted for what was booked in a currency in
which it was not due.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from atlas_lib.core.engine import Engine, Input
from atlas_lib.core.tables import declared

_ROWS = [
    ("accounts", "SELECT statement_id, MIN(account) AS account FROM statement_lines GROUP BY statement_id"),
    (
        "matched_accounts",
        """
        SELECT m.transaction_id, MIN(a.account) AS account
        FROM matches m JOIN accounts a ON a.statement_id = m.statement_id GROUP BY m.transaction_id""",
    ),
    (
        "bank_fees",
        """
        SELECT k.break_id, l.fee_charged_minor FROM breaks k
        JOIN statement_lines l ON l.statement_id = k.statement_id AND l.line_id = k.line_id WHERE k.side = 'bank'""",
    ),
    (
        # A payment has one break of a type; the index names the gravest.
        "daily_reconciliation",
        """
        SELECT * FROM (
            SELECT 'payment' AS side, f.transaction_id AS item_id, f.date, COALESCE(k.account, a.account, '') AS account,
                   f.transaction_id, f.merchant_id, f.merchant_name, f.type,
                   CASE WHEN f.type = 'SALE' THEN 'CRDT' ELSE 'DBIT' END AS credit_debit_indicator, f.amount_minor,
                   f.amount_posted_minor, f.fee_minor, f.discrepancy_minor, f.currency, f.reconciled_status, f.break_type,
                   k.break_id, COALESCE(k.is_open, FALSE) AS is_open
            FROM final_index f
            LEFT JOIN matched_accounts a ON a.transaction_id = f.transaction_id
            LEFT JOIN (SELECT * FROM breaks WHERE side <> 'bank') k
                   ON k.transaction_id = f.transaction_id AND k.break_type = f.break_type
            WHERE f.reconciled_status <> 'NOT_EXPECTED'
            UNION ALL
            SELECT 'bank', k.statement_id || '/' || k.line_id, k.break_date, k.account, k.transaction_id,
                   COALESCE(k.merchant_id, ''), '', '', k.credit_debit_indicator, 0,
                   k.value_minor - CASE WHEN k.credit_debit_indicator = 'CRDT' THEN b.fee_charged_minor ELSE 0 END,
                   b.fee_charged_minor, k.discrepancy_minor, k.currency, 'UNMATCHED', k.break_type, k.break_id, k.is_open
            FROM breaks k JOIN bank_fees b ON b.break_id = k.break_id) both_sides ORDER BY side, item_id""",
    ),
]  # fmt: skip
_TOTALS = [
    (
        "sums",
        """
        SELECT date, account, merchant_id, currency, MAX(merchant_name) AS merchant_name, COUNT(*) AS item_count,
               SUM(CASE WHEN reconciled_status = 'MATCHED' THEN 1 ELSE 0 END) AS matched_count,
               SUM(is_waiting) AS waiting_count, SUM(CASE WHEN is_open THEN 1 ELSE 0 END) AS open_count,
               SUM(sign * amount_minor) AS expected_minor, SUM(sign * COALESCE(amount_posted_minor, 0)) AS posted_minor,
               SUM(CASE WHEN sign = 1 AND amount_posted_minor IS NOT NULL THEN fee_minor ELSE 0 END) AS fee_minor,
               SUM(is_waiting * sign * amount_minor) AS waiting_minor,
               SUM(CASE WHEN break_type = 'FEE_VARIANCE' THEN sign * discrepancy_minor ELSE 0 END) AS fee_claim_minor
        FROM (SELECT d.*, CASE WHEN credit_debit_indicator = 'CRDT' THEN 1 ELSE -1 END AS sign,
                     CASE WHEN reconciled_status IN ('PENDING', 'NO_STATEMENT') THEN 1 ELSE 0 END AS is_waiting
              FROM daily_reconciliation d) signed
        GROUP BY date, account, merchant_id, currency""",
    ),
    ("daily_totals", "SELECT s.*, posted_minor + fee_minor + waiting_minor - expected_minor AS difference_minor FROM sums s"),
]  # fmt: skip


def reconcile_days(
    final_index: Input, matches: Input, breaks: Input, statement_lines: Input, work: Engine
) -> dict[str, pd.DataFrame | Path]:
    """daily_reconciliation (a file of `work`), a row per payment due at the bank and per bank line that no payment explains,
    and daily_totals, the same per day, account, merchant and currency (money in positive, money out negative).

    expected = posted + fee + waiting - difference. The account of a payment is the one it was booked on, empty while nothing
    was booked. A fee that is not the agreed one is a claim (`fee_claim_minor`), no difference.
    """
    inputs = {"final_index": final_index, "matches": matches, "breaks": breaks, "statement_lines": statement_lines}
    rows, totals = declared("daily_reconciliation"), declared("daily_totals")
    written = work.write(_ROWS, inputs, {rows.name: rows.arrow_schema})
    return {**written, totals.name: totals.shaped(work.run(_TOTALS, written, [totals.name])[totals.name])}


def add_up_days(daily_totals: pd.DataFrame, by: str) -> pd.DataFrame:
    """The totals by one of date (newest first), account or merchant_id, and currency: counts and amounts added up."""
    sums = [c for c in daily_totals if str(c).endswith(("_count", "_minor"))]
    added = daily_totals.groupby([by, "currency"], as_index=False)[sums].sum()
    return added.sort_values([by, "currency"], ascending=[by != "date", True], ignore_index=True)
