"""Tables made by 05_reconciliation."""

from atlas_lib.core.tables.schema import table

_STAGE = "05_reconciliation"

TABLES = [
    table(
        "matches",
        _STAGE,
        "match_id transaction_id statement_id line_id",
        "Pairs of our transactions and bank lines that belong together.",
        """
match_id string - the group of rows matched together
transaction_id string - our side
statement_id string - statement of the bank line
line_id string - bank line
match_pass string - pass that found it
match_score float rate 1 is certain
""",
    ),
]
