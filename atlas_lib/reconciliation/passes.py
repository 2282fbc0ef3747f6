"""The passes that need a name: what a bank line quotes, exactly, in parts, or for several at once.

Statements in the dialect DuckDB and Spark share; `{taken}` is the table of pairs taken so far and
`{after}` the one a pass leaves behind (columns transaction_id, line_key, match_pass, cost, rival_cost,
amount_minor, value_minor, is_first). Fillers of ISO 20022 and SWIFT (NOTPROVIDED, NONREF) are no reference.
"""

SIDES = [
    ("merchant_names", "SELECT merchant_id, fold_text(merchant_name) AS merchant_key FROM merchants"),
    ("counterparty_names", "SELECT counterparty_id, fold_text(name) AS counterparty_key FROM counterparties"),
    (
        "line_names",
        """
        SELECT counterparty_name, fold_text(counterparty_name) AS name_key
        FROM (SELECT DISTINCT counterparty_name FROM statement_lines WHERE counterparty_name IS NOT NULL) n""",
    ),
    (
        "folded_ours",
        """
        SELECT transaction_id, type, merchant_id, counterparty_id, currency, destination_currency, amount_minor, created_at,
               status, fold_text(reference) AS reference_fold, fold_text(transaction_id) AS id_key
        FROM transactions""",
    ),
    (
        "ours",
        """
        SELECT t.transaction_id, t.type, t.merchant_id, t.currency, t.destination_currency, t.amount_minor, t.id_key,
               COALESCE(m.merchant_key, '') AS merchant_key, COALESCE(c.counterparty_key, '') AS counterparty_key,
               CAST(t.created_at AS DATE) AS transaction_date,
               CASE WHEN hour(t.created_at) >= :cut_off_hour THEN 1 ELSE 0 END AS is_after_cut_off,
               CASE WHEN t.type = 'SALE' THEN 'CRDT' ELSE 'DBIT' END AS direction,
               CASE WHEN t.reference_fold IN ('', 'NOTPROVIDED', 'NONREF', 'NONE', 'UNKNOWN') THEN NULL
                    ELSE t.reference_fold END AS reference_key,
               CASE WHEN t.status = 'APPROVED' OR (t.status = 'REFUNDED' AND t.type = 'SALE') THEN 1 ELSE 0 END AS is_due
        FROM folded_ours t
        LEFT JOIN merchant_names m ON m.merchant_id = t.merchant_id
        LEFT JOIN counterparty_names c ON c.counterparty_id = t.counterparty_id""",
    ),
    ("due", "SELECT * FROM ours WHERE is_due = 1"),
    (
        "folded_lines",
        """
        SELECT statement_id, line_id, currency, credit_debit_indicator, booking_date, amount_posted_minor,
               fee_charged_minor, counterparty_name, remittance_text,
               CASE WHEN transaction_id IS NULL THEN NULL ELSE fold_text(transaction_id) END AS quoted_fold,
               fold_text(end_to_end_id) AS reference_fold
        FROM statement_lines WHERE status = 'BOOK'""",
    ),
    (
        "booked",
        """
        SELECT l.statement_id || chr(31) || l.line_id AS line_key, l.statement_id, l.line_id, l.currency,
               l.credit_debit_indicator AS direction, l.booking_date, l.fee_charged_minor AS fee_minor,
               l.amount_posted_minor
                   + CASE WHEN l.credit_debit_indicator = 'CRDT' THEN l.fee_charged_minor ELSE 0 END AS gross_minor,
               CASE WHEN l.quoted_fold = '' THEN NULL ELSE l.quoted_fold END AS quoted_key,
               CASE WHEN l.reference_fold IN ('', 'NOTPROVIDED', 'NONREF', 'NONE', 'UNKNOWN') THEN NULL
                    ELSE l.reference_fold END AS reference_key,
               COALESCE(n.name_key, '') AS name_key, l.remittance_text AS text
        FROM folded_lines l LEFT JOIN line_names n ON n.counterparty_name = l.counterparty_name""",
    ),
]

NAMED = [
    (
        "our_keys",
        """
        SELECT transaction_id, reference_key AS key FROM ours WHERE reference_key IS NOT NULL
        UNION SELECT transaction_id, id_key FROM ours WHERE id_key <> ''""",
    ),
    (
        "bank_keys",
        """
        SELECT line_key, quoted_key AS key, 2 AS strength FROM booked WHERE quoted_key IS NOT NULL
        UNION ALL SELECT line_key, reference_key, 1 FROM booked WHERE reference_key IS NOT NULL""",
    ),
    (
        "named_by_field",
        """
        SELECT o.transaction_id, b.line_key, MAX(b.strength) AS strength
        FROM our_keys o JOIN bank_keys b ON b.key = o.key
        WHERE o.key IN (SELECT x.key FROM (SELECT key, COUNT(*) AS n FROM our_keys GROUP BY key) x
                        JOIN (SELECT key, COUNT(*) AS n FROM bank_keys GROUP BY key) y ON y.key = x.key
                        WHERE x.n * y.n <= :crowded_pairs)
        GROUP BY o.transaction_id, b.line_key""",
    ),
    (
        "words",
        """
        SELECT DISTINCT b.line_key, fold_text(split_part(b.text, ' ', n.number)) AS key
        FROM (SELECT x.line_key, translate(x.text, ',;|+():', '       ') AS text FROM booked x
              WHERE x.text IS NOT NULL AND NOT EXISTS (SELECT 1 FROM named_by_field f WHERE f.line_key = x.line_key)) b
        JOIN counting n ON n.number <= length(b.text) - length(replace(b.text, ' ', '')) + 1""",
    ),
    (
        "named",
        """
        SELECT transaction_id, line_key, strength FROM named_by_field
        UNION ALL
        SELECT DISTINCT o.transaction_id, w.line_key, 0 FROM our_keys o JOIN words w ON w.key = o.key
        WHERE length(w.key) >= 5
          AND w.key IN (SELECT x.key FROM (SELECT key, COUNT(*) AS n FROM our_keys GROUP BY key) x
                        JOIN (SELECT key, COUNT(*) AS n FROM words GROUP BY key) y ON y.key = x.key
                        WHERE x.n * y.n <= :crowded_pairs)""",
    ),
    (
        "named_values",
        """
        SELECT n.transaction_id, n.line_key, n.strength, t.is_due, t.amount_minor,
               CASE WHEN b.currency = t.currency THEN 1 ELSE 0 END AS same_currency,
               CASE WHEN b.direction = t.direction THEN 1 ELSE 0 END AS same_direction,
               CASE WHEN b.currency = t.currency THEN b.gross_minor
                    WHEN b.currency = t.destination_currency
                    THEN CAST(FLOOR(b.gross_minor * f.factor + 0.5) AS BIGINT) END AS value_minor,
               days_between(t.transaction_date, b.booking_date) AS days
        FROM named n
        JOIN ours t ON t.transaction_id = n.transaction_id
        JOIN booked b ON b.line_key = n.line_key
        LEFT JOIN fx_days f ON f.from_currency = b.currency AND f.to_currency = t.currency AND f.day = b.booking_date""",
    ),
    (
        "named_pairs",
        """
        SELECT v.*, value_minor - amount_minor AS difference_minor,
               CASE WHEN is_due = 0 OR same_direction = 0 OR value_minor IS NULL THEN 0
                    WHEN same_currency = 1 AND ABS(value_minor - amount_minor) <= :tolerance THEN 1
                    WHEN same_currency = 0 AND ABS(value_minor - amount_minor) * 1000000 <= amount_minor * :fx_ppm THEN 1
                    ELSE 0 END AS agrees,
               (2 - strength) * 2 + 4 * LEAST(ABS(value_minor - amount_minor), 5) + 2 * LEAST(ABS(days), 10) AS cost
        FROM named_values v""",
    ),
    (
        "taken_0",
        """
        SELECT transaction_id, line_key, 'reference' AS match_pass, cost, cost AS rival_cost, amount_minor, value_minor,
               1 AS is_first FROM named_pairs WHERE 1 = 0""",
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
    ("{ranked}", RANKED),
    (
        "{after}",
        """
        SELECT * FROM {taken} UNION ALL
        SELECT transaction_id, line_key, '{name}', cost, LEAST(our_rival_cost, next_cost), amount_minor, value_minor, 1
        FROM {ranked} WHERE our_rank = 1 AND bank_rank = 1 AND {margin}""",
    ),
]

# Several lines for one transaction, and several transactions for one line.
GROUPS = [
    (
        "open_named",
        """
        SELECT p.*, CASE WHEN p.same_direction = 1 THEN p.amount_minor ELSE -p.amount_minor END AS signed_minor,
               b.gross_minor, b.booking_date, t.transaction_date,
               COUNT(*) OVER (PARTITION BY p.transaction_id) AS line_count,
               COUNT(*) OVER (PARTITION BY p.line_key) AS transaction_count
        FROM named_pairs p
        JOIN booked b ON b.line_key = p.line_key
        JOIN ours t ON t.transaction_id = p.transaction_id
        WHERE p.is_due = 1 AND p.same_currency = 1
          AND NOT EXISTS (SELECT 1 FROM {taken} x WHERE x.transaction_id = p.transaction_id)
          AND NOT EXISTS (SELECT 1 FROM {taken} x WHERE x.line_key = p.line_key)""",
    ),
    (
        "split_pairs",
        """
        SELECT p.transaction_id, p.line_key, p.value_minor, p.amount_minor, p.cost,
               SUM(p.value_minor) OVER (PARTITION BY p.transaction_id) AS sum_minor,
               COUNT(*) OVER (PARTITION BY p.transaction_id) AS part_count,
               ROW_NUMBER() OVER (PARTITION BY p.transaction_id ORDER BY p.booking_date, p.line_key) AS part
        FROM open_named p WHERE p.transaction_count = 1 AND p.line_count >= 2 AND p.same_direction = 1""",
    ),
    (
        "merge_pairs",
        """
        SELECT p.transaction_id, p.line_key, p.signed_minor, p.gross_minor, p.cost,
               SUM(p.signed_minor) OVER (PARTITION BY p.line_key) AS sum_minor,
               COUNT(*) OVER (PARTITION BY p.line_key) AS part_count,
               ROW_NUMBER() OVER (PARTITION BY p.line_key ORDER BY p.transaction_date, p.transaction_id) AS part
        FROM open_named p WHERE p.line_count = 1 AND p.transaction_count >= 2""",
    ),
    (
        "{after}",
        """
        SELECT * FROM {taken} UNION ALL
        SELECT transaction_id, line_key, 'split', 8, CAST(NULL AS BIGINT),
               value_minor + CASE WHEN part = 1 THEN CAST(amount_minor - sum_minor AS BIGINT) ELSE 0 END,
               value_minor, 1
        FROM split_pairs WHERE part_count >= 2 AND ABS(sum_minor - amount_minor) <= :tolerance
        UNION ALL
        SELECT transaction_id, line_key, 'merge', 8, CAST(NULL AS BIGINT), signed_minor,
               signed_minor + CASE WHEN part = 1 THEN CAST(gross_minor - sum_minor AS BIGINT) ELSE 0 END,
               CASE WHEN part = 1 THEN 1 ELSE 0 END
        FROM merge_pairs WHERE part_count >= 2 AND ABS(sum_minor - gross_minor) <= :tolerance""",
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
