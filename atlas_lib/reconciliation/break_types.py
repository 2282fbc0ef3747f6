"""What does not tie out, typed by the table in `breaks`, with reason, age, severity and stable id."""

# ruff: noqa: S608 - the pieces put together are constants of this room

from atlas_lib.reconciliation.open_rows import shared_ids
from atlas_lib.reconciliation.repeats import REPEATS

_AGREED = "CAST(FLOOR(({amount} * :fee_ppm + 500000) / CAST(1000000 AS DOUBLE)) AS BIGINT)"

TYPED = [
    *REPEATS,
    (
        "missing_at_bank",
        """
        SELECT CASE WHEN r.transaction_id IS NULL THEN 'MISSING_AT_BANK' ELSE 'DUPLICATE' END AS break_type, 'ledger' AS side, o.transaction_id, CAST(NULL AS VARCHAR(1)) AS statement_id,
               CAST(NULL AS VARCHAR(1)) AS line_id, 0 AS line_count, o.currency, o.amount_minor, 0 AS value_minor,
               o.day AS break_date, 1 AS is_open, 0 AS is_matched,
               CASE WHEN r.transaction_id IS NOT NULL
                    THEN 'It repeats ' || r.repeats_id || ' (amount, parties, reference and day), and the bank has '
                         || CAST(r.line_count AS VARCHAR(9)) || ' of them only.'
                    WHEN s.transaction_id IS NOT NULL
                    THEN 'A booking may belong to it, but not surely enough to be taken; see the suggestions.'
                    ELSE 'No booked bank line fits, and the grace period is over.' END AS reason
        FROM open_ours o
        LEFT JOIN (SELECT DISTINCT transaction_id FROM suggestions) s ON s.transaction_id = o.transaction_id
        LEFT JOIN repeats r ON r.transaction_id = o.transaction_id
        WHERE o.state = 'break'""",
    ),
    (
        "mismatch_types",
        """
        SELECT k.*, t.currency, t.amount_minor,
               CASE WHEN k.is_foreign = 1 AND k.is_unrated = 0 THEN 'CURRENCY_MISMATCH'
                    WHEN k.same_direction = 0 AND ABS(k.value_minor + t.amount_minor)
                         <= CASE WHEN k.same_currency = 1 THEN :tolerance ELSE t.amount_minor * :fx_ppm / 1000000 END
                    THEN 'WRONG_SIGN'
                    WHEN k.same_currency = 0 THEN 'FX_DIFFERENCE'
                    WHEN k.value_minor BETWEEN 0 AND t.amount_minor - 1
                         AND (k.line_count > 1 OR (t.amount_minor - k.value_minor) * 10000 >= t.amount_minor * :part_bps)
                    THEN 'SPLIT_INCOMPLETE' ELSE 'AMOUNT_MISMATCH' END AS break_type
        FROM mismatched k JOIN ours t ON t.transaction_id = k.transaction_id""",
    ),
    (
        "both_disagree",
        """
        SELECT break_type, 'both' AS side, transaction_id, statement_id, line_id, line_count, currency, amount_minor,
               value_minor, booking_date AS break_date, 1 AS is_open, 0 AS is_matched,
               CASE WHEN break_type = 'FX_DIFFERENCE' AND is_unrated = 1
                    THEN 'The rate of the day is missing, so the booked amount cannot be converted and compared.'
               ELSE CASE break_type
                    WHEN 'CURRENCY_MISMATCH' THEN 'The bank booked it in a currency in which it was not due.'
                    WHEN 'WRONG_SIGN' THEN 'The bank booked it in the wrong direction.'
                    WHEN 'FX_DIFFERENCE' THEN 'The booked amount, converted at the rate of the day, differs beyond tolerance.'
                    WHEN 'SPLIT_INCOMPLETE' THEN 'Only a part has been booked under this reference.'
                    ELSE CASE WHEN value_minor < 0 THEN 'The bank booked another amount, and in the other direction.'
                              WHEN value_minor < amount_minor THEN 'The bank booked less than we expected.'
                              ELSE 'The bank booked more than we expected.' END END END AS reason
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
    ("groups_shared", shared_ids("match_id, ''")),
    (
        "fee_candidates",
        f"""
        SELECT * FROM matches WHERE ABS(fee_minor - {_AGREED.format(amount="amount_minor")}) > :tolerance
           OR key_number(match_id, '') IN (SELECT number FROM groups_shared)""",
    ),
    (
        "fees",
        f"""
        SELECT m.match_id, MIN(m.transaction_id) AS transaction_id,
               MIN(m.statement_id || chr(31) || m.line_id) AS line_key,
               COUNT(DISTINCT m.statement_id || chr(31) || m.line_id) AS line_count, MIN(m.currency) AS currency,
               CAST(SUM(m.amount_minor) AS BIGINT) AS amount_minor, MAX(m.booking_date) AS break_date,
               CAST(SUM(m.fee_minor) AS BIGINT) AS fee_minor,
               {_AGREED.format(amount="SUM(m.amount_minor)")} AS agreed_minor
        FROM fee_candidates m JOIN ours t ON t.transaction_id = m.transaction_id
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
