"""Breaks: what does not tie out, each with type, reason, age, severity and a stable id.

| what is seen | break type |
|---|---|
| due, no line, older than the grace period | MISSING_AT_BANK |
| line names the payment, less or more was booked | AMOUNT_MISMATCH |
| ... a large part is missing, or several parts do not add up | SPLIT_INCOMPLETE |
| ... the other direction | WRONG_SIGN |
| ... another currency: converted amount differs / figure carried over, or a currency nobody asked for | FX_DIFFERENCE / CURRENCY_MISMATCH |
| another line for a payment that is matched already | DUPLICATE |
| a refund at the bank without a refund of ours | ORPHAN_REFUND |
| any other line that is not ours | MISSING_IN_LEDGER |
| matched, but the bank kept another fee than agreed | FEE_VARIANCE (open, to be claimed) |
| matched, but booked late | LATE_POSTING (noted) |

A payment within the grace period is pending; one that no statement covers is uncovered; neither is a break.
"""

from __future__ import annotations

import pandas as pd

from atlas_lib.core.engine import open_engine
from atlas_lib.core.money import exponent
from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.core.tables import declared

_SIDES = [
    (
        "ours",
        """
        SELECT transaction_id, merchant_id, type, status, currency, amount_minor, CAST(created_at AS DATE) AS day,
               CASE WHEN type = 'SALE' THEN 1 ELSE -1 END AS sign,
               CASE WHEN status = 'APPROVED' OR (status = 'REFUNDED' AND type = 'SALE') THEN 1 ELSE 0 END AS is_due
        FROM transactions""",
    ),
    (
        "booked",
        """
        SELECT statement_id, line_id, account, currency, booking_date, amount_posted_minor, fee_charged_minor,
               CASE WHEN credit_debit_indicator = 'CRDT' THEN 1 ELSE -1 END AS sign,
               amount_posted_minor + CASE WHEN credit_debit_indicator = 'CRDT' THEN fee_charged_minor ELSE 0 END
                   AS gross_minor, remittance_text
        FROM statement_lines WHERE status = 'BOOK'""",
    ),
    (
        "covered",
        """
        SELECT currency, MIN(day) AS first_day, MAX(day) AS last_day
        FROM (SELECT currency, booking_date AS day FROM statement_lines
              UNION ALL SELECT currency, balance_date FROM statement_balances) d
        GROUP BY currency""",
    ),
    (
        "matched",
        """
        SELECT transaction_id, MIN(match_id) AS match_id, MIN(match_pass) AS match_pass, MIN(match_score) AS match_score,
               MIN(rival_margin) AS rival_margin, CAST(SUM(amount_minor) AS BIGINT) AS amount_minor,
               CAST(SUM(value_minor) AS BIGINT) AS value_minor, CAST(SUM(fee_minor) AS BIGINT) AS fee_minor,
               MAX(days_late) AS days_late, MAX(booking_date) AS booking_date,
               MIN(statement_id || chr(31) || line_id) AS line_key, COUNT(*) AS line_count
        FROM matches GROUP BY transaction_id""",
    ),
    (
        "mismatched_lines",
        """
        SELECT l.transaction_id, b.statement_id, b.line_id, b.booking_date, b.fee_charged_minor, b.sign AS line_sign,
               CASE WHEN l.same_currency THEN 1 ELSE 0 END AS same_currency,
               CASE WHEN l.same_direction THEN 1 ELSE 0 END AS same_direction,
               CASE WHEN NOT l.same_currency AND (l.value_minor IS NULL OR b.gross_minor = t.amount_minor) THEN 1
                    ELSE 0 END AS is_foreign,
               CASE WHEN l.same_direction THEN l.value_minor ELSE -l.value_minor END AS value_minor,
               ROW_NUMBER() OVER (PARTITION BY l.transaction_id ORDER BY b.booking_date, b.statement_id, b.line_id) AS part
        FROM links l
        JOIN booked b ON b.statement_id = l.statement_id AND b.line_id = l.line_id
        JOIN ours t ON t.transaction_id = l.transaction_id
        WHERE l.kind = 'mismatch'""",
    ),
    (
        "mismatched",
        """
        SELECT transaction_id, COUNT(*) AS line_count, MAX(booking_date) AS booking_date,
               MAX(is_foreign) AS is_foreign, MIN(same_currency) AS same_currency, MIN(same_direction) AS same_direction,
               CAST(SUM(CASE WHEN is_foreign = 1 THEN 0 ELSE value_minor END) AS BIGINT) AS value_minor,
               CAST(SUM(fee_charged_minor) AS BIGINT) AS fee_minor,
               CAST(SUM(CASE WHEN line_sign = 1 THEN fee_charged_minor ELSE 0 END) AS BIGINT) AS deducted_minor,
               MAX(CASE WHEN part = 1 THEN statement_id END) AS statement_id,
               MAX(CASE WHEN part = 1 THEN line_id END) AS line_id
        FROM mismatched_lines GROUP BY transaction_id""",
    ),
    (
        "open_ours",
        """
        SELECT t.*, CASE WHEN c.currency IS NULL THEN 'uncovered'
                         WHEN days_between(t.day, :as_of) <= :days_after THEN 'pending'
                         WHEN days_between(t.day, c.last_day) <= :days_after
                              OR days_between(t.day, c.first_day) > :days_after THEN 'uncovered'
                         ELSE 'break' END AS state
        FROM ours t LEFT JOIN covered c ON c.currency = t.currency
        WHERE t.is_due = 1 AND NOT EXISTS (SELECT 1 FROM matched m WHERE m.transaction_id = t.transaction_id)
          AND NOT EXISTS (SELECT 1 FROM mismatched k WHERE k.transaction_id = t.transaction_id)""",
    ),
    (
        "open_lines",
        """
        SELECT b.*, COALESCE(fold_text(b.remittance_text), '') AS words, k.transaction_id, k.kind, k.same_currency, k.same_direction, k.difference_minor, t.type, t.status,
               CASE WHEN s.line_id IS NULL THEN 0 ELSE 1 END AS is_suggested
        FROM booked b
        LEFT JOIN links k ON k.statement_id = b.statement_id AND k.line_id = b.line_id
        LEFT JOIN ours t ON t.transaction_id = k.transaction_id
        LEFT JOIN (SELECT DISTINCT statement_id, line_id FROM suggestions) s
               ON s.statement_id = b.statement_id AND s.line_id = b.line_id
        WHERE COALESCE(k.kind, '') <> 'mismatch'
          AND NOT EXISTS (SELECT 1 FROM matches m WHERE m.statement_id = b.statement_id AND m.line_id = b.line_id)""",
    ),
]

_TYPED = [
    (
        "missing_at_bank",
        """
        SELECT 'MISSING_AT_BANK' AS break_type, 'ledger' AS side, o.transaction_id, CAST(NULL AS VARCHAR(1)) AS statement_id,
               CAST(NULL AS VARCHAR(1)) AS line_id, 0 AS line_count, o.currency, o.amount_minor, 0 AS value_minor,
               o.day AS break_date, 1 AS is_open, 0 AS is_matched,
               CASE WHEN s.transaction_id IS NOT NULL
                    THEN 'A booking may belong to it, but not surely enough to be taken; see the suggestions.'
                    ELSE 'No booked bank line fits, and the grace period is over.' END AS reason
        FROM open_ours o LEFT JOIN suggestions s ON s.transaction_id = o.transaction_id WHERE o.state = 'break'""",
    ),
    (
        "mismatch_types",
        """
        SELECT k.*, t.currency, t.amount_minor,
               CASE WHEN k.is_foreign = 1 THEN 'CURRENCY_MISMATCH'
                    WHEN k.same_direction = 0 THEN 'WRONG_SIGN'
                    WHEN k.same_currency = 0 THEN 'FX_DIFFERENCE'
                    WHEN k.value_minor < t.amount_minor
                         AND (k.line_count > 1 OR (t.amount_minor - k.value_minor) * 10000 >= t.amount_minor * :part_bps)
                    THEN 'SPLIT_INCOMPLETE' ELSE 'AMOUNT_MISMATCH' END AS break_type
        FROM mismatched k JOIN ours t ON t.transaction_id = k.transaction_id""",
    ),
    (
        "both_disagree",
        """
        SELECT break_type, 'both' AS side, transaction_id, statement_id, line_id, line_count, currency, amount_minor,
               value_minor, booking_date AS break_date, 1 AS is_open, 0 AS is_matched,
               CASE break_type
                    WHEN 'CURRENCY_MISMATCH' THEN 'The bank booked it in a currency in which it was not due.'
                    WHEN 'WRONG_SIGN' THEN 'The bank booked it in the wrong direction.'
                    WHEN 'FX_DIFFERENCE' THEN 'The booked amount, converted at the rate of the day, differs beyond tolerance.'
                    WHEN 'SPLIT_INCOMPLETE' THEN 'Only a part has been booked under this reference.'
                    ELSE CASE WHEN value_minor < amount_minor THEN 'The bank booked less than we expected.'
                              ELSE 'The bank booked more than we expected.' END END AS reason
        FROM mismatch_types""",
    ),
    (
        "line_types",
        """
        SELECT o.*,
               CASE WHEN kind = 'further' AND same_currency AND same_direction AND ABS(difference_minor) <= :tolerance
                    THEN 'DUPLICATE'
                    WHEN sign = -1 AND ((kind = 'further' AND type = 'SALE') OR words LIKE '%REFUND%'
                         OR words LIKE '%ERSTATTUNG%' OR words LIKE '%CHARGEBACK%' OR words LIKE '%RUCKBELASTUNG%')
                    THEN 'ORPHAN_REFUND' ELSE 'MISSING_IN_LEDGER' END AS break_type
        FROM open_lines o""",
    ),
    (
        "bank_only",
        """
        SELECT break_type, 'bank' AS side, transaction_id, statement_id, line_id, 1 AS line_count, currency,
               0 AS amount_minor, gross_minor AS value_minor, booking_date AS break_date, 1 AS is_open, 0 AS is_matched,
               CASE WHEN break_type = 'DUPLICATE' THEN 'The payment it names is matched already: booked twice.'
                    WHEN break_type = 'ORPHAN_REFUND' THEN 'The bank paid a refund that we have not booked.'
                    WHEN kind = 'further' THEN 'The payment it names is matched already, with another amount.'
                    WHEN kind = 'not_due' THEN 'The transaction it names is ' || status || ', so nothing was due.'
                    WHEN is_suggested = 1 THEN 'It may belong to a payment of ours, but not surely enough to be taken; see the suggestions.'
                    ELSE 'We have no such payment.' END AS reason
        FROM line_types""",
    ),
    (
        "late",
        """
        SELECT 'LATE_POSTING' AS break_type, 'both' AS side, m.transaction_id, split_part(m.line_key, chr(31), 1) AS statement_id,
               split_part(m.line_key, chr(31), 2) AS line_id, m.line_count,
               t.currency, t.amount_minor, t.amount_minor AS value_minor, m.booking_date AS break_date, 0 AS is_open,
               1 AS is_matched, 'Booked ' || CAST(m.days_late AS VARCHAR(9)) || ' open banking days after the payment; '
                   || CAST(:late_after_days AS VARCHAR(9)) || ' are agreed.' AS reason
        FROM matched m JOIN ours t ON t.transaction_id = m.transaction_id WHERE m.days_late > :late_after_days""",
    ),
    (
        "fees",
        """
        SELECT m.match_id, MIN(m.transaction_id) AS transaction_id,
               MIN(m.statement_id || chr(31) || m.line_id) AS line_key,
               COUNT(DISTINCT m.statement_id || chr(31) || m.line_id) AS line_count, MIN(m.currency) AS currency,
               CAST(SUM(m.amount_minor) AS BIGINT) AS amount_minor, MAX(m.booking_date) AS break_date,
               CAST(SUM(m.fee_minor) AS BIGINT) AS fee_minor,
               CAST(FLOOR((SUM(m.amount_minor) * :fee_ppm + 500000) / CAST(1000000 AS DOUBLE)) AS BIGINT) AS agreed_minor
        FROM matches m JOIN ours t ON t.transaction_id = m.transaction_id
        WHERE t.type = 'SALE' GROUP BY m.match_id""",
    ),
    (
        "fee_variance",
        """
        SELECT 'FEE_VARIANCE' AS break_type, 'both' AS side, transaction_id,
               split_part(line_key, chr(31), 1) AS statement_id, split_part(line_key, chr(31), 2) AS line_id,
               line_count, currency, amount_minor, amount_minor - (fee_minor - agreed_minor) AS value_minor, break_date, 1 AS is_open,
               1 AS is_matched, CASE WHEN fee_minor > agreed_minor THEN 'The bank kept a higher fee than agreed.'
                                     ELSE 'The bank kept a lower fee than agreed.' END AS reason
        FROM fees WHERE ABS(fee_minor - agreed_minor) > :tolerance""",
    ),
    (
        "typed",
        """
        SELECT * FROM missing_at_bank UNION ALL SELECT * FROM both_disagree UNION ALL SELECT * FROM bank_only
        UNION ALL SELECT * FROM late UNION ALL SELECT * FROM fee_variance""",
    ),
    (
        "aged",
        """
        SELECT 'B-' || substr(md5(y.side || chr(31) || CASE WHEN y.side = 'bank' THEN y.statement_id || chr(31) || y.line_id
                                  ELSE y.transaction_id END || chr(31) || y.break_type), 1, 16) AS break_id,
               y.*, y.value_minor - y.amount_minor AS discrepancy_minor,
               GREATEST(days_between(y.break_date, :as_of), 0) AS break_age_days, c.medium_minor, c.high_minor,
               t.merchant_id, b.account,
               CASE WHEN COALESCE(CASE WHEN y.side = 'bank' THEN b.sign ELSE t.sign END, 1) = 1 THEN 'CRDT' ELSE 'DBIT' END
                   AS credit_debit_indicator
        FROM typed y
        JOIN severity_limits c ON c.currency = y.currency
        LEFT JOIN ours t ON t.transaction_id = y.transaction_id
        LEFT JOIN booked b ON b.statement_id = y.statement_id AND b.line_id = y.line_id""",
    ),
    (
        "breaks",
        """
        SELECT break_id, break_type, side, transaction_id, merchant_id, statement_id, line_id, line_count, account,
               credit_debit_indicator, currency, amount_minor, value_minor, discrepancy_minor, break_date, break_age_days,
               CASE WHEN break_age_days <= 1 THEN '0-1' WHEN break_age_days <= 7 THEN '2-7'
                    WHEN break_age_days <= 30 THEN '8-30' ELSE 'over 30' END AS age_bucket,
               CASE WHEN is_open = 0 THEN 'low'
                    WHEN ABS(discrepancy_minor) >= high_minor
                         OR (break_age_days > 30 AND ABS(discrepancy_minor) >= medium_minor) THEN 'high'
                    WHEN ABS(discrepancy_minor) >= medium_minor OR break_age_days > 30 THEN 'medium'
                    ELSE 'low' END AS severity,
               is_open = 1 AS is_open, is_matched = 1 AS is_matched, reason
        FROM aged""",
    ),
]

_OUTCOME = [
    (
        "reconciliation_items",
        """
        SELECT 'ledger' AS side, t.transaction_id, '' AS statement_id, '' AS line_id, '' AS account, t.currency,
               t.sign * t.amount_minor AS amount_minor,
               CASE WHEN m.match_id IS NOT NULL THEN 'matched' ELSE COALESCE(o.state, 'break') END AS state,
               COALESCE(m.match_id, k.break_id, '') AS group_id
        FROM ours t
        LEFT JOIN matched m ON m.transaction_id = t.transaction_id
        LEFT JOIN open_ours o ON o.transaction_id = t.transaction_id
        LEFT JOIN breaks k ON k.transaction_id = t.transaction_id AND k.side <> 'bank' AND NOT k.is_matched
        WHERE t.is_due = 1
        UNION ALL
        SELECT 'bank', '', b.statement_id, b.line_id, b.account, b.currency, b.sign * b.amount_posted_minor,
               CASE WHEN m.match_id IS NOT NULL THEN 'matched' ELSE 'break' END,
               COALESCE(m.match_id, d.break_id, k.break_id, '')
        FROM booked b
        LEFT JOIN (SELECT statement_id, line_id, MIN(match_id) AS match_id FROM matches GROUP BY statement_id, line_id) m
               ON m.statement_id = b.statement_id AND m.line_id = b.line_id
        LEFT JOIN mismatched_lines l ON l.statement_id = b.statement_id AND l.line_id = b.line_id
        LEFT JOIN breaks d ON d.transaction_id = l.transaction_id AND d.side = 'both' AND NOT d.is_matched
        LEFT JOIN breaks k ON k.statement_id = b.statement_id AND k.line_id = b.line_id AND k.side = 'bank'""",
    ),
    (
        "worst",
        """
        SELECT * FROM (
            SELECT transaction_id, break_type, discrepancy_minor, break_age_days,
                   ROW_NUMBER() OVER (PARTITION BY transaction_id ORDER BY is_open DESC, ABS(discrepancy_minor) DESC,
                                      break_id) AS choice
            FROM breaks WHERE side <> 'bank') r
        WHERE choice = 1""",
    ),
    (
        "batch_index",
        """
        SELECT t.transaction_id,
               CASE WHEN m.match_id IS NOT NULL THEN 'MATCHED' WHEN k.transaction_id IS NOT NULL THEN 'PARTIAL'
                    WHEN o.state = 'pending' THEN 'PENDING' WHEN o.state = 'uncovered' THEN 'NO_STATEMENT'
                    WHEN o.state = 'break' THEN 'UNMATCHED' ELSE 'NOT_EXPECTED' END AS reconciled_status,
               m.match_pass, m.match_score, m.rival_margin,
               CASE WHEN m.match_id IS NOT NULL THEN m.value_minor - CASE WHEN t.sign = 1 THEN m.fee_minor ELSE 0 END
                    WHEN k.is_foreign = 0 THEN k.value_minor - k.deducted_minor END AS amount_posted_minor,
               COALESCE(m.fee_minor, k.fee_minor, 0) AS fee_minor,
               COALESCE(w.discrepancy_minor, m.value_minor - m.amount_minor, 0) AS discrepancy_minor,
               w.break_type, w.break_age_days, t.currency
        FROM ours t
        LEFT JOIN matched m ON m.transaction_id = t.transaction_id
        LEFT JOIN mismatched k ON k.transaction_id = t.transaction_id
        LEFT JOIN open_ours o ON o.transaction_id = t.transaction_id
        LEFT JOIN worst w ON w.transaction_id = t.transaction_id""",
    ),
]


def break_steps() -> list[tuple[str, str]]:
    """The statements from matches and links to breaks, items and batch index."""
    return [*_SIDES, *_TYPED, *_OUTCOME]


def find_breaks(
    transactions: pd.DataFrame,
    statement_lines: pd.DataFrame,
    statement_balances: pd.DataFrame,
    matches: pd.DataFrame,
    links: pd.DataFrame,
    suggestions: pd.DataFrame,
    settings: ReconciliationSettings,
) -> dict[str, pd.DataFrame]:
    """breaks, reconciliation_items (every row of both sides once) and batch_index (every transaction once)."""
    names = ("breaks", "reconciliation_items", "batch_index")
    if transactions.empty and statement_lines.empty:
        return {name: declared(name).empty() for name in names}
    inputs = {
        "transactions": transactions,
        "statement_lines": statement_lines,
        "statement_balances": statement_balances,
        "matches": matches,
        "links": links,
        "suggestions": suggestions,
        "severity_limits": _severity_limits(transactions, statement_lines, settings),
    }
    parameters = {
        "as_of": settings.as_of,
        "days_after": settings.days_after,
        "tolerance": settings.amount_tolerance_minor,
        "part_bps": round(settings.part_payment_rate * 10_000),
        "late_after_days": settings.late_after_days,
        "fee_ppm": round(settings.agreed_fee_bps * 100),
    }
    tables = open_engine(settings.engine).run(break_steps(), inputs, names, parameters)
    return {name: declared(name).shaped(frame) for name, frame in tables.items()}


def _severity_limits(
    transactions: pd.DataFrame, statement_lines: pd.DataFrame, settings: ReconciliationSettings
) -> pd.DataFrame:
    """The break amounts of the settings in minor units of every currency in use."""
    currencies = sorted(set(transactions["currency"]) | set(statement_lines["currency"]))
    limits = [
        (
            c,
            round(settings.medium_break_amount * 10 ** exponent(c)),
            round(settings.high_break_amount * 10 ** exponent(c)),
        )
        for c in currencies
    ]
    return pd.DataFrame(limits, columns=["currency", "medium_minor", "high_minor"])
