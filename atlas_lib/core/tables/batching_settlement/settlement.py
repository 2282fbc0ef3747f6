"""What 04_batching_settlement carried out: instructions, attempts, results, the ledger."""

from atlas_lib.core.tables.schema import table

_STAGE = "04_batching_settlement"

TABLES = [
    table(
        "instructions",
        _STAGE,
        "instruction_id",
        "Payment instructions of the planned batches: what is sent to the rail.",
        """
instruction_id string - stable id, also the idempotency key on the rail
batch_id string - batch it settles; a leg of the pool belongs to the batch with most of its transactions
counterparty_id string - counterparty it is sent to
payer_account string - account debited
payee_account string - account credited
amount_minor int minor amount, always positive
currency string - ISO 4217 code
window string - RTGS, T0, T1 or T2
settlement_date date - business day of the window
transaction_count int count transactions it carries
arriving_minor int minor what the payee receives
arriving_currency string - currency the payee receives
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
attempt int count 1 for the first, going on from run to run
at_seconds int seconds after the first attempt of its run
counterparty_id string - route taken
outcome string - confirmed, refused, shortfall, unavailable, timeout (unknown), pending (answered later), not_found (asked: never arrived) or cancelled
detail string - what the rail answered
amount_minor int minor amount of the instruction
currency string - ISO 4217 code
""",
    ),
    table(
        "commit_checks",
        _STAGE,
        "check_no",
        "Who committed the batches, that it holds what the ledger says, and that the bank does; a failed check stops the run.",
        """
check_no int count order of the rows
check string - what must hold; the first row names the commit service
passed bool - whether it does
is_blocking bool - a failed one stops the run
detail string - what was found
""",
    ),
    table(
        "settlement_results",
        _STAGE,
        "transaction_id",
        "What became of every transaction of a batch, in this run or in an earlier one.",
        """
transaction_id string - transaction
batch_id string - batch that settles it
window string - RTGS, T0, T1 or T2
settlement_date date - business day of the window
status string - settled, in_flight (committed, some of it may have been paid), failed, superseded or reversed
reason string - RAIL_FAILURE, COUNTERPARTY_DOWN, LIQUIDITY_SHORTFALL, AWAITING_BANK, RETURNED or COMMITTED_ELSEWHERE; empty when settled
detail string - in words
amount_minor int minor amount in the source currency
currency string - source currency
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
    table(
        "ledger_entries",
        _STAGE,
        "entry_id",
        "The ledger's entries about the transactions and batches of this run, in order.",
        """
entry_id int count position in the ledger
transaction_id string - transaction; empty for an entry about a batch
batch_id string - batch; empty before there is one
event_type string - what happened
amount_minor int minor amount
currency string - ISO 4217 code
timestamp instant - when it counts as having happened
actor string - who did it
details string - the rest, as JSON
""",
    ),
    table(
        "trial_balance",
        _STAGE,
        "account currency",
        "Debits and credits per account over this run's postings; per currency they are equal.",
        """
account string - code of the account
currency string - ISO 4217 code
debit_minor int minor debited
credit_minor int minor credited
balance_minor int minor debits - credits
""",
    ),
]
