"""Which tables each page lists, in which columns; and which of them, and what of them, a merchant may see.

A column that stands in no listing is never sent. Account numbers, which refused rows and bridges have, are masked for
whoever may not see bank details (access.shown_as). No listing has the customers' id column; a finding may name a customer
in its words, and is for the office.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from atlas_lib.core.errors import Refused
from atlas_lib.core.tables import SOURCE_COLUMNS
from atlas_lib.reserves_credit.subaccounts import OUR_SUBACCOUNTS


@dataclass(frozen=True)
class Listing:
    """A table on a page. Names with spaces between: `columns`, `choices` (drop-downs), `own` (what a merchant sees of its rows).

    `beside`: those of the columns that are looked for, filtered by and exported, but do not stand on the page.
    `order`: first sorting, `-` is descending; `merchant`: column that holds the merchant, empty where rows have none;
    `days`: columns of dates to filter by; `labels`: headings that are not the column's name; `own_not`: a column and the values of rows that no merchant sees.
    """

    table: str
    title: str
    columns: str
    order: str
    choices: str = ""
    merchant: str = "merchant_id"
    own: str = ""
    own_not: tuple[str, tuple[str, ...]] | None = None
    days: str = ""
    beside: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> list[str]:
        return self.columns.split()

    @property
    def on_page(self) -> list[str]:
        """What stands on a page of the office; an export has `shown`."""
        return [column for column in self.shown if column not in self.beside.split()]

    @property
    def own_shown(self) -> list[str]:
        return self.own.split()


_SOURCE = " ".join(SOURCE_COLUMNS)
MAY_HOLD_ACCOUNTS = (
    "account",
    "value",
    "message",
    "detail",
    "reason",
    "reasons",
    "rival",
    "statement_id",
    "source_file",
    "item_id",
)
LISTINGS: dict[str, Sequence[Listing]] = {
    "01_ingest": (
        Listing("contracts", "Contracts", f"contract_id merchant_id merchant_name start_date term_months receivable_minor merchant_payout_minor merchant_reserve_minor partner_margin_minor currency {_SOURCE}", "contract_id", "currency", beside=_SOURCE, own="contract_id start_date term_months receivable_minor merchant_payout_minor merchant_reserve_minor currency"),
        Listing("screening_findings", "Findings", "finding_id severity rule transaction_id merchant_id detail", "severity", "severity rule"),
        Listing("rejects", "Rows refused and cells noted", f"severity rule table column value message {_SOURCE}", "source_file", "severity rule", merchant="", beside=_SOURCE),
        Listing("intake_results", "Repeated and conflicting submissions", f"transaction_id status first_transaction_id first_source amount_minor currency {_SOURCE}", "transaction_id", "status currency", merchant=""),
    ),
    "02_reserves_credit": (
        Listing("payout_summary", "What each merchant is owed", "merchant_id merchant_name currency contract_count receivables_minor merchant_payout_minor client_rr_minor partner_payout_minor partner_rr_minor status reasons", "-merchant_payout_minor", "status currency", own="currency contract_count receivables_minor merchant_payout_minor client_rr_minor status"),
        Listing("alerts", "Alerts", "severity alert scope subject_id subject_name currency amount_minor detail since", "severity", "severity alert currency", merchant="subject_id"),
        Listing("exposures", "Exposure and limits", "subject_id subject_name scope currency receivables_minor gross_minor effective_minor limit_minor utilisation_rate headroom_minor level", "-utilisation_rate", "scope level currency", merchant="subject_id"),
        Listing("reserve_coverage", "Reserves on sales and their coverage", "merchant_id merchant_name currency reserve_rate hold_days held_minor released_minor drawn_minor balance_minor recent_refunds_minor recent_chargebacks_minor undelivered_minor coverage_rate shortfall_minor", "coverage_rate", "currency", own="currency reserve_rate hold_days held_minor released_minor drawn_minor balance_minor"),
        Listing("subaccounts", "Sub-accounts", "merchant_id currency subaccount movement_count debit_minor credit_minor balance_minor", "merchant_id", "subaccount currency", own="currency subaccount movement_count debit_minor credit_minor balance_minor", own_not=("subaccount", OUR_SUBACCOUNTS)),
        Listing("subaccount_movements", "Movements of the sub-accounts", "merchant_id currency subaccount sequence movement_date movement contract_id transaction_id debit_minor credit_minor balance_minor", "-movement_date", "subaccount movement currency", own="currency subaccount sequence movement_date movement contract_id debit_minor credit_minor balance_minor", own_not=("subaccount", OUR_SUBACCOUNTS)),
        Listing("reserve_tranches", "Reserve tranches", "tranche_id merchant_id source contract_id currency held_on release_date held_minor released_minor drawn_minor balance_minor status", "release_date", "status source currency", own="source contract_id currency held_on release_date held_minor released_minor drawn_minor balance_minor status"),
    ),
    "03_portfolio": (
        Listing("contract_balances", "Contracts and what is outstanding", "contract_id merchant_id merchant_name currency receivable_minor received_minor outstanding_minor first_due_date final_due_date remaining_count", "-outstanding_minor", "currency", own="contract_id currency receivable_minor received_minor outstanding_minor first_due_date final_due_date remaining_count"),
        Listing("schedule", "Instalments", "contract_id merchant_id currency period due_date opening_minor principal_minor interest_minor outstanding_minor", "due_date", "currency", own="contract_id currency period due_date opening_minor principal_minor interest_minor outstanding_minor"),
        Listing("yields", "Yields", "level key name currency contract_count purchase_price_minor gain_minor nominal_rate effective_rate xirr_rate status", "-gain_minor", "level currency", merchant=""),
        Listing("expected_losses", "Expected credit losses", "contract_id merchant_id risk_level stage_no outstanding_minor pd_rate lgd_rate expected_loss_minor currency", "-expected_loss_minor", "risk_level currency"),
        Listing("liquidity_forecast", "Liquidity by day", "currency flow_date known_minor residual_minor position_minor position_low90_minor position_high90_minor", "flow_date", "currency", merchant=""),
    ),
    "04_batching_settlement": (
        Listing("settlements_due", "Due, and the cash expected until then", "currency when until_date item_count pay_minor collect_minor net_minor held_minor expected_position_minor", "moment", "currency", merchant="", labels={"when": "Due", "item_count": "Payments", "pay_minor": "To pay", "collect_minor": "To collect", "held_minor": "Held", "expected_position_minor": "Lowest cash"}),
        Listing("batches", "Batches", "batch_id window settlement_date mode counterparty_id currency transaction_count gross_minor net_minor status", "settlement_date", "window status currency", merchant=""),
        Listing("settlement_schedule", "What each merchant gets, and when", "merchant_id batch_id window due_date net_minor currency status reason", "due_date", "status window currency", own="window due_date net_minor currency status"),
        Listing("deferrals", "What was not settled, and why", "transaction_id reason detail next_window amount_minor currency", "-amount_minor", "reason currency", merchant=""),
        Listing("instructions", "Payments sent to the rail", "instruction_id batch_id counterparty_id window settlement_date transaction_count amount_minor currency", "-amount_minor", "window currency", merchant=""),
        Listing("cost_comparison", "The same payments under each plan", "plan wires_count wire_cost_minor fx_cost_minor deferral_cost_minor total_cost_minor saved_rate gap_rate currency", "total_cost_minor", merchant=""),
    ),
    "05_reconciliation": (
        Listing("breaks", "Breaks", "break_type severity discrepancy_minor currency reason transaction_id merchant_id break_age_days amount_minor value_minor is_open break_date side break_id", "severity", "break_type severity currency is_open", beside="merchant_id break_date side break_id"),
        Listing("suggestions", "Pairs for a person to decide", "transaction_id statement_id line_id amount_minor currency match_score rival_margin rival booking_date", "-match_score", "currency", merchant=""),
        Listing("matches", "Matches", "transaction_id match_pass match_score statement_id line_id booking_date amount_minor value_minor fee_minor currency", "-booking_date", "match_pass currency", merchant=""),
        Listing("final_index", "Final Reconciliation Index", f"transaction_id merchant_id merchant_name type amount_minor currency status created_at risk_label reconciled_status discrepancy_minor settlement_status payout_due_date batch_id {_SOURCE}", "-created_at", "reconciled_status settlement_status type risk_label currency", beside=f"merchant_id status batch_id {_SOURCE}", own="transaction_id type amount_minor currency status created_at reconciled_status settlement_status payout_due_date"),
        Listing("merchant_kpis", "Merchants", "merchant_id merchant_name currency sale_count volume_minor average_ticket_minor refund_rate chargeback_rate fee_minor net_settlement_minor matched_rate", "-net_settlement_minor", "currency", own="currency sale_count volume_minor average_ticket_minor refund_rate chargeback_rate fee_minor net_settlement_minor"),
        Listing("bridges", "Accounts, opening to closing", "account currency opening_minor matched_minor break_minor closing_minor residual_minor line_count status", "account", "status currency", merchant=""),
    ),
}  # fmt: skip
DAILY_LISTINGS = {
    one.table: one
    for one in (
        Listing("daily_reconciliation", "Expected beside posted", "date item_id amount_minor amount_posted_minor discrepancy_minor currency reconciled_status break_type merchant_name credit_debit_indicator type fee_minor account merchant_id transaction_id break_id is_open side", "-date", "account reconciled_status break_type is_open type currency", days="date", beside="account merchant_id transaction_id break_id side", labels={"item_id": "Payment or bank line", "transaction_id": "Names", "amount_minor": "Expected", "amount_posted_minor": "Posted", "credit_debit_indicator": "In or out", "reconciled_status": "Status"}),
        Listing("daily_totals", "Totals", "date account merchant_id merchant_name currency expected_minor posted_minor difference_minor fee_minor waiting_minor fee_claim_minor item_count matched_count waiting_count open_count", "-date", "account currency", days="date", labels={"waiting_minor": "Waited for", "fee_claim_minor": "Fees to claim", "item_count": "Rows", "waiting_count": "Waiting", "open_count": "To decide"}),
    )
}  # fmt: skip
# Pages of the office beside the notebooks: title and tables.
OFFICE_PAGES: dict[str, tuple[str, Sequence[Listing]]] = {
    "customers": ("Customers", (
        Listing("spend_anomalies", "Out of a customer's habit", "kind transaction_id user_id merchant_id amount_minor typical_amount_minor times_spread currency date reason", "-date", "kind currency", days="date", labels={"typical_amount_minor": "Typical", "times_spread": "Spreads above", "user_id": "Customer"}),
        Listing("spend_profiles", "How customers spend", "user_id currency purchase_count spend_minor monthly_spend_minor typical_amount_minor typical_hour_no largest_amount_minor favourite_merchants favourite_categories merchant_count refund_count last_purchase_date", "-spend_minor", "currency", merchant="", beside="favourite_merchants merchant_count refund_count", labels={"user_id": "Customer", "purchase_count": "Purchases", "typical_amount_minor": "Typical", "typical_hour_no": "Typical hour", "favourite_categories": "Buys", "merchant_count": "Merchants", "refund_count": "Refunds"}),
    )),
    "compliance": ("Compliance", (
        Listing("compliance_status", "Whom we may deal with", "status scope subject_id subject_name rules kyc_status aml_status sanctions_status transaction_count flagged_count", "-status", "status scope kyc_status aml_status sanctions_status", merchant="subject_id", labels={"flagged_count": "Flagged"}),
    )),
}  # fmt: skip
# What can be added up, per currency; balances over time and limits cannot.
SUMS = {
    "contracts": "receivable_minor merchant_payout_minor merchant_reserve_minor partner_margin_minor",
    "payout_summary": "receivables_minor merchant_payout_minor client_rr_minor partner_payout_minor partner_rr_minor",
    "reserve_coverage": "held_minor released_minor drawn_minor balance_minor shortfall_minor",
    "subaccount_movements": "debit_minor credit_minor",
    "reserve_tranches": "held_minor released_minor drawn_minor balance_minor",
    "contract_balances": "receivable_minor received_minor outstanding_minor",
    "schedule": "principal_minor interest_minor",
    "expected_losses": "outstanding_minor expected_loss_minor",
    "batches": "gross_minor net_minor",
    "settlement_schedule": "net_minor",
    "deferrals": "amount_minor",
    "instructions": "amount_minor",
    "breaks": "discrepancy_minor",
    "merchant_kpis": "volume_minor fee_minor net_settlement_minor",
    "daily_reconciliation": "fee_minor",
    "daily_totals": "expected_minor posted_minor fee_minor waiting_minor difference_minor fee_claim_minor",
}
# Read only to follow one row down to its cell; on no page of their own.
TRAIL_LISTINGS = {
    one.table: one
    for one in (
        Listing("contract_payments", "Paid", "contract_id merchant_id currency merchant_payout_minor paid_minor under_way_minor open_minor", "contract_id", own="contract_id currency merchant_payout_minor paid_minor under_way_minor open_minor"),
        Listing("batch_lines", "In the batch", "transaction_id batch_id window mode settlement_date amount_minor currency", "transaction_id", merchant=""),
        Listing("merchants", "Merchant", f"merchant_id merchant_name category country risk_level kyc_status onboarding_date credit_limit_minor currency {_SOURCE}", "merchant_id", own="merchant_id merchant_name category country onboarding_date currency"),
    )
}  # fmt: skip
_OFFICE = [one for _, listings in OFFICE_PAGES.values() for one in listings]
_ALL = (
    {one.table: one for one in [*(one for page in LISTINGS.values() for one in page), *_OFFICE]}
    | TRAIL_LISTINGS
    | DAILY_LISTINGS
)


def listing_of(table: str) -> Listing:
    """The listing of a table; Refused for a table that no page lists."""
    if table not in _ALL:
        raise Refused("No page lists this table", found=table, expected="a table of one of the pages")
    return _ALL[table]
