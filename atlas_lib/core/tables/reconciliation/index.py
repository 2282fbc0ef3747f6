"""What 05_reconciliation states of every day: the Final Reconciliation Index, its totals, compliance."""

from atlas_lib.core.tables.schema import table

_STAGE = "05_reconciliation"

TABLES = [
    table(
        "final_index",
        _STAGE,
        "transaction_id",
        "The Final Reconciliation Index: one row per transaction with all that is known of it.",
        """
transaction_id string - transaction
merchant_id string - merchant
merchant_name string - its name; empty when the input gives none
user_id string - paying customer
type string - SALE, REFUND, CHARGEBACK, FEE or PAYOUT
amount_minor int minor amount, always positive
currency string - ISO 4217 code
status string - PENDING, APPROVED, DECLINED or REFUNDED
created_at instant - when it was made
fraud_score float rate 0 to 1
fraud_reasons string - reasons joined by "; "
policy_flags string - flags joined by "; "
risk_label string - HIGH, MEDIUM or LOW, from score, flags and the merchant's risk level
reconciled_status string - MATCHED, PARTIAL, UNMATCHED, PENDING, NO_STATEMENT or NOT_EXPECTED
match_pass string? - pass that matched it
match_score float? rate 1 is certain
amount_posted_minor int? minor what the bank booked, net of fee
fee_minor int minor fee the bank kept
discrepancy_minor int minor booked with fee added back - expected
break_type string? - type of its break
break_age_days int? days age of its break
batch_id string? - settlement batch
payout_due_date date? - day its settlement is due
settlement_status string - Pending, Delayed, Completed, Deferred or Not settled
source_file string - input file the row was read from
source_sheet string - sheet of the workbook; empty for other files
source_row int count row in the sheet or line in the file
reconciled_at instant - the end of the as-of day
date date - day of the transaction: the partition the row is stored in
""",
    ),
    table(
        "daily_reconciliation",
        _STAGE,
        "side item_id",
        "Day by day: every payment due at the bank, and every bank line that no payment explains, with expected beside posted.",
        """
side string - payment, or bank (a bank line that no payment explains)
item_id string - transaction, or statement/line
date date - day of the payment, or of the booking
account string - account it was booked on; empty while nothing is booked
transaction_id string? - transaction; of a bank line the one it names
merchant_id string - its merchant; empty where there is none
merchant_name string - the merchant's name
type string - SALE, REFUND, CHARGEBACK, FEE or PAYOUT; empty of a bank line
credit_debit_indicator string - CRDT (money in) or DBIT (money out), as expected, or as booked
amount_minor int minor what was expected; 0 of a bank line
amount_posted_minor int? minor what the bank posted, net of its fee; empty where nothing, or in a foreign currency
fee_minor int minor fee the bank kept
discrepancy_minor int minor posted with fee added back - expected; of a fee variance what the fee is off
currency string - ISO 4217 code
reconciled_status string - MATCHED, PARTIAL, UNMATCHED, PENDING or NO_STATEMENT
break_type string? - type of its gravest break
break_id string? - that break, by which it is decided
is_open bool - a person has to decide
""",
    ),
    table(
        "daily_totals",
        _STAGE,
        "date account merchant_id currency",
        "The daily reconciliation added up; expected = posted + fee + waiting - difference.",
        """
date date - day
account string - account booked on; empty while nothing is booked
merchant_id string - merchant; empty where there is none
merchant_name string - its name
currency string - ISO 4217 code
item_count int count payments, and bank lines that no payment explains
matched_count int count of them matched
waiting_count int count within the grace period, or without a statement
open_count int count that a person has to decide
expected_minor int minor net expected, money in positive
posted_minor int minor net posted, after the bank's fees
fee_minor int minor fees kept from money in
waiting_minor int minor net amount of those still waited for
difference_minor int minor posted + fee + waiting - expected
fee_claim_minor int minor what fees are off from those agreed
""",
    ),
    table(
        "compliance_status",
        _STAGE,
        "scope subject_id",
        "Identity, money-laundering and sanctions status of every merchant and customer.",
        """
scope string - merchant or user
subject_id string - merchant or paying customer; a customer is masked wherever it is shown
subject_name string - the merchant's name; empty for a customer
kyc_status string? - COMPLETE, PENDING, EXPIRED or UNKNOWN; empty for a customer
aml_status string - clear or pending
sanctions_status string - clear or hit
transaction_count int count transactions
flagged_count int count of them with a policy flag
rules string - rules that fired, joined by "; "
status string - stop (sanctions or blacklist), review or clear
""",
    ),
    table(
        "settlements_due",
        _STAGE,
        "currency moment",
        "What has to be paid and collected when, per currency, beside the cash expected until then.",
        """
currency string - ISO 4217 code
moment int count order of the rows
when string - overdue, today, next business day, within a week, or later
until_date date? - its last day; empty for later
item_count int count open settlements and payouts
pay_minor int minor to pay
collect_minor int minor to collect
net_minor int minor collect - pay
held_minor int minor of what is to pay: delayed settlements and blocked payouts
expected_position_minor int? minor lowest cash expected up to then; empty where the forecast does not reach
""",
    ),
]
