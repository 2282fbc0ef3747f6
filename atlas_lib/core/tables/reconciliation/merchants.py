"""What 05_reconciliation tells of merchants and users: key figures and spending."""

from atlas_lib.core.tables.schema import table

_STAGE = "05_reconciliation"

TABLES = [
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
