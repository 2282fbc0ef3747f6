"""What became of every row: each row of both sides once, and one row per transaction."""

OUTCOMES = [
    (
        "reconciliation_items",
        """
        SELECT 'ledger' AS side, t.transaction_id, '' AS statement_id, '' AS line_id, '' AS account, t.currency,
               t.sign * t.amount_minor AS amount_minor,
               CASE WHEN m.match_id IS NOT NULL THEN 'matched' ELSE COALESCE(o.state, 'break') END AS state,
               COALESCE(m.match_id, k.break_id, '') AS group_id, c.transaction_id IS NOT NULL AS is_carried
        FROM ours t
        LEFT JOIN payments_carried c ON c.transaction_id = t.transaction_id
        LEFT JOIN matched m ON m.transaction_id = t.transaction_id
        LEFT JOIN open_ours o ON o.transaction_id = t.transaction_id
        LEFT JOIN breaks k ON k.transaction_id = t.transaction_id AND k.side <> 'bank' AND NOT k.is_matched
        WHERE t.is_due = 1
        UNION ALL
        SELECT 'bank', '', b.statement_id, b.line_id, b.account, b.currency, b.sign * b.amount_posted_minor,
               CASE WHEN m.match_id IS NOT NULL THEN 'matched' ELSE 'break' END,
               COALESCE(m.match_id, d.break_id, k.break_id, ''), c.line_id IS NOT NULL
        FROM booked b
        LEFT JOIN lines_carried c ON c.statement_id = b.statement_id AND c.line_id = b.line_id
        LEFT JOIN (SELECT statement_id, line_id, MIN(match_id) AS match_id FROM matches GROUP BY statement_id, line_id) m
               ON m.statement_id = b.statement_id AND m.line_id = b.line_id
        LEFT JOIN mismatched_lines l ON l.statement_id = b.statement_id AND l.line_id = b.line_id
        LEFT JOIN breaks d ON d.transaction_id = l.transaction_id AND d.side = 'both' AND NOT d.is_matched
        LEFT JOIN breaks k ON k.statement_id = b.statement_id AND k.line_id = b.line_id AND k.side = 'bank'
        ORDER BY side, transaction_id, statement_id, line_id""",
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
                                                      - COALESCE(h.reserve_minor, 0)
                    WHEN k.is_foreign = 0 THEN k.value_minor - k.deducted_minor END AS amount_posted_minor,
               COALESCE(m.fee_minor, k.fee_minor, 0) AS fee_minor,
               COALESCE(w.discrepancy_minor, m.value_minor - m.amount_minor, 0) AS discrepancy_minor,
               w.break_type, w.break_age_days, t.currency
        FROM ours t
        LEFT JOIN matched m ON m.transaction_id = t.transaction_id
        LEFT JOIN mismatched k ON k.transaction_id = t.transaction_id
        LEFT JOIN open_ours o ON o.transaction_id = t.transaction_id
        LEFT JOIN worst w ON w.transaction_id = t.transaction_id
        LEFT JOIN held_back h ON h.transaction_id = t.transaction_id
        ORDER BY t.transaction_id""",
    ),
]
