"""What 05_reconciliation could not match: breaks, their states, bridges and totals."""

from atlas_lib.core.tables.schema import table

_STAGE = "05_reconciliation"

TABLES = [
    table(
        "breaks",
        _STAGE,
        "break_id",
        "What does not tie out, one row per break, with type, reason in words, age and severity.",
        """
break_id string - stable id made from side, row and type
break_type string - MISSING_AT_BANK, MISSING_IN_LEDGER, AMOUNT_MISMATCH, FEE_VARIANCE, FX_DIFFERENCE, DUPLICATE, LATE_POSTING, WRONG_SIGN, CURRENCY_MISMATCH, ORPHAN_REFUND or SPLIT_INCOMPLETE
side string - ledger (only we have it), bank (only the bank has it) or both
transaction_id string? - our transaction
merchant_id string? - its merchant
statement_id string? - statement of the (first) bank line
line_id string? - (first) bank line
line_count int count bank lines in this break
account string? - account of the bank line
credit_debit_indicator string - CRDT (money in) or DBIT (money out): as expected, or as booked where only the bank has it
currency string - currency of the amounts
amount_minor int minor what we expected; 0 where only the bank has it
value_minor int minor what the bank booked with its fee added back; negative when it moved the wrong way
discrepancy_minor int minor value - amount; an unrelated currency counts as nothing booked
break_date date - transaction day when it is only ours, else booking day
break_age_days int days from that day to the as-of day
age_bucket string - 0-1, 2-7, 8-30 or over 30 days
severity string - high, medium or low, by amount and age
is_open bool - false for a matched payment that is only worth noting (LATE_POSTING)
is_matched bool - true where the row is matched all the same (LATE_POSTING, FEE_VARIANCE of a declared fee)
reason string - in words
""",
    ),
    table(
        "decisions",
        _STAGE,
        "entry_id",
        "What people decided about matches and breaks, from the ledger, oldest first; replayed on every run.",
        """
entry_id int - ledger entry
action string - force, unmatch, dispute, recheck or write_off
transaction_ids string - our transactions; between two a blank, the character 31 and a blank
line_keys string - bank lines as statement/line; between two the same
break_id string - the break; empty for force and unmatch
state string - of a dispute: open, pending evidence, won or lost
reason_code string - of a write-off
amount_minor int minor what the break was about when it was decided; its discrepancy
currency string - ISO 4217 code; empty for a decision without an amount
actor string - who decided
decided_at instant - when
said string - why, in words
""",
    ),
    table(
        "decision_findings",
        _STAGE,
        "entry_id",
        "Decisions that no longer apply to what this run found: a person looks again.",
        """
entry_id int - ledger entry of the decision
action string - what was decided
subject string - break, transactions and lines it is about
actor string - who decided
finding string - why it does not apply
""",
    ),
    table(
        "break_states",
        _STAGE,
        "break_id",
        "Every break of this run and of the one before: whether it is new, and what people decided about it.",
        """
break_id string - break
break_type string - its type
standing string - new (not in the run before), persisting, resolved (its rows are in this run and tie out, or it was written off), or not in this run (its rows are not here: nothing is known)
first_seen_date date - as-of day of the first run that found it, as far back as the runs follow each other
dispute_state string - open, pending evidence, won or lost; empty where not disputed
is_recheck_asked bool - somebody asked for another look
write_off_reason string - reason code; empty where not written off
is_settled bool - written off, at the discrepancy it has
currency string - ISO 4217 code
discrepancy_minor int minor as in this run, else as in the one before
""",
    ),
    table(
        "what_if_differences",
        _STAGE,
        "what subject",
        "Matches and breaks that would differ with the tolerance that notebook 05 tries.",
        """
what string - match or break
subject string - transaction with statement/line, or break_id
present string - pass, or type of the break, as it is; empty where there is none
trial string - the same as it would be
""",
    ),
    table(
        "reconciliation_items",
        _STAGE,
        "side transaction_id statement_id line_id",
        "Every row of both sides exactly once, with what became of it: the proof of completeness.",
        """
side string - ledger or bank
transaction_id string - our transaction; empty on the bank's side
statement_id string - statement; empty on our side
line_id string - bank line; empty on our side
account string - account of the bank line; empty on our side
currency string - ISO 4217 code
amount_minor int minor amount as booked; money in is positive, money out negative
state string - matched, break, pending (still within the grace period) or uncovered (no statement in its currency)
group_id string - match_id or break_id; empty while pending or uncovered
is_carried bool - carried over from the run before: not in this input, and so not in the bridge
""",
    ),
    table(
        "batch_index",
        _STAGE,
        "transaction_id",
        "What reconciliation found for every transaction.",
        """
transaction_id string - transaction
reconciled_status string - MATCHED, PARTIAL (found, but disagrees), UNMATCHED, PENDING (grace period), NO_STATEMENT or NOT_EXPECTED (not due at the bank)
match_pass string? - pass that matched it
match_score float? rate 1 is certain
rival_margin float? rate score minus the best rival's
amount_posted_minor int? minor what the bank booked, net of fee, in the transaction's currency
fee_minor int minor fee the bank kept
discrepancy_minor int minor booked with fee added back - expected
break_type string? - type of its most severe break
break_age_days int? days age of that break
currency string - the transaction's currency
""",
    ),
    table(
        "bridges",
        _STAGE,
        "account currency",
        "Opening balance + matched + breaks = closing balance, per account.",
        """
account string - bank account
currency string - its currency
opening_date date? - day of the first opening balance
closing_date date? - day of the last closing balance
opening_minor int? minor first opening balance
matched_minor int minor booked lines that are matched, money in positive
break_minor int minor booked lines that are breaks, money in positive
closing_minor int? minor last closing balance
residual_minor int? minor closing - opening - matched - breaks, must be 0; empty when a balance is missing
line_count int count booked lines
status string - balanced, residual, no balance, or gap (adds up as a whole, but lines may be missing: see note)
note string - statements that do not open where another closed or do not add up, or an opening elsewhere than the run before closed; else empty
""",
    ),
    table(
        "reconciliation_totals",
        _STAGE,
        "side currency",
        "Both sides, per currency: rows and amounts in = matched + breaks + pending + uncovered.",
        """
side string - ledger or bank
currency string - ISO 4217 code
rows_in_count int count transactions due at the bank, or booked lines
matched_count int count matched
break_count int count in a break
pending_count int count within the grace period
uncovered_count int count without a statement in their currency
difference_count int count in - all states, must be 0
amount_in_minor int minor net amount in, money in positive
matched_minor int minor net amount matched
break_minor int minor net amount in breaks
pending_minor int minor net amount within the grace period
uncovered_minor int minor net amount without a statement
difference_minor int minor in - all states, must be 0
""",
    ),
]
