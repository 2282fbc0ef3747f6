"""What clients, banks and processors send in, as 01_ingest cleans it."""

from atlas_lib.core.tables.schema import SOURCE, table

_STAGE = "01_ingest"
PAYMENT = """
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
        + SOURCE,
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
        + SOURCE,
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
        + SOURCE,
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
        + PAYMENT
        + SOURCE,
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
        + SOURCE,
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
        + SOURCE,
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
        + SOURCE,
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
        + SOURCE,
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
        + SOURCE,
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
        + SOURCE,
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
        + SOURCE,
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
        + SOURCE,
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
        + SOURCE,
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
        + SOURCE,
    ),
]
