"""Both sides as breaks see them: what is due, booked, covered, matched, mismatched, and open.

Most payments have one matched line: those are taken as they are, and only rows that share an id with another (told by
`key_number`, so a few more at most) are grouped by it, at half the cost.
"""

# ruff: noqa: S608 - the pieces put together are constants of this room


def shared_ids(ids: str) -> str:
    """The numbers of the ids that several rows of `matches` have."""
    return f"SELECT key_number({ids}) AS number FROM matches GROUP BY key_number({ids}) HAVING COUNT(*) > 1"


SIDES = [
    (
        "ours",
        """
        SELECT transaction_id, merchant_id, type, status, currency, destination_currency, amount_minor,
               CAST(created_at AS DATE) AS day,
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
        FROM (SELECT l.currency, l.booking_date AS day FROM statement_lines l
              WHERE NOT EXISTS (SELECT 1 FROM lines_carried c WHERE c.statement_id = l.statement_id AND c.line_id = l.line_id)
              UNION ALL SELECT currency, balance_date FROM statement_balances
              UNION ALL SELECT currency, day FROM covered_before) d
        GROUP BY currency""",
    ),
    ("payments_shared", shared_ids("transaction_id, ''")),
    (
        "matched",
        """
        SELECT transaction_id, match_id, match_pass, match_score, rival_margin, amount_minor, value_minor, fee_minor, days_late,
               booking_date, statement_id || chr(31) || line_id AS line_key, 1 AS line_count
        FROM matches WHERE key_number(transaction_id, '') NOT IN (SELECT number FROM payments_shared)
        UNION ALL
        SELECT transaction_id, MIN(match_id) AS match_id, MIN(match_pass) AS match_pass, MIN(match_score) AS match_score,
               MIN(rival_margin) AS rival_margin, CAST(SUM(amount_minor) AS BIGINT) AS amount_minor,
               CAST(SUM(value_minor) AS BIGINT) AS value_minor, CAST(SUM(fee_minor) AS BIGINT) AS fee_minor,
               MAX(days_late) AS days_late, MAX(booking_date) AS booking_date,
               MIN(statement_id || chr(31) || line_id) AS line_key, COUNT(*) AS line_count
        FROM matches WHERE key_number(transaction_id, '') IN (SELECT number FROM payments_shared) GROUP BY transaction_id""",
    ),
    (
        "held_back",
        """
        SELECT p.transaction_id, CAST(SUM(p.reserve_minor) AS BIGINT) AS reserve_minor
        FROM payout_parts p
        JOIN matches m ON m.transaction_id = p.transaction_id AND m.statement_id = p.statement_id AND m.line_id = p.line_id
        WHERE p.reserve_minor <> 0 AND m.match_pass IN ('payout', 'manual') GROUP BY p.transaction_id""",
    ),
    (
        "mismatched_lines",
        """
        SELECT l.transaction_id, b.statement_id, b.line_id, b.booking_date, b.fee_charged_minor, b.sign AS line_sign,
               CASE WHEN l.same_currency THEN 1 ELSE 0 END AS same_currency,
               CASE WHEN l.same_direction THEN 1 ELSE 0 END AS same_direction,
               CASE WHEN NOT l.same_currency AND (l.value_minor IS NULL OR b.gross_minor = t.amount_minor) THEN 1
                    ELSE 0 END AS is_foreign,
               CASE WHEN l.value_minor IS NULL AND b.currency = t.destination_currency THEN 1 ELSE 0 END AS is_unrated,
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
               MAX(is_foreign) AS is_foreign, MIN(CASE WHEN is_foreign = 1 THEN is_unrated END) AS is_unrated,
               MIN(same_currency) AS same_currency, MIN(same_direction) AS same_direction,
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
        SELECT t.*, CASE WHEN k.transaction_id IS NOT NULL THEN 'break'
                         WHEN c.currency IS NULL THEN 'uncovered'
                         WHEN days_between(t.day, :as_of) <= :days_after THEN 'pending'
                         WHEN days_between(t.day, c.last_day) <= :days_after
                              OR days_between(t.day, c.first_day) > :days_after THEN 'uncovered'
                         ELSE 'break' END AS state
        FROM ours t
        LEFT JOIN covered c ON c.currency = t.currency
        LEFT JOIN broken_before k ON k.transaction_id = t.transaction_id
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
