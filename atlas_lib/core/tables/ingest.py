"""Tables made by 01_ingest."""

from atlas_lib.core.tables.schema import table

_STAGE = "01_ingest"
_SOURCE = """
source_file string - input file the row was read from, relative to the input
source_sheet string - sheet of the workbook; empty for other files
source_row int count row in the sheet or line in the file, counted from 1 as Excel shows it
"""
_PAYMENT = """
merchant_id string - merchant
user_id string - paying customer
type string - SALE, REFUND, CHARGEBACK, FEE or PAYOUT
amount_minor int minor amount in the source currency, always positive
currency string - source currency
destination_currency string - currency the other side receives
source_account string - debited account
destination_account string - credited account
counterparty_id string - bank or processor on the other side
settlement_window string - latest window asked for: RTGS, T0, T1 or T2
status string - PENDING, APPROVED, DECLINED or REFUNDED
created_at instant - when it was made
reference string? - free text, often the end-to-end id
"""
_INDEX = """
transaction_id string - transaction
status string - its status
fraud_score float rate 0 to 1, in steps of 0.0001
fraud_reasons string - reasons joined by "; ", empty when none
policy_flags string - KYC_REQUIRED, AML_PENDING, REGIONAL_LIMIT, BLACKLISTED, SANCTIONS_MATCH joined by "; "
"""

TABLES = [
    table(
        "contracts",
        _STAGE,
        "contract_id",
        "Purchased contracts: one row per contract, amounts as the client's workbook states them.",
        """
contract_id string - contract number
merchant_id string - selling merchant (the client)
merchant_name string - its name
start_date date - first day of the contract
term_months int count number of monthly instalments
premium_minor int minor one instalment
receivable_minor int minor face value bought
valuation_sum_minor int? minor sum the purchase rate is applied to
purchase_rate float? rate purchase_price / valuation_sum
max_purchase_rate float? rate highest purchase rate allowed
reserve_rate float rate share of the purchase price held back
customer_payment_minor int minor already received from the customer
purchase_price_minor int minor paid for the receivable, reserve included
partner_margin_minor int minor receivable - purchase price, paid to the funding partner
merchant_reserve_minor int minor held back from the merchant (Client_RR)
merchant_payout_minor int minor purchase price - reserve, paid to the merchant
obligor_id string? - account debtor who owes the receivable; empty when the input names none
contra_minor int? minor what the merchant owes that debtor in turn; empty when the input does not tell
currency string - ISO 4217 code
"""
        + _SOURCE,
    ),
    table(
        "customer_payments",
        _STAGE,
        "payment_id",
        "Dated payments of the customers on purchased contracts; optional, without them arrears are not told.",
        """
payment_id string - payment
contract_id string - contract it is for
payment_date date - day it was received
amount_minor int minor amount received, always positive
currency string - ISO 4217 code
reference string? - free text, often the end-to-end id
"""
        + _SOURCE,
    ),
    table(
        "merchants",
        _STAGE,
        "merchant_id",
        "Merchants with limit, bank details and status; a merchant named only in contracts is listed with empty details.",
        """
merchant_id string - merchant
merchant_name string - its name
credit_limit_minor int? minor highest exposure allowed; empty when the input gives none
currency string - currency of the limit
iban string? - account paid to
bic string? - its bank
country string? - ISO 3166 code
town string? - town of its address
category string? - what it sells, in words or as a category code
risk_level string - LOW, MEDIUM or HIGH; UNRATED when the input gives none
kyc_status string - COMPLETE, PENDING or EXPIRED; UNKNOWN when the input gives none
onboarding_date date? - first day of the relation
reserve_rate float? rate rolling reserve agreed for its transactions
hold_days int? days days a reserve is held
delivery_days int? days how long after the sale goods or service are delivered; empty counts as at once
is_blocked bool - payouts stopped by a person
counterparty_id string? - bank or processor its money moves through
"""
        + _SOURCE,
    ),
    table(
        "transactions",
        _STAGE,
        "transaction_id",
        "Accepted transactions, duplicates and conflicts left out.",
        """
transaction_id string - transaction
idempotency_key string - key that makes a second submission a duplicate
"""
        + _PAYMENT
        + _SOURCE,
    ),
    table(
        "statement_lines",
        _STAGE,
        "statement_id line_id",
        "Bank statement lines as booked.",
        """
statement_id string - statement
account string - account of the statement
line_id string - line within the statement
transaction_id string? - our transaction, when the bank quotes it
end_to_end_id string? - EndToEndId of the payment
booking_date date - day it was booked
value_date date? - day from which it bears interest
amount_posted_minor int minor booked amount, always positive
fee_charged_minor int minor fee taken on this line
currency string - ISO 4217 code
credit_debit_indicator string - CRDT or DBIT, as seen by the account's owner
status string - BOOK or PDNG
bank_reference string? - the bank's own reference
remittance_text string? - what the payer wrote
counterparty_name string? - other party
"""
        + _SOURCE,
    ),
    table(
        "statement_balances",
        _STAGE,
        "statement_id balance_type",
        "Opening and closing balances of each statement.",
        """
statement_id string - statement
account string - account of the statement
balance_type string - OPBD (opening booked) or CLBD (closing booked)
balance_date date - day of the balance
balance_minor int minor credit balance positive, overdraft negative
currency string - ISO 4217 code
"""
        + _SOURCE,
    ),
    table(
        "fraud_signals",
        _STAGE,
        "fraud_signal_id",
        "Scores from an outside fraud service.",
        """
fraud_signal_id string - signal
transaction_id string - transaction it is about
fraud_score float rate 0 (harmless) to 1 (certain)
model_version string - model that made it
inferred_at instant - when it was made
"""
        + _SOURCE,
    ),
    table(
        "policies",
        _STAGE,
        "policy_id",
        "Compliance rules in force.",
        """
policy_id string - policy
policy_type string - KYC, AML, REGIONAL_LIMIT or BLACKLIST
rule_description string - the rule in words
parameters string - the rule's figures as key=value; key=value
is_active bool - whether it applies
"""
        + _SOURCE,
    ),
    table(
        "sanctions",
        _STAGE,
        "list_name listed_id alias",
        "Sanctioned persons and companies, one row per spelling.",
        """
list_name string - list it stands on
listed_id string - number of the entry on that list
name string - main name of the entry
alias string - the spelling of this row; the main name itself where the row is no alias
weak_aliases string? - spellings too broad to block on, joined by "; "
entity_type string? - individual, vessel, aircraft or empty, as the list says
country string? - first country of its addresses
programme string? - sanctions programme
"""
        + _SOURCE,
    ),
    table(
        "fraud_labels",
        _STAGE,
        "transaction_id",
        "Which past transactions were fraud, and since when that is known.",
        """
transaction_id string - transaction
is_fraud bool - found to be fraud
labelled_at instant - when it became known
"""
        + _SOURCE,
    ),
    table(
        "counterparties",
        _STAGE,
        "counterparty_id",
        "Banks and processors with their limit and alternate route.",
        """
counterparty_id string - counterparty
name string - its name
limit_minor int? minor highest net debit position over all currencies, at the day's rates; empty is unlimited
currency string - currency of the limit
is_available bool - reachable today
alternate_counterparty_id string? - route to take when it is not
"""
        + _SOURCE,
    ),
    table(
        "counterparty_limits",
        _STAGE,
        "counterparty_id currency",
        "Limits of counterparties in one currency, beside their limit over all currencies.",
        """
counterparty_id string - counterparty
currency string - currency that the limit is for, and in
currency_limit_minor int minor highest net debit position in this currency alone
"""
        + _SOURCE,
    ),
    table(
        "liquidity",
        _STAGE,
        "currency",
        "Cash at hand per currency at the start of the day.",
        """
currency string - ISO 4217 code
opening_balance_minor int minor cash at hand
minimum_balance_minor int minor must stay on the account
"""
        + _SOURCE,
    ),
    table(
        "fx_rates",
        _STAGE,
        "date currency",
        "Reference rates, units of the currency per one euro, as the ECB publishes.",
        """
date date - day of the rate
currency string - ISO 4217 code
rate float ratio units of the currency per EUR
"""
        + _SOURCE,
    ),
    table(
        "rejects",
        _STAGE,
        "",
        "Every refused cell with what was expected and found; nothing is dropped in silence.",
        """
source_file string - input file
source_sheet string - sheet; empty for other files
source_row int count row as Excel shows it; 0 when the whole file or sheet is meant
source_entry int? count which of the entries on that line of the file, counted from 1; empty where the line has one
table string - table the row was meant for; empty when unknown
column string - column of the table; empty when the row as a whole is meant
value string - what was found
rule string - short name of the rule that was broken
severity string - error (row refused) or warning (row kept)
message string - what was expected and what to do
""",
    ),
    table(
        "input_sheets",
        _STAGE,
        "source_file source_sheet table",
        "Every sheet and file that was read: which table it is, where its header is, what it gave.",
        """
source_file string - input file
source_sheet string - sheet of the workbook; empty for other files
table string - table it was taken as; empty when it fits none
header_row int count row of the column names, as Excel shows it; 0 where the format has none
area string - cells taken, as B7:P1205, lines of a text file as 7:1205; several joined by "; "
rows_in_count int count data rows; empty and totals rows left out
columns string - table columns found
extra_columns string - columns that are kept out of the tables: unknown or without a name
""",
    ),
    table(
        "sheet_areas",
        _STAGE,
        "source_file source_sheet area use table",
        "Every filled part of every sheet: what was taken as a table, what was left and why.",
        """
source_file string - input file
source_sheet string - sheet of the workbook; empty for other files
area string - cells, as B7:P1205; lines of a text file, as 7:1205
use string - table, above the header, units, totals, repeated header, note, empty, other rows, second table, scaled units or unknown
table string - table it was taken as; empty where it was left
rows_count int count rows taken or left
reason string - why it was left; empty where it was taken
shown string - how its first row begins
""",
    ),
    table(
        "column_statistics",
        _STAGE,
        "table column",
        "Per column of each input table what was read: the first thing to look at in a new file.",
        """
table string - input table
column string - its column
rows_count int count rows read
filled_count int count cells that are not empty
refused_count int count cells refused for an error
distinct_count int count different values among the cells read
lowest string? - smallest value, or the shortest text
highest string? - largest value, or the longest text
mean string? - mean of a number; empty for other kinds
example string? - the commonest value
""",
    ),
    table(
        "refused_cells",
        _STAGE,
        "source_file source_sheet table entry position",
        "The cells of refused rows as they came, for the workbook that is corrected and sent back.",
        """
source_file string - input file
source_sheet string - sheet; empty for other files
source_row int count row or line, as Excel or an editor shows it
source_entry int? count which of the entries on that line of the file, counted from 1; empty where the line has one
table string - table the row was meant for
entry int count refused row of the sheet, counted from 0
position int count column of the sheet, counted from 0; columns that are added come last
column string - column of the table; the header where it is none
header string - column name as the sheet has it
kind string - text, number or moment
value string? - the cell as text
""",
    ),
    table(
        "received_counts",
        _STAGE,
        "table currency",
        "Rows read and refused, per table and currency, counted while reading.",
        """
table string - table
currency string - ISO 4217 code; empty where the table has none or the cell is no currency
rows_in_count int count data rows read
rejected_count int count rows refused for an error
duplicate_count int count rows refused because their key was there already
""",
    ),
    table(
        "submissions",
        _STAGE,
        "source_file source_sheet source_row",
        "Valid transaction rows as submitted, before duplicates are told apart.",
        """
transaction_id string - transaction
idempotency_key string - key as submitted; the transaction id where none was given
fingerprint string - SHA-256 over the business columns: equal for the same body
"""
        + _PAYMENT
        + _SOURCE,
    ),
    table(
        "intake_results",
        _STAGE,
        "source_file source_sheet source_row",
        "Valid transaction rows that were not accepted, with the row that holds their id or key.",
        """
transaction_id string - transaction as submitted
idempotency_key string - key as submitted; the transaction id where none was given
status string - duplicate or conflict
first_transaction_id string - the transaction that holds the key
first_source string - where that one was read (file, sheet, row), or the earlier run
amount_minor int minor amount in the source currency
currency string - source currency
"""
        + _SOURCE,
    ),
    table(
        "screening_findings",
        _STAGE,
        "finding_id",
        "Findings of screening: conflicts, policy rules, AML patterns, sanctions names.",
        """
finding_id string - stable id
transaction_id string? - transaction it is about
merchant_id string? - merchant it is about
user_id string? - user it is about
rule string - rule that fired
severity string - info, warning or high
detail string - what was seen, in words
""",
    ),
    table(
        "fraud_quality",
        _STAGE,
        "score",
        "How well the scores find labelled fraud in the later part of the labelled transactions; empty without labels.",
        """
score string - own observations, or fitted model
is_used bool - whether it is the fraud score of the later transactions
tested_from instant - first instant of the later part; a model is fitted on what was known before
fitted_count int count labelled transactions the model was fitted on
fitted_fraud_count int count fraud among them
tested_count int count labelled transactions it was tested on
tested_fraud_count int count fraud among them
average_precision float rate area under the precision-recall curve
recall_at_100_rate float rate share of the fraud among the 100 highest scores a day
precision_at_100_rate float rate share of fraud among these
target_precision_rate float rate precision asked for
alerts_per_day float count alerts a day at the lowest score whose precision is not below it; 0 where none reaches it
recall_at_target_rate float rate share of the fraud among these
""",
    ),
    table(
        "streaming_index",
        _STAGE,
        "transaction_id",
        "One row per accepted transaction: what is known the moment it arrives.",
        _INDEX + "ingested_at instant - the as-of day's end for batch files\n",
    ),
    table(
        "followed_index",
        _STAGE,
        "transaction_id",
        "The streaming index of `atlas intake`: one part per delivery beside the runs, each accepted transaction once.",
        _INDEX
        + """
ingested_at instant - when it was indexed
delivery_id string - the file or messages it came in
arrived_at instant - when that came: time of the file, or of its last message
delay_seconds float seconds from arrived_at to ingested_at; 0 where the clock was set back between them
""",
    ),
    table(
        "deliveries",
        _STAGE,
        "delivery_id",
        "Everything `atlas intake` took: rows in = accepted + again + duplicate + conflict + rejected.",
        """
delivery_id string - hash of the file's name and content, or of topic, partition and offsets
delivery_number int count order in which they were taken, from 1
source_file string - file, or topic
source_sheet string - partition of the topic; empty for files
first_offset int? count first message; empty for files
last_offset int? count last message; empty for files
content_sha256 string - of the file's bytes, or of the messages
size_bytes int bytes size of the file, or of the messages
status string - taken, or refused as a whole
reason string - why it was refused; empty otherwise
rows_in_count int count payment rows read
accepted_count int count accepted for the first time here: these are in the index
again_count int count accepted earlier from the same file: nothing new happened
duplicate_count int count the same payment from elsewhere, or twice
conflict_count int count the same id or key with another content, held back
rejected_count int count refused for an error, each in rejects
other_count int count rows of other tables; merchants, policies and fraud signals among them count for screening
findings_count int count screening findings made
arrived_at instant - when it came
indexed_at instant - when it was indexed
delay_seconds float seconds between them; 0 where the clock was set back
""",
    ),
    table(
        "control_totals",
        _STAGE,
        "table currency",
        "Rows in = clean + rejected + duplicate, per table and currency.",
        """
table string - table
currency string - ISO 4217 code; empty where the table has none
rows_in_count int count rows read
clean_count int count rows kept
rejected_count int count rows refused
duplicate_count int count duplicates and conflicts
difference_count int count in - clean - rejected - duplicate, must be 0
clean_minor int minor sum of the amount column of the kept rows
duplicate_minor int minor sum of the amount column of duplicates and conflicts
""",
    ),
]
