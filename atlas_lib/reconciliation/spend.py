"""How customers spend, from the sales of the Final Reconciliation Index; ids are shown only masked."""

from __future__ import annotations

import hashlib
import hmac

import pandas as pd

from atlas_lib.core.engine import Input, open_engine
from atlas_lib.core.errors import SettingsError
from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.core.tables import declared

# Fewer purchases, or weeks, than this make no habit to depart from.
_LEAST_PURCHASES = 5
_LEAST_WEEKS = 8
_LEAST_HOURS = 30
# An hour is unusual when fewer than one purchase in fifty lies within two hours of it.
_HOUR_SHARE = 0.02

_STEPS = [
    (
        "purchases",
        """
        SELECT user_id, currency, merchant_id, transaction_id, amount_minor, date, hour(created_at) AS hour_no,
               CAST(FLOOR(days_between(CAST('1970-01-05' AS DATE), date) / 7.0) AS BIGINT) AS week_no,
               COUNT(*) OVER (PARTITION BY user_id, currency) AS purchase_count,
               ROW_NUMBER() OVER (PARTITION BY user_id, currency ORDER BY amount_minor, transaction_id) AS amount_rank
        FROM final_index WHERE type = 'SALE' AND status IN ('APPROVED', 'REFUNDED') AND user_id <> ''""",
    ),
    (
        "typical",
        """
        SELECT user_id, currency, amount_minor AS typical_amount_minor FROM purchases
        WHERE 2 * amount_rank IN (purchase_count, purchase_count + 1)""",
    ),
    (
        "favourites",
        """
        SELECT user_id, currency, COUNT(*) AS merchant_count,
               MAX(CASE WHEN place = 1 THEN merchant_id END) || COALESCE(', ' || MAX(CASE WHEN place = 2 THEN merchant_id END), '')
                   || COALESCE(', ' || MAX(CASE WHEN place = 3 THEN merchant_id END), '') AS favourite_merchants
        FROM (SELECT c.*, ROW_NUMBER() OVER (PARTITION BY user_id, currency ORDER BY n DESC, spent DESC, merchant_id) AS place
              FROM (SELECT user_id, currency, merchant_id, COUNT(*) AS n, SUM(amount_minor) AS spent
                    FROM purchases GROUP BY user_id, currency, merchant_id) c) r
        GROUP BY user_id, currency""",
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
               t.typical_amount_minor, f.favourite_merchants, f.merchant_count, COALESCE(r.refund_count, 0) AS refund_count
        FROM (SELECT user_id, currency, COUNT(*) AS purchase_count, CAST(SUM(amount_minor) AS BIGINT) AS spend_minor,
                     COUNT(DISTINCT year(date) * 12 + month(date)) AS active_month_count,
                     MAX(amount_minor) AS largest_amount_minor, MAX(date) AS last_purchase_date
              FROM purchases GROUP BY user_id, currency) p
        JOIN typical t ON t.user_id = p.user_id AND t.currency = p.currency
        JOIN favourites f ON f.user_id = p.user_id AND f.currency = p.currency
        LEFT JOIN refunds r ON r.user_id = p.user_id AND r.currency = p.currency""",
    ),
    (
        "distances",
        """
        SELECT p.*, t.typical_amount_minor, ABS(p.amount_minor - t.typical_amount_minor) AS distance_minor,
               ROW_NUMBER() OVER (PARTITION BY p.user_id, p.currency
                   ORDER BY ABS(p.amount_minor - t.typical_amount_minor), p.transaction_id) AS distance_rank
        FROM purchases p JOIN typical t ON t.user_id = p.user_id AND t.currency = p.currency
        WHERE p.purchase_count >= :least_purchases""",
    ),
    (
        "spreads",
        """
        SELECT user_id, currency, GREATEST(distance_minor, (typical_amount_minor - typical_amount_minor % 10) / 10, 1)
                   AS spread
        FROM distances WHERE 2 * distance_rank IN (purchase_count, purchase_count + 1)""",
    ),
    (
        "weeks",
        """
        SELECT w.*, last_week_no - first_week_no + 1 AS week_count, COUNT(*) OVER (PARTITION BY user_id, currency) AS active_count,
               ROW_NUMBER() OVER (PARTITION BY user_id, currency ORDER BY spend_minor, week_no) AS spend_rank
        FROM (SELECT user_id, currency, week_no, CAST(SUM(amount_minor) AS BIGINT) AS spend_minor,
                     MIN(MIN(week_no)) OVER (PARTITION BY user_id, currency) AS first_week_no,
                     MAX(MAX(week_no)) OVER (PARTITION BY user_id, currency) AS last_week_no
              FROM purchases GROUP BY user_id, currency, week_no) w""",
    ),
    (
        # A week without a purchase counts as 0, so the median is 0 where fewer than half of the weeks have one.
        "usual_weeks",
        """
        SELECT user_id, currency, MAX(week_count) AS week_count, MAX(active_count) AS active_count,
               COALESCE(MAX(CASE WHEN spend_rank = FLOOR((week_count + 1) / 2.0) - (week_count - active_count)
                                 THEN spend_minor END), 0) AS usual_minor
        FROM weeks GROUP BY user_id, currency""",
    ),
    (
        "week_distances",
        """
        SELECT w.*, u.usual_minor, ABS(w.spend_minor - u.usual_minor) AS distance_minor,
               ROW_NUMBER() OVER (PARTITION BY w.user_id, w.currency ORDER BY ABS(w.spend_minor - u.usual_minor), w.week_no)
                   AS distance_rank
        FROM weeks w JOIN usual_weeks u ON u.user_id = w.user_id AND u.currency = w.currency
        WHERE u.week_count >= :least_weeks""",
    ),
    (
        # Over the weeks with a purchase; never less than one typical purchase, which is no spike.
        "week_spreads",
        """
        SELECT d.user_id, d.currency, GREATEST(MAX(d.distance_minor), MAX(t.typical_amount_minor), 1) AS spread
        FROM week_distances d JOIN typical t ON t.user_id = d.user_id AND t.currency = d.currency
        WHERE d.distance_rank <= (d.active_count + 1) / 2.0 GROUP BY d.user_id, d.currency""",
    ),
    (
        "largest_of_week",
        """
        SELECT p.*, ROW_NUMBER() OVER (PARTITION BY user_id, currency, week_no ORDER BY amount_minor DESC, transaction_id)
                   AS place FROM purchases p""",
    ),
    (
        "hours",
        """
        SELECT p.user_id, p.currency, p.hour_no, CAST(SUM(n.purchases) AS BIGINT) AS near_count
        FROM (SELECT DISTINCT user_id, currency, hour_no FROM purchases WHERE purchase_count >= :least_hours) p
        JOIN (SELECT user_id, currency, hour_no, COUNT(*) AS purchases FROM purchases GROUP BY user_id, currency, hour_no) n
             ON n.user_id = p.user_id AND n.currency = p.currency
            AND (ABS(n.hour_no - p.hour_no) <= 2 OR ABS(n.hour_no - p.hour_no) >= 22)
        GROUP BY p.user_id, p.currency, p.hour_no""",
    ),
    (
        "spend_anomalies",
        """
        SELECT 'LARGE_PURCHASE' AS kind, d.transaction_id, d.user_id, d.merchant_id, d.currency, d.amount_minor,
               d.typical_amount_minor, CAST(s.spread AS BIGINT) AS spread_minor,
               (d.amount_minor - d.typical_amount_minor) / CAST(s.spread AS DOUBLE) AS times_spread, d.date,
               CASE WHEN d.amount_minor >= 10 * d.typical_amount_minor
                    THEN 'More than ten times what the customer typically spends.'
                    ELSE 'Far above what the customer typically spends.' END AS reason
        FROM distances d JOIN spreads s ON s.user_id = d.user_id AND s.currency = d.currency
        WHERE d.amount_minor - d.typical_amount_minor >= :spread_ratio * s.spread
        UNION ALL
        SELECT 'SPEND_SPIKE', l.transaction_id, l.user_id, l.merchant_id, l.currency, d.spend_minor, d.usual_minor,
               CAST(s.spread AS BIGINT), (d.spend_minor - d.usual_minor) / CAST(s.spread AS DOUBLE), l.date,
               'The week to which this purchase belongs is far above what the customer spends in a week.'
        FROM week_distances d JOIN week_spreads s ON s.user_id = d.user_id AND s.currency = d.currency
        JOIN largest_of_week l ON l.user_id = d.user_id AND l.currency = d.currency AND l.week_no = d.week_no AND l.place = 1
        WHERE d.spend_minor - d.usual_minor >= :spread_ratio * s.spread
        UNION ALL
        SELECT 'UNUSUAL_HOUR', p.transaction_id, p.user_id, p.merchant_id, p.currency, p.amount_minor, t.typical_amount_minor,
               NULL, NULL, p.date, 'The customer hardly ever buys at this hour: ' || CAST(h.near_count AS STRING) || ' of '
                   || CAST(p.purchase_count AS STRING) || ' purchases within two hours of it.'
        FROM purchases p JOIN typical t ON t.user_id = p.user_id AND t.currency = p.currency
        JOIN hours h ON h.user_id = p.user_id AND h.currency = p.currency AND h.hour_no = p.hour_no
        WHERE h.near_count < :hour_share * p.purchase_count AND p.amount_minor > t.typical_amount_minor""",
    ),
]


def profile_spending(final_index: Input, settings: ReconciliationSettings) -> dict[str, pd.DataFrame]:
    """spend_profiles and spend_anomalies of customers with purchases, each against the customer's own history.

    LARGE_PURCHASE: typical = median purchase; spread = median distance from it, at least a tenth of it; the purchase lies
    `anomaly_spread_ratio` spreads above, for customers with five purchases or more. SPEND_SPIKE: the same for the spend of a
    week (weeks without a purchase are 0, spread at least a typical purchase), from eight weeks on. UNUSUAL_HOUR: above the
    typical amount, at an hour (UTC) with fewer than 2 % of the customer's 30 or more purchases within two hours of it.
    """
    names = ("spend_profiles", "spend_anomalies")
    parameters = {
        "least_purchases": _LEAST_PURCHASES, "spread_ratio": settings.anomaly_spread_ratio, "least_weeks": _LEAST_WEEKS,
        "least_hours": _LEAST_HOURS, "hour_share": _HOUR_SHARE,
    }  # fmt: skip
    tables = open_engine(settings.engine).run(_STEPS, {"final_index": final_index}, names, parameters)
    return {name: declared(name).shaped(frame) for name, frame in tables.items()}


def mask_users(frame: pd.DataFrame, key: str) -> pd.DataFrame:
    """The same rows with `user_id` replaced by a keyed hash (HMAC-SHA-256, 12 hexadecimal digits).

    The same user and key give the same mask, so rows can still be joined; without the key a mask cannot
    be made from a guessed id.
    """
    if not key:
        raise SettingsError("No key to mask user ids with", expected="a secret text of any length")
    masks = {u: "user-" + _mask(u, key) for u in frame["user_id"].unique()}
    return frame.assign(user_id=frame["user_id"].map(masks).astype("str"))


def _mask(user_id: str, key: str) -> str:
    return hmac.new(key.encode(), user_id.encode(), hashlib.sha256).hexdigest()[:12]


def top_spenders(spend_profiles: pd.DataFrame, currency: str) -> pd.DataFrame:
    """One currency's customers, largest spend first."""
    own = spend_profiles[spend_profiles["currency"] == currency]
    return own.sort_values(["spend_minor", "user_id"], ascending=[False, True], ignore_index=True)
