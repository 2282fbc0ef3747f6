"""Tables made by 05_reconciliation."""

from dataclasses import replace

from atlas_lib.core.tables import ingest
from atlas_lib.core.tables.schema import Column, Table, table

_STAGE = "05_reconciliation"
_STATE = Column(
    "previous_state", "string", nullable=False, unit="", about="break, pending, uncovered or matched in an earlier run"
)


def _carried(name: str, source: str, about: str) -> Table:
    (given,) = (t for t in ingest.TABLES if t.name == source)
    return replace(given, name=name, stage=_STAGE, about=about, columns=(*given.columns, _STATE))


TABLES = [
    _carried(
        "carried_transactions",
        "transactions",
        "Payments of earlier inputs that the run before left open, or that this input holds only the other side of.",
    ),
    _carried(
        "carried_lines",
        "statement_lines",
        "Bank lines of earlier statements that the run before left open, or that this input holds only the other side of.",
    ),
    table(
        "statement_coverage",
        _STAGE,
        "account currency",
        "From when to when the statements of each account cover without a gap, over this run and those before it.",
        """
account string - bank account
currency string - its currency
covered_from date - first day of the statements that each open where the one before closed
covered_to date - last day
closing_minor int? minor last closing balance; empty when none was given
run_count int count runs that follow each other without a gap, this one included
continuity string - first (no run before), follows (opens where the one before closed), restates (reaches back over it, and agrees with it), gap (neither), unknown (a balance is missing), or none (this input has no statement of it)
""",
    ),
    table(
        "applied_decisions",
        _STAGE,
        "entry_id",
        "Decisions that the run before had applied: they are done with once their rows have left the input.",
        """
entry_id int - ledger entry of the decision
""",
    ),
    table(
        "matches",
        _STAGE,
        "transaction_id statement_id line_id",
        "Pairs of our transactions and bank lines that belong together; a split or merged payment has one row per pair.",
        """
match_id string - the group of rows matched together
transaction_id string - our side
statement_id string - statement of the bank line
line_id string - bank line
match_pass string - pass that found it: reference, split, merge, payout, amount_date, day_sum, one_to_many, many_to_many, scored or manual (forced by a person)
match_score float rate 1 is certain; of a scored pair its probability
rival_margin float rate score minus the score of the best rival; the score itself where there is none
currency string - currency of the transaction
amount_minor int minor our amount in this pair; negative where it counts against the others of its group
value_minor int minor the bank's amount in this pair with its fee (and the reserve, see payout_parts) added back, in the transaction's currency
fee_minor int minor fee the bank kept on this pair
transaction_date date - day of the transaction
booking_date date - day of the bank line
days_late int days open banking days from the transaction (or the day after its cut-off) to the booking
""",
    ),
    table(
        "links",
        _STAGE,
        "statement_id line_id",
        "Bank lines that name a transaction of ours but do not settle it: they disagree, or it is settled already.",
        """
statement_id string - statement of the bank line
line_id string - bank line
transaction_id string - transaction it names
kind string - mismatch (disagrees), further (transaction is matched already) or not_due (not expected at the bank)
same_currency bool - the line is in the transaction's currency
same_direction bool - the money moved the expected way
value_minor int? minor the line with its fee added back, in the transaction's currency; empty without a rate
difference_minor int? minor value - amount
""",
    ),
    table(
        "suggestions",
        _STAGE,
        "transaction_id statement_id line_id",
        "Best bank line for an open transaction that is not sure enough to be taken (a near rival, a scored pair, one sum of several): a person decides.",
        """
transaction_id string - open transaction
statement_id string - statement of the suggested line
line_id string - suggested line
match_pass string - pass that suggests it
group_id string - rows of a sum, which hold only together; empty for a pair alone
currency string - ISO 4217 code
amount_minor int minor our amount
match_score float rate 1 is certain
rival_margin float rate score minus the rival's score
rival string - the rival: another bank line (statement/line), or another transaction; empty where there is none
booking_date date - day of the suggested line
""",
    ),
    table(
        "payout_parts",
        _STAGE,
        "statement_id line_id transaction_id",
        "What each payment is in a payout batch that was found or is suggested: in full, held back as reserve, left from before.",
        """
statement_id string - statement of the payout
line_id string - its line
transaction_id string - payment in it
amount_minor int minor the payment; money in positive, money out negative
reserve_minor int minor held back of it as reserve
is_prior bool - left open by an earlier payout: prior balance
currency string - ISO 4217 code
""",
    ),
    table(
        "payout_waterfalls",
        _STAGE,
        "statement_id line_id",
        "Every line that settles several payments, as a waterfall: sales - refunds - chargebacks - fees - payouts - reserve + prior balance + difference = amount booked.",
        """
statement_id string - statement
line_id string - line
account string - account of the line
booking_date date - day it was booked
counterparty_name string - other party; empty when the bank gives none
end_to_end_id string - its reference: the payout id, where the processor gives one
match_pass string - pass that found it
status string - matched, or suggested
merchant_id string - its merchant; empty where it settles several merchants
first_date date - first day of the payments in it
last_date date - last day
transaction_count int count payments in it
sale_minor int minor sales
refund_minor int minor refunds, subtracted
chargeback_minor int minor chargebacks, subtracted
fee_minor int minor fees charged as payments of their own or on the line, subtracted
payout_minor int minor payouts to merchants, subtracted
reserve_minor int minor reserve held back, subtracted
prior_minor int minor prior balance: what earlier payouts left open
difference_minor int minor what is within the tolerance
net_minor int minor amount booked; money in positive, money out negative
currency string - ISO 4217 code
rival string - of a suggested one: what fits as well
""",
    ),
    table(
        "search_limits",
        _STAGE,
        "match_pass bound currency",
        "What was not searched because a bound was reached: none of these rows was found to have no partner.",
        """
match_pass string - pass: payout, one_to_many, many_to_many or scored
bound string - candidates (more than most_candidates rows fit), parts (more than most_parts rows of one name are open, and sums of so many are not tried), chance (so many sums that one would say nothing), solutions (too many sums fit), lines or rows (more than are tried)
currency string - ISO 4217 code
transaction_count int count payments not searched
line_count int count bank lines not searched
amount_minor int minor their amounts, without sign
""",
    ),
    table(
        "breaks",
        _STAGE,
        "break_id",
        "What does not tie out, one row per break, with type, reason in words, age and severity.",
        """
break_id string - stable id made from side, row and type
break_type string - MISSING_AT_BANK, MISSING_IN_LEDGER, AMOUNT_MISMATCH, FEE_VARIANCE, FX_DIFFERENCE, DUPLICATE, LATE_POSTING, WRONG_SIGN, CURRENCY_MISMATCH, ORPHAN_REFUND or SPLIT_INCOMPLETE
side string - ledger (only we have it), bank (only the bank has it) or both
transaction_id string? - our transaction
merchant_id string? - its merchant
statement_id string? - statement of the (first) bank line
line_id string? - (first) bank line
line_count int count bank lines in this break
account string? - account of the bank line
credit_debit_indicator string - CRDT (money in) or DBIT (money out): as expected, or as booked where only the bank has it
currency string - currency of the amounts
amount_minor int minor what we expected; 0 where only the bank has it
value_minor int minor what the bank booked with its fee added back; negative when it moved the wrong way
discrepancy_minor int minor value - amount; an unrelated currency counts as nothing booked
break_date date - transaction day when it is only ours, else booking day
break_age_days int days from that day to the as-of day
age_bucket string - 0-1, 2-7, 8-30 or over 30 days
severity string - high, medium or low, by amount and age
is_open bool - false for a matched payment that is only worth noting (LATE_POSTING)
is_matched bool - true where the row is matched all the same (LATE_POSTING, FEE_VARIANCE of a declared fee)
reason string - in words
""",
    ),
    table(
        "decisions",
        _STAGE,
        "entry_id",
        "What people decided about matches and breaks, from the ledger, oldest first; replayed on every run.",
        """
entry_id int - ledger entry
action string - force, unmatch, dispute, recheck or write_off
transaction_ids string - our transactions, joined by a blank
line_keys string - bank lines as statement/line, joined by a blank
break_id string - the break; empty for force and unmatch
state string - of a dispute: open, pending evidence, won or lost
reason_code string - of a write-off
amount_minor int minor what the break was about when it was decided; its discrepancy
currency string - ISO 4217 code; empty for a decision without an amount
actor string - who decided
decided_at instant - when
said string - why, in words
""",
    ),
    table(
        "decision_findings",
        _STAGE,
        "entry_id",
        "Decisions that no longer apply to what this run found: a person looks again.",
        """
entry_id int - ledger entry of the decision
action string - what was decided
subject string - break, transactions and lines it is about
actor string - who decided
finding string - why it does not apply
""",
    ),
    table(
        "break_states",
        _STAGE,
        "break_id",
        "Every break of this run and of the one before: whether it is new, and what people decided about it.",
        """
break_id string - break
break_type string - its type
standing string - new (not in the run before), persisting, resolved (its rows are in this run and tie out, or it was written off), or not in this run (its rows are not here: nothing is known)
first_seen_date date - as-of day of the first run that found it, as far back as the runs follow each other
dispute_state string - open, pending evidence, won or lost; empty where not disputed
is_recheck_asked bool - somebody asked for another look
write_off_reason string - reason code; empty where not written off
is_settled bool - written off, at the discrepancy it has
currency string - ISO 4217 code
discrepancy_minor int minor as in this run, else as in the one before
""",
    ),
    table(
        "what_if_differences",
        _STAGE,
        "what subject",
        "Matches and breaks that would differ with the tolerance that notebook 05 tries.",
        """
what string - match or break
subject string - transaction with statement/line, or break_id
present string - pass, or type of the break, as it is; empty where there is none
trial string - the same as it would be
""",
    ),
    table(
        "reconciliation_items",
        _STAGE,
        "side transaction_id statement_id line_id",
        "Every row of both sides exactly once, with what became of it: the proof of completeness.",
        """
side string - ledger or bank
transaction_id string - our transaction; empty on the bank's side
statement_id string - statement; empty on our side
line_id string - bank line; empty on our side
account string - account of the bank line; empty on our side
currency string - ISO 4217 code
amount_minor int minor amount as booked; money in is positive, money out negative
state string - matched, break, pending (still within the grace period) or uncovered (no statement in its currency)
group_id string - match_id or break_id; empty while pending or uncovered
is_carried bool - carried over from the run before: not in this input, and so not in the bridge
""",
    ),
    table(
        "batch_index",
        _STAGE,
        "transaction_id",
        "What reconciliation found for every transaction.",
        """
transaction_id string - transaction
reconciled_status string - MATCHED, PARTIAL (found, but disagrees), UNMATCHED, PENDING (grace period), NO_STATEMENT or NOT_EXPECTED (not due at the bank)
match_pass string? - pass that matched it
match_score float? rate 1 is certain
rival_margin float? rate score minus the best rival's
amount_posted_minor int? minor what the bank booked, net of fee, in the transaction's currency
fee_minor int minor fee the bank kept
discrepancy_minor int minor booked with fee added back - expected
break_type string? - type of its most severe break
break_age_days int? days age of that break
currency string - the transaction's currency
""",
    ),
    table(
        "bridges",
        _STAGE,
        "account currency",
        "Opening balance + matched + breaks = closing balance, per account.",
        """
account string - bank account
currency string - its currency
opening_date date? - day of the first opening balance
closing_date date? - day of the last closing balance
opening_minor int? minor first opening balance
matched_minor int minor booked lines that are matched, money in positive
break_minor int minor booked lines that are breaks, money in positive
closing_minor int? minor last closing balance
residual_minor int? minor closing - opening - matched - breaks, must be 0; empty when a balance is missing
line_count int count booked lines
status string - balanced, residual, no balance, or gap (adds up as a whole, but lines may be missing: see note)
note string - statements that do not open where another closed or do not add up, or an opening elsewhere than the run before closed; else empty
""",
    ),
    table(
        "reconciliation_totals",
        _STAGE,
        "side currency",
        "Both sides, per currency: rows and amounts in = matched + breaks + pending + uncovered.",
        """
side string - ledger or bank
currency string - ISO 4217 code
rows_in_count int count transactions due at the bank, or booked lines
matched_count int count matched
break_count int count in a break
pending_count int count within the grace period
uncovered_count int count without a statement in their currency
difference_count int count in - all states, must be 0
amount_in_minor int minor net amount in, money in positive
matched_minor int minor net amount matched
break_minor int minor net amount in breaks
pending_minor int minor net amount within the grace period
uncovered_minor int minor net amount without a statement
difference_minor int minor in - all states, must be 0
""",
    ),
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
    table(
        "user_rows",
        _STAGE,
        "user_id place",
        "Where the newest payments of each customer stand in the table final_index, so that a look at one customer is quick.",
        """
user_id string - paying customer; masked wherever it is shown
place int count 1 is the newest payment, up to 25
index_row int count row of final_index, from 0
""",
    ),
    table(
        "merchant_kpis",
        _STAGE,
        "merchant_id currency",
        "How each merchant performed, from the Final Reconciliation Index.",
        """
merchant_id string - merchant
merchant_name string - its name; empty when the input gives none
currency string - ISO 4217 code
sale_count int count settled sales
volume_minor int minor their sum
average_ticket_minor int? minor volume / count, rounded
refund_count int count refunds
refund_minor int minor their sum
refund_rate float? rate refunds / sales, by amount
chargeback_count int count chargebacks
chargeback_minor int minor their sum
chargeback_rate float? rate chargebacks / sales, by count
chargeback_low_rate float? rate lower end of its 95 % interval
chargeback_high_rate float? rate upper end
chargeback_peer_rate float? rate the same of all other merchants of the currency together
fraud_rate float? rate sales labelled HIGH / sales, by count
fraud_low_rate float? rate lower end of its 95 % interval
fraud_high_rate float? rate upper end
fraud_peer_rate float? rate the same of all other merchants of the currency together
fee_minor int minor fees charged to the merchant and kept by the bank
net_settlement_minor int minor volume - refunds - chargebacks - fees
matched_count int count transactions proven at the bank
due_count int count transactions expected at the bank
matched_rate float? rate matched / due
open_discrepancy_minor int minor sum of the absolute discrepancies
high_risk_count int count transactions labelled HIGH
reserve_minor int? minor rolling reserve held for its sales; empty without one
exposure_minor int? minor effective exposure from its contracts; empty without any
stands_out string - what lies above its peers beyond chance: chargebacks, refunds, fraud; empty where nothing does
""",
    ),
    table(
        "merchant_months",
        _STAGE,
        "merchant_id currency month",
        "Each merchant's months, and how far each is from the three before.",
        """
merchant_id string - merchant
currency string - ISO 4217 code
month date - first day of the month
sale_count int count settled sales
volume_minor int minor their sum
refund_count int count refunds
refund_minor int minor their sum
chargeback_count int count chargebacks
chargeback_minor int minor their sum
fee_minor int minor fees charged to the merchant and kept by the bank
net_settlement_minor int minor volume - refunds - chargebacks - fees
usual_volume_minor int? minor mean volume of the three months before, a month without sales as 0; empty in the first
volume_change_rate float? rate volume / usual - 1; empty before three months have passed and for a month under way
is_under_way bool - the as-of day is before the last day of the month
""",
    ),
    table(
        "spend_profiles",
        _STAGE,
        "user_id currency",
        "How each customer spends, from the sales of the Final Reconciliation Index.",
        """
user_id string - paying customer; masked wherever it is shown
currency string - ISO 4217 code
purchase_count int count purchases
spend_minor int minor their sum
active_month_count int count months with a purchase
monthly_spend_minor int minor spend / active months, rounded
typical_amount_minor int minor median purchase (the lower one of two)
largest_amount_minor int minor largest purchase
typical_hour_no int count hour of the day (UTC) with the most purchases
favourite_merchants string - up to three merchants, most purchases first
favourite_categories string - up to three categories of merchants, most purchases first; empty where no merchant has one
merchant_count int count merchants bought from
refund_count int count refunds
last_purchase_date date - day of the last purchase
""",
    ),
    table(
        "spend_anomalies",
        _STAGE,
        "kind transaction_id",
        "What departs from the customer's own habit: large purchases, weeks of high spend, unusual hours.",
        """
kind string - LARGE_PURCHASE, SPEND_SPIKE (the largest purchase of the week stands for it) or UNUSUAL_HOUR
transaction_id string - purchase
user_id string - paying customer; masked wherever it is shown
merchant_id string - merchant
currency string - ISO 4217 code
amount_minor int minor the purchase, or the week's spend
typical_amount_minor int minor the customer's median purchase, or median week
spread_minor int? minor what one spread above typical amounts to; empty for an unusual hour
times_spread float? ratio how many spreads above typical; empty for an unusual hour
date date - day of the purchase
reason string - in words
""",
    ),
]
