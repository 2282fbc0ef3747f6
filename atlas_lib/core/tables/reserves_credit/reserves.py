"""What 02_reserves_credit holds back: subaccounts, tranches, their release and cover."""

from atlas_lib.core.tables.schema import table

_STAGE = "02_reserves_credit"

TABLES = [
    table(
        "subaccounts",
        _STAGE,
        "merchant_id currency subaccount",
        "Balances of each merchant's sub-accounts, read from the ledger.",
        """
merchant_id string - merchant
currency string - ISO 4217 code
subaccount string - Factoring, Settlement, Client RR, Rolling Reserve (on sales), Partner or Partner RR
account string - account code in the ledger
movement_count int count postings
debit_minor int minor sum of debits
credit_minor int minor sum of credits
balance_minor int minor positive on the account's own side: Factoring is owed to us, the others we owe
""",
    ),
    table(
        "subaccount_movements",
        _STAGE,
        "merchant_id currency subaccount sequence",
        "Every posting on the sub-accounts in ledger order, with the running balance.",
        """
merchant_id string - merchant
currency string - ISO 4217 code
subaccount string - Factoring, Settlement, Client RR, Rolling Reserve (on sales), Partner or Partner RR
sequence int count 1 for the first movement of the sub-account
movement_date date - day of the booking
transaction_id string - transaction in the ledger
contract_id string - contract it belongs to; empty for payouts and reserve movements
movement string - purchase, reversal of an earlier booking, hold, release, draw, payout or payout returned
debit_minor int minor debit
credit_minor int minor credit
balance_minor int minor running balance, positive on the account's own side
""",
    ),
    table(
        "reserve_tranches",
        _STAGE,
        "tranche_id",
        "One tranche per hold: Client_RR of a purchased contract, or the rolling reserve of a merchant's sales of a day.",
        """
tranche_id string - stable id
merchant_id string - merchant
currency string - ISO 4217 code
source string - contract or sales
contract_id string? - contract, for source contract
base_minor int minor amount the reserve is a share of: purchase price, or net sales of the day
held_minor int minor amount held back
held_on date - day of the hold
release_date date - business day from which it is free
released_minor int minor released on schedule up to the as-of day
drawn_minor int minor used for refunds and chargebacks
balance_minor int minor held - released - drawn
status string - held, due (a person or a floor keeps it back), released or drawn
""",
    ),
    table(
        "reserve_movements",
        _STAGE,
        "tranche_id movement_date movement",
        "Every hold, release and draw of every tranche.",
        """
tranche_id string - tranche
merchant_id string - merchant
currency string - ISO 4217 code
source string - contract or sales
movement_date date - day of the movement
movement string - hold, release or draw
amount_minor int minor size of the movement, positive
""",
    ),
    table(
        "reserve_ladder",
        _STAGE,
        "currency source month",
        "What frees up in which month, if nothing more is drawn.",
        """
currency string - ISO 4217 code
source string - contract or sales
month date - first day of the month; what is already due counts in the as-of month
tranche_count int count tranches that end
release_minor int minor balance that frees up
remaining_minor int minor still held after the month
""",
    ),
    table(
        "reserve_coverage",
        _STAGE,
        "merchant_id currency",
        "Rolling reserve of each merchant's sales against what it has to cover: refunds, chargebacks, and what is not delivered yet.",
        """
merchant_id string - merchant
merchant_name string - its name; its id when the input does not list it
currency string - ISO 4217 code
reserve_rate float rate policy: share of net sales held
hold_days int days policy: days held
delivery_days int? days how long after the sale the merchant delivers; empty counts as at once
held_minor int minor holds up to the as-of day
released_minor int minor releases
drawn_minor int minor draws
balance_minor int minor held - released - drawn
claims_minor int minor refunds and chargebacks, all
shortfall_minor int minor claims - draws: what the reserve could not pay
recent_refunds_minor int minor refunds of the last hold_days days
recent_chargebacks_minor int minor chargebacks of the last hold_days days
undelivered_minor int minor sales of the last delivery_days days, less what was refunded or charged back of them; 0 without delivery_days
exposure_minor int minor recent refunds + recent chargebacks + undelivered
coverage_rate float? rate balance / exposure; empty when there is none
undrawn_balance_minor int minor balance if nothing had been drawn or capped
recent_base_minor int minor sales the reserve is a share of, of the last hold_days days
steady_minor int minor steady-state check: reserve_rate x mean daily base x hold_days, near the undrawn balance
""",
    ),
    table(
        "reserve_flows",
        _STAGE,
        "merchant_id currency day",
        "Settled sales and fees of each merchant by day: what the rolling reserve is a share of.",
        """
merchant_id string - merchant
currency string - ISO 4217 code
day date - UTC day
sales_minor int minor sales
fees_minor int minor fees
source string - input, ledger (an earlier run counted the day, this input does not hold it) or both
""",
    ),
    table(
        "reserve_claims",
        _STAGE,
        "merchant_id currency day own_day",
        "Settled refunds and chargebacks by day, and by the day of the sale they are about.",
        """
merchant_id string - merchant
currency string - ISO 4217 code
day date - UTC day of the refund or chargeback
own_day date? - day of the sale it names; empty when it names none
claims_minor int minor refunds and chargebacks
chargebacks_minor int minor of them chargebacks; of days that only a version before this one has counted 0, for it kept only the sum
""",
    ),
    table(
        "reserve_policies",
        _STAGE,
        "merchant_id currency applies_from",
        "The reserve policy of each merchant and currency, by the day it applies from.",
        """
merchant_id string - merchant
currency string - ISO 4217 code
applies_from date - first day it holds for; 1900-01-01 is since ever
reserve_rate float rate share of the base held back
reserve_base string - gross (sales) or net_of_fees
hold_days int days calendar days a hold lasts
release_rule string - scheduled, or manual: a person releases what is due
cap_minor int? minor highest balance; nothing is held beyond; empty is none
floor_minor int minor releases stop where the balance would go below
decided_by string - person, empty for input and settings
source string - settings, input (merchants), decided (an event in the ledger), or counted: as an earlier run counted the days
""",
    ),
]
