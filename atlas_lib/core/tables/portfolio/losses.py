"""What 03_portfolio expects to lose: scenarios, provisions, the distribution of losses."""

from atlas_lib.core.tables.schema import table

_STAGE = "03_portfolio"

TABLES = [
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
]
