"""The pass without a name to go by, amount and date; and what is taken and suggested in all.

Placeholders as in `passes`. Candidate pairs are found by buckets of amount and day, so that the work grows
with the rows and not with their square.
"""

# ruff: noqa: S608 - the pieces put together are constants of this room
from atlas_lib.reconciliation.passes.named import RANKED
from atlas_lib.reconciliation.passes.references import NAMED_COST, SETTLED, WITHIN_AMOUNT

_SETTLED_COST = NAMED_COST.format(
    strength="strength", value="value_minor", amount="amount_minor", ours="transaction_date", bank="booking_date"
)

# Pairs that agree in currency, direction, amount and date window.
CANDIDATES = [
    (
        "open_ours",
        """
        SELECT t.* FROM due t
        WHERE NOT EXISTS (SELECT 1 FROM {taken} x WHERE x.transaction_id = t.transaction_id)
          AND NOT EXISTS (SELECT 1 FROM linked k WHERE k.transaction_id = t.transaction_id AND k.kind = 'mismatch')""",
    ),
    (
        "open_lines",
        """
        SELECT b.*, days_between(DATE '1970-01-01', b.booking_date) AS day
        FROM booked b
        WHERE NOT EXISTS (SELECT 1 FROM {taken} x WHERE x.line_key = b.line_key)
          AND NOT EXISTS (SELECT 1 FROM linked k WHERE k.line_key = b.line_key)""",
    ),
    (
        "our_buckets",
        """
        SELECT t.*, s.scale, t.amount_minor - t.amount_minor % s.width + a.step * s.width AS amount_bucket,
               t.day - t.day % :day_width + d.step * :day_width AS day_bucket
        FROM (SELECT o.*, days_between(DATE '1970-01-01', o.transaction_date) AS day FROM open_ours o) t
        JOIN amount_scales s ON s.currency = t.currency AND s.digits = length(CAST(t.amount_minor AS VARCHAR(20)))
        CROSS JOIN (SELECT * FROM (VALUES (-1), (0), (1)) AS v(step)) a
        CROSS JOIN (SELECT * FROM (VALUES (-1), (0), (1)) AS w(step)) d""",
    ),
    (
        "line_buckets",
        """
        SELECT b.*, w.scale, b.gross_minor - b.gross_minor % w.width AS amount_bucket
        FROM open_lines b
        JOIN amount_scales s ON s.currency = b.currency AND s.digits = length(CAST(b.gross_minor AS VARCHAR(20)))
        JOIN (SELECT DISTINCT currency, scale, width FROM amount_scales) w
             ON w.currency = s.currency AND w.scale BETWEEN s.scale - 1 AND s.scale + 1""",
    ),
    (
        "close_pairs",
        f"""
        SELECT t.transaction_id, b.line_key, t.amount_minor, b.gross_minor AS value_minor,
               CASE WHEN t.reference_key IS NULL OR b.reference_key IS NULL THEN 2
                    ELSE text_distance(t.reference_key, b.reference_key) END AS edits,
               ABS(b.gross_minor - t.amount_minor) AS difference,
               ABS(b.day - t.day) AS days,
               CASE WHEN b.name_key <> '' AND b.name_key IN (t.merchant_key, t.counterparty_key) THEN 0
                    WHEN k.name_key IS NULL THEN 1 ELSE 2 END AS name_doubt
        FROM our_buckets t
        JOIN line_buckets b ON b.currency = t.currency AND b.direction = t.direction AND b.scale = t.scale
                           AND b.amount_bucket = t.amount_bucket AND b.day - b.day % :day_width = t.day_bucket
        JOIN tolerances r ON r.currency = t.currency AND r.match_pass = 'amount_date'
        LEFT JOIN known_names k ON k.name_key = b.name_key
        WHERE {WITHIN_AMOUNT.format(value="b.gross_minor", amount="t.amount_minor")}
          AND b.day - t.day BETWEEN -r.days_before AND r.days_after""",
    ),
    (
        "candidates",
        """
        SELECT transaction_id, line_key, amount_minor, value_minor,
               20 * edits + 4 * LEAST(difference, 5) + 2 * days + 10 * name_doubt AS cost
        FROM close_pairs WHERE edits <= 3 AND name_doubt < 2""",
    ),
]

# Matches and suggestions as declared; a group's id is made from the row that the group turns on. A payment's own id does
# for that; a line has two, and a hash keeps them apart; several to several have a key of their own. The ids are made after the sort, which moves what it carries.
RESULTS = [
    ("ranked_rest", RANKED.replace("{pairs}", "candidates").replace("{condition}", "1 = 1")),
    (
        "rivals",
        """
        SELECT r.*, CASE WHEN bank_rank = 1 THEN next_cost ELSE best_cost END AS bank_rival_cost,
               CASE WHEN bank_rank = 1 THEN next_transaction ELSE best_transaction END AS bank_rival
        FROM ranked_rest r WHERE our_rank = 1""",
    ),
    # A sum holds whole or not at all: where the scored pass takes or suggests one of its rows, that says more.
    (
        "broken_sums",
        """
        SELECT f.match_pass, f.group_key FROM found_sums f JOIN scored_pairs s ON s.line_key = f.line_key
        UNION
        SELECT f.match_pass, f.group_key FROM found_sums f JOIN scored_pairs s ON s.transaction_id = f.transaction_id""",
    ),
    (
        "suggested_groups",
        """
        SELECT f.match_pass, f.group_key, f.transaction_id, f.line_key, f.amount_minor, f.reserve_minor, f.match_score, f.rival
        FROM found_sums f
        WHERE f.status = 'suggested' AND NOT EXISTS (
            SELECT 1 FROM broken_sums b WHERE b.match_pass = f.match_pass AND b.group_key = f.group_key)""",
    ),
    (
        "suggestions",
        """
        SELECT r.transaction_id, b.statement_id, b.line_id, 'amount_date' AS match_pass, '' AS group_id, b.currency, r.amount_minor,
               GREATEST(10000 - 25 * r.cost, 0) / CAST(10000 AS DOUBLE) AS match_score,
               25 * (COALESCE(LEAST(our_rival_cost, bank_rival_cost), 400) - r.cost) / CAST(10000 AS DOUBLE)
                   AS rival_margin,
               CASE WHEN our_rival_cost IS NOT NULL
                         AND (bank_rival_cost IS NULL OR our_rival_cost <= bank_rival_cost)
                    THEN 'bank line ' || replace(our_rival, chr(31), '/')
                    WHEN bank_rival IS NOT NULL THEN 'transaction ' || bank_rival ELSE '' END AS rival,
               b.booking_date
        FROM rivals r JOIN booked b ON b.line_key = r.line_key
        UNION ALL
        SELECT s.transaction_id, b.statement_id, b.line_id, 'scored', '', b.currency, s.amount_minor, s.probability, s.margin_rate,
               s.rival, b.booking_date
        FROM scored_pairs s JOIN booked b ON b.line_key = s.line_key
        WHERE s.is_taken = 0 AND NOT EXISTS (SELECT 1 FROM rivals r WHERE r.transaction_id = s.transaction_id)
          AND NOT EXISTS (SELECT 1 FROM rivals r WHERE r.line_key = s.line_key)
        UNION ALL
        SELECT g.transaction_id, b.statement_id, b.line_id, g.match_pass,
               'S-' || substr(md5(g.match_pass || chr(31) || g.group_key), 1, 16), b.currency, g.amount_minor, g.match_score, 0.0,
               g.rival, b.booking_date
        FROM suggested_groups g JOIN booked b ON b.line_key = g.line_key""",
    ),
    (
        "many_groups",
        """
        SELECT transaction_id, group_key FROM named_sums WHERE status = 'taken' AND match_pass = 'many_to_many'
        UNION SELECT transaction_id, group_key FROM found_sums WHERE status = 'taken' AND match_pass = 'many_to_many'""",
    ),
    (
        "matches",
        f"""
        SELECT CASE WHEN group_key IS NOT NULL THEN 'MG-' || substr(md5(group_key), 1, 16)
                    WHEN match_pass IN ('merge', 'day_sum', 'payout')
                    THEN 'ML-' || substr(md5(statement_id || chr(31) || line_id), 1, 16) ELSE 'MP-' || transaction_id END AS match_id,
               transaction_id, statement_id, line_id, match_pass, match_score, rival_margin, currency, amount_minor,
               value_minor, fee_minor, transaction_date, booking_date, days_late
        FROM (
        SELECT x.transaction_id, x.statement_id, x.line_id, x.match_pass, x.group_key,
               COALESCE(x.probability, GREATEST(10000 - 25 * x.cost, 0) / CAST(10000 AS DOUBLE)) AS match_score,
               COALESCE(x.margin_rate, GREATEST(25 * (COALESCE(LEAST(x.rival_cost, 400), 400) - x.cost), 0)
                                       / CAST(10000 AS DOUBLE)) AS rival_margin,
               x.currency, x.amount_minor, x.value_minor, x.fee_minor, x.transaction_date, x.booking_date,
               e.number - CASE WHEN x.is_after_cut_off = 1 THEN s.next_number ELSE s.number END AS days_late
        FROM (
            SELECT 'reference' AS match_pass, CAST(NULL AS VARCHAR(1)) AS group_key, transaction_id, statement_id, line_id,
                   {_SETTLED_COST} AS cost, CAST(NULL AS BIGINT) AS rival_cost, currency, amount_minor, value_minor,
                   fee_minor, transaction_date, booking_date, is_after_cut_off, CAST(NULL AS DOUBLE) AS probability,
                   CAST(NULL AS DOUBLE) AS margin_rate
            FROM {SETTLED} s
            UNION ALL
            SELECT x.match_pass, g.group_key, x.transaction_id, b.statement_id, b.line_id, x.cost, x.rival_cost, t.currency, x.amount_minor,
                   x.value_minor, CASE WHEN x.is_first = 1 THEN b.fee_minor ELSE 0 END, t.transaction_date,
                   b.booking_date, t.is_after_cut_off, p.probability, p.margin_rate
            FROM {{taken}} x
            JOIN due t ON t.transaction_id = x.transaction_id
            JOIN booked b ON b.line_key = x.line_key
            LEFT JOIN scored_pairs p ON p.transaction_id = x.transaction_id AND x.match_pass = 'scored'
            LEFT JOIN many_groups g ON g.transaction_id = x.transaction_id) x
        JOIN open_days s ON s.currency = x.currency AND s.day = x.transaction_date
        JOIN open_days e ON e.currency = x.currency AND e.day = x.booking_date
        ORDER BY x.transaction_id, x.statement_id, x.line_id) m""",
    ),
    (
        "payout_parts",
        """
        SELECT b.statement_id, b.line_id, p.transaction_id,
               CASE WHEN b.direction = 'CRDT' THEN p.signed_minor ELSE -p.signed_minor END AS amount_minor,
               CASE WHEN b.direction = 'CRDT' THEN p.reserve_minor ELSE -p.reserve_minor END AS reserve_minor,
               p.is_prior = 1 AS is_prior, b.currency
        FROM (SELECT line_key, transaction_id, signed_minor, reserve_minor, is_prior FROM named_payouts
              UNION ALL
              SELECT line_key, transaction_id, amount_minor, reserve_minor, 0 FROM found_sums
              WHERE status = 'taken' AND match_pass = 'payout'
              UNION ALL
              SELECT g.line_key, g.transaction_id, g.amount_minor, g.reserve_minor, COALESCE(c.is_prior, 0)
              FROM suggested_groups g
              LEFT JOIN (SELECT DISTINCT line_key, transaction_id, is_prior FROM payout_claims) c
                   ON c.line_key = g.line_key AND c.transaction_id = g.transaction_id
              WHERE g.match_pass = 'payout') p
        JOIN booked b ON b.line_key = p.line_key""",
    ),
    (
        "search_limits",
        """
        SELECT f.match_pass, f.bound, COALESCE(b.currency, t.currency) AS currency, COUNT(t.transaction_id) AS transaction_count,
               COUNT(b.line_key) AS line_count, CAST(SUM(COALESCE(b.gross_minor, t.amount_minor)) AS BIGINT) AS amount_minor
        FROM found_sums f
        LEFT JOIN booked b ON b.line_key = f.line_key
        LEFT JOIN due t ON t.transaction_id = f.transaction_id
        WHERE f.status = 'limit' GROUP BY f.match_pass, f.bound, COALESCE(b.currency, t.currency)
        UNION ALL
        SELECT 'scored', 'rows', r.currency, SUM(r.is_ours), SUM(1 - r.is_ours), CAST(SUM(r.amount_minor) AS BIGINT)
        FROM (SELECT currency, day, 1 AS is_ours, amount_minor FROM rest_ours
              UNION ALL SELECT currency, day, 0, gross_minor FROM rest_lines) r
        JOIN rest_scope s ON r.day < s.first_day GROUP BY r.currency""",
    ),
]
