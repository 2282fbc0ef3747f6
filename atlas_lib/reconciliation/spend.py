"""How customers spend, from the sales of the Final Reconciliation Index; ids are shown only masked."""

from __future__ import annotations

import hashlib
import hmac

import pandas as pd

from atlas_lib.core.engine import open_engine
from atlas_lib.core.errors import SettingsError
from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.core.tables import declared

# Fewer purchases than this make no habit to depart from.
_LEAST_PURCHASES = 5

_STEPS = [
    (
        "purchases",
        """
        SELECT user_id, currency, merchant_id, transaction_id, amount_minor, date,
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
        "spend_anomalies",
        """
        SELECT d.transaction_id, d.user_id, d.merchant_id, d.currency, d.amount_minor, d.typical_amount_minor,
               CAST(s.spread AS BIGINT) AS spread_minor,
               (d.amount_minor - d.typical_amount_minor) / CAST(s.spread AS DOUBLE) AS times_spread, d.date,
               CASE WHEN d.amount_minor >= 10 * d.typical_amount_minor
                    THEN 'More than ten times what the customer typically spends.'
                    ELSE 'Far above what the customer typically spends.' END AS reason
        FROM distances d JOIN spreads s ON s.user_id = d.user_id AND s.currency = d.currency
        WHERE d.amount_minor - d.typical_amount_minor >= :spread_ratio * s.spread""",
    ),
]


def profile_spending(final_index: pd.DataFrame, settings: ReconciliationSettings) -> dict[str, pd.DataFrame]:
    """spend_profiles and spend_anomalies of customers with purchases.

    typical = median purchase; spread = median distance from it, at least a tenth of it; an anomaly lies
    `anomaly_spread_ratio` spreads above, for customers with five purchases or more.
    """
    names = ("spend_profiles", "spend_anomalies")
    if final_index.empty:
        return {name: declared(name).empty() for name in names}
    parameters = {"least_purchases": _LEAST_PURCHASES, "spread_ratio": settings.anomaly_spread_ratio}
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
