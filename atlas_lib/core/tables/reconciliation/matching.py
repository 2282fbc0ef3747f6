"""What 05_reconciliation matches: carried rows, decisions, matches, links, suggestions."""

from dataclasses import replace

from atlas_lib.core.tables import ingest
from atlas_lib.core.tables.schema import Column, Table, table

_STAGE = "05_reconciliation"
_STATE = Column(
    "previous_state", "string", nullable=False, unit="", about="break, pending, uncovered or matched in an earlier run"
)


def _carried(name: str, source: str, about: str) -> Table:
    (given,) = (t for t in ingest.TABLES if t.name == source)
    return replace(given, name=name, stage=_STAGE, about=about, columns=(*given.columns, _STATE))


TABLES = [
    _carried(
        "carried_transactions",
        "transactions",
        "Payments of earlier inputs that the run before left open, or that this input holds only the other side of.",
    ),
    _carried(
        "carried_lines",
        "statement_lines",
        "Bank lines of earlier statements that the run before left open, or that this input holds only the other side of.",
    ),
    table(
        "statement_coverage",
        _STAGE,
        "account currency",
        "From when to when the statements of each account cover without a gap, over this run and those before it.",
        """
account string - bank account
currency string - its currency
covered_from date - first day of the statements that each open where the one before closed
covered_to date - last day
closing_minor int? minor last closing balance; empty when none was given
run_count int count runs that follow each other without a gap, this one included
continuity string - first (no run before), follows (opens where the one before closed), restates (reaches back over it, and agrees with it), gap (neither), unknown (a balance is missing), or none (this input has no statement of it)
""",
    ),
    table(
        "applied_decisions",
        _STAGE,
        "entry_id",
        "Decisions that the run before had applied: they are done with once their rows have left the input.",
        """
entry_id int - ledger entry of the decision
""",
    ),
    table(
        "matches",
        _STAGE,
        "transaction_id statement_id line_id",
        "Pairs of our transactions and bank lines that belong together; a split or merged payment has one row per pair.",
        """
match_id string - the group of rows matched together
transaction_id string - our side
statement_id string - statement of the bank line
line_id string - bank line
match_pass string - pass that found it: reference, split, merge, payout, amount_date, day_sum, one_to_many, many_to_many, scored or manual (forced by a person)
match_score float rate 1 is certain; of a scored pair its probability
rival_margin float rate score minus the score of the best rival; the score itself where there is none
currency string - currency of the transaction
amount_minor int minor our amount in this pair; negative where it counts against the others of its group
value_minor int minor the bank's amount in this pair with its fee (and the reserve, see payout_parts) added back, in the transaction's currency
fee_minor int minor fee the bank kept on this pair
transaction_date date - day of the transaction
booking_date date - day of the bank line
days_late int days open banking days from the transaction (or the day after its cut-off) to the booking
""",
    ),
    table(
        "links",
        _STAGE,
        "statement_id line_id",
        "Bank lines that name a transaction of ours but do not settle it: they disagree, or it is settled already.",
        """
statement_id string - statement of the bank line
line_id string - bank line
transaction_id string - transaction it names
kind string - mismatch (disagrees), further (transaction is matched already) or not_due (not expected at the bank)
same_currency bool - the line is in the transaction's currency
same_direction bool - the money moved the expected way
value_minor int? minor the line with its fee added back, in the transaction's currency; empty without a rate
difference_minor int? minor value - amount
""",
    ),
    table(
        "suggestions",
        _STAGE,
        "transaction_id statement_id line_id",
        "Best bank line for an open transaction that is not sure enough to be taken (a near rival, a scored pair, one sum of several): a person decides.",
        """
transaction_id string - open transaction
statement_id string - statement of the suggested line
line_id string - suggested line
match_pass string - pass that suggests it
group_id string - rows of a sum, which hold only together; empty for a pair alone
currency string - ISO 4217 code
amount_minor int minor our amount
match_score float rate 1 is certain
rival_margin float rate score minus the rival's score
rival string - the rival: another bank line (statement/line), or another transaction; empty where there is none
booking_date date - day of the suggested line
""",
    ),
    table(
        "payout_parts",
        _STAGE,
        "statement_id line_id transaction_id",
        "What each payment is in a payout batch that was found or is suggested: in full, held back as reserve, left from before.",
        """
statement_id string - statement of the payout
line_id string - its line
transaction_id string - payment in it
amount_minor int minor the payment; money in positive, money out negative
reserve_minor int minor held back of it as reserve
is_prior bool - left open by an earlier payout: prior balance
currency string - ISO 4217 code
""",
    ),
    table(
        "payout_waterfalls",
        _STAGE,
        "statement_id line_id",
        "Every line that settles several payments, as a waterfall: sales - refunds - chargebacks - fees - payouts - reserve + prior balance + difference = amount booked.",
        """
statement_id string - statement
line_id string - line
account string - account of the line
booking_date date - day it was booked
counterparty_name string - other party; empty when the bank gives none
end_to_end_id string - its reference: the payout id, where the processor gives one
match_pass string - pass that found it
status string - matched, or suggested
merchant_id string - its merchant; empty where it settles several merchants
first_date date - first day of the payments in it
last_date date - last day
transaction_count int count payments in it
sale_minor int minor sales
refund_minor int minor refunds, subtracted
chargeback_minor int minor chargebacks, subtracted
fee_minor int minor fees charged as payments of their own or on the line, subtracted
payout_minor int minor payouts to merchants, subtracted
reserve_minor int minor reserve held back, subtracted
prior_minor int minor prior balance: what earlier payouts left open
difference_minor int minor what is within the tolerance
net_minor int minor amount booked; money in positive, money out negative
currency string - ISO 4217 code
rival string - of a suggested one: what fits as well
""",
    ),
    table(
        "search_limits",
        _STAGE,
        "match_pass bound currency",
        "What was not searched because a bound was reached: none of these rows was found to have no partner.",
        """
match_pass string - pass: payout, one_to_many, many_to_many or scored
bound string - candidates (more than most_candidates rows fit), parts (more than most_parts rows of one name are open, and sums of so many are not tried), chance (so many sums that one would say nothing), solutions (too many sums fit), lines or rows (more than are tried)
currency string - ISO 4217 code
transaction_count int count payments not searched
line_count int count bank lines not searched
amount_minor int minor their amounts, without sign
""",
    ),
]
