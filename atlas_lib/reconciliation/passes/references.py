"""Who a bank line names, and the many lines that name one payment alone and agree with it.

Nearly every row is settled here, by one join over narrow rows; the passes after it see only the others, each with all
that is known of it. A pair is settled when a field of the line names this payment and no other, no field of another
line names the payment, and currency, direction, amount and day agree within the rule `reference`: ranking all pairs
would give the same, for a pair without a rival is the best of both its sides. Lines without such a field are then
searched for names word by word.
A name is a folded id or reference; fillers of ISO 20022 and SWIFT (NOTPROVIDED, NONREF) are none.
`key_number` groups rows by 64 bits: where two names or ids share a number, their pairs count as rivals and are ranked.
"""

# ruff: noqa: S608 - the pieces put together are constants of this room
_IS_DUE = "t.status = 'APPROVED' OR (t.status = 'REFUNDED' AND t.type = 'SALE')"
_DIRECTION = "CASE WHEN t.type = 'SALE' THEN 'CRDT' ELSE 'DBIT' END AS direction"
_AFTER_CUT_OFF = "CASE WHEN utc_hour(t.created_at) >= :cut_off_hour THEN 1 ELSE 0 END AS is_after_cut_off"
NO_FILLER = "CASE WHEN {0} IN ('', 'NOTPROVIDED', 'NONREF', 'NONE', 'UNKNOWN') THEN NULL ELSE {0} END"
_GROSS = (
    "l.amount_posted_minor + CASE WHEN l.credit_debit_indicator = 'CRDT' THEN l.fee_charged_minor ELSE 0 END "
    "AS gross_minor"
)
# What a pair costs before it is ranked: how surely it is named, how far apart amounts and days are.
NAMED_COST = (
    "(2 - {strength}) * 2 + 4 * LEAST(ABS({value} - {amount}), 5) + 2 * LEAST(ABS(days_between({ours}, {bank})), 10)"
)
# Whether value - amount lies within a tolerance rule `r`.
WITHIN_AMOUNT = (
    "(({value} >= {amount} AND ({value} - {amount} <= r.above_minor "
    "OR ({value} - {amount}) * 1000000 <= {amount} * r.above_ppm)) "
    "OR ({value} < {amount} AND ({amount} - {value} <= r.below_minor "
    "OR ({amount} - {value}) * 1000000 <= {amount} * r.below_ppm)))"
)

KEYS = [
    (
        "our_names",
        f"""
        SELECT t.transaction_id, t.currency, t.amount_minor, utc_day(t.created_at) AS transaction_date,
               {_AFTER_CUT_OFF},
               CASE WHEN {_IS_DUE} THEN CASE WHEN t.type = 'SALE' THEN 1 ELSE -1 END ELSE 0 END AS due_sign, t.id_key,
               {NO_FILLER.format("t.reference_fold")} AS reference_key
        FROM (SELECT x.*, fold_text(x.reference) AS reference_fold, fold_text(x.transaction_id) AS id_key
              FROM transactions x) t""",
    ),
    (
        "bank_names",
        f"""
        SELECT l.statement_id, l.line_id, l.currency, CASE WHEN l.credit_debit_indicator = 'CRDT' THEN 1 ELSE -1 END AS sign, l.booking_date,
               l.fee_charged_minor AS fee_minor, {_GROSS}, {NO_FILLER.format("l.reference_fold")} AS reference_key,
               CASE WHEN l.quoted_fold = '' THEN NULL ELSE l.quoted_fold END AS quoted_key
        FROM (SELECT x.*, fold_text(x.end_to_end_id) AS reference_fold, fold_text(x.transaction_id) AS quoted_fold
              FROM statement_lines x WHERE x.status = 'BOOK') l""",
    ),
]

# Each row once under its first name, so that a row without a partner comes out of the join as well.
_OUR_KEYS = """
    (SELECT o.*, COALESCE(o.reference_key, NULLIF(o.id_key, '')) AS name FROM our_names o
     UNION ALL SELECT i.*, i.id_key FROM called_ids i)"""
_BANK_KEYS = """
    (SELECT b.*, COALESCE(b.quoted_key, b.reference_key) AS name, CASE WHEN b.quoted_key IS NULL THEN 1 ELSE 2 END AS strength
     FROM bank_names b
     UNION ALL SELECT b.*, b.reference_key, 1 FROM bank_names b WHERE b.quoted_key <> b.reference_key)"""

# Names that several rows of one side share, by number. A name that very many share identifies nothing and would pair
# every row with every other; an id is no other payment's id.
SHARED = [
    # A payment with a reference goes by its id as well only where some line does.
    (
        "called_ids",
        f"""
        SELECT o.* FROM our_names o
        WHERE o.id_key <> '' AND o.id_key <> o.reference_key AND o.id_key IN (SELECT b.name FROM {_BANK_KEYS} b)""",
    ),
    (
        "shared_names",
        f"""
        SELECT key_number(o.name, '') AS number, COUNT(*) AS row_count FROM {_OUR_KEYS} o WHERE o.name IS NOT NULL
        GROUP BY key_number(o.name, '') HAVING COUNT(*) > 1
        UNION ALL
        SELECT key_number(b.name, '') AS number, COUNT(*) AS row_count FROM {_BANK_KEYS} b WHERE b.name IS NOT NULL
        GROUP BY key_number(b.name, '') HAVING COUNT(*) > 1""",
    ),
    ("busy_names", "SELECT DISTINCT number FROM shared_names WHERE row_count >= :crowded_side"),
    (
        "crowded_names",
        f"""
        SELECT o.name
        FROM (SELECT name, COUNT(*) AS n FROM {_OUR_KEYS} x
              WHERE key_number(name, '') IN (SELECT number FROM busy_names) GROUP BY name) o
        JOIN (SELECT name, COUNT(*) AS n FROM {_BANK_KEYS} y
              WHERE key_number(name, '') IN (SELECT number FROM busy_names) GROUP BY name) b ON b.name = o.name
        WHERE o.n * b.n > :crowded_pairs""",
    ),
]

# One row per pair, and one per name of either side that has no partner. A line that names a payment in both of its
# fields counts by the stronger. A rival is possible where a name is shared, the line has two names, or the payment
# goes by its id and by its reference.
FIELDS = [
    (
        "named_by_field",
        f"""
        SELECT p.*, CASE WHEN agrees = 1 AND has_rival = 0 THEN 1 ELSE 0 END AS is_settled
        FROM (
        SELECT o.transaction_id, b.statement_id, b.line_id, b.strength, o.currency, o.amount_minor,
               b.gross_minor AS value_minor, b.fee_minor, o.transaction_date, o.is_after_cut_off, b.booking_date,
               CASE WHEN b.currency = o.currency AND b.sign = o.due_sign
                         AND {WITHIN_AMOUNT.format(value="b.gross_minor", amount="o.amount_minor")}
                         AND days_between(o.transaction_date, b.booking_date) BETWEEN -r.days_before AND r.days_after
                    THEN 1 ELSE 0 END AS agrees,
               CASE WHEN o.is_shared = 1 OR b.quoted_key <> b.reference_key THEN 1 ELSE 0 END AS has_rival
        FROM (SELECT x.transaction_id, x.currency, x.amount_minor, x.transaction_date, x.is_after_cut_off, x.due_sign, x.id_key,
                     x.reference_key, CASE WHEN c.name IS NULL THEN x.name END AS called,
                     CASE WHEN s.number IS NULL AND i.transaction_id IS NULL THEN 0 ELSE 1 END AS is_shared
              FROM {_OUR_KEYS} x
              LEFT JOIN crowded_names c ON c.name = x.name
              LEFT JOIN (SELECT DISTINCT number FROM shared_names) s ON s.number = key_number(x.name, '')
              LEFT JOIN called_ids i ON i.transaction_id = x.transaction_id) o
        FULL OUTER JOIN {_BANK_KEYS} b ON b.name = o.called
        LEFT JOIN tolerances r ON r.currency = o.currency AND r.match_pass = 'reference'
        LEFT JOIN crowded_names q ON q.name = b.quoted_key
        WHERE o.transaction_id IS NULL OR b.line_id IS NULL OR b.strength = 2 OR b.quoted_key IS NULL OR q.name IS NOT NULL
              OR NOT (b.quoted_key = o.id_key OR b.quoted_key = COALESCE(o.reference_key, o.id_key))) p""",
    ),
]

_PAIR = (
    "transaction_id, statement_id, line_id, strength, currency, amount_minor, value_minor, fee_minor, "
    "transaction_date, is_after_cut_off, booking_date"
)
# The pairs settled by name alone; a table of its own would be a copy of nearly all there is.
SETTLED = f"""
    (SELECT {_PAIR} FROM named_by_field WHERE is_settled = 1
     UNION ALL SELECT {_PAIR} FROM settled_after)"""
_CLEARED = [
    ("unsure_fields", "SELECT * FROM named_by_field WHERE is_settled = 0"),
    (
        "shared_payments",
        """
        SELECT key_number(transaction_id, '') AS number FROM unsure_fields WHERE has_rival = 1 AND transaction_id IS NOT NULL AND line_id IS NOT NULL
        GROUP BY key_number(transaction_id, '') HAVING COUNT(*) > 1""",
    ),
    (
        "shared_lines",
        """
        SELECT key_number(statement_id, line_id) AS number FROM unsure_fields WHERE has_rival = 1 AND transaction_id IS NOT NULL AND line_id IS NOT NULL
        GROUP BY key_number(statement_id, line_id) HAVING COUNT(*) > 1""",
    ),
    (
        "cleared",
        """
        SELECT f.*, CASE WHEN p.number IS NULL AND l.number IS NULL THEN 1 ELSE 0 END AS is_alone
        FROM unsure_fields f
        LEFT JOIN shared_payments p ON p.number = key_number(f.transaction_id, '')
        LEFT JOIN shared_lines l ON l.number = key_number(f.statement_id, f.line_id)
        WHERE f.has_rival = 1 AND f.transaction_id IS NOT NULL AND f.line_id IS NOT NULL""",
    ),
    # A table, because DuckDB sorts wide rows faster where it knows how long their texts are, and asks no filter for that.
    ("settled_after", f"SELECT {_PAIR} FROM cleared WHERE agrees = 1 AND is_alone = 1"),
    (
        "unsettled",
        """
        SELECT transaction_id, statement_id || chr(31) || line_id AS line_key, strength
        FROM unsure_fields WHERE has_rival = 0 AND transaction_id IS NOT NULL AND line_id IS NOT NULL
        UNION ALL
        SELECT transaction_id, statement_id || chr(31) || line_id, strength
        FROM cleared WHERE agrees = 0 OR is_alone = 0""",
    ),
    # A settled row has one name and one pair; whatever else has a row here, and was not cleared, is left.
    (
        "left_payments",
        """
        SELECT DISTINCT f.transaction_id FROM unsure_fields f
        WHERE f.transaction_id IS NOT NULL
          AND f.transaction_id NOT IN (SELECT transaction_id FROM settled_after)""",
    ),
    (
        "left_lines",
        """
        SELECT DISTINCT f.statement_id, f.line_id FROM unsure_fields f
        WHERE f.line_id IS NOT NULL
          AND NOT EXISTS (SELECT 1 FROM settled_after c WHERE c.statement_id = f.statement_id AND c.line_id = f.line_id)""",
    ),
]

# The lines left over, and whom they mention in their text where no field of theirs names anybody.
MENTIONED = [
    (
        "booked",
        f"""
        SELECT l.statement_id || chr(31) || l.line_id AS line_key, l.statement_id, l.line_id, l.account, l.currency,
               l.credit_debit_indicator AS direction, l.booking_date, l.fee_charged_minor AS fee_minor, {_GROSS},
               {NO_FILLER.format("l.reference_fold")} AS reference_key, NULLIF(l.quoted_fold, '') AS quoted_key, l.name_key, l.counterparty_name, l.end_to_end_id,
               l.remittance_text AS text
        FROM (SELECT x.*, fold_text(x.end_to_end_id) AS reference_fold, fold_text(x.transaction_id) AS quoted_fold,
                     COALESCE(fold_text(x.counterparty_name), '') AS name_key FROM statement_lines x
              JOIN left_lines k ON k.statement_id = x.statement_id AND k.line_id = x.line_id
              WHERE x.status = 'BOOK') l""",
    ),
    (
        "words",
        """
        SELECT DISTINCT b.line_key, fold_text(split_part(b.text, ' ', n.number)) AS name
        FROM (SELECT x.line_key, translate(x.text, ',;|+():', '       ') AS text FROM booked x
              WHERE x.text IS NOT NULL AND NOT EXISTS (SELECT 1 FROM unsettled f WHERE f.line_key = x.line_key)) b
        JOIN counting n ON n.number <= length(b.text) - length(replace(b.text, ' ', '')) + 1""",
    ),
    (
        "known_words",
        """
        SELECT o.name, o.transaction_id FROM (SELECT transaction_id, reference_key AS name FROM our_names WHERE reference_key IS NOT NULL
              UNION ALL SELECT transaction_id, id_key FROM our_names
              WHERE reference_key IS NULL OR id_key <> reference_key) o
        WHERE length(o.name) >= 5 AND o.name IN (SELECT w.name FROM words w)""",
    ),
    (
        "named",
        """
        SELECT transaction_id, line_key, strength FROM unsettled
        UNION ALL
        SELECT DISTINCT o.transaction_id, w.line_key, 0
        FROM known_words o JOIN words w ON w.name = o.name
        WHERE w.name IN (SELECT x.name FROM (SELECT name, COUNT(*) AS n FROM known_words GROUP BY name) x
                         JOIN (SELECT name, COUNT(*) AS n FROM words GROUP BY name) y ON y.name = x.name
                         WHERE x.n * y.n <= :crowded_pairs)""",
    ),
]

# Our rows left over, and those that are settled but mentioned by another line.
OURS = [
    (
        "merchant_names",
        """
        SELECT merchant_id, fold_text(merchant_name) AS merchant_key,
               CAST(ROUND(COALESCE(reserve_rate, 0.0) * 1000000) AS BIGINT) AS reserve_ppm
        FROM merchants""",
    ),
    ("counterparty_names", "SELECT counterparty_id, fold_text(name) AS counterparty_key FROM counterparties"),
    (
        "known_names",
        """
        SELECT m.merchant_key AS name_key FROM merchant_names m
        WHERE m.merchant_key <> '' AND m.merchant_id IN (SELECT merchant_id FROM transactions)
        UNION SELECT c.counterparty_key FROM counterparty_names c
        WHERE c.counterparty_key <> '' AND c.counterparty_id IN (SELECT counterparty_id FROM transactions)""",
    ),
    (
        "ours",
        f"""
        SELECT t.transaction_id, t.type, t.merchant_id, t.counterparty_id, t.currency, t.destination_currency, t.reference, t.amount_minor,
               CASE WHEN t.type = 'SALE' THEN t.amount_minor * COALESCE(m.reserve_ppm, 0) ELSE 0 END AS held_ppm,
               COALESCE(m.merchant_key, '') AS merchant_key, COALESCE(c.counterparty_key, '') AS counterparty_key,
               utc_day(t.created_at) AS transaction_date, {_AFTER_CUT_OFF}, {_DIRECTION}, CASE WHEN {_IS_DUE} THEN 1 ELSE 0 END AS is_due,
               {NO_FILLER.format("t.reference_fold")} AS reference_key
        FROM (SELECT x.*, fold_text(x.reference) AS reference_fold FROM transactions x
              WHERE x.transaction_id IN (SELECT transaction_id FROM left_payments UNION SELECT transaction_id FROM named)) t
        LEFT JOIN merchant_names m ON m.merchant_id = t.merchant_id
        LEFT JOIN counterparty_names c ON c.counterparty_id = t.counterparty_id""",
    ),
    # reserve_minor: what a payout may hold back of a sale, rounded as the run rounds.
    (
        "due",
        """
        SELECT x.*, whole + CASE WHEN held_ppm % 1000000 > 500000
                                      OR (held_ppm % 1000000 = 500000 AND (:half_up = 1 OR whole % 2 = 1))
                                 THEN 1 ELSE 0 END AS reserve_minor
        FROM (SELECT o.*, CAST(ROUND((held_ppm - held_ppm % 1000000) / CAST(1000000 AS DOUBLE)) AS BIGINT) AS whole
              FROM ours o WHERE is_due = 1) x""",
    ),
]


def reference_steps() -> list[tuple[str, str]]:
    """From both sides to the settled pairs, `named` (transaction_id, line_key, strength) and the rows left of both."""
    return [*KEYS, *SHARED, *FIELDS, *_CLEARED, *MENTIONED, *OURS]
