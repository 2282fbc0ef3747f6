"""Observations: what is unusual about a payment, told from the past of the payment only.

Every observation looks back a bounded time (LOOK_BACK_DAYS at most), never at a later payment; payments of the same
instant come in the order of their ids. So a payment scored as it arrives scores as it does when all are scored at once.

| observation | points (1/10,000 of the score) |
|---|---|
| amount against the user's last 20 (else last 5) payments in that currency: z above 1 | 1,000 x (z - 1), 6,000 at most |
| amount above the highest 0.2 % of the currency's last 30 days | 2,500 at that border, 5,000 at twice its root |
| 4 / 6 / 8 or more payments of the user within 60 minutes | 1,500 / 3,500 / 6,000 |
| 12 or more payments of the user within 24 hours, 48 of them not within the last 13 days | 1,000 |
| first payment in 90 days to this merchant, or in its country, of a user with five in that time | 100, 300 more |
| between 00:00 and 05:00 UTC | 200 |
| merchant, account: this and the previous clock hour 6 times busier than its last week, 10 payments at least | 1,000 each |

z = (root - mean) / spread on square roots of amounts, spread = the larger of their standard deviation and half their
mean: a root damps what a few large payments do to mean and deviation, and half the mean stands for what one person's
purchases vary by anyway. z = 2 is an amount of four times the usual, z = 4 of nine times.
"""

from __future__ import annotations

LOOK_BACK_DAYS = 121  # 90 days of any pattern, 30 more of what a pattern may begin with, and the day itself


def _frequent(key: str, least: int) -> str:
    """The spend of those with so many payments: nothing is told of the others, and a window over fewer rows is cheaper."""
    return f"""(
        SELECT s.* FROM spend s JOIN (SELECT {key} FROM spend GROUP BY {key} HAVING COUNT(*) >= {least}) often
          ON often.{key} = s.{key})"""  # noqa: S608 - the names inserted are the two keys below


# Roots and amounts are whole numbers below 2^53 in every sum, so that both engines add them exactly.
SPEND_STEPS = [
    (
        "spend",
        """
        SELECT p.transaction_id, p.user_key, p.purse_key, p.pair_key, p.currency, p.created_us, m.country,
               CAST(p.amount_minor AS DOUBLE) AS amount,
               CAST(FLOOR(CAST(p.created_us AS DOUBLE) / 86400000000) AS BIGINT) AS day_number,
               FLOOR(16 * SQRT(CAST(p.amount_minor AS DOUBLE))) AS root
        FROM (SELECT transaction_id, merchant_id, currency, amount_minor, epoch_micros(created_at) AS created_us,
                     key_number(user_id, '') AS user_key, key_number(user_id, currency) AS purse_key,
                     key_number(user_id, merchant_id) AS pair_key
              FROM payments WHERE user_id <> '' AND type IN ('SALE', 'REFUND')) p
        LEFT JOIN merchants m ON m.merchant_id = p.merchant_id
        """,
    ),
    (
        "user_amounts",
        f"""
        SELECT transaction_id, root, root_sum / known_count AS mean_root, 256 * amount_sum / known_count AS square
        FROM (
            SELECT transaction_id, root,
                   CASE WHEN us_20 >= created_us - 7776000000000 THEN 20 WHEN us_5 >= created_us - 7776000000000 THEN 5 END AS known_count,
                   CASE WHEN us_20 >= created_us - 7776000000000 THEN root_20 ELSE root_5 END AS root_sum,
                   CASE WHEN us_20 >= created_us - 7776000000000 THEN amount_20 ELSE amount_5 END AS amount_sum
            FROM (
                SELECT transaction_id, created_us, root, LAG(created_us, 5) OVER past AS us_5, LAG(created_us, 20) OVER past AS us_20,
                       SUM(root) OVER past_5 AS root_5, SUM(root) OVER past_20 AS root_20,
                       SUM(amount) OVER past_5 AS amount_5, SUM(amount) OVER past_20 AS amount_20
                FROM {_frequent("purse_key", 6)} f
                WINDOW past AS (PARTITION BY purse_key ORDER BY created_us, transaction_id),
                       past_5 AS (PARTITION BY purse_key ORDER BY created_us, transaction_id ROWS BETWEEN 5 PRECEDING AND 1 PRECEDING),
                       past_20 AS (PARTITION BY purse_key ORDER BY created_us, transaction_id ROWS BETWEEN 20 PRECEDING AND 1 PRECEDING)) w) k
        WHERE 2 * root * known_count > 3 * root_sum
        """,  # noqa: S608 - what is inserted is made above
    ),
    (
        "user_spreads",
        """
        SELECT transaction_id, (root / mean_root) * (root / mean_root) AS times_usual,
               (root - mean_root) / GREATEST(mean_root / 2, SQRT(GREATEST(square - mean_root * mean_root, 0))) AS spreads
        FROM user_amounts WHERE mean_root > 0
        """,
    ),
]

# The border of a day: the lowest root bucket (1/16 of a root wide) among the highest 0.2 % of the day's payments.
POPULATION_STEPS = [
    (
        "day_roots",
        """
        SELECT currency, day_number, FLOOR(root / 16) AS bucket, COUNT(*) AS bucket_count
        FROM spend GROUP BY currency, day_number, FLOOR(root / 16)
        """,
    ),
    (
        "day_borders",
        """
        SELECT currency, day_number, MAX(day_count) AS day_count, MIN(bucket) AS border
        FROM (SELECT currency, day_number, bucket,
                     SUM(bucket_count) OVER (PARTITION BY currency, day_number) AS day_count,
                     SUM(bucket_count) OVER (PARTITION BY currency, day_number ORDER BY bucket DESC) - bucket_count AS above_count
              FROM day_roots) b
        WHERE above_count * 500 < day_count
        GROUP BY currency, day_number
        """,
    ),
    (
        "borders",
        """
        SELECT d.currency, d.day_number, 16 * SUM(b.border) / COUNT(*) AS border_root
        FROM day_borders d JOIN day_borders b
          ON b.currency = d.currency AND b.day_number < d.day_number AND b.day_number >= d.day_number - 30
        GROUP BY d.currency, d.day_number HAVING SUM(b.day_count) >= 5000
        """,
    ),
    (
        "large_payments",
        """
        SELECT s.transaction_id, s.root / b.border_root AS times_border
        FROM spend s JOIN borders b ON b.currency = s.currency AND b.day_number = s.day_number
        WHERE s.root > b.border_root AND b.border_root > 0
        """,
    ),
]

USER_STEPS = [
    (
        "user_past",
        f"""
        SELECT transaction_id, hour_count, is_busy_day,
               CASE WHEN has_history AND COALESCE(pair_us, 0) < created_us - 7776000000000 THEN 1 ELSE 0 END AS is_new_pair
        FROM (
            SELECT *, LAG(created_us) OVER (PARTITION BY pair_key ORDER BY created_us, transaction_id) AS pair_us
            FROM (
                SELECT transaction_id, pair_key, created_us, LAG(created_us, 5) OVER past >= created_us - 7776000000000 AS has_history,
                       CASE WHEN LAG(created_us, 7) OVER past >= created_us - 3600000000 THEN 8
                            WHEN LAG(created_us, 5) OVER past >= created_us - 3600000000 THEN 6
                            WHEN LAG(created_us, 3) OVER past >= created_us - 3600000000 THEN 4 ELSE 0 END AS hour_count,
                       CASE WHEN LAG(created_us, 11) OVER past >= created_us - 86400000000
                             AND COALESCE(LAG(created_us, 47) OVER past, 0) < created_us - 1123200000000 THEN 1 ELSE 0 END AS is_busy_day
                FROM {_frequent("user_key", 4)} f WINDOW past AS (PARTITION BY user_key ORDER BY created_us, transaction_id)) u) p
        WHERE hour_count > 0 OR is_busy_day = 1 OR (has_history AND COALESCE(pair_us, 0) < created_us - 7776000000000)
        """,  # noqa: S608 - what is inserted is made above
    ),
    (
        "countries",
        "SELECT user_key, country, MIN(day_number) AS first_day FROM spend WHERE country IS NOT NULL GROUP BY user_key, country",
    ),
    (
        "abroad",
        """
        SELECT s.transaction_id, s.user_key, s.country, s.day_number, c.first_day
        FROM user_past p JOIN spend s ON s.transaction_id = p.transaction_id
        JOIN countries c ON c.user_key = s.user_key AND c.country = s.country
        WHERE p.is_new_pair = 1 AND (c.first_day = s.day_number OR c.first_day < s.day_number - 90)
        """,
    ),
    (
        "new_countries",
        """
        SELECT a.transaction_id, a.country
        FROM abroad a LEFT JOIN spend s ON a.first_day < a.day_number AND s.user_key = a.user_key AND s.country = a.country
                                       AND s.day_number < a.day_number AND s.day_number >= a.day_number - 90
        WHERE s.transaction_id IS NULL
        """,
    ),
]

# A party's payments per clock hour against the seven days before. Only hours that are busy as a whole can be busy up
# to a payment of theirs, so only their payments are counted through. Kind 1 is a merchant, 2 an account.
_HOUR = "CAST(FLOOR(CAST(epoch_micros(created_at) AS DOUBLE) / 3600000000) AS BIGINT)"
BURST_STEPS = [
    (
        "hourly",
        f"""
        SELECT kind, party_key, hour_number, CAST(FLOOR(CAST(hour_number AS DOUBLE) / 24) AS BIGINT) AS day_number, COUNT(*) AS hour_count
        FROM (
            SELECT 1 AS kind, key_number(merchant_id, '') AS party_key, {_HOUR} AS hour_number FROM payments
            UNION ALL
            SELECT 2 AS kind, key_number(source_account, '') AS party_key, {_HOUR} AS hour_number FROM payments) a
        GROUP BY kind, party_key, hour_number
        """,  # noqa: S608 - what is inserted is made above
    ),
    (
        "weeks_before",
        """
        SELECT kind, party_key, day_number, week_count, days_known FROM (
            SELECT kind, party_key, day_number, SUM(day_count) OVER week_before AS week_count,
                   day_number - MIN(day_number) OVER week_before AS days_known
            FROM (SELECT kind, party_key, day_number, SUM(hour_count) AS day_count FROM hourly GROUP BY kind, party_key, day_number) d
            WINDOW week_before AS (PARTITION BY kind, party_key ORDER BY day_number RANGE BETWEEN 7 PRECEDING AND 1 PRECEDING)) w
        WHERE days_known IS NOT NULL
        """,
    ),
    (
        "busy_hours",
        """
        SELECT h.kind, h.party_key, h.hour_number, COALESCE(b.hour_count, 0) AS previous_count, w.week_count, w.days_known
        FROM hourly h
        JOIN weeks_before w ON w.kind = h.kind AND w.party_key = h.party_key AND w.day_number = h.day_number
        LEFT JOIN hourly b ON b.kind = h.kind AND b.party_key = h.party_key AND b.hour_number = h.hour_number - 1
        WHERE h.hour_count + COALESCE(b.hour_count, 0) >= 10
          AND (h.hour_count + COALESCE(b.hour_count, 0)) * w.days_known * 2 > w.week_count
        """,
    ),
    (
        "bursts",
        f"""
        SELECT transaction_id, kind, previous_count + number_in_hour AS two_hour_count FROM (
            SELECT p.transaction_id, b.kind, b.previous_count, b.days_known, b.week_count,
                   ROW_NUMBER() OVER (PARTITION BY b.kind, b.party_key, b.hour_number ORDER BY p.created_at, p.transaction_id) AS number_in_hour
            FROM payments p JOIN busy_hours b
              ON b.hour_number = {_HOUR.replace("created_at", "p.created_at")}
             AND b.party_key = key_number(CASE WHEN b.kind = 1 THEN p.merchant_id ELSE p.source_account END, '')) n
        WHERE previous_count + number_in_hour >= 10 AND (previous_count + number_in_hour) * days_known * 2 > week_count
        """,  # noqa: S608 - what is inserted is made above
    ),
]

# One row per payment with anything to say; the hour is a fact of the payment alone and joins where the score is made.
OBSERVED_STEPS = [
    (
        "observations",
        """
        SELECT transaction_id, MAX(spreads) AS spreads, MAX(times_usual) AS times_usual, MAX(times_border) AS times_border,
               MAX(hour_count) AS hour_count, MAX(is_busy_day) AS is_busy_day, MAX(is_new_pair) AS is_new_pair, MAX(new_country) AS new_country,
               MAX(merchant_burst) AS merchant_burst, MAX(account_burst) AS account_burst
        FROM (
            SELECT transaction_id, spreads, times_usual, CAST(NULL AS DOUBLE) AS times_border, CAST(NULL AS BIGINT) AS hour_count,
                   CAST(NULL AS BIGINT) AS is_busy_day, CAST(NULL AS BIGINT) AS is_new_pair, CAST(NULL AS STRING) AS new_country,
                   CAST(NULL AS BIGINT) AS merchant_burst, CAST(NULL AS BIGINT) AS account_burst
            FROM user_spreads
            UNION ALL
            SELECT transaction_id, NULL, NULL, times_border, NULL, NULL, NULL, NULL, NULL, NULL FROM large_payments
            UNION ALL
            SELECT transaction_id, NULL, NULL, NULL, hour_count, is_busy_day, is_new_pair, NULL, NULL, NULL FROM user_past
            UNION ALL
            SELECT transaction_id, NULL, NULL, NULL, NULL, NULL, NULL, country, NULL, NULL FROM new_countries
            UNION ALL
            SELECT transaction_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                   CASE WHEN kind = 1 THEN two_hour_count END, CASE WHEN kind = 2 THEN two_hour_count END
            FROM bursts) o
        GROUP BY transaction_id
        """,
    ),
]

STEPS = [*SPEND_STEPS, *POPULATION_STEPS, *USER_STEPS, *BURST_STEPS, *OBSERVED_STEPS]
