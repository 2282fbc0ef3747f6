"""What 04_batching_settlement plans: due items, netting, costs, batches, deferrals."""

from atlas_lib.core.tables.schema import table

_STAGE = "04_batching_settlement"

TABLES = [
    table(
        "settlement_items",
        _STAGE,
        "transaction_id",
        "Every accepted transaction as settlement sees it on the as-of day; only the due ones are planned.",
        """
transaction_id string - transaction
merchant_id string - merchant
type string - SALE, REFUND, CHARGEBACK, FEE or PAYOUT
standing string - due, settled before, not eligible, held, not due, no route or no rate
reason string - why it is not due; empty when due
batch_id string - batch that settled it before; empty otherwise
payer_account string - account debited
payee_account string - account credited
amount_minor int minor amount in the source currency
currency string - source currency
destination_minor int minor what arrives, at the mid rate; 0 without a rate
destination_currency string - currency that arrives
value_minor int minor amount in EUR at the mid rate; 0 without a rate
cash_currency string - currency of our cash that it moves
cash_out_minor int minor what leaves our cash; negative comes in
net_debit_minor int minor EUR value the counterparty owes for it; negative is owed to it
counterparty_id string - counterparty it goes through; empty when none is available
asked_counterparty_id string - counterparty the input named
is_gross bool - RTGS: paid at once on its own
earliest_slot int count earliest window: 0 RTGS, 1 T0, 2 T1, 3 T2
latest_slot int count latest window allowed
created_at instant - when it was made
""",
    ),
    table(
        "net_positions",
        _STAGE,
        "account currency",
        "Net position of every account over the due transactions, before and after netting.",
        """
account string - account; NETTING-POOL is the hub that converts
currency string - ISO 4217 code
transaction_count int count due transactions
in_minor int minor received gross
out_minor int minor paid gross
net_minor int minor received - paid, the same before and after
bilateral_in_minor int minor received after offsetting each pair of accounts
bilateral_out_minor int minor paid after offsetting each pair of accounts
multilateral_in_minor int minor received after netting through the pool
multilateral_out_minor int minor paid after netting through the pool
""",
    ),
    table(
        "netting_effect",
        _STAGE,
        "currency",
        "How much has to move per currency gross, after bilateral and after multilateral netting.",
        """
currency string - ISO 4217 code
transaction_count int count due transactions paid in it
gross_minor int minor sum of all payments
bilateral_minor int minor what moves when each pair offsets
multilateral_minor int minor what moves through the pool
netted_rate float rate 1 - multilateral / gross
funding_rate float rate multilateral / gross: what accounts pay in per unit settled
largest_pay_in_minor int minor most that one account pays in
set_off_minor int minor what goes round in cycles and needs no cash at all
cycle_account_count int count accounts that are part of a cycle
gridlock_count int count payments that cannot go one by one with what accounts pay in, but go together
gridlock_minor int minor their amount
net_sum_minor int minor sum of all net positions, must be 0
""",
    ),
    table(
        "obligation_set_off",
        _STAGE,
        "currency payer payee",
        "The most that accounts could set off against each other without any cash, nobody's net position changed.",
        """
currency string - ISO 4217 code
payer string - account that owes
payee string - account it owes to; NETTING-POOL where the payment converts
owed_minor int minor sum of the due transactions
set_off_minor int minor part that goes round in cycles and can be set off
remaining_minor int minor owed - set off
""",
    ),
    table(
        "payment_queue",
        _STAGE,
        "transaction_id currency payer",
        "The due payments in their order: which go one by one with just the net pay-ins as cash, which only together.",
        """
transaction_id string - transaction
currency string - ISO 4217 code
payer string - account that owes
payee string - account it owes to; NETTING-POOL where the payment converts
queue_no int count place in the queue: by the time the payment was made
amount_minor int minor amount of the payment in this currency
goes_alone bool - can be paid by itself, first in first out by payer; otherwise only together with others
""",
    ),
    table(
        "cost_comparison",
        _STAGE,
        "plan_no",
        "What the same transactions cost under each plan, in EUR, with the cost no plan can undercut.",
        """
plan_no int count order of the rows
plan string - gross, simple grouping, hub netting, optimised, or optimised with FX kept gross
wires_count int count wires
wire_cost_minor int minor wires
fx_cost_minor int minor spreads of the conversions
deferred_count int count transactions left unsettled
deferral_cost_minor int minor notional cost of those: deferral price and their own conversion
total_cost_minor int minor wires + conversions + deferrals
saved_rate float rate saved against gross
saved_simple_rate float? rate saved against simple grouping; empty for gross
lower_bound_minor int minor proven: no plan costs less
gap_rate float rate (total - lower bound) / total
solver string - solver, its version and what it used; empty for the other plans
is_fallback bool - no solver answered, the best plan without one was taken
rate_date date - day of the oldest rate used
currency string - EUR
""",
    ),
    table(
        "plan_scenarios",
        _STAGE,
        "scenario_no",
        "The same payments planned with other cash, limits, cut-off, discount or spreads, in EUR.",
        """
scenario_no int count order of the rows
scenario string - present, or what is changed
change string - the changed figures; percent of the present ones
settled_count int count transactions in a batch
rtgs_count int count of those, paid at once
t0_count int count of those, in T0
t1_count int count of those, in T1
t2_count int count of those, in T2
deferred_count int count transactions left unsettled
wires_count int count wires
wire_cost_minor int minor wires
fx_cost_minor int minor spreads of the conversions
deferral_cost_minor int minor notional cost of what is left unsettled
total_cost_minor int minor wires + conversions + deferrals
difference_minor int minor total - total of the present plan
lower_bound_minor int minor proven: no plan costs less
gap_rate float rate (total - lower bound) / total
saved_rate float rate saved against gross under the same change
currency string - EUR
""",
    ),
    table(
        "fx_conversions",
        _STAGE,
        "settlement_date mode sold_currency bought_currency",
        "Conversions of the plan by day and quoted pair; a way over a third currency is two rows.",
        """
settlement_date date - business day
mode string - netted (the pool's balance), direct or gross
sold_currency string - currency sold
bought_currency string - currency bought
value_minor int minor value in EUR at mid
spread_bps float bps spread of the pair
cost_minor int minor value x spread
currency string - EUR
""",
    ),
    table(
        "plan_checks",
        _STAGE,
        "check_no",
        "The plan recomputed from its tables, independent of the solver; a failed check stops the run.",
        """
check_no int count order of the rows
check string - what must hold
passed bool - whether it does
is_blocking bool - a failed one stops the run
detail string - what was found
""",
    ),
    table(
        "settlement_controls",
        _STAGE,
        "currency",
        "Accepted = settled + deferred + settled before + not due + not eligible, per source currency.",
        """
currency string - ISO 4217 code
accepted_count int count transactions accepted by 01_ingest
planned_count int count in a batch of this run's plan
settled_count int count of those, settled
deferred_count int count due or held, not settled in this run
settled_before_count int count in a batch of an earlier run
not_due_count int count made after the as-of day or too long before it
not_eligible_count int count pending, declined or refunded
difference_count int count accepted - the rest, must be 0
accepted_minor int minor sum of amounts
planned_minor int minor sum of amounts
settled_minor int minor sum of amounts
deferred_minor int minor sum of amounts
settled_before_minor int minor sum of amounts
not_due_minor int minor sum of amounts
not_eligible_minor int minor sum of amounts
difference_minor int minor accepted - the rest, must be 0
""",
    ),
    table(
        "batches",
        _STAGE,
        "batch_id",
        "Settlement batches of at most 1,000 transactions.",
        """
batch_id string - stable id made from its transactions
window string - RTGS, T0, T1 or T2
settlement_date date - business day of the window
mode string - netted (through the pool), direct (its own wire) or gross (RTGS)
counterparty_id string - counterparty settled with; NETTING-POOL for netted batches
currency string - source currency of its transactions
transaction_count int count transactions in it
gross_minor int minor sum of its transactions
net_minor int minor what is paid in under its instructions, after netting
status string - planned; once executed settled, partial, deferred or failed
""",
    ),
    table(
        "batch_lines",
        _STAGE,
        "transaction_id",
        "The batch, window and mode of every transaction that is settled.",
        """
transaction_id string - transaction
batch_id string - its batch
window string - RTGS, T0, T1 or T2
mode string - netted, direct or gross
settlement_date date - business day of the window
counterparty_id string - counterparty it goes through
payer_instruction_id string? - instruction that collects it; empty when the payer's net is zero
payee_instruction_id string? - instruction that pays it out; empty when the payee's net is zero
amount_minor int minor amount in the source currency
currency string - source currency
""",
    ),
    table(
        "deferrals",
        _STAGE,
        "transaction_id",
        "Transactions not settled in this run, each with its reason.",
        """
transaction_id string - transaction
reason string - LIQUIDITY_SHORTFALL, COUNTERPARTY_LIMIT, COUNTERPARTY_DOWN, FX_RATE_MISSING, COMPLIANCE_HOLD, RAIL_FAILURE, AWAITING_BANK, RETURNED
detail string - in words
next_window string - where it goes next
amount_minor int minor amount in the source currency
currency string - source currency
""",
    ),
]
