"""How customers spend, from the sales of the Final Reconciliation Index; ids are shown only masked."""

from __future__ import annotations

import pandas as pd

from atlas_lib.core.engine import Input, open_engine
from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.core.tables import declared

# Fewer purchases, or weeks, than this make no habit to depart from.
_LEAST_PURCHASES = 5
_LEAST_WEEKS = 8
_LEAST_HOURS = 30
# An hour is unusual when fewer than one in fifty of the other purchases lies within two hours of it.
_HOUR_SHARE = 0.02
# Amounts that hardly vary are no reason to call every other amount strange: a spread is at least a tenth.
_LEAST_SPREAD_RATIO = 1.1
# Nor is what a regular customer buys a little above the usual: a large purchase is four typical ones at least.
_LEAST_FACTOR = 4

_HABITS = [
    (
        "sales",
        """
        SELECT user_id, currency, merchant_id, transaction_id, amount_minor, date, hour(created_at) AS hour_no,
               CAST(FLOOR(days_between(CAST('1970-01-05' AS DATE), date) / 7.0) AS BIGINT) AS week_no
        FROM final_index
        WHERE type = 'SALE' AND status IN ('APPROVED', 'REFUNDED') AND user_id <> '' AND amount_minor > 0""",
    ),
    (
        "customers",
        """
        SELECT c.*, ROW_NUMBER() OVER (ORDER BY user_id, currency) AS customer_no
        FROM (SELECT user_id, currency, COUNT(*) AS purchase_count, CAST(SUM(amount_minor) AS BIGINT) AS spend_minor,
                     COUNT(DISTINCT year(date) * 12 + month(date)) AS active_month_count,
                     MAX(amount_minor) AS largest_amount_minor, MAX(date) AS last_purchase_date,
                     percentile_disc(0.5) WITHIN GROUP (ORDER BY amount_minor) AS typical_amount_minor
              FROM sales GROUP BY user_id, currency) c""",
    ),
    (
        "purchases",
        """
        SELECT c.customer_no, c.purchase_count, c.typical_amount_minor, s.merchant_id, s.transaction_id, s.amount_minor,
               s.date, s.hour_no, s.week_no, LN(s.amount_minor / CAST(c.typical_amount_minor AS DOUBLE)) AS distance
        FROM sales s JOIN customers c ON c.user_id = s.user_id AND c.currency = s.currency""",
    ),
    (
        "by_merchant",
        """
        SELECT customer_no, merchant_id, COUNT(*) AS n, SUM(amount_minor) AS spent
        FROM purchases GROUP BY customer_no, merchant_id""",
    ),
    (
        "favourites",
        """
        SELECT customer_no, COUNT(*) AS merchant_count,
               MAX(CASE WHEN place = 1 THEN merchant_id END) || COALESCE(', ' || MAX(CASE WHEN place = 2 THEN merchant_id END), '')
                   || COALESCE(', ' || MAX(CASE WHEN place = 3 THEN merchant_id END), '') AS favourite_merchants
        FROM (SELECT c.*, ROW_NUMBER() OVER (PARTITION BY customer_no ORDER BY n DESC, spent DESC, merchant_id) AS place
              FROM by_merchant c) r
        GROUP BY customer_no""",
    ),
    (
        "bought",
        """
        SELECT customer_no, MAX(CASE WHEN place = 1 THEN category END)
                   || COALESCE(', ' || MAX(CASE WHEN place = 2 THEN category END), '')
                   || COALESCE(', ' || MAX(CASE WHEN place = 3 THEN category END), '') AS favourite_categories
        FROM (SELECT c.*, ROW_NUMBER() OVER (PARTITION BY customer_no ORDER BY n DESC, spent DESC, category) AS place
              FROM (SELECT b.customer_no, m.category, SUM(b.n) AS n, SUM(b.spent) AS spent
                    FROM by_merchant b JOIN merchants m ON m.merchant_id = b.merchant_id
                    WHERE m.category <> '' GROUP BY b.customer_no, m.category) c) r
        GROUP BY customer_no""",
    ),
    (
        "usual_hours",
        """
        SELECT customer_no, hour_no AS typical_hour_no
        FROM (SELECT h.*, ROW_NUMBER() OVER (PARTITION BY customer_no ORDER BY n DESC, hour_no) AS place
              FROM (SELECT customer_no, hour_no, COUNT(*) AS n FROM purchases GROUP BY customer_no, hour_no) h) r
        WHERE place = 1""",
    ),
    (
        "refunds",
        """
        SELECT user_id, currency, COUNT(*) AS refund_count FROM final_index
        WHERE type = 'REFUND' AND status = 'APPROVED' GROUP BY user_id, currency""",
    ),
    (
        "spend_profiles",
        """
        SELECT p.*, CAST(FLOOR((2 * p.spend_minor + p.active_month_count) / CAST(2 * p.active_month_count AS DOUBLE))
                         AS BIGINT) AS monthly_spend_minor,
               f.favourite_merchants, f.merchant_count, h.typical_hour_no,
               COALESCE(b.favourite_categories, '') AS favourite_categories, COALESCE(r.refund_count, 0) AS refund_count
        FROM customers p
        JOIN favourites f ON f.customer_no = p.customer_no
        JOIN usual_hours h ON h.customer_no = p.customer_no
        LEFT JOIN bought b ON b.customer_no = p.customer_no
        LEFT JOIN refunds r ON r.user_id = p.user_id AND r.currency = p.currency""",
    ),
]

_LARGE = [
    (
        "spreads",
        """
        SELECT customer_no, GREATEST(percentile_disc(0.5) WITHIN GROUP (ORDER BY ABS(distance)), LN(:least_spread)) AS spread
        FROM purchases WHERE purchase_count >= :least_purchases GROUP BY customer_no""",
    ),
    (
        "large_purchases",
        """
        SELECT p.*, CAST(FLOOR(p.typical_amount_minor * (EXP(s.spread) - 1) + 0.5) AS BIGINT) AS spread_minor,
               p.distance / s.spread AS times_spread
        FROM purchases p JOIN spreads s ON s.customer_no = p.customer_no
        WHERE p.distance >= :purchase_spread_ratio * s.spread AND p.amount_minor >= :least_factor * p.typical_amount_minor""",
    ),
]

_SPIKES = [
    (
        "weeks",
        """
        SELECT w.*, last_week_no - first_week_no + 1 AS week_count, COUNT(*) OVER (PARTITION BY customer_no) AS active_count,
               ROW_NUMBER() OVER (PARTITION BY customer_no ORDER BY spend_minor, week_no) AS spend_rank
        FROM (SELECT customer_no, week_no, CAST(SUM(amount_minor) AS BIGINT) AS spend_minor,
                     MIN(typical_amount_minor) AS typical_amount_minor,
                     MIN(MIN(week_no)) OVER (PARTITION BY customer_no) AS first_week_no,
                     MAX(MAX(week_no)) OVER (PARTITION BY customer_no) AS last_week_no
              FROM purchases GROUP BY customer_no, week_no) w""",
    ),
    (
        # A week without a purchase counts as 0, so the median is 0 where fewer than half of the weeks have one.
        "usual_weeks",
        """
        SELECT customer_no, COALESCE(MAX(CASE WHEN spend_rank = FLOOR((week_count + 1) / 2.0) - (week_count - active_count)
                                              THEN spend_minor END), 0) AS usual_minor
        FROM weeks WHERE week_count >= :least_weeks GROUP BY customer_no""",
    ),
    (
        # Over the weeks with a purchase; never less than one typical purchase, which is no spike.
        "week_spreads",
        """
        SELECT w.customer_no, u.usual_minor,
               GREATEST(percentile_disc(0.5) WITHIN GROUP (ORDER BY ABS(w.spend_minor - u.usual_minor)),
                        MAX(w.typical_amount_minor)) AS spread_minor
        FROM weeks w JOIN usual_weeks u ON u.customer_no = w.customer_no GROUP BY w.customer_no, u.usual_minor""",
    ),
    (
        # A week that one large purchase explains is said once, by that purchase.
        "spikes",
        """
        SELECT w.customer_no, w.week_no, w.spend_minor, s.usual_minor, s.spread_minor
        FROM weeks w JOIN week_spreads s ON s.customer_no = w.customer_no
        WHERE w.spend_minor - s.usual_minor >= :spread_ratio * s.spread_minor
          AND NOT EXISTS (SELECT 1 FROM large_purchases l WHERE l.customer_no = w.customer_no AND l.week_no = w.week_no)""",
    ),
    (
        "spiky_purchases",
        """
        SELECT p.transaction_id, p.merchant_id, p.date, s.*,
               ROW_NUMBER() OVER (PARTITION BY s.customer_no, s.week_no ORDER BY p.amount_minor DESC, p.transaction_id) AS place
        FROM purchases p JOIN spikes s ON s.customer_no = p.customer_no AND s.week_no = p.week_no""",
    ),
]

_HOURS = [
    (
        "hourly",
        """
        SELECT customer_no, hour_no, COUNT(*) AS hour_count FROM purchases
        WHERE purchase_count >= :least_hours GROUP BY customer_no, hour_no""",
    ),
    (
        "hours",
        """
        SELECT h.customer_no, h.hour_no, CAST(SUM(n.hour_count) AS BIGINT) AS near_count
        FROM hourly h JOIN hourly n ON n.customer_no = h.customer_no
             AND (ABS(n.hour_no - h.hour_no) <= 2 OR ABS(n.hour_no - h.hour_no) >= 22)
        GROUP BY h.customer_no, h.hour_no""",
    ),
    (
        "odd_purchases",
        """
        SELECT p.*, h.near_count - 1 AS near_count
        FROM purchases p JOIN hours h ON h.customer_no = p.customer_no AND h.hour_no = p.hour_no
        WHERE h.near_count - 1 < :hour_share * (p.purchase_count - 1) AND p.amount_minor > p.typical_amount_minor""",
    ),
]

_ANOMALIES = [
    (
        "departures",
        """
        SELECT 'LARGE_PURCHASE' AS kind, transaction_id, customer_no, merchant_id, amount_minor, typical_amount_minor,
               spread_minor, times_spread, date,
               CASE WHEN amount_minor >= 10 * typical_amount_minor
                    THEN 'More than ten times what the customer typically spends.'
                    ELSE 'Far above what the customer typically spends.' END AS reason
        FROM large_purchases
        UNION ALL
        SELECT 'SPEND_SPIKE', transaction_id, customer_no, merchant_id, spend_minor, usual_minor, spread_minor,
               (spend_minor - usual_minor) / CAST(spread_minor AS DOUBLE), date,
               'The week to which this purchase belongs is far above what the customer spends in a week.'
        FROM spiky_purchases WHERE place = 1
        UNION ALL
        SELECT 'UNUSUAL_HOUR', transaction_id, customer_no, merchant_id, amount_minor, typical_amount_minor, NULL, NULL, date,
               'The customer hardly ever buys at this hour: ' || CAST(near_count AS STRING) || ' of '
                   || CAST(purchase_count - 1 AS STRING) || ' other purchases lie within two hours of it.'
        FROM odd_purchases""",
    ),
    (
        "spend_anomalies",
        """
        SELECT d.*, c.user_id, c.currency FROM departures d JOIN customers c ON c.customer_no = d.customer_no""",
    ),
]


def profile_spending(final_index: Input, merchants: Input, settings: ReconciliationSettings) -> dict[str, pd.DataFrame]:
    """spend_profiles and spend_anomalies of customers with purchases, each against the customer's own history. `merchants`
    say in which categories.

    LARGE_PURCHASE: four typical ones at least, and ln(amount / typical) >= `large_purchase_spread_ratio` x spread, where
    typical = median purchase and spread = median |ln(purchase / typical)|, at least ln 1.1 (amounts vary by factors, so the
    distance is one), from five purchases on. SPEND_SPIKE: week - usual >= `anomaly_spread_ratio` x spread, where usual = median week (a week without a purchase is
    0) and spread = median distance from it, at least a typical purchase, from eight weeks on. UNUSUAL_HOUR: above the typical
    amount, fewer than 2 % of the other purchases within two hours (UTC), from thirty purchases on.
    """
    names = ("spend_profiles", "spend_anomalies")
    parameters = {
        "least_purchases": _LEAST_PURCHASES, "spread_ratio": settings.anomaly_spread_ratio, "least_weeks": _LEAST_WEEKS,
        "purchase_spread_ratio": settings.large_purchase_spread_ratio, "least_factor": _LEAST_FACTOR, "least_hours": _LEAST_HOURS, "hour_share": _HOUR_SHARE, "least_spread": _LEAST_SPREAD_RATIO,
    }  # fmt: skip
    steps = [*_HABITS, *_LARGE, *_SPIKES, *_HOURS, *_ANOMALIES]
    tables = open_engine(settings.engine).run(
        steps, {"final_index": final_index, "merchants": merchants}, names, parameters
    )
    return {name: declared(name).shaped(frame) for name, frame in tables.items()}


def top_spenders(spend_profiles: pd.DataFrame, currency: str) -> pd.DataFrame:
    """One currency's customers, largest spend first."""
    own = spend_profiles[spend_profiles["currency"] == currency]
    return own.sort_values(["spend_minor", "user_id"], ascending=[False, True], ignore_index=True)
