"""Tables made by 03_portfolio."""

from atlas_lib.core.tables.schema import table

_STAGE = "03_portfolio"

TABLES = [
    table(
        "schedule",
        _STAGE,
        "contract_id period",
        "Principal and interest of every contract and period.",
        """
contract_id string - contract
merchant_id string - selling merchant
currency string - ISO 4217 code
period int count 1 for the first instalment
due_date date - business day it falls due
opening_minor int minor outstanding before the instalment
principal_minor int minor principal paid
interest_minor int minor interest on the opening balance
outstanding_minor int minor outstanding after the instalment
""",
    ),
]
