"""How merchants perform, read from the Final Reconciliation Index: against the bank, their own past and their peers.

Rates of few payments are uncertain, so each by count comes with its 95 % interval (Wilson 1927, JASA 22: 209-212). Peers of a
merchant are all others of the currency taken together; it stands out where
even the lower end of its interval is above them, with three cases or more.
"""

from __future__ import annotations

import pandas as pd

from atlas_lib.core.engine import Input, open_engine
from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.core.tables import declared

# The normal quantile of a 95 % interval.
_Z = 1.959963984540054
_PAST_MONTHS = 3
# One chargeback of two sales is above any peer, and no pattern yet.
_LEAST_EVENTS = 3


def _wilson(count: str, sign: str) -> str:
    """An end of the interval of count / sales: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)."""
    share = f"({count} / CAST(sale_count AS DOUBLE))"
    spread = f":z * sqrt({share} * (1 - {share}) / sale_count + :z * :z / (4.0 * sale_count * sale_count))"
    end = f"({share} + :z * :z / (2.0 * sale_count) {sign} {spread}) / (1 + :z * :z / sale_count)"
    return f"CASE WHEN sale_count > 0 THEN LEAST(GREATEST({end}, 0.0), 1.0) END"


def _peers(count: str) -> str:
    """count / sales of all other merchants of the currency."""
    others = f"(SUM({count}) OVER (PARTITION BY currency) - {count})"
    sales = "(SUM(sale_count) OVER (PARTITION BY currency) - sale_count)"
    return f"CASE WHEN {sales} > 0 THEN {others} / CAST({sales} AS DOUBLE) END"


_DUE = """
    SELECT f.*, CASE WHEN type = 'SALE' AND status IN ('APPROVED', 'REFUNDED') THEN 1 ELSE 0 END AS is_sale,
           CASE WHEN status = 'APPROVED' OR (type = 'SALE' AND status = 'REFUNDED') THEN 1 ELSE 0 END AS is_due
    FROM final_index f"""
_SUMS = """
    CAST(SUM(is_sale) AS BIGINT) AS sale_count, CAST(SUM(is_sale * amount_minor) AS BIGINT) AS volume_minor,
    CAST(SUM(CASE WHEN type = 'REFUND' THEN is_due ELSE 0 END) AS BIGINT) AS refund_count,
    CAST(SUM(CASE WHEN type = 'REFUND' THEN is_due * amount_minor ELSE 0 END) AS BIGINT) AS refund_minor,
    CAST(SUM(CASE WHEN type = 'CHARGEBACK' THEN is_due ELSE 0 END) AS BIGINT) AS chargeback_count,
    CAST(SUM(CASE WHEN type = 'CHARGEBACK' THEN is_due * amount_minor ELSE 0 END) AS BIGINT) AS chargeback_minor,
    CAST(SUM(CASE WHEN type = 'FEE' THEN is_due * amount_minor ELSE 0 END) + SUM(COALESCE(fee_minor, 0)) AS BIGINT) AS fee_minor"""

# The statements are put together from the texts above; no value is.
_STEPS = [
    (
        "merchant_sums",
        f"""
        SELECT merchant_id, currency, MAX(merchant_name) AS merchant_name, {_SUMS},
               CAST(SUM(CASE WHEN reconciled_status = 'MATCHED' THEN 1 ELSE 0 END) AS BIGINT) AS matched_count,
               CAST(SUM(is_due) AS BIGINT) AS due_count,
               CAST(SUM(ABS(discrepancy_minor)) AS BIGINT) AS open_discrepancy_minor,
               CAST(SUM(CASE WHEN risk_label = 'HIGH' THEN 1 ELSE 0 END) AS BIGINT) AS high_risk_count,
               CAST(SUM(CASE WHEN risk_label = 'HIGH' THEN is_sale ELSE 0 END) AS BIGINT) AS high_risk_sale_count
        FROM ({_DUE}) x GROUP BY merchant_id, currency""",  # noqa: S608
    ),
    (
        "merchant_rates",
        f"""
        SELECT s.*,
               CASE WHEN sale_count > 0
                    THEN CAST(FLOOR((2 * volume_minor + sale_count) / CAST(2 * sale_count AS DOUBLE)) AS BIGINT) END
                    AS average_ticket_minor,
               CASE WHEN volume_minor > 0 THEN refund_minor / CAST(volume_minor AS DOUBLE) END AS refund_rate,
               CASE WHEN sale_count > 0 THEN chargeback_count / CAST(sale_count AS DOUBLE) END AS chargeback_rate,
               {_wilson("chargeback_count", "-")} AS chargeback_low_rate,
               {_wilson("chargeback_count", "+")} AS chargeback_high_rate,
               {_peers("chargeback_count")} AS chargeback_peer_rate,
               {_wilson("refund_count", "-")} AS refunded_low_rate, {_peers("refund_count")} AS refunded_peer_rate,
               CASE WHEN sale_count > 0 THEN high_risk_sale_count / CAST(sale_count AS DOUBLE) END AS fraud_rate,
               {_wilson("high_risk_sale_count", "-")} AS fraud_low_rate,
               {_wilson("high_risk_sale_count", "+")} AS fraud_high_rate,
               {_peers("high_risk_sale_count")} AS fraud_peer_rate,
               CASE WHEN due_count > 0 THEN matched_count / CAST(due_count AS DOUBLE) END AS matched_rate,
               volume_minor - refund_minor - chargeback_minor - fee_minor AS net_settlement_minor
        FROM merchant_sums s""",  # noqa: S608
    ),
    (
        "merchant_kpis",
        """
        SELECT r.*, c.balance_minor AS reserve_minor, e.effective_minor AS exposure_minor,
               rtrim(CASE WHEN chargeback_count >= :least AND chargeback_low_rate > chargeback_peer_rate
                          THEN 'chargebacks ' ELSE '' END
                     || CASE WHEN refund_count >= :least AND refunded_low_rate > refunded_peer_rate
                             THEN 'refunds ' ELSE '' END
                     || CASE WHEN high_risk_sale_count >= :least AND fraud_low_rate > fraud_peer_rate
                             THEN 'fraud' ELSE '' END) AS stands_out
        FROM merchant_rates r
        LEFT JOIN reserve_coverage c ON c.merchant_id = r.merchant_id AND c.currency = r.currency
        LEFT JOIN (SELECT * FROM exposures WHERE scope = 'merchant') e
               ON e.subject_id = r.merchant_id AND e.currency = r.currency""",
    ),
    (
        "month_sums",
        f"""
        SELECT merchant_id, currency, year(date) * 12 + month(date) - 1 AS month_no, {_SUMS}
        FROM ({_DUE}) x GROUP BY merchant_id, currency, year(date) * 12 + month(date) - 1""",  # noqa: S608
    ),
    (
        "month_past",
        """
        SELECT m.*, volume_minor - refund_minor - chargeback_minor - fee_minor AS net_settlement_minor,
               CASE WHEN month_no = year(CAST(:next_day AS DATE)) * 12 + month(CAST(:next_day AS DATE)) - 1 THEN 1 ELSE 0 END
                   AS is_under_way,
               (SELECT CAST(FLOOR(SUM(p.volume_minor) / CAST(:past_months AS DOUBLE) + 0.5) AS BIGINT) FROM month_sums p
                WHERE p.merchant_id = m.merchant_id AND p.currency = m.currency
                  AND p.month_no BETWEEN m.month_no - :past_months AND m.month_no - 1) AS usual_volume_minor,
               (SELECT MIN(p.month_no) FROM month_sums p
                WHERE p.merchant_id = m.merchant_id AND p.currency = m.currency) AS first_month_no
        FROM month_sums m""",
    ),
    (
        "merchant_months",
        """
        SELECT p.*, CAST(FLOOR(month_no / 12.0) AS BIGINT) AS year, month_no % 12 + 1 AS month,
               CASE WHEN is_under_way = 0 AND month_no - first_month_no >= :past_months AND usual_volume_minor > 0
                    THEN volume_minor / CAST(usual_volume_minor AS DOUBLE) - 1 END AS volume_change_rate
        FROM month_past p""",
    ),
]


def merchant_performance(
    final_index: Input, reserve_coverage: pd.DataFrame, exposures: pd.DataFrame, settings: ReconciliationSettings
) -> dict[str, pd.DataFrame]:
    """merchant_kpis, one row per merchant and currency, and merchant_months, one per month as well.

    net settlement = sales - refunds - chargebacks - fees; payouts are not part of it, they pay it out. A sale counts when
    approved, also where it was refunded later. A month's change = volume / mean volume of the three months before - 1, once
    there are three and the month is over.
    """
    names = ("merchant_kpis", "merchant_months")
    inputs = {"final_index": final_index, "reserve_coverage": reserve_coverage, "exposures": exposures}
    next_day = (pd.Timestamp(settings.as_of) + pd.Timedelta(days=1)).date().isoformat()
    parameters = {"z": _Z, "next_day": next_day, "past_months": _PAST_MONTHS, "least": _LEAST_EVENTS}
    tables = open_engine(settings.engine).run(_STEPS, inputs, names, parameters)
    months = tables["merchant_months"]
    starts = pd.to_datetime({"year": months["year"], "month": months["month"], "day": 1})
    tables["merchant_months"] = months.assign(month=starts, is_under_way=months["is_under_way"] == 1)
    return {name: declared(name).shaped(frame) for name, frame in tables.items()}


def rank_merchants(merchant_kpis: pd.DataFrame, currency: str) -> pd.DataFrame:
    """One currency's merchants, largest volume first."""
    own = merchant_kpis[merchant_kpis["currency"] == currency]
    return own.sort_values(["volume_minor", "merchant_id"], ascending=[False, True], ignore_index=True)


def outstanding_merchants(merchant_kpis: pd.DataFrame) -> pd.DataFrame:
    """Merchants whose chargebacks, refunds or flagged sales are above their peers beyond chance, most charged back first."""
    own = merchant_kpis[merchant_kpis["stands_out"] != ""]
    order = ["chargeback_low_rate", "refund_rate", "merchant_id", "currency"]
    return own.sort_values(order, ascending=[False, False, True, True], ignore_index=True)


def volumes_by_month(merchant_months: pd.DataFrame, currency: str, most: int = 5) -> pd.DataFrame:
    """One row per month (`2026-10`, or `2026-10, under way`), one column `<merchant id>_minor` per merchant of the largest volume.

    A month without sales is 0.
    """
    own = merchant_months[merchant_months["currency"] == currency]
    largest = own.groupby("merchant_id")["volume_minor"].sum().sort_values(ascending=False, kind="stable").index[:most]
    month = own["month"].dt.strftime("%Y-%m") + own["is_under_way"].map({True: ", under way", False: ""})
    kept = own.assign(month=month)[own["merchant_id"].isin(largest)]
    wide = kept.pivot_table("volume_minor", "month", "merchant_id", "sum", fill_value=0).reindex(columns=list(largest))
    return wide.add_suffix("_minor").rename_axis(columns=None).rename_axis("month").reset_index()


def main_currency(transactions: pd.DataFrame) -> str:
    """The currency with the most transactions (the first by name among equals); empty without any."""
    counts = transactions["currency"].value_counts().sort_index().sort_values(ascending=False, kind="stable")
    return "" if counts.empty else str(counts.index[0])
