"""Every line that settles several payments, as a waterfall from sales to the amount booked."""

# ruff: noqa: S608 - the pieces put together are constants of this room
from __future__ import annotations

import pandas as pd

from atlas_lib.core.engine import Input, open_engine
from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.core.tables import declared

_PART = "CAST(SUM(CASE WHEN p.is_prior = 0 AND t.type = '{kind}' THEN t.amount_minor ELSE 0 END) AS BIGINT)"
_STEPS = [
    (
        "pairs",
        """
        SELECT statement_id, line_id, transaction_id, match_pass, 'matched' AS status, '' AS rival
        FROM matches WHERE match_pass IN ('merge', 'payout', 'day_sum', 'manual')
        UNION ALL
        SELECT statement_id, line_id, transaction_id, match_pass, 'suggested', rival
        FROM suggestions WHERE match_pass = 'payout'""",
    ),
    # Several lines of one payment are no payout, whoever joined them.
    (
        "batches",
        """
        SELECT p.statement_id, p.line_id FROM pairs p
        JOIN (SELECT transaction_id, status, COUNT(*) AS line_count FROM pairs GROUP BY transaction_id, status) c
             ON c.transaction_id = p.transaction_id AND c.status = p.status
        GROUP BY p.statement_id, p.line_id
        HAVING COUNT(*) >= 2 AND (MAX(c.line_count) = 1 OR MIN(p.match_pass) = 'payout')""",
    ),
    (
        "members",
        """
        SELECT p.*, COALESCE(a.reserve_minor, 0) AS reserve_minor, CASE WHEN a.is_prior THEN 1 ELSE 0 END AS is_prior
        FROM pairs p
        JOIN batches b ON b.statement_id = p.statement_id AND b.line_id = p.line_id
        LEFT JOIN payout_parts a ON a.statement_id = p.statement_id AND a.line_id = p.line_id
             AND a.transaction_id = p.transaction_id""",
    ),
    (
        "sums",
        f"""
        SELECT p.statement_id, p.line_id, MIN(p.match_pass) AS match_pass, MIN(p.status) AS status, MIN(p.rival) AS rival,
               CASE WHEN COUNT(DISTINCT t.merchant_id) = 1 THEN MIN(t.merchant_id) ELSE '' END AS merchant_id,
               MIN(CAST(t.created_at AS DATE)) AS first_date, MAX(CAST(t.created_at AS DATE)) AS last_date,
               COUNT(*) AS transaction_count, {_PART.format(kind="SALE")} AS sale_minor,
               {_PART.format(kind="REFUND")} AS refund_minor, {_PART.format(kind="CHARGEBACK")} AS chargeback_minor,
               {_PART.format(kind="FEE")} AS charge_minor, {_PART.format(kind="PAYOUT")} AS payout_minor,
               CAST(SUM(p.reserve_minor) AS BIGINT) AS reserve_minor,
               CAST(SUM(CASE WHEN p.is_prior = 0 THEN 0 WHEN t.type = 'SALE' THEN t.amount_minor ELSE -t.amount_minor END) AS BIGINT)
                   AS prior_minor
        FROM members p JOIN transactions t ON t.transaction_id = p.transaction_id
        GROUP BY p.statement_id, p.line_id""",
    ),
    (
        "booked",
        """
        SELECT l.statement_id, l.line_id, l.account, l.booking_date, l.currency,
               COALESCE(l.counterparty_name, '') AS counterparty_name, COALESCE(l.end_to_end_id, '') AS end_to_end_id,
               CASE WHEN l.credit_debit_indicator = 'CRDT' THEN l.fee_charged_minor ELSE 0 END AS kept_minor,
               CASE WHEN l.credit_debit_indicator = 'CRDT' THEN l.amount_posted_minor ELSE -l.amount_posted_minor END AS net_minor
        FROM statement_lines l JOIN batches b ON b.statement_id = l.statement_id AND b.line_id = l.line_id""",
    ),
    (
        "payout_waterfalls",
        """
        SELECT s.*, s.charge_minor + b.kept_minor AS fee_minor, b.account, b.booking_date, b.currency, b.counterparty_name,
               b.end_to_end_id, b.net_minor,
               b.net_minor - (s.sale_minor - s.refund_minor - s.chargeback_minor - s.charge_minor - b.kept_minor
                              - s.payout_minor - s.reserve_minor + s.prior_minor) AS difference_minor
        FROM sums s JOIN booked b ON b.statement_id = s.statement_id AND b.line_id = s.line_id""",
    ),
]


def build_waterfalls(
    transactions: Input,
    statement_lines: Input,
    matches: Input,
    suggestions: pd.DataFrame,
    payout_parts: pd.DataFrame,
    settings: ReconciliationSettings,
) -> dict[str, pd.DataFrame]:
    """payout_waterfalls: sales - refunds - chargebacks - fees - payouts - reserve + prior balance + difference = net.

    One row per line that settles two or more payments (passes merge, payout, day_sum and manual), and per suggested one.
    """
    if isinstance(matches, pd.DataFrame) and matches.empty and suggestions.empty:
        return {"payout_waterfalls": declared("payout_waterfalls").empty()}
    inputs = {
        "transactions": transactions, "statement_lines": statement_lines, "matches": matches,
        "suggestions": suggestions, "payout_parts": payout_parts,
    }  # fmt: skip
    made = open_engine(settings.engine).run(_STEPS, inputs, ["payout_waterfalls"])["payout_waterfalls"]
    return {"payout_waterfalls": declared("payout_waterfalls").shaped(made)}


def largest_payouts(payout_waterfalls: pd.DataFrame, currency: str) -> pd.DataFrame:
    """The payouts of one currency, largest amount booked first."""
    own = payout_waterfalls[payout_waterfalls["currency"] == currency]
    size = own["net_minor"].abs()
    return own.assign(size=size).sort_values(["size", "statement_id", "line_id"], ascending=[False, True, True], ignore_index=True)[list(own)]  # fmt: skip


def waterfall_steps(payouts: pd.DataFrame) -> pd.DataFrame:
    """Of the payouts with most parts the first, from sales to the amount booked: label, amount_minor, is_total; empty steps left out."""
    if payouts.empty:
        return pd.DataFrame({"label": [], "amount_minor": [], "is_total": []})
    signs = {
        "sale": ("Sales", 1), "refund": ("Refunds", -1), "chargeback": ("Chargebacks", -1), "fee": ("Fees", -1),
        "payout": ("Payouts", -1), "reserve": ("Reserve", -1), "prior": ("Prior balance", 1), "difference": ("Difference", 1),
    }  # fmt: skip
    parts = payouts[[f"{name}_minor" for name in signs]].ne(0).sum(axis=1)
    first = payouts.iloc[int(parts.to_numpy().argmax())]
    rows = [(label, sign * int(first[f"{name}_minor"]), False) for name, (label, sign) in signs.items()]
    rows = [row for row in rows if row[1]] + [("Amount booked", int(first["net_minor"]), True)]
    return pd.DataFrame(rows, columns=["label", "amount_minor", "is_total"])
