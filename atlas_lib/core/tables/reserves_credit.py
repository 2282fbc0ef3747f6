"""Tables made by 02_reserves_credit."""

from atlas_lib.core.tables.schema import table

_STAGE = "02_reserves_credit"

TABLES = [
    table(
        "payout_summary",
        _STAGE,
        "merchant_id currency",
        "What each merchant is owed for its purchased contracts, with limit and status.",
        """
merchant_id string - merchant
merchant_name string - its name
currency string - ISO 4217 code
contract_count int count contracts purchased
receivables_minor int minor sum of face values bought
merchant_payout_minor int minor paid to the merchant
client_rr_minor int minor Client_RR, held back from the merchant
partner_payout_minor int minor margin paid to the funding partner
partner_rr_minor int minor Partner_RR = sum over contracts of (receivable x reserve_rate - merchant_reserve)
purchase_price_minor int minor sum of purchase prices, reserve included
reserve_rate float? rate client_rr / purchase price
rolling_reserve_rate float? rate client_rr / receivables
credit_limit_minor int? minor highest exposure allowed, in the row's currency; empty when it cannot be converted
credit_limit_ratio float? rate receivables / credit limit
status string - Ready, Blocked, Requested (at the bank) or Executed (nothing left to pay)
reasons string - reason codes joined by "; ", empty when Ready
remarks string - codes of what the input does not tell, joined by "; "; they do not block
""",
    ),
    table(
        "payouts",
        _STAGE,
        "payout_id",
        "One payout per merchant and currency, as it would be requested.",
        """
payout_id string - the merchant's n-th payout in the currency; its EndToEndId is this and the attempt
merchant_id string - merchant
currency string - ISO 4217 code
payable_minor int minor owed for all contracts of this input
paid_minor int minor of it, covered by executed payouts
under_way_minor int minor of it, covered by a payout at the bank
set_off_minor int minor of the rest, set off against what the merchant owes from its sales
amount_minor int minor to be paid = payable - paid - under way - set-off; of a Requested payout what was requested
due_date date - first business day on or after the as-of day
iban string? - account paid to
bic string? - its bank
status string - Ready, Blocked, or Requested when it is at the bank
reasons string - reason codes joined by "; "
""",
    ),
    table(
        "payout_waterfall",
        _STAGE,
        "merchant_id currency",
        "How each payout comes about, from the receivables bought to what is payable, and where its contracts stand.",
        """
merchant_id string - merchant
merchant_name string - its name
currency string - ISO 4217 code
contract_count int count contracts
receivables_minor int minor face value bought
partner_payout_minor int minor less: partner margin
client_rr_minor int minor less: reserve held (Client_RR)
residual_minor int minor less: what the parts of contracts lack to their receivables
paid_minor int minor less: covered by executed payouts
under_way_minor int minor less: covered by a payout at the bank
fees_minor int minor less: fees set off
refunds_minor int minor less: refunds set off
chargebacks_minor int minor less: chargebacks set off
prior_balance_minor int minor plus: sales and what came before this input
payable_minor int minor what the next payout pays: the first less the others, plus the prior balance
status string - Ready, Blocked, Requested or Executed
source string - file, sheet and rows its contracts were read from
""",
    ),
    table(
        "contract_payments",
        _STAGE,
        "contract_id merchant_id currency",
        "What payouts have covered of each contract, whichever run asked for them.",
        """
contract_id string - contract
merchant_id string - merchant
currency string - ISO 4217 code
merchant_payout_minor int minor owed for the contract
paid_minor int minor covered by executed payouts
under_way_minor int minor covered by a payout at the bank
open_minor int minor merchant_payout - paid - under way; negative when its figures went down after it was paid
is_in_input bool - false: a contract of an earlier input that is owed back, and so counts against the next payout
move string - paid under another merchant before: open, accepted or rejected by a person; empty for any other
""",
    ),
    table(
        "payout_positions",
        _STAGE,
        "merchant_id currency",
        "Where each merchant's payouts stand in the ledger, and what is set off against the next one.",
        """
merchant_id string - merchant
currency string - ISO 4217 code
executed_count int count payouts executed before the next one
payout_id string - the payout that comes next or is at the bank
requested_minor int minor its amount when it is at the bank, else 0
set_off_minor int minor min(open part of its contracts, debt on its account of settled sales)
fees_minor int minor fees of this input settled on that account, when there is a set-off
refunds_minor int minor refunds likewise
chargebacks_minor int minor chargebacks likewise
prior_balance_minor int minor the rest: fees + refunds + chargebacks - set-off; sales and what came before this input
is_stopped bool - a person has stopped the merchant's payouts at the desk
""",
    ),
    table(
        "payout_gates",
        _STAGE,
        "merchant_id currency code",
        "Every gate a payout failed and every remark on it, with the figures behind.",
        """
merchant_id string - merchant
currency string - ISO 4217 code
code string - reason code of the gate, or code of the remark
is_blocking bool - a gate blocks, a remark does not
detail string - what was seen, in words
""",
    ),
    table(
        "rounding_control",
        _STAGE,
        "currency figure",
        "Sum of rounded lines against the sum of the unrounded lines they come from.",
        """
currency string - ISO 4217 code
figure string - purchase_price, client_rr, merchant_payout, partner_payout or partner_rr
line_count int count contracts
rounded_minor int minor sum of the rounded lines
difference_minor_e6 int minor_e6 rounded - unrounded sum, in millionths of a minor unit
allowed_minor_e6 int minor_e6 most that rounding the lines can explain: half a unit per rounding
passed bool - the difference is within what line rounding explains
""",
    ),
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
    table(
        "exposures",
        _STAGE,
        "scope subject_id currency",
        "Exposure from purchased contracts against its limit, per merchant, obligor, counterparty and currency.",
        """
scope string - merchant, obligor, counterparty or currency
subject_id string - merchant, obligor, counterparty or currency it is about
subject_name string - its name
currency string - ISO 4217 code
receivables_minor int minor face value bought
gross_minor int minor receivables outstanding = receivable - customer payments
funded_minor int minor purchase price outstanding, in proportion to the receivable
reserve_minor int minor Client_RR held
effective_minor int minor funded - reserve
limit_minor int? minor limit in the row's currency; empty is none
utilisation_rate float? rate exposure on the chosen basis / limit; empty without limit or for a limit of 0
combined_rate float? rate utilisation over all currencies of the subject, which share one limit
headroom_minor int? minor limit - exposure, negative when over
level string - ok, watch, warn, breach, or none without limit
limit_source string - input, default, settings, none, or no rate (limit in another currency without an FX rate)
""",
    ),
    table(
        "eligibility",
        _STAGE,
        "merchant_id currency",
        "What a funder would lend against each merchant's receivables.",
        """
merchant_id string - merchant
currency string - ISO 4217 code
outstanding_minor int minor receivables outstanding = receivable - customer payments
old_minor int minor of them, unpaid for more than ineligible_after_days
cross_aged_minor int minor the rest, when old ones are more than cross_ageing_rate of all
contra_minor int minor of what is then left, what the merchant owes the same debtors in turn
eligible_minor int minor outstanding - old - cross-aged - contra
excess_minor int minor eligible above concentration_cap_rate of all receivables of the currency
base_minor int minor (eligible - excess) x advance_rate
reserve_minor int minor Client_RR held
drawn_minor int minor paid out and not repaid
availability_minor int minor base - reserve - drawn; negative when more is drawn than the base carries
is_aged bool - the input tells what customers have paid, so that ages are known
dilution_rate float? rate refunds and chargebacks / sales of the last 90 days; empty without sales
dso_days float? days outstanding / receivables bought in the last 365 days x 365; empty when none were
""",
    ),
    table(
        "obligors",
        _STAGE,
        "obligor_id currency",
        "What each account debtor owes, how old it is, and its weight in the book; empty when the input names none.",
        """
obligor_id string - account debtor
currency string - ISO 4217 code
rank int count 1 for the one who owes most in the currency
merchant_count int count merchants whose receivables it owes
contract_count int count contracts
outstanding_minor int minor receivables outstanding
old_minor int minor of them, unpaid for more than ineligible_after_days
cross_aged_minor int minor the rest, when old ones are more than cross_ageing_rate of all it owes
contra_minor int minor of what is then left, what the merchants owe it in turn
eligible_minor int minor outstanding - old - cross-aged - contra
excess_minor int minor eligible above concentration_cap_rate of all receivables of the currency
share_rate float rate outstanding / all outstanding of the currency that names an obligor
hhi_points float points share^2 x 10,000; the sum over the currency is its HHI
""",
    ),
    table(
        "obligor_checks",
        _STAGE,
        "currency check",
        "What is known of the account debtors; a check without data is not evaluated and never counts as passed.",
        """
currency string - ISO 4217 code
check string - Obligor limits, Obligor concentration, Cross-ageing by obligor or Contra accounts
verdict string - passed, attention or not evaluated
detail string - what was seen, in words
""",
    ),
    table(
        "concentration",
        _STAGE,
        "merchant_id",
        "Share of each merchant in the book, in one currency, with its contribution to the HHI.",
        """
merchant_id string - merchant
merchant_name string - its name
currency string - currency all exposures are converted to
rank int count 1 for the largest
exposure_minor int minor exposure on the chosen basis, in that currency
share_rate float rate exposure / exposure of the book
hhi_points float points share^2 x 10,000; the sum over the book is the HHI
capital_rate float rate exposure / own capital
mark string - large (from 10 % of own capital), over (from 25 %), or empty
""",
    ),
    table(
        "concentration_totals",
        _STAGE,
        "currency",
        "Concentration of the book as a whole.",
        """
currency string - currency all exposures are converted to
merchant_count int count merchants with exposure
exposure_minor int minor exposure of the book
hhi_points float points sum(share^2) x 10,000
effective_count float count 1 / sum(share^2), the number of equal merchants with this concentration
largest_rate float rate share of the largest merchant
largest10_rate float rate share of the ten largest
unconverted_count int count exposures left out because their currency has no FX rate
""",
    ),
    table(
        "alerts",
        _STAGE,
        "alert_id",
        "What needs attention today: limits, large exposures, reserve shortfalls, missing rates.",
        """
alert_id string - stable id: the same fault has the same id in every run
severity string - info, warning or high
alert string - LIMIT_WATCH, LIMIT_WARN, LIMIT_BREACH, LARGE_EXPOSURE, RESERVE_SHORTFALL or FX_RATE_MISSING
scope string - merchant, obligor, counterparty or currency
subject_id string - whom it is about
subject_name string? - its name; empty in a run of an earlier version
currency string - ISO 4217 code
amount_minor int minor how much: over the limit, above the mark, short
detail string - what was seen, in words
since date - as-of day of the run that first saw it
""",
    ),
    table(
        "alert_changes",
        _STAGE,
        "alert_id",
        "What changed since the run before: alerts raised for the first time, and alerts that have ended.",
        """
alert_id string - stable id
change string - raised or cleared
severity string - info, warning or high, as when it was raised
subject_name string? - name of whom it is about; empty when an earlier version raised it
detail string - what was seen, in words
since date - as-of day it was raised on
changed_on date - as-of day of this change
""",
    ),
]
