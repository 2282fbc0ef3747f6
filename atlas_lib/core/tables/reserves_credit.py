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
reserve_rate float? rate client_rr / purchase price
rolling_reserve_rate float? rate client_rr / receivables
credit_limit_minor int? minor highest exposure allowed
credit_limit_ratio float? rate receivables / credit limit
status string - Ready or Blocked
reasons string - reason codes joined by "; ", empty when Ready
""",
    ),
    table(
        "payouts",
        _STAGE,
        "payout_id",
        "One payout per merchant and currency, as it would be requested.",
        """
payout_id string - stable id, also its EndToEndId
merchant_id string - merchant
currency string - ISO 4217 code
amount_minor int minor to be paid
due_date date - first business day on or after the as-of day
iban string? - account paid to
bic string? - its bank
status string - Ready or Blocked
reasons string - reason codes joined by "; "
""",
    ),
]
