"""Money-laundering patterns: each found at the payment that completes it, from what came before.

| rule | pattern | parameters of the AML policy (default) |
|---|---|---|
| AML_STRUCTURING | `min_count` payments of one payer just under `threshold`, within `window_days` | threshold (10000), margin_rate (0.1), window_days (7), min_count (3) |
| AML_SPLIT | `split_count` like transfers between the same two accounts within a day | split_count (3), split_ratio (1.5) |
| AML_FAN_IN, AML_FAN_OUT | `fan_count` accounts without a transfer in 30 days pay one account (are paid by it) within `fan_days` | fan_count (10), fan_days (7) |
| AML_CYCLE | money comes back over three or four transfers, each of `pass_rate` of the one before at least | cycle_days (3), pass_rate (0.9) |
| AML_RAPID_IN_OUT | an account sends on what it got within `pass_days`; a user gets a large payment back within a day | pass_days (2), pass_rate (0.9) |
| AML_DORMANT | a payer of large payments silent for `dormant_days` makes `min_count` of them within `window_days` | dormant_days (60) |

Transfers are sales and refunds without a paying customer; payouts and fees are our own payments, and no pattern of
others. A large payment is a tenth of the threshold. An account that gains partners all the time (a shop, a processor) is not a fan: the `fan_count`
partners before these must not have come within twice `fan_days` before them. Whether a partner is new can be told only
where the past is known: some transfer, of whatever accounts, was made 31 to 75 days before; with three times the
longest `fan_days` that is 117 days, so that a batch with its look-back tells it as the whole does. Payments of the same
instant, as bare dates are, come in the order of their ids. A k-th payment
within a window is found by joining payment n with payment n - k + 1, so that no pattern costs more than its payments.
"""

from __future__ import annotations

from collections.abc import Mapping

DAY_US = 86_400_000_000
LARGE_SHARE = 0.1  # of the threshold: from there on a payment is large
DEFAULTS = {
    "threshold": 10_000.0, "margin_rate": 0.1, "window_days": 7.0, "min_count": 3.0, "split_count": 3.0, "split_ratio": 1.5,
    "fan_count": 10.0, "fan_days": 7.0, "cycle_days": 3.0, "pass_days": 2.0, "pass_rate": 0.9, "dormant_days": 60.0,
}  # fmt: skip
LARGEST = {
    "window_days": 30,
    "fan_days": 14,
    "cycle_days": 7,
    "pass_days": 30,
    "dormant_days": 90,
}  # look-back is bounded
_COUNTS = ("min_count", "split_count", "fan_count")


def step_parameters(figures: Mapping[str, float]) -> dict[str, object]:
    """What the statements take: days as microseconds, counts as whole numbers."""
    days = {f"{name.removesuffix('_days')}_us": int(figures[name] * DAY_US) for name in LARGEST}
    return days | {name: int(figures[name]) for name in _COUNTS} | {n: figures[n] for n in ("split_ratio", "pass_rate")}


_PAYERS = [
    (
        "near_threshold",
        """
        SELECT transaction_id, payer, currency, created_us, window_us, min_count,
               ROW_NUMBER() OVER (PARTITION BY payer, currency ORDER BY created_us, transaction_id) AS number
        FROM (SELECT p.transaction_id, CASE WHEN p.user_id <> '' THEN p.user_id ELSE p.source_account END AS payer,
                     p.currency, epoch_micros(p.created_at) AS created_us, l.window_us, l.min_count
              FROM payments p JOIN aml_limits l ON l.currency = p.currency
              WHERE p.amount_minor < l.threshold_minor AND p.amount_minor >= l.floor_minor AND p.type = 'SALE') n
        """,
    ),
    (
        "structured",
        """
        SELECT b.transaction_id, b.payer, b.currency
        FROM near_threshold b JOIN near_threshold a
          ON a.payer = b.payer AND a.currency = b.currency AND a.number = b.number - b.min_count + 1
        WHERE a.created_us >= b.created_us - b.window_us
        """,
    ),
    (
        "large_sales",
        """
        SELECT p.transaction_id, p.user_id, p.merchant_id, p.currency, p.amount_minor, epoch_micros(p.created_at) AS created_us,
               CASE WHEN p.user_id <> '' THEN p.user_id ELSE p.source_account END AS payer
        FROM payments p JOIN aml_limits l ON l.currency = p.currency
        WHERE p.type = 'SALE' AND p.amount_minor >= l.large_minor
        """,
    ),
    (
        "refunded",
        """
        SELECT DISTINCT r.transaction_id, s.user_id AS payer
        FROM large_sales s JOIN payments r ON r.user_id = s.user_id AND r.merchant_id = s.merchant_id AND r.currency = s.currency
        WHERE s.user_id <> '' AND r.type = 'REFUND'
          AND (epoch_micros(r.created_at) > s.created_us OR (epoch_micros(r.created_at) = s.created_us AND r.transaction_id > s.transaction_id))
          AND epoch_micros(r.created_at) <= s.created_us + 86400000000
          AND r.amount_minor <= s.amount_minor AND r.amount_minor >= :pass_rate * s.amount_minor
        """,
    ),
    ("large_payers", "SELECT payer FROM large_sales GROUP BY payer HAVING COUNT(*) >= :min_count"),
    (
        "payer_gaps",
        """
        SELECT p.transaction_id, p.payer, p.amount_minor, p.currency, p.created_us,
               p.created_us - LAG(p.created_us) OVER (PARTITION BY p.payer ORDER BY p.created_us, p.transaction_id) AS gap_us
        FROM (SELECT transaction_id, CASE WHEN user_id <> '' THEN user_id ELSE source_account END AS payer,
                     amount_minor, currency, epoch_micros(created_at) AS created_us
              FROM payments WHERE type = 'SALE') p
        JOIN large_payers l ON l.payer = p.payer
        """,
    ),
    (
        "reawakened",
        """
        SELECT g.transaction_id, g.payer, g.created_us,
               ROW_NUMBER() OVER (PARTITION BY g.payer ORDER BY g.created_us, g.transaction_id) AS number, g.gap_us
        FROM payer_gaps g JOIN aml_limits l ON l.currency = g.currency
        WHERE g.amount_minor >= l.large_minor
        """,
    ),
    (
        "dormant",
        """
        SELECT b.transaction_id, b.payer
        FROM reawakened b JOIN reawakened a ON a.payer = b.payer AND a.number = b.number - :min_count + 1
        WHERE a.gap_us >= :dormant_us AND a.gap_us <= 7776000000000 AND a.created_us >= b.created_us - :window_us
        """,
    ),
]

_TRANSFERS = [
    (
        "transfers",
        """
        SELECT transaction_id, source_account AS sender, destination_account AS receiver, amount_minor, currency, created_us,
               CAST(FLOOR(CAST(created_us AS DOUBLE) / 86400000000) AS BIGINT) AS day_number,
               ROW_NUMBER() OVER (PARTITION BY source_account, destination_account, currency ORDER BY created_us, transaction_id) AS number,
               created_us - LAG(created_us) OVER (PARTITION BY source_account, destination_account ORDER BY created_us, transaction_id) AS gap_us
        FROM (SELECT *, epoch_micros(created_at) AS created_us FROM payments
              WHERE currency IN (SELECT currency FROM aml_limits)
                AND user_id = '' AND type IN ('SALE', 'REFUND')) p
        """,
    ),
    (
        "split",
        """
        SELECT b.transaction_id, b.sender, b.receiver
        FROM transfers b JOIN transfers a ON a.sender = b.sender AND a.receiver = b.receiver AND a.currency = b.currency
                                         AND a.number = b.number - :split_count + 1
        WHERE a.created_us > b.created_us - 86400000000
          AND a.amount_minor <= :split_ratio * b.amount_minor AND b.amount_minor <= :split_ratio * a.amount_minor
        """,
    ),
    (
        "known_days",
        """
        SELECT DISTINCT d.day_number
        FROM (SELECT DISTINCT day_number FROM transfers) d JOIN (SELECT DISTINCT day_number FROM transfers) b
          ON b.day_number >= d.day_number - 75 AND b.day_number <= d.day_number - 31
        """,
    ),
    (
        "new_partners",
        """
        SELECT e.transaction_id, e.direction, e.hub, e.created_us,
               ROW_NUMBER() OVER (PARTITION BY e.direction, e.hub ORDER BY e.created_us, e.transaction_id) AS number
        FROM (
            SELECT transaction_id, 'in' AS direction, receiver AS hub, created_us, day_number, gap_us FROM transfers
            UNION ALL
            SELECT transaction_id, 'out' AS direction, sender AS hub, created_us, day_number, gap_us FROM transfers) e
        JOIN known_days k ON k.day_number = e.day_number
        WHERE COALESCE(e.gap_us, 2592000000001) > 2592000000000
        """,
    ),
    (
        "fans",
        """
        SELECT b.transaction_id, b.direction, b.hub
        FROM new_partners b
        JOIN new_partners a ON a.direction = b.direction AND a.hub = b.hub AND a.number = b.number - :fan_count + 1
        LEFT JOIN new_partners c ON c.direction = a.direction AND c.hub = a.hub AND c.number = a.number - :fan_count
        WHERE a.created_us >= b.created_us - :fan_us AND COALESCE(c.created_us, 0) < a.created_us - 2 * :fan_us
        """,
    ),
    (
        "flows",
        """
        SELECT transaction_id, account, currency, created_us, sent_minor,
               COALESCE(SUM(got_minor) OVER before, 0) + COALESCE(SUM(got_minor) OVER beside, 0) AS got_minor,
               COALESCE(SUM(sent_minor) OVER before, 0) + COALESCE(SUM(sent_minor) OVER beside, 0) AS sent_before_minor
        FROM (
            SELECT transaction_id, receiver AS account, currency, created_us, amount_minor AS got_minor, 0 AS sent_minor FROM transfers
            UNION ALL
            SELECT transaction_id, sender, currency, created_us, 0, amount_minor FROM transfers) f
        WINDOW before AS (PARTITION BY account, currency ORDER BY created_us RANGE BETWEEN :pass_us PRECEDING AND 1 PRECEDING),
               beside AS (PARTITION BY account, currency, created_us ORDER BY transaction_id, sent_minor DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
        """,
    ),
    (
        "passed_on",
        """
        SELECT f.transaction_id, f.account
        FROM flows f JOIN aml_limits l ON l.currency = f.currency
        WHERE f.sent_minor > 0 AND f.got_minor >= l.large_minor
          AND f.sent_before_minor + f.sent_minor >= :pass_rate * f.got_minor
          AND f.sent_before_minor < :pass_rate * f.got_minor AND f.sent_before_minor + f.sent_minor <= 1.1 * f.got_minor
        """,
    ),
]


def _hop(before: str) -> str:
    """One more transfer onward from `before`; at most fifty a day are followed from one account, earliest first."""
    return f"""
        SELECT h.transaction_id, c.start, h.receiver, c.first_us, h.created_us, h.day_number, h.currency, h.amount_minor
        FROM {before} c JOIN day_offsets o ON 1 = 1
        JOIN hops h ON h.sender = c.receiver AND h.currency = c.currency AND h.day_number = c.day_number + o.day_offset
        WHERE (h.created_us > c.created_us OR (h.created_us = c.created_us AND h.transaction_id > c.transaction_id))
          AND h.created_us <= c.first_us + :cycle_us AND c.receiver <> c.start
          AND h.amount_minor <= c.amount_minor AND h.amount_minor >= :pass_rate * c.amount_minor
        """  # noqa: S608 - the name inserted is one of the steps below


_CYCLES = [
    (
        "hops",
        """
        SELECT transaction_id, sender, receiver, amount_minor, currency, created_us, day_number FROM (
            SELECT t.*, ROW_NUMBER() OVER (PARTITION BY t.sender, t.currency, t.day_number ORDER BY t.created_us, t.transaction_id) AS of_day
            FROM transfers t) n
        WHERE of_day <= 50 AND receiver IN (SELECT sender FROM transfers) AND sender IN (SELECT receiver FROM transfers)
        """,
    ),
    ("chain_1", "SELECT transaction_id, sender AS start, receiver, created_us AS first_us, created_us, day_number, currency, amount_minor FROM hops"),
    ("chain_2", _hop("chain_1")),
    ("chain_3", _hop("chain_2")),
    ("chain_4", _hop("chain_3")),
    (
        "cycles",
        """
        SELECT transaction_id, MIN(start) AS start, MIN(hop_count) AS hop_count FROM (
            SELECT transaction_id, start, 3 AS hop_count FROM chain_3 WHERE receiver = start
            UNION ALL
            SELECT transaction_id, start, 4 AS hop_count FROM chain_4 WHERE receiver = start) c
        GROUP BY transaction_id
        """,
    ),
]  # fmt: skip

_HITS = [
    (
        "aml_hits",
        """
        SELECT transaction_id, 'AML_STRUCTURING' AS rule, payer AS subject,
               concat('Payer ', payer, ' pays again and again just under the threshold in ', currency) AS detail
        FROM structured
        UNION ALL
        SELECT transaction_id, 'AML_RAPID_IN_OUT', payer, concat('User ', payer, ' gets a large payment back within a day') FROM refunded
        UNION ALL
        SELECT transaction_id, 'AML_DORMANT', payer, concat('Payer ', payer, ' makes large payments again after a long silence') FROM dormant
        UNION ALL
        SELECT transaction_id, 'AML_SPLIT', receiver, concat('Account ', sender, ' sends like amounts to ', receiver, ' again and again within a day') FROM split
        UNION ALL
        SELECT transaction_id, CASE WHEN direction = 'in' THEN 'AML_FAN_IN' ELSE 'AML_FAN_OUT' END, hub,
               concat('Account ', hub, CASE WHEN direction = 'in' THEN ' is paid by' ELSE ' pays' END, ' many accounts that are new to it')
        FROM fans
        UNION ALL
        SELECT transaction_id, 'AML_RAPID_IN_OUT', account, concat('Account ', account, ' sends on what it got within days') FROM passed_on
        UNION ALL
        SELECT transaction_id, 'AML_CYCLE', start, concat('Money comes back to account ', start, ' over ', CAST(hop_count AS STRING), ' transfers') FROM cycles
        """,
    ),
]  # fmt: skip

STEPS = [*_PAYERS, *_TRANSFERS, *_CYCLES, *_HITS]
