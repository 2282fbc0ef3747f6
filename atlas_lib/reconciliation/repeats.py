"""Payments of ours that repeat another one more often than the bank does: duplicates on our side.

Alike are payments of one day with the same type, amount, currency, merchant, counterparty, user and reference, of which at
least one of the last three is known. Of n alike, as many are accounted for as are matched, and as there are
open lines of that amount and direction within the days; the others repeat the first, provided that the bank has one.
So two equal payments with two lines are left alone, and so are two that the bank has not booked at all.
"""

from atlas_lib.reconciliation.passes.references import NO_FILLER

_ALIKE = "type, currency, amount_minor, merchant_id, counterparty, user_id, reference, day"
_SAME = " AND ".join(f"g.{name} = t.{name}" for name in _ALIKE.split(", "))

_REFERENCE = NO_FILLER.format("fold_text(t.reference)")

# ruff: noqa: S608 - the pieces put together are constants of this room
REPEATS = [
    (
        "maybe_repeats",
        f"""
        SELECT t.transaction_id, t.type, t.currency, t.amount_minor, t.merchant_id, TRIM(COALESCE(t.counterparty_id, '')) AS counterparty,
               TRIM(COALESCE(t.user_id, '')) AS user_id, COALESCE({_REFERENCE}, '') AS reference, t.created_at,
               k.day, CASE WHEN t.type = 'SALE' THEN 1 ELSE -1 END AS sign
        FROM transactions t
        JOIN (SELECT DISTINCT type, currency, amount_minor, merchant_id, day FROM open_ours WHERE state = 'break') k
             ON k.merchant_id = t.merchant_id AND k.amount_minor = t.amount_minor AND k.currency = t.currency AND k.type = t.type
                AND k.day = CAST(t.created_at AS DATE)
        WHERE t.status = 'APPROVED' OR (t.status = 'REFUNDED' AND t.type = 'SALE')""",
    ),
    (
        "repeat_groups",
        f"""
        SELECT {_ALIKE}, sign, MIN(transaction_id) AS group_id, COUNT(*) AS payment_count FROM maybe_repeats
        WHERE counterparty <> '' OR user_id <> '' OR reference <> ''
        GROUP BY {_ALIKE}, sign HAVING COUNT(*) > 1""",
    ),
    # Amounts meet in buckets one wider than twice the tolerance, so that what is within it lies in one of two.
    (
        "repeat_amounts",
        "\n        UNION\n".join(
            f"""
        SELECT group_id, currency, sign, amount_minor, day,
               CAST(FLOOR((amount_minor {end} :tolerance) / CAST(2 * :tolerance + 1 AS DOUBLE)) AS BIGINT) AS bucket
        FROM repeat_groups"""
            for end in "-+"
        ),
    ),
    (
        "repeat_lines",
        """
        SELECT g.group_id, SUM(b.line_count) AS line_count
        FROM repeat_amounts g
        JOIN (SELECT currency, sign, gross_minor, booking_date, COUNT(*) AS line_count,
                     CAST(FLOOR(gross_minor / CAST(2 * :tolerance + 1 AS DOUBLE)) AS BIGINT) AS bucket
              FROM open_lines GROUP BY currency, sign, gross_minor, booking_date) b
             ON b.currency = g.currency AND b.sign = g.sign AND b.bucket = g.bucket
        WHERE ABS(b.gross_minor - g.amount_minor) <= :tolerance
          AND days_between(g.day, b.booking_date) BETWEEN -:days_before AND :days_after
        GROUP BY g.group_id""",
    ),
    (
        "repeat_ranks",
        f"""
        SELECT t.transaction_id, g.group_id, l.line_count, m.transaction_id IS NOT NULL AS is_booked,
               s.transaction_id IS NOT NULL AS is_suggested,
               ROW_NUMBER() OVER (PARTITION BY g.group_id
                                  ORDER BY CASE WHEN m.transaction_id IS NOT NULL THEN 0 ELSE 1 END,
                                           t.created_at, t.transaction_id) AS place
        FROM maybe_repeats t
        JOIN repeat_groups g ON {_SAME}
        LEFT JOIN repeat_lines l ON l.group_id = g.group_id
        LEFT JOIN matched m ON m.transaction_id = t.transaction_id
        LEFT JOIN (SELECT DISTINCT transaction_id FROM suggestions) s ON s.transaction_id = t.transaction_id""",
    ),
    (
        "repeats",
        """
        SELECT r.transaction_id, f.transaction_id AS repeats_id, c.line_count
        FROM repeat_ranks r
        JOIN repeat_ranks f ON f.group_id = r.group_id AND f.place = 1
        JOIN (SELECT group_id, SUM(CASE WHEN is_booked THEN 1 ELSE 0 END) + MAX(COALESCE(line_count, 0)) AS line_count,
                     SUM(CASE WHEN is_booked OR is_suggested THEN 1 ELSE 0 END) AS seen_count
              FROM repeat_ranks GROUP BY group_id) c ON c.group_id = r.group_id
        WHERE c.line_count >= 1 AND r.place > c.line_count AND c.seen_count > 0""",
    ),
]
