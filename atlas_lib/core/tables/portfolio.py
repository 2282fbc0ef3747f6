"""Tables made by 03_portfolio."""

from atlas_lib.core.tables.schema import table

_STAGE = "03_portfolio"

_BOUNDS = "".join(
    f"{column}_{side}{level}_minor int? minor {word} bound of the {what} at {level} %; empty without enough history\n"
    for column, what in (("flow", "day's flow"), ("position", "position"))
    for level in (80, 90, 95)
    for side, word in (("low", "lower"), ("high", "upper"))
)

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
    table(
        "scenarios",
        _STAGE,
        "scenario_no currency month_end_date",
        "The open book month by month under each scenario: expected amounts.",
        """
scenario_no int count order of the scenarios, 1 first
scenario string - its name
currency string - ISO 4217 code
month_end_date date - last calendar day of the month; the as-of month first
performing_minor int minor balance that performs at the start of the month
scheduled_minor int minor principal paid as planned
prepaid_minor int minor principal paid early
defaulted_minor int minor balance that defaults
recovered_minor int minor received from earlier defaults
loss_minor int minor lost on earlier defaults
interest_minor int minor interest at the configured rate + shift on what performs
cash_minor int minor scheduled + prepaid + recovered
cash_to_date_minor int minor the same since the as-of month
""",
    ),
    table(
        "scenario_totals",
        _STAGE,
        "scenario_no currency",
        "The scenarios side by side.",
        """
scenario_no int count order of the scenarios, 1 first
scenario string - its name
currency string - ISO 4217 code
outstanding_minor int minor outstanding on the as-of day
scheduled_minor int minor principal paid as planned
prepaid_minor int minor principal paid early
defaulted_minor int minor balance that defaults
recovered_minor int minor received from defaults
loss_minor int minor lost
interest_minor int minor interest at the configured rate + shift
cash_minor int minor scheduled + prepaid + recovered
loss_rate float rate loss / outstanding
discount_rate float rate configured rate + shift
present_value_minor int minor cash discounted at it
average_life_years float years years until the cash comes, weighted by amount
effective_rate float? rate yearly yield of the purchase price of the outstanding; empty where over 10 % of it was due before
""",
    ),
    table(
        "expected_losses",
        _STAGE,
        "contract_id",
        "Expected credit loss of every contract by stage.",
        """
contract_id string - contract
merchant_id string - selling merchant
currency string - ISO 4217 code
risk_level string - of the merchant: LOW, MEDIUM, HIGH or UNRATED
days_past_due int days days since the due date of the oldest overdue instalment; 0 without dated payments
stage_no int count 1 (12 months), 2 (over 30 days past due: lifetime) or 3 (over 90 days: in default)
outstanding_minor int minor exposure today
pd_rate float rate probability of default in a year
lgd_rate float rate share lost in a default
discount_rate float rate effective yield of the contract
loss_12m_minor int minor expected from defaults of the next 12 months
loss_lifetime_minor int minor expected from defaults until the last instalment
expected_loss_minor int minor the one its stage asks for
""",
    ),
    table(
        "provisions",
        _STAGE,
        "currency step",
        "Provision matrix: outstanding by days past due x loss rate.",
        """
currency string - ISO 4217 code
step int count order of the bucket, 0 first
bucket string - days past due
contract_count int count contracts
outstanding_minor int minor outstanding of those contracts
loss_rate float rate share provided for
provision_minor int minor outstanding x loss rate
""",
    ),
    table(
        "loss_measures",
        _STAGE,
        "currency level_rate",
        "Tail of the simulated loss of a year.",
        """
currency string - ISO 4217 code
level_rate float rate level of confidence
mean_loss_minor int minor mean of all draws
value_at_risk_minor int minor loss that is not exceeded at this level
cvar_minor int minor mean of the losses beyond it, the boundary counted in part
cvar_rate float rate CVaR / outstanding
draw_count int count simulated years
""",
    ),
    table(
        "loss_distribution",
        _STAGE,
        "currency step",
        "Simulated losses of a year in bars of equal width.",
        """
currency string - ISO 4217 code
step int count order of the bar; 0 is no loss at all
from_minor int minor lower edge
to_minor int minor upper edge
draw_count int count simulated years in it
share_rate float rate share of all
""",
    ),
    table(
        "known_flows",
        _STAGE,
        "currency flow_date source",
        "Cash flows that contracts, payouts and reserves say, per open day.",
        """
currency string - ISO 4217 code
flow_date date - open day; what falls on a closed day comes on the next
source string - instalments, payouts or reserve releases
in_minor int minor comes in
out_minor int minor goes out
item_count int count instalments, payouts or tranches
""",
    ),
    table(
        "liquidity_forecast",
        _STAGE,
        "currency flow_date",
        "Cash by open day: what is known, what is forecast, and the interval it is expected in.",
        """
currency string - ISO 4217 code
flow_date date - open day
known_minor int minor known flow, net; positive comes in
residual_minor int minor forecast of everything else; 0 without enough history
flow_minor int minor known + residual
position_minor int minor cash at the end of the day
known_position_minor int minor cash at the end of the day if only the known flows came
"""
        + _BOUNDS,
    ),
    table(
        "liquidity_outlook",
        _STAGE,
        "currency level_rate",
        "Lowest point of the forecast per level of confidence, and the day it may fall below the minimum balance.",
        """
currency string - ISO 4217 code
level_rate float rate level of the interval
opening_minor int? minor cash at the start of the as-of day; empty when the input gives none
minimum_balance_minor int? minor must stay on the account
lowest_minor int minor lowest position expected
lowest_date date - its day
lowest_low_minor int? minor lower bound of the lowest position
lowest_high_minor int? minor upper bound of the lowest position
crossing_date date? - first day whose lower bound is below the minimum balance
shortfall_minor int? minor minimum balance - lowest lower bound
history_count int count open days of statements
model string - forecast in use: structural, exponential smoothing, seasonal naive, or none
status string - ok, alert, or insufficient history
remark string - why, in words; empty when ok
""",
    ),
    table(
        "forecast_accuracy",
        _STAGE,
        "currency model segment",
        "Backtest of the forecasts: every model, and the one that could have been chosen on each day.",
        """
currency string - ISO 4217 code
model string - structural, exponential smoothing, seasonal naive, or used (the choice of each day)
segment string - all, day 1 to the last, around holidays, or month ends
case_count int count forecasts compared
mase float? ratio mean absolute error / that of the seasonal naive in training; below 1 is better
mean_error_minor int? minor mean absolute error of a day
bias_minor int? minor mean of forecast - actual
is_converged bool - estimated without trouble; otherwise never used
is_used bool - chosen for the forecast
""",
    ),
    table(
        "forecast_backtest",
        _STAGE,
        "currency target segment level_rate",
        "Backtest of the intervals: how often they held, how wide they were.",
        """
currency string - ISO 4217 code
target string - daily, cumulative (position) or minimum (its lowest point)
segment string - all, day 1 to the last, around holidays, or month ends
level_rate float rate nominal level
case_count int count intervals tested
origin_count int count days they were made on
coverage_rate float rate share that held
coverage_low_rate float rate lower end of its 95 % confidence interval
coverage_high_rate float rate upper end
mean_width_minor int minor mean width
interval_score_minor int minor mean interval score; smaller is better
pinball_minor int minor mean pinball loss of both bounds; smaller is better
""",
    ),
]
