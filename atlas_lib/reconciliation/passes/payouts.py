"""Payout batches: one line that settles many payments, sales - refunds - chargebacks - fees - reserve +- prior balance.

Where the line names its payments (a payout id that they carry as reference, or a list of them) they are summed as a
group. What plain addition does not explain (the pass merge) may be the reserve agreed with the merchant, held back of
every sale, or the prior balance: all that earlier payouts left open of the same merchants. Exactly one of these has to
explain the line, and no other payout may claim a row of it; where more than one does, each is suggested with its rival.
Where no payment is named, whole days of one merchant or counterparty are added up, to the cent. Days are taken where
nothing else explains the line, it names the party, and chance can hardly have made the amount (`whole_by_chance`, of each
of the party's days of about this size). A line that names nobody has the days of all parties to be met by: those that
might have fitted, each times the step of its amounts (10 for prices in tens of cents), against the amount itself. Every
other sum is a person's to decide. All are weighed in `solutions`, with the sums that `sums` finds.
Placeholders as in `passes`.
"""

# ruff: noqa: S608 - the pieces put together are constants of this room
from atlas_lib.reconciliation.passes.references import WITHIN_AMOUNT

MOST_DAYS = 7  # in a row that one payout settles
SURE_RATE = 0.0001  # sums by chance, up to which whole days need no name
HOPELESS_RATE = 0.1  # sums by chance, from which one that fits is not even suggested
MOST_SHOWN = 5  # sums that fit one line, beyond which a suggestion would help nobody
_RELATIVE = "CASE WHEN t.direction = {line}.direction THEN {amount} ELSE -{amount} END"
_TAKEN_ROW = "NOT EXISTS (SELECT 1 FROM {taken} x WHERE x.transaction_id = t.transaction_id)"
_FREE_LINE = (
    "NOT EXISTS (SELECT 1 FROM {taken} x WHERE x.line_key = b.line_key) "
    "AND NOT EXISTS (SELECT 1 FROM candidates c WHERE c.line_key = b.line_key)"
)

NAMED_PAYOUTS = [
    (
        "payout_members",
        f"""
        SELECT p.transaction_id, p.line_key, p.currency, p.transaction_date, p.signed_minor, p.gross_minor,
               t.merchant_id, b.direction, {_RELATIVE.format(line="b", amount="t.reserve_minor")} AS reserve_minor
        FROM open_named p
        JOIN due t ON t.transaction_id = p.transaction_id
        JOIN booked b ON b.line_key = p.line_key
        WHERE p.line_count = 1 AND p.transaction_count >= 2
          AND NOT EXISTS (SELECT 1 FROM agreed_parts a WHERE a.line_key = p.line_key)
          AND NOT EXISTS (SELECT 1 FROM {{taken}} x WHERE x.line_key = p.line_key)""",
    ),
    (
        "payout_prior",
        f"""
        SELECT g.line_key, t.transaction_id, {_RELATIVE.format(line="g", amount="t.amount_minor")} AS signed_minor,
               {_RELATIVE.format(line="g", amount="t.reserve_minor")} AS reserve_minor
        FROM (SELECT line_key, currency, merchant_id, direction, MIN(transaction_date) AS first_day
              FROM payout_members GROUP BY line_key, currency, merchant_id, direction) g
        JOIN due t ON t.merchant_id = g.merchant_id AND t.currency = g.currency AND t.transaction_date < g.first_day
        WHERE {_TAKEN_ROW}
          AND NOT EXISTS (SELECT 1 FROM named_pairs n WHERE n.transaction_id = t.transaction_id)""",
    ),
    (
        "payout_chosen",
        f"""
        SELECT c.* FROM (
            SELECT s.line_key, s.currency, s.gross_minor, w.with_reserve, w.with_prior,
                   s.sum_minor - w.with_reserve * s.reserve_minor
                       + w.with_prior * (COALESCE(p.sum_minor, 0) - w.with_reserve * COALESCE(p.reserve_minor, 0))
                       AS sum_minor
            FROM (SELECT line_key, currency, gross_minor, CAST(SUM(signed_minor) AS BIGINT) AS sum_minor,
                         CAST(SUM(reserve_minor) AS BIGINT) AS reserve_minor
                  FROM payout_members GROUP BY line_key, currency, gross_minor) s
            LEFT JOIN (SELECT line_key, CAST(SUM(signed_minor) AS BIGINT) AS sum_minor,
                              CAST(SUM(reserve_minor) AS BIGINT) AS reserve_minor
                       FROM payout_prior GROUP BY line_key) p ON p.line_key = s.line_key
            CROSS JOIN (SELECT * FROM (VALUES (1, 0), (0, 1), (1, 1)) AS v(with_reserve, with_prior)) w
            WHERE (w.with_prior = 0 OR p.line_key IS NOT NULL) AND (w.with_reserve = 0 OR s.reserve_minor <> 0)) c
        JOIN tolerances r ON r.currency = c.currency AND r.match_pass = 'payout'
        WHERE {WITHIN_AMOUNT.format(value="c.gross_minor", amount="c.sum_minor")}""",
    ),
    (
        "payout_claims",
        """
        SELECT m.line_key, m.transaction_id, m.signed_minor, m.reserve_minor * c.with_reserve AS reserve_minor,
               0 AS is_prior, c.gross_minor - c.sum_minor AS difference_minor, c.gross_minor,
               c.with_reserve + 2 * c.with_prior AS choice
        FROM payout_members m JOIN payout_chosen c ON c.line_key = m.line_key
        UNION ALL
        SELECT p.line_key, p.transaction_id, p.signed_minor, p.reserve_minor * c.with_reserve, 1,
               c.gross_minor - c.sum_minor, c.gross_minor, c.with_reserve + 2 * c.with_prior
        FROM payout_prior p JOIN payout_chosen c ON c.line_key = p.line_key AND c.with_prior = 1""",
    ),
    (
        "named_payouts",
        """
        SELECT q.*, ROW_NUMBER() OVER (PARTITION BY line_key ORDER BY is_prior, transaction_id) AS part
        FROM (SELECT c.*, MAX(claim_count) OVER (PARTITION BY line_key) AS most_claims
              FROM (SELECT x.*, COUNT(*) OVER (PARTITION BY transaction_id) AS claim_count FROM payout_claims x) c) q
        WHERE most_claims = 1""",
    ),
    (
        "{after}",
        """
        SELECT * FROM {taken} UNION ALL
        SELECT transaction_id, line_key, 'payout', 8, CAST(NULL AS BIGINT), signed_minor,
               signed_minor + CASE WHEN part = 1 THEN difference_minor ELSE 0 END, CASE WHEN part = 1 THEN 1 ELSE 0 END
        FROM named_payouts""",
    ),
]

# Days of one party: a merchant's of one type (alone), a merchant's or a counterparty's of all types (up to MOST_DAYS in a row).
WHOLE_DAYS = [
    (
        "day_items",
        f"""
        SELECT t.transaction_id, p.party, CASE p.party WHEN 'counterparty' THEN t.counterparty_id WHEN 'merchant' THEN t.merchant_id
                   ELSE t.merchant_id || ' ' || t.type END AS party_id,
               CASE WHEN p.party = 'counterparty' THEN t.counterparty_key ELSE t.merchant_key END AS party_key,
               t.currency, t.transaction_date, CASE WHEN t.direction = 'CRDT' THEN t.amount_minor ELSE -t.amount_minor END
                   AS signed_minor, t.reserve_minor, CAST(key_number(t.transaction_id, '') % 1048576 AS BIGINT) AS number
        FROM open_ours t
        CROSS JOIN (SELECT * FROM (VALUES ('type'), ('merchant'), ('counterparty')) AS v(party)) p
        WHERE {_TAKEN_ROW}""",
    ),
    (
        "day_totals",
        """
        SELECT party, party_id, party_key, currency, transaction_date AS day, CAST(SUM(signed_minor) AS BIGINT) AS sum_minor,
               CAST(SUM(reserve_minor) AS BIGINT) AS reserve_minor, COUNT(*) AS item_count,
               MIN(transaction_id) AS first_id, MAX(transaction_id) AS last_id, CAST(SUM(number) AS BIGINT) AS number,
               CASE WHEN MAX(ABS(signed_minor) % 1000) = 0 THEN 1000 WHEN MAX(ABS(signed_minor) % 100) = 0 THEN 100
                    WHEN MAX(ABS(signed_minor) % 10) = 0 THEN 10 ELSE 1 END AS step_minor
        FROM day_items GROUP BY party, party_id, party_key, currency, transaction_date""",
    ),
    (
        "day_steps",
        """
        SELECT party, party_id, currency, MIN(step_minor) AS step_minor FROM day_totals GROUP BY party, party_id, currency""",
    ),
    (
        "day_runs",
        """
        SELECT a.party, a.party_id, a.party_key, a.currency, a.day AS first_day, b.day AS last_day, MIN(s.step_minor) AS step_minor,
               CAST(SUM(m.sum_minor) AS BIGINT) AS sum_minor, CAST(SUM(m.reserve_minor) AS BIGINT) AS reserve_minor,
               CAST(SUM(m.item_count) AS BIGINT) AS item_count, MIN(m.first_id) AS first_id, MAX(m.last_id) AS last_id,
               CAST(SUM(m.number) AS BIGINT) AS number
        FROM day_totals a
        JOIN day_totals b ON b.party = a.party AND b.party_id = a.party_id AND b.currency = a.currency
                         AND days_between(a.day, b.day) BETWEEN 0 AND CASE WHEN a.party = 'type' THEN 0 ELSE :most_days - 1 END
        JOIN day_totals m ON m.party = a.party AND m.party_id = a.party_id AND m.currency = a.currency
                         AND m.day BETWEEN a.day AND b.day
        JOIN day_steps s ON s.party = a.party AND s.party_id = a.party_id AND s.currency = a.currency
        GROUP BY a.party, a.party_id, a.party_key, a.currency, a.day, b.day""",
    ),
    (
        "day_lines",
        f"""
        SELECT l.*, CASE WHEN name_key IS NULL AND chance_minor > gross_minor * {HOPELESS_RATE} THEN 1 ELSE 0 END AS is_hopeless,
               CASE WHEN chance_minor <= gross_minor * {SURE_RATE} THEN 1 ELSE 0 END AS is_sure
        FROM (
            SELECT b.line_key, b.currency, b.direction, b.gross_minor, b.booking_date, k.name_key, COALESCE(SUM(n.run_count), 0) AS run_count,
                   COALESCE(SUM(CASE WHEN b.gross_minor % n.step_minor = 0 THEN n.run_count * n.step_minor ELSE 0 END), 0) AS chance_minor
            FROM open_lines b
            JOIN tolerances d ON d.currency = b.currency AND d.match_pass = 'payout'
            LEFT JOIN known_names k ON k.name_key = b.name_key
            LEFT JOIN (SELECT currency, last_day, step_minor,
                              COUNT(*) + SUM(CASE WHEN reserve_minor <> 0 THEN 1 ELSE 0 END) AS run_count
                       FROM day_runs GROUP BY currency, last_day, step_minor) n
                 ON n.currency = b.currency AND days_between(n.last_day, b.booking_date) BETWEEN -d.days_before AND d.days_after
            WHERE {_FREE_LINE}
            GROUP BY b.line_key, b.currency, b.direction, b.gross_minor, b.booking_date, k.name_key) l""",
    ),
    # The same rows can be a day of several parties: they are one solution.
    (
        "day_solutions",
        """
        SELECT s.*, COUNT(*) OVER (PARTITION BY line_key) AS solution_count,
               ROW_NUMBER() OVER (PARTITION BY line_key ORDER BY last_day DESC, item_count DESC, first_id, with_reserve) AS choice
        FROM (
            SELECT r.*, b.line_key, b.direction, b.gross_minor, b.booking_date,
                   CASE WHEN b.name_key IS NULL THEN 0 ELSE 1 END AS is_named, b.is_sure,
                   ROW_NUMBER() OVER (PARTITION BY b.line_key, r.item_count, r.first_id, r.last_id, r.number, r.with_reserve
                                      ORDER BY r.party DESC, r.party_id, r.first_day) AS same_choice
            FROM (SELECT x.*, w.with_reserve, x.sum_minor - w.with_reserve * x.reserve_minor AS net_minor,
                         CASE WHEN x.party = 'type' THEN 'day_sum' ELSE 'payout' END AS match_pass
                  FROM day_runs x CROSS JOIN (SELECT * FROM (VALUES (0), (1)) AS v(with_reserve)) w
                  WHERE w.with_reserve = 0 OR (x.reserve_minor <> 0 AND x.party <> 'type')) r
            JOIN day_lines b ON b.currency = r.currency AND b.gross_minor = ABS(r.net_minor) AND b.is_hopeless = 0
                            AND b.direction = CASE WHEN r.net_minor > 0 THEN 'CRDT' ELSE 'DBIT' END
            JOIN tolerances d ON d.currency = r.currency AND d.match_pass = r.match_pass
            WHERE (b.name_key IS NULL OR b.name_key = r.party_key)
              AND days_between(r.last_day, b.booking_date) BETWEEN -d.days_before AND d.days_after) s
        WHERE same_choice = 1""",
    ),
    # The days that a line with a solution might have been: of the party that it names those half to double its amount.
    (
        "day_tried",
        """
        SELECT b.line_key, COUNT(DISTINCT r.number) + COUNT(DISTINCT CASE WHEN r.reserve_minor <> 0 THEN r.number END) AS tried
        FROM day_lines b
        JOIN tolerances d ON d.currency = b.currency AND d.match_pass = 'payout'
        JOIN day_runs r ON r.party_key = b.name_key AND r.currency = b.currency
                       AND days_between(r.last_day, b.booking_date) BETWEEN -d.days_before AND d.days_after
                       AND b.direction = CASE WHEN r.sum_minor > 0 THEN 'CRDT' ELSE 'DBIT' END
                       AND 2 * ABS(r.sum_minor) BETWEEN b.gross_minor AND 4 * b.gross_minor
        WHERE b.line_key IN (SELECT line_key FROM day_solutions) GROUP BY b.line_key
        UNION ALL
        SELECT line_key, CAST(run_count AS BIGINT) FROM day_lines WHERE name_key IS NULL""",
    ),
    # Of the payouts that nothing decides between: those of which another pass took a row since.
    (
        "broken_payouts",
        """
        SELECT DISTINCT c.line_key, c.choice FROM payout_claims c
        LEFT JOIN (SELECT DISTINCT transaction_id FROM {taken}) t ON t.transaction_id = c.transaction_id
        LEFT JOIN (SELECT DISTINCT line_key FROM {taken}) l ON l.line_key = c.line_key
        WHERE t.transaction_id IS NOT NULL OR l.line_key IS NOT NULL""",
    ),
    (
        "day_sums",
        f"""
        SELECT s.match_pass, s.line_key, s.choice, s.is_named, s.is_sure, w.tried, s.gross_minor, i.transaction_id,
               CASE WHEN s.direction = 'CRDT' THEN i.signed_minor ELSE -i.signed_minor END AS amount_minor,
               s.with_reserve * CASE WHEN s.direction = 'CRDT' THEN i.reserve_minor ELSE -i.reserve_minor END AS reserve_minor,
               ABS(days_between(i.transaction_date, s.booking_date)) AS lag_days
        FROM day_solutions s
        JOIN day_tried w ON w.line_key = s.line_key
        JOIN day_items i ON i.party = s.party AND i.party_id = s.party_id AND i.currency = s.currency
                        AND i.transaction_date BETWEEN s.first_day AND s.last_day
        WHERE s.solution_count <= {MOST_SHOWN}
        UNION ALL
        SELECT 'payout', c.line_key, c.choice, 0, 0, 1, c.gross_minor, c.transaction_id, c.signed_minor, c.reserve_minor, 0
        FROM payout_claims c
        WHERE NOT EXISTS (SELECT 1 FROM named_payouts n WHERE n.line_key = c.line_key)
          AND NOT EXISTS (SELECT 1 FROM broken_payouts k WHERE k.line_key = c.line_key AND k.choice = c.choice)""",
    ),
    (
        "day_limits",
        f"""
        SELECT line_key, 'chance' AS bound FROM day_lines WHERE is_hopeless = 1
        UNION SELECT line_key, 'solutions' FROM day_solutions WHERE solution_count > {MOST_SHOWN}""",
    ),
]
