"""What 03_portfolio makes of the contracts: payments, arrears, schedules, yields."""

from atlas_lib.core.tables.schema import table

_STAGE = "03_portfolio"

TABLES = [
    table(
        "payment_results",
        _STAGE,
        "payment_id",
        "What became of every dated customer payment: amount = applied + credit + open.",
        """
payment_id string - payment
contract_id string - contract it is for
payment_date date - day it was received
currency string - ISO 4217 code
amount_minor int minor amount received
applied_minor int minor part that repays the contract
credit_minor int minor part beyond the receivable, owed back to the customer
open_minor int minor part not placed, see status
status string - placed, unknown contract, other currency, or after the as-of day
""",
    ),
    table(
        "arrears",
        _STAGE,
        "contract_id",
        "Arrears and prepayments of every contract on the as-of day; empty without dated payments.",
        """
contract_id string - contract
merchant_id string - selling merchant
merchant_name string - its name
currency string - ISO 4217 code
outstanding_minor int minor principal not received
overdue_minor int minor part of it whose due date has passed
overdue_count int count instalments overdue in full or in part
days_past_due int days days since the due date of the oldest overdue instalment
bucket string - ageing bucket of the days past due
late_count int count instalments covered, but after their due date
prepaid_minor int minor received for instalments due later
credit_minor int minor received beyond the receivable
""",
    ),
    table(
        "ageing",
        _STAGE,
        "currency step",
        "Arrears by age; empty without dated payments.",
        """
currency string - ISO 4217 code
step int count order of the bucket, 0 first
bucket string - days past due
overdue_minor int minor overdue principal of instalments of that age
contract_count int count contracts whose oldest overdue instalment has that age
outstanding_minor int minor whole outstanding of those contracts
share_rate float rate share of the outstanding
""",
    ),
    table(
        "schedule",
        _STAGE,
        "contract_id period",
        "Principal and interest of every contract and period.",
        """
contract_id string - contract
merchant_id string - selling merchant
currency string - ISO 4217 code
period int count 1 for the first instalment
due_date date - business day it falls due
opening_minor int minor outstanding before the instalment
principal_minor int minor principal paid
interest_minor int minor interest on the opening balance
outstanding_minor int minor outstanding after the instalment
received_minor int minor part of the principal that customer payments already cover, first instalments first
""",
    ),
    table(
        "portfolio_monthly",
        _STAGE,
        "month_end_date merchant_id currency",
        "The book month by month and merchant: every merchant has a row in every month of the book.",
        """
month_end_date date - last calendar day of the month
merchant_id string - selling merchant
merchant_name string - its name
currency string - ISO 4217 code
purchased_minor int minor face value bought in the month
principal_minor int minor principal falling due in the month
interest_minor int minor interest falling due in the month at the configured rate
instalment_minor int minor principal + interest
instalment_count int count instalments falling due
outstanding_minor int minor outstanding at month end = purchased to date - principal due to date
""",
    ),
    table(
        "book_monthly",
        _STAGE,
        "month_end_date currency",
        "The total of portfolio_monthly over all merchants.",
        """
month_end_date date - last calendar day of the month
currency string - ISO 4217 code
purchased_minor int minor face value bought in the month
principal_minor int minor principal falling due in the month
interest_minor int minor interest falling due in the month at the configured rate
instalment_minor int minor principal + interest
instalment_count int count instalments falling due
outstanding_minor int minor outstanding at month end
interest_to_date_minor int minor interest fallen due since the first month
""",
    ),
    table(
        "contract_balances",
        _STAGE,
        "contract_id",
        "What is still to be collected on each contract on the as-of day.",
        """
contract_id string - contract
merchant_id string - selling merchant
merchant_name string - its name
currency string - ISO 4217 code
receivable_minor int minor face value bought
received_minor int minor customer payments received before or at the purchase
outstanding_minor int minor receivable - received, never below zero
overpaid_minor int minor received beyond the receivable, owed back to the customer
due_to_date_minor int minor principal whose due date has been reached on the as-of day
paid_ahead_minor int minor received for instalments due later
uncovered_minor int minor due to date and not received; not yet arrears, since payments have no dates
first_due_date date - due date of the first instalment
final_due_date date - due date of the last instalment
remaining_count int count instalments due after the as-of day
""",
    ),
    table(
        "maturity_ladder",
        _STAGE,
        "currency step",
        "When what is outstanding falls due, counted from the as-of day.",
        """
currency string - ISO 4217 code
step int count order of the bucket, 0 first
bucket string - time to the due date
principal_minor int minor principal not yet received
interest_minor int minor interest at the configured rate of the open instalments
instalment_count int count instalments due later or not fully received
share_rate float rate share of the outstanding principal
""",
    ),
    table(
        "portfolio_controls",
        _STAGE,
        "currency step",
        "Two ways to the same figure, and their difference.",
        """
currency string - ISO 4217 code
step int count order of the control
control string - what is compared
expected_minor int minor first figure
found_minor int minor second figure
difference_minor int minor found - expected
tolerance_minor int minor largest difference allowed; 0 means to the cent
passed bool - difference within the tolerance
""",
    ),
    table(
        "yields",
        _STAGE,
        "level key currency",
        "What a purchase earns: purchase price out, premiums in.",
        """
level string - contract, merchant, vintage (calendar quarter of purchase) or book
key string - contract id, merchant id, quarter, or book
name string - contract id, merchant name, quarter in words, or Whole book
currency string - ISO 4217 code
contract_count int count contracts in it
purchase_price_minor int minor paid
premiums_minor int minor sum of all premiums
gain_minor int minor premiums - purchase price
nominal_rate float? rate 12 x monthly internal rate of return
effective_rate float? rate (1 + monthly internal rate of return)^12 - 1
xirr_rate float? rate yearly rate on the actual due dates over 365 days
sign_change_count int count changes of sign in the cash flow by date; more than one may mean several roots
root_count int count rates between -99 % and 1,000 % that fit; one where the flow changes sign once
status string - ok; checked (several sign changes, yet one root); several_roots; or no_yield
remark string - why there is no single yield; empty when ok
""",
    ),
]
