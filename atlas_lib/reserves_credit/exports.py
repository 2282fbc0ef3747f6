"""The sheets of the room's Excel workbook, in order: columns added up below each, and total rates."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

SHEETS: dict[str, tuple[str, dict[str, tuple[str, str]]]] = {
    "payout_summary": (
        "contract_count receivables_minor merchant_payout_minor client_rr_minor partner_payout_minor "
        "partner_rr_minor purchase_price_minor",
        {
            "reserve_rate": ("client_rr_minor", "purchase_price_minor"),
            "rolling_reserve_rate": ("client_rr_minor", "receivables_minor"),
        },
    ),
    "payout_waterfall": (
        "contract_count receivables_minor partner_payout_minor client_rr_minor residual_minor paid_minor under_way_minor "
        "fees_minor refunds_minor chargebacks_minor prior_balance_minor payable_minor",
        {},
    ),
    "payouts": ("payable_minor paid_minor under_way_minor set_off_minor amount_minor", {}),
    "payout_gates": ("", {}),
    "contract_payments": ("merchant_payout_minor paid_minor under_way_minor open_minor", {}),
    "contracts": (
        "receivable_minor merchant_payout_minor merchant_reserve_minor partner_margin_minor partner_rr_minor "
        "purchase_price_minor",
        {},
    ),
    "subaccounts": ("", {}),
    "subaccount_movements": ("debit_minor credit_minor", {}),
    "reserve_policies": ("", {}),
    "reserve_ladder": ("tranche_count release_minor", {}),
    "reserve_tranches": ("held_minor released_minor drawn_minor balance_minor", {}),
    "reserve_coverage": (
        "held_minor released_minor drawn_minor balance_minor claims_minor shortfall_minor recent_refunds_minor "
        "recent_chargebacks_minor undelivered_minor exposure_minor",
        {"coverage_rate": ("balance_minor", "exposure_minor")},
    ),
    "exposures": ("", {}),
    "concentration": ("exposure_minor", {}),
    "eligibility": (
        "outstanding_minor old_minor cross_aged_minor contra_minor eligible_minor excess_minor base_minor reserve_minor drawn_minor "
        "availability_minor",
        {},
    ),
    "obligors": (
        "contract_count outstanding_minor old_minor cross_aged_minor contra_minor eligible_minor excess_minor",
        {},
    ),
    "obligor_checks": ("", {}),
    "alerts": ("", {}),
    "alert_changes": ("", {}),
    "rounding_control": ("", {}),
}


def name_merchants(tables: Mapping[str, pd.DataFrame], merchants: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables as people read them: the merchant's name behind its id, and payouts by merchant, not by their id.

    A merchant that the input does not list has no name; a table that names its merchants stays as it is.
    """
    names = merchants.set_index("merchant_id")["merchant_name"]
    named = {name: _named(table, names) for name, table in tables.items()}
    if "payouts" in named:
        named["payouts"] = named["payouts"].sort_values(["merchant_id", "currency"], ignore_index=True)
    return named


def _named(table: pd.DataFrame, names: pd.Series) -> pd.DataFrame:
    if "merchant_id" not in table or "merchant_name" in table:
        return table
    at = list(table.columns).index("merchant_id") + 1
    order = [*table.columns[:at], "merchant_name", *table.columns[at:]]
    return table.assign(merchant_name=table["merchant_id"].map(names).astype("str"))[order]
