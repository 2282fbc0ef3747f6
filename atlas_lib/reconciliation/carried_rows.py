"""Which rows of earlier runs come into this one, by the rules of `carrying`, and whether statements go on.

Tables of earlier runs end in their age: `matches_0` are those of the run before, `matches_1` those of the one before it.
"""

from atlas_lib.core.tables import declared

_OURS = ", ".join(declared("transactions").column_names)
_LINES = ", ".join(declared("statement_lines").column_names)
_LINE = "{0}.statement_id = {1}.statement_id AND {0}.line_id = {1}.line_id"

_COVERED = """
        SELECT a.account, a.currency, a.first_day, a.last_day, o.balance_minor AS opening_minor, c.balance_minor AS closing_minor
        FROM (SELECT account, currency, MIN(day) AS first_day, MAX(day) AS last_day
              FROM (SELECT account, currency, booking_date AS day FROM statement_lines
                    UNION ALL SELECT account, currency, balance_date FROM statement_balances) d
              GROUP BY account, currency) a
        LEFT JOIN (SELECT account, currency, balance_minor,
                          ROW_NUMBER() OVER (PARTITION BY account, currency ORDER BY balance_date, statement_id) AS place
                   FROM statement_balances WHERE balance_type = 'OPBD') o
               ON o.account = a.account AND o.currency = a.currency AND o.place = 1
        LEFT JOIN (SELECT account, currency, balance_minor,
                          ROW_NUMBER() OVER (PARTITION BY account, currency ORDER BY balance_date DESC, statement_id DESC) AS place
                   FROM statement_balances WHERE balance_type = 'CLBD') c
               ON c.account = a.account AND c.currency = a.currency AND c.place = 1"""

# ruff: noqa: S608 - the pieces put together are columns of declared tables and constants of this room
_SIGNED = "CASE WHEN l.credit_debit_indicator = 'CRDT' THEN l.amount_posted_minor ELSE -l.amount_posted_minor END"
_BOOKING = "account, currency, booking_date, credit_debit_indicator, amount_posted_minor"
_SAME_BOOKING = " AND ".join(f"l.{name} = g.{name}" for name in _BOOKING.split(", "))
_BANK_NAME = (
    "CASE WHEN fold_text(bank_reference) IN ('', 'NOTPROVIDED', 'NONREF') THEN NULL ELSE fold_text(bank_reference) END"
)
_KNOWN = [
    ("known_payments", f"SELECT {_OURS} FROM transactions_0 UNION ALL SELECT {_OURS} FROM carried_transactions_0"),
    ("known_lines", f"SELECT {_LINES} FROM statement_lines_0 UNION ALL SELECT {_LINES} FROM carried_lines_0"),
    (
        "open_before",
        """
        SELECT i.side, i.transaction_id, i.statement_id, i.line_id, i.state
        FROM reconciliation_items_0 i
        WHERE i.state <> 'matched' AND i.group_id NOT IN (SELECT break_id FROM states_before WHERE is_settled)""",
    ),
]

# Whether each account's statements go on from those before, and what they book again under another statement.
_CONTINUITY = [
    ("covered_now", _COVERED),
    (
        "booked_again",
        f"""
        SELECT l.account, l.currency, CAST(SUM({_SIGNED}) AS BIGINT) AS moved_minor
        FROM statement_lines l JOIN coverage_before b ON b.account = l.account AND b.currency = l.currency
        WHERE l.status = 'BOOK' AND l.booking_date <= b.covered_to GROUP BY l.account, l.currency""",
    ),
    (
        "continuity",
        """
        SELECT n.account, n.currency, n.first_day,
               CASE WHEN b.account IS NULL THEN 'first'
                    WHEN b.closing_minor IS NULL OR n.opening_minor IS NULL THEN 'unknown'
                    WHEN b.closing_minor = n.opening_minor THEN 'follows'
                    WHEN n.first_day <= b.covered_to AND b.closing_minor = n.opening_minor + COALESCE(a.moved_minor, 0)
                    THEN 'restates' ELSE 'gap' END AS continuity
        FROM covered_now n
        LEFT JOIN coverage_before b ON b.account = n.account AND b.currency = n.currency
        LEFT JOIN booked_again a ON a.account = n.account AND a.currency = n.currency""",
    ),
    (
        "gone_lines",
        f"""
        SELECT k.statement_id, k.line_id, {_BOOKING}, {_BANK_NAME} AS bank_name FROM known_lines k
        WHERE k.status = 'BOOK' AND NOT EXISTS (SELECT 1 FROM statement_lines l WHERE {_LINE.format("l", "k")})""",
    ),
    (
        "new_lines",
        f"""
        SELECT {_BOOKING}, {_BANK_NAME} AS bank_name FROM statement_lines l
        WHERE l.status = 'BOOK' AND NOT EXISTS (SELECT 1 FROM known_lines k WHERE {_LINE.format("l", "k")})""",
    ),
    (
        "restated_lines",
        f"""
        SELECT g.statement_id, g.line_id
        FROM (SELECT x.*, ROW_NUMBER() OVER (PARTITION BY {_BOOKING} ORDER BY statement_id, line_id) AS place
              FROM gone_lines x) g
        JOIN (SELECT {_BOOKING}, COUNT(*) AS line_count FROM new_lines GROUP BY {_BOOKING}) l
             ON {_SAME_BOOKING}
        JOIN continuity c ON c.account = g.account AND c.currency = g.currency
        WHERE g.place <= l.line_count AND g.booking_date >= c.first_day AND c.continuity <> 'follows'
        UNION
        SELECT g.statement_id, g.line_id FROM gone_lines g
        JOIN new_lines l ON {_SAME_BOOKING} AND l.bank_name = g.bank_name""",
    ),
    (
        "statement_coverage",
        """
        SELECT n.account, n.currency, c.continuity,
               CASE WHEN n.last_day < b.covered_to THEN b.covered_to ELSE n.last_day END AS covered_to,
               CASE WHEN n.last_day < b.covered_to THEN b.closing_minor ELSE n.closing_minor END AS closing_minor,
               CASE WHEN c.continuity IN ('follows', 'restates') THEN LEAST(b.covered_from, n.first_day)
                    WHEN n.last_day < b.covered_to THEN b.covered_from ELSE n.first_day END AS covered_from,
               CASE WHEN c.continuity IN ('follows', 'restates') THEN b.run_count + 1 ELSE 1 END AS run_count
        FROM covered_now n
        JOIN continuity c ON c.account = n.account AND c.currency = n.currency
        LEFT JOIN coverage_before b ON b.account = n.account AND b.currency = n.currency
        UNION ALL
        SELECT b.account, b.currency, 'none', b.covered_to, b.closing_minor, b.covered_from, b.run_count
        FROM coverage_before b
        WHERE NOT EXISTS (SELECT 1 FROM covered_now n WHERE n.account = b.account AND n.currency = b.currency)""",
    ),
]

# What this run's lines and open lines name.
_NAMES = [
    (
        "applied_decisions",
        "SELECT entry_id FROM decisions_before WHERE entry_id NOT IN (SELECT entry_id FROM findings_before)",
    ),
    (
        "naming_lines",
        f"""
        SELECT end_to_end_id, transaction_id, remittance_text FROM statement_lines WHERE status = 'BOOK'
        UNION ALL
        SELECT k.end_to_end_id, k.transaction_id, k.remittance_text
        FROM known_lines k JOIN open_before o ON {_LINE.format("o", "k")} AND o.side = 'bank'""",
    ),
    (
        "names",
        """
        SELECT DISTINCT name FROM (
            SELECT fold_text(end_to_end_id) AS name FROM naming_lines UNION ALL SELECT fold_text(transaction_id) FROM naming_lines
            UNION ALL SELECT fold_text(split_part(translate(x.remittance_text, ',;|+():', '       '), ' ', n.number))
            FROM naming_lines x JOIN counting n ON n.number <= length(x.remittance_text) - length(replace(translate(x.remittance_text, ',;|+():', '       '), ' ', '')) + 1
        ) y WHERE length(name) >= 2 AND name NOT IN ('NOTPROVIDED', 'NONREF', 'NONE', 'UNKNOWN')""",
    ),
]

# Matches of earlier runs that this run has to see again, whole; a row counts as its newest run has it.
_NAMED = """
        SELECT {age} AS age, transaction_id FROM transactions_{age}
        WHERE fold_text(transaction_id) IN (SELECT name FROM names) OR fold_text(reference) IN (SELECT name FROM names)
        UNION ALL
        SELECT {age}, transaction_id FROM carried_transactions_{age}
        WHERE fold_text(transaction_id) IN (SELECT name FROM names) OR fold_text(reference) IN (SELECT name FROM names)"""
_KEPT = f"""
        SELECT DISTINCT {{age}} AS age, m.match_id FROM matches_{{age}} m
        LEFT JOIN transactions t ON t.transaction_id = m.transaction_id
        LEFT JOIN statement_lines l ON {_LINE.format("l", "m")}
        LEFT JOIN claimed b ON b.age = {{age}} AND b.transaction_id = m.transaction_id
        LEFT JOIN named_before n ON n.age = {{age}} AND n.transaction_id = m.transaction_id
        LEFT JOIN restated_lines r ON {_LINE.format("r", "m")}
        LEFT JOIN (SELECT DISTINCT p.match_id FROM undone u JOIN matches_{{age}} p ON p.transaction_id = u.transaction_ids
                   JOIN matches_{{age}} q ON q.match_id = p.match_id AND q.statement_id || '/' || q.line_id = u.line_keys) d
               ON d.match_id = m.match_id
        WHERE t.transaction_id IS NOT NULL OR l.line_id IS NOT NULL OR b.transaction_id IS NOT NULL
           OR n.transaction_id IS NOT NULL OR r.line_id IS NOT NULL OR d.match_id IS NOT NULL"""
_KEPT_ROWS = """
        SELECT k.age, k.match_id, m.transaction_id, m.statement_id, m.line_id
        FROM matches_{age} m JOIN kept_matches k ON k.match_id = m.match_id AND k.age = {age}"""
_ITEMS = "SELECT {age} AS age, side, transaction_id, statement_id, line_id FROM reconciliation_items_{age}"
_CARRIED_OURS = """
        SELECT k.*, w.state AS previous_state
        FROM (SELECT {ours} FROM transactions_{age} UNION ALL SELECT {ours} FROM carried_transactions_{age}) k
        JOIN wanted_ours w ON w.transaction_id = k.transaction_id AND w.age = {age}"""
_CARRIED_LINES = f"""
        SELECT k.*, w.state AS previous_state
        FROM (SELECT {{lines}} FROM statement_lines_{{age}} UNION ALL SELECT {{lines}} FROM carried_lines_{{age}}) k
        JOIN wanted_lines w ON {_LINE.format("w", "k")} AND w.age = {{age}}"""
# A matched payment that an open one may repeat is kept with it (`repeats`).
_OPEN_PAYMENTS = """
        SELECT p.transaction_id, p.type, p.currency, p.amount_minor, p.merchant_id, CAST(p.created_at AS DATE) AS day,
               COALESCE(fold_text(p.reference), '') AS reference
        FROM known_payments p JOIN open_before b ON b.transaction_id = p.transaction_id AND b.side = 'ledger'"""
_CLAIMED = """
        SELECT 0 AS age, transaction_id FROM breaks_before WHERE is_open AND is_matched
        UNION
        SELECT 0, p.transaction_id FROM known_payments p
        JOIN open_payments o ON o.merchant_id = p.merchant_id AND o.amount_minor = p.amount_minor AND o.currency = p.currency
                            AND o.type = p.type AND o.day = CAST(p.created_at AS DATE) AND o.transaction_id <> p.transaction_id
                            AND o.reference = COALESCE(fold_text(p.reference), '')"""
_UNDONE = """
        SELECT DISTINCT transaction_ids, line_keys FROM decisions
        WHERE action = 'unmatch' AND entry_id NOT IN (SELECT entry_id FROM applied_decisions)"""
_SUPERSEDED = f"""
        SELECT k.age, k.match_id FROM kept_rows k
        JOIN items i ON i.transaction_id = k.transaction_id AND i.side = 'ledger' AND i.age < k.age
        UNION
        SELECT k.age, k.match_id FROM kept_rows k JOIN items i ON {_LINE.format("i", "k")} AND i.side = 'bank' AND i.age < k.age"""
_STANDING = """
        SELECT k.* FROM kept_rows k
        WHERE NOT EXISTS (SELECT 1 FROM superseded s WHERE s.age = k.age AND s.match_id = k.match_id)"""
_WANTED_OURS = """
        SELECT w.age, w.transaction_id, MIN(w.state) AS state
        FROM (SELECT 0 AS age, transaction_id, state FROM open_before WHERE side = 'ledger'
              UNION ALL SELECT age, transaction_id, 'matched' FROM standing_matches) w
        WHERE NOT EXISTS (SELECT 1 FROM transactions t WHERE t.transaction_id = w.transaction_id)
        GROUP BY w.age, w.transaction_id"""
_WANTED_LINES = f"""
        SELECT w.age, w.statement_id, w.line_id, MIN(w.state) AS state
        FROM (SELECT 0 AS age, statement_id, line_id, state FROM open_before WHERE side = 'bank'
              UNION ALL SELECT age, statement_id, line_id, 'matched' FROM standing_matches) w
        WHERE NOT EXISTS (SELECT 1 FROM statement_lines l WHERE {_LINE.format("l", "w")})
          AND NOT EXISTS (SELECT 1 FROM restated_lines r WHERE {_LINE.format("r", "w")})
        GROUP BY w.age, w.statement_id, w.line_id"""


def carried_steps(run_count: int) -> list[tuple[str, str]]:
    """From the tables of so many earlier runs, newest first, to `carried_transactions` and `carried_lines`."""

    def of_all(sql: str) -> str:
        return " UNION ALL ".join(sql.format(age=age, ours=_OURS, lines=_LINES) for age in range(run_count))

    return [
        *_KNOWN, *_CONTINUITY, *_NAMES,
        ("named_before", of_all(_NAMED)),
        ("open_payments", _OPEN_PAYMENTS),
        ("claimed", _CLAIMED),
        ("undone", _UNDONE),
        ("kept_matches", of_all(_KEPT)),
        ("kept_rows", of_all(_KEPT_ROWS)),
        # Only what is looked for: the items of all runs are many.
        ("items", f"""
        SELECT i.* FROM ({of_all(_ITEMS)}) i
        WHERE i.transaction_id IN (SELECT transaction_id FROM kept_rows) OR i.line_id IN (SELECT line_id FROM kept_rows)"""),
        ("superseded", _SUPERSEDED),
        ("standing_matches", _STANDING),
        ("wanted_ours", _WANTED_OURS),
        ("wanted_lines", _WANTED_LINES),
        ("carried_transactions", of_all(_CARRIED_OURS)),
        ("carried_lines", of_all(_CARRIED_LINES)),
    ]  # fmt: skip
