"""Tables made by 04_batching_settlement."""

from atlas_lib.core.tables.schema import table

_STAGE = "04_batching_settlement"

TABLES = [
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
currency string - currency settled
transaction_count int count transactions in it
gross_minor int minor sum of its transactions
net_minor int minor what moves after netting
status string - settled, failed or deferred
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
reason string - LIQUIDITY_SHORTFALL, COUNTERPARTY_LIMIT, COUNTERPARTY_DOWN, RAIL_FAILURE or NOT_DUE
detail string - in words
next_window string - where it goes next
amount_minor int minor amount in the source currency
currency string - source currency
""",
    ),
    table(
        "instructions",
        _STAGE,
        "instruction_id",
        "Payment instructions of the planned batches: what is sent to the rail.",
        """
instruction_id string - stable id, also the idempotency key on the rail
batch_id string - batch it settles
counterparty_id string - counterparty it is sent to
payer_account string - account debited
payee_account string - account credited
amount_minor int minor amount, always positive
currency string - ISO 4217 code
window string - RTGS, T0, T1 or T2
settlement_date date - business day of the window
transaction_count int count transactions it carries
""",
    ),
    table(
        "settlement_attempts",
        _STAGE,
        "instruction_id attempt",
        "Every attempt to settle a payment instruction of a batch on the rail.",
        """
instruction_id string - payment instruction, also its idempotency key
batch_id string - batch it settles
attempt int count 1 for the first
at_seconds int seconds after the first attempt
counterparty_id string - route taken
outcome string - confirmed, refused, timeout or unavailable
detail string - what the rail answered
amount_minor int minor amount of the instruction
currency string - ISO 4217 code
""",
    ),
    table(
        "settlement_schedule",
        _STAGE,
        "merchant_id batch_id currency",
        "What each merchant gets or pays, when, and whether it has happened.",
        """
merchant_id string - merchant
batch_id string - batch; the payout id for payouts of purchased contracts
window string - RTGS, T0, T1 or T2
due_date date - business day it is due
net_minor int minor positive means we owe the merchant
currency string - ISO 4217 code
status string - Pending, Delayed or Completed
reason string - why it is delayed, empty otherwise
""",
    ),
]
