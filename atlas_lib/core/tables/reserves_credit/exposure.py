"""What 02_reserves_credit measures against limits: exposure, obligors, concentration, alerts."""

from atlas_lib.core.tables.schema import table

_STAGE = "02_reserves_credit"

TABLES = [
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
