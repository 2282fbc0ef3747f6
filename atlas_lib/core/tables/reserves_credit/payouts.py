"""What 02_reserves_credit would pay to each merchant, and why not."""

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
]
