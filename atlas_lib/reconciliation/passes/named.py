"""The passes that need a name, over what `references` leaves: pairs with a rival, in parts, or for several at once.

Statements in the dialect DuckDB and Spark share; `{taken}` is the table of pairs taken so far and
`{after}` the one a pass leaves behind (columns transaction_id, line_key, match_pass, cost, rival_cost,
amount_minor, value_minor, is_first).
"""

# ruff: noqa: S608 - the pieces put together are constants of this room
from atlas_lib.reconciliation.passes.references import NAMED_COST, SETTLED, WITHIN_AMOUNT

_COST = NAMED_COST.format(
    strength="strength", value="value_minor", amount="amount_minor", ours="transaction_date", bank="booking_date"
)
_TIMELY = (
    "MIN(CASE WHEN days_between(p.transaction_date, p.booking_date) BETWEEN -r.days_before AND r.days_after "
    "THEN 1 ELSE 0 END)"
)

_LINE_SIGN = "CASE WHEN p.same_direction = 1 THEN 1 ELSE -1 END"

NAMED = [
    (
        "named_values",
        """
        SELECT n.transaction_id, n.line_key, n.strength, t.is_due, t.currency, t.amount_minor,
               CASE WHEN b.currency = t.currency THEN 1 ELSE 0 END AS same_currency,
               CASE WHEN b.direction = t.direction THEN 1 ELSE 0 END AS same_direction,
               CASE WHEN b.currency = t.currency THEN b.gross_minor
                    WHEN b.currency = t.destination_currency
                    THEN CAST(FLOOR(b.gross_minor * f.factor + 0.5) AS BIGINT) END AS value_minor,
               t.transaction_date, b.booking_date
        FROM named n
        JOIN ours t ON t.transaction_id = n.transaction_id
        JOIN booked b ON b.line_key = n.line_key
        LEFT JOIN fx_days f ON f.from_currency = b.currency AND f.to_currency = t.currency AND f.day = b.booking_date""",
    ),
    (
        "named_pairs",
        f"""
        SELECT v.*, value_minor - amount_minor AS difference_minor,
               CASE WHEN is_due = 0 OR same_direction = 0 OR value_minor IS NULL
                         OR days_between(transaction_date, booking_date) NOT BETWEEN -r.days_before AND r.days_after THEN 0
                    WHEN same_currency = 1 AND {WITHIN_AMOUNT.format(value="value_minor", amount="amount_minor")} THEN 1
                    WHEN same_currency = 0 AND ABS(value_minor - amount_minor) * 1000000 <= amount_minor * :fx_ppm THEN 1
                    ELSE 0 END AS agrees,
               {_COST} AS cost
        FROM named_values v JOIN tolerances r ON r.currency = v.currency AND r.match_pass = 'reference'""",
    ),
    (
        "taken_0",
        f"""
        SELECT s.transaction_id, s.statement_id || chr(31) || s.line_id AS line_key, 'reference' AS match_pass,
               CAST(0 AS BIGINT) AS cost, CAST(NULL AS BIGINT) AS rival_cost, s.amount_minor, s.value_minor, 1 AS is_first
        FROM {SETTLED} s WHERE s.transaction_id IN (SELECT transaction_id FROM named)""",
    ),
]

RANKED = """
    SELECT p.transaction_id, p.line_key, p.cost, p.amount_minor, p.value_minor,
           ROW_NUMBER() OVER (PARTITION BY p.transaction_id ORDER BY p.cost, p.line_key) AS our_rank,
           ROW_NUMBER() OVER (PARTITION BY p.line_key ORDER BY p.cost, p.transaction_id) AS bank_rank,
           LEAD(p.cost) OVER (PARTITION BY p.transaction_id ORDER BY p.cost, p.line_key) AS our_rival_cost,
           LEAD(p.line_key) OVER (PARTITION BY p.transaction_id ORDER BY p.cost, p.line_key) AS our_rival,
           LEAD(p.cost) OVER (PARTITION BY p.line_key ORDER BY p.cost, p.transaction_id) AS next_cost,
           LEAD(p.transaction_id) OVER (PARTITION BY p.line_key ORDER BY p.cost, p.transaction_id) AS next_transaction,
           MIN(p.cost) OVER (PARTITION BY p.line_key) AS best_cost,
           FIRST_VALUE(p.transaction_id) OVER (PARTITION BY p.line_key ORDER BY p.cost, p.transaction_id)
               AS best_transaction
    FROM {pairs} p
    WHERE {condition}
      AND NOT EXISTS (SELECT 1 FROM {taken} x WHERE x.transaction_id = p.transaction_id)
      AND NOT EXISTS (SELECT 1 FROM {taken} x WHERE x.line_key = p.line_key)"""

# One round of a pass: each side's best partner is taken where both choose each other.
ROUND = [
    (
        "{after}",
        f"""
        SELECT * FROM {{taken}} UNION ALL
        SELECT transaction_id, line_key, '{{name}}', cost, LEAST(our_rival_cost, next_cost), amount_minor, value_minor, 1
        FROM ({RANKED}) q WHERE our_rank = 1 AND bank_rank = 1 AND {{margin}}""",
    ),
]

# Several lines for one transaction, and several transactions for one line; what goes the other way counts against them.
# Where several merchants have the reference (a word such as INVOICE), the agreed parts are judged with the groups.
GROUPS = [
    (
        "shared_references",
        """
        SELECT reference_key FROM ours WHERE reference_key IS NOT NULL
        GROUP BY reference_key HAVING COUNT(DISTINCT COALESCE(merchant_id, '')) > 1""",
    ),
    (
        "open_named",
        """
        SELECT p.*, CASE WHEN p.same_direction = 1 THEN p.amount_minor ELSE -p.amount_minor END AS signed_minor,
               b.gross_minor, CASE WHEN h.reference_key IS NULL THEN 0 ELSE 1 END AS has_shared,
               COUNT(*) OVER (PARTITION BY p.transaction_id) AS line_count,
               COUNT(*) OVER (PARTITION BY p.line_key) AS transaction_count
        FROM named_pairs p
        JOIN booked b ON b.line_key = p.line_key
        JOIN ours t ON t.transaction_id = p.transaction_id
        LEFT JOIN shared_references h ON h.reference_key = t.reference_key
        WHERE p.is_due = 1 AND p.same_currency = 1
          AND NOT EXISTS (SELECT 1 FROM {taken} x WHERE x.transaction_id = p.transaction_id)
          AND NOT EXISTS (SELECT 1 FROM {taken} x WHERE x.line_key = p.line_key)""",
    ),
    (
        "split_pairs",
        f"""
        SELECT p.transaction_id, p.line_key, p.currency, p.amount_minor, {_LINE_SIGN} * p.value_minor AS value_minor,
               CAST(SUM({_LINE_SIGN} * p.value_minor) OVER (PARTITION BY p.transaction_id) AS BIGINT) AS sum_minor,
               COUNT(*) OVER (PARTITION BY p.transaction_id) AS part_count,
               {_TIMELY} OVER (PARTITION BY p.transaction_id) AS is_timely, p.has_shared AS is_shared,
               ROW_NUMBER() OVER (PARTITION BY p.transaction_id ORDER BY p.booking_date, p.line_key) AS part
        FROM open_named p JOIN tolerances r ON r.currency = p.currency AND r.match_pass = 'split'
        WHERE p.transaction_count = 1 AND p.line_count >= 2""",
    ),
    (
        "merge_pairs",
        f"""
        SELECT p.transaction_id, p.line_key, p.currency, p.signed_minor, p.gross_minor,
               CAST(SUM(p.signed_minor) OVER (PARTITION BY p.line_key) AS BIGINT) AS sum_minor,
               COUNT(*) OVER (PARTITION BY p.line_key) AS part_count,
               {_TIMELY} OVER (PARTITION BY p.line_key) AS is_timely,
               MAX(p.has_shared) OVER (PARTITION BY p.line_key) AS is_shared,
               ROW_NUMBER() OVER (PARTITION BY p.line_key ORDER BY p.transaction_date, p.transaction_id) AS part
        FROM open_named p JOIN tolerances r ON r.currency = p.currency AND r.match_pass = 'merge'
        WHERE p.line_count = 1 AND p.transaction_count >= 2""",
    ),
    (
        "agreed_parts",
        f"""
        SELECT transaction_id, line_key, 'split' AS match_pass, transaction_id AS group_key, is_shared,
               value_minor + CASE WHEN part = 1 THEN CAST(amount_minor - sum_minor AS BIGINT) ELSE 0 END AS amount_minor,
               value_minor, 1 AS is_first
        FROM split_pairs p JOIN tolerances r ON r.currency = p.currency AND r.match_pass = 'split'
        WHERE part_count >= 2 AND is_timely = 1 AND {WITHIN_AMOUNT.format(value="sum_minor", amount="amount_minor")}
        UNION ALL
        SELECT transaction_id, line_key, 'merge', line_key, is_shared, signed_minor,
               signed_minor + CASE WHEN part = 1 THEN CAST(gross_minor - sum_minor AS BIGINT) ELSE 0 END,
               CASE WHEN part = 1 THEN 1 ELSE 0 END
        FROM merge_pairs p JOIN tolerances r ON r.currency = p.currency AND r.match_pass = 'merge'
        WHERE part_count >= 2 AND is_timely = 1 AND {WITHIN_AMOUNT.format(value="gross_minor", amount="sum_minor")}""",
    ),
    (
        "{after}",
        """
        SELECT * FROM {taken} UNION ALL
        SELECT transaction_id, line_key, match_pass, 8, CAST(NULL AS BIGINT), amount_minor, value_minor, is_first
        FROM agreed_parts WHERE is_shared = 0""",
    ),
]

# What an unmatched line still names: an open transaction, a matched one, or one that is not due.
LINKS = [
    (
        "link_ranks",
        """
        SELECT p.*, CASE WHEN p.is_due = 0 THEN 'not_due' WHEN x.transaction_id IS NULL THEN 'mismatch'
                         ELSE 'further' END AS kind,
               ROW_NUMBER() OVER (
                   PARTITION BY p.line_key
                   ORDER BY p.is_due DESC, CASE WHEN x.transaction_id IS NULL THEN 0 ELSE 1 END, p.strength DESC,
                            p.same_currency DESC, p.same_direction DESC,
                            COALESCE(ABS(p.difference_minor), p.amount_minor), p.transaction_id) AS choice
        FROM named_pairs p
        LEFT JOIN (SELECT DISTINCT transaction_id FROM {taken}) x ON x.transaction_id = p.transaction_id
        WHERE NOT EXISTS (SELECT 1 FROM {taken} y WHERE y.line_key = p.line_key)""",
    ),
    ("linked", "SELECT * FROM link_ranks WHERE choice = 1"),
    (
        "links",
        """
        SELECT b.statement_id, b.line_id, k.transaction_id, k.kind, k.same_currency = 1 AS same_currency,
               k.same_direction = 1 AS same_direction, k.value_minor, k.difference_minor
        FROM linked k JOIN booked b ON b.line_key = k.line_key""",
    ),
]
