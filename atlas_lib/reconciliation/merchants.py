"""How merchants perform, read from the Final Reconciliation Index alone."""

from __future__ import annotations

import pandas as pd

from atlas_lib.core.engine import open_engine
from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.core.tables import declared

_STEPS = [
    (
        "sums",
        """
        SELECT merchant_id, currency, MAX(merchant_name) AS merchant_name,
               SUM(CASE WHEN is_sale THEN 1 ELSE 0 END) AS sale_count,
               CAST(SUM(CASE WHEN is_sale THEN amount_minor ELSE 0 END) AS BIGINT) AS volume_minor,
               SUM(CASE WHEN type = 'REFUND' AND is_due THEN 1 ELSE 0 END) AS refund_count,
               CAST(SUM(CASE WHEN type = 'REFUND' AND is_due THEN amount_minor ELSE 0 END) AS BIGINT) AS refund_minor,
               SUM(CASE WHEN type = 'CHARGEBACK' AND is_due THEN 1 ELSE 0 END) AS chargeback_count,
               CAST(SUM(CASE WHEN type = 'CHARGEBACK' AND is_due THEN amount_minor ELSE 0 END) AS BIGINT)
                   AS chargeback_minor,
               CAST(SUM(CASE WHEN type = 'FEE' AND is_due THEN amount_minor ELSE 0 END) + SUM(fee_minor) AS BIGINT)
                   AS fee_minor,
               SUM(CASE WHEN reconciled_status = 'MATCHED' THEN 1 ELSE 0 END) AS matched_count,
               SUM(CASE WHEN is_due THEN 1 ELSE 0 END) AS due_count,
               CAST(SUM(ABS(discrepancy_minor)) AS BIGINT) AS open_discrepancy_minor,
               SUM(CASE WHEN risk_label = 'HIGH' THEN 1 ELSE 0 END) AS high_risk_count
        FROM (SELECT f.*, type = 'SALE' AND status IN ('APPROVED', 'REFUNDED') AS is_sale,
                     status = 'APPROVED' OR (type = 'SALE' AND status = 'REFUNDED') AS is_due
              FROM final_index f) x
        GROUP BY merchant_id, currency""",
    ),
    (
        "merchant_kpis",
        """
        SELECT s.*,
               CASE WHEN sale_count > 0
                    THEN CAST(FLOOR((2 * volume_minor + sale_count) / CAST(2 * sale_count AS DOUBLE)) AS BIGINT) END
                    AS average_ticket_minor,
               CASE WHEN volume_minor > 0 THEN refund_minor / CAST(volume_minor AS DOUBLE) END AS refund_rate,
               CASE WHEN sale_count > 0 THEN chargeback_count / CAST(sale_count AS DOUBLE) END AS chargeback_rate,
               CASE WHEN due_count > 0 THEN matched_count / CAST(due_count AS DOUBLE) END AS matched_rate,
               volume_minor - refund_minor - chargeback_minor - fee_minor AS net_settlement_minor
        FROM sums s""",
    ),
]


def merchant_performance(final_index: pd.DataFrame, settings: ReconciliationSettings) -> dict[str, pd.DataFrame]:
    """merchant_kpis, one row per merchant and currency.

    net settlement = sales - refunds - chargebacks - fees; payouts are not part of it, they pay it out.
    A sale counts when approved, also where it was refunded later.
    """
    if final_index.empty:
        return {"merchant_kpis": declared("merchant_kpis").empty()}
    tables = open_engine(settings.engine).run(_STEPS, {"final_index": final_index}, ["merchant_kpis"])
    return {"merchant_kpis": declared("merchant_kpis").shaped(tables["merchant_kpis"])}


def rank_merchants(merchant_kpis: pd.DataFrame, currency: str) -> pd.DataFrame:
    """One currency's merchants, largest volume first."""
    own = merchant_kpis[merchant_kpis["currency"] == currency]
    return own.sort_values(["volume_minor", "merchant_id"], ascending=[False, True], ignore_index=True)


def main_currency(transactions: pd.DataFrame) -> str:
    """The currency with the most transactions (the first by name among equals); empty without any."""
    counts = transactions["currency"].value_counts().sort_index().sort_values(ascending=False, kind="stable")
    return "" if counts.empty else str(counts.index[0])
